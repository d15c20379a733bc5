"""FLEx's .flextext: interlinear texts whose phrases have times, given by ELAN or SayMore.

A phrase is an utterance; its text is its own item "txt" or else its words, and its translations and
notes are tiers below it, called by their type and language: "gls-en". Each speaker has tiers of
their own. Times are milliseconds of the recording.
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from xml.etree.ElementTree import Element

from zerochain.errors import InputError, counted
from zerochain.exchange.elan import ElanTiers, Media
from zerochain.exchange.textgrid import Interval, Tier
from zerochain.exchange.xml_tree import LINE, read_tree, reading
from zerochain.formats.identity import composed

SUFFIX = ".flextext"
PROGRAM = "FLEx"
KIND = "phrases"
"""The linguistic type of the tiers of utterances."""
_BEGIN, _END = "begin-time-offset", "end-time-offset"


def read_flextext(path: Path) -> ElanTiers:
    """A tier of phrases of each speaker, tiers of what belongs to them, and the recording.

    Raises:
        InputError: not such a file, damaged, phrases without times, or texts of several recordings.
    """
    root = read_tree(path, "document", PROGRAM)
    phrases = list(root.iter("phrase"))
    lost = [one for one in phrases if one.get(_BEGIN) is None or one.get(_END) is None]
    if lost:
        raise InputError(
            f"{counted(len(lost), 'phrase')} of {len(phrases)} without times, the first in line "
            f"{lost[0].get(LINE)}",
            path=path,
            cause="FLEx itself aligns nothing: times come from ELAN or SayMore",
            remedy="align them in ELAN and give the .eaf, or delete them from a copy",
        )
    used = {one.get("media-file", "") for one in phrases}
    media = [one for one in root.iter("media") if one.get("guid", "") in used or used == {""}]
    if len(used) > 1 or len(media) > 1:
        raise InputError(
            f"texts of {max(len(used), len(media))} recordings",
            path=path,
            remedy="export each text from FLEx into a file of its own",
        )
    with reading(path, PROGRAM):
        tiers = _tiers(phrases)
    return ElanTiers(tiers, tuple(Media(one.get("location", ""), "", 0) for one in media))


def _tiers(phrases: list[Element]) -> tuple[Tier, ...]:
    speakers = {one: composed(" ".join(one.get("speaker", "").split())) for one in phrases}
    several = len(set(speakers.values())) > 1
    texts: dict[str, list[Interval]] = defaultdict(list)
    empty: dict[str, list[Interval]] = defaultdict(list)
    items: dict[tuple[str, str], list[Interval]] = defaultdict(list)
    for phrase, speaker in speakers.items():
        onset, offset = (_seconds(phrase, name) for name in (_BEGIN, _END))
        place = f"line {phrase.get(LINE)}"
        if offset < onset:
            raise ValueError(f"{place}: the phrase ends before it begins")
        text = Interval(place, onset, offset, _text(phrase))
        (texts if text.label else empty)[speaker].append(text)
        for one in phrase.findall("item"):
            if one.get("type") != "txt" and (label := _label(one)):
                kind = f"{one.get('type', '')}-{one.get('lang', '')}"
                items[speaker, kind].append(text._replace(label=label))
    made: list[Tier] = []
    for speaker in dict.fromkeys(speakers.values()):
        of = f"@{speaker or 'unknown'}" if several else ""
        above = f"{KIND}{of}"
        line, blank = tuple(texts[speaker]), tuple(empty[speaker])
        made.append(Tier(above, line, kind=KIND, speaker=speaker, unlabelled=blank))
        for (whose, kind), held in items.items():
            if whose == speaker:
                made.append(
                    Tier(f"{kind}{of}", tuple(held), kind=kind, speaker=speaker, parent=above)
                )
    return tuple(made)


def _text(phrase: Element) -> str:
    """The text of a phrase in its first language, or its words with their punctuation."""
    own = next((one for one in phrase.findall("item") if one.get("type") == "txt"), None)
    if own is not None and (label := _label(own)):
        return label
    words: list[str] = []
    for word in phrase.iter("word"):
        item = next((i for i in word.findall("item") if i.get("type") in {"txt", "punct"}), None)
        if item is None or not (label := _label(item)):
            continue
        if item.get("type") == "punct" and words:
            words[-1] += label
        else:
            words.append(label)
    return " ".join(words)


def _label(item: Element) -> str:
    return composed(" ".join("".join(item.itertext()).split()))


def _seconds(phrase: Element, name: str) -> float:
    text = phrase.get(name, "")
    if not text.isascii() or not text.isdigit():
        raise ValueError(f"line {phrase.get(LINE)}: {name} is {text!r}, not milliseconds")
    return int(text) / 1000
