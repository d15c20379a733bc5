from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from interruption import interrupted
from torch import Tensor, nn

from zerochain.errors import InputError
from zerochain.inversion.inverter import Generator
from zerochain.inversion.waveform import GeneratorTask, Utterance, WaveformConfig, training_crops
from zerochain.inversion.waveform import mean_spectra as unit_means
from zerochain.modules.hifigan import HiFiGANConfig, HiFiGANGenerator
from zerochain.modules.source_filter import SourceFilterConfig, SourceFilterGenerator
from zerochain.training.loop import Trained, train
from zerochain.training.recipe import Recipe

HOP, N_UNITS = 160, 4
AMPLITUDES = (0.02, 0.2, 0.1)  # of the units; the last one never occurs
CONFIG = Recipe(
    max_steps=6, batch_size=2, learning_rate=1e-2, validate_every=2, ema_decay=0.5, keep="last"
)
AGAINST = WaveformConfig(adversary="multi-resolution", adversary_width=0.125)


def utterance(i: int, n_frames: int) -> Utterance:
    """A tone at its F0, as loud as its units, under which unit 0 is noise."""
    rng = np.random.default_rng(i)
    units = np.repeat(rng.integers(0, 3, n_frames // 8 + 1), 8)[:n_frames].astype(np.int32)
    f0 = np.where(units > 0, 110 + 60 * (i % 2), 0).astype(np.float32)
    time, voiced = np.arange(n_frames * HOP) / 16_000, np.repeat(f0 > 0, HOP)
    tone = sum(np.sin(2 * np.pi * k * (110 + 60 * (i % 2)) * time) / k for k in range(1, 20))
    wave = np.where(voiced, tone, rng.standard_normal(len(time)))
    wave *= np.repeat(np.array(AMPLITUDES)[units], HOP)
    # A recording ends a little before or after its last unit does.
    wave = np.append(wave, np.ones(50))[: n_frames * HOP + (50 if i % 2 else -50)]
    f0_units = np.full(n_frames, i % 5, np.int64)
    return Utterance(units, f0, f0_units, wave.astype(np.float32), i % 2)


def speech() -> dict[str, Utterance]:
    return {f"u{i}": utterance(i, n) for i, n in enumerate((60, 90, 5, 33, 120, 1))}


def source_filter() -> SourceFilterGenerator:
    torch.manual_seed(0)
    sizes = {"n_units": N_UNITS, "n_voices": 2, "width": 8, "n_blocks": 1}
    return SourceFilterGenerator(SourceFilterConfig(**sizes, n_fft=512, n_window=320))


def hifigan() -> HiFiGANGenerator:
    torch.manual_seed(0)
    sizes = {"n_units": N_UNITS, "n_f0_units": 5, "n_voices": 2, "width": 32}
    return HiFiGANGenerator(HiFiGANConfig(**sizes, kernels=(3,), dilations=(1,)))


def task(
    losses: WaveformConfig | None = None,
    config: Recipe = CONFIG,
    generator: Generator | None = None,
    data: Mapping[str, Utterance] | None = None,
) -> GeneratorTask:
    generator = generator or source_filter()
    learned, kept = training_crops(data or speech(), HOP)
    if isinstance(generator, SourceFilterGenerator):
        generator.start_from(unit_means(generator, learned))
    losses = losses or WaveformConfig()
    return GeneratorTask(generator, learned, kept, losses, config, n_frames=20, device="cpu")


def run(folder: Path, losses: WaveformConfig | None = None, **options: Any) -> Trained:
    config = options.get("config", CONFIG)
    return train(task(losses, **options), config, folder, inputs={})


class Recorder:
    """Stands for the loop's update: takes gradients and steps, and notes who got gradients."""

    def __init__(self, made: GeneratorTask) -> None:
        self.task = made
        self.accelerator = SimpleNamespace(unwrap_model=lambda network: network)
        self.with_gradient: dict[str, set[str]] = {}

    def __call__(self, name: str, loss: Tensor) -> None:
        for network in self.task.networks.values():
            network.zero_grad()
        loss.backward()
        self.with_gradient[name] = {
            other
            for other, network in self.task.networks.items()
            if any(p.grad is not None and p.grad.any() for p in network.parameters())
        }
        self.task.optimisers[name].step()


def test_training_comes_closer_to_the_recordings(tmp_path: Path) -> None:
    """Even from nothing: the units' means are a start, not the end."""
    config = CONFIG.model_copy(update={"max_steps": 20, "validate_every": 5})
    learned, kept = training_crops(speech(), HOP)
    made = GeneratorTask(
        source_filter(), learned, kept, WaveformConfig(), config, n_frames=20, device="cpu"
    )
    losses = [row["valid_loss"] for row in train(made, config, tmp_path, inputs={}).history]
    assert losses[-1] < 0.87 * losses[0]
    start = task()
    with torch.no_grad():
        assert start.validate(start.networks["generator"].eval()) < losses[0]


@pytest.mark.parametrize(
    ("losses", "generator"),
    [
        (WaveformConfig(), source_filter),
        (AGAINST, source_filter),
        (WaveformConfig(), hifigan),
    ],
)
def test_interrupted_and_resumed_gives_the_same_weights(
    losses: WaveformConfig, generator: Any, tmp_path: Path
) -> None:
    whole = run(tmp_path / "whole", losses, generator=generator())
    with interrupted(GeneratorTask, 4), pytest.raises(KeyboardInterrupt):
        run(tmp_path / "broken", losses, generator=generator())
    resumed = run(tmp_path / "broken", losses, generator=generator())
    for name, weight in whole.weights.items():
        assert torch.equal(resumed.weights[name], weight), name
    for one, two in zip(whole.history, resumed.history, strict=True):
        assert {**one, "seconds": 0} == {**two, "seconds": 0}


@pytest.mark.parametrize("losses", [WaveformConfig(), AGAINST], ids=lambda x: x.adversary)
def test_nan_ends_in_an_error(losses: WaveformConfig, tmp_path: Path) -> None:
    made = task(losses)
    with torch.no_grad():
        next(made.networks["generator"].parameters())[0] = np.nan
    with pytest.raises(InputError, match="training diverged at step 1"):
        train(made, CONFIG, tmp_path, inputs={})
    assert not (tmp_path / "checkpoint.safetensors").exists()


@pytest.mark.parametrize("adversary", ["patches", "multi-resolution", "multi-period"])
@pytest.mark.parametrize("generator", [source_filter, hifigan])
def test_each_network_learns_from_its_own_loss(adversary: Any, generator: Any) -> None:
    losses = WaveformConfig(adversary=adversary, adversary_width=0.03, adversary_from=0)
    made = task(losses, generator=generator())
    before = {
        name: [p.detach().clone() for p in network.parameters()]
        for name, network in made.networks.items()
    }
    update = Recorder(made)
    said = made.training_step(made.networks, made.batch(1, 0), update)
    assert update.with_gradient == {
        "discriminators": {"discriminators"},
        "generator": {"generator"},
    }
    assert list(said) == ["train_loss", "discriminator", "adversarial", "matching"]
    assert all(float(loss.detach()) > 0 for loss in said.values())
    for name, network in made.networks.items():
        assert all(p.requires_grad for p in network.parameters())
        moved = [
            not torch.equal(*pair) for pair in zip(before[name], network.parameters(), strict=True)
        ]
        assert np.mean(moved) > 0.7


def test_the_generator_follows_its_adversary() -> None:
    """With nothing else to go by, it soon looks more real to discriminators that stand still."""
    weights = WaveformConfig(
        adversary="multi-resolution",
        adversary_width=0.125,
        mel_weight=1e-9,
        feature_matching_weight=0,
    )
    made = task(weights)
    for group in made.optimisers["discriminators"].param_groups:
        group["lr"] = 0.0
    update, batch = Recorder(made), made.batch(1, 0)
    losses = [
        float(made.training_step(made.networks, batch, update)["adversarial"].detach())
        for _ in range(6)
    ]
    assert losses[-1] < losses[0]


def test_before_the_adversary_begins_nothing_differs(tmp_path: Path) -> None:
    later = AGAINST.model_copy(update={"adversary_from": 2})
    plain, against = run(tmp_path / "plain").history, run(tmp_path / "against", later).history
    valid = [[row["valid_loss"] for row in history] for history in (plain, against)]
    assert valid[0][0] == valid[1][0]
    assert valid[0][1] != valid[1][1]
    assert [("discriminator" in row) for row in against] == [False, True, True]


def test_an_adversary_that_would_never_begin_is_refused() -> None:
    later = AGAINST.model_copy(update={"adversary_from": 6})
    with pytest.raises(InputError, match="begin at step 7, and training ends at step 6"):
        later.check_begins(6)
    later.check_begins(7)
    WaveformConfig(adversary_from=6).check_begins(6)


def test_patches_begin_in_the_last_fifth_and_the_others_at_once() -> None:
    patches = WaveformConfig(adversary="patches")
    assert patches.steps_before(4000) == 3200
    assert patches.model_copy(update={"adversary_from": 7}).steps_before(4000) == 7
    assert AGAINST.steps_before(4000) == 0


def test_unit_means_are_means() -> None:
    generator, data = source_filter(), speech()
    learned, _ = training_crops(data, HOP)
    means = unit_means(generator, learned)
    assert means.shape == (N_UNITS + 1, 257)
    spectra: dict[int, list[Tensor]] = {unit: [] for unit in range(N_UNITS)}
    for name, u in data.items():
        arrays = u.arrays(HOP)
        if not any(np.array_equal(arrays["waves"], w) for w in _each(learned)):
            continue  # held out
        frames = generator.log_magnitude(torch.from_numpy(arrays["waves"]).flatten()[None])[0]
        assert len(frames) == len(u.units), name
        for unit, frame in zip(u.units, frames, strict=True):
            spectra[int(unit)].append(frame)
    everything = torch.stack([frame for frames in spectra.values() for frame in frames])
    for unit in range(3):
        torch.testing.assert_close(
            means[unit], torch.stack(spectra[unit]).mean(0), atol=1e-4, rtol=1e-4
        )
    for never in (3, N_UNITS):
        torch.testing.assert_close(means[never], everything.mean(0), atol=1e-4, rtol=1e-4)


def _each(cuts: Any) -> list[np.ndarray]:
    return [
        cuts.arrays["waves"][a:b] for a, b in zip(cuts.bounds[:-1], cuts.bounds[1:], strict=True)
    ]


def test_training_starts_at_the_units_means() -> None:
    """Before the first step each unit is as loud as it was in the recordings."""
    made = task()
    generator = made.networks["generator"].eval()
    for unit, amplitude in ((0, 0.02), (1, 0.2), (2, 0.1)):
        units, f0 = torch.full((1, 60), unit), torch.full((1, 60), 110.0 * (unit > 0))
        with torch.no_grad():
            wave = generator(units, None, f0, torch.tensor([0]))[0, 1600:-1600]
        recorded = amplitude * (
            1 if unit == 0 else np.sqrt(sum(1 / k**2 for k in range(1, 20)) / 2)
        )
        assert float(wave.std()) == pytest.approx(recorded, rel=0.35)


class Watched(nn.Module):
    """A generator that keeps what it is given and what it makes of it."""

    def __init__(self, generator: Generator) -> None:
        super().__init__()
        self.generator, self.config = generator, generator.config
        self.seen: list[tuple[Tensor, Tensor, Tensor]] = []

    def forward(self, units: Tensor, f0_units: Any, f0: Tensor, *rest: Any) -> Tensor:
        wave: Tensor = self.generator(units, f0_units, f0, *rest)
        self.seen.append((units, f0, wave))
        return wave


def test_beyond_an_utterances_end_there_is_nothing() -> None:
    """Not unit 0: what is padded is silent, and so is the recording there."""
    short = {f"u{i}": utterance(i, n) for i, n in enumerate((19, 3, 7, 30))}
    made = task(config=CONFIG.model_copy(update={"batch_size": 8}), data=short)
    watched, batch = Watched(source_filter()), made.batch(1, 0)
    assert {7, 19} <= set(batch["lengths"].tolist())
    made.training_step({"generator": watched}, batch, lambda *_: None)
    ((units, f0, wave),) = watched.seen
    for row, length in enumerate(batch["lengths"]):
        assert (units[row, :length] < N_UNITS).all()
        assert (units[row, length:] == N_UNITS).all()
        assert not f0[row, length:].any()
        assert not batch["waves"][row, length:].any()
        after = (int(length) + watched.generator.transform.reach) * HOP
        assert not wave[row, after:].any()


def test_validation_covers_all_that_was_held_out() -> None:
    made = task(data=speech() | {"long": utterance(7, 900)})
    watched = Watched(made.networks["generator"]).eval()
    with torch.no_grad():
        assert np.isfinite(made.validate(watched))
    _, kept = training_crops(speech() | {"long": utterance(7, 900)}, HOP)
    n_frames = sum(int((units < N_UNITS).sum()) for units, _, _ in watched.seen)
    assert n_frames == kept.bounds[-1]


def test_a_recording_is_cut_or_filled_to_its_units() -> None:
    for i, n_frames in ((0, 20), (1, 20)):
        u = utterance(i, n_frames)
        arrays = u.arrays(HOP)
        assert {len(values) for values in arrays.values()} == {n_frames}
        flat = arrays["waves"].reshape(-1)
        n = min(len(u.wave), len(flat))
        np.testing.assert_array_equal(flat[:n], u.wave[:n])
        assert not flat[n:].any()


def test_one_utterance_is_too_little() -> None:
    with pytest.raises(InputError, match="1 utterance"):
        training_crops({"u": utterance(0, 20)}, HOP)


@pytest.mark.parametrize("generator", [source_filter, hifigan])
def test_half_precision(generator: Any, tmp_path: Path) -> None:
    config = CONFIG.model_copy(update={"precision": "bf16", "max_steps": 2})
    (row,) = run(tmp_path, config=config, generator=generator()).history
    plain = CONFIG.model_copy(update={"max_steps": 2})
    (whole,) = run(tmp_path / "whole", config=plain, generator=generator()).history
    assert row["valid_loss"] == pytest.approx(whole["valid_loss"], rel=0.1)
