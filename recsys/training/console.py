"""The terminal output of `train.py`: progress on stderr, tables of results at the end on stdout."""

from __future__ import annotations

import time
from collections.abc import Mapping

from rich.table import Table

from recsys.data.cleaning import CleanReport
from recsys.networks.fit import Epoch
from recsys.training.report import COLUMNS, RULE_TITLES, network_gains, verdict_lines
from recsys.training.run import PUBLISH, STEPS, TrainingRun
from recsys.training.sentences import figure, ranked
from recsys.training.terminal import console

LOG_WIDTH = 130  # columns of a file or a pipe; wide enough for the table


class TrainingConsole:
    """Implements `Progress` for a terminal or a log file."""

    def __init__(self) -> None:
        """Write to stdout and stderr of this process."""
        self._progress, self._results = console(stderr=True), console(log_width=LOG_WIDTH)
        self._now, self._planned, self._since = "", dict[str, float](), 0.0

    def rows(self, n_rows: int) -> None:
        """Print how many rows have been read."""
        self._progress.print(f"  {n_rows:,} rows", style="dim")

    def cleaned(self, report: CleanReport) -> None:
        """Print how many rows were dropped, for each reason."""
        self._progress.print(f"  {report.rows_in:,} rows read, {report.rows_out:,} kept")
        if report.sessions:
            self._progress.print(f"  {report.session_rows:,} of them of {report.sessions:,} guests' sessions")
        for reason, count in report.dropped.items():
            self._progress.print(f"  dropped {count:,}: {reason}", style="dim")
        for line in report.unreadable:
            self._progress.print(f"  {line}", style="yellow")

    def stage(self, title: str) -> None:
        """Print the title of the part of the run that begins, its number, and how long the rest may take."""
        self._now = title
        if title not in STEPS:
            self._progress.print(title, style="bold")
            return
        left = remaining(self._planned, title, time.monotonic() - self._since)
        note = "" if left is None else f", {duration(left)} left"
        self._progress.print(f"{title} (step {STEPS.index(title) + 1} of {len(STEPS)}{note})", style="bold")

    def planned(self, seconds: Mapping[str, float]) -> None:
        """Print how long the run may take."""
        self._planned, self._since = dict(seconds), time.monotonic()
        self._progress.print(f"  {duration(sum(seconds.values()))} by estimate, if nothing else runs on this machine")

    def may_end(self) -> bool:
        """Return whether the process may end at once: nothing is being published."""
        return self._now in STEPS and self._now != PUBLISH

    def step(self, text: str) -> None:
        """Print what begins now."""
        self._progress.print(f"  {text}", style="dim")

    def epoch(self, epoch: Epoch) -> None:
        """Print the loss, the validation score and the duration of one epoch."""
        validation_score = "" if epoch.validation_score is None else f"  MAP@10 {epoch.validation_score:.4f}"
        progress = f"epoch {epoch.number}/{epoch.of}  loss {epoch.loss:.4f}{validation_score}  {epoch.seconds:.1f} s"
        if epoch.uniform is not None and epoch.number == 1:
            progress += f"  (a uniform guess: loss {epoch.uniform:.4f})"
        self._progress.print(f"  {epoch.model:<6} {progress}")

    def note(self, text: str) -> None:
        """Print something unusual."""
        self._progress.print(f"  {text}", style="yellow")

    def decided(self, run: TrainingRun) -> None:
        """Print the tables of results and the gate's verdict."""
        for rule in sorted(run.rows, key=lambda label: label != run.rule):
            self._results.print(table(run, rule))
            self._results.print(network_gains(run.rows[rule]), soft_wrap=True)
        if run.context_lift:
            lift, n_events = run.context_lift["lift"], run.context_lift["events"]
            figures = f"{lift:+.4f} mean reciprocal rank over {n_events:.0f} held-out events"
            self._results.print(f"ENCM's context lift: {figures}")
        for line in verdict_lines(None if run.verdict is None else run.verdict.to_json()):
            self._results.print(line, soft_wrap=True)

    def result(self, run: TrainingRun) -> None:
        """Print the winner and the name of the version."""
        publication = f"published {run.version}" if run.version else "dry run: nothing was published"
        self._results.print(f"{run.winner} serves; {publication}", style="bold")


def remaining(planned: Mapping[str, float], title: str, elapsed: float) -> float | None:
    """Return the seconds that a step and all after it may take; None without an estimate.

    Steps that are done tell how fast this machine is today.

    Args:
        planned: The estimated seconds of each step, in the order of the steps.
        title: The step that begins.
        elapsed: Seconds since the estimate.

    >>> remaining({"choose": 10.0, "fit": 5.0, "serve": 5.0}, "fit", 20.0)
    20.0
    """
    if title not in planned:
        return None
    place = list(planned).index(title)
    done, ahead = (sum(part) for part in (list(planned.values())[:place], list(planned.values())[place:]))
    return ahead * (elapsed / done if done and elapsed else 1.0)


def duration(seconds: float) -> str:
    """Return seconds in words, as coarse as an estimate is.

    >>> duration(8), duration(80), duration(4000)
    ('about 10 s', 'about 80 s', 'about 67 min')
    """
    return f"about {max(round(seconds, -1), 10):.0f} s" if seconds < 115 else f"about {seconds / 60:.0f} min"


def table(run: TrainingRun, rule: str) -> Table:
    """Return the table of results under one repeat rule, best MAP@10 first.

    Args:
        run: The training run, at its end.
        rule: `hide` or `allow`.
    """
    rows = run.rows[rule]
    users = next(iter(rows.values()))["users"]
    note = "" if rule == run.rule else " (for comparison)"
    counts = f"{users:,} users, {run.evaluation_set.n_nothing_relevant:,} without anything relevant"
    results = Table(title=f"{RULE_TITLES[rule]}{note}: {counts}")
    results.add_column("scorer")
    for title in COLUMNS.values():
        results.add_column(title, justify="right")
    for name in ranked(rows):
        cells = [figure(rows[name][column]) for column in COLUMNS]
        is_winner = name == run.winner
        results.add_row(f"{name} ★" if is_winner else name, *cells, style="bold" if is_winner else None)
    return results
