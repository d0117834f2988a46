import numpy as np
import pytest
from numpy.testing import assert_array_equal

from recsys.data.cleaning import (
    CleanReport,
    add_counts,
    bot_rows,
    clean,
    clean_history,
    confidences,
    duplicate_rows,
    frequent_ids,
)
from recsys.data.interactions import Interactions
from recsys.settings import Shop, Training

DAY = 86_400
NOW = 1_700_000_000
SHOP = Shop(sources=(), products="")
EVENTS = ("view", "cart", "purchase", "cancel", "scroll")
VIEW, CART, BUY, CANCEL, SCROLL = range(5)


def events_of(*rows: tuple[object, object, int, int]) -> Interactions:
    """Return (user, item, event, timestamp) rows as interactions; row ids count from 0."""
    users, items, events, timestamps = zip(*rows, strict=True) if rows else ((), (), (), ())
    kind = object if isinstance(rows[0][0] if rows else 0, str) else np.int64
    return Interactions(
        users=np.array(users, kind),
        items=np.array(items, kind),
        events=np.array(events, np.int16),
        timestamps=np.array(timestamps, np.int64),
        row_ids=np.arange(len(rows)),
        event_names=EVENTS,
    )


def test_a_row_that_repeats_an_earlier_one_in_all_four_columns_is_a_duplicate() -> None:
    rows = events_of(
        (1, 5, VIEW, 10), (2, 5, VIEW, 10), (1, 6, VIEW, 10), (1, 5, CART, 10), (1, 5, VIEW, 11), (1, 5, VIEW, 10)
    )

    drop = duplicate_rows(rows.users, rows.items, rows.events, rows.timestamps)

    assert drop.tolist() == [False, False, False, False, False, True]


def test_of_equal_rows_the_first_stays() -> None:
    rows = events_of(
        ("b", "x", VIEW, 10), ("a", "x", VIEW, 10), ("b", "x", VIEW, 10), ("a", "x", VIEW, 10), ("b", "x", VIEW, 10)
    )

    drop = duplicate_rows(rows.users, rows.items, rows.events, rows.timestamps)

    assert drop.tolist() == [False, False, True, True, True]


def test_no_rows_have_no_duplicates() -> None:
    nothing = np.zeros(0, np.int64)

    assert duplicate_rows(nothing, nothing, nothing.astype(np.int16), nothing).shape == (0,)


def test_cleaning_orders_by_timestamp_then_row_id() -> None:
    rows = events_of((1, 5, VIEW, NOW), (1, 6, VIEW, NOW - 9), (1, 7, VIEW, NOW))

    kept, report = clean(rows.take(np.array([2, 0, 1])), shop=SHOP, training=Training(), now=NOW)

    assert kept.items.tolist() == [6, 5, 7]
    assert report == CleanReport(3, 3, {})


def test_cleaning_names_each_reason_with_its_count() -> None:
    rows = events_of(
        (1, 5, VIEW, NOW - 99),
        (1, 5, VIEW, NOW - 99),  # duplicate
        (1, 5, SCROLL, NOW - 98),  # the shop gives scrolls no weight
        (1, 5, CART, 0),  # no clock
        (1, 5, CART, -5),  # before 1970
        (1, 5, CART, NOW + DAY),  # clock skew: stays
        (1, 5, CART, NOW + DAY + 1),  # future
        (1, 6, BUY, NOW - 90),  # cancelled by the next row
        (1, 6, CANCEL, NOW - 80),
        (9, 5, VIEW, NOW - 70),  # three views by user 9 on one day: a bot
        (9, 6, VIEW, NOW - 60),
        (9, 7, VIEW, NOW - 50),
    )

    kept, report = clean(rows, shop=SHOP, training=Training(max_user_events_per_day=2), now=NOW)

    assert list(zip(kept.items.tolist(), kept.events.tolist(), strict=True)) == [(5, VIEW), (5, CART)]
    assert (report.rows_in, report.rows_out) == (12, 2)
    assert report.dropped == {
        "unweighted event": 1,
        "bad timestamp": 2,
        "future timestamp": 1,
        "duplicate": 1,
        "cancelled": 2,
        "bot": 3,
    }


def test_a_purchase_that_was_written_twice_is_annulled_by_one_cancel() -> None:
    rows = events_of((1, 6, BUY, NOW - 90), (1, 6, BUY, NOW - 90), (1, 6, CANCEL, NOW - 80))

    kept, report = clean_history(rows, shop=SHOP, now=NOW)

    assert len(kept) == 0
    assert report.dropped == {"duplicate": 1, "cancelled": 2}


