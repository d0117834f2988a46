"""Doing several things at once, in as many threads as there may be."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import TypeVar

T = TypeVar("T")


def fan_out(step: Callable[[T], None], values: Sequence[T], threads: int) -> None:
    """Take a step for each value and return when all are done.

    Args:
        step: Must not raise: in a thread of its own nobody would hear of it.
        values: What to take it for; the first ones begin first.
        threads: How many steps may be under way at once, from 1. With 1 the caller's own thread takes them one after another.
    """
    if threads == 1:
        for value in values:
            step(value)
        return
    left = deque(values)

    def work() -> None:
        while True:
            try:
                value = left.popleft()  # whoever is free takes the next
            except IndexError:
                return
            step(value)

    workers = [threading.Thread(target=work, name=f"worker-{number}") for number in range(min(threads, len(values)))]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
