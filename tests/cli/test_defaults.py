"""A default stands in one place: the command line has those of the configs and the recipes.

Nothing is registered for it. Commands carry what of them is derived (`Command.derived`).
"""

import inspect
import sys
from typing import Any

import click
import pytest
from click.core import ParameterSource

from commands import every_command
from zerochain.cli import main
from zerochain.cli.common import Command
from zerochain.cli.options import Derived
from zerochain.discovery.cpc import CPCUnits
from zerochain.discovery.kmeans import KMeansUnits
from zerochain.discovery.mixtures import DPGMMUnits, GMMUnits
from zerochain.discovery.self_training import SelfTrainedUnits
from zerochain.discovery.vqvae import VQVAEUnits
from zerochain.training.recipe import Recipe

TRAINABLE = {
    "chain train",
    "chain train-captioner",
    "discover vqvae",
    "discover vqcpc",
    "discover selftrain",
    "discover topline",
    "invert train",
    "invert train-neural",
    "recognise train",
    "speakers train",
    "translate train",
    "translate pretrain",
    "translate normaliser train",
}


COMMANDS = {" ".join(names): command for names, command in every_command()}
DERIVED = [
    pytest.param(command, derived, id=f"{name}-{derived.into}")
    for name, command in COMMANDS.items()
    for derived in command.derived
]


def unasked(command: Command) -> click.Context:
    """The command's context where nothing is given, not even what has to be."""
    settings = {"info_name": "test", "args": [], "resilient_parsing": True}
    return command.make_context(**settings, **main.context_settings)


def test_whatever_trains_has_options_from_its_config_and_recipe() -> None:
    trains = {name for name, c in COMMANDS.items() if any("--steps" in p.opts for p in c.params)}
    assert trains == TRAINABLE
    for name in TRAINABLE:
        made = {derived.into for derived in COMMANDS[name].derived}
        assert "recipe" in made, name


@pytest.mark.parametrize(("command", "derived"), DERIVED)
def test_an_option_s_default_is_its_field_s(command: Command, derived: Derived) -> None:
    context = unasked(command)
    options = {option.name: option for option in command.params}
    for name, field in derived.fields.items():
        if field.required:
            assert options[field.param].required
            continue
        is_recipe = not isinstance(derived.base, type)
        expected = getattr(derived.base, name) if is_recipe else default(derived.base, name)
        assert field.taken(context.params[field.param]) == plain(expected)
        assert context.get_parameter_source(field.param) is ParameterSource.DEFAULT


def default(config: Any, name: str) -> Any:
    return config.model_fields[name].get_default(call_default_factory=True)


def plain(value: Any) -> Any:
    """As an option gives it: an inner config with its defaults is one that is switched on."""
    return {} if hasattr(value, "model_dump") and value == type(value)() else value


@pytest.mark.parametrize(("command", "derived"), DERIVED)
def test_what_a_command_makes_unasked_is_python_s_default(
    command: Command, derived: Derived
) -> None:
    made = derived.built(unasked(command))
    base = derived.base
    assert made == (base() if isinstance(base, type) else base)


@pytest.mark.parametrize(("command", "derived"), DERIVED)
def test_the_recipe_is_the_method_s(command: Command, derived: Derived) -> None:
    """That is RECIPE, beside the config; what is fitted without steps has none."""
    for recipe in [d.base for d in command.derived if d.into == "recipe"]:
        if derived.into != "config":
            return
        assert recipe is vars(sys.modules[derived.base.__module__])["RECIPE"]


METHODS = {
    "kmeans": KMeansUnits,
    "gmm": GMMUnits,
    "dpgmm": DPGMMUnits,
    "vqvae": VQVAEUnits,
    "vqcpc": CPCUnits,
    "selftrain": SelfTrainedUnits,
}


@pytest.mark.parametrize("name", METHODS)
def test_other_arguments_of_discover_are_python_s_too(name: str) -> None:
    asked = unasked(COMMANDS[f"discover {name}"]).params
    arguments = inspect.signature(METHODS[name]).parameters
    python = {n.removeprefix("n_"): one.default for n, one in arguments.items()}
    shared = (asked.keys() & python.keys()) - {"device"}
    assert {"units", "stride"} <= shared
    differ = {n: (asked[n], python[n]) for n in shared if asked[n] != python[n]}
    assert not differ


@pytest.mark.parametrize("name", METHODS)
def test_a_model_in_python_is_what_its_command_makes(name: str) -> None:
    model, command = METHODS[name](), COMMANDS[f"discover {name}"]
    made = {derived.into: derived.built(unasked(command)) for derived in command.derived}
    assert (model.options, model.config) == (made["options"], made["config"])
    assert getattr(model, "recipe", None) == made.get("recipe")


@pytest.mark.parametrize(("command", "derived"), DERIVED)
def test_every_derived_option_has_words(command: Command, derived: Derived) -> None:
    recipe = isinstance(derived.base, Recipe)
    if recipe and not Recipe.model_config.get("use_attribute_docstrings"):
        pytest.skip("recipes have no words yet")
    for row in derived.rows:
        assert row.words.endswith("."), row
        assert row.words[0].isupper() or row.words[0].isdigit(), row
    assert command.derived


def test_options_of_one_command_have_names_of_their_own() -> None:
    for name, command in COMMANDS.items():
        opts = [o for p in command.params for o in (*p.opts, *p.secondary_opts)]
        assert len(opts) == len(set(opts)), name
        assert len({p.name for p in command.params}) == len(command.params), name
