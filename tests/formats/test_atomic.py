"""Whatever happens to the process or the disk, a file is the old one or the new one, whole."""

import errno
import os
import resource
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors import SafetensorError

from children import exit_code
from zerochain import audio
from zerochain.errors import InputError
from zerochain.formats import atomic
from zerochain.formats.atomic import atomic_file
from zerochain.formats.bundle import read_bundle, write_bundle
from zerochain.formats.corpus import Corpus, Utterance, read_corpus, write_corpus
from zerochain.formats.features import read_features, write_features
from zerochain.formats.headers import read_json, write_json
from zerochain.formats.pairs import Pairs, read_pairs, write_pairs
from zerochain.formats.phones import Phone, Phones, read_phones, write_phones
from zerochain.formats.scores import Score, append_scores, read_scores
from zerochain.formats.units import UnitFile, read_units, write_units

N = 4000  # enough of anything to fill more than the few kB that a small disk is given below


@dataclass(frozen=True)
class Kind:
    """How one kind of file is written with content that depends on `seed`, and read."""

    write: Callable[[Path, int], object]
    read: Callable[[Path], object]


def _features(path: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    with write_features(path, extractor="x", options={}, step_ms=10.0, corpus_id="") as writer:
        writer.add("a", rng.standard_normal((N, 3)))


def _names(seed: int) -> list[str]:
    return [str(n) for n in np.random.default_rng(seed).permutation(10**6)[:N]]


def _corpus(path: Path, seed: int) -> None:
    lines = tuple(Utterance(id=name, audio=f"{name}.wav", duration=1.0) for name in _names(seed))
    write_corpus(path, Corpus("c", lines))


def _units(path: Path, seed: int) -> None:
    units = np.random.default_rng(seed).integers(0, 1000, 10 * N)
    write_units(path, UnitFile({"a": units}, 1000, 10.0, "m", "kmeans"))


def _scores(path: Path, seed: int) -> None:
    lines = [Score(name, seed, None, 1, "p", "s", {}) for name in _names(seed)[:200]]
    append_scores(path, lines)


def _wave(path: Path, seed: int) -> None:
    audio.write(path, np.random.default_rng(seed).uniform(-0.5, 0.5, N).astype(np.float32))


KINDS = {
    "corpus": Kind(_corpus, lambda path: read_corpus(path).id),
    "features": Kind(_features, lambda path: read_features(path).id),
    "units.parquet": Kind(_units, lambda path: read_units(path).id),
    "phones.parquet": Kind(
        lambda path, seed: write_phones(
            path, Phones({name: [Phone(0, 1, "a")] for name in _names(seed)})
        ),
        read_phones,
    ),
    "pairs.parquet": Kind(
        lambda path, seed: write_pairs(path, Pairs(tuple((n, n) for n in _names(seed)), "", "")),
        read_pairs,
    ),
    "bundle": Kind(
        lambda path, seed: write_bundle(
            path, "x", {}, {"w": np.random.default_rng(seed).standard_normal(N)}, {}
        ),
        lambda path: read_bundle(path).id,
    ),
    "scores.jsonl": Kind(_scores, read_scores),
    "note.json": Kind(
        lambda path, seed: write_json(path, "note", {"names": _names(seed)}),
        lambda path: read_json(path, "note"),
    ),
    "a.wav": Kind(_wave, lambda path: audio.read(path).tobytes()),
    "a.flac": Kind(_wave, lambda path: audio.read(path).tobytes()),
    "a.ogg": Kind(_wave, lambda path: audio.read(path).tobytes()),
}
every_kind = pytest.mark.parametrize("name", KINDS)


def visible(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if not path.name.startswith(".writing-")}


def kill_at(call: int) -> None:
    """Have the process kill itself at its `call`-th flush to the disk."""
    calls = iter(range(1000))
    real = atomic.sync

    def sync(path: Path) -> None:
        if next(calls) == call:
            os.kill(os.getpid(), signal.SIGKILL)
        real(path)

    atomic.sync = sync


@every_kind
def test_a_killed_writer_leaves_the_old_or_the_new_file(tmp_path: Path, name: str) -> None:
    kind = KINDS[name]
    seen = []
    for call in range(100):
        folder = tmp_path / str(call)
        folder.mkdir()
        path = folder / name
        kind.write(path, 1)
        old = kind.read(path)

        def task(call: int = call, path: Path = path) -> None:
            kill_at(call)
            kind.write(path, 2)

        code = exit_code(task)
        assert visible(folder) == {name}
        seen.append(kind.read(path) == old)
        if code == 0:
            break
        assert code == -signal.SIGKILL
    assert code == 0
    assert seen[0]
    assert not seen[-1]
    assert seen == sorted(seen, reverse=True)  # old up to one moment, new from then on


@every_kind
def test_a_killed_first_writer_leaves_nothing(tmp_path: Path, name: str) -> None:
    def task() -> None:
        kill_at(0)
        KINDS[name].write(tmp_path / name, 1)

    assert exit_code(task) == -signal.SIGKILL
    assert visible(tmp_path) == set()
    KINDS[name].write(tmp_path / name, 1)  # the leftovers are in nobody's way
    KINDS[name].read(tmp_path / name)


def check_refused(write: Callable[[], object], path: Path) -> None:
    with pytest.raises(InputError, match=r"the disk \(or the quota\) is full") as caught:
        write()
    assert str(path) in str(caught.value)
    assert "free some space" in str(caught.value)


@every_kind
def test_a_disk_that_fills_up_is_said_and_leaves_no_trace(tmp_path: Path, name: str) -> None:
    kind, path = KINDS[name], tmp_path / name
    kind.write(path, 1)
    old = kind.read(path)

    def task() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))
        check_refused(lambda: kind.write(path, 2), path)

    assert exit_code(task) == 0
    assert kind.read(path) == old
    assert [p.name for p in tmp_path.iterdir()] == [name]


