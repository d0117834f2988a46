"""Copy a shop's tables, without the backend's cache, into an empty database: `copy_shop.py FROM_URL TO_URL`."""

import sys
from collections.abc import Iterator
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(REPOSITORY))

from recsys import store  # noqa: E402 - the path comes first
from recsys.store.database import Database  # noqa: E402
from recsys.store.writes import SHOP_TABLES, Row  # noqa: E402

ENCODERS = ("rec_versions", "rec_user_encoder", "rec_item_encoder", "rec_context_mapping", "rec_context_meta")


def main(source_url: str, target_url: str) -> None:
    """Make the tables and fill them, with an account for everybody who has done something."""
    with store.connect(source_url) as source, store.connect(target_url, create=True) as target:
        store.migrate(target)
        for table in (*SHOP_TABLES, *ENCODERS):
            target.insert(table, rows_of(source, table))
        # 0 is left out: MySQL takes it for "the next number"
        missing = target.query(
            "SELECT DISTINCT userId FROM Interactions WHERE userId > 0 AND userId NOT IN (SELECT id FROM Users)"
        )
        target.insert(
            "Users", ({"id": user, "email": f"customer{user}@shop.example", "statusId": "S1"} for (user,) in missing)
        )


def rows_of(source: Database, table: str) -> Iterator[Row]:
    """Yield the rows of a table, which is one of ours by name."""
    stream = source.stream(f"SELECT * FROM {table}")  # noqa: S608 - our own names
    for chunk in stream:
        yield from (dict(zip(stream.columns, row, strict=True)) for row in chunk)


if __name__ == "__main__":
    main(*sys.argv[1:])
