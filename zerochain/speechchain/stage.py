"""A trained chain at work: transcribe a corpus, speak a text or a corpus's texts.

`transcribe` writes `transcripts.parquet` and measures the error rates where texts are known;
`speak` speaks one text, in the voice of a recording if the chain has voices; `synthesize` speaks
each text of a corpus in the voice of its own recording, as the field compares synthesisers.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from zerochain import audio
from zerochain.audio import Waveform
from zerochain.errors import InputError, ModelMismatchError, counted, listed
from zerochain.features.spectral import SpectralExtractor
from zerochain.formats.atomic import atomic_folder
from zerochain.formats.corpus import Corpus, Utterance, read_corpus
from zerochain.formats.identity import short
from zerochain.formats.synthesis import EACH_ITS_OWN, MARKER, Synthesis, write_synthesis
from zerochain.formats.transcripts import Transcripts, write_transcripts
from zerochain.formats.units import UnitFile, read_units, write_units
from zerochain.listeners.speaker_encoder import SpeakerEncoder
from zerochain.metrics.text import untagged
from zerochain.metrics.translation import Estimate, error_rate
from zerochain.modules.joint_recogniser import FRAMES_PER_STEP
from zerochain.progress import track
from zerochain.speechchain.chain import SpeechChain
from zerochain.speechchain.ctc import Ints, durations
from zerochain.speechchain.ctc import Path as CtcPath
from zerochain.speechchain.data import Symbols, n_steps, tagged_names
from zerochain.speechchain.fusion import check_beam
from zerochain.speechchain.language_model import LanguageModel
from zerochain.speechchain.recogniser import BEAM, ChainRecogniser
from zerochain.speechchain.sources import spelled_texts, unit_texts, warn_of_tags
from zerochain.speechchain.synthesiser import SynthesisWarning

_AT_ONCE = 32
_METHOD = "speech-chain"
_MOST_SYMBOLS = 2000  # of a text that is spoken at once
Vector = NDArray[np.float32]


@dataclass(frozen=True)
class Recognition:
    """The result of transcribing a corpus.

    Attributes:
        cer: error rate in % of characters, or of units; None where no text is known.
        wer: of words; None for units as well.
        tagged_cer: as `cer`, but a character of the wrong language is wrong; None where no text has
            tags of languages. Tags count for nothing in the other two.
        n_empty: recordings in which nothing was recognised.
        n_unknown: texts with characters that the chain doesn't know, which count as errors.
    """

    transcripts: Transcripts
    cer: Estimate | None
    wer: Estimate | None
    tagged_cer: Estimate | None
    n_empty: int
    n_unknown: int


def transcribe(
    chain: Path,
    corpus: Path,
    out: Path,
    *,
    split: str | None = None,
    units: Path | None = None,
    wavs: Path | None = None,
    beam: int = BEAM,
    lm: Path | None = None,
    lm_weight: float | None = None,
    units_out: Path | None = None,
    device: str = "cpu",
) -> Recognition:
    """Transcribe the recordings of a corpus, and compare with its texts where it has some.

    Args:
        units: the true units, for a chain of units.
        wavs: a folder of <id>.wav, which take the place of the recordings: how well synthesised
            speech is understood.
        beam: 1 is CTC's best path.
        lm: a language model's bundle.
        lm_weight: of it; None for the weight that was chosen when it was made.
        units_out: a unit file of what a chain of units recognises, with durations, to be scored
            as units are. Recordings in which nothing is recognised aren't in it.

    Raises:
        InputError: not a chain, a recording that can't be read, units for a chain of characters,
            or a language model without a beam.
        ModelMismatchError: units of another model, or a language model of other symbols.
    """
    model, whole = SpeechChain.load(chain, device), read_corpus(corpus)
    part = whole if split is None else whole.select(split=split)
    recogniser = model.recogniser
    language_model = None if lm is None else _language_model(lm, recogniser, lm_weight, beam)
    spelling = recogniser.spelling
    known = _references(part, spelling, units)
    if units_out is not None and not spelling.are_units:
        raise InputError(
            "the chain was trained on characters, so it recognises no units",
            path=chain,
            remedy="leave units_out= out, or give a chain that was trained with units=",
        )
    waves = part.waves() if wavs is None else (audio.read(wavs / f"{n}.wav") for n in part.ids)
    paths, steps = _recognised(recogniser, part.ids, waves, beam, language_model)
    texts = {name: spelling.write(path.symbols) for name, path in paths.items()}
    confidence = {
        name: float(np.exp(path.score)) if len(path.symbols) else 0.0
        for name, path in paths.items()
    }
    transcripts = Transcripts(texts, confidence, model.id, whole.id)
    write_transcripts(out, transcripts)
    if units_out is not None:
        found = {
            name: (path.symbols, _lasting(path, steps[name]))
            for name, path in paths.items()
            if len(path.symbols)
        }
        write_units(units_out, _unit_file(found, model, part, whole.id))
    return _compared(transcripts, known, spelling)


def _recognised(
    recogniser: ChainRecogniser,
    ids: Sequence[str],
    waves: Iterator[Waveform],
    beam: int,
    lm: LanguageModel | None,
) -> tuple[dict[str, CtcPath], dict[str, int]]:
    """What is recognised in each recording, and how many steps it has."""
    extractor = SpectralExtractor(recogniser.features, str(recogniser.device))
    found: dict[str, CtcPath] = {}
    steps: dict[str, int] = {}
    groups = [ids[i : i + _AT_ONCE] for i in range(0, len(ids), _AT_ONCE)]
    for names in track(groups, "Transcribing"):
        frames = [extractor([wave])[0] for wave in islice(waves, len(names))]
        found |= zip(names, recogniser.transcribe(frames, beam, lm), strict=True)
        steps |= zip(names, (n_steps(len(x)) for x in frames), strict=True)
    return found, steps


def _compared(made: Transcripts, known: Mapping[str, str], spelling: Symbols) -> Recognition:
    """Transcripts and their error rates, where true texts are known."""
    texts, languages = made.texts, spelling.languages
    cer = wer = tagged_cer = None
    marked = {name: text for name, text in known.items() if text.startswith("<")}
    if marked:
        tagged_cer = error_rate(
            [tagged_names(texts[name], languages) for name in marked],
            [[tagged_names(text, languages)] for text in marked.values()],
        )
    if known:
        pairs = [(texts[name], text) for name, text in known.items()]
        if languages:
            pairs = [(untagged(a, languages), untagged(b, languages)) for a, b in pairs]
        words = error_rate([a.split() for a, _ in pairs], [[b.split()] for _, b in pairs])
        if spelling.are_units:
            cer = words
        else:
            cer, wer = error_rate([a for a, _ in pairs], [[b] for _, b in pairs]), words
    return Recognition(
        made,
        cer,
        wer,
        tagged_cer,
        sum(not text for text in texts.values()),
        sum(not spelling.knows(text) for text in known.values()),
    )


def _lasting(path: CtcPath, steps: int) -> Ints:
    """How many steps each symbol lasts (U,), with the silence at both ends."""
    lasting = durations(path.steps, steps)
    own = lasting[1:-1].copy()
    own[0] += lasting[0]
    own[-1] += lasting[-1]
    return own


def _unit_file(
    found: Mapping[str, tuple[Ints, Ints]], model: SpeechChain, corpus: Corpus, corpus_id: str
) -> UnitFile:
    """Recognised units and their durations, as units of the model whose inventory they have."""
    features = model.recogniser.features
    return UnitFile(
        {name: symbols.astype(np.int32) for name, (symbols, _) in found.items()},
        len(model.recogniser.symbols),
        FRAMES_PER_STEP * features.step_ms,
        model.recogniser.unit_model,
        f"recognised by speech chain {short(model.id)}",
        {u.id: u.speaker for u in corpus.utterances if u.id in found},
        {name: lasting.astype(np.int32) for name, (_, lasting) in found.items()},
        corpus_id,
    )


def _language_model(
    folder: Path, recogniser: ChainRecogniser, weight: float | None, beam: int
) -> LanguageModel | None:
    """A language model of the recogniser's symbols; None where its weight is 0."""
    check_beam(beam)
    model = LanguageModel.load(folder)
    if (model.symbols, model.unit_model) != (recogniser.symbols, recogniser.unit_model):
        raise ModelMismatchError(
            "the language model has other symbols than the chain",
            cause="it was made for another chain, or for units of another model",
            remedy="make one for this chain",
        )
    if weight is not None:
        if not 0 <= weight < math.inf:
            raise InputError(f"lm_weight={weight} is invalid", remedy="use 0 to 1, or more")
        model = replace(model, weight=weight)
    return model if model.weight else None


