"""ELAN files: times by ELAN's rules, and what is wrong with a file."""

import random
import re
import unicodedata
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eaf import N_SAMPLE, SAMPLE, SAMPLE_2_8, eaf, mutated
from zerochain.errors import InputError
from zerochain.exchange.elan import ElanFile, elan_of
from zerochain.exchange.textgrid import Tier, matching, phones_of

PATH = Path("x.eaf")


def read(text: str | bytes) -> ElanFile:
    return elan_of(text.encode() if isinstance(text, str) else text, PATH)


def tier(file: ElanFile, name: str) -> Tier:
    return next(one for one in file.tiers if one.name == name)


def rows(one: Tier) -> list[tuple[float, float, str]]:
    return [(i.onset, i.offset, i.label) for i in (*one.intervals, *one.unlabelled)]


def n_annotations(file: ElanFile) -> int:
    return sum(len(rows(one)) for one in file.tiers)


@pytest.mark.parametrize("text", [SAMPLE, SAMPLE_2_8], ids=["3.0", "2.8"])
def test_every_annotation_has_its_times(text: str) -> None:
    file = read(text)
    assert n_annotations(file) == N_SAMPLE
    words = tier(file, "Ana's words")
    assert rows(words) == [(1.0, 2.0, "one two three <3"), (2.0, 2.5, "")]
    assert (words.kind, words.speaker, words.parent) == ("utterance", "Ana", "")
    # Steps are rounded down to whole milliseconds, as ELAN does
    assert rows(tier(file, "timed")) == [
        (1.0, 1.333, "one"),
        (1.333, 1.666, "two"),
        (1.666, 2.0, "three"),
    ]
    assert rows(tier(file, "words")) == rows(tier(file, "timed"))
    assert rows(tier(file, "pos")) == [(1.333, 1.666, "num")]
    assert rows(tier(file, "notes")) == []


def test_times_that_are_even_shares_are_known_as_that() -> None:
    """They were measured by nobody: of slots without a time, of subdivisions, and below those."""
    shares = {one.name: len(one.shares) for one in read(SAMPLE).tiers if one.shares}
    assert shares == {"timed": 3, "words": 3, "pos": 1}
    assert read(SAMPLE).tiers[0].shares == frozenset()


def test_encodings_are_read_alike() -> None:
    plain = read(SAMPLE).tiers
    assert read(b"\xef\xbb\xbf" + SAMPLE.encode()).tiers == plain
    assert read(SAMPLE.replace("UTF-8", "UTF-16").encode("utf-16")).tiers == plain
    assert read(SAMPLE.replace("UTF-8", "ISO-8859-1").encode("latin-1")).tiers == plain
    with pytest.raises(InputError, match="is declared to be in the encoding 'utf-7'"):
        read(SAMPLE.replace("UTF-8", "utf-7"))


def test_a_root_tier_s_slots_are_between_their_neighbours() -> None:
    text = SAMPLE.replace(' TIME_VALUE="2500"', "")  # between 2000 and 3500
    assert rows(tier(read(text), "Béa's words")) == [(2.75, 3.5, "yes")]
    with pytest.raises(InputError, match="'ts7' has no time, and none after it has one"):
        read(SAMPLE.replace(' TIME_VALUE="3500"', ""))


def test_children_without_links_are_in_the_file_s_order() -> None:
    text = re.sub(' PREVIOUS_ANNOTATION="a."', "", SAMPLE)
    assert [label for _, _, label in rows(tier(read(text), "words"))] == ["two", "one", "three"]


# Random trees of tiers beside a slow reading by ElementTree, in which each annotation looks for
# its parent and its siblings on its own


