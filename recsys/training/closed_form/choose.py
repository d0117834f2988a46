"""All fits with a closed-form solution, the choice of their hyperparameters on validation, and popularity.

They give the arrays of the baselines and of the features.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from recsys.data.dataset import Dataset
from recsys.evaluation.protocol import EvaluationSet
from recsys.evaluation.results import mean_average_precision
from recsys.features.content import Content
from recsys.features.features import NAMES, Features
from recsys.features.query import SECONDS_PER_DAY, Arrays, Floats
from recsys.scorers.base import Scorer
from recsys.scorers.item_item import EASE, ItemCF
from recsys.scorers.layers import LinearEnsemble
from recsys.settings import Training
from recsys.training.closed_form.als import als
from recsys.training.closed_form.co_occurrence import user_item_matrix
from recsys.training.closed_form.content import similarities
from recsys.training.closed_form.ease import ease, ease_by_l2
from recsys.training.closed_form.item_cf import MIN_CO_OCCURRENCE, item_cf
from recsys.training.closed_form.transitions import transitions

L2_GRID = (50.0, 200.0, 1000.0)  # of EASE, in users
REGULARIZATION_GRID = (20.0, 35.0, 60.0)  # of ALS; MAP@10 of ALS alone on ml-1m's validation: 0.361, 0.370, 0.353
MIN_CO_OCCURRENCE_GRID = (2.0, 5.0)  # of item-CF, in common users
RECENT_HALF_LIFE_DAYS = 15.0  # of the baselines `popularity_recent` and `user_frequency_decayed`
Kept = dict[str, Arrays]  # the arrays of `ease`, `als` and `item_cf` with the hyperparameters that were chosen
POPULARITY_HALF_LIVES = (0.0, 60.0, 15.0, 7.0)  # days, of the features `POPULARITIES`; 0 means no decay


def choose_l2(
    data: Dataset, evaluation_set: EvaluationSet, *, kept: Kept | None = None
) -> tuple[float, list[dict[str, Any]]]:
    """Return the regularization of EASE with the best MAP@10 on validation, and all trials.

    Args:
        data: The events before the validation cut.
        evaluation_set: The evaluation set of the validation part.
        kept: Receives the arrays of the best fit, so that nobody has to solve it again.

    Returns:
        The value; the trials as JSON objects, with the keys `choice`, `value` and `map10`.
    """
    fits, best = ease_by_l2(user_item_matrix(data), L2_GRID), {} if kept is None else kept
    return _best("EASE l2", L2_GRID, fits, EASE.from_arrays, evaluation_set, "ease", best)


def choose_regularization(
    data: Dataset, evaluation_set: EvaluationSet, options: Training, *, kept: Kept | None = None, goes_on: bool = False
) -> tuple[float, list[dict[str, Any]]]:
    """Return the regularization of ALS with the best MAP@10 on validation, and all trials, as `choose_l2` does.

    Args:
        data: See `choose_l2`.
        evaluation_set: See `choose_l2`.
        options: Hold the width of the vectors and the seed.
        kept: See `choose_l2`.
        goes_on: Whether later fits go on from this one. Then each trial starts from the one before it, which takes a
            third of the time. Otherwise it ends near where a later fit from noise will end, as weights of sums expect.
    """
    matrix, best = user_item_matrix(data), {} if kept is None else kept

    def fits() -> Iterator[Arrays]:
        start = None
        for regularization in REGULARIZATION_GRID:
            factors = als(matrix, options.factors, regularization, seed=options.seed, start=start)
            start = factors["item_factors"] if goes_on else None
            yield factors

    return _best("ALS regularization", REGULARIZATION_GRID, fits(), _als_scorer, evaluation_set, "als", best)


def choose_min_co_occurrence(
    data: Dataset, evaluation_set: EvaluationSet, options: Training, *, kept: Kept | None = None
) -> tuple[float, list[dict[str, Any]]]:
    """Return the least number of common users of item-CF's neighbours, and all trials, as `choose_l2` does.

    A number in the settings is the only one that is tried.
    """
    matrix = user_item_matrix(data)
    grid = (float(options.min_co_occurrence),) if options.min_co_occurrence else MIN_CO_OCCURRENCE_GRID
    fits, best = (item_cf(matrix, min_co_occurrence=value) for value in grid), {} if kept is None else kept
    return _best("item-CF min co-occurrence", grid, fits, ItemCF.from_arrays, evaluation_set, "item_cf", best)


def _best(
    choice: str,
    grid: Sequence[float],
    fits: Iterable[Arrays],
    scorer: Callable[[Arrays], Scorer],
    evaluation_set: EvaluationSet,
    name: str,
    kept: Kept,
) -> tuple[float, list[dict[str, Any]]]:
    """Return the value with the best MAP@10, and all trials; the arrays of the best fit are kept under a name."""
    scores: list[float] = []
    for arrays in fits:
        score = mean_average_precision(scorer(arrays), evaluation_set)
        if not scores or score > max(scores):
            kept[name] = arrays
        scores.append(score)
    trials = [{"choice": choice, "value": value, "map10": score} for value, score in zip(grid, scores, strict=True)]
    return grid[int(np.argmax(scores))], trials


def fit_baselines(
    data: Dataset, l2: float, min_co_occurrence: float = MIN_CO_OCCURRENCE, *, kept: Kept | None = None
) -> dict[str, Arrays]:
    """Return the arrays of each baseline except the linear ensemble.

    Args:
        data: The events to learn from.
        l2: Regularization of EASE, in users.
        min_co_occurrence: The least number of common users of item-CF's neighbours.
        kept: Fits with these hyperparameters that choosing has kept, which are not solved again.
    """
    matrix, solved = user_item_matrix(data), kept or {}
    recent, plain = ({"popularity": popularity(data, days)} for days in (RECENT_HALF_LIFE_DAYS, 0))
    return {
        "ease": solved.get("ease") or ease(matrix, l2),
        "item_cf": solved.get("item_cf") or item_cf(matrix, min_co_occurrence=min_co_occurrence),
        "user_frequency_decayed": recent,
        "user_frequency": plain,
        "popularity_recent": recent,
        "popularity": plain,
    }


def fit_features(
    data: Dataset,
    regularization: float,
    options: Training,
    *,
    kept: Kept | None = None,
    start: Floats | None = None,
    content: Content | None = None,
) -> Arrays:
    """Return the arrays of the features, except those of EASE, which the baseline `ease` holds already.

    Args:
        data: The events to learn from.
        regularization: Of ALS.
        options: Holds the width of the factors and the seed.
        kept: Fits with these hyperparameters that choosing has kept, which are not solved again.
        start: `(n_items, factors)` float32, item vectors that ALS goes on from, as `als` takes them.
        content: The descriptions of the items; None leaves the feature `content` out.
    """
    matrices, solved = {"transitions": transitions(data)}, kept or {}
    if content is not None and len(content.values):
        matrices["content"] = similarities(content)
    return {
        **{f"{key}/{name}": array for key, arrays in matrices.items() for name, array in arrays.items()},
        **(
            solved.get("als")
            or als(user_item_matrix(data), options.factors, regularization, seed=options.seed, start=start)
        ),
        "popularity": popularities(data),
    }


def popularity(data: Dataset, half_life_days: float = 0) -> Floats:
    """Return the sum of positive weights of each item's events, decayed with time.

    Args:
        data: The events.
        half_life_days: Half-life in days before the newest event; 0 means no decay.

    Returns:
        `(n_items,)` float32.
    """
    counted = np.maximum(data.weights, 0).astype(np.float64)
    if half_life_days and len(data):
        counted *= 0.5 ** ((data.timestamps.max() - data.timestamps) / SECONDS_PER_DAY / half_life_days)
    return np.bincount(data.items, counted, data.n_items).astype(np.float32)


def popularities(data: Dataset) -> Floats:
    """Return log(1 + popularity) for each half-life of `POPULARITY_HALF_LIVES`, `(4, n_items)` float32."""
    return np.stack([np.log1p(popularity(data, days)) for days in POPULARITY_HALF_LIVES])


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
