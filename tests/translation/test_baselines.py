from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

import reference
from commands import run
from zerochain.errors import InputError
from zerochain.formats.corpus import Corpus, Utterance, write_corpus
from zerochain.formats.features import Features, write_features
from zerochain.formats.pairs import Pairs, write_pairs
from zerochain.formats.units import UnitFile, read_units, write_units
from zerochain.translation.baselines import (
    frequent_baseline,
    most_frequent,
    nearest_baseline,
    nearest_sources,
)

RNG = np.random.default_rng(0)


def walk(n: int, dim: int = 5) -> np.ndarray:
    return RNG.normal(size=(n, dim)).astype(np.float32)


def angles(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    x, y = (z / np.linalg.norm(z, axis=1, keepdims=True) for z in (x, y))
    return np.arccos(np.clip(x @ y.T, -1, 1)) / np.pi


@pytest.mark.parametrize("jobs", [1, 3])
def test_nearest_is_what_slow_dtw_finds(jobs: int) -> None:
    arrays = {f"x{i}": walk(int(RNG.integers(3, 15))) for i in range(20)}
    queries, examples = list(arrays)[:6], list(arrays)[6:]
    features = Features.from_arrays(arrays)
    found = nearest_sources(features, queries, examples, step_ms=10, jobs=jobs)
    for query in queries:
        slow = {e: reference.dtw(angles(arrays[query], arrays[e])) for e in examples}
        assert slow[found[query]] == pytest.approx(min(slow.values()), abs=1e-5)


def test_frames_are_averaged_to_steps() -> None:
    coarse = [walk(4), walk(5), walk(6)]
    fine = {f"x{i}": np.repeat(frames, 4, axis=0) for i, frames in enumerate(coarse)}
    fine["q"] = np.concatenate([fine["x1"], fine["x1"][-1:]])  # a last step of one frame
    noise = {
        n: f + 0.3 * np.tile([[1], [-1]], (-(-len(f) // 2), 1))[: len(f)] for n, f in fine.items()
    }
    noise = {name: frames.astype(np.float32) for name, frames in noise.items()}
    features = Features.from_arrays(noise)
    assert nearest_sources(features, ["q"], ["x0", "x1", "x2"], step_ms=40) == {"q": "x1"}


def test_time_is_warped_and_silence_does_no_harm() -> None:
    frames = walk(8)
    arrays = {"q": np.repeat(frames, 3, axis=0), "slow": frames, "other": walk(24)}
    arrays["silent"] = np.zeros((24, 5), np.float32)
    features = Features.from_arrays(arrays)
    assert nearest_sources(features, ["q"], ["other", "silent", "slow"], step_ms=10) == {
        "q": "slow"
    }


def test_nothing_to_look_among_is_refused() -> None:
    features = Features.from_arrays({"q": walk(3)})
    for queries, examples in ((["q"], []), ([], ["q"])):
        with pytest.raises(InputError, match="to translate and"):
            nearest_sources(features, queries, examples)
    with pytest.raises(InputError, match="missing in the features: x"):
        nearest_sources(features, ["q"], ["x"])


def test_most_frequent_and_among_equals_the_most_central() -> None:
    assert most_frequent([[1], [2, 3], [4], [2, 3]]) == 1
    assert most_frequent([[1, 2, 3], [1, 2, 4], [9], [1, 2, 3, 4]]) == 3
    assert most_frequent([[7]]) == 0
    with pytest.raises(InputError, match="no training target"):
        most_frequent([])


@dataclass
class Files:
    features: Path
    targets: Path
    pairs: Path
    corpus: Path
    out: Path


@pytest.fixture
def files(tmp_path: Path) -> Callable[..., Files]:
    def write(pairs: list[tuple[str, str]] | None = None, n: int = 6) -> Files:
        utterances = tuple(
            Utterance(f"s{i}", f"s{i}.wav", 1.0, "ana", split="test" if i % 2 else "train")
            for i in range(n)
        )
        corpus = write_corpus(tmp_path / "src", Corpus("src", utterances, "/nowhere"))
        with write_features(
            tmp_path / "feats", extractor="mfcc", options={}, step_ms=10, corpus_id=corpus.id
        ) as writer:
            for i in range(0, n, 2):  # each test utterance sounds like the one before it
                frames = walk(40)
                writer.add(f"s{i}", frames, "ana")
                writer.add(f"s{i + 1}", frames + 0.01 * walk(40), "ana")
        units = {f"t{i}": np.array([i, i, 7, 9], np.int32) for i in range(n)}
        targets = UnitFile(units, 10, 40.0, "model", "kmeans")
        write_units(tmp_path / "targets.parquet", targets)
        rows = pairs or [(f"s{i}", f"t{i}") for i in range(n)]
        write_pairs(tmp_path / "pairs.parquet", Pairs(tuple(rows), corpus.id, "tgt"))
        return Files(
            tmp_path / "feats",
            tmp_path / "targets.parquet",
            tmp_path / "pairs.parquet",
            tmp_path / "src",
            tmp_path / "out.parquet",
        )

    return write


def test_nearest_writes_the_merged_units_of_the_examples_target(files) -> None:
    f = files()
    found = nearest_baseline(f.features, f.targets, f.pairs, f.corpus, f.out)
    assert found == {"s1": "s0", "s3": "s2", "s5": "s4"}
    made = read_units(f.out)
    assert {name: units.tolist() for name, units in made.units.items()} == {
        "s1": [0, 7, 9],
        "s3": [2, 7, 9],
        "s5": [4, 7, 9],
    }
    assert (made.model_id, made.n_units, made.step_ms) == ("model", 10, 40.0)
    assert made.durations is None
    assert "translated" in made.method
    assert made.speakers["s1"] == "ana"


def test_of_several_targets_the_first_counts(files) -> None:
    f = files([("s0", "t3"), ("s0", "t0"), ("s1", "t1")])
    nearest_baseline(f.features, f.targets, f.pairs, f.corpus, f.out)
    assert read_units(f.out).units["s1"].tolist() == [3, 7, 9]


def test_frequent_says_the_same_everywhere(files) -> None:
    f = files([("s0", "t3"), ("s2", "t4"), ("s4", "t3"), ("s1", "t1"), ("s5", "t5")])
    assert frequent_baseline(f.targets, f.pairs, f.corpus, f.out) == "t3"
    made = read_units(f.out)
    assert {name: units.tolist() for name, units in made.units.items()} == {
        "s1": [3, 7, 9],
        "s5": [3, 7, 9],
    }


def test_one_split_can_not_be_both(files) -> None:
    f = files()
    with pytest.raises(InputError, match="both the examples' and the one to translate"):
        frequent_baseline(f.targets, f.pairs, f.corpus, f.out, split="train")


def test_the_commands(files) -> None:
    f = files()
    common = [f.targets, f.pairs, "--corpus", f.corpus, "--out", f.out]
    nearest = run("translate", "baseline", "nearest", f.features, *common)
    assert "3 utterances, 3 different examples" in nearest.output
    run("translate", "baseline", "frequent", *common)
    assert len({tuple(units) for units in read_units(f.out).units.values()}) == 1
    f = files([("s0", "t99"), ("s1", "t1")])
    failed = run("translate", "baseline", "frequent", *common, code=1)
    assert "missing in the target units: t99" in failed.stderr


def test_targets_for_the_unpaired(files) -> None:
    """Label propagation: of a split's utterances some have pairs, the others get their targets."""
    f = files([("s0", "t3"), ("s2", "t4"), ("s1", "t1")])
    paths = [f.features, f.targets, f.pairs, "--corpus", f.corpus, "--out", f.out]
    run("translate", "baseline", "nearest", *paths, "--split", "test", "--unpaired")
    made = read_units(f.out)
    assert made.ids == ["s3", "s5"]
    assert made.units["s3"].tolist() == [4, 7, 9]
    found = nearest_baseline(
        f.features, f.targets, f.pairs, f.corpus, f.out, split="train", unpaired=True
    )
    assert found.keys() == {"s4"}
    f = files()
    failed = run("translate", "baseline", "nearest", *paths, "--unpaired", code=1)
    assert "every utterance of split 'test' has a pair" in failed.stderr
