"""The four models side by side: each in a thread of its own, each judged on the best evidence there is."""

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

K = 10
WORTH_THREADS = 20_000  # items to score: with fewer, threads wait for each other's interpreter longer than they save
MIN_FRESH = 3  # fewer items chosen since training, of those that can be recommended, say nothing about a ranking
# What a scorer may fail with; a damaged version is none of these, and is refused as a whole.
FAILURES = (ArithmeticError, AttributeError, LookupError, MemoryError, OSError, RuntimeError, TypeError, ValueError)


@dataclass(frozen=True)
class Scored:
    """One scorer's run.

    Attributes:
        model: The registry name.
        scores: `(n_items,)` or `(len(items),)` float32 logits; None where the run failed.
        fresh: P@10 and AP@10 on what the customer chose since training; None without enough of it.
        error: What went wrong.
        thread: Identity of the thread that scored.
        items: `(k,)` int32 ascending, the items that the scores are of; None for the whole catalogue.
    """

    model: str
    scores: NDArray[np.float32] | None
    fresh: Metrics | None
    error: str | None
    thread: int
    items: NDArray[np.int32] | None = None

    def best(self, k: int, allowed: NDArray[np.bool_]) -> NDArray[np.int32]:
        """Return the indices of the `k` items with the highest scores that are allowed, best first.

        Raises:
            InternalError: The run failed.
        """
        return best(self._logits(), k, allowed, self.items)

    def score_of(self, item: int) -> float:
        """Return the score of an item that competed.

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
    """What the customer chose after training, to be ranked from what she had done before.

    Attributes:
        relevant: Item indices, none of them hidden; at least three are allowed, the others are misses.
        n_unreachable: Relevant items that training does not know.
        allowed: `(n_items,)` bool, without the items that the repeat rule hid at the end of training's data.
        items: `(k,)` int32 ascending, the items that compete, all of them allowed; None for the whole catalogue.
    """

    relevant: NDArray[np.int32]
    n_unreachable: int
    allowed: NDArray[np.bool_]
    items: NDArray[np.int32] | None

    @property
    def n_relevant(self) -> int:
        """The number of relevant items, those that no list can hit among them."""
        return len(self.relevant) + self.n_unreachable


def build_recent_holdout(names: Sequence[str], user: User, ground_truth: NDArray[np.int32]) -> RecentHoldout | None:
    """Return the exam made of events after `data_until`, or None where there are too few.

    Args:
        names: The scorers that will sit it.
        user: Who asks.
        ground_truth: Item indices that the client vouches for.
    """
    hidden = user.hidden(until=user.bundle.data_until)
    chosen, n_unreachable = user.fresh()
    relevant = distinct({*chosen.tolist(), *ground_truth.tolist()} - set(hidden.tolist()))
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
    """Score with every named model, those of a large catalogue at once; one that fails loses its own run only.

    Args:
        names: Of the registry.
        user: Who asks.
        holdout: What she chose since training; None without enough of it.
        items: `(k,)` int32 ascending, the items to score; None scores the whole catalogue.
        threads: How many score at once, from 1; None means as many as there are cores where there is enough to score,
            else 1.

    Raises:
        ModelRefused: The arrays of one are damaged.
    """
    runs: dict[str, Scored] = {}
    refusals: list[RecsysError] = []

    def run(name: str) -> None:
        try:
            runs[name] = score(name, user, holdout, items)
        except RecsysError as refusal:  # left in a thread, it would reach nobody
            refusals.append(refusal)
        if user.bundle.may_outgrow_limit:
            trim_memory(user.bundle.resident_limit)

    n_items = len(user.bundle.items if items is None else items)
    fan_out(run, names, threads or (cores() if n_items >= WORTH_THREADS else 1))
    if refusals:
        raise refusals[0]
    return [runs[name] for name in names]


def cores() -> int:
    """Return how many threads of this process can run at once."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


def score(name: str, user: User, holdout: RecentHoldout | None, items: NDArray[np.int32] | None = None) -> Scored:
    """Return one scorer's run."""
    thread = threading.get_ident()
    if name not in user.bundle.names:
        return Scored(name, None, None, f"{name} is not part of this version: its training failed", thread)
    try:
        scorer = user.bundle.scorer(name)
        scores = scorer.score(user.query(), items)
        if not np.isfinite(scores).all():
            raise FloatingPointError(f"{name} should score finite numbers. Received: NaN or infinity.")
        fresh = _judge(scorer, user, holdout) if holdout else None
    except FAILURES as error:
        return Scored(name, None, None, f"{type(error).__name__}: {error}", thread)
    return Scored(name, scores, fresh, None, thread, items)


