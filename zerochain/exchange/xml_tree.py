"""XML files of other programs: what is wrong with them, and small ones as trees.

Nothing that XML could fetch or expand is followed.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

from zerochain.errors import InputError


def read_tree(path: Path, root: str, program: str) -> Element:
    """The root element of a file; each element has its line as the attribute " line".

    A document type that names an external definition, as Transcriber writes, is passed over and
    not fetched; definitions of one's own, and entities of either, are refused.

    Args:
        root: how the root element is called.
        program: what writes such files, for errors.

    Raises:
        InputError: not such a file, or damaged.
    """
    builder, parser = TreeBuilder(), expat.ParserCreate()
    parser.buffer_text = True

    def start(name: str, attributes: dict[str, str]) -> None:
        # A blank begins no attribute's name, so that this one is nobody else's.
        builder.start(name, attributes | {LINE: str(parser.CurrentLineNumber)})

    def doctype(_name: str, _system: object, _public: object, has_subset: int) -> None:
        if has_subset:
            raise ValueError("it defines a document type of its own")

    def entity(name: str, *_: Any) -> None:
        raise ValueError(f"line {parser.CurrentLineNumber}: the entity {name!r} is not expanded")

    parser.StartElementHandler = start
    parser.EndElementHandler = builder.end
    parser.CharacterDataHandler = builder.data
    parser.StartDoctypeDeclHandler = doctype
    parser.EntityDeclHandler = entity
    parser.SkippedEntityHandler = entity
    data = path.read_bytes()
    with reading(path, program):
        try:
            parser.Parse(data, True)
        except LookupError as error:  # an encoding that Python doesn't have
            raise ValueError(str(error)) from error
        found = builder.close()
        if found.tag != root:
            raise ValueError(f"it begins with {found.tag}, not {root}")
    return found


LINE = " line"
"""The attribute that holds an element's line."""


@contextmanager
def reading(path: Path, program: str) -> Iterator[None]:
    """Turn errors of XML, and a reader's ValueErrors, into an InputError about the file.

    Raises:
        InputError: either of them, with its text as the reason.
    """
    try:
        yield
    except InputError:
        raise
    except (expat.ExpatError, ValueError) as error:
        raise InputError(
            f"is not a file of {program} that can be read: {error}",
            path=path,
            cause=f"it was cut short, or edited or written by another program than {program}",
            remedy=f"open it in {program} and save it again",
        ) from error
