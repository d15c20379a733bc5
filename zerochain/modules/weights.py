"""Networks' weights as arrays, as bundles hold them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

N = TypeVar("N", bound=nn.Module)


def weights_of(network: nn.Module) -> dict[str, NDArray[Any]]:
    """A network's weights and buffers, by their names."""
    return {name: value.cpu().numpy() for name, value in network.state_dict().items()}


def with_weights(network: N, weights: Mapping[str, NDArray[Any]], device: str = "cpu") -> N:
    """The network with these weights (copied), on a device and out of training.

    Raises:
        RuntimeError: they are not this network's.
    """
    network.load_state_dict({name: torch.from_numpy(np.array(w)) for name, w in weights.items()})
    return network.to(device).eval()
