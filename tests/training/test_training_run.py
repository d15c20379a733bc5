"""The training service: what is written, what goes on, what is refused and what people see."""

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from regression import RECIPE, Regression
from torch import Tensor

from zerochain.errors import InputError
from zerochain.formats.bundle import bundle_id, read_fit, write_bundle
from zerochain.formats.training_log import read_training_log
from zerochain.training.checkpoint import CHECKPOINT, fingerprint, load_checkpoint, save_checkpoint
from zerochain.training.recipe import Recipe
from zerochain.training.run import Fitted, Running, finish, fit, weights_id
from zerochain.training.task import Batch

INPUTS: dict[str, Any] = {
    "network": {"width": 16, "n_blocks": 2},
    "corpus": "c0ffee",
    "ids": [f"utterance-{i}" for i in range(1000)],
    "cap": None,
    "units": "a" * 64,
}
LONGER = RECIPE.model_copy(update={"max_steps": 100})


def fitted(
    folder: Path | None, recipe: Recipe = RECIPE, *, break_at: int = -1, **options: Any
) -> tuple[Fitted, dict[str, Tensor]]:
    """What `fit` returns, and the network's weights."""
    task = Regression(recipe, break_at=break_at)
    running = Running("cpu", folder=folder, restart=options.pop("restart", False))
    result = fit(task, recipe, running, **{"inputs": INPUTS, **options})
    return result, task.networks["regression"].state_dict()


def interrupted(folder: Path | None, at: int, recipe: Recipe = RECIPE, **options: Any) -> None:
    with pytest.raises(KeyboardInterrupt):
        fitted(folder, recipe, break_at=at, **options)


def steps_of(result: Fitted) -> list[float]:
    return [row["step"] for row in result.history]


def same(one: Mapping[str, Tensor], two: Mapping[str, Tensor]) -> bool:
    return all(torch.equal(one[name], two[name]) for name in one)


def test_the_network_has_the_kept_weights_and_evaluates(tmp_path: Path) -> None:
    task = Regression(RECIPE)
    result = fit(task, RECIPE, Running("cpu", folder=tmp_path), inputs=INPUTS)
    network = task.networks["regression"]
    assert not network.training
    assert task.validate(network) == pytest.approx(result.best["valid_loss"])
    outcome = result.outcome
    assert outcome.best_valid_loss == min(row["valid_loss"] for row in result.history)
    assert (outcome.steps, outcome.extended_at) == (60, ())
    assert outcome.n_parameters == sum(p.numel() for p in network.parameters())
    assert outcome.computed_on.startswith("CPU")
    assert result.seconds == round(result.history[-1]["seconds"], 1)
    assert sorted(p.name for p in tmp_path.iterdir()) == [CHECKPOINT, "log.csv"]


def test_the_same_training_again_does_no_step(tmp_path: Path) -> None:
    first, weights = fitted(tmp_path)
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    again, same_weights = fitted(tmp_path, break_at=61)  # nor one that would be interrupted
    for step in (1, 60):
        fitted(tmp_path, break_at=step)
    assert again == first
    assert same(weights, same_weights)
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before


@pytest.mark.parametrize(("break_at", "extended_at"), [(None, 60), (59, 50), (11, 10)])
def test_more_steps_go_on(tmp_path: Path, break_at: int | None, extended_at: int) -> None:
    """Without annealing a step doesn't know the last one: the weights are those of one go."""
    whole, weights = fitted(tmp_path / "whole", LONGER)
    if break_at is None:
        fitted(tmp_path / "more")
    else:
        interrupted(tmp_path / "more", break_at)
    more, extended = fitted(tmp_path / "more", LONGER)
    assert same(weights, extended)
    assert more.outcome == replace(whole.outcome, extended_at=(extended_at,))
    assert steps_of(more) == list(range(10, 101, 10))
    assert read_training_log(tmp_path / "more")["step"] == steps_of(more)
    assert f"extended at step {extended_at}" in str(more.outcome)
    again, _ = fitted(tmp_path / "more", LONGER, break_at=100)
    assert again == more


def test_interrupted_before_the_first_checkpoint_it_was_not_extended(tmp_path: Path) -> None:
    interrupted(tmp_path, 5)
    result, _ = fitted(tmp_path, LONGER)
    assert result.outcome.extended_at == ()


