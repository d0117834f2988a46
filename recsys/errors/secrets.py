"""Secrets that print as `***`, and functions that remove them from messages, tracebacks and command-line errors."""

from __future__ import annotations

import re
import sys
from functools import lru_cache
from typing import NoReturn

MASK = "***"
WHOLE_WORD_BELOW = 6  # characters; a shorter secret is part of too many words, so it is masked as a whole word only

_known: set[str] = set()


class Secret:
    """A value that only `reveal` returns: it prints as `***` and can be neither pickled nor written as JSON.

    Once a secret exists, tracebacks that Python prints at the end of a process or thread are masked, too.
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
    """Return a text with `***` for every secret of this process, escaped ones too, and for the account in any URL.

    Args:
        text: A message or a traceback, for people.
    """
    text = without_accounts(text)
    for value in sorted(_known, key=len, reverse=True):  # longest first: a secret may contain another
        text = _pattern(value).sub(MASK, text)
    return text


def without_accounts(text: str) -> str:
    """Return a text with `***` for user and password of any URL, except the `user:password@` of our own messages.

    >>> without_accounts("Received: mysql://root:p@ss@127.0.0.1/shop.")
    'Received: mysql://***@127.0.0.1/shop.'
    """
    return re.sub(r"(?<=://)\S+", _without_account, text) if "://" in text else text


def _without_account(match: re.Match[str]) -> str:
    """Mask all before the last `@`. To match a word as a whole takes linear time, however many URLs it holds."""
    account, _, place = match[0].rpartition("@")
    return f"{MASK}@{place}" if account and account != "user:password" else match[0]


@lru_cache
def _pattern(value: str) -> re.Pattern[str]:
    """Return a pattern for a value as libraries write it: plain, or escaped or percent-encoded once or more."""
    letters = "".join(_letter(letter) for letter in re.sub(r"\\+", r"\\", value))
    return re.compile(letters if len(value) >= WHOLE_WORD_BELOW else rf"(?<!\w){letters}(?!\w)")


def _letter(letter: str) -> str:
    r"""Return a pattern for one character.

    An escape's backslashes may already be matched by a `\` before it, so that they are optional.
    """
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
    """Mask secrets in the tracebacks that Python prints; hooks that another program has set stay."""
    import threading

    if sys.excepthook is sys.__excepthook__:
        sys.excepthook = lambda kind, error, trace: write_traceback(error)
    if threading.excepthook is threading.__excepthook__:
        threading.excepthook = lambda hook: write_traceback(
            hook.exc_value, f"Exception in thread {hook.thread and hook.thread.name}:\n"
        )
    if sys.unraisablehook is sys.__unraisablehook__:
        sys.unraisablehook = lambda hook: write_traceback(
            hook.exc_value, f"{hook.err_msg or 'Exception ignored in'}: {hook.object!r}\n"
        )


def write_traceback(error: BaseException | None, heading: str = "") -> None:
    """Write a traceback without secrets to stderr, if there is one.

    Args:
        error: The exception; nothing is written for SystemExit, which ends a thread silently.
        heading: Text before it, its line end included.

    Raises:
        OSError: stderr has no reader.
    """
    import traceback

    if sys.stderr is not None and not isinstance(error, SystemExit):
        sys.stderr.write(scrubbed(heading + "".join(traceback.format_exception(error))))
        sys.stderr.flush()
