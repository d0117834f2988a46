"""Work outside the event loop: threads with a database connection each, shared computations, and gathered reads."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Hashable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Generic, TypeVar

from recsys.bridge.serving import DATABASE_TIMEOUT_S, Connection
from recsys.errors import Overloaded
from recsys.settings.database_url import DatabaseUrl
from recsys.store import Database

MOST_WAITING = 200  # pieces of work that wait for a thread; more would only be answered too late

T = TypeVar("T")
K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Threads:
    """Threads that read and write the database, each over a connection of its own."""

    def __init__(self, url: DatabaseUrl | str, n_threads: int) -> None:
        self._url = url
        self._n_threads = n_threads
        self._executor = ThreadPoolExecutor(n_threads, thread_name_prefix="work")
        self._own = threading.local()
        self._connections: list[Connection] = []
        self._lock = threading.Lock()
        self._n_waiting = 0

    def use(self, work: Callable[[Database], T], *, seconds: float = DATABASE_TIMEOUT_S) -> T:
        """Return the result of work on this thread's connection.

        It may be called twice, where the connection turns out to be lost. So it reads, or writes what may be written
        twice.

        Args:
            work: Gets the open database.
            seconds: The time of the database.

        Raises:
            RecsysError: See `recsys.bridge.serving.Connection.use`.
        """
        connection = getattr(self._own, "connection", None)
        if connection is None:
            connection = self._own.connection = Connection(self._url)
            with self._lock:
                self._connections.append(connection)
        return connection.use(work, time.monotonic() + seconds)

    async def run(self, work: Callable[..., T], *args: Any) -> T:
        """Return the result of work in one of the threads.

        Raises:
            Overloaded: Too much work waits already.
        """
        if self._n_waiting >= MOST_WAITING + self._n_threads:
            raise Overloaded("A thread should be free. Received: all are busy, and too many requests wait for one.")
        self._n_waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._executor, work, *args)
        finally:
            self._n_waiting -= 1

    def close(self) -> None:
        """Wait for the work that has begun, and close the connections."""
        self._executor.shutdown(cancel_futures=True)
        for connection in self._connections:
            connection.close()


class SingleFlight(Generic[K, V]):
    """Computes what several requests want at the same time once."""

    def __init__(self) -> None:
        self._running: dict[K, asyncio.Task[V]] = {}

    async def run(self, key: K, compute: Callable[[], Awaitable[V]]) -> V:
        """Return the result of a computation that may run already; it goes on if a client leaves."""
        task = self._running.get(key)
        if task is None:
            task = self._running[key] = asyncio.ensure_future(_awaited(compute))
            task.add_done_callback(lambda done: self._ended(key, done))
        return await asyncio.shield(task)

    def detach(self, belongs: Callable[[K], bool]) -> None:
        """Let requests from now on start computations of their own, in place of those that `belongs` names."""
        for key in [key for key in self._running if belongs(key)]:
            del self._running[key]

    def _ended(self, key: K, task: asyncio.Task[V]) -> None:
        if self._running.get(key) is task:
            del self._running[key]
        if not task.cancelled():
            task.exception()  # it was raised in each request that waited, if any is left


async def _awaited(compute: Callable[[], Awaitable[V]]) -> V:
    return await compute()


class Gathered(Generic[K, V]):
    """Reads for many requests at once: what arrives while a read runs goes into the next one.

    A request for a kept list costs one Redis command and one statement. Under load, fifty requests share both.
    """

    def __init__(self, threads: Threads, read: Callable[[Sequence[K]], Sequence[V]]) -> None:
        self._threads = threads
        self._read = read
        self._waiting: list[tuple[K, asyncio.Future[V]]] = []
        self._task: asyncio.Task[None] | None = None  # while a read runs

    async def get(self, key: K) -> V:
        """Return what is read for a key, not earlier than this call."""
        future: asyncio.Future[V] = asyncio.get_running_loop().create_future()
        self._waiting.append((key, future))
        if self._task is None:
            self._task = asyncio.ensure_future(self._drain())
        return await future

    async def _drain(self) -> None:
        try:
            await self._read_all()
        finally:
            self._task = None  # in the same step as the last look at what waits

    async def _read_all(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting, []
            try:
                values = await self._threads.run(self._read, [key for key, _ in batch])
            except BaseException as error:
                for _, future in batch:
                    if not future.done():
                        future.set_exception(error)
                if not isinstance(error, Exception):
                    raise
                continue
            for (_, future), value in zip(batch, values, strict=True):
                if not future.done():
                    future.set_result(value)
