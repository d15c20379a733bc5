"""Kernels compile wherever they are installed, and keep what they compiled where they can."""

import os
import subprocess
import sys
from pathlib import Path

SOURCE = """
from zerochain.kernels import compiled

@compiled(fastmath={"contract"})
def twice(x):
    return 2 * x

@compiled()
def thrice(x):
    return twice(x) + x
"""


def run(folder: Path, **environment: str) -> str:
    """Use both kernels in a process of its own; what it wrote to standard error."""
    (folder / "some_kernels.py").write_text(SOURCE)
    code = "from some_kernels import thrice, twice\nprint(twice(2.0), thrice(2.0))"
    paths = os.pathsep.join([str(folder), *sys.path])
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("NUMBA", "ZEROCHAIN"))}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**kept, "PYTHONPATH": paths, **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "4.0 6.0\n"
    return done.stderr


def test_a_kernel_is_loaded_when_it_is_called(tmp_path: Path) -> None:
    """Or when another kernel calls it; it pays once enough was done without."""
    (tmp_path / "some_kernels.py").write_text(SOURCE)
    code = """
import pickle, sys
from some_kernels import thrice, twice
assert pickle.loads(pickle.dumps(twice)) is twice
assert twice.__name__ == "twice"
assert [twice.pays(2, n_spared=5) for _ in range(4)] == [False, False, True, True]
assert not any(name.startswith("numba") for name in sys.modules)
assert thrice(2.0) == 6.0
assert twice.pays(1, n_spared=100)
"""
    paths = os.pathsep.join([str(tmp_path), *sys.path])
    environment = {**os.environ, "PYTHONPATH": paths}
    subprocess.run([sys.executable, "-c", code], env=environment, check=True)


def test_what_is_compiled_is_kept(tmp_path: Path) -> None:
    assert run(tmp_path) == ""
    kept = {p: p.stat().st_mtime_ns for p in (tmp_path / "__pycache__").glob("some_kernels.*.nb*")}
    assert len(kept) == 4
    assert run(tmp_path) == ""
    assert {p: p.stat().st_mtime_ns for p in kept} == kept


def test_where_nothing_can_be_written_it_compiles_and_says_so_once(tmp_path: Path) -> None:
    (tmp_path / "__pycache__").write_text("in the way, even of root")
    (tmp_path / "file").touch()
    nowhere = str(tmp_path / "file" / "home")
    (tmp_path / "tmp").mkdir()
    locked = {"HOME": nowhere, "XDG_CACHE_HOME": nowhere, "TMPDIR": str(tmp_path / "tmp")}
    said = run(tmp_path, **locked, PYTHONDONTWRITEBYTECODE="1")
    assert said.count("\n") == 1
    assert "NUMBA_CACHE_DIR" in said
    assert list((tmp_path / "tmp").iterdir()) == []
    cache = tmp_path / "cache"
    assert run(tmp_path, HOME=nowhere, XDG_CACHE_HOME=nowhere, NUMBA_CACHE_DIR=str(cache)) == ""
    assert list(cache.rglob("some_kernels.*.nbc"))


def test_a_damaged_cache_is_compiled_again(tmp_path: Path) -> None:
    """Of one kernel its index is damaged, of the other what the index tells of."""
    run(tmp_path)
    for content in (b"", b"cut", "half"):
        for name in ("twice*.nbi", "thrice*.nbc"):
            (path,) = (tmp_path / "__pycache__").glob(f"some_kernels.{name}")
            whole = path.read_bytes()
            path.write_bytes(whole[: len(whole) // 2] if isinstance(content, str) else content)
        assert run(tmp_path) == ""


def test_a_full_disk_is_no_reason_to_stop(tmp_path: Path) -> None:
    limited = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (300, 300))\n"
    (tmp_path / "sitecustomize.py").write_text(limited)
    said = run(tmp_path, PYTHONDONTWRITEBYTECODE="1", COVERAGE_PROCESS_CONFIG="")
    assert said.count("\n") == 1
    assert "File too large" in said
