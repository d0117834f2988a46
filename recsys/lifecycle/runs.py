"""What the history of training runs says: which entries are runs, their figures, and how many were not published."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from recsys.errors.records import Record


class Unpublished(Record):
    """The runs since the last publication.

    Attributes:
        refused: How many ended without a version by a decision of training.
        failed: How many broke off.
        reason: Why the newest of them did not publish; empty without one.
    """

    refused: int = 0
    failed: int = 0
    reason: str = ""


def is_run(entry: Mapping[str, Any]) -> bool:
    """Return whether an entry of models/metrics.json is of a training run, and no note, rollback or restored copy."""
    others = ("action", "restored_at", "left_in_database")
    return number(entry.get("trained_at")) is not None and not any(name in entry for name in others)


def unpublished(entries: Sequence[Mapping[str, Any]]) -> Unpublished:
    """Return the runs since the last publication.

    Args:
        entries: The entries of models/metrics.json, the newest last.
    """
    since: list[Mapping[str, Any]] = []
    for entry in reversed([entry for entry in entries if is_run(entry)]):
        if entry.get("published"):
            break
        since.append(entry)
    failed = sum(bool(entry.get("failed")) for entry in since)
    return Unpublished(len(since) - failed, failed, str(since[0].get("reason") or "unknown") if since else "")


def winner_figure(entry: Mapping[str, Any], metric: str) -> float | None:
    """Return a metric of the scorer that won a run, under the repeat rule in force; None where the entry has none."""
    try:
        return number(entry["rows"][entry["rule"]][entry["winner"]][metric])
    except (KeyError, TypeError):
        return None


def number(value: Any) -> float | None:
    """Return a finite number of a JSON file; None for anything else."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return value if is_number and abs(value) < float("inf") else None


def share(value: Any) -> float | None:
    """Return a number from 0 to 1 of a JSON file; None for anything else."""
    found = number(value)
    return found if found is not None and 0 <= found <= 1 else None
