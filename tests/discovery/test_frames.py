import tempfile
from pathlib import Path

import numpy as np
import pytest

from zerochain.discovery import front_end as module
from zerochain.discovery.front_end import FrontEnd, FrontEndOptions, sample_frames
from zerochain.discovery.kmeans import KMeansUnits
from zerochain.errors import InputError
from zerochain.formats.features import Features

PLAIN = FrontEndOptions(normalisation="none")


@pytest.fixture
def features() -> Features:
    rng = np.random.default_rng(0)
    arrays = {f"u{i}": rng.normal(size=(n, 3)).astype(np.float32) for i, n in enumerate((9, 1, 30))}
    return Features.from_arrays(arrays)


@pytest.fixture
def on_disk(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Frames lie on the disk however few they are; gives the folder for temporary files."""
    monkeypatch.setattr(module, "IN_MEMORY_BYTES", 0)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def sampled(features: Features, n: int, stride: int = 1) -> np.ndarray:
    return sample_frames(features, FrontEnd.fit(features, stride, PLAIN), n, seed=3)


def test_all_frames_in_order(features: Features) -> None:
    np.testing.assert_array_equal(sampled(features, 99), features.frames)
    assert len(sampled(features, 99, stride=4)) == 3 + 1 + 8


def test_a_random_subset_in_order(features: Features) -> None:
    rows = [row.tolist() for row in features.frames]
    places = [rows.index(row.tolist()) for row in sampled(features, 15)]
    assert len(places) == 15
    assert places == sorted(set(places))


@pytest.mark.parametrize("n", [15, 99])
def test_on_the_disk_they_are_the_same_and_leave_no_file(
    features: Features, on_disk: Path, n: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = sampled(features, n)
    assert isinstance(there, np.memmap)
    assert not list(on_disk.iterdir())  # without a name: even a killed process leaves nothing
    monkeypatch.undo()
    np.testing.assert_array_equal(there, sampled(features, n))


def test_units_are_the_same_from_the_disk(
    features: Features, on_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    del on_disk
    there = KMeansUnits(4).fit(features).id
    monkeypatch.undo()
    assert there == KMeansUnits(4).fit(features).id


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a full disk")
def test_a_full_disk_is_an_error(
    features: Features, on_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = Path("/dev/full")
    monkeypatch.setattr(tempfile, "TemporaryFile", lambda **_: full.open("wb"))
    with pytest.raises(InputError, match="40 frames can't be written") as caught:
        sampled(features, 99)
    assert "TMPDIR" in str(caught.value)
    assert str(on_disk) in str(caught.value)