@pytest.mark.parametrize("annealing", ["none", "cosine"])
def test_an_extended_training_resumes_exactly(tmp_path: Path, annealing: str) -> None:
    short, long = (r.model_copy(update={"annealing": annealing}) for r in (RECIPE, LONGER))
    for name in ("whole", "broken"):
        fitted(tmp_path / name, short)
    whole, weights = fitted(tmp_path / "whole", long)
    interrupted(tmp_path / "broken", 75, long)
    resumed, same_weights = fitted(tmp_path / "broken", long)
    assert same(weights, same_weights)
    assert resumed.outcome == whole.outcome
    assert resumed.outcome.extended_at == (60,)
    longest = long.model_copy(update={"max_steps": 120})
    assert fitted(tmp_path / "broken", longest)[0].outcome.extended_at == (60, 100)


def test_a_rate_follows_the_new_schedule_from_where_it_stands(tmp_path: Path) -> None:
    short, long = (r.model_copy(update={"annealing": "cosine"}) for r in (RECIPE, LONGER))
    fitted(tmp_path, short)
    seen = {}

    class Watched(Regression):
        def batch(self, step: int, process: int) -> Batch:
            (group,) = self.optimisers["regression"].param_groups
            seen[step] = group["lr"]
            return super().batch(step, process)

    fit(Watched(long), long, Running("cpu", folder=tmp_path), inputs=INPUTS)
    assert seen == {s: pytest.approx(0.05 * long.rate(s)) for s in range(61, 101)}


def test_fewer_steps_than_were_done_are_refused(tmp_path: Path) -> None:
    fitted(tmp_path)
    fewer = RECIPE.model_copy(update={"max_steps": 50})
    with pytest.raises(InputError, match="has done 60 steps, more than max_steps=50") as caught:
        fitted(tmp_path, fewer)
    assert caught.value.path == tmp_path / CHECKPOINT
    assert "max_steps=60 or more, or restart=True" in str(caught.value.remedy)
    result, _ = fitted(tmp_path, fewer, restart=True)
    assert result.outcome.steps == 50
    assert result.outcome.extended_at == ()


@pytest.mark.parametrize("change", [{"max_steps": 40}, {"batch_size": 8}, {}])
def test_restart_where_something_changed(
    tmp_path: Path, change: dict[str, int], capsys: pytest.CaptureFixture[str]
) -> None:
    interrupted(tmp_path, 55)
    recipe = RECIPE.model_copy(update=change)
    result, weights = fitted(tmp_path, recipe, restart="changed")
    said = capsys.readouterr().err
    assert ("starts anew" in said) == bool(change)
    assert ("continues from step 50" in said) != bool(change)
    alone, same_weights = fitted(None, recipe)
    assert (result.outcome, steps_of(result)) == (alone.outcome, steps_of(alone))
    assert same(weights, same_weights)


def test_fewer_steps_than_were_asked_for_are_a_change_as_well(tmp_path: Path) -> None:
    interrupted(tmp_path, 25)
    fewer = RECIPE.model_copy(update={"max_steps": 40})
    result, _ = fitted(tmp_path, fewer)
    assert (result.outcome.steps, result.outcome.extended_at) == (40, (20,))


