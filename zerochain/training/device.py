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


def described(device: str) -> str:
    """ "cpu" or "cuda" as people know it: "CPU, 2 threads", "NVIDIA H100, 2 processes"."""
    import torch

    parts = [str(torch.cuda.get_device_name()) if device == "cuda" else "CPU"]
    if device != "cuda":
        parts.append(_number(torch.get_num_threads(), "thread", "threads"))
    n_processes = int(os.environ.get("WORLD_SIZE", "1"))  # of torchrun
    if n_processes > 1:
        parts.append(_number(n_processes, "process", "processes"))
    return ", ".join(parts)


def _number(n: int, one: str, several: str) -> str:
    return f"{n} {one if n == 1 else several}"


def is_main_process() -> bool:
    """Whether this process is the one that writes; under torchrun only the first does."""
    return int(os.environ.get("RANK", "0")) == 0
