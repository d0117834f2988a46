"""Switch to an earlier version, and say what has changed; the encoders in the database and the views follow.

Without --to, it is the version before the active one. It is verified in full first, and nothing changes if it is
damaged. The switch is written into models/metrics.json. Workers take the version up within seconds.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from recsys import store  # noqa: E402
from recsys.artifacts import is_current, open_version, publisher_lock, version_names  # noqa: E402
from recsys.errors import Overloaded, RecsysError  # noqa: E402
from recsys.errors.arguments import Parser  # noqa: E402
from recsys.lifecycle.versions import (  # noqa: E402
    ROLLBACK,
    Summary,
    Switch,
    published_names,
    summary,
    switch,
    trained_at,
    version_before,
)
from recsys.settings import Settings, load_settings  # noqa: E402

INTERRUPTED = 130  # the status of shells after Ctrl-C
UNKNOWN = "unknown"
WIDTH = 25  # columns of a version's name
ROWS: dict[str, Callable[[Summary], str]] = {
    "version": lambda version: version.name,
    "trained": lambda version: _moment(trained_at(version.name)),
    "data until": lambda version: _moment(version.data_until),
    "serves with": lambda version: version.winner or UNKNOWN,
    "Precision@10": lambda version: _figure(version.precision10),
    "MAP@10": lambda version: _figure(version.map10),
}


def main(argv: list[str]) -> int:
    """List the versions, or switch; returns the exit status."""
    flags = _parser().parse_args(argv)
    try:
        settings = load_settings(os.environ, ROOT)
        print(_listing(settings) if flags.list else _rollback(settings, flags.to))
    except RecsysError as error:
        print(f"rollback: {error}", file=sys.stderr)
        return error.exit_status
    except KeyboardInterrupt:
        print("rollback: interrupted. The old version serves or the new one; run it again to be sure.", file=sys.stderr)
        return INTERRUPTED
    return 0


def _rollback(settings: Settings, name: str | None) -> str:
    """Switch to a version; returns a message about what has changed."""
    name = name or version_before(settings.models_dir)
    open_version(settings.models_dir, name).close()  # before a lock file is made in a folder that may not exist
    with ExitStack() as held:
        try:
            held.enter_context(publisher_lock(settings.models_dir))
        except Overloaded as busy:  # a training run takes hours, for which a bad version should not serve
            print(f"rollback: {busy} The switch goes on; what that process publishes becomes active.", file=sys.stderr)
        done = switch(settings, name, action=ROLLBACK, now=int(time.time()))
    return _message(settings, done)


def _message(settings: Settings, done: Switch) -> str:
    after = summary(settings.models_dir, done.after)
    columns = [after]
    if done.before == done.after:
        lines = [f"{done.after} is active already; files, encoders and views agree."]
    else:
        lines = [f"{done.after} is active. Before it: {done.before or 'none that could be read'}."]
        if done.before:
            columns.insert(0, summary(settings.models_dir, done.before))
    lines.append("")
    if len(columns) == 2:
        lines.append(_line("", ["from", "to"]))
    lines += [_line(title, [show(version) for version in columns]) for title, show in ROWS.items()]
    if done.wrote_encoders:
        lines.append("\nThe database lacked its encoders; they were written from the version's files.")
    return "\n".join(lines)


def _listing(settings: Settings) -> str:
    """Return a table of the versions, the newest first, with what is wrong with each."""
    models_dir = settings.models_dir
    try:
        with store.connect(settings.database_url) as db:
            stored = {row.name for row in store.list_versions(db) if row.complete}
    except RecsysError as error:
        print(f"rollback: whether encoders are in the database is unknown: {error}", file=sys.stderr)
        stored = None
    served = published_names(models_dir)
    titles = ["version", "data until", "serves with", "P@10", "MAP@10", "MiB", "encoders", "remark"]
    table = [titles]
    for name in reversed(version_names(models_dir)):
        version = summary(models_dir, name)
        encoders = UNKNOWN if stored is None else "yes" if name in stored else "no"
        remark = "active" if is_current(models_dir, name) else "" if name in served else "never served"
        table.append(
            [
                name,
                _moment(version.data_until),
                version.winner or UNKNOWN,
                _figure(version.precision10),
                _figure(version.map10),
                UNKNOWN if version.size is None else f"{version.size / 2**20:,.1f}",
                encoders,
                ", ".join(filter(None, (remark, version.fault and f"damaged: {version.fault}"))),
            ]
        )
    if len(table) == 1:
        return f"{models_dir} holds no version."
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    return "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in table)


def _line(title: str, cells: list[str]) -> str:
    return f"  {title:<13}" + "  ".join(f"{cell:<{WIDTH}}" for cell in cells).rstrip()


def _moment(seconds: int | None) -> str:
    if not seconds:
        return UNKNOWN
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M} UTC"


def _figure(value: float | None) -> str:
    return UNKNOWN if value is None else f"{value:.4f}"


def _parser() -> argparse.ArgumentParser:
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--to", metavar="VERSION", help="the version; default the one before the active one")
    what.add_argument("--list", action="store_true", help="list the versions and change nothing")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
