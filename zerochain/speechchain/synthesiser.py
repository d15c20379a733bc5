"""The chain's speaker: symbols and a voice → log-mel frames → a waveform.

Trained on pairs whose durations the recogniser's CTC alignment gives. The loss is that of Tjandra
et al. (2020), γ1 · squared error of the frames + γ2 · durations + γ3 · (1 - cosine of the voices),
with two differences: durations take the place of the probability that speech ends, and the squared
error is the mean over bands, not their sum, so that it is about as large as a recogniser's loss.
The published Tacotron (`zerochain.modules.tacotron`) has that probability, no durations, and the
squared error of log-magnitudes beside that of the frames.
The voice is a speaker encoder's vector of one recording (one-shot); without a speaker encoder there
is one voice.

A waveform comes from the mel spectrogram's nearest linear one, or from Tacotron's log-magnitudes,
and a phase that suits it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.signal import lfilter
from torch import Tensor, nn

from zerochain.audio import Waveform
from zerochain.errors import InputError, counted
from zerochain.features.normalisation import Moments
from zerochain.features.spectral import SpectralOptions
from zerochain.formats.bundle import Bundled
from zerochain.inversion.phase import SpectrogramOptions, reconstruct
from zerochain.inversion.voices import check_vector
from zerochain.listeners.recogniser import SPEECH
from zerochain.modules.encoder import mask_of
from zerochain.modules.mel import mel_filters
from zerochain.modules.speaker_encoder import SpeakerNet
from zerochain.modules.synthesiser import (
    Synthesiser,
    SynthesiserConfig,
    SynthesiserSizes,
)
from zerochain.speechchain.ctc import Ints, durations, forced
from zerochain.speechchain.data import Frames, Material, Pairs, Symbols, text_batch
from zerochain.speechchain.recogniser import ChainRecogniser, ctc_logs, mean
from zerochain.speechchain.synthesis_loss import (
    _PREEMPHASIS,
    MAGNITUDE,
    SpeechMoments,
    SynthesisLoss,
    SynthesisLosses,
    edged,
    losses_of,
    synthesis,
)
from zerochain.training.recipe import Recipe
from zerochain.training.run import Fitted, Running, fit
from zerochain.training.task import Batch, Row, Update, single

RECIPE = Recipe(
    max_steps=1500,
    batch_size=16,
    learning_rate=2e-3,
    annealing="cosine",
    ema_decay=0.99,
    validate_every=100,
    patience=8,
)
_WORST_ALIGNED = float(np.log(0.05))
"""The mean log-probability of an alignment's symbols below which it has failed."""
_N_PROJECTIONS = 30
_LOUDEST = 10.0  # a log-magnitude that no recording has, above which the network went astray


class SynthesisWarning(UserWarning):
    """What was spoken is most likely not the text."""


