"""Secrets that print as `***`, and the texts of others without them."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from types import TracebackType
from typing import NoReturn
from urllib.parse import quote, quote_plus

MASK = "***"
TORN_BELOW = 6  # a shorter secret is a part of too many words: it is masked where it stands alone

_known: set[str] = set()


class Secret:
    """A value that nothing but `reveal` tells: it prints as `***`, and is neither pickled nor written as JSON.

    From the first one on, a traceback that ends the process or a thread is printed without any of them.
    """

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value
        if value and value not in _known:
            _known.add(value)
            _guard_tracebacks()

    def reveal(self) -> str:
        """Return the value."""
        return self._value

    def __repr__(self) -> str:
        return MASK if self._value else "''"

    def __bool__(self) -> bool:
        return bool(self._value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self._value == other._value

    def __hash__(self) -> int:
        return hash(self._value)

    def __copy__(self) -> Secret:
        return self

    def __deepcopy__(self, memo: object) -> Secret:
        return self

    def __reduce__(self) -> NoReturn:
        raise TypeError("A secret should stay in the process that read it; it cannot be pickled.")


def scrubbed(text: str) -> str:
    """Return a text with `***` for every secret of this process, however it is written, and for the account in any URL.

    Args:
        text: For people: a message, a traceback.
    """
    text = without_accounts(text)
    for form in sorted({form for value in tuple(_known) for form in _forms(value)}, key=len, reverse=True):
        if form in text:
            text = text.replace(form, MASK) if len(form) >= TORN_BELOW else re.sub(rf"(?<!\w){re.escape(form)}(?!\w)", MASK, text)
    return text


def without_accounts(text: str) -> str:
    """Return a text with `***` for the user and the password of any URL, known or not, but for the `user:password@` of our own advice.

    >>> without_accounts("Received: mysql://root:p@ss@127.0.0.1/shop.")
    'Received: mysql://***@127.0.0.1/shop.'
    """
    return re.sub(r"(?<=://)(?!user:password@)[^\s@]\S*(?=@)", MASK, text) if "://" in text else text


def _forms(value: str) -> Iterator[str]:
    """Yield the ways in which libraries write a value: as it is, percent-encoded, escaped as Python and JSON do."""
    data = value.encode(errors="surrogatepass")
    for encoded in (quote(data, safe=""), quote(data), quote_plus(data)):
        yield encoded
        yield re.sub("%..", lambda code: code[0].lower(), encoded)
    yield from (value, repr(value)[1:-1], ascii(value)[1:-1], repr(data)[2:-1], json.dumps(value)[1:-1])


def _guard_tracebacks() -> None:
    """Scrub the tracebacks that Python prints by itself; where another program has hooks of its own, these stay."""
    import threading

    if sys.excepthook is sys.__excepthook__:
        sys.excepthook = lambda kind, error, trace: _print("", kind, error, trace)
    if threading.excepthook is threading.__excepthook__:
        threading.excepthook = lambda told: _print(
            f"Exception in thread {told.thread and told.thread.name}:\n", told.exc_type, told.exc_value, told.exc_traceback
        )
    if sys.unraisablehook is sys.__unraisablehook__:
        sys.unraisablehook = lambda told: _print(
            f"{told.err_msg or 'Exception ignored in'}: {told.object!r}\n", told.exc_type, told.exc_value, told.exc_traceback
        )


def _print(heading: str, kind: type[BaseException], error: BaseException | None, trace: TracebackType | None) -> None:
    import traceback

    if sys.stderr is not None and kind is not SystemExit:  # a thread may end by that without a word
        sys.stderr.write(scrubbed(heading + "".join(traceback.format_exception(kind, error, trace))))
        sys.stderr.flush()
