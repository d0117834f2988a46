"""The Celery app: its broker, its zone, and when its tasks are due.

    celery -A recsys.jobs.app worker --concurrency 2       in the shop's folder, beside .env and recsys.toml
    celery -A recsys.jobs.app beat --schedule data/beat    once; two of them do no harm

BROKER_URL names Redis or RabbitMQ, BROKER_QUEUE the queue, and LIST_SHARDS the number of parts of the nightly lists.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from celery import Celery
from celery.schedules import crontab

from recsys.errors import SettingsError
from recsys.errors.secrets import Secret
from recsys.errors.wording import shown
from recsys.settings import Settings, load_settings

BROKER = "redis://127.0.0.1:6379/0"
QUEUE = "recsys"
TICK_MINUTES = 10  # between two looks whether a training is due; the history of trainings decides
SPARE_S = 600  # seconds that a task may take beyond the longest training
SHARDS = 4
MOST_SHARDS = 10_000


def configuration(environ: Mapping[str, str], settings: Settings) -> dict[str, Any]:
    """Return the configuration of the app.

    Args:
        environ: Holds BROKER_URL, BROKER_QUEUE and LIST_SHARDS.
        settings: Holds the shop's time zone and how long a training may take.

    Raises:
        SettingsError: LIST_SHARDS is not what it should be.
    """
    broker = Secret(environ.get("BROKER_URL") or BROKER)  # its password is then in no message of ours
    n_shards = _shards(environ.get("LIST_SHARDS") or str(SHARDS))
    configured: dict[str, Any] = {
        "broker_url": broker.reveal(),
        "broker_connection_retry_on_startup": True,
        "task_default_queue": environ.get("BROKER_QUEUE") or QUEUE,
        "task_ignore_result": True,
        "task_publish_retry_policy": {"max_retries": None, "interval_max": 10},  # tasks wait for the broker
        "worker_prefetch_multiplier": 1,  # one long task must not hold back others
        "timezone": settings.shop.time_zone,
        "beat_schedule": schedule(n_shards),
    }
    if broker.reveal().startswith("redis"):
        # A task that takes longer would be delivered to a second worker. A killed worker's task comes back after it.
        longest = settings.lifecycle.max_training_minutes * 60 + SPARE_S
        configured["broker_transport_options"] = {"visibility_timeout": longest, "unacked_restore_throttle": 1}
    return configured


def schedule(n_shards: int) -> dict[str, Any]:
    """Return what Beat sends. A message that no worker took before the next one is dropped."""
    return {
        "look whether a training is due": {
            "task": "recsys.jobs.train",
            "schedule": crontab(minute=f"*/{TICK_MINUTES}"),
            "options": {"expires": TICK_MINUTES * 60 - 1},
        },
        "fold preferences": {"task": "recsys.jobs.preferences", "schedule": crontab(hour="2", minute="30")},
        "lists for everybody": {
            "task": "recsys.jobs.recommend_all",
            "schedule": crontab(hour="3", minute="0"),
            "kwargs": {"n_shards": n_shards},
        },
    }


def _shards(text: str) -> int:
    if text.isascii() and text.isdecimal() and 1 <= int(text) <= MOST_SHARDS:
        return int(text)
    raise SettingsError(f"LIST_SHARDS should be a whole number from 1 to {MOST_SHARDS}. Received: {shown(text)}.")


def read_configuration() -> dict[str, Any]:
    """Return the configuration by the environment and the settings in the current folder."""
    return configuration(os.environ, load_settings(os.environ, Path.cwd()))


app = Celery("recsys", include=["recsys.jobs.tasks"], set_as_current=False)
# Read when the app is first used, so that importing this module needs no settings.
app.add_defaults(read_configuration)
