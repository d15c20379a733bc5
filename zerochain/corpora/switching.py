"""A corpus whose sentences switch between two languages, for the speech chain.

The demonstration's sentences, from which `make_switching` makes what Nakayama et al. (2018) start
from: pairs of speech and text in each language alone, and sentences that begin in one language and
end in the other, as speech without texts and as texts without speech. Each voice speaks both
languages, so that what changes within a sentence is the language and not the speaker. Texts are
tagged (`zerochain.metrics.text`): "<en>Where is <es>el mercado?".
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import numpy as np

from zerochain.corpora.build import UNKNOWN
from zerochain.corpora.demo import VOICES, fill_spoken
from zerochain.corpora.espeak import PAUSE, Speech, Voice, speak
from zerochain.corpora.grammar import draw_marked
from zerochain.errors import InputError, counted
from zerochain.formats.atomic import atomic_folder
from zerochain.formats.corpus import Corpus, Utterance, read_corpus
from zerochain.formats.headers import write_json
from zerochain.formats.phones import Phone
from zerochain.progress import track

CORPUS, TEXTS = "corpus", "texts.txt"
"""What `make_switching` writes."""
LANGUAGES = ("en", "es")
BILINGUAL: dict[str, dict[str, Voice]] = {
    name.removeprefix("en-"): {
        "en": voice,
        "es": replace(voice, voice=voice.voice.replace("en-us", "es")),
    }
    for name, voice in VOICES["en"].items()
}
"""Speakers of both languages: one voice of espeak-ng, with the sounds of either."""
_KIND, _MARKER = "switching", "switching.json"
_FADE_S = 0.005
"""Of the two ends that meet within a sentence, so that they don't click."""
_CLOSURE_S = 0.06
"""Of espeak-ng's silence before a part: with none, a part would begin with a stop without closure,
which no sentence of one language has."""


@dataclass(frozen=True)
class _Line:
    """A sentence in parts, each (language, text), and what it is for."""

    parts: tuple[tuple[str, str], ...]
    split: str
    paired: bool
    speaker: str = ""
    """"" of a text without speech."""

    @property
    def text(self) -> str:
        return "".join(f"<{language}>{text}" for language, text in self.parts)


def make_switching(
    out: Path,
    *,
    n_pairs: int = 300,
    n_unpaired: int = 600,
    n_test: int = 100,
    n_voices: int = 4,
    n_valid: int = 0,
    seed: int = 0,
) -> Corpus:
    """Write the corpus `out`/corpus, with gold phones, and `out`/texts.txt.

    The corpus's split "train" has the pairs in each language, and mixed sentences without texts;
    texts.txt has other mixed sentences, one per line. "valid-mixed" has mixed sentences with their
    texts, to decide when a training stops. "test-en", "test-es" and "test-mixed" have
    sentences that are in none of these, by the same voices. Every voice speaks all of it in turn.
    The same arguments give the same bytes.

    Args:
        n_pairs: sentences in each language that have speech and text.
        n_unpaired: mixed sentences of speech alone, and as many of text alone.
        n_test: sentences of each test split.
        n_valid: mixed sentences of the split "valid-mixed". With another number, the other splits
            have other sentences.

    Raises:
        InputError: espeak-ng isn't installed, or more voices or sentences than there are.
    """
    if not 1 <= n_voices <= len(BILINGUAL):
        raise InputError(
            f"{counted(n_voices, 'voice')} asked for", remedy=f"ask for 1 to {len(BILINGUAL)}"
        )
    for n, what in ((n_pairs, "pair"), (n_unpaired, "sentence alone"), (n_test, "test sentence")):
        if n < 1:
            raise InputError(f"{counted(n, what)} asked for", remedy="ask for at least one")
    if n_valid < 0:
        raise InputError(f"n_valid={n_valid} is negative", remedy="use 0 for none, or more")
    options = {
        "n_pairs": n_pairs,
        "n_unpaired": n_unpaired,
        "n_test": n_test,
        "n_voices": n_voices,
        **({"n_valid": n_valid} if n_valid else {}),
        "seed": seed,
    }
    lines = _lines(n_pairs, n_unpaired, n_test, n_valid, list(BILINGUAL)[:n_voices], seed)
    with atomic_folder(out, _MARKER) as temporary:
        _write(temporary / CORPUS, [line for line in lines if line.speaker], seed)
        texts = [line.text for line in lines if not line.speaker]
        (temporary / TEXTS).write_text("\n".join(texts) + "\n", encoding="utf-8")
        write_json(temporary / _MARKER, _KIND, options)
    return read_corpus(out / CORPUS)


