"""The choice of the form in which a training computes, with probes that only claim to measure."""

import copy
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from regression import RECIPE, Regression
from torch import nn

from zerochain.errors import InputError
from zerochain.training import precision
from zerochain.training.checkpoint import CHECKPOINT, load_checkpoint, save_checkpoint
from zerochain.training.loop import Trained, train
from zerochain.training.precision import Form, Layer, Pointwise, choose, computing_in, layers_of

AUTO = RECIPE.model_copy(update={"precision": "auto", "max_steps": 20})
LINEAR = nn.Sequential(nn.Linear(256, 512), nn.SiLU(), nn.Linear(512, 256))
Claims = Callable[..., list[Layer]]


@pytest.fixture
def claims(monkeypatch: pytest.MonkeyPatch) -> Claims:
    """Give the CPU instructions, and the probe results: factors over float32 by form.

    Returns:
        The layers that are timed.
    """

    def set_up(speeds: dict[Form, float], *, wide: bool = True, bf16: bool = True) -> list[Layer]:
        timed: list[Layer] = []

        def probe(layer: Layer, _: int, forms: tuple[Form, ...]) -> dict[Form, float]:
            timed.append(layer)
            return {form: 0.01 / speeds.get(form, 1.0) for form in forms}

        monkeypatch.setattr(precision, "timed", probe)
        monkeypatch.setattr(precision, "_asked", lambda *_: wide)
        monkeypatch.setattr(precision, "has_bf16", lambda: bf16)
        precision.speeds.cache_clear()
        return timed

    return set_up


@pytest.fixture(autouse=True)
def _nothing_cached() -> None:
    precision.speeds.cache_clear()


@pytest.mark.parametrize(
    ("speeds", "form"),
    [
        ({Form.FLOAT32_CONV: 2.1, Form.BF16: 3.6, Form.BF16_CONV: 3.2}, Form.BF16),
        ({Form.FLOAT32_CONV: 2.1, Form.BF16: 1.1, Form.BF16_CONV: 3.2}, Form.BF16_CONV),
        ({Form.FLOAT32_CONV: 2.1, Form.BF16: 0.3, Form.BF16_CONV: 0.4}, Form.FLOAT32_CONV),
        ({Form.FLOAT32_CONV: 1.2, Form.BF16: 1.24, Form.BF16_CONV: 0.4}, Form.FLOAT32),
        ({}, Form.FLOAT32),
    ],
)
def test_the_fastest_by_a_clear_margin(
    claims: Claims, speeds: dict[Form, float], form: Form
) -> None:
    claims(speeds)
    found = choose("auto", {"network": LINEAR}, 16, "cpu")
    assert found.form == form
    assert found.reason.startswith(f"computes in {form}")


def test_a_form_without_instructions_is_not_even_timed(claims: Claims) -> None:
    fast = {Form.FLOAT32_CONV: 9.0, Form.BF16: 9.0}
    timed = claims(fast, wide=False, bf16=False)
    assert choose("auto", {"network": LINEAR}, 16, "cpu").form == Form.FLOAT32
    assert not timed
    claims(fast, wide=True, bf16=False)
    assert choose("auto", {"network": LINEAR}, 16, "cpu").form == Form.FLOAT32_CONV


@pytest.mark.parametrize("precision_", ["auto", "no"])
def test_doubts_are_float32(
    claims: Claims, precision_: precision.Precision, monkeypatch: pytest.MonkeyPatch
) -> None:
    timed = claims({Form.FLOAT32_CONV: 9.0, Form.BF16: 9.0})
    assert choose(precision_, {"small": nn.Linear(8, 8)}, 16, "cpu").form == Form.FLOAT32
    assert choose(precision_, {"network": LINEAR}, 16, "cuda").form == Form.FLOAT32
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert choose(precision_, {"network": LINEAR}, 16, "cpu").form == Form.FLOAT32
    assert not timed


def test_it_is_measured_once(claims: Claims) -> None:
    timed = claims({Form.BF16: 2.0})
    for _ in range(3):
        assert choose("auto", {"network": LINEAR}, 16, "cpu").form == Form.BF16
    assert timed == [Layer(512, 256, 1, 1.0)]


def test_what_gains_nothing_counts() -> None:
    """Half the weights are recurrent: a form that is infinitely fast is at most twice as fast."""
    network = nn.ModuleList([nn.Linear(300, 256), nn.Embedding(9, 999), nn.GRU(100, 156)])
    rest = 3 * 156 * (100 + 156)
    (layer,) = layers_of(network)
    assert layer == Layer(300, 256, 1, pytest.approx(76_800 / (76_800 + rest)))


def test_layers_of_both_kinds_and_normed_weights() -> None:
    normed = nn.utils.parametrizations.weight_norm(nn.Conv1d(128, 256, 3))
    depthwise = nn.Conv2d(256, 256, (1, 7), groups=256)
    network = nn.ModuleList([normed, nn.Conv1d(128, 256, 1), depthwise])
    pointwise, wide = layers_of(network)
    total = 4 * 128 * 256 + 7 * 256
    assert pointwise == Layer(128, 256, 1, 128 * 256 / total)
    assert wide == Layer(128, 256, 3, 3 * 128 * 256 / total)