def _references(part: Corpus, spelling: Symbols, units: Path | None) -> dict[str, str]:
    """Utterance → its true text, where it is known."""
    if not spelling.are_units:
        if units is not None:
            raise InputError(
                "the chain was trained on characters, and units are given",
                remedy="leave units= out, or give a chain that was trained with units=",
            )
        return spelled_texts(part, spelling.languages)
    if units is None:
        return {}
    unit_file = read_units(units)
    unit_file.check_model(spelling.unit_model, "chain")
    return unit_texts(part, unit_file)


def speak(
    chain: Path,
    text: str,
    out: Path,
    *,
    like: Path | None = None,
    speakers: Path | None = None,
    rate: float = 1.0,
    seed: int = 0,
    device: str = "cpu",
) -> Waveform:
    """Speak a text into the WAV `out`.

    Args:
        like, speakers: a recording of the voice, and the speaker encoder that the chain was
            trained with; both or, for a chain of one voice, none.
        rate: above 1 is faster.

    Raises:
        InputError: symbols that the chain doesn't know, an empty or far too long text, a voice
            for a chain of one voice or none for one of several, or a recording of it that is
            shorter than half a second or silent.
        ModelMismatchError: another speaker encoder.
    """
    model = SpeechChain.load(chain, device)
    synthesiser = model.synthesiser
    warn_of_tags([text], synthesiser.spelling.languages, "those to speak")
    symbols = _read(text, synthesiser.spelling)
    encoder = _encoder(model, speakers, chain, device)
    if (encoder is None) != (like is None):
        raise InputError(
            "the chain speaks in any voice, and none is given"
            if like is None
            else "the chain has one voice, so it can't speak like a recording",
            path=chain,
            remedy="give like=RECORDING and speakers=BUNDLE"
            if like is None
            else "leave like= out, or train a chain with speakers=",
        )
    voice = (
        np.zeros(0, np.float32)
        if encoder is None or like is None
        else encoder.embed(audio.read(like), like)
    )
    wave, failed = synthesiser.speak(symbols, voice, rate, seed)
    if failed:
        _warn_of_failures(1, 1)
    audio.write(out, wave)
    return wave


