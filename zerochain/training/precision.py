"""The form in which a training computes: the fastest that is safe on the CPU at hand.

A network can be trained in four forms: float32, as written; float32 with its linear layers as 1×1
convolutions over an image with channels last, which give the same numbers up to rounding; and both
under autocast to bfloat16. Which is fastest depends on the CPU. On an AMD EPYC with AVX512_BF16,
MKL (linear layers) leaves AVX512 unused and oneDNN (convolutions) doesn't: 1×1 convolutions are
twice as fast as linear layers, and bfloat16 three to four times. On CPUs with AVX2 alone, both
libraries are equal, and bfloat16, which is emulated, is many times slower.

`choose` decides for `Recipe.precision`. With "auto" it times the forms for which the CPU has
instructions, on layers as wide as those of the network (`timed`), and takes the fastest only if it
is faster than float32 by a clear margin. Whatever is in doubt is float32: GPUs, several processes,
small networks, CPUs without such instructions. The choice is made once per process and shape, and a
checkpoint records it.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from enum import StrEnum
from functools import cache

import torch
import torch.nn.utils.parametrize
from torch import Tensor, nn
from torch.nn.functional import conv2d, linear

from zerochain.training.device import n_processes
from zerochain.training.recipe import Precision


class Form(StrEnum):
    """How a training computes. Checkpoints record the values."""

    FLOAT32 = "float32"
    FLOAT32_CONV = "float32, linear layers as convolutions"
    BF16 = "bf16"
    BF16_CONV = "bf16, linear layers as convolutions"
    FP16 = "fp16"

    @property
    def mixed_precision(self) -> str:
        """Accelerate's name of its autocast: "no", "bf16" or "fp16"."""
        return self.value.partition(",")[0].replace("float32", "no")

    @property
    def as_convolutions(self) -> bool:
        """Whether linear layers are computed as convolutions."""
        return self in {Form.FLOAT32_CONV, Form.BF16_CONV}


MARGIN = 1.25
"""A form has to be faster than float32 by this factor. Where it pays it does so by 1.5 to 4; on a
quiet machine, minima of interleaved repeats vary by a twentieth. On a busy one, or near this
margin, the choice may differ from run to run: a checkpoint keeps it, and `precision="no"` or
"bf16" leaves no choice."""
_FEWEST_WEIGHTS = 256 * 256  # of its largest layer; below that, calls cost more than sums
_PROBE_FLOP = 2e8  # of one layer forwards and backwards: some milliseconds
_REPEATS = 4
_KERNEL = 3


@dataclass(frozen=True)
class Layer:
    """A layer to time, by which the others of its kind are judged."""

    n_in: int
    n_out: int
    kernel: int
    """1 for a linear layer, or 3 for a convolution over time."""
    share: float
    """Of the network's weights that are in layers of this kind."""


@dataclass(frozen=True)
class Choice:
    """The form that was chosen, and why."""

    form: Form
    reason: str = ""
    """A line for people; "" where it was the user's choice, and a good one."""


def choose(
    precision: Precision, networks: Mapping[str, nn.Module], batch_size: int, device: str
) -> Choice:
    """The form for a training that starts.

    Args:
        precision: of the recipe.
        networks: of the task; the first is the one that the choice is made for.
        batch_size: examples per step.
        device: "cpu" or "cuda".
    """
    layers = layers_of(next(iter(networks.values())))
    match precision:
        case "no":
            return Choice(Form.FLOAT32)
        case "fp16":
            return Choice(Form.FP16)
        case "bf16":
            return _asked_for_bf16(layers, batch_size, device)
        case _:
            return _automatic(layers, batch_size, device)


def _asked_for_bf16(layers: tuple[Layer, ...], batch_size: int, device: str) -> Choice:
    if device != "cpu" or has_bf16() or not layers:
        return Choice(Form.BF16)
    factor = 1 / speeds(layers, batch_size, (Form.BF16,))[Form.BF16]
    if factor < 1:
        return Choice(Form.BF16)
    return Choice(
        Form.BF16,
        f"warning: bf16 is {factor:.2g} × slower than float32 on this CPU, which has no "
        "instructions for it; precision='auto' would use float32",
    )


def _automatic(layers: tuple[Layer, ...], batch_size: int, device: str) -> Choice:
    if not layers:
        return Choice(Form.FLOAT32)  # small: a line about it would take longer to read
    if device != "cpu":
        reason = "computes in float32; precision='bf16' may be faster on this GPU"
        return Choice(Form.FLOAT32, reason)
    candidates = forms_of_cpu()
    if not candidates:
        return Choice(Form.FLOAT32, "computes in float32, as this CPU has neither AVX512 nor bf16")
    if n_processes() > 1:
        return Choice(Form.FLOAT32, "computes in float32, as several processes share the CPU")
    found = speeds(layers, batch_size, candidates)
    best = max(candidates, key=lambda form: found[form])
    tried = ", ".join(f"{form} {found[form]:.1f} ×" for form in candidates)
    if found[best] < MARGIN:
        return Choice(Form.FLOAT32, f"computes in float32, the fastest on this CPU ({tried})")
    return Choice(best, f"computes in {best}, the fastest on this CPU (float32 1 ×, {tried})")


def has_bf16() -> bool:
    """Whether the CPU has instructions for bfloat16: AVX512_BF16, AMX, or those of ARM."""
    if _asked("_is_avx2_supported"):  # x86, where oneDNN also emulates bfloat16 by AVX512
        return _asked("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    supported = getattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", bool)
    return bool(supported())


def forms_of_cpu() -> tuple[Form, ...]:
    """The forms that this CPU's instructions may make faster than float32 as written."""
    bf16 = (Form.BF16, Form.BF16_CONV) if has_bf16() else ()
    wide = (Form.FLOAT32_CONV,) if _asked("_is_avx512_supported") else ()
    return (*wide, *bf16)


