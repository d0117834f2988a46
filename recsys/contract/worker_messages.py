"""What only a worker says: that it is ready, that it is alive, and how it has fared."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Literal

from recsys.contract.document import MAX_BYTES, MAX_DEPTH, MAX_LENGTH
from recsys.contract.fields import Id
from recsys.contract.request import MAX_LIMIT
from recsys.contract.response import PROTOCOL, as_line


@dataclass(frozen=True)
class Limits:
    """The largest request that is read.

    Attributes:
        bytes: Of a request, its line end included.
        depth: Levels of nesting.
        list: Members of a list or an object.
        limit: Items that can be asked for.
    """

    bytes: int = MAX_BYTES
    depth: int = MAX_DEPTH
    list: int = MAX_LENGTH
    limit: int = MAX_LIMIT


@dataclass(frozen=True, kw_only=True)
class Ready:
    """The first line of a worker.

    Attributes:
        ready: Always true.
        protocol: The number of this contract.
        version: The version that serves.
        limits: The largest request that is read.
        pid: The process.
    """

    ready: Literal[True] = True
    protocol: Literal[1] = PROTOCOL
    version: str
    limits: Limits = Limits()
    pid: int


@dataclass(frozen=True, kw_only=True)
class Pong:
    """The answer to `ping` and `reload`.

    Attributes:
        ok: Always true.
        protocol: The number of this contract.
        version: The version that serves.
        pid: The process.
        id: The request's own mark.
    """

    ok: Literal[True] = True
    protocol: Literal[1] = PROTOCOL
    version: str
    pid: int
    id: Id | None = None


@dataclass(frozen=True)
class Refusal:
    """A version that was activated and is not served.

    Attributes:
        version: Its name; null where CURRENT itself cannot be read.
        code: What is wrong, as in a failure.
        message: The same for people.
    """

    version: str | None
    code: str
    message: str


@dataclass(frozen=True, kw_only=True)
class Stats:
    """The answer to `stats`: how a worker has fared since it was ready.

    Attributes:
        ok: Always true.
        protocol: The number of this contract.
        version: The version that serves.
        pid: The process.
        uptime_s: Seconds since it was ready.
        answered: Lines it has answered, failures included.
        failures: How many of them failed, by code.
        swaps: How often another version has taken over.
        refused: The version that was activated last and is not served; null where there is none.
        connections: How often the database was connected to.
        rss_bytes: Resident memory, mapped files included; null where the system does not tell.
        id: The request's own mark.
    """

    ok: Literal[True] = True
    protocol: Literal[1] = PROTOCOL
    version: str
    pid: int
    uptime_s: float
    answered: int
    failures: Mapping[str, int]
    swaps: int
    refused: Refusal | None
    connections: int
    rss_bytes: int | None
    id: Id | None = None


def worker_line(said: Ready | Pong | Stats) -> bytes:
    """Return what a worker says as one line; an `id` that is not there is left out."""
    document = asdict(said)
    return as_line(document, document.pop("id", None))
