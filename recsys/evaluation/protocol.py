"""The exam: one ranking a user over the whole active catalogue, against what she chose after the cut."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys.data.cleaning import SECONDS_PER_DAY, is_event
from recsys.data.context import clock_context
from recsys.data.dataset import Dataset
from recsys.data.encoding import Encoders
from recsys.data.interactions import Interactions
from recsys.evaluation.calibration import Calibration
from recsys.evaluation.metrics import (
    auc,
    average_precision_at_k,
    bootstrap_interval,
    coverage,
    hit_rate_at_k,
    ndcg_at_k,
    precision_at_k,
    recall_at_k,
    rmse,
)
from recsys.evaluation.negatives import sampled_negatives
from recsys.evaluation.ranking import top_k
from recsys.features.query import Query
from recsys.scorers.base import Scorer
from recsys.settings import Shop

K = 10
RMSE_NEGATIVES = 4
RANKING_METRICS: Mapping[str, Callable[..., float]] = {
    "precision10": precision_at_k,
    "map10": average_precision_at_k,
    "ndcg10": ndcg_at_k,
    "hr10": hit_rate_at_k,
    "recall10": recall_at_k,
}


@dataclass(frozen=True)
class EvaluationCase:
    """One user of the exam.

    Attributes:
        query: What she is to be answered.
        relevant: Indices of known items that she chose after the cut, distinct, ascending.
        n_unreachable: Relevant items outside the encoder, distinct; like those of `relevant` that are not sold, no list
            can hit them.
        hidden: Indices that the repeat rule hides from her.
        candidates: Indices to rank; None ranks the whole active catalogue.
    """

    query: Query
    relevant: NDArray[np.int32]
    n_unreachable: int
    hidden: NDArray[np.int32]
    candidates: NDArray[np.int32] | None = None

    @property
    def n_relevant(self) -> int:
        """The number of relevant items, those that no list can hit among them."""
        return len(self.relevant) + self.n_unreachable


@dataclass(frozen=True)
class EvaluationSet:
    """All questions after one cut, under one repeat rule.

    Attributes:
        cases: One a user with something relevant.
        known: `(n_questions,)` bool, whether the user is known from before the cut.
        n_nothing_relevant: Users with events after the cut but nothing relevant; counted, not averaged.
        active: `(n_items,)` bool, items that may be answered.
        pairs: For each question, items that compete, for RMSE: the relevant ones first, four sampled ones for each.
    """

    cases: tuple[EvaluationCase, ...]
    known: NDArray[np.bool_]
    n_nothing_relevant: int
    active: NDArray[np.bool_]
    pairs: tuple[NDArray[np.int32], ...]

    def __len__(self) -> int:
        return len(self.cases)


def build_evaluation_set(
    past: Dataset,
    after: Interactions,
    encoders: Encoders,
    *,
    shop: Shop,
    active: NDArray[np.bool_],
    cut: int,
    repeat_after_days: float,
    rng: np.random.Generator,
    max_users: int,
) -> EvaluationSet:
    """Return the exam after a cut, with context as known at the cut.

    Args:
        past: Encoded events before the cut.
        after: Cleaned events at or after the cut, in external ids.
        encoders: Of the events before the cut.
        shop: Names the relevant events and the time zone.
        active: `(n_items,)` items that may be answered.
        cut: Seconds since 1970.
        repeat_after_days: The repeat rule: items bought within so many days before the cut are hidden and not relevant.
        rng: Source of randomness.
        max_users: A larger exam is sampled down to so many users.
    """
    cases = []
    for user, relevant, n_unreachable in _answers(after, encoders, shop):
        query = past.query(
            user, context=known_context(past, user, encoders, shop, cut), now=cut, repeats=repeat_after_days < np.inf
        )
        hidden = past.bought(user, cut - repeat_after_days * SECONDS_PER_DAY)
        kept = np.setdiff1d(relevant, hidden)
        asked = EvaluationCase(query, kept, n_unreachable, hidden)
        if asked.n_relevant:
            cases.append(asked)
    n_nothing_relevant = len(np.unique(after.users)) - len(cases)
    if len(cases) > max_users:
        cases = [cases[n] for n in np.sort(rng.choice(len(cases), max_users, replace=False))]
    return _evaluation_set(cases, past, n_nothing_relevant, active, rng)


def leave_one_out(
    past: Dataset,
    out: Interactions,
    encoders: Encoders,
    *,
    shop: Shop,
    rng: np.random.Generator,
    max_users: int,
    n_negatives: int = 99,
) -> EvaluationSet:
    """Return the exam of the seeds: each user's last item among 99 sampled items that she has not seen.

    A last event of negative weight is nothing relevant; a last item outside the encoder is a miss.

    Args:
        past: Encoded events without each user's last one.
        out: The last event of each user, in external ids.
        encoders: Of the events of `past`.
        shop: Names the event weights and the time zone.
        rng: Source of randomness.
        max_users: A larger exam is sampled down to so many users.
        n_negatives: Sampled items; fewer where the catalogue has no more.
    """
    chosen = out.take(_positive_rows(out, shop))
    n_nothing_relevant = len(out) - len(chosen)
    if len(chosen) > max_users:
        chosen = chosen.take(np.sort(rng.choice(len(chosen), max_users, replace=False)))
    users, items = encoders.users.indices(chosen.users), encoders.items.indices(chosen.items)
    answers = [items[n : n + 1][items[n : n + 1] < past.n_items] for n in range(len(chosen))]
    seen = [np.append(past.items[past.rows_of(user)], answer) for user, answer in zip(users, answers, strict=True)]
    negatives = sampled_negatives(rng, seen, past.n_items, n_negatives)
    nothing = np.zeros(0, np.int32)
    cases = []
    for user, now, answer, others in zip(users.tolist(), chosen.timestamps.tolist(), answers, negatives, strict=True):
        query = past.query(user, context=known_context(past, user, encoders, shop, now), now=now, repeats=True)
        cases.append(EvaluationCase(query, answer, 1 - len(answer), nothing, np.append(others, answer)))
    return _evaluation_set(cases, past, n_nothing_relevant, np.ones(past.n_items, bool), rng)


def _evaluation_set(
    cases: list[EvaluationCase], past: Dataset, n_nothing: int, active: NDArray[np.bool_], rng: np.random.Generator
) -> EvaluationSet:
    known = np.array([case.query.user < past.n_users for case in cases], bool)
    pairs = tuple(_pairs(case, active, rng) for case in cases)
    return EvaluationSet(tuple(cases), known, n_nothing, active, pairs)


def _answers(after: Interactions, encoders: Encoders, shop: Shop) -> Iterator[tuple[int, NDArray[np.int32], int]]:
    """Yield for each user after the cut with something relevant: her index, the known relevant items, the number of unknown ones."""
    chosen = after.take(_relevant_rows(after, shop))
    _, owners = np.unique(chosen.users, return_inverse=True)
    users, items = encoders.users.indices(chosen.users), encoders.items.indices(chosen.items)
    order = np.argsort(owners, kind="stable")
    for rows in np.split(order, np.flatnonzero(np.diff(owners[order])) + 1) if len(order) else []:
        known = items[rows] < encoders.items.unknown
        yield int(users[rows[0]]), np.unique(items[rows][known]), len(set(chosen.items[rows][~known].tolist()))


def _relevant_rows(after: Interactions, shop: Shop) -> NDArray[np.bool_]:
    """Return the held-out purchases and carts; any positive event where the set has none of them."""
    relevant = is_event(after, shop.relevant_events)
    return relevant if relevant.any() else _positive_rows(after, shop)


def _positive_rows(events: Interactions, shop: Shop) -> NDArray[np.bool_]:
    return is_event(events, [name for name, weight in shop.event_weights.items() if weight > 0])


def known_context(past: Dataset, user: int, encoders: Encoders, shop: Shop, now: int) -> NDArray[np.int32]:
    """Return `(m,)` int32: the clock at a moment, and what the user's newest event tells of the rest."""
    context = encoders.contexts.encode(clock_context(now, shop.time_zone))
    rows = past.rows_of(user)
    if rows.start < rows.stop:
        newest = rows.stop - 1
        for n, name in enumerate(encoders.contexts.features):
            if name == "category":
                context[n] = encoders.item_categories[past.items[newest]]
            elif name in shop.context_columns:
                context[n] = past.contexts[newest, n]
    return context


