"""The same numbers on any number of threads, so that the same speech gives the same bundle.

A library that cuts one sum up among its threads rounds it otherwise on two threads than on four.
Here each operation has a thread of its own: many of them run side by side, and what they give is
added up in a fixed order.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

import torch

A = TypeVar("A")
B = TypeVar("B")


@contextmanager
def one_thread() -> Iterator[None]:
    """Have torch, BLAS and OpenMP compute on one thread for as long as this lasts."""
    from threadpoolctl import threadpool_limits

    n_threads = torch.get_num_threads()
    with threadpool_limits(1):
        torch.set_num_threads(1)
        try:
            yield
        finally:
            torch.set_num_threads(n_threads)


def in_order(function: Callable[[A], B], items: Iterable[A], device: str = "cpu") -> Iterator[B]:
    """`map` on as many threads as torch may use, each operation of it on one; a GPU has one."""
    n_threads = torch.get_num_threads()
    if device != "cpu":
        yield from map(function, items)
        return
    ahead: deque[Future[B]] = deque()
    with ThreadPoolExecutor(n_threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        try:
            for item in items:
                ahead.append(pool.submit(function, item))
                if len(ahead) > n_threads:
                    yield ahead.popleft().result()
            while ahead:
                yield ahead.popleft().result()
        finally:  # torch takes what the last thread has set for every thread to come
            torch.set_num_threads(n_threads)
