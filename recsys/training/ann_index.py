"""The approximate nearest-neighbour index of a large catalogue.

Its candidates replace a score of every item. The index is published only if its recall is high for every network.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from recsys.artifacts import Draft, Nearest
from recsys.artifacts.nearest import LIBRARY, build, installed
from recsys.evaluation.ranking import top_k
from recsys.evaluation.results import K
from recsys.features.query import Query
from recsys.scorers.retrieval import EXHAUSTIVE_UP_TO, INDEXED, Candidates, most_popular
from recsys.training.fitting import load_features
from recsys.training.run import TrainingRun
from recsys.training.stages import active_items

N_USERS = 50  # sampled to measure recall; each user counts twice, once as a guest with the same history
LEAST_RECALL = 0.95  # of each model's ten best items; below it, too many of them would be missed


def write_candidates(draft: Draft, run: TrainingRun, note: Callable[[str], None]) -> None:
    """Write the index if the catalogue is too large to score it for each request; else write nothing.

    Args:
        draft: The version being written.
        run: Holds the models that serve.
        note: Receives the recall of the index, or the reason why there is none.
    """
    final = run.final
    n_items = final.data.n_items
    if n_items <= EXHAUSTIVE_UP_TO:
        return
    exhaustive = f"Every request will score all {n_items:,} items."
    if INDEXED not in final.networks or not installed():
        not_installed = f'{LIBRARY} is not installed (pip install ".[ann]")'
        why = not_installed if INDEXED in final.networks else f"{INDEXED} is missing"
        note(f"No index of items: {why}. {exhaustive}")
        return
    vectors = final.networks[INDEXED].arrays()["item_factors"]
    now, unknown = int(final.data.timestamps.max()), final.data.unknown_context
    guest = final.data.query(final.data.n_users, context=unknown, now=now, repeats=False)
    guest_scores = [final.scorers[name].score(guest) for name in final.networks]
    index, popular = build(vectors), most_popular(np.stack([*final.features["popularity"], *guest_scores]))
    nearest = Nearest.open(index, "candidates.usearch", dim=vectors.shape[1], n=n_items)
    features = load_features(final.baselines, final.features)
    candidates = Candidates(features, final.scorers[INDEXED], nearest.search, popular)
    recalls = recall(candidates, run)
    figures = ", ".join(f"{name} {share:.3f}" for name, share in recalls.items())
    if min(recalls.values()) < LEAST_RECALL:
        expected = f"it should find {LEAST_RECALL} of each model's {K} best"
        note(f"No index of items: {expected}. Found: {figures}. {exhaustive}")
        return
    note(f"The index of items finds, of each model's {K} best: {figures}.")
    draft.path("candidates.usearch").write_bytes(index)
    measured = {f"recall10_{name}": np.array(share) for name, share in recalls.items()}
    draft.write_arrays("candidates.h5", {"popular": popular, **measured})


def recall(candidates: Candidates, run: TrainingRun) -> dict[str, float]:
    """Return for each network the mean share, 0 to 1, of its ten best items that are among the candidates.

    Args:
        candidates: Finds the candidate items of a query.
        run: Holds the models that serve, the repeat rule in force, and the seed of the sample of users.
    """
    final, active = run.final, active_items(run.final.encoders, run.catalogue)
    shares: dict[str, list[float]] = {name: [] for name in final.networks}
    for query in _sampled_queries(run):
        allowed = active.copy()
        if not query.repeats:
            allowed[query.items] = False
        retrieved = candidates.of(query, allowed)
        for name, shares_of_model in shares.items():
            best = top_k(final.scorers[name].score(query), K, allowed)
            if len(best):
                shares_of_model.append(np.isin(best, retrieved).mean())
    return {name: float(np.mean(values)) if values else 1.0 for name, values in shares.items()}


def _sampled_queries(run: TrainingRun) -> Iterator[Query]:
    """Yield two queries for each sampled user: with their id, and as a guest with the same history."""
    data, rng = run.final.data, np.random.default_rng(run.settings.training.seed)
    now, repeats = int(data.timestamps.max()), run.rule == "allow"
    for user in rng.permutation(data.n_users)[:N_USERS].tolist():
        query = data.query(user, context=data.unknown_context, now=now, repeats=repeats)
        yield query
        yield query._replace(user=data.n_users)
