"""The stage as functions of files: train an inverter, synthesise a unit file with one."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from zerochain import audio
from zerochain.errors import InputError
from zerochain.formats.atomic import atomic_folder, check_replaceable
from zerochain.formats.bundle import MARKER, bundle_id
from zerochain.formats.corpus import Corpus, read_corpus
from zerochain.formats.identity import check_same_ids
from zerochain.formats.synthesis import MARKER as SYNTHESIS_MARKER
from zerochain.formats.synthesis import Synthesis, write_synthesis
from zerochain.formats.units import UnitFile, read_units
from zerochain.inversion.code2spec import Code2Spec, Code2SpecConfig
from zerochain.inversion.inverter import Inverter, Method
from zerochain.inversion.spectrogram import SpectrogramOptions, hop_of
from zerochain.inversion.train import Code2SpecTask, VoiceData, unit_means
from zerochain.progress import track
from zerochain.training.checkpoint import fingerprint
from zerochain.training.config import TrainingConfig
from zerochain.training.device import is_main_process
from zerochain.training.loop import CHECKPOINT, train, training_folder

_FRAME_MS = 10.0
_SLACK_STEPS = 1  # the last unit may reach beyond the recording's end


def train_inverter(
    units: Path,
    corpus: Path,
    out: Path,
    *,
    voice: str | None,
    split: str | None = None,
    method: Method = "code2spec",
    width: int = 256,
    scale: Literal["log", "linear"] = "log",
    correct_means: bool = True,
    training: TrainingConfig | None = None,
    n_frames: int = 128,
    device: str = "cpu",
    restart: bool = False,
    tensorboard: bool = False,
) -> tuple[Inverter, dict[str, Any]]:
    """Train an inverter on one voice's units and recordings and save it as the bundle `out`.

    The checkpoint and log.csv stand beside it in the folder `<out>.training`; called again after
    it was interrupted, training goes on from there with the same result.

    Args:
        voice: the speaker; None if the corpus has only one.
        split: train on this split alone.
        width: channels of a layer; the published network has 1024.
        scale: which magnitudes the network predicts.
        correct_means: whether the network corrects each unit's mean spectrum; the published one
            predicts from nothing.
        n_frames: length of a training segment.

    Returns:
        The inverter, and how its training went.

    Raises:
        InputError: no such voice, units of another corpus, too little speech, or divergence.
    """
    check_replaceable(out, MARKER)  # now rather than after an hour
    unit_file, whole = read_units(units), read_corpus(corpus)
    options = SpectrogramOptions(hop=hop_of(min(_FRAME_MS, unit_file.step_ms)), scale=scale)
    training = training or TrainingConfig()
    speaker = only_voice(whole, voice)
    part = whole.select(split=split, speaker=speaker)
    check_same_ids(part.ids, unit_file.ids, f"voice {speaker}", f"unit file {units}")
    data = voice_data(unit_file, part, options)
    report: dict[str, Any] = {"n_utterances": len(part.utterances), "minutes": part.duration / 60}
    if method == "unit-means":
        network: Any = unit_means(data, unit_file.n_units)
    else:
        config = Code2SpecConfig(
            n_units=unit_file.n_units,
            n_bins=options.n_bins,
            width=width,
            correct_means=correct_means,
        )
        settings = {
            "network": config.model_dump(),
            "spectrogram": options.model_dump(),
            "training": training.model_dump(),
            "n_frames": n_frames,
        }
        network, how = _train_code2spec(
            config,
            data,
            training,
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
        voice=speaker,
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
    seed: int = 0,
    device: str = "cpu",
) -> list[str]:
    """Speak every utterance of a unit file into `out`/<id>.wav, and say so in synthesis.json.

    Returns:
        The ids.

    Raises:
        ModelMismatchError: the units are of another unit model than the inverter's.
    """
    model, unit_file = Inverter.load(inverter, device), read_units(units)
    unit_file.check_model(model.unit_model, "inverter")
    with atomic_folder(out, SYNTHESIS_MARKER) as folder:
        for name in track(unit_file.ids, "Synthesising"):
            audio.write(folder / f"{name}.wav", model.synthesize(unit_file.steps(name), seed))
        synthesis = Synthesis(
            inverter_id=bundle_id(inverter),
            method=model.method,
            units_id=unit_file.id,
            unit_method=unit_file.method,
            corpus_id=unit_file.corpus_id,
            voice=model.voice,
            sample_rate=audio.SAMPLE_RATE,
            step_ms=unit_file.step_ms,
            ids=tuple(unit_file.ids),
            folder=folder,
        )
        write_synthesis(synthesis)
    return unit_file.ids


def only_voice(corpus: Corpus, voice: str | None) -> str:
    """The voice asked for, or the only speaker there is.

    Raises:
        InputError: none was asked for, and the corpus has several or none.
    """
    if not corpus.speakers:
        raise InputError(
            f"corpus {corpus.name!r} has no known speaker, so no voice to speak in",
            path=corpus.folder,
            remedy="import it again and say who speaks, with --speaker-from or a table",
        )
    if voice is None and len(corpus.speakers) != 1:
        raise InputError(
            f"corpus {corpus.name!r} has {len(corpus.speakers)} known speakers: "
            f"{', '.join(corpus.speakers)}",
            remedy="choose the target voice with --voice SPEAKER",
        )
    return voice if voice is not None else corpus.speakers[0]


def voice_data(unit_file: UnitFile, corpus: Corpus, options: SpectrogramOptions) -> VoiceData:
    """Recordings and units, checked to be of the same length.

    Raises:
        InputError: a recording and its units differ by more than a step.
    """
    step = hop_of(unit_file.step_ms)
    repeat, remainder = divmod(step, options.hop)
    if remainder or repeat == 0:
        raise InputError(
            f"a unit lasts {unit_file.step_ms:g} ms, which is no multiple of {_FRAME_MS:g} ms",
            cause="the unit model's features have an unusual step",
            remedy="use features of --step-ms 10, or another stride",
        )
    frames: dict[str, NDArray[np.int32]] = {}
    waves: dict[str, audio.Waveform] = {}
    for u in track(corpus.utterances, "Reading recordings"):
        steps = unit_file.steps(u.id)
        wave = audio.read(corpus.audio_path(u), start=u.start, end=u.end)
        if abs(len(steps) - len(wave) / step) > 1 + _SLACK_STEPS:
            raise InputError(
                f"utterance {u.id!r} has units for {unit_file.duration_s(u.id):.2f} s, "
                f"but its recording lasts {len(wave) / audio.SAMPLE_RATE:.2f} s",
                cause="the units are of another corpus or another cut of it",
                remedy="encode this corpus again",
            )
        frames[u.id], waves[u.id] = np.repeat(steps, repeat), wave
    return VoiceData.of(frames, waves, options, unit_file.n_units)


def _train_code2spec(
    config: Code2SpecConfig,
    data: VoiceData,
    training: TrainingConfig,
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
        learning_rate=training.learning_rate,
        batch_size=training.batch_size,
        n_frames=n_frames,
        seed=training.seed,
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
    )
    network.load_state_dict(result.weights)
    how = {
        "device": device,
        "n_parameters": sum(p.numel() for p in network.parameters()),
        "steps": int(result.history[-1]["step"]),
        "seconds": round(result.history[-1]["seconds"], 1),
        "best_step": int(result.best["step"]),
        "best_valid_loss": result.best["valid_loss"],
        "converged": result.converged,
    }
    return network.to(device), how
