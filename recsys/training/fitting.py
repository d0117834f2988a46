"""Everything of the registry, fitted on one data set."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from recsys.dataset import Dataset
from recsys.errors import TrainingRefused
from recsys.networks import NETWORKS, Epoch, Network, fit
from recsys.scorers import BASELINES, REGISTRY, Arrays, Query, Scorer
from recsys.scorers.item_cf import item_cf
from recsys.scorers.popularity import RECENT_HALF_LIFE_DAYS, popularity
from recsys.settings import Training

OwnWeights = Mapping[str, NDArray[np.float32]]


def fit_networks(
    data: Dataset, options: Training, report: Callable[[Epoch], None], own_weights: OwnWeights | None = None
) -> dict[str, Network]:
    """Return the four networks, fitted.

    Args:
        data: The events to learn from.
        options: Options of the fit.
        report: Told of every epoch.
        own_weights: `(2, 2)` λ of each network; zeros where they are not known yet.
    """
    networks = {name: fit(name, data, options, report) for name in REGISTRY if name in NETWORKS}
    for name, weights in (own_weights or {}).items():
        networks[name].tables["own_weights"].assign(weights)
    return networks


def fit_baselines(data: Dataset) -> dict[str, Arrays]:
    """Return the arrays of every baseline."""
    plain = {"popularity": popularity(data.items, data.weights, data.timestamps, data.n_items)}
    recent = {"popularity": popularity(data.items, data.weights, data.timestamps, data.n_items, RECENT_HALF_LIFE_DAYS)}
    return {
        "item_cf": item_cf(data.users, data.items, data.weights, data.n_users, data.n_items),
        "user_frequency_decayed": recent,
        "user_frequency": plain,
        "popularity_recent": recent,
        "popularity": plain,
    }


def scorers(networks: Mapping[str, Network], baselines: Mapping[str, Arrays]) -> dict[str, Scorer]:
    """Return the very scorers that will serve, in registry order."""
    arrays = {**{name: network.arrays() for name, network in networks.items()}, **baselines}
    return {name: kind.load(arrays[name]) for name, kind in REGISTRY.items() if name in arrays}


def check_complete(fitted: Mapping[str, Scorer], query: Query) -> None:
    """Refuse a candidate that lacks a scorer or scores anything but finite numbers.

    Args:
        fitted: What would be published.
        query: Something to score.

    Raises:
        TrainingRefused: Naming the scorer.
    """
    missing = [name for name in (*NETWORKS, *BASELINES) if name not in fitted]
    if missing:
        raise TrainingRefused(f"A version should hold every scorer of the registry. Missing: {missing}.")
    for name, scorer in fitted.items():
        if not np.isfinite(scorer.score(query)).all():
            raise TrainingRefused(f"{name} should score finite numbers. Received: NaN or infinity.")
