"""What a value of recsys.toml should be, and the sentence about one that isn't."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from recsys.errors import SettingsError

MOST_SHOWN = 60  # characters


class ScorerSpec:
    """What a value should be.

    Attributes:
        expected: What it should be, in words.
        read: Returns the value as it is used from then on, and raises ValueError for one that is not of the kind.
    """

    __slots__ = ("expected", "read")

    def __init__(self, expected: str, read: Callable[[Any], Any]) -> None:
        self.expected, self.read = expected, read

    def of(self, value: object, where: str) -> Any:
        """Return a value as it is used from then on.

        Args:
            value: As TOML has it.
            where: Its place, for the message.

        Raises:
            SettingsError: It is not of the kind.
        """
        try:
            return self.read(value)
        except ValueError:
            raise SettingsError(f"{where} should be {self.expected}. Received: {shown(value)}.") from None


def checked(table: object, kinds: Mapping[str, ScorerSpec], where: str) -> dict[str, Any]:
    """Return a table's values, each of its kind.

    Raises:
        SettingsError: It is no table, has a name that is not understood, or a value that is not what it should be.
    """
    if not isinstance(table, Mapping):
        raise SettingsError(f"{where} should be a table. Received: {shown(table)}.")
    if unknown := [name for name in table if name not in kinds]:
        raise SettingsError(f"{where} should hold {listed(kinds)}. Received: {listed(unknown)}.")
    return {name: kinds[name].of(value, f"{where} {listed([name])}") for name, value in table.items()}


def number(least: float, most: float, *, whole: bool = False) -> ScorerSpec:
    """Return the kind of numbers from `least` to `most`."""

    def read(value: Any) -> float:
        _require(
            isinstance(value, int if whole else int | float) and not isinstance(value, bool) and least <= value <= most
        )
        return int(value) if whole else float(value)

    return ScorerSpec(
        f"a whole number from {least:,} to {most:,}" if whole else f"a number from {least:g} to {most:g}", read
    )


def one_of(words: Iterable[str]) -> ScorerSpec:
    """Return the kind of a few words."""
    known = tuple(words)

    def read(value: object) -> object:
        _require(value in known)
        return value

    return ScorerSpec(f"one of {', '.join(known)}", read)


def shown(value: object) -> str:
    r"""Return a received value in at most 60 printable ASCII characters.

    >>> shown("a\n"), shown([1, 2]), shown(float("nan"))
    ('"a\\n"', '[1, 2]', 'nan')
    """
    try:
        text = repr(value) if isinstance(value, float) else json.dumps(value, default=str)
    except ValueError:  # an integer of thousands of digits
        return "a number that is far too long"
    return text if len(text) <= MOST_SHOWN else text[: MOST_SHOWN - 3] + "..."


def listed(names: Iterable[str]) -> str:
    """Return names as a sentence has them.

    >>> listed(["time_zone", "repeat"])
    '`time_zone`, `repeat`'
    """
    return ", ".join(f"`{shown(name)[1:-1]}`" for name in names)


def _read_text(value: Any) -> str:
    _require(isinstance(value, str) and bool(value.strip()))
    return str(value)


def _read_name(value: Any) -> str:
    _require(isinstance(value, str) and all(part.isidentifier() for part in value.split(".")))
    return str(value)


def _read_names(value: Any) -> tuple[str, ...]:
    _require(isinstance(value, list) and all(isinstance(name, str) and name.strip() for name in value))
    _require(len(set(value)) == len(value))
    return tuple(value)


def _read_some_names(value: Any) -> tuple[str, ...]:
    _require(bool(value))
    return _read_names(value)


def _read_zone(value: Any) -> str:
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    _require(isinstance(value, str) and bool(value))
    try:
        ZoneInfo(value)
    except (ZoneInfoNotFoundError, OSError) as error:  # a folder of zones, such as "Europe", is an OSError
        raise ValueError from error
    return str(value)


def _read_repeat(value: Any) -> float:
    words = {"hide": math.inf, "allow": 0.0}
    if isinstance(value, str) and value in words:
        return words[value]
    _require(
        isinstance(value, int | float) and not isinstance(value, bool) and (0 <= value <= 1e6 or value == math.inf)
    )
    return float(value)


def _require(fit: bool) -> None:
    if not fit:
        raise ValueError


TEXT = ScorerSpec("a text that is not empty", _read_text)
NAME = ScorerSpec("a plain table or column name", _read_name)
NAMES = ScorerSpec('a list of names in quotes, each once, such as ["purchase"]', _read_names)
SOME_NAMES = ScorerSpec('a list of one name or more in quotes, each once, such as ["purchase"]', _read_some_names)
ZONE = ScorerSpec("the name of a time zone, such as UTC or Asia/Ho_Chi_Minh", _read_zone)
REPEAT = ScorerSpec('"hide", "allow" or a number of days', _read_repeat)
