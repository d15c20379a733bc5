"""The text of an .eaf file and where its elements are, for reading and for careful editing.

A file is parsed by expat, which reports the place of each element, so that a copy can get more
tiers and stay the same byte for byte elsewhere (`elan_export`). Elements that hold annotations and
times may hold nothing else: what doesn't belong there may be an annotation gone wrong, and passing
over it would lose it. A document type definition is refused, and entities with it: nothing is
fetched and nothing expands.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from xml.parsers import expat

from zerochain.errors import listed

_ROOT = "ANNOTATION_DOCUMENT"
_ANNOTATIONS = {"ALIGNABLE_ANNOTATION", "REF_ANNOTATION"}
_INSIDE = {
    "HEADER": {_ROOT},
    "TIME_ORDER": {_ROOT},
    "TIME_SLOT": {"TIME_ORDER"},
    "TIER": {_ROOT},
    "ANNOTATION": {"TIER"},
    "ALIGNABLE_ANNOTATION": {"ANNOTATION"},
    "REF_ANNOTATION": {"ANNOTATION"},
    "ANNOTATION_VALUE": _ANNOTATIONS,
    "LINGUISTIC_TYPE": {_ROOT},
    "MEDIA_DESCRIPTOR": {"HEADER"},
}
"""Elements that are read, and where they have to be."""
_FULL = {"TIME_ORDER", "TIER", "ANNOTATION", "ANNOTATION_VALUE", *_ANNOTATIONS}
"""Elements that hold nothing but these: anything else there may be an annotation gone wrong."""
_REQUIRED = {
    "TIME_SLOT": ("TIME_SLOT_ID",),
    "TIER": ("TIER_ID", "LINGUISTIC_TYPE_REF"),
    "ALIGNABLE_ANNOTATION": ("ANNOTATION_ID", "TIME_SLOT_REF1", "TIME_SLOT_REF2"),
    "REF_ANNOTATION": ("ANNOTATION_ID", "ANNOTATION_REF"),
    "LINGUISTIC_TYPE": ("LINGUISTIC_TYPE_ID",),
}
_OPTIONAL = {
    "TIME_SLOT": {"TIME_VALUE"},
    "TIER": {"PARTICIPANT", "ANNOTATOR", "DEFAULT_LOCALE", "PARENT_REF", "EXT_REF", "LANG_REF"},
    "ALIGNABLE_ANNOTATION": {"SVG_REF", "EXT_REF", "LANG_REF", "CVE_REF"},
    "REF_ANNOTATION": {"PREVIOUS_ANNOTATION", "EXT_REF", "LANG_REF", "CVE_REF"},
    "LINGUISTIC_TYPE": {
        "TIME_ALIGNABLE",
        "CONSTRAINTS",
        "GRAPHIC_REFERENCES",
        "CONTROLLED_VOCABULARY_REF",
        "EXT_REF",
        "LEXICON_REF",
    },
}
"""A misspelt optional attribute would change times or lose a parent without a word."""


@dataclass(frozen=True)
class Element:
    """An element of a file that a copy may be changed at: its attributes and where it is."""

    name: str
    attributes: Mapping[str, str]
    line: int
    begin: int
    """Of the start tag, in bytes of the text as UTF-8."""
    end: int = -1
    """Behind the end tag."""
    inner_end: int = -1
    """Before the end tag; -1 of an element that is a single tag."""
    inner_begin: int = -1
    """Behind the start tag."""
    value: str = ""
    parts: tuple[Element, ...] = ()


@dataclass(frozen=True)
class Document:
    """A file's text and those of its elements that hold annotations."""

    text: bytes
    """As UTF-8."""
    encoding: str
    """Of the file."""
    bom: bytes
    root: Element

    @classmethod
    def parsed(cls, data: bytes) -> Document:
        """Parse a file.

        Raises:
            ExpatError, ValueError: not an .eaf file, or damaged (`zerochain.exchange.xml_tree`).
        """
        text, encoding, bom = _decoded(data)
        return cls(text, encoding, bom, _Parser(text).root())

    def encoded(self, text: bytes) -> bytes:
        """A text of UTF-8 in the file's own encoding."""
        return self.bom + text.decode().encode(self.encoding, "xmlcharrefreplace")

    def all(self, name: str) -> tuple[Element, ...]:
        """The elements of a name below the root."""
        return tuple(one for one in self.root.parts if one.name == name)

    @cached_property
    def tiers(self) -> tuple[Element, ...]:
        return self.all("TIER")

    @cached_property
    def time_order(self) -> Element:
        return self.all("TIME_ORDER")[0]

    @cached_property
    def media(self) -> tuple[Element, ...]:
        parts = self.all("HEADER")[0].parts
        return tuple(one for one in parts if one.name == "MEDIA_DESCRIPTOR")


_BOMS = {
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF16_LE: "utf-16-le",
    codecs.BOM_UTF16_BE: "utf-16-be",
}
_DECLARED = re.compile(rb"""<\?xml[^>]*?encoding\s*=\s*["']([A-Za-z0-9._-]+)["']""")
_ENCODING = re.compile(r"utf-?8|us-ascii|ascii|iso-?8859-\d+|latin-1|windows-125\d|cp125\d", re.I)


