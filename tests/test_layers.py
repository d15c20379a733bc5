"""The layers of the package: each imports only itself and what lies below it."""

import ast
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

import zerochain

PACKAGE = Path(zerochain.__file__).parent
LAYERS = [
    {"config", "errors", "kernels", "leftovers", "machine", "metrics.names", "progress"},
    {"formats", "audio", "containers"},
    {"modules", "metrics", "training"},
    {"features"},
    {"corpora", "exchange"},
    {"listeners"},
    {"discovery", "inversion", "translation", "search"},
    {"speechchain"},
    {"scoring"},
    {"report", "recordings"},
    {"cli", "__main__"},
]
LEVEL = {name: level for level, layer in enumerate(LAYERS) for name in layer}
STAGES = {"discovery", "inversion", "translation", "search"}
HEAVY = {"torch", "accelerate", "sklearn", "librosa", "matplotlib", "numba"}
SLOW = HEAVY | {"numpy", "pyarrow", "soundfile", "scipy", "pydantic", "yaml", "rich"}


def place(path: Path) -> str:
    return layer_of(path.relative_to(PACKAGE).with_suffix("").parts)


def layer_of(module: Sequence[str]) -> str:
    """The place of a module in `LAYERS`, by its parts below the package.

    The metrics' names are part of what score files hold, so `formats` has to know them.
    """
    return name if (name := ".".join(module[:2])) in LEVEL else module[0]


def imports(path: Path) -> set[str]:
    """Every module that a file imports, anywhere in it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


LIGHT_PLACES = {"formats", "errors", "progress", "machine", "audio", "containers", "metrics.names"}
START = {"__init__.py", "common.py", "lazy.py", "options.py"}
"""Of the command line: what is imported before a command is, or by commands that need no stage."""
FILES = [p for p in sorted(PACKAGE.rglob("*.py")) if p.parent != PACKAGE or p.stem != "__init__"]
LIGHT = [p for p in FILES if place(p) in LIGHT_PLACES or (place(p) == "cli" and p.name in START)]


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_only_from_layers_below(path: Path) -> None:
    here = place(path)
    for name in imports(path):
        parts = name.split(".")
        if parts[0] != "zerochain" or len(parts) < 2 or parts[1] == "__version__":
            continue
        there = layer_of(parts[1:])
        assert LEVEL[there] <= LEVEL[here], f"{here} imports {name}"
        assert not (here in STAGES and there in STAGES and here != there), (
            f"{here} imports {name}: stages meet in files"
        )


def test_the_command_line_starts_without_what_is_slow() -> None:
    code = "import sys, zerochain.cli; print(*{name.split('.')[0] for name in sys.modules})"
    output = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    )
    assert not set(output.stdout.split()) & SLOW


@pytest.mark.parametrize("path", LIGHT, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_formats_and_cli_start_fast(path: Path) -> None:
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else [node.module]
            heavy = {str(n).split(".")[0] for n in names} & HEAVY
            assert not heavy, f"imports {heavy} at the top"
            if place(path) == "cli":  # a command's file may import its stage; these are none's
                ours = {str(n) for n in names if str(n).startswith("zerochain.")}
                assert {n.split(".")[1] for n in ours} <= {"cli", *LAYERS[0]}, ours