@st.composite
def documents(draw: Callable) -> str:
    """Root annotations, cut by a tier of subdivisions, on which up to two more depend."""
    slots, tiers, n_ids = [], [""], 0
    kinds = ["Symbolic_Subdivision", "Symbolic_Association"]
    time, above = 0, list[str]()
    for _ in range(draw(st.integers(1, 3))):
        time += draw(st.integers(0, 50))
        begin, time = time, time + draw(st.integers(1, 5000))
        n = len(slots)
        slots += [(f"s{n}", begin), (f"s{n + 1}", time)]
        n_ids += 1
        above.append(f"a{n_ids}")
        tiers[0] += (
            f'<ANNOTATION><ALIGNABLE_ANNOTATION ANNOTATION_ID="a{n_ids}" TIME_SLOT_REF1="s{n}" '
            f'TIME_SLOT_REF2="s{n + 1}"><ANNOTATION_VALUE>x</ANNOTATION_VALUE>'
            "</ALIGNABLE_ANNOTATION></ANNOTATION>"
        )
    types = ["root"]
    for level in range(draw(st.integers(1, 3))):
        types.append(draw(st.sampled_from(kinds)))
        made, ids = [], []
        for parent in above:
            most = 4 if types[-1] == kinds[0] else 1
            before = ""
            for _ in range(draw(st.integers(0, most))):
                n_ids += 1
                ids.append(f"a{n_ids}")
                link = f' PREVIOUS_ANNOTATION="{before}"' if before else ""
                made.append(
                    f'<ANNOTATION><REF_ANNOTATION ANNOTATION_ID="a{n_ids}" '
                    f'ANNOTATION_REF="{parent}"{link}><ANNOTATION_VALUE>{level}'
                    "</ANNOTATION_VALUE></REF_ANNOTATION></ANNOTATION>"
                )
                before = ids[-1]
        made = draw(st.permutations(made))
        tiers.append("".join(made))
        above = ids
    shown = "".join(f'<TIME_SLOT TIME_SLOT_ID="{s}" TIME_VALUE="{t}"/>' for s, t in slots)
    named = [
        f'<TIER TIER_ID="t{i}" LINGUISTIC_TYPE_REF="{kind}"'
        + (f' PARENT_REF="t{i - 1}">' if i else ">")
        + f"{inner}</TIER>"
        for i, (kind, inner) in enumerate(zip(types, tiers, strict=True))
    ]
    named = draw(st.permutations(named))
    defined = '<LINGUISTIC_TYPE LINGUISTIC_TYPE_ID="root"/>' + "".join(
        f'<LINGUISTIC_TYPE LINGUISTIC_TYPE_ID="{kind}" CONSTRAINTS="{kind}"/>' for kind in kinds
    )
    return (
        f"<ANNOTATION_DOCUMENT><HEADER/><TIME_ORDER>{shown}</TIME_ORDER>"
        f"{''.join(named)}{defined}</ANNOTATION_DOCUMENT>"
    )


def slow_times(text: str) -> dict[str, tuple[int, int]]:
    root = ElementTree.fromstring(text)
    slots = {s.get("TIME_SLOT_ID"): int(s.get("TIME_VALUE", "")) for s in root.iter("TIME_SLOT")}
    every = {
        a.get("ANNOTATION_ID", ""): (a, t.get("LINGUISTIC_TYPE_REF"))
        for t in root.iter("TIER")
        for a in [*t.iter("ALIGNABLE_ANNOTATION"), *t.iter("REF_ANNOTATION")]
    }

    def time(identity: str) -> tuple[int, int]:
        a, kind = every[identity]
        if a.tag == "ALIGNABLE_ANNOTATION":
            return slots[a.get("TIME_SLOT_REF1")], slots[a.get("TIME_SLOT_REF2")]
        begin, end = time(a.get("ANNOTATION_REF", ""))
        if kind == "Symbolic_Association":
            return begin, end
        n_left, at = 0, a
        while (before := at.get("PREVIOUS_ANNOTATION")) is not None:
            n_left, at = n_left + 1, every[before][0]
        n_all = sum(b.get("ANNOTATION_REF") == a.get("ANNOTATION_REF") for b, _ in every.values())
        each = (end - begin) / n_all
        return begin + int(n_left * each), begin + int((n_left + 1) * each)

    return {identity: time(identity) for identity in every}