def _asked(*names: str) -> bool:
    """Whether torch finds any of these instructions; a torch that can't tell finds none."""
    return any(bool(getattr(torch.cpu, name, bool)()) for name in names)


def layers_of(network: nn.Module) -> tuple[Layer, ...]:
    """The largest linear layer and the largest convolution of a network; nothing of a small one.

    Recurrent layers and convolutions by groups are in no share: they gain nothing.
    """
    kinds: dict[int, list[tuple[int, int, int]]] = {1: [], _KERNEL: []}
    total = 0
    for module in network.modules():
        if isinstance(module, nn.Embedding | nn.utils.parametrize.ParametrizationList):
            continue  # a look-up, or the factors of a weight that its layer has
        if isinstance(module, nn.Linear | nn.Conv1d | nn.Conv2d):
            own = int(module.weight.numel())
        else:
            own = sum(p.numel() for p in module.parameters(recurse=False) if p.ndim > 1)
        total += own
        if isinstance(module, nn.Linear):
            kinds[1].append((own, module.in_features, module.out_features))
        elif isinstance(module, nn.Conv1d | nn.Conv2d) and module.groups == 1:
            size = math.prod(module.kernel_size)
            kinds[1 if size == 1 else _KERNEL].append(
                (own, module.in_channels, module.out_channels)
            )
    largest = {kernel: max(found) for kernel, found in kinds.items() if found}
    if max((own for own, _, _ in largest.values()), default=0) < _FEWEST_WEIGHTS:
        return ()
    return tuple(
        Layer(n_in, n_out, kernel, sum(own for own, _, _ in kinds[kernel]) / total)
        for kernel, (_, n_in, n_out) in largest.items()
    )


@cache
def speeds(
    layers: tuple[Layer, ...], batch_size: int, forms: tuple[Form, ...]
) -> Mapping[Form, float]:
    """How many times as fast as float32 each form trains a network of these layers.

    The part of the network that is in neither kind of layer counts as unchanged. It is measured
    once per process.
    """
    rest = 1 - sum(layer.share for layer in layers)
    seconds = dict.fromkeys(forms, rest)
    for layer in layers:
        found = timed(layer, batch_size, (Form.FLOAT32, *forms))
        for form in forms:
            seconds[form] += layer.share * found[form] / found[Form.FLOAT32]
    return {form: 1 / max(total, 1e-9) for form, total in seconds.items()}


def timed(layer: Layer, batch_size: int, forms: tuple[Form, ...]) -> dict[Form, float]:
    """Seconds of a layer, forwards and backwards, in each form: the minima of some repeats.

    The forms take turns, so that other work on the machine slows all of them down.
    """
    n_frames = _PROBE_FLOP / (6 * layer.n_in * layer.n_out * layer.kernel)
    length = max(8, math.ceil(n_frames / batch_size))
    # Neither the caller's random numbers nor its gradients are touched.
    with torch.random.fork_rng(devices=[]), torch.enable_grad(), torch.inference_mode(False):
        work = {form: _step(layer, batch_size, length, form) for form in forms}
        best = dict.fromkeys(forms, math.inf)
        for repeat in range(_REPEATS + 1):  # the first one warms up
            for form, step in work.items():
                begun = time.perf_counter()
                step()
                if repeat:
                    best[form] = min(best[form], time.perf_counter() - begun)
    return best


def _step(layer: Layer, batch_size: int, length: int, form: Form) -> Callable[[], None]:
    """One forward and backward pass of a layer."""
    x = torch.randn(batch_size, length, layer.n_in, requires_grad=True)
    module: nn.Module
    if layer.kernel == 1:
        module = nn.Linear(layer.n_in, layer.n_out)
        module.__class__ = Pointwise if form.as_convolutions else nn.Linear
        given: Tensor = x
    else:
        shape, padding = (1, layer.kernel), (0, layer.kernel // 2)
        module = nn.Conv2d(layer.n_in, layer.n_out, shape, padding=padding)
        given = x.transpose(1, 2).unsqueeze(2)
    is_bf16 = form.mixed_precision == "bf16"

    def step() -> None:
        with torch.autocast("cpu", torch.bfloat16) if is_bf16 else nullcontext():
            y = module(given)
        y.backward(torch.ones_like(y))

    return step


class Pointwise(nn.Linear):
    """A linear layer that is computed as a 1×1 convolution over an image with channels last.

    Its parameters are those of `nn.Linear`, under the same names.
    """

    def forward(self, x: Tensor) -> Tensor:
        """x (…, n_in) → (…, n_out)."""
        if x.numel() == 0:
            return linear(x, self.weight, self.bias)
        image = x.reshape(1, 1, -1, self.in_features).permute(0, 3, 1, 2)
        y = conv2d(image, self.weight[:, :, None, None], self.bias)
        return y.permute(0, 2, 3, 1).reshape(*x.shape[:-1], self.out_features)


@contextmanager
def computing_in(form: Form, networks: Mapping[str, nn.Module]) -> Iterator[None]:
    """While it lasts, the networks compute in a form; autocast is left to the accelerator.

    The layers stay the same objects with the same parameters, so optimisers, checkpoints and
    bundles don't notice. Subclasses of `nn.Linear`, and those with parametrised weights, stay as
    they are.
    """
    found = [
        module
        for network in networks.values()
        for module in network.modules()
        if form.as_convolutions and type(module) is nn.Linear
    ]
    for module in found:
        module.__class__ = Pointwise
    try:
        yield
    finally:
        for module in found:
            module.__class__ = nn.Linear
