"""The process boundary: any exception becomes a named failure, and a failure becomes a line of the contract."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

from recsys.contract import failure, request_id
from recsys.errors import InternalError, Overloaded, RecsysError, SettingsError
from recsys.errors.secrets import write_traceback

T = TypeVar("T")


def run(step: Callable[[], T]) -> T | RecsysError:
    """Return the result of a step, or the failure that it ends in.

    Args:
        step: Called once, without arguments. It may raise anything but KeyboardInterrupt.
    """
    try:
        return step()
    except (Exception, SystemExit) as error:
        return _to_failure(error)


def to_line(result: bytes | RecsysError, data: bytes) -> bytes:
    """Return the line that answers a request.

    Args:
        result: The line of an answer, or a failure.
        data: The request; the line of a failure repeats its `id`.
    """
    return failure(result, id=request_id(data)) if isinstance(result, RecsysError) else result


def _to_failure(error: BaseException) -> RecsysError:
    """Return an exception as a failure of the contract; the traceback of an unexpected one goes to stderr."""
    if isinstance(error, MemoryError):
        return Overloaded("Memory should suffice for the request. Received: no more from the system.")
    if isinstance(error, ModuleNotFoundError) and not str(error.name).startswith("recsys"):
        return SettingsError(
            f"Python 3.11 or newer should have the packages of requirements/serve.txt. Missing: {error.name}."
        )
    if isinstance(error, RecsysError) and error.code != InternalError.code:
        return error
    with suppress(OSError):  # stderr may have no reader
        write_traceback(error)
    return InternalError("The recommender should not fail like this; its stderr has the traceback.")
