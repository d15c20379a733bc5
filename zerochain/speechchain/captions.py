"""Pictures in the speech chain: captions, and pictures found by a text (Effendi et al. 2019).

A captioner learns from pictures with texts. Where a picture has speech without a text, a speech
chain's recogniser transcribes it, and the transcript is the picture's caption, as confident as the
recogniser is; for texts without pictures, the picture is the one that the captioner itself finds
for them, as confident as it is. So speech and texts alone improve captions and retrieval.

From top to bottom: the model, the task and its training. What it learns from is in `caption_data`;
`captioning` has it caption a corpus.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from zerochain.config import Config
from zerochain.errors import InputError
from zerochain.features.normalisation import Moments
from zerochain.formats.bundle import Bundled, timeless
from zerochain.formats.corpus import read_corpus
from zerochain.formats.features import read_features
from zerochain.metrics.text import NORMALISATION
from zerochain.metrics.translation import error_rate
from zerochain.modules.captioner import Captioner, CaptionerConfig, CaptionerSizes, Seen
from zerochain.modules.decoders import IGNORED, teacher_forcing
from zerochain.speechchain.caption_data import (
    Captioned,
    CaptionMaterial,
    CaptionMethod,
    read_captioned,
)
from zerochain.speechchain.chain import SpeechChain
from zerochain.speechchain.ctc import Ints
from zerochain.speechchain.data import Frames, Symbols, text_batch
from zerochain.speechchain.recogniser import mean
from zerochain.training.crops import padded
from zerochain.training.outcome import Outcome
from zerochain.training.recipe import Recipe
from zerochain.training.run import Fitted, Running, finish, fit
from zerochain.training.task import Batch, Row, Update, single
from zerochain.translation.decoding import beam_search, greedy

RECIPE = Recipe(
    max_steps=1500,
    batch_size=16,
    learning_rate=2e-3,
    annealing="cosine",
    ema_decay=0.99,
    validate_every=100,
    patience=8,
)
"""The batch size is that of pairs, of pictures with speech and of texts, each."""
_AT_ONCE = 64
_GALLERY = 8  # times the batch size: the pictures among which one is found for a text
_LONGEST_CAPTION = 1.5  # times the longest text of the pairs


class CaptionConfig(Config):
    """How a captioner is trained."""

    method: CaptionMethod = "chain"
    """Pairs, speech and texts; the pairs alone; or all texts of the corpus, the bound."""
    paired: float | None = Field(
        None, gt=0, lt=1, json_schema_extra={"default": "all texts of the corpus"}
    )
    """As for the speech chain: the fraction of the texts that stay paired. Of the others, half lose
    their recordings and pictures, and half of these their texts."""
    beta: float = Field(1.0, ge=0)
    """Weight of captions from speech and of texts alone."""
    min_confidence: float = Field(0.3, ge=0, le=1)
    """Transcripts whose symbols have a lower mean probability are left out."""


@dataclass(frozen=True, eq=False)
class PictureCaptioner(Bundled):
    """Picture → caption, and text → the picture that fits it best.

    Attributes:
        mean, deviation: (D,) of the regions' values.
        symbols: the characters of captions.
        longest: the most characters of a caption.
    """

    MODEL = "captioner"
    WHAT = "captioner"

    network: Captioner
    mean: NDArray[np.float32]
    deviation: NDArray[np.float32]
    symbols: tuple[str, ...]
    longest: int
    training: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.network.eval()

    def check(self) -> None:
        config = self.network.config
        fits = self.mean.shape == self.deviation.shape == (config.n_in,)
        if not fits or config.n_symbols != len(self.symbols) or self.longest < 1:
            raise ValueError("its network doesn't fit its features or symbols")

    @property
    def spelling(self) -> Symbols:
        """Between texts and symbols."""
        return Symbols(self.symbols)

    @property
    def device(self) -> torch.device:
        """The network's device."""
        return self.network.place.device

    @torch.inference_mode()
    def captions(self, pictures: Sequence[Frames], beam: int = 5) -> list[tuple[str, float]]:
        """The caption of each picture (R, D), and the mean log-probability of its symbols.

        Raises:
            InputError: as `check_pictures`.
        """
        self.check_pictures(pictures)
        found = []
        for first in range(0, len(pictures), _AT_ONCE):
            x, lengths = self._batch(pictures[first : first + _AT_ONCE])
            encoded = self.network.encode(x, lengths)
            limits = torch.full_like(lengths, self.longest)
            several = (
                greedy(self.network, encoded, limits, merged=False)
                if beam == 1
                else beam_search(self.network, encoded, limits, beam, merged=False)
            )
            found += [
                (self.spelling.write(one.units.astype(np.int64)), one.score) for one in several
            ]
        return found

    @torch.inference_mode()
    def vectors(self, pictures: Sequence[Frames]) -> NDArray[np.float32]:
        """Vectors (n, W) of pictures."""
        self.check_pictures(pictures)
        parts = []
        for first in range(0, len(pictures), _AT_ONCE):
            encoded = self.network.encode(*self._batch(pictures[first : first + _AT_ONCE]))
            parts.append(self.network.pictures(encoded).float().cpu().numpy())
        return np.concatenate(parts)

    @torch.inference_mode()
    def text_vectors(self, texts: Sequence[Ints]) -> NDArray[np.float32]:
        """Vectors (n, W) of texts, none of them empty."""
        parts = []
        for first in range(0, len(texts), _AT_ONCE):
            batch = text_batch(texts[first : first + _AT_ONCE])
            made = self.network.texts(*(batch[k].to(self.device) for k in ("symbols", "counts")))
            parts.append(made.float().cpu().numpy())
        return np.concatenate(parts)

    def check_pictures(self, pictures: Sequence[Frames]) -> None:
        """Raise InputError for features of another kind than it was trained on."""
        config = self.network.config
        for picture in pictures:
            if picture.shape[1] != config.n_in or len(picture) > config.n_regions:
                raise InputError(
                    f"a picture has features of shape {picture.shape}, but the captioner takes "
                    f"up to {config.n_regions} regions of {config.n_in} values",
                    cause="they are other features than those that it was trained on",
                    remedy="give features of the same kind, or train a captioner on these",
                )

    def _batch(self, pictures: Sequence[Frames]) -> tuple[Tensor, Tensor]:
        x, lengths = padded([(p - self.mean) / self.deviation for p in pictures])
        return x.to(self.device), lengths.to(self.device)


