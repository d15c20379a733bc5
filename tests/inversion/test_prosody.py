from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from interruption import interrupted
from pydantic_core import to_jsonable_python

from zerochain.errors import InputError
from zerochain.features.f0 import F0Statistics
from zerochain.formats.units import UnitFile
from zerochain.inversion import prosody as module
from zerochain.inversion.prosody import (
    Prosody,
    ProsodyData,
    ProsodyTask,
    fit_prosody,
    held_back,
    whole_steps,
)
from zerochain.modules.prosody import ProsodyConfig, ProsodyNet
from zerochain.training.crops import Crops
from zerochain.training.recipe import Recipe
from zerochain.training.run import Running
from zerochain.training.task import Batch

QUICK = Recipe(max_steps=120, validate_every=40, batch_size=8, learning_rate=5e-3, ema_decay=0.9)
VERY_QUICK = Recipe(max_steps=4, validate_every=2, batch_size=2)
N_UNITS, N_VOICES = 6, 2
Speech = tuple[UnitFile, dict[str, np.ndarray], dict[str, int], list[F0Statistics]]


def speech(n: int = 30, seed: int = 0) -> Speech:
    """Random units, of which the one before says how long one lasts, and where its pitch lies.

    A unit after an even one lasts 2 steps and is low, after an odd one 6 and high; unit 0 is
    unvoiced. The second voice takes twice as long.
    """
    rng = np.random.default_rng(seed)
    units, durations, f0, voices = {}, {}, {}, {}
    for i in range(n):
        name, voice = f"u{i}", i % N_VOICES
        line = rng.integers(0, N_UNITS, 30)
        line = line[np.diff(line, prepend=-1) != 0]
        after_odd = np.concatenate([[0], line[:-1] % 2])
        lasts = (2 + 4 * after_odd) * (1 + voice)
        z = np.repeat(np.where(after_odd, 1.0, -1.0), 2 * lasts)
        voiced = np.repeat(line > 0, 2 * lasts)
        units[name], durations[name] = line.astype(np.int32), lasts.astype(np.int32)
        hz = (110, 210)[voice] * np.exp(0.2 * z + 0.02 * rng.standard_normal(len(z)))
        f0[name], voices[name] = np.where(voiced, hz, 0).astype(np.float32), voice
    statistics = [F0Statistics.of([f0[i] for i in f0 if voices[i] == v]) for v in range(N_VOICES)]
    unit_file = UnitFile(units, N_UNITS, 10.0, "a" * 64, "made", durations=durations)
    return unit_file, f0, voices, statistics


@pytest.fixture(scope="module")
def prosody() -> Prosody:
    return fit_prosody(*speech(), width=24, recipe=QUICK)


def test_context_and_voice_beat_each_units_mean_by_far(prosody: Prosody) -> None:
    for name in ("duration_rmse", "z_rmse"):
        assert prosody.report[name] < 0.5 * prosody.report[f"{name}_baseline"]
    assert prosody.report["voicing_error"] <= prosody.report["voicing_error_baseline"] + 0.01
    assert prosody.findings == []


@pytest.mark.parametrize(("times", "factor"), [(0, 1), (0.5, 1), (1, 1), (2, 0.5), (-1, 0)])
def test_what_is_added_to_the_units_own_duration_counts_as_far_as_it_is_right(
    monkeypatch: pytest.MonkeyPatch, times: float, factor: float
) -> None:
    """The network adds so many times what it should."""
    unit_file, *_ = speech()
    lines = [unit_file.segments(name) for name in unit_file.ids]
    arrays = [
        {"units": u.astype(np.int64), "log_durations": np.log(d + np.float32(1))} for u, d in lines
    ]
    units = Crops.of(arrays, voices=[0] * len(lines))
    data = ProsodyData(units, units)
    network = ProsodyNet(ProsodyConfig(n_units=N_UNITS, width=8)).eval()
    own = torch.from_numpy(np.random.default_rng(0).normal(1.5, 0.2, N_UNITS).astype(np.float32))
    network.start_from(own)

    def added(_: ProsodyNet, batch: Batch) -> torch.Tensor:
        mine = own[batch["units"]]
        return mine + times * (batch["log_durations"] - mine)

    monkeypatch.setattr(module, "log_durations", added)
    found = held_back(network, data, "cpu")
    assert found.factor == pytest.approx(factor, abs=1e-5)
    # Each half has the other's factor, which is the same here.
    wanted = torch.from_numpy(units.arrays["log_durations"]) - own[units.arrays["units"]]
    left = (1 - factor * times) * wanted.square().mean().sqrt()
    assert found.rmse == pytest.approx(float(left), rel=1e-4, abs=1e-5)