def synthesize(
    chain: Path,
    corpus: Path,
    out: Path,
    *,
    split: str | None = None,
    units: Path | None = None,
    speakers: Path | None = None,
    seed: int = 0,
    device: str = "cpu",
) -> list[str]:
    """Speak each text of a corpus, in the voice of its own recording, into `out`/<id>.wav.

    Args:
        units: of the corpus, for a chain of units, in place of the texts.

    Returns:
        The ids.

    Raises:
        InputError: no text, one without any symbol that the chain knows, or units for a chain of
            characters or none for one of units. Other symbols are left out, with a warning.
        ModelMismatchError: another speaker encoder, or units of another model.
    """
    model, whole = SpeechChain.load(chain, device), read_corpus(corpus)
    synthesiser = model.synthesiser
    part = whole if split is None else whole.select(split=split)
    encoder = _encoder(model, speakers, chain, device)
    written, unit_file = _written(part, synthesiser.spelling, units)
    warn_of_tags(written.values(), synthesiser.spelling.languages, f"corpus {whole.name!r}")
    texts = _read_all(written, synthesiser.spelling)
    if not texts:
        raise whole.without_texts("no texts to speak")
    chosen: Sequence[Utterance] = [u for u in part.utterances if u.id in texts]
    with atomic_folder(out, MARKER) as folder:
        n_failed = _spoken(model, whole, chosen, texts, encoder, folder, seed)
        speaker_names = sorted({str(u.speaker) for u in chosen})
        write_synthesis(
            Synthesis(
                inverter_id=model.id,
                method=_METHOD,
                units_id=whole.id if unit_file is None else unit_file.id,
                unit_method="texts" if unit_file is None else unit_file.method,
                corpus_id=whole.id,
                voice=speaker_names[0] if len(speaker_names) == 1 else EACH_ITS_OWN,
                sample_rate=audio.SAMPLE_RATE,
                step_ms=synthesiser.features.step_ms * 2,
                ids=tuple(texts),
                folder=folder,
                speaker_encoder_id=synthesiser.speaker_encoder_id or None,
            )
        )
    if n_failed:
        _warn_of_failures(n_failed, len(texts))
    return list(texts)


def _spoken(
    model: SpeechChain,
    corpus: Corpus,
    chosen: Sequence[Utterance],
    texts: Mapping[str, Ints],
    encoder: SpeakerEncoder | None,
    folder: Path,
    seed: int,
) -> int:
    """Speak texts into a folder, each in the voice of its recording; how many of them failed."""
    n_failed = 0
    waves = corpus.waves(chosen) if encoder is not None else iter(())
    for u in track(chosen, "Speaking"):
        voice = np.zeros(0, np.float32)
        if encoder is not None:
            voice = encoder.embed(next(waves), corpus.audio_path(u))
        wave, failed = model.synthesiser.speak(texts[u.id], voice, seed=seed)
        n_failed += failed
        audio.write(folder / f"{u.id}.wav", wave)
    return n_failed


