"""What all generators of waveforms promise, and what each of them does."""

import copy
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from torch import nn

from conftest import voice
from zerochain.errors import InputError
from zerochain.modules.discriminators import MelLoss
from zerochain.modules.hifigan import HiFiGANConfig, HiFiGANGenerator, upsampling_factors
from zerochain.modules.source_filter import (
    SourceFilterConfig,
    SourceFilterGenerator,
    Start,
    at,
    excite,
    starts,
)

N_UNITS, N_F0_UNITS = 7, 4


def source_filter(hop: int = 160, **more: int) -> SourceFilterGenerator:
    config = SourceFilterConfig(
        n_units=N_UNITS,
        n_voices=3,
        hop=hop,
        width=16,
        n_blocks=2,
        n_fft=1024 if hop < 400 else 4096,
        n_window=640 if hop < 400 else 2560,
        **more,
    )
    generator = SourceFilterGenerator(config).eval()
    for block in generator.blocks:  # what is far away counts from the start
        nn.init.ones_(block.scale)
    return generator


def hifigan(hop: int = 160, **more: int) -> HiFiGANGenerator:
    generator = HiFiGANGenerator(
        HiFiGANConfig(n_units=N_UNITS, n_voices=3, hop=hop, width=32, **more)
    )
    for name, parameter in generator.named_parameters():
        if name.endswith("original0"):  # of a layer's weight: louder than at first
            nn.init.ones_(parameter)
    return generator.eval()


Make = Callable[..., SourceFilterGenerator | HiFiGANGenerator]
BOTH = pytest.mark.parametrize("make", [source_filter, hifigan])


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


