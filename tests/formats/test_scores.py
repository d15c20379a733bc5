import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from children import start
from zerochain.errors import InputError
from zerochain.formats.scores import Score, append_scores, read_scores

text = st.text(st.characters(codec="utf-8"))
numbers = st.floats(allow_nan=False, allow_infinity=False)
scores = st.builds(
    Score,
    metric=text,
    value=numbers,
    interval=st.none() | st.tuples(numbers, numbers).map(lambda ends: (min(ends), max(ends))),
    n=st.integers(0, 10**9),
    protocol=text,
    system=text,
    inputs=st.dictionaries(text, text, max_size=3),
    options=st.dictionaries(text, st.integers() | text | st.none(), max_size=3),
)


def score(**changes: Any) -> Score:
    defaults = {"metric": "m", "value": 1.0, "interval": None, "n": 1, "protocol": "p"}
    return Score(**{**defaults, "system": "s", "inputs": {}, **changes})


@given(first=st.lists(scores, max_size=4), second=st.lists(scores, max_size=4))
def test_reads_what_was_appended(
    tmp_path_factory: Any, first: list[Score], second: list[Score]
) -> None:
    path = tmp_path_factory.mktemp("s") / "scores.jsonl"
    append_scores(path, first)
    append_scores(path, second)
    assert read_scores(path) == first + second


def test_line_separators_inside_a_name_split_nothing(tmp_path: Path) -> None:
    names = ["a\u2028b", "a\u2029b", "a\x85b", "a\nb", "a\rb", "a\x0bb"]
    append_scores(tmp_path / "s.jsonl", [score(system=name) for name in names])
    assert [s.system for s in read_scores(tmp_path / "s.jsonl")] == names


@pytest.mark.parametrize("end", ["", "\n", "\r\n", "\n\n"])
def test_appends_after_an_edited_last_line(tmp_path: Path, end: str) -> None:
    path = tmp_path / "s.jsonl"
    append_scores(path, [score(value=1.0)])
    path.write_bytes(path.read_bytes().rstrip() + end.encode())
    append_scores(path, [score(value=2.0)])
    assert [s.value for s in read_scores(path)] == [1.0, 2.0]
    assert len(path.read_text().splitlines()) == 2


GOOD = json.loads('{"metric": "m", "value": 1, "interval": null, "n": 1, "protocol": "p"}')
GOOD |= {"system": "s", "inputs": {}, "options": {}, "version": "1"}


@pytest.mark.parametrize(
    ("line", "found"),
    [
        (b'{"metric": "abx', "is not JSON"),
        (b"[]", "holds a JSON list, not an object"),
        (b"{}", "lacks metric, value, interval, n, protocol"),
        (json.dumps({k: v for k, v in GOOD.items() if k != "n"}).encode(), "lacks n"),
        (json.dumps({**GOOD, "value": float("nan")}).encode(), "'value' is nan"),
        (json.dumps({**GOOD, "value": "high"}).encode(), "'value' is 'high'"),
        (json.dumps({**GOOD, "value": None}).encode(), "'value' is None"),
        (json.dumps({**GOOD, "interval": [1]}).encode(), r"'interval' is \[1\]"),
        (json.dumps({**GOOD, "interval": 3}).encode(), "'interval' is 3"),
        (
            json.dumps({**GOOD, "metric": 3, "inputs": []}).encode(),
            r"'metric' is 3, 'inputs' is \[\]",
        ),
        (json.dumps({**GOOD, "n": "many"}).encode(), "'n' is 'many'"),
        (json.dumps({**GOOD, "interval": [1, float("inf")]}).encode(), "interval"),
    ],
)
def test_a_broken_line_is_named_and_nothing_is_appended_to_it(
    tmp_path: Path, line: bytes, found: str
) -> None:
    path = tmp_path / "s.jsonl"
    append_scores(path, [score()])
    path.write_bytes(path.read_bytes() + line + b"\n")
    before = path.read_bytes()
    with pytest.raises(InputError, match=found) as caught:
        read_scores(path)
    assert str(caught.value).startswith(f"{path}:2")
    assert caught.value.remedy
    with pytest.raises(InputError, match=found):
        append_scores(path, [score()])
    assert path.read_bytes() == before


def test_another_encoding_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "s.jsonl"
    path.write_bytes(json.dumps({**GOOD, "system": "é"}, ensure_ascii=False).encode("latin-1"))
    with pytest.raises(InputError, match="is not UTF-8") as caught:
        read_scores(path)
    assert caught.value.path == path


def test_no_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        read_scores(tmp_path / "s.jsonl")


@pytest.mark.parametrize(
    "changes",
    [
        {"value": float("nan")},
        {"value": float("inf")},
        {"interval": (0.0, float("nan"))},
        {"options": {"x": float("nan")}},
    ],
)
def test_an_undefined_score_is_not_written(tmp_path: Path, changes: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="not a finite number"):
        append_scores(tmp_path / "s.jsonl", [score(), score(**changes)])
    assert not (tmp_path / "s.jsonl").exists()


def _append(path: Path, system: str) -> None:
    for i in range(25):
        append_scores(path, [score(system=system, value=float(i))])


def test_two_processes_that_append_at_once_lose_nothing(tmp_path: Path) -> None:
    path = tmp_path / "s.jsonl"
    workers = [start(partial(_append, path, name)) for name in "ab"]
    for worker in workers:
        worker.join()
    read = read_scores(path)
    for name in "ab":
        assert [s.value for s in read if s.system == name] == [float(i) for i in range(25)]
    assert len(read) == 50


@pytest.mark.parametrize(
    ("older", "read"),
    [
        ("merged units of 969a51a1e3fd", "merged units"),
        ("recogniser 969a51a1e3fd", "recogniser"),
        ("encoder 969a51a1e3fd", "encoder"),
        ("recogniser PocketSphinx", "recogniser PocketSphinx"),
        ("3 folds, merged units of each", "3 folds, merged units of each"),
    ],
)
def test_protocols_of_older_files_lose_their_ids(tmp_path: Path, older: str, read: str) -> None:
    append_scores(tmp_path / "s.jsonl", [score(protocol=older)])
    assert read_scores(tmp_path / "s.jsonl")[0].protocol == read
