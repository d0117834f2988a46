"""Crediting: the last click, else the last view; once for each purchase; and what is not believed."""

from __future__ import annotations

import random

import pytest

from recsys.tracking.analytics import new_recommendation_id
from recsys.tracking.crediting import (
    AHEAD,
    BOT_CLICKS,
    BOTS,
    CREDIT_DAYS,
    FORGED,
    LATE_S,
    REPEATED,
    STRANGE,
    UNSEEN,
    Credited,
    Purchase,
    Touch,
    believed,
    credit,
)

NOW = 1_764_400_000
DAY = 86_400
A, B = "rec_encm_" + "a" * 32, "rec_item_cf_" + "b" * 32
SHOWN, CLICKED = Touch("u", "bag", False, A, NOW - DAY), Touch("u", "bag", True, A, NOW - DAY)
BOUGHT = Purchase("u", "bag", NOW, 20.0)
WINDOW = CREDIT_DAYS * DAY


@pytest.mark.parametrize(
    ("touches", "basis", "answer"),
    [
        ([], "none", None),
        ([SHOWN], "view", A),
        ([SHOWN, CLICKED], "click", A),
        ([CLICKED, SHOWN._replace(recommendation_id=B, at=NOW - 5)], "click", A),  # a later view takes nothing away
        ([CLICKED, CLICKED._replace(recommendation_id=B, at=NOW - 5)], "click", B),  # the last click
        ([CLICKED._replace(recommendation_id=B, at=NOW - 5), CLICKED], "click", B),  # in whatever order they come
        ([CLICKED._replace(at=NOW)], "click", A),  # in the same second
        ([CLICKED._replace(at=NOW + 1)], "none", None),  # after the purchase
        ([CLICKED._replace(at=NOW - WINDOW)], "click", A),
        ([CLICKED._replace(at=NOW - WINDOW - 1)], "none", None),
        ([SHOWN, CLICKED._replace(at=NOW - WINDOW - 1)], "view", A),
        ([CLICKED._replace(item="hat")], "none", None),
        ([CLICKED._replace(user="other")], "none", None),
    ],
)
def test_a_purchase_is_credited_to_the_last_click_else_to_the_last_view(
    touches: list[Touch], basis: str, answer: str | None
) -> None:
    assert credit([BOUGHT], touches) == [Credited(BOUGHT, basis, answer)]  # type: ignore[arg-type]


BOT = [
    touch
    for n in range(BOT_CLICKS)
    for touch in (Touch("bot", f"i{n}", False, B, NOW), Touch("bot", f"i{n}", True, B, NOW))
]
LOOKER = [Touch("bot", f"i{n}", False, B, NOW) for n in range(2 * BOT_CLICKS)]


@pytest.mark.parametrize(
    ("touches", "n_kept", "left_out"),
    [
        ([SHOWN, CLICKED], 2, {}),
        ([CLICKED, SHOWN], 2, {}),
        ([SHOWN._replace(at=NOW + 1)], 0, {AHEAD: 1}),
        (
            [SHOWN._replace(recommendation_id=text) for text in ("7", "rec_encm_a", "rec_gold_" + "a" * 32)],
            0,
            {FORGED: 3},
        ),
        ([SHOWN._replace(recommendation_id=A + "\n")], 0, {FORGED: 1}),
        ([SHOWN, SHOWN._replace(user="thief", at=NOW)], 1, {STRANGE: 1}),
        ([SHOWN._replace(user="thief", at=NOW), SHOWN], 1, {STRANGE: 1}),  # the first one by time, not by row
        ([SHOWN, SHOWN, CLICKED, CLICKED._replace(at=NOW)], 2, {REPEATED: 2}),
        ([SHOWN, SHOWN._replace(item="hat")], 2, {}),
        ([CLICKED], 0, {UNSEEN: 1}),
        ([SHOWN._replace(item="hat"), CLICKED], 1, {UNSEEN: 1}),  # its answer showed something else
        ([SHOWN._replace(recommendation_id=B), CLICKED], 1, {UNSEEN: 1}),
        ([SHOWN._replace(at=CLICKED.at + LATE_S), CLICKED], 2, {}),  # sent when the page was left
        ([SHOWN._replace(at=CLICKED.at + LATE_S + 1), CLICKED], 1, {UNSEEN: 1}),
        (BOT, 0, {BOTS: 2 * BOT_CLICKS}),
        ([*BOT, SHOWN], 1, {BOTS: 2 * BOT_CLICKS}),
        (BOT[2:], 2 * BOT_CLICKS - 2, {}),  # one click less
        ([*LOOKER, *BOT[1::2]], 3 * BOT_CLICKS, {}),  # half of what was shown
    ],
)
def test_what_is_not_believed_is_left_out_and_counted(
    touches: list[Touch], n_kept: int, left_out: dict[str, int]
) -> None:
    kept, reasons = believed(touches, now=NOW)

    assert (len(kept), reasons) == (n_kept, left_out)
    assert len(kept) + sum(reasons.values()) == len(touches)


def test_the_ids_of_answers_are_believed() -> None:
    for name in ("ENCM", "item_cf", "trending", "no-such"):
        assert believed([SHOWN._replace(recommendation_id=new_recommendation_id(name))], now=NOW)[1] == {}, name


def test_whatever_happens_the_credits_sum_to_the_purchases_and_none_counts_twice() -> None:
    rng = random.Random(7)
    users, items, ids = (
        [f"u{n}" for n in range(9)],
        [f"i{n}" for n in range(12)],
        [f"rec_encm_{n:032x}" for n in range(40)],
    )
    touches = [
        Touch(
            rng.choice(users),
            rng.choice(items),
            rng.random() < 0.4,
            rng.choice([*ids, "forged"]),
            NOW - rng.randrange(-9, 30 * DAY),
        )
        for _ in range(4_000)
    ]
    purchases = [
        Purchase(rng.choice(users), rng.choice(items), NOW - rng.randrange(30 * DAY), n / 4) for n in range(500)
    ]

    kept, left_out = believed(touches, now=NOW)
    rows = credit(purchases, kept)

    assert len(kept) + sum(left_out.values()) == len(touches)
    assert [row.purchase for row in rows] == purchases
    assert sum(row.purchase.revenue for row in rows) == sum(purchase.revenue for purchase in purchases)
    assert {row.basis for row in rows} == {"click", "view", "none"}
    by_hand = [touch for touch in kept if touch.is_click]
    for row in rows:
        bought = row.purchase
        fitting = [
            touch.at
            for touch in by_hand
            if (touch.user, touch.item) == (bought.user, bought.item) and bought.at - WINDOW <= touch.at <= bought.at
        ]
        assert (row.basis == "click") == bool(fitting)
