"""Options that are derived from configs: names, words, ranges, defaults, and what is refused."""

import warnings
from pathlib import Path
from typing import Any, ClassVar, Literal

import click
import pytest
from click.testing import CliRunner, Result
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, Field, model_validator

from zerochain.cli.common import Command, as_options
from zerochain.cli.options import RECIPE_OPTIONS, options_of, options_table, recipe_options
from zerochain.cli.training import running_options
from zerochain.config import Config
from zerochain.discovery.vqvae import VQVAEConfig
from zerochain.errors import InputError
from zerochain.training.recipe import Recipe
from zerochain.training.run import Running


class Inner(Config):
    """A config that is part of another."""

    n_masks: int = 2


class Published(Config):
    """A config with a flag that stands for a whole system."""

    published: bool = False
    """All of the paper."""
    decay: float = 0.99
    """Decay."""
    inner: Inner | None = Field(Inner(n_masks=5), json_schema_extra={"option": "--augment"})
    """Augmentation."""

    presets: ClassVar = {("published", True): {"decay": 0.9, "inner": None}}


class Toy(Config):
    """A config with a field of each kind."""

    method: Literal["conv", "rnn"] = "conv"
    """How.

    More, which is for readers of the code."""
    n_layers: int = Field(4, ge=1, lt=10)
    """Layers of
    the network."""
    share: float = Field(0.1, gt=0, le=0.5)
    """Part of the whole."""
    shift_ms: float = 0.0
    """Milliseconds."""
    subsampling: Literal[1, 2, 4] = 4
    """Frames that become one."""
    ema: bool = True
    """Moving averages."""
    start: bool = Field(True, json_schema_extra={"option": "--warm-start/--cold-start"})
    """Where it begins."""
    longest_s: float | None = Field(60.0, gt=0, json_schema_extra={"option": "--longest"})
    """Seconds."""
    from_step: int | None = Field(None, ge=1, json_schema_extra={"default": "a third of the steps"})
    """The first step with it."""
    title: str | None = None
    """A title."""
    folder: Path | None = None
    """A folder."""
    inner: Inner | None = Field(None, json_schema_extra={"option": "--augment"})
    """Augmentation."""
    secret: int = Field(7, json_schema_extra={"option": None})

    presets: ClassVar = {("method", "rnn"): {"n_layers": 3, "ema": False}}

    @model_validator(mode="after")
    def _check(self) -> "Toy":
        if self.method == "rnn" and self.shift_ms:
            raise ValueError(f"shift_ms={self.shift_ms} only applies to method='conv'")
        return self


RECIPE = Recipe(max_steps=50, ema_decay=0.5, keep="last", max_gradient_norm=9.0)
BOTH = (options_of(Toy, RECIPE),)


def asked(*options: object, decorators: Any = BOTH) -> dict[str, Any]:
    """What a command's function is called with."""
    called: dict[str, Any] = {}

    def function(**values: Any) -> None:
        called.update(values)

    result = invoked(function, options, decorators)
    assert result.exit_code == 0, result.output
    return called


def invoked(function: Any, options: tuple[object, ...], decorators: Any) -> Result:
    for decorator in decorators:
        function = decorator(function)
    command = click.command(cls=Command)(function)
    return CliRunner().invoke(command, [str(o) for o in options])


def refused(*options: object, decorators: Any = BOTH) -> str:
    result = invoked(lambda **_: None, options, decorators)
    assert result.exit_code == 2, result.output
    return str(result.stderr)


def test_nothing_given_is_the_config_and_the_recipe_as_they_are() -> None:
    assert asked() == {"config": Toy(), "recipe": RECIPE}


@pytest.mark.parametrize(
    ("options", "changed"),
    [
        (("--layers", 9), {"n_layers": 9}),
        (("--share", 0.5), {"share": 0.5}),
        (("--shift-ms", -3), {"shift_ms": -3.0}),
        (("--subsampling", 2), {"subsampling": 2}),
        (("--no-ema",), {"ema": False}),
        (("--cold-start",), {"start": False}),
        (("--longest", 5), {"longest_s": 5.0}),
        (("--from-step", 5), {"from_step": 5}),
        (("--title", "x", "--folder", "y"), {"title": "x", "folder": Path("y")}),
        (("--augment",), {"inner": Inner()}),
        (("--no-augment",), {"inner": None}),
    ],
)
def test_each_kind_of_field(options: tuple[object, ...], changed: dict[str, Any]) -> None:
    assert asked(*options)["config"] == Toy(**changed)


