"""Doing several things at once, in as many threads as there may be."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import TypeVar

T = TypeVar("T")


def fan_out(step: Callable[[T], None], values: Sequence[T], threads: int | None) -> None:
    """Take a step for each value and return when all are done.

    Args:
        step: Must not raise: in a thread of its own nobody would hear of it.
        values: What to take it for; the first ones begin first.
        threads: How many steps may be under way at once, from 1; None means all. With 1 the caller's own thread takes them one after
            another, which costs no switching where every core has a worker of its own.
    """
    if threads == 1:
        for value in values:
            step(value)
        return
    shares = [values[start::threads] for start in range(threads)] if threads else [[value] for value in values]
    tasks = [threading.Thread(target=_each, args=(step, share), name=f"share-{number}") for number, share in enumerate(shares) if share]
    for task in tasks:
        task.start()
    for task in tasks:
        task.join()


def _each(step: Callable[[T], None], values: Sequence[T]) -> None:
    for value in values:
        step(value)
