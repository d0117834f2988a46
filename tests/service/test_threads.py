"""Work outside the event loop: gathered reads, shared computations, and a limit of what may wait."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence

import pytest

from recsys.errors import DatabaseUnavailable, Overloaded
from recsys.service import threads as threads_module
from recsys.service.threads import Gathered, SingleFlight, Threads


def test_reads_of_the_same_moment_are_one() -> None:
    batches: list[list[int]] = []

    def read(keys: Sequence[int]) -> list[int]:
        batches.append(list(keys))
        return [10 * key for key in keys]

    async def ask() -> list[int]:
        gathered = Gathered(threads, read)
        first = asyncio.ensure_future(gathered.get(0))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        return await asyncio.gather(first, *(gathered.get(key) for key in range(1, 5)))

    threads = Threads("sqlite://", 1)
    assert asyncio.run(ask()) == [0, 10, 20, 30, 40]
    threads.close()
    assert batches == [[0], [1, 2, 3, 4]]


def test_a_read_that_comes_at_the_end_of_another_is_answered_too() -> None:
    threads = Threads("sqlite://", 1)

    async def ask() -> list[int]:
        gathered: Gathered[int, int] = Gathered(threads, list)
        found: list[int] = []

        async def again(key: int) -> None:  # runs in the step in which the first read's future is done
            found.append(await gathered.get(key))
            if key < 20:
                await again(key + 1)

        await asyncio.wait_for(asyncio.gather(*(again(0) for _ in range(3))), 60)
        return found

    assert len(asyncio.run(ask())) == 63
    threads.close()


def test_a_read_that_fails_fails_for_all_of_it_and_the_next_one_works() -> None:
    threads, calls = Threads("sqlite://", 1), []

    def read(keys: Sequence[int]) -> Sequence[int]:
        calls.append(keys)
        if len(calls) == 1:
            raise DatabaseUnavailable("away")
        return keys

    async def ask() -> list[object]:
        gathered = Gathered(threads, read)
        failed = await asyncio.gather(gathered.get(1), gathered.get(2), return_exceptions=True)
        return [*failed, await gathered.get(3)]

    first, second, third = asyncio.run(ask())
    threads.close()
    assert isinstance(first, DatabaseUnavailable) and isinstance(second, DatabaseUnavailable)
    assert third == 3


def test_a_computation_is_shared_and_goes_on_without_its_first_client() -> None:
    runs: list[int] = []

    async def ask() -> list[int]:
        flight: SingleFlight[str, int] = SingleFlight()
        go = asyncio.Event()

        async def compute() -> int:
            runs.append(1)
            await go.wait()
            return len(runs)

        clients = [asyncio.ensure_future(flight.run("a", compute)) for _ in range(3)]
        await asyncio.sleep(0)
        clients[0].cancel()
        await asyncio.sleep(0)
        flight.detach(lambda key: key == "a")
        fresh = asyncio.ensure_future(flight.run("a", compute))
        await asyncio.sleep(0)
        go.set()
        return [await clients[1], await clients[2], await fresh, await flight.run("a", compute)]

    assert asyncio.run(ask()) == [2, 2, 2, 3]
    assert len(runs) == 3


def test_a_failure_is_each_clients_own() -> None:
    async def ask() -> list[BaseException]:
        flight: SingleFlight[str, int] = SingleFlight()

        async def compute() -> int:
            raise DatabaseUnavailable("away")

        return list(await asyncio.gather(*(flight.run("a", compute) for _ in range(2)), return_exceptions=True))  # type: ignore[arg-type]

    assert [type(error) for error in asyncio.run(ask())] == [DatabaseUnavailable] * 2


def test_more_work_than_can_be_done_is_refused_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads_module, "MOST_WAITING", 2)
    threads, release = Threads("sqlite://", 1), threading.Event()

    async def ask() -> list[object]:
        work = [asyncio.ensure_future(threads.run(release.wait)) for _ in range(3)]
        await asyncio.sleep(0)
        refused = await asyncio.gather(threads.run(release.wait), return_exceptions=True)
        release.set()
        return [*refused, *(await asyncio.gather(*work))]

    refused, *done = asyncio.run(ask())
    threads.close()
    assert isinstance(refused, Overloaded)
    assert done == [True] * 3
