"""All fits with a closed-form solution, the choice of their hyperparameters on validation, and popularity.

They give the arrays of the baselines and of the features.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys.data.dataset import Dataset
from recsys.evaluation.protocol import EvaluationSet, mean_average_precision
from recsys.features.features import NAMES, Features
from recsys.features.history import SECONDS_PER_DAY
from recsys.features.query import Arrays
from recsys.scorers.base import Scorer
from recsys.scorers.ensemble import LinearEnsemble
from recsys.scorers.item_item import EASE
from recsys.settings import Training
from recsys.training.closed_form.als import als
from recsys.training.closed_form.ease import ease
from recsys.training.closed_form.item_cf import item_cf
from recsys.training.closed_form.transitions import transitions

L2_GRID = (50.0, 200.0, 1000.0)  # of EASE, in users
REGULARIZATION_GRID = (20.0, 35.0, 60.0)  # of ALS; MAP@10 of ALS alone on ml-1m's validation: 0.361, 0.370, 0.353
ALPHA = 3.3  # confidence of an observed pair; that of other pairs is 1 (Hu, Koren & Volinsky 2008)
RECENT_HALF_LIFE_DAYS = 15.0  # of the baselines `popularity_recent` and `user_frequency_decayed`
POPULARITY_HALF_LIVES = (0.0, 60.0, 15.0, 7.0)  # days, of the features `POPULARITIES`; 0 means no decay


@dataclass(frozen=True)
class ClosedForms:
    """The hyperparameters of the fits with a closed-form solution.

    Attributes:
        l2: Regularization of EASE, in users.
        regularization: Regularization of ALS.
    """

    l2: float = 200.0
    regularization: float = 20.0


def choose_closed_forms(
    data: Dataset, evaluation_set: EvaluationSet, options: Training
) -> tuple[ClosedForms, list[dict[str, Any]]]:
    """Return the hyperparameters with the best MAP@10 on validation, and all trials.

    Args:
        data: The events before the validation cut.
        evaluation_set: The evaluation set of the validation part.
        options: Holds the width of the factors and the seed.

    Returns:
        The hyperparameters; the trials as JSON objects, with the keys `choice`, `value` and `map10`.
    """

    def trials_of(name: str, grid: Sequence[float], fit_scorer: Callable[[float], Scorer]) -> list[dict[str, Any]]:
        return [
            {"choice": name, "value": value, "map10": mean_average_precision(fit_scorer(value), evaluation_set)}
            for value in grid
        ]

    fit_als = partial(fit_factors, data, options.factors, options=options)
    l2 = trials_of("EASE l2", L2_GRID, lambda value: EASE.from_arrays(fit_ease(data, value)))
    factors = trials_of("ALS regularization", REGULARIZATION_GRID, lambda value: _als_scorer(fit_als(value)))
    best = [max(trials, key=lambda trial: float(trial["map10"]))["value"] for trials in (l2, factors)]
    return ClosedForms(*best), [*l2, *factors]


def fit_ease(data: Dataset, l2: float) -> Arrays:
    """Return the arrays of EASE; see `ease`."""
    return ease(data.users, data.items, data.weights, data.n_users, data.n_items, l2)


def fit_factors(data: Dataset, dim: int, regularization: float, options: Training) -> Arrays:
    """Return the user and item vectors of ALS, `dim` wide; see `als`."""
    sizes = data.n_users, data.n_items
    return als(
        data.users,
        data.items,
        data.weights,
        *sizes,
        dim=dim,
        regularization=regularization,
        alpha=ALPHA,
        seed=options.seed,
    )


def fit_baselines(data: Dataset, hyperparameters: ClosedForms) -> tuple[dict[str, Arrays], dict[str, float]]:
    """Return the arrays of each baseline except the linear ensemble, and the seconds that each fit took."""
    columns = data.items, data.weights, data.timestamps, data.n_items
    recent, plain = ({"popularity": popularity(*columns, days)} for days in (RECENT_HALF_LIFE_DAYS, 0))
    baselines: dict[str, Arrays] = {}
    seconds: dict[str, float] = {}
    fits: Mapping[str, Callable[[], Arrays]] = {
        "ease": lambda: fit_ease(data, hyperparameters.l2),
        "item_cf": lambda: item_cf(data.users, data.items, data.weights, data.n_users, data.n_items),
        "user_frequency_decayed": lambda: recent,
        "user_frequency": lambda: plain,
        "popularity_recent": lambda: recent,
        "popularity": lambda: plain,
    }
    for name, fit in fits.items():
        started = time.perf_counter()
        baselines[name] = fit()
        seconds[name] = time.perf_counter() - started
    return baselines, seconds


def fit_features(data: Dataset, neighbours: Arrays, hyperparameters: ClosedForms, options: Training) -> Arrays:
    """Return the arrays of the features, except those of EASE, which the baseline `ease` holds already.

    Args:
        data: The events to learn from.
        neighbours: The arrays of EASE; not used.
        hyperparameters: Holds the regularization of ALS.
        options: Holds the width of the factors and the seed.
    """
    following = transitions(data.users, data.items, data.weights, data.timestamps, data.n_items)
    return {
        **{f"transitions/{name}": array for name, array in following.items()},
        **fit_factors(data, options.factors, hyperparameters.regularization, options),
        "popularity": popularities(data.items, data.weights, data.timestamps, data.n_items),
    }


def popularity(
    items: NDArray[np.int32],
    weights: NDArray[np.float32],
    timestamps: NDArray[np.int64],
    n_items: int,
    half_life_days: float = 0,
) -> NDArray[np.float32]:
    """Return the sum of positive weights of each item's events, decayed with time.

    Args:
        items: `(n,)` int32.
        weights: `(n,)` float32.
        timestamps: `(n,)` int64, seconds since 1970.
        n_items: The number of items.
        half_life_days: Half-life in days before the newest event; 0 means no decay.

    Returns:
        `(n_items,)` float32.
    """
    counted = np.maximum(weights, 0).astype(np.float64)
    if half_life_days and len(items):
        counted *= 0.5 ** ((timestamps.max() - timestamps) / SECONDS_PER_DAY / half_life_days)
    return np.bincount(items, counted, n_items).astype(np.float32)


def popularities(
    items: NDArray[np.int32], weights: NDArray[np.float32], timestamps: NDArray[np.int64], n_items: int
) -> NDArray[np.float32]:
    """Return log(1 + popularity) of each item, for each half-life of `POPULARITY_HALF_LIVES`.

    Args:
        items: `(n,)` int32.
        weights: `(n,)` float32.
        timestamps: `(n,)` int64, seconds since 1970.
        n_items: The number of items.

    Returns:
        `(4, n_items)` float32.
    """
    return np.stack([np.log1p(popularity(items, weights, timestamps, n_items, days)) for days in POPULARITY_HALF_LIVES])


def _als_scorer(factors: Arrays) -> Scorer:
    """Return a scorer of the dot product of ALS alone."""
    n_items = len(factors["item_factors"])
    nothing: Arrays = {
        "starts": np.zeros(n_items + 1, np.int64),
        "neighbours": np.zeros(0, np.int32),
        "similarities": np.zeros(0, np.float32),
    }
    matrices = {f"{matrix}/{name}": array for matrix in ("ease", "transitions") for name, array in nothing.items()}
    features = Features.from_arrays({**matrices, **factors, "popularity": np.zeros((4, n_items), np.float32)})
    weights = np.array([name == "factors" for name in (*NAMES, "")], np.float32)
    return LinearEnsemble(features, np.tile(weights, (2, 1)))