def test_what_had_stopped_improving_stays_stopped(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = RECIPE.model_copy(update={"max_steps": 2000, "patience": 3})
    first, weights = fitted(tmp_path, recipe)
    assert first.outcome.converged
    more = recipe.model_copy(update={"max_steps": 3000})
    capsys.readouterr()
    again, same_weights = fitted(tmp_path, more, break_at=first.outcome.steps + 1)
    assert again == first
    assert same(weights, same_weights)
    done = first.outcome.steps
    assert f"had stopped improving before step {done}, so the {3000 - done} more steps are not" in (
        capsys.readouterr().err
    )


CHANGED = {
    "batch_size": 8,
    "learning_rate": 0.1,
    "annealing": "cosine",
    "min_improvement": 0.01,
    "validate_every": 20,
    "patience": 5,
    "keep": "last",
    "ema_decay": 0.5,
    "max_gradient_norm": 2.0,
    "precision": "bf16",
    "seed": 1,
}


@pytest.mark.parametrize("name", sorted(Recipe.model_fields.keys() - {"max_steps"}))
def test_another_recipe_is_refused_by_the_name_of_what_changed(tmp_path: Path, name: str) -> None:
    interrupted(tmp_path, 25)
    recipe = RECIPE.model_copy(update={name: CHANGED[name]})
    with pytest.raises(InputError, match="other data or other settings") as caught:
        fitted(tmp_path, recipe)
    assert caught.value.found.endswith(f": {name}={getattr(RECIPE, name)!r} → {CHANGED[name]!r}")
    assert "restart=True" in str(caught.value.remedy)
    assert fitted(tmp_path, recipe, restart=True)[0].outcome.steps == 60


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"corpus": "decaf"}, "corpus='c0ffee' → 'decaf'"),
        ({"cap": 3}, "cap=None → 3"),
        ({"cap": 3, "units": "b" * 64}, "cap=None → 3, other units"),
        ({"network": {"width": 8, "n_blocks": 2}}, "width=16 → 8 (of network)"),
        ({"network": {"width": 16}}, "n_blocks=2 is gone (of network)"),
        ({"ids": INPUTS["ids"][1:]}, "ids (1000 → 999 of them)"),
        ({"ids": [*INPUTS["ids"][1:], "another"]}, "ids (1000 → 1000 of them)"),
        ({"ids": ["u"]}, "ids=1000 of them → ['u']"),
        ({"start": "f00"}, "start='f00' is new"),
        ({"corpus": "x" * 500}, f"corpus='c0ffee' → '{'x' * 59}…"),
        ({"corpus": "decaf", "cap": 1}, "corpus='c0ffee' → 'decaf', cap=None → 1"),
    ],
)
def test_other_inputs_are_refused_by_name(
    tmp_path: Path, changed: dict[str, Any], words: str
) -> None:
    interrupted(tmp_path, 25)
    with pytest.raises(InputError) as caught:
        fitted(tmp_path, inputs={**INPUTS, **changed})
    assert caught.value.found.endswith(f": {words}")
    assert "another version of zerochain" in str(caught.value.cause)


def test_inputs_may_be_tuples_and_in_any_order(tmp_path: Path) -> None:
    interrupted(tmp_path, 25)
    other = dict(reversed(INPUTS.items())) | {"ids": tuple(INPUTS["ids"])}
    assert fitted(tmp_path, inputs=other)[0].outcome.steps == 60


def older(folder: Path, mark: str) -> None:
    """Turn a checkpoint into one of version 0.1, which held a hash of recipe and inputs alone."""
    state = load_checkpoint(folder / CHECKPOINT)
    for name in ("recipe", "inputs", "follows", "extended_at"):
        del state[name]
    save_checkpoint(folder / CHECKPOINT, {"fingerprint": mark, **state})


def test_a_checkpoint_of_an_older_version_goes_on(tmp_path: Path) -> None:
    whole, weights = fitted(tmp_path / "whole")
    interrupted(tmp_path / "old", 25)
    older(tmp_path / "old", fingerprint({**INPUTS, "training": RECIPE.model_dump()}))
    result, same_weights = fitted(tmp_path / "old", follows={"part": "1"})
    assert same(weights, same_weights)
    assert result.outcome == whole.outcome


@pytest.mark.parametrize("recipe", [RECIPE, LONGER])
def test_a_checkpoint_of_an_older_version_with_other_settings_is_refused(
    tmp_path: Path, recipe: Recipe
) -> None:
    interrupted(tmp_path, 25)
    older(tmp_path, fingerprint({**INPUTS, "cap": 3, "training": RECIPE.model_dump()}))
    with pytest.raises(InputError, match=r"other settings\n(.|\n)*earlier(.|\n)*restart=True"):
        fitted(tmp_path, recipe)


def test_a_recipe_that_another_version_wrote_is_refused(tmp_path: Path) -> None:
    interrupted(tmp_path, 25)
    state = load_checkpoint(tmp_path / CHECKPOINT)
    state["recipe"]["from_the_future"] = 1
    save_checkpoint(tmp_path / CHECKPOINT, state)
    with pytest.raises(InputError, match=r"can't be read \(its recipe(.|\n)*restart=True"):
        fitted(tmp_path)


