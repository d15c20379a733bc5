"""What a killed run leaves is cleared by the next one, and nothing else is."""

import errno
import multiprocessing
import os
import signal
import tempfile
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import pytest

from zerochain.errors import InputError
from zerochain.formats import leftovers
from zerochain.formats.atomic import atomic_file, atomic_folder, scratch
from zerochain.formats.tables import write_json


def killed(task: Callable[[], object]) -> None:
    """Run `task`, which ends with `die`, in a process of its own."""
    child = multiprocessing.get_context("fork").Process(target=task)
    child.start()
    child.join(60)
    assert child.exitcode == -signal.SIGKILL


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_the_next_writer_clears_what_a_killed_one_left(tmp_path: Path) -> None:
    def write() -> None:
        with atomic_file(tmp_path / "a") as file, atomic_folder(tmp_path / "b", "m") as folder:
            file.write_text("half")
            (folder / "inside").mkdir()
            (folder / "inside" / "frames").write_text("half")
            die()

    killed(write)
    assert len(names(tmp_path)) == 2
    with atomic_file(tmp_path / "c"):
        pass
    assert names(tmp_path) == {"c"}


def test_a_living_writer_s_files_stay(tmp_path: Path) -> None:
    with atomic_file(tmp_path / "a") as one, atomic_folder(tmp_path / "b", "m") as other:
        write_json(tmp_path / "c", "note", {})
        assert one.exists()
        assert other.exists()
    assert names(tmp_path) == {"a", "b", "c"}


def test_a_locked_folder_of_a_process_that_seems_gone_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Two containers may have one name and processes that don't see each other.
    monkeypatch.setattr(leftovers, "_lives", lambda pid: False)
    with atomic_folder(tmp_path / "b", "m") as other:
        leftovers.clear_abandoned(tmp_path)
        assert other.exists()


def test_links_and_other_people_s_files_stay(tmp_path: Path) -> None:
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "thesis").touch()
    dead = f"{leftovers.owned('.writing-').rsplit('-', 2)[0]}-{2**22 + 1}-x"
    (tmp_path / dead).symlink_to(tmp_path / "precious")
    (tmp_path / ".writing-notes").touch()
    (tmp_path / ".writing-a-b-c").touch()
    before = names(tmp_path)
    leftovers.clear_abandoned(tmp_path)
    assert names(tmp_path) == before
    assert (tmp_path / "precious" / "thesis").exists()


def test_of_another_machine_only_what_nobody_has_touched_for_a_day(tmp_path: Path) -> None:
    old, new = tmp_path / ".writing-0000aaaa-1-x", tmp_path / ".writing-0000aaaa-1-y"
    for folder in (old, new):
        folder.mkdir()
        (folder / "part").touch()
        os.utime(folder, (0, 0))
    os.utime(old / "part", (0, time.time() - 90_000))
    leftovers.clear_abandoned(tmp_path)
    assert names(tmp_path) == {new.name}


def test_a_folder_that_was_taken_away_and_not_replaced_comes_back(tmp_path: Path) -> None:
    def replace() -> None:
        retired = Path(tempfile.mkdtemp(prefix=leftovers.owned(".replaced-"), dir=tmp_path))
        (tmp_path / "corpus").rename(retired / "corpus")
        die()

    (tmp_path / "corpus").mkdir()
    (tmp_path / "corpus" / "old").touch()
    killed(replace)
    leftovers.clear_abandoned(tmp_path)
    assert names(tmp_path) == {"corpus"}
    assert (tmp_path / "corpus" / "old").exists()


def test_scratch_is_cleared_too_and_says_where_it_is_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))

    def work() -> None:
        with scratch() as place:
            (place / "wavs").mkdir()
            die()

    killed(work)
    assert len(names(tmp_path)) == 1
    with scratch() as place:
        assert names(tmp_path) == {place.name}
    assert names(tmp_path) == set()
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def fill(write: Callable[[Path], AbstractContextManager[object]]) -> None:
        with scratch() as place, write(place / "wav"):
            raise full

    for write in (atomic_file, nullcontext):
        with pytest.raises(InputError, match="is full") as caught:
            fill(write)
        assert caught.value.path == tmp_path
        assert "TMPDIR" in str(caught.value)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "none"))
    with pytest.raises(InputError, match="temporary files") as caught, scratch():
        pass
    assert "TMPDIR" in str(caught.value)


def test_a_process_that_nobody_has_buried_is_dead() -> None:
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
    assert not leftovers._lives(child)
    os.waitpid(child, 0)
    assert not leftovers._lives(child)
    assert leftovers._lives(os.getpid())
