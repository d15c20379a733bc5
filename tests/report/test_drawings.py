import pyarrow as pa

from zerochain.formats.abx_cells import SCHEMA, AbxCells, write_cells
from zerochain.formats.scores import Score, append_scores
from zerochain.report.page import write_report
from zerochain.report.run import run_files

COLLAPSE = [["previous", "next", "speaker_x"], ["speaker"], ["phone_a", "phone_b"]]


def test_the_page_shows_which_phones_are_taken_for_which(tmp_path):
    rows = [("a", "b", 0.6), ("b", "a", 0.9), ("a", "<c>", 1.0), ("b", "<c>", 1.0)]
    columns = [
        {"mode": mode, "phone_a": a, "phone_b": b, "speaker": "s", "speaker_x": "t"}
        | {
            "previous": str(context),
            "next": "",
            "score": score if mode == "across" else 0.0,
            "n": 4,
        }
        for a, b, score in rows
        for mode in ("within", "across")
        for context in range(9 if (a, b) == ("a", "b") else 10)
    ]
    table = pa.Table.from_pylist(columns, schema=SCHEMA)
    cells = AbxCells(table, "km & co", "phone", "identical", {"collapse": COLLAPSE}, {})
    write_cells(tmp_path / "run" / "tables" / "abx_cells.parquet", cells)
    score = Score("abx_across_%", 12.5, None, 16, "phone", "km & co", {}, {"n_of": "triples"})
    append_scores(tmp_path / "run" / "scores.jsonl", [score])
    page = write_report(tmp_path / "out", run_files(tmp_path / "run")).read_text()
    assert "Which phones are confused" in page
    assert "4 pairs of phones" in page
    assert "Highest of 3 pairs with 10 cells or more: b as a 10 % (10 cells)" in page
    assert "1 pair with fewer cells left out" in page  # a as b, 40 %
    assert "km &amp; co: ABX across speakers (phone, identical)" in page
    assert "<c>" not in page
