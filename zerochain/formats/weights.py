"""Networks' weights as arrays, as bundles hold them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import nn

N = TypeVar("N", bound="nn.Module")
_SPARE = 1 << 22  # numbers that a network may hold beside its weights, such as windows


def weights_of(network: nn.Module) -> dict[str, NDArray[Any]]:
    """A network's weights and buffers, by their names."""
    return {name: value.cpu().numpy() for name, value in network.state_dict().items()}


def with_weights(
    make: Callable[[], N], weights: Mapping[str, NDArray[Any]], device: str = "cpu"
) -> N:
    """The network that `make` makes with these weights (copied), on a device, out of training.

    Initial weights aren't drawn, and a network of more numbers than the weights hold is refused
    while it is made: the configuration of a damaged bundle may ask for terabytes.

    Raises:
        ValueError: they are not this network's.
    """
    import torch  # late: formats are read without it

    with _unfilled(_SPARE + 2 * sum(w.size for w in weights.values())):
        network = make()
    expected = {n: (array.shape, array.dtype) for n, array in weights_of(network).items()}
    given = {name: (array.shape, array.dtype) for name, array in weights.items()}
    wrong = sorted(n for n in expected.keys() | given.keys() if expected.get(n) != given.get(n))
    if wrong:
        raise ValueError(
            f"{len(wrong)} of its weights are not those of such a network: {wrong[0]} is "
            f"{given.get(wrong[0])}, not {expected.get(wrong[0])}"
        )
    network.load_state_dict({name: torch.from_numpy(np.array(w)) for name, w in weights.items()})
    return network.to(device).eval()


def _unfilled(n_numbers: int) -> AbstractContextManager[Any]:
    """While it lasts, torch.nn.init does nothing, and tensors may have so many numbers together.

    Networks on the device "meta" would take no memory at all, but torch imports its compiler, for
    a second, as soon as anything is computed there.
    """
    import torch

    sized = {torch.empty, torch.zeros, torch.ones, torch.full, torch.rand, torch.randn}

    class Unfilled(torch.overrides.TorchFunctionMode):
        left = n_numbers

        def __torch_function__(
            self, func: Any, types: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
            kwargs = kwargs or {}
            if getattr(func, "__module__", None) == "torch.nn.init":
                return kwargs["tensor"] if "tensor" in kwargs else args[0]
            if func in sized:
                size = kwargs.get(
                    "size", args[0] if args and isinstance(args[0], Sequence) else args
                )
                self.left -= math.prod(size)
                if self.left < 0:
                    raise ValueError("its weights are not those of such a network, but fewer")
            return func(*args, **kwargs)

    return Unfilled()
