"""Networks' weights as arrays, as bundles hold them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import nn

N = TypeVar("N", bound="nn.Module")


def weights_of(network: nn.Module) -> dict[str, NDArray[Any]]:
    """A network's weights and buffers, by their names."""
    return {name: value.cpu().numpy() for name, value in network.state_dict().items()}


def with_weights(
    make: Callable[[], N], weights: Mapping[str, NDArray[Any]], device: str = "cpu"
) -> N:
    """The network that `make` makes with these weights (copied), on a device, out of training.

    It is made without memory first, to see that the weights are its own: the configuration of a
    damaged bundle may ask for terabytes.

    Raises:
        ValueError: they are not this network's.
    """
    import torch

    with torch.device("meta"):
        expected = {n: (tuple(t.shape), t.dtype) for n, t in make().state_dict().items()}
    given = {n: (w.shape, torch.from_numpy(np.empty(0, w.dtype)).dtype) for n, w in weights.items()}
    wrong = sorted(n for n in expected.keys() | given.keys() if expected.get(n) != given.get(n))
    if wrong:
        raise ValueError(
            f"{len(wrong)} of its weights are not those of such a network: {wrong[0]} is "
            f"{given.get(wrong[0])}, not {expected.get(wrong[0])}"
        )
    network = make()
    network.load_state_dict({name: torch.from_numpy(np.array(w)) for name, w in weights.items()})
    return network.to(device).eval()
