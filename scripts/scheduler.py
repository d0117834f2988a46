r"""Train by schedule: look once a minute whether a training is due, and run train.py where it is.

  python scripts/scheduler.py --schedule daily                     02:00 in the shop's time zone
  python scripts/scheduler.py --schedule weekly                    Sunday 02:00
  python scripts/scheduler.py --schedule custom                    every six hours
  python scripts/scheduler.py --schedule custom --cron "30 3 * * mon-fri"
  python scripts/scheduler.py --schedule auto                      by size: weekly below 1,000 users, daily to 10,000
  python scripts/scheduler.py --schedule daily --once              run what is due and end, for cron and timers

The time zone is `time_zone` of [shop] in recsys.toml, the limits are [lifecycle]. ALERT_WEBHOOK_URL is told of refused
and failed trainings. SIGTERM and Ctrl-C end the running training, then the scheduler.

Exit status: 0 ended, with --once also where nothing was due, 1 failed, 2 wrong command line; with --once, 3 refused and
75 another process trains, too.
"""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from recsys.errors import RecsysError  # noqa: E402
from recsys.errors.arguments import Parser  # noqa: E402
from recsys.lifecycle.logs import Scrubbed, close_log, open_log  # noqa: E402
from recsys.lifecycle.schedule import KINDS, trigger  # noqa: E402
from recsys.lifecycle.scheduler import Choice, Counts, Scheduler  # noqa: E402
from recsys.lifecycle.supervise import limits, run_training  # noqa: E402
from recsys.settings import Settings, load_settings  # noqa: E402
from recsys.store import connect, count_rows, count_users  # noqa: E402
from recsys.training.terminal import console  # noqa: E402

TRAIN = (sys.executable, str(ROOT / "train.py"))


def main(argv: list[str]) -> int:
    """Run the scheduler; returns the exit status."""
    parser = _parser()
    flags = parser.parse_args(argv)
    if flags.cron and flags.schedule != "custom":
        parser.error(f"--cron belongs to --schedule custom. Received: --schedule {flags.schedule}.")
    logs: list[logging.Logger] = []
    try:
        settings = load_settings(os.environ, ROOT)
        logs += [open_log(flags.logs, name) for name in ("scheduler", "training")]
        return _run(settings, flags, *logs)
    except RecsysError as error:
        console(stderr=True).print(f"scheduler: {error}", soft_wrap=True)
        return 1
    finally:
        for log in logs:
            close_log(log)


def _run(settings: Settings, flags: argparse.Namespace, log: logging.Logger, output: logging.Logger) -> int:
    to_terminal = logging.StreamHandler(sys.stderr)
    to_terminal.setFormatter(Scrubbed("scheduler: %(message)s"))
    log.addHandler(to_terminal)
    lifecycle = settings.lifecycle
    allowed = limits(lifecycle.max_training_minutes, lifecycle.max_training_memory_mib)
    scheduler = Scheduler(
        settings,
        Choice(flags.schedule, flags.cron or "", flags.every_interactions),
        train=lambda is_stopping: run_training(
            TRAIN, folder=ROOT, limits=allowed, say=output.info, is_stopping=is_stopping
        ),
        counts=_counts(settings),
        now=time.time,
        log=log,
    )
    before = {number: signal.signal(number, lambda *_: scheduler.stop()) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        if flags.once:
            return scheduler.run_once()
        scheduler.run_forever()
        return 0
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _counts(settings: Settings) -> Counts:
    def rows() -> int:
        with connect(settings.database_url) as db:
            return count_rows(db, settings.shop)

    def users() -> int:
        with connect(settings.database_url) as db:
            return count_users(db, settings.shop)

    return Counts(rows, users)


def _parser() -> argparse.ArgumentParser:
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--schedule", choices=KINDS, required=True, help="when a training is due")
    cron = "five fields of a crontab line for --schedule custom; days of the week by name, such as sun or mon-fri"
    parser.add_argument("--cron", type=_cron, metavar="FIELDS", help=cron)
    rows = "train, too, when the shop's tables have so many rows more than the last training read"
    parser.add_argument("--every-interactions", type=_positive, default=0, metavar="N", help=rows)
    parser.add_argument("--once", action="store_true", help="run what is due and end")
    folder = "the folder of scheduler.log and training.log; default logs/"
    parser.add_argument("--logs", type=Path, default=ROOT / "logs", metavar="FOLDER", help=folder)
    return parser


def _positive(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and 0 < int(text) <= 10**12):
        raise argparse.ArgumentTypeError(f"it should be a whole number from 1. Received: {text!r}")
    return int(text)


def _cron(text: str) -> str:
    try:
        trigger(text)
    except RecsysError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return text


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
