"""The wheel: what it carries, and that the demonstration runs from it alone."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from warm import stand_in

ROOT = Path(__file__).parents[1]
OUTER = ("pipelines", "evaluation", "data")
SOURCES = ("zerochain", *OUTER, "pyproject.toml", "setup.py", "MANIFEST.in", "README.md", "LICENSE")


def call(*command: object, cwd: Path, **environment: str) -> str:
    """Run a command outside the repository; what it said, if it failed, is in the report."""
    done = subprocess.run(
        list(map(str, command)),
        check=False,
        cwd=cwd,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def files_of(folder: Path) -> set[str]:
    """Every file of an outer folder, as `<folder>/…`."""
    paths = (p.relative_to(ROOT) for p in folder.rglob("*") if p.is_file())
    return {
        path.as_posix()
        for path in paths
        if "__pycache__" not in path.parts and not any(part.startswith(".") for part in path.parts)
    }


def spare_compiling(installed: Path) -> None:
    """Give a copy of the package what Python and numba have compiled of the same sources here.

    They take that for a file of the same time.
    """
    for made in (ROOT / "zerochain").rglob("__pycache__/*.*"):
        source = made.parents[1] / f"{made.name.partition('.')[0]}.py"
        there = installed / source.relative_to(ROOT)
        if source.is_file() and there.is_file() and there.read_bytes() == source.read_bytes():
            times = source.stat()
            os.utime(there, ns=(times.st_atime_ns, times.st_mtime_ns))
            (there.parent / "__pycache__").mkdir(exist_ok=True)
            shutil.copy(made, there.parent / "__pycache__")


def test_the_demonstration_runs_from_a_wheel_alone(tmp_path: Path) -> None:
    pytest.importorskip("build")
    pytest.importorskip("espeakng_loader")
    source = tmp_path / "source"
    source.mkdir()
    for name in SOURCES:  # a copy, for building leaves files beside the sources
        if (ROOT / name).is_dir():
            shutil.copytree(
                ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__")
            )
        else:
            shutil.copy(ROOT / name, source)
    call(sys.executable, "-m", "build", "--no-isolation", "--outdir", "dist", source, cwd=tmp_path)

    (wheel,) = (tmp_path / "dist").glob("zerochain-*.whl")  # built from the sdist beside it
    names = zipfile.ZipFile(wheel).namelist()
    share = "zerochain/share/"
    carried = {name.removeprefix(share) for name in names if name.startswith(share)}
    assert carried == set().union(*(files_of(ROOT / name) for name in OUTER))
    assert {"pipelines/demo/Snakefile", "data/mboshi/prepare.py"} <= carried
    assert {"zerochain/py.typed", "zerochain/report/templates/page.html.j2"} <= set(names)
    tops = {name.split("/")[0].removesuffix(".dist-info").split("-")[0] for name in names}
    assert tops == {"zerochain"}
    assert not [name for name in names if "test" in name.lower() or name.endswith(".pyc")]

    installed, away = tmp_path / "installed", tmp_path / "away"
    away.mkdir()
    options = ("--no-deps", "--no-index", "--no-compile", "--quiet", "--disable-pip-version-check")
    pip = (sys.executable, "-m", "pip", "install", *options)
    call(*pip, "--target", installed, wheel, cwd=away)
    spare_compiling(installed)
    path = {"PYTHONPATH": str(installed)}
    where = call(
        sys.executable, "-c", "import zerochain; print(zerochain.__file__)", cwd=away, **path
    )
    assert Path(where.strip()) == installed / "zerochain" / "__init__.py"

    settings = {
        "pairs": 70,
        "systems": "[{units: 16, stride: 2}]",
        "inverter.units": 16,
        "inverter.stride": 2,
        "inverters.unit-means": "train --method unit-means --prosody-steps 0",
        "inverters.code2spec": "train --width 8 --steps 10 --batch-size 2 --prosody-steps 5",
        "inverters.convnext": "null",
        "speaker_steps": 0,
    }
    words = [word for name, value in settings.items() for word in ("--set", f"{name}={value}")]
    with stand_in(**path) as python:
        said = call(
            python, "-P", "-m", "zerochain", "run", "demo", "--out", "run", *words, cwd=away
        )
    page = away / "run" / "report" / "index.html"
    assert f"Done: {page}" in said
    assert "km16-2t" in page.read_text(encoding="utf-8")
    assert str(ROOT / "zerochain") not in said  # nothing came from the checkout
