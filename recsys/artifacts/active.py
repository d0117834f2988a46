"""The active version and the history of training runs: two small files in models/, each replaced in one step."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from recsys.artifacts.files import DISK, Files, disk_errors, read_small
from recsys.artifacts.manifest import read_json, to_json
from recsys.artifacts.version import CURRENT, open_version
from recsys.errors import ModelRefused

HISTORY = "metrics.json"
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
    except FileNotFoundError:
        return []
    except ModelRefused as error:
        raise ModelRefused(f"{error} Move the file away; a new one will be started.") from error
    if not isinstance(entries, list):
        received = type(entries).__name__
        raise ModelRefused(
            f"{HISTORY} should be a JSON list. Received: {received}. Move the file away; a new one will be started."
        )
    return entries


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
