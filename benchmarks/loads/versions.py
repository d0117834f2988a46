"""A version of a given size with random weights, written by the code that training publishes with."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.loads import weights
from benchmarks.loads.users import FIRST_ITEM, FIRST_USER, SyntheticUsers
from benchmarks.loads.weights import Popularity
from recsys.artifacts import Draft
from recsys.artifacts.hdf5 import read_arrays
from recsys.data.cleaning import CleanReport
from recsys.data.context import ContextEncoder
from recsys.data.encoding import Encoders, encode
from recsys.data.ids import IdMap
from recsys.data.interactions import Catalogue
from recsys.evaluation.protocol import EvaluationCase, EvaluationSet
from recsys.evaluation.results import EvaluationResult
from recsys.features.features import N_FEATURES, NAMES, POPULARITIES
from recsys.features.query import Arrays, Query
from recsys.networks.base import Network, Shapes
from recsys.networks.fit import NETWORKS
from recsys.scorers.registry import REGISTRY
from recsys.settings import Settings, Training
from recsys.training.closed_form.content import hybrid  # noqa: E402
from recsys.training.fitting import FittedModels, Hyperparameters
from recsys.training.publishing import manifest, write_version
from recsys.training.run import TrainingRun

WINNER = "LNCM"
PROTOCOL = "time"
EXAMINED = 3000  # users at most, as in training
EVENTS_A_USER = 50
# Standard deviations near those of trained weights, so that every part of a network changes the score.
SPREADS: Mapping[str, float] = {
    "user_factors": 0.3,
    "slow_items": 0.05,
    "fast_items": 0.05,
    "item_factors": 0.1,
    "mlp_output": 0.2,
}
SMALL = 0.1  # of biases and all else that starts at zero
LARGEST_REDRAWN = 10_000_000  # values; larger tables are scaled instead, which Keras does faster than NumPy draws


@dataclass
class Drawn:
    """A network with random weights, built only when it is saved, because four of a million users do not fit in memory.

    Attributes:
        name: Name in the registry.
        shapes: Shapes of its weights.
        seed: Seed of the draws.
        ensemble_weights: `(2, N_FEATURES + 1)` float32.
    """

    name: str
    shapes: Shapes
    seed: int
    ensemble_weights: NDArray[np.float32]
    _saved: list[Path] = field(default_factory=list)
    _sizes: list[int] = field(default_factory=list)

    def sizes(self) -> list[int]:
        """Return the size of every weight in bytes."""
        if not self._sizes:
            self._sizes.extend(NETWORKS[self.name](self.shapes, self.seed).sizes())
        return self._sizes

    def save_weights(self, path: Path) -> None:
        """Write the file that Keras writes; a second time, a copy of it."""
        if self._saved:
            shutil.copyfile(self._saved[0], path)
        else:
            self._build().save_weights(path)
            self._saved.append(path)

    def arrays(self) -> dict[str, NDArray]:
        """Return the weights that were saved."""
        saved = read_arrays(self._saved[0], self.name)
        return {name.removeprefix("vars/"): array for name, array in saved.items()}

    def _build(self) -> Network:
        network, rng = NETWORKS[self.name](self.shapes, self.seed), np.random.default_rng(self.seed)
        for name, table in network.tables.items():
            if name in SPREADS and np.prod(table.shape) > LARGEST_REDRAWN:
                table.assign(table * (SPREADS[name] / float(np.std(table[:1000]))))
            elif name not in ("decays", "signal_weights"):
                table.assign(table + rng.normal(0, SPREADS.get(name, SMALL), table.shape).astype(np.float32))
        network.tables["signal_weights"].assign(self.ensemble_weights)
        return network


def publish(
    draft: Draft, settings: Settings, users: SyntheticUsers, catalogue: Catalogue, popularity: Popularity, n_users: int
) -> str:
    """Write a version and publish it; it is not active yet.

    Args:
        draft: The version to fill.
        settings: The shop's mapping, and training's sizes.
        users: Users whose events training would have seen.
        catalogue: The shop's products, one for each item.
        popularity: Popularity of the items.
        n_users: Number of users that the version knows.

    Returns:
        The version's name.
    """
    rng, learned = np.random.default_rng(settings.training.seed), users.learned
    cleaning = CleanReport(len(learned), len(learned), {})
    run = TrainingRun(settings, PROTOCOL, users.data_until + 1, users.events, learned, catalogue, cleaning)
    models = _models(rng, run, popularity, n_users)
    run = _evaluated(rng, replace(run, evaluated=models, final=models))
    run = replace(run, hyperparameters=_choices(rng, settings.training))
    write_version(draft, run)
    return draft.publish(manifest(run))


def _models(rng: np.random.Generator, run: TrainingRun, popularity: Popularity, n_users: int) -> FittedModels:
    n_items, options, n_events = len(popularity), run.settings.training, EVENTS_A_USER * n_users
    encoders = _encoders(run, n_users, n_items)
    data = encode(run.events, encoders, run.settings.shop, options, run.now)
    sizes = n_users, n_items, encoders.contexts.sizes
    shapes = Shapes(*sizes, options.dim, options.window, options.slow_decay, options.fast_decay)
    counts = (popularity.shares * n_events).astype(np.float32)
    return FittedModels(
        encoders=encoders,
        data=data,
        networks={name: Drawn(name, shapes, number, ensemble_weights(rng)) for number, name in enumerate(NETWORKS)},  # type: ignore[misc]
        baselines=_baselines(rng, popularity, counts, n_events),
        features=_features(rng, popularity, counts, n_users, n_events, options),
        scorers=dict.fromkeys(REGISTRY),  # type: ignore[arg-type]
        losses={},
        failures={},
    )


def _encoders(run: TrainingRun, n_users: int, n_items: int) -> Encoders:
    contexts = ContextEncoder.fit(run.events.contexts, run.catalogue.categories)
    users, items = (IdMap(np.arange(first, first + n)) for first, n in ((FIRST_USER, n_users), (FIRST_ITEM, n_items)))
    return Encoders(users, items, contexts, contexts.column("category", [*run.catalogue.categories.tolist(), None]))


def _baselines(
    rng: np.random.Generator, popularity: Popularity, counts: NDArray[np.float32], n_events: int
) -> dict[str, Arrays]:
    plain, recent = {"popularity": counts}, {"popularity": counts * rng.random(len(counts), np.float32)}
    item_item = {"ease": weights.ease(rng, popularity), "item_cf": weights.item_cf(rng, popularity, n_events)}
    return {
        **item_item,
        "hybrid": hybrid(item_item, None, Training().content_weight, "item_cf"),
        "user_frequency_decayed": recent,
        "user_frequency": plain,
        "popularity_recent": recent,
        "popularity": plain,
    }


def _features(
    rng: np.random.Generator,
    popularity: Popularity,
    counts: NDArray[np.float32],
    n_users: int,
    n_events: int,
    options: Training,
) -> Arrays:
    matrices = {
        "transitions": weights.transitions(rng, popularity, n_events),
        "content": weights.content(rng, len(popularity)),
    }
    decayed = [np.log1p(counts * rng.random(len(counts), np.float32)) for _ in POPULARITIES[1:]]
    spread = np.float32((3 * options.factors) ** -0.25)  # so that a product of two factors is about a third
    return {
        **{f"{key}/{name}": array for key, arrays in matrices.items() for name, array in arrays.items()},
        "user_factors": rng.standard_normal((n_users, options.factors), np.float32) * spread,
        "item_factors": rng.standard_normal((len(counts), options.factors), np.float32) * spread,
        "popularity": np.stack([np.log1p(counts), *decayed]),
    }


def ensemble_weights(rng: np.random.Generator) -> NDArray[np.float32]:
    """Return `(2, N_FEATURES + 1)` float32, none of them 0, so that every feature is computed for every query."""
    drawn = rng.uniform(0.1, 1.0, (2, N_FEATURES + 1))
    drawn[:, [NAMES.index(name) for name in POPULARITIES]] /= 50  # logs of thousands: more of them would drown the rest
    return drawn.astype(np.float32)


def _evaluated(rng: np.random.Generator, run: TrainingRun) -> TrainingRun:
    """Return the run with random results of the evaluation."""
    data = run.evaluated.data
    n = min(EXAMINED, data.n_users)
    nothing = np.zeros(0, np.int32)
    empty = nothing, np.zeros(0, np.float32), np.zeros(0, np.int64), np.zeros(len(data.context_sizes), np.int32)
    users = rng.choice(data.n_users, n, replace=False).tolist()
    cases = tuple(
        EvaluationCase(Query(user, *empty, now=0), np.arange(3, dtype=np.int32), 0, nothing) for user in users
    )
    evaluation_set = EvaluationSet(cases, np.ones(n, bool), 0, run.catalogue.active, ())
    per_user = {name: {figure: rng.integers(0, 11, n) / 10 for figure in ("precision10", "map10")} for name in REGISTRY}
    rows = {
        name: {figure: float(column.mean()) for figure, column in columns.items()} for name, columns in per_user.items()
    }
    results = {
        name: EvaluationResult(columns, (), np.zeros(0, np.float32), np.zeros(0, bool))
        for name, columns in per_user.items()
    }
    return replace(run, rows={run.rule: rows}, evaluations=results, evaluation_set=evaluation_set)


def _choices(rng: np.random.Generator, options: Training) -> Hyperparameters:
    made = Hyperparameters.default(options, "nothing was learned")
    drawn = dict.fromkeys((*NETWORKS, "blend"), ensemble_weights(rng))
    return replace(made, winner=WINNER, ensemble_weights=drawn)
