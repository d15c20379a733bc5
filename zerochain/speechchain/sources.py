"""What a speech chain reads: which utterances are pairs, which are texts alone or speech alone.

Utterances with a text are pairs and the others speech alone, unless an experiment hides some: then
each different text is, by its hash, a pair, a text alone or speech alone, whatever the corpus's
order and for all methods alike. What can't be learned from is left out and counted by its reason.
"""

from __future__ import annotations

import hashlib
import re
import warnings
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from zerochain.audio import Waveform
from zerochain.errors import InputError, counted, listed
from zerochain.features.extraction import extracted
from zerochain.formats.corpus import Corpus, read_corpus
from zerochain.formats.features import Features
from zerochain.formats.identity import file_id
from zerochain.formats.text_files import lines_of, read_text
from zerochain.formats.units import UnitFile, read_units
from zerochain.listeners.recogniser import SPEECH, plain_texts
from zerochain.listeners.speaker_encoder import SpeakerEncoder
from zerochain.metrics.text import tagged, with_tags
from zerochain.speechchain.ctc import Ints
from zerochain.speechchain.data import (
    Material,
    Pairs,
    Speech,
    Symbols,
    divided,
    fits,
    tagged_names,
)


class TagWarning(UserWarning):
    """Texts are tagged, and tags are read as letters."""


_TAG = re.compile(r"<([A-Za-z][\w-]*)>")
Method = Literal["chain", "propagation", "paired", "all"]
_SHORTEST_FRAMES = 10
_OF_TEXTS = {
    "texts_with_unknown_symbols": ("text with unknown symbols", "texts with unknown symbols"),
    "empty_texts": ("empty text", "empty texts"),
}
"""Reasons to leave texts alone out, in words: of one text and of several."""


@dataclass(frozen=True)
class Sources:
    """What a chain learns from.

    Attributes:
        corpus: its utterances with a text are pairs, the others speech alone.
        split: of it.
        valid_split: the split of it whose pairs are held out, such as sentences that switch between
            languages; None holds out a tenth of the pairs.
        units: of the corpus, which take the place of the texts.
        texts: a file of texts alone, one per line.
        speech: a corpus whose recordings are speech alone, whether or not it has texts.
        speakers: a speaker encoder's bundle, for many voices.
        start: a chain that was trained on the pairs, to start from.
    """

    corpus: Path
    split: str | None = None
    units: Path | None = None
    texts: Path | None = None
    speech: Path | None = None
    speakers: Path | None = None
    start: Path | None = None
    valid_split: str | None = None


@contextmanager
def read_material(
    sources: Sources,
    method: Method,
    *,
    paired: float | None,
    longest_s: float,
    languages: Sequence[str] = (),
    encoder: SpeakerEncoder | None,
    device: str,
    waves: bool = False,
    speech_alone: bool = True,
) -> Iterator[tuple[Material, dict[str, str]]]:
    """Pairs, texts and speech, and the ids of the files they come from.

    Args:
        paired: the fraction of the different texts that stay paired; None for all.
        longest_s: longer utterances are left out, in seconds.
        languages: with which texts are tagged, if they are.
        encoder: gives each utterance the vector of its voice.
        waves: whether the samples are kept beside the frames.
        speech_alone: False for what learns from texts: speech without a text isn't read.

    Raises:
        InputError: no text, fewer than two pairs that can be used, none of them held out, nothing
            beside them that the method needs, or where `languages` are given, texts that don't
            begin with a tag or a language without a pair.
    """
    excluded: Counter[str] = Counter()
    plan = _planned(sources, method, paired, languages, excluded)
    trained_on = plan.trained_on
    if encoder is not None:
        trained_on["speaker encoder"] = encoder.id
    known = _known(plan.alone, plan.symbols, excluded)
    speech_alone = speech_alone and method in {"chain", "propagation"}
    unread = {"text"} if speech_alone else {"text", "speech"}
    with ExitStack() as stack:

        def recordings(corpus: Corpus) -> _Recordings:
            """A corpus's recordings, with the vectors of their voices and perhaps their samples."""
            features = stack.enter_context(extracted(corpus, SPEECH, device=device))
            usable = _usable(features, longest_s, excluded)
            return _Recordings(corpus, features, usable, encoder, waves)

        own = recordings(
            plan.corpus.restrict([n for n, r in plan.roles.items() if r not in unread])
        )
        train, valid = _divided(_pairs(own, plan, excluded), plan)
        speech = own.speech([])
        if speech_alone:
            speech = own.speech([name for name in own.usable if plan.roles[name] == "speech"])
            if sources.speech is not None:
                other = recordings(read_corpus(sources.speech))
                trained_on["speech"] = other.corpus.id
                speech = speech.joined(other.speech(other.usable))
            _check_unpaired(method, known, speech, sources.corpus, excluded)
        left = {reason: n for reason, n in excluded.items() if n}
        yield Material(plan.symbols, train, valid, known, speech, left), trained_on


