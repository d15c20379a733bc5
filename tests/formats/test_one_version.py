"""A reader beside a writer: every file of a folder is of one version, or there is an error."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from zerochain.errors import InputError
from zerochain.formats import bundle, corpus, features
from zerochain.formats.bundle import bundle_id, read_bundle, write_bundle
from zerochain.formats.corpus import Corpus, Utterance, read_corpus, write_corpus
from zerochain.formats.features import read_features, write_features


def write_frames(folder: Path, value: float) -> None:
    kind: dict[str, Any] = {"options": {}, "step_ms": 10.0, "corpus_id": "c"}
    with write_features(folder / "x", extractor=f"e{value:g}", **kind) as writer:
        writer.add("u", np.full((3, 2), value, np.float32))


def write_model(folder: Path, value: float) -> None:
    write_bundle(folder / "x", "kmeans", {"k": value}, {"w": np.full(2, value)}, {})


def write_recordings(folder: Path, value: float) -> None:
    utterance = Utterance(f"u{value:g}", "a.wav", value)
    write_corpus(folder / "x", Corpus(f"c{value:g}", (utterance,)))


def frames_read(folder: Path) -> tuple[Any, ...]:
    read = read_features(folder / "x")
    return read.extractor, float(read["u"][0, 0]), read.id


def model_read(folder: Path) -> tuple[Any, ...]:
    read = read_bundle(folder / "x")
    return read.config["k"], float(read.tensors["w"][0]), read.id


def corpus_read(folder: Path) -> tuple[Any, ...]:
    read = read_corpus(folder / "x")
    return read.name, read.ids, read.id


KINDS = [
    (features, "read_table", write_frames, frames_read),
    (features, "mapped", write_frames, frames_read),
    (features, "file_id", write_frames, frames_read),
    (bundle, "load_file", write_model, model_read),
    (bundle, "bundle_id", write_model, model_read),
    (corpus, "read_table", write_recordings, corpus_read),
    (corpus, "file_id", write_recordings, corpus_read),
]


@pytest.mark.parametrize(("module", "step", "write", "read"), KINDS)
@pytest.mark.parametrize("times", [1, 2, 100])
def test_a_folder_replaced_between_two_files(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    module: Any,
    step: str,
    write: Callable[[Path, float], None],
    read: Callable[[Path], tuple[Any, ...]],
    times: int,
) -> None:
    # What each version reads as, undisturbed.
    versions = []
    for value in range(1, 5):
        other = tmp_path / f"v{value}"
        other.mkdir()
        write(other, value)
        versions.append(read(other))
    write(tmp_path, 1)
    original, left, busy = getattr(module, step), [times], [False]

    def replaced(*arguments: Any, **options: Any) -> Any:
        if left[0] and not busy[0]:
            left[0], busy[0] = left[0] - 1, True
            write(tmp_path, 2 + times - left[0] - 1 if times < 100 else 1 + left[0] % 2)
            busy[0] = False
        return original(*arguments, **options)

    monkeypatch.setattr(module, step, replaced)
    if times == 100:  # again and again
        with pytest.raises(InputError, match="replaced again and again"):
            read(tmp_path)
    else:
        assert read(tmp_path) == versions[times]


def test_a_corpus_that_is_replaced_later_is_no_mixture(tmp_path: Path) -> None:
    write_recordings(tmp_path, 1)
    first = read_corpus(tmp_path / "x")
    identity = first.id
    kept = (tmp_path / "x").rename(tmp_path / "old")  # so that its number is given to no other
    write_recordings(tmp_path, 2)
    assert kept.exists()
    assert first.id == first.restrict(first.ids).id == identity
    with pytest.raises(InputError, match="was replaced since it was read"):
        first.audio_path(first.utterances[0])


def test_a_broken_folder_is_refused_for_what_it_is(tmp_path: Path) -> None:
    write_model(tmp_path, 1)
    (tmp_path / "x" / "weights.safetensors").unlink()
    with pytest.raises(InputError, match="can't be read"):
        read_bundle(tmp_path / "x")
    write_model(tmp_path, 1)
    assert read_bundle(tmp_path / "x").id == bundle_id(tmp_path / "x")


def test_a_pipe_is_refused_rather_than_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for read in (read_corpus, read_features, read_bundle):
        with pytest.raises(InputError):
            read(tmp_path / "pipe")