def _decoded(data: bytes) -> tuple[bytes, str, bytes]:
    """The text as UTF-8, its encoding and its byte-order mark."""
    bom = next((mark for mark in _BOMS if data.startswith(mark)), b"")
    declared = _DECLARED.match(data[:200])
    encoding = _BOMS[bom] if bom else declared[1].decode() if declared else "utf-8"
    if not bom and not _ENCODING.fullmatch(encoding):
        raise ValueError(f"it is declared to be in the encoding {encoding!r}")
    try:
        return data[len(bom) :].decode(encoding).encode(), encoding, bom
    except (UnicodeError, LookupError) as error:
        raise ValueError(f"it is not text in {encoding} ({error})") from error


_TAG = re.compile(rb"""<(?:[^"'>]|"[^"]*"|'[^']*')*>""")


@dataclass
class _Open:
    """An element whose end hasn't been reached."""

    element: Element
    is_single: bool
    """Whether it is a single tag, <A/>."""
    parts: list[Element]
    text: list[str]


class _Parser:
    """Turns a text into elements; raises ValueError with the line of what doesn't belong there."""

    def __init__(self, text: bytes) -> None:
        self._text = text
        self._open: list[_Open] = []
        self._root: Element | None = None
        # The text is UTF-8 by now, whatever its first line declares.
        self._expat = expat.ParserCreate("utf-8", namespace_separator=" ")
        self._expat.buffer_text = True
        self._expat.StartDoctypeDeclHandler = self._doctype
        self._expat.StartElementHandler = self._start
        self._expat.EndElementHandler = self._end
        self._expat.CharacterDataHandler = self._characters

    def root(self) -> Element:
        self._expat.Parse(self._text, True)
        assert self._root is not None
        names = [one.name for one in self._root.parts]
        for name in ("HEADER", "TIME_ORDER"):
            if names.count(name) != 1:
                raise ValueError(f"it has {names.count(name) or 'no'} {name}")
        units = next(one for one in self._root.parts if one.name == "HEADER").attributes
        if units.get("TIME_UNITS", "milliseconds") != "milliseconds":
            raise ValueError(f"its times are in {units['TIME_UNITS']}, not milliseconds")
        return self._root

    def _doctype(self, *_: object) -> None:
        raise ValueError(
            f"line {self._expat.CurrentLineNumber}: it has a document type definition, which ELAN "
            "never writes and zerochain doesn't follow"
        )

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        line, begin = self._expat.CurrentLineNumber, self._expat.CurrentByteIndex
        above = self._open[-1].element.name if self._open else ""
        if not above and name != _ROOT:
            raise ValueError(f"it begins with {name}, not {_ROOT}")
        if not above:
            _check_format(attributes)
        elif above not in _INSIDE.get(name, set() if above in _FULL else {above}):
            raise ValueError(f"line {line}: {name} within {above}")
        for key in _REQUIRED.get(name, ()):
            if key not in attributes:
                raise ValueError(f"line {line}: {name} without {key}")
        if name in _OPTIONAL:
            for key in attributes:
                if key not in _OPTIONAL[name] and key not in _REQUIRED[name]:
                    raise ValueError(f"line {line}: {name} with the unknown attribute {key}")
        tag = _TAG.match(self._text, begin)
        assert tag is not None  # expat has read it
        single = tag[0].endswith(b"/>")
        element = Element(name, attributes, line, begin, tag.end(), inner_begin=tag.end())
        self._open.append(_Open(element, single, [], []))

    def _end(self, name: str) -> None:
        one, at = self._open.pop(), self._expat.CurrentByteIndex
        done = replace(
            one.element,
            end=one.element.end if one.is_single else self._text.index(b">", at) + 1,
            inner_end=-1 if one.is_single else at,
            value="".join(one.text),
            parts=tuple(one.parts),
        )
        _check_parts(done)
        if self._open:
            if name in _INSIDE:
                self._open[-1].parts.append(done)
        else:
            self._root = done

    def _characters(self, text: str) -> None:
        if not self._open:
            return
        name = self._open[-1].element.name
        if name == "ANNOTATION_VALUE":
            self._open[-1].text.append(text)
        elif name in _FULL and text.strip():
            line = self._expat.CurrentLineNumber
            raise ValueError(f"line {line}: {text.strip()[:20]!r} within {name}")


def _check_format(attributes: Mapping[str, str]) -> None:
    version = attributes.get("FORMAT", "2.0")
    if not re.fullmatch(r"[23]\.\d+", version):
        raise ValueError(f"it is of format {version!r}; 2.0 to 3.0 are read")


def _check_parts(done: Element) -> None:
    """Raise ValueError unless an annotation is one annotation with one value."""
    names = [one.name for one in done.parts]
    if (done.name == "ANNOTATION" or done.name in _ANNOTATIONS) and len(names) != 1:
        held = listed(names) or "nothing"
        raise ValueError(f"line {done.line}: {done.name} holds {held}, and not one of them")


def annotations_of(tier: Element) -> Iterator[Element]:
    """A tier's ALIGNABLE_ANNOTATIONs and REF_ANNOTATIONs."""
    for wrapper in tier.parts:
        yield wrapper.parts[0]
