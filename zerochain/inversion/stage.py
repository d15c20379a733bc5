"""Train an inverter that predicts spectrograms, from files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from zerochain import audio
from zerochain.errors import InputError, listed
from zerochain.features.speaker_encoder import SpeakerEncoder
from zerochain.formats.atomic import check_replaceable
from zerochain.formats.bundle import MARKER, SAMPLE
from zerochain.formats.corpus import read_corpus
from zerochain.formats.fit import Fit, write_fit
from zerochain.formats.identity import check_same_ids
from zerochain.formats.units import read_units
from zerochain.inversion.adversary import AdversaryOptions
from zerochain.inversion.code2spec import Code2SpecConfig
from zerochain.inversion.inverter import Inverter, Method
from zerochain.inversion.prosody_fit import fit_prosody
from zerochain.inversion.spectrogram import SpectrogramOptions, hop_of
from zerochain.inversion.train import train_code2spec
from zerochain.inversion.voice_data import (
    FRAME_MS,
    check_several,
    chosen_voices,
    sample_units,
    spoken_by,
    unit_means,
    voice_data,
)
from zerochain.inversion.voice_profiles import read_contours, reference_vectors, statistics_of
from zerochain.training.checkpoint import fingerprint
from zerochain.training.config import TrainingConfig
from zerochain.training.device import described, is_main_process
from zerochain.training.loop import CHECKPOINT, training_folder


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
    speakers: Path | None = None,
    training: TrainingConfig | None = None,
    n_frames: int = 128,
    prosody: TrainingConfig | None = None,
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
        speakers: the bundle of a speaker encoder, by whose vectors voices are told apart, so that
            others can speak as well. None: by their number.
        n_frames: length of a training segment.
        prosody: how the durations of units are learned, for units that come without any; None:
            they are not.

    Returns:
        The inverter, and how its training went.

    Raises:
        InputError: no such voice, units of another corpus, too little speech, unit means of
            several voices, a speaker encoder for one, an adversary that would begin after the
            last step, or divergence.
    """
    check_replaceable(out, MARKER)  # now rather than after an hour
    unit_file, whole = read_units(units), read_corpus(corpus)
    options = SpectrogramOptions(hop=hop_of(min(FRAME_MS, unit_file.step_ms)), scale=scale)
    training, adversary = training or TrainingConfig(), adversary or AdversaryOptions()
    names = chosen_voices(whole, voices)
    _check_choices(method, names, adversary, training, speakers)
    encoder = None if speakers is None else SpeakerEncoder.load(speakers, device)
    part = spoken_by(whole, names, split)
    what = f"voice {names[0]}" if len(names) == 1 else f"{len(names)} voices"
    check_same_ids(part.ids, unit_file.ids, what, f"unit file {units}")
    data = voice_data(unit_file, part, options, names)
    references = None if encoder is None else reference_vectors(part, names, encoder)
    encoder_id = "" if encoder is None else encoder.id
    trained_on = {"units": unit_file.id, "corpus": whole.id}
    trained_on |= {"speakers": encoder_id} if encoder_id else {}
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
            n_reference=0 if references is None else references.shape[1],
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
        network, how = train_code2spec(
            config,
            data,
            training,
            adversary,
            training_folder(out),
            fingerprint({**settings, **trained_on, "ids": part.ids}),
            references=references,
            n_frames=n_frames,
            device=device,
            restart=restart,
            tensorboard=tensorboard,
        )
        report |= {**settings, **how}
    numbers = {u.id: names.index(str(u.speaker)) for u in part.utterances}
    contours = read_contours(part)
    statistics = statistics_of(contours, numbers, len(names))
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
        statistics=tuple(statistics),
        prosody=None
        if prosody is None
        else fit_prosody(
            unit_file,
            contours,
            numbers,
            statistics,
            references=references,
            training=prosody,
            folder=training_folder(out) / "prosody",
            device=device,
            restart=restart,
        ),
        speaker_encoder_id=encoder_id,
    )
    if is_main_process():
        sample = inverter.synthesize(
            *sample_units(unit_file, part)
        )  # first: what can't speak is not saved
        inverter.save(out, trained_on, report)
        if "seconds" in report:
            write_fit(out, Fit(report["seconds"], described(device)))
        audio.write(out / SAMPLE, sample)
        for checkpoint in training_folder(out).rglob(CHECKPOINT):
            checkpoint.unlink()
    return inverter, report


def _check_choices(
    method: Method,
    voices: Sequence[str],
    adversary: AdversaryOptions,
    training: TrainingConfig,
    speakers: Path | None,
) -> None:
    if method == "unit-means" and len(voices) > 1:
        raise InputError(
            f"unit means are of one voice, and {len(voices)} were chosen: {listed(list(voices))}",
            remedy="choose one with --voice",
        )
    check_several(voices, speakers)
    first = adversary.first_step(training.max_steps)
    if method == "code2spec" and adversary.form != "none" and first > training.max_steps:
        raise InputError(
            f"the adversary would begin at step {first}, and training ends at step "
            f"{training.max_steps}",
            remedy="lower --adversary-from, or take --adversary none",
        )
