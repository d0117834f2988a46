"""Failures over HTTP: those of this room, and the status of each failure of the project."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi import Response

from recsys.contract import failure
from recsys.errors import (
    AlreadyTraining,
    DatabaseUnavailable,
    DeadlineExceeded,
    InternalError,
    InvalidJson,
    InvalidRequest,
    Overloaded,
    RecsysError,
    TooLarge,
)


class NotKnown(RecsysError):
    """The request comes without a key or a token that is good."""

    code, exit_status = "unauthorized", 65


class NotYours(RecsysError):
    """The key or the token does not allow this."""

    code, exit_status = "forbidden", 65


class NotFound(RecsysError):
    """There is no such route, product or job."""

    code, exit_status = "not_found", 65


class NotAllowedHere(RecsysError):
    """The route has another method."""

    code, exit_status = "method_not_allowed", 65


class UnsupportedType(RecsysError):
    """The body is not sent as JSON."""

    code, exit_status = "unsupported_type", 65


class TooMany(RecsysError):
    """More requests came than the limit allows.

    Attributes:
        after_s: Seconds until the next one may come.
    """

    code, exit_status, retryable = "too_many", 75, True

    def __init__(self, message: str, *, after_s: int) -> None:
        super().__init__(message)
        self.after_s = after_s


# The first class that fits decides; any other failure is 503, because the fault is the service's and may pass.
STATUSES: tuple[tuple[type[RecsysError], int], ...] = (
    (InvalidJson, 400),
    (InvalidRequest, 400),
    (TooLarge, 413),
    (NotKnown, 401),
    (NotYours, 403),
    (NotFound, 404),
    (NotAllowedHere, 405),
    (AlreadyTraining, 409),
    (UnsupportedType, 415),
    (TooMany, 429),
    (InternalError, 500),
    (DatabaseUnavailable, 503),
    (Overloaded, 503),
    (DeadlineExceeded, 503),
)
TOLD = frozenset(range(400, 500))  # statuses whose messages quote only the request
LATER_S = 5  # seconds after which a client may try again


def status_of(error: RecsysError) -> int:
    """Return the HTTP status of a failure."""
    return next((status for kind, status in STATUSES if isinstance(error, kind)), 503)


def answer_of(error: RecsysError) -> Response:
    """Return the answer to a request that failed; messages about the inside stay in the log."""
    status = status_of(error)
    headers: dict[str, str] = {}
    if status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    if isinstance(error, TooMany):
        headers["Retry-After"] = str(error.after_s)
    elif status == 503:
        headers["Retry-After"] = str(LATER_S)
    return Response(failure(error if status in TOLD else _without_details(error)), status, headers, "application/json")


def _without_details(error: RecsysError) -> RecsysError:
    """Return a failure of the same kind that says nothing of addresses, statements or files."""
    public = RecsysError(
        "The service could not answer; the same request may succeed later."
        if error.retryable
        else "The service could not answer; its log has the reason."
    )
    public.code, public.retryable = error.code, error.retryable  # of this one failure
    return public


def example(code: str, message: str) -> Mapping[str, Any]:
    """Return a failure as OpenAPI shows it."""
    return {"ok": False, "error": {"code": code, "message": message, "retryable": False}}
