"""The Markdown pages of the site and the README: their code, and the command lines in it."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(p for p in DOCS.rglob("*.md") if "_build" not in p.parts)]
_FENCE = re.compile(r"^```(\S*)(?: .*)?$")
_NOT_RUN = re.compile(r"^<!-- not run: (.+) -->$")


@dataclass(frozen=True)
class Block:
    """Fenced code of a page."""

    page: Path
    line: int
    """Of its first line, counted from 1."""
    language: str
    text: str
    not_run: str
    """Why the tests don't run it: from a comment above it; empty where they do."""

    @property
    def where(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"

    @property
    def lines(self) -> list[str]:
        """Lines of a shell: those that end in a backslash are joined, comments left out."""
        lines = self.text.replace("\\\n", " ").splitlines()
        return [line.strip() for line in lines if line.split("#")[0].strip()]


def blocks(page: Path) -> Iterator[Block]:
    """The fenced code of a page, in order."""
    lines = page.read_text(encoding="utf-8").splitlines()
    opened, language, not_run = 0, "", ""
    for number, line in enumerate(lines, 1):
        fence = _FENCE.match(line)
        if not opened:
            if fence:
                opened, language = number + 1, fence[1]
            elif line.strip():
                reason = _NOT_RUN.match(line)
                not_run = reason[1] if reason else ""
        elif fence:
            text = "\n".join(lines[opened - 1 : number - 1])
            yield Block(page, opened, language, text, not_run)
            opened, not_run = 0, ""
    assert not opened, f"{page}: the code that begins in line {opened} doesn't end"


def spans(page: Path) -> Iterator[tuple[str, str]]:
    """`Code` within lines outside fences: where it stands, and its text."""
    fenced = {
        number
        for block in blocks(page)
        for number in range(block.line, block.line + len(block.text.splitlines()) + 1)
    }
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), 1):
        if number not in fenced:
            for text in re.findall(r"`([^`]+)`", line):
                yield f"{page.relative_to(ROOT)}:{number}", text.replace("\\|", "|")


def command_lines(page: Path) -> Iterator[tuple[str, list[str]]]:
    """Where `zerochain …` stands in a page, and its words."""
    for block in blocks(page):
        for line in block.lines if block.language in {"", "shell"} else []:
            yield from _command(block.where, line)
    for where, text in spans(page):
        yield from _command(where, text)


def _command(where: str, line: str) -> Iterator[tuple[str, list[str]]]:
    if line.startswith("zerochain ") or " -m zerochain " in line:
        words = shlex.split(line, comments=True)
        yield where, words[words.index("zerochain") + 1 :]
