"""Do recommendations sell? Report what is credited to them, and how the two arms of an experiment compare.

    python scripts/experiment.py report                what was sold in 30 days, and the arms of [experiments]
    python scripts/experiment.py report --json         the same as JSON
    python scripts/experiment.py sweep                 delete what [privacy] keep_days does not keep

docs/EXPERIMENTS.md says how each figure is counted. The exit status is 0 for a report, whatever it says, and 64 and
above if the settings or the database cannot be read.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import orjson  # noqa: E402

from recsys.errors import RecsysError, SettingsError, TooLarge  # noqa: E402
from recsys.errors.arguments import Parser  # noqa: E402
from recsys.settings import Settings, load_settings  # noqa: E402
from recsys.store import Database, connect  # noqa: E402
from recsys.store.tracking import INTERACTIONS  # noqa: E402
from recsys.store.tracking_experiments import count_list_events  # noqa: E402
from recsys.store.tracking_exports import has_table  # noqa: E402
from recsys.tracking.comparison import Difference, Estimate  # noqa: E402
from recsys.tracking.experiment_report import ArmOutcome, Comparison  # noqa: E402
from recsys.tracking.experiments import check_arms  # noqa: E402
from recsys.tracking.record import sweep_tracking  # noqa: E402
from recsys.tracking.sales import REPORT_DAYS, SalesReport, sales_report  # noqa: E402

INTERRUPTED = 130  # the status of shells after Ctrl-C
LOG_WIDTH = 160  # columns of a file or a pipe
WORDS: Mapping[str, str] = {
    "better": "{second} is better than {first}.",
    "worse": "{second} is worse than {first}.",
    "no difference shown": "No difference between {first} and {second} is shown.",
    "too few customers": "There are too few customers to say anything yet.",
    "wrong shares": "Nothing can be said: the arms do not have the shares that they should have, so customers are lost "
    "or counted wrongly in one of them.",
}


def main(argv: list[str], root: Path = ROOT) -> int:
    """Print the report, or sweep; returns the exit status."""
    flags = _parser().parse_args(argv)
    try:
        settings = load_settings(os.environ, root)
        check_arms(settings.experiment)
        if flags.action == "sweep":
            print(_sweep(settings))
            return 0
        with connect(settings.database_url) as db:
            _check_tables(db)
            _check_size(db, flags.most)
            report = sales_report(
                db, settings.shop, settings.experiment, settings.privacy, now=int(time.time()), days=flags.days
            )
    except RecsysError as error:
        print(f"experiment: {error}", file=sys.stderr)
        return error.exit_status
    except KeyboardInterrupt:
        print("experiment: interrupted.", file=sys.stderr)
        return INTERRUPTED
    if flags.json:
        print(orjson.dumps(asdict(report), option=orjson.OPT_INDENT_2).decode())
    else:
        show(report)
    return 0


def show(report: SalesReport) -> None:
    """Print a report as tables."""
    from rich.table import Table  # here, because what serves has no rich

    from recsys.training.terminal import console

    terminal = console(log_width=LOG_WIDTH)
    days = f"{_day(report.since)} to {_day(report.until)}"
    table = Table("credited to", "purchases", "revenue", "share of the revenue")
    names = {"click": "a click on a list", "view": "a view of a list alone", "none": "nothing"}
    for basis, title in names.items():
        sums = report.credited[basis]  # type: ignore[index] # one of BASES
        share = sums.revenue / report.total.revenue if report.total.revenue else None
        table.add_row(title, f"{sums.purchases:,}", _money(sums.revenue), "–" if share is None else f"{share:.1%}")
    table.add_row("all purchases", f"{report.total.purchases:,}", _money(report.total.revenue), "")
    terminal.print(f"Purchases of {days}:")
    terminal.print(table)
    notes = {
        **{f"impressions and clicks left out: {reason}": n for reason, n in report.left_out.items()},
        "purchases without a price, counted with 0": report.unpriced,
        "recorded purchases and carts that the shop's own tables have, too, counted once": report.copies,
    }
    for name, n in notes.items():
        if n:
            terminal.print(f"  {n:,} {name}", soft_wrap=True)
    if report.comparison is not None:
        _show_comparison(report.comparison)


def _show_comparison(found: Comparison) -> None:
    from rich.table import Table

    from recsys.training.terminal import console

    terminal = console(log_width=LOG_WIDTH)
    terminal.print(f"\nExperiment {found.name}, the first seven days of each customer, decided by {found.metric}:")
    first, second = found.arms
    table = Table("", f"{first.name} ({first.model})", f"{second.name} ({second.model})")
    for title, cell in _ROWS.items():
        table.add_row(title, cell(first), cell(second))
    terminal.print(table)
    for reason, n in found.left_out.items():
        terminal.print(f"  {n:,} customers not counted: {reason}", soft_wrap=True)
    ratio = found.sample_ratio
    terminal.print(
        f"Shares: {ratio.counts[0]:,} and {ratio.counts[1]:,} customers, {ratio.expected[0]:,.0f} and "
        f"{ratio.expected[1]:,.0f} expected (p = {ratio.p:.3g}).",
        soft_wrap=True,
    )
    terminal.print(_difference(found.metric, found.difference), soft_wrap=True)
    terminal.print(WORDS[found.verdict].format(first=first.name, second=second.name), soft_wrap=True, style="bold")


def _difference(metric: str, found: Difference) -> str:
    if found.value is None:
        return f"Difference of {metric} per customer: unknown."
    relative = "" if found.relative is None else f" ({found.relative:+.1%})"
    interval = "" if found.low is None or found.high is None else f", {found.low:+,.3f} to {found.high:+,.3f}"
    value = f"{found.value:+,.3f}{relative}{interval}"
    return f"Difference of {metric} per customer: {value}, valid at every look (p = {found.p:.3g})."


def _mean(found: Estimate, form: str = "{:,.3f}") -> str:
    if found.value is None:
        return "–"
    text = form.format(found.value)
    return text if found.low is None else f"{text} ({form.format(found.low)} to {form.format(found.high)})"


_ROWS: Mapping[str, Callable[[ArmOutcome], str]] = {
    "customers": lambda arm: f"{arm.users:,}",
    "observed for seven days": lambda arm: f"{arm.observed:,}",
    "impressions": lambda arm: f"{arm.impressions:,}",
    "clicks": lambda arm: f"{arm.clicks:,}",
    "clicks of an impression": lambda arm: _mean(arm.ctr, "{:.2%}"),
    "put into carts": lambda arm: f"{arm.carts:,}",
    "carts per customer, 95 %": lambda arm: _mean(arm.carts_per_user),
    "purchases": lambda arm: f"{arm.purchases:,}",
    "purchases per customer, 95 %": lambda arm: _mean(arm.purchases_per_user),
    "revenue": lambda arm: _money(arm.revenue),
    "revenue per customer, 95 %": lambda arm: _mean(arm.revenue_per_user),
}


def _sweep(settings: Settings) -> str:
    if settings.privacy.keep_days is None:
        raise SettingsError("[privacy] `keep_days` should say how many days are kept. Received: nothing.")
    with connect(settings.database_url) as db:
        _check_tables(db)
        n_events, n_users = sweep_tracking(db, settings.privacy, now=int(time.time()))
    return f"{n_events} events and what was kept of {n_users} customers are deleted."


def _check_tables(db: Database) -> None:
    if not has_table(db, INTERACTIONS):
        way_out = "train.py or python -m recsys.service makes it"
        raise SettingsError(f"The database should have the table {INTERACTIONS}; {way_out}. Received: none.")


def _check_size(db: Database, most: int | None) -> None:
    if most is not None and count_list_events(db, most) >= most:
        raise TooLarge(f"There should be fewer than {most:,} impressions and clicks. Received: as many, or more.")


def _money(amount: float) -> str:
    return f"{amount:,.2f}"


def _day(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).date().isoformat()


def _days(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) <= 5 and int(text)):
        raise argparse.ArgumentTypeError("should be a whole number from 1 to 99999")
    return int(text)


def _rows(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) <= 12 and int(text)):
        raise argparse.ArgumentTypeError("should be a whole number from 1")
    return int(text)


def _parser() -> argparse.ArgumentParser:
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("action", choices=("report", "sweep"), help="what to do")
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    parser.add_argument(
        "--days", type=_days, default=REPORT_DAYS, help=f"days of purchases to credit; default {REPORT_DAYS}"
    )
    parser.add_argument(
        "--most", type=_rows, metavar="N", help="report nothing (65) from N impressions and clicks on; default no limit"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
