"""What a version of a very large catalogue has besides: an index of item vectors, where with it the models find what they would without."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from recsys.artifacts import Draft, Nearest
from recsys.artifacts.nearest import LIBRARY, build, installed
from recsys.evaluation.ranking import top_k
from recsys.features.query import Query
from recsys.scorers.retrieval import EXHAUSTIVE_UP_TO, INDEXED, Candidates, most_popular
from recsys.training.fitting import load_features
from recsys.training.stages import TrainedModels

K = 10
CUSTOMERS = 50  # asked what they would find; each once more as a guest with her history
LEAST_RECALL = 0.95  # of each model's ten best; below it, the time that is saved is not worth what is missed


def write_candidates(
    draft: Draft, final: TrainedModels, *, repeats: bool, seed: int, note: Callable[[str], None]
) -> None:
    """Write the index of a catalogue that is too large to be scored for each request; nothing of a smaller one.

    Args:
        draft: The version in the making.
        final: The fit that serves.
        repeats: Whether items bought before may be answered.
        seed: Of the draw of customers.
        note: Told what the index finds, or why there is none and each request will score the whole catalogue.
    """
    n_items = final.data.n_items
    if n_items <= EXHAUSTIVE_UP_TO:
        return
    exhaustive = f"Every request will score all {n_items:,} items."
    if INDEXED not in final.networks or not installed():
        why = (
            f'{LIBRARY} is not installed (pip install ".[ann]")'
            if INDEXED in final.networks
            else f"{INDEXED} is missing"
        )
        note(f"No index of items: {why}. {exhaustive}")
        return
    vectors = final.networks[INDEXED].arrays()["item_factors"]
    liked = [final.scorers[name].score(_nobody(final)) for name in final.networks]
    data, popular = build(vectors), most_popular(np.stack([*final.features["popularity"], *liked]))
    nearest = Nearest.open(data, "candidates.usearch", dim=vectors.shape[1], n=n_items)
    features = load_features(final.baselines, final.features)
    found = recall(
        Candidates(features, final.scorers[INDEXED], nearest.search, popular), final, repeats=repeats, seed=seed
    )
    figures = ", ".join(f"{name} {share:.3f}" for name, share in found.items())
    if min(found.values()) < LEAST_RECALL:
        note(
            f"No index of items: it should find {LEAST_RECALL} of each model's {K} best. Found: {figures}. {exhaustive}"
        )
        return
    note(f"The index of items finds, of each model's {K} best: {figures}.")
    draft.path("candidates.usearch").write_bytes(data)
    draft.write_arrays(
        "candidates.h5", {"popular": popular}, {f"recall10_{name}": share for name, share in found.items()}
    )


def recall(candidates: Candidates, final: TrainedModels, *, repeats: bool, seed: int) -> dict[str, float]:
    """Return, of each network, the mean share of its ten best that are candidates.

    Args:
        candidates: What finds them.
        final: The fit that serves.
        repeats: Whether items bought before may be answered.
        seed: Of the draw of customers.
    """
    shares: dict[str, list[float]] = {name: [] for name in final.networks}
    for query in _questions(final, repeats, seed):
        allowed = final.active.copy()
        if not repeats:
            allowed[query.items] = False
        retrieved = candidates.of(query, allowed)
        for name, found in shares.items():
            best = top_k(final.scorers[name].score(query), K, allowed)
            if len(best):
                found.append(np.isin(best, retrieved).mean())
    return {name: float(np.mean(found)) if found else 1.0 for name, found in shares.items()}


def _nobody(final: TrainedModels) -> Query:
    """Return the question of a guest of whom nothing is known."""
    nothing = np.zeros(0, np.int32)
    unknown = np.array([size - 1 for size in final.data.context_sizes], np.int32)
    now = int(final.data.timestamps.max())
    return Query(final.data.n_users, nothing, nothing.astype(np.float32), nothing.astype(np.int64), unknown, now)


def _questions(final: TrainedModels, repeats: bool, seed: int) -> Iterator[Query]:
    """Yield what some customers would ask, known and as guests."""
    data, rng = final.data, np.random.default_rng(seed)
    unknown = np.array([size - 1 for size in data.context_sizes], np.int32)
    now = int(data.timestamps.max())
    for user in rng.permutation(data.n_users)[:CUSTOMERS].tolist():
        asked = data.query(user, context=unknown, now=now, repeats=repeats)
        yield asked
        yield Query(data.n_users, asked.items, asked.weights, asked.timestamps, unknown, now, repeats)
