"""Steps 3 to 6 of a request: candidates, features, the scores of every model, and the choice of one of them."""

from __future__ import annotations

import math
import os
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from recsys.contract import Basis, Metrics
from recsys.errors import InternalError
from recsys.evaluation.metrics import average_precision_at_k, precision_at_k
from recsys.evaluation.ranking import top_k
from recsys.evaluation.selection import Priors
from recsys.features.features import Features, FeatureValues
from recsys.features.query import Arrays, Query
from recsys.recommending.loading import Scorers
from recsys.recommending.user import RecentHoldout, User
from recsys.scorers.retrieval import EXHAUSTIVE_UP_TO, Candidates

K = 10  # the length of the lists that metrics are computed on
WORTH_THREADS = 20_000  # items to score: with fewer, waiting for the interpreter costs threads more than they save
CONFIDENCE = 0.9  # below it, a choice for each user would follow noise
WORTH_GATHERING = 4  # items are gathered where the catalogue is this many times larger
# The errors that lose one scorer's run; a damaged version is none of these, and fails the whole request.
FAILURES = (ArithmeticError, AttributeError, LookupError, MemoryError, OSError, RuntimeError, TypeError, ValueError)


class ScoringTask(NamedTuple):
    """A query, and what every model needs to score it.

    Attributes:
        query: The user and the moment.
        allowed: `(n_items,)` bool, the items that may be ranked.
        items: `(k,)` int32 ascending, the candidate items, all of them allowed; None for the whole catalogue, of which
            some may not be allowed.
        features: The query's features of these items; None where they could not be computed.
    """

    query: Query
    allowed: NDArray[np.bool_]
    items: NDArray[np.int32] | None
    features: FeatureValues | None

    def best(self, scores: NDArray[np.float32], k: int) -> NDArray[np.int32]:
        """Return the indices of the `k` allowed items with the highest scores, `(at most k,)` int32, best first.

        Args:
            scores: `(n_items,)` float32, or `(len(self.items),)`.
            k: Length of the list.
        """
        return top_k(scores, k, self.allowed) if self.items is None else self.items[top_k(scores, k)]


class Scored(NamedTuple):
    """The scores of one scorer for a request.

    Attributes:
        model: The registry name.
        scores: `(n_items,)` or `(len(task.items),)` float32 logits; None where the run failed.
        fresh: P@10 and AP@10 on the recent holdout; None without one, or where the run failed.
        error: What went wrong, where the run failed.
        thread: Identity of the thread that scored.
    """

    model: str
    scores: NDArray[np.float32] | None
    fresh: Metrics | None
    error: str | None
    thread: int

    @property
    def logits(self) -> NDArray[np.float32]:
        """The scores.

        Raises:
            InternalError: The run failed.
        """
        if self.scores is None:
            raise InternalError(f"{self.model} should have scores. Received: {self.error}.")
        return self.scores


def retrieve_candidates(
    query: Query,
    allowed: NDArray[np.bool_],
    at_least: int,
    retrieval: Callable[[], Candidates | None],
    scorers: Scorers,
    names: Sequence[str],
) -> NDArray[np.int32] | None:
    """Return the candidate items, which every model scores.

    Args:
        query: The user and the moment.
        allowed: `(n_items,)` bool, the eligible items.
        at_least: The number of items that a list may need; where fewer are retrieved, all eligible items are scored.
        retrieval: Opens the version's retrieval, which is called for a large catalogue only; None where it has none.
        scorers: The version's scorers.
        names: Those that will rank the candidates.

    Returns:
        `(k,)` int32 ascending, all of them eligible; None for the whole catalogue, of which some may not be eligible.
    """
    n_allowed = int(np.count_nonzero(allowed))
    if n_allowed > EXHAUSTIVE_UP_TO and (candidates := retrieval()) is not None:
        retrieved = candidates.of(query, allowed, [scorers[name] for name in names if name in scorers.names])
        if len(retrieved) >= at_least:
            return retrieved
    return np.flatnonzero(allowed).astype(np.int32) if n_allowed * WORTH_GATHERING <= len(allowed) else None


