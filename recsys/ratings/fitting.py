"""Fits by the library Surprise, and the simple predictions that stand beside them.

Surprise reads ratings user by user, in the order in which it first meets each user. For the same rows in another order,
its predictions differ by up to 0.75 stars. Here its input is made from `Ratings`, whose order depends on ids alone.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys.data.ids import IdMap
from recsys.errors import NotEnoughData, TrainingRefused
from recsys.ratings.model import RatingModel
from recsys.ratings.ratings import HIGHEST, LOWEST, Ratings

EPOCHS = 20
FACTORS = 100
LEARNING_RATE = 0.015
REGULARISATION = 0.1
SEED = 7
LEAST_RATINGS, LEAST_USERS, LEAST_ITEMS = 10, 2, 2  # with fewer there is nothing to factorise


def fit_factors(ratings: Ratings, *, epochs: int = EPOCHS, factors: int = FACTORS, seed: int = SEED) -> RatingModel:
    """Fit mean, biases and vectors by stochastic gradient descent.

    Args:
        ratings: What to learn from.
        epochs: Passes over all ratings.
        factors: The width of the vectors.
        seed: Of the first vectors.

    Raises:
        NotEnoughData: There are too few ratings, users or items.
        TrainingRefused: The fit diverged.
    """
    from surprise import SVD

    check_enough(ratings)
    algorithm = SVD(
        n_factors=factors,
        n_epochs=epochs,
        lr_all=LEARNING_RATE,
        reg_all=REGULARISATION,
        random_state=seed,
    )
    with np.errstate(all="ignore"):  # a fit that diverges is refused below
        algorithm.fit(_trainset(ratings))
    return _model(ratings, algorithm.bu, algorithm.bi, algorithm.pu, algorithm.qi)


def fit_biases(ratings: Ratings) -> RatingModel:
    """Fit mean and biases alone, by alternating least squares, with the errors of `fit_factors`."""
    from surprise import BaselineOnly

    check_enough(ratings)
    algorithm = BaselineOnly(verbose=False)
    algorithm.fit(_trainset(ratings))
    none = np.zeros((0, 0))
    return _model(ratings, algorithm.bu, algorithm.bi, none, none)


def mean_models(ratings: Ratings) -> dict[str, RatingModel]:
    """Return three models that predict means: of all ratings, of the user's, and of the item's."""
    users, items = IdMap(np.unique(ratings.users)), IdMap(np.unique(ratings.items))
    mean = float(ratings.values.mean())
    zeros = (np.zeros(len(users) + 1), np.zeros(len(items) + 1))
    by_user = _mean_of_each(users.indices(ratings.users), ratings.values - mean, len(users))
    by_item = _mean_of_each(items.indices(ratings.items), ratings.values - mean, len(items))
    empty = (np.zeros((len(users) + 1, 0), np.float32), np.zeros((len(items) + 1, 0), np.float32))
    return {
        "global mean": RatingModel(users, items, mean, *zeros, *empty),
        "user means": RatingModel(users, items, mean, by_user, zeros[1], *empty),
        "item means": RatingModel(users, items, mean, zeros[0], by_item, *empty),
    }


def check_enough(ratings: Ratings) -> None:
    """Refuse ratings that are too few to learn from.

    Raises:
        NotEnoughData: The message says what is lacking.
    """
    counts = {"ratings": len(ratings), "users": len(set(ratings.users)), "items": len(set(ratings.items))}
    least = {"ratings": LEAST_RATINGS, "users": LEAST_USERS, "items": LEAST_ITEMS}
    if any(counts[what] < n for what, n in least.items()):
        expected = ", ".join(f"{n} {what}" for what, n in least.items())
        received = ", ".join(f"{n} {what}" for what, n in counts.items())
        raise NotEnoughData(f"A model of ratings should have at least {expected}. Received: {received}.")


def _trainset(ratings: Ratings) -> Any:
    """Return Surprise's own form: dense indices, which rise in the order in which it meets them."""
    from surprise import Trainset

    (users, u), (items, i) = (np.unique(ids, return_inverse=True) for ids in (ratings.users, ratings.items))
    of_users: dict[int, list[tuple[int, float]]] = {row: [] for row in range(len(users))}
    of_items: dict[int, list[tuple[int, float]]] = {row: [] for row in range(len(items))}
    for user, item, stars in zip(u.tolist(), i.tolist(), ratings.values.tolist(), strict=True):
        of_users[user].append((item, stars))
        of_items[item].append((user, stars))
    scale, rows = (LOWEST, HIGHEST), (range(len(users)), range(len(items)))
    names = [dict(zip(numbers, numbers, strict=True)) for numbers in rows]
    return Trainset(of_users, of_items, len(users), len(items), len(ratings), scale, *names)


def _model(ratings: Ratings, *parts: NDArray[np.float64]) -> RatingModel:
    """Return a fit as a model, with a last row of zeros for the unknown."""
    users, items = IdMap(np.unique(ratings.users)), IdMap(np.unique(ratings.items))
    user_biases, item_biases, user_factors, item_factors = (np.asarray(part) for part in parts)
    model = RatingModel(
        users,
        items,
        float(ratings.values.mean()),
        np.append(user_biases, 0.0),
        np.append(item_biases, 0.0),
        _with_unknown(user_factors, len(users)),
        _with_unknown(item_factors, len(items)),
    )
    if not model.is_finite:
        raise TrainingRefused("A fit of ratings should be finite. Received: NaN or an infinity. It diverged.")
    return model


def _with_unknown(factors: NDArray[np.float64], n: int) -> NDArray[np.float32]:
    width = factors.shape[1]
    return np.concatenate([factors.reshape(n, width), np.zeros((1, width))]).astype(np.float32)


def _mean_of_each(rows: NDArray[np.int32], values: NDArray[np.float64], n: int) -> NDArray[np.float64]:
    """Return the mean of the values of each row, `(n + 1,)`; 0 where there is none."""
    counts = np.bincount(rows, minlength=n + 1)
    return np.bincount(rows, values, minlength=n + 1) / np.maximum(counts, 1)
