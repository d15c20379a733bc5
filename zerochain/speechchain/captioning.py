"""Captions of a corpus's pictures, compared with its texts and with the texts of pictures alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from zerochain.errors import InputError
from zerochain.features.normalisation import Moments
from zerochain.formats.corpus import Corpus, read_corpus
from zerochain.formats.features import Features, read_features
from zerochain.formats.transcripts import Transcripts, write_transcripts
from zerochain.metrics.bootstrap import bootstrap_mean
from zerochain.metrics.text import untagged
from zerochain.metrics.translation import Estimate, error_rate
from zerochain.speechchain.captions import PictureCaptioner
from zerochain.speechchain.data import Frames, Symbols
from zerochain.speechchain.sources import roles_of, spelled_texts
from zerochain.training.crops import padded


@dataclass(frozen=True)
class Captions:
    """Captions of a corpus's pictures, compared with its texts where it has some.

    Attributes:
        cer: error rate in % of characters; tags of languages are none.
        exact: share in % of captions without an error.
        first, five: share in % of texts whose own picture is the first one that is found for it
            among all pictures, or among the first five.
        nearest_cer, nearest_exact: of the baseline that gives each picture the text of the nearest
            one among others with texts; None where none were given.
    """

    captions: Transcripts
    cer: Estimate | None
    exact: Estimate | None
    first: Estimate | None
    five: Estimate | None
    nearest_cer: Estimate | None = None
    nearest_exact: Estimate | None = None


def caption(
    captioner: Path,
    corpus: Path,
    pictures: Path,
    out: Path,
    *,
    split: str | None = None,
    nearest: str | None = None,
    paired: float | None = None,
    beam: int = 5,
    device: str = "cpu",
) -> Captions:
    """Write the captions of a corpus's pictures, and find pictures by its texts.

    Args:
        nearest: the split whose pictures with texts are the baseline's.
        paired: as for the captioner: the fraction of that split's texts that stay paired.

    Raises:
        InputError: not a captioner, pictures of another kind or of none of the utterances.
    """
    model, whole = PictureCaptioner.load(captioner, device), read_corpus(corpus)
    part = whole if split is None else whole.select(split=split)
    features = read_features(pictures)
    names = [name for name in part.ids if name in features.index]
    if not names:
        raise InputError(
            f"holds pictures of none of the utterances of corpus {whole.name!r}",
            path=pictures,
            cause="they are of another corpus or split",
            remedy="give the pictures of this corpus",
        )
    seen = {name: np.asarray(features[name]) for name in names}
    made = dict(zip(names, model.captions(list(seen.values()), beam), strict=True))
    transcripts = Transcripts(
        {name: text for name, (text, _) in made.items()},
        {name: float(np.exp(score)) for name, (_, score) in made.items()},
        model.id,
        whole.id,
    )
    write_transcripts(out, transcripts)
    languages = model.spelling.languages
    texts = {n: text for n, text in spelled_texts(part, languages).items() if n in seen}
    if not texts:
        return Captions(transcripts, None, None, None, None)
    cer, exact = _compared(transcripts.texts, texts, languages)
    nearest_cer, nearest_exact = None, None
    if nearest is not None:
        others = _paired_texts(whole.select(split=nearest), features, model.spelling, paired)
        copied = nearest_texts(
            [seen[name] for name in texts],
            [np.asarray(features[name]) for name in others],
            list(others.values()),
            Moments(model.mean, model.deviation),
        )
        by_id = dict(zip(texts, copied, strict=True))
        nearest_cer, nearest_exact = _compared(by_id, texts, languages)
    first, five = _found_pictures(model, seen, texts)
    return Captions(transcripts, cer, exact, first, five, nearest_cer, nearest_exact)


def _found_pictures(
    model: PictureCaptioner, seen: Mapping[str, Frames], texts: Mapping[str, str]
) -> tuple[Estimate | None, Estimate | None]:
    """How often a text's own picture is the first that is found for it, and among the first five.

    None where the model can read none of the texts.
    """
    readable = {
        name: symbols
        for name, text in texts.items()
        if (symbols := model.spelling.read(text)) is not None
    }
    if not readable:
        return None, None
    similarity = model.text_vectors(list(readable.values())) @ model.vectors(list(seen.values())).T
    column = {name: i for i, name in enumerate(seen)}
    own = similarity[np.arange(len(readable)), [column[name] for name in readable]]
    n_nearer = (similarity > own[:, None]).sum(axis=1)
    return _share(n_nearer < 1), _share(n_nearer < 5)


def _compared(
    made: Mapping[str, str], texts: Mapping[str, str], languages: Sequence[str]
) -> tuple[Estimate, Estimate]:
    """The error rate of characters, and the share without an error; tags of languages are none."""
    pairs = [(untagged(made[n], languages), untagged(text, languages)) for n, text in texts.items()]
    exact = _share(np.array([a == b for a, b in pairs]))
    return error_rate([a for a, _ in pairs], [[b] for _, b in pairs]), exact


def _paired_texts(
    part: Corpus, pictures: Features, spelling: Symbols, paired: float | None
) -> dict[str, str]:
    """The texts of the pictures that a captioner learned from."""
    texts = spelled_texts(part, spelling.languages)
    roles = roles_of(texts, paired)
    found = {n: t for n, t in texts.items() if roles[n] == "pair" and n in pictures.index}
    if not found:
        raise InputError(
            "no utterance of the split nearest= has a text and a picture",
            path=part.folder,
            cause="it is a split without texts, or its pictures are left out",
            remedy="give the split that the captioner was trained on, and its pictures",
        )
    return found


def nearest_texts(
    pictures: Sequence[Frames], known: Sequence[Frames], texts: Sequence[str], moments: Moments
) -> list[str]:
    """For each picture (R, D), the text of the known one whose normalised values are nearest.

    A baseline for captions: it says what copying a text of the training pictures is worth.
    """
    x, _ = padded([(p - moments.mean) / moments.deviation for p in [*pictures, *known]])
    flat = x.flatten(1)
    rows = torch.cdist(flat[: len(pictures)], flat[len(pictures) :]).argmin(dim=1)
    return [texts[i] for i in rows.tolist()]


def _share(right: NDArray[np.bool_]) -> Estimate:
    """The share in %, with its interval."""
    values = 100 * right.astype(np.float64)
    return Estimate(float(values.mean()), bootstrap_mean(values), len(values))
