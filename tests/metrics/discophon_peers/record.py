"""Records what discophon 0.2.0 gives for synthetic units and phones, and with fastabx for ABX.

    python3.13 -m venv peers && peers/bin/pip install discophon==0.2.0 fastabx==0.9.0
    peers/bin/python tests/metrics/discophon_peers/record.py

Writes discovery.json and abx.json beside this file. The items and sequences of the ABX errors are
those of tests/metrics/abx_peers.
"""

import json
import tempfile
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from discophon.abx import continuous_abx, discrete_abx
from discophon.evaluate import phoneme_discovery

HERE = Path(__file__).parent
ABX = HERE.parent / "abx_peers"
PHONES = ["SIL", "a", "i", "k", "m", "ŋ", "t", "u"]
VERSIONS = {name: version(name) for name in ("discophon", "fastabx", "numpy", "scipy")}


def speech(rng, n, n_units, step, noise, ragged, labels=PHONES):
    """Utterances of phones and of units that follow them, more or less."""
    units, phones = {}, {}
    for i in range(n):
        line, previous = [], ""
        while len(line) < 90:
            label = str(rng.choice([p for p in labels if p != previous]))
            line += [label] * int(rng.integers(2, 9))
            previous = label
        repeat = step // 10
        # A step of units too few or too many is what discophon allows.
        n_steps = len(line) // repeat
        if ragged:
            line = line[: n_steps * repeat]
            n_steps += int(rng.integers(-1, 2))
        middles = [min(k * repeat + repeat // 2, len(line) - 1) for k in range(n_steps)]
        codes = [PHONES.index(line[m]) for m in middles]
        spread = max(1, n_units // len(PHONES))
        made = [(c * spread + int(rng.integers(spread))) % n_units for c in codes]
        wrong = rng.random(n_steps) < noise
        random = rng.integers(n_units, size=n_steps)
        units[f"u{i}"] = np.where(wrong, random, made).tolist()
        phones[f"u{i}"] = line
    return units, phones


def discovery():
    """Cases of (units, phones, settings) and discophon's scores."""
    rng = np.random.default_rng(0)
    settings = [
        ("many-to-one", 256, 7, 20, {"n": 6, "noise": 0.2, "ragged": True}),
        ("many-to-one", 24, 7, 10, {"n": 5, "noise": 0.5, "ragged": False}),
        ("many-to-one", 3, 12, 40, {"n": 5, "noise": 0.1, "ragged": True}),
        ("one-to-one", 8, 7, 20, {"n": 6, "noise": 0.3, "ragged": True}),
        ("one-to-one", 11, 10, 20, {"n": 4, "noise": 0.6, "ragged": False}),
        ("one-to-one", 6, 5, 10, {"n": 4, "noise": 0.4, "ragged": True, "labels": PHONES[:5]}),
    ]
    for kind, n_units, n_phonemes, step, how in settings:
        units, phones = speech(rng, how.pop("n"), n_units, step, **how)
        given = {"kind": kind, "n_units": n_units, "n_phonemes": n_phonemes, "step_units": step}
        scores = phoneme_discovery(units, phones, **given)
        # One string per utterance is far shorter than lists in JSON.
        texts = {name: " ".join(line) for name, line in phones.items()}
        lists = {name: " ".join(map(str, line)) for name, line in units.items()}
        yield {**given, "units": lists, "phones": texts, "scores": scores}


def abx():
    """ABX errors of units by identity and of vectors by angle."""
    item = ABX / "triphones.item"
    with tempfile.TemporaryDirectory() as folder:
        units = Path(folder) / "u.jsonl"
        rows = [
            {"file": path.stem, "units": np.load(path)[:, 0].astype(int).tolist()}
            for path in sorted((ABX / "units").glob("*.npy"))
        ]
        units.write_text("".join(json.dumps(row) + "\n" for row in rows))
        vectors = Path(folder) / "vectors"
        vectors.mkdir()
        for path in (ABX / "vectors").glob("*.npy"):
            torch.save(torch.from_numpy(np.load(path)), vectors / f"{path.stem}.pt")
        for data, source, function in (
            ("units", units, discrete_abx),
            ("vectors", vectors, continuous_abx),
        ):
            for kind in ("triphone", "phoneme"):
                scores = function(item, source, frequency=100, kind=kind)
                yield {"data": data, "kind": kind, "scores": scores}


if __name__ == "__main__":
    for name, rows in (("discovery", discovery()), ("abx", abx())):
        text = json.dumps({"versions": VERSIONS, "cases": list(rows)}, indent=1, ensure_ascii=False)
        (HERE / f"{name}.json").write_text(text + "\n", encoding="utf-8")