def test_shrunk_to_nothing_durations_are_the_units_own(prosody: Prosody) -> None:
    network = deepcopy(prosody.network)
    units = torch.randint(0, N_UNITS, (1, 20))
    lengths = torch.tensor([20])
    whole = network.log_durations(units, lengths, None)
    own = network.duration_layers.means(units)[..., 0]
    network.shrink_durations(0.25)
    part = network.log_durations(units, lengths, None)
    torch.testing.assert_close(part, own + 0.25 * (whole - own))
    assert 0.9 < prosody.report["duration_factor"] <= 1


def test_the_error_of_durations_is_by_a_factor_from_other_utterances(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The network is right about the first half, of units below 3, and wrong about the other."""
    rng = np.random.default_rng(1)
    units = np.repeat(np.int64([0, 1, 2, 3, 4, 5]), 50)
    logs = rng.choice(np.float32([1.2, 1.8]), len(units))
    crops = Crops.of([{"units": units, "log_durations": logs}], voices=[0])
    network = ProsodyNet(ProsodyConfig(n_units=N_UNITS, width=8)).eval()
    network.start_from(torch.full((N_UNITS,), 1.5))

    def half_right(_: ProsodyNet, batch: Batch) -> torch.Tensor:
        wanted = batch["log_durations"] - 1.5
        return 1.5 + torch.where(batch["units"] < 3, wanted, -wanted)

    monkeypatch.setattr(module, "log_durations", half_right)
    found = held_back(network, ProsodyData(crops, crops), "cpu")
    assert found.factor == pytest.approx(0, abs=1e-5)
    # Nothing of what is right counts, and all of what is wrong: errors of .3 and .6.
    assert found.rmse == pytest.approx(np.sqrt((0.3**2 + 0.6**2) / 2), rel=1e-5)


def test_new_utterances_are_as_long_and_as_high_as_they_should_be(prosody: Prosody) -> None:
    unit_file, f0, voices, _ = speech(8, seed=1)
    lengths = []
    for name, contour in f0.items():
        units, truth = unit_file.segments(name)
        made = prosody.durations(units, voices[name])
        assert made.dtype == np.int32
        assert np.abs(np.log(made[1:] / truth[1:])).mean() < 0.3
        lengths.append((made.sum(), truth.sum()))
        pitch = prosody.f0(unit_file.steps(name), voices[name])
        assert pitch.shape == (truth.sum(),)
        here = contour[::2]
        assert ((pitch > 0) != (here > 0)).mean() < 0.05
        both = (pitch > 0) & (here > 0)
        assert np.abs(np.log(pitch[both] / here[both])).mean() < 0.1
    made_steps, true_steps = np.sum(lengths, axis=0)
    assert made_steps == pytest.approx(true_steps, rel=0.1)


def test_rate_changes_the_length_and_nothing_is_shorter_than_a_step(prosody: Prosody) -> None:
    units = np.tile(np.int32([1, 2, 3, 4]), 25)
    whole = prosody.durations(units, 1)
    for rate in (0.5, 1.25, 2.0, 3.0):
        faster = prosody.durations(units, 1, rate)
        assert faster.min() >= 1
        assert faster.sum() == pytest.approx(whole.sum() / rate, abs=1)
        assert np.abs(faster - whole / rate).max() <= 2
    np.testing.assert_array_equal(prosody.durations(units, 1, 1e6), np.ones(100))
    for rate in (0.0, -1.0, np.inf, np.nan):
        with pytest.raises(InputError, match="rate"):
            prosody.durations(units, 1, rate)


@given(
    st.lists(st.floats(1, 50), min_size=1, max_size=60),
    st.floats(0.1, 10),
)
def test_whole_steps_last_what_they_should(durations: list[float], rate: float) -> None:
    given_durations = np.array(durations)
    total = given_durations.sum() / rate
    steps = whole_steps(given_durations, total)
    assert steps.min() >= 1
    assert abs(steps.sum() - max(total, len(durations))) <= 0.5 + 1e-6
    order = np.argsort(given_durations)
    assert (np.diff(steps[order]) >= -1).all()
    if given_durations.min() / rate >= 1:
        assert np.abs(np.cumsum(steps) - np.cumsum(given_durations / rate)).max() <= 0.5 + 1e-6


@pytest.mark.parametrize("n", [1, 2, 10_000])
@pytest.mark.parametrize("voice", [0, 1, None])
def test_any_number_of_units(prosody: Prosody, n: int, voice: int | None) -> None:
    units = np.resize(np.int32([1, 4, 2]), n)
    durations = prosody.durations(units, voice)
    assert durations.shape == (n,)
    assert durations.min() >= 1
    f0 = prosody.f0(units, voice)
    assert f0.shape == (n,)
    assert np.isfinite(f0).all()


def test_any_voice_lies_between_the_known_ones(prosody: Prosody) -> None:
    units = np.tile(np.int32([1, 2, 3, 4]), 25)
    first, second = (prosody.durations(units, v).sum() for v in (0, 1))
    assert first < prosody.durations(units).sum() < second
    low, high = (prosody.f0(units, v) for v in (0, 1))
    between = prosody.f0(units)
    assert low[low > 0].mean() < between[between > 0].mean() < high[high > 0].mean()
    octave = F0Statistics(np.log(440), 0.1, 100)
    told = prosody.f0(units, statistics=octave)
    assert told[told > 0].mean() == pytest.approx(440, rel=0.2)


def test_unknown_voices_and_units_are_refused(prosody: Prosody) -> None:
    units = np.int32([1, 2])
    for voice in (-1, 2, np.zeros(3, np.float32)):
        with pytest.raises(InputError, match="voice"):
            prosody.durations(units, voice)
        with pytest.raises(InputError, match="voice"):
            prosody.f0(units, voice)
    for wrong in ([], [6], [-1]):
        with pytest.raises(InputError, match="unit"):
            prosody.durations(np.int32(wrong))
        with pytest.raises(InputError, match="unit"):
            prosody.f0(np.int32(wrong))


def test_stored_and_restored_it_is_the_same(prosody: Prosody) -> None:
    again = Prosody.from_parts(*prosody.parts())
    units = np.int32([1, 2, 3, 0, 5])
    for voice in (0, 1, None):
        np.testing.assert_array_equal(again.f0(units, voice), prosody.f0(units, voice))
        np.testing.assert_array_equal(
            again.durations(units, voice), prosody.durations(units, voice)
        )
    assert again.report == to_jsonable_python(prosody.report)
    assert again.statistics == prosody.statistics


def test_a_voice_can_be_a_speaker_encoders_vector() -> None:
    unit_file, f0, voices, statistics = speech(6)
    references = np.eye(N_VOICES, 5, dtype=np.float32)
    prosody = fit_prosody(
        unit_file, f0, voices, statistics, references=references, width=8, recipe=VERY_QUICK
    )
    again = Prosody.from_parts(*prosody.parts())
    units = np.int32([1, 2, 3])
    np.testing.assert_array_equal(
        again.f0(units, references[1], statistics[1]), prosody.f0(units, 1)
    )
    with pytest.raises(InputError, match=r"\(5,\)"):
        prosody.f0(units, np.zeros(4, np.float32))


@pytest.mark.parametrize("step_ms", [10.0, 12.5, 20.0, 40.0, 80.0])
def test_f0_has_a_step_of_its_own_of_at_most_10_ms(step_ms: float) -> None:
    unit_file, f0, voices, statistics = speech(4)
    frames = {n: np.repeat(c, round(step_ms * 2))[::20] for n, c in f0.items()}
    prosody = fit_prosody(
        replace(unit_file, step_ms=step_ms),
        frames,
        voices,
        statistics,
        width=8,
        recipe=VERY_QUICK,
    )
    contour = prosody.f0(np.int32([1, 2, 3]), 0)
    assert prosody.frame_ms <= 10
    assert len(contour) * prosody.frame_ms == pytest.approx(3 * step_ms)
    assert 500 <= prosody.network.f0_reach * prosody.frame_ms < 1100


def test_whispered_speech_has_durations_and_no_f0() -> None:
    unit_file, f0, voices, _ = speech(6)
    silent = {name: np.zeros_like(contour) for name, contour in f0.items()}
    statistics = [F0Statistics.of([])] * N_VOICES
    prosody = fit_prosody(unit_file, silent, voices, statistics, width=8, recipe=VERY_QUICK)
    assert prosody.report["z_rmse"] is None
    assert "no frame is voiced" in prosody.findings[0]
    assert not prosody.f0(np.int32([1, 2, 3]), 0).any()
    assert prosody.durations(np.int32([1, 2, 3]), 0).min() >= 1


def test_one_voice_needs_no_number() -> None:
    unit_file, f0, _, _ = speech(4)
    statistics = [F0Statistics.of(f0.values())]
    prosody = fit_prosody(
        unit_file, f0, dict.fromkeys(f0, 0), statistics, width=8, recipe=VERY_QUICK
    )
    units = np.int32([1, 2, 3])
    np.testing.assert_array_equal(prosody.f0(units), prosody.f0(units, 0))
    np.testing.assert_array_equal(prosody.durations(units), prosody.durations(units, 0))


def test_what_is_of_no_use_is_said(prosody: Prosody) -> None:
    report = {**prosody.report, "voicing_error": 0.3, "voicing_error_baseline": 0.2}
    (finding,) = replace(prosody, report=report).findings
    assert "voicing" in finding
    assert "0.300 against 0.200" in finding


def test_bad_training_data_is_refused() -> None:
    unit_file, f0, voices, statistics = speech(4)

    def fitted(**changed: object) -> None:
        arguments = {"unit_file": unit_file, "f0": f0, "voices": voices, "statistics": statistics}
        fit_prosody(**{**arguments, **changed}, width=8, recipe=VERY_QUICK)  # type: ignore[arg-type]

    with pytest.raises(InputError, match=r"'u1'.*NaN"):
        fitted(f0={**f0, "u1": np.full_like(f0["u1"], np.nan)})
    with pytest.raises(InputError, match=r"another length.*u2"):
        fitted(f0={**f0, "u2": np.repeat(f0["u2"], 2)})
    with pytest.raises(InputError, match="strange"):
        fitted(f0={**f0, "strange": f0["u1"]})
    with pytest.raises(InputError, match="u3"):
        fitted(voices={"u0": 0, "u1": 1, "u2": 0})
    with pytest.raises(InputError, match="1 utterance"):
        fitted(f0={"u0": f0["u0"]})


def test_an_interrupted_fit_goes_on_to_the_same_prosody(tmp_path: Path) -> None:
    config = Recipe(max_steps=12, validate_every=4, batch_size=2)

    def fitted(folder: Path) -> Prosody:
        return fit_prosody(*speech(6), width=8, recipe=config, running=Running(folder=folder))

    whole = fitted(tmp_path / "whole")
    with interrupted(ProsodyTask, 7), pytest.raises(KeyboardInterrupt):
        fitted(tmp_path / "broken")
    for name, tensor in fitted(tmp_path / "broken").parts()[1].items():
        np.testing.assert_array_equal(tensor, whole.parts()[1][name])