def best(
    scores: NDArray[np.float32], k: int, allowed: NDArray[np.bool_], items: NDArray[np.int32] | None = None
) -> NDArray[np.int32]:
    """Return the indices of the `k` items with the highest scores that are allowed, best first; see `recsys.evaluation.ranking.top_k`.

    Args:
        scores: `(n_items,)` float32, or `(len(items),)`.
        k: Length of the list.
        allowed: `(n_items,)` bool.
        items: `(len(scores),)` int32 ascending, what the scores are of; None for the whole catalogue.
    """
    return top_k(scores, k, allowed) if items is None else items[top_k(scores, k, allowed[items])]


def _judge(scorer: Scorer, user: User, holdout: RecentHoldout) -> Metrics:
    """Return the figures of a ranking made from the history that stops where training's data stops."""
    scores = scorer.score(user.query(until=user.bundle.data_until), holdout.items)
    top = best(scores, K, holdout.allowed, holdout.items)
    precision, average = (
        metric(top, holdout.relevant, k=K, n_relevant=holdout.n_relevant)
        for metric in (precision_at_k, average_precision_at_k)
    )
    return Metrics(precision, average)


@dataclass(frozen=True)
class ModelEvidence:
    """How good each scorer is for this customer, and on what basis that is said.

    Attributes:
        metrics: Of each scorer that has a figure.
        basis: Where the figures come from.
        evidence: What the choice of the model may rest on; None where there are only the version's own figures.
    """

    metrics: Mapping[str, Metrics]
    basis: Basis
    evidence: Evidence | None


def pick_evidence(runs: Sequence[Scored], user: User, holdout: RecentHoldout | None) -> ModelEvidence:
    """Return the figures of the freshest basis: events since training, else her held-out events, else the version's report."""
    if holdout:
        metrics = {run.model: run.fresh for run in runs if run.fresh}
        return ModelEvidence(metrics, "fresh", _evidence(metrics, holdout.n_relevant))
    heldout = _heldout(user) if user.known else None
    if heldout:
        return ModelEvidence(heldout[0], "heldout", _evidence(*heldout))
    offline = {name: Metrics(row["precision10"], row["map10"]) for name, row in user.bundle.offline.items()}
    return ModelEvidence(offline, "offline", None)


def _evidence(metrics: Mapping[str, Metrics], n_relevant: int) -> Evidence:
    return Evidence(
        {name: figures.map10 for name, figures in metrics.items()},
        n_relevant,
        {name: figures.precision10 for name, figures in metrics.items()},
    )


def _heldout(user: User) -> tuple[dict[str, Metrics], int] | None:
    """Return the customer's own figures of the evaluation fit, and how many items they rest on."""
    arrays = user.bundle.heldout
    row = int(arrays["rows"][user.index])
    if row < 0:
        return None
    names = user.bundle.evaluated_scorers
    figures = {
        name: Metrics(float(arrays[f"{name}/precision10"][row]), float(arrays[f"{name}/map10"][row])) for name in names
    }
    return figures, int(arrays["n_relevant"][row])


FEW = 4  # items so many times fewer than the catalogue are gathered and scored; more are not worth gathering


def retrieve_candidates(
    names: Iterable[str], user: User, query: Query, allowed: NDArray[np.bool_], at_least: int
) -> NDArray[np.int32] | None:
    """Return the items to score.

    Args:
        names: The scorers that will rank them.
        user: Who asks.
        query: Her question.
        allowed: `(n_items,)` bool, the items that may be answered.
        at_least: So many are needed; where fewer are promising, all that may be answered compete.

    Returns:
        `(k,)` int32 ascending, all of them allowed; None for the whole catalogue, of which some may not be allowed.
    """
    bundle, n_allowed = user.bundle, int(np.count_nonzero(allowed))
    if n_allowed > EXHAUSTIVE_UP_TO and bundle.candidates is not None:
        scorers = [bundle.scorer(name) for name in names if name in bundle.names]
        retrieved = bundle.candidates.of(query, allowed, scorers)
        if len(retrieved) >= at_least:
            return retrieved
    return np.flatnonzero(allowed).astype(np.int32) if n_allowed * FEW <= len(allowed) else None


T = TypeVar("T")


def fan_out(step: Callable[[T], None], values: Sequence[T], threads: int) -> None:
    """Take a step for each value and return when all are done.

    Args:
        step: Must not raise: in a thread of its own nobody would hear of it.
        values: What to take it for; the first ones begin first.
        threads: How many steps may be under way at once, from 1. With 1 the caller's own thread takes them one after
            another.
    """
    if threads == 1:
        for value in values:
            step(value)
        return
    left = deque(values)

    def work() -> None:
        while True:
            try:
                value = left.popleft()  # whoever is free takes the next
            except IndexError:
                return
            step(value)

    workers = [threading.Thread(target=work, name=f"worker-{number}") for number in range(min(threads, len(values)))]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
