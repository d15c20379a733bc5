"""Speakers and splits from names, and splits by hash."""

import pytest

from zerochain.corpora.folder import hashed_split, labels_from
from zerochain.errors import InputError


@pytest.mark.parametrize(
    ("pattern", "labels"),
    [
        ("folder:1", ["train", "dev"]),
        ("folder:2", ["anna", "béa"]),
        ("folder:-1", ["anna", "béa"]),
        ("folder:-2", ["train", "dev"]),
        ("(?P<speaker>[^_]+)_.*", ["x", "y"]),
        (r"([a-z])_\d", ["x", "y"]),
        (r"[^/]+/(?P<speaker>[^/]+)/", ["anna", "béa"]),
    ],
)
def test_labels(pattern: str, labels: list[str]) -> None:
    assert labels_from(pattern, ["train/anna/x_1", "dev/béa/y_2"], "speaker") == labels


@pytest.mark.parametrize(
    ("pattern", "said"),
    [
        ("folder:0", "not a folder's level"),
        ("folder:first", "not a folder's level"),
        ("folder:2", "finds no speaker in 1 of 2 files: b_2"),
        ("(?P<speaker>c)", "finds no speaker in 2 of 2 files"),
        ("(?P<speaker>", "not a regular expression"),
        ("(a)|(b)", "2 groups, none named 'speaker'"),
        ("a_", "0 groups"),
    ],
)
def test_bad_patterns_are_refused(pattern: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        labels_from(pattern, ["x/y/a_1", "b_2"], "speaker")


def test_one_speaker_for_all():
    assert labels_from("name:béa", ["a", "x/b"], "speaker") == ["béa", "béa"]
    with pytest.raises(InputError, match="finds no speaker in 2 of 2"):
        labels_from("name:", ["a", "b"], "speaker")


def test_hashed_split_has_the_fraction_and_depends_on_the_id_alone() -> None:
    ids = [f"utterance {i}" for i in range(4000)]
    tests = [name for name in ids if hashed_split(name, 0.1) == "test"]
    assert 320 < len(tests) < 480
    wider = {name for name in ids if hashed_split(name, 0.2) == "test"}
    assert set(tests) < wider


def test_a_file_that_is_in_no_folder_has_no_speaker_of_one() -> None:
    with pytest.raises(InputError, match=r"1 of 2 files: talk\n.*not in so many folders") as error:
        labels_from("folder:1", ["ana/x", "talk"], "speaker")
    assert "import folder --table" in (error.value.remedy or "")
