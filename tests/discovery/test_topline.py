"""The topline: a network that is given the gold phones."""

from pathlib import Path

import numpy as np
import pytest

from zerochain.discovery.front_end import FrontEndOptions
from zerochain.discovery.segmentation import Segmentation
from zerochain.discovery.stage import load_unit_model
from zerochain.discovery.topline import ToplineConfig, ToplineUnits, phone_classes
from zerochain.errors import InputError
from zerochain.features.spectral import SpectralOptions
from zerochain.formats.features import Features
from zerochain.formats.phones import Phone, Phones
from zerochain.training.recipe import Recipe

AS_IT_IS = FrontEndOptions(normalisation="none")
SMALL = ToplineConfig(width=16, n_blocks=1, dim=8, n_frames=32, augmentation=None)
LABELS = ("a", "b", "sil", "c")


def speech(n: int = 8, late_ms: float = 0.0) -> tuple[Features, Phones]:
    """Utterances of three phones and silence of five frames each, and when they are spoken."""
    rng = np.random.default_rng(0)
    means = 3 * rng.normal(size=(len(LABELS), 39))
    arrays, lines = {}, {}
    for i in range(n):
        order = rng.integers(len(LABELS), size=12 + i)
        frames = means[order].repeat(5, axis=0) + rng.normal(0, 0.3, (5 * len(order), 39))
        arrays[f"u{i}"] = frames.astype(np.float32)
        times = 0.05 * np.arange(len(order) + 1) + late_ms / 1000
        lines[f"u{i}"] = [
            Phone(*times[k : k + 2].tolist(), LABELS[code]) for k, code in enumerate(order)
        ]
    kind = {"extractor": "mfcc", "options": SpectralOptions().model_dump()}
    owners = dict.fromkeys(arrays, "ana")
    return Features.from_arrays(arrays, speakers=owners, **kind), Phones(lines)


def fitted(features: Features, gold: Phones, stride: int = 1, **settings: float) -> ToplineUnits:
    recipe = Recipe(max_steps=60, batch_size=8, validate_every=20, learning_rate=1e-2)
    model = ToplineUnits(
        phone_classes(gold, features.ids),
        stride,
        gold=gold,
        options=AS_IT_IS,
        config=SMALL,
        recipe=recipe,
        **settings,
    )
    return model.fit(features)


def test_phones_are_recognised_and_the_bundle_gives_the_same(tmp_path: Path) -> None:
    features, gold = speech()
    model = fitted(features, gold)
    assert model.phones == ("a", "b", "c")
    assert (model.n_units, model.has_posteriors) == (4, True)
    assert model.accuracy > 0.9
    said = "".join([*model.phones, "-"][unit] for unit in model.encode(features).steps("u0"))
    spoken = "".join({"sil": "-"}.get(p.phone, p.phone) * 5 for p in gold.by_id["u0"])
    assert sum(a == b for a, b in zip(said, spoken, strict=True)) > 0.9 * len(spoken)
    posteriors = dict(model.posteriors(features))
    np.testing.assert_allclose(posteriors["u0"].sum(axis=1), 1, rtol=1e-5)
    segments = model.encode(features, Segmentation(3.0))
    assert len(segments.units["u0"]) < len(said)
    model.save(tmp_path / "m")
    loaded = load_unit_model(tmp_path / "m")
    assert isinstance(loaded, ToplineUnits)
    assert (loaded.id, loaded.phones, loaded.accuracy) == (model.id, model.phones, model.accuracy)
    np.testing.assert_array_equal(
        loaded.encode(features).steps("u0"), model.encode(features).steps("u0")
    )


def test_late_alignments_are_shifted_and_steps_may_be_longer() -> None:
    features, gold = speech(late_ms=60)
    model = fitted(features, gold, 2, shift_ms=-60)
    assert model.step_ms == 20
    assert model.accuracy > 0.7  # a step of two frames may have two phones


def test_utterances_without_gold_phones_are_left_out_and_said() -> None:
    features, gold = speech()
    del gold.by_id["u3"]
    model = fitted(features, gold)
    assert model.findings == ["left out: 1 utterance without gold phones: u3"]
    others = Phones({"v": gold.by_id["u0"]}, "phones.parquet")
    with pytest.raises(InputError, match="none of 8 utterances has gold phones"):
        ToplineUnits(["a", "b"], gold=others).fit(features)


def test_classes_are_the_phones_without_silences() -> None:
    _, gold = speech()
    assert phone_classes(gold, ["u0", "u1"]) == ["a", "b", "c"]
    assert phone_classes(gold, ["u0", "u1"], {"a"}) == ["b", "c", "sil"]
    with pytest.raises(InputError, match="1 utterance without a gold phone"):
        phone_classes(gold, ["x"])


def test_an_even_kernel_is_refused() -> None:
    with pytest.raises(ValueError, match="kernel=4 must be odd"):
        ToplineConfig(kernel=4)
