import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from zerochain.discovery import classifier, self_training
from zerochain.discovery.classifier import NO_LABEL, FrameClassifier, FrameTask, class_means
from zerochain.discovery.front_end import FrontEnd, FrontEndOptions
from zerochain.discovery.neural import prepared
from zerochain.discovery.segmentation import Segmentation
from zerochain.discovery.self_training import (
    SelfTrainedUnits,
    SelfTrainingConfig,
    first_teacher,
    labels_of,
)
from zerochain.discovery.stage import load_unit_model
from zerochain.errors import InputError
from zerochain.features.augmentation import AugmentationOptions
from zerochain.features.spectral import SpectralOptions
from zerochain.formats.features import Features
from zerochain.formats.headers import read_json
from zerochain.training.crops import Crops
from zerochain.training.recipe import Recipe
from zerochain.training.run import Running

SMALL = {
    "rounds": 2,
    "width": 16,
    "n_blocks": 1,
    "dim": 8,
    "n_frames": 32,
    "teacher_components": 10,
}
SPECTRAL = {"extractor": "mfcc", "options": SpectralOptions().model_dump()}
AS_IT_IS = FrontEndOptions(normalisation="none")


def babble(
    n: int = 8,
    speakers: tuple[str | None, ...] = ("ana", "béa"),
    n_frames: int = 60,
    noise: float = 0.3,
    **kind: Any,
) -> Features:
    """Utterances of six "phones" that last five frames each, in a random order."""
    rng = np.random.default_rng(0)
    phones = 3 * rng.normal(size=(6, 39))
    arrays = {}
    for i in range(n):
        labels = rng.integers(6, size=(n_frames + i) // 5 + 1).repeat(5)[: n_frames + i]
        frames = phones[labels] + rng.normal(0, noise, (len(labels), 39))
        arrays[f"u{i}"] = frames.astype(np.float32)
    owners = {name: speakers[i % len(speakers)] for i, name in enumerate(arrays)}
    return Features.from_arrays(arrays, speakers=owners, **(kind or SPECTRAL))


def make(
    steps: int = 6,
    every: int = 3,
    n_units: int = 6,
    stride: int = 1,
    seed: int = 0,
    options: FrontEndOptions | None = None,
    **config: Any,
) -> SelfTrainedUnits:
    """A model that is fitted in a second."""
    recipe = Recipe(
        max_steps=steps, batch_size=8, validate_every=every, learning_rate=3e-3, seed=seed
    )
    config = SelfTrainingConfig(**{**SMALL, **config})
    return SelfTrainedUnits(n_units, stride, options=options, config=config, recipe=recipe)


def kept_in(folder: Path, restart: bool = False) -> Running:
    return Running("cpu", restart, folder=folder)


def numbered(lengths: list[int]) -> Crops:
    """Speech whose frames hold their own numbers, labelled with those."""
    arrays = {f"u{i}": np.zeros((n, 1), np.float32) for i, n in enumerate(lengths)}
    features = Features.from_arrays(arrays)
    speech = prepared(features, FrontEnd.fit(features, 1, AS_IT_IS), [])
    numbers = np.arange(speech.bounds[-1])
    frames = speech.with_array("x", numbers[:, None].astype(np.float32))
    return frames.with_array("labels", numbers, NO_LABEL)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(1, 30), min_size=1, max_size=6), st.integers(1, 20), st.integers(0, 99))
def test_labels_are_cut_with_their_frames(lengths: list[int], n_frames: int, seed: int) -> None:
    speech = numbered(lengths)
    batches = [speech.random(5, n_frames, (seed,)), *speech.all(3, n_frames)]
    for batch in batches:
        real = torch.arange(batch["labels"].shape[1]) < batch["lengths"][:, None]
        assert torch.equal(batch["labels"][real], batch["x"][..., 0][real].long())
        assert (batch["labels"][~real] == NO_LABEL).all()
    seen = torch.cat([batch["labels"].flatten() for batch in batches[1:]])
    assert sorted(seen[seen != NO_LABEL].tolist()) == list(range(sum(lengths)))


