import csv
import itertools
import math
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from regression import RECIPE, Regression, run
from torch import Tensor, nn

from zerochain.errors import InputError
from zerochain.formats.training_log import read_training_log
from zerochain.training.checkpoint import load_checkpoint, save_checkpoint
from zerochain.training.device import accelerator_of
from zerochain.training.loop import train
from zerochain.training.recipe import Recipe
from zerochain.training.state import TrainingState
from zerochain.training.task import Batch, Update


def test_it_learns_and_logs(tmp_path: Path) -> None:
    trained = run(tmp_path)
    losses = [row["valid_loss"] for row in trained.history]
    assert losses[-1] < losses[0] / 5
    with (tmp_path / "log.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert [int(row["step"]) for row in rows] == [10, 20, 30, 40, 50, 60]
    assert [float(row["valid_loss"]) for row in rows] == losses
    assert set(rows[0]) == {"step", "seconds", "train_loss", "valid_loss"}
    assert not trained.converged
    again = run(tmp_path)  # finished: its checkpoint gives the same without a step
    assert again.history == trained.history


@pytest.mark.parametrize("break_at", [11, 25, 40, 59])
def test_resumed_equals_uninterrupted(tmp_path: Path, break_at: int) -> None:
    whole = run(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "broken", break_at=break_at)
    resumed = run(tmp_path / "broken")
    for name, weight in whole.weights.items():
        assert torch.equal(weight, resumed.weights[name]), name
    for one, two in zip(whole.history, resumed.history, strict=True):
        assert {**one, "seconds": 0} == {**two, "seconds": 0}


def test_returned_weights_are_those_of_the_best_validation(tmp_path: Path) -> None:
    trained = run(tmp_path)
    task = Regression(RECIPE)
    network = task.networks["regression"]
    network.load_state_dict(trained.weights)
    assert task.validate(network.eval()) == pytest.approx(trained.best["valid_loss"])


def test_it_stops_early_and_says_so(tmp_path: Path) -> None:
    config = Recipe(max_steps=5000, validate_every=5, learning_rate=0.05, patience=3)
    trained = run(tmp_path, config)
    assert trained.converged
    assert trained.history[-1]["step"] < 5000
    best = [row["step"] for row in trained.history].index(trained.best["step"])
    assert len(trained.history) - 1 - best == 3


def test_the_last_weights_are_kept_where_validation_is_no_judge(tmp_path: Path) -> None:
    config = RECIPE.model_copy(update={"patience": 1, "keep": "last", "max_steps": 45})
    seen = []

    class Worsening(Regression):
        def validate(self, network: nn.Module) -> float:
            seen.append({name: w.clone() for name, w in network.state_dict().items()})
            return float(len(seen))

    trained = train(Worsening(config), config, tmp_path, inputs={})
    assert [row["valid_loss"] for row in trained.history] == [1, 2, 3, 4, 5]
    assert not trained.converged
    assert trained.best == trained.history[-1]
    for name, weight in trained.weights.items():
        assert torch.equal(weight, seen[-1][name])
        assert weight.numel() == 1 or not torch.equal(weight, seen[0][name])


def test_losses_that_come_later_are_empty_cells_before(tmp_path: Path) -> None:
    class Later(Regression):
        def batch(self, step: int, process: int) -> Batch:
            return {**super().batch(step, process), "step": torch.tensor(float(step))}

        def training_step(
            self, networks: Mapping[str, nn.Module], batch: Batch, update: Update
        ) -> Mapping[str, Tensor]:
            losses = super().training_step(networks, batch, update)
            return losses if batch["step"] <= 25 else {**losses, "later": batch["step"]}

    lengths = []
    train(
        Later(RECIPE),
        RECIPE,
        tmp_path,
        inputs={},
        watch=lambda history: lengths.append(len(history)),
    )
    later = read_training_log(tmp_path)["later"]
    assert math.isnan(later[0])
    assert math.isnan(later[1])
    assert later[2:] == [28, 35.5, 45.5, 55.5]  # means over the steps that had it
    assert lengths == [1, 2, 3, 4, 5, 6]


def test_divergence_stops_and_keeps_the_last_good_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="diverged at step 33: train_loss is nan"):
        run(tmp_path, poison_at=33)
    assert (tmp_path / "checkpoint.safetensors").exists()
    trained = run(tmp_path)
    assert [row["step"] for row in trained.history] == [10, 20, 30, 40, 50, 60]


