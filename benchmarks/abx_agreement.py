"""ABX errors of the field's own programs beside ours, on the small items of the tests.

Peers: fastabx, and Libri-Light's code as the ZeroSpeech challenges install it (libriabx for 2021,
libriabx2 which has any context as well). They differ in the frames of a token, and in the scale of
vectors, see `ours`. Groups are too small to be subsampled by any of them, so nothing is random.

    python benchmarks/abx_agreement.py [--fastabx PYTHON] [--librilight PYTHON] [--write]

Give a Python that can import them (fastabx needs 3.12; `pip install fastabx`, `pip install
zerospeech-libriabx zerospeech-libriabx2`) here, or in ZEROCHAIN_FASTABX_PYTHON and
ZEROCHAIN_LIBRILIGHT_PYTHON. For peers that are missing, the recorded errors are shown. --write
generates the items again and records the errors of all peers, or of none.

All agree to 1e-7 or better (of the error as a fraction) except on two kinds of data. On "codes",
the code vectors of units, float32 rounding shows in the peers: the distance of equal frames is
often 1e-4, and sums depend on the order of their terms, so that ties are broken. "zeros" has
all-zero frames, which fastabx 0.9 puts at some angle from the others and not at the largest. With a
frame distance that has neither flaw ("exact angular") fastabx agrees on both.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import sys
import tempfile
import types
from importlib.metadata import version
from itertools import product
from pathlib import Path

import numpy as np

from measuring import apart

HERE = Path(__file__).resolve().parents[1] / "tests" / "metrics" / "abx_peers"
ITEMS, SCORES = "triphones.item", "scores.json"
STEP_MS = 10
LIMITS = {"max_size_group": 10, "max_x_across": 5}
"""Libri-Light's own; groups here are smaller."""
MODES = ("within", "across")
CONTEXTS = ("within", "any")
FASTABX = {
    ("vectors", "angular"),
    ("vectors", "euclidean"),
    ("posteriors", "kl_symmetric"),
    ("units", "identical"),
    ("codes", "angular"),
    ("codes", "exact angular"),
    ("zeros", "angular"),
    ("zeros", "exact angular"),
}
LIBRILIGHT = {
    ("vectors", "cosine"),
    ("vectors", "euclidean"),
    ("posteriors", "kl_symmetric"),
    ("codes", "cosine"),
    ("zeros", "cosine"),
}


def make(folder):
    """Eight recordings by four speakers: an .item file, and five representations of them."""
    rng = np.random.default_rng(29)  # no two distances within 5e-6: float32 tells them apart
    phones, speakers = "aeiou", ("ana", "bo", "cy", "di")
    contexts = (("#", "k"), ("s", "k"), ("s", "t"))
    courses = rng.normal(size=(len(phones), 12, 8))
    shifts = 0.7 * rng.normal(size=(len(speakers), 8))
    codebook = rng.normal(size=(7, 8))
    lines = ["#file onset offset #phone prev-phone next-phone speaker"]
    for s, speaker in enumerate(speakers):
        said = [
            one for one in product(range(len(phones)), contexts) for _ in range(rng.integers(4))
        ]
        order = rng.permutation(len(said))
        for part in range(2):
            name, frames = f"{speaker}-{part}", [rng.normal(size=(2, 8))]
            for i in order[part::2]:
                phone, (before, after) = said[i]
                n = int(rng.choice([1, 2, 3, 5, 9], p=[0.15, 0.2, 0.3, 0.25, 0.1]))
                first = sum(map(len, frames))
                # The centres of the first and the last frame are inside, some only just.
                onset = STEP_MS * first + int(rng.integers(-4, 6))
                offset = max(onset + 1, STEP_MS * (first + n) + int(rng.integers(-5, 5)))
                times = f"{onset / 1000:.3f} {offset / 1000:.3f}"
                lines.append(f"{name} {times} {phones[phone]} {before} {after} {speaker}")
                course = courses[phone, np.linspace(0, 11, n).astype(int)]
                frames.append(course + shifts[s] + rng.normal(size=(n, 8)))
                frames.append(rng.normal(size=(int(rng.integers(3)), 8)))
            save(folder, name, np.concatenate(frames), codebook, rng)
    (folder / ITEMS).write_text("\n".join(lines) + "\n", encoding="utf-8")


