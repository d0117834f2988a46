"""The process boundary: whatever happens behind it becomes a named failure."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

from recsys.contract import failure, request_id
from recsys.errors import InternalError, Overloaded, RecsysError, SettingsError
from recsys.errors.secrets import scrubbed

T = TypeVar("T")


def attempt(step: Callable[[], T]) -> T | RecsysError:
    """Return what a step returns, or the failure it ends in."""
    try:
        return step()
    except (Exception, SystemExit) as error:
        return _named(error)


def as_answer(outcome: bytes | RecsysError, data: bytes) -> bytes:
    """Return the line of an outcome.

    Args:
        outcome: An answer, or why there is none.
        data: The request; a failure echoes its `id`.
    """
    return failure(outcome, id=request_id(data)) if isinstance(outcome, RecsysError) else outcome


def _named(error: BaseException) -> RecsysError:
    if isinstance(error, MemoryError):
        return Overloaded("Memory should suffice for the request. Received: no more from the system.")
    if isinstance(error, ModuleNotFoundError) and not str(error.name).startswith("recsys"):
        return SettingsError(
            f"Python 3.11 or newer should have the packages of requirements/serve.txt. Missing: {error.name}."
        )
    if isinstance(error, RecsysError) and error.code != InternalError.code:
        return error
    if sys.stderr is not None:
        with suppress(OSError):  # nobody may be reading it
            sys.stderr.write(scrubbed("".join(traceback.format_exception(error))))
    return InternalError("The recommender should not fail like this; its stderr has the traceback.")
