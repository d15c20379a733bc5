import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from zerochain.discovery import penalty
from zerochain.discovery.front_end import FrontEndOptions
from zerochain.discovery.kmeans import KMeansConfig, KMeansUnits
from zerochain.discovery.penalty import (
    SegmentationOptions,
    penalty_for_bitrate,
    segment_rates,
    speech_sample,
    with_bitrate,
)
from zerochain.discovery.segmentation import Segmentation, segment
from zerochain.errors import InputError
from zerochain.features.extraction import extracted
from zerochain.features.spectral import SpectralOptions
from zerochain.formats.corpus import Corpus, Utterance, write_corpus
from zerochain.formats.features import Features
from zerochain.formats.units import UnitFile
from zerochain.metrics.bitrate import bitrate, unit_bitrates

PLAIN = FrontEndOptions(normalisation="none")


def walk(n: int = 20, n_steps: int = 200, seed: int = 0) -> Features:
    """Something that moves slowly, as speech does."""
    rng = np.random.default_rng(seed)
    arrays = {f"u{i}": rng.normal(size=(n_steps, 3)).cumsum(axis=0) for i in range(n)}
    return Features.from_arrays({k: v.astype(np.float32) for k, v in arrays.items()})


def seconds_of(features: Features) -> dict[str, float]:
    return {name: 0.01 * n for name, (_, n) in features.index.items()}


@pytest.fixture(scope="module")
def costs() -> Mapping[str, np.ndarray]:
    features = walk()
    return dict(KMeansUnits(30, options=PLAIN).fit(features).costs(features))


SECONDS = {f"u{i}": 2.0 for i in range(20)} | {"not encoded": 99.0}


def rate(costs: Mapping[str, np.ndarray], price: float, *limits: Any) -> float:
    """The challenge's bit rate of segments at a price, repeats merged."""
    merged = {}
    for name, one in costs.items():
        units = segment(one, price, *limits)[0].tolist()
        merged[name] = [k for i, k in enumerate(units) if i == 0 or units[i - 1] != k]
    return bitrate(merged, SECONDS).value


@pytest.mark.parametrize("limits", [(), (3, None), (1, 40)])
@pytest.mark.parametrize("target", [10, 15, 22])
def test_the_target_is_reached(
    costs: Mapping[str, np.ndarray], target: float, limits: tuple[Any, ...]
) -> None:
    price = penalty_for_bitrate(costs, SECONDS, target, *limits)
    assert price > 0
    assert rate(costs, price, *limits) == pytest.approx(target, rel=0.02)


def test_no_price_where_none_is_needed(costs: Mapping[str, np.ndarray]) -> None:
    plain = rate(costs, 0.0)
    for target in (plain * (1 + 1e-9), 10 * plain, 1e9):
        assert penalty_for_bitrate(costs, SECONDS, target) == 0
    assert penalty_for_bitrate(costs, SECONDS, 0.97 * plain) > 0
    constant = {"u0": np.zeros((9, 1), np.float32)}
    assert penalty_for_bitrate(constant, SECONDS, 0.1) == 0


def test_less_than_one_unit_per_utterance_is_refused(costs: Mapping[str, np.ndarray]) -> None:
    floor = rate(costs, 1e7)
    lowest = penalty_for_bitrate(costs, SECONDS, floor * 1.0001)
    assert rate(costs, lowest) == pytest.approx(floor, rel=0.02)
    with pytest.raises(InputError, match=f"the longest segments cost {floor:.3g} bit/s") as caught:
        penalty_for_bitrate(costs, SECONDS, 0.9 * floor)
    assert "ask for more bits" in str(caught.value)


@pytest.mark.parametrize("target", [0, -1, math.nan, math.inf])
def test_a_target_that_is_none(costs: Mapping[str, np.ndarray], target: float) -> None:
    with pytest.raises(InputError, match=f"bitrate={target} must be"):
        penalty_for_bitrate(costs, SECONDS, target)


def test_scaled_costs_have_a_scaled_price(costs: Mapping[str, np.ndarray]) -> None:
    larger = {name: 16 * one for name, one in costs.items()}
    one, two = (penalty_for_bitrate(c, SECONDS, 15) for c in (costs, larger))
    assert two == pytest.approx(16 * one)


def test_a_sample_is_bounded_and_drawn_by_the_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    features = walk()
    assert sorted(speech_sample(features, 30)) == sorted(features.ids)
    monkeypatch.setattr(penalty, "_SAMPLE_S", 11.0)
    five = speech_sample(features, 30)
    assert len(five) == len(set(five)) == 5
    assert set(five) < set(features.ids)
    assert five == speech_sample(features, 30) != speech_sample(features, 30, seed=1)
    monkeypatch.setattr(penalty, "_SAMPLE_COSTS", 1000 * 30)
    assert len(speech_sample(features, 30)) == 5
    assert len(speech_sample(features, 60)) == 2
    assert len(speech_sample(features, 10**6)) == 1


