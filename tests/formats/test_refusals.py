"""Whatever the operating system refuses, the error names the path, a cause and a fix."""

import errno
import os
from pathlib import Path

import pytest

from zerochain.errors import InputError, refusal
from zerochain.formats.headers import write_json

CODES = [
    "EROFS",
    "EACCES",
    "EPERM",
    "ENAMETOOLONG",
    "EMFILE",
    "EIO",
    "ELOOP",
    "EISDIR",
    "ENOTDIR",
    "ENOENT",
    "ENOMEM",
]


@pytest.mark.parametrize("name", CODES)
@pytest.mark.parametrize("writing", [True, False, None])
def test_every_refusal_has_a_cause_and_a_fix(name: str, writing: bool | None) -> None:
    code = getattr(errno, name)
    said = refusal(OSError(code, os.strerror(code), "/some/where"), writing=writing)
    assert said.path == "/some/where"
    assert os.strerror(code) in said.found
    assert said.cause
    assert said.remedy


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_a_full_disk(code: int) -> None:
    said = refusal(OSError(code, os.strerror(code)), Path("/out/model"))
    assert "disk (or the quota) is full" in said.found
    assert "free some space" in str(said.remedy)


def test_an_unknown_one_without_a_path() -> None:
    assert "something odd" in str(refusal(OSError("something odd")))


def test_names_that_are_too_long_and_links_in_a_circle(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="too long") as caught:
        write_json(tmp_path / ("ŋ" * 200), "note", {})
    assert "shorter" in str(caught.value)
    (tmp_path / "a").symlink_to(tmp_path / "b")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    with pytest.raises(InputError, match="could not be written") as caught:
        write_json(tmp_path / "a" / "note", "note", {})
    assert caught.value.cause
