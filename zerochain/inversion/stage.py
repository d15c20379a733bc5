"""The stage as functions of files: train an inverter, synthesise a unit file with one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from zerochain import audio
from zerochain.errors import InputError, listed
from zerochain.formats.atomic import atomic_folder, check_replaceable
from zerochain.formats.bundle import MARKER, bundle_id
from zerochain.formats.corpus import read_corpus
from zerochain.formats.identity import check_same_ids
from zerochain.formats.synthesis import MARKER as SYNTHESIS_MARKER
from zerochain.formats.synthesis import Synthesis, write_synthesis
from zerochain.formats.units import read_units
from zerochain.inversion.adversary import AdversaryOptions, AdversaryWatch, complaints
from zerochain.inversion.code2spec import Code2Spec, Code2SpecConfig
from zerochain.inversion.inverter import Inverter, Method
from zerochain.inversion.spectrogram import SpectrogramOptions, hop_of
from zerochain.inversion.train import Code2SpecTask
from zerochain.inversion.voice_data import (
    FRAME_MS,
    VoiceData,
    chosen_voices,
    spoken_by,
    unit_means,
    voice_data,
)
from zerochain.progress import track
from zerochain.training.checkpoint import fingerprint
from zerochain.training.config import TrainingConfig
from zerochain.training.device import is_main_process
from zerochain.training.loop import CHECKPOINT, train, training_folder


def train_inverter(
    units: Path,
    corpus: Path,
    out: Path,
    *,
    voices: Sequence[str] | None = (),
    split: str | None = None,
    method: Method = "code2spec",
    width: int = 256,
    scale: Literal["log", "linear"] = "log",
    correct_means: bool = True,
    adversary: AdversaryOptions | None = None,
    training: TrainingConfig | None = None,
    n_frames: int = 128,
    device: str = "cpu",
    restart: bool = False,
    tensorboard: bool = False,
) -> tuple[Inverter, dict[str, Any]]:
    """Train an inverter on voices' units and recordings and save it as the bundle `out`.

    The checkpoint and log.csv stand beside it in the folder `<out>.training`; called again after
    it was interrupted, training goes on from there with the same result.

    Args:
        voices: the speakers; none named if the corpus has only one, None for all of them.
        split: train on this split alone.
        width: channels of a layer; the published network has 1024.
        scale: which magnitudes the network predicts.
        correct_means: whether the network corrects each unit's mean spectrum; the published one
            predicts from nothing.
        adversary: None for LSGAN as it is by default. With one, all steps are taken, and the
            last weights are kept.
        n_frames: length of a training segment.

    Returns:
        The inverter, and how its training went.

    Raises:
        InputError: no such voice, units of another corpus, too little speech, unit means of
            several voices, an adversary that would begin after the last step, or divergence.
    """
    check_replaceable(out, MARKER)  # now rather than after an hour
    unit_file, whole = read_units(units), read_corpus(corpus)
    options = SpectrogramOptions(hop=hop_of(min(FRAME_MS, unit_file.step_ms)), scale=scale)
    training, adversary = training or TrainingConfig(), adversary or AdversaryOptions()
    names = chosen_voices(whole, voices)
    _check_choices(method, names, adversary, training)
    part = spoken_by(whole, names, split)
    what = f"voice {names[0]}" if len(names) == 1 else f"{len(names)} voices"
    check_same_ids(part.ids, unit_file.ids, what, f"unit file {units}")
    data = voice_data(unit_file, part, options, names)
    report: dict[str, Any] = {"n_utterances": len(part.utterances), "minutes": part.duration / 60}
    if method == "unit-means":
        network: Any = unit_means(data, unit_file.n_units)
    else:
        config = Code2SpecConfig(
            n_units=unit_file.n_units,
            n_bins=options.n_bins,
            width=width,
            correct_means=correct_means,
            n_voices=len(names),
        )
        if adversary.form != "none":
            training = training.model_copy(update={"keep": "last"})
        settings = {
            "network": config.model_dump(),
            "spectrogram": options.model_dump(),
            "training": training.model_dump(),
            "adversary": adversary.model_dump(),
            "n_frames": n_frames,
        }
        network, how = _train_code2spec(
            config,
            data,
            training,
            adversary,
            training_folder(out),
            fingerprint({**settings, "units": unit_file.id, "corpus": whole.id, "ids": part.ids}),
            n_frames=n_frames,
            device=device,
            restart=restart,
            tensorboard=tensorboard,
        )
        report |= {**settings, **how}
    inverter = Inverter(
        method=method,
        network=network.eval(),
        options=options,
        mean=data.mean.to(device),
        deviation=data.deviation.to(device),
        unit_model=unit_file.model_id,
        n_units=unit_file.n_units,
        step_ms=unit_file.step_ms,
        voices=names,
    )
    if is_main_process():
        inverter.save(out, {"units": unit_file.id, "corpus": whole.id}, report)
        (training_folder(out) / CHECKPOINT).unlink(missing_ok=True)
    return inverter, report


def synthesize(
    inverter: Path,
    units: Path,
    out: Path,
    *,
    voice: str | None = None,
    seed: int = 0,
    device: str = "cpu",
) -> list[str]:
    """Speak every utterance of a unit file into `out`/<id>.wav, and say so in synthesis.json.

    Args:
        voice: None if the inverter has only one.

    Returns:
        The ids.

    Raises:
        ModelMismatchError: the units are of another unit model than the inverter's.
        InputError: no such voice.
    """
    model, unit_file = Inverter.load(inverter, device), read_units(units)
    unit_file.check_model(model.unit_model, "inverter")
    voice = model.voice_named(voice)
    with atomic_folder(out, SYNTHESIS_MARKER) as folder:
        for name in track(unit_file.ids, "Synthesising"):
            chunks = model.stream(unit_file.steps(name), voice, seed)
            audio.write_chunks(folder / f"{name}.wav", chunks)
        synthesis = Synthesis(
            inverter_id=bundle_id(inverter),
            method=model.method,
            units_id=unit_file.id,
            unit_method=unit_file.method,
            corpus_id=unit_file.corpus_id,
            voice=voice,
            sample_rate=audio.SAMPLE_RATE,
            step_ms=unit_file.step_ms,
            ids=tuple(unit_file.ids),
            folder=folder,
        )
        write_synthesis(synthesis)
    return unit_file.ids


def _check_choices(
    method: Method, voices: Sequence[str], adversary: AdversaryOptions, training: TrainingConfig
) -> None:
    if method == "unit-means" and len(voices) > 1:
        raise InputError(
            f"unit means are of one voice, and {len(voices)} were chosen: {listed(list(voices))}",
            remedy="choose one with --voice",
        )
    first = adversary.first_step(training.max_steps)
    if method == "code2spec" and adversary.form != "none" and first > training.max_steps:
        raise InputError(
            f"the adversary would begin at step {first}, and training ends at step "
            f"{training.max_steps}",
            remedy="lower --adversary-from, or take --adversary none",
        )


def _train_code2spec(
    config: Code2SpecConfig,
    data: VoiceData,
    training: TrainingConfig,
    adversary: AdversaryOptions,
    folder: Path,
    mark: str,
    *,
    n_frames: int,
    device: str,
    restart: bool,
    tensorboard: bool,
) -> tuple[Code2Spec, dict[str, Any]]:
    import torch

    torch.manual_seed(training.seed)
    network = Code2Spec(config)
    network.start_from(unit_means(data, config.n_units).weight)
    task = Code2SpecTask(
        network,
        data,
        training,
        adversary,
        n_frames=n_frames,
        device=device,
    )
    result = train(
        task,
        training,
        folder,
        fingerprint=mark,
        device=device,
        restart=restart,
        tensorboard=tensorboard,
        watch=AdversaryWatch(),
    )
    network.load_state_dict(result.weights)
    how = {
        "device": device,
        "n_parameters": sum(p.numel() for p in network.parameters()),
        "steps": int(result.history[-1]["step"]),
        "seconds": round(result.history[-1]["seconds"], 1),
        "best_step": int(result.best["step"]),
        "best_valid_loss": result.best["valid_loss"],
        # An adversary has no end of its own: nobody can say that it has converged.
        "converged": result.converged if training.keep == "best" else None,
        "complaints": list(complaints(result.history).values()),
    }
    return network.to(device), how
