"""A speaker encoder: recordings to vectors whose cosine says how alike two voices are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray

from zerochain.audio import SAMPLE_RATE, Waveform
from zerochain.errors import InputError
from zerochain.features.batching import like_lengths, padded
from zerochain.features.spectral import SpectralExtractor, SpectralOptions
from zerochain.formats.bundle import opened_as, read_bundle, write_bundle
from zerochain.formats.weights import weights_of, with_weights
from zerochain.modules.speaker_encoder import SpeakerNet, SpeakerNetConfig

MODEL = "speaker-encoder"
SHORTEST_S = 0.5
"""What is shorter says too little of who speaks."""
SPEECH = SpectralOptions(kind="log-mel")
_BATCH_FRAMES = 16_384
_LONGEST_FRAMES = 6_000  # heard at once: memory stays bounded
Frames = NDArray[np.float32]
Vectors = NDArray[np.float32]


class SpeakerEncoder:
    """Recordings → unit vectors (E,) whose cosine says how alike two voices are.

    Attributes:
        network: frames and lengths → vectors.
        options: the frames.
        id: of the bundle that it was read from or written to; "" before that.
    """

    def __init__(
        self, network: SpeakerNet, options: SpectralOptions = SPEECH, device: str = "cpu"
    ) -> None:
        self.network, self.options, self.device = network.to(device).eval(), options, device
        self.id = ""
        self.trained_on: Mapping[str, str] = {}

    @property
    def dim(self) -> int:
        """E."""
        return self.network.config.dim

    def embed(self, wave: Waveform) -> Vectors:
        """The voice of one recording, mono at 16 kHz: (E,), of unit length.

        Raises:
            InputError: below half a second, silent, or NaN in it.
        """
        return np.asarray(self.embed_many([wave])[0])

    def embed_many(self, waves: Sequence[Waveform]) -> Vectors:
        """As `embed`, for each of several recordings: (n, E)."""
        for wave in waves:
            why = unusable(wave)
            if why is not None:
                raise InputError(
                    f"no voice can be heard in a recording: {why}",
                    cause="it was cut badly, or what made it failed",
                    remedy="give other recordings of the speaker",
                )
        extractor = SpectralExtractor(self.options, self.device)
        return self.embed_frames([extractor([wave])[0] for wave in waves])

    def voice(self, waves: Iterable[Waveform]) -> Vectors:
        """The mean voice of those recordings in which one can be heard: (E,), of unit length.

        Raises:
            InputError: it can be heard in none.
        """
        reasons: Counter[str] = Counter()
        vectors = []
        for wave in waves:
            why = unusable(wave)
            if why is None:
                vectors.append(self.embed(wave))
            else:
                reasons[why] += 1
        if not vectors:
            raise InputError(
                f"no voice can be heard in {reasons.total()} recordings: {dict(reasons)}",
                cause="they were cut badly, or what made them failed",
                remedy="give other recordings of the speaker",
            )
        return mean_voice(np.stack(vectors))

    def embed_frames(self, utterances: Sequence[Frames]) -> Vectors:
        """The same from frames, (T, D) each, in dB. Minutes are heard in parts, and averaged."""
        parts = [np.array_split(x, -(-len(x) // _LONGEST_FRAMES)) for x in utterances]
        flat = [part for utterance in parts for part in utterance]
        vectors = np.zeros((len(flat), self.dim), np.float32)
        with torch.inference_mode():
            for group in like_lengths([len(part) for part in flat], _BATCH_FRAMES):
                x, lengths = padded([flat[i] for i in group])
                y = self.network(x.to(self.device), lengths.to(self.device))
                vectors[group] = y.cpu().numpy()
        ends = np.cumsum([len(utterance) for utterance in parts])
        return np.stack([mean_voice(v) for v in np.split(vectors, ends[:-1])])

    def save(self, folder: Path, trained_on: Mapping[str, str], report: Mapping[str, Any]) -> str:
        """Write a bundle and return its id; `report` says how it was trained and how good it is."""
        config = {
            "network": self.network.config.model_dump(),
            "features": self.options.model_dump(),
            "training": dict(report),
        }
        self.id = write_bundle(folder, MODEL, config, weights_of(self.network), trained_on)
        self.trained_on = trained_on
        return self.id

    @classmethod
    def load(cls, folder: Path, device: str = "cpu") -> Self:
        """The encoder that `save` wrote.

        Raises:
            InputError: not the bundle of a speaker encoder.
        """
        bundle = read_bundle(folder, MODEL)
        with opened_as("speaker encoder", folder, "train the speaker encoder again"):
            sizes = SpeakerNetConfig.model_validate(bundle.config["network"])
            options = SpectralOptions.model_validate(bundle.config["features"])
            if sizes.n_in != options.dim:
                raise ValueError(f"its network is of {sizes.n_in} features, not {options.dim}")
            network = with_weights(lambda: SpeakerNet(sizes), bundle.tensors, device)
            encoder = cls(network, options, device)
        encoder.id, encoder.trained_on = bundle.id, bundle.trained_on
        return encoder


def mean_voice(vectors: Vectors) -> Vectors:
    """The mean direction of unit vectors (n, E): the voice of several recordings, (E,)."""
    mean = vectors.mean(axis=0, dtype=np.float64)
    return np.asarray(mean / max(float(np.linalg.norm(mean)), 1e-12), np.float32)


def unusable(wave: Waveform) -> str | None:
    """Why no voice can be heard in a recording, in a word or two; None where one can."""
    if not np.isfinite(wave).all():
        return "NaN"
    if len(wave) < SHORTEST_S * SAMPLE_RATE:
        return f"under_{SHORTEST_S}_s"
    return None if wave.any() else "silent"
