"""Train and translate through files: two synthetic languages, each the reverse of the other."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from interruption import interrupted

from edits import unsealed
from languages import Languages, make_languages
from zerochain.errors import InputError, ModelMismatchError
from zerochain.formats.bundle import bundle_id, write_bundle
from zerochain.formats.corpus import Corpus
from zerochain.formats.features import Features, write_features
from zerochain.formats.headers import read_json
from zerochain.formats.pairs import Pairs, write_pairs
from zerochain.formats.training_log import read_training_log
from zerochain.formats.units import UnitFile, read_units, write_units
from zerochain.metrics.translation import unit_bleu
from zerochain.training.recipe import Recipe
from zerochain.training.run import Running
from zerochain.translation.data import Parallel, Part, read_parallel, read_source
from zerochain.translation.stage import (
    TranslatorTraining,
    train_translator,
    translate,
    translate_in_memory,
)
from zerochain.translation.task import TranslationConfig, TranslationTask, network_config
from zerochain.translation.translator import Search, Translator

TINY = {"width": 16, "n_heads": 2, "n_encoder_layers": 1, "n_decoder_layers": 1, "dropout": 0.1}
QUICK = Recipe(max_steps=4, validate_every=2, batch_size=8)
LEARNING = Recipe(
    max_steps=120,
    validate_every=60,
    batch_size=32,
    learning_rate=4e-3,
    annealing="cosine",
    ema_decay=0.9,
)
ABLE = {"width": 32, "n_heads": 2, "n_encoder_layers": 2, "n_decoder_layers": 1, "dropout": 0.0}
FRAMES: dict[str, Any] = {"extractor": "made", "options": {}, "step_ms": 5.0}
CALM = {"label_smoothing": 0.1, "hidden_units": 0, "n_time_masks": 0, "auxiliary_weight": 1}


@pytest.fixture(scope="module")
def languages(tmp_path_factory: pytest.TempPathFactory) -> Languages:
    return make_languages(tmp_path_factory.mktemp("languages"), 300)


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def trained(
    made: Languages,
    out: Path,
    *,
    source: Path | None = None,
    own: Path | None = None,
    settings: Mapping[str, Any] = TINY,
    recipe: Recipe = QUICK,
    restart: bool = False,
) -> tuple[Translator, TranslatorTraining]:
    files = [Parallel(source or made.source, made.target, made.pairs, own)]
    config, running = TranslationConfig(**settings), Running("cpu", restart)
    return train_translator(files, out, config=config, recipe=recipe, running=running)


@pytest.mark.parametrize(
    ("architecture", "kind", "steps"),
    [
        ("conformer", "units", 150),
        ("conformer", "frames", 180),
        ("ctc", "frames", 140),
        ("rnn", "units", 170),
    ],
)
def test_it_learns_to_translate_unseen_sentences(
    tmp_path: Path, architecture: str, kind: str, steps: int
) -> None:
    """Words in another order, which CTC can hardly learn from so little: there in the same one."""
    languages = make_languages(tmp_path / "known", 300, reverse=architecture != "ctc")
    settings = {**ABLE, "architecture": architecture, "decoder_width": 64, "embedding": 32}
    own = languages.source if kind == "frames" else None
    trained(
        languages,
        tmp_path / "x",
        source=languages.frames if kind == "frames" else None,
        own=own,
        settings={**settings, **CALM},
        recipe=LEARNING.model_copy(update={"max_steps": steps}),
    )
    others = make_languages(tmp_path / "new", 100, seed=1, reverse=architecture != "ctc")
    known = {tuple(line) for line in languages.lines.values()}
    unseen = [name for name, line in others.lines.items() if tuple(line) not in known]
    done = translate(
        tmp_path / "x",
        others.frames if kind == "frames" else others.source,
        tmp_path / "said.parquet",
        ids=unseen,
    )
    said = read_units(tmp_path / "said.parquet")
    references = [others.translation(name) for name in unseen]
    bleu = unit_bleu([said.units[name].tolist() for name in unseen], references)
    copied = unit_bleu(
        [read_units(others.source).segments(n)[0].tolist() for n in unseen], references
    )
    shuffled = unit_bleu(references[1:] + references[:1], references)
    assert bleu > max(40, 2 * copied, 2 * shuffled)
    assert done.n_distinct > 0.6 * len({tuple(r) for r in references})


def test_a_translation_is_a_unit_file_of_the_target_s_model(
    languages: Languages, tmp_path: Path
) -> None:
    trained(languages, tmp_path / "x")
    done = translate(tmp_path / "x", languages.source, tmp_path / "u", search=Search(beam=3))
    said, source, target = (
        read_units(p) for p in (tmp_path / "u", languages.source, languages.target)
    )
    assert said.ids == source.ids
    assert said.speakers == source.speakers
    assert (said.model_id, said.n_units, said.step_ms) == (
        *(target.model_id, target.n_units, target.step_ms),
    )
    assert said.corpus_id == source.corpus_id
    assert said.durations is None
    assert said.method == "translated: conformer, beam 3 → made too"
    assert all((np.diff(units) != 0).all() for units in said.units.values())
    assert done.n_distinct == len({tuple(u) for u in said.units.values()})


@pytest.mark.parametrize("architecture", ["conformer", "rnn", "ctc"])
@pytest.mark.parametrize("auxiliary", ["none", "ce", "ctc"])
def test_whatever_is_trained_can_be_loaded(
    languages: Languages, tmp_path: Path, architecture: str, auxiliary: str
) -> None:
    settings = {**TINY, "architecture": architecture, "auxiliary": auxiliary, "subsampling": 2}
    options = {"source": languages.frames, "own": languages.source, "settings": settings}
    one, report = trained(languages, tmp_path / "x", **options)
    other = Translator.load(tmp_path / "x")
    inputs = {"é": np.random.default_rng(0).standard_normal((40, 10)).astype(np.float32)}
    first, second = (t.hypotheses(inputs)["é"] for t in (one, other))
    assert first.units.tolist() == second.units.tolist()
    assert first.score == pytest.approx(second.score)
    log = read_training_log(tmp_path / "x.training")
    assert {"cross_entropy", "unit_bleu", "translation"} <= set(log)
    assert ("auxiliary" in log) == (auxiliary != "none")
    assert report.n_held_out == 15
    assert np.isfinite(log["train_loss"]).all()


@pytest.mark.parametrize("kind", ["units", "frames"])
def test_resumed_equals_uninterrupted(languages: Languages, tmp_path: Path, kind: str) -> None:
    source = languages.frames if kind == "frames" else languages.source
    own = languages.source if kind == "frames" else None
    recipe = Recipe(max_steps=6, validate_every=2, batch_size=8)
    options: dict[str, Any] = {"source": source, "own": own, "recipe": recipe}
    trained(languages, tmp_path / "whole", **options)
    with interrupted(TranslationTask, 4), pytest.raises(KeyboardInterrupt):
        trained(languages, tmp_path / "resumed", **options)
    assert not (tmp_path / "resumed").exists()
    trained(languages, tmp_path / "resumed", **options)
    ids = [(tmp_path / name / "weights.safetensors").read_bytes() for name in ("whole", "resumed")]
    assert ids[0] == ids[1]
    assert (tmp_path / "resumed.training" / "checkpoint.safetensors").exists()


def test_translations_do_not_depend_on_what_else_is_translated(
    languages: Languages, tmp_path: Path
) -> None:
    model, _ = trained(languages, tmp_path / "x", source=languages.frames)
    lengths = np.random.default_rng(1).integers(5, 300, 12)
    inputs = {
        f"u{i}": np.random.default_rng(i).standard_normal((n, 10)).astype(np.float32)
        for i, n in enumerate(lengths)
    }
    for search in (Search(), Search(beam=4), Search(sample=5, seed=3)):
        together = model.hypotheses(inputs, search)
        assert list(together) == list(inputs)
        for name, frames in inputs.items():
            alone = model.hypotheses({name: frames}, search)[name]
            assert alone.units.tolist() == together[name].units.tolist()
    some = model.translate(inputs, sample=5, seed=1)
    others = model.translate(inputs, sample=5, seed=2)
    assert any(some[name].tolist() != others[name].tolist() for name in inputs)


@pytest.mark.parametrize("architecture", ["conformer", "rnn", "ctc"])
def test_attention_maps(languages: Languages, tmp_path: Path, architecture: str) -> None:
    settings = {**TINY, "architecture": architecture, "subsampling": 4, "n_encoder_layers": 2}
    trained(languages, tmp_path / "x", source=languages.frames, settings=settings)
    maps, out = tmp_path / "maps", tmp_path / "u"
    translate(tmp_path / "x", languages.frames, out, ids=["s3", "s0"], attention=maps)
    said = read_units(out)
    assert said.ids == ["s3", "s0"]
    header = read_json(maps / "attention.json", "attention")
    assert header["ids"] == ["s3", "s0"]
    assert header["translator_id"] == bundle_id(tmp_path / "x")
    assert header["step_ms"] == 20.0
    for name in said.ids:
        with np.load(maps / f"{name}.npz", allow_pickle=False) as file:
            weights, units = file["attention"], file["units"]
        assert units.tolist() == said.units[name].tolist()
        n_frames = 4 * len(read_units(languages.source).steps(name))
        assert weights.shape == (len(units), -(-n_frames // 4))
        np.testing.assert_allclose(weights.astype(float).sum(axis=1), 1, atol=5e-3)


def test_both_directions_from_the_same_pairs(languages: Languages, tmp_path: Path) -> None:
    back, _ = train_translator(
        [Parallel(languages.target, languages.source, languages.pairs)],
        tmp_path / "back",
        config=TranslationConfig(**TINY),
        recipe=QUICK,
    )
    assert back.unit_model == read_units(languages.source).model_id
    assert back.source.name == read_units(languages.target).model_id


def test_several_sources_into_one_target(languages: Languages, tmp_path: Path) -> None:
    other = make_languages(tmp_path / "o", 40, prefix="r", seed=3)
    files = [Parallel(m.source, m.target, m.pairs) for m in (languages, other)]
    _, report = train_translator(
        files, tmp_path / "x", config=TranslationConfig(**TINY), recipe=QUICK
    )
    assert report.n_pairs == 340


def test_one_split_alone(
    tmp_path: Path, make_corpus: Callable[..., Corpus], languages: Languages
) -> None:
    corpus = make_corpus(9)
    assert corpus.folder is not None
    units = {u.id: np.array([i % 3, 3, 4]) for i, u in enumerate(corpus.utterances)}
    made = UnitFile(units, 5, 20.0, "a" * 64, "made", corpus_id=corpus.id)
    write_units(tmp_path / "s", made)
    write_units(tmp_path / "t", replace(made, corpus_id="other", model_id="b" * 64))
    write_pairs(tmp_path / "p", Pairs(tuple((i, i) for i in corpus.ids), corpus.id, "other"))
    files = [Parallel(tmp_path / "s", tmp_path / "t", tmp_path / "p")]
    part = Part((corpus.folder,), "train")
    options: dict[str, Any] = {"config": TranslationConfig(**TINY), "recipe": QUICK}
    _, report = train_translator(files, tmp_path / "x", part=part, **options)
    assert report.n_pairs == 6
    test = Part((corpus.folder,), "test")
    done = translate(tmp_path / "x", tmp_path / "s", tmp_path / "u", part=test)
    assert done.unit_file.ids == ["u2", "u5", "u8"]
    with pytest.raises(InputError, match="neither of which is among the corpora given: tiny"):
        train_translator(
            [Parallel(languages.source, languages.target, languages.pairs)],
            tmp_path / "y",
            part=part,
            **options,
        )
    write_units(tmp_path / "elsewhere", replace(made, corpus_id="other"))
    with pytest.raises(InputError, match="is of none of the corpora given"):
        translate(tmp_path / "x", tmp_path / "elsewhere", tmp_path / "u", part=test)


def test_a_single_pair_is_too_few(languages: Languages, tmp_path: Path) -> None:
    write_pairs(tmp_path / "one", Pairs((("s0", "t0"),), "corpus-a", "corpus-b"))
    with pytest.raises(InputError, match="1 pair can't be divided"):
        train_translator(
            [Parallel(languages.source, languages.target, tmp_path / "one")], tmp_path / "x"
        )
    assert not (tmp_path / "x").exists()


def framed(root: Path, lengths: Mapping[str, int], *, silent: tuple[str, ...] = ()) -> Path:
    rng = np.random.default_rng(0)
    with write_features(
        root, extractor="made", options={}, step_ms=5.0, corpus_id="corpus-a"
    ) as writer:
        for name, n in lengths.items():
            frames = np.zeros((n, 10)) if name in silent else rng.standard_normal((n, 10))
            writer.add(name, frames.astype(np.float32))
    return root


def test_a_minute_is_translated_and_more_is_refused(languages: Languages, tmp_path: Path) -> None:
    trained(languages, tmp_path / "x", source=languages.frames)
    minute = framed(tmp_path / "minute", {"long": 12_001})
    done = translate(tmp_path / "x", minute, tmp_path / "u", search=Search(beam=2))
    assert len(done.unit_file.units["long"]) > 1
    more = framed(tmp_path / "more", {"long": 12_200, "short": 9})
    with pytest.raises(InputError, match=r"utterances are longer than 60 s: long \(61 s\)"):
        translate(tmp_path / "x", more, tmp_path / "v")
    assert not (tmp_path / "v").exists()
    with pytest.raises(InputError, match=r"longer than 0\.01 s"):
        trained(languages, tmp_path / "y", settings={**TINY, "longest_s": 0.01})


def test_silence(languages: Languages, tmp_path: Path) -> None:
    trained(languages, tmp_path / "x", source=languages.frames)
    frames = framed(tmp_path / "frames", {"s0": 30, "s1": 20, "s2": 10}, silent=("s1",))
    done = translate(tmp_path / "x", frames, tmp_path / "u")
    assert done.silent == ["s1"]
    assert len(done.unit_file.units["s1"]) >= 1
    pairs = Pairs(tuple((f"s{i}", f"t{i}") for i in range(3)), "corpus-a", "corpus-b")
    write_pairs(tmp_path / "p", pairs)
    with pytest.raises(InputError, match="1 source is silent: s1"):
        train_translator([Parallel(frames, languages.target, tmp_path / "p")], tmp_path / "y")


def test_an_utterance_of_one_frame(languages: Languages, tmp_path: Path) -> None:
    for architecture in ("conformer", "rnn", "ctc"):
        settings = {**TINY, "architecture": architecture, "subsampling": 4, "n_encoder_layers": 2}
        model, _ = trained(
            languages, tmp_path / architecture, source=languages.frames, settings=settings
        )
        said = model.translate({"u": np.ones((1, 10), np.float32)})
        assert len(said["u"]) >= 1


def test_units_of_another_model_and_features_of_another_kind(
    languages: Languages, tmp_path: Path
) -> None:
    trained(languages, tmp_path / "x")
    with pytest.raises(ModelMismatchError, match=r"bbbb.* takes those of aaaa"):
        translate(tmp_path / "x", languages.target, tmp_path / "u")
    with pytest.raises(InputError, match=r"made features .* but the translator takes units"):
        translate(tmp_path / "x", languages.frames, tmp_path / "u")
    write_bundle(tmp_path / "km", "kmeans", {}, {}, {})
    with pytest.raises(InputError, match="not a translator"):
        Translator.load(tmp_path / "km")
    with pytest.raises(InputError, match=r"ids asked for is missing .*: nobody"):
        translate(tmp_path / "x", languages.source, tmp_path / "u", ids=["s1", "nobody"])


def test_nan_is_refused_in_memory_as_well(languages: Languages, tmp_path: Path) -> None:
    model, _ = trained(languages, tmp_path / "x", source=languages.frames)
    with pytest.raises(InputError, match="'u' has 10 NaN"):
        model.translate({"u": np.full((1, 10), np.nan, np.float32)})


def test_more_units_than_ctc_has_steps(languages: Languages, tmp_path: Path) -> None:
    settings = {**TINY, "architecture": "ctc", "subsampling": 4}
    short = framed(tmp_path / "f", dict.fromkeys(languages.lines, 3))
    units = {name.replace("s", "t"): np.arange(10) % 2 for name in languages.lines}
    said = UnitFile(units, 12, 20.0, "b" * 64, "made", corpus_id="corpus-b")
    write_units(tmp_path / "t", said)
    files = [Parallel(short, tmp_path / "t", languages.pairs)]
    with pytest.raises(InputError, match=r"too many target units .* CTC") as caught:
        train_translator(files, tmp_path / "x", config=TranslationConfig(**settings))
    assert "subsampling=" in str(caught.value.remedy)


@pytest.mark.parametrize(
    ("settings", "found"),
    [
        ({"width": 30, "n_heads": 4}, "can't be divided among 4 heads"),
        ({"auxiliary": "ce"}, "predicts the source's own units, and there are none"),
        ({"kernel": 4}, "kernel=4 is not odd"),
    ],
)
def test_networks_that_can_not_be(
    languages: Languages, tmp_path: Path, settings: dict[str, Any], found: str
) -> None:
    with pytest.raises(InputError, match=found):
        trained(languages, tmp_path / "x", settings=settings)


@pytest.mark.parametrize(
    ("before", "after"),
    [('"width": 16', '"width": 20'), ('"max_length_ratio"', '"max_length_ration"'), ("rnn", "RNN")],
)
def test_an_edited_bundle(languages: Languages, tmp_path: Path, before: str, after: str) -> None:
    trained(languages, tmp_path / "x", settings={**TINY, "architecture": "rnn"})
    config = tmp_path / "x" / "config.json"
    text = config.read_text(encoding="utf-8")
    assert before in text
    config.write_text(text.replace(before, after), encoding="utf-8")
    with pytest.raises(InputError, match="was changed since it was written"):
        Translator.load(tmp_path / "x")
    unsealed(config)
    with pytest.raises(InputError, match="not a valid translator"):
        Translator.load(tmp_path / "x")


@pytest.mark.parametrize("search", [{"beam": 0}, {"sample": 0}, {"beam": 2, "sample": 3}])
def test_searches_that_can_not_be(search: dict[str, int]) -> None:
    with pytest.raises(InputError, match="both are at least 1, and only one of them"):
        Search(**search)


def test_ctc_has_no_beam(languages: Languages, tmp_path: Path) -> None:
    model, _ = trained(
        languages, tmp_path / "x", source=languages.frames, settings={**TINY, "architecture": "ctc"}
    )
    with pytest.raises(InputError, match="CTC translator has no beam 2"):
        model.translate({"u": np.ones((9, 10), np.float32)}, beam=2)


def test_in_memory_equals_through_files(languages: Languages, tmp_path: Path) -> None:
    for source in (languages.source, languages.frames):
        model, _ = trained(languages, tmp_path / "x", source=source, restart=True)
        search = Search(beam=2)
        written = translate(tmp_path / "x", source, tmp_path / "u", ids=["s4", "s2"], search=search)
        given = read_source(source)
        made = translate_in_memory(model, given, ids=["s4", "s2"], search=search)
        assert made.unit_file.ids == ["s4", "s2"]
        assert made.unit_file.method == written.unit_file.method
        for name, units in made.unit_file.units.items():
            assert units.tolist() == written.unit_file.units[name].tolist()
        alone = Features.from_arrays({"s2": given["s2"]}, **FRAMES) if source.is_dir() else given
        (one,) = translate_in_memory(
            model, alone, ids=["s2"], search=search
        ).unit_file.units.values()
        assert one.tolist() == made.unit_file.units["s2"].tolist()
        with pytest.raises(InputError, match="ids asked for is missing in the source given"):
            translate_in_memory(model, given, ids=["nobody"])


def test_more_steps_go_on_and_other_settings_are_refused(
    languages: Languages, tmp_path: Path
) -> None:
    trained(languages, tmp_path / "x")
    longer = QUICK.model_copy(update={"max_steps": 6})
    _, report = trained(languages, tmp_path / "x", recipe=longer)
    assert (report.steps, report.extended_at) == (6, (4,))
    with pytest.raises(InputError, match=r"concatenated=0\.25 → 0\.5 \(of config\)") as caught:
        trained(languages, tmp_path / "x", settings={**TINY, "concatenated": 0.5}, recipe=longer)
    assert "restart=True" in str(caught.value.remedy)


@pytest.mark.parametrize(
    ("settings", "from_units", "expected"),
    [
        ({}, False, {"width": 192, "n_encoder_layers": 4, "subsampling": 4}),
        ({}, True, {"width": 192, "n_encoder_layers": 4, "subsampling": 1}),
        ({"subsampling": 2}, True, {"subsampling": 2}),
        (
            {"architecture": "rnn"},
            False,
            {"width": 256, "n_encoder_layers": 3, "subsampling": 8, "decoder_width": 512},
        ),
        ({"architecture": "rnn"}, True, {"width": 256, "n_encoder_layers": 3, "subsampling": 1}),
        ({"architecture": "rnn", "width": 64}, False, {"width": 64, "subsampling": 8}),
    ],
)
def test_defaults_that_depend_on_the_source_and_the_architecture(
    languages: Languages, settings: dict[str, Any], from_units: bool, expected: dict[str, Any]
) -> None:
    source = languages.source if from_units else languages.frames
    material = read_parallel([Parallel(source, languages.target, languages.pairs)])
    built = network_config(material, TranslationConfig(**settings)).model_dump()
    assert {name: built[name] for name in expected} == expected
    assert built["auxiliary"] == "none"
