"""Runs of all models for one request: candidate items, scores in threads, and each model's metrics for this user."""

from __future__ import annotations

import os
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from recsys.artifacts import trim_memory
from recsys.contract import Basis, Metrics
from recsys.data.ids import distinct
from recsys.errors import InternalError, RecsysError
from recsys.evaluation.metrics import average_precision_at_k, precision_at_k
from recsys.evaluation.ranking import top_k
from recsys.evaluation.selection import Evidence
from recsys.features.query import Query
from recsys.recommending.user import User
from recsys.scorers.base import Scorer
from recsys.scorers.retrieval import EXHAUSTIVE_UP_TO

K = 10  # the length of the lists that metrics are computed on
WORTH_THREADS = 20_000  # items to score: with fewer, waiting for the interpreter costs threads more than they save
MIN_FRESH = 3  # fewer active items chosen since training are too few for a metric
WORTH_GATHERING = 4  # items are gathered where the catalogue is this many times larger
# The errors that lose one scorer's run; a damaged version is none of these, and fails the whole request.
FAILURES = (ArithmeticError, AttributeError, LookupError, MemoryError, OSError, RuntimeError, TypeError, ValueError)


@dataclass(frozen=True)
class Scored:
    """The scores of one scorer for a request.

    Attributes:
        model: The registry name.
        scores: `(n_items,)` or `(len(items),)` float32 logits; None where the run failed.
        fresh: P@10 and AP@10 on the recent holdout; None without one, or where the run failed.
        error: What went wrong, where the run failed.
        thread: Identity of the thread that scored.
        items: `(k,)` int32 ascending, the items that the scores belong to; None for the whole catalogue.
    """

    model: str
    scores: NDArray[np.float32] | None
    fresh: Metrics | None
    error: str | None
    thread: int
    items: NDArray[np.int32] | None = None

    def best(self, k: int, allowed: NDArray[np.bool_]) -> NDArray[np.int32]:
        """Return the indices of the `k` allowed items with the highest scores, best first.

        Args:
            k: Length of the list.
            allowed: `(n_items,)` bool.

        Raises:
            InternalError: The run failed.
        """
        return best(self._logits(), k, allowed, self.items)

    def score_of(self, item: int) -> float:
        """Return the logit of an item that was scored.

        Raises:
            InternalError: The run failed.
        """
        return float(self._logits()[item if self.items is None else np.searchsorted(self.items, item)])

    def _logits(self) -> NDArray[np.float32]:
        if self.scores is None:
            raise InternalError(f"{self.model} should have scores. Received: {self.error}.")
        return self.scores


@dataclass(frozen=True)
class RecentHoldout:
    """A test case for one user: items chosen after training, to be ranked from the history before.

    Attributes:
        relevant: `(n,)` int32 item indices, none hidden; at least `MIN_FRESH` are allowed, the others are misses.
        n_unreachable: The number of relevant items that training does not know.
        allowed: `(n_items,)` bool, without the items that the repeat rule hid at the end of training's data.
        items: `(k,)` int32 ascending, the candidate items, all of them allowed; None for the whole catalogue.
    """

    relevant: NDArray[np.int32]
    n_unreachable: int
    allowed: NDArray[np.bool_]
    items: NDArray[np.int32] | None

    @property
    def n_relevant(self) -> int:
        """The number of relevant items, including those that no list can hit."""
        return len(self.relevant) + self.n_unreachable


def build_recent_holdout(names: Sequence[str], user: User, ground_truth: NDArray[np.int32]) -> RecentHoldout | None:
    """Return the test case of events after `data_until`, or None where there are too few.

    Args:
        names: The scorers that will be evaluated on it.
        user: The user, with their events.
        ground_truth: `(n,)` int32 item indices that the client says were chosen.
    """
    hidden = user.hidden(until=user.bundle.data_until)
    fresh, n_unreachable = user.fresh()
    relevant = distinct({*fresh.tolist(), *ground_truth.tolist()} - set(hidden.tolist()))
    if user.bundle.items.active[relevant].sum() < MIN_FRESH:
        return None
    allowed = user.bundle.items.active.copy()
    allowed[hidden] = False
    query = user.query(until=user.bundle.data_until)
    return RecentHoldout(relevant, n_unreachable, allowed, retrieve_candidates(names, user, query, allowed, K))


