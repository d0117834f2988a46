"""What the lists of scorers show, beside how often they are right: best-sellers, coverage, and the category in view."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys.errors.records import Record
from recsys.evaluation.protocol import EvaluationSet
from recsys.features.query import Indices, Mask

BEST_SELLERS = 100  # items that count as best-sellers; of a small catalogue, at most
BEST_SELLERS_SHARE = 0.1  # of it
NEWEST = 3  # events whose categories a user has in view


class ShownLists(Record, eq=False):
    """The lists of ten of several scorers, and what is needed to describe them.

    Attributes:
        lists: The lists of each scorer, one for each known user; at most ten items, best first.
        is_best_seller: `(n_items,)` bool.
        categories: `(n_items,)` int32, the category of each item.
        in_view: The categories of each user's newest events.
        n_active: The number of items that may be recommended.
    """

    lists: Mapping[str, Sequence[Indices]]
    is_best_seller: Mask
    categories: Indices
    in_view: Sequence[Indices]
    n_active: int

    def figures(self, scorer: str, users: Mask | None = None) -> dict[str, float | None]:
        """Return what one scorer shows to some users.

        Args:
            scorer: Its name.
            users: `(n,)` bool, the users; None for all.

        Returns:
            `best_sellers`, the share of the lists that are best-sellers; `coverage`, the share of the active items that
            some list has; `category`, the share of the lists in a category that the user has in view. None without
            users, and for `category` where the shop has fewer than two categories.
        """
        chosen = [n for n in range(len(self.in_view)) if users is None or users[n]]
        lists = [self.lists[scorer][n] for n in chosen]
        items = np.concatenate([np.zeros(0, np.int32), *lists])
        if not len(items):
            return dict.fromkeys(FIGURES)
        agrees = [np.isin(self.categories[ranked], self.in_view[n]) for n, ranked in zip(chosen, lists, strict=True)]
        has_categories = len(np.unique(self.categories)) > 1
        return {
            "best_sellers": float(self.is_best_seller[items].mean()),
            "coverage": len(np.unique(items)) / max(self.n_active, 1),
            "category": float(np.concatenate(agrees).mean()) if has_categories else None,
        }


FIGURES: Mapping[str, str] = {
    "best_sellers": "best-sellers in a list",
    "coverage": "products shown to anybody",
    "category": "products of a category in view",
}


def shown_lists(
    lists: Mapping[str, Sequence[Indices]],
    evaluation_set: EvaluationSet,
    popularity: NDArray[np.floating],
    item_categories: Indices,
) -> ShownLists:
    """Return the lists of known users with what describes them.

    Args:
        lists: The lists of each scorer, one for each test case.
        evaluation_set: The test cases.
        popularity: `(n_items,)`, the positive weights of each item's events before the cut.
        item_categories: `(n_items,)` int32, or longer; the category of each item.
    """
    active, categories = evaluation_set.active, item_categories[: len(popularity)]
    n_active = int(active.sum())
    n_best = min(BEST_SELLERS, max(1, int(BEST_SELLERS_SHARE * n_active)))
    best = np.argsort(-np.where(active, popularity, -1), kind="stable")[:n_best]
    is_best_seller = np.zeros(len(popularity), bool)
    is_best_seller[best] = True
    known = np.flatnonzero(evaluation_set.known).tolist()
    return ShownLists(
        {name: [ranked[n] for n in known] for name, ranked in lists.items()},
        is_best_seller,
        categories,
        [np.unique(categories[evaluation_set.cases[n].query.items[-NEWEST:]]) for n in known],
        n_active,
    )


def as_json(shown: ShownLists, segments: Mapping[str, Mask], scorers: Sequence[str]) -> dict[str, Any]:
    """Return the figures of some scorers in each segment of users with anybody in it.

    Args:
        shown: The lists.
        segments: `(n,)` bool, the users of each segment.
        scorers: Their names.
    """
    return {
        segment: {"users": int(users.sum()), **{name: shown.figures(name, users) for name in scorers}}
        for segment, users in segments.items()
        if users.any()
    }
