"""ABX from files: what `zerochain score abx` does, as a function anybody can call."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from zerochain.errors import InputError
from zerochain.features.normalisation import NormalisationKind, normalised
from zerochain.formats.bundle import read_bundle
from zerochain.formats.corpus import Corpus, read_corpus
from zerochain.formats.features import Features, read_features
from zerochain.formats.identity import check_same_ids, file_id
from zerochain.formats.phones import PHONES_FILE, Phones, read_phones
from zerochain.formats.scores import Score
from zerochain.formats.units import UnitFile, read_units
from zerochain.metrics.abx import AbxResult, abx
from zerochain.metrics.abx_engine import Distance
from zerochain.metrics.abx_plan import NoCellsError
from zerochain.metrics.abx_protocol import TRIPHONE, Mode, Protocol
from zerochain.metrics.items import (
    SILENCES,
    Item,
    phone_items,
    read_items,
    triphone_items,
    write_items,
)
from zerochain.scoring.abx_tables import write_abx_tables
from zerochain.scoring.result import Scored, exclusion_notes


def score_abx(
    source: Path,
    corpus: Path,
    *,
    model: Path | None = None,
    items: Path | None = None,
    protocol: Protocol = TRIPHONE,
    distance: Distance | None = None,
    mode: Mode | Literal["both"] | None = None,
    split: str | None = None,
    silences: Collection[str] = SILENCES,
    normalise: NormalisationKind = "none",
    shift_ms: float = 0.0,
    system: str | None = None,
    seed: int = 0,
    jobs: int | None = None,
    tables: Path | None = None,
) -> Scored:
    """ABX within and across speakers of a units.parquet or a features folder.

    Args:
        source: units, or features.
        model: the units' model; its codebook gives them distances beyond same or not.
        items: an .item file, instead of the corpus's gold phones.
        mode: None scores all that the protocol has, and only notes that across is undefined for
            one speaker.
        normalise: mean and variance normalisation of features first, over what `source` holds.
        shift_ms: added to the times of the tokens: automatic alignments can be late.
        tables: a folder that gets the score of every cell, pair of phones and pair of speakers,
            see `zerochain.scoring.abx_tables`.

    Raises:
        ModelMismatchError: the units are of another unit model than `model`.
        InputError: no gold phones, ids that don't join, an undefined score.
    """
    whole = read_corpus(corpus)
    part = whole if split is None else whole.select(split=split)
    tokens, excluded = _items(items, whole, part, protocol, silences)
    tokens = _timed(tokens, part, protocol, items, shift_ms / 1000)
    representation, codebook = _representation(source, model, normalise)
    _check_same_corpus(representation, whole)
    gold = items or corpus / PHONES_FILE
    inputs = {
        "corpus": whole.id,
        **_inputs(representation, model),
        "items" if items else "phones": file_id(gold),
    }
    options = {
        **asdict(protocol),
        "split": split,
        "silences": None if items else sorted(silences),
        "step_ms": representation.step_ms,
        "normalise": normalise,
        "shift_ms": shift_ms,
        "codebook": model is not None,
        "seed": seed,
    }
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
    notes += exclusion_notes(scores)
    if tables is not None:
        write_abx_tables(tables, results, scores)
        notes.append(f"cells, pairs of phones and of speakers: {tables}")
    return Scored(scores, notes)


def export_items(
    corpus: Path,
    out: Path,
    *,
    protocol: Protocol = TRIPHONE,
    split: str | None = None,
    silences: Collection[str] = SILENCES,
) -> tuple[int, dict[str, int]]:
    """Write what a protocol compares in a corpus to a ZeroSpeech .item file.

    Returns:
        How many items were written, and how many tokens were left out, by reason.

    Raises:
        InputError: no gold phones, or an id that the format can't carry.
    """
    whole = read_corpus(corpus)
    part = whole if split is None else whole.select(split=split)
    tokens, excluded = _items(None, whole, part, protocol, silences)
    write_items(out, tokens)
    return len(tokens), excluded


def _items(
    items: Path | None,
    whole: Corpus,
    part: Corpus,
    protocol: Protocol,
    silences: Collection[str],
) -> tuple[list[Item], dict[str, int]]:
    """The items of the corpus's part, and what was left out of them."""
    ids = set(part.ids)
    if items is not None:
        listed_items = read_items(items)
        files = list(dict.fromkeys(item.file for item in listed_items))
        check_same_ids(files, whole.ids, "items", f"corpus {whole.name}")
        if len(set(listed_items)) < len(listed_items):
            raise InputError(
                f"holds {len(listed_items) - len(set(listed_items))} items twice",
                path=items,
                cause="two files were joined; a token would be compared with itself",
                remedy="list each once",
            )
        kept = [item for item in listed_items if item.file in ids]
        return kept, _counted(items_of_other_utterances=len(listed_items) - len(kept))
    path = whole.home / PHONES_FILE
    if not path.is_file():
        raise InputError(
            f"corpus {part.name!r} has no gold phones, and ABX needs some",
            path=path,
            remedy="import it with --alignments, or give an --items file",
        )
    phones = read_phones(path)
    chosen = Phones({k: v for k, v in phones.by_id.items() if k in ids}, phones.source)
    make = triphone_items if protocol.span == "triphone" else phone_items
    speakers = {u.id: u.speaker for u in part.utterances}
    tokens, excluded = make(chosen, speakers, silences)
    without = len(ids) - len(chosen.by_id)
    return tokens, {**excluded, **_counted(utterances_without_alignment=without)}


