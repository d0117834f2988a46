"""A request in, its answer out."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from recsys.bridge.deadlines import deadline_of, ended_after
from recsys.bridge.service import Service
from recsys.contract import Request, parse_request, success

OPS = ("recommend", "similar")
RESIDENT_ONCE = 72 << 20  # bytes: a process that answers once has no use for what it has read


def parse(data: bytes, ops: Sequence[str]) -> Request:
    """Return the request that one line holds."""
    from recsys.scorers import REGISTRY

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