def utterance(n_frames: int, n: int = 1) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Units, F0 and voices."""
    f0 = 150 + 50 * torch.sin(torch.arange(n_frames) / 9).expand(n, -1)
    voiced = torch.arange(n_frames) % 20 < 13
    return torch.randint(N_UNITS, (n, n_frames)), f0 * voiced, torch.arange(n) % 3


@BOTH
@pytest.mark.parametrize("hop", [80, 160, 320, 441, 640])
@pytest.mark.parametrize("n_frames", [1, 13])
@torch.no_grad()
def test_exactly_hop_samples_per_frame(make: Make, hop: int, n_frames: int) -> None:
    units, f0, voices = utterance(n_frames, 2)
    waves = make(hop)(units, None, f0, voices)
    assert waves.shape == (2, n_frames * hop)
    assert waves.isfinite().all()
    assert waves.std() > 1e-4


@BOTH
@torch.no_grad()
def test_nothing_beyond_the_reach_counts(make: Make) -> None:
    generator = make()
    units, f0, voices = utterance(2 * generator.reach + 41)
    middle = units.shape[1] // 2
    other = units.clone()
    other[0, middle] = (other[0, middle] + 1) % N_UNITS
    changed = (generator(units, None, f0, voices) - generator(other, None, f0, voices)).abs()
    frames = changed.view(-1, 160).amax(dim=1)
    near = slice(middle - generator.reach, middle + generator.reach + 1)
    assert frames[near].max() > 1e-4
    frames[near] = 0
    assert not frames.any()


@BOTH
@torch.no_grad()
def test_chunks_with_context_are_the_whole(make: Make) -> None:
    generator = make()
    reach, n = generator.reach, 20
    units, f0, voices = utterance(3 * n)
    units = nn.functional.pad(units, (reach, reach), value=N_UNITS)
    f0 = nn.functional.pad(f0, (reach, reach))
    begin = starts(f0, 160, seed=3)
    whole = generator(units, None, f0, voices, at(begin, 0))[:, reach * 160 : -reach * 160]
    chunks = []
    for i in range(0, 3 * n, n):
        here = slice(i, i + n + 2 * reach)
        made = generator(units[:, here], None, f0[:, here], voices, at(begin, i))
        chunks.append(made[:, reach * 160 : -reach * 160])
    torch.testing.assert_close(torch.cat(chunks, 1), whole, atol=2e-5, rtol=1e-4)


@torch.no_grad()
def test_nothing_is_what_lies_beyond_the_edges() -> None:
    generator = source_filter()
    units, f0, voices = utterance(30)
    alone = generator(units, None, f0, voices)
    padded = nn.functional.pad(units, (6, 9), value=N_UNITS), nn.functional.pad(f0, (6, 9))
    begin = at(starts(padded[1], 160), 0)
    begin = Start(begin.phase, begin.noise - 6 * 160)
    made = generator(padded[0], None, padded[1], voices, begin)
    torch.testing.assert_close(made[:, 6 * 160 : -9 * 160], alone, atol=1e-5, rtol=1e-4)
    silent = torch.full((1, 9), N_UNITS)
    assert not generator(silent, None, torch.full((1, 9), 100.0), voices).any()


@BOTH
@torch.no_grad()
def test_batched_is_one_by_one(make: Make) -> None:
    generator = make()
    units, f0, voices = utterance(24, 3)
    together = generator(units, None, f0, voices)
    for i in range(3):
        one = slice(i, i + 1)
        alone = generator(units[one], None, f0[one], voices[one])
        torch.testing.assert_close(together[one], alone, atol=1e-5, rtol=1e-4)
    assert (together[0] - together[1]).abs().max() > 1e-3


@BOTH
def test_gradients_reach_all_parameters(make: Make) -> None:
    generator = make(n_f0_units=N_F0_UNITS, n_reference=5).train()
    generator.conditioning.voice.references.normal_()
    units, f0, voices = utterance(40, 2)
    f0_units = torch.randint(N_F0_UNITS, units.shape)
    wave = generator(units, f0_units, f0, voices)
    MelLoss()(wave, torch.randn_like(wave)).backward()
    for name, parameter in generator.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.any(), name


@BOTH
@torch.no_grad()
def test_copies_and_weights_make_the_same_speech(make: Make) -> None:
    trained = make()
    arguments = utterance(9)
    made = trained(arguments[0], None, *arguments[1:])
    again = make()
    again.load_state_dict(trained.state_dict())
    for other in (again, copy.deepcopy(trained)):
        assert torch.equal(other(arguments[0], None, *arguments[1:]), made)


@BOTH
@torch.no_grad()
def test_content_voice_and_pitch_all_count(make: Make) -> None:
    generator = make(n_f0_units=N_F0_UNITS)
    units, f0, voices = utterance(20)
    f0_units = torch.zeros_like(units)
    made = generator(units, f0_units, f0, voices)
    for other in (
        generator((units + 1) % N_UNITS, f0_units, f0, voices),
        generator(units, f0_units + 1, f0, voices),
        generator(units, f0_units, f0 * 1.3, voices),
        generator(units, f0_units, f0, voices + 1),
    ):
        assert (made - other).abs().max() > 1e-4
    with pytest.raises(ValueError, match="F0 units"):
        generator(units, None, f0, voices)


@torch.no_grad()
def test_voices_that_training_never_met() -> None:
    generator = source_filter(n_reference=5)
    generator.conditioning.voice.references.normal_()
    units, f0, _ = utterance(20)
    known = generator(units, None, f0, torch.tensor([1]))
    same = generator(units, None, f0, generator.conditioning.voice.references[1:2])
    torch.testing.assert_close(known, same)


@pytest.mark.parametrize("pitched", [False, True])
@torch.no_grad()
def test_starts_at_the_units_mean_envelopes(pitched: bool) -> None:
    generator = source_filter()
    means = torch.randn(N_UNITS + 1, 9).repeat_interleave(57, dim=1) - 3  # in nine broad bands
    generator.start_from(means)
    units = torch.arange(N_UNITS).repeat_interleave(60)[None]
    f0 = torch.full(units.shape, 110.0 * pitched)
    made = generator.log_magnitude(generator(units, None, f0, torch.tensor([0])))[0]
    frames = made.view(N_UNITS, 60, 513)[:, 10:-10].mean(dim=1)
    middles = torch.arange(28, 513, 57)  # of the bands, where their neighbours aren't heard
    bands = torch.stack([frames[:, m - 8 : m + 9].mean(dim=1) for m in middles], dim=1)
    error = bands - means[:N_UNITS, middles]
    assert error.abs().max() < (0.5 if pitched else 0.2)


@torch.no_grad()
def test_envelopes_have_no_harmonics() -> None:
    """Two pitches of the same power, and noise of that power, all have one flat envelope."""
    generator = source_filter()
    level = generator.transform.analysis_window.square().sum().log() / 2
    for hz in (80.0, 120.0, 200.0):
        buzz = excite(torch.full((1, 60), hz), 160).harmonic
        envelope = generator.log_magnitude(buzz)[0, 10:-10, 10:-20].mean(dim=0) - level
        assert envelope.abs().max() < 0.6
        assert abs(envelope.mean()) < 0.15


@torch.no_grad()
def test_speaks_at_the_pitch_asked_for() -> None:
    generator = source_filter()
    generator.start_from(torch.full((N_UNITS + 1, 513), -3.0))
    units = torch.zeros(1, 120, dtype=torch.long)
    for hz in (90.0, 210.0):
        wave = generator(units, None, torch.full((1, 120), hz), torch.tensor([0]))
        spectrum = np.abs(np.fft.rfft(wave[0, 1600:17600].numpy() * np.hanning(16000)))
        low = spectrum[50:1000]
        assert (np.argmax(low) + 50) % hz == pytest.approx(0, abs=1)
        assert low[round(1.5 * hz) - 50] < 0.2 * low.max()


def test_learns_one_recording_from_spectra_alone() -> None:
    generator = source_filter().train()
    real = torch.from_numpy(voice(np.random.default_rng(0), 0.6, 140))[None]
    units = torch.arange(60)[None] // 9
    f0 = 140 * (1 + 0.05 * torch.sin(2 * torch.pi * 3 * torch.arange(60) / 100))[None]
    loss, optimiser = MelLoss(), torch.optim.AdamW(generator.parameters(), 1e-2)
    history = []
    for step in range(100):
        made = generator(units, None, f0, torch.tensor([0]), Start.random(1, step))
        history.append(loss(made, real))
        optimiser.zero_grad()
        history[-1].backward()
        optimiser.step()
    assert history[-1] < 0.3 * history[0]


@pytest.mark.parametrize(("n_window", "n_fft"), [(200, 1024), (1200, 1024)])
def test_windows_that_do_not_fit(n_window: int, n_fft: int) -> None:
    with pytest.raises(ValueError, match="n_window"):
        SourceFilterConfig(n_units=4, n_window=n_window, n_fft=n_fft)


@given(hop=st.integers(80, 1280))
@example(hop=80)
@example(hop=97)
@example(hop=1024)
@example(hop=1280)
def test_factors_make_the_hop_or_an_error(hop: int) -> None:
    prime = max(p for p in range(2, hop + 1) if hop % p == 0 and all(p % q for q in range(2, p)))
    if prime > 16:
        with pytest.raises(InputError, match=str(hop)):
            upsampling_factors(hop)
        return
    factors = upsampling_factors(hop)
    assert np.prod(factors) == hop
    assert list(factors) == sorted(factors, reverse=True)
    assert 2 <= min(factors) <= max(factors) <= 16
    assert len(factors) <= 5


def test_published_factors() -> None:
    assert upsampling_factors(320) == (5, 4, 4, 2, 2)
    with pytest.raises(InputError, match="97"):
        hifigan(97)


def test_even_kernels_are_refused() -> None:
    with pytest.raises(ValueError, match="odd"):
        HiFiGANConfig(n_units=4, kernels=(3, 4))