class CaptionTask:
    """Captions and retrieval of pairs, of what was spoken, and of texts alone; validated on pairs.

    Pictures and texts of a batch find each other by cross-entropy over the batch, in both
    directions.
    """

    def __init__(
        self,
        network: Captioner,
        material: CaptionMaterial,
        moments: Moments,
        config: CaptionConfig,
        recipe: Recipe,
        device: str,
    ) -> None:
        self.networks, self.optimisers = single(
            "captioner",
            network,
            torch.optim.AdamW(network.parameters(), recipe.learning_rate, weight_decay=0.01),
        )
        self._network, self._material, self._moments = network, material, moments
        self._config, self._recipe, self._device = config, recipe, device

    def batch(self, step: int, process: int) -> Batch:
        """Pairs, those that were spoken after them, "text …" alone and a "gallery" for these."""
        rng = np.random.default_rng((self._recipe.seed, step, process))
        n, material = self._recipe.batch_size, self._material
        chosen = _random(material.train, n, rng)
        if len(material.spoken) and self._config.beta:
            spoken = _random(material.spoken, n, rng)
            weights = (self._config.beta * spoken.weights).astype(np.float32)
            chosen = chosen.joined(replace(spoken, weights=weights))
        batch = self._batch(chosen)
        if material.texts and self._config.beta:
            rows = rng.choice(len(material.texts), min(n, len(material.texts)), replace=False)
            texts = text_batch([material.texts[i] for i in rows])
            batch |= {f"text {name}": value for name, value in texts.items()}
            size = min(_GALLERY * n, len(material.gallery))
            shown = rng.choice(len(material.gallery), size, replace=False)
            batch["gallery"], batch["gallery lengths"] = self._pictures(
                [material.gallery[i] for i in shown]
            )
        return batch

    def training_step(
        self, networks: Mapping[str, nn.Module], batch: Batch, update: Update
    ) -> Mapping[str, Tensor]:
        """One step on the losses per symbol and per pair."""
        n = len(batch["x"])
        if "gallery" in batch:
            batch = self._with_found(batch)
        seen = networks["captioner"](
            batch["x"], batch["lengths"], batch["symbols"], batch["counts"]
        )
        captions, retrieval = losses(
            seen, batch["symbols"], batch["counts"], self._network, n, batch["weights"]
        )
        caption = mean(captions, batch["weights"])
        loss = caption + retrieval
        update("captioner", loss)
        return {"train_loss": loss, "caption": caption, "retrieval": retrieval}

    @torch.no_grad()
    def validate(self, network: nn.Module) -> Row:
        """The loss of held-out pairs, and the error rate of their captions in %."""
        assert isinstance(network, Captioner)
        valid, total = self._material.valid, 0.0
        made: list[list[int]] = []
        for first in range(0, len(valid), _AT_ONCE):
            rows = range(first, min(first + _AT_ONCE, len(valid)))
            batch = {k: v.to(self._device) for k, v in self._batch(valid.take(rows)).items()}
            seen = network(batch["x"], batch["lengths"], batch["symbols"], batch["counts"])
            captions, retrieval = losses(
                seen, batch["symbols"], batch["counts"], network, len(rows), batch["weights"]
            )
            total += float(captions.sum()) + len(rows) * float(retrieval)
            encoded = network.encode(batch["x"], batch["lengths"])
            limits = 2 * batch["counts"]
            made += [one.units.tolist() for one in greedy(network, encoded, limits, merged=False)]
        wrong = error_rate(made, [[text.tolist()] for text in valid.texts])
        return {"valid_loss": total / len(valid), "valid_cer_%": wrong.value}

    def _with_found(self, batch: Batch) -> Batch:
        """The batch with texts alone at its end, each with the picture that is found for it."""
        network = self._network
        was_training = network.training
        network.eval()
        with torch.no_grad():
            encoded = network.encode(batch["gallery"], batch["gallery lengths"])
            texts = network.texts(batch["text symbols"], batch["text counts"])
            products = network.scale.exp() * texts @ network.pictures(encoded).T
            sure, best = products.softmax(dim=1).max(dim=1)
        network.train(was_training)
        width = max(batch["symbols"].shape[1], batch["text symbols"].shape[1])
        height = max(batch["x"].shape[1], batch["gallery"].shape[1])
        return {
            "x": torch.cat([_wide(batch["x"], height), _wide(batch["gallery"][best], height)]),
            "lengths": torch.cat([batch["lengths"], batch["gallery lengths"][best]]),
            "symbols": torch.cat(
                [_wide(batch["symbols"], width), _wide(batch["text symbols"], width)]
            ),
            "counts": torch.cat([batch["counts"], batch["text counts"]]),
            "weights": torch.cat([batch["weights"], self._config.beta * sure]),
        }

    def _batch(self, pairs: Captioned) -> Batch:
        x, lengths = self._pictures(pairs.pictures)
        weights = torch.from_numpy(pairs.weights)
        return {"x": x, "lengths": lengths, **text_batch(pairs.texts), "weights": weights}

    def _pictures(self, pictures: Sequence[Frames]) -> tuple[Tensor, Tensor]:
        moments = self._moments
        return padded([(p - moments.mean) / moments.deviation for p in pictures])


