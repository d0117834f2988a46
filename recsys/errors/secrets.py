"""Secrets that print as `***`, and the texts of others without them."""

from __future__ import annotations

import argparse
import re
import sys
from functools import lru_cache
from types import TracebackType
from typing import NoReturn

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
    for value in sorted(_known, key=len, reverse=True):  # one that begins with another goes first
        text = _pattern(value).sub(MASK, text)
    return text


def without_accounts(text: str) -> str:
    """Return a text with `***` for the user and the password of any URL, known or not, but for the `user:password@` of our own advice.

    >>> without_accounts("Received: mysql://root:p@ss@127.0.0.1/shop.")
    'Received: mysql://***@127.0.0.1/shop.'
    """
    return re.sub(r"(?<=://)(?!user:password@)[^\s@]\S*(?=@)", MASK, text) if "://" in text else text


@lru_cache
def _pattern(value: str) -> re.Pattern[str]:
    """Return what finds a value in each way that libraries write it, escaped or percent-encoded as often as they like."""
    letters = "".join(_letter(letter) for letter in re.sub(r"\\+", r"\\", value))
    return re.compile(letters if len(value) >= TORN_BELOW else rf"(?<!\w){letters}(?!\w)")


def _letter(letter: str) -> str:
    r"""Return what finds one letter; the backslashes of an escape may have been taken for those of a `\` before it."""
    data = letter.encode(errors="surrogatepass")
    encoded = "".join(f"%(?:25)*{byte:02x}" for byte in data)
    if letter.isascii():
        plain = {"\\": r"\\++", " ": r"[ +]"}.get(letter, rf"\\*+{re.escape(letter)}")
        return f"(?:{plain}|(?i:{encoded}))"
    units = letter.encode("utf-16-be", errors="surrogatepass")
    in_bytes = "".join(rf"\\*+x{byte:02x}" for byte in data)
    in_units = "".join(rf"\\*+u{units[at : at + 2].hex()}" for at in range(0, len(units), 2))
    return rf"(?:{letter}|(?i:{encoded}|{in_bytes}|{in_units}|\\*+[xu]0*+{ord(letter):x}))"


def _guard_tracebacks() -> None:
    """Scrub the tracebacks that Python prints by itself; where another program has hooks of its own, these stay."""
    import threading

    if sys.excepthook is sys.__excepthook__:
        sys.excepthook = lambda kind, error, trace: _print("", kind, error, trace)
    if threading.excepthook is threading.__excepthook__:
        threading.excepthook = lambda told: _print(
            f"Exception in thread {told.thread and told.thread.name}:\n",
            told.exc_type,
            told.exc_value,
            told.exc_traceback,
        )
    if sys.unraisablehook is sys.__unraisablehook__:
        sys.unraisablehook = lambda told: _print(
            f"{told.err_msg or 'Exception ignored in'}: {told.object!r}\n",
            told.exc_type,
            told.exc_value,
            told.exc_traceback,
        )


def _print(heading: str, kind: type[BaseException], error: BaseException | None, trace: TracebackType | None) -> None:
    import traceback

    if sys.stderr is not None and kind is not SystemExit:  # a thread may end by that without a word
        sys.stderr.write(scrubbed(heading + "".join(traceback.format_exception(kind, error, trace))))
        sys.stderr.flush()


class Parser(argparse.ArgumentParser):
    """A parser that tells no user and no password of a URL among its arguments."""

    def error(self, message: str) -> NoReturn:
        """Leave with argparse's status 2."""
        super().error(without_accounts(message))
