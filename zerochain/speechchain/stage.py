"""A trained chain at work: transcribe a corpus, speak a text or a corpus's texts.

`transcribe` writes `transcripts.parquet` and measures the error rates where texts are known;
`speak` speaks one text, in the voice of a recording if the chain has voices; `synthesize` speaks
each text of a corpus in the voice of its own recording, as the field compares synthesisers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
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
from zerochain.formats.synthesis import MARKER, Synthesis, write_synthesis
from zerochain.formats.transcripts import Transcripts, write_transcripts
from zerochain.formats.units import read_units
from zerochain.listeners.speaker_encoder import SpeakerEncoder
from zerochain.metrics.text import untagged
from zerochain.metrics.translation import Estimate, error_rate
from zerochain.progress import track
from zerochain.speechchain.chain import SpeechChain
from zerochain.speechchain.ctc import Ints
from zerochain.speechchain.data import Symbols, tagged_names
from zerochain.speechchain.recogniser import BEAM
from zerochain.speechchain.sources import spelled_texts, unit_texts

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
    device: str = "cpu",
) -> Recognition:
    """Transcribe the recordings of a corpus, and compare with its texts where it has some.

    Args:
        units: the true units, for a chain of units.
        wavs: a folder of <id>.wav, which take the place of the recordings: how well synthesised
            speech is understood.
        beam: 1 is CTC's best path.

    Raises:
        InputError: not a chain, a recording that can't be read, or units for a chain of characters.
        ModelMismatchError: units of another model.
    """
    model, whole = SpeechChain.load(chain, device), read_corpus(corpus)
    part = whole if split is None else whole.select(split=split)
    recogniser = model.recogniser
    spelling = recogniser.spelling
    known = _references(part, spelling, units)
    extractor = SpectralExtractor(recogniser.features, str(recogniser.device))
    texts, confidence = {}, {}
    waves = part.waves() if wavs is None else (audio.read(wavs / f"{n}.wav") for n in part.ids)
    groups = [part.ids[i : i + _AT_ONCE] for i in range(0, len(part.ids), _AT_ONCE)]
    for names in track(groups, "Transcribing"):
        frames = [extractor([wave])[0] for wave in islice(waves, len(names))]
        for name, path in zip(names, recogniser.transcribe(frames, beam), strict=True):
            texts[name] = spelling.write(path.symbols)
            confidence[name] = float(np.exp(path.score)) if len(path.symbols) else 0.0
    transcripts = Transcripts(texts, confidence, model.id, whole.id)
    write_transcripts(out, transcripts)
    cer = wer = tagged_cer = None
    languages = spelling.languages
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
        transcripts,
        cer,
        wer,
        tagged_cer,
        sum(not text for text in texts.values()),
        sum(spelling.read(text) is None for text in (marked if languages else known).values()),
    )


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
    wave = synthesiser.speak(symbols, voice, rate, seed)
    audio.write(out, wave)
    return wave


def synthesize(
    chain: Path,
    corpus: Path,
    out: Path,
    *,
    split: str | None = None,
    speakers: Path | None = None,
    seed: int = 0,
    device: str = "cpu",
) -> list[str]:
    """Speak each text of a corpus, in the voice of its own recording, into `out`/<id>.wav.

    Returns:
        The ids.

    Raises:
        InputError: no text, or texts with symbols that the chain doesn't know.
        ModelMismatchError: another speaker encoder.
    """
    model, whole = SpeechChain.load(chain, device), read_corpus(corpus)
    synthesiser = model.synthesiser
    part = whole if split is None else whole.select(split=split)
    encoder = _encoder(model, speakers, chain, device)
    texts = {u.id: _read(u.text, synthesiser.spelling, u.id) for u in part.utterances if u.text}
    if not texts:
        raise InputError(
            f"corpus {whole.name!r} has no texts to speak",
            path=corpus,
            cause="it was imported without a table, or its column 'text' is empty",
            remedy="import it again with a table that has a column 'text'",
        )
    chosen: Sequence[Utterance] = [u for u in part.utterances if u.id in texts]
    with atomic_folder(out, MARKER) as folder:
        waves = whole.waves(chosen) if encoder is not None else iter(())
        for u in track(chosen, "Speaking"):
            voice = np.zeros(0, np.float32)
            if encoder is not None:
                voice = encoder.embed(next(waves), whole.audio_path(u))
            audio.write(folder / f"{u.id}.wav", synthesiser.speak(texts[u.id], voice, seed=seed))
        speaker_names = sorted({str(u.speaker) for u in chosen})
        write_synthesis(
            Synthesis(
                inverter_id=model.id,
                method=_METHOD,
                units_id=whole.id,
                unit_method="texts",
                corpus_id=whole.id,
                voice=speaker_names[0] if len(speaker_names) == 1 else "each its own",
                sample_rate=audio.SAMPLE_RATE,
                step_ms=synthesiser.features.step_ms * 2,
                ids=tuple(texts),
                folder=folder,
                speaker_encoder_id=synthesiser.speaker_encoder_id or None,
            )
        )
    return list(texts)


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