def losses(
    seen: Seen, symbols: Tensor, counts: Tensor, network: Captioner, n: int, weights: Tensor
) -> tuple[Tensor, Tensor]:
    """Each caption's loss per symbol (B,), and the loss of finding the first `n` pairs.

    For texts alone there is nothing to find: their pictures were found already.
    """
    _, labels = teacher_forcing(symbols, counts, network.config.n_symbols)
    captions = cross_entropy(
        seen.next.float().transpose(1, 2), labels, ignore_index=IGNORED, reduction="none"
    ).sum(dim=1) / (counts + 1)
    products = network.scale.exp() * seen.pictures[:n].float() @ seen.texts[:n].float().T
    right = torch.arange(n, device=products.device)
    both = [cross_entropy(p, right, reduction="none") for p in (products, products.T)]
    return captions, mean((both[0] + both[1]) / 2, weights[:n])


def _random(pairs: Captioned, n: int, rng: np.random.Generator) -> Captioned:
    return pairs.take(rng.choice(len(pairs), min(n, len(pairs)), replace=False).tolist())


def _wide(x: Tensor, width: int) -> Tensor:
    """(B, T, …) padded with zeros to (B, width, …)."""
    missing = x.new_zeros(len(x), width - x.shape[1], *x.shape[2:])
    return torch.cat([x, missing], dim=1)