def test_a_choice_brings_its_own_defaults_and_what_is_given_stays() -> None:
    assert asked("--method", "rnn")["config"] == Toy(method="rnn", n_layers=3, ema=False)
    given = asked("--method", "rnn", "--layers", 4, "--ema")["config"]
    assert (given.n_layers, given.ema) == (4, True)
    assert Toy(method="rnn").model_dump() == Toy(**Toy(method="rnn").model_dump()).model_dump()


def test_a_flag_can_stand_for_a_whole_system() -> None:
    only = (options_of(Published),)
    assert asked(decorators=only)["config"].inner == Inner(n_masks=5)
    assert asked("--augment", decorators=only)["config"].inner == Inner(n_masks=5)
    assert asked("--no-augment", decorators=only)["config"].inner is None
    made = asked("--published", decorators=only)["config"]
    assert made == Published(published=True, decay=0.9, inner=None)
    rows = {row.option: row.default for row in options_table(Published)}
    assert rows["--decay"] == "0.99; published: 0.9"
    assert rows["--augment / --no-augment"] == "augment; published: no-augment"


def test_a_recipe_keeps_what_the_command_line_does_not_ask_for() -> None:
    recipe = asked("--steps", 3, "--learning-rate", 0.5)["recipe"]
    assert recipe == RECIPE.model_copy(update={"max_steps": 3, "learning_rate": 0.5})
    assert (recipe.ema_decay, recipe.keep, recipe.max_gradient_norm) == (0.5, "last", 9.0)


def test_the_seed_is_each_recipe_s() -> None:
    part = recipe_options(RECIPE, only=["max_steps"], prefix="f0", into="f0")
    decorators = (running_options, options_of(Toy, RECIPE), part)
    made = asked("--seed", 5, "--f0-steps", 2, "--device", "cpu", decorators=decorators)
    assert made.pop("recipe") == RECIPE.model_copy(update={"seed": 5})
    assert made.pop("f0") == RECIPE.model_copy(update={"seed": 5, "max_steps": 2})
    assert made == {"config": Toy(), "running": Running("cpu")}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--layers", 0), "'--layers': 0 is not in the range 1<=x<10"),
        (("--layers", 10), "'--layers': 10 is not in the range 1<=x<10"),
        (("--share", 0), "'--share': 0.0 is not in the range 0<x<=0.5"),
        (("--shift-ms", "nan"), "'--shift-ms': nan is not a finite number"),
        (("--share", "nan"), "'--share'"),
        (("--subsampling", 3), "'--subsampling': '3' is not one of"),
        (("--secret", 3), "No such option"),
        (("--method", "rnn", "--shift-ms", 2), "Error: --shift-ms 2.0 only applies to --method c"),
        (("--steps", 0), "'--steps'"),
        (("--learning-rate", "inf"), "'--learning-rate'"),
    ],
)
def test_what_is_refused_names_the_option(options: tuple[object, ...], said: str) -> None:
    assert said in refused(*options)


def test_help_has_the_words_the_ranges_and_the_defaults() -> None:
    result = invoked(lambda **_: None, ("--help",), BOTH)
    text = " ".join(result.output.split())
    assert "How. [default: conv]" in text
    assert "More, which" not in text
    assert "Layers of the network. [default: 4; rnn: 3] [1<=x<10]" in text
    assert "--ema / --no-ema Moving averages. [default: ema; rnn: no-ema]" in text
    assert "--warm-start / --cold-start Where it begins. [default: warm-start]" in text
    assert "The first step with it. [default: a third of the steps] [x>=1]" in text
    assert "--augment / --no-augment Augmentation. [default: no-augment]" in text
    assert "secret" not in text
    assert "[default: 50; x>=1]" in text


