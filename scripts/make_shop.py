"""Make the demo shop in the default schema: users with preferences, products with pictures, and a year of events.

Every user logs in with the password `demo-shop`. The same options make the same rows in every database.
"""

from __future__ import annotations

import argparse
import os
import sys
from datetime import UTC, date, datetime
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from rich.table import Table  # noqa: E402

from demo.people import ADMIN_EMAIL, DEMO_PASSWORD  # noqa: E402
from demo.shop import Options, make_shop, summary  # noqa: E402
from recsys.errors import RecsysError, UsageError  # noqa: E402
from recsys.errors.arguments import Parser  # noqa: E402
from recsys.settings import load_settings  # noqa: E402
from recsys.settings.database_url import DatabaseUrl  # noqa: E402
from recsys.store import connect  # noqa: E402
from recsys.store.migrations import migrate  # noqa: E402
from recsys.store.writes import fill_shop, rows_in_shop  # noqa: E402
from recsys.training.terminal import console  # noqa: E402


def main(argv: list[str]) -> int:
    """Make the shop; returns the exit status."""
    flags = _parser().parse_args(argv)
    try:
        environ = {**os.environ, **({"DATABASE_URL": flags.database_url} if flags.database_url else {})}
        url = load_settings(environ, ROOT).database_url
        options = Options(flags.customers, flags.products, flags.days, flags.until, flags.seed)
        console().print(_fill(url, options, force=flags.force, keep=flags.keep), soft_wrap=True)
    except RecsysError as error:
        console(stderr=True).print(f"make_shop: {error}")
        return error.exit_status
    return 0


def _fill(url: DatabaseUrl, options: Options, *, force: bool, keep: bool) -> Table | str:
    """Write the shop; returns a message or a table about it."""
    with connect(url, create=True) as db:
        migrate(db)
        existing = {table: count for table, count in rows_in_shop(db).items() if count}
        if existing and keep:
            return f"The shop is there already: {_counts(existing)}. Nothing was changed."
        if existing and not force:
            raise UsageError(
                f"The database should hold no shop yet. Received: {_counts(existing)}. Nothing was changed; "
                "--force empties the shop's own tables first, --keep leaves the shop as it is."
            )
        tables = make_shop(options)
        fill_shop(db, tables, empty_first=force)
    table = Table("what", "how much", title="Demo shop")
    for line in summary(tables):
        table.add_row(*line)
    first = tables["Users"][0]["email"]
    table.add_row("log in as", f"{first}, or {ADMIN_EMAIL} as administrator; password {DEMO_PASSWORD}")
    return table


def _counts(rows: dict[str, int]) -> str:
    return ", ".join(f"{count:,} {table}" for table, count in rows.items())


def _parser() -> argparse.ArgumentParser:
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    where = "where to write; without it, what the environment or .env says"
    parser.add_argument("--database-url", metavar="URL", help=where)
    parser.add_argument("--customers", type=_positive, default=600, metavar="N", help="default 600")
    parser.add_argument("--products", type=_positive, default=240, metavar="N", help="default 240")
    parser.add_argument("--days", type=_positive, default=365, metavar="N", help="days of events; default 365")
    end, today = "events end at midnight UTC before this day; default today", datetime.now(UTC).date()
    parser.add_argument("--until", type=_day, default=today, metavar="DATE", help=end)
    parser.add_argument("--seed", type=int, default=7, metavar="N", help="default 7")
    choice = parser.add_mutually_exclusive_group()
    choice.add_argument("--force", action="store_true", help="empty the shop's own tables first")
    choice.add_argument("--keep", action="store_true", help="leave a shop that is there as it is, and succeed")
    return parser


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"should be a positive integer. Received: {text}.")
    return int(text)


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"should be a date such as 2026-01-31. Received: {text}.") from error


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
