"""Where to compute."""

from __future__ import annotations

import os

from zerochain.errors import InputError


def resolve_device(name: str) -> str:
    """ "auto", "cpu" or "cuda" → "cpu" or "cuda".

    Raises:
        InputError: "cuda" was asked for and there is none.
    """
    import torch

    available = torch.cuda.is_available()
    if name == "auto":
        return "cuda" if available else "cpu"
    if name == "cuda" and not available:
        raise InputError(
            "--device cuda was asked for, but torch sees no GPU",
            cause="no NVIDIA driver, or torch's CPU build",
            remedy="use --device auto or cpu, or install torch's CUDA build",
        )
    return name


def is_main_process() -> bool:
    """Whether this process is the one that writes; under torchrun only the first does."""
    return int(os.environ.get("RANK", "0")) == 0
