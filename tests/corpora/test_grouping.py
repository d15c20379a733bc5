from hypothesis import given
from hypothesis import strategies as st

from zerochain.corpora.build import grouped


def test_many_files_of_one_cause_are_a_line() -> None:
    cause = "has no interval tier named phones; its interval tiers are 'words'"
    bad = [(f"{i}.TextGrid", cause) for i in range(50)]
    assert grouped(bad) == [f"50 files: {cause} (0.TextGrid, 1.TextGrid, 2.TextGrid and 47 more)"]
    assert grouped(bad[:3]) == [f"{i}.TextGrid: {cause}" for i in range(3)]


def test_numbers_and_names_make_no_other_cause() -> None:
    bad = [(f"{i}.phn", f"line {i}: '{i}' ends at {i}.5 s") for i in range(5)]
    shown = "line 0: '0' ends at 0.5 s (0.phn, 1.phn, 2.phn and 2 more)"
    first = f"5 files, such as the first of them: {shown}"
    assert grouped([*bad, ("x", "other")]) == [first, "x: other"]


def test_a_file_is_named_once() -> None:
    lines = [("a.wav", f"line {i}: '{i}' is not a channel") for i in range(2, 7)]
    assert grouped(lines) == ["a.wav: line 2: '2' is not a channel, and 4 more like it"]
    assert grouped([*lines, ("b.wav", "line 8: '0' is not a channel")]) == [
        "2 files, such as the first of them: line 2: '2' is not a channel (a.wav, b.wav)"
    ]


@given(st.lists(st.tuples(st.text(min_size=1), st.sampled_from("abc")), max_size=30))
def test_every_cause_is_shown(bad: list[tuple[str, str]]) -> None:
    lines = grouped(bad)
    assert len(lines) <= len(bad)
    for cause in {cause for _, cause in bad}:
        assert any(f": {cause}" in line for line in lines)
