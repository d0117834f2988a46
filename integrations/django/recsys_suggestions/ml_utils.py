"""The ratings of the site as arrays, and the model of them: `recsys.ratings` does the work."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from recsys.artifacts import current_name
from recsys.errors import NoModel, NotEnoughData
from recsys.lifecycle.lock import training_lock
from recsys.ratings.fitting import EPOCHS
from recsys.ratings.model import RatingModel
from recsys.ratings.ratings import Ratings, clean_ratings
from recsys.ratings.training import active_manifest, publish_model, train_ratings
from recsys.ratings.training import load_model as load_ratings_model
from recsys_suggestions.apps import models_dir
from recsys_suggestions.models import Rating, product_type

COLUMNS = ("user_id", "object_id", "rating", "timestamp")
_loaded: dict[str, RatingModel] = {}  # by version; one at a time


def export_ratings_dataset() -> list[dict[str, Any]]:
    """Return all active ratings as dictionaries with the keys of `COLUMNS`, in a total order.

    Keys are texts, those of users as those of products, so that 7 and "7" can never be two users.
    """
    rows = (
        Rating.objects.filter(active=True, content_type=product_type())
        .order_by("user_id", "object_id", "pk")
        .values_list("user_id", "object_id", "value", "created_at")
        .iterator(chunk_size=10_000)
    )
    return [
        {"user_id": str(user), "object_id": item, "rating": value, "timestamp": int(moment.timestamp())}
        for user, item, value, moment in rows
    ]


def get_data_loader(dataset: Sequence[dict[str, Any]] | None = None) -> Ratings:
    """Return a dataset as arrays that can be learned from; columns count by their names.

    Args:
        dataset: Rows with the keys of `COLUMNS`; those of `export_ratings_dataset` by default.
    """
    rows = export_ratings_dataset() if dataset is None else dataset
    ratings, _ = clean_ratings(*([row[name] for row in rows] for name in COLUMNS))
    return ratings


def train_surprise_model(n_epochs: int = EPOCHS, *, task: str | None = None, least_new: int = 0) -> RatingModel:
    """Train on all active ratings, and publish the model if it beats the biases alone.

    New ratings are counted, and all are read, within the training lock. Of two trainings at once, the second therefore
    ends at the lock, or sees what the first one has published.

    Args:
        n_epochs: Passes over the ratings.
        task: The id of the Celery task that trains, which the version keeps.
        least_new: The least ratings that the active model has not seen.

    Raises:
        NotEnoughData: Fewer ratings are new.
        RecsysError: `recsys.ratings.training.train_ratings` says which and why.
    """
    folder = models_dir()
    with training_lock(folder):
        if (n_new := count_new_ratings()) < least_new:
            raise NotEnoughData(f"{n_new} new ratings, fewer than MIN_NEW_RATINGS ({least_new})")
        notes = {"newest_row": newest_row(), "task": task}  # before the rows are read: a later one counts as new
        ratings = get_data_loader()
        return train_ratings(ratings, folder, now=int(time.time()), epochs=n_epochs, notes=notes, is_locked=True)


def export_model(model: RatingModel) -> str:
    """Write a model as arrays into a version with checksums, make it the active one, and return its name."""
    return publish_model(model, models_dir(), now=int(time.time()), notes={"newest_row": newest_row(), "task": None})


def load_model() -> RatingModel:
    """Return the active model. A process reads each version once.

    Raises:
        NoModel: None is published.
        ModelRefused: The version is damaged.
    """
    name = current_name(models_dir())
    if name not in _loaded:
        model = load_ratings_model(models_dir())
        _loaded.clear()
        _loaded[model.name] = model
        return model
    return _loaded[name]


def newest_row() -> int:
    """Return the key of the newest rating; 0 where there is none."""
    return Rating.objects.order_by("-pk").values_list("pk", flat=True).first() or 0


def count_new_ratings() -> int:
    """Return how many active ratings the active model has not seen."""
    try:
        seen = active_manifest(models_dir()).get("newest_row", 0)
    except NoModel:
        seen = 0
    return Rating.objects.filter(pk__gt=seen, active=True, content_type=product_type()).count()


def trained_by(task: str | None) -> bool:
    """Return whether the active model was published by that task."""
    try:
        return task is not None and active_manifest(models_dir()).get("task") == task
    except NoModel:
        return False
