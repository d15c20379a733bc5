"""Alignments: formats, matching by id, mending of rounding, refusal of the rest."""

from pathlib import Path

import pytest

from zerochain.corpora.alignments import read_alignments, read_phn
from zerochain.errors import InputError
from zerochain.formats.phones import Phone


def phn(folder: Path, name: str, *lines: str) -> Path:
    path = folder / f"{name}.phn"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


def test_seconds_and_samples_give_the_same(tmp_path: Path) -> None:
    phn(tmp_path, "a", "0.0000 0.5000 h#", "0.5000 0.7500 ʃ")
    phn(tmp_path, "b", "0 8000 h#", "8000 12000 ʃ")
    phones, bad = read_alignments(tmp_path, {"a": 0.75, "b": 0.75})
    assert phones.by_id["a"] == phones.by_id["b"] == [Phone(0, 0.5, "h#"), Phone(0.5, 0.75, "ʃ")]
    assert bad == []


def test_whole_seconds_are_not_samples(tmp_path: Path) -> None:
    path = phn(tmp_path, "a", "0 1 A", "1 3 B")
    assert [interval.offset for interval in read_phn(path, 3.0)] == [1, 3]


def test_one_decimal_point_makes_them_seconds(tmp_path: Path) -> None:
    path = phn(tmp_path, "a", "0 1000.0 A")
    assert read_phn(path, 2.0)[0].offset == 1000  # which is then refused as beyond the end


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (["0 1"], "line 1: 'onset offset phone' expected"),
        (["0.0 0.5 A", "", "0.5 x B"], "line 3: 'x' is not a time"),
        (["0.0 nan A"], "'nan' is not a time"),
        (["0.0 0.5 A", "0.49 0.6 B"], "line 2: 'B' from 0.49"),
        (["0.0 0.5 A", "0.5 0.5 B"], "line 2: 'B' from 0.5 to 0.5"),
        (["0.5 0.2 A"], "line 1: 'A' from 0.5 to 0.2"),
        (["-0.5 0.2 A"], "line 1"),
        (["0.0 1.06 A"], "ends at 1.06 s, the utterance at 1.000 s"),
        (["0.0 1.0 A", "1.0 1.04 B"], "lasts no time in the recording"),
        ([], "holds no phone"),
    ],
)
def test_bad_alignments_are_listed_not_dropped(tmp_path: Path, lines: list[str], said: str) -> None:
    path = phn(tmp_path, "a", *lines)
    phones, bad = read_alignments(tmp_path, {"a": 1.0})
    assert phones.by_id == {}
    assert [entry.file for entry in bad] == [str(path)]
    assert said in bad[0].reason


def test_rounding_is_mended(tmp_path: Path) -> None:
    phn(tmp_path, "a", "0.0 0.5005 A", "0.5 1.04 B")
    phones, bad = read_alignments(tmp_path, {"a": 1.0})
    assert phones.by_id == {"a": [Phone(0, 0.5005, "A"), Phone(0.5005, 1.0, "B")]}
    assert bad == []


def test_gaps_stay(tmp_path: Path) -> None:
    phn(tmp_path, "a", "0.1 0.2 A", "0.5 0.6 B")
    assert [p.onset for p in read_alignments(tmp_path, {"a": 1.0})[0].by_id["a"]] == [0.1, 0.5]


def test_matching_by_path_or_name(tmp_path: Path) -> None:
    phn(tmp_path, "anna/a", "0.0 0.5 A")
    phn(tmp_path, "train/x/b", "0.0 0.5 B")
    phones, _ = read_alignments(tmp_path, {"anna/a": 1.0, "b": 1.0, "c": 1.0})
    assert set(phones.by_id) == {"anna/a", "b"}


def test_alignments_without_a_recording_are_refused(tmp_path: Path) -> None:
    for name in ("a", "b", "x", "y"):
        phn(tmp_path, name, "0.0 0.5 A")
    with pytest.raises(InputError, match="2 of 4 alignments belong to no recording: x, y"):
        read_alignments(tmp_path, {"a": 1.0, "b": 1.0})
    phones, bad = read_alignments(tmp_path, {"a": 1.0, "b": 1.0}, frozenset({"x", "y"}))
    assert set(phones.by_id) == {"a", "b"}
    assert bad == []


def test_two_alignments_of_one_utterance_are_refused(tmp_path: Path) -> None:
    phn(tmp_path, "a", "0.0 0.5 A")
    (tmp_path / "words.ctm").write_text("a 1 0.0 0.5 A\n")
    with pytest.raises(InputError, match="1 utterances have two alignments: a"):
        read_alignments(tmp_path, {"a": 1.0})


def test_ctm(tmp_path: Path) -> None:
    path = tmp_path / "phones.ctm"
    path.write_text(";; made by hand\na 1 0.0 0.5 A\nb 1 0.0 0.25 B\na 1 0.5 0.25 C 0.98\n")
    phones, _ = read_alignments(path, {"a": 1.0, "b": 1.0})
    assert phones.by_id == {
        "a": [Phone(0, 0.5, "A"), Phone(0.5, 0.75, "C")],
        "b": [Phone(0, 0.25, "B")],
    }


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a 1 0.0 A\n", "line 1: 'id channel onset duration phone' expected"),
        ("a 1 0.0 0.5 A\na 2 0.5 0.5 B\n", "line 2: 'a' has several channels"),
        ("a 1 0.0 inf A\n", "line 1: 'inf' is not a time"),
    ],
)
def test_bad_ctm(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "phones.ctm").write_text(text)
    with pytest.raises(InputError, match=said):
        read_alignments(tmp_path, {"a": 1.0})


def test_no_alignments_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no alignment"):
        read_alignments(tmp_path, {"a": 1.0})
    with pytest.raises(InputError, match="no such file or folder"):
        read_alignments(tmp_path / "gone", {"a": 1.0})