def score_all(
    names: Sequence[str],
    user: User,
    holdout: RecentHoldout | None,
    items: NDArray[np.int32] | None = None,
    threads: int | None = None,
) -> list[Scored]:
    """Score with every named model; a model that fails loses only its own run.

    Args:
        names: Names of the registry.
        user: The user, with their query.
        holdout: The test case to evaluate each model on; None evaluates none.
        items: `(k,)` int32 ascending, the items to score; None scores the whole catalogue.
        threads: How many models score at once, from 1; None means one for each core if there are `WORTH_THREADS` items,
            else 1.

    Returns:
        One run for each name, in the same order.

    Raises:
        ModelRefused: The arrays of a model are damaged.
    """
    runs: dict[str, Scored] = {}
    errors: list[RecsysError] = []

    def run(name: str) -> None:
        try:
            runs[name] = score(name, user, holdout, items)
        except RecsysError as error:  # a thread's own errors would be lost
            errors.append(error)
        if user.bundle.may_outgrow_limit:
            trim_memory(user.bundle.resident_limit)

    n_items = len(user.bundle.items if items is None else items)
    fan_out(run, names, threads or (cores() if n_items >= WORTH_THREADS else 1))
    if errors:
        raise errors[0]
    return [runs[name] for name in names]


def cores() -> int:
    """Return the number of threads of this process that can run at once."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


def score(name: str, user: User, holdout: RecentHoldout | None, items: NDArray[np.int32] | None = None) -> Scored:
    """Return one scorer's run, which has an `error` where it failed.

    Args:
        name: A name of the registry.
        user: The user, with their query.
        holdout: The test case to evaluate the scorer on; None evaluates nothing.
        items: `(k,)` int32 ascending, the items to score; None scores the whole catalogue.

    Raises:
        ModelRefused: The scorer's arrays are damaged.
    """
    thread = threading.get_ident()
    if name not in user.bundle.names:
        return Scored(name, None, None, f"{name} is not part of this version: its training failed", thread)
    try:
        scorer = user.bundle.scorer(name)
        scores = scorer.score(user.query(), items)
        if not np.isfinite(scores).all():
            raise FloatingPointError(f"{name} should score finite numbers. Received: NaN or infinity.")
        fresh = _evaluate(scorer, user, holdout) if holdout else None
    except FAILURES as error:
        return Scored(name, None, None, f"{type(error).__name__}: {error}", thread)
    return Scored(name, scores, fresh, None, thread, items)


def best(
    scores: NDArray[np.float32], k: int, allowed: NDArray[np.bool_], items: NDArray[np.int32] | None = None
) -> NDArray[np.int32]:
    """Return the indices of the `k` allowed items with the highest scores, best first, as `top_k` ranks them.

    Args:
        scores: `(n_items,)` float32, or `(len(items),)`.
        k: Length of the list.
        allowed: `(n_items,)` bool.
        items: `(len(scores),)` int32 ascending, the items that the scores belong to; None for the whole catalogue.
    """
    return top_k(scores, k, allowed) if items is None else items[top_k(scores, k, allowed[items])]


def _evaluate(scorer: Scorer, user: User, holdout: RecentHoldout) -> Metrics:
    """Return the metrics of a ranking from the history up to `data_until`."""
    scores = scorer.score(user.query(until=user.bundle.data_until), holdout.items)
    top = best(scores, K, holdout.allowed, holdout.items)
    precision, average = (
        metric(top, holdout.relevant, k=K, n_relevant=holdout.n_relevant)
        for metric in (precision_at_k, average_precision_at_k)
    )
    return Metrics(precision, average)


@dataclass(frozen=True)
class ModelEvidence:
    """How well each scorer ranks for this user.

    Attributes:
        metrics: The metrics of each scorer that has some, by name.
        basis: Where the metrics come from.
        evidence: The user's own metrics, for the choice of the model; None where only the version's report has metrics.
    """

    metrics: Mapping[str, Metrics]
    basis: Basis
    evidence: Evidence | None


def pick_evidence(runs: Sequence[Scored], user: User, holdout: RecentHoldout | None) -> ModelEvidence:
    """Return the metrics of the freshest basis: events since training, held-out events, or the version's report.

    Args:
        runs: All runs of the request.
        user: The user, who may have held-out metrics in the version.
        holdout: The test case of events since training, where there is one.
    """
    if holdout:
        metrics = {run.model: run.fresh for run in runs if run.fresh}
        return ModelEvidence(metrics, "fresh", _evidence(metrics, holdout.n_relevant))
    heldout = _heldout(user) if user.known else None
    if heldout:
        return ModelEvidence(heldout[0], "heldout", _evidence(*heldout))
    offline = {name: Metrics(row["precision10"], row["map10"]) for name, row in user.bundle.offline.items()}
    return ModelEvidence(offline, "offline", None)


def _evidence(metrics: Mapping[str, Metrics], n_relevant: int) -> Evidence:
    """Return metrics as the choice of the model reads them."""
    average_precision = {name: of_model.map10 for name, of_model in metrics.items()}
    precision = {name: of_model.precision10 for name, of_model in metrics.items()}
    return Evidence(average_precision, n_relevant, precision)


def _heldout(user: User) -> tuple[dict[str, Metrics], int] | None:
    """Return the user's own metrics in the evaluation fit, and the number of relevant items behind them."""
    arrays = user.bundle.heldout
    row = int(arrays["rows"][user.index])
    if row < 0:
        return None
    metrics = {
        name: Metrics(float(arrays[f"{name}/precision10"][row]), float(arrays[f"{name}/map10"][row]))
        for name in user.bundle.evaluated_scorers
    }
    return metrics, int(arrays["n_relevant"][row])


