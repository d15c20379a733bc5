"""Long utterances, chunk by chunk: the joints, the memory, the context."""

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from conftest import voice
from spectra import SMALL, magnitude
from zerochain.features.f0 import F0Statistics
from zerochain.inversion import phase
from zerochain.inversion.inverter import Code2SpecInverter
from zerochain.inversion.phase import Phase, reconstruct, stream
from zerochain.modules.code2spec import Code2Spec, Code2SpecConfig

N_UNITS = 10


class Watched(nn.Module):
    """A network that remembers how many frames it was given at once."""

    def __init__(self, network: Code2Spec) -> None:
        super().__init__()
        self.network, self.config = network, network.config
        self.given: list[int] = []

    def forward(self, units: Tensor) -> Tensor:
        self.given.append(units.shape[1])
        spectrum: Tensor = self.network(units)
        return spectrum


def inverter(method: Phase = "pghi") -> Code2SpecInverter:
    torch.manual_seed(0)
    config = Code2SpecConfig(n_units=N_UNITS, n_bins=SMALL.n_bins, width=16)
    return Code2SpecInverter(
        network=Watched(Code2Spec(config).eval()),  # type: ignore[arg-type]
        spectrogram=SMALL,
        mean=np.full(SMALL.n_bins, -2, np.float32),
        deviation=np.ones(SMALL.n_bins, np.float32),
        f0=(F0Statistics(5.0, 0.2, 1),),
        prosody=None,
        speaker_encoder_id="",
        unit_model="f" * 64,
        n_units=N_UNITS,
        step_ms=40.0,
        voices=("ana",),
        phase=method,
    )


def units(n: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, N_UNITS, n).astype(np.int32)


def test_ten_thousand_units_take_the_memory_of_a_chunk() -> None:
    model, steps = inverter(), units(10_000)
    chunks = model.stream(np.repeat(steps, 4), model.voice())
    first = next(chunks)
    assert model.network.given == [max(model.network.given)]  # no more than is needed was computed
    lengths = [len(first), *(len(chunk) for chunk in chunks)]
    assert sum(lengths) == 10_000 * 640
    assert max(lengths) <= 10 * 16_000
    assert max(model.network.given) <= 1000 + 2 * 14 + 2 * 40
    assert len(model.network.given) == len(lengths) == 40


@pytest.mark.parametrize("n", [1, 250])
def test_up_to_ten_seconds_are_one_chunk(n: int) -> None:
    model = inverter("pghi-fgla")
    (wave,) = model.stream(np.repeat(units(n), 4), model.voice())
    assert np.array_equal(wave, model.synthesize(units(n)))
    whole = reconstruct(model.magnitudes(units(n)), SMALL)
    assert np.array_equal(wave, whole)
    assert len(wave) == n * 640


def test_the_network_has_context_across_joints(monkeypatch: pytest.MonkeyPatch) -> None:
    """The spectrogram of a chunk is that of the whole utterance."""
    monkeypatch.setattr(phase, "_CHUNK_S", 0.5)
    model, steps = inverter(), units(50)
    whole = model.magnitudes(steps)
    expected = np.concatenate(list(stream(lambda a, b: whole[a:b], 200, SMALL, "pghi")))
    np.testing.assert_allclose(
        model.synthesize(steps), expected, atol=1e-3 * np.abs(expected).max()
    )


@pytest.fixture(scope="module")
def speech() -> Tensor:
    return magnitude(voice(np.random.default_rng(1), 12.0, 110))


def in_chunks(
    target: Tensor, method: Phase, monkeypatch: pytest.MonkeyPatch
) -> tuple[np.ndarray, np.ndarray]:
    """The waveform made of chunks of 0.7 s, and which frames are near their joints."""
    monkeypatch.setattr(phase, "_CHUNK_S", 0.7)
    chunks = list(stream(lambda a, b: target[a:b], len(target), SMALL, method))
    near = np.zeros(len(target), bool)
    for joint in np.cumsum([len(chunk) // SMALL.hop for chunk in chunks[:-1]]):
        near[joint - 4 : joint + 5] = True
    assert near.sum() == 17 * 9
    return np.concatenate(chunks), near


def errors(wave: np.ndarray, target: Tensor) -> np.ndarray:
    """Of each frame, squared."""
    return ((magnitude(wave) - target) ** 2).sum(dim=-1).numpy()


@pytest.mark.parametrize(
    ("method", "ratio"), [("griffin-lim", 1.3), ("fgla", 1.9), ("pghi", 1.2), ("pghi-fgla", 1.6)]
)
def test_joints_are_nearly_as_good_as_any_other_place(
    speech: Tensor, method: Phase, ratio: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = errors(reconstruct(speech, SMALL, method), speech)
    wave, near = in_chunks(speech, method, monkeypatch)
    chunked = errors(wave, speech)
    assert chunked[near].mean() < ratio * whole.mean()
    assert chunked[~near].mean() < 1.2 * whole.mean()


@pytest.mark.parametrize("method", ["pghi", "pghi-fgla"])
def test_joints_do_not_click(
    speech: Tensor, method: Phase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A click would be heard where speech has next to nothing: high up."""
    smooth = speech.clone()
    smooth[:, 128:] = 0
    wave, near = in_chunks(smooth, method, monkeypatch)
    high = magnitude(wave)[:, 160:].square().sum(dim=-1).sqrt().numpy()
    loudness = smooth.square().sum(dim=-1).mean().sqrt()
    assert np.quantile(high[near], 0.95) < 2e-4 * loudness


def test_a_joint_does_not_wait_for_the_future() -> None:
    """A chunk is out before what lies far behind it is asked for."""
    asked: list[tuple[int, int]] = []

    def silence(start: int, end: int) -> Tensor:
        asked.append((start, end))
        return torch.zeros(end - start, SMALL.n_bins)

    chunks: Iterator[np.ndarray] = stream(silence, 10_000, SMALL)
    assert not next(chunks).any()
    assert asked == [(0, 1010)]
    next(chunks)
    assert asked == [(0, 1010), (990, 2010)]
