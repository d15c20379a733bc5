import json
from pathlib import Path

import numpy as np
import pytest

from zerochain.errors import InputError
from zerochain.formats.bundle import (
    Fit,
    bundle_id,
    each_once,
    read_fit,
    write_bundle,
    write_fit,
)


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    write_bundle(tmp_path / "m", "kmeans", {}, {"codebook": np.eye(2)}, {})
    return tmp_path / "m"


def test_it_is_read_as_written_and_leaves_the_bundle_s_id_alone(bundle: Path) -> None:
    before = bundle_id(bundle)
    assert read_fit(bundle) is None
    write_fit(bundle, Fit(12.5, "CPU, 2 threads"))
    assert read_fit(bundle) == Fit(12.5, "CPU, 2 threads")
    assert bundle_id(bundle) == before


@pytest.mark.parametrize(("name", "value"), [("seconds", "long"), ("device", 3), ("device", None)])
def test_other_types_are_refused(bundle: Path, name: str, value: object) -> None:
    write_fit(bundle, Fit(12.5, "CPU"))
    header = json.loads((bundle / "fit.json").read_text())
    (bundle / "fit.json").write_text(json.dumps({**header, name: value}))
    with pytest.raises(InputError, match=f"is invalid: '{name}' is"):
        read_fit(bundle)


@pytest.mark.parametrize(
    ("devices", "once"),
    [
        ({"CPU, 2 threads", "CPU, 2 threads, bf16", ""}, ["CPU, 2 threads, bf16"]),
        ({"CPU, 2 threads", "CPU, 20 threads"}, ["CPU, 2 threads", "CPU, 20 threads"]),
        ({"cuda", "NVIDIA H100"}, ["NVIDIA H100"]),
        ({"cuda", "CPU, 2 threads"}, ["CPU, 2 threads", "cuda"]),
        ({"cuda"}, ["cuda"]),
    ],
)
def test_a_device_is_named_once(devices: set[str], once: list[str]) -> None:
    assert each_once(devices) == once
