"""Report how recommendations are: their health, the backups, or the figures of past training runs.

It changes nothing but the file of --prometheus. The exit status is 0 for HEALTHY, 1 for DEGRADED and 2 for UNHEALTHY;
64 and above if the settings or the history cannot be read. docs/OPERATIONS.md says what to do about each problem.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import orjson  # noqa: E402
import pandas  # noqa: E402
from rich.table import Table  # noqa: E402

from recsys.errors import RecsysError, SettingsError  # noqa: E402
from recsys.errors.arguments import Parser  # noqa: E402
from recsys.lifecycle.exposition import exposition, write_exposition  # noqa: E402
from recsys.lifecycle.health import (  # noqa: E402
    DEGRADED,
    HEALTHY,
    LEVELS,
    Backup,
    Health,
    Problem,
    backup_problems,
    backups_in,
    health,
    worst,
)
from recsys.lifecycle.runs import is_run, number, share, winner_figure  # noqa: E402
from recsys.lifecycle.versions import recorded  # noqa: E402
from recsys.settings import Settings, load_settings  # noqa: E402
from recsys.training.terminal import console  # noqa: E402

INTERRUPTED = 130  # the status of shells after Ctrl-C
BACKUPS = "backups"
LOG_WIDTH = 160  # columns of a file or a pipe; wide enough for the runs
RUNS_SHOWN = 20
UNKNOWN = "unknown"
MIB = "MiB"
COLORS = {HEALTHY: "bold green", DEGRADED: "bold yellow"}  # else red
DAYS, PERCENT, COUNT, FIGURE = "{:.1f} days", "{:.2%}", "{:,.0f}", "{:.4f}"
ROWS: Mapping[str, tuple[str, str]] = {
    "model_age_days": ("model age", DAYS),
    "model_data_age_days": ("data age", DAYS),
    "model_users": ("users", COUNT),
    "model_products": ("products", COUNT),
    "model_interactions": ("interactions", COUNT),
    "model_sparsity": ("sparsity", PERCENT),
    "model_similarity_density": ("similarity density", PERCENT),
    "model_avg_similarity": ("average similarity", FIGURE),
    "model_map10": ("MAP@10 at publication", FIGURE),
    "model_coverage": ("coverage at publication", PERCENT),
    "version_bytes": ("size of the version", MIB),
    "encoders_missing": ("encoders missing", COUNT),
    "refusals_in_a_row": ("refusals in a row", COUNT),
    "failures_in_a_row": ("failures in a row", COUNT),
    "answers": ("lists in a day", COUNT),
    "fallback_share": ("of them fallbacks", PERCENT),
    "failed_run_share": ("model runs that failed", PERCENT),
    "disk_free_bytes": ("free on the disk", MIB),
}
RUN_COLUMNS: Mapping[str, tuple[str, str]] = {
    "n_users": ("users", COUNT),
    "n_products": ("products", COUNT),
    "n_interactions": ("interactions", COUNT),
    "sparsity": ("sparsity", PERCENT),
    "similarity_density": ("density", PERCENT),
    "avg_similarity": ("similarity", FIGURE),
    "map10": ("MAP@10", FIGURE),
}


def main(argv: list[str], root: Path = ROOT) -> int:
    """Print the report; returns the exit status."""
    flags = _parser().parse_args(argv)
    now = int(time.time())
    try:
        settings = load_settings(os.environ, root)
        folder = flags.backups or root / BACKUPS
        status, document, show = _ACTIONS[flags.action](settings, folder, now)
        if flags.prometheus:
            write_exposition(flags.prometheus, exposition(health(settings, now=now), _backups(folder), now))
    except RecsysError as error:
        print(f"monitor: {error}", file=sys.stderr)
        return error.exit_status
    except KeyboardInterrupt:
        print("monitor: interrupted.", file=sys.stderr)
        return INTERRUPTED
    if flags.json:
        print(orjson.dumps(document, option=orjson.OPT_INDENT_2).decode())
    else:
        show()
    return LEVELS.index(status)


Report = tuple[str, Mapping[str, Any], Callable[[], None]]  # the status, the JSON document, and what prints the table


def _health(settings: Settings, _folder: Path, now: int) -> Report:
    found = health(settings, now=now)
    problems = [asdict(problem) for problem in found.problems]
    document = {"status": found.status, "version": found.version, "problems": problems, "figures": found.figures}
    return found.status, document, lambda: _show_health(found)


def _show_health(found: Health) -> None:
    _show_status(found.status, found.problems)
    table = Table("version", found.version or "none")
    for name, (title, form) in ROWS.items():
        table.add_row(title, _shown(found.figures[name], form))
    console(log_width=LOG_WIDTH).print(table)


def _of_backups(settings: Settings, folder: Path, now: int) -> Report:
    backups = _backups(folder)
    problems = backup_problems(backups, settings.lifecycle, now)
    status, size = worst(problems), sum(backup.size for backup in backups)
    document = {
        "status": status,
        "problems": [asdict(problem) for problem in problems],
        "folder": str(folder),
        "count": len(backups),
        "bytes": size,
        "backups": [{**asdict(backup), "written_at": _moment(backup.written_at)} for backup in backups],
    }

    def show() -> None:
        _show_status(status, problems)
        frame = pandas.DataFrame(
            [
                (backup.file, backup.version or UNKNOWN, _moment(backup.written_at), _shown(backup.size, MIB))
                for backup in backups
            ],
            columns=["file", "version", "written", "size"],
        )
        _show_frame(frame, f"{len(backups)} backups in {folder}, {_shown(size, MIB)}:")

    return status, document, show


def _metrics(settings: Settings, _folder: Path, _now: int) -> Report:
    entries = [entry for entry in recorded(settings.models_dir) if is_run(entry)]
    runs = [_run(entry) for entry in entries]
    status = HEALTHY if runs else DEGRADED

    def show() -> None:
        if not runs:
            print(f"{settings.models_dir} has no history of training runs yet. Run train.py first.")
            return
        frame = pandas.DataFrame(runs).iloc[::-1].head(RUNS_SHOWN)
        for name, (_, form) in RUN_COLUMNS.items():
            frame[name] = [_shown(value, form) for value in frame[name]]
        titles = {name: title for name, (title, _) in RUN_COLUMNS.items()} | {"trained_at": "trained"}
        frame = frame.drop(columns=["timestamp", "reason"]).fillna("").rename(columns=titles)
        _show_frame(frame, f"The newest {len(frame)} of {len(runs)} training runs:")

    return status, {"status": status, "runs": runs}, show


def _run(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the table and the JSON document tell of a training run."""
    published = entry.get("published")
    return {
        "trained_at": _moment(entry["trained_at"]),
        "timestamp": number(entry.get("timestamp")),
        "result": "published" if published else "failed" if entry.get("failed") else "refused",
        "version": published,
        "winner": entry.get("winner"),
        **{name: number(entry.get(name)) for name in ("n_users", "n_products", "n_interactions")},
        **{name: share(entry.get(name)) for name in ("sparsity", "similarity_density", "avg_similarity")},
        "map10": winner_figure(entry, "map10"),
        "reason": entry.get("reason"),
    }


