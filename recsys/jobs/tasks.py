"""The tasks: a training in a child process, the nightly lists in shards, and exports of a version.

They do what the commands of `scripts/` do, through the same functions. A worker that is killed loses nothing: a message
is acknowledged after its task, and returned if the child process that ran it is lost. Each task may run twice.
"""

from __future__ import annotations

import logging
import os
import sys
import time
from pathlib import Path
from typing import Any

from celery import shared_task

from recsys.artifacts import current
from recsys.errors import AlreadyComputing, NoModel, Overloaded
from recsys.lifecycle.scheduler import Choice, Counts, Scheduler
from recsys.lifecycle.supervise import TrainingResult, limits, run_training
from recsys.recommending import batch
from recsys.settings import Settings, load_settings
from recsys.store import connect, count_rows, count_users
from recsys.tracking.exports import export_similarities, export_together
from recsys.tracking.preferences import refresh_preferences

log = logging.getLogger(__name__)
SAFE: dict[str, Any] = {"acks_late": True, "reject_on_worker_lost": True}
FRESH_S = 6 * 3600  # a second message for the same lists, of another Beat, comes within the night
AGAIN: dict[str, Any] = {"autoretry_for": (Overloaded,), "retry_backoff": 10, "max_retries": 8}  # 40 minutes in all
PACKAGE_FOLDER = Path(__file__).resolve().parents[2]  # the package may run from its folder, without installation
RUN = f"import sys\nsys.path.insert(0, {str(PACKAGE_FOLDER)!r})\nfrom recsys.training import command_line\n"
TRAIN = (sys.executable, "-c", f"{RUN}sys.exit(command_line.train_command())")


@shared_task(name="recsys.jobs.train", **SAFE)
def train(*, now: bool = False, n_shards: int = 0, every_interactions: int = 0) -> dict[str, Any]:
    """Train if a daily training is due, and then let exports and lists follow.

    The history of trainings decides, as it does for `scripts/scheduler.py`. A second message of the same day, from a
    second Beat or a second delivery, therefore trains nothing. A second training at a time ends at the lock.

    Args:
        now: Train in any case.
        n_shards: Parts of the lists that follow; 0 for none.
        every_interactions: Train, too, when so many rows are new; 0 for never.

    Returns:
        `published`, and `reason`, why there is no new version.
    """
    settings = _settings()
    outcome = _train(settings) if now else _look(settings, every_interactions)
    if outcome is None:
        return {"published": False, "reason": "none is due"}
    if outcome.published:
        similarities.delay()
        preferences.delay()
        if n_shards:
            recommend_all.delay(n_shards=n_shards)
    return {"published": outcome.published, "reason": outcome.reason}


@shared_task(name="recsys.jobs.recommend_all", **SAFE)
def recommend_all(*, n_shards: int = 4, limit: int = 10, model: str | None = None) -> None:
    """Send a task for each part of the lists for everybody."""
    for number in range(n_shards):
        recommend_shard.delay(number=number, n_shards=n_shards, limit=limit, model=model)


@shared_task(name="recsys.jobs.recommend_shard", **SAFE, **AGAIN)
def recommend_shard(*, number: int, n_shards: int, limit: int = 10, model: str | None = None) -> dict[str, Any]:
    """Compute and store the lists of one part of the customers; one that was interrupted goes on where it stopped.

    Where the database is busy or holds a lock for too long, the task is sent again.

    Returns:
        `done`, and `reason`, why not.
    """
    try:
        part = (number, n_shards)
        batch.recommend_all(_settings(), to="table", limit=limit, shard=part, model=model, fresh_s=FRESH_S)
    except (NoModel, AlreadyComputing) as error:  # nothing is published yet; another worker has or had this part
        log.warning("lists, part %d of %d: %s", number, n_shards, error)
        return {"done": False, "reason": str(error)}
    return {"done": True, "reason": ""}


@shared_task(name="recsys.jobs.similarities", **SAFE)
def similarities() -> int:
    """Write similar products of the active version, and products bought together; returns the number of rows."""
    settings = _settings()
    with connect(settings.database_url) as db, current(settings.models_dir) as version:
        return export_similarities(db, version) + export_together(db, settings.shop, now=int(time.time()))


@shared_task(name="recsys.jobs.preferences", **SAFE)
def preferences() -> int:
    """Fold the events of all users into their preferences; returns the number of users."""
    settings = _settings()
    with connect(settings.database_url) as db:
        return refresh_preferences(db, settings.shop, now=int(time.time()))


def _look(settings: Settings, every_interactions: int) -> TrainingResult | None:
    def counted(count: Any) -> Any:
        def run() -> int:
            with connect(settings.database_url) as db:
                return int(count(db, settings.shop))

        return run

    scheduler = Scheduler(
        settings,
        Choice("daily", every_interactions=every_interactions),
        train=lambda is_stopping: _train(settings),
        counts=Counts(counted(count_rows), counted(count_users)),
        now=time.time,
        log=log,
    )
    return scheduler.look()


def _train(settings: Settings) -> TrainingResult:
    allowed = limits(settings.lifecycle.max_training_minutes, settings.lifecycle.max_training_memory_mib)
    return run_training(TRAIN, folder=Path.cwd(), limits=allowed, say=log.info)


def _settings() -> Settings:
    return load_settings(os.environ, Path.cwd())