def _pairs(case: EvaluationCase, active: NDArray[np.bool_], rng: np.random.Generator) -> NDArray[np.int32]:
    """Return the relevant items that compete, then four sampled competitors for each."""
    allowed = allowed_items(case, active)
    relevant = case.relevant[allowed[case.relevant]]
    sampled = rng.choice(np.flatnonzero(allowed), RMSE_NEGATIVES * len(relevant)).astype(np.int32)
    return np.concatenate([relevant, sampled])


@dataclass(frozen=True)
class EvaluationResult:
    """What one scorer made of an exam.

    Attributes:
        per_user: `(n_questions,)` float64 of each metric; NaN where undefined.
        lists: The top 10 of each question.
        pair_logits: Scores of the exam's pairs, question after question.
        pair_labels: Whether each pair was relevant.
        n_unreachable: Relevant items that cannot be recommended, over all questions: they are in no pair.
    """

    per_user: Mapping[str, NDArray[np.float64]]
    lists: tuple[NDArray[np.int32], ...]
    pair_logits: NDArray[np.float32]
    pair_labels: NDArray[np.bool_]
    n_unreachable: int = 0


def evaluate_one(scorer: Scorer, evaluation_set: EvaluationSet) -> EvaluationResult:
    """Let one scorer sit an exam."""
    return evaluate_all({"": scorer}, evaluation_set)[""]


