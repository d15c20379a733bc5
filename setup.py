"""Thin over pyproject.toml: all it adds is that the wheel carries the outer folders."""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

OUTER = ("pipelines", "evaluation", "data")


class BuildWithOuterFolders(build_py):
    """Copy pipelines/, evaluation/ and data/ into the package as zerochain/share/."""

    def run(self) -> None:
        super().run()
        if self.editable_mode:
            return
        for name in OUTER:
            target = Path(self.build_lib) / "zerochain" / "share" / name
            shutil.copytree(
                Path(__file__).parent / name,
                target,
                dirs_exist_ok=True,
                ignore=shutil.ignore_patterns("__pycache__", ".*"),
            )


setup(cmdclass={"build_py": BuildWithOuterFolders})
