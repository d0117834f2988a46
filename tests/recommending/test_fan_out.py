"""Calls in threads: each value once, with the given number at once."""

import threading

import pytest

from recsys.recommending.runs import fan_out


def most_at_once(n: int, threads: int) -> tuple[list[int], int, set[int]]:
    """Return the values that steps were taken for, how many were under way at once, and in how many threads."""
    taken, under_way, most, idents = [], 0, 0, set()
    lock, together = threading.Lock(), threading.Barrier(min(n, threads))

    def step(value: int) -> None:
        nonlocal under_way, most
        with lock:
            under_way += 1
            most = max(most, under_way)
            taken.append(value)
            idents.add(threading.get_ident())
        if value < together.parties:
            together.wait(timeout=30)  # opens when as many are inside as may be
        with lock:
            under_way -= 1

    fan_out(step, list(range(n)), threads)
    return sorted(taken), most, idents


@pytest.mark.parametrize(("threads", "most"), [(1, 1), (2, 2), (4, 4), (5, 5), (9, 5)])
def test_each_value_is_processed_once_with_the_given_concurrency(threads: int, most: int) -> None:
    taken, seen, idents = most_at_once(5, threads)

    assert (taken, seen, len(idents)) == ([0, 1, 2, 3, 4], most, most)


def test_one_thread_is_the_callers_and_keeps_the_order() -> None:
    taken: list[tuple[int, int]] = []
    fan_out(lambda value: taken.append((value, threading.get_ident())), [3, 1, 2], 1)

    assert taken == [(value, threading.get_ident()) for value in (3, 1, 2)]


@pytest.mark.parametrize("threads", [1, 3])
def test_no_values_are_no_error(threads: int) -> None:
    fan_out(lambda value: pytest.fail(f"a step for {value}"), [], threads)