@dataclass(frozen=True)
class _Plan:
    """Which utterance is what, before any recording is read.

    Attributes:
        corpus: of the split that is learned from, and of the one that is held out.
        texts: those that are known, normalised.
        roles: utterance → "pair", "text" or "speech" for the method at hand, or "held out".
        own: utterances that are pairs for all methods, of which some are held out where no split
            is: the bound is given more pairs, but the same ones are held out.
        alone: texts without speech, as they are written.
        trained_on: the ids of the files.
    """

    corpus: Corpus
    texts: Mapping[str, str]
    roles: Mapping[str, str]
    own: frozenset[str]
    symbols: Symbols
    alone: Sequence[str]
    trained_on: dict[str, str]


def _planned(
    sources: Sources,
    method: Method,
    paired: float | None,
    languages: Sequence[str],
    excluded: Counter[str],
) -> _Plan:
    whole = read_corpus(sources.corpus)
    unit_file = None if sources.units is None else read_units(sources.units)
    trained_on = {"corpus": whole.id}
    if unit_file is not None:
        trained_on["units"] = unit_file.id
    part, held = _parts(whole, sources)
    texts = _texts(part, unit_file, languages)
    roles = roles_of(texts, paired)
    own = frozenset(name for name, role in roles.items() if role == "pair")
    shown = {name: roles.get(name, "speech") for name in part.ids}
    if method == "all":
        shown = dict.fromkeys(texts, "pair")
    symbols = _symbols([texts[n] for n, r in shown.items() if r == "pair"], unit_file, languages)
    if lost := {*languages} - {*symbols.languages}:
        raise InputError(
            f"no pair is tagged with {listed(sorted(lost))}",
            path=sources.corpus,
            cause=f"paired={paired} leaves too few pairs",
            remedy="give more pairs in each language, or leave it out of languages=",
        )
    alone: list[str] = []
    if method == "chain":
        alone = [texts[name] for name, role in shown.items() if role == "text"]
        if sources.texts is not None:
            lines = lines_of(read_text(sources.texts))
            warn_of_tags(lines, languages, sources.texts.name)
            alone += lines
            trained_on["texts"] = file_id(sources.texts)
    if held is not None:
        spoken = {*texts.values()}
        of_held = _texts(held, unit_file, languages, every=False)
        others = {name: text for name, text in of_held.items() if text not in spoken}
        excluded["held_out_texts_that_are_learned"] += len(of_held) - len(others)
        shown |= dict.fromkeys(others, "held out")
        texts |= others
    corpus = part if held is None else whole.restrict([*part.ids, *held.ids])
    return _Plan(corpus, texts, shown, own, symbols, alone, trained_on)


def _parts(whole: Corpus, sources: Sources) -> tuple[Corpus, Corpus | None]:
    """What is learned from, and the split that is held out, if there is one."""
    if sources.valid_split is None:
        return whole if sources.split is None else whole.select(split=sources.split), None
    held = whole.select(split=sources.valid_split)
    if sources.split is not None and sources.split != sources.valid_split:
        return whole.select(split=sources.split), held
    rest = [name for name in whole.ids if name not in {*held.ids}]
    if sources.split is not None or not rest:
        raise InputError(
            f"valid_split={sources.valid_split!r} leaves nothing to learn from",
            path=sources.corpus,
            cause="it is the split that is trained on, or the corpus's only one",
            remedy="give split= and valid_split= two different splits of the corpus",
        )
    return whole.restrict(rest), held


@dataclass(frozen=True, eq=False)
class _Recordings:
    """Recordings as frames, those of them that can be used, and how more is found out of them."""

    corpus: Corpus
    features: Features
    usable: Sequence[str]
    encoder: SpeakerEncoder | None
    waves: bool

    def speech(self, names: Sequence[str]) -> Speech:
        """Some of the utterances."""
        frames = [self.features[name] for name in names]
        voices: NDArray[np.float32] = np.zeros((len(names), 0), np.float32)
        if self.encoder is not None:
            voices = np.zeros((len(names), self.encoder.dim), np.float32)
            if names:
                voices = self.encoder.embed_frames(frames)
        return Speech(tuple(names), frames, voices, self._samples(names) if self.waves else None)

    def _samples(self, names: Sequence[str]) -> list[Waveform]:
        wanted = {*names}
        chosen = [u for u in self.corpus.utterances if u.id in wanted]
        found = {u.id: wave for u, wave in zip(chosen, self.corpus.waves(chosen), strict=True)}
        return [found[name] for name in names]


