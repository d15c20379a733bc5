"""Learning from units alone: gaps, and translators that start from what was learned."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from interruption import interrupted

from commands import run
from languages import Languages, make_languages
from zerochain.errors import InputError, ModelMismatchError
from zerochain.formats.bundle import read_bundle
from zerochain.formats.units import read_units
from zerochain.modules.unit_translator import TranslatorConfig, UnitTranslator
from zerochain.training.recipe import Recipe
from zerochain.translation.data import Parallel, SourceKind, read_source
from zerochain.translation.pretraining import (
    Denoiser,
    DenoisingTask,
    PretrainingConfig,
    infilled,
    pretrain,
    read_start,
)
from zerochain.translation.stage import train_translator
from zerochain.translation.task import TranslationConfig
from zerochain.translation.translator import Translator

TINY = {"width": 16, "n_heads": 2, "n_encoder_layers": 2, "n_decoder_layers": 1, "dropout": 0.0}
QUICK = Recipe(max_steps=4, validate_every=2, batch_size=8)
TOKEN = 50


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def languages(tmp_path_factory: pytest.TempPathFactory) -> Languages:
    return make_languages(tmp_path_factory.mktemp("languages"), 200)


@pytest.fixture(scope="module")
def both(languages: Languages, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Denoisers of the source's and of the target's units."""
    folder = tmp_path_factory.mktemp("pretrained")
    for name, units in (("a", languages.source), ("b", languages.target)):
        pretrain([units], folder / name, config=PretrainingConfig(**TINY), recipe=QUICK)
    return [folder / "a", folder / "b"]


@settings(deadline=None)
@given(
    st.lists(st.integers(0, TOKEN - 1), min_size=1, max_size=60),
    st.floats(0, 0.9),
    st.floats(0.5, 12),
    st.integers(0, 2**32 - 1),
)
def test_gaps(units: list[int], part: float, mean: float, seed: int) -> None:
    made = infilled(np.array(units), TOKEN, part, mean, np.random.default_rng(seed)).tolist()
    seen = [unit for unit in made if unit != TOKEN]
    assert len(seen) == len(units) - round(part * len(units))
    assert all(a != TOKEN or b != TOKEN for a, b in pairwise(made))
    rest = iter(units)
    assert all(unit in rest for unit in seen)  # in order
    hidden = len(units) > len(seen)
    assert (TOKEN in made) == hidden


def test_gaps_are_as_long_as_wished() -> None:
    units, rng = np.arange(40), np.random.default_rng(0)
    many = [infilled(units, TOKEN, 0.3, 1.0, rng) for _ in range(50)]
    few = [infilled(units, TOKEN, 0.3, 10.0, rng) for _ in range(50)]
    assert np.mean([(m == TOKEN).sum() for m in few]) < 0.4 * np.mean(
        [(m == TOKEN).sum() for m in many]
    )


def test_it_learns_to_fill_gaps(languages: Languages, tmp_path: Path) -> None:
    recipe = Recipe(
        max_steps=60, validate_every=60, batch_size=16, learning_rate=5e-3, ema_decay=0.9
    )
    _, report = pretrain(
        [languages.target], tmp_path / "x", config=PretrainingConfig(**TINY), recipe=recipe
    )
    assert report.n_utterances == 200
    assert report.n_held_out == 10
    assert report.unit_bleu > 40
    assert read_bundle(tmp_path / "x").model == "denoiser"


def test_several_files_of_one_model(languages: Languages, tmp_path: Path) -> None:
    other = make_languages(tmp_path / "o", 10, seed=5)
    _, report = pretrain(
        [languages.source, other.source],
        tmp_path / "x",
        config=PretrainingConfig(**TINY),
        recipe=QUICK,
    )
    assert report.n_utterances == 210
    with pytest.raises(ModelMismatchError):
        pretrain([languages.source, languages.target], tmp_path / "y")
    with pytest.raises(InputError, match="'conformer' or 'rnn'"):  # CTC has no decoder
        PretrainingConfig(architecture="ctc")
    assert not (tmp_path / "y").exists()


def test_resumed_equals_uninterrupted(languages: Languages, tmp_path: Path) -> None:
    pretrain([languages.source], tmp_path / "whole", config=PretrainingConfig(**TINY), recipe=QUICK)
    with interrupted(DenoisingTask, 3), pytest.raises(KeyboardInterrupt):
        pretrain(
            [languages.source],
            tmp_path / "resumed",
            config=PretrainingConfig(**TINY),
            recipe=QUICK,
        )
    pretrain(
        [languages.source], tmp_path / "resumed", config=PretrainingConfig(**TINY), recipe=QUICK
    )
    weights = [(tmp_path / n / "weights.safetensors").read_bytes() for n in ("whole", "resumed")]
    assert weights[0] == weights[1]


def kind(path: Path) -> SourceKind:
    return SourceKind.of(read_source(path))


def same(one: torch.nn.Module, other: torch.nn.Module) -> bool:
    theirs = other.state_dict()
    return all(torch.equal(weight, theirs[name]) for name, weight in one.state_dict().items())