@pytest.mark.parametrize("step", [1, 24, 25, 26, 60])
def test_the_step_that_diverged_is_named(tmp_path: Path, step: int) -> None:
    config = RECIPE.model_copy(update={"validate_every": 60})
    with pytest.raises(InputError, match=f"diverged at step {step}: train_loss is nan"):
        run(tmp_path, config, poison_at=step)


def test_a_gradient_that_is_not_finite_stops_it(tmp_path: Path) -> None:
    """0 · √0 is 0, with a gradient of NaN."""

    class Steep(Regression):
        def training_step(
            self, networks: Mapping[str, nn.Module], batch: Batch, update: Update
        ) -> Mapping[str, Tensor]:
            loss = (networks["regression"](batch["x"]) * 0).abs().sqrt().sum()
            update("regression", loss)
            return {"train_loss": loss}

    with pytest.raises(InputError, match="step 1: the gradient of regression is nan"):
        train(Steep(RECIPE), RECIPE, tmp_path, inputs={})


def test_restart_ignores_the_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, break_at=25)
    other = train(Regression(RECIPE), RECIPE, tmp_path, inputs={"data": "another"}, restart=True)
    assert other.history[0]["step"] == 10


def test_the_scale_of_fp16_and_the_random_state_are_kept(tmp_path: Path) -> None:
    task = Regression(RECIPE)
    one, two = (TrainingState(task, RECIPE, accelerator_of("cpu", "no")) for _ in range(2))
    for run_, scale in ((one, 3.0), (two, 7.0)):
        run_.accelerator.scaler = torch.amp.GradScaler("cpu", init_scale=scale)
    one.advance(1)
    state = one.state()
    torch.manual_seed(99)
    save_checkpoint(tmp_path / "c", {"fingerprint": "f", **state})
    two.restore(load_checkpoint(tmp_path / "c"))
    assert two.accelerator.scaler.get_scale() == 3.0
    assert torch.equal(torch.get_rng_state(), state["random"][0])


def test_two_networks_with_an_optimiser_each(tmp_path: Path) -> None:
    """The adversary's place: a second network that is updated in the same step."""

    class Adversarial(Regression):
        def __init__(self, config: Recipe) -> None:
            super().__init__(config)
            critic = nn.Linear(1, 1)
            self.networks["critic"] = critic
            self.optimisers["critic"] = torch.optim.SGD(critic.parameters(), 0.1)

        def training_step(
            self, networks: Mapping[str, nn.Module], batch: Batch, update: Update
        ) -> Mapping[str, Tensor]:
            losses = dict(super().training_step(networks, batch, update))
            critique = (networks["critic"](batch["y"]) - batch["y"]).square().mean()
            update("critic", critique)
            return {**losses, "critic_loss": critique}

    trained = train(Adversarial(RECIPE), RECIPE, tmp_path, inputs={})
    assert trained.history[-1]["critic_loss"] < trained.history[0]["critic_loss"]
    assert trained.history[-1]["valid_loss"] < trained.history[0]["valid_loss"]


ANNEALED = RECIPE.model_copy(update={"annealing": "cosine"})


@pytest.mark.parametrize("max_steps", [1, 7, 100, 150, 1000, 3000])
def test_annealing_falls_to_nothing_after_its_warm_up(max_steps: int) -> None:
    config = Recipe(max_steps=max_steps, annealing="cosine")
    rates = [config.rate(step) for step in range(1, max_steps + 1)]
    assert all(0 < rate <= 1 for rate in rates)
    fall = rates[100:]
    assert all(later < earlier for earlier, later in itertools.pairwise(fall))
    if max_steps >= 1000:
        assert rates.index(max(rates)) in range(90, 100)
        assert max(rates) > 0.97
        assert rates[-1] < 1e-4
        assert rates[:90] == sorted(rates[:90])
    plain = Recipe(max_steps=max_steps)
    assert {plain.rate(step) for step in range(1, max_steps + 1)} == {1}


def test_each_group_of_parameters_is_annealed_from_its_own_rate(tmp_path: Path) -> None:
    task = Regression(ANNEALED)
    first, *others = task.networks["regression"].parameters()
    groups = [{"params": [first], "lr": 0.2}, {"params": others, "lr": 0.02}]
    optimiser = task.optimisers["regression"] = torch.optim.SGD(groups)
    seen = []
    batch = task.batch

    def spying(step: int, process: int) -> Batch:
        seen.append([group["lr"] for group in optimiser.param_groups])
        return batch(step, process)

    task.batch = spying  # type: ignore[method-assign]
    train(task, ANNEALED, tmp_path, inputs={})
    expected = [[0.2 * ANNEALED.rate(s), 0.02 * ANNEALED.rate(s)] for s in range(1, 61)]
    assert seen == [pytest.approx(rates) for rates in expected]


