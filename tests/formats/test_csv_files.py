"""CSV files: cells that a spreadsheet doesn't run, and that come back as they were."""

import ast
import csv
import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zerochain.formats.text_files import csv_text, inert, plain, write_csv

ROOT = Path(__file__).parents[2]
texts = st.text(st.sampled_from("=+-@'\t\r\n ＝1.e5ab"), max_size=6) | st.text()
FORMULAS = ["=1+1", "=A1", "+cmd|' /C calc'!A0", "-2+3", "@SUM(1)", "\t=1", "\r=1", " =1", "＝1"]
SIGNS = ["-", "--1", "+-1", "\n", "-1_0", "- 1", "'=1"]
NUMBERS = ["-1", "+1.5", "-.5e-07", "-inf", "nan", -1, -0.5]
HARMLESS = ["a=b", "1-2", "", "é", "'s", "x@y", None]


@pytest.mark.parametrize("text", [*FORMULAS, *SIGNS])
def test_formulas_begin_with_an_apostrophe(text: str) -> None:
    assert inert(text) == "'" + text


@pytest.mark.parametrize("value", [*NUMBERS, *HARMLESS])
def test_numbers_and_harmless_texts_stay(value: object) -> None:
    assert inert(value) is value


@given(st.lists(st.lists(texts, min_size=2, max_size=2), min_size=1))
def test_texts_come_back_and_no_cell_is_a_formula(rows: list[list[str]]) -> None:
    text = csv_text(["x", "=y"], rows)
    header, *others = list(csv.reader(io.StringIO(text, newline="")))
    assert header == ["x", "'=y"]
    assert [[plain(cell) for cell in row] for row in others] == rows
    assert not {cell[:1] for row in others for cell in row} & {"=", "@", "\t", "\r"}


def test_a_file(tmp_path: Path) -> None:
    rows = [["=cmd()", -0.5], ["béa\r", None], ["plain", 1]]
    write_csv(tmp_path / "t.csv", ["speaker", "error_%"], rows)
    lines = (tmp_path / "t.csv").read_bytes().decode().split("\n")
    assert lines == ["speaker,error_%", "'=cmd(),-0.5", '"béa\r",""', "plain,1", ""]


def test_nobody_else_writes_csv() -> None:
    """But the log of a training, which is numbers under names of ours."""
    writers = {"writer", "DictWriter", "to_csv"}
    found = {
        path.relative_to(ROOT).as_posix()
        for folder in ("zerochain", "pipelines", "evaluation", "data")
        for path in (ROOT / folder).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and node.attr in writers
    }
    assert found == {"zerochain/formats/text_files.py", "zerochain/training/log.py"}
