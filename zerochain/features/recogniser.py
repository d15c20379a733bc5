"""A recogniser of characters, to say how intelligible speech is: connectionist temporal
classification (Graves et al. 2006), decoded greedily and without a language model, which would
mend what it is there to count."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from zerochain.audio import Waveform
from zerochain.errors import InputError
from zerochain.features.batching import like_lengths, padded
from zerochain.features.normalisation import Moments
from zerochain.features.spectral import SpectralExtractor, SpectralOptions
from zerochain.formats.bundle import Bundled
from zerochain.modules.encoder import Encoder

SPEECH = SpectralOptions(kind="log-mel")
_BATCH_FRAMES = 16_384
Frames = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Recogniser(Bundled):
    """Recordings → text, as `text.plain` writes it.

    Log-mel frames whose mean and variance are taken out over each utterance, so that neither
    level nor channel matters, convolutions, a bidirectional GRU.

    Attributes:
        network: frames → scores of the blank, which is 0, and the characters from 1 on.
        characters: those that it knows, each once.
        features: the frames.
        training: how it was trained, and how often it errs on real speech.
    """

    MODEL = WHAT = "recogniser"

    network: Encoder
    characters: str
    features: SpectralOptions = SPEECH
    training: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.network.eval()

    def check(self) -> None:
        sizes = self.network.config
        if (sizes.n_in, sizes.dim) != (self.features.dim, len(self.characters) + 1):
            raise ValueError("its network is of other features or characters than it says")

    @property
    def device(self) -> torch.device:
        """Where its network lies."""
        return next(self.network.parameters()).device

    def transcribe(self, waves: Sequence[Waveform]) -> list[str]:
        """The text of each recording, mono at 16 kHz; "" where nothing is recognised.

        Raises:
            InputError: an empty recording, or NaN in it.
        """
        for wave in waves:
            if len(wave) == 0 or not np.isfinite(wave).all():
                raise InputError(
                    f"a recording of {len(wave)} samples, "
                    f"{int((~np.isfinite(wave)).sum())} of them NaN, can't be recognised",
                    cause="what made it failed",
                )
        extractor = SpectralExtractor(self.features, str(self.device))
        return self.transcribe_frames([extractor([wave])[0] for wave in waves])

    def transcribe_frames(self, utterances: Sequence[Frames]) -> list[str]:
        """The same from log-mel frames in dB, (T, n_mels) each."""
        texts = [""] * len(utterances)
        with torch.inference_mode():
            for group in like_lengths([len(frames) for frames in utterances], _BATCH_FRAMES):
                x, lengths = padded([prepared(utterances[i]) for i in group])
                scores = self.network(x.to(self.device), lengths.to(self.device))
                n_steps = output_lengths(lengths, self.network.config.stride)
                for i, path, n in zip(group, scores.argmax(dim=-1).cpu(), n_steps, strict=True):
                    texts[i] = spelled(path[:n].numpy(), self.characters)
        return texts


def prepared(frames: Frames) -> Frames:
    """Frames (T, D) with the utterance's own mean and variance taken out."""
    return Moments.of([frames]).apply(frames)


def output_lengths(lengths: torch.Tensor, stride: int) -> torch.Tensor:
    """Steps that the network makes of so many frames: ⌈length / stride⌉."""
    return torch.div(lengths + stride - 1, stride, rounding_mode="floor")


def spelled(path: NDArray[np.int64], characters: str) -> str:
    """A path through blanks (0) and characters (from 1) as text: repeats merged, blanks dropped."""
    kept = path[np.flatnonzero(np.diff(path, prepend=-1))]
    return " ".join("".join(characters[i - 1] for i in kept if i).split())