def _lines(
    n_pairs: int, n_unpaired: int, n_test: int, n_valid: int, speakers: Sequence[str], seed: int
) -> list[_Line]:
    """Sentences in random roles: alone in a language, or in both, which begins in turn."""
    roles = [
        *([("en", "train", True)] * n_pairs + [("es", "train", True)] * n_pairs),
        *([("mixed", "train", False)] * n_unpaired + [("mixed", "", True)] * n_unpaired),
        *((kind, f"test-{kind}", True) for kind in (*LANGUAGES, "mixed") for _ in range(n_test)),
        *[("mixed", "valid-mixed", True)] * n_valid,
    ]
    sentences = draw_marked(len(roles), seed)
    turns: Counter[tuple[str, str, bool]] = Counter()
    lines = []
    for sentence, place in zip(
        sentences, np.random.default_rng(seed).permutation(len(roles)), strict=True
    ):
        kind, split, paired = role = roles[place]
        turn = turns[role]
        turns[role] += 1
        if kind == "mixed":
            order = LANGUAGES[:: 1 if turn % 2 else -1]
            parts = tuple(
                (language, getattr(part, language))
                for language, part in zip(order, sentence.parts, strict=True)
            )
        else:
            parts = ((kind, getattr(sentence.whole, kind)),)
        # Two turns each: a voice would otherwise begin all its sentences in one language.
        speaker = speakers[turn // 2 % len(speakers)] if split else ""
        lines.append(_Line(parts, split, paired, speaker))
    return lines


def _write(folder: Path, lines: Sequence[_Line], seed: int) -> None:
    # With a comma, as the voice falls only at the end of a sentence.
    spoken = speak(
        (text.strip() + ("," if text.endswith(" ") else ""), BILINGUAL[line.speaker][language])
        for line in lines
        for language, text in line.parts
    )
    utterances = tuple(
        Utterance(
            f"{line.split}-{i:04d}",
            "",
            UNKNOWN,
            line.speaker,
            split=line.split,
            text=line.text if line.paired else None,
        )
        for i, line in enumerate(lines)
    )
    corpus = Corpus("switching", utterances, language="English and Spanish", source="espeak-ng")
    whole = (joined(list(islice(spoken, len(line.parts)))) for line in lines)
    fill_spoken(folder, corpus, track(whole, "Speaking", len(lines)), seed)


def joined(parts: Sequence[Speech]) -> Speech:
    """Parts of a sentence as one, without the pauses where they meet; all of one sample rate.

    A later part keeps up to 60 ms of the silence before its first phone, as the phone's closure.
    """
    if len(parts) == 1:
        return parts[0]
    rate = parts[0].sample_rate
    fade = np.linspace(0, 1, round(_FADE_S * rate), dtype=np.float32)
    waves, phones = [], []
    start_s = 0.0
    for i, part in enumerate(parts):
        inner = list(_inner(part.phones, first=i == 0, last=i == len(parts) - 1))
        if i > 0:
            inner[0] = inner[0]._replace(onset=max(0.0, inner[0].onset - _CLOSURE_S))
        begin, end = (round(time * rate) for time in (inner[0].onset, inner[-1].offset))
        wave = part.wave[begin:end].copy()
        if i > 0:
            wave[: len(fade)] *= fade[: len(wave)]
        if i < len(parts) - 1:
            wave[-len(fade) :] *= fade[::-1][-len(wave) :]
        shift = start_s - begin / rate
        phones += [Phone(p.onset + shift, p.offset + shift, p.phone) for p in inner]
        waves.append(wave)
        start_s += len(wave) / rate
    return Speech(np.concatenate(waves), rate, phones)


def _inner(phones: Sequence[Phone], *, first: bool, last: bool) -> Iterator[Phone]:
    """The phones of a part without the pause before it or after it, within the sentence."""
    for i, phone in enumerate(phones):
        kept = (first or i > 0) and (last or i < len(phones) - 1)
        if kept or phone.phone != PAUSE:
            yield phone
