"""Lines end at \\n, \\r\\n and \\r alone, in every text that others write."""

import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zerochain.errors import InputError
from zerochain.exchange.alignments import read_ctm
from zerochain.exchange.feature_files import read_vectors
from zerochain.exchange.unit_text import read_unit_text
from zerochain.formats.text_files import fields_of, lines_of, read_rows, read_text
from zerochain.metrics.items import read_items

texts = st.text(st.sampled_from("ab \r\n\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029"), max_size=12)


@given(texts)
def test_lines_are_those_of_python_s_text_files(text: str) -> None:
    expected = [line.removesuffix("\n") for line in io.StringIO(text, newline=None)]
    assert lines_of(text) == expected
    assert "".join(lines_of(text, keep_ends=True)) == text


def test_fields_end_at_spaces_and_tabs_only(tmp_path: Path) -> None:
    assert fields_of(" \ta  b\tc\u00a0d \u2028") == ["a", "b", "c\u00a0d", "\u2028"]
    assert fields_of(" \t") == fields_of("") == []
    path = tmp_path / "x.item"
    path.write_text("u 0 1 a\u00a0b p n s\n", encoding="utf-8")
    assert read_items(path)[0][3:] == ("a\u00a0b", "p", "n", "s")


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("odd", ["\u2028", "\u0085", "\x0c", "\x1d"])
def test_every_reader_ends_lines_there(tmp_path: Path, end: str, odd: str) -> None:
    path = tmp_path / "t.csv"

    def written(*lines: str) -> Path:
        path.write_bytes("".join(line + end for line in lines).encode())
        return path

    _, rows = read_rows(written("file,text", f"a.wav,x{odd}y", "b.wav,z"), ["file"])
    assert [(row.line, row.values["text"]) for row in rows] == [(2, f"x{odd}y"), (3, "z")]
    items = read_items(written("u 0 1 a b c s", "v 0 1 a b c s"))
    assert [item.file for item in items] == ["u", "v"]
    units = read_unit_text(written("u|1 2", "v|3"), "fairseq")
    assert {name: line.tolist() for name, line in units.items()} == {"u": [1, 2], "v": [3]}
    line = '{"file": "%s", "units": [1]}'
    assert list(read_unit_text(written(line % "u", line % "v"), "jsonl")) == ["u", "v"]
    assert read_vectors(written("1 2", "3 4")).tolist() == [[1, 2], [3, 4]]
    assert list(read_ctm(written("u 1 0 1 a", "v 1 0 1 b")).by_id) == ["u", "v"]


def test_a_line_end_in_quotes_stays_where_it_is(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(b'file,text\ra.wav,"two\rlines"\rb.wav,"one"\r')
    _, rows = read_rows(path, ["file"])
    assert [row.values["text"] for row in rows] == ["two\rlines", "one"]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_the_line_of_an_undecodable_byte_is_named(tmp_path: Path, end: str) -> None:
    path = tmp_path / "t.txt"
    path.write_bytes(end.join(["é", "b", "x"]).encode() + b"\xe9" + end.encode())
    with pytest.raises(InputError, match=r"line 3 is not UTF-8 \(byte 0xe9\)"):
        read_text(path)
    path.write_bytes(f"a{end}".encode() + b"\xff")
    with pytest.raises(InputError, match="line 2 is not UTF-8"):
        read_text(path)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_encodings_with_a_byte_order_mark(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "t.tsv"
    path.write_text("file\nbéa.wav\n", encoding=encoding)
    assert read_rows(path, ["file"])[1][0].values == {"file": "béa.wav"}
    if encoding == "utf-16":
        path.write_bytes(path.read_bytes() + b"a")
        with pytest.raises(InputError, match="line 3 is not UTF-16"):
            read_text(path)


def test_undecodable_units_and_items_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "u"
    path.write_bytes(b"a|1\nb\xe9|2\n")
    with pytest.raises(InputError, match="u:2: is not a line of units"):
        read_unit_text(path, "fairseq")
    path.write_bytes(b"u 0 1 \xe9 b c s\n")
    with pytest.raises(InputError, match="line 1 is not UTF-8"):
        read_items(path)


def test_semicolons_of_spreadsheets(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text('source file;target;note\na;b;"x, y; z"\n', encoding="utf-8-sig")
    columns, [row] = read_rows(path, required=())
    assert columns == ["source file", "target", "note"]
    assert row.values == {"source file": "a", "target": "b", "note": "x, y; z"}
    path.write_text("id,text;x\na,b;c\n")  # a comma in the header: that is the separator
    assert read_rows(path, required=())[1][0].values == {"id": "a", "text;x": "b;c"}


def test_columns_are_known_in_any_case(tmp_path: Path) -> None:
    path = tmp_path / "t.tsv"
    path.write_text("File\tSPEAKER\tText\ttext\tGloss\na.wav\tana\tx\ty\tz\n")
    columns, [row] = read_rows(path, ["file"], ["speaker", "text"])
    assert columns == ["file", "speaker", "Text", "text", "Gloss"]
    assert row.values == {"file": "a.wav", "speaker": "ana", "Text": "x", "text": "y", "Gloss": "z"}
    path.write_text("File\tSpeaker\tSPEAKER\na.wav\tana\tx\n")
    with pytest.raises(InputError, match="a column twice: 'speaker'"):
        read_rows(path, ["file"], ["speaker"])
