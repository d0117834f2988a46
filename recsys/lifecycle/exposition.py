"""The monitor's figures as a file for Prometheus, in its text format; a textfile collector reads it."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from recsys.artifacts import DISK, Files
from recsys.errors import SettingsError
from recsys.lifecycle.health import LEVELS, Backup, Health, days

PREFIX = "recsys_"  # as the backend's /metrics have it
HELP: Mapping[str, str] = {
    "health_status": "0 healthy, 1 degraded, 2 unhealthy.",
    "health_problem": "1 for each problem that the monitor has found; docs/OPERATIONS.md says what to do.",
    "monitor_timestamp_seconds": "When the monitor wrote this file, in seconds since 1970.",
    "model_age_days": "Days since the active version was trained.",
    "model_data_age_days": "Days since the newest event that the active version knows.",
    "model_users": "Users that the active version knows.",
    "model_products": "Products that the active version knows.",
    "model_interactions": "Events that the active version was trained on.",
    "model_sparsity": "Share of pairs of a user and a product without an event, 0 to 1.",
    "model_similarity_density": "Share of pairs of two products with a similarity, 0 to 1.",
    "model_avg_similarity": "Mean similarity of these pairs, 0 to 1.",
    "model_map10": "MAP@10 of the active version's winner at its publication.",
    "model_coverage": "Share of products in any list of the active version's winner at its publication.",
    "version_bytes": "Size of the active version.",
    "refusals_in_a_row": "Training runs since the last publication that were refused.",
    "failures_in_a_row": "Training runs since the last publication that broke off.",
    "encoders_missing": "1 if the database lacks encoders of the active version, else 0.",
    "answers": "Lists that the backend answered in the last day.",
    "fallback_share": "Share of these lists that came from the fallback chain, 0 to 1.",
    "failed_run_share": "Share of the models' runs of the last day that failed, 0 to 1.",
    "disk_free_bytes": "Free bytes on the disk of the versions.",
    "backups": "Archives in the folder of backups.",
    "backup_bytes": "Size of all of them.",
    "backup_age_days": "Days since the newest of them was written.",
}


def exposition(health: Health, backups: Sequence[Backup], now: int) -> str:
    """Return the figures in Prometheus's text format; those that are not known are left out.

    Args:
        health: The state of the shop's recommendations.
        backups: The archives, the newest first.
        now: Seconds since 1970.
    """
    sound = [backup for backup in backups if not backup.fault]
    values: dict[str, float | None] = {
        **health.figures,
        "health_status": LEVELS.index(health.status),
        "monitor_timestamp_seconds": now,
        "backups": len(backups),
        "backup_bytes": sum(backup.size for backup in backups),
        "backup_age_days": days(sound[0].written_at, now) if sound else None,
    }
    lines = []
    for name, about in HELP.items():
        samples = [] if (value := values.get(name)) is None else [f"{PREFIX}{name} {value!r}"]
        if name == "health_problem":
            samples = [
                f'{PREFIX}{name}{{problem="{problem}",level="{level.lower()}"}} 1'
                for level, problem in sorted({(problem.level, problem.name) for problem in health.problems})
            ]
        if samples:
            lines += [f"# HELP {PREFIX}{name} {about}", f"# TYPE {PREFIX}{name} gauge", *samples]
    return "\n".join(lines) + "\n"


def write_exposition(target: Path, text: str, files: Files = DISK) -> None:
    """Replace the file in one step, so that a collector never reads half of it.

    Args:
        target: The file; a collector of node_exporter wants a name that ends with `.prom`.
        text: What `exposition` returns.
        files: The effects on disk.

    Raises:
        SettingsError: The file cannot be written there.
    """
    aside = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        files.write(aside, text.encode())
        files.rename(aside, target)
    except OSError as error:
        with suppress(OSError):
            files.remove(aside)
        raise SettingsError(
            f"--prometheus should be a file that this user may write. Received: {target}: {error.strerror}."
        ) from error