class Clairvoyant(nn.Module):
    """Scores of the number of each step's middle frame, as an encoder of this stride would see."""

    def __init__(self, stride: int, n: int) -> None:
        super().__init__()
        self.stride, self.n = stride, n

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        scores = []
        for row, length in zip(x[..., 0], lengths.tolist(), strict=True):
            steps = []
            for start in range(0, len(row), self.stride):
                middle = max(0, min(start + self.stride // 2, length - 1))
                steps.append(40.0 * nn.functional.one_hot(row[middle].long(), self.n))
            scores.append(torch.stack(steps))
        return torch.stack(scores)


@pytest.mark.parametrize("stride", [1, 2, 4, 8])
def test_a_steps_label_is_that_of_its_middle_frame(stride: int) -> None:
    lengths = [1, 3, 8, 13, 30]
    speech = numbered(lengths)
    task = FrameTask(
        FrameClassifier(nn.Identity(), 1, 2),
        speech,
        speech,
        SelfTrainingConfig(n_frames=11),
        Recipe(batch_size=16),
        stride=stride,
        augmentation=None,
        device="cpu",
    )
    clairvoyant = Clairvoyant(stride, sum(lengths))
    assert task.validate(clairvoyant) == pytest.approx(0, abs=1e-6)
    told = task.training_step({"classifier": clairvoyant}, task.batch(1, 0), lambda *_: None)
    assert told["agreement"] == 1
    batch = task.batch(2, 0)
    n_steps = int((-(-batch["lengths"] // stride)).sum())
    assert int((task._labels(batch) != NO_LABEL).sum()) == n_steps


@pytest.mark.parametrize("penalty", [0, 1])
def test_a_teacher_labels_every_frame(penalty: float) -> None:
    features = babble()
    teacher = first_teacher(6, features, FrontEndOptions(), SelfTrainingConfig(), seed=0)
    units = teacher.encode(features, Segmentation(penalty))
    expected = np.concatenate([units.steps(name) for name in features.ids])
    np.testing.assert_array_equal(labels_of(teacher, features, penalty), expected)
    part = features.restrict(["u5", "u2"])
    np.testing.assert_array_equal(
        labels_of(teacher, part, penalty), np.concatenate([units.steps(n) for n in part.ids])
    )


def test_a_teacher_with_longer_steps_labels_every_frame() -> None:
    features = babble(n_frames=61)
    teacher = make(stride=4).fit(features)
    labels = labels_of(teacher, features, 0)
    for name, (start, n) in features.index.items():
        units = teacher.encode(features).units[name]
        np.testing.assert_array_equal(labels[start : start + n], units[np.arange(n) // 4])


def test_the_first_teacher_is_prepared_as_the_pupil() -> None:
    config = SelfTrainingConfig(teacher_context=1, teacher_components=500, n_targets=4)
    options = FrontEndOptions(normalisation="utterance", context=7, speaker_attenuation=2)
    teacher = first_teacher(6, babble(), options, config, seed=0)
    assert teacher.n_units == 4
    assert teacher.options == FrontEndOptions(
        normalisation="utterance", context=1, components=117, speaker_attenuation=2
    )


def test_phones_are_learned() -> None:
    features = babble(n=12, n_frames=120)
    model = make(steps=120, every=40, teacher_penalty=0).fit(features)
    assert model.agreement > 0.8
    units = model.encode(features)
    runs = np.concatenate([np.diff(units.units[n]) == 0 for n in units.ids])
    assert runs.mean() > 0.7  # of a phone of five frames four have the same after them
    assert model.n_used == 6
    assert model.surviving[model.best_round] > 1


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"augmentation": None, "rounds": 1},
        {"tail": "gru", "instance_norm": True},
        {"n_targets": 3, "teacher_penalty": 0},
        {"options": FrontEndOptions(normalisation="utterance", context=1, components=7)},
        {"options": FrontEndOptions(warp=True)},
        {"masked": 0.3, "mask_span": 4, "loss_on": "masked"},
        {"teacher": "gmm", "masked": 0.3, "encoder": "convnext", "units": "classes"},
        {"teacher": "fmllr", "units": "classes"},
        {"options": FrontEndOptions(speaker_attenuation=4)},
    ],
)
def test_saved_and_loaded_encodes_the_same(tmp_path: Path, config: dict[str, Any]) -> None:
    features = babble()
    model = make(stride=2, **config).fit(features)
    assert model.codebook is not None
    assert model.codebook.shape == (6, 8)
    model.save(tmp_path / "m")
    again = load_unit_model(tmp_path / "m")
    assert (again.id, again.summary, again.method) == (model.id, model.summary, model.method)
    units = model.encode(features)
    for name, expected in units.units.items():
        assert len(expected) == -(-len(features[name]) // 2)
        np.testing.assert_array_equal(again.encode(features).units[name], expected)


@pytest.mark.parametrize("stride", [1, 8])
def test_strides(stride: int) -> None:
    features = babble()
    model = make(steps=2, every=2, stride=stride).fit(features)
    assert model.step_ms == 10 * stride
    for name, units in model.encode(features).units.items():
        assert len(units) == -(-len(features[name]) // stride)


@pytest.mark.parametrize("killed_at", [6, 13, "between"])
def test_an_interrupted_fit_goes_on_to_the_same_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, killed_at: int | str
) -> None:
    features, folder = babble(), tmp_path / "x.training"
    monkeypatch.setattr(self_training, "_is_better", lambda *_: True)  # both rounds count
    whole = make(steps=8).fit(features)
    step, count = FrameTask.training_step, 0

    def dying(self: FrameTask, *arguments: Any) -> Any:
        nonlocal count
        count += 1
        if count == killed_at:
            raise KeyboardInterrupt
        return step(self, *arguments)

    def dying_between(*_: Any) -> Any:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(FrameTask, "training_step", dying)
        if killed_at == "between":
            patched.setattr(SelfTrainedUnits, "_measure", dying_between)
        with pytest.raises(KeyboardInterrupt):
            make(steps=8).fit(features, kept_in(folder))
    done = len(list(folder.rglob("checkpoint.safetensors")))
    assert done == {6: 1, 13: 2, "between": 1}[killed_at]
    resumed = make(steps=8).fit(features, kept_in(folder))
    assert resumed.id == whole.id
    assert resumed.best_round == 2


def test_restart_leaves_no_checkpoint_of_a_later_round(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    features = babble()
    make().fit(features, kept_in(tmp_path))
    assert len(list(tmp_path.glob("round-*/checkpoint.safetensors"))) == 2
    with pytest.raises(InputError, match="checkpoint of a training with other data"):
        make(label_smoothing=0.3).fit(features, kept_in(tmp_path))

    def dying(*_: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(FrameTask, "training_step", dying)
    with pytest.raises(KeyboardInterrupt):
        make(label_smoothing=0.3).fit(features, kept_in(tmp_path, restart=True))
    assert not list(tmp_path.rglob("checkpoint.safetensors"))


def test_more_steps_start_later_rounds_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their labels are of a round that has changed."""
    monkeypatch.setattr(self_training, "_is_better", lambda *_: True)
    features = babble()
    make(steps=6).fit(features, kept_in(tmp_path))
    model = make(steps=9).fit(features, kept_in(tmp_path))
    assert model.best_round == 2
    assert model.outcome.extended_at == ()
    again = make(steps=9).fit(features, kept_in(tmp_path))
    assert again.id == model.id


@pytest.mark.parametrize(
    ("bits", "best", "n_rounds"),
    [
        ([2, 1, 1.5, 1.7], 3, 3),  # the first round is kept, whatever the teacher's were
        ([2, 1, 1.5, 1.5], 2, 3),
        ([2, 1, 0.9], 1, 2),
        ([None] * 4, 3, 3),
    ],
)
def test_rounds_stop_when_less_survives(
    monkeypatch: pytest.MonkeyPatch, bits: list[float | None], best: int, n_rounds: int
) -> None:
    answers = iter(bits)
    codebooks = [None]

    def surviving(model: Any, *_: Any) -> float | None:
        if isinstance(model, SelfTrainedUnits):
            codebooks.append(model.codebook)
        return next(answers)

    monkeypatch.setattr(self_training, "surviving_bits", surviving)
    model = make(rounds=3).fit(babble())
    assert model.surviving == bits
    assert (model.best_round, len(codebooks) - 1) == (best, n_rounds)
    assert model.codebook is codebooks[best]
    assert f"round {best} of {n_rounds} kept" in model.summary


def test_the_seed_decides() -> None:
    features = babble()
    ids = [make(steps=2, every=2, seed=seed).fit(features).id for seed in (1, 1, 2)]
    assert ids[0] == ids[1] != ids[2]


def test_what_can_not_be_augmented(tmp_path: Path) -> None:
    features = babble(extractor="ssl")
    with pytest.raises(InputError, match="'ssl' can't be warped") as caught:
        make().fit(features)
    assert "augmentation=None" in caught.value.remedy
    model = make(augmentation=None).fit(features)
    assert model.surviving == [None, None, None]
    assert model.best_round == 2
    assert "can't be measured" in model.summary
    model.save(tmp_path / "m")
    config = (tmp_path / "m" / "config.json").read_text()
    assert "NaN" not in config
    assert read_json(tmp_path / "m" / "config.json", "bundle")["config"]["settings"]["surviving"]
    assert load_unit_model(tmp_path / "m").summary == model.summary


@pytest.mark.parametrize("speakers", [(None,), ("ana",), ("ana", None)])
@pytest.mark.parametrize("normalisation", [None, "speaker"])
def test_known_and_unknown_speakers(speakers: tuple[str | None, ...], normalisation: Any) -> None:
    features = babble(speakers=speakers)
    options = FrontEndOptions(normalisation=normalisation)
    model = make(steps=2, every=2, options=options).fit(features)
    assert None not in model.surviving
    new = babble(n=2, speakers=("somebody new",))
    assert len(model.encode(new).units) == 2


def test_unknown_speakers_are_augmented_as_loudly_as_known_ones(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = []
    original = classifier.augmentation_of
    monkeypatch.setattr(
        classifier, "augmentation_of", lambda *a: made.append(original(*a)) or made[-1]
    )
    first = []  # of each fit: that of training; the later one is of other voices
    for speaker in ("ana", None):
        options = FrontEndOptions(normalisation="speaker")
        made.clear()
        make(steps=1, every=1, rounds=1, options=options).fit(babble(speakers=(speaker,)))
        first.append(made[0].offsets)
    torch.testing.assert_close(*first)


def test_constant_frames_and_utterances_of_one_frame() -> None:
    constant = {f"u{i}": np.full((40, 39), 5, np.float32) for i in range(4)}
    model = make(steps=2, every=2).fit(Features.from_arrays(constant, **SPECTRAL))
    assert model.surviving[0] == 0
    assert np.isfinite([model.perplexity, model.distortion]).all()
    rng = np.random.default_rng(0)
    short = {f"u{i}": rng.normal(size=(1, 39)).astype(np.float32) for i in range(30)}
    options = FrontEndOptions(normalisation="corpus")
    model = make(steps=2, every=2, stride=2, options=options).fit(
        Features.from_arrays(short, **SPECTRAL)
    )
    assert all(
        len(u) == 1 for u in model.encode(Features.from_arrays(short, **SPECTRAL)).units.values()
    )


@pytest.mark.parametrize(
    ("features", "config", "found"),
    [
        ({"n": 1}, {}, "can't be trained on 1 utterance"),
        ({"n": 4}, {"n_units": 2000}, "2,000 units can't be found in"),
        ({"n": 4}, {"n_units": 100, "stride": 8}, "100 units can't be found in 2. frames"),
        ({"n": 4}, {"n_targets": 2000}, "2,000 units can't be found in"),
        ({"n": 4}, {"stride": 3}, "stride=3"),
        ({"n": 4}, {"n_units": 1}, "n_units=1"),
    ],
)
def test_bad_input_is_refused(features: dict[str, Any], config: dict[str, Any], found: str) -> None:
    with pytest.raises(InputError, match=found):
        make(**config).fit(babble(**features))


@pytest.mark.parametrize("precision", ["bf16"])
def test_half_precision(precision: Any) -> None:
    model = make(augmentation=AugmentationOptions(warp=0))
    model.recipe = model.recipe.model_copy(update={"precision": precision})
    assert np.isfinite(model.fit(babble()).outcome.best_valid_loss)


DISTRIBUTED = """
import sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from test_self_training import babble, kept_in, make
from zerochain.training.device import is_main_process

out = Path({out!r})
model = make().fit(babble(), kept_in(out / "training"))
(out / f"{{is_main_process()}}.txt").write_text(str([model.surviving, model.codebook.tolist()]))
"""


@pytest.mark.usefixtures("warm")
def test_two_processes_train_one_model(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(DISTRIBUTED.format(tests=str(Path(__file__).parent), out=str(tmp_path)))
    command = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", str(script)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(
        [sys.executable, *command],
        check=False,
        capture_output=True,
        text=True,
        env=environment,
    )
    assert done.returncode == 0, done.stderr
    models = [(tmp_path / f"{main}.txt").read_text() for main in (True, False)]
    assert models[0] == models[1]


MASKED = {"teacher": "gmm", "masked": 0.3, "mask_span": 4, "encoder": "convnext"}


def test_classes_have_posteriors_and_penalties_in_nats(tmp_path: Path) -> None:
    features = babble()
    model = make(steps=8, every=4, units="classes", rounds=1, **MASKED).fit(features)
    model.save(tmp_path / "m")
    again = load_unit_model(tmp_path / "m")
    assert model.distortion == 1
    units, segments = model.encode(features), model.encode(features, Segmentation(2.0))
    loaded = dict(again.posteriors(features))
    for name, posteriors in model.posteriors(features):
        np.testing.assert_array_equal(posteriors, loaded[name])
        np.testing.assert_allclose(posteriors.sum(axis=1), 1, atol=1e-5)
        np.testing.assert_array_equal(posteriors.argmax(axis=1), units.units[name])
        one, other = (
            -np.log(posteriors[range(len(posteriors)), u]).sum()
            for u in (units.steps(name), segments.steps(name))
        )
        saved = len(np.flatnonzero(np.diff(units.units[name]))) + 1 - len(segments.units[name])
        assert one - 1e-3 <= other <= one + 2 * saved + 1e-3  # what is paid in nats is saved


def test_class_means_are_finite_for_unused_classes() -> None:
    rng = np.random.default_rng(0)
    latents, scores = rng.normal(size=(50, 3)).astype("f"), rng.normal(size=(50, 4))
    scores[:, 2] = -1e4  # never the best, nor near it
    means = class_means(latents, scores.astype("f"))
    best = scores.argmax(axis=1)
    for k in (0, 1, 3):
        np.testing.assert_allclose(means[k], latents[best == k].mean(axis=0), rtol=1e-4)
    np.testing.assert_allclose(means[2], latents.mean(axis=0), rtol=1e-4)


@pytest.mark.parametrize("stride", [1, 2])
def test_masked_prediction_of_silence_short_utterances_and_one_speaker(stride: int) -> None:
    arrays = {f"u{i}": np.full((n, 39), 5, np.float32) for i, n in enumerate([40, 1, 40, 3, 2])}
    features = Features.from_arrays(arrays, speakers=dict.fromkeys(arrays, "ana"), **SPECTRAL)
    model = make(steps=2, every=1, stride=stride, units="classes", loss_on="masked", **MASKED)
    model.fit(features)
    assert np.isfinite(model.codebook).all()
    for name, posteriors in model.posteriors(features):
        assert np.isfinite(posteriors).all()
        assert len(posteriors) == -(-len(arrays[name]) // stride)


@pytest.mark.parametrize(
    ("config", "found"),
    [
        ({"kernel": 4, "encoder": "convnext"}, "must be odd"),
        ({"kernel": 5}, "only applies to encoder='convnext'"),
        ({"tail": "gru", "encoder": "convnext"}, "only applies to encoder='conv'"),
        ({"loss_on": "masked"}, "needs masked="),
    ],
)
def test_settings_that_contradict_each_other(config: dict[str, Any], found: str) -> None:
    with pytest.raises(ValueError, match=found):
        SelfTrainingConfig(**config)


def test_classes_are_as_many_as_units() -> None:
    with pytest.raises(InputError, match="4 targets and n_units=6"):
        make(units="classes", n_targets=4)
