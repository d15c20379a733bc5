"""Folders of other people: links that lead out of them, to folders, to nothing; and pipes."""

import os
from pathlib import Path

import pytest

from zerochain.errors import InputError
from zerochain.formats.corpus import read_corpus
from zerochain.formats.inside import file_content, files_inside, is_inside


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder with files, beside a secret."""
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "a.txt").write_text("password")
    root = tmp_path / "theirs"
    (root / "b").mkdir(parents=True)
    for name in ("z.txt", "a.txt", "b/c.txt"):
        (root / name).touch()
    return root


def test_files_in_order(root: Path) -> None:
    (root / "b" / "link.txt").symlink_to("../a.txt")
    names = [path.relative_to(root).as_posix() for path in files_inside(root)]
    assert names == ["a.txt", "z.txt", "b/c.txt", "b/link.txt"]


def test_the_folder_itself_may_be_a_link(root: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(root)
    assert len(list(files_inside(tmp_path / "link"))) == 3
    assert is_inside(tmp_path / "link" / "a.txt", root)


@pytest.mark.parametrize(
    ("target", "found"),
    [
        ("../../secret/a.txt", "is a link out of the folder"),
        ("../../secret", "is a link out of the folder"),
        ("/etc/passwd", "is a link out of the folder"),
        ("..", "is a link to a folder"),
        ("nothing", "is neither a file nor a folder"),
        ("x", "is neither a file nor a folder"),
    ],
)
def test_links(root: Path, target: str, found: str) -> None:
    (root / "b" / "x").symlink_to(target)
    with pytest.raises(InputError, match=f"b/x: {found}"):
        list(files_inside(root))


def test_pipes_are_not_waited_for(root: Path) -> None:
    os.mkfifo(root / "b" / "x.txt")
    with pytest.raises(InputError, match="is neither a file nor a folder"):
        list(files_inside(root))


def test_a_header_that_is_a_pipe_is_not_waited_for(root: Path) -> None:
    (root / "b" / "x").write_bytes(b"y")
    assert file_content(root / "b" / "x") == b"y"
    os.mkfifo(root / "corpus.json")
    with pytest.raises(FileNotFoundError, match="neither a file nor a folder"):
        file_content(root / "corpus.json")
    with pytest.raises(InputError, match="is not a corpus"):
        read_corpus(root)
