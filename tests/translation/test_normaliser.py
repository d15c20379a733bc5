"""Units of several voices to those of one: three made-up accents of one language."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from commands import run
from zerochain.errors import InputError, ModelMismatchError
from zerochain.formats.bundle import read_bundle
from zerochain.formats.units import UnitFile, read_units, write_units
from zerochain.training.recipe import Recipe
from zerochain.translation.normaliser import (
    Gain,
    NormaliserConfig,
    NormaliserTraining,
    normalise,
    train_normaliser,
)

N_UNITS = 20
TINY = {"width": 32, "n_heads": 2, "n_encoder_layers": 1, "n_decoder_layers": 1, "dropout": 0.0}
QUICK = Recipe(max_steps=2, validate_every=2, batch_size=8)


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def accent(units: np.ndarray, voice: str, rng: np.random.Generator) -> np.ndarray:
    """Béa says 10 + u for an odd u; Carl swallows what follows a 0, and doubles a 4 as 4 14."""
    match voice:
        case "béa":
            return np.where(units % 2, 10 + units, units)
        case "carl":
            said = [u for before, u in zip([-1, *units], units, strict=False) if before != 0]
            return np.array([x for u in said for x in ([4, 14] if u == 4 else [u])])
        case _:
            return units


def spoken(root: Path, n: int = 150, seed: int = 0, model: str = "a") -> dict[str, Path]:
    """Unit files of three voices that say the same, each with its own durations."""
    rng = np.random.default_rng(seed)
    lines = {
        f"ü{i}": np.concatenate([rng.permutation(5), rng.permutation(10)[: int(rng.integers(5))]])
        for i in range(n)
    }
    paths = {}
    for voice in ("ana", "béa", "carl"):
        units = {name: accent(line, voice, rng).astype(np.int32) for name, line in lines.items()}
        made = UnitFile(
            units,
            N_UNITS,
            20.0,
            model * 64,
            "made",
            durations={name: rng.integers(1, 4, len(u)) for name, u in units.items()},
            speakers=dict.fromkeys(units, voice),
            corpus_id=f"corpus-{voice}",
        )
        paths[voice] = root / f"{voice}.parquet"
        root.mkdir(parents=True, exist_ok=True)
        write_units(paths[voice], made)
    return paths


@pytest.fixture(scope="module")
def voices(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return spoken(tmp_path_factory.mktemp("voices"))


def trained(
    voices: dict[str, Path], out: Path, *others: str, **options: Any
) -> tuple[list[Gain], NormaliserTraining]:
    files = [voices[name] for name in others or ("béa", "carl")]
    return train_normaliser(files, voices["ana"], out, config=NormaliserConfig(**TINY), **options)


def test_accents_are_taken_out(voices: dict[str, Path], tmp_path: Path) -> None:
    recipe = Recipe(
        max_steps=100,
        validate_every=50,
        batch_size=16,
        learning_rate=6e-3,
        annealing="cosine",
        ema_decay=0.9,
    )
    gains, report = trained(voices, tmp_path / "x", recipe=recipe)
    assert [gain.name for gain in gains] == [str(voices[v]) for v in ("béa", "carl", "ana")]
    assert report.n_test == 15
    for gain in gains:
        assert gain.before.n == 15
    for gain in gains[:2]:
        assert gain.before.value > 20
        assert gain.after.value < 0.6 * gain.before.value  # what Carl swallows is gone
    assert gains[2].before.value == 0
    assert gains[2].after.value < 10
    assert read_bundle(tmp_path / "x").model == "normaliser"

    others = spoken(tmp_path / "new", 40, seed=1)
    made = normalise(tmp_path / "x", others["béa"], tmp_path / "u.parquet")
    written, given, right = (
        read_units(p) for p in (tmp_path / "u.parquet", others["béa"], others["ana"])
    )
    assert written.units.keys() == made.units.keys()
    assert written.ids == given.ids
    assert (written.model_id, written.n_units) == (given.model_id, given.n_units)
    assert written.speakers == given.speakers
    assert written.corpus_id == given.corpus_id
    assert written.durations is None
    assert written.method == "normalised: made"
    exact = [np.array_equal(written.units[n], right.segments(n)[0]) for n in right.ids]
    as_they_were = [np.array_equal(given.segments(n)[0], right.segments(n)[0]) for n in right.ids]
    assert np.mean(exact) > np.mean(as_they_were) + 0.3


def test_no_utterance_that_is_held_out_is_trained_on_in_another_voice(
    voices: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[str, set[str]] = {}

    def watched(model: Any, material: Any, network: Any, pairs: Any, *rest: Any) -> Any:
        seen["learned"], seen["valid"] = ({p.names[1] for p in part} for part in pairs)
        seen["all"] = {p.names[1] for p in material.pairs}
        raise KeyboardInterrupt

    monkeypatch.setattr("zerochain.translation.normaliser.trained", watched)
    with pytest.raises(KeyboardInterrupt):
        trained(voices, tmp_path / "x")
    assert not seen["learned"] & seen["valid"]
    assert len(seen["all"] - seen["learned"] - seen["valid"]) == 15


def test_ctc_has_steps_for_voices_that_say_more(voices: dict[str, Path], tmp_path: Path) -> None:
    trained(voices, tmp_path / "x", recipe=QUICK)
    assert read_bundle(tmp_path / "x").config["network"]["upsampling"] == 2


def test_units_of_another_model(voices: dict[str, Path], tmp_path: Path) -> None:
    others = spoken(tmp_path / "b", 20, model="b")
    with pytest.raises(ModelMismatchError, match=r"of unit model bbbb.* the one voice .* of aaaa"):
        train_normaliser([others["béa"]], voices["ana"], tmp_path / "x")
    trained(voices, tmp_path / "x", recipe=QUICK)
    with pytest.raises(ModelMismatchError, match=r"normaliser was trained on units of aaaa"):
        normalise(tmp_path / "x", others["béa"], tmp_path / "u")
    assert not (tmp_path / "u").exists()


def test_files_that_do_not_belong_together(voices: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds the same units as"):
        trained(voices, tmp_path / "x", "béa", "ana")
    more = spoken(tmp_path / "more", 160)
    with pytest.raises(InputError, match=r"10 of 160 ids .* are missing .*: ü150, ü151"):
        train_normaliser([more["béa"]], voices["ana"], tmp_path / "x")
    one = read_units(voices["béa"]).restrict(["ü0"])
    write_units(tmp_path / "one.parquet", replace(one, id=""))
    two = replace(read_units(voices["ana"]).restrict(["ü0"]), id="")
    write_units(tmp_path / "two.parquet", two)
    with pytest.raises(InputError, match="can't be divided"):
        train_normaliser([tmp_path / "one.parquet"], tmp_path / "two.parquet", tmp_path / "x")
    assert not (tmp_path / "x").exists()


def test_commands(voices: dict[str, Path], tmp_path: Path) -> None:
    few = ["--steps", 2, "--validate-every", 2, "--width", 16, "--layers", 1, "--device", "cpu"]
    out = tmp_path / "x"
    files = [voices["béa"], "--target", voices["ana"]]
    shown = run("translate", "normaliser", "train", *files, "--out", out, *few).output
    assert "from 150 utterances in 2 voices" in shown
    assert "before" in shown
    assert "gain" in shown
    made = tmp_path / "u.parquet"
    shown = run("translate", "normaliser", "apply", out, voices["carl"], "--out", made).output
    assert "150 utterances" in shown
    assert read_units(made).ids == read_units(voices["carl"]).ids
    error = run("translate", "decode", out, voices["carl"], "--out", tmp_path / "v", code=1).output
    assert "holds a normaliser, not a translator" in error
