"""The lists that every library evaluates; each is small enough to compute by hand."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from recsys.evaluation.metrics import auc, average_precision_at_k, hit_rate_at_k, ndcg_at_k, precision_at_k, recall_at_k
from recsys.evaluation.ranking import top_k

K = 10
FIGURES: Mapping[str, str] = {
    "precision": "P@10",
    "map": "AP@10",
    "ndcg": "NDCG@10",
    "hit_rate": "HR@10",
    "recall": "Recall@10",
    "auc": "AUC",
}
AT_K = {
    "precision": precision_at_k,
    "map": average_precision_at_k,
    "ndcg": ndcg_at_k,
    "hit_rate": hit_rate_at_k,
    "recall": recall_at_k,
}


@dataclass(frozen=True)
class User:
    """One user's list.

    Attributes:
        scores: Scores of the items 1, 2, 3 …; empty for a user without a list.
        relevant: The relevant items; an item without a score is in no list.
    """

    scores: Sequence[float]
    relevant: Sequence[int]


@dataclass(frozen=True)
class Case:
    """One or two users; a metric of the case is the mean over them.

    Attributes:
        title: Description for readers.
        users: The users with their lists.
    """

    title: str
    users: Sequence[User]


def _falling(n: int, first: float | None = None) -> list[float]:
    """Return n scores that fall by 1, to 1 unless the first is given."""
    return [float(n if first is None else first) - rank for rank in range(n)]


FIRST = User(_falling(12), [1])
CASES: Mapping[str, Case] = {
    "one": Case("12 items, the first is relevant", [FIRST]),
    "last": Case("12 items, the last is relevant", [User(_falling(12), [12])]),
    "two": Case("12 items, the first and the last are relevant", [User(_falling(12), [1, 12])]),
    "many": Case("30 items, the first 20 are relevant", [User(_falling(30), range(1, 21))]),
    "zero": Case("12 items, the first is relevant and scored 0, the others below", [User(_falling(12, 0.0), [1])]),
    "ties": Case("4 items with the same score, the second is relevant", [User([1.0] * 4, [2])]),
    "short": Case("3 items, the second is relevant", [User(_falling(3), [2])]),
    "all": Case("3 items, all of them relevant", [User(_falling(3), [1, 2, 3])]),
    "miss": Case("12 items; relevant are the first and an item that is not in the list", [User(_falling(12), [1, 13])]),
    "brief": Case("a list of one relevant item; four other relevant items are not in it", [User([1.0], range(1, 6))]),
    "nobody": Case("two users: one as in A, one without a relevant item", [FIRST, User(_falling(12), [])]),
    "unasked": Case("two users: one as in A, one with a relevant item but no list", [FIRST, User([], [1])]),
}


def as_json() -> dict[str, Any]:
    """Return the lists as a library's adapter reads them."""
    cases = {
        name: [{"scores": list(user.scores), "relevant": list(user.relevant)} for user in case.users]
        for name, case in CASES.items()
    }
    return {"k": K, "cases": cases}


def ours(users: Iterable[User]) -> dict[str, float | None]:
    """Return this project's figures: each is the mean over the users for whom it is defined, or None."""
    per_user: dict[str, list[float]] = {name: [] for name in FIGURES}
    for user in users:
        scores = np.array(user.scores, np.float32)
        relevant = np.array([item - 1 for item in user.relevant if item <= len(scores)], np.int32)
        ranked, n_relevant = top_k(scores, K), len(user.relevant)
        for name, metric in AT_K.items():
            per_user[name].append(metric(ranked, relevant, k=K, n_relevant=n_relevant))
        mask = np.zeros(len(scores), bool)
        mask[relevant] = True
        per_user["auc"].append(auc(scores, mask, n_relevant=n_relevant))
    defined = {name: [value for value in values if not np.isnan(value)] for name, values in per_user.items()}
    return {name: float(np.mean(values)) if values else None for name, values in defined.items()}
