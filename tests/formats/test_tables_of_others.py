"""Other people's tables: every row comes through, or an error names the lines."""

import csv
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zerochain.errors import InputError
from zerochain.formats.text_files import read_rows


def write(path: Path, text: str | bytes) -> Path:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_rows_keep_their_lines_and_drop_empty_values(tmp_path: Path) -> None:
    path = write(tmp_path / "t.tsv", 'file\ttext\r\n\r\na.wav\tsay "hi"\r\nb.wav\t\r\n')
    columns, rows = read_rows(path, ["file"])
    assert columns == ["file", "text"]
    assert [(row.line, row.values) for row in rows] == [
        (3, {"file": "a.wav", "text": 'say "hi"'}),
        (4, {"file": "b.wav"}),
    ]


def test_byte_order_mark_is_no_part_of_the_header(tmp_path: Path) -> None:
    path = write(tmp_path / "t.tsv", "\ufefffile\na.wav\n")
    assert read_rows(path, ["file"])[0] == ["file"]


cells = st.text(
    st.characters(codec="utf-8", categories=("L", "N", "P", "S", "Zs")), max_size=8
).map(str.strip)


@given(st.lists(st.tuples(cells, cells), min_size=1))
def test_csv_written_by_others_reads_back(
    tmp_path_factory: pytest.TempPathFactory, pairs: list[tuple[str, str]]
) -> None:
    path = tmp_path_factory.getbasetemp() / "others.csv"
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(["n", "a", "b"])
        writer.writerows([i, a, b] for i, (a, b) in enumerate(pairs))
    _, rows = read_rows(path, ["n"])
    assert [(row.values.get("a", ""), row.values.get("b", "")) for row in rows] == pairs


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("t.tsv", "", "no column 'file'"),
        ("t.tsv", "a.wav\tanna\n", "no column 'file'; its columns are 'a.wav', 'anna'"),
        ("t.tsv", "file,speaker\na.wav,anna\n", "not separated by tabs"),
        ("t.tsv", "file\tfile\na\tb\n", "a column twice"),
        ("t.tsv", "file\tspeaker\na.wav\nb.wav\tx\ty\n", "2 lines.*lines 2, 3"),
        ("t.tsv", "file\n", "holds no row"),
        ("t.tsv", "file\na.wav\nb\xe9.wav\n".encode("latin-1"), "line 3 is not UTF-8"),
        ("t.csv", 'file\n"a.wav\n', "quotation marks"),
    ],
)
def test_bad_tables_are_refused(tmp_path: Path, name: str, content: str, said: str) -> None:
    with pytest.raises(InputError, match=f"(?s){said}"):
        read_rows(write(tmp_path / name, content), ["file"])


def test_missing_table_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        read_rows(tmp_path / "t.tsv", ["file"])


def test_empty_columns_at_the_end_are_left_out(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", "file,speaker,,\na.wav,ana,,\nb.wav,béa,,,,\n,,,\n")
    columns, rows = read_rows(path, ["file"])
    assert columns == ["file", "speaker"]
    assert [row.values["speaker"] for row in rows] == ["ana", "béa"]
    write(path, "file,speaker,,\na.wav,ana,x,\n")
    with pytest.raises(InputError, match="line 2"):
        read_rows(path, ["file"])


def test_columns_that_stand_twice_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="a column twice: 'text'; its columns are 'file'"):
        read_rows(write(tmp_path / "t.csv", "file,text,text\na,b,c\n"), ["file"])
