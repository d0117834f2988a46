"""Requests answered within a process: the service (settings, version, database connection), and the one-shot answer."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from recsys.bridge.watchdog import Watchdog, deadline_of
from recsys.contract import ITEM_OPS, Request, parse_request, success
from recsys.errors import DatabaseUnavailable, DeadlineExceeded, InvalidRequest, UnknownUser

if TYPE_CHECKING:
    from recsys.contract import Response
    from recsys.recommending.loading import ModelBundle
    from recsys.settings import Settings
    from recsys.settings.database_url import DatabaseUrl
    from recsys.store import Database

OPS = ITEM_OPS
RESIDENT_ONCE = 72 << 20  # resident bytes of a one-shot process: it scores once, so it need not keep what it has read
DATABASE_TIMEOUT_S = 5.0  # without a budget: far above the time of a few indexed queries, below a user's patience
ANSWER_SHARE = 0.1  # the part of the time left that is kept for the answer, so that a slow database is still reported
MAX_IDLE_S = 60.0  # routers drop connections that are idle for some minutes, without a sign to either end
HARMLESS = (UnknownUser, InvalidRequest)  # errors that leave nothing unread on the connection

T = TypeVar("T")


class Connection:
    """The database connection, kept open between requests and replaced where it is lost.

    Attributes:
        opened: The number of connections that were opened.
    """

    def __init__(self, url: DatabaseUrl | str) -> None:
        self.opened = 0
        self._url = url
        self._idle: Database | None = None
        self._idle_since = 0.0

    def use(self, read: Callable[[Database], T], until: float) -> T:
        """Return the result of `read` on the database.

        If a kept connection turns out to be lost, one new connection is opened and `read` is called once more. That is
        safe because it only reads, outside of transactions.

        Args:
            read: Called once or twice, with the open database.
            until: The moment of `time.monotonic` at which the database's time is used up.

        Raises:
            DatabaseUnavailable: No connection could be opened, or it broke off.
            DeadlineExceeded: No time is left.
            Overloaded: The server has no free connection, or a lock was not released in time.
        """
        if (kept := self._take()) is not None:
            try:
                return self._read(kept, read, until)
            except DatabaseUnavailable:
                if time.monotonic() >= until:  # the connection was slow, not lost
                    raise
        return self._read(self._open(until), read, until)

    def close(self) -> None:
        """Close the connection, if there is one."""
        kept, self._idle = self._idle, None
        if kept is not None:
            kept.close()

    def _take(self) -> Database | None:
        if self._idle is not None and (time.monotonic() - self._idle_since > MAX_IDLE_S or self._idle.is_stale):
            self.close()
        kept, self._idle = self._idle, None
        return kept

    def _open(self, until: float) -> Database:
        from recsys.store import connect

        seconds = until - time.monotonic()
        if seconds <= 0:
            raise DeadlineExceeded("The request's time should suffice for the database. Received: none is left.")
        database = connect(self._url, timeout_s=seconds)
        self.opened += 1
        return database

    def _read(self, database: Database, read: Callable[[Database], T], until: float) -> T:
        """Read and keep the connection, unless an error may have left half a result on it."""
        database.limit(until)
        try:
            result = read(database)
        except HARMLESS:
            self._keep(database)
            raise
        except BaseException:
            database.close()
            raise
        self._keep(database)
        return result

    def _keep(self, database: Database) -> None:
        self._idle, self._idle_since = database, time.monotonic()


class Service:
    """Settings, version and database connection, opened once and used for every request.

    Attributes:
        settings: The settings of the process.
        bundle: The version that serves; a request reads this once, so that its answer comes from one version.
        connection: The database connection.
    """

    def __init__(self, settings: Settings, bundle: ModelBundle) -> None:
        self.settings = settings
        self.bundle = bundle
        self.connection = Connection(settings.database_url)

    @classmethod
    def open(
        cls, environ: Mapping[str, str], root: Path, *, full: bool = False, resident_limit: int | None = None
    ) -> Service:
        """Read the settings and open the current version.

        Args:
            environ: The process environment.
            root: The folder that holds `.env`, `recsys.toml` and `models/`.
            full: Whether to hash every file of the version, even where its stamp says that it was checked.
            resident_limit: Bytes that may stay resident between two scorers; None for a worker's limit.

        Raises:
            SettingsError: A setting is missing or wrong, or two contradict each other.
            NoModel: No version is published.
            ModelRefused: The version is damaged.
        """
        from recsys.artifacts import ANSWERING_LIMIT
        from recsys.recommending.loading import load
        from recsys.settings import load_settings

        settings = load_settings(environ, root)
        limit = ANSWERING_LIMIT if resident_limit is None else resident_limit
        return cls(settings, load(settings.models_dir, full=full, resident_limit=limit))

    def recommend(self, request: Request, deadline: float | None) -> Response:
        """Return the response to a request for items.

        Args:
            request: The checked request, of an operation of `OPS`.
            deadline: The moment of `time.monotonic` after which an answer is of no use; None waits.

        Raises:
            RecsysError: The request fails; see `recsys.recommending.recommend.recommend` and `Connection.use`.
        """
        bundle = self.bundle
        return self.connection.use(
            lambda database: self.answer(request, bundle, database, deadline),
            _database_until(time.monotonic(), deadline),
        )

    def answer(self, request: Request, bundle: ModelBundle, database: Database, deadline: float | None) -> Response:
        """Return the response of a version, maybe of one that does not serve yet.

        Args:
            request: The checked request, of an operation of `OPS`.
            bundle: The version.
            database: The open database.
            deadline: The moment of `time.monotonic` after which an answer is of no use; None waits.

        Raises:
            RecsysError: The request fails; see `recsys.recommending.recommend.recommend`.
        """
        from recsys.recommending.recommend import recommend

        return recommend(
            request,
            bundle,
            database,
            shop=self.settings.shop,
            now=int(time.time()),
            deadline=deadline,
            monotonic=time.monotonic,
            threads=self.settings.scoring_threads,
        )

    def close(self) -> None:
        """Close the database connection."""
        self.connection.close()


def _database_until(now: float, deadline: float | None) -> float:
    """Return the moment of `time.monotonic` at which the database's time is used up."""
    seconds = DATABASE_TIMEOUT_S if deadline is None else min(DATABASE_TIMEOUT_S, (1 - ANSWER_SHARE) * (deadline - now))
    return now + seconds


