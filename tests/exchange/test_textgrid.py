"""TextGrids in both text formats and both encodings."""

import re
from pathlib import Path

import pytest

from zerochain.errors import InputError
from zerochain.exchange.textgrid import Interval, phones_of, read_textgrid, textgrid_text

LONG = """File type = "ooTextFile"
Object class = "TextGrid"

xmin = 0
xmax = 1.5
tiers? <exists>
size = 3
item []:
    item [1]:
        class = "IntervalTier"
        name = "words"
        xmin = 0
        xmax = 1.5
        intervals: size = 1
        intervals [1]:
            xmin = 0
            xmax = 1.5
            text = "say ""3 4"" [5]"
    item [2]:
        class = "TextTier"
        name = "bells"
        xmin = 0
        xmax = 1.5
        points: size = 1
        points [1]:
            number = 0.7
            mark = "ding"
    item [3]:
        class = "IntervalTier"
        name = "phones"
        xmin = 0
        xmax = 1.5
        intervals: size = 3
        intervals [1]:
            xmin = 0
            xmax = 0.25
            text = "ʃ"
        intervals [2]:
            xmin = 0.25
            xmax = 0.5
            text = ""
        intervals [3]:
            xmin = 0.5
            xmax = 1.5
            text = "aː"
"""
SHORT = """File type = "ooTextFile"
Object class = "TextGrid"

0
1.5
<exists>
3
"IntervalTier"
"words"
0
1.5
1
0
1.5
"say ""3 4"" [5]"
"TextTier"
"bells"
0
1.5
1
0.7
"ding"
"IntervalTier"
"phones"
0
1.5
3
0
0.25
"ʃ"
0.25
0.5
""
0.5
1.5
"aː"
"""
OLD = SHORT.replace('"ooTextFile"\nObject class = ', '"ooTextFile short"\n', 1)
"""The short format as old versions of Praat began it."""


def labels(path: Path, tier: str | None = None, speaker: str | None = None) -> list[Interval]:
    return phones_of(read_textgrid(path), tier, speaker).intervals


def written(folder: Path, *tiers: tuple[str, list[tuple[float, float, str]]]) -> Path:
    """A TextGrid of 1 s whose tiers may share a name."""
    path = folder / "a.TextGrid"
    text = textgrid_text(1, {f"{i}|{name}": line for i, (name, line) in enumerate(tiers)})
    path.write_text(re.sub(r'"\d+\|', '"', text), encoding="utf-8")
    return path


