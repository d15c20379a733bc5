import csv
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from commands import run
from zerochain.discovery.cpc import CPCConfig, CpcTask, CPCUnits, groups_of
from zerochain.discovery.front_end import FrontEnd, FrontEndOptions
from zerochain.discovery.neural import CollapseWarning, prepared, speakers_of
from zerochain.discovery.stage import load_unit_model
from zerochain.errors import InputError
from zerochain.features.augmentation import AugmentationOptions
from zerochain.features.spectral import SpectralOptions
from zerochain.formats.corpus import Corpus
from zerochain.formats.features import Features
from zerochain.formats.units import read_units
from zerochain.training.crops import Crops
from zerochain.training.recipe import Recipe
from zerochain.training.run import Running

SMALL = {"width": 16, "n_layers": 1, "n_per_group": 4, "context_dim": 16, "n_frames": 48}
SPECTRAL = {"extractor": "mfcc", "options": SpectralOptions().model_dump()}


def babble(
    n: int = 12,
    speakers: tuple[str | None, ...] = ("ana", "béa"),
    n_frames: int = 150,
    seed: int = 0,
) -> Features:
    """Utterances of six "phones" that follow each other in a fixed order, five frames each."""
    rng = np.random.default_rng(seed)
    phones = 3 * rng.normal(size=(6, 39))
    arrays = {}
    for i in range(n):
        labels = (np.arange(n_frames + i) // 5 + rng.integers(6)) % 6
        frames = phones[labels] + rng.normal(0, 0.3, (len(labels), 39))
        arrays[f"u{i}"] = frames.astype(np.float32)
    owners = {name: speakers[i % len(speakers)] for i, name in enumerate(arrays)}
    return Features.from_arrays(arrays, speakers=owners, **SPECTRAL)


def make(
    steps: int = 20,
    every: int = 10,
    n_units: int = 8,
    stride: int = 2,
    seed: int = 0,
    **config: Any,
) -> CPCUnits:
    """A model that is fitted in a second."""
    recipe = Recipe(
        max_steps=steps, batch_size=8, validate_every=every, learning_rate=3e-3, seed=seed
    )
    return CPCUnits(n_units, stride, config=CPCConfig(**{**SMALL, **config}), recipe=recipe)


def speech_of(features: Features) -> Crops:
    front_end = FrontEnd.fit(features, 1, FrontEndOptions(normalisation="none"))
    return prepared(features, front_end, speakers_of(features))


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.sampled_from(["ana", "béa", "eve", None]), min_size=1, max_size=9),
    st.sampled_from(["speaker", "utterance", "any"]),
    st.integers(0, 9999),
)
def test_segments_of_a_group_are_of_one_speaker(
    speakers: list[str | None], negatives: Any, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    # A frame says which utterance it is of, and where in it.
    arrays = {
        f"u{i}": np.stack([np.full(n, i), np.arange(n)], axis=1).astype(np.float32)
        for i, n in enumerate(rng.integers(1, 40, len(speakers)))
    }
    arrays["u0"] = np.stack([np.zeros(20), np.arange(20)], axis=1).astype(np.float32)
    owners = {f"u{i}": speaker for i, speaker in enumerate(speakers)}
    speech = speech_of(Features.from_arrays(arrays, speakers=owners))
    groups = groups_of(speech, len({*speakers} - {None}), negatives, 7)
    batch = speech.grouped(groups, 5, 3, 16, (seed,))
    for group in range(5):
        rows = range(3 * group, 3 * group + 3)
        used = [int(batch["utterances"][row]) for row in rows]
        for row, u in zip(rows, used, strict=True):
            length = int(batch["lengths"][row])
            assert length == min(16, len(arrays[f"u{u}"])) >= 7
            frames = batch["x"][row, :length].numpy()
            assert (frames[:, 0] == u).all()
            assert (np.diff(frames[:, 1]) == 1).all()
            assert not batch["x"][row, length:].any()
        if negatives == "utterance":
            assert len(set(used)) == 1
        if negatives == "speaker":
            found = {speakers[u] for u in used}
            assert len(found) == 1
            assert found != {None} or len(set(used)) == 1
    again = speech.grouped(groups, 5, 3, 16, (seed,))
    assert all(torch.equal(batch[name], again[name]) for name in batch)


def test_every_frame_is_as_likely_to_be_in_a_segment() -> None:
    sizes = {"u0": 30, "u1": 10, "u2": 60}
    arrays = {name: np.full((n, 1), n, np.float32) for name, n in sizes.items()}
    owners = {"u0": "ana", "u1": "ana", "u2": "béa"}
    speech = speech_of(Features.from_arrays(arrays, speakers=owners))
    groups = groups_of(speech, 2, "speaker", 1)
    drawn = np.concatenate(
        [speech.grouped(groups, 50, 4, 5, (i,))["utterances"].numpy() for i in range(20)]
    )
    np.testing.assert_allclose(np.bincount(drawn) / len(drawn), [0.3, 0.1, 0.6], atol=0.05)


def test_what_follows_is_learned_and_units_are_phones() -> None:
    features = babble(speakers=("ana",))
    model = make(steps=150, every=50, n_units=8, restart_below=0).fit(features)
    # A sixth of 17 negatives is the same phone, so that nobody can do better than 0.32 and 1.25.
    assert model.accuracies[0] > 0.2
    assert model.outcome.best_valid_loss < 2.0
    units = model.encode(features).units
    # A phone lasts 2.5 steps: the same unit comes again after a round of 15 steps.
    same = np.concatenate([u[15:] == u[:-15] for u in units.values()])
    assert same.mean() > 0.6
    assert model.n_used >= 4


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"encoder": "conv", "codebook_from": "kmeans"},
        {"latents": "context"},
        {"latents": "context", "quantise": False},
        {"quantise": False, "negatives": "any"},
        {"warm_up_steps": 10, "negatives": "utterance"},
        {"augmentation": AugmentationOptions()},
    ],
)
def test_saved_and_loaded_encodes_the_same(tmp_path: Path, config: dict[str, Any]) -> None:
    features = babble()
    model = make(**config).fit(features)
    assert model.codebook.shape == (8, 16 if config.get("latents") == "context" else 64)
    model.save(tmp_path / "cpc")
    again = load_unit_model(tmp_path / "cpc")
    assert (again.id, again.summary, again.method) == (model.id, model.summary, model.method)
    units = model.encode(features)
    assert (units.step_ms, units.n_units) == (20, 8)
    for name, expected in units.units.items():
        assert len(expected) == -(-len(features[name]) // 2)
        np.testing.assert_array_equal(again.encode(features).units[name], expected)


@pytest.mark.parametrize("stride", [1, 4, 8])
def test_strides(stride: int) -> None:
    features = babble()
    model = make(steps=2, every=2, stride=stride, n_predictions=2).fit(features)
    assert model.step_ms == 10 * stride
    for name, units in model.encode(features).units.items():
        assert len(units) == -(-len(features[name]) // stride)


def interruptible(warm_up_steps: int) -> CPCUnits:
    options = {"warm_up_steps": warm_up_steps, "augmentation": AugmentationOptions()}
    return make(steps=20, every=5, **options)


@cache
def id_of_whole(warm_up_steps: int) -> str:
    """The id of a model whose fit nothing interrupted."""
    return interruptible(warm_up_steps).fit(babble()).id


@pytest.mark.parametrize("warm_up_steps", [0, 20])
@pytest.mark.parametrize("killed_at", [7, 15, 27])
def test_an_interrupted_fit_goes_on_to_the_same_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, warm_up_steps: int, killed_at: int
) -> None:
    features, whole = babble(), id_of_whole(warm_up_steps)
    step, count = CpcTask.training_step, 0

    def dying(self: CpcTask, *arguments: Any) -> Any:
        nonlocal count
        count += 1
        if count == killed_at:
            raise KeyboardInterrupt
        return step(self, *arguments)

    monkeypatch.setattr(CpcTask, "training_step", dying)
    running = Running("cpu", folder=tmp_path / "x.training")
    if killed_at < 20 + warm_up_steps:
        with pytest.raises(KeyboardInterrupt):
            interruptible(warm_up_steps).fit(features, running)
    assert interruptible(warm_up_steps).fit(features, running).id == whole


def test_more_steps_go_on_after_the_same_warm_up(tmp_path: Path) -> None:
    features, running = babble(), Running("cpu", folder=tmp_path)
    make(steps=10, every=5, warm_up_steps=5).fit(features, running)
    model = make(steps=20, every=5, warm_up_steps=5).fit(features, running)
    assert model.outcome.extended_at == (10,)
    assert model.outcome.steps == 20
    other = make(steps=20, every=5, warm_up_steps=7)
    with pytest.raises(InputError, match="warm_up_steps=5 → 7"):
        other.fit(features, running)


def test_published_is_a_set_of_defaults() -> None:
    published = CPCConfig(published=True)
    assert (published.width, published.decay, published.restart_below) == (512, 0.999, 0)
    assert CPCConfig(published=True, width=8).width == 8
    assert CPCConfig(**published.model_dump()) == published


def test_the_seed_decides() -> None:
    features = babble()
    ids = [make(steps=2, every=2, seed=seed).fit(features).id for seed in (1, 1, 2)]
    assert ids[0] == ids[1] != ids[2]


def test_unknown_speakers_take_negatives_from_the_utterance() -> None:
    model = make(steps=2, every=2).fit(babble(speakers=(None,)))
    assert "no known speaker" in model.summary
    assert "no speaker is known" in model.findings[0]
    known = make(steps=2, every=2).fit(babble(n=6, speakers=("ana", None)))
    new = babble(n=2, speakers=("somebody new",), seed=5)
    assert len(known.encode(new).units) == 2


def test_collapse_is_warned_of_and_found() -> None:
    features = Features.from_arrays(
        {f"u{i}": np.full((60, 39), 5, np.float32) for i in range(6)},
        speakers=dict.fromkeys([f"u{i}" for i in range(6)], "ana"),
        **SPECTRAL,
    )
    model = make(steps=20, every=10, n_units=100, restart_below=0, decay=0.6)
    with pytest.warns(CollapseWarning, match="collapsed"):
        model.fit(features)
    assert any("collapsed" in line for line in model.findings)
    assert np.isfinite(model.distortion)


@pytest.mark.parametrize(
    ("features", "config", "found"),
    [
        ({"n": 1}, {}, "can't be trained on 1 utterance"),
        ({"n": 4, "n_frames": 8}, {}, "no utterance of .* lasts 13 frames"),
        ({"n": 4}, {"n_units": 2000}, "2,000 units can't be found"),
        ({"n": 4}, {"n_per_group": 3}, "no whole number of groups of 3"),
        ({"n": 4}, {"stride": 3}, "stride=3"),
    ],
)
def test_bad_input_is_refused(features: dict[str, Any], config: dict[str, Any], found: str) -> None:
    with pytest.raises(InputError, match=found):
        make(**config).fit(babble(**features))


@pytest.mark.parametrize("normalisation", ["none", "corpus", "speaker", "utterance"])
@pytest.mark.parametrize("context", [0, 1])
def test_augmentation_after_any_front_end(normalisation: Any, context: int) -> None:
    features = babble(n=4)
    model = make(steps=1, every=1, augmentation=AugmentationOptions())
    model.options = FrontEndOptions(
        normalisation=normalisation, context=context, components=7 if context else None
    )
    assert len(model.fit(features).encode(features).units) == 4


def test_at_the_command_line(make_corpus: Callable[..., Corpus], tmp_path: Path) -> None:
    corpus, model = make_corpus(n_utterances=6), tmp_path / "cpc"
    result = run(
        *("discover", "vqcpc", corpus.folder, "--units", 8, "--stride", 2, "--width", 16),
        *("--layers", 1, "--steps", 4, "--validate-every", 2, "--batch-size", 8, "--augment"),
        *("--group-size", 4, "--warm-up-steps", 2, "--device", "cpu", "--out", model),
    )
    assert "1 to 6 steps ahead predicted in" in result.output
    with (tmp_path / "cpc.training" / "log.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert [row["step"] for row in rows] == ["2", "4"]
    assert {f"accuracy_{k}" for k in range(1, 7)} | {"perplexity", "n_used"} <= rows[0].keys()
    run("encode", model, corpus.folder, "--out", tmp_path / "units.parquet")
    assert read_units(tmp_path / "units.parquet").n_units == 8
    checkpoints = tmp_path.rglob("checkpoint.safetensors")
    folders = {str(path.parent.relative_to(tmp_path)) for path in checkpoints}
    assert folders == {"cpc.training", "cpc.training/warm-up"}
