"""The items that ABX compares: cut from a corpus's gold phones, or read from an .item file."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

from zerochain.errors import InputError
from zerochain.formats.corpus import Corpus, read_corpus
from zerochain.formats.identity import check_same_ids, ids_by_name
from zerochain.formats.phones import PHONES_FILE, Phones, read_phones
from zerochain.metrics.abx_protocol import TRIPHONE, Protocol
from zerochain.metrics.items import (
    Exclusions,
    Item,
    phone_items,
    read_items,
    triphone_items,
    write_items,
)
from zerochain.metrics.silences import SILENCES


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
