"""Models whose fields are their bundle: what is saved comes back, what was edited is refused."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from pydantic import AliasChoices, BaseModel, ConfigDict, Field

from zerochain.errors import InputError
from zerochain.formats.bundle import Bundled, bundle_id, read_bundle, write_bundle


class NetConfig(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    n_in: int = Field(3, ge=1)
    kernels: tuple[int, ...] = (1, 3)


class Net(torch.nn.Module):
    def __init__(self, config: NetConfig) -> None:
        super().__init__()
        self.config = config
        self.last = torch.nn.Linear(config.n_in, 2)
        self.norm = torch.nn.BatchNorm1d(2)


@dataclass(frozen=True)
class Statistics:
    mean: float
    n: int


@dataclass(frozen=True, eq=False)
class Alone(Bundled):
    MODEL = WHAT = "alone"

    network: Net
    words: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Chain(Bundled):
    WHAT = "chain"

    decoder: Annotated[Net, Field(validation_alias=AliasChoices("decoder", "network"))]
    first: Alone
    step_ms: Annotated[float, Field(gt=0)]
    codebook: NDArray[np.float32]
    statistics: tuple[Statistics, ...] = ()
    kind: Literal["a", "b"] = "a"
    second: Alone | None = None
    weights: NDArray[np.float64] | None = None
    training: Mapping[str, Any] = field(default_factory=dict)
    added: Annotated[int, Field(default=7)] = 7
    """That older bundles lack."""

    def check(self) -> None:
        if self.codebook.shape[-1] != self.decoder.config.n_in:
            raise ValueError("its codebook is of another width")


@dataclass(frozen=True, eq=False)
class Long(Chain):
    MODEL = "long"


@dataclass(frozen=True, eq=False)
class Short(Chain):
    MODEL = "short"


def alone(n_in: int = 3, words: tuple[str, ...] = ("ä", "")) -> Alone:
    return Alone(Net(NetConfig(n_in=n_in)).eval(), words)


def chain(**changes: Any) -> Long:
    codebook = np.arange(6, dtype=np.float32).reshape(2, 3)
    return Long(Net(NetConfig(kernels=(5,))).eval(), alone(4), 20, codebook, **changes)


def same(one: Any, other: Any) -> bool:
    """Whether two models are the same but for their ids."""
    if isinstance(one, Bundled):
        names = [name for name in vars(one) if name != "id"]
        return type(one) is type(other) and all(
            same(getattr(one, name), getattr(other, name)) for name in names
        )
    if isinstance(one, Net):
        a, b = one.state_dict(), other.state_dict()
        return one.config == other.config and all(torch.equal(a[n], b[n]) for n in a | b)
    if isinstance(one, np.ndarray):
        return one.dtype == other.dtype and np.array_equal(one, other)
    return type(one) is type(other) and bool(one == other)


numbers = st.floats(allow_nan=False, allow_infinity=False)
words = st.text(st.characters(codec="utf-8"))


@given(
    step_ms=st.floats(1e-6, 1e6),
    statistics=st.lists(st.builds(Statistics, numbers, st.integers())).map(tuple),
    kind=st.sampled_from(["a", "b"]),
    second=st.none() | st.lists(words).map(lambda lines: alone(2, tuple(lines))),
    weights=st.none() | st.lists(numbers).map(np.array),
    training=st.dictionaries(words, numbers | st.none()),
)  # fmt: skip
def test_what_was_saved_comes_back(tmp_path_factory: Any, **given: Any) -> None:
    folder = tmp_path_factory.mktemp("b") / "m"
    whole = replace(chain(), **given, trained_on={"corpus": "c"})
    identity = whole.save(folder)
    again = Chain.load(folder)
    assert same(again, whole)
    assert again.id == identity == bundle_id(folder)
    assert not again.decoder.training
    assert same(Long.from_parts(*whole.parts()), replace(whole, trained_on={}))


def test_a_network_alone_has_no_prefix_and_others_have(tmp_path: Path) -> None:
    alone().save(tmp_path / "a")
    names = {"last.weight", "last.bias", "norm.weight", "norm.bias"}
    names |= {f"norm.{name}" for name in ("running_mean", "running_var", "num_batches_tracked")}
    assert set(read_bundle(tmp_path / "a").tensors) == names
    chain(second=alone()).save(tmp_path / "c")
    wanted = {f"{part}.{name}" for part in ("decoder", "first", "second") for name in names}
    assert set(read_bundle(tmp_path / "c").tensors) == wanted | {"codebook"}


def test_the_id_does_not_depend_on_the_order_of_keys(tmp_path: Path) -> None:
    made = chain(training={"b": 1, "a": {"d": 2, "c": 3}})
    other = replace(made, training={"a": {"c": 3, "d": 2}, "b": 1})
    assert made.save(tmp_path / "1") == other.save(tmp_path / "2")
    text = (tmp_path / "1" / "config.json").read_text()
    header = json.loads(text)
    assert list(header) == ["kind", "sha256", *sorted(set(header) - {"kind", "sha256"})]
    assert list(header["config"]["training"]) == ["a", "b"]


Change = Callable[[dict[str, Any], dict[str, Any]], object]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda c, _: c.pop("step_ms"), "lacks step_ms"),
        (lambda c, _: c.pop("kind"), "lacks kind"),
        (lambda c, _: c.pop("second"), "lacks second"),
        (lambda c, _: c["first"].pop("words"), "lacks first.words"),
        (lambda c, _: c.update(step_ms=0), "'step_ms' is 0"),
        (lambda c, _: c.update(step_ms="20"), "'step_ms' is '20'"),
        (lambda c, _: c.update(step_ms=True), "'step_ms' is True"),
        (lambda c, _: c.update(step_ms=float("nan")), "'step_ms' is nan"),
        (lambda c, _: c.update(kind="c"), "'kind' is 'c'"),
        (lambda c, _: c.update(first=None), "'first' is None"),
        (lambda c, _: c["first"].update(words=[1]), "'first.words.0' is 1"),
        (lambda c, _: c.update(statistics=[{"mean": 1.0, "n": 1.5}]), "'statistics.0.n' is 1.5"),
        (lambda c, _: c.update(statistics=[{"mean": 1.0}]), "lacks statistics.0.n"),
        (lambda c, _: c["decoder"].update(depth=1), "unknown key: decoder.depth"),
        (lambda c, _: c["decoder"].update(n_in=10**12), "weights are not those"),
        (lambda _, t: t.pop("codebook"), "lacks 'codebook'"),
        (lambda _, t: t.update(codebook=np.ones((2, 3), np.int64)), "codebook is of int64"),
        (lambda _, t: t.update(codebook=np.ones((2, 4), np.float32)), "codebook is of another"),
        (lambda _, t: t.pop("decoder.last.bias"), "last.bias is None"),
        (lambda _, t: t.update({"first.more": np.ones(3)}), "more is"),
    ],
)
def test_an_edited_bundle_is_refused(tmp_path: Path, change: Change, said: str) -> None:
    config, tensors = chain().parts()
    change(config, tensors)
    write_bundle(tmp_path / "edited", "long", config, tensors, {})
    with pytest.raises(InputError, match=rf"not a valid chain: .*{said}") as caught:
        Chain.load(tmp_path / "edited")
    assert caught.value.path == tmp_path / "edited"
    assert caught.value.cause
    assert caught.value.remedy == "train the chain again"


def test_what_older_bundles_lack_or_call_otherwise(tmp_path: Path) -> None:
    config, tensors = chain().parts()
    del config["added"]
    config["network"] = config.pop("decoder")
    write_bundle(tmp_path / "older", "long", config, tensors, {})
    assert same(Chain.load(tmp_path / "older").parts()[0], chain().parts()[0])


def test_a_class_without_a_name_loads_its_kinds_and_no_others(tmp_path: Path) -> None:
    made = chain()
    made.save(tmp_path / "long")
    config, tensors = made.parts()
    write_bundle(tmp_path / "short", "short", config, tensors, {})
    assert type(Chain.load(tmp_path / "short")) is Short
    assert type(Chain.load(tmp_path / "long")) is Long
    with pytest.raises(InputError, match="holds a long, not a short"):
        Short.load(tmp_path / "long")
    alone().save(tmp_path / "alone")
    with pytest.raises(InputError, match="holds a alone, not a long or short"):
        Chain.load(tmp_path / "alone")
