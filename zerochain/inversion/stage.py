"""Train an inverter that predicts spectrograms, from files.

Train a neural inverter from files: its F0 units, its prosody, then its generator.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import ValidationError

from zerochain import audio
from zerochain.errors import InputError, listed
from zerochain.features.f0 import Contour
from zerochain.formats.atomic import check_replaceable
from zerochain.formats.bundle import MARKER, SAMPLE, Fit, timeless, write_fit
from zerochain.formats.corpus import Corpus, read_corpus
from zerochain.formats.identity import check_same_ids
from zerochain.formats.units import UnitFile, read_units
from zerochain.inversion import pitch, prosody_training
from zerochain.inversion.code2spec import AdversaryOptions, train_code2spec
from zerochain.inversion.pitch import F0Quantizer, resampled
from zerochain.inversion.prosody import frames_a_step
from zerochain.inversion.prosody_training import fit_prosody
from zerochain.inversion.spectral import Inverter, SpectralMethod
from zerochain.inversion.spectrogram import SpectrogramOptions, hop_of
from zerochain.inversion.voice_data import (
    FRAME_MS,
    check_several,
    chosen_voices,
    sample_units,
    spoken_by,
    unit_means,
    voice_data,
)
from zerochain.inversion.voices import F0, Voice, read_contours, reference_vectors, statistics_of
from zerochain.inversion.waveform import (
    KINDS,
    Generator,
    GeneratorLosses,
    GeneratorTask,
    NeuralInverter,
    Utterance,
    WaveformMethod,
    frame_f0_units,
    hop_of_frames,
    make_generator,
    mean_spectra,
    training_crops,
)
from zerochain.listeners.speaker_encoder import SpeakerEncoder
from zerochain.modules.code2spec import Code2SpecConfig
from zerochain.modules.convnext import SourceFilterGenerator
from zerochain.modules.f0_vqvae import F0VqvaeConfig
from zerochain.progress import track
from zerochain.training.checkpoint import fingerprint
from zerochain.training.config import TrainingConfig
from zerochain.training.device import described, is_main_process
from zerochain.training.loop import CHECKPOINT, Trained, train, training_folder
from zerochain.training.outcome import Outcome


def train_inverter(
    units: Path,
    corpus: Path,
    out: Path,
    *,
    voices: Sequence[str] | None = (),
    split: str | None = None,
    method: SpectralMethod = "code2spec",
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
    method: SpectralMethod,
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


_N_FRAMES_S = 0.64  # of a training cut


def train_neural_inverter(
    units: Path,
    corpus: Path,
    out: Path,
    *,
    method: WaveformMethod = "convnext",
    voices: Sequence[str] | None = (),
    speakers: Path | None = None,
    split: str | None = None,
    width: int | None = None,
    losses: GeneratorLosses | None = None,
    f0: TrainingConfig = pitch.TRAINING,
    prosody: TrainingConfig = prosody_training.TRAINING,
    training: TrainingConfig | None = None,
    device: str = "cpu",
    restart: bool = False,
    tensorboard: bool = False,
) -> tuple[NeuralInverter, dict[str, Any]]:
    """Train a neural inverter on voices' units and recordings and save it as the bundle `out`.

    Checkpoints and logs stand beside it in `<out>.training`; called again after it was
    interrupted, training goes on from there with the same result.

    Args:
        method: our ConvNeXt over a harmonic excitation, or HiFi-GAN as published.
        voices: the speakers; none named if the corpus has only one, None for all of them.
        speakers: bundle of a speaker encoder; with it any voice can speak, from a recording.
        split: train on this split alone.
        width: channels; None is the method's own (256, published 512).
        losses: with an adversary, all steps are taken and the last weights are kept.
        f0, prosody: how F0 units, and durations and F0 of units, are learned.

    Returns:
        The inverter, and how its training went.

    Raises:
        InputError: no such voice, units of another corpus, too little speech, a speaker encoder
            for one voice, an adversary that would begin after the last step, or divergence.
    """
    check_replaceable(out, MARKER)
    unit_file, whole = read_units(units), read_corpus(corpus)
    losses, training = losses or GeneratorLosses(), training or TrainingConfig()
    if losses.adversary != "none":
        training = training.model_copy(update={"keep": "last"})
    names = chosen_voices(whole, voices)
    part = spoken_by(whole, names, split)
    check_several(names, speakers)
    losses.check_begins(training.max_steps)
    check_same_ids(part.ids, unit_file.ids, f"corpus {whole.name}", f"unit file {units}")
    durations = {u.id: u.duration for u in part.utterances}
    unit_file.check_durations(durations, f"corpus {whole.name}")
    encoder = SpeakerEncoder.load(speakers, device) if speakers else None
    encoder_id = "" if encoder is None else encoder.id
    references = None if encoder is None else reference_vectors(part, names, encoder)
    torch.manual_seed(training.seed)
    generator = _untrained(method, unit_file, len(names), references, width)
    numbers = {u.id: names.index(str(u.speaker)) for u in part.utterances}
    contours = read_contours(part)
    statistics = statistics_of(contours, numbers, len(names))
    folder = training_folder(out)
    quantizer = F0Quantizer.fit(
        contours,
        numbers,
        statistics,
        training=f0,
        folder=folder / "f0",
        device=device,
        restart=restart,
    )
    predicted = fit_prosody(
        unit_file,
        contours,
        numbers,
        statistics,
        references=references,
        training=prosody,
        folder=folder / "prosody",
        device=device,
        restart=restart,
    )
    told = [Voice(name, n, statistics[n]) for n, name in enumerate(names)]
    data = _utterances(unit_file, part, contours, numbers, quantizer, told)
    mark = {
        "network": generator.config.model_dump(),
        "losses": losses.model_dump(),
        "training": training.model_dump(),
        "units": unit_file.id,
        "corpus": whole.id,
        "ids": part.ids,
        "voices": list(names),
        "speakers": encoder_id,
    }
    trained = _train(generator, data, losses, training, folder, mark, device, restart, tensorboard)
    report = {
        "n_utterances": len(part.utterances),
        "minutes": part.duration / 60,
        "losses": losses.model_dump(),
        "training": training.model_dump(),
        "device": device,
        "seconds": trained.seconds,
        **asdict(Outcome.of(trained, generator)),
        "complaints": [*quantizer.findings, *predicted.findings],
    }
    trained_on = {"units": unit_file.id, "corpus": whole.id}
    inverter = KINDS[method](
        generator=generator.to(device).eval(),
        f0_quantizer=quantizer,
        prosody=predicted,
        unit_model=unit_file.model_id,
        n_units=unit_file.n_units,
        step_ms=unit_file.step_ms,
        voices=names,
        speaker_encoder_id=encoder_id,
        training=timeless(report),
        trained_on=trained_on | ({"speakers": encoder_id} if encoder_id else {}),
    )
    if is_main_process():
        steps, speaker = sample_units(unit_file, part)
        sample = inverter.synthesize(steps, inverter.voice(speaker))  # what can't isn't saved
        inverter.save(out)
        write_fit(out, Fit(trained.seconds, described(device)))
        audio.write(out / SAMPLE, sample)
        for checkpoint in folder.rglob(CHECKPOINT):
            checkpoint.unlink()
    return inverter, report


def _untrained(
    method: WaveformMethod,
    unit_file: UnitFile,
    n_voices: int,
    references: NDArray[np.float32] | None,
    width: int | None,
) -> Generator:
    """A generator with random weights; HiFi-GAN, which has no excitation, is told F0 units too."""
    settings = {
        "n_units": unit_file.n_units,
        "n_f0_units": F0VqvaeConfig().n_units if method == "hifigan" else 0,
        "n_voices": n_voices,
        "n_reference": 0 if references is None else references.shape[1],
        "hop": hop_of_frames(unit_file.step_ms),
        **({} if width is None else {"width": width}),
    }
    try:
        generator = make_generator(method, {"network": settings})
    except ValidationError as error:
        first = error.errors()[0]
        raise InputError(
            f"no {method} generator has a {first['loc'][0]} of {first['input']}: {first['msg']}",
            remedy="leave --width out, or change it",
        ) from error
    if references is not None:
        generator.conditioning.voice.references.copy_(torch.from_numpy(references))
    return generator


def _utterances(
    unit_file: UnitFile,
    corpus: Corpus,
    contours: dict[str, Contour],
    numbers: dict[str, int],
    quantizer: F0Quantizer,
    voices: Sequence[Voice],
) -> dict[str, Utterance]:
    repeat = frames_a_step(unit_file.step_ms)
    frame_ms = unit_file.step_ms / repeat
    data = {}
    recordings = zip(corpus.utterances, corpus.waves(), strict=True)
    for u, wave in track(recordings, "Reading recordings", len(corpus.utterances)):
        frames = np.repeat(unit_file.steps(u.id), repeat)
        f0 = resampled(contours[u.id], F0.step_ms, frame_ms, len(frames))
        data[u.id] = Utterance(
            units=frames,
            f0=f0,
            f0_units=frame_f0_units(quantizer, f0, frame_ms, voices[numbers[u.id]]),
            wave=wave,
            voice=numbers[u.id],
        )
    return data


def _train(
    generator: Generator,
    data: dict[str, Utterance],
    losses: GeneratorLosses,
    training: TrainingConfig,
    folder: Path,
    mark: dict[str, Any],
    device: str,
    restart: bool,
    tensorboard: bool,
) -> Trained:
    hop = generator.config.hop
    learned, kept = training_crops(data, hop)
    if isinstance(generator, SourceFilterGenerator):
        generator.start_from(mean_spectra(generator, learned))
    n_frames = round(_N_FRAMES_S * audio.SAMPLE_RATE / hop)
    task = GeneratorTask(
        generator, learned, kept, losses, training, n_frames=n_frames, device=device
    )
    trained = train(
        task,
        training,
        folder,
        fingerprint=fingerprint(mark),
        device=device,
        restart=restart,
        tensorboard=tensorboard,
    )
    generator.load_state_dict(trained.weights)
    return trained
