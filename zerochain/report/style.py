"""Pages out of their templates, and the style of figures, their output as SVG and as files.

Page and figures share one palette. Inlined SVGs use the page's fonts, and CSS variables for
colours, so that they follow its light and dark schemes.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from html import escape
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zerochain.errors import InputError, counted
from zerochain.formats.identity import short
from zerochain.machine import spare_matplotlib_the_search

# Functions import matplotlib themselves: it is optional (the extra `report`), and is to be loaded
# only after `require_report_extra`, which chooses the folder of its cache.
if TYPE_CHECKING:
    from matplotlib.figure import Figure

INK, MUTED, LINE, FAINT = "#1b1f24", "#57616b", "#d5dbe0", "#98a3ad"
ACCENT, SECOND, PAPER = "#0b6b74", "#b4480f", "#fdfdfb"
_VARIABLES = {
    INK: "ink",
    MUTED: "muted",
    LINE: "line",
    FAINT: "faint",
    ACCENT: "accent",
    SECOND: "second",
    PAPER: "paper",
}
"""Colours of the light scheme → the variables of style.css that stand for them."""
_CSS_PX = 96
_SETTINGS: Any = {
    "svg.fonttype": "none",
    "font.family": ["sans-serif"],
    "font.size": 9,
    "text.parse_math": False,
    "text.color": INK,
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "axes.facecolor": "none",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.8,
    "axes.titlesize": 9,
    "axes.titlelocation": "left",
    "axes.titleweight": "bold",
    "axes.unicode_minus": True,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "grid.color": LINE,
    "grid.linewidth": 0.6,
    "figure.facecolor": "none",
    "legend.frameon": False,
}


def require_report_extra() -> None:
    """Raise InputError unless the packages of the extra `report` are installed.

    Raises:
        OSError: no folder, not even a temporary one, can be written for matplotlib's cache.
    """
    spare_matplotlib_the_search()
    for name in ("jinja2", "matplotlib"):
        if find_spec(name) is None:
            raise InputError(
                f"the report needs {name}, which is not installed",
                remedy="pip install 'zerochain[report]'",
            )


def _settings(settings: Any) -> AbstractContextManager[None]:
    import matplotlib as mpl

    return mpl.rc_context(settings)


@contextmanager
def figure_style() -> Iterator[None]:
    """Draw in the report's style."""
    with _settings(_SETTINGS), warnings.catch_warnings():
        # Browsers have the glyphs that matplotlib's own font lacks; here only widths are needed.
        warnings.filterwarnings("ignore", message=r"Glyph .* missing from", category=UserWarning)
        yield


def new_figure(width_px: float, height_px: float) -> Figure:
    """A figure of a size in CSS pixels, without pyplot's global state."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width_px / _CSS_PX, height_px / _CSS_PX), layout="constrained")


def lay_out(figure: Figure) -> None:
    """Place the axes of a finished figure for good, for which drawing would draw it twice."""
    engine = figure.get_layout_engine()
    if engine is not None:
        engine.execute(figure)
        figure.set_layout_engine(None)


def inline_svg(figure: Figure, alt: str, name: str) -> str:
    """A figure as an <svg> element for HTML: labelled, in the page's font and colours.

    Args:
        alt: what the figure shows, for readers who can't see it.
        name: unique on the page; the element's ids are made from it.
    """
    with _settings({"svg.hashsalt": name}):
        text = to_bytes(figure, "svg").decode()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r"<!--.*?-->\s*", "", text, flags=re.DOTALL)
    text = re.sub(r' xmlns(:\w+)?="[^"]*"', "", text)
    text = re.sub(r"font: ([\d.]+px) [^;\"]*", r"font-size: \1", text)
    for colour, variable in _VARIABLES.items():
        text = text.replace(colour, f"var(--{variable})")
    return text.replace("<svg ", f'<svg role="img" aria-label="{escape(alt)}" ', 1)


def to_bytes(figure: Figure, kind: str, background: str = "none") -> bytes:
    """A figure as the bytes of an SVG or PNG file, the same for the same figure."""
    lay_out(figure)
    buffer = io.BytesIO()
    metadata = {"Date": None} if kind == "svg" else {"Software": None}
    figure.savefig(buffer, format=kind, dpi=2 * _CSS_PX, facecolor=background, metadata=metadata)
    return buffer.getvalue()


# Hebrew, Arabic, Syriac, Thaana, N'Ko and their neighbours; the forms of both at the plane's end
_LETTERS = "[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufeff]+"
_RIGHT_TO_LEFT = re.compile(rf"{_LETTERS}(?:[\s'’.-]*{_LETTERS})*")


def isolated(text: str) -> str:
    """A text in which words that are written from right to left don't turn what stands beside them.

    Without it, browsers show the times behind an Arabic name in reverse: 1.16–0.68 for 0.68–1.16.
    Each stretch of such words is put between Unicode's isolates (UAX #9), which can't be seen.
    """
    return _RIGHT_TO_LEFT.sub("\u2068\\g<0>\u2069", text)


TEMPLATES = Path(__file__).parent / "templates"


def render(template: str, context: Mapping[str, Any]) -> str:
    """A page from one of the templates, whose style sheet is added."""
    # Late: it is optional (the extra `report`).
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["short"] = short
    environment.filters["counted"] = counted
    environment.filters["isolated"] = isolated
    css = (TEMPLATES / "style.css").read_text(encoding="utf-8")
    return environment.get_template(template).render({**context, "css": css})
