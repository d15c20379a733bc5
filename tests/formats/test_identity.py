import hashlib
import unicodedata
from pathlib import Path, PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zerochain.errors import InputError
from zerochain.formats.identity import (
    check_ids,
    check_same_ids,
    check_unique,
    file_id,
    same_name,
    utterance_id,
)


@given(text=st.text())
def test_an_id_stays_in_its_folder_or_is_refused(text: str) -> None:
    try:
        name = utterance_id(text)
    except InputError:
        return
    assert name == unicodedata.normalize("NFC", text)
    assert utterance_id(name) == name
    path = PurePosixPath(name)
    assert not path.is_absolute()
    assert ".." not in path.parts
    assert str(path) == name  # no two ids name one file


@pytest.mark.parametrize(
    "text",
    ["", " a", "a ", "a\0", "a\tb", "/a", "..", "a/../b", "a//b", "a/", "./a", "a\\b", "\ud800"],
)
def test_refuses(text: str) -> None:
    with pytest.raises(InputError, match="can't be an utterance's id"):
        utterance_id(text)


@pytest.mark.parametrize("text", ["a", "spk/utt-1", "été", "发音 1", "a.b", "..a", "<script>"])
def test_accepts(text: str) -> None:
    assert utterance_id(text) == text


def test_composes() -> None:
    assert utterance_id("e\u0301") == "é"


def test_a_name_is_the_same_in_every_form() -> None:
    forms = [unicodedata.normalize(form, "José") for form in ("NFC", "NFD")]
    assert all(same_name(one, other) for one in forms for other in forms)
    assert not same_name("Jose", forms[0])
    assert not same_name(None, "None")
    assert same_name(None, None)


def test_ids_are_checked_with_the_path(tmp_path: Path) -> None:
    check_ids({"a": 1, "b": 2}, tmp_path)
    for ids in (["a", "a"], ["../a"], ["e\u0301"]):
        with pytest.raises(InputError) as caught:
            check_ids(ids, tmp_path)
        assert caught.value.path == tmp_path
        assert caught.value.remedy
    with pytest.raises(InputError, match="column 'x' holds 2 duplicate ids: a, b"):
        check_unique(["a", "b", "b", "a", "c"], tmp_path, "x")


def test_missing_ids_are_listed() -> None:
    check_same_ids(["a"], ["a", "b"], "units", "corpus")
    with pytest.raises(InputError, match=r"11 of 12 ids of the units are missing in the corpus: "):
        check_same_ids([f"u{i}" for i in range(12)], ["u0"], "units", "corpus")


def test_file_id_is_sha256_of_all_bytes(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"12")
    (tmp_path / "b").write_bytes(b"3")
    assert file_id(tmp_path / "a", tmp_path / "b") == hashlib.sha256(b"123").hexdigest()


def test_names_of_files_among_ids_are_said_to_be_that() -> None:
    with pytest.raises(InputError, match=r"end in .mp3, .wav, those in the corpus don't: a.wav"):
        check_same_ids(["a.wav", "b/c.mp3", "d"], ["a", "b/c", "d"], "units", "corpus")
    with pytest.raises(InputError, match="2 of 2 ids of the units are missing"):
        check_same_ids(["a.wav", "e.wav"], ["a"], "units", "corpus")


def test_a_path_of_windows_is_named() -> None:
    with pytest.raises(InputError, match="backslash") as caught:
        utterance_id(r"ana\a1")
    assert "Windows" in str(caught.value)