def _written(
    part: Corpus, spelling: Symbols, units: Path | None
) -> tuple[dict[str, str], UnitFile | None]:
    """What is to be spoken of each utterance, and the unit file that it is from."""
    if not spelling.are_units and units is None:
        return {u.id: u.text for u in part.utterances if u.text}, None
    if units is None or not spelling.are_units:
        raise InputError(
            "the chain speaks units, and no units are given"
            if units is None
            else "the chain speaks texts, and units are given",
            remedy="give units=" if units is None else "leave units= out",
        )
    unit_file = read_units(units)
    unit_file.check_model(spelling.unit_model, "chain")
    return unit_texts(part, unit_file), unit_file


def _warn_of_failures(n_failed: int, n: int) -> None:
    warnings.warn(
        f"of {counted(n, 'text')}, {n_failed:,} {'was' if n_failed == 1 else 'were'} not spoken as "
        "written: the synthesiser's attention failed, or it didn't come to an end. It needs more "
        "training; a parallel synthesiser (tts='parallel') can't fail so",
        SynthesisWarning,
        stacklevel=3,
    )


def _read_all(written: Mapping[str, str], spelling: Symbols) -> dict[str, Ints]:
    """The symbols of texts that are to be spoken; unknown ones are left out, with a warning.

    A text that is spoken without a letter counts as it is when it is scored, and none is missing.
    """
    lost = {name: found for name, text in written.items() if (found := spelling.unknown(text))}
    parts = {name: spelling.without_unknown(written[name]) for name in lost}
    spoken = {n: p for n, p in parts.items() if any(spelling.names[i] != " " for i in p)}
    if spoken:
        warnings.warn(
            f"{counted(len(lost), 'text')} of {len(written):,} spoken without symbols that the "
            f"chain doesn't know: {listed(sorted({repr(s) for f in lost.values() for s in f}))}",
            SynthesisWarning,
            stacklevel=3,
        )
    return {
        name: spoken[name] if name in spoken else _read(text, spelling, name)
        for name, text in written.items()
    }


def _read(text: str, spelling: Symbols, name: str = "") -> Ints:
    """The symbols of a text that is to be spoken."""
    symbols = spelling.read(text)
    where = f"the text of {name!r}" if name else f"the text {text[:60]!r}"
    if symbols is None and spelling.languages and not text.lstrip().startswith("<"):
        raise InputError(
            f"{where} has no language",
            cause="the chain speaks several, which tags tell apart",
            remedy=f"begin it with a tag: '<{spelling.languages[0]}>{text[:20]}'",
        )
    if symbols is None:
        raise InputError(
            f"{where} has symbols that the chain doesn't know: "
            f"{listed([repr(s) for s in spelling.unknown(text)])}",
            cause="none of the pairs that it was trained on has them",
            remedy="write the text without them, or train the chain on texts that have them",
        )
    if not 0 < len(symbols) <= _MOST_SYMBOLS:
        raise InputError(
            f"{where} has {counted(len(symbols), 'symbol')}",
            cause="it has no letter or digit" if len(symbols) == 0 else "it is a whole document",
            remedy=f"give one sentence, of at most {_MOST_SYMBOLS} symbols",
        )
    return symbols


def _encoder(
    model: SpeechChain, speakers: Path | None, chain: Path, device: str
) -> SpeakerEncoder | None:
    """The chain's speaker encoder; None where it has one voice."""
    wanted = model.synthesiser.speaker_encoder_id
    if not wanted and speakers is None:
        return None
    if not wanted or speakers is None:
        raise InputError(
            "needs its speaker encoder" if wanted else "has one voice and no speaker encoder",
            path=chain,
            cause="it was trained with one" if wanted else "it was trained without one",
            remedy="give it with speakers=BUNDLE" if wanted else "leave speakers= out",
        )
    encoder = SpeakerEncoder.load(speakers, device)
    if encoder.id != wanted:
        raise ModelMismatchError(
            f"the speaker encoder is {short(encoder.id)}, but the chain was trained with "
            f"{short(wanted)}",
            cause="the encoder was trained again, or is another one",
            remedy="give the one that the chain was trained with",
        )
    return encoder