def compute_features(features: Features, query: Query, items: NDArray[np.int32] | None) -> FeatureValues | None:
    """Return the features that all ensembles share; None where that fails.

    Then each ensemble fails by itself, and the baselines, which read no features, answer.

    Args:
        features: The version's features.
        query: The user and the moment.
        items: `(k,)` int32, the candidate items; None for the whole catalogue.
    """
    try:
        return features.compute(query, items)
    except FAILURES:
        return None


def score_all(
    names: Sequence[str],
    scorers: Scorers,
    task: ScoringTask,
    holdout: tuple[RecentHoldout, ScoringTask] | None = None,
    *,
    threads: int | None = None,
    after_each: Callable[[], None] | None = None,
) -> list[Scored]:
    """Score with every named model; a model that fails loses only its own run.

    Args:
        names: Names of the registry.
        scorers: The version's scorers.
        task: What is scored.
        holdout: The test case to evaluate each model on, as a task, too; None evaluates none.
        threads: How many models score at once, from 1; None means one for each core if there are `WORTH_THREADS` items,
            else 1.
        after_each: Called after each model, in its thread; None calls nothing.

    Returns:
        One run for each name, in the same order.

    Raises:
        ModelRefused: The arrays of a model are damaged.
    """

    def run(name: str) -> Scored:
        scored = score(name, scorers, task, holdout)
        if after_each is not None:
            after_each()
        return scored

    n_items = len(task.allowed if task.items is None else task.items)
    if (threads or (cores() if n_items >= WORTH_THREADS else 1)) == 1:
        return [run(name) for name in names]
    from concurrent.futures import ThreadPoolExecutor  # imported here: small shops never need it

    with ThreadPoolExecutor(min(threads or cores(), len(names))) as executor:
        return list(executor.map(run, names))