def test_an_event_of_weight_zero_is_dropped_and_a_negative_one_stays() -> None:
    shop = Shop(sources=(), products="", event_weights={"view": 0.0, "cart": -0.5})

    kept, report = clean_history(events_of((1, 5, VIEW, NOW), (1, 5, CART, NOW)), shop=shop, now=NOW)

    assert kept.events.tolist() == [CART]
    assert report.dropped == {"unweighted event": 1}


def test_the_history_of_one_user_is_cleaned_as_among_all_users() -> None:
    rng = np.random.default_rng(7)
    users, items, events, ages = rng.integers(0, [[4], [5], [5], [50]], (4, 400)).tolist()
    rows = events_of(
        *((user, item, event, NOW - age) for user, item, event, age in zip(users, items, events, ages, strict=True))
    )

    together, report = clean_history(rows, shop=SHOP, now=NOW)

    assert {"duplicate", "cancelled"} <= report.dropped.keys()
    for user in range(4):
        alone, _ = clean_history(rows.take(rows.users == user), shop=SHOP, now=NOW)
        assert_array_equal(alone.row_ids, together.row_ids[together.users == user])


def test_an_empty_shop_is_cleaned_to_nothing() -> None:
    kept, report = clean(events_of(), shop=SHOP, training=Training(), now=NOW)

    assert (len(kept), report) == (0, CleanReport(0, 0, {}))


def test_a_bot_is_detected_by_its_busiest_day_not_by_its_total() -> None:
    users = np.array(["person"] * 4 + ["bot"] * 3 + ["bot"])
    timestamps = np.array([DAY, DAY + 1, 2 * DAY, 2 * DAY + 1, 5 * DAY, 5 * DAY + 1, 6 * DAY - 1, 9 * DAY])

    assert bot_rows(users.astype(object), timestamps, 2).tolist() == [False] * 4 + [True] * 4
    assert not bot_rows(users.astype(object), timestamps, 3).any()


def test_rows_in_minus_dropped_is_rows_out_over_all_stages() -> None:
    report = CleanReport(10, 8, {"duplicate": 2}).preceded_by({"null user": 3, "null item": 0})
    report = report.followed_by({"rare item": 4})

    assert report == CleanReport(13, 4, {"null user": 3, "duplicate": 2, "rare item": 4})
    assert report.rows_in - sum(report.dropped.values()) == report.rows_out


def test_counts_of_one_reason_add_up() -> None:
    assert add_counts({"null user": 1}, {}, {"null user": 2, "bot": 5}) == {"null user": 3, "bot": 5}


def test_users_are_counted_over_frequent_items() -> None:
    viewed = [("ann", "cup"), ("ann", "cup"), ("ann", "pin"), ("bob", "cup"), ("bob", "pot"), ("cy", "jar")]
    rows = events_of(*((user, item, VIEW, NOW) for user, item in viewed))

    users, items = frequent_ids(rows, min_user_events=2, min_item_events=3)

    assert items.tolist() == ["cup"]  # 3 events
    assert users.tolist() == ["ann"]  # bob has one event on a frequent item


def test_frequency_is_one_pass_so_an_item_stays_without_its_users() -> None:
    rows = events_of((1, 5, VIEW, NOW), (2, 5, VIEW, NOW), (3, 5, VIEW, NOW))

    users, items = frequent_ids(rows, min_user_events=2, min_item_events=3)

    assert (users.tolist(), items.tolist()) == ([], [5])


def test_confidence_halves_with_each_half_life_and_keeps_its_sign() -> None:
    rows = events_of(
        (1, 5, BUY, NOW), (1, 5, BUY, NOW - 30 * DAY), (1, 5, VIEW, NOW - 60 * DAY), (1, 5, CART, NOW + 3600)
    )
    weights = {"purchase": 1.0, "view": -0.4, "cart": 0.7}

    values = confidences(rows, weights, 30.0, NOW)

    assert values.dtype == np.float32
    assert values.tolist() == pytest.approx([1.0, 0.5, -0.4 / 4, 0.7])


def test_half_life_zero_means_no_decay() -> None:
    rows = events_of((1, 5, BUY, NOW - 1000 * DAY), (1, 5, VIEW, NOW))

    assert confidences(rows, {"purchase": 1.0, "view": 0.3}, 0.0, NOW).tolist() == pytest.approx([1.0, 0.3])


def test_a_row_with_an_event_without_weight_is_refused() -> None:
    with pytest.raises(ValueError, match="`event_weights` should hold every event"):
        confidences(events_of((1, 5, BUY, NOW), (1, 5, SCROLL, NOW)), {"purchase": 1.0}, 0.0, NOW)
