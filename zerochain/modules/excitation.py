"""What the voice's source sounds like before the mouth shapes it: a buzz at F0, and noise.

Everything is a function of where a sample stands in the utterance, never of where a computation
began, so that speech made in chunks is the same as speech made at once.
"""

from __future__ import annotations

import math
from typing import NamedTuple, Self

import torch
from torch import Tensor

from zerochain.audio import SAMPLE_RATE


class Start(NamedTuple):
    """Where a chunk starts in its utterance, as far as the excitation is concerned."""

    phase: Tensor
    """(B,) float64: of the fundamental, in cycles."""
    noise: Tensor
    """(B,) int64: place in an endless sequence of noise."""

    @classmethod
    def random(cls, n: int, seed: int) -> Self:
        """For training segments: so that no network learns one piece of noise by heart."""
        generator = torch.Generator().manual_seed(seed)
        phase = torch.rand(n, generator=generator, dtype=torch.float64)
        return cls(phase, torch.randint(1 << 62, (n,), generator=generator))


class Excitation(NamedTuple):
    """Both of about unit power where they sound, as strong in every part of the spectrum."""

    harmonic: Tensor
    """(B, T · hop): zero where unvoiced."""
    noise: Tensor
    """(B, T · hop)."""


def starts(f0: Tensor, hop: int, seed: int = 0) -> Start:
    """The start of a chunk from any frame: fields of (B, T), of which `at` takes one frame.

    Args:
        f0: whole utterances' contours (B, T) in Hz, 0 where unvoiced.
        hop: samples a frame.
        seed: of the noise.
    """
    left, right = _ends(f0)
    advance = _advance(left, right, hop) * (f0 > 0)
    phase = advance.cumsum(dim=1) - advance
    first = _hashed(torch.tensor(seed, device=f0.device))
    noise = first + hop * torch.arange(f0.shape[1], device=f0.device)
    return Start(phase - phase.round(), noise.expand(f0.shape))


def at(start: Start, frame: int) -> Start:
    """The start of a chunk from one frame on, of what `starts` gave."""
    return Start(start.phase[:, frame], start.noise[:, frame])


@torch.no_grad()
def excite(f0: Tensor, hop: int, start: Start | None = None) -> Excitation:
    """A pulse train without aliases and white noise from an F0 contour.

    The pulses are the sum of all harmonics up to the Nyquist frequency at one amplitude, in
    closed form (Dirichlet's kernel); the topmost fades in and out as F0 moves. F0 and voicing are
    interpolated between frames, so a voiced stretch fades within one frame at its ends. What
    follows the last frame is unvoiced.

    Args:
        f0: (B, T) in Hz, 0 where unvoiced; frame i is at sample i · hop.
        hop: samples a frame.
        start: of this chunk in its utterance; None at its beginning.
    """
    start = at(starts(f0[:, :1], hop), 0) if start is None else start
    left, right = _ends(f0)
    inside = torch.arange(hop, device=f0.device, dtype=torch.float64)
    advance, slope = _advance(left, right, hop), (right - left) / (2 * hop)
    # A frame before a voiced one leads up to the phase that this one has: silence costs no phase.
    begin = start.phase.to(f0.device)[:, None] + (advance * (f0 > 0)).cumsum(dim=1) - advance
    cycles = begin[..., None] + (left[..., None] + slope[..., None] * inside) * inside / SAMPLE_RATE
    phase = 2 * math.pi * (cycles - cycles.round()).float()
    pitch = left[..., None] + 2 * slope[..., None] * inside
    voiced = (f0 > 0).float()
    after = torch.nn.functional.pad(voiced[:, 1:], (0, 1))
    gain = voiced[..., None] + (after - voiced)[..., None] * (inside / hop).float()
    harmonic = gain * _pulses(phase, pitch.float())
    n = f0.shape[1] * hop
    places = start.noise.to(f0.device)[:, None] + torch.arange(n, device=f0.device)
    return Excitation(harmonic.flatten(1), white_noise(places))


def white_noise(places: Tensor) -> Tensor:
    """Uniform noise of unit power at any places (int64) of an endless sequence."""
    return (_hashed(places) >> 40).float() * (math.sqrt(3) / (1 << 23))


def _ends(f0: Tensor) -> tuple[Tensor, Tensor]:
    """F0 (B, T) at the beginning and the end of each frame, float64; at edges it is held."""
    f0 = f0.double().clamp(min=0)
    after = torch.nn.functional.pad(f0[:, 1:], (0, 1))
    return torch.where(f0 > 0, f0, after), torch.where(after > 0, after, f0)


def _advance(left: Tensor, right: Tensor, hop: int) -> Tensor:
    """Cycles in each frame, in which F0 goes straight from `left` to `right`."""
    return (left + right) * (hop / 2 / SAMPLE_RATE)


def _pulses(phase: Tensor, f0: Tensor) -> Tensor:
    """√(2/x) · (Σ_{k<n} cos kφ + (x − n) cos nφ) with x harmonics below Nyquist and n = ⌊x⌋.

    Args:
        phase: φ from −π to π.
        f0: Hz, the same shape; nothing sounds at 0 or from the Nyquist frequency on.
    """
    x = (SAMPLE_RATE / 2 / f0.clamp(min=1)).clamp(min=1)
    n = x.floor()
    half = (phase / 2).sin()
    safe = torch.where(half.abs() < 1e-4, torch.ones_like(half), half)
    kernel = ((n - 0.5) * phase).sin() / (2 * safe)
    kernel = torch.where(half.abs() < 1e-4, n - 0.5, kernel) - 0.5
    return (kernel + (x - n) * (n * phase).cos()) * (2 / x).sqrt() * (f0 > 0)


def _hashed(x: Tensor) -> Tensor:
    """SplitMix64's mixing (Steele et al. 2014) of int64 numbers, the same on every device."""
    x = x * -7046029254386353131
    x = (x ^ _shifted(x, 30)) * -4658895280553007687
    x = (x ^ _shifted(x, 27)) * -7723592293110705685
    return x ^ _shifted(x, 31)


def _shifted(x: Tensor, n: int) -> Tensor:
    """Logical shift to the right."""
    return (x >> n) & ((1 << (64 - n)) - 1)
