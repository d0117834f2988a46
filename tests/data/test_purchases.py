import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from recsys.data.cleaning import clean_history, valid_history
from recsys.data.interactions import Interactions
from recsys.data.purchases import bought_rows, cancelled_rows, cart_rows, window_start
from tests.helpers.purchases import CART_CASES, CASES, NOW, CartCase, Case, Event, cart_shop_of, shop_of

DAY = 86_400
BUY, CANCEL, CART, VIEW, REMOVED = "purchase", "cancel", "cart", "view", "uncart"


def interactions(events: Sequence[Event], now: int = NOW) -> Interactions:
    """Return a case's events; reading drops those without an item before this."""
    rows = [(name, item, now - age) for name, item, age in events if item is not None]
    names = tuple(dict.fromkeys(name for name, _, _ in rows))
    return Interactions(
        users=np.zeros(len(rows), np.int64),
        items=np.array([item for _, item, _ in rows], np.int64),
        events=np.array([names.index(name) for name, _, _ in rows], np.int16),
        timestamps=np.array([timestamp for _, _, timestamp in rows], np.int64),
        row_ids=np.arange(len(rows)),
        event_names=names,
    )


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_items_of_the_cleaned_purchases_are_bought(case: Case) -> None:
    shop = shop_of(case)

    cleaned, _ = clean_history(interactions(case.events, case.now), shop=shop, now=case.now)

    assert sorted(set(cleaned.items[bought_rows(cleaned, shop, case.now)].tolist())) == case.bought


def test_events_that_still_hold_their_cancellations_give_the_same_rows() -> None:
    [case] = [case for case in CASES if case.name == "bought before and in the window, cancelled once"]
    rows = interactions(case.events)

    assert bought_rows(rows, shop_of(case), NOW).tolist() == [False, False, False]
    assert bought_rows(rows.take(np.array([0, 1])), shop_of(case), NOW).tolist() == [False, True]


def test_users_have_purchases_of_their_own() -> None:
    rows = Interactions(
        users=np.array(["ann", "ben", "ann"], object),
        items=np.array(["cup"] * 3, object),
        events=np.array([0, 0, 1], np.int16),
        timestamps=np.array([1, 2, 3]),
        row_ids=np.arange(3),
        event_names=("purchase", "cancel"),
    )

    assert bought_rows(rows, shop_of(CASES[0]), NOW).tolist() == [False, True, False]


def test_the_window_starts_its_days_before_now() -> None:
    assert window_start(NOW, 30) == NOW - 30 * DAY
    assert window_start(NOW, math.inf) == -math.inf
    assert window_start(NOW, 0) == math.inf


def cancelled(*rows: tuple[object, object, str]) -> list[bool]:
    users, items, names = (np.array(column, object) for column in zip(*rows, strict=True))
    return cancelled_rows(users, items, names == BUY, names == CANCEL).tolist()


def test_a_cancel_annuls_the_newest_purchase_that_still_stands() -> None:
    assert cancelled((1, 5, BUY), (1, 5, BUY), (1, 5, CANCEL)) == [False, True, True]
    assert cancelled((1, 5, BUY), (1, 5, BUY), (1, 5, CANCEL), (1, 5, CANCEL)) == [True, True, True, True]
    assert cancelled((1, 5, BUY), (1, 5, CANCEL), (1, 5, BUY)) == [True, True, False]
    assert cancelled((1, 5, BUY), (1, 5, BUY), (1, 5, CANCEL), (1, 5, BUY), (1, 5, CANCEL)) == [
        False,
        True,
        True,
        True,
        True,
    ]


def test_a_cancel_without_a_purchase_before_it_is_dropped_alone() -> None:
    assert cancelled((1, 5, CANCEL), (1, 5, BUY)) == [True, False]
    assert cancelled((1, 5, BUY), (1, 5, CANCEL), (1, 5, CANCEL), (1, 5, BUY)) == [True, True, True, False]


def test_a_cancel_touches_no_other_user_item_or_event() -> None:
    rows = [("a", "x", BUY), ("b", "x", BUY), ("a", "y", BUY), ("a", "x", CART), ("a", "x", VIEW), ("a", "x", CANCEL)]

    assert cancelled(*rows) == [True, False, False, False, False, True]


def test_without_cancels_nothing_is_cancelled() -> None:
    assert cancelled((1, 5, BUY), (1, 5, VIEW)) == [False, False]


@pytest.mark.parametrize("days", [0, math.inf], ids=["repeats allowed", "repeats hidden"])
@pytest.mark.parametrize("case", CART_CASES, ids=lambda case: case.name)
def test_the_cart_holds_what_no_purchase_cancellation_or_removal_follows(case: CartCase, days: float) -> None:
    shop = replace(cart_shop_of(case), repeat_after_days=days)
    valid, _ = valid_history(interactions(case.events), shop=shop, now=NOW)
    assert sorted(set(valid.items[cart_rows(valid, shop, NOW)].tolist())) == case.cart


def test_training_learns_from_removals_only_if_they_have_a_weight() -> None:
    rows = interactions([(CART, 1, 50), (REMOVED, 1, 40)])
    plain = shop_of(CASES[0])
    weighted = replace(plain, event_weights={**plain.event_weights, REMOVED: -0.3})

    kept, report = clean_history(rows, shop=plain, now=NOW)
    assert (len(kept), report.dropped) == (1, {"unweighted event": 1})
    assert len(clean_history(rows, shop=weighted, now=NOW)[0]) == 2
