"""ABX from files: what `zerochain score abx` does, as a function anybody can call.

The items that ABX compares: cut from a corpus's gold phones, or read from an .item file.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
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
from zerochain.formats.identity import check_same_ids, file_id, ids_by_name
from zerochain.formats.phones import PHONES_FILE, Phones, read_phones
from zerochain.formats.scores import Score
from zerochain.formats.units import UnitFile, read_units
from zerochain.metrics.abx import AbxResult, abx
from zerochain.metrics.abx_engine import Distance
from zerochain.metrics.abx_plan import TRIPHONE, Mode, NoCellsError, Protocol
from zerochain.metrics.items import (
    Exclusions,
    Item,
    phone_items,
    read_items,
    triphone_items,
    write_items,
)
from zerochain.metrics.silences import SILENCES, recorded
from zerochain.scoring.abx_tables import write_abx_tables
from zerochain.scoring.selection import Scored, exclusion_notes


def export_items(
    corpus: Path,
    out: Path,
    *,
    protocol: Protocol = TRIPHONE,
    split: str | None = None,
    silences: Collection[str] = SILENCES,
    folders: bool = True,
) -> tuple[int, Exclusions]:
    """Write what a protocol compares in a corpus to a ZeroSpeech .item file.

    Args:
        folders: files are named by whole ids; else by the last parts of them.

    Returns:
        How many items were written, and how many tokens were left out, by reason.

    Raises:
        InputError: no gold phones, an id that the format can't carry, or, without folders, two
            ids that end alike.
    """
    whole = read_corpus(corpus)
    tokens, excluded = gold_items(whole, split, protocol, silences)
    if not folders:
        by_name = ids_by_name(dict.fromkeys(item.file for item in tokens), f"corpus {whole.name}")
        names = {one: name for name, one in by_name.items()}
        tokens = [item._replace(file=names[item.file]) for item in tokens]
    write_items(out, tokens)
    return len(tokens), excluded


def gold_items(
    corpus: Corpus, split: str | None, protocol: Protocol, silences: Collection[str]
) -> tuple[list[Item], Exclusions]:
    """The items of a corpus's gold phones, in seconds, and what was left out of them.

    Raises:
        InputError: no gold phones, or no speakers.
    """
    path = corpus.home / PHONES_FILE
    if not path.is_file():
        raise InputError(
            f"corpus {corpus.name!r} has no gold phones, and ABX needs some",
            path=path,
            remedy="import it with --alignments, or give an --items file",
        )
    part = corpus if split is None else corpus.select(split=split)
    ids, phones = set(part.ids), read_phones(path)
    chosen = Phones({k: v for k, v in phones.by_id.items() if k in ids}, phones.source)
    make = triphone_items if protocol.span == "triphone" else phone_items
    tokens, excluded = make(chosen, {u.id: u.speaker for u in part.utterances}, silences)
    without = len(ids) - len(chosen.by_id)
    return tokens, {**excluded, **_counted(utterances_without_alignment=without)}


def listed_items(
    path: Path,
    ids: Sequence[str],
    where: str,
    *,
    folders: bool = True,
    only: Collection[str] | None = None,
) -> tuple[list[Item], Exclusions]:
    """The items of an .item file, and how many of other utterances were left out.

    Args:
        ids, where: of the corpus or, where there is none, of what is scored.
        folders: files are named by whole ids; else by the last parts of them.
        only: keep the items of these utterances; None keeps all.

    Raises:
        InputError: files that are no ids, an item that stands twice, or an item that is bad.
    """
    items = read_items(path)
    if not folders:
        by_name = ids_by_name(ids, where)
        items = [item._replace(file=by_name.get(item.file, item.file)) for item in items]
    _check_files(path, items, ids, where, folders)
    if len(set(items)) < len(items):
        raise InputError(
            f"holds {len(items) - len(set(items))} items twice",
            path=path,
            cause="two files were joined; a token would be compared with itself",
            remedy="list each once",
        )
    kept = [item for item in items if only is None or item.file in only]
    return kept, _counted(items_of_other_utterances=len(items) - len(kept))


def timed(
    tokens: list[Item],
    protocol: Protocol,
    corpus: Corpus | None,
    items: Path | None,
    shift_s: float,
) -> list[Item]:
    """Tokens in the protocol's times, seconds or fractions of the recording, and shifted.

    Args:
        items: where the tokens are from, if they aren't cut from gold phones.

    Raises:
        InputError: times that can't be fractions, or a shift of fractions of unknown recordings.
    """
    if protocol.frames != "fraction":
        return [_shifted(token, shift_s) for token in tokens] if shift_s else tokens
    late = [token for token in tokens if items is not None and token.offset > 1]
    if late:
        raise InputError(
            f"{len(late)} items end after 1, the first at {late[0].offset:g} in {late[0].file!r}, "
            f"and protocol {protocol.name!r} takes times as fractions of the recording",
            path=items,
            cause="they are in seconds, as for the other protocols",
            remedy="divide them by the recordings' lengths, or take another protocol",
        )
    if items is not None and not shift_s:
        return tokens
    if corpus is None:
        raise InputError(
            "a shift of times that are fractions needs the recordings' lengths",
            path=items,
            remedy="give --corpus, or leave --shift-ms out",
        )
    lengths = {u.id: u.duration for u in corpus.utterances}
    if items is not None:
        return [_shifted(token, shift_s / lengths[token.file]) for token in tokens]
    shifted = (_shifted(token, shift_s) for token in tokens)
    return [
        token._replace(
            onset=token.onset / lengths[token.file],
            offset=min(1.0, token.offset / lengths[token.file]),
        )
        for token in shifted
    ]


def _check_files(
    path: Path, items: Sequence[Item], ids: Sequence[str], where: str, folders: bool
) -> None:
    files = list(dict.fromkeys(item.file for item in items))
    names = {one.rpartition("/")[2] for one in ids}
    if folders and not set(files) & set(ids) and set(files) & names:
        raise InputError(
            f"names files like {files[0]!r}, and ids of the {where} are paths like {ids[0]!r}",
            path=path,
            remedy="say that they are the last parts of the ids: --ids name",
        )
    check_same_ids(files, ids, "items", where)


def _shifted(token: Item, shift: float) -> Item:
    """A token at another time; what would lie before the recording begins is cut off."""
    onset, offset = max(0.0, token.onset + shift), max(0.0, token.offset + shift)
    return token._replace(onset=onset, offset=offset)


def _counted(**counts: int) -> Exclusions:
    return {name: count for name, count in counts.items() if count}


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
