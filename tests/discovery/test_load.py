import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from conftest import small_corpus
from edits import unsealed
from zerochain.discovery.front_end import FrontEndOptions
from zerochain.discovery.kmeans import KMeansUnits
from zerochain.discovery.stage import load_unit_model
from zerochain.errors import InputError
from zerochain.features.extraction import extracted
from zerochain.features.spectral import SpectralOptions


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> KMeansUnits:
    corpus = small_corpus(tmp_path_factory.mktemp("c"), 3)
    with extracted(corpus, SpectralOptions(kind="mfcc"), jobs=1) as features:
        return KMeansUnits(4, options=FrontEndOptions(context=1, components=5)).fit(features)


@pytest.fixture
def bundle(fitted: KMeansUnits, tmp_path: Path) -> Path:
    fitted.save(tmp_path / "m")
    return tmp_path / "m"


def test_it_loads(fitted: KMeansUnits, bundle: Path) -> None:
    assert load_unit_model(bundle).id == fitted.id


@pytest.mark.parametrize(
    "key",
    ["n_units", "stride", "normalisation", "settings", "penalty", "context", "warp_of", "step_ms"],
)
def test_a_bundle_that_lacks_a_setting(bundle: Path, key: str) -> None:
    config = json.loads((bundle / "config.json").read_text())["config"]
    unsealed(bundle / "config.json", config={k: v for k, v in config.items() if k != key})
    with pytest.raises(InputError, match=f"not a valid unit model: lacks {key}") as caught:
        load_unit_model(bundle)
    assert caught.value.path == bundle


@pytest.mark.parametrize(
    ("key", "value"),
    [("n_units", 5), ("n_units", "many"), ("settings", []), ("penalty", -1)],
)
def test_a_bundle_whose_settings_make_no_sense(bundle: Path, key: str, value: Any) -> None:
    config = json.loads((bundle / "config.json").read_text())["config"]
    unsealed(bundle / "config.json", config={**config, key: value})
    with pytest.raises(InputError, match="not a valid unit model"):
        load_unit_model(bundle)


@pytest.mark.parametrize("codebook", [None, np.zeros((3, 5)), np.zeros(4), np.zeros((4, 5, 1))])
def test_a_bundle_with_another_codebook(bundle: Path, codebook: Any) -> None:
    tensors = load_file(bundle / "weights.safetensors")
    del tensors["codebook"]
    if codebook is not None:
        tensors["codebook"] = codebook.astype(np.float32)
    save_file(tensors, bundle / "weights.safetensors")
    unsealed(bundle / "config.json")
    with pytest.raises(InputError, match=r"lacks 'codebook'|has a codebook of shape"):
        load_unit_model(bundle)
