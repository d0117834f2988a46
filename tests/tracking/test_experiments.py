"""Experiments: who is in which arm, what is kept of it, what the report counts, and what privacy deletes."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from recsys.errors import SettingsError
from recsys.settings import Arm, Experiment, Privacy, Shop, TableSource
from recsys.store import Database
from recsys.store.tracking_experiments import read_arms
from recsys.tracking.crediting import Purchase, Touch
from recsys.tracking.experiment_report import Cart, compare
from recsys.tracking.experiments import (
    Assignment,
    arm_of,
    assignments,
    check_arms,
    definition,
    in_both_arms,
    keep_arm,
)
from recsys.tracking.record import TrackedEvent, record, sweep_tracking
from recsys.tracking.sales import Sums, sales_report
from recsys.tracking.segments import user_segment
from tests.tracking.conftest import NOW

DAY = 86_400
EXPERIMENT = Experiment("lists", (Arm("A", 0.5, model="none"), Arm("B", 0.5)), planned_users=1_000)
FIRST, SECOND = "rec_encm_" + "a" * 32, "rec_trending_" + "b" * 32


def test_customers_are_divided_by_the_shares_and_always_alike() -> None:
    users = range(20_000)
    uneven = replace(EXPERIMENT, arms=(Arm("A", 0.2, model="none"), Arm("B", 0.1)))
    arms = [arm_of(uneven, user) for user in users]
    counts = Counter(arm and arm.name for arm in arms)

    assert (counts["A"], counts["B"], counts[None]) == pytest.approx((4_000, 2_000, 14_000), abs=200)
    assert arms == [arm_of(uneven, str(user)) for user in users]
    both = Counter((arm_of(EXPERIMENT, user), arm_of(replace(EXPERIMENT, name="other"), user)) for user in users)
    assert [n for _, n in both.items()] == pytest.approx([5_000] * 4, abs=250)  # independent of each other


def test_a_change_of_shares_moves_as_few_as_it_can() -> None:
    wider = replace(EXPERIMENT, arms=(replace(EXPERIMENT.arms[0], share=0.6), replace(EXPERIMENT.arms[1], share=0.4)))
    moved = Counter(
        (one.name, other.name)
        for one, other in ((arm_of(EXPERIMENT, user), arm_of(wider, user)) for user in range(10_000))
        if one is not None and other is not None and one.name != other.name
    )

    assert set(moved) == {("B", "A")}
    assert moved["B", "A"] == pytest.approx(1_000, abs=120)


def test_the_arm_is_kept_since_the_first_answer_until_the_experiment_is_changed(db: Database) -> None:
    user = next(f"u{n}" for n in range(99) if arm_of(EXPERIMENT, f"u{n}") is EXPERIMENT.arms[1])
    keep_arm(db, EXPERIMENT, user, now=NOW)
    keep_arm(db, EXPERIMENT, user, now=NOW + 9)

    assert assignments(EXPERIMENT, read_arms(db)) == ([Assignment(user, "B", NOW)], 0)
    row = user_segment(db, user)
    assert (row.segment, row.assigned_at) == ("guests", NOW)
    assert row.arm is not None and len(row.arm) <= 50

    changed = replace(EXPERIMENT, arms=(EXPERIMENT.arms[0], replace(EXPERIMENT.arms[1], model="ENCM")))
    assert assignments(changed, read_arms(db)) == ([], 1)
    keep_arm(db, changed, user, now=NOW + 20)
    assert assignments(changed, read_arms(db)) == ([Assignment(user, "B", NOW + 20)], 0)
    assert assignments(EXPERIMENT, read_arms(db)) == ([], 1)


def test_a_customer_outside_of_both_shares_is_not_written(sqlite_db: Database) -> None:
    narrow = replace(EXPERIMENT, arms=(Arm("A", 0.01, model="none"), Arm("B", 0.01)))
    user = next(n for n in range(99) if arm_of(narrow, n) is None)

    keep_arm(sqlite_db, narrow, user, now=NOW)

    assert read_arms(sqlite_db) == []


def test_the_arm_fits_its_column_and_other_texts_are_only_counted() -> None:
    longest = Experiment("n" * 12, (Arm("a" * 12, 0.5), Arm("b" * 12, 0.5, model="none")))
    assert len(f"{definition(longest)}{'a' * 12}:9999999999") <= 50

    prefix = definition(EXPERIMENT)
    assert prefix == "lists:2b1998:"  # as before arms had other settings, so that no running experiment ends
    others = [
        replace(EXPERIMENT.arms[1], **change)
        for change in ({"repeat": "hide"}, {"repeat": "allow"}, {"complementary": True})
    ]
    assert len({prefix, *(definition(replace(EXPERIMENT, arms=(EXPERIMENT.arms[0], arm))) for arm in others)}) == 4
    texts = ["A", f"{prefix}A:", f"{prefix}C:5", f"{prefix}A:x", "other:123456:A:5", f"{prefix}A:5"]
    found, n_others = assignments(EXPERIMENT, [(f"u{n}", text) for n, text in enumerate(texts)])
    assert (found, n_others) == ([Assignment("u5", "A", 5)], 5)


def test_a_visit_with_customers_of_both_arms_is_one_person_who_has_seen_both() -> None:
    assigned = [Assignment(user, arm, NOW) for user, arm in (("a1", "A"), ("a2", "A"), ("b1", "B"), ("b2", "B"))]
    visits = [("s1", "a1"), ("s1", "b1"), ("s2", "a2"), ("s2", "a1"), ("s3", "b2"), ("s3", "nobody")]

    assert in_both_arms(assigned, visits) == {"a1", "b1"}


@pytest.mark.parametrize("model", ["auto", "none", "ENCM"])
def test_models_of_arms_are_known(model: str) -> None:
    check_arms(replace(EXPERIMENT, arms=(Arm("A", 0.5, model=model), Arm("B", 0.5))))
    check_arms(None)
    with pytest.raises(SettingsError, match=r"\[experiments.arms.B\] `model` should be one of .*Received: \"gpt\""):
        check_arms(replace(EXPERIMENT, arms=(Arm("A", 0.5, model=model), Arm("B", 0.5, model="gpt"))))


def test_a_customer_counts_for_seven_days_from_their_entry() -> None:
    entry = NOW - 10 * DAY
    assigned = [Assignment("a", "A", entry), Assignment("b", "B", entry), Assignment("late", "B", NOW - 7 * DAY + 1)]
    touches = [
        Touch("b", "bag", is_click, FIRST, at)
        for is_click, at in ((False, entry - 1), (False, entry), (True, entry + 5), (False, entry + 7 * DAY))
    ]
    purchases = [
        Purchase(user, "bag", at, 10.0)
        for user, at in (("a", entry), ("b", entry), ("b", entry + 7 * DAY - 1), ("b", entry + 7 * DAY), ("b", 9))
    ]

    found = compare(EXPERIMENT, assigned, touches, [Cart("b", entry), Cart("x", entry)], purchases, now=NOW)

    first, second = found.arms
    assert [(arm.name, arm.model, arm.users, arm.observed) for arm in found.arms] == [
        ("A", "none", 1, 1),
        ("B", "auto", 2, 1),
    ]
    assert (first.impressions, first.clicks, first.carts, first.purchases, first.revenue) == (0, 0, 0, 1, 10.0)
    assert (second.impressions, second.clicks, second.carts, second.purchases, second.revenue) == (1, 1, 1, 2, 20.0)
    assert (first.ctr.value, second.ctr.value) == (None, 1.0)
    assert found.difference.value == 10.0 and found.verdict == "too few customers"
    assert found.left_out == {"not observed for seven days yet": 1}


def assigned_customers(n_first: int, n_second: int) -> list[Assignment]:
    names = ["A"] * n_first + ["B"] * n_second
    return [Assignment(f"u{n}", arm, NOW - 20 * DAY + n) for n, arm in enumerate(names)]


def purchases_of(assigned: list[Assignment], means: dict[str, float]) -> list[Purchase]:
    rng = np.random.default_rng(5)
    return [
        Purchase(one.user, "bag", one.at + 60, 10.0) for one in assigned for _ in range(rng.poisson(means[one.arm]))
    ]


@pytest.mark.parametrize(
    ("n_first", "n_second", "means", "verdict"),
    [
        (500, 500, {"A": 1.0, "B": 2.0}, "better"),
        (500, 500, {"A": 2.0, "B": 1.0}, "worse"),
        (500, 500, {"A": 1.0, "B": 1.0}, "no difference shown"),
        (99, 99, {"A": 1.0, "B": 9.0}, "too few customers"),
        (500, 700, {"A": 1.0, "B": 2.0}, "wrong shares"),
        (0, 0, {}, "too few customers"),
    ],
)
@pytest.mark.parametrize("metric", ["purchases", "revenue"])
def test_the_verdict(n_first: int, n_second: int, means: dict[str, float], verdict: str, metric: str) -> None:
    assigned = assigned_customers(n_first, n_second)

    found = compare(replace(EXPERIMENT, metric=metric), assigned, [], [], purchases_of(assigned, means), now=NOW)

    assert found.verdict == verdict


def test_every_customer_who_is_not_compared_is_counted_with_a_reason() -> None:
    times = {"early": -90, "old": -20, "mixed": -20, "new": -1, "ahead": 1}
    assigned = [Assignment(user, "A", NOW + days * DAY) for user, days in times.items()]

    found = compare(EXPERIMENT, assigned, [], [], [], now=NOW, mixed={"mixed"}, n_others=4, kept_from=NOW - 30 * DAY)

    assert found.arms[0].observed == 1
    assert found.left_out == {
        "not observed for seven days yet": 1,
        "in both arms": 1,
        "of another experiment, or before it was changed": 4,
        "events may be deleted": 1,
        "clocks ahead": 1,
    }


def a_shop(db: Database) -> None:
    """Fill a shop: a bag of 20 in units of its currency, a hat of 5, and a product without a price."""
    rows = [(101, "S1"), (102, "S1"), (103, "S1")]
    db.insert("Products", ({"id": item, "name": f"p{item}", "statusId": state} for item, state in rows))
    prices = {101: 20.0, 102: 5.0}
    db.insert(
        "Productdetails",
        ({"productId": item, "originalPrice": price, "discountPrice": price} for item, price in prices.items()),
    )


def event(user: int, item: int, name: str, days: float, **more: object) -> TrackedEvent:
    return TrackedEvent(user, more.pop("session", None), item, name, at=int(NOW - days * DAY), **more)  # type: ignore[arg-type]


def test_the_report_credits_the_shops_own_revenue_and_nothing_twice(db: Database, shop: Shop) -> None:
    a_shop(db)
    own = [
        (7, 101, "purchase", "2025-11-28 07:06:40"),
        (8, 101, "purchase", "2025-11-27 07:06:40"),
        (8, 101, "cancel", "2025-11-28 09:00:00"),
    ]
    db.insert(
        "Interactions",
        ({"userId": u, "productId": p, "actionCode": name, "timestamp": at} for u, p, name, at in own),
    )
    for one in (
        event(7, 101, "impression", 3, recommendation_id=FIRST, position=1),
        event(7, 101, "click", 3, recommendation_id=FIRST, position=1),
        event(7, 101, "purchase", 1),  # of the order in the shop's own table
        event(8, 101, "purchase", 2),  # of the order that was cancelled
        event(7, 102, "purchase", 2),
        event(8, 102, "impression", 4, recommendation_id=SECOND),
        event(8, 102, "purchase", 3),
        event(9, 103, "purchase", 3),
        event(9, 101, "click", 3, recommendation_id="forged"),
        event(9, 101, "purchase", 40),
    ):
        record(db, one, now=NOW)

    found = sales_report(db, shop, now=NOW)

    assert found.total == Sums(4, 20.0 + 5.0 + 5.0 + 0.0)
    assert found.credited == {"click": Sums(1, 20.0), "view": Sums(1, 5.0), "none": Sums(2, 5.0)}
    assert found.by_algorithm == {"encm": Sums(1, 20.0), "trending": Sums(1, 5.0)}
    assert (found.unpriced, found.copies, found.left_out, found.comparison) == (1, 2, {"forged ids": 1}, None)
    assert found.until - found.since == 30 * DAY


def test_the_report_takes_back_pieces_and_counts_lines_of_an_order_and_guests_right(
    sqlite_db: Database, shop: Shop
) -> None:
    a_shop(sqlite_db)
    sqlite_db.execute("CREATE TABLE lines (who INT, visit TEXT, what INT, did TEXT, at INT, pieces INT)")
    rows = [
        (7, None, 101, "purchase", NOW - 5 * DAY, 2),
        (7, None, 101, "purchase", NOW - 4 * DAY, 2),
        (7, None, 101, "cancel", NOW - 3 * DAY, -4),
        (8, None, 101, "purchase", NOW - 5 * DAY, 2),
        (8, None, 101, "purchase", NOW - 5 * DAY, 3),
        (None, "a", 101, "purchase", NOW - 5 * DAY, 1),
    ]
    names = ("who", "visit", "what", "did", "at", "pieces")
    sqlite_db.insert("lines", (dict(zip(names, row, strict=True)) for row in rows))
    lines = TableSource("lines", "who", "what", "at", event="did", session="visit", quantity="pieces")

    found = sales_report(sqlite_db, replace(shop, sources=(lines,)), now=NOW)

    assert found.total == Sums(1, 20.0)


def test_the_report_compares_the_arms_and_leaves_out_who_has_seen_both(db: Database, shop: Shop) -> None:
    a_shop(db)
    arms = {user: arm.name for user in range(1, 40) if (arm := arm_of(EXPERIMENT, user)) is not None}
    a1, a2, *_ = (user for user, arm in arms.items() if arm == "A")
    b1, b2, *_ = (user for user, arm in arms.items() if arm == "B")
    for user in (a1, a2, b1, b2):
        keep_arm(db, EXPERIMENT, user, now=NOW - 40 * DAY)
    for one in (
        event(a1, 101, "add_to_cart", 39),
        event(b1, 101, "impression", 39, recommendation_id=FIRST),
        event(b1, 101, "purchase", 38),
        event(a2, 101, "view", 39, session="home"),
        event(b2, 101, "purchase", 39, session="home"),
    ):
        record(db, one, now=NOW)

    found = sales_report(db, shop, EXPERIMENT, now=NOW)

    assert found.total == Sums(0, 0.0)  # of the last 30 days
    assert found.comparison is not None
    assert found.comparison.left_out == {"in both arms": 2}
    first, second = found.comparison.arms
    assert (first.observed, first.carts, first.impressions, first.purchases) == (1, 1, 0, 0)
    assert (second.observed, second.carts, second.impressions, second.revenue) == (1, 0, 1, 20.0)


def test_the_report_leaves_out_what_privacy_may_have_deleted_in_part(sqlite_db: Database, shop: Shop) -> None:
    keep_arm(sqlite_db, EXPERIMENT, 1, now=NOW - 21 * DAY)
    keep_arm(sqlite_db, EXPERIMENT, 2, now=NOW - 19 * DAY)

    found = sales_report(sqlite_db, shop, EXPERIMENT, Privacy(keep_days=20), now=NOW)

    assert found.until - found.since == 13 * DAY
    assert found.comparison is not None
    assert found.comparison.left_out == {"events may be deleted": 1}


def test_privacy_deletes_old_events_and_what_is_kept_of_their_customers(db: Database) -> None:
    for days in (30, 20.001, 20, 1):
        record(db, event(7, 101, "view", days), now=NOW)
    keep_arm(db, EXPERIMENT, 1, now=NOW - 21 * DAY)
    keep_arm(db, EXPERIMENT, 2, now=NOW - 19 * DAY)

    assert sweep_tracking(db, Privacy(), now=NOW) == (0, 0)
    assert sweep_tracking(db, Privacy(keep_days=20), now=NOW) == (2, 1)
    assert sweep_tracking(db, Privacy(keep_days=20), now=NOW) == (0, 0)

    left = db.query("SELECT occurred_at FROM rec_user_interactions ORDER BY occurred_at")
    assert [int(at) for (at,) in left] == [NOW - 20 * DAY, NOW - DAY]
    assert [user for user, _ in read_arms(db)] == ["2"]
