"""Where the outer folders (pipelines/, evaluation/, data/) lie: in the wheel or the checkout."""

from __future__ import annotations

from pathlib import Path


def resource(name: str) -> Path:
    """The path of e.g. "pipelines/demo": inside an installed wheel, else in the checkout."""
    package = Path(__file__).parent
    carried = package / "share" / name
    return carried if carried.exists() else package.parent / name
