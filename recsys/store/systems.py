"""Recognises shop systems by their tables: those that the texts of a preset read."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from recsys.errors import SettingsError
from recsys.errors.wording import listed
from recsys.settings.shop import PRESETS
from recsys.store.database import Database
from recsys.store.schema import MOST_COUNTED, count_rows, table_names

DEFAULT_TABLES = ("Interactions", "Products", "Productdetails", "Users")
_IMPORTED = frozenset({"shopify-export"})  # its tables are those of the default schema
_PREFIX = "{{prefix}}"
_MOST = 0.7  # of a system's tables; shops of another design share some names with it
_READ = re.compile(rf'\b(?:FROM|JOIN)\s+(?!LATERAL\b)["`]?((?:{re.escape(_PREFIX)})?\w+)["`]?', re.IGNORECASE)
_NAMED = re.compile(r"\b(\w+)(?:\s*\([^()]*\))?\s+AS\s+(?:MATERIALIZED\s+)?\(", re.IGNORECASE)
# Where a system keeps the zone of its clock.
_ZONES: Mapping[str, str] = {
    "prestashop": "SELECT value FROM {prefix}configuration WHERE name = 'PS_TIMEZONE'",
    "opencart": "SELECT value FROM {prefix}setting WHERE `key` = 'config_timezone'",
}


@dataclass(frozen=True)
class FoundSystem:
    """A shop system whose tables a database has.

    Attributes:
        preset: The name of its preset.
        prefix: The prefix of its tables; None if its tables never have one.
        stored_time_zone: The zone of its moments, where they are local and the system's settings tell.
        tables: The number of its tables that the preset reads.
        orders: The number of rows of its largest table of them, at most `MOST_COUNTED`.
    """

    preset: str
    prefix: str | None
    stored_time_zone: str | None
    tables: int
    orders: int

    @property
    def reason(self) -> str:
        """What made the system known, as a sentence."""
        of_prefix = f" with the prefix {self.prefix!r}" if self.prefix is not None else ""
        count = f"{self.orders:,}" if self.orders < MOST_COUNTED else f"{MOST_COUNTED:,} or more"
        return f"All {self.tables} tables that the preset reads are there{of_prefix}; the largest has {count} rows."

    def toml(self) -> str:
        """Return the text of a recsys.toml for it."""
        lines = [
            f"# {self.reason}",
            "# What counts as a purchase: docs/SHOPS.md.",
            "[shop]",
            f'preset = "{self.preset}"',
        ]
        if self.prefix is not None:
            lines.append(f'table_prefix = "{self.prefix}"')
        if self.stored_time_zone is not None:
            lines.append(f'stored_time_zone = "{self.stored_time_zone}" # from the settings of the system')
        elif self.preset in _ZONES:
            lines.append(
                '# stored_time_zone = "Asia/Ho_Chi_Minh" # of the shop\'s clock, which its settings do not tell'
            )
        return "\n".join(lines) + "\n"


def find_systems(db: Database) -> list[FoundSystem]:
    """Return the systems whose tables are all there, the largest first; each installation is a system of its own."""
    names = {name.lower(): name for name in table_names(db)}
    found = [
        _found(db, preset, prefix, [names[(prefix + table).lower()] for table in tables])
        for preset, (tables, has_prefix) in preset_tables().items()
        for prefix in (_prefixes(names, tables) if has_prefix else [""])
        if all((prefix + table).lower() in names for table in tables)
    ]
    return sorted(found, key=lambda system: (-system.tables, -system.orders, system.prefix or ""))


def nearly_found(db: Database) -> str | None:
    """Return a sentence about the system most of whose tables are there; None if there is none.

    The others may be of another version, or hidden from the account.
    """
    names = {name.lower() for name in table_names(db)}
    nearest: tuple[float, str] = (_MOST, "")
    for preset, (tables, has_prefix) in preset_tables().items():
        for prefix in {name[: -len(table)] for table in tables for name in names if name.endswith(table)}:
            missing = [table for table in tables if (prefix + table).lower() not in names]
            share = 1 - len(missing) / len(tables)
            if nearest[0] < share < 1 and (has_prefix or not prefix):
                lacking = listed(prefix + table for table in missing)
                nearest = share, f"This looks like {preset}, but tables are missing or may not be seen: {lacking}."
    return nearest[1] or None


def has_default_schema(db: Database) -> bool:
    """Return whether a database has the tables of the default schema, which need no mapping."""
    return {name.lower() for name in DEFAULT_TABLES} <= {name.lower() for name in table_names(db)}


@cache
def preset_tables() -> Mapping[str, tuple[tuple[str, ...], bool]]:
    """Return the tables that each preset reads, without their prefix, and whether they have one."""
    tables = {}
    for path in sorted(PRESETS.glob("*.toml")):
        text = path.read_text(encoding="utf-8")
        names = {name for sql in _texts(tomllib.loads(text)) for name in _tables_of(sql)}
        if path.stem not in _IMPORTED:
            tables[path.stem] = tuple(sorted(name.removeprefix(_PREFIX) for name in names)), _PREFIX in text
    return tables


def _tables_of(sql: str) -> set[str]:
    code = re.sub(r"--[^\n]*|'[^']*'", "", sql)
    return set(_READ.findall(code)) - set(_NAMED.findall(code))


def _texts(value: Any) -> Iterator[str]:
    """Yield the SQL texts of a preset's tables."""
    if isinstance(value, str) and "SELECT" in value:
        yield value
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _texts(inner)


def _prefixes(names: Mapping[str, str], tables: tuple[str, ...]) -> list[str]:
    """Return what stands before a table's name that no other table ends with."""
    longest = max(tables, key=len)
    return sorted(spelt[: -len(longest)] for name, spelt in names.items() if name.endswith(longest.lower()))


def _found(db: Database, preset: str, prefix: str, tables: list[str]) -> FoundSystem:
    zone = _zone_of(db, _ZONES[preset].format(prefix=prefix)) if preset in _ZONES else None
    _, has_prefix = preset_tables()[preset]
    orders = max(count_rows(db, table) for table in tables)
    return FoundSystem(preset, prefix if has_prefix else None, zone, len(tables), orders)


def _zone_of(db: Database, sql: str) -> str | None:
    with suppress(SettingsError, ZoneInfoNotFoundError, ValueError):  # an older version may lack the table
        for (value,) in db.query(sql):
            return ZoneInfo(str(value)).key
    return None
