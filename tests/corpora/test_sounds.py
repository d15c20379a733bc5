"""Finding the sound files of a folder: links, hidden files, formats, names."""

import os
import unicodedata
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from zerochain.corpora.folder import import_folder
from zerochain.corpora.sounds import conversion, sound_files
from zerochain.errors import InputError, printable

Touch = Callable[[str], Path]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "recordings").mkdir()
    return tmp_path / "recordings"


@pytest.fixture
def touch(root: Path) -> Touch:
    def write(name: str) -> Path:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        return path

    return write


def link(path: Path, target: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(target)


def test_links_to_folders_elsewhere_are_followed(root: Path, touch: Touch, tmp_path: Path) -> None:
    touch("ana/1.wav")
    touch("../store/bob/deep/2.wav")
    touch("../far/3.wav")
    link(root / "bob", tmp_path / "store" / "bob")
    link(tmp_path / "store" / "bob" / "more", Path("../../far"))
    assert sound_files(root).files == ["ana/1.wav", "bob/deep/2.wav", "bob/more/3.wav"]


def test_links_in_circles_end_and_no_folder_comes_twice(
    root: Path, touch: Touch, tmp_path: Path
) -> None:
    touch("ana/1.wav")
    touch("../outside.wav")
    touch("../store/2.wav")
    link(root / "ana" / "again", root)
    link(root / "a copy", root / "ana")
    link(root / "parent", tmp_path)
    link(root / "itself", root / "itself")
    link(root / "store", tmp_path / "store")
    link(root / "store2", tmp_path / "store")
    link(tmp_path / "store" / "back", root)
    found = sound_files(root)
    assert found.files == ["ana/1.wav", "store/2.wav"]
    passed_over = ["a copy", "ana/again", "parent", "store/back", "store2"]
    assert found.record["links_passed_over"] == passed_over
    assert found.record["links_to_nowhere"] == ["itself"]


def test_a_link_to_a_file_counts_unless_the_file_is_there_itself(
    root: Path, touch: Touch, tmp_path: Path
) -> None:
    touch("a.wav")
    touch(".git/annex/b")
    touch("../c.wav")
    link(root / "latest.wav", root / "a.wav")
    link(root / "b.wav", root / ".git" / "annex" / "b")
    link(root / "c.wav", tmp_path / "c.wav")
    found = sound_files(root)
    assert found.files == ["a.wav", "b.wav", "c.wav"]
    assert found.record["links_passed_over"] == ["latest.wav"]


def test_links_that_lead_nowhere_are_named(root: Path, touch: Touch) -> None:
    touch("a.wav")
    link(root / "b.wav", root / "gone.wav")
    link(root / "bob", root / "gone")
    link(root / ".#lock", root / "gone")
    found = sound_files(root)
    assert found.files == ["a.wav"]
    assert [bad.file for bad in found.bad] == ["b.wav"]
    assert "gone.wav, where there is no file" in found.bad[0].reason
    assert found.record["links_to_nowhere"] == ["bob"]


def test_a_folder_that_cannot_be_opened_is_named(
    root: Path, touch: Touch, monkeypatch: pytest.MonkeyPatch
) -> None:
    touch("a.wav")
    touch("bob/b.wav")
    scandir = os.scandir

    def locked(path: str) -> object:
        if path.endswith("bob"):
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr("os.scandir", locked)
    (bad,) = sound_files(root).bad
    assert (bad.file, bad.reason) == ("bob", "the folder can't be opened (Permission denied)")


def test_formats(root: Path, touch: Touch) -> None:
    for name in ("a.sph", "b.AU", "c.caf", "d.w64", "e.aifc", "f.WAV", "notes.txt"):
        touch(name)
    touch("gene.paf")  # of another trade
    soundfile.write(root / "real.paf", np.zeros(100), 8000, format="PAF", subtype="PCM_16")
    found = sound_files(root)
    assert found.files == ["a.sph", "b.AU", "c.caf", "d.w64", "e.aifc", "f.WAV", "real.paf"]
    assert found.record["other_files"] == {".paf": 1, ".txt": 1}


def test_a_rare_suffix_does_not_hide_a_recording_that_is_cut_short(root: Path) -> None:
    whole = root / "whole.wav"
    soundfile.write(whole, np.zeros(4000), 16_000)
    for name in ("a.wave", "b.amb"):
        (root / name).write_bytes(whole.read_bytes()[:-1000])
    (root / "c.amb").write_text("no sound")
    (root / "d.amb").touch()
    assert sound_files(root).files == ["a.wave", "b.amb", "whole.wav"]
    with pytest.raises(InputError, match=r"2 files can't be used:\s+a.wave: cut short"):
        import_folder(root, root.parent / "corpus")


def test_sound_of_other_formats_is_told_unless_it_was_converted(root: Path, touch: Touch) -> None:
    for name in ("a.wav", "a.m4a", "x/b c.m4a", "d.AMR", "notes.txt"):
        touch(name)
    assert sound_files(root).record["unread"] == {".amr": ["d.AMR"], ".m4a": ["x/b c.m4a"]}
    assert conversion("x/b c.m4a") == "ffmpeg -i 'x/b c.m4a' 'x/b c.wav'"


def test_nothing_but_other_formats_tells_how_to_convert_them(root: Path, touch: Touch) -> None:
    path = touch("a.m4a")
    with pytest.raises(InputError, match=r"no sound file; it holds 1 \.m4a") as caught:
        sound_files(root)
    assert f"ffmpeg -i {path}" in str(caught.value)


@pytest.mark.skipif(os.name != "posix", reason="file names are bytes on POSIX alone")
def test_undecodable_names_stay_apart(root: Path, touch: Touch) -> None:
    try:
        for name in (b"caf\xe9.wav", b"caf\xe8.wav", b"x.\xe9"):
            touch(os.fsdecode(name))
    except OSError:
        pytest.skip("this file system takes UTF-8 alone")
    found = sound_files(root)
    assert [printable(f) for f in found.files] == ["caf\\udce8.wav", "caf\\udce9.wav"]
    assert found.record["other_files"] == {".\\udce9": 1}


@pytest.mark.filterwarnings("ignore")
def test_names_of_one_look_are_told_apart_or_refused(root: Path, tmp_path: Path) -> None:
    """A table's name in neither of the forms that two files have could be either."""
    mixed = "é" + unicodedata.normalize("NFD", "é")
    for form in ("NFC", "NFD"):
        path = root / f"{unicodedata.normalize(form, mixed)}.wav"
        soundfile.write(path, np.full(1600, 0.1), 16_000)
    if len(list(root.iterdir())) < 2:
        pytest.skip("this file system takes both for one name")
    table = tmp_path / "t.tsv"
    table.write_text(f"file\tid\n{unicodedata.normalize('NFD', mixed)}.wav\tone\n", "utf-8")
    (one,) = import_folder(root, tmp_path / "out", table=table).utterances
    assert one.audio == f"{unicodedata.normalize('NFD', mixed)}.wav"
    table.write_text(f"file\tid\n{mixed}.wav\tone\n", encoding="utf-8")
    with pytest.raises(InputError, match="2 files have this name in different Unicode forms"):
        import_folder(root, tmp_path / "out", table=table)
