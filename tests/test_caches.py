"""Libraries that keep something find a place for it, whatever of the user's can't be written."""

import importlib
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NoReturn

import pytest

import zerochain
from zerochain.cli.run import _environment
from zerochain.errors import refusal
from zerochain.machine import home_for_caches, spare_matplotlib_the_search, temporary_cache

VARIABLES = ("MPLCONFIGDIR", "XDG_CACHE_HOME", "XDG_CONFIG_HOME")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's home, and no word of other places."""
    for variable in VARIABLES:
        monkeypatch.setenv(variable, "")  # whatever is set meanwhile is taken back
        monkeypatch.delenv(variable)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def test_a_home_that_can_be_written_is_taken(home: Path) -> None:
    spare_matplotlib_the_search()
    home_for_caches()
    assert not os.environ.keys() & set(VARIABLES)
    assert {p.name for p in home.iterdir()} == {".cache", ".config"}


def test_a_home_that_cannot_be_written_is_replaced(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home.write_text("in the way, even of root")
    spare_matplotlib_the_search()
    home_for_caches()
    there = temporary_cache()
    assert there in Path(os.environ["MPLCONFIGDIR"]).parents
    assert Path(os.environ["XDG_CACHE_HOME"]) == there
    monkeypatch.setenv("MPLCONFIGDIR", str(home / "mine"))
    spare_matplotlib_the_search()
    assert there in Path(os.environ["MPLCONFIGDIR"]).parents


def test_matplotlib_has_nothing_to_say_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "home").touch()
    (tmp_path / "tmp").mkdir()
    code = (
        "from zerochain.report.style import require_report_extra; require_report_extra(); "
        "import matplotlib; print(matplotlib.get_configdir(), matplotlib.get_cachedir())"
    )
    kept = {name: text for name, text in os.environ.items() if name not in VARIABLES}
    mine = {"HOME": str(tmp_path / "home"), "TMPDIR": str(tmp_path / "tmp")}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**kept, **mine, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    assert all(place.startswith(mine["TMPDIR"]) for place in done.stdout.split())
    assert list((tmp_path / "tmp").iterdir()) == []


def test_snakemake_finds_a_name_for_a_user_without_one(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unknown() -> str:
        raise KeyError("getpwuid(): uid not found: 54321")

    monkeypatch.setattr("getpass.getuser", unknown)
    assert _environment()["LOGNAME"] == f"uid-{os.getuid()}"


def test_a_user_without_any_home(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(uid: int) -> NoReturn:
        raise KeyError(f"getpwuid(): uid not found: {uid}")

    monkeypatch.setattr("pwd.getpwuid", unknown)
    monkeypatch.delenv("HOME")
    importlib.reload(zerochain)
    assert Path.home() == Path("/")


def test_no_place_for_temporary_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setattr(tempfile, "_candidate_tempdir_list", lambda: ["/dev/null/none"])
    with pytest.raises(OSError, match="No usable") as caught:
        temporary_cache.__wrapped__()
    said = refusal(caught.value)
    assert "temporary files" in said.found
    assert said.remedy is not None
    assert "TMPDIR" in said.remedy
