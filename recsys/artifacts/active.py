"""The active version, the history of training runs, and the reports of refused ones: small files in models/.

Each is replaced in one step.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from recsys.artifacts.files import DISK, Files, disk_errors, read_small
from recsys.artifacts.manifest import read_json, to_json
from recsys.artifacts.version import CURRENT, open_version
from recsys.errors import ModelRefused

HISTORY = "metrics.json"
REFUSED = "refused"  # the folder of the reports of refused runs
REPLACE_LOCK = ".replace.lock"  # apart from the publisher's lock, so that a rollback does not wait for a training run
REPLACE_WAIT_S = 10.0  # a replacement takes milliseconds; a process that holds the lock for longer hangs
MAX_HISTORY_BYTES = 256 * 2**20


def activate(models_dir: Path, name: str, files: Files = DISK) -> None:
    """Make a version the active one, after a full verification; a rollback is the same call.

    Args:
        models_dir: The folder of all versions.
        name: The version's name.
        files: The effects on disk.

    Raises:
        NoModel: There is no such version.
        ModelRefused: The version is damaged; the active version stays active.
        RecsysError: The disk is full or not writable.
    """
    with open_version(models_dir, name, full=True, files=files):
        with replacing(models_dir, files):
            _replace(models_dir / CURRENT, f"{name}\n".encode(), files)


def append_history(models_dir: Path, entry: Mapping[str, Any], files: Files = DISK) -> None:
    """Add an entry to metrics.json, the history of training runs.

    Args:
        models_dir: The folder of all versions, created where missing.
        entry: The metrics and the result of this run.
        files: The effects on disk.

    Raises:
        ModelRefused: metrics.json is damaged; it is left as it is.
        RecsysError: The disk is full or not writable.
    """
    to_json(dict(entry))
    with disk_errors(models_dir):
        files.make_dir(models_dir)
    with replacing(models_dir, files):
        _replace(models_dir / HISTORY, to_json([*history(models_dir), dict(entry)]), files)


def history(models_dir: Path) -> list[dict[str, Any]]:
    """Return the entries of metrics.json, oldest first; empty before the first training run.

    Raises:
        ModelRefused: The file is damaged.
    """
    try:
        entries = read_json(read_small(models_dir / HISTORY, MAX_HISTORY_BYTES), HISTORY)
        if not isinstance(entries, list):
            raise ModelRefused(f"{HISTORY} should be a JSON list. Received: {type(entries).__name__}.")
        return entries
    except FileNotFoundError:
        return []
    except ModelRefused as error:
        raise ModelRefused(f"{error} Move the file away; a new one will be started.") from error


def keep_refused_report(models_dir: Path, now: int, page: bytes, *, keep: int, files: Files = DISK) -> str:
    """Write the report of a refused run, and remove all but the newest ones. The caller holds the publisher's lock.

    Args:
        models_dir: The folder of all versions; it exists.
        now: The time of the run, in seconds since 1970; the report's name is that time, as in names of versions.
        page: The report as HTML.
        keep: How many reports stay, from 1.
        files: The effects on disk.

    Returns:
        The path of the report in the folder of versions.

    Raises:
        RecsysError: The disk is full or not writable.
    """
    folder, name = models_dir / REFUSED, f"{datetime.fromtimestamp(now, UTC):%Y%m%dT%H%M%SZ}.html"
    with disk_errors(models_dir):
        files.make_dir(folder)
        _replace(folder / name, page, files)
        reports = sorted(path for path in folder.iterdir() if path.suffix == ".html")
        unfinished = [path for path in folder.iterdir() if path.suffix == ".tmp"]
        for path in [*unfinished, *reports[:-keep]]:
            files.remove(path)
    return f"{REFUSED}/{name}"


@contextmanager
def replacing(models_dir: Path, files: Files) -> Iterator[None]:
    """Hold the lock for replacing CURRENT or metrics.json."""
    with disk_errors(models_dir):
        lock = files.lock(models_dir / REPLACE_LOCK, wait_s=REPLACE_WAIT_S)
        try:
            yield
        finally:
            os.close(lock)


def _replace(target: Path, data: bytes, files: Files) -> None:
    aside = target.with_name(f"{target.name}.tmp")
    files.write(aside, data)
    files.fsync(aside)
    files.rename(aside, target)
    files.fsync(target.parent)
