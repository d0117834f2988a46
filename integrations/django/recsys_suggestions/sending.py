"""Sending tasks from the site and from tasks: where the broker is away, they wait in the database."""

from __future__ import annotations

import logging
from typing import Any

from celery import Task, current_app
from kombu.exceptions import OperationalError

from recsys_suggestions.models import WaitingTask

CONNECT_S = 2  # seconds; a page of the site waits no longer for a broker
log = logging.getLogger(__name__)


def enqueue(task: Task, **kwargs: Any) -> bool:
    """Send a task; without a broker, keep it and log one line.

    Args:
        task: A task of Celery.
        kwargs: Its arguments, which JSON can hold.

    Returns:
        Whether the broker has it.
    """
    if _send(task, kwargs):
        return True
    WaitingTask.objects.create(task=task.name, kwargs=kwargs)
    log.error("The broker is away; %s waits in the database and is sent when it is back.", task.name)
    return False


def send_waiting() -> int:
    """Send what waits, the oldest first, until the broker refuses; returns how many were sent."""
    n_sent = 0
    for waiting in WaitingTask.objects.order_by("pk"):
        task = current_app.tasks.get(waiting.task)
        if task is None:
            log.error("The waiting task %s is no task of this site; it was dropped.", waiting.task)
        elif not _send(task, waiting.kwargs, task_id=f"waiting-{waiting.pk}"):
            break
        else:
            n_sent += 1
        waiting.delete()
    return n_sent


def _send(task: Task, kwargs: dict[str, Any], **options: Any) -> bool:
    """Send a task over a connection of its own: that of Celery's pool would wait for the broker without an end."""
    try:
        with task.app.connection_for_write() as connection:
            connection.connect_timeout = CONNECT_S
            connection.ensure_connection(max_retries=1, interval_start=0, timeout=CONNECT_S)
            task.apply_async(kwargs=kwargs, connection=connection, retry=False, **options)
    except (OperationalError, ConnectionError, TimeoutError):
        return False
    return True
