r"""Import events from a CSV, a gzipped CSV or a Parquet file into the default schema.

Rows are read as a stream and written in chunks. An import that was killed can be run again, because no row is added
twice. Dropped rows are counted by reason. Times are stored in UTC.

  python scripts/import_events.py orders.csv.gz --user CustomerID --item StockCode --timestamp InvoiceDate \
      --price UnitPrice --name Description --cancelled-when 'InvoiceNo^=C' --drop-when 'Quantity<=0'
  python scripts/import_events.py clicks.parquet --user user_id --item item_id --event type \
      --event-map pv=view,fav=wishlist,buy=purchase --timestamp time --time-zone Asia/Shanghai
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn  # noqa: E402
from rich.table import Table  # noqa: E402

from recsys.errors import RecsysError, UsageError  # noqa: E402
from recsys.errors.arguments import Parser  # noqa: E402
from recsys.errors.wording import listed  # noqa: E402
from recsys.importing.options import Condition, ImportOptions  # noqa: E402
from recsys.importing.run import ImportReport, import_events  # noqa: E402
from recsys.settings import Settings, load_settings  # noqa: E402
from recsys.store import connect  # noqa: E402
from recsys.training.terminal import console  # noqa: E402

INTERRUPTED = 130  # the status of shells after Ctrl-C
CONTEXTS = ("device_type",)  # the context columns of the default schema


def main(argv: list[str]) -> int:
    """Run the import; returns the exit status."""
    flags = _parser().parse_args(argv)
    try:
        options = _options(flags)
        environ = {**os.environ, **({"DATABASE_URL": flags.database_url} if flags.database_url else {})}
        report = _run(load_settings(environ, ROOT), flags.file, options)
    except RecsysError as error:
        console(stderr=True).print(f"import_events: {error}")
        return error.exit_status
    except KeyboardInterrupt:
        console(stderr=True).print(
            "import_events: interrupted. What was written stays; the same command goes on from there.", soft_wrap=True
        )
        return INTERRUPTED
    console().print(_table(flags.file, report))
    if not report.added and not report.dropped.get("imported before"):
        console(stderr=True).print("import_events: no row became an event; the table says why.")
        return UsageError.exit_status
    return 0


def _run(settings: Settings, path: Path, options: ImportOptions) -> ImportReport:
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
        task = bar.add_task(path.name, total=path.stat().st_size if path.is_file() else None, rows=0)
        return import_events(
            db,
            path,
            options,
            shop=settings.shop,
            progress=lambda n_bytes, rows: bar.update(task, completed=n_bytes, rows=rows),
        )


def _table(path: Path, report: ImportReport) -> Table:
    table = Table("", "rows", title=f"Imported {path.name}")
    table.columns[1].justify = "right"
    table.add_row("read", f"{report.rows:,}", end_section=True)
    for event, count in sorted(report.added.items()):
        table.add_row(f"added: {event}", f"{count:,}")
    table.add_section()
    for reason, count in report.dropped.items():
        table.add_row(f"dropped: {reason}", f"{count:,}")
    table.add_section()
    for reason, count in report.ignored.items():
        table.add_row(f"ignored: {reason}", f"{count:,}")
    table.add_section()
    table.add_row("new users", f"{report.new_users:,}")
    table.add_row("new products", f"{report.new_products:,}")
    table.add_row("prices", f"{report.priced_products:,}")
    return table


def _options(flags: argparse.Namespace) -> ImportOptions:
    contexts = dict(_pair(text, "--context") for text in flags.context)
    if set(contexts) - set(CONTEXTS):
        raise UsageError(
            f"--context should name a context that the default schema keeps, {', '.join(CONTEXTS)}. "
            f"Received: {listed(sorted(contexts))}."
        )
    return ImportOptions(
        user=flags.user,
        item=flags.item,
        event=flags.event,
        event_name=flags.event_name,
        event_map=dict(_pair(text, "--event-map") for text in flags.event_map.split(",") if text),
        timestamp=flags.timestamp,
        order=flags.order,
        timestamp_unit=flags.timestamp_unit,
        timestamp_format=flags.timestamp_format,
        time_zone=flags.time_zone,
        category=flags.category,
        price=flags.price,
        name=flags.name,
        device_type=contexts.get("device_type"),
        cancelled_when=tuple(map(Condition.parse, flags.cancelled_when)),
        drop_when=tuple(map(Condition.parse, flags.drop_when)),
        delimiter=flags.delimiter,
        encoding=flags.encoding,
        chunk=flags.chunk,
    )


def _pair(text: str, flag: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not (name.strip() and equals and value.strip()):
        raise UsageError(f"{flag} should hold pairs such as a=b. Received: {text!r}.")
    return name.strip(), value.strip()


def _parser() -> argparse.ArgumentParser:
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path, help="CSV, CSV.gz or Parquet; columns have names")
    needed = parser.add_argument_group("columns")
    needed.add_argument("--user", required=True, metavar="COL", help="the user; rows without one are dropped")
    needed.add_argument("--item", required=True, metavar="COL", help="the product")
    event = needed.add_mutually_exclusive_group()
    event.add_argument("--event", metavar="COL", help="what happened")
    event.add_argument(
        "--event-name", default="purchase", metavar="NAME", help="what every row is, without --event; default purchase"
    )
    moment = needed.add_mutually_exclusive_group(required=True)
    moment.add_argument(
        "--timestamp", metavar="COL", help="when: ISO 8601, seconds (milliseconds) since 1970, or a date-time type"
    )
    moment.add_argument(
        "--order", metavar="COL", help="a running number instead: number k is stored as 2000-01-01 plus k hours"
    )
    needed.add_argument("--category", metavar="COL", help="the product's category")
    needed.add_argument("--price", metavar="COL", help="the product's price; the newest one is kept")
    needed.add_argument("--name", metavar="COL", help="the product's name; the first one is kept")
    needed.add_argument("--context", action="append", default=[], metavar="device_type=COL", help="the user's device")
    words = parser.add_argument_group("words")
    words.add_argument(
        "--event-map",
        default="",
        metavar="A=B,…",
        help="the file's event names to ours: pv=view,fav=wishlist,buy=purchase",
    )
    words.add_argument(
        "--cancelled-when",
        action="append",
        default=[],
        metavar="COND",
        help="such rows are the event `cancel`: 'InvoiceNo^=C'",
    )
    words.add_argument(
        "--drop-when",
        action="append",
        default=[],
        metavar="COND",
        help="such rows are dropped, unless cancelled; = != ^= < <= > >=",
    )
    words.add_argument("--timestamp-unit", metavar="UNIT", help="of numbers: s, ms, us or ns")
    words.add_argument("--timestamp-format", metavar="FORMAT", help="of text, as in strptime: '%%m/%%d/%%Y %%H:%%M'")
    words.add_argument(
        "--time-zone",
        default="UTC",
        metavar="ZONE",
        help="of moments that have none, such as Asia/Shanghai; default UTC",
    )
    words.add_argument("--delimiter", default=",", metavar="CHAR", help="of a CSV; default a comma")
    words.add_argument("--encoding", default="utf8", metavar="NAME", help="of a CSV; default utf8")
    where = parser.add_argument_group("where to")
    where.add_argument("--database-url", metavar="URL", help="without it, what the environment or .env says")
    where.add_argument(
        "--chunk", type=int, default=50_000, metavar="N", help="rows in one transaction at most; default 50000"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
