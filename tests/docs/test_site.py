"""`make docs` builds the site without a warning, and the pages need no network."""

import re
import subprocess
from pathlib import Path

import pytest

import zerochain
from pages import DOCS, PAGES, ROOT

_LOADED = re.compile(r"""<(?:script|link|img|iframe|source)\b[^>]*?\b(?:src|href)=["']([^"']+)""")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, warm_interpreter: str) -> Path:
    for needed in ("sphinx", "furo", "myst_parser"):
        pytest.importorskip(needed)
    out = tmp_path_factory.mktemp("site")
    build = [warm_interpreter, "-m", "sphinx", "-W", "--keep-going", "-q", "-d", out / "trees"]
    made = subprocess.run(
        [*build, DOCS, out / "html"], check=False, capture_output=True, text=True, cwd=ROOT
    )
    assert made.returncode == 0, made.stderr
    return out / "html"


def test_every_page_is_there_and_reachable(site: Path) -> None:
    start = (site / "index.html").read_text(encoding="utf-8")
    for page in PAGES:
        if DOCS in page.parents:
            name = page.relative_to(DOCS).with_suffix(".html").as_posix()
            assert (site / name).is_file()
            assert name == "index.html" or f'href="{name}"' in start


def test_nothing_is_loaded_from_elsewhere(site: Path) -> None:
    for page in site.rglob("*.html"):
        for target in _LOADED.findall(page.read_text(encoding="utf-8")):
            assert not re.match(r"(https?:)?//", target), (page.name, target)
    for sheet in site.rglob("*.css"):
        text = sheet.read_text(encoding="utf-8")
        assert not re.search(r"(@import|url\()\s*[\"']?(https?:)?//", text), sheet.name


def test_pictures_have_words(site: Path) -> None:
    for page in site.rglob("*.html"):
        for image in re.findall(r"<img\b[^>]*>", page.read_text(encoding="utf-8")):
            assert re.search(r'alt="[^"]+"', image), (page.name, image)


def test_the_reference_has_every_public_name(site: Path) -> None:
    text = (site / "reference" / "api.html").read_text(encoding="utf-8")
    names = [name for name in zerochain.__all__ if not name.startswith("_")]
    assert [name for name in names if f'id="zerochain.{name}"' not in text] == []
