import csv
import os
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch

from zerochain.discovery import vqvae as module
from zerochain.discovery.front_end import FrontEnd
from zerochain.discovery.neural import CollapseWarning, Speech, held_out, prepared, speakers_of
from zerochain.discovery.stage import load_unit_model
from zerochain.discovery.teacher import COMPONENTS
from zerochain.discovery.vqvae import VQVAEConfig, VqvaeTask, VQVAEUnits, squared_error
from zerochain.errors import InputError
from zerochain.features.augmentation import AugmentationOptions
from zerochain.formats.bundle import bundle_id
from zerochain.formats.features import Features
from zerochain.training.recipe import Recipe
from zerochain.training.run import Running

TINY = VQVAEConfig(
    width=16,
    n_blocks=1,
    codebook_dim=8,
    speaker_dim=4,
    n_frames=24,
    teacher="none",
    augmentation=None,
)
SHORT = Recipe(max_steps=30, batch_size=8, validate_every=10, learning_rate=3e-3)
SPEAKERS = ("ana", "béa")


def speech(
    n_utterances: int = 12,
    n_frames: int = 60,
    speakers: tuple[str | None, ...] = SPEAKERS,
    dim: int = 6,
    seed: int = 0,
) -> Features:
    """Slowly changing "phones" in the voices of speakers, of slightly different lengths."""
    rng = np.random.default_rng(seed)
    phones, voices = rng.normal(size=(10, dim)) * 3, np.random.default_rng(7).normal(size=(3, dim))
    arrays, who = {}, {}
    for i in range(n_utterances):
        n = n_frames + 5 * (i % 3)
        sequence = np.repeat(phones[rng.integers(10, size=n // 6 + 1)], 6, axis=0)[:n]
        frames = sequence + voices[i % len(speakers)] + 0.2 * rng.normal(size=(n, dim))
        arrays[f"u{i}"] = frames.astype(np.float32)
        who[f"u{i}"] = speakers[i % len(speakers)]
    return Features.from_arrays(arrays, speakers=who)


def fitted(
    features: Features,
    stride: int = 4,
    config: VQVAEConfig = TINY,
    recipe: Recipe = SHORT,
    n_units: int = 12,
    folder: Path | None = None,
) -> VQVAEUnits:
    model = VQVAEUnits(n_units, stride, config=config, recipe=recipe)
    return model.fit(features, Running("cpu", folder=folder))


@pytest.fixture(scope="module")
def usual() -> tuple[Features, VQVAEUnits]:
    """Speech and a model of it, which tests only look at."""
    features = speech()
    return features, fitted(features)


@pytest.mark.parametrize("stride", [1, 2, 4, 8])
def test_a_unit_lasts_the_stride_and_is_the_nearest_code(stride: int) -> None:
    features = speech()
    model = fitted(features, stride)
    units = model.encode(features)
    assert units.step_ms == 10 * stride
    assert units.method == f"vqvae K=12 {stride}T array norm=speaker"
    front_end = model.front_end.covering(features)
    for name in features.ids:
        frames = front_end(features, name)
        (latents,) = model.latents_of([frames])
        assert latents.shape == (-(-len(frames) // stride), 8)
        distances = ((latents[:, None] - model.codebook) ** 2).sum(-1)
        np.testing.assert_array_equal(units.units[name], distances.argmin(1))


def test_it_learns_units_that_are_in_use(tmp_path: Path) -> None:
    recipe = SHORT.model_copy(update={"max_steps": 150, "validate_every": 50})
    model = fitted(speech(30), stride=2, recipe=recipe, folder=tmp_path)
    with (tmp_path / "log.csv").open() as stream:
        rows = [{k: float(v) for k, v in row.items()} for row in csv.DictReader(stream)]
    assert rows[-1]["valid_loss"] < 0.7 * rows[0]["valid_loss"]
    assert {"reconstruction", "quantization", "perplexity", "n_used"} <= set(rows[0])
    assert rows[-1]["n_used"] >= 10
    assert model.n_used >= 10
    assert 6 < model.perplexity <= 12
    assert not model.findings
    assert "2 speakers" in model.summary
    assert "NOT CONVERGED" in model.summary
    assert f"{model.n_used} of 12 units in use" in model.summary


def test_the_squared_error_is_of_real_frames() -> None:
    x, made = torch.randn(2, 9, 3), torch.randn(2, 9, 3)
    total, n = squared_error(made, {"x": x, "lengths": torch.tensor([9, 4])})
    errors = torch.cat([(made - x)[0], (made - x)[1, :4]]).square()
    assert n == 13
    assert float(total / n) == pytest.approx(float(errors.mean()))


def test_its_distortion_is_the_mean_distance_of_training_latents(
    usual: tuple[Features, VQVAEUnits],
) -> None:
    features, model = usual
    learned, _ = held_out(features)
    costs = np.concatenate([costs.min(1) for _, costs in model.costs(learned)])
    assert model.distortion == pytest.approx(costs.mean(), rel=1e-4)


def test_saved_and_loaded_encodes_the_same_without_the_decoder(tmp_path: Path) -> None:
    features = speech()
    config = TINY.model_copy(update={"encoder": "conv", "instance_norm": True, "tail": "gru"})
    model = fitted(features, config=config)
    units = model.encode(features)
    assert model.save(tmp_path / "m") == model.id == bundle_id(tmp_path / "m") == units.model_id
    again = load_unit_model(tmp_path / "m")
    assert again.id == model.id
    assert again.summary == model.summary
    assert again.distortion == model.distortion
    for name, expected in units.units.items():
        np.testing.assert_array_equal(again.encode(features).units[name], expected)
    assert not [name for name in model._tensors() if "decoder" in name]


def test_the_published_system_fits_and_loads(tmp_path: Path) -> None:
    features = speech(4, dim=39)
    config = VQVAEConfig.published().model_copy(update={"width": 4, "n_frames": 16})
    recipe = SHORT.model_copy(update={"max_steps": 2, "validate_every": 1})
    model = fitted(features, config=config, recipe=recipe)
    assert model.method.endswith("published")
    model.save(tmp_path / "m")
    again = load_unit_model(tmp_path / "m")
    for name, expected in model.encode(features).units.items():
        np.testing.assert_array_equal(again.encode(features).units[name], expected)
    with pytest.raises(InputError, match="39 dimensions, these have 6"):
        fitted(speech(), config=config, recipe=recipe)


WITH_TEACHER = TINY.model_copy(
    update={"teacher": "gmm", "augmentation": AugmentationOptions(n_masks=1, mask_frames=4)}
)


@cache
def id_of_whole(config: VQVAEConfig) -> str:
    """The id of a model whose fit nothing interrupted."""
    return fitted(speech(), config=config).id


@pytest.mark.parametrize("break_at", [11, 25])
@pytest.mark.parametrize(
    "config",
    [
        TINY.model_copy(update={"encoder": "conv", "tail": "transformer"}),
        WITH_TEACHER.model_copy(update={"jitter": 0.5, "restart_below": 0.5}),
    ],
    ids=["conv", "teacher"],
)
def test_interrupted_and_resumed_gives_the_same_bundle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, break_at: int, config: VQVAEConfig
) -> None:
    features = speech()
    whole = id_of_whole(config)

    class Interrupted(VqvaeTask):
        def batch(self, step: int, process: int) -> dict[str, torch.Tensor]:
            if step == break_at:
                raise KeyboardInterrupt
            return super().batch(step, process)

    with monkeypatch.context() as patch:
        patch.setattr(module, "VqvaeTask", Interrupted)
        with pytest.raises(KeyboardInterrupt):
            fitted(features, config=config, folder=tmp_path)
    torch.rand(3)
    resumed = fitted(features, config=config, folder=tmp_path)
    assert resumed.id == whole


def test_codes_learn_the_teachers_posteriors(tmp_path: Path) -> None:
    recipe = SHORT.model_copy(update={"max_steps": 150, "validate_every": 50})
    model = fitted(speech(30), stride=2, config=WITH_TEACHER, recipe=recipe, folder=tmp_path)
    with (tmp_path / "log.csv").open() as stream:
        rows = [{k: float(v) for k, v in row.items()} for row in csv.DictReader(stream)]
    first, last = rows[0], rows[-1]
    assert last["valid_teacher"] < 0.8 * first["valid_teacher"]
    for row in rows:
        expected = row["valid_reconstruction"] + WITH_TEACHER.teacher_weight * row["valid_teacher"]
        assert row["valid_loss"] == pytest.approx(expected)
    assert "head" not in " ".join(model._tensors())


def test_a_teacher_of_little_speech_has_few_components() -> None:
    features = speech(6)
    model = VQVAEUnits(4, config=WITH_TEACHER, recipe=SHORT)
    model.n_in, model.front_end = 6, FrontEnd.fit(features, 1, model.options)
    found = Speech.of(features, model.front_end)
    train, _, n_targets, _ = model._with_targets(found)
    n_frames = len(train.arrays["x"])
    assert n_targets == n_frames // 50
    assert train.arrays[COMPONENTS].shape == (n_frames, n_targets)


def test_silence_and_constant_speech_have_a_teacher_too() -> None:
    features = Features.from_arrays({f"u{i}": np.full((40, 3), 5, np.float32) for i in range(4)})
    model = fitted(features, stride=1, n_units=64, config=WITH_TEACHER)
    assert np.isfinite(model.codebook).all()
    assert np.isfinite(model.outcome.best_valid_loss)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"encoder": "conv", "kernel": 9}, "kernel=9 only applies to encoder='convnext'"),
        ({"tail": "gru"}, "tail='gru' only applies to encoder='conv'"),
        (
            {"encoder": "published", "n_blocks": 2},
            "n_blocks=2 only applies to encoder='convnext' or encoder='conv'",
        ),
        ({"kernel": 8}, "kernel=8 must be odd"),
    ],
)
def test_settings_of_another_encoder_are_refused(settings: dict, message: str) -> None:
    with pytest.raises(InputError, match=re.escape(message)):
        VQVAEConfig(**settings)