def _check_unpaired(
    method: Method,
    texts: Sequence[Ints],
    speech: Speech,
    corpus: Path,
    excluded: Mapping[str, int],
) -> None:
    """Refuses a loop of pairs alone."""
    lost = [counted(n, *_OF_TEXTS[why]) for why, n in excluded.items() if n and why in _OF_TEXTS]
    if method == "chain" and not texts and not len(speech) and lost:
        raise InputError(
            "none of the texts without speech can be used, and there is no speech without texts",
            path=corpus,
            cause=f"left out: {', '.join(lost)}",
            remedy="give texts with the characters and the tags of the pairs, one per line",
        )
    if method == "chain" and not texts and not len(speech):
        raise InputError(
            "there is neither speech without texts nor texts without speech",
            path=corpus,
            cause="every utterance has its text",
            remedy="give texts= or speech=, hide some for an experiment with paired=0.3, or "
            "train on the pairs alone with method='paired'",
        )
    if method == "propagation" and not len(speech):
        raise InputError(
            "there is no speech without texts to propagate labels to",
            path=corpus,
            cause="every utterance has its text",
            remedy="give speech=, hide some texts with paired=0.3, or use method='paired'",
        )


def _texts(
    corpus: Corpus,
    unit_file: UnitFile | None,
    languages: Sequence[str],
    *,
    every: bool = True,
) -> dict[str, str]:
    """The texts of the utterances that have one, normalised; `every` language has to be there."""
    if unit_file is not None:
        if languages:
            raise InputError(
                "units have no language",
                cause="languages= only applies to texts",
                remedy="leave languages= or units= out",
            )
        known = unit_texts(corpus, unit_file)
        if not known:
            raise InputError(
                f"holds units of none of the utterances of corpus {corpus.name!r}",
                path=corpus.folder,
                cause="they are of another corpus or split",
                remedy="encode this corpus",
            )
        return known
    known = spelled_texts(corpus, languages)
    if not known:
        raise corpus.without_texts(
            "no transcripts, so there is no pair to begin with", or_else=", or give units="
        )
    if languages:
        _check_tags(corpus, known, languages, every=every)
    return known


def spelled_texts(corpus: Corpus, languages: Sequence[str]) -> dict[str, str]:
    """The texts of the utterances that have one, normalised, with the tags of these languages.

    Warns of tags of other languages, which are read as letters.
    """
    warn_of_tags((u.text or "" for u in corpus.utterances), languages, f"corpus {corpus.name!r}")
    if not languages:
        return plain_texts(corpus)
    found = {u.id: with_tags(tagged(u.text or "", languages)) for u in corpus.utterances}
    return {name: text for name, text in found.items() if text}


def warn_of_tags(texts: Iterable[str], languages: Collection[str], where: Path | str) -> None:
    """Warn if texts have tags of languages that aren't among `languages`."""
    found = [tags for text in texts if (tags := {*_TAG.findall(text)} - {*languages})]
    if found:
        all_tags = listed([f"<{tag}>" for tag in sorted(set().union(*found))])
        warnings.warn(
            f"{counted(len(found), 'text')} of {where} with tags that are read as letters: "
            f"{all_tags}. If they say in which language the text goes on, name all of them in "
            "languages= when the chain is trained; otherwise leave them out of the texts",
            TagWarning,
            stacklevel=3,
        )


def _check_tags(
    corpus: Corpus, texts: Mapping[str, str], languages: Sequence[str], *, every: bool
) -> None:
    """Refuses texts that don't begin with a tag, and perhaps a language without any text."""
    found = {name: tagged(text, languages) for name, text in texts.items()}
    untold = [name for name, text in found.items() if not text[0][1]]
    tags = " or ".join(f"<{language}>" for language in languages)
    if untold:
        raise InputError(
            f"{counted(len(untold), 'text')} of corpus {corpus.name!r} begin without the tag of a "
            f"language: {listed(untold)}",
            path=corpus.folder,
            cause=f"languages= says that texts are tagged with {tags}",
            remedy="write '<en>where is the <es>mercado', from the first word on",
        )
    missing = {*languages} - {language for text in found.values() for _, language in text}
    if every and found and missing:
        raise InputError(
            f"no text of corpus {corpus.name!r} is tagged with {listed(sorted(missing))}",
            path=corpus.folder,
            cause="the language's name is misspelled, or its texts are of another split",
            remedy="name the languages of the texts in languages=",
        )