@dataclass(frozen=True, kw_only=True)
class CaptionTraining(Outcome):
    """How the training of a captioner went."""

    method: CaptionMethod
    n_pairs: int
    """In training."""
    n_spoken: int
    """Pictures whose texts are transcripts."""
    n_texts: int
    excluded: Mapping[str, int]
    seconds: float
    valid_cer: float
    """In %, of captions of the held-out pairs, without a beam."""


def train_captioner(
    corpus: Path,
    pictures: Path,
    chain: Path,
    out: Path,
    *,
    split: str | None = None,
    config: CaptionConfig | None = None,
    sizes: CaptionerSizes | None = None,
    recipe: Recipe = RECIPE,
    running: Running | None = None,
) -> CaptionTraining:
    """Train a captioner on pictures with texts and on pictures with speech, and save it as `out`.

    Args:
        pictures: features of the corpus, (regions, values) of each utterance's picture.
        chain: a speech chain, which transcribes the speech.

    Raises:
        InputError: as `read_captioned`, or divergence.
    """
    config = config or CaptionConfig()
    running = (running or Running()).beside(out)
    whole, features = read_corpus(corpus), read_features(pictures)
    model = SpeechChain.load(chain, running.device)
    material = read_captioned(
        whole,
        features,
        model,
        split,
        running.device,
        method=config.method,
        paired=config.paired,
        min_confidence=config.min_confidence,
    )
    moments = Moments.of(material.train.pictures)
    network_config = CaptionerConfig(
        **(sizes or CaptionerSizes()).model_dump(),
        n_in=features.dim,
        n_regions=max(len(features[name]) for name in features.ids),
        n_symbols=len(material.symbols.names),
    )
    torch.manual_seed(recipe.seed)
    network = Captioner(network_config)
    task = CaptionTask(network, material, moments, config, recipe, running.device)
    inputs = {
        "network": network_config.model_dump(),
        "config": config.model_dump(),
        "material": material.digest,
        "pictures": features.id,
    }
    fitted = fit(task, recipe, running, inputs=inputs)
    report = _report(config.method, material, fitted)
    record = {
        "config": config.model_dump(),
        "recipe": recipe.model_dump(),
        "text": NORMALISATION,
        **timeless(asdict(report)),
    }
    captioner = PictureCaptioner(
        network.to(running.device),
        moments.mean,
        moments.deviation,
        material.symbols.names,
        int(_LONGEST_CAPTION * max(map(len, material.train.texts))),
        record,
        trained_on={"corpus": whole.id, "pictures": features.id, "speech chain": model.id},
    )
    finish(fitted, out, lambda: captioner.save(out))
    return report


def _report(method: CaptionMethod, material: CaptionMaterial, fitted: Fitted) -> CaptionTraining:
    return CaptionTraining(
        **asdict(fitted.outcome),
        method=method,
        n_pairs=len(material.train),
        n_spoken=len(material.spoken),
        n_texts=len(material.texts),
        excluded=material.excluded,
        seconds=fitted.seconds,
        valid_cer=fitted.best["valid_cer_%"],
    )