@pytest.mark.parametrize("text", [LONG, SHORT, OLD], ids=["long", "short", "old"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_both_formats_in_both_encodings(tmp_path: Path, text: str, encoding: str) -> None:
    path = tmp_path / "a.TextGrid"
    path.write_text(text, encoding=encoding)
    assert [i[1:] for i in labels(path)] == [(0, 0.25, "ʃ"), (0.5, 1.5, "aː")]
    assert [i.label for i in labels(path, "words")] == ['say "3 4" [5]']
    grid = read_textgrid(path)
    assert (grid.start_s, grid.end_s) == (0, 1.5)
    assert [tier.has_points for tier in grid.tiers] == [False, True, False]


def test_big_endian_as_praat_writes_it(tmp_path: Path) -> None:
    path = tmp_path / "a.TextGrid"
    path.write_bytes(b"\xfe\xff" + SHORT.encode("utf-16-be"))
    assert len(labels(path)) == 2


def test_comments_behind_exclamation_marks_are_none_of_its_numbers(tmp_path: Path) -> None:
    path = tmp_path / "a.TextGrid"
    path.write_text(LONG, encoding="utf-8")
    wanted = read_textgrid(path)
    lines = [f'{line} ! 3 of "Ana" <exists>' for line in LONG.splitlines()]
    path.write_text("\n".join([*lines, '! 7 "more"']), encoding="utf-8")
    assert read_textgrid(path) == wanted
    path.write_text('"ooTextFile" "TextGrid" 0 1. <exists> 1 "IntervalTier" "a" 0 1 1 .5 1 "! 2"')
    assert read_textgrid(path).tiers[0].intervals[0][1:] == (0.5, 1, "! 2")


def test_missing_tiers_are_listed(tmp_path: Path) -> None:
    path = tmp_path / "a.TextGrid"
    path.write_text(LONG)
    with pytest.raises(InputError, match=r"no interval tier 'segs'; .* 'words', 'phones'"):
        labels(path, "segs")
    with pytest.raises(InputError) as caught:
        labels(path, "phonse")
    assert "tier='phones'" in str(caught.value.remedy)
    with pytest.raises(InputError, match=r"'bells' .tier 2. is a point tier"):
        labels(path, "Bells")
    path.write_text(LONG.replace('"phones"', '"Segments"'))
    with pytest.raises(InputError, match=r"tier named phones; .* 'words', 'Segments'"):
        labels(path)
    assert len(labels(path, "Segments")) == 2


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "in the middle of its header"),
        (LONG[: len(LONG) // 2].encode(), "in the middle"),
        (SHORT[:-30].encode(), "in the middle of tier 3 'phones', which declares 3"),
        (SHORT.replace("TextGrid", "Pitch 1").encode(), "not a TextGrid"),
        (SHORT.replace("0.25\n", '"x"\n', 1).encode(), "instead of a number"),
        (SHORT.replace('"ʃ"', "7").encode(), "instead of a label"),
        (SHORT.replace("1.5\n1\n", "1.5\n1e999\n", 1).encode(), "instead of a count"),
        (SHORT.replace("1.5\n1\n", "1.5\n-1\n", 1).encode(), "instead of a count"),
        (SHORT.replace("IntervalTier", "Tier").encode(), "unknown class, 'Tier'"),
        (b"ooBinaryFile\x08TextGrid", "binary format"),
        (SHORT.encode("latin-1", "replace") + b"\xe9", "neither UTF-8 nor UTF-16"),
        (SHORT.encode("utf-16-le"), "neither UTF-8 nor UTF-16 with a byte-order mark"),
        (b'"Praat chronological TextGrid text file"\n0 1\n', "chronological format"),
    ],
)
def test_damaged_files_are_refused(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "a.TextGrid"
    path.write_bytes(content)
    with pytest.raises(InputError, match=said) as caught:
        read_textgrid(path)
    assert caught.value.remedy


@pytest.mark.parametrize("text", [LONG, SHORT], ids=["long", "short"])
@pytest.mark.parametrize("tier", [1, 3])
def test_every_tier_holds_what_it_declares(tmp_path: Path, text: str, tier: int) -> None:
    """One interval more or less than declared, of the last tier as of any other."""
    there = {1: 1, 3: 3}[tier]
    path, before = tmp_path / "a.TextGrid", text.split('IntervalTier"')
    for declared in range(there + 3):
        if declared == there:
            continue
        part = before[1 if tier == 1 else 2]
        old, new = (f"size = {n}\n" if text is LONG else f"1.5\n{n}\n" for n in (there, declared))
        assert old in part
        changed = [p.replace(old, new, 1) if p is part else p for p in before]
        path.write_text('IntervalTier"'.join(changed), encoding="utf-8")
        with pytest.raises(InputError, match=f"tier {tier} .*which declares {declared}"):
            read_textgrid(path)


@pytest.mark.parametrize("time", ["xmax = 0,5", "0,5"])
def test_decimal_commas_are_named_as_that(tmp_path: Path, time: str) -> None:
    lines = ['"ooTextFile"', '"TextGrid"', "0", "1", "<exists>", "1", '"IntervalTier"', '"a"']
    lines += ["0", "1", "2", "0", time, '"x, 1,5"', time, "1", '"y"']
    (tmp_path / "a.TextGrid").write_text("\n".join(lines))
    with pytest.raises(
        InputError, match=r"the time '0,5'\n  likely cause: the decimal point is a c"
    ):
        read_textgrid(tmp_path / "a.TextGrid")
    (tmp_path / "a.TextGrid").write_text("\n".join(lines).replace(time, "0.5"))
    assert len(read_textgrid(tmp_path / "a.TextGrid").tiers[0].intervals) == 2


def test_wherever_a_file_is_cut_it_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "a.TextGrid"
    for text in (LONG, SHORT):
        for end in range(len(text.rstrip()) - 1, 0, -7):
            path.write_text(text[:end], encoding="utf-8")
            with pytest.raises(InputError):
                read_textgrid(path)


def test_labels_are_composed_and_without_line_ends(tmp_path: Path) -> None:
    path = written(tmp_path, ("phonés", [(0, 0.5, "e\u0301"), (0.5, 1, " a\n b ")]))
    found = labels(path, "phone\u0301s")
    assert [one.label for one in found] == ["é", "a b"]


@pytest.mark.parametrize(
    ("tier", "names"),
    [
        ("Phones", ["phones", "Phones"]),
        ("PHONES", ["words", "phones"]),
        ("#2", ["phones", "phones"]),
        ("* - phones", ["words", "ana - phones"]),
        ("* - PHONES", ["words", "ana - phones"]),
        ("*[ab]*", ["#2", "a [ab] b"]),
        ("[x]", ["x", "[x]"]),
        (None, ["ana - words", "ana - phones"]),
        (None, ["ana - phones", "Phones"]),
        (None, ["ORT-MAU", "MAU"]),
        (None, ["wd@ana", "ph@ana"]),
    ],
)
def test_tiers_are_found(tmp_path: Path, tier: str | None, names: list[str]) -> None:
    """The second is meant: a name goes before one in another case, that before a pattern."""
    path = written(tmp_path, (names[0], [(0, 1, "x")]), (names[1], [(0, 1, "yes")]))
    assert [one.label for one in labels(path, tier)] == ["yes"]


LINE = [(0.0, 0.5, "p"), (0.5, 1.0, "a")]


def test_of_two_tiers_of_a_name_the_one_with_labels_is_taken(tmp_path: Path) -> None:
    path = written(tmp_path, ("phones", []), ("phones", LINE))
    intervals, note, _ = phones_of(read_textgrid(path))
    assert [one.label for one in intervals] == ["p", "a"]
    assert note == "'phones' (tier 1) is empty; 'phones' (tier 2) was taken"
    path = written(tmp_path, ("phones", LINE), ("phones", LINE[:1]))
    with pytest.raises(InputError, match="2 tiers named 'phones' that hold labels: tiers 1, 2"):
        labels(path)
    assert len(labels(path, "#1")) == 2
    assert len(labels(path, "#2")) == 1
    assert labels(written(tmp_path, ("phones", []))) == []
    path = written(tmp_path, ("phones", []), ("ana - phones", LINE))
    assert len(labels(path)) == 2


def test_another_tier_that_might_be_meant_is_named(tmp_path: Path) -> None:
    path = written(tmp_path, ("phones", LINE), ("phonemes", [(0, 1, "x")]))
    intervals, note, _ = phones_of(read_textgrid(path))
    assert len(intervals) == 2
    assert note == "'phones' (tier 1) was taken, 'phonemes' (tier 2) not"


def test_tiers_of_several_speakers(tmp_path: Path) -> None:
    turns = written(
        tmp_path,
        ("ana - phones", [(0, 0.4, "p"), (0.4, 1, "sil")]),
        ("bob_b - phones", [(0.5, 1, "a")]),
    )
    assert [one.label for one in labels(turns, speaker="Ana")] == ["p", "sil"]
    assert [one.label for one in labels(turns, speaker="bob_b")] == ["a"]
    for unknown in (None, "eva", "a", "bob"):
        intervals, note, is_own = phones_of(read_textgrid(turns), speaker=unknown)
        assert [one.label for one in intervals] == ["p", "a"]
        assert "were joined" in note
        assert not is_own
    both = written(tmp_path, ("ana - phones", LINE), ("bob - phones", LINE))
    with pytest.raises(InputError, match=r"2 tiers of phones, 'ana - phones' .tier 1."):
        labels(both)
    assert len(labels(both, speaker="bob")) == 2
    with pytest.raises(InputError) as caught:
        labels(both, "eva - phones")
    assert "tier='* - phones'" in str(caught.value.remedy)
