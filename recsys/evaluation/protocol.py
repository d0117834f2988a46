"""The evaluation protocol: the test cases after a cut.

For each user, a scorer ranks the whole active catalogue, or their last item among sampled ones. The ranking is compared
with the items that the user chose after the cut, see `recsys.evaluation.results`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from recsys.data.context import clock_context
from recsys.data.dataset import Dataset
from recsys.data.encoding import Encoders
from recsys.data.interactions import Interactions, is_event
from recsys.data.purchases import window_start
from recsys.errors.records import Record
from recsys.features.query import Indices, Mask, Query
from recsys.settings import Shop

RMSE_NEGATIVES = 4  # sampled items for each relevant item


class EvaluationCase(Record):
    """One test case: a user's query at the cut, and their relevant items after it.

    Attributes:
        query: The user's query; its history ends before the cut.
        relevant: `(r,)` int32, indices of known items that the user chose after the cut, distinct, ascending.
        n_unreachable: The number of distinct relevant items outside the encoder; no list can hold them.
        hidden: `(h,)` int32, indices of items that the repeat rule hides.
        candidates: `(c,)` int32, indices of the items to rank; None ranks the whole active catalogue.
    """

    query: Query
    relevant: Indices
    n_unreachable: int
    hidden: Indices
    candidates: Indices | None = None

    @property
    def n_relevant(self) -> int:
        """The number of relevant items, unreachable ones included."""
        return len(self.relevant) + self.n_unreachable


class EvaluationSet(Record):
    """The test cases after one cut, under one repeat rule.

    Attributes:
        cases: One test case for each user with a relevant item.
        known: `(n_cases,)` bool, whether the user has events before the cut.
        n_nothing_relevant: The number of users with events after the cut but no relevant item; they are not averaged.
        active: `(n_items,)` bool, the items that may be recommended.
        pairs: The items of each test case for RMSE, int32: relevant ones first, then four sampled ones for each.
    """

    cases: tuple[EvaluationCase, ...]
    known: Mask
    n_nothing_relevant: int
    active: Mask
    pairs: tuple[Indices, ...]

    def __len__(self) -> int:
        return len(self.cases)

    @property
    def n_relevant(self) -> NDArray[np.int64]:
        """The number of relevant items of each test case, `(n_cases,)` int64."""
        return np.array([case.n_relevant for case in self.cases], np.int64)


def build_evaluation_set(
    past: Dataset,
    after: Interactions,
    encoders: Encoders,
    *,
    shop: Shop,
    active: Mask,
    cut: int,
    repeat_after_days: float,
    rng: np.random.Generator,
    max_users: int,
) -> EvaluationSet:
    """Return the evaluation set after a cut, with the context that is known at the cut.

    Args:
        past: Encoded events before the cut.
        after: Cleaned events at or after the cut, in external ids.
        encoders: Encoders of the events before the cut.
        shop: Holds the relevant events and the time zone.
        active: `(n_items,)` bool, the items that may be recommended.
        cut: Seconds since 1970.
        repeat_after_days: The repeat rule: items bought within this number of days before the cut are hidden and not
            relevant.
        rng: Source of randomness.
        max_users: The largest number of users; more are sampled down.
    """
    cases = []
    for user, relevant, n_unreachable in _relevant_by_user(after, encoders, shop):
        context = known_context(past, user, encoders, shop, cut)
        query = past.query(user, context=context, now=cut, repeats=repeat_after_days < np.inf)
        hidden = past.bought(user, window_start(cut, repeat_after_days))
        case = EvaluationCase(query, np.setdiff1d(relevant, hidden), n_unreachable, hidden)
        if case.n_relevant:
            cases.append(case)
    n_nothing_relevant = len(np.unique(after.users)) - len(cases)
    cases = [cases[n] for n in sampled_cases(cases, max_users, rng)]
    return _evaluation_set(cases, past, n_nothing_relevant, active, rng)


def sampled_cases(cases: Sequence[EvaluationCase], limit: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Return the positions of at most `limit` test cases, ascending.

    Generators of one seed choose the same users, whatever other cases there are, so that repeat rules share their work.

    Args:
        cases: Test cases after one cut, in an order of users that does not depend on the repeat rule.
        limit: The largest number of cases.
        rng: Source of randomness.
    """
    users = np.array([case.query.user for case in cases], np.int64)
    order = np.argsort(users, kind="stable")
    place: NDArray[np.int64] = np.empty(len(users), np.int64)
    place[order] = np.arange(len(users)) - np.searchsorted(users[order], users[order])  # among cases of unseen users
    numbers = users + place  # the index of unseen users is the largest one
    draws = rng.random(int(numbers.max(initial=-1)) + 1)[numbers]
    return np.sort(np.argsort(draws, kind="stable")[:limit])


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
    """Return the leave-one-out set: each user's last item among 99 sampled items that the user has not seen.

    A last event of negative weight is not relevant. A last item outside the encoder is a miss.

    Args:
        past: Encoded events without each user's last one.
        out: The last event of each user, in external ids.
        encoders: Encoders of the events of `past`.
        shop: Holds the event weights and the time zone.
        rng: Source of randomness.
        max_users: The largest number of users; more are sampled down.
        n_negatives: The number of sampled items; fewer where the catalogue has no more.
    """
    chosen = out.take(_positive_rows(out, shop))
    n_nothing_relevant = len(out) - len(chosen)
    if len(chosen) > max_users:
        chosen = chosen.take(np.sort(rng.choice(len(chosen), max_users, replace=False)))
    users, items = encoders.users.indices(chosen.users), encoders.items.indices(chosen.items)
    last_items = [items[n : n + 1][items[n : n + 1] < past.n_items] for n in range(len(chosen))]
    seen = [np.append(past.items[past.rows_of(user)], last) for user, last in zip(users, last_items, strict=True)]
    negatives = sampled_negatives(rng, seen, past.n_items, n_negatives)
    no_items = np.zeros(0, np.int32)
    cases = []
    moments = chosen.timestamps.tolist()
    for user, now, last, sampled in zip(users.tolist(), moments, last_items, negatives, strict=True):
        query = past.query(user, context=known_context(past, user, encoders, shop, now), now=now, repeats=True)
        cases.append(EvaluationCase(query, last, 1 - len(last), no_items, np.append(sampled, last)))
    return _evaluation_set(cases, past, n_nothing_relevant, np.ones(past.n_items, bool), rng)


