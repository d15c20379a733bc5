"""What `from zerochain import …` gives."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import zerochain

STUB = ast.parse(Path(zerochain.__file__).with_suffix(".pyi").read_text("ascii"))
IMPORTS = [node for node in STUB.body if isinstance(node, ast.ImportFrom)]
NAMES = [alias.name for node in IMPORTS for alias in node.names]


def test_all_names_what_the_stub_names() -> None:
    assert sorted(NAMES) == sorted(zerochain.__all__)
    assert set(NAMES) <= set(dir(zerochain))


@pytest.mark.parametrize("name", NAMES)
def test_every_public_name_is_there_and_says_what_it_is(name: str) -> None:
    thing = getattr(zerochain, name)
    assert thing.__name__ == name
    assert thing.__module__.startswith("zerochain.")
    assert thing.__doc__


def test_a_name_is_imported_when_it_is_used_and_an_unknown_one_is_refused() -> None:
    code = (
        "import sys, zerochain; assert 'numpy' not in sys.modules; "
        "from zerochain import read_units; assert 'numpy' in sys.modules; "
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    with pytest.raises(AttributeError):
        zerochain.no_such_name  # noqa: B018