def retrieve_candidates(
    names: Iterable[str], user: User, query: Query, allowed: NDArray[np.bool_], at_least: int
) -> NDArray[np.int32] | None:
    """Return the candidate items, which every model scores.

    Args:
        names: The scorers that will rank them.
        user: The user who is answered.
        query: The user's query.
        allowed: `(n_items,)` bool, the eligible items.
        at_least: The number of items that a list may need; where fewer are retrieved, all eligible items are scored.

    Returns:
        `(k,)` int32 ascending, all of them eligible; None for the whole catalogue, of which some may not be eligible.
    """
    bundle, n_allowed = user.bundle, int(np.count_nonzero(allowed))
    if n_allowed > EXHAUSTIVE_UP_TO and bundle.candidates is not None:
        scorers = [bundle.scorer(name) for name in names if name in bundle.names]
        retrieved = bundle.candidates.of(query, allowed, scorers)
        if len(retrieved) >= at_least:
            return retrieved
    return np.flatnonzero(allowed).astype(np.int32) if n_allowed * WORTH_GATHERING <= len(allowed) else None


T = TypeVar("T")


def fan_out(step: Callable[[T], None], values: Sequence[T], threads: int) -> None:
    """Call `step` with each value, in threads, and return when all calls have returned.

    Args:
        step: A function that does not raise: a thread's errors are lost.
        values: Its arguments; the first calls begin first.
        threads: The most calls at once, from 1. With 1 the caller's own thread makes them one after another.
    """
    if threads == 1:
        for value in values:
            step(value)
        return
    waiting = deque(values)

    def work() -> None:
        while True:
            try:
                value = waiting.popleft()  # a thread that is free takes the next value
            except IndexError:
                return
            step(value)

    workers = [threading.Thread(target=work, name=f"worker-{number}") for number in range(min(threads, len(values)))]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
