"""Checks before a training run that it can read the shop's tables and write ours, without touching any row."""

from __future__ import annotations

from contextlib import closing

from recsys.errors import SettingsError
from recsys.errors.wording import listed
from recsys.settings import Shop, TrackedSource
from recsys.store.cards import COLUMNS as CARD_COLUMNS
from recsys.store.database import Database, NotAllowed
from recsys.store.encoders import TABLES
from recsys.store.migrations import columns, migrate, own_tables, own_views
from recsys.store.names import written
from recsys.store.shop_mapping import derived_table, first_table, has_quantities, has_ratings, products_sql, source_sql

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
    sources = (source for source in shop.sources if not isinstance(source, TrackedSource))  # ours may be missing yet
    for number, source in enumerate(map(source_sql, sources), 1):
        for key, text, parameter in (("since", source.since, "since"), ("one_user", source.one_user, "user_id")):
            where = f"[[sources]] {number}{_named(text)}, `{key}`,"
            rating = has_ratings(source.one_user)
            pieces = ["quantity"] if has_quantities(source.since) else []
            more = ["row_id", *pieces] if key == "one_user" else []
            expected = (*SOURCE_COLUMNS, "rating" if rating else "event", *more)
            _check_columns(db, where, "[[sources]]", text, {parameter: None}, expected)
    products = products_sql(shop.products)
    _check_columns(db, f"[products]{_named(products)}", "[products]", products, {}, PRODUCT_COLUMNS)
    if shop.cards is not None:
        _check_columns(db, f"[shop.cards]{_named(shop.cards)}", "[shop.cards]", shop.cards, {}, CARD_COLUMNS)


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
        ours = own_tables(db)
        existing = [name for name in ours if columns(db, name)]
        grants = db.driver.grants_to_write(db.query, ours, existing, own_views(), db.names.own_tables)
        raise SettingsError(
            f"The database's account should have the right to write the tables rec_…. Received: {_reason(error)}.\n"
            f"{_MAY_GRANT}\n\n{grants}\n"
        ) from error


def _check_columns(
    db: Database, where: str, table: str, text: str, params: dict[str, None], expected: tuple[str, ...]
) -> None:
    """Run a mapping's text for no rows, and make sure that it returns the expected columns."""
    try:
        with closing(db.stream(f"SELECT * FROM {derived_table(text, 's')} LIMIT 0", params)) as stream:  # noqa: S608 - the shop's own text
            received = [name.lower() for name in stream.columns]
    except NotAllowed as error:
        grants = db.driver.grants_to_read(db.query, str(error.__cause__), written(text))
        raise SettingsError(
            f"{where} should be readable. Received: {_reason(error)}.\n{_MAY_GRANT}\n\n{grants}\n"
        ) from error
    except SettingsError as error:
        raise SettingsError(
            f"{where} should fit the shop's tables. Received: {_reason(error)}. {_WAY_OUT.format(table)}"
        ) from error
    if set(expected) - set(received):
        raise SettingsError(
            f"{where} should return {listed(expected)}. Received: {listed(received)}. {_WAY_OUT.format(table)}"
        )


def _named(text: str) -> str:
    table = first_table(text)
    return f" ({table})" if table else ""


def _reason(error: Exception) -> str:
    """Return the driver's message if there is one, otherwise the error's own."""
    return " ".join(str(error.__cause__ or error).split()).rstrip(".")
