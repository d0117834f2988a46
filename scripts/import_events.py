r"""Import events from CSV, JSON lines, Parquet or Excel (.xlsx), also gzipped or zipped, into the default schema.

Rows are read as a stream and written in chunks. An import that was killed can be run again, because no row is added
twice. Dropped rows are counted by reason. Times are stored in UTC.

  python scripts/import_events.py "Online Retail.xlsx" --user CustomerID --item StockCode --timestamp InvoiceDate \
      --price UnitPrice --name Description --cancelled-when 'InvoiceNo^=C' --drop-when 'Quantity<=0'
  python scripts/import_events.py clicks.parquet --user user_id --item item_id --event type \
      --event-map pv=view,fav=wishlist,buy=purchase --timestamp time --time-zone Asia/Shanghai
  python scripts/import_events.py orders_export.csv --format shopify-orders
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn  # noqa: E402
from rich.table import Table  # noqa: E402

from recsys.errors import RecsysError, UsageError  # noqa: E402
from recsys.errors.arguments import Parser  # noqa: E402
from recsys.errors.wording import listed  # noqa: E402
from recsys.importing.formats.files import FormatFile  # noqa: E402
from recsys.importing.formats.registry import FORMATS, open_format  # noqa: E402
from recsys.importing.options import Condition, ImportOptions  # noqa: E402
from recsys.importing.report import ImportReport  # noqa: E402
from recsys.importing.run import import_events  # noqa: E402
from recsys.settings import Settings, load_settings  # noqa: E402
from recsys.store import connect  # noqa: E402
from recsys.training.terminal import console  # noqa: E402

INTERRUPTED = 130  # the status of shells after Ctrl-C
CONTEXT = "device_type"  # the only context column of the default schema


def main(argv: list[str]) -> int:
    """Run the import; returns the exit status."""
    try:
        values = vars(_parser().parse_args(argv))
        path, url, name = values.pop("file"), values.pop("database_url"), values.pop("format")
        options, source = (_options(values), None) if name is None else open_format(name, path, values)
        settings = load_settings({**os.environ, **({"DATABASE_URL": url} if url else {})}, ROOT)
        report = _run(settings, path, options, source)
    except RecsysError as error:
        console(stderr=True).print(f"import_events: {error}")
        return error.exit_status
    except KeyboardInterrupt:
        console(stderr=True).print(
            "import_events: interrupted. What was written stays; the same command goes on from there.", soft_wrap=True
        )
        return INTERRUPTED
    console().print(_table(path, report))
    for line in report.oddities:
        console().print(line, soft_wrap=True, markup=False, highlight=False)
    for is_loud, line in report.unreadable_lines():
        words = f"{'WARNING: ' if is_loud else ''}{line}"
        console(stderr=True).print(f"import_events: {words}", style="bold red" if is_loud else "", markup=False)
    if not report.added and not report.dropped.get("imported before") and not report.withdrawn:
        console(stderr=True).print("import_events: no row became an event; the table says why.")
        return UsageError.exit_status
    return 0


def _options(values: dict[str, Any]) -> ImportOptions:
    for name in ("user", "item"):
        if name not in values:
            raise UsageError(f"--{name} should name a column, or --format a format. Received: neither.")
    return ImportOptions(**values)


def _run(settings: Settings, path: Path, options: ImportOptions, source: FormatFile | None) -> ImportReport:
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        DownloadColumn(),
        TextColumn("{task.fields[rows]:,} rows"),
        TimeRemainingColumn(),
    )
    stderr = console(stderr=True)
    with (
        connect(settings.database_url, create=True) as db,
        Progress(*columns, console=stderr, disable=not stderr.is_terminal) as bar,
    ):
        task = bar.add_task(
            path.name, total=source.size if source else path.stat().st_size if path.is_file() else None, rows=0
        )
        return import_events(
            db,
            path,
            options,
            shop=settings.shop,
            source=source,
            progress=lambda n_bytes, rows: bar.update(task, completed=n_bytes, rows=rows),
        )


def _table(path: Path, report: ImportReport) -> Table:
    table = Table("", "rows", title=f"Imported {path.name}")
    table.columns[1].justify = "right"
    sections = (
        {"read": report.rows},
        {f"added: {event}": count for event, count in sorted(report.added.items())},
        {f"dropped: {reason}": count for reason, count in report.dropped.items()},
        {f"ignored: {reason}": count for reason, count in report.ignored.items()},
        {"withdrawn: void by now": report.withdrawn} if report.withdrawn else {},
        {"events of guests' sessions": report.guest_rows} if report.guest_rows else {},
        {"more purchases that a cancellation takes back": report.repeated} if report.repeated else {},
        {"new users": report.new_users, "new products": report.new_products, "prices": report.priced_products},
    )
    for section in sections:
        for label, count in section.items():
            table.add_row(label, f"{count:,}")
        table.add_section()
    return table


def _event_map(text: str) -> dict[str, str]:
    return dict(_pair(pair, "--event-map") for pair in text.split(",") if pair)


def _device_column(text: str) -> str:
    name, column = _pair(text, "--context")
    if name != CONTEXT:
        expected = f"a context that the default schema keeps, {CONTEXT}"
        raise UsageError(f"--context should name {expected}. Received: {listed([name])}.")
    return column


def _pair(text: str, flag: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not (name.strip() and equals and value.strip()):
        raise UsageError(f"{flag} should hold pairs such as a=b. Received: {text!r}.")
    return name.strip(), value.strip()


def _parser() -> argparse.ArgumentParser:
    """Return the parser, whose options are fields of ImportOptions; it leaves out those that are not given."""
    layout = argparse.RawDescriptionHelpFormatter
    parser = Parser(description=__doc__, formatter_class=layout, argument_default=argparse.SUPPRESS)
    kinds = "CSV, JSON lines, Parquet or .xlsx, also .gz and .zip; columns have names. With --format also a folder"
    parser.add_argument("file", type=Path, help=kinds)
    named = "what the file is, in place of the flags below, each of which still replaces the format's own"
    parser.add_argument("--format", choices=list(FORMATS), default=None, help=named)
    needed = parser.add_argument_group("columns")
    needed.add_argument("--user", metavar="COL", help="the user; rows without one are dropped")
    needed.add_argument("--item", metavar="COL", help="the product")
    event = needed.add_mutually_exclusive_group()
    event.add_argument("--event", metavar="COL", help="what happened")
    event.add_argument("--event-name", metavar="NAME", help="what every row is, without --event; default purchase")
    moment = needed.add_mutually_exclusive_group()
    instants = "when: ISO 8601, seconds (milliseconds) since 1970, or a date-time type"
    moment.add_argument("--timestamp", metavar="COL", help=instants)
    ranks = "a running number instead: number k is stored as 2000-01-01 plus k hours"
    moment.add_argument("--order", metavar="COL", help=ranks)
    pieces = "the pieces: a cancellation then takes as many back, from the newest purchases; without it, one purchase"
    needed.add_argument("--quantity", metavar="COL", help=pieces)
    needed.add_argument("--category", metavar="COL", help="the product's category")
    needed.add_argument("--price", metavar="COL", help="the product's price; the newest one is kept")
    needed.add_argument("--name", metavar="COL", help="the product's name; the first one is kept")
    device: dict[str, Any] = {"type": _device_column, "dest": "device_type", "metavar": "device_type=COL"}
    needed.add_argument("--context", **device, help="the user's device")
    sessions = "the session: each of a guest becomes a user of its own; without it, rows of guests are dropped"
    needed.add_argument("--session", metavar="COL", help=sessions)
    words = parser.add_argument_group("words")
    names = "the file's event names to ours: pv=view,fav=wishlist,buy=purchase"
    words.add_argument("--event-map", type=_event_map, metavar="A=B,…", help=names)
    conditions: dict[str, Any] = {"type": Condition.parse, "action": "append", "metavar": "COND"}
    words.add_argument("--cancelled-when", **conditions, help="such rows are the event `cancel`: 'InvoiceNo^=C'")
    dropped = "such rows are dropped, unless cancelled; = != ^= < <= > >=; COL= is a blank"
    words.add_argument("--drop-when", **conditions, help=dropped)
    words.add_argument("--fill-down", metavar="COL", help="an order's id: blanks of its lines are as in its first line")
    words.add_argument("--decimal", metavar="MARK", help="of numbers: a dot or a comma; default what is beyond doubt")
    ids: dict[str, Any] = {"action": "append", "metavar": "ID"}
    words.add_argument("--guest", dest="guests", **ids, help="a user id that stands for guests, besides those found")
    words.add_argument("--person", dest="persons", **ids, help="a user id that is one user's, whatever it looks like")
    words.add_argument("--timestamp-unit", metavar="UNIT", help="of numbers: s, ms, us or ns")
    words.add_argument("--timestamp-format", metavar="FORMAT", help="of text, as in strptime: '%%m/%%d/%%Y %%H:%%M'")
    zone = "of moments that have none, such as Asia/Shanghai; default UTC"
    words.add_argument("--time-zone", metavar="ZONE", help=zone)
    separator: dict[str, Any] = {"type": lambda text: text.replace("\\t", "\t"), "metavar": "TEXT"}
    words.add_argument("--delimiter", **separator, help=r"of a CSV: ; or \t or ::; default a comma")
    words.add_argument("--quote", metavar="CHAR", help="around fields of a CSV, or none; default a double quote")
    words.add_argument("--encoding", metavar="NAME", help="of a CSV; default utf8")
    pages = "of an .xlsx; default all, which have one header"
    words.add_argument("--sheet", dest="sheet_names", action="append", metavar="NAME", help=pages)
    where = parser.add_argument_group("where to")
    default = "without it, what the environment or .env says"
    where.add_argument("--database-url", default=None, metavar="URL", help=default)
    share = "refuse a file with a larger share of unreadable rows; default 0.2"
    where.add_argument("--max-unreadable", type=float, metavar="SHARE", help=share)
    where.add_argument("--chunk", type=int, metavar="N", help="rows in one transaction at most; default 50000")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
