"""Pages out of their templates: one style sheet, and nothing that is loaded from elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from zerochain.errors import counted
from zerochain.formats.identity import short

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
    css = (TEMPLATES / "style.css").read_text(encoding="utf-8")
    return environment.get_template(template).render({**context, "css": css})