def test_a_table_for_the_docs() -> None:
    rows = {row.option: row for row in options_table(Toy, RECIPE)}
    layers = rows["--layers"]
    assert layers.default == "4; rnn: 3"
    assert layers.range == "1 ≤ x < 10"
    assert layers.words == "Layers of the network."
    assert rows["--share"].range == "0 < x ≤ 0.5"
    assert rows["--longest"].range == "> 0"
    assert rows["--subsampling"].range == "1, 2, 4"
    assert rows["--from-step"].default == "a third of the steps"
    assert rows["--ema / --no-ema"].default == "ema; rnn: no-ema"
    assert (rows["--title"].default, rows["--title"].range) == ("", "")
    assert rows["--steps"].default == "50"
    assert set(RECIPE_OPTIONS.values()) <= set(rows)
    assert len(rows) == len(Toy.model_fields) - 1 + len(RECIPE_OPTIONS)


class TestConfigFiles:
    """--config FILE.yaml gives derived options by any of their names."""

    def built(self, tmp_path: Path, text: str, *options: object) -> dict[str, Any]:
        (tmp_path / "o.yaml").write_text(text)
        return asked("--config", tmp_path / "o.yaml", *options)

    def test_the_option_s_name_and_the_field_s(self, tmp_path: Path) -> None:
        text = "layers: 7\nmax_steps: 5\nema: false\nmethod: rnn\n"
        made = self.built(tmp_path, text)
        assert made["config"] == Toy(method="rnn", n_layers=7, ema=False)
        assert made["recipe"].max_steps == 5
        assert self.built(tmp_path, "n_layers: 8\nsteps: 6")["recipe"].max_steps == 6

    def test_null_is_the_default(self, tmp_path: Path) -> None:
        text = "layers: null\nema: null\nmethod: rnn\nsteps: null"
        made = self.built(tmp_path, text)
        assert made == {"config": Toy(method="rnn"), "recipe": RECIPE}

    def test_the_command_line_wins(self, tmp_path: Path) -> None:
        assert self.built(tmp_path, "layers: 7", "--layers", 2)["config"].n_layers == 2

    def test_mistakes(self, tmp_path: Path) -> None:
        (tmp_path / "o.yaml").write_text("secret: 3")
        assert "unknown option 'secret'" in refused("--config", tmp_path / "o.yaml")
        (tmp_path / "o.yaml").write_text("steps: 3\nmax-steps: 4")
        assert "steps and max_steps are the same option" in refused("--config", tmp_path / "o.yaml")
        for text, said in (("no-ema: true", "ema: false"), ("no_ema: false", "ema: true")):
            (tmp_path / "o.yaml").write_text(text)
            assert f"is written as {said}" in refused("--config", tmp_path / "o.yaml")
        (tmp_path / "o.yaml").write_text("shift-ms: 2\nmethod: rnn")
        assert "--shift-ms 2.0 only applies" in refused("--config", tmp_path / "o.yaml")


def test_a_field_s_name_that_two_configs_have_stands_for_neither(tmp_path: Path) -> None:
    class Other(Config):
        share: float = Field(0.2, json_schema_extra={"option": "--other-share"})

    (tmp_path / "o.yaml").write_text("other-share: 0.3")
    decorators = (options_of(Toy), options_of(Other, into="other"))
    made = asked("--config", tmp_path / "o.yaml", decorators=decorators)
    assert (made["other"].share, made["config"].share) == (0.3, 0.1)


def test_fields_can_be_left_out_and_be_required() -> None:
    class Needs(Config):
        n_units: int
        """K."""

    assert "Missing option '--units'" in refused(decorators=(options_of(Needs),))
    assert asked("--units", 3, decorators=(options_of(Needs),))["config"] == Needs(n_units=3)
    left = (options_of(Toy, RECIPE, without=("n_layers", "precision")),)
    assert "No such option" in refused("--layers", 3, decorators=left)
    assert "No such option" in refused("--precision", "no", decorators=left)
    with pytest.raises(TypeError, match=r"Toy has no n_layer$"):
        options_of(Toy, RECIPE, without=("n_layer",))


def test_what_can_not_be_an_option_is_told_to_the_programmer() -> None:
    class Odd(BaseModel):
        table: dict[str, int] = {}

    with pytest.raises(TypeError, match="--table can't be an option"):
        options_of(Odd)(lambda **_: None)