def test_bundles_of_older_versions_had_no_teacher(
    tmp_path: Path, usual: tuple[Features, VQVAEUnits]
) -> None:
    usual[1].save(tmp_path / "m")
    settings = load_unit_model(tmp_path / "m")._settings()
    older = {n: v for n, v in settings["config"].items() if n not in {"teacher", "augmentation"}}
    config = {"settings": {**settings, "config": older}}
    model = VQVAEUnits._unfitted(config, "cpu")
    assert model.config.teacher == "none"
    assert model.config.augmentation is None


def test_a_checkpoint_of_other_settings_is_refused(tmp_path: Path) -> None:
    fitted(speech(), folder=tmp_path)
    with pytest.raises(InputError, match=r"other data or other settings"):
        fitted(speech(), stride=2, folder=tmp_path)


def test_the_seed_decides() -> None:
    ids = []
    for seed in (1, 1, 2):
        recipe = SHORT.model_copy(update={"seed": seed, "max_steps": 3})
        ids.append(fitted(speech(), recipe=recipe).id)
    assert ids[0] == ids[1] != ids[2]


@pytest.mark.parametrize("speakers", [(None,), ("ana", None), ("only",)])
def test_speakers_known_or_not(speakers: tuple[str | None, ...]) -> None:
    features = speech(speakers=speakers)
    model = fitted(features)
    assert model.n_speakers == len([s for s in speakers if s])
    assert any("no speaker is known" in line for line in model.findings) == (speakers == (None,))
    unknown = speech(3, speakers=("new", None), seed=5)
    units = model.encode(unknown)
    assert [len(u) for u in units.units.values()] == [-(-n // 4) for n in (60, 65, 70)]


def test_a_speaker_who_is_held_out_alone_stands_for_nobody() -> None:
    features = speech(8, speakers=(None,))
    _, kept = held_out(features)
    features.speakers[kept.ids[0]] = "held out"
    features.speakers[next(i for i in features.ids if i not in kept.ids)] = "trained"
    model = fitted(features)
    assert model.n_speakers == 1


@pytest.mark.parametrize("ema", [True, False])
def test_constant_frames_collapse_audibly(ema: bool) -> None:
    """A first layer of five frames tells five places in constant speech apart: at its edges."""
    features = Features.from_arrays({f"u{i}": np.full((40, 3), 5, np.float32) for i in range(4)})
    config = TINY.model_copy(update={"ema": ema, "restart_below": 0.0, "decay": 0.8, "n_blocks": 0})
    with pytest.warns(CollapseWarning, match="[1-5] of 64 units are in use"):
        model = fitted(features, stride=1, n_units=64, config=config)
    assert any("collapsed" in line for line in model.findings)
    assert len(np.unique(model.encode(features).units["u0"])) == model.n_used <= 5


def test_utterances_of_one_frame(usual: tuple[Features, VQVAEUnits]) -> None:
    _, model = usual
    one = Features.from_arrays({"x": np.zeros((1, 6), np.float32)})
    assert len(model.encode(one).units["x"]) == 1
    short = Features.from_arrays({f"u{i}": np.eye(6, dtype=np.float32)[[i % 6]] for i in range(40)})
    assert len(fitted(short, n_units=4).encode(short).units["u3"]) == 1


def test_too_little_speech_is_refused() -> None:
    with pytest.raises(InputError, match="500 units can't be found in"):
        fitted(speech(), n_units=500)
    with pytest.raises(InputError, match="can't be trained on 1 utterance"):
        fitted(speech(1))
    for n_units, stride in ((0, 4), (8, 3)):
        with pytest.raises(InputError, match="must be ≥ 1 and stride"):
            VQVAEUnits(n_units, stride)


def test_a_rate_that_is_too_high_is_an_error(tmp_path: Path) -> None:
    recipe = SHORT.model_copy(update={"learning_rate": 1e30})
    with pytest.raises(InputError, match="training diverged at step") as caught:
        fitted(speech(), recipe=recipe, folder=tmp_path)
    assert "learning_rate" in str(caught.value)


def test_kmeans_of_the_latents_lowers_the_distortion(usual: tuple[Features, VQVAEUnits]) -> None:
    features, trained = usual
    again = fitted(features, config=TINY.model_copy(update={"codebook_from": "kmeans"}))
    assert again.distortion < trained.distortion


def test_segments_are_cut_from_what_the_front_end_prepared() -> None:
    features = speech(5)
    model = fitted(features)
    speakers = speakers_of(features)
    data = prepared(features, model.front_end, speakers)
    batch = data.random(50, 40, (0, 1, 2))
    assert batch["x"].shape == (50, 40, 6)
    for x, utterance, speaker in zip(
        batch["x"], batch["utterances"], batch["speakers"], strict=True
    ):
        frames = model.front_end(features, features.ids[utterance])
        starts = [s for s in range(len(frames) - 39) if np.array_equal(frames[s : s + 40], x)]
        assert len(starts) == 1
        assert speakers[speaker] == features.speakers[features.ids[utterance]]
    assert sum(data.lengths[data.sample(10**9, seed=0)]) == len(features.frames)
    assert len(data.sample(1, seed=0)) == 1


DISTRIBUTED = """
import sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from test_vqvae import SHORT, TINY, fitted, speech
from zerochain.training.device import is_main_process

model = fitted(speech(), config=TINY.model_copy(update={{"restart_below": 0.3}}),
               recipe=SHORT.model_copy(update={{"max_steps": 12, "validate_every": 6}}),
               folder=Path({out!r}) / "training")
(Path({out!r}) / f"{{is_main_process()}}.txt").write_text(
    str((model.outcome.computed_on, model.codebook.tolist()))
)
"""


@pytest.mark.usefixtures("warm")
def test_two_processes_train_one_codebook(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(DISTRIBUTED.format(tests=str(Path(__file__).parent), out=str(tmp_path)))
    command = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", str(script)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(
        [sys.executable, *command], check=False, capture_output=True, text=True, env=environment
    )
    assert done.returncode == 0, done.stderr
    codebooks = [(tmp_path / f"{main}.txt").read_text() for main in (True, False)]
    assert codebooks[0] == codebooks[1]
    assert codebooks[0].startswith("('CPU, 1 thread, 2 processes', ")


ON_THREADS = """
import sys
import torch
sys.path.insert(0, {tests!r})
from test_vqvae import SHORT, TINY, fitted, speech

for n in (1, 2, 2):
    torch.set_num_threads(n)
    model = fitted(speech(), config=TINY, recipe=SHORT)
    print(model.id, model.outcome.computed_on)
"""


@pytest.mark.usefixtures("warm")
def test_the_id_depends_on_the_number_of_threads_in_training() -> None:
    """In a process of its own: one with threads can't be forked, and others here can."""
    done = subprocess.run(
        [sys.executable, "-c", ON_THREADS.format(tests=str(Path(__file__).parent))],
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, "CUDA_VISIBLE_DEVICES": "", "PYTHONPATH": ":".join(sys.path)},
    )
    (one, on_one), (two, on_two), again = (line.split(" ", 1) for line in done.stdout.splitlines())
    assert one != two
    assert (on_one, on_two) == ("CPU, 1 thread", "CPU, 2 threads")
    assert again == [two, on_two]
