import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from zerochain.inversion.phase import SpectrogramOptions
from zerochain.inversion.spectral import (
    AdversaryConfig,
    AdversaryWarning,
    AdversaryWatch,
    Code2SpecTask,
    complaints,
)
from zerochain.inversion.voice_data import VoiceData
from zerochain.modules.code2spec import Code2Spec, Code2SpecConfig
from zerochain.training.loop import Trained, train
from zerochain.training.recipe import Recipe
from zerochain.training.task import Row

TRANSFORM = SpectrogramOptions(n_fft=128, n_window=128)
CONFIG = Recipe(
    max_steps=30, batch_size=4, learning_rate=3e-3, validate_every=10, keep="last", ema_decay=0.9
)
N_UNITS = 3


@pytest.fixture(scope="module")
def noise() -> VoiceData:
    """White noise under units that say nothing of it: the best mean spectrum is flat."""
    rng = np.random.default_rng(0)
    names = [f"u{i}" for i in range(8)]
    units = {i: rng.integers(0, N_UNITS, 120).astype(np.int32) for i in names}
    waves = {i: rng.normal(0, 0.1, 120 * TRANSFORM.hop).astype(np.float32) for i in names}
    return VoiceData.of(units, waves, dict.fromkeys(names, 0), TRANSFORM, N_UNITS)


def task(data: VoiceData, adversary: AdversaryConfig, config: Recipe) -> Code2SpecTask:
    torch.manual_seed(0)
    network = Code2Spec(Code2SpecConfig(n_units=N_UNITS, n_bins=TRANSFORM.n_bins, width=32))
    return Code2SpecTask(network, data, config, adversary, n_frames=48, device="cpu")


def run(data: VoiceData, folder: Path, config: Recipe = CONFIG, **options: object) -> Trained:
    adversary = AdversaryConfig(**options)  # type: ignore[arg-type]
    return train(task(data, adversary, config), config, folder, inputs={})


@pytest.mark.parametrize("form", ["lsgan", "wgan"])
def test_an_adversary_keeps_the_contrast_that_the_mean_loses(
    noise: VoiceData, tmp_path: Path, form: str
) -> None:
    config = CONFIG.model_copy(update={"max_steps": 40})
    plain = run(noise, tmp_path / "plain", config, form="none").history
    options = {"alpha": 1.0, "width": 8, "learning_rate": 4e-3, "feature_matching": 1.0}
    against = run(noise, tmp_path / "made", config, form=form, from_step=11, **options).history
    assert plain[-1]["contrast"] < 0.3
    assert against[-1]["contrast"] > 2 * plain[-1]["contrast"]
    assert against[-1]["valid_loss"] > plain[-1]["valid_loss"]  # texture isn't the mean


def test_before_it_begins_nothing_differs(noise: VoiceData, tmp_path: Path) -> None:
    plain = run(noise, tmp_path / "plain", form="none").history
    later = run(noise, tmp_path / "later", from_step=11).history
    assert later[0]["valid_loss"] == plain[0]["valid_loss"]
    assert later[1]["valid_loss"] != plain[1]["valid_loss"]
    assert "discriminator_loss" not in later[0]
    assert {"discriminator_loss", "score_real", "score_made", "accuracy"} < later[1].keys()
    assert 0.5 < later[2]["accuracy"] <= 1
    assert later[2]["score_real"] > later[2]["score_made"]


def test_without_weight_it_changes_nothing(noise: VoiceData, tmp_path: Path) -> None:
    """β = 0: a spectator that learns to judge. The inverter's gradients are its own."""
    plain = run(noise, tmp_path / "plain", form="none")
    watched = run(noise, tmp_path / "watched", beta=0.0, from_step=1)
    for name, weight in plain.weights.items():
        torch.testing.assert_close(watched.weights[name], weight)


def test_gaps_are_never_judged(noise: VoiceData) -> None:
    """There both sides are the recording: an untrained discriminator can't tell them apart."""
    seen = []

    class Spy(nn.Module):
        def forward(self, x: torch.Tensor) -> list[object]:
            seen.append(x)
            raise StopIteration

    whole = task(noise, AdversaryConfig(from_step=1, n_frames=48), CONFIG)
    networks = {**whole.networks, "discriminator": Spy()}
    with pytest.raises(StopIteration):
        whole.training_step(networks, whole.batch(1, 0), lambda *_: None)  # type: ignore[arg-type]
    gap = whole.batch(1, 0)["units"] == N_UNITS
    real, made = seen[0].chunk(2)
    assert gap.any()
    assert torch.equal(real[gap], made[gap])
    assert not torch.isclose(real[~gap], made[~gap]).all()


@pytest.mark.parametrize("broken", ["inverter", "discriminator"])
def test_nan_in_either_network_stops_it(noise: VoiceData, tmp_path: Path, broken: str) -> None:
    ill = task(noise, AdversaryConfig(from_step=1), CONFIG)
    next(ill.networks[broken].parameters()).data.fill_(float("nan"))
    with pytest.raises(ValueError, match="diverged at step 1"):
        train(ill, CONFIG, tmp_path, inputs={})


def test_it_begins_after_a_third_or_where_it_is_told() -> None:
    assert AdversaryConfig().first_step(300) == 101
    assert AdversaryConfig(from_step=7).first_step(300) == 7
    assert AdversaryConfig(form="none", from_step=7).first_step(300) == 301
    assert AdversaryConfig().first_step(1) == 1


def history(before: list[float], after: list[float], accuracy: float) -> list[Row]:
    errors = [{"valid_loss": v} for v in before]
    against = [{"valid_loss": v, "accuracy": accuracy} for v in after]
    return [{"step": 10.0 * i, **row} for i, row in enumerate([*errors, *against], start=1)]


@pytest.mark.parametrize(
    ("before", "after", "accuracy", "found"),
    [
        ([0.5, 0.4], [], 0, set()),
        ([0.5, 0.4], [0.6] * 9, 0.9, set()),
        ([0.5, 0.4], [0.6] * 5, 0.99, {"won"}),
        ([0.5, 0.4], [0.6] * 4, 0.99, set()),
        ([0.5, 0.4, 0.45], [0.5, 0.81], 0.6, {"error"}),
        ([0.5, 0.4, 0.45], [0.9, 0.79], 0.6, set()),
        ([0.5, 0.4], [0.5, float("nan")], 0.6, {"error"}),
        ([], [1.9], 0.6, set()),
        ([], [2.1] * 5, 1.0, {"error", "won"}),
    ],
)
def test_what_is_complained_of(
    before: list[float], after: list[float], accuracy: float, found: set[str]
) -> None:
    said = complaints(history(before, after, accuracy), AdversaryConfig())
    assert set(said) == found
    for text in said.values():
        assert f"at step {10 * (len(before) + len(after))}" in text
        assert "Fix: " in text


def test_it_warns_once_of_each() -> None:
    watch = AdversaryWatch(AdversaryConfig())
    with pytest.warns(AdversaryWarning, match="no longer follows its units"):
        watch(history([0.4], [0.9], 0.6))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        watch(history([0.4], [0.9, 1.2], 0.6))
    with pytest.warns(AdversaryWarning, match="the discriminator has won: .* at least 99 %"):
        watch(history([0.4], [0.5] * 5, 0.9999))
