"""Tables of labelled stretches, as Parquet and as text."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from strategies import utterance_ids
from zerochain.errors import InputError
from zerochain.formats.corpus import Corpus, Utterance
from zerochain.formats.spans import (
    LabelledSpan,
    Spans,
    by_recording,
    clock,
    in_files,
    read_spans,
    write_spans,
)
from zerochain.formats.tables import write_table

times = st.tuples(st.integers(0, 10**7), st.integers(1, 10**6)).map(
    lambda t: (t[0] / 1000, (t[0] + t[1]) / 1000)
)
labels = st.sampled_from(["", "a", "=1+1", "-3", "ŋ a", "two\nlines", 'say "a", b', "'x"])
spans = st.builds(
    lambda name, t, label, score, speaker, file: LabelledSpan(
        name, *t, label, score, speaker, *file
    ),
    utterance_ids,
    times,
    labels,
    st.none() | st.floats(-1e3, 1e3),
    st.none() | st.sampled_from(["ana", "=bo"]),
    st.sampled_from([(None, None, None), ("a b.wav", 61.5, 62.25)]),
)


@given(rows=st.lists(spans, max_size=6))
def test_both_forms_read_what_was_written(tmp_path_factory: Any, rows: list[LabelledSpan]) -> None:
    folder = tmp_path_factory.mktemp("s")
    written = Spans(tuple(rows), "hits", "find", "c" * 64)
    write_spans(folder / "spans.parquet", written)
    assert read_spans(folder / "spans.parquet") == written
    write_spans(folder / "spans.csv", written)
    assert read_spans(folder / "spans.csv") == Spans(written.rows, "spans")


def test_times_in_the_file_that_an_utterance_is_a_part_of() -> None:
    parts = (Utterance("u", "long.wav", 2.0, None, 3600.5, 3602.5), Utterance("v", "v.wav", 2.0))
    rows = [LabelledSpan("u", 0.25, 1.0, "x"), LabelledSpan("v", 0.25, 1.0, "x")]
    placed = in_files(rows, Corpus("c", parts))
    assert placed == [
        rows[0]._replace(audio="long.wav", audio_start_s=3600.75, audio_end_s=3601.5),
        rows[1],
    ]
    assert [clock(t) for t in (0, 59.999, 247.25, 3600.75)] == [
        "0:00.00",
        "1:00.00",
        "4:07.25",
        "1:00:00.75",
    ]


def test_a_table_of_a_spreadsheet(tmp_path: Path) -> None:
    path = tmp_path / "clusters.tsv"
    path.write_text("recording\tstart_s\tend_s\tlabel\tnote\nr\t0.5\t1\tc1\tx\nr\t0\t0.25\t\t\n")
    read = read_spans(path)
    assert read.what == "clusters"
    assert read.rows == (LabelledSpan("r", 0.5, 1.0, "c1"), LabelledSpan("r", 0.0, 0.25, ""))
    assert [row.start_s for row in by_recording(read.rows)["r"]] == [0.0, 0.5]


@pytest.mark.parametrize(
    ("row", "found"),
    [
        ("r,1,0.5,a", "line 2: from 1 to 0.5 s of 'r'"),
        ("r,-1,0.5,a", "line 2: from -1"),
        ("r,0,nan,a", "line 2: from 0 to nan"),
        ("r,0,1;5,a", "'1;5' is not a number"),
        ("r,0,,a", "'end_s' is empty"),
        ("../r,0,1,a", "can't be an utterance's id"),
        ("r,0,1,a\x07b", "holds control characters"),
    ],
)
def test_refuses_a_line(tmp_path: Path, row: str, found: str) -> None:
    path = tmp_path / "s.csv"
    path.write_text(f"recording,start_s,end_s,label\n{row}\n")
    with pytest.raises(InputError, match=found) as caught:
        read_spans(path)
    assert caught.value.path == path
    assert caught.value.remedy


def test_a_file_without_a_header_is_no_table(tmp_path: Path) -> None:
    (tmp_path / "s.csv").touch()
    with pytest.raises(InputError):
        read_spans(tmp_path / "s.csv")


def test_refuses_what_it_would_not_read(tmp_path: Path) -> None:
    for row in (LabelledSpan("r", 0, 1, "a", float("nan")), LabelledSpan("r", 1, 1, "a")):
        with pytest.raises(InputError, match="row 1"):
            write_spans(tmp_path / "s.parquet", Spans((row,)))
    assert list(tmp_path.iterdir()) == []


def test_a_table_without_scores_and_speakers(tmp_path: Path) -> None:
    table = pa.table({"recording": ["r"], "start_s": [0.0], "end_s": [1.0], "label": ["a"]})
    write_table(tmp_path / "s.parquet", "spans", table, {"what": "words"})
    assert read_spans(tmp_path / "s.parquet").rows == (LabelledSpan("r", 0.0, 1.0, "a"),)
