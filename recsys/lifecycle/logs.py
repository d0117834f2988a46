"""Rotated logs of the scheduler and of the trainings that it runs, without secrets."""

from __future__ import annotations

import logging
import time
from logging.handlers import RotatingFileHandler
from pathlib import Path

from recsys.errors import SettingsError
from recsys.errors.secrets import scrubbed

MAX_BYTES, KEPT = 5 * 2**20, 5  # of each log: the file in use, and five older ones
FORMAT = "%(asctime)s %(levelname)s %(message)s"


class Scrubbed(logging.Formatter):
    """Writes lines without secrets, with times in UTC."""

    converter = staticmethod(time.gmtime)
    default_msec_format = ""
    default_time_format = "%Y-%m-%dT%H:%M:%SZ"

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        return scrubbed(super().format(record))


def open_log(folder: Path, name: str, *, max_bytes: int = MAX_BYTES, kept: int = KEPT) -> logging.Logger:
    """Return a logger that writes `NAME.log`, which is rotated by size; another of the same name is closed.

    Args:
        folder: The folder of logs, created where missing.
        name: `scheduler` or `training`.
        max_bytes: The largest size of a file.
        kept: How many older files stay.

    Raises:
        SettingsError: The folder cannot be written to.
    """
    log = logging.getLogger(f"recsys.{name}")
    close_log(log)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handler = RotatingFileHandler(folder / f"{name}.log", maxBytes=max_bytes, backupCount=kept, encoding="utf-8")
    except OSError as error:
        raise SettingsError(
            f"--logs should be a folder that this user may write to. Received: {folder}: {error.strerror}."
        ) from error
    handler.setFormatter(Scrubbed(FORMAT))
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    log.propagate = False
    return log


def close_log(log: logging.Logger) -> None:
    """Close a logger's files."""
    for handler in list(log.handlers):
        log.removeHandler(handler)
        handler.close()
