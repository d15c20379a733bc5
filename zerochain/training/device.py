"""Where to compute: on a CPU or GPU, in one process or in several that torchrun started."""

from __future__ import annotations

import itertools
import os
from typing import TYPE_CHECKING

import torch

from zerochain.errors import InputError, counted

if TYPE_CHECKING:
    from accelerate import Accelerator

_TRAININGS = itertools.count()  # of this process; all processes of torchrun count alike


def resolve_device(name: str) -> str:
    """ "auto", "cpu" or "cuda" → "cpu" or "cuda".

    Raises:
        InputError: "cuda" was asked for and there is none.
    """
    available = torch.cuda.is_available()
    if name == "auto":
        return "cuda" if available else "cpu"
    if name == "cuda" and not available:
        raise InputError(
            "device='cuda' was asked for, but torch sees no GPU",
            cause="no NVIDIA driver, or torch's CPU build",
            remedy="use device='auto' or device='cpu', or install torch's CUDA build",
        )
    return name


def described(device: str) -> str:
    """ "cpu" or "cuda" described for users: "CPU, 2 threads", "NVIDIA H100, 2 processes"."""
    parts = [str(torch.cuda.get_device_name()) if device == "cuda" else "CPU"]
    if device != "cuda":
        parts.append(counted(torch.get_num_threads(), "thread"))
    if n_processes() > 1:
        parts.append(counted(n_processes(), "process", "processes"))
    return ", ".join(parts)


def n_processes() -> int:
    """How many processes train together: those that torchrun started, or 1."""
    return int(os.environ.get("WORLD_SIZE", "1"))  # set by torchrun


def is_main_process() -> bool:
    """Whether this process writes files; of torchrun's processes only the first does."""
    return int(os.environ.get("RANK", "0")) == 0


def check_precision(device: str, precision: str) -> None:
    """Raise InputError for fp16 without a GPU."""
    if precision == "fp16" and device == "cpu":
        raise InputError(
            "precision='fp16' needs a GPU",
            remedy="use precision='no' or precision='bf16', or device='cuda'",
        )


def accelerator_of(device: str, precision: str) -> Accelerator:
    """The accelerator of one training, connected with torchrun's other processes.

    Args:
        device: "cpu" or "cuda".
        precision: "no", "bf16" or "fp16".

    Raises:
        InputError: fp16 without a GPU.
    """
    import accelerate  # half a second, which only training needs

    check_precision(device, precision)
    # Its state is global to the process, and an earlier training may have used another device.
    accelerate.state.AcceleratorState._reset_state(reset_partial_state=True)
    if n_processes() > 1:
        _join_others(device)
    return accelerate.Accelerator(cpu=device == "cpu", mixed_precision=precision)


def _join_others(device: str) -> None:
    """Form the group of torchrun's processes, under a prefix that only this training uses.

    Without it, keys that an earlier training left in the common store would be mistaken for
    those of this one.
    """
    # Late: builds of torch may lack it.
    from torch.distributed.distributed_c10d import PrefixStore, init_process_group
    from torch.distributed.rendezvous import rendezvous

    store, rank, n_processes = next(rendezvous("env://"))
    init_process_group(
        "nccl" if device == "cuda" else "gloo",
        store=PrefixStore(f"training-{next(_TRAININGS)}", store),
        rank=rank,
        world_size=n_processes,
    )