def sampled_negatives(
    rng: np.random.Generator, seen_by_user: Iterable[Indices], n_items: int, n: int = 99
) -> list[Indices]:
    """Return for each user up to `n` distinct items that the user has not seen, int32, in random order.

    A small catalogue may have fewer than `n` unseen items. The ranking is easier then, because chance is above 10 in
    100: print the number of candidates beside the metric.

    Args:
        rng: Source of randomness.
        seen_by_user: The item indices that each user has seen, including the relevant item, in any order.
        n_items: The number of items in the catalogue.
        n: The number of negatives for each user.
    """
    negatives = []
    for seen in seen_by_user:
        is_unseen = np.ones(n_items, bool)
        is_unseen[seen] = False
        unseen = np.flatnonzero(is_unseen)
        negatives.append(rng.choice(unseen, min(n, len(unseen)), replace=False).astype(np.int32))
    return negatives


def _evaluation_set(
    cases: list[EvaluationCase],
    past: Dataset,
    n_nothing_relevant: int,
    active: Mask,
    rng: np.random.Generator,
) -> EvaluationSet:
    known = np.array([case.query.user < past.n_users for case in cases], bool)
    pairs = tuple(_pairs(case, active, rng) for case in cases)
    return EvaluationSet(tuple(cases), known, n_nothing_relevant, active, pairs)


def _relevant_by_user(after: Interactions, encoders: Encoders, shop: Shop) -> Iterator[tuple[int, Indices, int]]:
    """Yield for each user with relevant items: their index, the known items, and the number of unknown items."""
    chosen = after.take(_relevant_rows(after, shop))
    _, user_codes = np.unique(chosen.users, return_inverse=True)
    users, items = encoders.users.indices(chosen.users), encoders.items.indices(chosen.items)
    order = np.argsort(user_codes, kind="stable")
    for rows in np.split(order, np.flatnonzero(np.diff(user_codes[order])) + 1) if len(order) else []:
        known = items[rows] < encoders.items.unknown
        yield int(users[rows[0]]), np.unique(items[rows][known]), len(set(chosen.items[rows][~known].tolist()))


def _relevant_rows(after: Interactions, shop: Shop) -> Mask:
    """Return the mask of relevant events, `(n,)` bool; without any of the shop's, all events of positive weight."""
    relevant = is_event(after, shop.relevant_events)
    return relevant if relevant.any() else _positive_rows(after, shop)


def _positive_rows(events: Interactions, shop: Shop) -> Mask:
    """Return which events have a positive weight, `(n,)` bool."""
    return is_event(events, [name for name, weight in shop.event_weights.items() if weight > 0])


def known_context(past: Dataset, user: int, encoders: Encoders, shop: Shop, now: int) -> Indices:
    """Return the context of a user at a moment, `(m,)` int32.

    Clock features are those of the moment. All other features come from the user's newest event; without events they
    are unknown.

    Args:
        past: Encoded events before the moment.
        user: An index; `past.n_users` for a user without events.
        encoders: Encoders of the events of `past`.
        shop: Holds the time zone and the context columns.
        now: Seconds since 1970.
    """
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


def _pairs(case: EvaluationCase, active: Mask, rng: np.random.Generator) -> Indices:
    """Return the relevant items that are allowed, then four sampled allowed items for each."""
    allowed = allowed_items(case, active)
    relevant = case.relevant[allowed[case.relevant]]
    sampled = rng.choice(np.flatnonzero(allowed), RMSE_NEGATIVES * len(relevant)).astype(np.int32)
    return np.concatenate([relevant, sampled])


def allowed_items(case: EvaluationCase, active: Mask) -> Mask:
    """Return which items are ranked in a test case, `(n_items,)` bool: candidates or active items, without hidden ones.

    Args:
        case: The test case.
        active: `(n_items,)` bool, the items that may be recommended.
    """
    if case.candidates is None:
        allowed = active.copy()
    else:
        allowed = np.zeros_like(active)
        allowed[case.candidates] = True
    allowed[case.hidden] = False
    return allowed
