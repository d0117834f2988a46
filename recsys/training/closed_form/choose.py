"""What is solved in one go: item-item weights, transitions, factors, popularity; their few hyperparameters chosen on validation."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from recsys.data.dataset import Dataset
from recsys.evaluation.protocol import EvaluationSet, mean_average_precision
from recsys.features.features import NAMES, Features
from recsys.features.popularity import RECENT_HALF_LIFE_DAYS, popularities, popularity
from recsys.features.query import Arrays
from recsys.scorers.base import Scorer
from recsys.scorers.ensemble import LinearEnsemble
from recsys.scorers.item_item import EASE
from recsys.settings import Training
from recsys.training.closed_form.als import als
from recsys.training.closed_form.ease import ease
from recsys.training.closed_form.item_cf import item_cf
from recsys.training.closed_form.transitions import transitions

L2_GRID = (50.0, 200.0, 1000.0)  # of EASE, in interactions
REGULARIZATION_GRID = (20.0, 35.0, 60.0)  # of ALS; on ml-1m without history, MAP@10 on validation: 0.361, 0.370, 0.353
ALPHA = 3.3  # confidence of an observed pair against 1 of an unobserved one (Hu, Koren & Volinsky 2008)


@dataclass(frozen=True)
class ClosedForms:
    """The hyperparameters of everything that is solved in one go.

    Attributes:
        l2: Of EASE.
        regularization: Of ALS.
    """

    l2: float = 200.0
    regularization: float = 20.0


def choose_closed_forms(
    data: Dataset, evaluation_set: EvaluationSet, options: Training
) -> tuple[ClosedForms, list[dict[str, Any]]]:
    """Return the hyperparameters with the best MAP@10 on an exam, and every value tried.

    Args:
        data: The events before the exam.
        evaluation_set: Of the validation part.
        options: Holds the width of the factors and the seed.
    """

    def tried(name: str, grid: Sequence[float], solved: Callable[[float], Scorer]) -> list[dict[str, Any]]:
        return [
            {"choice": name, "value": value, "map10": mean_average_precision(solved(value), evaluation_set)}
            for value in grid
        ]

    solved = partial(fit_factors, data, options.factors, options=options)
    l2 = tried("EASE l2", L2_GRID, lambda value: EASE.from_arrays(fit_ease(data, value)))
    factors = tried("ALS regularization", REGULARIZATION_GRID, lambda value: _factors_alone(solved(value)))
    best = [max(trials, key=lambda trial: float(trial["map10"]))["value"] for trials in (l2, factors)]
    return ClosedForms(*best), [*l2, *factors]


def fit_ease(data: Dataset, l2: float) -> Arrays:
    """Return the arrays of EASE."""
    return ease(data.users, data.items, data.weights, data.n_users, data.n_items, l2)


def fit_factors(data: Dataset, dim: int, regularization: float, options: Training) -> Arrays:
    """Return user and item factors."""
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
    """Return the arrays of every baseline but the blend, and the seconds that each one took."""
    recently = popularity(data.items, data.weights, data.timestamps, data.n_items, RECENT_HALF_LIFE_DAYS)
    recent, plain = (
        {"popularity": recently},
        {"popularity": popularity(data.items, data.weights, data.timestamps, data.n_items)},
    )
    baselines: dict[str, Arrays] = {}
    seconds: dict[str, float] = {}
    solve: Mapping[str, Callable[[], Arrays]] = {
        "ease": lambda: fit_ease(data, hyperparameters.l2),
        "item_cf": lambda: item_cf(data.users, data.items, data.weights, data.n_users, data.n_items),
        "user_frequency_decayed": lambda: recent,
        "user_frequency": lambda: plain,
        "popularity_recent": lambda: recent,
        "popularity": lambda: plain,
    }
    for name, solved in solve.items():
        since = time.perf_counter()
        baselines[name] = solved()
        seconds[name] = time.perf_counter() - since
    return baselines, seconds


def fit_features(data: Dataset, neighbours: Arrays, hyperparameters: ClosedForms, options: Training) -> Arrays:
    """Return the arrays of the signals that no baseline has; those of EASE are shared with it.

    Args:
        data: The events to learn from.
        neighbours: Arrays of EASE.
        hyperparameters: Hyperparameters.
        options: Holds the width of the factors and the seed.
    """
    following = transitions(data.users, data.items, data.weights, data.timestamps, data.n_items)
    return {
        **{f"transitions/{name}": array for name, array in following.items()},
        **fit_factors(data, options.factors, hyperparameters.regularization, options),
        "popularity": popularities(data.items, data.weights, data.timestamps, data.n_items),
    }


def _factors_alone(factors: Arrays) -> Scorer:
    """Return a scorer of p_u·q_i and nothing else."""
    n_items = len(factors["item_factors"])
    nothing: Arrays = {
        "starts": np.zeros(n_items + 1, np.int64),
        "neighbours": np.zeros(0, np.int32),
        "similarities": np.zeros(0, np.float32),
    }
    tables = {f"{table}/{name}": array for table in ("ease", "transitions") for name, array in nothing.items()}
    features = Features.from_arrays({**tables, **factors, "popularity": np.zeros((4, n_items), np.float32)})
    return LinearEnsemble(features, np.tile(np.array([name == "factors" for name in (*NAMES, "")], np.float32), (2, 1)))