@settings(max_examples=25)
@given(text=documents())
def test_nested_references_beside_a_slow_reading(text: str) -> None:
    found = {
        i.place.rpartition(" ")[2]: (round(i.onset * 1000), round(i.offset * 1000))
        for one in read(text).tiers
        for i in one.intervals
    }
    assert found == slow_times(text)


# What is wrong with a file


@pytest.mark.parametrize(
    ("old", "new", "found"),
    [
        ("<!-- kept", '<!DOCTYPE x [<!ENTITY e "e">]><!-- kept', "a document type definition"),
        ("</HEADER>", "</HEADER", "not well-formed"),
        ('FORMAT="3.0"', 'FORMAT="4.0"', "is of format '4.0'"),
        ('"milliseconds"', '"PAL-frames"', "in PAL-frames, not milliseconds"),
        ('TIME_SLOT_ID="ts2"', 'TIME_SLOT_ID="ts1"', "a second time slot 'ts1'"),
        ('TIME_VALUE="2500"', 'TIME_VALUE="2.5"', "'2.5' is not a time in milliseconds"),
        ('TIME_VALUE="2500"', 'TIME_VALEU="2500"', "unknown attribute TIME_VALEU"),
        ('REF1="ts5"', 'REF1="ts9"', "no time slot 'ts9'"),
        ('REF1="ts5"', 'REF1="ts7"', "runs backwards"),
        ('REF1="ts5"', 'REF1="ts6"', "begins and ends at the same time slot"),
        ('REF1="ts3"', 'REF1="ts4"', "begins and ends at the same time slot"),
        ('ANNOTATION_ID="a2"', 'ANNOTATION_ID="a1"', "a second annotation 'a1'"),
        ('ANNOTATION_REF="a7"', 'ANNOTATION_REF="b7"', "refers to 'b7', which isn't there"),
        ('ANNOTATION_REF="a7"', 'ANNOTATION_REF="a9"', "in a circle: a9"),
        ('PREVIOUS_ANNOTATION="a6"', 'PREVIOUS_ANNOTATION="a8"', "in a circle"),
        ('PREVIOUS_ANNOTATION="a7"', 'PREVIOUS_ANNOTATION="a6"', "a second annotation follows"),
        ('PREVIOUS_ANNOTATION="a7"', 'PREVIOUS_ANNOTATION="a9"', "has another parent"),
        ('TIER_ID="timed"', 'TIER_ID="words"', "two tiers have the same name"),
        ('PARENT_REF="words"', 'PARENT_REF="pos"', "tier 'pos' is above itself"),
        ('PARENT_REF="words"', 'PARENT_REF="w"', "below 'w', which isn't there"),
        ('LINGUISTIC_TYPE_ID="note"', 'LINGUISTIC_TYPE_ID="n"', "type 'note', which the file"),
        ("<TIER LING", "<TIRE LING", "ANNOTATION within TIRE"),
        ("<ANNOTATION_VALUE>num", "<VALUE/><ANNOTATION_VALUE>num", "VALUE within REF_ANNOTATION"),
        ("<ANNOTATION_VALUE>num</ANNOTATION_VALUE>", "", "REF_ANNOTATION holds nothing"),
        ("<ANNOTATION_VALUE>num", "oh<ANNOTATION_VALUE>num", "'oh' within REF_ANNOTATION"),
    ],
)
def test_refuses_and_says_where(old: str, new: str, found: str) -> None:
    assert SAMPLE.count(old) >= 1
    with pytest.raises(InputError, match=re.escape(found)) as caught:
        read(SAMPLE.replace(old, new, 1))
    assert caught.value.path == PATH
    assert caught.value.remedy


