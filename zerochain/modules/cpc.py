"""Contrastive predictive coding (CPC; van den Oord et al. 2018), with a codebook: VQ-CPC.

From the latents so far, the network predicts those of the next K steps, and is trained to score the
latent that follows higher than negatives drawn from other steps (the InfoNCE loss). VQ-CPC (van
Niekerk et al. 2020) quantises the latents, whose codes are the units, and draws the negatives from
the same speaker, so that telling speakers apart is of no use.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Generator, Tensor, nn

from zerochain.modules.encoder import TimeLayer, as_image, as_sequence, halved, image_mask, mask_of
from zerochain.modules.vqvae import Quantized, Quantizer


class NarrowEncoder(nn.Module):
    """Strided convolutions, then layers over single steps, as in van Niekerk et al. 2020.

    Features (B, T, D) and lengths (B,) → latents (B, ⌈T / stride⌉, dim). A step depends on few
    more than its own frames: if its latent contained the following steps, predicting them would be
    trivial.
    """

    def __init__(self, n_in: int, width: int, n_layers: int, dim: int, stride: int) -> None:
        super().__init__()
        kernels = [(4, 2)] * int(math.log2(stride)) or [(3, 1)]
        widths = [n_in] + [width] * len(kernels)
        self.convolutions = nn.ModuleList(
            TimeLayer(n, width, kernel, step)
            for n, (kernel, step) in zip(widths, kernels, strict=False)
        )
        hidden = [
            layer
            for _ in range(n_layers)
            for layer in (nn.Linear(width, width, bias=False), nn.LayerNorm(width), nn.ReLU())
        ]
        self.layers = nn.Sequential(*hidden, nn.Linear(width, dim))

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        """Latents, zero after the end of each utterance."""
        y = as_image(x) * image_mask(lengths, x.shape[1])
        for convolution in self.convolutions:
            y = convolution(y)
            lengths = lengths if convolution.stride == 1 else halved(lengths)
            y = y * image_mask(lengths, y.shape[-1])
        z: Tensor = self.layers(as_sequence(y))
        return z * mask_of(lengths, z.shape[1])[..., None]


class ContextEncoder(nn.Module):
    """Features (B, T, D) → the causal context of each step, (B, ⌈T / stride⌉, C)."""

    def __init__(self, encoder: nn.Module, quantizer: Quantizer | None, context: nn.GRU) -> None:
        super().__init__()
        self.encoder, self.quantizer, self.context = encoder, quantizer, context

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        """Contexts, zero after the end of each utterance."""
        z = self.encoder(x, lengths)
        real = real_steps(lengths, x.shape[1], z.shape[1])
        if self.quantizer is not None:
            z = self.quantizer(z, real).vectors
        c: Tensor = self.context(z)[0]
        return c * real[..., None]


class Predicted(NamedTuple):
    """A CPC network's output for a batch of segments."""

    predictions: Tensor
    """(B, T, K, E): predicted latents 1 to K steps later."""
    targets: Tensor
    """(B, T, E): latents, quantised if there is a quantizer."""
    real: Tensor
    """(B, T): 1 where steps are speech, 0 in padding."""
    quantized: Quantized | None


