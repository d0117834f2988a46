"""What a process opens once and keeps: its settings, the version, the database connection."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from recsys.errors import DatabaseUnavailable, DeadlineExceeded, InvalidRequest, UnknownUser

if TYPE_CHECKING:
    from recsys.contract import Request, Response
    from recsys.recommending.loading import ModelBundle
    from recsys.settings import Settings
    from recsys.settings.database_url import DatabaseUrl
    from recsys.store import Database
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace

from recsys.bridge.watchdog import deadline_of, ended_after
from recsys.contract import Request, parse_request, success

DATABASE_TIMEOUT_S = 5.0  # without a budget: far above the time of a few indexed queries, below a visitor's patience
ANSWER_SHARE = (
    0.1  # of the time left: a client that gives up at its deadline should have heard by then that it was the database
)
MAX_IDLE_S = 60.0  # routers forget connections that are idle for some minutes, and nobody tells either end
HARMLESS = (UnknownUser, InvalidRequest)  # refusals that leave nothing unread on the connection

T = TypeVar("T")


class Connection:
    """The database connection, kept open between requests and replaced where it has gone.

    Attributes:
        opened: How often a connection was made.
    """

    def __init__(self, url: DatabaseUrl | str) -> None:
        self.opened = 0
        self._url = url
        self._idle: Database | None = None
        self._idle_since = 0.0

    def use(self, read: Callable[[Database], T], until: float) -> T:
        """Return what `read` makes of the database.

        If a connection that was kept open turns out to be gone, one new connection is made and `read` runs once more:
        it only reads, and outside of transactions.

        Args:
            read: Called once, or twice.
            until: The moment of `time.monotonic` at which the database has had its time.

        Raises:
            DatabaseUnavailable: There is no connection to be had, or it broke off.
            DeadlineExceeded: There is no time left.
            Overloaded: The server has no connection left, or a lock was not released in time.
        """
        kept = self._take()
        if kept is None:
            return self._read(self._open(until), read, until)
        try:
            return self._read(kept, read, until)
        except DatabaseUnavailable:
            if time.monotonic() >= until:  # it was slow, not gone
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

        left = until - time.monotonic()
        if left <= 0:
            raise DeadlineExceeded("The request's time should suffice for the database. Received: none is left.")
        database = connect(self._url, timeout_s=left)
        self.opened += 1
        return database

    def _read(self, database: Database, read: Callable[[Database], T], until: float) -> T:
        """Read and keep the connection, unless something went wrong that may have left half an answer on it."""
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
    """What answers requests, opened once.

    Attributes:
        settings: What the process was told from outside.
        bundle: The version that serves; a request reads this once, so that its answer is of one version.
        connection: The database.
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
            full: Whether to hash every file of the version, whatever its stamp says.
            resident_limit: Bytes that may stay resident between two scorers; None for what suits a process that stays.

        Raises:
            SettingsError: Something is not set, or contradicts itself.
            NoModel: Nothing is published.
            ModelRefused: The version is damaged.
        """
        from recsys.artifacts import ANSWERING_LIMIT
        from recsys.recommending.loading import load
        from recsys.settings import load_settings

        settings, limit = load_settings(environ, root), ANSWERING_LIMIT if resident_limit is None else resident_limit
        return cls(settings, load(settings.models_dir, full=full, resident_limit=limit))

    def recommend(self, request: Request, deadline: float | None) -> Response:
        """Answer a request for items.

        Args:
            request: The question.
            deadline: The moment of `time.monotonic` after which an answer is of no use.
        """
        from recsys.recommending.recommend import recommend

        bundle = self.bundle
        return self.connection.use(
            lambda database: recommend(
                request,
                bundle,
                database,
                shop=self.settings.shop,
                now=int(time.time()),
                deadline=deadline,
                monotonic=time.monotonic,
                threads=self.settings.scoring_threads,
            ),
            _database_until(time.monotonic(), deadline),
        )

    def close(self) -> None:
        """Let go of the database."""
        self.connection.close()


def _database_until(now: float, deadline: float | None) -> float:
    """Return the moment at which the database has had its time."""
    seconds = DATABASE_TIMEOUT_S if deadline is None else min(DATABASE_TIMEOUT_S, (1 - ANSWER_SHARE) * (deadline - now))
    return now + seconds


OPS = ("recommend", "similar")
RESIDENT_ONCE = 72 << 20  # bytes: a process that answers once has no use for what it has read


def parse(data: bytes, ops: Sequence[str]) -> Request:
    """Return the request that one line holds."""
    from recsys.scorers.registry import REGISTRY

    return parse_request(data, models=tuple(REGISTRY), ops=ops)


def respond(request: Request, service: Service, arrived: float, deadline: float | None) -> bytes:
    """Return the answer to a request for items.

    Args:
        request: The question.
        service: What answers.
        arrived: The moment of `time.monotonic` when the request was there.
        deadline: The moment after which an answer is of no use.
    """
    response = service.recommend(request, deadline)
    return success(replace(response, id=request.id, ms=round(1000 * (time.monotonic() - arrived), 1)))


def answer_once(data: bytes, environ: Mapping[str, str], root: Path) -> bytes:
    """Return the answer to the only request; what can be known without settings, model or database is checked first.

    Args:
        data: The request.
        environ: The process environment.
        root: The folder that holds `.env`, `recsys.toml` and `models/`.
    """
    arrived = time.monotonic()
    request = parse(data, OPS)
    deadline = deadline_of(request, arrived)
    with ended_after(deadline), closing(Service.open(environ, root, resident_limit=RESIDENT_ONCE)) as service:
        deadline_of(request, arrived)
        return respond(request, service, arrived, deadline)
