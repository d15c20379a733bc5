"""The loss of a speech chain's synthesiser: frames, magnitudes, durations or ends, and the voice.

It is that of Tjandra, Sakti and Nakamura (2020), one number per utterance, since the loop trusts
some utterances more than others.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, cosine_similarity

from zerochain.config import Config
from zerochain.features.normalisation import Moments
from zerochain.inversion.phase import SpectrogramOptions
from zerochain.listeners.recogniser import SPEECH
from zerochain.modules.encoder import mask_of
from zerochain.modules.speaker_encoder import SpeakerNet
from zerochain.modules.synthesiser import (
    Predicted,
    Target,
)
from zerochain.modules.tacotron import FRAMES_PER_DECODER_STEP
from zerochain.speechchain.data import Speech
from zerochain.training.task import Batch

MAGNITUDE = SpectrogramOptions(n_fft=2048, n_window=800, hop=SPEECH.hop)
"""Of Tacotron's second output: 1025 bins and windows of 50 ms as published, with the recogniser's
step of 10 ms rather than 12.5."""
_PREEMPHASIS = 0.97


class SynthesisLoss(Config):
    """Weights of the parts of a synthesiser's loss; as published unless noted."""

    frames_weight: float = Field(1.0, ge=0)
    """Weight γ1 of the squared error of the frames."""
    durations_weight: float = Field(0.1, ge=0)
    """Weight γ2 of the squared error of the durations' logarithms, in place of the published end of
    speech."""
    end_weight: float = Field(1.0, ge=0)
    """Weight γ2 of the cross-entropy of the end of speech, for Tacotron."""
    voice_weight: float = Field(0.25, ge=0)
    """Weight γ3 of 1 - the cosine between the voices of the frames and of the recording."""


def magnitudes(waves: Tensor, n_frames: int) -> Tensor:
    """Log-magnitudes (B, T, F) of samples (B, N) after pre-emphasis.

    Frame i is centred at i · hop, as log-mel frames are, with zeros beyond the edges.
    """
    waves = torch.cat([waves[:, :1], waves[:, 1:] - _PREEMPHASIS * waves[:, :-1]], dim=1)
    needed = (n_frames - 1) * MAGNITUDE.hop + MAGNITUDE.n_fft
    before = MAGNITUDE.n_fft // 2
    padded = torch.nn.functional.pad(waves, (before, max(0, needed - before - waves.shape[1])))
    return MAGNITUDE.scaled(MAGNITUDE.magnitude(padded[:, :needed]))


def edged(symbols: Tensor, counts: Tensor, n_symbols: int) -> tuple[Tensor, Tensor]:
    """Symbols (B, U) with silences, `n_symbols`, at both ends, and their numbers: (B, U + 2)."""
    silence = symbols.new_full((len(symbols), 1), n_symbols)
    longer = torch.cat([silence, symbols, silence], dim=1)
    places = torch.arange(longer.shape[1], device=symbols.device)
    return longer.masked_fill(places > counts[:, None], n_symbols), counts + 2


class SpeechMoments(NamedTuple):
    """Means and deviations of the frames in dB, and of log-magnitudes where they are predicted."""

    frames: Moments
    magnitude: Moments | None = None

    @classmethod
    def of(cls, speech: Speech) -> SpeechMoments:
        """Of these utterances; of their magnitudes if their samples are known."""
        frames = Moments.of(speech.frames)
        if speech.waves is None:
            return cls(frames)
        blocks = (
            magnitudes(torch.from_numpy(wave[None]), len(x))[0].numpy()
            for wave, x in zip(speech.waves, speech.frames, strict=True)
        )
        return cls(frames, Moments.of(blocks))


