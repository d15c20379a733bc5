"""The same speech, settings and seed give the same bundle on any number of threads."""

import os
import subprocess
import sys

import pytest
import torch

from zerochain.discovery.model import in_order, one_thread

FIT = """
import numpy as np
import torch
from threadpoolctl import threadpool_limits
from zerochain.discovery.front_end import FrontEndOptions
from zerochain.discovery.kmeans import KMeansConfig, KMeansUnits
from zerochain.discovery.mixtures import DPGMMConfig, DPGMMUnits, GMMUnits, MixtureConfig
from zerochain.formats.features import Features
rng = np.random.default_rng(0)
arrays = {f"u{i}": rng.normal(size=(5000, 39)).astype(np.float32) for i in range(8)}
features = Features.from_arrays(arrays, extractor="array")
options = FrontEndOptions(context=5, components=60)
few = dict(max_iterations=3)
for n in (1, 2, 3):
    torch.set_num_threads(n)
    with threadpool_limits(n):
        said = []
        for model in (
            KMeansUnits(100, options=options, config=KMeansConfig(**few)),
            GMMUnits(24, options=options, config=MixtureConfig(**few)),
            DPGMMUnits(24, options=options, config=DPGMMConfig(**few)),
        ):
            fitted = model.fit(features)
            units = b"".join(line.tobytes() for line in fitted.encode(features).units.values())
            said += [fitted.id, hash(units)]
        print(*said)
"""


def test_the_same_bundle_whatever_the_threads() -> None:
    threads = {f"{of}_NUM_THREADS": "3" for of in ("OMP", "MKL", "OPENBLAS")}  # at most
    done = subprocess.run(
        [sys.executable, "-c", FIT],
        env={**os.environ, **threads, "PYTHONPATH": ":".join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )
    one, two, three = done.stdout.splitlines()
    assert one == two == three


def test_results_come_in_order_and_torch_keeps_its_threads() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        assert list(in_order(lambda n: (n, torch.get_num_threads()), range(50))) == [
            (n, 1) for n in range(50)
        ]
        assert torch.get_num_threads() == 3
        assert next(in_order(abs, iter([-4, -5]))) == 4  # and nobody reads on
        assert torch.get_num_threads() == 3
        with one_thread():
            assert torch.get_num_threads() == 1
        assert torch.get_num_threads() == 3
        with pytest.raises(ZeroDivisionError):
            list(in_order(lambda n: 1 / n, [1, 0]))
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)