def save(folder, name, frames, codebook, rng):
    raised = np.exp(1.5 * frames)
    units = ((frames[:, None] - codebook) ** 2).sum(axis=2).argmin(axis=1)
    made = {
        "vectors": frames,
        "posteriors": raised / raised.sum(axis=1, keepdims=True),
        "codes": codebook[units],
        "zeros": frames * (rng.random((len(frames), 1)) > 0.25),
    }
    made = {kind: array.astype(np.float32) for kind, array in made.items()}
    made["units"] = units[:, None].astype(np.int32)
    for kind, array in made.items():
        (folder / kind).mkdir(exist_ok=True)
        np.save(folder / kind / f"{name}.npy", array)


def fastabx(folder):
    """Errors by fastabx, as fractions."""
    import torch
    from fastabx import zerospeech_abx

    rows = []
    for (data, distance), mode, context in product(sorted(FASTABX), MODES, CONTEXTS):
        options = {"speaker": mode, "context": context, **LIMITS, "extension": ".npy"}
        options |= {"frequency": 1000 // STEP_MS, "seed": 0, "device": "cpu"}
        error = zerospeech_abx(
            folder / ITEMS,
            folder / data,
            feature_maker=lambda path: torch.from_numpy(np.load(path)),
            distance=exact_angular if distance == "exact angular" else distance,
            progress=False,
            **options,
        )
        rows.append(row("fastabx", "fastabx", data, distance, mode, context, options, error))
    return rows


def exact_angular(x, y):
    """arccos / π of (N, S, D) and (M, T, D) → (N, M, S, T): equal frames are at 0, zeros at 1.

    In steps of 2^-18, so that float32 adds them without rounding, in any order.
    """
    import torch

    p, q = x.double().flatten(0, 1), y.double().flatten(0, 1)
    lengths = torch.outer(p.norm(dim=1), q.norm(dim=1))
    angles = torch.where(lengths > 0, (p @ q.T / lengths).clamp(-1, 1).acos() / torch.pi, 1.0)
    angles = torch.where((p[:, None] == q).all(dim=2), 0.0, angles)
    steps = (2**18 * angles).round().float() / 2**18
    return steps.view(len(x), x.size(1), len(y), y.size(1)).transpose(1, 2)


def libriabx2(folder):
    """Errors by Libri-Light's code with contexts, as fractions."""
    import_torchaudio()
    from zrc_abx2 import EvalABX, EvalArgs

    rows = []
    for data, distance in sorted(LIBRILIGHT):
        options = {"speaker_mode": "all", "context_mode": "all", "distance_mode": distance}
        options |= {"file_extension": ".npy", "feature_size": STEP_MS / 1000, "seed": 0}
        options |= {"pooling": "none", "cuda": False, **LIMITS}
        with contextlib.redirect_stdout(sys.stderr):
            found = EvalABX().eval_abx(
                EvalArgs(path_data=folder / data, path_item_file=str(folder / ITEMS), **options)
            )
        for one in found:
            mode, context = one["abx-s-condition"], one["abx-c-condition"]
            package = "zerospeech-libriabx2"
            rows.append(
                row("libriabx2", package, data, distance, mode, context, options, one["score"])
            )
    return rows


def libriabx(folder):
    """Errors by Libri-Light's code as in ZeroSpeech 2021, as fractions."""
    import_torchaudio()
    from libriabx import AbxArguments, abx_eval

    rows = []
    for data, distance in sorted(LIBRILIGHT):
        options = {"mode": "all", "distance_mode": distance, "file_extension": ".npy"}
        options |= {"feature_size": STEP_MS / 1000, "cuda": False, **LIMITS}
        with contextlib.redirect_stdout(sys.stderr):
            found = abx_eval(
                AbxArguments(
                    path_data=str(folder / data), path_item_file=str(folder / ITEMS), **options
                )
            )
        package = "zerospeech-libriabx"
        for mode, error in found.items():
            rows.append(row("libriabx", package, data, distance, mode, "within", options, error))
    return rows


def import_torchaudio():
    """Libri-Light's code imports torchaudio for recordings, of which there are none here."""
    try:
        import torchaudio  # noqa: F401
    except (ImportError, OSError):
        sys.modules["torchaudio"] = types.ModuleType("torchaudio")


def row(peer, package, data, distance, mode, context, options, error):
    facts = {"peer": peer, "version": version(package), "data": data, "distance": distance}
    facts |= {"mode": mode, "context": context, "options": options}
    return {**facts, "error": float(error)}


PEERS = {"fastabx": fastabx, "libriabx": libriabx, "libriabx2": libriabx2}


def ours(folder, one):
    """Our error by a peer's choices, as a fraction."""
    from zerochain.features.normalisation import unit_length
    from zerochain.formats.features import Features
    from zerochain.formats.units import UnitFile
    from zerochain.metrics.abx import abx
    from zerochain.metrics.abx_plan import ZS2021, variant
    from zerochain.metrics.items import read_items

    librilight = one["peer"] != "fastabx"
    arrays = {path.stem: np.load(path) for path in (folder / one["data"]).glob("*.npy")}
    if one["data"] == "units":
        units = {name: array[:, 0] for name, array in arrays.items()}
        given = UnitFile(units, 1 + max(u.max() for u in units.values()), STEP_MS, "m", "units")
    else:
        given = Features.from_arrays(arrays, step_ms=STEP_MS)
        given = unit_length(given) if librilight else given
    protocol = variant(ZS2021, context=one["context"], reference_slicing=librilight)
    renamed = {"cosine": "angular", "exact angular": "angular"}
    distance = renamed.get(one["distance"], one["distance"])
    items = read_items(folder / ITEMS)
    return abx(given, items, mode=one["mode"], distance=distance, protocol=protocol).value / 100


def measured(python, peer, folder):
    """A peer's errors by another Python, or none where it can't import the peer."""
    return apart(__file__, "--measure", peer, folder, python=python, may_fail=True) or []


def write(pythons):
    """Write new items, and the scores of all peers on them."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        make(folder)
        found = [measured(python, peer, folder) for peer, python in pythons.items()]
        if not all(found):
            sys.exit("not written: all peers have to score the same items")
        text = json.dumps([one for rows in found for one in rows], indent=1)
        (folder / SCORES).write_text(text + "\n", encoding="utf-8")
        shutil.copytree(folder, HERE, dirs_exist_ok=True)


def report(rows, folder):
    print(f"{'':10} {'':7} {'data':10} {'distance':13} {'speaker':7} {'context':7} ", end="")
    print(f"{'peer %':>11} {'ours %':>11} {'difference':>10}")
    for one in rows:
        mine = ours(folder, one)
        print(
            f"{one['peer']:10} {one['version']:7} {one['data']:10} {one['distance']:13} "
            f"{one['mode']:7} {one['context']:7} {100 * one['error']:11.6f} {100 * mine:11.6f} "
            f"{100 * (mine - one['error']):10.1e}"
        )


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fastabx", default=os.environ.get("ZEROCHAIN_FASTABX_PYTHON"))
    parser.add_argument("--librilight", default=os.environ.get("ZEROCHAIN_LIBRILIGHT_PYTHON"))
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--measure", nargs=2, metavar=("PEER", "FOLDER"))
    options = parser.parse_args()
    if options.measure:
        peer, folder = options.measure
        print(json.dumps(PEERS[peer](Path(folder))))
        return
    pythons = {"fastabx": options.fastabx}
    pythons = {peer: pythons.get(peer, options.librilight) or sys.executable for peer in PEERS}
    for python in pythons.values():
        if not Path(python).exists():
            parser.error(f"{python}: no such Python")
    if options.write:
        write(pythons)
    recorded = json.loads((HERE / SCORES).read_text(encoding="utf-8"))
    rows = []
    for peer, python in pythons.items():
        rows += measured(python, peer, HERE) or [one for one in recorded if one["peer"] == peer]
    report(rows, HERE)


if __name__ == "__main__":
    main()
