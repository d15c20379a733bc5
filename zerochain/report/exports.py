"""The page's tables for other programs: CSV and LaTeX, as files that the page holds itself."""

from __future__ import annotations

import base64

from zerochain.errors import counted
from zerochain.formats.text_files import csv_text
from zerochain.report.score_tables import Column, Group, Row

_LATEX = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "−": "$-$",
    "–": "--",
    "…": r"\ldots{}",
    "↓": r"$\downarrow$",
    "↑": r"$\uparrow$",
    "→": r"$\rightarrow$",
}


def as_csv(group: Group, name: str) -> str:
    """One row per system: unrounded numbers, empty where there is none.

    Each score has its interval, n and, where it rests on too little data, how little.

    Args:
        name: of the test set.
    """
    header = ["test_set", "system"]
    for column in group.columns:
        key = " ".join(part for part in (column.metric.key, column.conditions) if part)
        header += [key, f"{key} low", f"{key} high", f"{key} n", f"{key} best", f"{key} too little"]
    return csv_text(
        header, [[name, row.system, *_numbers(row, group.columns)] for row in group.rows]
    )


def _numbers(row: Row, columns: list[Column]) -> list[object]:
    values: list[object] = []
    for column in columns:
        cell = row.cells.get(column)
        if cell is None:
            values += [""] * 6
            continue
        low, high = (
            (f"{end:.6g}" for end in cell.score.interval) if cell.score.interval else ("", "")
        )
        value = "" if cell.shortfall else f"{cell.score.value:.6g}"
        values += [value, low, high, cell.score.n, str(cell.best).lower(), cell.shortfall]
    return values


def as_latex(group: Group, name: str) -> str:
    """A table of the package booktabs; the best of a column, where there is one, is bold."""
    heads = ["system", *(_head(column) for column in group.columns)]
    lines = [
        r"% needs \usepackage{booktabs}",
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{escaped(name)}. 95\,\% intervals in brackets; bold is better than every "
        r"other system by more than the interval of the difference.}",
        rf"\begin{{tabular}}{{l{'r' * len(group.columns)}}}",
        r"\toprule",
        f"{' & '.join(heads)} \\\\",
        r"\midrule",
    ]
    lines += [f"{' & '.join(_latex_row(row, group.columns))} \\\\" for row in group.rows]
    lines += [r"\bottomrule", r"\end{tabular}", r"\end{table}", ""]
    return "\n".join(lines)


def _head(column: Column) -> str:
    unit = f" ({column.metric.unit})" if column.metric.unit else ""
    words = f"{column.metric.label}{unit}"
    conditions = f", {column.conditions}" if column.conditions else ""
    return escaped(f"{words}{conditions} {column.arrow}".strip())


def _latex_row(row: Row, columns: list[Column]) -> list[str]:
    cells = [escaped(row.system)]
    for column in columns:
        cell = row.cells.get(column)
        if cell is None or cell.shortfall:
            cells.append("--")
            continue
        value = escaped(cell.value)
        interval = f" [{escaped(cell.interval)}]" if cell.interval else ""
        cells.append((rf"\textbf{{{value}}}" if cell.best else value) + interval)
    return cells


def escaped(text: str) -> str:
    """A text for LaTeX, whatever is in it."""
    return "".join(_LATEX.get(character, character) for character in text)


def data_uri(kind: str, text: str) -> str:
    """A text file as a data URI."""
    return f"data:{kind};charset=utf-8;base64,{base64.b64encode(text.encode()).decode()}"


def caption(group: Group, corpus: str) -> str:
    """The name of a test set: corpus, split, voice and the number of utterances."""
    n = group.utterances
    of = counted(int(n), "utterance") if n.isdigit() else ""
    return " · ".join(part for part in (corpus, group.test.conditions, of) if part)
