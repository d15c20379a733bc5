"""Losses between a generator and its discriminators."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import torch
from torch import Tensor

Form = Literal["lsgan", "wgan"]


class Judgement(NamedTuple):
    """What a discriminator makes of a batch."""

    score: Tensor
    """One number for each patch, any shape: high for what it takes to be real."""
    features: list[Tensor]
    """Outputs of its inner layers, any shapes."""


def halves(
    judgements: Sequence[Judgement],
) -> tuple[list[Judgement], list[Judgement]]:
    """Judgements on a batch of twice B as those on its halves.

    Real and made waves in one batch: so a discriminator runs once before its update, as DDP needs.
    """

    def half(i: int) -> list[Judgement]:
        return [
            Judgement(j.score.chunk(2)[i], [x.chunk(2)[i] for x in j.features]) for j in judgements
        ]

    return half(0), half(1)


def discriminator_loss(
    real: Sequence[Judgement], fake: Sequence[Judgement], form: Form = "lsgan"
) -> Tensor:
    """Sum over discriminators of how badly each tells real from made, () ≥ 0 for LSGAN.

    LSGAN: D(M̂)² + (D(M) − 1)² (Mao et al. 2017). WGAN: D(M̂) − D(M) (Arjovsky et al. 2017), which
    needs a discriminator whose slope is bounded.
    """
    return torch.stack(
        [
            b.score.square().mean() + (a.score - 1).square().mean()
            if form == "lsgan"
            else b.score.mean() - a.score.mean()
            for a, b in zip(real, fake, strict=True)
        ]
    ).sum()


def generator_loss(fake: Sequence[Judgement], form: Form = "lsgan") -> Tensor:
    """Sum over discriminators of how well each sees through the generator, ().

    LSGAN: (D(M̂) − 1)². WGAN: −D(M̂).
    """
    return torch.stack(
        [(j.score - 1).square().mean() if form == "lsgan" else -j.score.mean() for j in fake]
    ).sum()


def feature_matching_loss(real: Sequence[Judgement], fake: Sequence[Judgement]) -> Tensor:
    """Sum over discriminators and layers of the mean absolute difference of features, ().

    Larsen et al. 2016; as in HiFi-GAN (Kong et al. 2020), without its weight. No gradient goes
    to the real side.
    """
    return torch.stack(
        [
            (x.detach() - y).abs().mean()
            for a, b in zip(real, fake, strict=True)
            for x, y in zip(a.features, b.features, strict=True)
        ]
    ).sum()