@dataclass(frozen=True, eq=False)
class ChainSynthesiser(Bundled):
    """Symbols → speech in a voice.

    Attributes:
        network: symbols → normalised frames.
        mean, deviation: (D,) of the frames in dB.
        magnitude_mean, magnitude_deviation: (F,) of the log-magnitudes, for Tacotron.
        symbols: the names of the symbols that it speaks.
        unit_model: id of the unit model whose units they are; "" for characters.
        speaker_encoder_id: of the bundle whose vectors are its voices; "" for one voice.
        features: the settings of the frames.
    """

    MODEL = "chain-synthesiser"
    WHAT = "synthesiser of a speech chain"

    network: Synthesiser
    mean: NDArray[np.float32]
    deviation: NDArray[np.float32]
    symbols: tuple[str, ...]
    unit_model: str = ""
    speaker_encoder_id: str = ""
    features: SpectralOptions = SPEECH
    training: Mapping[str, Any] = field(default_factory=dict)
    magnitude_mean: NDArray[np.float32] | None = None
    magnitude_deviation: NDArray[np.float32] | None = None

    def __post_init__(self) -> None:
        self.network.eval()

    def check(self) -> None:
        config = self.network.config
        for one in (self.magnitude_mean, self.magnitude_deviation):
            if (0 if one is None else len(one)) != config.n_bins:
                raise ValueError("its network doesn't fit its magnitudes")
        fits = config.n_symbols == len(self.symbols) and config.n_out == self.features.dim
        if (
            not fits
            or self.mean.shape != (config.n_out,)
            or self.mean.shape != self.deviation.shape
        ):
            raise ValueError("its network doesn't fit its features or symbols")
        if bool(config.n_vector) != bool(self.speaker_encoder_id):
            raise ValueError("voices need a speaker encoder, and one voice needs none")

    @property
    def spelling(self) -> Symbols:
        """Between texts and symbols."""
        return Symbols(self.symbols, self.unit_model)

    @property
    def device(self) -> torch.device:
        """The network's device."""
        return next(self.network.parameters()).device

    @property
    def moments(self) -> SpeechMoments:
        """Of the frames and magnitudes that it was trained on."""
        magnitude = None
        if self.magnitude_mean is not None and self.magnitude_deviation is not None:
            magnitude = Moments(self.magnitude_mean, self.magnitude_deviation)
        return SpeechMoments(Moments(self.mean, self.deviation), magnitude)

    def frames(
        self, texts: Sequence[Ints], voices: NDArray[np.float32], rate: float = 1.0
    ) -> list[Frames]:
        """Log-mel frames in dB (T, D) of each text.

        Args:
            voices: (n, E).
            rate: above 1 is faster.

        Raises:
            InputError: an empty text, vectors of another size, or a rate for Tacotron.
        """
        return [made.frames for made in self._spoken(texts, voices, rate)]

    def speak(
        self, text: Ints, voice: NDArray[np.float32], rate: float = 1.0, seed: int = 0
    ) -> tuple[Waveform, bool]:
        """The waveform of a text, mono at 16 kHz, and whether it failed.

        Tacotron's waveform is that of its log-magnitudes. It fails if it doesn't end, or if its
        attention leaves symbols out; a parallel synthesiser can't.

        Raises:
            InputError: as `frames`.
        """
        (made,) = self._spoken([text], voice[None], rate)
        if made.magnitude is None:
            return waveform(made.frames, self.features, seed), made.failed
        magnitude = MAGNITUDE.unscaled(torch.from_numpy(made.magnitude).clamp(max=_LOUDEST))
        wave = reconstruct(magnitude, MAGNITUDE, n_iterations=60, seed=seed)
        return lfilter([1], [1, -_PREEMPHASIS], wave).astype(np.float32), made.failed

    def _spoken(
        self, texts: Sequence[Ints], voices: NDArray[np.float32], rate: float
    ) -> list[_Spoken]:
        if any(len(text) == 0 for text in texts):
            raise InputError("a text without a symbol can't be spoken")
        if rate != 1 and self.network.config.architecture == "tacotron":
            raise InputError(
                f"rate={rate:g}, but Tacotron has a rate of its own",
                remedy="use rate=1, or a chain with tts='parallel'",
            )
        if self.network.config.n_vector:
            for z in voices:
                check_vector(z, self.network.config.n_vector)
        batch = text_batch(texts)
        z = torch.from_numpy(np.asarray(voices, np.float32)).to(self.device)
        with torch.inference_mode():
            symbols, counts = edged(
                batch["symbols"].to(self.device),
                batch["counts"].to(self.device),
                self.network.config.n_symbols,
            )
            made = self.network.generate(symbols, counts, z, rate)
        moments = self.moments
        x = _undone(made.frames, moments.frames)
        magnitude = None
        if made.magnitude is not None and moments.magnitude is not None:
            magnitude = _undone(made.magnitude, moments.magnitude)
        return [
            _Spoken(x[i, :n], failed, None if magnitude is None else magnitude[i, :n])
            for i, (n, failed) in enumerate(
                zip(made.lengths.tolist(), made.failed.tolist(), strict=True)
            )
        ]


class _Spoken(NamedTuple):
    """A text's frames in dB (T, D), whether it failed, and log-magnitudes (T, F)."""

    frames: Frames
    failed: bool
    magnitude: NDArray[np.float32] | None