def parse(data: bytes, ops: Sequence[str]) -> Request:
    """Return the request that one line holds; see `recsys.contract.parse_request`.

    Args:
        data: The line, its line end included.
        ops: The operations that the process offers.
    """
    from recsys.scorers.registry import REGISTRY

    return parse_request(data, models=tuple(REGISTRY), ops=ops)


def respond(request: Request, service: Service, arrived: float, deadline: float | None) -> bytes:
    """Return the line that answers a request for items.

    Args:
        request: The checked request, of an operation of `OPS`.
        service: The open service.
        arrived: The moment of `time.monotonic` at which the request was read.
        deadline: The moment of `time.monotonic` after which an answer is of no use; None waits.

    Raises:
        RecsysError: The request fails.
    """
    response = service.recommend(request, deadline)
    return success(replace(response, id=request.id, ms=round(1000 * (time.monotonic() - arrived), 1)))


def answer_once(data: bytes, environ: Mapping[str, str], root: Path) -> bytes:
    """Return the line that answers the only request of a process.

    The request is checked before settings, version and database are opened.

    Args:
        data: The request, one JSON object in UTF-8.
        environ: The process environment.
        root: The folder that holds `.env`, `recsys.toml` and `models/`.

    Raises:
        RecsysError: The request fails.
    """
    arrived = time.monotonic()
    request = parse(data, OPS)
    deadline = deadline_of(request, arrived)
    watchdog = Watchdog()
    with watchdog.answering():
        watchdog.limit(deadline)
        with closing(Service.open(environ, root, resident_limit=RESIDENT_ONCE)) as service:
            deadline_of(request, arrived)
            return respond(request, service, arrived, deadline)
