"""From ratings to a published model: a cut in time, errors beside simple predictions, a gate, a fit of all, a version.

Models of ratings are versions of `recsys.artifacts` in a folder of their own, with checksums and one active version.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np

from recsys.artifacts import (
    Draft,
    activate,
    append_history,
    current,
    publisher_lock,
    remove_version,
    version_names,
)
from recsys.data.splitting import cut_time
from recsys.errors import NotEnoughData, TrainingRefused
from recsys.errors.records import Record
from recsys.lifecycle.lock import training_lock
from recsys.ratings.fitting import EPOCHS, SEED, fit_biases, fit_factors, mean_models
from recsys.ratings.model import RatingModel, Stars
from recsys.ratings.ratings import Ratings

FOLDER = "ratings"  # of the folder of all versions; a shop's models of ratings lie there
FILE = "ratings.h5"
KIND = "ratings"
KEEP = 5  # the newest versions that stay; the active one and those that are read stay, too
TEST_QUANTILE = 0.8  # of the ratings are before the cut
FACTORS, BIASES = "biased factorisation", "biases alone"
Predict = Callable[[Ratings, Ratings], Stars]  # predicts the stars of the second, from the first


class Errors(Record):
    """How far predicted stars are from given ones.

    Attributes:
        rmse: The root of the mean squared error, in stars.
        mae: The mean absolute error, in stars.
    """

    rmse: float
    mae: float

    @classmethod
    def of(cls, predicted: Stars, given: Stars) -> Errors:
        """Return the errors of predictions; both are `(n,)` with n above 0."""
        gaps = predicted - given
        return cls(float(np.sqrt(np.mean(gaps**2))), float(np.mean(np.abs(gaps))))


class Comparison(Record):
    """Errors on the ratings after the cut.

    Attributes:
        cut: The moment of the cut, in seconds since 1970.
        n_before: The number of ratings before it.
        n_after: The number of ratings after it.
        n_known: How many of these have a user and an item that were rated before.
        every: Errors on all ratings after the cut, by the name of the prediction.
        known: Errors on those of known users and items, on which the gate decides.
    """

    cut: int
    n_before: int
    n_after: int
    n_known: int
    every: Mapping[str, Errors]
    known: Mapping[str, Errors]

    def as_json(self) -> dict[str, Any]:
        """Return the comparison for a manifest."""
        counts = {"cut": self.cut, "n_before": self.n_before, "n_after": self.n_after, "n_known": self.n_known}
        tables = {"every": self.every, "known": self.known}
        return counts | {
            part: {name: {"rmse": errors.rmse, "mae": errors.mae} for name, errors in table.items()}
            for part, table in tables.items()
        }


def train_ratings(
    ratings: Ratings,
    models_dir: Path,
    *,
    now: int,
    epochs: int = EPOCHS,
    seed: int = SEED,
    others: Mapping[str, Predict] | None = None,
    notes: Mapping[str, Any] | None = None,
    tell: Callable[[Comparison], None] = lambda comparison: None,
    is_locked: bool = False,
) -> RatingModel:
    """Compare on a cut in time, fit all ratings, and publish what beats the biases alone. One training runs at a time.

    Args:
        ratings: All ratings.
        models_dir: The folder of models of ratings, created where missing.
        now: Seconds since 1970.
        epochs: Passes of the fit.
        seed: Of the first vectors.
        others: More predictions for the comparison, by name.
        notes: Kept in the manifest, such as the newest row that was read.
        tell: Receives the comparison before the gate decides.
        is_locked: Whether the caller has the training lock, such as since before it has read the ratings.

    Returns:
        The published model, with its name.

    Raises:
        AlreadyTraining: Another process trains in this folder.
        NotEnoughData: There is nothing to learn from, or nothing to compare on.
        TrainingRefused: The factorisation does not beat the biases; the active version stays.
    """
    with nullcontext() if is_locked else training_lock(models_dir):
        try:
            comparison = compare(ratings, epochs=epochs, seed=seed, others=others)
            tell(comparison)
            pass_gate(comparison)
        except (NotEnoughData, TrainingRefused) as error:
            append_history(models_dir, {"kind": KIND, "at": now, "published": None, "reason": str(error)})
            raise
        model = fit_factors(ratings, epochs=epochs, seed=seed)
        name = publish_model(model, models_dir, now=now, notes={**(notes or {}), **_facts(ratings, comparison, epochs)})
        append_history(models_dir, {"kind": KIND, "at": now, "published": name, **comparison.as_json()})
    return load_model(models_dir)


def compare(
    ratings: Ratings, *, epochs: int = EPOCHS, seed: int = SEED, others: Mapping[str, Predict] | None = None
) -> Comparison:
    """Return the errors of all predictions after a cut in time.

    Raises:
        NotEnoughData: There are too few ratings before the cut, or none after it by somebody known of something known.
    """
    if not len(ratings):
        raise NotEnoughData("A model of ratings should have ratings to learn from. Received: none.")
    cut = cut_time(ratings.timestamps, TEST_QUANTILE)
    before, after = ratings.take(ratings.timestamps < cut), ratings.take(ratings.timestamps >= cut)
    if not len(before):
        raise NotEnoughData(
            "Ratings should have different times, by which they are cut. Received: one moment for the first "
            f"{TEST_QUANTILE:.0%} of them."
        )
    models = {
        **mean_models(before),
        BIASES: fit_biases(before),
        FACTORS: fit_factors(before, epochs=epochs, seed=seed),
    }
    predicted = {name: model.predict(after.users, after.items) for name, model in models.items()}
    predicted |= {name: predict(before, after) for name, predict in (others or {}).items()}
    errors = {name: Errors.of(stars, after.values) for name, stars in predicted.items()}
    biases = models[BIASES]
    known = (biases.user_rows(after.users) < len(biases.users)) & (biases.item_rows(after.items) < len(biases.items))
    of_known = {name: Errors.of(stars[known], after.values[known]) for name, stars in predicted.items() if known.any()}
    return Comparison(cut, len(before), len(after), int(known.sum()), errors, of_known)


def pass_gate(comparison: Comparison) -> None:
    """Refuse what does not beat the biases alone.

    Where user or item is unknown, there are only biases. The gate therefore looks at the other ratings.

    Raises:
        NotEnoughData: There are no other ratings.
        TrainingRefused: The factorisation is not better.
    """
    if not comparison.known:
        raise NotEnoughData(
            f"Of the {comparison.n_after} newest ratings, some should be by users and of items that were rated before. "
            "Received: none."
        )
    ours, theirs = comparison.known[FACTORS].rmse, comparison.known[BIASES].rmse
    if not ours < theirs:
        raise TrainingRefused(
            f"The factorisation should have a smaller RMSE than the biases alone, {theirs:.4f}. Received: {ours:.4f}. "
            "The active version stays."
        )


def publish_model(model: RatingModel, models_dir: Path, *, now: int, notes: Mapping[str, Any]) -> str:
    """Write a model as a version, make it the active one, and remove old versions; returns its name.

    Args:
        model: What serves from now on.
        models_dir: The folder of models of ratings.
        now: The version's time, in seconds since 1970.
        notes: Kept in the manifest; JSON only.

    Raises:
        RecsysError: The disk is full or not writable, or another process publishes.
    """
    with Draft.create(models_dir, now) as draft:
        draft.write_arrays(FILE, model.arrays())
        name = draft.publish({"kind": KIND, **notes})
        activate(models_dir, name)
    with publisher_lock(models_dir):
        for old in version_names(models_dir)[:-KEEP]:
            remove_version(models_dir, old)
    return name


def load_model(models_dir: Path) -> RatingModel:
    """Return the active model. Its files are checked against their checksums.

    Raises:
        NoModel: None is published.
        ModelRefused: The version is damaged.
    """
    with current(models_dir) as version:
        return RatingModel.from_arrays(version.arrays(FILE), version.name)


def active_manifest(models_dir: Path) -> Mapping[str, Any]:
    """Return the manifest of the active version, with the notes that it was published with.

    Raises:
        NoModel: None is published.
        ModelRefused: The version is damaged.
    """
    with current(models_dir) as version:
        return version.manifest


def _facts(ratings: Ratings, comparison: Comparison, epochs: int) -> dict[str, Any]:
    digest = hashlib.sha256(ratings.values.tobytes() + ratings.timestamps.tobytes())
    for ids in (ratings.users, ratings.items):
        digest.update(repr(ids.tolist()).encode())
    return {
        "n_ratings": len(ratings),
        "data_until": int(ratings.timestamps.max()),
        "data_hash": digest.hexdigest(),
        "epochs": epochs,
        "comparison": comparison.as_json(),
    }