def cores() -> int:
    """Return the number of threads of this process that can run at once."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


def score(
    name: str, scorers: Scorers, task: ScoringTask, holdout: tuple[RecentHoldout, ScoringTask] | None = None
) -> Scored:
    """Return one scorer's run, which has an `error` where it failed; the arguments are those of `score_all`.

    Raises:
        ModelRefused: The scorer's arrays are damaged.
    """
    thread = threading.get_ident()
    if name not in scorers.names:
        return Scored(name, None, None, f"{name} is not part of this version: its training failed", thread)
    try:
        scorer = scorers[name]
        scores = scorer.score(task.query, task.features, task.items)
        if not np.isfinite(scores).all():
            raise FloatingPointError(f"{name} should score finite numbers. Received: NaN or infinity.")
        fresh = None
        if holdout is not None:
            case, past = holdout
            top = past.best(scorer.score(past.query, past.features, past.items), K)
            fresh = Metrics(
                precision_at_k(top, case.relevant, k=K, n_relevant=case.n_relevant),
                average_precision_at_k(top, case.relevant, k=K, n_relevant=case.n_relevant),
            )
    except FAILURES as error:
        return Scored(name, None, None, f"{type(error).__name__}: {error}", thread)
    return Scored(name, scores, fresh, None, thread)


class Evidence(NamedTuple):
    """The held-out metrics of the models for one user.

    Attributes:
        average_precision: AP@10 of each model, 0 to 1; a model that failed is absent.
        n_relevant: The number of relevant items behind the metrics.
        precision: P@10 of each model, 0 to 1; it breaks ties.
    """

    average_precision: Mapping[str, float]
    n_relevant: int
    precision: Mapping[str, float] = MappingProxyType({})


class ModelEvidence(NamedTuple):
    """How well each scorer ranks for this user.

    Attributes:
        metrics: The metrics of each scorer that has some, by name.
        basis: Where the metrics come from.
        evidence: The user's own metrics, for the choice of the model; None where only the version's report has metrics.
    """

    metrics: Mapping[str, Metrics]
    basis: Basis
    evidence: Evidence | None


def pick_evidence(
    runs: Sequence[Scored],
    user: User,
    heldout: Arrays,
    offline: Mapping[str, Mapping[str, float]],
) -> ModelEvidence:
    """Return the metrics of the freshest basis: events since training, held-out events, or the version's report.

    Args:
        runs: All runs of the request.
        user: The user, who may have events since training, or held-out metrics in the version.
        heldout: The version's held-out metrics of each user.
        offline: Precision@10 and MAP@10 of each scorer over all users, from the version's report.
    """
    if user.holdout is not None:
        metrics = {run.model: run.fresh for run in runs if run.fresh}
        return ModelEvidence(metrics, "fresh", _evidence(metrics, user.holdout.n_relevant))
    row = int(heldout["rows"][user.query.user]) if user.known else -1
    if row >= 0:
        names = [key.removesuffix("/map10") for key in heldout if key.endswith("/map10")]
        metrics = {
            name: Metrics(float(heldout[f"{name}/precision10"][row]), float(heldout[f"{name}/map10"][row]))
            for name in names
        }
        return ModelEvidence(metrics, "heldout", _evidence(metrics, int(heldout["n_relevant"][row])))
    metrics = {name: Metrics(of_model["precision10"], of_model["map10"]) for name, of_model in offline.items()}
    return ModelEvidence(metrics, "offline", None)


def _evidence(metrics: Mapping[str, Metrics], n_relevant: int) -> Evidence:
    """Return metrics as the choice of the model reads them."""
    average_precision = {name: of_model.map10 for name, of_model in metrics.items()}
    precision = {name: of_model.precision10 for name, of_model in metrics.items()}
    return Evidence(average_precision, n_relevant, precision)


def choose(priors: Priors, evidence: Evidence | None, order: Sequence[str]) -> str:
    """Return the name of the model that answers.

    The user's mean difference x̄ to the best is shrunk to θ = (n·x̄ + k·μ) / (n + k), with standard deviation τ / √(n +
    k). Another model than the best is chosen only if P(θ > 0) > 0.9. Among those, the highest θ wins; ties go by P@10,
    then by registry order. Without evidence, with a spread of 0, or in a version that does not choose for each user,
    the best model answers.

    Args:
        priors: From the evaluation of all users.
        evidence: The user's own metrics, or None.
        order: The names of the models that have an answer, in registry order, at least one. If the best model is not
            among them, the one with the highest μ answers, because no difference to the best is known.

    >>> priors = Priors("BMF", {"ENCM": -0.01}, {"ENCM": 0.2})
    >>> choose(priors, Evidence({"BMF": 0.1, "ENCM": 0.9}, n_relevant=10), ("ENCM", "BMF"))  # θ = 0.395, sd = 0.045
    'ENCM'
    >>> choose(priors, Evidence({"BMF": 0.1, "ENCM": 0.2}, n_relevant=3), ("ENCM", "BMF"))  # θ = 0.015, sd = 0.055
    'BMF'
    """
    if priors.best not in order:
        return max(order, key=lambda name: priors.mean.get(name, -math.inf))  # max keeps the first of equals
    if not priors.per_user or evidence is None or evidence.n_relevant < 1:
        return priors.best
    thetas = {name: theta for name in order if (theta := _confident_gain(priors, evidence, name)) is not None}
    if not thetas:
        return priors.best
    return max(thetas, key=lambda name: (thetas[name], evidence.precision.get(name, 0.0)))


def _confident_gain(priors: Priors, evidence: Evidence, name: str) -> float | None:
    """Return θ if the model is better than the best one with enough confidence, else None."""
    precision, best = evidence.average_precision.get(name), evidence.average_precision.get(priors.best)
    spread = priors.spread.get(name, 0.0)
    if name == priors.best or precision is None or best is None or spread <= 0:
        return None
    n = evidence.n_relevant
    theta = (n * (precision - best) + priors.strength * priors.mean[name]) / (n + priors.strength)
    z = theta * math.sqrt(n + priors.strength) / spread
    is_confident = 0.5 * (1 + math.erf(z / math.sqrt(2))) > CONFIDENCE
    return theta if is_confident else None
