"""What is popular: counted once for everybody, in a thread of its own, and kept for a minute."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait

from recsys.bridge.serving import Connection
from recsys.contract.request import MAX_LIMIT
from recsys.errors import RecsysError
from recsys.settings import Settings
from recsys.tracking.analytics import Kind, RankedItem, rankings

KEPT_S = 60.0
COUNT_S = 30.0  # of the database; a million events take some seconds
WAIT_S = 0.5  # of a request, for a ranking that is counted anew


class Rankings:
    """The rankings of a shop.

    A shop with many events counts them for seconds. So no request waits longer than half a second: it gets the ranking
    that was counted before, or none.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._connection = Connection(settings.database_url)
        self._counter = ThreadPoolExecutor(1, thread_name_prefix="rankings")
        self._lock = threading.Lock()
        self._running: dict[Kind, Future[None]] = {}
        self._kept: dict[Kind, tuple[float, Sequence[RankedItem]]] = {}

    def of(self, kind: Kind) -> Sequence[RankedItem] | None:
        """Return a ranking, best first; None where it is not counted yet, or cannot be counted."""
        with self._lock:
            counted_at, _ = self._kept.get(kind, (float("-inf"), ()))
            running = self._running.get(kind)
            if running is None and time.monotonic() - counted_at >= KEPT_S:
                running = self._running[kind] = self._counter.submit(self._count, kind)
        if running is not None:
            wait([running], WAIT_S)
        kept = self._kept.get(kind)
        return None if kept is None else kept[1]

    def close(self) -> None:
        """Close the connection, after what is being counted."""
        self._counter.shutdown(cancel_futures=True)
        self._connection.close()

    def _count(self, kind: Kind) -> None:
        began, now = time.monotonic(), int(time.time())
        try:
            counted = self._connection.use(
                lambda db: rankings(db, self._settings.shop, kind, now=now, limit=MAX_LIMIT), began + COUNT_S
            )
            self._kept[kind] = began, counted
        except RecsysError:  # what was counted before stays, and the next request counts again
            pass
        finally:
            with self._lock:
                del self._running[kind]
