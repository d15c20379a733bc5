"""ABX from files: what `zerochain score abx` does, as a function anybody can call."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from zerochain.errors import InputError
from zerochain.features.normalisation import NormalisationKind, normalised, unit_length
from zerochain.formats.bundle import read_bundle
from zerochain.formats.corpus import Corpus, read_corpus
from zerochain.formats.features import MARKER, Features, read_features
from zerochain.formats.identity import file_id
from zerochain.formats.phones import PHONES_FILE
from zerochain.formats.scores import Score
from zerochain.formats.units import UnitFile, read_units
from zerochain.metrics.abx import AbxResult, abx
from zerochain.metrics.abx_engine import Distance
from zerochain.metrics.abx_plan import NoCellsError
from zerochain.metrics.abx_protocol import TRIPHONE, Mode, Protocol
from zerochain.metrics.items import Exclusions, Item
from zerochain.metrics.silences import SILENCES, recorded
from zerochain.scoring.abx_items import gold_items, listed_items, timed
from zerochain.scoring.abx_tables import write_abx_tables
from zerochain.scoring.result import Scored, exclusion_notes


def score_abx(
    source: Path,
    corpus: Path | None = None,
    *,
    model: Path | None = None,
    items: Path | None = None,
    folders: bool = True,
    protocol: Protocol = TRIPHONE,
    distance: Distance | None = None,
    mode: Mode | Literal["both"] | None = None,
    split: str | None = None,
    silences: Collection[str] = SILENCES,
    normalise: NormalisationKind | Literal["length"] = "none",
    shift_ms: float = 0.0,
    system: str | None = None,
    seed: int = 0,
    jobs: int | None = None,
    tables: Path | None = None,
) -> Scored:
    """ABX within and across speakers of a units.parquet or a features folder.

    Args:
        source: units, or features.
        corpus: whose gold phones are compared; with `items` it only gives splits, and lengths
            that are checked.
        model: the units' model; its codebook gives them distances beyond same or not.
        items: an .item file, instead of the corpus's gold phones.
        folders: files of `items` are whole ids; else the last parts of them.
        mode: None scores all that the protocol has, and only notes that across is undefined for
            one speaker.
        normalise: mean and variance normalisation of features first, over what `source` holds;
            "length" gives each frame length 1 instead, as Libri-Light's code does for any distance.
        shift_ms: added to the times of the tokens: automatic alignments can be late.
        tables: a folder that gets the score of every cell, pair of phones and pair of speakers,
            see `zerochain.scoring.abx_tables`.

    Raises:
        ModelMismatchError: the units are of another unit model than `model`.
        InputError: no gold phones, ids that don't join, an undefined score.
    """
    whole = None if corpus is None else read_corpus(corpus)
    representation, codebook = _representation(source, model, normalise)
    tokens, excluded = _tokens(items, folders, whole, representation, split, protocol, silences)
    tokens = timed(tokens, protocol, whole, items, shift_ms / 1000)
    by_lines = protocol.frames == "fraction" and isinstance(representation, Features)
    if whole is not None and not by_lines:  # other recordings may have the same ids
        seconds = {u.id: u.duration for u in whole.utterances}
        representation.check_durations(seconds, f"corpus {whole.name}")
    inputs = _inputs(representation, model, whole, items)
    options = {
        **asdict(protocol),
        "split": split,
        "silences": None if items else recorded(silences),
        "step_ms": representation.step_ms,
        "normalise": normalise,
        "shift_ms": shift_ms,
        "codebook": model is not None,
        "seed": seed,
    }
    if n_zero := _n_zero(representation, codebook, distance):
        options["n_zero_vectors"] = n_zero
    scores, notes, results = [], [], {}
    modes: tuple[Any, ...] = protocol.modes if mode is None else (mode,)
    for one in ("within", "across") if mode == "both" else modes:
        try:
            result = abx(
                representation,
                tokens,
                mode=one,
                distance=distance,
                codebook=codebook,
                protocol=protocol,
                seed=seed,
                jobs=jobs,
            )
        except NoCellsError:
            if mode is not None or one == "within" or len({t.speaker for t in tokens}) > 1:
                raise
            notes.append("abx_across_% is undefined and left out: there is one speaker only")
            continue
        results[one] = result = replace(result, exclusions={**excluded, **result.exclusions})
        name = system or _name(representation)
        scores.append(_abx_score(result, one, protocol, name, inputs, options))
        notes.append(_rests_on(result, one))
    notes += exclusion_notes(scores)
    if n_zero:
        notes.append(f"{n_zero:,} vectors are all zero: at 0 from each other, at 1 from all others")
    if tables is not None:
        write_abx_tables(tables, results, scores)
        notes.append(f"cells, pairs of phones and of speakers: {tables}")
    return Scored(scores, notes)


def _tokens(
    items: Path | None,
    folders: bool,
    corpus: Corpus | None,
    representation: Features | UnitFile,
    split: str | None,
    protocol: Protocol,
    silences: Collection[str],
) -> tuple[list[Item], Exclusions]:
    """The items to compare, in their own times, and what was left out of them."""
    if corpus is None and (items is None or split is not None):
        raise InputError(
            "nothing says which tokens to compare" if items is None else "a split is a corpus's",
            remedy="give --corpus, one with gold phones, or --items"
            if items is None
            else "give --corpus as well, or leave --split out",
        )
    if items is None:
        assert corpus is not None
        return gold_items(corpus, split, protocol, silences)
    if corpus is None:
        return listed_items(items, representation.ids, "units or features", folders=folders)
    only = None if split is None else set(corpus.select(split=split).ids)
    where = f"corpus {corpus.name}"
    return listed_items(items, corpus.ids, where, folders=folders, only=only)


def _representation(
    source: Path, model: Path | None, normalise: NormalisationKind | Literal["length"]
) -> tuple[Features | UnitFile, NDArray[np.float32] | None]:
    """Features or units, and the units' codebook where their model is given."""
    if source.is_dir():
        if model is not None:
            raise InputError(
                "--model gives units their vectors, and these are features",
                path=source,
                remedy="leave --model out, or score a unit file",
            )
        if not (source / MARKER).is_file():
            raise InputError(
                "is no features folder",
                path=source,
                cause="it holds the .npy or .txt files of another program",
                remedy="take them in: 'zerochain import features FOLDER --step-ms …', and score "
                "what that writes",
            )
        features = read_features(source)
        if normalise == "length":
            return unit_length(features), None
        return features if normalise == "none" else normalised(features, normalise), None
    unit_file = read_units(source)
    if normalise != "none":
        raise InputError("units can't be normalised", path=source, remedy="leave --normalise out")
    if model is None:
        return unit_file, None
    bundle = read_bundle(model)
    unit_file.check_model(bundle.id, "model given")
    if "codebook" not in bundle.tensors:
        raise InputError(
            f"a {bundle.model} has no codebook",
            path=model,
            remedy="leave --model out: units are then the same or not",
        )
    return unit_file, bundle.tensors["codebook"].astype(np.float32)


