"""How `make docs` builds the site: Sphinx reads the Markdown pages of this folder."""

from collections.abc import Iterator
from typing import Any

import zerochain

project = "zerochain"
author = "The zerochain authors"
copyright = "the zerochain authors"  # noqa: A001 (Sphinx's name)
release = version = zerochain.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_click",
]
exclude_patterns = ["_build"]
source_suffix = {".md": "markdown"}
default_role = "literal"  # docstrings have `names` in single backquotes

myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_preserve_defaults = True
napoleon_numpy_docstring = False

html_theme = "furo"
html_title = "zerochain"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sphinx = False
pygments_style = "friendly"
pygments_dark_style = "monokai"

API_GROUPS = {
    "formats": "Files and what they hold",
    "audio": "Sound",
    "features": "Features",
    "corpora": "Corpora",
    "discovery": "Unit models",
    "inversion": "Inverters",
    "translation": "Translators",
    "listeners": "Recognisers and speaker encoders",
    "search": "Search",
    "speechchain": "The speech chain",
    "metrics": "Metrics",
    "scoring": "Scoring files",
    "training": "Training",
    "errors": "Errors",
}
"""Part of the package → the heading under which the API reference lists its public names."""


def public_names() -> dict[str, list[str]]:
    """Heading → the public names below it, as `zerochain.__all__` orders them."""
    groups: dict[str, list[str]] = {heading: [] for heading in API_GROUPS.values()}
    for name in getattr(zerochain, "__all__", []):
        if name.startswith("_"):
            continue
        module = getattr(getattr(zerochain, name), "__module__", "zerochain.formats")
        part = module.split(".")[1] if "." in module else "formats"
        groups.setdefault(API_GROUPS.get(part, part.capitalize()), []).append(name)
    return {heading: names for heading, names in groups.items() if names}


def api_reference() -> Iterator[str]:
    """The lines of the API reference: reStructuredText, which autodoc's docstrings need."""
    for heading, names in public_names().items():
        yield from ("", f"## {heading}", "")
        for name in names:
            found = getattr(zerochain, name)
            kind = "class" if isinstance(found, type) else "function"
            if not callable(found):
                kind = "data"
            yield "```{eval-rst}"
            yield f".. auto{kind}:: zerochain.{name}"
            if kind == "class":
                yield "   :members:"
                yield "   :inherited-members: BaseModel, Exception, ABC, tuple"
            yield from ("```", "")


def add_api(app: Any, page: str, source: list[str]) -> None:
    """Put the API reference where its page asks for it."""
    del app
    if page == "reference/api":
        source[0] = source[0].replace("<!-- public names -->", "\n".join(api_reference()))


def setup(app: Any) -> None:
    """Called by Sphinx."""
    app.connect("source-read", add_api)
