"""Checks before a training run that it can read the shop's tables and write ours, without touching any row."""

from __future__ import annotations

import re
from contextlib import closing

from recsys.errors import SettingsError
from recsys.errors.wording import listed
from recsys.settings import Shop
from recsys.store.database import Database, NotAllowed
from recsys.store.encoders import TABLES
from recsys.store.grants import grants_to_read, grants_to_write
from recsys.store.migrations import migrate
from recsys.store.shop_mapping import derived_table, has_ratings, products_sql, source_sql

SOURCE_COLUMNS = ("user_id", "item_id", "timestamp")
PRODUCT_COLUMNS = ("item_id", "active", "category", "brand", "price")
_MAY_GRANT = "An administrator may grant it:"
_WAY_OUT = (
    "Name the shop's own tables and columns in recsys.toml (docs/SHOP.md); without {} there, those of the default "
    "schema are read."
)


def check_mapping(db: Database, shop: Shop) -> None:
    """Make sure that every text of the mapping runs, and returns the expected columns.

    Args:
        db: The shop's database.
        shop: The mapping.

    Raises:
        DatabaseUnavailable: The database does not answer.
        SettingsError: A text does not fit the tables, or the account may not read them. The message names the source
            and what to change.
    """
    db.query("SELECT 1")
    for number, source in enumerate(map(source_sql, shop.sources), 1):
        for key, text, parameter in (("since", source.since, "since"), ("one_user", source.one_user, "user_id")):
            where = f"[[sources]] {number}{_first_table(text)}, `{key}`,"
            rating = has_ratings(source.one_user)
            expected = (*SOURCE_COLUMNS, "rating" if rating else "event", *(["row_id"] if key == "one_user" else []))
            _check_columns(where, "[[sources]]", expected, _columns(db, where, "[[sources]]", text, parameter))
    products = products_sql(shop.products)
    where = f"[products]{_first_table(products)}"
    _check_columns(where, "[products]", PRODUCT_COLUMNS, _columns(db, where, "[products]", products, None))


def check_own_tables(db: Database) -> None:
    """Create our missing tables, and make sure that the account may change them.

    Raises:
        SettingsError: The account may not, and the message holds the GRANT that it lacks; or a table of the shop has
            the name of one of ours.
    """
    try:
        migrate(db, shop=False)
        for table in ("rec_versions", *TABLES):
            db.execute(f"INSERT INTO {table} SELECT * FROM {table} WHERE 1 = 0")  # noqa: S608 - our own names
            db.execute(f"DELETE FROM {table} WHERE 1 = 0")  # noqa: S608 - our own names
        db.execute("UPDATE rec_versions SET complete = 0 WHERE 1 = 0")
    except NotAllowed as error:
        raise SettingsError(
            f"The database's account should have the right to write the tables rec_…. Received: {_reason(error)}.\n"
            f"{_MAY_GRANT}\n\n{grants_to_write(db)}\n"
        ) from error


def _columns(db: Database, where: str, table: str, text: str, parameter: str | None) -> tuple[str, ...]:
    """Return the columns of a mapping's text, which is run for no rows."""
    params = {parameter: None} if parameter else {}
    try:
        with closing(db.stream(f"SELECT * FROM {derived_table(text, 's')} LIMIT 0", params)) as stream:  # noqa: S608 - the shop's own text
            return tuple(name.lower() for name in stream.columns)
    except NotAllowed as error:
        grants = grants_to_read(db, str(error.__cause__), text)
        raise SettingsError(
            f"{where} should be readable. Received: {_reason(error)}.\n{_MAY_GRANT}\n\n{grants}\n"
        ) from error
    except SettingsError as error:
        raise SettingsError(
            f"{where} should fit the shop's tables. Received: {_reason(error)}. {_WAY_OUT.format(table)}"
        ) from error


def _check_columns(where: str, table: str, expected: tuple[str, ...], received: tuple[str, ...]) -> None:
    if set(expected) - set(received):
        raise SettingsError(
            f"{where} should return {listed(expected)}. Received: {listed(received)}. {_WAY_OUT.format(table)}"
        )


def _first_table(text: str) -> str:
    """Return the first table that a text reads outside of sub-queries, in brackets, as a name for its source."""
    inner = re.compile(r"\([^()]*\)")
    while inner.search(text):
        text = inner.sub("", text)
    table = re.search(r"\bFROM\s+([\w.]+)", text, re.IGNORECASE)
    return f" ({table[1]})" if table else ""


def _reason(error: Exception) -> str:
    """Return the driver's message if there is one, otherwise the error's own."""
    return " ".join(str(error.__cause__ or error).split()).rstrip(".")
