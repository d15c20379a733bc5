from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from zerochain.errors import InputError
from zerochain.exchange.feature_files import import_features, read_frames
from zerochain.formats.corpus import Corpus
from zerochain.formats.features import read_features

FRAMES = np.arange(12, dtype=np.float64).reshape(4, 3) / 7


def test_arrays_and_text_in_nested_folders(tmp_path: Path) -> None:
    root = tmp_path / "hubert"
    (root / "x" / "y").mkdir(parents=True)
    np.save(root / "x" / "y" / "é.npy", FRAMES)
    np.savetxt(root / "b.wav.txt", FRAMES)
    (root / "notes.md").write_text("")
    made, others, missing = import_features(root, tmp_path / "out", step_ms=20)
    assert (others, missing) == ({".md": 1}, ())
    assert made.ids == ["b.wav", "x/y/é"]
    assert (made.extractor, made.step_ms, made.dim) == ("hubert", 20, 3)
    for name in made.ids:
        np.testing.assert_array_equal(made[name], FRAMES.astype(np.float32))
    made, *_ = import_features(root, tmp_path / "out", step_ms=20, folders=False)
    assert made.ids == ["b.wav", "é"]


@given(
    array=arrays(
        st.sampled_from(["<f2", ">f4", "<f8", "i2", "u1"]),
        st.tuples(st.integers(1, 4), st.integers(1, 4)),
        elements={"allow_nan": False, "allow_infinity": False, "min_value": 0, "max_value": 99},
    )
)
def test_numbers_of_any_kind(tmp_path_factory: pytest.TempPathFactory, array: np.ndarray) -> None:
    path = tmp_path_factory.getbasetemp() / "a.npy"
    np.save(path, array)
    np.testing.assert_array_equal(read_frames(path), array.astype(np.float32))


def test_a_corpus_gives_speakers_and_lengths(
    make_corpus: Callable[..., Corpus], tmp_path: Path
) -> None:
    corpus = make_corpus(2)
    root = tmp_path / "f"
    root.mkdir()
    for u in corpus.utterances:
        np.save(root / f"{u.id}.npy", np.ones((int(u.duration * 100), 2)))
    import_features(root, tmp_path / "out", step_ms=10, corpus=corpus.folder)
    back = read_features(tmp_path / "out")
    assert (back.speakers, back.corpus_id) == ({"u0": "ana", "u1": "béa"}, corpus.id)
    with pytest.raises(InputError, match=r"u0.npy: lasts 2.40 s at 20 ms per frame, its rec"):
        import_features(root, tmp_path / "out", step_ms=20, corpus=corpus.folder)
    (root / "u1.npy").unlink()
    assert import_features(root, tmp_path / "part", step_ms=10, corpus=corpus.folder).missing == (
        "u1",
    )
    np.save(root / "u1.npy", np.ones((int(corpus.by_id["u1"].duration * 100), 2)))
    np.save(root / "v.npy", np.ones((3, 2)))
    with pytest.raises(InputError, match="1 of 3 ids of the features is missing"):
        import_features(root, tmp_path / "out", step_ms=10, corpus=corpus.folder)
    assert read_features(tmp_path / "out").ids == ["u0", "u1"]


class Evil:
    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (Path("evil"),)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.ones(3), r"b.npy: holds float64 of shape \(3,\)"),
        (np.ones((1, 3, 2)), r"b.npy: holds float64 of shape \(1, 3, 2\)"),
        (np.ones((0, 3)), r"b.npy: holds float64 of shape \(0, 3\)"),
        (np.ones((2, 4)), r"b.npy: has 4 numbers per frame, and .*a.npy has 3"),
        (np.array([[1, 2, 3], [1, np.nan, 3]]), r"b.npy: holds NaN.* in 1 of 2 frames: 1"),
        (np.full((2, 3), 1e39), r"b.npy: holds .*too large for float32 in 2 of 2"),
        (np.ones((2, 3), complex), "b.npy: holds complex128"),
        (np.array([["x"] * 3]), "b.npy: holds <U1"),
        (np.array([[Evil()] * 3]), "b.npy: is not a readable .npy file"),
    ],
)
def test_what_is_no_array_of_frames(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, array: np.ndarray, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    root = tmp_path / "f"
    root.mkdir()
    np.save(root / "a.npy", FRAMES)
    np.save(root / "b.npy", array)
    with pytest.raises(InputError, match=message):
        import_features(root, tmp_path / "out", step_ms=10)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["f"]


def test_files_that_are_cut_short_and_links(tmp_path: Path) -> None:
    root = tmp_path / "f"
    root.mkdir()
    np.save(root / "a.npy", FRAMES)
    (root / "a.npy").write_bytes((root / "a.npy").read_bytes()[:-5])
    with pytest.raises(InputError, match=r"a.npy: is not a readable"):
        import_features(root, tmp_path / "out", step_ms=10)
    (root / "a.npy").unlink()
    (root / "a.txt").write_text("1 2\n1 b\n")
    with pytest.raises(InputError, match=r"a.txt:2: holds 'b'"):
        import_features(root, tmp_path / "out", step_ms=10)
    np.save(tmp_path / "elsewhere.npy", FRAMES)
    (root / "a.npy").symlink_to(tmp_path / "elsewhere.npy")
    with pytest.raises(InputError, match=r"a.npy: is a link out of the folder"):
        import_features(root, tmp_path / "out", step_ms=10)
    (root / "a.npy").unlink()
    np.save(root / "a.npy", FRAMES)
    with pytest.raises(InputError, match=r"a.txt: .*a.npy has the same id, 'a'"):
        import_features(root, tmp_path / "out", step_ms=10)


def test_nothing_to_import(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such folder"):
        import_features(tmp_path / "f", tmp_path / "out", step_ms=10)
    (tmp_path / "f").mkdir()
    (tmp_path / "f" / "a.pt").write_text("")
    with pytest.raises(InputError, match=r"holds no .npy and no .txt file \(1 .pt\)"):
        import_features(tmp_path / "f", tmp_path / "out", step_ms=10)