@every_kind
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_a_disk_that_fills_up_while_flushing(
    tmp_path: Path, name: str, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(atomic, "sync", full)
    check_refused(lambda: KINDS[name].write(tmp_path / name, 1), tmp_path / name)
    assert list(tmp_path.iterdir()) == []


FOLDERS = ["corpus", "features", "bundle"]


@pytest.mark.parametrize("name", FOLDERS)
@pytest.mark.parametrize("there", ["nothing", "exchanged", "moved away"])
def test_a_folder_is_on_the_disk_before_its_name_and_its_name_after(
    tmp_path: Path, name: str, there: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is in a folder, and its list of entries, are flushed before it is renamed, and the
    parent's list of entries afterwards, as are those of parents that are made on the way."""
    path = tmp_path / "made" / "on the way" / name
    if there != "nothing":
        KINDS[name].write(path, 1)
    if there == "moved away":
        monkeypatch.setattr(atomic, "_exchange", lambda one, other: False)
    before: set[int] = set()
    after: set[int] = set()
    old = atomic.identity(path)

    def sync(flushed: Path) -> None:
        renamed = atomic.identity(path) not in (old, None)
        (after if renamed else before).add(flushed.stat().st_ino)

    monkeypatch.setattr(atomic, "sync", sync)
    KINDS[name].write(path, 2)
    assert {entry.stat().st_ino for entry in (path, *path.rglob("*"))} <= before
    assert path.parent.stat().st_ino in after
    made = {folder.stat().st_ino for folder in (tmp_path, tmp_path / "made")}
    assert made <= before or there != "nothing"


@pytest.mark.parametrize("name", FOLDERS)
@pytest.mark.parametrize("marker", [None, "corpus.json", "features.json", "config.json"])
def test_somebody_elses_folder_is_left_alone(tmp_path: Path, name: str, marker: str | None) -> None:
    path = tmp_path / name
    path.mkdir()
    (path / "thesis.tex").write_text("precious")
    if marker:
        (path / marker).write_text('{"theirs": true}')
    with pytest.raises(InputError, match="not a folder that zerochain made") as caught:
        KINDS[name].write(path, 1)
    assert caught.value.path == path
    assert "another path" in str(caught.value)
    assert (path / "thesis.tex").read_text() == "precious"
    assert [p.name for p in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("name", FOLDERS)
def test_a_file_in_the_way_of_a_folder_is_left_alone(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("precious")
    with pytest.raises(InputError, match="not a folder that zerochain made"):
        KINDS[name].write(tmp_path / name, 1)
    assert (tmp_path / name).read_text() == "precious"


@every_kind
def test_a_folder_that_is_a_file_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_text("precious")
    with pytest.raises(InputError, match="could not be written") as caught:
        KINDS[name].write(tmp_path / "file" / name, 1)
    assert caught.value.remedy
    assert (tmp_path / "file").read_text() == "precious"


@pytest.mark.parametrize("name", FOLDERS)
def test_an_empty_folder_and_an_older_one_are_replaced(tmp_path: Path, name: str) -> None:
    kind, path = KINDS[name], tmp_path / name
    path.mkdir()
    kind.write(path, 1)
    old = kind.read(path)
    kind.write(path, 2)
    assert kind.read(path) != old
    assert [p.name for p in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("name", FOLDERS)
def test_without_an_exchange_of_folders_they_are_renamed(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(atomic, "_exchange", lambda one, other: False)
    test_an_empty_folder_and_an_older_one_are_replaced(tmp_path, name)


def test_a_link_to_a_larger_disk_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "scratch").mkdir()
    (tmp_path / "corpus").symlink_to(tmp_path / "scratch")
    _corpus(tmp_path / "corpus", 1)
    assert (tmp_path / "corpus").is_symlink()
    assert (tmp_path / "scratch" / "corpus.json").is_file()


@every_kind
def test_an_error_inside_leaves_the_old_file(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind, path = KINDS[name], tmp_path / name
    kind.write(path, 1)
    old = kind.read(path)

    def interrupt(path: Path) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(atomic, "sync", interrupt)
        with pytest.raises(KeyboardInterrupt):
            kind.write(path, 2)
    assert kind.read(path) == old
    assert [p.name for p in tmp_path.iterdir()] == [name]


def test_files_get_the_rights_that_the_user_wants(tmp_path: Path) -> None:
    mask = os.umask(0o027)
    try:
        _units(tmp_path / "u.parquet", 1)
        _corpus(tmp_path / "corpus", 1)
    finally:
        os.umask(mask)
    assert (tmp_path / "u.parquet").stat().st_mode & 0o777 == 0o640
    assert (tmp_path / "corpus").stat().st_mode & 0o777 == 0o750


def test_a_refusal_to_read_something_else_names_it(tmp_path: Path) -> None:
    def copy(source: Any) -> None:
        with atomic.atomic_file(tmp_path / "new"):
            raise PermissionError(errno.EACCES, "Permission denied", source)

    with pytest.raises(InputError, match=r"Permission denied .*secret"):
        copy("/elsewhere/secret")
    with pytest.raises(FileNotFoundError), atomic.atomic_file(tmp_path / "new"):
        (tmp_path / "none").read_bytes()
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_said_whichever_library_meets_it(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"disk.*is full"), atomic_file(tmp_path / "a"):
        raise SafetensorError("Error while serializing: I/O error: No space left (os error 28)")
    with pytest.raises(SafetensorError, match="other"), atomic_file(tmp_path / "a"):
        raise SafetensorError("other")
    assert list(tmp_path.iterdir()) == []
