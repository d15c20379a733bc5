"""What a captioner learns from: pictures with texts, with transcribed speech, and texts alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from zerochain.errors import InputError, ModelMismatchError, counted
from zerochain.features.extraction import extracted
from zerochain.formats.corpus import Corpus
from zerochain.formats.features import Features
from zerochain.formats.identity import check_same_ids
from zerochain.speechchain.chain import SpeechChain
from zerochain.speechchain.ctc import Ints
from zerochain.speechchain.data import Frames, Symbols
from zerochain.speechchain.sources import roles_of, spelled_texts
from zerochain.training.checkpoint import fingerprint
from zerochain.training.recipe import validation_ids

CaptionMethod = Literal["chain", "paired", "all"]
_VALID = 0.1


@dataclass(frozen=True, eq=False)
class Captioned:
    """Pictures (R, D) with their texts, and how much each pair counts."""

    names: tuple[str, ...]
    pictures: list[Frames]
    texts: list[Ints]
    weights: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.names)

    def take(self, rows: Sequence[int]) -> Captioned:
        """These pairs."""
        return Captioned(
            tuple(self.names[i] for i in rows),
            [self.pictures[i] for i in rows],
            [self.texts[i] for i in rows],
            self.weights[list(rows)],
        )

    def joined(self, other: Captioned) -> Captioned:
        """Both sets of pairs."""
        return Captioned(
            self.names + other.names,
            self.pictures + other.pictures,
            self.texts + other.texts,
            np.concatenate([self.weights, other.weights]),
        )


@dataclass(frozen=True, eq=False)
class CaptionMaterial:
    """All that a captioner learns from; `spoken` has transcripts of speech as texts."""

    symbols: Symbols
    train: Captioned
    valid: Captioned
    spoken: Captioned
    texts: list[Ints]
    excluded: Mapping[str, int]

    @cached_property
    def gallery(self) -> list[Frames]:
        """The pictures among which one is found for a text."""
        return self.train.pictures + self.spoken.pictures

    @property
    def digest(self) -> str:
        """SHA-256 of what is paired with what."""
        return fingerprint(
            {
                "symbols": self.symbols.names,
                "texts": [text.tolist() for text in self.texts],
                **{
                    name: [one.names, [t.tolist() for t in one.texts], one.weights.tolist()]
                    for name, one in (
                        ("train", self.train),
                        ("valid", self.valid),
                        ("spoken", self.spoken),
                    )
                },
            }
        )


def read_captioned(
    corpus: Corpus,
    pictures: Features,
    chain: SpeechChain,
    split: str | None,
    device: str,
    *,
    method: CaptionMethod,
    paired: float | None,
    min_confidence: float,
) -> CaptionMaterial:
    """Pairs, pictures with transcribed speech, and texts alone, of one split of a corpus.

    Args:
        method, paired, min_confidence: as in the captioner's config.

    Raises:
        InputError: no text, fewer than two different ones that the chain can spell, a chain of
            units or one that was trained on texts which are hidden here, or pictures that lack
            some utterances.
    """
    _check_chain(chain, corpus, method, paired)
    spelling = chain.recogniser.spelling
    part = corpus if split is None else corpus.select(split=split)
    known = spelled_texts(part, spelling.languages)
    roles = roles_of(known, paired)
    if method == "all":
        shown = dict.fromkeys(known, "pair")
    else:
        shown = {name: roles.get(name, "speech") for name in part.ids}
    check_same_ids([n for n, r in shown.items() if r != "text"], pictures.ids, "corpus", "pictures")
    excluded: Counter[str] = Counter()

    def spelled(role: str) -> dict[str, Ints]:
        """The texts of the utterances with a role that can be spelled; the others are counted."""
        read = {name: spelling.read(known[name]) for name, own in shown.items() if own == role}
        kept = {name: text for name, text in read.items() if text is not None and len(text)}
        excluded["texts_with_unknown_symbols"] += len(read) - len(kept)
        return kept

    pairs = spelled("pair")
    train, valid = _divided(pairs, {name for name in pairs if roles[name] == "pair"}, corpus)
    texts: list[Ints] = []
    spoken: dict[str, tuple[Ints, float]] = {}
    if method == "chain":
        texts = list(spelled("text").values())
        names = [name for name, role in shown.items() if role == "speech"]
        if names:
            audible = part.restrict(names)
            spoken = _transcribed(audible, chain, min_confidence, excluded, device)
        if not texts and not spoken:
            raise InputError(
                "there is no speech whose transcript can be trusted, and no text alone",
                path=corpus.folder,
                cause="every utterance has its text, or the recogniser is unsure of all",
                remedy="hide some texts for an experiment with paired=0.3, train the speech chain "
                "for longer, or use method='paired'",
            )
    transcripts = {name: text for name, (text, _) in spoken.items()}
    sure = [sure for _, sure in spoken.values()]
    return CaptionMaterial(
        spelling,
        _captioned(train, pictures),
        _captioned(valid, pictures),
        replace(_captioned(transcripts, pictures), weights=np.array(sure, np.float32)),
        texts,
        {reason: n for reason, n in excluded.items() if n},
    )


def _check_chain(
    chain: SpeechChain, corpus: Corpus, method: CaptionMethod, paired: float | None
) -> None:
    """Refuses a chain of units, and one that knows texts that are hidden here."""
    if chain.recogniser.spelling.are_units:
        raise InputError(
            "the speech chain is one of units, which are no captions",
            remedy="give a chain that was trained on texts",
        )
    own = chain.training.get("config", {})
    same = chain.trained_on.get("corpus") == corpus.id
    hides = method == "chain" and paired is not None
    if hides and same and chain.training.get("method") == "all":
        raise ModelMismatchError(
            "the speech chain was trained on all texts of this corpus, so it knows those that "
            f"paired={paired} hides here",
            cause="it is the bound, trained with method='all'",
            remedy=f"give a chain that was trained with paired={paired}",
        )
    if hides and same and own.get("paired") != paired:
        raise ModelMismatchError(
            f"the speech chain was trained with paired={own.get('paired')}, so it knows texts that "
            f"paired={paired} hides here",
            cause="the two commands have different settings",
            remedy=f"use paired={own.get('paired')} here, or train the chain with this one",
        )


def _divided(
    pairs: Mapping[str, Ints], own: set[str], corpus: Corpus
) -> tuple[dict[str, Ints], dict[str, Ints]]:
    """Pairs to train on, and held-out ones of other texts, which are the same for all methods."""
    keys = {name: " ".join(map(str, text)) for name, text in pairs.items()}
    distinct = sorted({keys[name] for name in own})
    if len(distinct) < 2:
        raise InputError(
            f"{counted(len(distinct), 'different text')} of pictures can be used",
            path=corpus.folder,
            cause="training needs one and validation another",
            remedy="give more pictures with their texts",
        )
    held = validation_ids(distinct, _VALID)
    valid = {name: text for name, text in pairs.items() if keys[name] in held}
    return {name: text for name, text in pairs.items() if name not in valid}, valid


def _captioned(pairs: Mapping[str, Ints], pictures: Features) -> Captioned:
    return Captioned(
        tuple(pairs),
        [np.asarray(pictures[name]) for name in pairs],
        list(pairs.values()),
        np.ones(len(pairs), np.float32),
    )


def _transcribed(
    corpus: Corpus,
    chain: SpeechChain,
    min_confidence: float,
    excluded: Counter[str],
    device: str,
) -> dict[str, tuple[Ints, float]]:
    """Utterance → its transcript by CTC's best path and the confidence in it, where it has some."""
    recogniser = chain.recogniser
    found: dict[str, tuple[Ints, float]] = {}
    with extracted(corpus, recogniser.features, device=device) as features:
        frames = [features[name] for name in features.ids]
        paths = recogniser.transcribe(frames, beam=1)
        for name, path in zip(features.ids, paths, strict=True):
            sure = float(np.exp(path.score))
            if len(path.symbols) and sure >= min_confidence:
                found[name] = path.symbols, sure
            else:
                excluded["unsure_transcripts"] += 1
    return found
