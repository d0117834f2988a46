"""The four models side by side: each in a thread of its own, each judged on the best evidence there is."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recsys.contract import Basis, Metrics
from recsys.errors import RecsysError
from recsys.ids import distinct
from recsys.metrics import average_precision_at_k, precision_at_k
from recsys.ranking import top_k
from recsys.recommending.customer import Customer
from recsys.recommending.loading import Loaded
from recsys.scorers import Scorer
from recsys.selection import Evidence

K = 10
MIN_FRESH = 3  # fewer items chosen since training say nothing about a ranking
# What a scorer may fail with; a damaged version is none of these, and is refused as a whole.
FAILURES = (ArithmeticError, AttributeError, LookupError, MemoryError, OSError, RuntimeError, TypeError, ValueError)


@dataclass(frozen=True)
class Scored:
    """One scorer's run.

    Attributes:
        model: The registry name.
        scores: `(n_items,)` float32 logits; None where the run failed.
        fresh: P@10 and AP@10 on what the customer chose since training; None without enough of it.
        error: What went wrong.
        thread: Identity of the thread that scored.
    """

    model: str
    scores: NDArray[np.float32] | None
    fresh: Metrics | None
    error: str | None
    thread: int


@dataclass(frozen=True)
class FreshExam:
    """What the customer chose after training, to be ranked from what she had done before.

    Attributes:
        relevant: Item indices, at least three, none of them hidden.
        hidden: Item indices that the repeat rule hid at the end of training's data.
    """

    relevant: NDArray[np.int32]
    hidden: NDArray[np.int32]


def fresh_exam(customer: Customer, ground_truth: NDArray[np.int32]) -> FreshExam | None:
    """Return the exam made of events after `data_until`, or None where there are too few.

    Args:
        customer: Who asks.
        ground_truth: Item indices that the client vouches for.
    """
    hidden = customer.hidden(until=customer.loaded.data_until)
    relevant = distinct({*customer.fresh().tolist(), *ground_truth.tolist()} - set(hidden.tolist()))
    return FreshExam(relevant, hidden) if len(relevant) >= MIN_FRESH else None


def score_all(names: Sequence[str], customer: Customer, exam: FreshExam | None) -> list[Scored]:
    """Score with every named model at once, one thread each; one that fails loses its own run only.

    Raises:
        ModelRefused: The arrays of one are damaged.
    """
    runs: dict[str, Scored] = {}
    refusals: list[RecsysError] = []

    def run(name: str) -> None:
        try:
            runs[name] = score(name, customer, exam)
        except RecsysError as refusal:  # left in a thread, it would reach nobody
            refusals.append(refusal)

    tasks = [threading.Thread(target=run, args=(name,), name=f"score-{name}") for name in names]
    for task in tasks:
        task.start()
    for task in tasks:
        task.join()
    if refusals:
        raise refusals[0]
    return [runs[name] for name in names]


def score(name: str, customer: Customer, exam: FreshExam | None) -> Scored:
    """Return one scorer's run."""
    thread = threading.get_ident()
    if name not in customer.loaded.names:
        return Scored(name, None, None, f"{name} is not part of this version: its training failed", thread)
    try:
        scorer = customer.loaded.scorer(name)
        scores = scorer.score(customer.query())
        if not np.isfinite(scores).all():
            raise FloatingPointError(f"{name} should score finite numbers. Received: NaN or infinity.")
        fresh = _judge(scorer, customer, exam) if exam else None
    except FAILURES as error:
        return Scored(name, None, None, f"{type(error).__name__}: {error}", thread)
    return Scored(name, scores, fresh, None, thread)


def _judge(scorer: Scorer, customer: Customer, exam: FreshExam) -> Metrics:
    """Return the figures of a ranking made from the history that stops where training's data stops."""
    scores = scorer.score(customer.query(until=customer.loaded.data_until))
    allowed = customer.loaded.items.active.copy()
    allowed[exam.hidden] = False
    top = top_k(scores, K, allowed)
    return Metrics(precision_at_k(top, exam.relevant, k=K), average_precision_at_k(top, exam.relevant, k=K))


@dataclass(frozen=True)
class Judgement:
    """How good each scorer is for this customer, and on what basis that is said.

    Attributes:
        metrics: Of each scorer that has a figure.
        basis: Where the figures come from.
        evidence: What the choice of the model may rest on; None where there are only the version's own figures.
    """

    metrics: Mapping[str, Metrics]
    basis: Basis
    evidence: Evidence | None


def judge(runs: Sequence[Scored], customer: Customer, exam: FreshExam | None) -> Judgement:
    """Return the figures of the freshest basis: events since training, else her held-out events, else the version's report."""
    if exam:
        metrics = {run.model: run.fresh for run in runs if run.fresh}
        return Judgement(metrics, "fresh", _evidence(metrics, len(exam.relevant)))
    heldout = _heldout(customer.loaded, customer.index) if customer.known else None
    if heldout:
        return Judgement(heldout[0], "heldout", _evidence(*heldout))
    offline = {name: Metrics(row["precision10"], row["map10"]) for name, row in customer.loaded.offline.items()}
    return Judgement(offline, "offline", None)


def _evidence(metrics: Mapping[str, Metrics], n_relevant: int) -> Evidence:
    return Evidence(
        {name: figures.map10 for name, figures in metrics.items()},
        n_relevant,
        {name: figures.precision10 for name, figures in metrics.items()},
    )


def _heldout(loaded: Loaded, user: int) -> tuple[dict[str, Metrics], int] | None:
    """Return the customer's own figures of the evaluation fit, and how many items they rest on."""
    arrays = loaded.heldout
    row = int(arrays["rows"][user])
    if row < 0:
        return None
    names = [key.removesuffix("/map10") for key in arrays if key.endswith("/map10")]
    figures = {name: Metrics(float(arrays[f"{name}/precision10"][row]), float(arrays[f"{name}/map10"][row])) for name in names}
    return figures, int(arrays["n_relevant"][row])
