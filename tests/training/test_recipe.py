import pytest

from zerochain.errors import InputError
from zerochain.training.recipe import Recipe


def test_every_setting_has_words() -> None:
    for name, field in Recipe.model_fields.items():
        assert field.description, name
        assert field.description.strip().endswith("."), name


def test_the_fields_are_those_that_bundles_record() -> None:
    assert Recipe is Recipe
    assert list(Recipe.model_fields) == [
        *("max_steps", "batch_size", "learning_rate", "annealing", "validate_every", "patience"),
        *("min_improvement", "keep", "ema_decay", "max_gradient_norm", "precision", "seed"),
    ]
    recipe = Recipe(max_steps=7, annealing="cosine")
    assert Recipe(**recipe.model_dump()) == recipe


@pytest.mark.parametrize(
    "wrong",
    [
        {"max_steps": 0},
        {"batch_size": 0},
        {"learning_rate": 0},
        {"learning_rate": float("inf")},
        {"annealing": "linear"},
        {"validate_every": 0},
        {"patience": 0},
        {"keep": "first"},
        {"ema_decay": 1},
        {"max_gradient_norm": 0},
        {"precision": "int8"},
        {"steps": 10},
    ],
)
def test_what_is_out_of_range_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(InputError):
        Recipe(**wrong)