def test_each_part_comes_from_its_language(languages: Languages, both: list[Path]) -> None:
    target = read_units(languages.target).model_id
    from_source, from_target = (Denoiser.load(folder).network for folder in both)
    units = {"n_in": 12, "from_units": True, "n_units": 12}
    frames = {"n_in": 10, "n_units": 12}
    for source, facts, parts in (
        (languages.source, units, {"encoder", "decoder"}),
        (languages.frames, frames, {"decoder"}),
    ):
        folders = both if len(parts) == 2 else both[1:]
        start = read_start(folders, kind(source), target, TranslationConfig())
        assert set(start.parts) == parts
        network = UnitTranslator(TranslatorConfig(**{**start.sizes, **facts}))
        before = UnitTranslator(network.config)
        before.load_state_dict(network.state_dict())
        start.initialise(network)
        assert same(network.decoder, from_target.decoder)
        if "encoder" in parts:
            assert same(network.encoder, from_source.encoder)
        else:
            assert same(network.encoder, before.encoder)


def test_a_start_helps_where_pairs_are_few(languages: Languages, tmp_path: Path) -> None:
    """Both have the same few steps; what to begin with has seen more of both languages."""
    recipe = Recipe(
        max_steps=60, validate_every=60, batch_size=16, learning_rate=4e-3, ema_decay=0.9
    )
    for name, units in (("a", languages.source), ("b", languages.target)):
        pretrain([units], tmp_path / name, config=PretrainingConfig(**TINY), recipe=recipe)
    few = make_languages(tmp_path / "few", 60, seed=9)
    files = [Parallel(few.source, few.target, few.pairs)]
    short = recipe.model_copy(update={"max_steps": 20, "validate_every": 20})
    start = [tmp_path / "a", tmp_path / "b"]
    tiny = TranslationConfig(**TINY)
    _, scratch = train_translator(files, tmp_path / "x", config=tiny, recipe=short)
    _, begun = train_translator(files, tmp_path / "y", recipe=short, start_from=start)
    assert begun.cross_entropy < scratch.cross_entropy - 0.1
    assert "start 1" in read_bundle(tmp_path / "y").trained_on


@pytest.mark.parametrize(
    ("folders", "chosen", "found"),
    [
        ((0, 0), {}, "is a second encoder to start from"),
        ((0,), {"width": 32}, "width=32 was given, and the pretrained network has 16"),
        ((1,), {"architecture": "ctc"}, "by CTC, which has no decoder"),
        (
            (0,),
            {"architecture": "rnn"},
            "has architecture conformer, and architecture='rnn' was given",
        ),
    ],
)
def test_starts_that_do_not_fit(
    languages: Languages,
    both: list[Path],
    folders: tuple[int, ...],
    chosen: dict[str, Any],
    found: str,
) -> None:
    target = read_units(languages.target).model_id
    config, starts = TranslationConfig(**chosen), [both[i] for i in folders]
    with pytest.raises(InputError, match=found):
        read_start(starts, kind(languages.source), target, config).applied_to(config)


def test_units_of_neither_side(languages: Languages, both: list[Path], tmp_path: Path) -> None:
    with pytest.raises(
        ModelMismatchError, match=r"pretrained on units of aaaa.* from made features .* to units"
    ):
        read_start(both[:1], kind(languages.frames), "b" * 64, TranslationConfig())
    translator = tmp_path / "t"
    files = [Parallel(languages.source, languages.target, languages.pairs)]
    train_translator(files, translator, config=TranslationConfig(**TINY), recipe=QUICK)
    with pytest.raises(InputError, match="not a denoiser"):
        read_start([translator], kind(languages.source), "b" * 64, TranslationConfig())
    with pytest.raises(InputError, match="not a translator"):
        Translator.load(both[0])


def test_two_sides_of_other_sizes(languages: Languages, both: list[Path], tmp_path: Path) -> None:
    config = PretrainingConfig(**{**TINY, "width": 24})
    pretrain([languages.target], tmp_path / "b", config=config, recipe=QUICK)
    with pytest.raises(InputError, match="differ in width: 16 and 24"):
        read_start([both[0], tmp_path / "b"], kind(languages.source), "b" * 64, TranslationConfig())


@pytest.mark.parametrize("architecture", ["conformer", "rnn"])
def test_command(languages: Languages, tmp_path: Path, architecture: str) -> None:
    few = ["--steps", 2, "--validate-every", 2, "--batch-size", 4, "--device", "cpu"]
    sizes = ["--width", 16, "--heads", 2, "--encoder-layers", 2]
    options = ["--architecture", architecture, *few]
    for name, units in (("a", languages.source), ("b", languages.target)):
        out = tmp_path / name
        shown = run("translate", "pretrain", units, "--out", out, *options, *sizes).output
        assert "from 200 utterances, 10 held out" in shown
    starts = ["--start-from", tmp_path / "a", "--start-from", tmp_path / "b"]
    files = [languages.source, languages.target, languages.pairs]
    run("translate", "train", *files, *starts, *options, "--out", tmp_path / "x")
    assert Translator.load(tmp_path / "x").architecture == architecture