def _timed(
    tokens: list[Item], corpus: Corpus, protocol: Protocol, items: Path | None, shift_s: float
) -> list[Item]:
    """Tokens in the protocol's times, seconds or fractions of the recording, and shifted."""
    if protocol.frames != "fraction":
        return [_shifted(token, shift_s) for token in tokens] if shift_s else tokens
    lengths = {u.id: u.duration for u in corpus.utterances}
    late = [token for token in tokens if items is not None and token.offset > 1]
    if late:
        raise InputError(
            f"{len(late)} items end after 1, the first at {late[0].offset:g} in {late[0].file!r}, "
            f"and protocol {protocol.name!r} takes times as fractions of the recording",
            path=items,
            cause="they are in seconds, as for the other protocols",
            remedy="divide them by the recordings' lengths, or take another protocol",
        )
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


def _shifted(token: Item, shift: float) -> Item:
    """A token at another time; what would lie before the recording begins is cut off."""
    onset, offset = max(0.0, token.onset + shift), max(0.0, token.offset + shift)
    return token._replace(onset=onset, offset=offset)


def _check_same_corpus(representation: Features | UnitFile, corpus: Corpus) -> None:
    """Refuse units of other recordings that have the same ids."""
    if isinstance(representation, UnitFile):
        durations = {u.id: u.duration for u in corpus.utterances}
        representation.check_durations(durations, f"corpus {corpus.name}")


def _representation(
    source: Path, model: Path | None, normalise: NormalisationKind
) -> tuple[Features | UnitFile, NDArray[np.float32] | None]:
    """Features or units, and the units' codebook where their model is given."""
    if source.is_dir():
        if model is not None:
            raise InputError(
                "--model gives units their vectors, and these are features",
                path=source,
                remedy="leave --model out, or score a unit file",
            )
        features = read_features(source)
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


def _inputs(representation: Features | UnitFile, model: Path | None) -> dict[str, str]:
    kind = "features" if isinstance(representation, Features) else "units"
    ids = {kind: representation.id}
    if isinstance(representation, UnitFile) and model is not None:
        ids["model"] = representation.model_id
    return ids


def _name(representation: Features | UnitFile) -> str:
    if isinstance(representation, UnitFile):
        return representation.method
    kind = representation.options.get("normalisation", "none")
    return representation.extractor if kind == "none" else f"{representation.extractor} {kind}-norm"


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


def _counted(**counts: int) -> dict[str, int]:
    return {name: count for name, count in counts.items() if count}
