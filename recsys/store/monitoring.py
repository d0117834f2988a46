"""What the monitor reads: counts of a version's encoders, and of the answers and model runs of the backend."""

from __future__ import annotations

from collections.abc import Mapping

from recsys.errors.records import Record
from recsys.store.database import Database
from recsys.store.encoders import TABLES, list_versions, table_counts
from recsys.store.migrations import columns

FAILED_RUN = '%"error":%'  # in `metricsJson` of a model that could not answer


class Answered(Record):
    """How many answers there were, and how many of them without a model.

    Attributes:
        n: All of them.
        n_failed: Those that a fallback gave, or the runs of a model that failed.
    """

    n: int
    n_failed: int

    @property
    def share(self) -> float | None:
        """The share of failures, 0 to 1; None without answers."""
        return self.n_failed / self.n if self.n else None


def encoder_counts(db: Database, name: str) -> Mapping[str, int] | None:
    """Return the number of rows of a version in each of the tables `TABLES`; None if there is no complete version.

    Args:
        db: The database.
        name: The version's name.
    """
    if not all(columns(db, table) for table in ("rec_versions", *TABLES)):
        return None
    found = next((row for row in list_versions(db) if row.name == name and row.complete), None)
    return None if found is None else table_counts(db, found.id)


def shown_versions(db: Database) -> list[str]:
    """Return the names of the versions that the views show: one, or none before the first publication."""
    return [row.name for row in list_versions(db) if row.active] if columns(db, "rec_versions") else []


def answers_since(db: Database, moment: str) -> Answered | None:
    """Return the answers of the backend, and those that came from its fallback chain; None without its table.

    Args:
        db: The database.
        moment: From when on, as `2026-11-20 23:00:00` in UTC.
    """
    if not columns(db, "rec_answer_counts"):
        return None
    sql = (
        "SELECT SUM(count), SUM(CASE WHEN reason <> '' THEN count ELSE 0 END) "
        "FROM rec_answer_counts WHERE hour >= :since"
    )
    return _answered(db, sql, {"since": moment})


def runs_since(db: Database, moment: str) -> Answered | None:
    """Return the model runs that the backend has stored, and those that failed; None without its table.

    Args:
        db: The database.
        moment: From when on, as `2026-11-20 23:00:00` in UTC.
    """
    table = f"{db.cache_prefix}model_runs"
    if not {"metricsjson", "createdat"} <= set(map(str.lower, columns(db, table))):
        return None
    sql = (
        "SELECT COUNT(*), SUM(CASE WHEN metricsJson LIKE :failed THEN 1 ELSE 0 END) "  # noqa: S608 - our own name
        f"FROM {db.names.in_own_place(table)} WHERE createdAt >= :since"
    )
    return _answered(db, sql, {"since": moment, "failed": FAILED_RUN})


def _answered(db: Database, sql: str, params: Mapping[str, str]) -> Answered:
    ((n, n_failed),) = db.query(sql, params)
    return Answered(int(n or 0), int(n_failed or 0))
