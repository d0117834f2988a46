"""The terminal output of `train.py`: progress on stderr, tables of results at the end on stdout."""

from __future__ import annotations

from rich.table import Table

from recsys.data.cleaning import CleanReport
from recsys.networks import Epoch
from recsys.training.report import COLUMNS, RULE_TITLES, figure, network_gains, ranked
from recsys.training.terminal import console
from recsys.training.train import TrainingResult

LOG_WIDTH = 130  # columns of a file or a pipe; wide enough for the table


class TrainingConsole:
    """Implements `Progress` for a terminal or a log file."""

    def __init__(self) -> None:
        """Write to stdout and stderr of this process."""
        self._progress, self._results = console(stderr=True), console(log_width=LOG_WIDTH)

    def rows(self, n_rows: int) -> None:
        """Print how many rows have been read."""
        self._progress.print(f"  {n_rows:,} rows", style="dim")

    def cleaned(self, report: CleanReport) -> None:
        """Print how many rows were dropped, for each reason."""
        self._progress.print(f"  {report.rows_in:,} rows read, {report.rows_out:,} kept")
        for reason, count in report.dropped.items():
            self._progress.print(f"  dropped {count:,}: {reason}", style="dim")
        for line in report.unreadable:
            self._progress.print(f"  {line}", style="yellow")

    def stage(self, title: str) -> None:
        """Print the title of the part of the run that begins."""
        self._progress.print(title, style="bold")

    def epoch(self, epoch: Epoch) -> None:
        """Print the loss, the validation score and the duration of one epoch."""
        validation_score = "" if epoch.validation_score is None else f"  MAP@10 {epoch.validation_score:.4f}"
        progress = f"epoch {epoch.number}/{epoch.of}  loss {epoch.loss:.4f}{validation_score}  {epoch.seconds:.1f} s"
        self._progress.print(f"  {epoch.model:<6} {progress}")

    def note(self, text: str) -> None:
        """Print something unusual."""
        self._progress.print(f"  {text}", style="yellow")

    def result(self, result: TrainingResult) -> None:
        """Print the tables, the winner and the name of the version."""
        for rule in sorted(result.rows, key=lambda label: label != result.rule):
            self._results.print(table(result, rule))
            self._results.print(network_gains(result.rows[rule]), soft_wrap=True)
        if result.context_lift:
            lift, n_events = result.context_lift["lift"], result.context_lift["events"]
            figures = f"{lift:+.4f} mean reciprocal rank over {n_events:.0f} held-out events"
            self._results.print(f"ENCM's context lift: {figures}")
        publication = f"published {result.version}" if result.version else "dry run: nothing was published"
        self._results.print(f"{result.winner} wins on validation; {publication}", style="bold")


def table(result: TrainingResult, rule: str) -> Table:
    """Return the table of results under one repeat rule, best MAP@10 first.

    Args:
        result: The training run's result.
        rule: `hide` or `allow`.
    """
    rows = result.rows[rule]
    users = next(iter(rows.values()))["users"]
    note = "" if rule == result.rule else " (for comparison)"
    counts = f"{users:,} users, {result.users_without_relevant:,} without anything relevant"
    results = Table(title=f"{RULE_TITLES[rule]}{note}: {counts}")
    results.add_column("scorer")
    for title in COLUMNS.values():
        results.add_column(title, justify="right")
    for name in ranked(rows):
        cells = [figure(rows[name][column]) for column in COLUMNS]
        is_winner = name == result.winner
        results.add_row(f"{name} ★" if is_winner else name, *cells, style="bold" if is_winner else None)
    return results