@pytest.mark.parametrize("break_at", [11, 40, 59])
def test_an_annealed_training_resumes_exactly(tmp_path: Path, break_at: int) -> None:
    whole = run(tmp_path / "whole", ANNEALED)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "broken", ANNEALED, break_at=break_at)
    resumed = run(tmp_path / "broken", ANNEALED)
    plain = run(tmp_path / "plain")
    for name, weight in whole.weights.items():
        assert torch.equal(weight, resumed.weights[name]), name
    assert any(not torch.equal(whole.weights[n], plain.weights[n]) for n in whole.weights)


PLATEAU = RECIPE.model_copy(
    update={"annealing": "plateau", "min_improvement": 0.3, "patience": 2, "max_steps": 400}
)


def test_a_plateau_ends_in_a_fall_of_the_rate(tmp_path: Path) -> None:
    """Validation stops improving by 30 %; then a quarter more steps, at falling rates."""
    task = Regression(PLATEAU)
    (optimiser,) = task.optimisers.values()
    base = optimiser.param_groups[0]["lr"]
    rates, batch = [], task.batch

    def spying(step: int, process: int) -> Batch:
        rates.append(optimiser.param_groups[0]["lr"] / base)
        return batch(step, process)

    task.batch = spying  # type: ignore[method-assign]
    trained = train(task, PLATEAU, tmp_path, inputs={})
    assert trained.converged
    losses = [row["valid_loss"] for row in trained.history]
    mark, misses, found = math.inf, 0, 0
    for number, loss in enumerate(losses, 1):  # as in the recipe's words
        improved = loss < mark * (1 - PLATEAU.min_improvement)
        mark, misses = (loss, 0) if improved else (mark, misses + 1)
        if misses == PLATEAU.patience:
            found = number * PLATEAU.validate_every
            break
    every = PLATEAU.validate_every
    n = max(1, round(found * 0.25 / every)) * every
    assert len(rates) == trained.history[-1]["step"] == found + n
    assert rates[100:found] == pytest.approx([1.0] * len(rates[100:found]))
    warm = [min(1.0, step / 100) for step in range(found + 1, found + n + 1)]
    falling = [w * (n - i) / n for i, w in enumerate(warm)]
    assert rates[found:] == pytest.approx(falling)


@pytest.mark.parametrize("max_steps", [1, 30, 60, 200])
def test_a_plateau_that_is_never_reached_ends_at_the_last_step(
    tmp_path: Path, max_steps: int
) -> None:
    recipe = PLATEAU.model_copy(
        update={"min_improvement": 0.0, "patience": 1000, "max_steps": max_steps}
    )
    trained = run(tmp_path, recipe)
    assert trained.converged is False
    assert trained.history[-1]["step"] == max_steps


@pytest.mark.parametrize("break_at", [11, 85, 119])
def test_a_plateau_resumes_exactly(tmp_path: Path, break_at: int) -> None:
    recipe = PLATEAU.model_copy(update={"max_steps": 120, "patience": 1000})
    whole = run(tmp_path / "whole", recipe)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "broken", recipe, break_at=break_at)
    resumed = run(tmp_path / "broken", recipe)
    for name, weight in whole.weights.items():
        assert torch.equal(weight, resumed.weights[name]), name


def test_a_rate_that_fell_for_the_last_step_rises_if_steps_are_added(tmp_path: Path) -> None:
    short = PLATEAU.model_copy(update={"max_steps": 100, "patience": 1000})
    run(tmp_path, short)
    longer = run(tmp_path, short.model_copy(update={"max_steps": 200}))
    assert longer.extended_at == (100,)
    assert longer.history[-1]["step"] == 200
    assert longer.converged is False


def test_validation_may_measure_more_than_its_loss(tmp_path: Path) -> None:
    class Measured(Regression):
        def validate(self, network: nn.Module) -> dict[str, float]:  # type: ignore[override]
            loss = super().validate(network)
            return {"root": math.sqrt(loss), "valid_loss": loss}

    plain = run(tmp_path / "plain")
    more = train(Measured(RECIPE), RECIPE, tmp_path / "more", inputs={"data": "regression"})
    for before, now in zip(plain.history, more.history, strict=True):
        assert now["valid_loss"] == before["valid_loss"]
        assert now["root"] == math.sqrt(now["valid_loss"])
    assert more.best["step"] == plain.best["step"]
