"""ABX of a unit file or a features folder: what `zerochain score abx` does.

The tokens that are compared are cut from a corpus's gold phones, or read from an .item file of the
ZeroSpeech challenges. Their times are seconds; the protocol of 2019 takes fractions of the
recording, since its submissions gave no frame step.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from zerochain.errors import InputError, counted
from zerochain.features.normalisation import NormalisationKind, normalised, unit_length
from zerochain.formats.corpus import Corpus, read_corpus
from zerochain.formats.features import MARKER, Features, read_features
from zerochain.formats.identity import check_same_ids, file_id, ids_by_name
from zerochain.formats.phones import PHONES_FILE, Phones
from zerochain.formats.scores import Score
from zerochain.formats.units import UnitFile, codebook_of, read_units
from zerochain.metrics import names
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
from zerochain.scoring.abx_groups import (
    GroupError,
    PhoneTable,
    group_errors,
    read_phone_table,
    write_groups,
)
from zerochain.scoring.abx_tables import cells_of, phone_errors, write_abx_tables
from zerochain.scoring.common import (
    Common,
    Scored,
    exclusion_notes,
    gold_phones,
)


def score_abx(
    source: Path,
    corpus: Path | None = None,
    *,
    model: Path | None = None,
    items: Path | None = None,
    ids: Literal["path", "name"] = "path",
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
    phone_table: Path | None = None,
) -> Scored:
    """ABX within and across speakers of a units.parquet or a features folder.

    Args:
        source: units, or features.
        corpus: its gold phones are compared; with `items` it only gives splits, and lengths that
            are checked.
        model: the units' model; its codebook gives distances other than "same or not".
        items: an .item file, instead of the corpus's gold phones.
        ids: what `items` call utterances: whole ids ("path"), or the part behind the last slash.
        mode: None scores all modes of the protocol; of two, one without an A, B and X is left out
            with a note.
        normalise: normalise the mean and variance of features first, over all of `source`;
            "length" gives each frame length 1 instead, as Libri-Light's code does for any distance.
        shift_ms: added to the times of the tokens: automatic alignments can be late.
        tables: a folder for the scores of every cell, pair of phones and pair of speakers,
            see `zerochain.scoring.abx_tables`.
        phone_table: properties of the phones (see `zerochain.scoring.abx_groups`): each score also
            has the errors of pairs that differ in one property alone, and in several.

    Raises:
        ModelMismatchError: the units are of another unit model than `model`.
        InputError: no gold phones, ids that don't join, an undefined score, phones that
            `phone_table` lacks.
    """
    kinds = None if phone_table is None else read_phone_table(phone_table)
    whole = None if corpus is None else read_corpus(corpus)
    representation, codebook = _representation(source, model, normalise)
    folders = ids == "path"
    tokens, excluded = _tokens(items, folders, whole, representation, split, protocol, silences)
    if kinds is not None:
        kinds.check_covers({token.phone for token in tokens})
    tokens = timed(tokens, protocol, whole, items, shift_ms / 1000)
    by_lines = protocol.frames == "fraction" and isinstance(representation, Features)
    if whole is not None and not by_lines:  # other recordings may have the same ids
        seconds = {u.id: u.duration for u in whole.utterances}
        representation.check_durations(seconds, f"corpus {whole.name}")
    options = {
        **{key: value for key, value in asdict(protocol).items() if key != "name"},
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
    common = Common(
        system or _name(representation), _inputs(representation, model, whole, items), options
    )
    what = "units" if isinstance(representation, UnitFile) else "features"
    note = "" if whole is None else whole.note_on(representation.corpus_id, what)
    compare = partial(
        abx,
        representation,
        tokens,
        distance=distance,
        codebook=codebook,
        protocol=protocol,
        seed=seed,
        jobs=jobs,
    )
    errors, notes = _of_modes(compare, protocol, mode)
    results = {
        one: replace(result, exclusions={**excluded, **result.exclusions})
        for one, result in errors.items()
    }
    scores = [_abx_score(result, one, protocol, common) for one, result in results.items()]
    notes = [*([note] if note else []), *notes]
    notes += exclusion_notes(scores)
    if n_zero:
        notes.append(
            f"{counted(n_zero, 'all-zero vector')}: at distance 0 from each other, at 1 from all "
            "others"
        )
    groups = [] if kinds is None else _grouped(results, scores, kinds)
    for i, scored_mode in enumerate(results):
        of_mode = [group for group in groups if group.mode == scored_mode]
        if of_mode:
            scores[i] = _with_groups(scores[i], of_mode)
    notes += [group.text for group in groups]
    if tables is not None:
        write_abx_tables(tables, results, scores)
        if kinds is not None:
            write_groups(tables, groups)
        notes.append(f"cells, pairs of phones and pairs of speakers: {tables}")
    return Scored(scores, notes)


def _of_modes(
    compare: Callable[..., AbxResult],
    protocol: Protocol,
    mode: Mode | Literal["both"] | None,
) -> tuple[dict[Mode, AbxResult], list[str]]:
    """The errors of the modes that were asked for, and notes.

    Args:
        compare: `abx` of everything but the mode.
        mode: None is all of the protocol's, without those that are undefined.

    Raises:
        NoCellsError: a mode that was asked for is undefined, or all are.
    """
    results: dict[Mode, AbxResult] = {}
    notes, undefined = [], []
    modes: tuple[Mode, ...] = protocol.modes if mode is None else _modes(mode)
    for one in modes:
        try:
            results[one] = compare(mode=one)
        except NoCellsError as error:
            undefined.append(error)
            if mode is not None or len(undefined) == len(modes):
                raise undefined[0] from None
            why = error.cause or error.found
            notes.append(f"{names.ABX[one].key} is undefined and left out: {why}")
            continue
        notes.append(_basis(results[one], one))
    return results, notes


def _modes(mode: Mode | Literal["both"]) -> tuple[Mode, ...]:
    return ("within", "across") if mode == "both" else (mode,)


def _grouped(
    results: Mapping[Mode, AbxResult], scores: list[Score], kinds: PhoneTable
) -> list[GroupError]:
    """The errors of the groups of pairs, of all modes."""
    cells = cells_of(results, scores[0])
    return group_errors((row for mode in results for row in phone_errors(cells, mode)), kinds)


def _with_groups(score: Score, groups: list[GroupError]) -> Score:
    """A score that also says what its groups of pairs have."""
    return replace(score, options={**score.options, "groups": {g.group: g.record for g in groups}})


def _tokens(
    items: Path | None,
    folders: bool,
    corpus: Corpus | None,
    representation: Features | UnitFile,
    split: str | None,
    protocol: Protocol,
    silences: Collection[str],
) -> tuple[list[Item], Exclusions]:
    """The items to compare, with unshifted times, and the tokens left out, by reason."""
    if corpus is None and (items is None or split is not None):
        raise InputError(
            "no source of tokens to compare" if items is None else "only a corpus has splits",
            remedy="give corpus=, one with gold phones, or items="
            if items is None
            else "give corpus= as well, or leave split= out",
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
                "model= gives vectors to units, but these are features",
                path=source,
                remedy="leave model= out, or score a unit file",
            )
        if not (source / MARKER).is_file():
            raise InputError(
                "is not a features folder",
                path=source,
                cause="it holds the .npy or .txt files of another program",
                remedy="import them with 'zerochain import features FOLDER --step-ms …', and score "
                "the result",
            )
        features = read_features(source)
        if normalise == "length":
            return unit_length(features), None
        return features if normalise == "none" else normalised(features, normalise), None
    unit_file = read_units(source)
    if normalise != "none":
        raise InputError("units can't be normalised", path=source, remedy="leave normalise= out")
    if model is None:
        return unit_file, None
    vectors = codebook_of(unit_file, model, without="units are then the same or not")
    return unit_file, vectors.astype(np.float32)


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


def _basis(result: AbxResult, mode: Mode) -> str:
    """The number of items and cells that a score rests on, as a note."""
    items, cells = counted(result.n_compared, "item"), counted(result.n_cells, "cell")
    alone = result.n_items - result.n_compared
    rest = f"; {counted(alone, 'item')} without a match to compare with" if alone else ""
    return f"{mode}: {items} in {cells}{rest}"


def _n_zero(
    representation: Features | UnitFile,
    codebook: NDArray[np.float32] | None,
    distance: Distance | None,
) -> int:
    """The number of all-zero vectors, which have no angle, where angles are compared."""
    vectors = representation.frames if isinstance(representation, Features) else codebook
    if vectors is None or distance not in {None, "angular"}:
        return 0
    return len(vectors) - int(np.count_nonzero(vectors.any(axis=1)))


def _abx_score(result: AbxResult, mode: Mode, protocol: Protocol, common: Common) -> Score:
    return common.score(
        names.ABX[mode],
        result.value,
        result.interval,
        result.n_triples,
        protocol.name,
        n_of="triples",
        distance=result.distance,
        n_items=result.n_items,
        n_compared=result.n_compared,
        n_items_per_side=result.n_items_per_side,
        n_cells=result.n_cells,
        n_phone_pairs=_n_phone_pairs(result),
        n_speakers=_n_labels(result, "speaker", "speaker_x"),
        exclusions=result.exclusions,
    )


def _n_labels(result: AbxResult, *columns: str) -> int:
    """How many different labels the cells have in some columns, of which one may be missing."""
    there = [result.cells[name] for name in columns if name in result.cells.column_names]
    return len({label for column in there for label in column.unique().to_pylist()})


def _n_phone_pairs(result: AbxResult) -> int:
    """Unordered pairs of phones among the cells."""
    pairs = result.cells.group_by(["phone_a", "phone_b"]).aggregate([])
    both = zip(pairs["phone_a"].to_pylist(), pairs["phone_b"].to_pylist(), strict=True)
    return len({frozenset(pair) for pair in both})


def export_items(
    corpus: Path,
    out: Path,
    *,
    protocol: Protocol = TRIPHONE,
    split: str | None = None,
    silences: Collection[str] = SILENCES,
    folders: bool = True,
) -> tuple[int, Exclusions]:
    """Write the items that a protocol compares in a corpus to a ZeroSpeech .item file.

    Args:
        folders: files are named by whole ids; else by the part behind the last slash.

    Returns:
        The number of items written, and of tokens left out, by reason.

    Raises:
        InputError: no gold phones, an id that the format can't carry, or, without folders, two
            ids with the same last part.
    """
    whole = read_corpus(corpus)
    tokens, excluded = gold_items(whole, split, protocol, silences)
    if not folders:
        by_name = ids_by_name(dict.fromkeys(item.file for item in tokens), f"corpus {whole.name}")
        name_of = {one: name for name, one in by_name.items()}
        tokens = [item._replace(file=name_of[item.file]) for item in tokens]
    write_items(out, tokens)
    return len(tokens), excluded


def gold_items(
    corpus: Corpus, split: str | None, protocol: Protocol, silences: Collection[str]
) -> tuple[list[Item], Exclusions]:
    """The items of a corpus's gold phones, in seconds, and the tokens left out, by reason.

    Raises:
        InputError: no gold phones, or no speakers.
    """
    part = corpus if split is None else corpus.select(split=split)
    ids, phones = set(part.ids), gold_phones(corpus, silences)
    chosen = Phones({k: v for k, v in phones.by_id.items() if k in ids}, phones.source)
    make = triphone_items if protocol.span == "triphone" else phone_items
    tokens, excluded = make(chosen, {u.id: u.speaker for u in part.utterances}, silences)
    without = len(ids) - len(chosen.by_id)
    return tokens, {**excluded, **_nonzero(utterances_without_alignment=without)}


def listed_items(
    path: Path,
    ids: Sequence[str],
    where: str,
    *,
    folders: bool = True,
    only: Collection[str] | None = None,
) -> tuple[list[Item], Exclusions]:
    """The items of an .item file, and the number left out because of `only`.

    Args:
        ids, where: the utterances of the corpus or, without one, of what is scored; its name.
        folders: files are named by whole ids; else by the part behind the last slash.
        only: keep the items of these utterances; None keeps all.

    Raises:
        InputError: files that are no ids, an item that is listed twice, or a bad item.
    """
    items = read_items(path)
    if not folders:
        by_name = ids_by_name(ids, where)
        items = [item._replace(file=by_name.get(item.file, item.file)) for item in items]
    _check_files(path, items, ids, where, folders)
    if len(set(items)) < len(items):
        raise InputError(
            f"lists {counted(len(items) - len(set(items)), 'item')} twice",
            path=path,
            cause="two files were joined; a token would be compared with itself",
            remedy="list each item once",
        )
    kept = [item for item in items if only is None or item.file in only]
    return kept, _nonzero(items_of_other_utterances=len(items) - len(kept))


def timed(
    tokens: list[Item],
    protocol: Protocol,
    corpus: Corpus | None,
    items: Path | None,
    shift_s: float,
) -> list[Item]:
    """Tokens with shifted times, in the protocol's unit: seconds or fractions of the recording.

    Args:
        items: the file that the tokens are from, if they aren't cut from gold phones.

    Raises:
        InputError: times that can't be fractions, or a shift of fractions of unknown recordings.
    """
    if protocol.frames != "fraction":
        return [_shifted(token, shift_s) for token in tokens] if shift_s else tokens
    late = [token for token in tokens if items is not None and token.offset > 1]
    if late:
        raise InputError(
            f"{counted(len(late), 'item')} ending after 1, the first at {late[0].offset:g} in "
            f"{late[0].file!r}, but protocol {protocol.name!r} takes times as fractions of the "
            "recording",
            path=items,
            cause="the times are in seconds, as for the other protocols",
            remedy="divide them by the recordings' lengths, or choose another protocol",
        )
    if items is not None and not shift_s:
        return tokens
    if corpus is None:
        raise InputError(
            "shifting times that are fractions needs the recordings' lengths",
            path=items,
            remedy="give corpus=, or leave shift_ms= out",
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
    last_parts = {one.rpartition("/")[2] for one in ids}
    if folders and not set(files) & set(ids) and set(files) & last_parts:
        raise InputError(
            f"names files like {files[0]!r}, but ids of the {where} are paths like {ids[0]!r}",
            path=path,
            remedy="give ids='name': files are the last parts of the ids",
        )
    check_same_ids(files, ids, "items", where)


def _shifted(token: Item, shift: float) -> Item:
    """A token at another time, cut off at the beginning of the recording."""
    onset, offset = max(0.0, token.onset + shift), max(0.0, token.offset + shift)
    return token._replace(onset=onset, offset=offset)


def _nonzero(**counts: int) -> Exclusions:
    return {name: count for name, count in counts.items() if count}