def _backups(folder: Path) -> list[Backup]:
    try:
        return backups_in(folder)
    except OSError as error:
        raise SettingsError(f"{folder} should be a folder of backups. Received: {error.strerror}.") from error


def _show_status(status: str, problems: Sequence[Problem]) -> None:
    terminal = console(log_width=LOG_WIDTH)
    terminal.print(status, style=COLORS.get(status, "bold red"))
    for problem in problems:
        terminal.print(f"  {problem.level.lower()}: {problem.name}: {problem.text}", soft_wrap=True)


def _show_frame(frame: pandas.DataFrame, title: str) -> None:
    terminal = console(log_width=LOG_WIDTH)
    terminal.print(title, soft_wrap=True)
    table = Table(*map(str, frame.columns))
    for row in frame.itertuples(index=False):
        table.add_row(*map(str, row))
    terminal.print(table)


def _shown(value: float | None, form: str) -> str:
    if value is None or pandas.isna(value):
        return UNKNOWN
    return f"{value / 2**20:,.1f} MiB" if form == MIB else form.format(value)


def _moment(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%SZ}"


_ACTIONS: Mapping[str, Callable[[Settings, Path, int], Report]] = {
    "health": _health,
    "backups": _of_backups,
    "metrics": _metrics,
}


def _parser() -> argparse.ArgumentParser:
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--action", choices=_ACTIONS, default="health", help="what to report; default health")
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    parser.add_argument("--prometheus", metavar="FILE", type=Path, help="write all figures for a textfile collector")
    parser.add_argument("--backups", metavar="FOLDER", type=Path, help="where the archives are; default backups/")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
