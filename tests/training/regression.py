"""A task that is trained in milliseconds, for the tests of the loop and of the service."""

import math
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from zerochain.training.loop import Trained, train
from zerochain.training.recipe import Recipe
from zerochain.training.task import Batch, Update

RECIPE = Recipe(max_steps=60, validate_every=10, learning_rate=0.05, patience=100, ema_decay=0.9)


class Regression:
    """Learn y = x·w with a network that has dropout and batch normalisation in it."""

    def __init__(self, recipe: Recipe, break_at: int = -1, poison_at: int = -1) -> None:
        torch.manual_seed(1)
        network = nn.Sequential(
            nn.Linear(4, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.1), nn.Linear(16, 1)
        )
        self.networks: dict[str, nn.Module] = {"regression": network}
        self.optimisers: dict[str, torch.optim.Optimizer] = {
            "regression": torch.optim.Adam(network.parameters(), recipe.learning_rate)
        }
        self.break_at, self.poison_at = break_at, poison_at

    def batch(self, step: int, process: int) -> Batch:
        if step == self.break_at:
            raise KeyboardInterrupt
        x = torch.randn(32, 4, generator=torch.Generator().manual_seed(1000 * process + step))
        y = (x @ torch.tensor([1.0, -2, 3, 0.5]))[:, None]
        return {"x": x, "y": y * (math.nan if step == self.poison_at else 1)}

    def training_step(
        self, networks: Mapping[str, nn.Module], batch: Batch, update: Update
    ) -> Mapping[str, Tensor]:
        loss = (networks["regression"](batch["x"]) - batch["y"]).square().mean()
        update("regression", loss)
        return {"train_loss": loss}

    def validate(self, network: nn.Module) -> float:
        batch = Regression.batch(self, 10_000, 0)
        with torch.no_grad():
            return float((network(batch["x"]) - batch["y"]).square().mean())


def run(folder: Path, recipe: Recipe = RECIPE, **kwargs: int) -> Trained:
    return train(Regression(recipe, **kwargs), recipe, folder, inputs={"data": "regression"})
