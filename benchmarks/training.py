"""Steps per CPU-second and loss of trainings, beside another build of zerochain.

Recognisers, conformer translators and inverters (ConvNeXt and Code2Spec, at their default sizes)
are trained through our loop on synthetic data that can be learned, in the default precision of each
build. Steps are counted after a warm-up; the loss is the mean over the last quarter of them. Each
training of each build runs in its own process, the builds in turn.

    python benchmarks/training.py [--steps 40] [--repeats 1] [--only translator]
    python benchmarks/training.py --before CHECKOUT
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from pathlib import Path

import numpy as np

from measuring import PASSIVE, ROOT, apart

WARM_UP = 3
N_UTTERANCES, SHORTEST, LONGEST = 160, 150, 700  # frames of 10 ms
N_SYMBOLS, DIM, HOP = 40, 80, 160


def spoken(rng):
    """Symbols (U,), and frames (T, DIM) in dB in which each lasts for 5 to 15 of them."""
    length, means = rng.integers(SHORTEST, LONGEST), np.random.default_rng(1)
    shapes = 10 * means.normal(size=(N_SYMBOLS, DIM))
    symbols = rng.integers(N_SYMBOLS, size=length // 10)
    symbols = symbols[np.flatnonzero(np.diff(symbols, prepend=-1))]
    frames = np.repeat(shapes[symbols], rng.integers(5, 16, len(symbols)), axis=0)
    return symbols, (frames + 5 * rng.normal(size=frames.shape)).astype(np.float32)


def utterances():
    rng = np.random.default_rng(0)
    return [spoken(rng) for _ in range(N_UTTERANCES)]


def recogniser(recipe):
    import torch

    from zerochain.formats.features import Features
    from zerochain.listeners.recogniser import RecogniserTask, Transcribed
    from zerochain.modules.encoder import Encoder, EncoderConfig

    made = utterances()
    ends = np.cumsum([len(frames) for _, frames in made])
    index = {f"u{i}": (int(e - len(made[i][1])), len(made[i][1])) for i, e in enumerate(ends)}
    frames = np.concatenate([frames for _, frames in made])
    features = Features(frames, index, dict.fromkeys(index), "log-mel", {}, 10.0)
    characters = "".join(map(chr, range(97, 97 + N_SYMBOLS)))
    texts = {n: "".join(characters[s] for s in made[i][0]) for i, n in enumerate(index)}
    data = Transcribed(features, texts, characters)
    torch.manual_seed(0)
    network = Encoder(
        EncoderConfig(n_in=DIM, width=192, n_blocks=2, dim=1 + N_SYMBOLS, stride=2, tail="gru")
    )
    return RecogniserTask(network, data, data, recipe, "cpu")


def translator(recipe, **sizes):
    import torch

    from zerochain.features.spectral import SpectralOptions
    from zerochain.modules.unit_translator import TranslatorConfig, UnitTranslator
    from zerochain.translation.data import SourceKind
    from zerochain.translation.pairs import Pair
    from zerochain.translation.task import TranslationConfig, TranslationTask

    options = SpectralOptions(kind="log-mel").model_dump()
    source = SourceKind(kind="features", name="log-mel", options=options, n_in=DIM, step_ms=10.0)
    # The other language has the words in the same order, each with another symbol.
    pairs = [
        Pair(frames, (N_SYMBOLS - 1 - symbols).astype(np.int32), None, (f"u{i}", f"v{i}"))
        for i, (symbols, frames) in enumerate(utterances())
    ]
    torch.manual_seed(0)
    network = UnitTranslator(TranslatorConfig(n_in=DIM, n_units=N_SYMBOLS, **sizes))
    config = TranslationConfig(architecture=network.config.architecture)
    return TranslationTask(network, source, pairs, pairs, config, recipe, 0.2, "cpu")


def waves():
    """Units of 10 ms, and a wave in which each is noise and a tone of its own."""
    rng, made = np.random.default_rng(0), []
    for symbols, frames in utterances()[:60]:
        units = np.repeat(symbols, 10)[: len(frames)].astype(np.int32)
        tone = np.sin(np.cumsum(np.repeat(200 + 80 * units, HOP)) * 2 * np.pi / 16_000)
        made.append((units, (0.1 * tone + 0.01 * rng.normal(size=len(tone))).astype(np.float32)))
    return made


def convnext(recipe):
    import torch

    from zerochain.inversion.waveform import (
        GeneratorTask,
        Utterance,
        WaveformConfig,
        make_generator,
        training_crops,
    )

    made = {
        f"u{i}": Utterance(
            units, np.where(units % 3, 150.0, 0.0), np.zeros(len(units), np.int64), wave, 0
        )
        for i, (units, wave) in enumerate(waves())
    }
    torch.manual_seed(0)
    generator = make_generator("convnext", n_units=N_SYMBOLS, hop=HOP)
    learned, kept = training_crops(made, HOP)
    return GeneratorTask(
        generator, learned, kept, WaveformConfig(), recipe, n_frames=64, device="cpu"
    )


def code2spec(recipe, form):
    import torch

    from zerochain.inversion.phase import SpectrogramOptions
    from zerochain.inversion.spectral import AdversaryConfig, Code2SpecTask
    from zerochain.inversion.voice_data import VoiceData
    from zerochain.modules.code2spec import Code2Spec, Code2SpecConfig

    made = {f"u{i}": one for i, one in enumerate(waves())}
    options = SpectrogramOptions(hop=HOP)
    data = VoiceData.of(
        {name: units for name, (units, _) in made.items()},
        {name: wave for name, (_, wave) in made.items()},
        dict.fromkeys(made, 0),
        options,
        N_SYMBOLS,
    )
    torch.manual_seed(0)
    network = Code2Spec(Code2SpecConfig(n_units=N_SYMBOLS, n_bins=options.n_bins))
    adversary = AdversaryConfig(form=form, from_step=None if form == "none" else 1)
    return Code2SpecTask(network, data, recipe, adversary, n_frames=128, device="cpu")


TRAININGS = {
    "recogniser": ("zerochain.listeners.recogniser", recogniser),
    "translator": ("zerochain.translation.task", translator),
    "translator, CTC": (
        "zerochain.translation.task",
        lambda recipe: translator(recipe, architecture="ctc", upsampling=2),
    ),
    "ConvNeXt inverter": ("zerochain.inversion.waveform", convnext),
    "Code2Spec": ("zerochain.inversion.spectral", lambda recipe: code2spec(recipe, "none")),
    "Code2Spec, adversary": (
        "zerochain.inversion.spectral",
        lambda recipe: code2spec(recipe, "lsgan"),
    ),
}


def measured(name, n_steps, precision):
    """Steps per CPU-second, the loss, and what it was computed on."""
    from importlib import import_module

    import torch

    from zerochain.training.run import Running, fit

    torch.set_num_threads(1)
    module, make = TRAININGS[name]
    last = WARM_UP + n_steps
    update = {"max_steps": last, "validate_every": last, "annealing": "none"}
    recipe = import_module(module).RECIPE.model_copy(
        update=update | ({"precision": precision} if precision else {})
    )
    task, losses, begun = make(recipe), [], []
    batch, training_step = task.batch, task.training_step

    def timed(step, process):
        if step == WARM_UP + 1:
            begun.append(time.process_time())
        return batch(step, process)

    def watched(*arguments):
        found = training_step(*arguments)
        losses.append(found["train_loss"].detach())
        return found

    def ended(network):
        begun.append(time.process_time())
        return 0.0

    task.batch, task.training_step, task.validate = timed, watched, ended
    fitted = fit(task, recipe, Running("cpu"), inputs={})
    start, end = begun
    loss = torch.stack(losses[-max(1, n_steps // 4) :]).mean()
    return n_steps / (end - start), float(loss), fitted.outcome.computed_on


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--repeats", type=int, default=1, help="of which the median counts")
    parser.add_argument("--only", choices=TRAININGS, help="one of the trainings")
    parser.add_argument("--precision", help="of both builds.  [default: that of each build]")
    parser.add_argument("--before", type=Path, help="a checkout of another build of zerochain")
    parser.add_argument("--worker", choices=TRAININGS)
    given = parser.parse_args()
    if given.worker:
        print(json.dumps(measured(given.worker, given.steps, given.precision)))
        return
    builds = {"this build": ROOT} | ({"before": given.before.resolve()} if given.before else {})
    options = ["--steps", given.steps]
    options += ["--precision", given.precision] if given.precision else []
    head = f"{'training':<22}" + "".join(f"{b + ', steps/s':>22}{'loss':>9}" for b in builds)
    print(head + ("  speed  loss ratio" if given.before else ""))
    computed = set()
    for name in [given.only] if given.only else TRAININGS:
        found = {build: [] for build in builds}
        for _ in range(given.repeats):
            for build, checkout in builds.items():
                path = {"PYTHONPATH": os.pathsep.join([str(checkout), str(ROOT / "benchmarks")])}
                words = [*options, "--worker", name]
                found[build].append(apart(__file__, *words, environment={**PASSIVE, **path}))
        rows = {
            build: (statistics.median(speed for speed, _, _ in runs), runs[0][1])
            for build, runs in found.items()
        }
        computed |= {where for speed, loss, where in found["this build"]}
        line = f"{name:<22}" + "".join(f"{s:>22.2f}{loss:>9.4f}" for s, loss in rows.values())
        if given.before:
            (ours, loss), (theirs, their_loss) = rows.values()
            line += f"{ours / theirs:>6.2f} ×{loss / their_loss:>12.4f}"
        print(line)
    print("computed on: " + "; ".join(sorted(computed)))


if __name__ == "__main__":
    main()
