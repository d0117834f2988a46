"""Checks of the values in recsys.toml; a failed one raises an error that names place, expectation and value."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from recsys.errors import SettingsError

MOST_SHOWN = 60  # characters of a received value in a message


class SettingCheck:
    """The check of one setting.

    Attributes:
        expected: A description of valid values, after "should be".
        read: Maps a value of TOML to the value in use; raises ValueError for an invalid one.
    """

    __slots__ = ("expected", "read")

    def __init__(self, expected: str, read: Callable[[Any], Any]) -> None:
        self.expected, self.read = expected, read

    def of(self, value: object, where: str) -> Any:
        """Return the value in use.

        Args:
            value: The value of TOML.
            where: The setting's place in the file, for the message.

        Raises:
            SettingsError: The value is invalid.
        """
        try:
            return self.read(value)
        except ValueError:
            raise SettingsError(f"{where} should be {self.expected}. Received: {shown(value)}.") from None


def checked(table: object, kinds: Mapping[str, SettingCheck], where: str) -> dict[str, Any]:
    """Return a table's checked values.

    Args:
        table: The table of TOML.
        kinds: The check of each known name.
        where: The table's place in the file, for the message.

    Raises:
        SettingsError: It is no table, has an unknown name or an invalid value.
    """
    if not isinstance(table, Mapping):
        raise SettingsError(f"{where} should be a table. Received: {shown(table)}.")
    if unknown := [name for name in table if name not in kinds]:
        raise SettingsError(f"{where} should hold {listed(kinds)}. Received: {listed(unknown)}.")
    return {name: kinds[name].of(value, f"{where} {listed([name])}") for name, value in table.items()}


def number(least: float, most: float, *, whole: bool = False) -> SettingCheck:
    """Return the check of a number from `least` to `most`, both included."""

    def read(value: Any) -> float:
        is_number = isinstance(value, int if whole else int | float) and not isinstance(value, bool)
        _require(is_number and least <= value <= most)
        return int(value) if whole else float(value)

    expected = f"a whole number from {least:,} to {most:,}" if whole else f"a number from {least:g} to {most:g}"
    return SettingCheck(expected, read)


def one_of(words: Iterable[str]) -> SettingCheck:
    """Return the check of a value that is one of a few words."""
    known = tuple(words)

    def read(value: object) -> object:
        _require(value in known)
        return value

    return SettingCheck(f"one of {', '.join(known)}", read)


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
    """Return names in backticks, with commas between them.

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
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    _require(is_number and (0 <= value <= 1e6 or value == math.inf))
    return float(value)


def _require(is_valid: bool) -> None:
    if not is_valid:
        raise ValueError


TEXT = SettingCheck("a text that is not empty", _read_text)
NAME = SettingCheck("a plain table or column name", _read_name)
NAMES = SettingCheck('a list of names in quotes, each once, such as ["purchase"]', _read_names)
SOME_NAMES = SettingCheck('a list of one name or more in quotes, each once, such as ["purchase"]', _read_some_names)
ZONE = SettingCheck("the name of a time zone, such as UTC or Asia/Ho_Chi_Minh", _read_zone)
REPEAT = SettingCheck('"hide", "allow" or a number of days', _read_repeat)