def _undone(x: Tensor, moments: Moments) -> NDArray[np.float32]:
    """Normalised frames (B, T, D) as they were."""
    found: NDArray[np.float32] = x.float().cpu().numpy() * moments.deviation + moments.mean
    return found


def waveform(frames: Frames, options: SpectralOptions = SPEECH, seed: int = 0) -> Waveform:
    """A waveform of log-mel frames in dB (T, D).

    The magnitudes whose mel energies are nearest, none negative, by multiplicative updates (Lee and
    Seung 2001), and a phase by `zerochain.inversion.phase`.
    """
    filters = torch.from_numpy(mel_filters(options.n_fft, options.n_mels))
    energy = torch.from_numpy(10 ** (frames.astype(np.float32) / 10))
    power = energy @ torch.from_numpy(_inverse(options.n_fft, options.n_mels))
    power = power.clamp(min=1e-10)
    target = energy @ filters.T
    for _ in range(_N_PROJECTIONS):
        power = power * target / ((power @ filters) @ filters.T).clamp(min=1e-12)
    spectrogram = SpectrogramOptions(
        n_fft=options.n_fft, n_window=options.n_fft, hop=options.hop, scale="linear"
    )
    return reconstruct(power.sqrt(), spectrogram, n_iterations=60, seed=seed)


@lru_cache
def _inverse(n_fft: int, n_mels: int) -> NDArray[np.float32]:
    """The filters' pseudo-inverse (n_mels, n_bins), from which the updates start."""
    return np.linalg.pinv(mel_filters(n_fft, n_mels).astype(np.float64)).astype(np.float32)


@dataclass(frozen=True, eq=False)
class Aligned:
    """Pairs with the durations of their symbols, silences at both ends; and how many failed."""

    pairs: Pairs
    durations: list[Ints]
    n_failed: int

    def batch(self, rows: Sequence[int]) -> Batch:
        """A batch of pairs, with "durations" (B, U + 2), 0 after the end of each."""
        return {
            **self.pairs.batch(rows),
            "durations": text_batch([self.durations[i] for i in rows])["symbols"],
        }


def aligned(recogniser: ChainRecogniser, pairs: Pairs) -> Aligned:
    """Pairs whose texts CTC finds in their speech.

    Raises:
        InputError: it finds none.
    """
    found = alignable(recogniser, pairs)
    if found is None:
        raise InputError(
            f"none of {counted(len(pairs), 'pair')} can be aligned",
            cause="the recogniser learned nothing: too few pairs, too few steps, or texts of other "
            "recordings",
            remedy="give more pairs, or train the recogniser for longer",
        )
    return found


def alignable(recogniser: ChainRecogniser, pairs: Pairs) -> Aligned | None:
    """Pairs whose texts CTC finds in their speech; None where there are none."""
    kept, lasts = [], {}
    for rows in pairs.speech.groups():
        batch = {k: v.to(recogniser.device) for k, v in pairs.speech.batch(rows).items()}
        with torch.inference_mode():
            _, logs = ctc_logs(recogniser.network, batch["x"], batch["lengths"])
        for i, row in zip(rows, logs, strict=True):
            path = forced(row, pairs.texts[i])
            if path.score >= _WORST_ALIGNED:
                kept.append(i)
                lasts[i] = durations(path.steps, len(row))
    if not kept:
        return None
    kept.sort()
    return Aligned(pairs.take(kept), [lasts[i] for i in kept], len(pairs) - len(kept))


