"""A synthetic version with any number of items and the structure of a learned one, and queries to it.

Random vectors would not do, because in 64 random dimensions no item is near another. Here items lie in clusters of a
space of 32 dimensions, a user's items are from a few clusters, popularity follows Zipf's law, and popular items have
longer vectors. Standard deviations, lengths and numbers of neighbours are those that training found on
amazon-beauty-5core, and the ensemble weights are those of validation there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from recsys.artifacts import Draft, activate
from recsys.features.query import MAX_HISTORY, Arrays, Query
from recsys.scorers.item_item import tie_break
from recsys.scorers.registry import BASELINES, MODELS, REGISTRY
from recsys.scorers.retrieval import most_popular

Floats = NDArray[np.float32]

LATENT, DIM, FACTORS, WINDOW = 32, 64, 128, 50
ITEMS_A_CLUSTER = 1000
HIDDEN = (64, 32, 16)
CONTEXTS = {"time_of_day": 4, "season": 4, "device_type": 3, "category": 20}  # values, without "unknown"
N_USERS = 1000
CATEGORIES = 20
NEIGHBOURS, SUCCESSORS = 80, 50  # of an item, on average
LONGEST = 30  # times the length of an item of eight events
DECAYS = (0.98, 0.8)
NOW = 1_700_000_000
# Of validation on amazon-beauty-5core with repeats hidden: the features, of which content has none, then the network.
ENSEMBLE_WEIGHTS: Mapping[str, tuple[float, ...]] = {
    "ENCM": (-4.98, 5.99, 12.93, 0, -3.21, -0.07, -0.07, -0.07, -0.06, 0, 0, 0, 0, 0.20),
    "LNCM": (-2.97, 6.02, 12.36, 0, 0.56, -0.06, -0.06, -0.06, -0.05, 0, 0, 0, 0, 0.22),
    "NeuMF": (-5.14, 5.33, 13.48, 0, -3.87, -0.07, -0.07, -0.06, -0.06, 0, 0, 0, 0, 0.20),
    "BMF": (-2.75, 6.08, 11.61, 0, -2.31, -0.09, -0.09, -0.09, -0.08, 0, 0, 0, 0, 0.34),
}
TOWERS = {"NeuMF": 0.33, "ENCM": 1.06}  # standard deviation over the items of what the tower adds to a logit
BIAS = 0.75  # standard deviation of the items' biases


@dataclass(frozen=True)
class Catalogue:
    """Items in clusters.

    Attributes:
        places: `(n, 32)` float32, of length about 1.
        clusters: `(n,)` int32, ascending: a cluster is a run of items.
        events: `(n,)` float32, of each item, at least 7; one in a hundred has 80 or more.
    """

    places: Floats
    clusters: NDArray[np.int32]
    events: Floats

    def __len__(self) -> int:
        return len(self.clusters)

    def vectors(self, rng: np.random.Generator, dim: int, scale: float = 0.3) -> Floats:
        """Return item vectors `(n, dim)`: two thirds place, the rest noise, the longer the more popular."""
        directions = self.places @ (rng.normal(size=(LATENT, dim)) / np.sqrt(dim)).astype(np.float32)
        directions += 0.7 * rng.standard_normal(directions.shape, np.float32) / np.float32(np.sqrt(dim))
        return directions * (np.float32(scale) * np.minimum((self.events / 8) ** np.float32(0.8), LONGEST))[:, None]

    def standardised_events(self) -> Floats:
        """Return the log of the events with mean 0 and standard deviation 1."""
        logs = np.log(self.events)
        scaled: Floats = (logs - logs.mean()) / max(float(logs.std()), 1e-6)
        return scaled

    def history(self, rng: np.random.Generator) -> NDArray[np.int32]:
        """Return the items of a user's events, oldest first, mostly popular items of one to four clusters."""
        count = int(np.clip(rng.lognormal(2.7, 1.0), 1, MAX_HISTORY))
        own = rng.choice(self.clusters, rng.integers(1, 5))
        starts, ends = np.searchsorted(self.clusters, own), np.searchsorted(self.clusters, own, "right")
        which = rng.integers(len(own), size=count)
        inside = starts[which] + ((ends - starts)[which] * rng.random(count) ** 3).astype(np.int64)
        return np.where(rng.random(count) < 0.9, inside, rng.integers(len(self), size=count)).astype(np.int32)


