"""What a speech chain reads: which utterances are pairs, which are texts alone or speech alone.

Utterances with a text are pairs and the others speech alone, unless an experiment hides some: then
each different text is, by its hash, a pair, a text alone or speech alone, whatever the corpus's
order and for all methods alike. What can't be learned from is left out and counted by its reason.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

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
) -> Iterator[tuple[Material, dict[str, str]]]:
    """Pairs, texts and speech, and the ids of the files they come from.

    Args:
        paired: the fraction of the different texts that stay paired; None for all.
        longest_s: longer utterances are left out, in seconds.
        languages: with which texts are tagged, if they are.
        encoder: gives each utterance the vector of its voice.
        waves: whether the samples are kept beside the frames.

    Raises:
        InputError: no text, fewer than two pairs that can be used, nothing beside them that the
            method needs, or where `languages` are given, texts that don't begin with a tag or a
            language without a pair.
    """
    whole = read_corpus(sources.corpus)
    part = whole if sources.split is None else whole.select(split=sources.split)
    unit_file = None if sources.units is None else read_units(sources.units)
    trained_on = {"corpus": whole.id}
    if unit_file is not None:
        trained_on["units"] = unit_file.id
    if encoder is not None:
        trained_on["speaker encoder"] = encoder.id
    excluded: Counter[str] = Counter()
    texts = _texts(part, unit_file, languages)
    roles = roles_of(texts, paired)
    if method == "all":
        shown = dict.fromkeys(texts, "pair")
    else:
        shown = {name: roles.get(name, "speech") for name in part.ids}
    of_pairs = [texts[name] for name, role in shown.items() if role == "pair"]
    symbols = _symbols(of_pairs, unit_file, languages)
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
            alone += lines_of(read_text(sources.texts))
            trained_on["texts"] = file_id(sources.texts)
    known = _known(alone, symbols, excluded)
    with ExitStack() as stack:
        audible = part.restrict([name for name, role in shown.items() if role != "text"])
        features = stack.enter_context(extracted(audible, SPEECH, device=device))
        usable = _usable(features, longest_s, excluded)
        pairs = _pairs(features, usable, shown, texts, symbols, encoder, excluded)
        pairs = replace(pairs, speech=_with_waves(pairs.speech, audible, waves))
        train, valid = _divided(pairs, roles)
        speech = _with_waves(_speech(features, [], encoder), audible, waves)
        if method in {"chain", "propagation"}:
            names = [name for name in usable if shown[name] == "speech"]
            speech = _with_waves(_speech(features, names, encoder), audible, waves)
            if sources.speech is not None:
                other = read_corpus(sources.speech)
                trained_on["speech"] = other.id
                more = stack.enter_context(extracted(other, SPEECH, device=device))
                names = _usable(more, longest_s, excluded)
                speech = speech.joined(_with_waves(_speech(more, names, encoder), other, waves))
            _check_unpaired(method, known, speech, sources.corpus, excluded)
        left = {reason: n for reason, n in excluded.items() if n}
        yield Material(symbols, train, valid, known, speech, left), trained_on


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


def _texts(corpus: Corpus, unit_file: UnitFile | None, languages: Sequence[str]) -> dict[str, str]:
    """The texts of the utterances that have one, normalised."""
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
        raise InputError(
            f"corpus {corpus.name!r} has no transcripts, so there is no pair to begin with",
            path=corpus.folder,
            cause="it was imported without a table, or its column 'text' is empty",
            remedy="import it again with a table that has a column 'text', or give units=",
        )
    if languages:
        _check_tags(corpus, known, languages)
    return known


def spelled_texts(corpus: Corpus, languages: Sequence[str]) -> dict[str, str]:
    """The texts of the utterances that have one, normalised, with the tags of these languages."""
    if not languages:
        return plain_texts(corpus)
    found = {u.id: with_tags(tagged(u.text or "", languages)) for u in corpus.utterances}
    return {name: text for name, text in found.items() if text}


def _check_tags(corpus: Corpus, texts: Mapping[str, str], languages: Sequence[str]) -> None:
    """Refuses texts that don't begin with a tag, and a language without any text."""
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
    if found and missing:
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


def _pairs(
    features: Features,
    usable: Sequence[str],
    shown: Mapping[str, str],
    texts: Mapping[str, str],
    symbols: Symbols,
    encoder: SpeakerEncoder | None,
    excluded: Counter[str],
) -> Pairs:
    names, kept = [], []
    for name in usable:
        if shown[name] != "pair":
            continue
        text = symbols.read(texts[name])
        if text is None or not fits(text, features[name]):
            excluded["too_short_for_their_texts"] += 1
            continue
        names.append(name)
        kept.append(text)
    if not kept:
        raise InputError(
            "no pair of speech and text can be used",
            cause=f"left out: {dict(excluded)}",
            remedy="give recordings with the texts that are spoken in them",
        )
    return Pairs.of(_speech(features, names, encoder), kept)


def _speech(features: Features, names: Sequence[str], encoder: SpeakerEncoder | None) -> Speech:
    frames = [features[name] for name in names]
    voices: NDArray[np.float32] = np.zeros((len(names), 0), np.float32)
    if encoder is not None:
        voices = np.zeros((len(names), encoder.dim), np.float32)
        if names:
            voices = encoder.embed_frames(frames)
    return Speech(tuple(names), frames, voices)


def _with_waves(speech: Speech, corpus: Corpus, wanted: bool) -> Speech:
    """Utterances with their samples, if these are wanted."""
    if not wanted:
        return speech
    names = set(speech.names)
    chosen = [u for u in corpus.utterances if u.id in names]
    waves = {u.id: wave for u, wave in zip(chosen, corpus.waves(chosen), strict=True)}
    return replace(speech, waves=[waves[name] for name in speech.names])


def _divided(pairs: Pairs, roles: Mapping[str, str]) -> tuple[Pairs, Pairs]:
    """Pairs to train on and held-out ones, which are the same for all methods."""
    own = [i for i, name in enumerate(pairs.speech.names) if roles[name] == "pair"]
    train, valid = divided(pairs.take(own))
    others = pairs.take([i for i, name in enumerate(pairs.speech.names) if roles[name] != "pair"])
    return train.joined(others), valid