def test_a_part_starts_anew_when_an_earlier_one_changed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fitted(tmp_path, follows={"f0": "one"})
    capsys.readouterr()
    fitted(tmp_path, follows={"f0": "one"}, break_at=60)
    assert "is already finished" in capsys.readouterr().err
    more, _ = fitted(tmp_path, LONGER, follows={"f0": "two"})
    assert (more.outcome.steps, more.outcome.extended_at) == (100, ())
    assert "starts anew, as an earlier part of it has changed since its checkpoint (" in (
        capsys.readouterr().err
    )
    with pytest.raises(InputError, match="batch_size"):
        fitted(tmp_path, LONGER.model_copy(update={"batch_size": 1}), follows={"f0": "three"})


def test_parts_have_folders_and_names_of_their_own(tmp_path: Path) -> None:
    running = Running("cpu").beside(tmp_path / "a.model")
    assert running.folder == tmp_path / "a.model.training"
    part = running.part("f0")
    assert part.folder == tmp_path / "a.model.training" / "f0"
    assert part.part("round-2").name == "Training f0 round-2"
    assert (part.device, Running("cpu").part("f0").folder) == ("cpu", None)


def test_restart_discards_the_checkpoints_of_all_parts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder in (tmp_path, tmp_path / "round-1", tmp_path / "round-2"):
        fitted(folder)
    Running("cpu", folder=tmp_path).discard()
    anew = Running("cpu", folder=tmp_path, restart=True)
    with monkeypatch.context() as patch:
        patch.setenv("RANK", "1")
        anew.discard()
    assert len(list(tmp_path.rglob(CHECKPOINT))) == 3
    anew.discard()
    assert not list(tmp_path.rglob(CHECKPOINT))
    assert len(list(tmp_path.rglob("log.csv"))) == 3
    Running("cpu", restart=True).discard()


def test_without_a_folder_it_leaves_no_trace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    _, weights = fitted(None)
    assert not list(tmp_path.iterdir())
    interrupted(None, 50)
    assert not list(tmp_path.iterdir())
    assert same(weights, fitted(tmp_path / "kept")[1])


def test_nobodys_folder_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "diary.txt").write_text("dear")
    with pytest.raises(InputError, match="mine"):
        Running("cpu").beside(tmp_path / "mine")


def saved(out: Path, result: Fitted, weights: Mapping[str, Tensor], **options: Any) -> None:
    arrays = {name: weight.numpy() for name, weight in weights.items()}
    config = {"training": asdict(result.outcome)}
    finish(result, out, lambda: write_bundle(out, "regression", config, arrays, {}), **options)


def test_finished_has_a_bundle_its_time_and_still_a_checkpoint(tmp_path: Path) -> None:
    out = tmp_path / "model"
    result, weights = fitted(tmp_path / "model.training")
    saved(out, result, weights)
    fit_record = read_fit(out)
    assert fit_record is not None
    assert (fit_record.seconds, fit_record.device) == (result.seconds, result.outcome.computed_on)
    assert (tmp_path / "model.training" / CHECKPOINT).exists()
    saved(out, result, weights, seconds=12.5)
    fit_record = read_fit(out)
    assert fit_record is not None
    assert fit_record.seconds == 12.5


def test_an_extended_model_has_another_id(tmp_path: Path) -> None:
    for name, recipes in {"whole": [LONGER], "again": [LONGER], "more": [RECIPE, LONGER]}.items():
        for recipe in recipes:
            result, weights = fitted(tmp_path / f"{name}.training", recipe)
        saved(tmp_path / name, result, weights)
    whole, again, more = (bundle_id(tmp_path / name) for name in ("whole", "again", "more"))
    assert whole == again != more


def test_only_the_main_process_writes_a_bundle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    result, weights = fitted(None)
    monkeypatch.setenv("RANK", "1")
    saved(tmp_path / "model", result, weights)
    assert not list(tmp_path.iterdir())


DISTRIBUTED = """
import sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from regression import RECIPE, Regression
from zerochain.training.device import is_main_process
from zerochain.training.run import Running, finish, fit, weights_id

out = Path({out!r})
ids = []
for max_steps in (20, 20, 30):
    recipe = RECIPE.model_copy(update={{"max_steps": max_steps}})
    task = Regression(recipe)
    fitted = fit(task, recipe, Running("cpu").beside(out / "model"), inputs={{}})
    ids.append(weights_id(task.networks["regression"]))
written = out / f"written-by-{{is_main_process()}}"
finish(fitted, out / "model", lambda: ((out / "model").mkdir(), written.touch()))
(out / f"{{is_main_process()}}.txt").write_text(str((ids, fitted.outcome)))
"""