@torch.no_grad()
def validated(network: Synthesiser, losses: SynthesisLosses, valid: Aligned, device: str) -> Row:
    """The loss of held-out pairs, and the root mean squared error of their frames in dB.

    Tacotron predicts each step from the true frames before it (teacher forcing).
    """
    total, squares = 0.0, 0.0
    for rows in valid.pairs.speech.groups():
        batch = {k: v.to(device) for k, v in valid.batch(rows).items()}
        symbols, counts = edged(batch["symbols"], batch["counts"], network.config.n_symbols)
        made = losses.predicted(network, symbols, counts, batch)
        found, _ = losses(made, batch, counts)
        x = batch["x"]
        real = mask_of(batch["lengths"], x.shape[1])[..., None]
        wrong = (losses.in_db(made.frames[:, : x.shape[1]]) - x).square() * real
        squares += float((wrong.mean(dim=2).sum(dim=1) / batch["lengths"]).sum())
        total += float(found.sum())
    n = len(valid.pairs)
    return {"tts_loss": total / n, "valid_mel_dB": float(np.sqrt(squares / n))}


class SynthesiserTask:
    """Frames and durations of aligned pairs; validated on held-out ones."""

    def __init__(
        self,
        network: Synthesiser,
        losses: SynthesisLosses,
        train: Aligned,
        valid: Aligned,
        recipe: Recipe,
        device: str,
    ) -> None:
        self.networks, self.optimisers = single(
            "synthesiser",
            network,
            torch.optim.AdamW(network.parameters(), recipe.learning_rate, weight_decay=0.01),
        )
        self._losses, self._train, self._valid = losses, train, valid
        self._recipe, self._device, self._n = recipe, device, network.config.n_symbols

    def batch(self, step: int, process: int) -> Batch:
        """Random pairs of similar length."""
        rng = np.random.default_rng((self._recipe.seed, step, process))
        return self._train.batch(self._train.pairs.speech.random(self._recipe.batch_size, rng))

    def training_step(
        self, networks: Mapping[str, nn.Module], batch: Batch, update: Update
    ) -> Mapping[str, Tensor]:
        """One step."""
        losses, _ = synthesis(networks["synthesiser"], self._losses, batch, self._n)
        loss = mean(losses, batch["weights"])
        update("synthesiser", loss)
        return {"train_loss": loss}

    def validate(self, network: nn.Module) -> Row:
        """The loss of held-out pairs, and the error of their frames."""
        assert isinstance(network, Synthesiser)
        row = validated(network, self._losses, self._valid, self._device)
        return {"valid_loss": row["tts_loss"], "valid_mel_dB": row["valid_mel_dB"]}


def train_synthesiser(
    material: Material,
    recogniser: ChainRecogniser,
    sizes: SynthesiserSizes,
    weights: SynthesisLoss,
    voices: tuple[SpeakerNet, str] | None,
    recipe: Recipe,
    running: Running,
    inputs: Mapping[str, Any],
    follows: Mapping[str, Any] | None = None,
) -> tuple[ChainSynthesiser, Fitted, int]:
    """A synthesiser trained on a material's pairs, as a recogniser aligns them.

    Args:
        voices: a speaker encoder's network and the id of its bundle.

    Returns:
        It, how its training went, and for how many pairs the alignment failed.
    """
    train, valid = aligned(recogniser, material.train), aligned(recogniser, material.valid)
    moments = SpeechMoments.of(train.pairs.speech)
    config = SynthesiserConfig(
        **sizes.model_dump(),
        n_bins=0 if moments.magnitude is None else MAGNITUDE.n_bins,
        n_symbols=len(material.symbols.names),
        n_vector=material.train.speech.voices.shape[1],
        n_out=SPEECH.dim,
    )
    torch.manual_seed(recipe.seed)
    network = Synthesiser(config)
    losses = losses_of(weights, moments, voices[0] if voices else None, running.device)
    task = SynthesiserTask(network, losses, train, valid, recipe, running.device)
    chosen = {"network": config.model_dump(), "loss": weights.model_dump()}
    fitted = fit(task, recipe, running, inputs={**inputs, **chosen}, follows=follows)
    made = ChainSynthesiser(
        network.to(running.device),
        moments.frames.mean,
        moments.frames.deviation,
        material.symbols.names,
        material.symbols.unit_model,
        voices[1] if voices else "",
        magnitude_mean=None if moments.magnitude is None else moments.magnitude.mean,
        magnitude_deviation=None if moments.magnitude is None else moments.magnitude.deviation,
    )
    return made, fitted, train.n_failed + valid.n_failed
