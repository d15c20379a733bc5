import os
import subprocess
import sys
from pathlib import Path

import pytest

from tones import phone_corpus
from zerochain.machine import safe_path, users_environment

NAME = "PYTHONSAFEPATH"


def test_workers_run_no_module_of_the_folder_they_are_in(tmp_path: Path) -> None:
    """The command stands in a file of its own, as `zerochain` does: Python then looks beside it."""
    command, here = tmp_path / "bin" / "command.py", tmp_path / "theirs"
    phone_corpus(tmp_path / "corpus")
    for folder in (command.parent, here):
        folder.mkdir()
    worth = "from zerochain.features import extraction\nextraction._WORTH_A_PROCESS_S = 1.0\n"
    command.write_text(f"{worth}from zerochain.cli import main\nmain()\n")
    for name in ("joblib", "multiprocessing", "numpy", "random"):
        (here / f"{name}.py").write_text("open('ran', 'w')\n")
    words = ("extract", tmp_path / "corpus", "--out", tmp_path / "features", "--jobs", "2")
    path = os.pathsep.join([str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
    subprocess.run(
        [sys.executable, command, *words],
        cwd=here,
        check=True,
        env={**os.environ, "PYTHONPATH": path.rstrip(os.pathsep)},
    )
    assert (tmp_path / "features" / "features.json").is_file()
    assert not (here / "ran").exists()


@pytest.mark.parametrize("given", [None, "1"])
def test_programs_of_others_get_what_the_user_set(
    given: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(NAME, raising=False)
    if given is not None:
        monkeypatch.setenv(NAME, given)
    before = dict(os.environ)
    with safe_path():
        with safe_path():
            pass
        assert os.environ[NAME]
        assert users_environment() == before
    assert os.environ == before
