"""The options of every command that trains: where it computes, and whether it starts anew."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, Literal, TypeVar

import click

from zerochain.cli.common import device_option, seed_option
from zerochain.training.run import Running

F = TypeVar("F", bound=Callable[..., Any])


def running_options(function: F) -> F:
    """Options for how a training is run: device, seed, and whether it starts anew.

    The function receives them as its argument `running`; the seed becomes that of its recipes.
    """

    @functools.wraps(function)
    def with_running(
        *args: Any,
        seed: int,
        device: str,
        restart: bool,
        restart_changed: bool,
        tensorboard: bool,
        **values: Any,
    ) -> Any:
        del seed  # it is in each recipe already
        anew: bool | Literal["changed"] = "changed" if restart_changed and not restart else restart
        return function(*args, running=Running(device, anew, tensorboard), **values)

    wrapped: Any = with_running
    for option in (
        device_option,
        seed_option,
        click.option(
            "--tensorboard", is_flag=True, help="Log for TensorBoard as well as to log.csv."
        ),
        click.option(
            "--restart-changed",
            is_flag=True,
            envvar="ZEROCHAIN_RESTART_CHANGED",  # pipelines set both, step by step
            help="Start anew if settings or data have changed, which is otherwise an error.",
        ),
        click.option(
            "--restart",
            is_flag=True,
            envvar="ZEROCHAIN_RESTART",
            help="Start anew instead of continuing from a checkpoint.",
        ),
    ):
        wrapped = option(wrapped)
    return wrapped  # type: ignore[no-any-return]
