from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from interruption import interrupted
from pydantic_core import to_jsonable_python

from zerochain import audio
from zerochain.errors import InputError
from zerochain.features.f0 import F0Statistics, track_f0
from zerochain.formats.units import read_units, write_units
from zerochain.inversion.pitch import F0Quantizer, F0Task
from zerochain.modules.vqvae import CollapseWarning, F0VqvaeConfig
from zerochain.training.recipe import Recipe
from zerochain.training.run import Running

SMALL = F0VqvaeConfig(width=16, n_blocks=1, dim=16)
QUICK = Recipe(max_steps=150, validate_every=50, batch_size=8, learning_rate=5e-3, ema_decay=0.9)
VERY_QUICK = Recipe(max_steps=20, validate_every=10, batch_size=4)


def phrase(rng: np.random.Generator, mean_hz: float, n_frames: int = 400) -> np.ndarray:
    """Rises and falls of 400 ms, and pauses."""
    n = n_frames // 80 + 1
    slopes = rng.choice([-1.0, 0.0, 1.0], n)
    z = np.concatenate([s * np.linspace(-1, 1, 80) for s in slopes])
    voiced = np.repeat(rng.random(n) < 0.7, 80)
    return np.where(voiced, mean_hz * np.exp(0.2 * z), 0)[:n_frames].astype(np.float32)


def speech(n: int = 24) -> tuple[dict[str, np.ndarray], dict[str, int], list[F0Statistics]]:
    """Contours of two voices, who speaks, and their statistics."""
    rng = np.random.default_rng(0)
    voices = {f"u{i}": i % 2 for i in range(n)}
    f0 = {name: phrase(rng, (110, 210)[voice]) for name, voice in voices.items()}
    statistics = [F0Statistics.of([f0[i] for i in f0 if voices[i] == v]) for v in (0, 1)]
    return f0, voices, statistics


@pytest.fixture(scope="module")
def quantizer() -> F0Quantizer:
    return F0Quantizer.fit(*speech(), config=SMALL, recipe=QUICK)


def test_units_keep_movements_and_voicing(quantizer: F0Quantizer) -> None:
    rng = np.random.default_rng(9)
    _, _, statistics = speech()
    new = [phrase(rng, 110) for _ in range(10)]
    again = [
        quantizer.contour(quantizer.units(f0, statistics[0]), statistics[0], 400) for f0 in new
    ]
    truth, made = np.concatenate(new), np.concatenate(again)
    assert ((truth > 0) != (made > 0)).mean() < 0.12
    both = (truth > 0) & (made > 0)
    error = np.log(made[both] / truth[both])
    assert np.sqrt((error**2).mean()) < 0.6 * np.log(truth[both]).std()
    assert quantizer.report["held_out_z_rmse"] < 0.6
    assert quantizer.report["n_used"] >= 5
    assert quantizer.findings == []


def test_units_say_nothing_of_the_voice(quantizer: F0Quantizer) -> None:
    """The same movement an octave higher has the same units, and comes back an octave higher."""
    f0 = phrase(np.random.default_rng(3), 100)
    low, high = F0Statistics(np.log(100), 0.2, 1), F0Statistics(np.log(200), 0.2, 1)
    units = quantizer.units(f0, low)
    np.testing.assert_array_equal(quantizer.units(2 * f0, high), units)
    np.testing.assert_allclose(
        quantizer.contour(units, high), 2 * quantizer.contour(units, low), rtol=1e-5
    )


