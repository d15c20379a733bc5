"""Links and files that pages name lead somewhere."""

import re
from pathlib import Path

import pytest

from pages import PAGES, ROOT, spans

_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_FILE = re.compile(r"(evaluation|pipelines|data|benchmarks|tests|zerochain)(/[\w.-]+)*/?$")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_between_files(page: Path) -> None:
    targets = _LINK.findall(page.read_text(encoding="utf-8"))
    files = [t.partition("#")[0] for t in targets if not t.startswith(("http", "#", "mailto:"))]
    assert [f for f in files if not (page.parent / f).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_files_that_are_named_exist(page: Path) -> None:
    named = [(where, text) for where, text in spans(page) if _FILE.match(text)]
    assert [(where, text) for where, text in named if not (ROOT / text).exists()] == []