def test_bf16_without_instructions_is_a_warning(claims: Claims) -> None:
    claims({Form.BF16: 1 / 3.1}, bf16=False)
    found = choose("bf16", {"network": LINEAR}, 16, "cpu")
    assert found.form == Form.BF16
    assert found.reason.startswith("warning: bf16 is 3.1 × slower than float32 on this CPU")
    claims({Form.BF16: 3.1}, bf16=True)
    assert choose("bf16", {"network": LINEAR}, 16, "cpu").reason == ""


@pytest.mark.parametrize("kernel", [1, 3])
def test_the_probe_measures_and_leaves_random_numbers_alone(kernel: int) -> None:
    state = torch.get_rng_state()
    with torch.inference_mode():
        found = precision.timed(Layer(64, 96, kernel, 1.0), 2, (Form.FLOAT32, Form.FLOAT32_CONV))
    assert all(0 < seconds < 100 for seconds in found.values())
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("shape", [(7, 12), (2, 5, 12), (12,), (0, 12), (2, 3, 4, 12)])
@pytest.mark.parametrize("bias", [True, False])
def test_a_pointwise_convolution_is_the_linear_layer(shape: tuple[int, ...], bias: bool) -> None:
    plain = nn.Linear(12, 20, bias=bias).double()
    other = copy.deepcopy(plain)
    other.__class__ = Pointwise
    x, y = (torch.randn(shape, dtype=torch.float64) for _ in range(2))
    y.copy_(x)
    x.requires_grad_()
    y.requires_grad_()
    ours, theirs = other(y), plain(x)
    torch.testing.assert_close(ours, theirs)
    (ours**2).sum().backward()
    (theirs**2).sum().backward()
    torch.testing.assert_close(y.grad, x.grad)
    torch.testing.assert_close(other.weight.grad, plain.weight.grad)


def test_the_transform_keeps_names_and_is_undone() -> None:
    network = nn.Sequential(nn.Linear(4, 4), nn.MultiheadAttention(4, 1))
    names, parameters = list(network.state_dict()), list(network.parameters())
    kinds = [type(module) for module in network.modules()]
    with computing_in(Form.BF16_CONV, {"network": network}):
        assert type(network[0]) is Pointwise
        assert list(network.state_dict()) == names
    assert [type(module) for module in network.modules()] == kinds
    assert all(a is b for a, b in zip(network.parameters(), parameters, strict=True))
    with computing_in(Form.BF16, {"network": network}):
        assert type(network[0]) is nn.Linear


def run(
    folder: Path, chosen: Form, monkeypatch: pytest.MonkeyPatch, break_at: int = -1
) -> tuple[Trained, Regression]:
    """A training for which the probe decides on a form."""
    choice = precision.Choice(chosen)
    monkeypatch.setattr("zerochain.training.loop.choose", lambda *_: choice)
    task = Regression(AUTO, break_at=break_at)
    return train(task, AUTO, folder, inputs={}), task


@pytest.mark.parametrize("form", [Form.FLOAT32, Form.FLOAT32_CONV, Form.BF16, Form.BF16_CONV])
def test_a_resumed_training_keeps_its_form(
    tmp_path: Path, form: Form, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, task = run(tmp_path / "whole", form, monkeypatch)
    assert not any(isinstance(m, Pointwise) for m in task.networks["regression"].modules())
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "broken", form, monkeypatch, break_at=15)
    other = Form.BF16 if form == Form.FLOAT32 else Form.FLOAT32
    resumed, _ = run(tmp_path / "broken", other, monkeypatch)
    assert resumed.form == whole.form == form
    assert resumed.weights.keys() == whole.weights.keys()
    assert all(torch.equal(resumed.weights[name], w) for name, w in whole.weights.items())


@pytest.mark.parametrize(("precision_", "form"), [("no", Form.FLOAT32), ("bf16", Form.BF16)])
def test_auto_continues_what_an_older_version_began(
    tmp_path: Path, precision_: str, form: Form
) -> None:
    """It recorded the recipe's precision, and no form."""
    begun = AUTO.model_copy(update={"precision": precision_, "max_steps": 10})
    train(Regression(begun), begun, tmp_path, inputs={})
    state = load_checkpoint(tmp_path / CHECKPOINT)
    assert state.pop("form") == form
    save_checkpoint(tmp_path / CHECKPOINT, state)
    assert train(Regression(AUTO), AUTO, tmp_path, inputs={}).form == form
    asked = begun.model_copy(update={"precision": "no" if form == Form.BF16 else "bf16"})
    with pytest.raises(InputError, match="precision="):
        train(Regression(asked), asked, tmp_path, inputs={})