@dataclass(frozen=True, eq=False)
class SynthesisLosses:
    """The losses of a synthesiser, on one device.

    Attributes:
        mean, deviation: (D,) of the frames in dB.
        magnitude: mean and deviation (F,) of the log-magnitudes; None where none are predicted.
        voices: the speaker encoder's network, which isn't trained; None for one voice.
    """

    weights: SynthesisLoss
    mean: Tensor
    deviation: Tensor
    voices: SpeakerNet | None
    magnitude: tuple[Tensor, Tensor] | None = None

    def predicted(
        self, network: nn.Module, symbols: Tensor, counts: Tensor, batch: Batch
    ) -> Predicted:
        """What a network predicts of a batch's frames.

        Args:
            symbols, counts: with silences at both ends; or distributions over the symbols.
            batch: with "x" in dB, "lengths", "z" and "durations".
        """
        frames = (batch["x"] - self.mean) / self.deviation
        frames = frames * mask_of(batch["lengths"], frames.shape[1])[..., None]
        target = Target(batch["durations"], frames, batch["lengths"])
        made: Predicted = network(symbols, counts, batch["z"], target)
        return made

    def __call__(self, made: Predicted, batch: Batch, counts: Tensor) -> tuple[Tensor, Tensor]:
        """Each utterance's loss (B,), and of it the mean squared error of the frames (B,).

        Args:
            batch: as of `predicted`, with "waves" if magnitudes are predicted.
            counts: (B,), of the symbols with their silences.
        """
        x, lengths = batch["x"], batch["lengths"]
        frames = made.frames.float()[:, : x.shape[1]]
        real = mask_of(lengths, x.shape[1])[..., None]
        errors = (frames - (x - self.mean) / self.deviation).square() * real
        error = errors.mean(dim=2).sum(dim=1) / lengths
        total = self.weights.frames_weight * error
        if made.magnitude is not None and self.magnitude is not None:
            mean, deviation = self.magnitude
            wanted = (magnitudes(batch["waves"], x.shape[1]) - mean) / deviation
            errors = (made.magnitude.float()[:, : x.shape[1]] - wanted).square() * real
            total = total + self.weights.frames_weight * errors.mean(dim=2).sum(dim=1) / lengths
        if made.durations is not None:
            wanted = batch["durations"].clamp(min=1).float().log()
            known = mask_of(counts, wanted.shape[1])
            lasting = ((made.durations.float() - wanted).square() * known).sum(dim=1) / counts
            total = total + self.weights.durations_weight * lasting
        if made.ends is not None:
            ends = _end_losses(made.ends.float(), lengths)
            total = total + self.weights.end_weight * ends
        if self.voices is not None and self.weights.voice_weight > 0:
            found = self.voices(self.in_db(frames) * real, lengths).float()
            cosine = cosine_similarity(found, batch["z"], dim=1)
            total = total + self.weights.voice_weight * (1 - cosine)
        return total, error

    def in_db(self, frames: Tensor) -> Tensor:
        """Normalised frames in dB."""
        return frames * self.deviation + self.mean


def _end_losses(ends: Tensor, lengths: Tensor) -> Tensor:
    """The cross-entropy (B,) of logits (B, T) that frames are the last one, or after it."""
    places = torch.arange(ends.shape[1], device=ends.device)
    wanted = (places >= lengths[:, None] - 1).float()
    # The frames of the last step that lie beyond the end are after it as well.
    steps = (lengths + FRAMES_PER_DECODER_STEP - 1) // FRAMES_PER_DECODER_STEP
    known = mask_of(FRAMES_PER_DECODER_STEP * steps, ends.shape[1])
    entropy = binary_cross_entropy_with_logits(ends, wanted, reduction="none")
    return (entropy * known).sum(dim=1) / known.sum(dim=1)


def losses_of(
    weights: SynthesisLoss, moments: SpeechMoments, voices: SpeakerNet | None, device: str
) -> SynthesisLosses:
    """The losses for frames with these moments."""
    if voices is not None:
        voices = voices.to(device).eval().requires_grad_(requires_grad=False)

    def both(one: Moments) -> tuple[Tensor, Tensor]:
        return torch.from_numpy(one.mean).to(device), torch.from_numpy(one.deviation).to(device)

    magnitude = None if moments.magnitude is None else both(moments.magnitude)
    return SynthesisLosses(weights, *both(moments.frames), voices, magnitude)


def synthesis(
    network: nn.Module, losses: SynthesisLosses, batch: Batch, n_symbols: int
) -> tuple[Tensor, Tensor]:
    """The losses (B,) of pairs with durations, and of them the error of the frames (B,)."""
    symbols, counts = edged(batch["symbols"], batch["counts"], n_symbols)
    return losses(losses.predicted(network, symbols, counts, batch), batch, counts)