def _inputs(
    representation: Features | UnitFile,
    model: Path | None,
    corpus: Corpus | None,
    items: Path | None,
) -> dict[str, str]:
    ids = {} if corpus is None else {"corpus": corpus.id}
    ids["features" if isinstance(representation, Features) else "units"] = representation.id
    if isinstance(representation, UnitFile) and model is not None:
        ids["model"] = representation.model_id
    if items is not None:
        return {**ids, "items": file_id(items)}
    assert corpus is not None
    return {**ids, "phones": file_id(corpus.home / PHONES_FILE)}


def _name(representation: Features | UnitFile) -> str:
    if isinstance(representation, UnitFile):
        return representation.method
    kind = representation.options.get("normalisation", "none")
    return representation.extractor if kind == "none" else f"{representation.extractor} {kind}-norm"


def _rests_on(result: AbxResult, mode: Mode) -> str:
    """What a score rests on, in words."""
    note = f"{mode}: {result.n_compared:,} items in {result.n_cells:,} cells"
    alone = result.n_items - result.n_compared
    return note + (f"; {alone:,} more have nothing to be compared with" if alone else "")


def _n_zero(
    representation: Features | UnitFile,
    codebook: NDArray[np.float32] | None,
    distance: Distance | None,
) -> int:
    """How many vectors are all zero, and so have no angle, where angles are compared."""
    vectors = representation.frames if isinstance(representation, Features) else codebook
    if vectors is None or distance not in {None, "angular"}:
        return 0
    return len(vectors) - int(np.count_nonzero(vectors.any(axis=1)))


def _abx_score(
    result: AbxResult,
    mode: Mode,
    protocol: Protocol,
    system: str,
    inputs: dict[str, str],
    common: dict[str, Any],
) -> Score:
    options = {
        "n_of": "triples",
        "distance": result.distance,
        "n_items": result.n_items,
        "n_compared": result.n_compared,
        "n_cells": result.n_cells,
        "exclusions": result.exclusions,
        **{key: value for key, value in common.items() if key != "name"},
    }
    metric = f"abx_{mode}_%"
    return Score(
        metric,
        result.value,
        result.interval,
        result.n_triples,
        protocol.name,
        system,
        inputs,
        options,
    )
