"""Generators of speech on one CPU thread: real-time factor, training step and parameters.

Our ConvNeXt with a harmonic excitation beside HiFi-GAN at its published size, both from units of
10 ms with random weights; and the discriminators that can train them. Each runs in its own
process; times are medians of CPU seconds, which other work on the machine lengthens less than
wall-clock times. A training step is forward, spectral losses, backward and AdamW; a discriminator's
step is its update on real and generated segments, with the losses that it gives the generator.

    python benchmarks/generators.py [--seconds 5] [--repeats 5] [--width 0.25]
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time

from measuring import PASSIVE, apart

HOP, BATCH, FRAMES = 160, 8, 64


def generator(name):
    import torch

    from zerochain.modules.hifigan import HiFiGANConfig, HiFiGANGenerator
    from zerochain.modules.source_filter import SourceFilterConfig, SourceFilterGenerator

    torch.manual_seed(0)
    sizes = {"n_units": 256, "n_f0_units": 20, "n_voices": 100, "hop": HOP}
    if name == "ConvNeXt":
        return SourceFilterGenerator(SourceFilterConfig(**sizes))
    return HiFiGANGenerator(HiFiGANConfig(**sizes))


def discriminator(name, width):
    from zerochain.modules import discriminators as wave_discriminators

    return getattr(wave_discriminators, name)(width=width)


def inputs(n, n_frames):
    """Units, F0 units, F0 and voices."""
    import torch

    torch.manual_seed(0)
    units, f0_units = (torch.randint(k, (n, n_frames)) for k in (256, 20))
    f0 = 120 + 40 * torch.sin(torch.arange(n_frames) / 30)
    f0[torch.arange(n_frames) % 60 < 20] = 0
    return units, f0_units, f0.expand(n, -1), torch.arange(n)


def synthesis(model, options):
    """Real-time factor."""
    import torch

    arguments = inputs(1, round(options.seconds * 16_000 / HOP))
    model.eval()
    with torch.inference_mode():
        return median_time(lambda: model(*arguments), options.repeats) / options.seconds


def training(model, options):
    """Seconds per step."""
    import torch

    from zerochain.modules.discriminators import MelLoss, multi_resolution_loss

    arguments, mel = inputs(BATCH, FRAMES), MelLoss()
    real = 0.1 * torch.randn(BATCH, FRAMES * HOP)
    optimiser = torch.optim.AdamW(model.parameters(), 2e-4, (0.8, 0.99))

    def step():
        made = model(*arguments)
        loss = 45 * mel(made, real) + multi_resolution_loss(made, real)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()

    return median_time(step, options.repeats)


def judging(model, options):
    """Seconds that a discriminator adds to a step."""
    import torch

    from zerochain.modules.discriminators import (
        discriminator_loss,
        feature_matching_loss,
        generator_loss,
    )

    real = 0.1 * torch.randn(BATCH, FRAMES * HOP)
    made = (0.1 * torch.randn(BATCH, FRAMES * HOP)).requires_grad_()
    optimiser = torch.optim.AdamW(model.parameters(), 2e-4, (0.8, 0.99))

    def step():
        optimiser.zero_grad()
        discriminator_loss(model(real), model(made.detach())).backward()
        optimiser.step()
        with torch.no_grad():
            wanted = model(real)
        judged = model(made)
        (generator_loss(judged) + 2 * feature_matching_loss(wanted, judged)).backward()

    return median_time(step, options.repeats)


def median_time(work, repeats):
    work()  # warm-up: allocates memory and starts threads
    times = []
    for _ in range(repeats):
        begun = time.process_time()
        work()
        times.append(time.process_time() - begun)
    return statistics.median(times)


GENERATORS = ("ConvNeXt", "HiFi-GAN")
DISCRIMINATORS = (
    "MultiPeriodDiscriminator",
    "MultiScaleDiscriminator",
    "MultiResolutionDiscriminator",
    "MultiResolutionPatchDiscriminator",
)


def measured(name, options):
    if name in GENERATORS:
        model = generator(name)
        row = {"real-time factor": synthesis(model, options)}
        row["step, s"] = training(model.train(), options)
    else:
        model = discriminator(name, options.width)
        row = {"step, s": judging(model, options)}
    return {"parameters, M": sum(p.numel() for p in model.parameters()) / 1e6, **row}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=5.0, help="of speech")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--width", type=float, default=0.25, help="of the discriminators")
    parser.add_argument("--worker", choices=GENERATORS + DISCRIMINATORS)
    options = parser.parse_args()
    if options.worker:
        import torch

        torch.set_num_threads(1)
        print(json.dumps(measured(options.worker, options)))
        return
    print(
        f"One CPU thread; synthesis of {options.seconds:g} s; training on {BATCH} "
        f"segments of {FRAMES} frames; discriminators of width {options.width:g}"
    )
    columns = ("parameters, M", "real-time factor", "step, s")
    print(" " * 30 + "".join(f"{c:>18}" for c in columns))
    for name in GENERATORS + DISCRIMINATORS:
        row = apart(__file__, *sys.argv[1:], "--worker", name, environment=PASSIVE)
        cells = (f"{row[c]:18.4f}" if c in row else " " * 18 for c in columns)
        print(f"{name:<30}" + "".join(cells))


if __name__ == "__main__":
    main()