class Cpc(nn.Module):
    """An encoder, a quantizer if any, a causal context and a linear predictor per step ahead.

    Args:
        encoder: features (B, T, D) and lengths (B,) → latents (B, ⌈T / stride⌉, dim).
        dim: E, dimensions of the latents.
        context_dim: dimensions of the GRU's state.
        n_steps: K, number of steps ahead to predict.
    """

    def __init__(
        self,
        encoder: nn.Module,
        quantizer: Quantizer | None,
        dim: int,
        context_dim: int,
        n_steps: int,
    ) -> None:
        super().__init__()
        self.encoder, self.quantizer, self.n_steps = encoder, quantizer, n_steps
        self.context = nn.GRU(dim, context_dim, batch_first=True)
        self.predictors = nn.Linear(context_dim, n_steps * dim)

    def forward(self, x: Tensor, lengths: Tensor, other: Tensor | None = None) -> Predicted:
        """From x (B, T, D), predict its own latents or those of `other`, a changed copy of x."""
        views = x if other is None else torch.cat([x, other])
        repeated = lengths if other is None else lengths.repeat(2)
        z = self.encoder(views, repeated)
        real = real_steps(repeated, x.shape[1], z.shape[1])
        quantized = None if self.quantizer is None else self.quantizer(z, real)
        z = z if quantized is None else quantized.vectors
        past, future = z[: len(x)], z[-len(x) :]
        predictions = self.predictors(self.context(past)[0])
        shape = (*future.shape[:2], self.n_steps, -1)
        return Predicted(predictions.view(shape), future, real[: len(x)], quantized)


class Contrast(NamedTuple):
    """How well predictions match what follows, compared with other latents of the same group."""

    loss: Tensor
    """Sum of cross-entropies over predictions and steps ahead, ()."""
    correct: Tensor
    """(K,): number of predictions for which the true latent scored highest; a tie of n counts
    1/n."""
    n: Tensor
    """(K,): number of predictions."""


def contrast(
    predicted: Predicted, n_groups: int, n_negatives: int, generator: Generator
) -> Contrast:
    """InfoNCE (van den Oord et al. 2018) among the segments of a group.

    Each group is B / n_groups consecutive segments. The latent k steps later has to score higher,
    as a scaled dot product with the prediction, than those of `n_negatives` other real steps,
    drawn uniformly from the whole group. Groups of a single step have no negatives and don't count.
    """
    targets, real = predicted.targets, predicted.real > 0
    n_steps, dim = predicted.predictions.shape[2:]
    z, here = targets.reshape(n_groups, -1, dim), real.view(n_groups, -1)
    size, length = here.shape[1], real.shape[1]
    count, rank = here.sum(dim=1)[:, None, None], here.cumsum(dim=1) - 1
    order = here.long().argsort(dim=1, descending=True, stable=True)
    times = torch.arange(size, device=z.device)
    losses, corrects, ns = [], [], []
    for k in range(1, n_steps + 1):
        positive = (times + k).clamp(max=size - 1)
        counted = (times % length < length - k) & here[:, positive] & (count[..., 0] > 1)
        dice = torch.rand(n_groups, size, n_negatives, generator=generator, device=z.device)
        drawn = torch.minimum((dice * (count - 1)).long(), (count - 2).clamp(min=0))
        drawn += drawn >= rank[:, positive, None]  # skips the positive itself
        drawn = drawn.clamp(max=size - 1).flatten(1)  # a valid index also where it doesn't count
        negatives = order.gather(1, drawn).view(dice.shape)
        candidates = torch.cat([positive.expand(n_groups, -1)[..., None], negatives], dim=2)
        wanted = predicted.predictions[:, :, k - 1].reshape(n_groups, size, dim) / math.sqrt(dim)
        scores = (wanted @ z.transpose(1, 2)).gather(2, candidates)[counted]
        labels = torch.zeros(len(scores), dtype=torch.long, device=z.device)
        losses.append(nn.functional.cross_entropy(scores.float(), labels, reduction="sum"))
        best = scores == scores.amax(dim=1, keepdim=True)
        corrects.append((best[:, 0] / best.sum(dim=1)).sum())  # equal codes tie, which is common
        ns.append(counted.sum())
    return Contrast(torch.stack(losses).sum(), torch.stack(corrects), torch.stack(ns))


def real_steps(lengths: Tensor, n_frames: int, n_steps: int) -> Tensor:
    """Lengths (B,), out of `n_frames` → 1 where steps are speech, 0 in padding: (B, n_steps)."""
    stride = -(-n_frames // n_steps)
    return mask_of(torch.div(lengths + stride - 1, stride, rounding_mode="floor"), n_steps)