def test_of_much_speech_a_sample_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    features = walk()
    model = KMeansUnits(30, options=PLAIN).fit(features)
    monkeypatch.setattr(penalty, "_SAMPLE_S", 10.0)
    chosen = with_bitrate(model, Segmentation(), features, SECONDS, 15.0)
    part = features.restrict(speech_sample(features, 30))
    assert len(part) == 5
    of_part = unit_bitrates(model.encode(part, chosen), SECONDS).segments.value
    assert of_part == pytest.approx(15, rel=0.02)
    of_all = unit_bitrates(model.encode(features, chosen), SECONDS).segments.value
    assert of_all == pytest.approx(15, rel=0.4)
    assert of_all != of_part


def test_limits_are_kept() -> None:
    features = walk()
    model = KMeansUnits(30, options=PLAIN).fit(features)
    chosen = with_bitrate(model, Segmentation(7.0, 2, 60), features, SECONDS, 15.0)
    assert (chosen.min_duration, chosen.max_duration) == (2, 60)
    made = unit_bitrates(model.encode(features, chosen), SECONDS).segments.value
    assert made == pytest.approx(15, rel=0.02)


def test_without_a_distortion_there_is_no_penalty() -> None:
    arrays = {"u": np.eye(4, dtype=np.float32)[np.arange(40) % 4]}
    features = Features.from_arrays(arrays)
    model = KMeansUnits(4, options=PLAIN).fit(features)
    assert model.distortion == 0
    with pytest.raises(InputError, match="mean distortion, which is 0"):
        with_bitrate(model, Segmentation(), features, {"u": 0.4}, 20.0)


def test_rates_are_those_that_are_scored() -> None:
    units = {"a": np.array([1, 1, 2, 0], np.int32), "b": np.array([2, 0], np.int32)}
    lasts = {"a": np.array([3, 1, 2, 9], np.int32), "b": np.array([2, 1], np.int32)}
    seconds = {"a": 0.15, "b": 0.03, "c": 1.0}
    for durations in (lasts, None):
        file = UnitFile(units, 3, 10, "m", "x", durations=durations)
        said = segment_rates(file, seconds)
        rates = unit_bitrates(file, seconds)
        assert f"{rates.segments.value:.1f} bit/s of segments" in said
        assert f"{rates.timed_segments.value:.1f} with their durations" in said
        assert said.startswith("without a penalty") == (durations is None)
    asked = segment_rates(UnitFile(units, 3, 10, "m", "x", {}, lasts), seconds, 42)
    timed = unit_bitrates(UnitFile(units, 3, 10, "m", "x", {}, lasts), seconds).timed_segments
    assert "the 42 bit/s asked for are of segments without durations" in asked
    assert f"with their durations they take {timed.value:.0f} bit/s" in asked
    unreached = segment_rates(UnitFile(units, 3, 10, "m", "x"), seconds, 9999)
    assert "the 9999 bit/s asked for can't be reached" in unreached
    assert "asked for are" not in unreached
    assert "36 ms per segment" in segment_rates(
        UnitFile(units, 3, 10, "m", "x", {}, lasts), seconds
    )


def test_options_change_what_they_name() -> None:
    own = Segmentation(1.5, 2, 20)
    assert SegmentationOptions().applied_to(own) == own
    assert SegmentationOptions(penalty=0).applied_to(own) == Segmentation(0, 2, 20)
    assert SegmentationOptions(max_duration=9, bitrate=5).applied_to(own) == Segmentation(1.5, 2, 9)
    with pytest.raises(InputError, match="2 to 2 steps"):
        SegmentationOptions(max_duration=2).applied_to(own)


@pytest.mark.parametrize(
    "values",
    [
        {"penalty": 1, "bitrate": 100},
        {"penalty": -1},
        {"penalty": math.nan},
        {"penalty": math.inf},
        {"bitrate": 0},
        {"bitrate": math.nan},
        {"min_duration": 0},
        {"form": "viterbi"},
    ],
)
def test_options_that_make_no_sense(values: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        SegmentationOptions(**values)


def test_a_bit_rate_on_real_speech(real_corpora: Callable[[str], Path], tmp_path: Path) -> None:
    paths = sorted((real_corpora("mboshi") / "flac").glob("*.flac"))[:40]
    lengths = {path.name: soundfile.info(path).duration for path in paths}
    utterances = tuple(Utterance(name, name, seconds) for name, seconds in lengths.items())
    corpus = write_corpus(tmp_path / "c", Corpus("c", utterances, audio_root=str(paths[0].parent)))
    with extracted(corpus, SpectralOptions(), jobs=1) as features:
        model = KMeansUnits(64, config=KMeansConfig(max_iterations=15)).fit(features)
        rates = []
        for target in (120, 80, 40):
            chosen = with_bitrate(model, Segmentation(), features, lengths, target)
            rates.append(unit_bitrates(model.encode(features, chosen), lengths).segments.value)
            assert 0 < chosen.penalty < 20
        assert rates == pytest.approx([120, 80, 40], rel=0.02)