@pytest.mark.parametrize("n_frames", [1, 2, 15, 16, 17, 10_001])
def test_any_length(quantizer: F0Quantizer, n_frames: int) -> None:
    statistics = F0Statistics(np.log(100), 0.2, 1)
    units = quantizer.units(np.full(n_frames, 120, np.float32), statistics)
    assert units.dtype == np.int32
    assert units.shape == (-(-n_frames // SMALL.stride),)
    contour = quantizer.contour(units, statistics, n_frames)
    assert contour.shape == (n_frames,)
    assert np.isfinite(contour).all()
    assert quantizer.contour(units, statistics).shape == (SMALL.stride * len(units),)
    assert quantizer.unit_step_ms == 80


def test_saved_and_loaded_it_is_the_same(quantizer: F0Quantizer, tmp_path: Path) -> None:
    f0, voices, statistics = speech(2)
    quantizer.save(tmp_path / "f0")
    inside = F0Quantizer.from_parts(*quantizer.parts())
    for again in (F0Quantizer.load(tmp_path / "f0"), inside):
        for name, contour in f0.items():
            units = quantizer.units(contour, statistics[voices[name]])
            np.testing.assert_array_equal(again.units(contour, statistics[voices[name]]), units)
            np.testing.assert_array_equal(
                again.contour(units, statistics[0]), quantizer.contour(units, statistics[0])
            )
        assert again.report == to_jsonable_python(quantizer.report)


def test_f0_units_are_a_unit_file_like_any_other(quantizer: F0Quantizer, tmp_path: Path) -> None:
    f0, voices, statistics = speech(4)
    path = tmp_path / "f0.parquet"
    write_units(path, quantizer.encode(f0, voices, statistics, "a" * 64, speakers={"u0": "ana"}))
    unit_file = read_units(path)
    assert (unit_file.n_units, unit_file.step_ms) == (20, 80)
    assert unit_file.speakers == {"u0": "ana", "u1": None, "u2": None, "u3": None}
    unit_file.check_durations({name: len(c) * 0.005 for name, c in f0.items()}, "contours")
    np.testing.assert_array_equal(unit_file.units["u1"], quantizer.units(f0["u1"], statistics[1]))


def test_whispered_speech_works_and_says_so() -> None:
    f0 = {f"u{i}": np.zeros(100 + i, np.float32) for i in range(6)}
    statistics = [F0Statistics.of(f0.values())]
    with pytest.warns(CollapseWarning, match="whispered"):
        quantizer = F0Quantizer.fit(
            f0, dict.fromkeys(f0, 0), statistics, config=SMALL, recipe=VERY_QUICK
        )
    assert quantizer.report["held_out_z_rmse"] is None
    units = quantizer.units(f0["u0"], statistics[0])
    assert len(units) == 7
    assert not quantizer.contour(units, statistics[0], 100).any()


def test_a_collapsed_codebook_is_reported() -> None:
    """One endless tone: there is nothing to tell apart but its beginning and its end."""
    f0 = {f"u{i}": np.full(3000, 120, np.float32) for i in range(4)}
    statistics = [F0Statistics.of(f0.values())]
    with pytest.warns(CollapseWarning, match=r"[1-4] of 20 units are in use. Fix"):
        quantizer = F0Quantizer.fit(
            f0, dict.fromkeys(f0, 0), statistics, config=SMALL, recipe=VERY_QUICK
        )
    assert "livelier" in quantizer.findings[0]


def test_bad_contours_are_refused(quantizer: F0Quantizer) -> None:
    f0, voices, statistics = speech(4)
    f0["u2"][7] = np.nan
    with pytest.raises(InputError, match=r"'u2'.*NaN"):
        F0Quantizer.fit(f0, voices, statistics, config=SMALL, recipe=VERY_QUICK)
    with pytest.raises(InputError, match="1 utterance"):
        F0Quantizer.fit({"u0": f0["u0"]}, voices, statistics, config=SMALL, recipe=VERY_QUICK)
    with pytest.raises(InputError, match="no frame"):
        quantizer.units(np.zeros(0, np.float32), statistics[0])


def test_bad_units_are_refused(quantizer: F0Quantizer) -> None:
    statistics = F0Statistics(np.log(100), 0.2, 1)
    for units in ([], [20], [-1]):
        with pytest.raises(InputError, match="F0 unit"):
            quantizer.contour(np.int32(units), statistics)
    with pytest.raises(
        InputError, match="33 frames of 5 ms were asked for, and 2 F0 units can make up to 32"
    ):
        quantizer.contour(np.int32([1, 2]), statistics, 33)


def test_an_interrupted_fit_goes_on_to_the_same_units(tmp_path: Path) -> None:
    config = Recipe(max_steps=30, validate_every=10, batch_size=4)

    def fitted(folder: Path) -> F0Quantizer:
        return F0Quantizer.fit(
            *speech(6), config=SMALL, recipe=config, running=Running(folder=folder)
        )

    whole = fitted(tmp_path / "whole")
    with interrupted(F0Task, 17), pytest.raises(KeyboardInterrupt):
        fitted(tmp_path / "broken")
    broken = fitted(tmp_path / "broken")
    for name, tensor in whole.parts()[1].items():
        np.testing.assert_array_equal(tensor, broken.parts()[1][name])
    steps = [line.split(",")[0] for line in (tmp_path / "broken/log.csv").read_text().splitlines()]
    assert steps == ["step", "10", "20", "30"]


def test_units_keep_the_pitch_of_real_speech(real_corpora: Callable[[str], Path]) -> None:
    """Two minutes: far better than the mean pitch, and voicing far better than the majority's."""
    files = sorted((real_corpora("mboshi") / "flac").glob("abiayi*.flac"))[:40]
    f0 = {path.stem: track_f0(audio.read(path)) for path in files}
    statistics = [F0Statistics.of(f0.values())]
    training = QUICK.model_copy(update={"max_steps": 250, "validate_every": 125})
    quantizer = F0Quantizer.fit(f0, dict.fromkeys(f0, 0), statistics, config=SMALL, recipe=training)
    assert quantizer.report["held_out_voicing_error"] < 0.2
    assert quantizer.report["held_out_z_rmse"] < 0.8