@pytest.mark.usefixtures("warm")
def test_two_processes_train_one_model_and_one_writes_it(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(DISTRIBUTED.format(tests=str(Path(__file__).parent), out=str(tmp_path)))
    command = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", str(script)]
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "CUDA_VISIBLE_DEVICES": "",
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    done = subprocess.run(
        [sys.executable, *command], check=False, capture_output=True, text=True, env=environment
    )
    assert done.returncode == 0, done.stderr
    one, two = ((tmp_path / f"{main}.txt").read_text() for main in (True, False))
    assert one == two
    assert "computed_on='CPU, 1 thread, 2 processes', extended_at=(20,)" in one
    together = f"examples per step in each of 2 processes, {2 * RECIPE.batch_size} together"
    assert done.stderr.count(together) == 3  # of the trainings, and in one process alone
    assert (tmp_path / "written-by-True").exists()
    assert not (tmp_path / "written-by-False").exists()
    assert read_fit(tmp_path / "model")
    told = [line for line in done.stderr.splitlines() if line.startswith("Training")]
    assert sum("step 10 of 20" in line for line in told) == 1
    assert sum("is already finished at step 20" in line for line in told) == 1
    assert sum("continues from step 20 of 30" in line for line in told) == 1


def test_weights_have_an_id() -> None:
    one, two = Regression(RECIPE).networks["regression"], Regression(RECIPE).networks["regression"]
    assert weights_id(one) == weights_id(two)
    with torch.no_grad():
        next(two.parameters()).add_(1e-6)
    assert weights_id(one) != weights_id(two)


LINE = re.compile(
    r"Training: step (\d+) of 60, loss \d+\.\d{4}, validation \d+\.\d{4}, [\d.e+]+ steps/s"
    r"(, (\d+ s|\d+ min|\d+ h \d\d min) left)?"
)


def test_without_a_terminal_it_prints_lines(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    interrupted(tmp_path, 35)
    output = capsys.readouterr()
    assert not output.out
    lines = [LINE.fullmatch(line) for line in output.err.splitlines()]
    assert [line and line[1] for line in lines] == ["10", "20", "30"]
    fitted(tmp_path)
    first, *rest = capsys.readouterr().err.splitlines()
    assert first == f"Training continues from step 30 of 60 ({tmp_path / CHECKPOINT})"
    lines = [LINE.fullmatch(line) for line in rest]
    assert [line and line[1] for line in lines] == ["40", "50", "60"]
    assert [bool(line and line[2]) for line in lines] == [True, True, False]


def test_however_often_it_validates_there_are_some_fifty_lines(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = RECIPE.model_copy(update={"validate_every": 1, "max_steps": 203})
    fitted(tmp_path, recipe)
    steps = re.findall(r"step (\d+) of", capsys.readouterr().err)
    assert steps == [*map(str, range(1, 203, 4)), "203"]


def test_an_early_stop_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recipe = RECIPE.model_copy(update={"max_steps": 2000, "patience": 3})
    result, _ = fitted(tmp_path, recipe)
    *_, last = capsys.readouterr().err.splitlines()
    assert last == f"Training stopped improving at step {result.outcome.best_step}"


def test_the_command_line_s_choices_are_checked_before_training(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert Running().device == "cpu"
    with pytest.raises(InputError, match=r"^device='cuda' was asked for(.|\n)*device='auto'"):
        Running("cuda")
    with pytest.raises(InputError, match=r"^precision='fp16' needs a GPU(.|\n)*precision='bf16'"):
        fitted(None, RECIPE.model_copy(update={"precision": "fp16"}))
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(InputError, match=r"^tensorboard=True needs the package"):
        Running("cpu", tensorboard=True)


def test_tensorboard_gets_what_the_log_has(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    running = Running("cpu", folder=tmp_path, tensorboard=True)
    recipe = RECIPE.model_copy(update={"max_steps": 10})
    fit(Regression(recipe), recipe, running, inputs=INPUTS)
    assert list((tmp_path / "tensorboard").iterdir())


def test_arrays_are_no_inputs() -> None:
    """A checkpoint holds JSON: whoever has arrays gives their digest."""
    with pytest.raises(TypeError):
        fitted(None, inputs={"references": np.zeros(3)})