def test_entities_are_neither_fetched_nor_expanded(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("hush")
    for entity in (f'SYSTEM "{secret.as_uri()}"', '"lol"'):
        text = SAMPLE.replace("<!-- kept", f"<!DOCTYPE x [<!ENTITY e {entity}>]><!-- kept")
        with pytest.raises(InputError, match="document type definition") as caught:
            read(text.replace(">yes<", ">&e;<"))
        assert "hush" not in str(caught.value)


def test_hostile_sizes_end_soon() -> None:
    deep = "<X>" * 6_000 + "</X>" * 6_000
    assert n_annotations(read(SAMPLE.replace("</HEADER>", deep + "</HEADER>"))) == N_SAMPLE
    slots = "".join(f'<TIME_SLOT TIME_SLOT_ID="u{i}"/>' for i in range(6_000))
    begun = SAMPLE.replace("<TIME_ORDER>", "<TIME_ORDER>" + slots)
    assert n_annotations(read(begun.replace('REF1="ts6"', 'REF1="u7"'))) == N_SAMPLE
    tiers = "".join(
        f'<TIER TIER_ID="d{i}" LINGUISTIC_TYPE_REF="word" PARENT_REF="d{i + 1}"/>'
        for i in range(2000)
    )
    tiers += '<TIER TIER_ID="d2000" LINGUISTIC_TYPE_REF="word"/>'
    at = SAMPLE.index("<TIER")
    assert n_annotations(read(SAMPLE[:at] + tiers + SAMPLE[at:])) == N_SAMPLE


def test_a_thousand_damaged_files_are_read_whole_or_refused() -> None:
    rng = random.Random(17)
    n_read = 0
    for i in range(1000):
        data = mutated(rng, SAMPLE if i % 2 else SAMPLE_2_8)
        try:
            file = elan_of(data, PATH)
        except InputError:
            continue
        n_read += 1
        root = ElementTree.fromstring(data)
        values = [v.text or "" for v in root.iter() if v.tag == "ANNOTATION_VALUE"]
        found = [label for one in file.tiers for _, _, label in rows(one)]
        assert sorted(" ".join(value.split()) for value in values) == sorted(found)
        for one in file.tiers:
            for onset, offset, _ in rows(one):
                assert 0 <= onset <= offset < 2**32
    assert n_read > 100


# Choosing tiers


def test_tiers_by_name_pattern_type_and_participant() -> None:
    file = read(SAMPLE)

    def names(wanted: str) -> list[str]:
        return [one.tier.name for one in matching(file, wanted)]

    assert names("timed") == names("#2") == names("TIMED") == names("type:timed") == ["timed"]
    assert names("type:Utterance") == names("*'s words") == ["Ana's words", "Béa's words"]
    assert names("participant:béa") == names("participant:B*") == ["Béa's words"]
    with pytest.raises(InputError, match="of the linguistic types 'gloss', 'note', 'timed'"):
        names("type:phone")


def test_a_speaker_s_own_tier_is_the_participant_s() -> None:
    tiers = {"one@Ana": [(0, 1, "a")], "two@Bo": [(0.5, 1, "b")]}
    file = read(eaf(tiers, types={"one@Ana": "phone", "two@Bo": "phone"}))
    chosen = phones_of(file, "type:phone", "bo")
    assert [i.label for i in chosen.intervals] == ["b"]
    assert chosen.is_own
    with pytest.raises(InputError, match="two speakers overlap"):
        phones_of(file, "type:phone", "someone")


def test_times_are_the_recording_s() -> None:
    text = SAMPLE.replace('MIME_TYPE="audio', 'TIME_ORIGIN="500" MIME_TYPE="audio')
    file = read(text)
    assert file.media[0].names == ["My%20rec.wav", "My rec.wav"]
    assert rows(tier(file.on_recording("their/My rec"), "Béa's words")) == [(3.0, 4.0, "yes")]
    assert read(SAMPLE).on_recording("My rec").tiers == read(SAMPLE).tiers


def test_of_several_media_the_recording_s_own_counts() -> None:
    text = eaf({"t": [(0, 1, "a")]}, ["..wav", "film.mp4", "Béa.wav"])
    for media, origin in (("film.mp4", 500), ("Béa.wav", 2000)):
        text = text.replace(f'"{media}"', f'"{media}" TIME_ORIGIN="{origin}"')
    file = read(text)
    for name in ("Béa", unicodedata.normalize("NFD", "x/Béa")):
        assert file.origin_ms(name) == 2000
    assert file.origin_ms("film") == 500
    assert file.origin_ms("another") == 0
