import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from strategies import utterance_ids
from zerochain.errors import InputError
from zerochain.exchange.unit_text import read_unit_text, write_unit_text

unit_lines = st.lists(st.integers(0, 2**31 - 1), min_size=1, max_size=6)


@pytest.mark.parametrize("kind", ["jsonl", "fairseq"])
@given(units=st.dictionaries(utterance_ids, unit_lines, min_size=1, max_size=4))
def test_units_come_back_with_exactly_their_names(tmp_path_factory, kind, units):
    path = tmp_path_factory.getbasetemp() / kind
    write_unit_text(path, kind, {name: np.array(u, np.int32) for name, u in units.items()})
    back = read_unit_text(path, kind)
    assert {name: u.tolist() for name, u in back.items()} == units
    assert list(back) == list(units)


def test_the_lines_are_what_others_read(tmp_path):
    units = {"wav": np.array([12, 12, 33], np.int32), "b|a": np.array([0], np.int32)}
    write_unit_text(tmp_path / "u.jsonl", "jsonl", units)
    rows = [json.loads(line) for line in (tmp_path / "u.jsonl").read_text().split("\n")[:-1]]
    assert rows == [
        {"file": "wav", "audio": "wav.wav", "units": [12, 12, 33]},
        {"file": "b|a", "audio": "b|a.wav", "units": [0]},
    ]
    write_unit_text(tmp_path / "u.txt", "fairseq", units)
    assert (tmp_path / "u.txt").read_text() == "wav|12 12 33\nb|a|0\n"


def test_suffixes_and_folders_go_only_where_it_is_asked_for(tmp_path):
    path = tmp_path / "u.txt"
    path.write_text("x/vaw.wav|1\nx/a.wav|2\n")  # rstrip('.wav') would leave "x/" of both
    assert list(read_unit_text(path, "fairseq")) == ["x/vaw.wav", "x/a.wav"]
    assert list(read_unit_text(path, "fairseq", suffix=".wav", folders=False)) == ["vaw", "a"]
    with pytest.raises(InputError, match=r"u.txt:1: 'x/vaw.wav' doesn't end with '.flac'"):
        read_unit_text(path, "fairseq", suffix=".flac")
    path.write_text("/data/a.wav|1\n")
    with pytest.raises(InputError, match="folders=False"):
        read_unit_text(path, "fairseq")
    assert list(read_unit_text(path, "fairseq", folders=False)) == ["a.wav"]


def test_jsonl_as_data_frames_write_it(tmp_path):
    path = tmp_path / "u.jsonl"
    rows = ['{"file": null, "audio": "a", "units": [1.0, 2]}', '{"audio": "b", "units": [3]}']
    path.write_text("\n".join([*rows, '{"file": "c", "audio": "d", "units": [4]}']))
    read = read_unit_text(path, "jsonl")
    assert {name: line.tolist() for name, line in read.items()} == {"a": [1, 2], "b": [3], "c": [4]}


@pytest.mark.parametrize("kind", ["jsonl", "fairseq"])
def test_undecodable_bytes_are_refused(tmp_path, kind):
    path = tmp_path / "u"
    path.write_bytes(f"{GOOD[kind]}\n{GOOD[kind].replace('a', 'é', 1)}\n".encode("latin-1"))
    with pytest.raises(InputError, match=r"u:2: is not a line of units \(it is not in UTF-8\)"):
        read_unit_text(path, kind)


GOOD = {"jsonl": '{"file": "a", "units": [1]}', "fairseq": "a|1"}


@pytest.mark.parametrize(
    ("kind", "line", "message"),
    [
        ("jsonl", "{", "is not a line of units"),
        ("jsonl", "[1]", 'no text "file"'),
        ("jsonl", '{"file": 3, "units": [1]}', 'no text "file"'),
        ("jsonl", '{"file": "b", "units": "1 2"}', 'no list "units"'),
        ("jsonl", '{"file": "b", "units": [1.5]}', "1.5 is not a unit"),
        ("jsonl", '{"file": "b", "units": [NaN]}', "nan is not a unit"),
        ("jsonl", '{"file": "b", "units": [-1.0]}', "-1.0 is not a unit"),
        ("jsonl", '{"file": "b", "units": [true]}', "True is not a unit"),
        ("jsonl", '{"file": "b", "units": [2147483648]}', "is not a unit"),
        ("jsonl", '{"file": "b", "units": []}', "has no units"),
        ("jsonl", '{"file": "b", "units": [1, 2], "durations": [3, 1]}', "would be lost"),
        ("jsonl", '{"file": "../b", "units": [1]}', "can't be an utterance's id"),
        ("jsonl", '{"file": "a", "units": [1]}', "'a' is in line 1 already"),
        ("fairseq", "b 1 2", "has no |"),
        ("fairseq", "b|1 -2", "'-2' is not a unit"),
        ("fairseq", "b|1 ²", "is not a unit"),
        ("fairseq", "b|", "has no units"),
        ("fairseq", "a|2", "is in line 1 already"),
    ],
)
def test_bad_lines_are_named(tmp_path, kind, line, message):
    path = tmp_path / "u"
    path.write_text(f"{GOOD[kind]}\n\n{line}\n", encoding="utf-8")
    with pytest.raises(InputError) as caught:
        read_unit_text(path, kind)
    assert str(caught.value).startswith(f"{path}:3: ")
    assert message in str(caught.value)


def test_no_units_at_all(tmp_path):
    (tmp_path / "u").write_text("\n")
    with pytest.raises(InputError, match="holds no units"):
        read_unit_text(tmp_path / "u", "jsonl")
    with pytest.raises(InputError, match="no such file"):
        read_unit_text(tmp_path / "v", "jsonl")
