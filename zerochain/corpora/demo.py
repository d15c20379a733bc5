"""The demonstration corpus: the same sentences in two languages, several voices, exact phones.

Parallel sentences for travellers are drawn from a small grammar of our own (`grammar`) and spoken
by espeak-ng (`espeak`), which also gives the phone boundaries. They are in English and Spanish and,
for translation from several languages, in Portuguese. Everything follows from the seed, so the same
arguments give the same bytes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path

import numpy as np

import zerochain
from zerochain import audio
from zerochain.corpora.build import UNKNOWN
from zerochain.corpora.espeak import PAUSE, Speech, Voice, speak
from zerochain.corpora.grammar import Sentence, draw
from zerochain.errors import InputError, counted
from zerochain.formats.atomic import atomic_folder
from zerochain.formats.corpus import Corpus, Utterance, fill_corpus, read_corpus
from zerochain.formats.headers import write_json
from zerochain.formats.pairs import PAIRS_FILE, Pairs, write_pairs
from zerochain.formats.phones import Phone, Phones
from zerochain.progress import track

_KIND, _MARKER = "demo", "demo.json"
_MARGIN_S = 0.1
_ROOM = 5e-4
"""Standard deviation of the noise: a quiet room rather than digital silence, at -66 dB."""
_TEST_EVERY = 5
_UNSEEN_VOICES = 4
"""One of this many source voices is in split "test" alone."""

VOICES: dict[str, dict[str, Voice]] = {
    "en": {
        "en-m3": Voice("en-us+m3", 150, 45),
        "en-f1": Voice("en-us+f1", 160, 55),
        "en-m1": Voice("en-us+m1", 170, 40),
        "en-anika": Voice("en-us+anika", 150, 60),
        "en-m7": Voice("en-us+m7", 140, 50),
        "en-linda": Voice("en-us+linda", 165, 45),
        "en-ed": Voice("en-us+ed", 155, 35),
        "en-belinda": Voice("en-us+belinda", 145, 50),
    },
    "es": {
        "es-f1": Voice("es+f1", 150, 50),
        "es-m3": Voice("es+m3", 160, 40),
        "es-annie": Voice("es+Annie", 155, 55),
        "es-m8": Voice("es+m8", 145, 45),
        "es-steph": Voice("es+steph", 165, 50),
        "es-gene": Voice("es+Gene", 150, 40),
        "es-f4": Voice("es+f4", 140, 60),
        "es-mario": Voice("es+Mario", 160, 45),
    },
    "pt": {
        "pt-f2": Voice("pt-br+f2", 150, 50),
        "pt-m4": Voice("pt-br+m4", 160, 40),
        "pt-alicia": Voice("pt-br+Alicia", 155, 55),
        "pt-m5": Voice("pt-br+m5", 145, 45),
        "pt-andrea": Voice("pt-br+Andrea", 165, 50),
        "pt-lee": Voice("pt-br+Lee", 150, 40),
        "pt-f5": Voice("pt-br+f5", 140, 60),
        "pt-max": Voice("pt-br+max", 160, 45),
    },
}
"""The speakers of each language; the first one speaks half of the sentences."""
_LANGUAGES = {"en": "English", "es": "Spanish", "pt": "Portuguese"}
SIDES = ("en", "es")
"""The languages of every demonstration corpus."""
FURTHER = tuple(language for language in VOICES if language not in SIDES)
"""Languages that can be translated from as well."""


@dataclass(frozen=True)
class _Line:
    """A sentence, who speaks it, and in which split."""

    text: str
    speaker: str
    split: str


def make_demo(
    out: Path,
    *,
    n_pairs: int = 240,
    n_voices: int = 8,
    into: str | None = None,
    also: str | None = None,
    seed: int = 0,
) -> dict[Path, Pairs]:
    """Write two corpora, `out`/en and `out`/es, with gold phones, and `out`/pairs.parquet.

    The pairs are different sentences and every fifth is in split "test", so train and test share
    none. The first voice of a language speaks half of the sentences, enough to train an inverter
    on (over three minutes of split "train" with 240 pairs); the others take turns at the rest.
    The same arguments give the same bytes.

    Args:
        into: the language of a translation, "en" or "es". Its first voice speaks all of it, as
            an interpreter does; the other language's voices take turns, a quarter of them in
            split "test" alone, so that neither sentences nor voices are known there.
        also: a further language to translate from, "pt": the corpus `out`/pt says the same
            sentences, and `out`/pairs-pt.parquet pairs it with the language `into`.

    Returns:
        The pairs by their file, those of English and Spanish first.

    Raises:
        InputError: espeak-ng isn't installed, no such language, more voices or sentences than
            there are, or too few sentences for every voice to be in both splits.
    """
    most = min(len(voices) for voices in VOICES.values())
    if not 1 <= n_voices <= most:
        raise InputError(f"{counted(n_voices, 'voice')} asked for", remedy=f"ask for 1 to {most}")
    if into not in (None, *SIDES) or (into and n_voices < 2):
        raise InputError(
            f"translation into {into!r} by {counted(n_voices, 'voice')}",
            remedy=f"choose one of {', '.join(SIDES)}, and two voices or more",
        )
    if also is not None and (also not in FURTHER or into is None):
        raise InputError(
            f"also translation from {also!r}" + ("" if into else ", and into no language"),
            remedy=f"choose one of {', '.join(FURTHER)}, and a language to translate into (into)",
        )
    least = _TEST_EVERY * max(1, 2 * (n_voices - 1))
    if n_pairs < least:
        raise InputError(
            f"{counted(n_pairs, 'pair')} for {counted(n_voices, 'voice')}: too few for each "
            "voice to be in both splits",
            remedy=f"ask for at least {least} pairs, or for fewer voices",
        )
    sentences = draw(n_pairs, seed)
    options = {"n_pairs": n_pairs, "n_voices": n_voices, "into": into, "seed": seed}
    options |= {"also": also} if also else {}
    with atomic_folder(out, _MARKER) as temporary:
        corpora = {
            language: _write_side(temporary / language, sentences, n_voices, into, seed)
            for language in (*SIDES, *([also] if also else []))
        }
        pairs = {PAIRS_FILE: _paired(*(corpora[language] for language in SIDES))}
        if also and into:
            pairs[further_pairs(also)] = _paired(corpora[also], corpora[into])
        for name, made in pairs.items():
            write_pairs(temporary / name, made)
        write_json(temporary / _MARKER, _KIND, options)
    return {out / name: made for name, made in pairs.items()}


def further_pairs(language: str) -> str:
    """The name of the file that pairs a further language with the one that is translated into."""
    return Path(PAIRS_FILE).with_stem(f"{Path(PAIRS_FILE).stem}-{language}").name


def _paired(source: Corpus, target: Corpus) -> Pairs:
    return Pairs(tuple(zip(source.ids, target.ids, strict=True)), source.id, target.id)


def _write_side(
    folder: Path, sentences: list[Sentence], n_voices: int, into: str | None, seed: int
) -> Corpus:
    language = folder.name
    voices = dict(list(VOICES[language].items())[:n_voices])
    texts = [getattr(s, language) for s in sentences]
    if into is None:
        lines = _assign(texts, list(voices), language == "es")
    else:
        lines = _cast(texts, list(voices), interpreted=language == into)
    spoken = speak((line.text, voices[line.speaker]) for line in lines)
    named = [
        Utterance(f"{language}{i:04d}", "", UNKNOWN, line.speaker, split=line.split, text=line.text)
        for i, line in enumerate(lines)
    ]
    corpus = Corpus(
        name=f"demo-{language}",
        utterances=tuple(named),
        language=_LANGUAGES[language],
        source=f"espeak-ng; {_main_speaker(lines)}",
    )
    fill_spoken(folder, corpus, track(spoken, f"Speaking {_LANGUAGES[language]}", len(lines)), seed)
    return read_corpus(folder)


def fill_spoken(folder: Path, corpus: Corpus, spoken: Iterable[Speech], seed: int) -> None:
    """Write a corpus of what was spoken, as recordings in `folder`/audio, with its phones.

    Args:
        corpus: its utterances without recordings, in the order of `spoken`.
        seed: of the rooms' noise.
    """
    (folder / "audio").mkdir(parents=True)
    utterances, phones = [], {}
    for i, (u, speech) in enumerate(zip(corpus.utterances, spoken, strict=True)):
        wave, phones[u.id] = recorded(speech, np.random.default_rng([seed, i]))
        path = folder / "audio" / f"{u.id}.flac"
        path.write_bytes(audio.encoded(path, wave))
        utterances.append(replace(u, audio=path.name, duration=len(wave) / audio.SAMPLE_RATE))
    filled = replace(
        corpus,
        utterances=tuple(utterances),
        audio_root="audio",
        licence="CC0: made on this machine",
        record={"zerochain": zerochain.__version__},
    )
    fill_corpus(folder, filled, Phones(phones, source="espeak-ng's phoneme events"))


def _assign(texts: Sequence[str], speakers: list[str], in_blocks: bool) -> list[_Line]:
    """Half of each split to the first speaker, the rest to the others in turn.

    The first speaker of one side takes every other sentence, that of the other side (`in_blocks`)
    two of every four, so that each speaks with and without the other.
    """
    turns = {"train": count(), "test": count()}
    rests = {"train": count(), "test": count()}

    def line(i: int, text: str) -> _Line:
        split = _split(i)
        turn = next(turns[split]) // (2 if in_blocks else 1)
        first = turn % 2 == 0 or len(speakers) == 1
        others = speakers[1:] or speakers
        speaker = speakers[0] if first else others[next(rests[split]) % len(others)]
        return _Line(text, speaker, split)

    return [line(i, text) for i, text in enumerate(texts)]


def _cast(texts: Sequence[str], speakers: list[str], *, interpreted: bool) -> list[_Line]:
    """All sentences to the first speaker, or to all in turn, the last ones in split "test" alone.

    Every split has its own turns: sentences of one kind come at regular places.
    """
    n_unseen = max(1, len(speakers) // _UNSEEN_VOICES)
    known, unseen = speakers[:-n_unseen], speakers[-n_unseen:]
    casts = {"train": known, "test": unseen}
    if interpreted:
        casts = dict.fromkeys(casts, speakers[:1])
    turns = {"train": count(), "test": count()}

    def line(i: int, text: str) -> _Line:
        cast = casts[_split(i)]
        return _Line(text, cast[next(turns[_split(i)]) % len(cast)], _split(i))

    return [line(i, text) for i, text in enumerate(texts)]


def _split(i: int) -> str:
    return "test" if i % _TEST_EVERY == _TEST_EVERY - 1 else "train"


def _main_speaker(lines: Sequence[_Line]) -> str:
    """The best speaker to train an inverter on, for people."""
    speaker, n = Counter(line.speaker for line in lines).most_common(1)[0]
    part = "all" if n == len(lines) else "half" if 2 * n >= len(lines) else counted(n, "sentence")
    return f"{speaker} speaks {part} of it (--voice {speaker})"


def recorded(speech: Speech, rng: np.random.Generator) -> tuple[audio.Waveform, list[Phone]]:
    """Speech at 16 kHz in a quiet room, with a margin before and after, and its phones."""
    wave = audio.resample(speech.wave, speech.sample_rate, audio.SAMPLE_RATE)
    margin = np.zeros(round(_MARGIN_S * audio.SAMPLE_RATE), np.float32)
    wave = np.concatenate([margin, wave, margin])
    wave += _ROOM * rng.standard_normal(len(wave), np.float32)
    phones = list(_shifted(speech.phones, len(wave) / audio.SAMPLE_RATE))
    return wave, phones


def _shifted(phones: list[Phone], duration: float) -> Iterator[Phone]:
    """The phones, with the margins joined to pauses that are already there."""
    inner = [Phone(p.onset + _MARGIN_S, p.offset + _MARGIN_S, p.phone) for p in phones]
    if inner[0].phone == PAUSE:
        inner = inner[1:]
    if inner[-1].phone == PAUSE:
        inner = inner[:-1]
    yield Phone(0.0, inner[0].onset, PAUSE)
    yield from inner
    yield Phone(inner[-1].offset, duration, PAUSE)
