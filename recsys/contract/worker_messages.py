"""Messages of workers only: `ready`, the answer to `ping` and `reload`, and the statistics of `stats`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Literal

from recsys.contract.checks import MAX_BYTES, MAX_DEPTH, MAX_LENGTH, Id
from recsys.contract.request import MAX_LIMIT
from recsys.contract.response import PROTOCOL, as_line
from recsys.errors.records import Record


class Limits(Record):
    """The limits of a request.

    Attributes:
        bytes: The most bytes of a request, its line end included.
        depth: The most levels of nesting.
        list: The most members of a list or an object.
        limit: The most items that can be requested.
    """

    bytes: int = MAX_BYTES
    depth: int = MAX_DEPTH
    list: int = MAX_LENGTH
    limit: int = MAX_LIMIT


class Ready(Record, kw_only=True):
    """The first line of a worker.

    Attributes:
        ready: Always true.
        protocol: The version number of this contract.
        version: The version that serves.
        limits: The limits of a request.
        pid: The process id.
    """

    ready: Literal[True] = True
    protocol: Literal[1] = PROTOCOL
    version: str
    limits: Limits = Limits()
    pid: int


class Refusal(Record):
    """A version that was activated but does not serve.

    Attributes:
        version: The name of the version; null where CURRENT itself cannot be read.
        code: The code of the failure that keeps it from serving.
        message: The failure's message, for people.
    """

    version: str | None
    code: str
    message: str


class Pong(Record, kw_only=True):
    """The answer to `ping` and `reload`.

    Attributes:
        ok: Always true.
        protocol: The version number of this contract.
        version: The version that serves.
        pid: The process id.
        refused: The version that was activated last but does not serve; null where there is none.
        id: The request's id.
    """

    ok: Literal[True] = True
    protocol: Literal[1] = PROTOCOL
    version: str
    pid: int
    refused: Refusal | None = None
    id: Id | None = None


class Stats(Record, kw_only=True):
    """The answer to `stats`: what a worker has done since it was ready.

    Attributes:
        ok: Always true.
        protocol: The version number of this contract.
        version: The version that serves.
        pid: The process id.
        uptime_s: Seconds since it was ready.
        answered: The number of lines answered, failures included.
        failures: The number of failures by code.
        swaps: The number of times that the version was swapped.
        refused: The version that was activated last but does not serve; null where there is none.
        connections: The number of connections to the database that were opened.
        rss_bytes: Resident memory in bytes, mapped files included; null where the system does not report it.
        id: The request's id.
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


def worker_line(message: Ready | Pong | Stats) -> bytes:
    """Return a message as one line; an `id` of None is left out."""
    document = asdict(message)
    return as_line(document, document.pop("id", None))