def evaluate_all(scorers: Mapping[str, Scorer], evaluation_set: EvaluationSet) -> dict[str, EvaluationResult]:
    """Let scorers sit an exam together, question after question, so that what they have in common is computed once.

    Each question is asked as a copy: an exam does not keep what its questions were answered.
    """
    metrics: dict[str, dict[str, list[float]]] = {
        name: {metric: [] for metric in (*RANKING_METRICS, "auc")} for name in scorers
    }
    lists: dict[str, list[NDArray[np.int32]]] = {name: [] for name in scorers}
    logits: dict[str, list[NDArray[np.float32]]] = {name: [np.zeros(0, np.float32)] for name in scorers}
    labels, n_unreachable = [np.zeros(0, bool)], 0
    for case, pairs in zip(evaluation_set.cases, evaluation_set.pairs, strict=True):
        asked, allowed = replace(case.query), allowed_items(case, evaluation_set.active)
        relevant = np.zeros(len(allowed), bool)
        relevant[case.relevant] = True
        labels.append(relevant[pairs])
        n_unreachable += case.n_relevant - int(allowed[case.relevant].sum())
        for name, scorer in scorers.items():
            scores = scorer.score(asked)
            top = top_k(scores, K, allowed)
            for metric, measured in RANKING_METRICS.items():
                metrics[name][metric].append(measured(top, case.relevant, k=K, n_relevant=case.n_relevant))
            metrics[name]["auc"].append(auc(scores, relevant, allowed, n_relevant=case.n_relevant))
            lists[name].append(top)
            logits[name].append(scores[pairs])
    return {
        name: EvaluationResult(
            {metric: np.array(values, np.float64) for metric, values in metrics[name].items()},
            tuple(lists[name]),
            np.concatenate(logits[name]),
            np.concatenate(labels),
            n_unreachable,
        )
        for name in scorers
    }


def mean_average_precision(scorer: Scorer, evaluation_set: EvaluationSet, limit: int = 2000) -> float:
    """Return MAP@10 over the known users of an exam, evenly thinned out to so many: a quick mark to choose by.

    Args:
        scorer: Anything that scores.
        evaluation_set: Of the validation part.
        limit: Users asked at most.
    """
    known = np.flatnonzero(evaluation_set.known)
    asked = [evaluation_set.cases[n] for n in known[np.linspace(0, len(known) - 1, min(limit, len(known))).astype(int)]]
    result = []
    for case in asked:
        top = top_k(scorer.score(replace(case.query)), K, allowed_items(case, evaluation_set.active))
        result.append(average_precision_at_k(top, case.relevant, n_relevant=case.n_relevant))
    return float(np.mean(result)) if result else 0.0


def allowed_items(case: EvaluationCase, active: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return `(n_items,)` which items compete in a question: its candidates or all active ones, without the hidden.

    Args:
        case: One user's.
        active: `(n_items,)` bool.
    """
    if case.candidates is None:
        allowed = active.copy()
    else:
        allowed = np.zeros_like(active)
        allowed[case.candidates] = True
    allowed[case.hidden] = False
    return allowed


def summarise(
    result: EvaluationResult, evaluation_set: EvaluationSet, calibration: Calibration | None, rng: np.random.Generator
) -> dict[str, Any]:
    """Return one row of the report: means over the known users, the interval of MAP@10, the unseen users apart.

    Args:
        result: Of one scorer.
        evaluation_set: The exam it sat.
        calibration: From logits to probabilities, fitted on validation; without it there is no RMSE.
        rng: Source of the bootstrap.
    """
    known = evaluation_set.known
    row: dict[str, Any] = {name: _mean(values[known]) for name, values in result.per_user.items()}
    row["map10_low"], row["map10_high"] = (
        bootstrap_interval(result.per_user["map10"][known], rng) if known.any() else (None, None)
    )
    row["rmse"] = (
        _rmse(result, calibration) if calibration and (len(result.pair_labels) or result.n_unreachable) else None
    )
    row["coverage"] = coverage(result.lists, max(int(evaluation_set.active.sum()), 1))
    row["users"] = int(known.sum())
    row["unseen_users"] = int((~known).sum())
    row["unseen_map10"] = _mean(result.per_user["map10"][~known])
    return row


def _rmse(result: EvaluationResult, calibration: Calibration) -> float:
    """Return the RMSE of the pairs and of the misses: what cannot be recommended has the probability 0, and was chosen."""
    predicted = np.append(calibration.apply(result.pair_logits), np.zeros(result.n_unreachable))
    return rmse(predicted, np.append(result.pair_labels, np.ones(result.n_unreachable)))


def _mean(values: NDArray[np.float64]) -> float | None:
    return float(np.nanmean(values)) if np.isfinite(values).any() else None


def calibrate(result: EvaluationResult) -> Calibration | None:
    """Return the map from a scorer's logits to probabilities, or None where the exam had no pairs of both kinds."""
    if not result.pair_labels.any() or result.pair_labels.all():
        return None
    return Calibration.fit(result.pair_logits, result.pair_labels)
