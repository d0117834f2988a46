"""The tasks: train, then predict page by page.

A worker that is killed loses no task: a message is acknowledged after its task, and returned if the child process that
ran it is lost.
"""

from __future__ import annotations

from typing import Any
from uuid import uuid4

from celery import Task, shared_task
from django.db import InterfaceError, OperationalError

from recsys.errors import AlreadyTraining, NoModel, NotEnoughData, TrainingRefused
from recsys_suggestions import ml_utils
from recsys_suggestions.apps import option
from recsys_suggestions.predicting import predict_page
from recsys_suggestions.sending import enqueue, send_waiting

SAFE = {
    "acks_late": True,
    "reject_on_worker_lost": True,
    "autoretry_for": (OperationalError, InterfaceError),  # the database is away or locked
    "retry_backoff": True,
    "max_retries": 8,
}


@shared_task(bind=True, name="recsys_suggestions.train_surprise_model_task", **SAFE)
def train_surprise_model_task(self: Task, n_epochs: int = 20) -> dict[str, Any]:
    """Train and publish, then start the predictions, unless too few ratings are new.

    Returns:
        `published`: The version's name; None where there is none.
        `reason`: Why there is none.
    """
    if not ml_utils.trained_by(self.request.id):  # else it was killed between publication and prediction
        try:
            ml_utils.train_surprise_model(n_epochs, task=self.request.id, least_new=option("MIN_NEW_RATINGS"))
        except (AlreadyTraining, NotEnoughData, TrainingRefused) as error:
            return {"published": None, "reason": str(error)}
    enqueue(batch_users_prediction_task, run=self.request.id)
    return {"published": ml_utils.load_model().name, "reason": ""}


@shared_task(bind=True, name="recsys_suggestions.batch_users_prediction_task", **SAFE)
def batch_users_prediction_task(
    self: Task,
    users_ids: list[Any] | None = None,
    start_page: int = 0,
    offset: int = 50,
    max_pages: int = 1000,
    run: str | None = None,
) -> dict[str, Any]:
    """Predict one page of products for all users, then send the next page with the same arguments.

    Args:
        self: The task.
        users_ids: Keys of the users; None for all.
        start_page: The page's number, from 0.
        offset: Products on a page.
        max_pages: The most pages of the run.
        run: The run's key; the id of the first task by default, so that a second delivery goes on with the same run.

    Returns:
        The run, the number of suggestions written, and why it stopped where it did.
    """
    message = self.request.id or uuid4().hex
    try:
        result = predict_page(run or message, message, users_ids, start_page, offset, max_pages)
    except NoModel as error:
        return {"run": run, "n_written": 0, "stopped": str(error)}
    if result.next_page is not None:
        enqueue(
            batch_users_prediction_task,
            users_ids=users_ids,
            start_page=result.next_page,
            offset=offset,
            max_pages=max_pages,
            run=result.run,
        )
    return {"run": result.run, "n_written": result.n_written, "stopped": result.stopped}


@shared_task(name="recsys_suggestions.send_waiting_task", ignore_result=True)
def send_waiting_task() -> None:
    """Send the tasks that were asked for while the broker was away. That it runs shows that the broker is back."""
    send_waiting()
