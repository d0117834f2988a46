"""What a person sees while `train.py` runs: progress on stderr, one table at the end on stdout."""

from __future__ import annotations

from rich.table import Table

from recsys.data.cleaning import CleanReport
from recsys.networks import Epoch
from recsys.training.report import COLUMNS, RULE_TITLES, figure, network_gains, ranked
from recsys.training.terminal import console
from recsys.training.train import TrainingResult

LOG_WIDTH = 130  # of a file or a pipe: wide enough for the table


class TrainingConsole:
    """A `Progress` for a terminal, quiet enough for a log file."""

    def __init__(self) -> None:
        """Write to the process' own streams."""
        self._progress, self._answer = console(stderr=True), console(log_width=LOG_WIDTH)

    def rows(self, n_rows: int) -> None:
        """Say how many rows have been read."""
        self._progress.print(f"  {n_rows:,} rows", style="dim")

    def cleaned(self, report: CleanReport) -> None:
        """Say what was dropped and why."""
        self._progress.print(f"  {report.rows_in:,} rows read, {report.rows_out:,} kept")
        for reason, count in report.dropped.items():
            self._progress.print(f"  dropped {count:,}: {reason}", style="dim")
        for line in report.unreadable:
            self._progress.print(f"  {line}", style="yellow")

    def stage(self, title: str) -> None:
        """Announce a part of the run."""
        self._progress.print(title, style="bold")

    def epoch(self, epoch: Epoch) -> None:
        """Report one pass over the data."""
        validation_score = "" if epoch.validation_score is None else f"  MAP@10 {epoch.validation_score:.4f}"
        self._progress.print(
            f"  {epoch.model:<6} epoch {epoch.number}/{epoch.of}  loss {epoch.loss:.4f}{validation_score}  {epoch.seconds:.1f} s"
        )

    def note(self, text: str) -> None:
        """Say what is not as usual."""
        self._progress.print(f"  {text}", style="yellow")

    def outcome(self, outcome: TrainingResult) -> None:
        """Print the tables and what was published."""
        for rule in sorted(outcome.rows, key=lambda label: label != outcome.rule):
            self._answer.print(table(outcome, rule))
            self._answer.print(network_gains(outcome.rows[rule]), soft_wrap=True)
        if outcome.context_lift:
            lift = outcome.context_lift
            self._answer.print(
                f"ENCM's context lift: {lift['lift']:+.4f} mean reciprocal rank over {lift['events']:.0f} held-out events"
            )
        done = f"published {outcome.version}" if outcome.version else "dry run: nothing was published"
        self._answer.print(f"{outcome.winner} wins on validation; {done}", style="bold")


def table(outcome: TrainingResult, rule: str) -> Table:
    """Return the results under one repeat rule, best first."""
    rows = outcome.rows[rule]
    users = next(iter(rows.values()))["users"]
    note = "" if rule == outcome.rule else " (for comparison)"
    made = Table(
        title=f"{RULE_TITLES[rule]}{note}: {users:,} users, {outcome.users_without_relevant:,} without anything relevant"
    )
    made.add_column("scorer")
    for title in COLUMNS.values():
        made.add_column(title, justify="right")
    for name in ranked(rows):
        cells = [figure(rows[name][column]) for column in COLUMNS]
        made.add_row(
            f"{name} ★" if name == outcome.winner else name, *cells, style="bold" if name == outcome.winner else None
        )
    return made
