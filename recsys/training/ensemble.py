"""The weights of a linear ensemble: which terms may have one, and how strongly all are held back, chosen on validation.

The terms are the features, `recsys.features.features.NAMES`, and for a model its network. A term that is added there
takes part in all of it without another line. Here test cases become candidates; `recsys.training.search` chooses.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from recsys.evaluation.protocol import EvaluationSet
from recsys.features.features import N_FEATURES, NAMES, Features
from recsys.features.query import Floats, Mask
from recsys.training.candidates import MAX_CASES, NetworkScore, build_batches
from recsys.training.search import NETWORK, EnsembleFit, Search, best_of

N_FOLDS = 4
CONTENDING_CASES = 500  # test cases that these are fitted on: their best items need not be exact
# The weights where there is nothing to fit on
FALLBACK: Mapping[str, float] = {"popularity_15d": 0.5, "own_count": 1.0, NETWORK: 1.0}


def fit_ensembles(
    features: Features,
    networks: Mapping[str, NetworkScore | None],
    evaluation_sets: Mapping[str, EvaluationSet],
    seed: int,
) -> dict[str, dict[str, EnsembleFit]]:
    """Fit for each network the weights that maximise the likelihood of the relevant items of an evaluation set.

    Args:
        features: Features of the events before the cut of the evaluation sets.
        networks: The function that scores all items, `(n_items,)` float32, of each network by its name. None fits the
            features alone and gives the network weight 0. All networks share the same candidates.
        evaluation_sets: The set of the validation part under each repeat rule.
        seed: Of the test cases and candidates, and of the folds that choose.

    Returns:
        The fits by rule and by network.

    Raises:
        ValueError: A score is not finite.
    """
    network_scores = {name: network_score for name, network_score in networks.items() if network_score is not None}
    found = searches(features, network_scores, evaluation_sets, seed)
    return {rule: fit_rule(search, networks) for rule, search in found.items()}


def searches(
    features: Features,
    network_scores: Mapping[str, NetworkScore],
    evaluation_sets: Mapping[str, EvaluationSet],
    seed: int,
) -> dict[str, Search | None]:
    """Return the search of each rule, among candidates that can tell sums apart; None without any test case.

    A sum may put items on top that no feature has there. Where all but some hundred items are sampled, most of them
    would not be candidates, and the sum would seem much better than it is. So candidates are drawn twice: for some of
    the cases, to fit sums on, and then for all of them, with the best items of these sums.

    Args:
        features: As for `fit_ensembles`.
        network_scores: The function that scores all items, of each network.
        evaluation_sets: As for `fit_ensembles`.
        seed: As for `fit_ensembles`.
    """

    def drawn(sums: Mapping[str, Floats] | None, at_most: int) -> dict[str, Search | None]:
        rngs = {rule: np.random.default_rng(seed) for rule in evaluation_sets}
        batches = build_batches(features, network_scores, evaluation_sets, rngs, sums, at_most)
        return {
            rule: Search(batch, rngs[rule].permutation(n) % min(N_FOLDS, n)) if (n := len(batch)) else None
            for rule, batch in batches.items()
        }

    nothing = np.zeros((0, N_FEATURES + len(network_scores)), np.float32)
    some = drawn(None, CONTENDING_CASES)
    is_sampled = any(search and search.batch.is_sampled for search in some.values())
    if not is_sampled and all(len(of_rule) <= CONTENDING_CASES for of_rule in evaluation_sets.values()):
        return some
    sums = {
        rule: search.contenders() if search and search.batch.is_sampled else nothing for rule, search in some.items()
    }
    return drawn(sums, MAX_CASES)


def fit_rule(search: Search | None, networks: Mapping[str, NetworkScore | None]) -> dict[str, EnsembleFit]:
    """Fit the weights of each network on the candidates of test cases; see `fit_ensembles`.

    Args:
        search: Of one rule; the columns after the features are those of the networks that are not None.
        networks: The networks by name.
    """
    columns = {name: N_FEATURES + n for n, name in enumerate(name for name, score in networks.items() if score)}
    if search is None:
        return {
            name: (fallback(np.arange(N_FEATURES + 1) < N_FEATURES + (name in columns)), {"fallback": True})
            for name in networks
        }
    alone, tried = search.features_alone()
    fits = {}
    for name in networks:
        if name in columns:
            winner, tried_with_it = search.with_network(columns[name], alone, best_of(tried))
            fits[name] = search.result(winner, tried_with_it, columns[name])
        else:
            fits[name] = search.result(alone, tried, None)
    return fits


def fallback(used: Mask) -> Floats:
    """Return `FALLBACK` as `(N_FEATURES + 1,)` float32 weights, with 0 where a mask of that length is False."""
    return (np.array([FALLBACK.get(name, 0.0) for name in (*NAMES, NETWORK)]) * used).astype(np.float32)