def make(n: int, rng: np.random.Generator) -> Catalogue:
    """Return a catalogue of n items; within a cluster the most popular come first."""
    n_clusters = max(n // ITEMS_A_CLUSTER, 8)
    topics = rng.standard_normal((max(n_clusters // 12, 4), LATENT), np.float32)
    centres = topics[rng.integers(len(topics), size=n_clusters)] + 0.6 * rng.standard_normal(
        (n_clusters, LATENT), np.float32
    )
    shares = np.arange(1, n_clusters + 1) ** -0.5
    clusters = np.sort(rng.choice(n_clusters, n, p=shares / shares.sum()).astype(np.int32))
    places = centres[clusters] + 0.6 * rng.standard_normal((n, LATENT), np.float32)
    places /= np.linalg.norm(places, axis=1, keepdims=True)
    events = 2 + 5 * ((1 + rng.permutation(n)) / n).astype(np.float32) ** np.float32(-0.6)
    return Catalogue(places, clusters, events[np.lexsort((-events, clusters))])


def cases(catalogue: Catalogue, rng: np.random.Generator, count: int) -> list[Query]:
    """Return queries: every second one of a known user, the others of guests with a history."""
    queries = []
    for number in range(count):
        items = catalogue.history(rng)
        weights = rng.choice(np.array([0.3, 0.7, 1.0], np.float32), len(items), p=(0.6, 0.15, 0.25))
        moments = np.sort(NOW - rng.integers(0, 200 * 86_400, len(items)))
        context = np.array([rng.integers(size + 1) for size in CONTEXTS.values()], np.int32)
        queries.append(Query(number % N_USERS if number % 2 else N_USERS, items, weights, moments, context, NOW))
    return queries


def publish(catalogue: Catalogue, models_dir: Path, rng: np.random.Generator, index: bytes, seed: int) -> str:
    """Write the version, make it the current one, and return its name.

    Args:
        catalogue: Of the items.
        models_dir: The folder of all versions.
        rng: Of the weights.
        index: Made of the vectors that `vectors_of_bmf` returns.
        seed: Of these vectors.
    """
    n, liked = len(catalogue), []
    with Draft.create(models_dir, NOW) as draft:
        for name in MODELS:
            arrays = network(name, catalogue, rng, seed)
            draft.write_arrays(
                f"{name.lower()}_model.weights.h5", {f"vars/{key}": array for key, array in arrays.items()}
            )
            precompute = REGISTRY[name].precompute
            derived = precompute(arrays) if precompute else {}
            if precompute:
                draft.write_arrays(f"{name.lower()}_derived.h5", derived)
            load = REGISTRY[name].load
            liked += [load({**arrays, **derived}).score(empty_query())] if load else []
        logs = np.log1p(catalogue.events)
        popularity = np.stack([logs, *(logs * rng.uniform(0.2, 0.6, n).astype(np.float32) for _ in range(3))])
        near = neighbours(catalogue, rng, NEIGHBOURS)
        draft.write_arrays("ease.h5", {**near, "tie_break": tie_break(catalogue.events.astype(np.int64))})
        following = neighbours(catalogue, rng, SUCCESSORS)
        factors = {"user_factors": users(rng, FACTORS, 0.2), "item_factors": catalogue.vectors(rng, FACTORS, 0.1)}
        draft.write_arrays(
            "signals.h5",
            {**{f"transitions/{key}": a for key, a in following.items()}, **factors, "popularity": popularity},
        )
        draft.path("candidates.usearch").write_bytes(index)
        draft.write_arrays("candidates.h5", {"popular": most_popular(np.stack([*popularity, *liked]))})
        _write_items(draft, catalogue)
        name = draft.publish(_manifest(n))
    activate(models_dir, name)
    return name


def empty_query() -> Query:
    """Return the query of a guest without history and context."""
    nothing = np.zeros(0, np.int32)
    unknown = np.array(list(CONTEXTS.values()), np.int32)
    return Query(N_USERS, nothing, nothing.astype(np.float32), nothing.astype(np.int64), unknown, NOW)


def vectors_of_bmf(catalogue: Catalogue, seed: int) -> Floats:
    """Return BMF's item vectors, which an index is made of."""
    return catalogue.vectors(np.random.default_rng([seed, DIM]), DIM)


def network(name: str, catalogue: Catalogue, rng: np.random.Generator, seed: int) -> dict[str, NDArray]:
    """Return the weights of a model; the item vectors of the four models are similar, as after a common ALS start."""
    shared = vectors_of_bmf(catalogue, seed)
    own = shared if name == "BMF" else shared + 0.4 * np.abs(shared) * rng.standard_normal(shared.shape, np.float32)
    arrays: dict[str, NDArray] = {
        "user_factors": users(rng, DIM, 0.5),
        "slow_items": _pooled(own, 0.1),
        "fast_items": _pooled(own, 0.25),
        "decays": np.array(DECAYS, np.float32),
        "item_factors": own,
        "item_bias": (BIAS * catalogue.standardised_events()).astype(np.float32),
        "signal_weights": np.tile(np.array(ENSEMBLE_WEIGHTS[name], np.float32), (2, 1)),
    }
    return arrays | _network_weights(name, own, rng)


def users(rng: np.random.Generator, dim: int, length: float) -> Floats:
    """Return the vectors of the users."""
    return rng.standard_normal((N_USERS, dim), np.float32) * np.float32(length / np.sqrt(dim))


def neighbours(catalogue: Catalogue, rng: np.random.Generator, mean: int) -> Arrays:
    """Return item-item weights, log-normal; neighbours are drawn from the item's cluster by popularity."""
    n = len(catalogue)
    lengths = np.minimum(rng.geometric(1 / mean, n), 400)
    starts = np.concatenate([[0], np.cumsum(lengths)])
    first = np.searchsorted(catalogue.clusters, catalogue.clusters).astype(np.int32)
    sizes = np.searchsorted(catalogue.clusters, catalogue.clusters, "right").astype(np.int32) - first
    chosen = np.square(rng.random(starts[-1], np.float32))
    chosen *= np.repeat(sizes, lengths)
    columns = chosen.astype(np.int32) + np.repeat(first, lengths)
    weights = np.exp(rng.standard_normal(starts[-1], np.float32) * np.float32(0.5)) * np.float32(0.012)
    return {"starts": starts.astype(np.int64), "neighbours": columns, "similarities": weights}


def _pooled(vectors: Floats, scale: float) -> Floats:
    """Return what an item adds to the user vector: its direction, independent of its popularity."""
    return vectors * (np.float32(scale) / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), np.float32(1e-6)))


def _network_weights(name: str, vectors: Floats, rng: np.random.Generator) -> dict[str, NDArray]:
    if name == "BMF":
        return {"user_bias": np.zeros(N_USERS, np.float32), "bias": np.zeros((), np.float32)}
    if name == "LNCM":
        return {"gate": np.zeros((), np.float32), **_sequence(rng)}
    if name == "NeuMF":
        inside = vectors + 0.3 * np.abs(vectors) * rng.standard_normal(vectors.shape, np.float32)
        more = {
            "mlp_users": users(rng, DIM, 0.5),
            "mlp_items": inside,
            "dot_output": np.ones(DIM, np.float32),
            "bias": np.zeros((), np.float32),
        }
        return more | _tower(name, 2 * DIM, inside, DIM, rng)
    contexts = enumerate(CONTEXTS.values())
    tables: dict[str, NDArray] = {}
    for number, size in contexts:
        tables[f"context_factors_{number}"] = (0.1 * rng.standard_normal((size + 1, DIM))).astype(np.float32)
        tables[f"context_bias_{number}"] = np.zeros(size + 1, np.float32)
    return tables | _tower(name, (2 + len(CONTEXTS)) * DIM, vectors, DIM, rng)


def _tower(name: str, width: int, items: Floats, first_row: int, rng: np.random.Generator) -> dict[str, NDArray]:
    """Return an MLP whose outputs over the items have the standard deviation of a learned one."""
    arrays: dict[str, NDArray] = {}
    hidden = items[rng.integers(len(items), size=2000)]
    for number, (before, after) in enumerate(zip((width, *HIDDEN), HIDDEN, strict=False)):
        kernel = (rng.standard_normal((before, after)) * np.sqrt(2 / before)).astype(np.float32)
        arrays |= {f"mlp_kernel_{number}": kernel, f"mlp_bias_{number}": np.full(after, 0.05, np.float32)}
        used = kernel[first_row : first_row + items.shape[1]] if number == 0 else kernel
        hidden = np.maximum(hidden @ used + np.float32(0.05), 0)
    output = rng.standard_normal(HIDDEN[-1]).astype(np.float32)
    return arrays | {"mlp_output": output * np.float32(TOWERS[name] / max(float((hidden @ output).std()), 1e-6))}


def _sequence(rng: np.random.Generator) -> dict[str, NDArray]:
    """Return LNCM's encoder."""

    def drawn(*shape: int) -> Floats:
        return (rng.standard_normal(shape) / np.sqrt(DIM)).astype(np.float32)

    squares = ("attention_query", "attention_key", "attention_value", "attention_out", "feed_in", "feed_out")
    return {
        **{name: drawn(2, DIM, DIM) for name in squares},
        **{name: np.zeros((2, DIM), np.float32) for name in ("feed_in_bias", "feed_out_bias")},
        "strength": drawn(DIM),
        "age_bias": np.zeros((2, WINDOW), np.float32),
        "gains": np.ones((2, 2, DIM), np.float32),
        "last_gain": np.full(DIM, 0.15, np.float32),
    }


def _write_items(draft: Draft, catalogue: Catalogue) -> None:
    n = len(catalogue)
    category = (catalogue.clusters % CATEGORIES).astype(np.int32)
    columns = {
        "category": category,
        "brand": np.full(n, -1, np.int32),
        "price": np.ones(n),
        "active": np.ones(n, np.uint8),
    }
    draft.write_arrays("items.h5", columns)
    draft.write_json("catalogue.json", {"category": [f"{number:02}" for number in range(CATEGORIES)], "brand": []})
    draft.write_json("contexts.json", {name: [str(value) for value in range(size)] for name, size in CONTEXTS.items()})
    draft.write_json("selection.json", {"best": "BMF", "mean": {}, "spread": {}, "strength": 1.0})


def _manifest(n: int) -> dict[str, object]:
    return {
        "data_until": NOW,
        "counts": {"users": N_USERS, "items": n, "events": 0},
        "scorers": [name for name in REGISTRY if name not in BASELINES],
        "context_features": list(CONTEXTS),
        "id_type": {"users": "int", "items": "int"},
        "offline": {},
        "settings": {
            **dict.fromkeys(("purchase_events", "relevant_events", "cancel_events", "context_columns"), ()),
            "event_weights": {},
            "time_zone": "UTC",
            "repeat_after_days": None,
        },
    }
