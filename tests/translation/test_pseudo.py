"""Pseudo pairs, of which a machine made one side: which are used, how often, their effect."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from commands import run
from languages import N_WORDS, Languages, make_languages
from zerochain.errors import InputError, ModelMismatchError
from zerochain.formats.bundle import read_bundle
from zerochain.formats.pairs import read_pairs, write_pairs
from zerochain.formats.units import UnitFile, read_units, write_units
from zerochain.metrics.translation import unit_bleu
from zerochain.modules.unit_translator import UnitTranslator, tag_token
from zerochain.training.recipe import Recipe
from zerochain.translation.data import Material, Parallel, read_parallel
from zerochain.translation.pairs import Pair, held_out
from zerochain.translation.pseudo import Added, Pseudo, mixed, read_pseudo
from zerochain.translation.stage import train_translator, translate
from zerochain.translation.task import TranslationConfig, TranslationTask, network_config
from zerochain.translation.translator import Search

TINY = {"width": 16, "n_heads": 2, "n_encoder_layers": 1, "n_decoder_layers": 1, "dropout": 0.0}
QUICK = Recipe(max_steps=2, validate_every=2, batch_size=8)
N_PAIRS = 40


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def languages(tmp_path_factory: pytest.TempPathFactory) -> Languages:
    """Of 120 utterances on each side the pairs of a third are known."""
    made = make_languages(tmp_path_factory.mktemp("languages"), 120)
    table = read_pairs(made.pairs)
    write_pairs(made.pairs, replace(table, pairs=table.pairs[:N_PAIRS]))
    return made


def material_of(languages: Languages, source: Path | None = None) -> Material:
    return read_parallel([Parallel(source or languages.source, languages.target, languages.pairs)])


def back_translated(
    languages: Languages, path: Path, *, runaway: Sequence[str] = (), silent: Sequence[str] = ()
) -> Path:
    """The output of a perfect translator in the other direction for each target utterance."""
    true, said = read_units(languages.source), read_units(languages.target)
    units = {name: true.segments(name.replace("t", "s"))[0] for name in said.ids}
    units |= {name: np.arange(400, dtype=np.int32) % 12 for name in runaway}
    units |= {name: np.zeros(1, np.int32) for name in silent}
    made = replace(true, units=units, durations=None, speakers={}, corpus_id=said.corpus_id)
    write_units(path, made)
    return path


def added(material: Material, *files: Pseudo) -> tuple[Added, list[Pair]]:
    learned, valid = held_out(material.pairs, 0.05)
    return read_pseudo(files, material, valid, learned), valid


def test_nothing_that_is_held_out_and_no_runaways(languages: Languages, tmp_path: Path) -> None:
    made = back_translated(languages, tmp_path / "m", runaway=("t100", "t101"), silent=("t102",))
    material = material_of(languages)
    found, valid = added(material, Pseudo(made, languages.target))
    assert len(valid) == 2
    assert found.left_out == {"held_out": 2, "silent": 1, "odd_length": 2}
    assert len(found.pairs) == 120 - 5
    hidden = {pair.names[1] for pair in valid}
    assert not hidden & {pair.names[1] for pair in found.pairs}
    assert all(pair.pseudo for pair in found.pairs)
    assert not any(pair.pseudo for pair in material.pairs)
    assert set(found.trained_on) == {"pseudo source 1", "pseudo target 1"}
    for pair in found.pairs:
        name = pair.names[1].split(" ")[1]
        assert pair.target.tolist() == languages.translation(name.replace("t", "s"))


def test_none_are_none(languages: Languages) -> None:
    found, _ = added(material_of(languages))
    assert found.pairs == []
    assert sum(found.left_out.values()) == 0


@settings(deadline=None)
@given(st.integers(1, 50), st.integers(0, 200), st.floats(0.1, 10))
def test_the_cap(n_true: int, n_pseudo: int, cap: float) -> None:
    true, pseudo = (
        [f"{kind}{i}" for i in range(n)] for kind, n in (("t", n_true), ("p", n_pseudo))
    )
    both: list[Any] = mixed(true, pseudo, cap)  # type: ignore[arg-type]
    assert sum(one.startswith("p") for one in both) == n_pseudo
    assert set(both) == {*true, *pseudo}
    counts = {both.count(one) for one in true}
    assert len(counts) == 1
    times = counts.pop()
    assert n_pseudo <= cap * n_true * times * (1 + 1e-9)
    assert times == 1 or n_pseudo > cap * n_true * (times - 1) * (1 - 1e-9)


@pytest.mark.parametrize("cap", [0, -1, float("nan"), float("inf")])
def test_caps_are_positive_and_finite(cap: float) -> None:
    with pytest.raises(InputError, match="pseudo_cap"):
        TranslationConfig(pseudo_cap=cap)


def test_pseudo_sources_of_units_have_a_tag(languages: Languages, tmp_path: Path) -> None:
    made = back_translated(languages, tmp_path / "m")
    for source, files in (
        (languages.source, Pseudo(made, languages.target)),
        (languages.frames, Pseudo(languages.frames, labelled(languages, tmp_path / "l"))),
    ):
        material = material_of(languages, source)
        found, valid = added(material, files)
        config = TranslationConfig(**TINY, concatenated=0)
        built = network_config(material, config)
        pairs = [*material.pairs, *found.pairs]
        task = TranslationTask(
            UnitTranslator(built), material.source, pairs, valid, config, QUICK, 2.0, "cpu"
        )
        first = [task._prepared(pair)[0] for pair in pairs]
        if material.source.is_units:
            tagged = [unit == tag_token(2 * N_WORDS) for unit in first]
            assert tagged == [pair.pseudo for pair in pairs]
            assert task._prepared(pairs[-1])[1:].tolist() == found.pairs[-1].source.tolist()
        else:
            assert all(len(task._prepared(pair)) == len(pair.source) for pair in pairs)
        batch = task.batch(1, 0)
        assert batch["lengths"].max() == batch["x"].shape[1]


def labelled(languages: Languages, path: Path) -> Path:
    """A target for each source utterance, as label propagation writes them."""
    said = read_units(languages.target)
    units = {f"s{i}": said.segments(f"t{i % N_PAIRS}")[0] for i in range(50, 120)}
    write_units(path, replace(said, units=units, durations=None, corpus_id="corpus-a"))
    return path


def test_pseudo_targets_are_of_the_ids_that_have_one(languages: Languages, tmp_path: Path) -> None:
    files = Pseudo(languages.frames, labelled(languages, tmp_path / "l"))
    found, _ = added(material_of(languages, languages.frames), files)
    assert len(found.pairs) + found.left_out["odd_length"] == 70
    assert {pair.names[0] for pair in found.pairs} <= {f"corpus-a s{i}" for i in range(50, 120)}


def test_back_translation_takes_a_source_of_units(languages: Languages, tmp_path: Path) -> None:
    made = back_translated(languages, tmp_path / "m")
    with pytest.raises(InputError, match="holds units, but the translator takes") as caught:
        added(material_of(languages, languages.frames), Pseudo(made, languages.target))
    assert "from units of the source" in str(caught.value.remedy)


def test_files_of_other_kinds(languages: Languages, tmp_path: Path) -> None:
    material = material_of(languages)
    with pytest.raises(ModelMismatchError, match=r"bbbb.* takes those of aaaa"):
        added(material, Pseudo(languages.target, languages.target))
    made = back_translated(languages, tmp_path / "m")
    with pytest.raises(ModelMismatchError, match="target of the pairs"):
        added(material, Pseudo(made, made))
    with pytest.raises(InputError, match=r"120 of 120 ids .* are missing"):
        added(material, Pseudo(languages.source, languages.target))
    other = back_translated(languages, tmp_path / "all", runaway=read_units(languages.target).ids)
    with pytest.raises(
        InputError, match=r"none of 120 pseudo pairs .*: 2 are of .*held out.* 118 too long"
    ):
        added(material, Pseudo(other, languages.target))


def test_the_source_s_own_units_are_asked_for(languages: Languages, tmp_path: Path) -> None:
    files = [Parallel(languages.frames, languages.target, languages.pairs, languages.source)]
    labels = labelled(languages, tmp_path / "l")
    found, _ = added(read_parallel(files), Pseudo(languages.frames, labels))
    own = read_units(languages.source)
    for pair in found.pairs:
        assert pair.own is not None
        assert pair.own.tolist() == own.segments(pair.names[0].split(" ")[1])[0].tolist()
    some = UnitFile(**{**vars(own.restrict([f"s{i}" for i in range(N_PAIRS)])), "id": ""})
    write_units(tmp_path / "some", some)
    files = [replace(files[0], own_units=tmp_path / "some")]
    with pytest.raises(InputError, match="missing in the source's own units"):
        added(read_parallel(files), Pseudo(languages.frames, labels))


def test_back_translation_helps_where_pairs_are_few(languages: Languages, tmp_path: Path) -> None:
    """15 pairs alone reach a BLEU of about 30."""
    recipe = Recipe(
        max_steps=240,
        validate_every=60,
        batch_size=16,
        learning_rate=6e-3,
        annealing="cosine",
        ema_decay=0.9,
    )
    few = replace(read_pairs(languages.pairs), pairs=read_pairs(languages.pairs).pairs[:15])
    write_pairs(tmp_path / "few", few)
    made = back_translated(languages, tmp_path / "m")
    _, report = train_translator(
        [Parallel(languages.source, languages.target, tmp_path / "few")],
        tmp_path / "x",
        config=TranslationConfig(**{**TINY, "width": 24}, concatenated=0, pseudo_cap=5),
        recipe=recipe,
        pseudo=[Pseudo(made, languages.target)],
    )
    assert (report.n_pairs, report.n_held_out) == (15, 1)
    assert report.n_pseudo > 90
    trained_on = read_bundle(tmp_path / "x").trained_on
    assert {"pseudo source 1", "pseudo target 1"} <= trained_on.keys()
    others = make_languages(tmp_path / "new", 60, seed=1)
    translate(tmp_path / "x", others.source, tmp_path / "said")
    said = read_units(tmp_path / "said").units
    references = [others.translation(name) for name in others.lines]
    assert unit_bleu([said[name].tolist() for name in others.lines], references) > 60


def test_command(languages: Languages, tmp_path: Path) -> None:
    few = ["--steps", 2, "--validate-every", 2, "--width", 16, "--heads", 2, "--device", "cpu"]
    made = back_translated(languages, tmp_path / "m", runaway=["t100"])
    files = [languages.source, languages.target, languages.pairs]
    pseudo = ["--pseudo", made, languages.target, "--pseudo-cap", 1]
    shown = run("translate", "train", *files, *pseudo, "--out", tmp_path / "x", *few).output
    assert "from 40 pairs, 2 of them held out" in shown
    assert "and from 117 pseudo pairs; left out: 2 held out, 1 odd length" in shown


def test_samples_are_different_every_time(languages: Languages, tmp_path: Path) -> None:
    files = [Parallel(languages.target, languages.source, languages.pairs)]
    train_translator(files, tmp_path / "back", config=TranslationConfig(**TINY), recipe=QUICK)
    said = []
    for seed in (0, 1):
        translate(
            tmp_path / "back", languages.target, tmp_path / "m", search=Search(sample=5, seed=seed)
        )
        made = read_units(tmp_path / "m")
        assert made.ids == read_units(languages.target).ids
        assert made.model_id == read_units(languages.source).model_id
        said.append([units.tolist() for units in made.units.values()])
    assert said[0] != said[1]