def unit_texts(corpus: Corpus, unit_file: UnitFile) -> dict[str, str]:
    """The units of the utterances that have some, repeats merged and separated by spaces."""
    there = [name for name in corpus.ids if name in unit_file.units]
    return {name: " ".join(map(str, unit_file.segments(name)[0])) for name in there}


def roles_of(texts: Mapping[str, str], paired: float | None) -> dict[str, str]:
    """Utterance → "pair", or for experiments "text" or "speech"; equal texts have one role."""
    if paired is None:
        return dict.fromkeys(texts, "pair")
    distinct = sorted(set(texts.values()), key=lambda t: hashlib.sha256(t.encode()).digest())
    n_pairs = max(2, round(paired * len(distinct)))
    n_texts = (len(distinct) - n_pairs + 1) // 2
    of = {
        text: "pair" if i < n_pairs else "text" if i < n_pairs + n_texts else "speech"
        for i, text in enumerate(distinct)
    }
    return {name: of[text] for name, text in texts.items()}


def _symbols(texts: Sequence[str], unit_file: UnitFile | None, languages: Sequence[str]) -> Symbols:
    """The characters of texts, each of a language if there are several, or all units of a model."""
    if unit_file is not None:
        return Symbols(tuple(map(str, range(unit_file.n_units))), unit_file.model_id)
    if languages:
        names = {name for text in texts for name in tagged_names(text, languages)}
        return Symbols(tuple(sorted(names)))
    return Symbols(tuple(sorted(set("".join(texts)))))


def _known(texts: Sequence[str], symbols: Symbols, excluded: Counter[str]) -> list[Ints]:
    """The symbols of texts alone; texts that are empty or have others are counted."""
    known = []
    for text in texts:
        read = symbols.read(text)
        if read is None:
            excluded["texts_with_unknown_symbols"] += 1
        elif len(read) == 0:
            excluded["empty_texts"] += 1
        else:
            known.append(read)
    return known


def _usable(features: Features, longest_s: float, excluded: Counter[str]) -> list[str]:
    """The utterances that can be learned from; the others are counted."""
    longest = longest_s * 1000 / features.step_ms
    kept = []
    for name in features.ids:
        frames = features[name]
        if len(frames) > longest:
            excluded["too_long"] += 1
        elif len(frames) < _SHORTEST_FRAMES:
            excluded["too_short"] += 1
        elif np.ptp(frames) == 0:
            excluded["silent"] += 1
        else:
            kept.append(name)
    return kept


def _pairs(recordings: _Recordings, plan: _Plan, excluded: Counter[str]) -> Pairs:
    """The pairs that can be used, those that are held out included; the others are counted."""
    names, kept = [], []
    for name in recordings.usable:
        if plan.roles[name] not in {"pair", "held out"}:
            continue
        text = plan.symbols.read(plan.texts[name])
        if text is None:  # of the split that is held out
            excluded["held_out_texts_with_unknown_symbols"] += 1
        elif not fits(text, recordings.features[name]):
            excluded["too_short_for_their_texts"] += 1
        else:
            names.append(name)
            kept.append(text)
    if not kept:
        raise InputError(
            "no pair of speech and text can be used",
            cause=f"left out: {dict(excluded)}",
            remedy="give recordings with the texts that are spoken in them",
        )
    return Pairs.of(recordings.speech(names), kept)


def _divided(pairs: Pairs, plan: _Plan) -> tuple[Pairs, Pairs]:
    """Pairs to train on and held-out ones, which are the same for all methods."""
    names = pairs.speech.names
    held = [i for i, name in enumerate(names) if plan.roles[name] == "held out"]
    rest = [i for i, name in enumerate(names) if plan.roles[name] != "held out"]
    if "held out" in plan.roles.values():
        if held and rest:
            return pairs.take(rest), pairs.take(held)
        raise InputError(
            f"no pair of {'the held-out split' if rest else 'the split to train on'} can be used",
            path=plan.corpus.folder,
            cause="its texts have symbols that no other pair has, or are those that are learned",
            remedy="hold out other sentences, with the symbols of the pairs",
        )
    train, valid = divided(pairs.take([i for i in rest if names[i] in plan.own]))
    return train.joined(pairs.take([i for i in rest if names[i] not in plan.own])), valid
