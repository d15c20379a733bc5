"""Training steps and encoding of the VQ-VAE: 256 channels, batches of 16 × 128 frames, 4T.

Our training loop, with its data loading, checks, EMA weights and checkpoints, beside a plain torch
loop over the same network with one batch in memory. And, in that plain loop, the residual network
(`--encoder conv`): as it is (2-D convolutions, channels last), and with its convolutions written as
1-D ones. Steps are counted after a warm-up; each system runs in its own process.

    python benchmarks/vqvae.py [--steps 20] [--threads 1] [--device cpu]
"""

from __future__ import annotations

import argparse
import json
import time

from measuring import PASSIVE, apart

K, STRIDE, BATCH, FRAMES, DIM, SPEAKERS = 256, 4, 16, 128, 39, 10
WARM_UP = 5


def speech():
    import numpy as np

    from zerochain.training.crops import Crops

    rng = np.random.default_rng(0)
    lengths = rng.integers(200, 900, 400)
    bounds = np.concatenate([[0], np.cumsum(lengths)])
    frames = rng.normal(size=(bounds[-1], DIM)).astype(np.float32)
    speakers = rng.integers(SPEAKERS, size=len(lengths))
    return Crops({"x": frames}, bounds, {"speakers": speakers})


def network(encoder="convnext"):
    import torch

    from zerochain.discovery.vqvae import VQVAEConfig

    torch.manual_seed(0)
    return VQVAEConfig(encoder=encoder).network_of(DIM, SPEAKERS, K, STRIDE)


def in_one_dimension(module):
    """The same network with 1-D convolutions, which take (B, C, T)."""
    from torch import nn

    class Flat(nn.Module):
        def __init__(self, inner):
            super().__init__()
            self.inner = inner

        def forward(self, x):
            return self.inner(x.squeeze(2)).unsqueeze(2)

    for name, child in module.named_children():
        if isinstance(child, nn.ConvTranspose2d | nn.Conv2d):
            kind = nn.ConvTranspose1d if isinstance(child, nn.ConvTranspose2d) else nn.Conv1d
            shape = child.kernel_size[1], child.stride[1], child.padding[1]
            setattr(module, name, Flat(kind(child.in_channels, child.out_channels, *shape)))
        elif isinstance(child, nn.BatchNorm2d):
            setattr(module, name, Flat(nn.BatchNorm1d(child.num_features)))
        else:
            in_one_dimension(child)
    return module


def ours(steps, device):
    from zerochain.discovery.vqvae import VqvaeTask
    from zerochain.training.recipe import Recipe
    from zerochain.training.run import Running, fit

    class Timed(VqvaeTask):
        begun = 0.0

        def batch(self, step, process):
            if step == WARM_UP + 1:
                wait(device)
                self.begun = time.perf_counter()
            return super().batch(step, process)

        def validate(self, network):
            wait(device)
            self.seconds = time.perf_counter() - self.begun
            return 0.0

    data = speech()
    recipe = Recipe(max_steps=WARM_UP + steps, batch_size=BATCH, validate_every=WARM_UP + steps)
    task = Timed(network(), data, data, recipe, n_frames=FRAMES, stride=STRIDE, device=device)
    fit(task, recipe, Running(device), inputs={})
    return steps / task.seconds


def plain(model, steps, device):
    import torch

    batch = speech().random(BATCH, FRAMES, (0,))
    x, lengths, speakers = (batch[name].to(device) for name in ("x", "lengths", "speakers"))
    model.to(device).train()
    optimiser = torch.optim.Adam(model.parameters(), 1e-3)
    for step in range(WARM_UP + steps):
        if step == WARM_UP:
            wait(device)
            begun = time.perf_counter()
        made = model(x, lengths, speakers)
        loss = (made.x - x).square().mean() + made.quantized.loss
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    wait(device)
    return steps / (time.perf_counter() - begun)


def encoding(steps, device):
    """Frames per second of encoding utterances."""
    from zerochain.discovery.neural import encoded

    data = speech()
    utterances = [data.utterance("x", u) for u in data.sample(steps * 4000, seed=0)]
    encoder = network().encoder
    encoded(encoder, utterances[:8], STRIDE, device)
    begun = time.perf_counter()
    encoded(encoder, utterances, STRIDE, device)
    return sum(map(len, utterances)) / (time.perf_counter() - begun)


def loading(steps, device):
    data = speech()
    begun = time.perf_counter()
    for step in range(10 * steps):
        data.random(BATCH, FRAMES, (0, step))
    return 10 * steps / (time.perf_counter() - begun)


def wait(device):
    import torch

    if device == "cuda":
        torch.cuda.synchronize()


SYSTEMS = {
    "our loop, steps/s": ours,
    "plain loop, steps/s": lambda n, device: plain(network(), n, device),
    "plain loop, conv, steps/s": lambda n, device: plain(network("conv"), n, device),
    "plain loop, conv in 1-D, steps/s": lambda n, device: plain(
        in_one_dimension(network("conv")), n, device
    ),
    "data loading alone, batches/s": loading,
    "encoding, frames/s": encoding,
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--worker", choices=SYSTEMS)
    arguments = parser.parse_args()
    if arguments.worker:
        import torch

        torch.set_num_threads(arguments.threads)
        print(json.dumps(SYSTEMS[arguments.worker](arguments.steps, arguments.device)))
        return
    options = [f"--{name}={getattr(arguments, name)}" for name in ("steps", "threads", "device")]
    given = f"threads: {arguments.threads}, steps: {arguments.steps}"
    print(f"VQ-VAE on {arguments.device}, {given}")
    for system in SYSTEMS:
        speed = apart(__file__, *options, "--worker", system, environment=PASSIVE)
        print(f"{system:>36} {speed:>12,.1f}")


if __name__ == "__main__":
    main()
