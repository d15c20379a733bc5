"""What a VQ-VAE costs and what it is worth: CPU-seconds of the whole fit, ABX, bit rate.

The defaults of `discover vqvae` of this build, of another build and, for scale, of strided K-Means,
on the same corpus with one thread each. ABX is across speakers, on a split that nothing was learned
from. An hour of speech takes this build about 20 minutes, builds before ConvNeXt over an hour.

    python benchmarks/vqvae_quality.py CORPUS [--shift-ms -60] [--steps N] [--before CHECKOUT]
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

from measuring import ROOT, run_build
from zerochain.formats.bundle import read_bundle


def measured(checkout, method, corpus, arguments, folder):
    """CPU-seconds of the fit, steps, validation loss, ABX by protocol, and bit/s in segments."""
    features, model = folder.parent / "features", folder / "model"
    few = ["--steps", arguments.steps] if arguments.steps and method == "vqvae" else []
    context = ["--context", 0] if method == "kmeans" else []
    spent = run_build(
        checkout, "discover", method, corpus, "--split", "train", "--features", features,
        "--stride", 4, *few, *context, "--jobs", 1, "--out", model,
    )  # fmt: skip
    found = {"cpu_s": spent.cpu_s}
    outcome = read_bundle(model).config["settings"].get("outcome", {})
    found |= {name: outcome[name] for name in ("steps", "converged") if name in outcome}
    units, scores = folder / "units.parquet", folder / "scores.jsonl"
    test = ["--corpus", corpus, "--split", "test", "--out", scores]
    run_build(checkout, "encode", model, corpus, "--split", "test", "--features", features,
              "--out", units)  # fmt: skip
    for protocol in ("triphone", "phone"):
        run_build(
            ROOT, "score", "abx", units, *test, "--model", model, "--mode", "across",
            "--protocol", protocol, "--shift-ms", arguments.shift_ms, "--jobs", 1,
        )  # fmt: skip
    run_build(ROOT, "score", "bitrate", units, *test)
    for score in map(json.loads, scores.read_text().splitlines()):
        if score["metric"] == "abx_across_%":
            found[score["protocol"]] = score["value"]
        elif score["metric"] == "segment_bitrate_bit/s":
            found["bits_per_s"] = score["value"]
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("corpus", type=Path, help="with gold phones, and splits train and test")
    parser.add_argument("--shift-ms", type=float, default=0.0, help="of the gold phones")
    parser.add_argument("--steps", type=int, help="fewer than the defaults, to try it")
    parser.add_argument("--before", type=Path, help="a checkout of another build")
    arguments = parser.parse_args()
    corpus = arguments.corpus.resolve()
    systems = {"K-Means, this build": (ROOT, "kmeans"), "VQ-VAE, this build": (ROOT, "vqvae")}
    if arguments.before:
        systems["VQ-VAE, other build"] = (arguments.before.resolve(), "vqvae")
    columns = ("CPU-s", "steps", "converged", "triphone %", "phone %", "bit/s")
    print(f"{'':>20}" + "".join(f"{column:>12}" for column in columns))
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        run_build(ROOT, "extract", corpus, "--out", root / "features", "--jobs", 1)
        for number, (system, (checkout, method)) in enumerate(systems.items()):
            folder = root / str(number)
            folder.mkdir()
            found = measured(checkout, method, corpus, arguments, folder)
            cells = [
                f"{found['cpu_s']:.0f}",
                str(found.get("steps", "")),
                {None: "", True: "yes", False: "no"}[found.get("converged")],
                *(f"{found[key]:.1f}" for key in ("triphone", "phone", "bits_per_s")),
            ]
            print(f"{system:>20}" + "".join(f"{cell:>12}" for cell in cells), flush=True)


if __name__ == "__main__":
    main()