VALUES = {
    "encoder": st.sampled_from(["convnext", "conv", "published"]),
    "kernel": st.sampled_from([4, 5, 7]),
    "teacher": st.sampled_from(["gmm", "none"]),
    "width": st.sampled_from([2, 8, 256]),
    "tail": st.sampled_from(["none", "gru", "transformer"]),
    "ema": st.booleans(),
    "kmeans_start": st.booleans(),
    "decay": st.floats(0, 1),
    "jitter": st.floats(0, 1),
    "n_blocks": st.integers(0, 300),
    "n_frames": st.integers(0, 300),
}


@settings(max_examples=100, deadline=None)
@given(st.fixed_dictionaries({}, optional=VALUES))
def test_options_and_python_build_and_refuse_the_same(values: dict[str, Any]) -> None:
    flags = {"n_blocks": "--blocks", "n_frames": "--segment-frames"}
    options: list[object] = []
    for name, value in values.items():
        flag = flags.get(name, f"--{name.replace('_', '-')}")
        if isinstance(value, bool):
            off = "--random-start" if name == "kmeans_start" else f"--no-{name}"
            options.append(flag if value else off)
        else:
            options += [flag, value]
    try:
        expected = VQVAEConfig(**values)
    except InputError:
        refused(*options, decorators=(options_of(VQVAEConfig),))
    else:
        assert asked(*options, decorators=(options_of(VQVAEConfig),)) == {"config": expected}


def test_errors_of_the_library_are_said_in_options() -> None:
    def fail(**_: Any) -> None:
        raise InputError(
            "precision='fp16' needs a GPU, and n_layers=3 or ema=False or from_step=None",
            path="/data/share=2/n_layers=4",
            cause="unknown=3 is not an option, nor is /share=1",
            remedy="start anew with restart=True, or with max_steps=2.5.",
        )

    decorators = (running_options, options_of(Toy, RECIPE))
    error = invoked(fail, ("--device", "cpu"), decorators)
    assert error.exit_code == 1
    lines = error.stderr.splitlines()
    assert lines[0] == (
        "Error: /data/share=2/n_layers=4: --precision fp16 needs a GPU, and --layers 3 or --no-ema "
        "or no --from-step"
    )
    assert lines[1].endswith("unknown=3 is not an option, nor is /share=1")
    assert lines[2].endswith("start anew with --restart, or with --steps 2.5.")


def test_the_choice_of_folders_is_said_as_the_option_of_ids() -> None:
    options = {"ids": click.Option(["--ids"])}
    assert as_options("write them with folders=False", options) == "write them with --ids name"
    assert as_options("folders=False", {}) == "folders=False"


def test_warnings_of_ours_are_printed_as_sentences() -> None:
    """Without the line of Python that raised them; those of other libraries keep it."""

    class OursWarning(UserWarning):
        __module__ = "zerochain.somewhere"

    def show(**_: Any) -> None:
        for kind in (OursWarning, UserWarning):
            click.echo(warnings.formatwarning("try n_layers=2", kind, "some.py", 3), nl=False)

    as_python = warnings.formatwarning
    output = invoked(show, (), (options_of(Toy),)).output
    assert output == "Warning: try --layers 2\nsome.py:3: UserWarning: try n_layers=2\n"
    assert warnings.formatwarning is as_python


def test_an_argument_that_parts_have_too_is_the_method_s_option() -> None:
    part = recipe_options(RECIPE, only=["max_steps"], prefix="f0", into="f0")

    def fail(**_: Any) -> None:
        raise InputError("too few", remedy="use max_steps=20 or more")

    error = invoked(fail, ("--device", "cpu"), (running_options, options_of(Toy, RECIPE), part))
    assert "use --steps 20 or more" in error.stderr


def test_arguments_as_options() -> None:
    options = {
        "units": click.Option(["--units", "-k"]),
        "flag": click.Option(["--flag"], is_flag=True),
    }
    for text, expected in (
        ("n_units=3, units=, units='a b'", "--units 3, --units, --units 'a b'"),
        ("flag=True flag=False", "--flag no --flag"),
        ("units == 3, x.units=3", "units == 3, x.units=3"),
        ("no argument", "no argument"),
    ):
        assert as_options(text, options) == expected
