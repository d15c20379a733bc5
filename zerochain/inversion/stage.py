"""The stage as functions of files: train an inverter, synthesise a unit file with one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from zerochain import audio
from zerochain.errors import InputError, listed
from zerochain.features.speaker_encoder import SpeakerEncoder
from zerochain.formats.atomic import atomic_folder, check_replaceable
from zerochain.formats.bundle import MARKER, bundle_id
from zerochain.formats.corpus import Corpus, read_corpus
from zerochain.formats.identity import check_same_ids
from zerochain.formats.synthesis import MARKER as SYNTHESIS_MARKER
from zerochain.formats.synthesis import Synthesis, write_synthesis
from zerochain.formats.units import UnitFile, read_units
from zerochain.inversion.adversary import AdversaryOptions
from zerochain.inversion.code2spec import Code2SpecConfig
from zerochain.inversion.inverter import Inverter, Method
from zerochain.inversion.phase import Phase
from zerochain.inversion.spectrogram import SpectrogramOptions, hop_of
from zerochain.inversion.train import train_code2spec
from zerochain.inversion.voice_data import (
    FRAME_MS,
    chosen_voices,
    spoken_by,
    unit_means,
    voice_data,
)
from zerochain.inversion.voice_profiles import f0_statistics, reference_vectors
from zerochain.inversion.voices import Vector
from zerochain.progress import track
from zerochain.training.checkpoint import fingerprint
from zerochain.training.config import TrainingConfig
from zerochain.training.device import is_main_process
from zerochain.training.loop import CHECKPOINT, training_folder
from zerochain.training.split import validation_ids

SAMPLE = "sample.wav"
_SAMPLE_S = 5.0


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
        statistics=tuple(f0_statistics(part, names, device)),
        speaker_encoder_id=encoder_id,
    )
    if is_main_process():
        sample = _sample(inverter, unit_file, part)  # first: what can't speak is not saved
        inverter.save(out, trained_on, report)
        audio.write(out / SAMPLE, sample)
        (training_folder(out) / CHECKPOINT).unlink(missing_ok=True)
    return inverter, report


def synthesize(
    inverter: Path,
    units: Path,
    out: Path,
    *,
    voice: str | None = None,
    like: Path | None = None,
    speakers: Path | None = None,
    phase: Phase | None = None,
    seed: int = 0,
    device: str = "cpu",
) -> list[str]:
    """Speak every utterance of a unit file into `out`/<id>.wav, and say so in synthesis.json.

    Args:
        voice: None if the inverter has only one.
        like, speakers: a recording of the voice to speak in instead, and the bundle of the
            speaker encoder that the inverter was trained with.
        phase: how it is found; None takes the inverter's.
        seed: of the random phases that "griffin-lim" and "fgla" start from.

    Returns:
        The ids.

    Raises:
        ModelMismatchError: the units are of another unit model than the inverter's, or the
            speaker encoder is another one.
        InputError: no such voice.
    """
    model, unit_file = Inverter.load(inverter, device), read_units(units)
    unit_file.check_model(model.unit_model, "inverter")
    if phase is not None:
        model = replace(model, phase=phase)
    told, spoken = _told(model, voice, like, speakers, device)
    with atomic_folder(out, SYNTHESIS_MARKER) as folder:
        for name in track(unit_file.ids, "Synthesising"):
            chunks = model.stream(unit_file.steps(name), told, seed)
            audio.write_chunks(folder / f"{name}.wav", chunks)
        synthesis = Synthesis(
            inverter_id=bundle_id(inverter),
            method=model.method,
            units_id=unit_file.id,
            unit_method=unit_file.method,
            corpus_id=unit_file.corpus_id,
            voice=spoken,
            sample_rate=audio.SAMPLE_RATE,
            step_ms=unit_file.step_ms,
            ids=tuple(unit_file.ids),
            folder=folder,
            speaker_encoder_id=model.speaker_encoder_id or None,
        )
        write_synthesis(synthesis)
    return unit_file.ids


def _told(
    model: Inverter, voice: str | None, like: Path | None, speakers: Path | None, device: str
) -> tuple[str | Vector, str]:
    """Who is to speak, as the inverter takes it and as people call it."""
    if like is None and speakers is None:
        name = model.voice_named(voice)
        return name, name
    if like is None or speakers is None or voice is not None:
        raise InputError(
            "a voice like a recording's takes the recording and the speaker encoder, and no name",
            remedy="give --like RECORDING and --speakers BUNDLE, or --voice NAME",
        )
    model.check_speaker_encoder(bundle_id(speakers))
    encoder = SpeakerEncoder.load(speakers, device)
    return encoder.embed(audio.read(like)), f"like {like.name}"


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
    if speakers is not None and len(voices) == 1:
        raise InputError(
            f"voice {voices[0]!r} alone needs no speaker encoder to tell voices apart",
            remedy="choose more voices with --voice or --all-voices, or leave --speakers out",
        )
    first = adversary.first_step(training.max_steps)
    if method == "code2spec" and adversary.form != "none" and first > training.max_steps:
        raise InputError(
            f"the adversary would begin at step {first}, and training ends at step "
            f"{training.max_steps}",
            remedy="lower --adversary-from, or take --adversary none",
        )


def _sample(inverter: Inverter, unit_file: UnitFile, corpus: Corpus) -> audio.Waveform:
    """An utterance that training never saw, at most five seconds of it.

    It stands beside the weights for whoever looks for a voice; like fit.json it is no part of the
    bundle's id.
    """
    name = min(validation_ids(corpus.ids))
    n_steps = max(1, round(_SAMPLE_S * 1000 / unit_file.step_ms))
    return inverter.synthesize(unit_file.steps(name)[:n_steps], corpus.by_id[name].speaker)
