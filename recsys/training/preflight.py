"""What can be known before a training run begins, without TensorFlow and without reading a table."""

from __future__ import annotations

from collections.abc import Callable

from recsys import store
from recsys.artifacts import DISK, Draft, Files, check_room, history
from recsys.settings import Settings
from recsys.store.readiness import check_mapping, check_own_tables


def check(
    settings: Settings,
    *,
    now: int,
    dry_run: bool = False,
    files: Files = DISK,
    connect: Callable[..., store.Database] = store.connect,
) -> None:
    """Refuse a run that could only fail later: mapping, rights, tables of our names, the lock, the disk; in this order.

    Our tables are created where they are missing; everything else stays as it is.

    Args:
        settings: Where the shop is and how it is mapped.
        now: Seconds since 1970.
        dry_run: The run will write nothing, so that only the mapping counts.
        files: How the disk is changed.
        connect: How the database is reached.

    Raises:
        RecsysError: It says what is in the way, and the way out.
    """
    with connect(settings.database_url) as db:
        check_mapping(db, settings.shop)
        if not dry_run:
            check_own_tables(db)
    if not dry_run:
        Draft.create(settings.models_dir, now, files).discard()  # it has the lock, and the folder takes files
        check_room(settings.models_dir)
        history(settings.models_dir)
