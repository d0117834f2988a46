"""Checks of the values in recsys.toml; a failed one raises an error that names place, expectation and value."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from recsys.errors import SettingsError
from recsys.errors.records import Record
from recsys.errors.wording import shown


class SettingCheck(Record):
    """The check of one setting.

    Attributes:
        expected: A description of valid values, after "should be".
        is_valid: Whether a value of TOML is valid.
        convert: Maps a valid value of TOML to the value in use.
    """

    expected: str
    is_valid: Callable[[Any], bool]
    convert: Callable[[Any], Any] = lambda value: value

    def of(self, value: object, where: str) -> Any:
        """Return the value in use.

        Args:
            value: The value of TOML.
            where: The setting's place in the file, for the message.

        Raises:
            SettingsError: The value is invalid.
        """
        if not self.is_valid(value):
            raise SettingsError(f"{where} should be {self.expected}. Received: {shown(value)}.")
        return self.convert(value)


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
    expected = f"a whole number from {least:,} to {most:,}" if whole else f"a number from {least:g} to {most:g}"
    kind = int if whole else float
    return SettingCheck(expected, lambda value: _is_number(value, whole=whole) and least <= value <= most, kind)


def one_of(words: Sequence[str]) -> SettingCheck:
    """Return the check of a value that is one of a few words."""
    return SettingCheck(f"one of {', '.join(words)}", lambda value: value in words)


def listed(names: Iterable[str]) -> str:
    """Return names in backticks, with commas between them.

    >>> listed(["time_zone", "repeat"])
    '`time_zone`, `repeat`'
    """
    return ", ".join(f"`{shown(name, quotes=False)}`" for name in names)


def _is_number(value: Any, *, whole: bool = False) -> bool:
    return isinstance(value, int if whole else int | float) and not isinstance(value, bool)


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


_PART = r"""(?:[\w$-]+|"(?:[^"\x00-\x1f]|"")+"|`(?:[^`\x00-\x1f]|``)+`)"""  # bare, or in the quotes of SQL
_NAME = re.compile(rf"(?!\d+(?:\.|\Z)){_PART}(?:\.{_PART})*")


def is_name(value: object) -> bool:
    """Return whether a value names a table or a column, with a schema if need be.

    >>> [is_name(text) for text in ("shop.orders", "wp-orders", "customerId", '"our orders"', "a b", "1", "a > 0")]
    [True, True, True, True, False, False, False]
    """
    return isinstance(value, str) and _NAME.fullmatch(value) is not None


def _is_module(value: Any) -> bool:
    return isinstance(value, str) and all(part.isidentifier() for part in value.split("."))


def _are_names(value: Any) -> bool:
    return isinstance(value, list) and all(map(_is_text, value)) and len(set(value)) == len(value)


def _is_zone(value: Any) -> bool:
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    try:
        return isinstance(value, str) and value != "" and bool(ZoneInfo(value))
    except (ZoneInfoNotFoundError, ValueError, OSError):  # a folder of zones, such as "Europe", is an OSError
        return False


def _is_repeat(value: Any) -> bool:
    if isinstance(value, str):
        return value in REPEAT_DAYS
    return _is_number(value) and (0 <= value <= 1e6 or value == math.inf)


REPEAT_DAYS = {"hide": math.inf, "allow": 0.0}

TRUTH = SettingCheck("true or false", lambda value: isinstance(value, bool))
TEXT = SettingCheck("a text that is not empty", _is_text)
NAME = SettingCheck("a plain table or column name, or one in quotes", is_name)
MODULE = SettingCheck("the name of a Python module, such as my_shop.hooks, or none", _is_module)
NAMES = SettingCheck('a list of names in quotes, each once, such as ["purchase"]', _are_names, tuple)
SOME_NAMES = SettingCheck(
    'a list of one name or more in quotes, each once, such as ["purchase"]',
    lambda value: bool(value) and _are_names(value),
    tuple,
)
ZONE = SettingCheck("the name of a time zone, such as UTC or Asia/Ho_Chi_Minh", _is_zone)
REPEAT = SettingCheck(
    '"hide", "allow" or a number of days', _is_repeat, lambda value: float(REPEAT_DAYS.get(value, value))
)
