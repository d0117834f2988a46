"""Which purchases are credited to recommendations: pure functions over what was shown, clicked and bought."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, NamedTuple

from recsys.data.cleaning import SECONDS_PER_DAY
from recsys.tracking.analytics import ALGORITHMS, OTHER

Basis = Literal["click", "view", "none"]
BASES: tuple[Basis, ...] = ("click", "view", "none")
CREDIT_DAYS = 7  # between the click or the view and the purchase
LATE_S = 300  # a page may send what it has shown when it is left, after its click was sent
BOT_CLICKS = 30  # different products of lists in a day; people click few
BOT_SHARE = 0.8  # of what they were shown on that day
ISSUED_ID = re.compile(r"rec_(\w+)_[0-9a-f]{32}")
AHEAD, FORGED, STRANGE, REPEATED, UNSEEN, BOTS = (
    "clocks ahead",
    "forged ids",
    "ids of another customer",
    "repeated",
    "clicks without an impression",
    "by bots",
)

Pair = tuple[str, str]


class Touch(NamedTuple):
    """A product of a list that was shown or clicked.

    Attributes:
        user: The customer's id.
        item: The product's id.
        is_click: Whether it was clicked; else it was shown.
        recommendation_id: The answer that it says it was in.
        at: When, in seconds since 1970.
    """

    user: str
    item: str
    is_click: bool
    recommendation_id: str
    at: int


class Purchase(NamedTuple):
    """A purchase that stands.

    Attributes:
        user: The customer's id.
        item: The product's id.
        at: When, in seconds since 1970.
        revenue: Its price in units of the shop's currency.
    """

    user: str
    item: str
    at: int
    revenue: float


class Credited(NamedTuple):
    """What a purchase is credited to.

    Attributes:
        purchase: The purchase.
        basis: `click`, `view`, or `none`.
        recommendation_id: The answer; None where the basis is `none`.
    """

    purchase: Purchase
    basis: Basis
    recommendation_id: str | None


def believed(touches: Iterable[Touch], *, now: int) -> tuple[list[Touch], dict[str, int]]:
    """Return the touches that count, in the order of time, and how many do not, by reason.

    The rules, in this order:

    - A touch after `now` does not count.
    - Nor does one whose id is not built as those of answers, with a known algorithm and 32 hexadecimal digits.
    - An id belongs to the customer who sent it first. Those of others do not count.
    - The same touch of an answer's product counts once.
    - A click counts if its answer was seen to show the product, at most `LATE_S` after the click.
    - Nothing counts that a customer did on a day (UTC) when they clicked at least `BOT_CLICKS` products and
      `BOT_SHARE` of what they were shown.

    Args:
        touches: What was shown and clicked, in any order.
        now: Seconds since 1970.
    """
    left_out: Counter[str] = Counter()
    owners: dict[str, str] = {}
    firsts: dict[tuple[str, str, bool], Touch] = {}  # one of each id, product and kind
    for touch in sorted(touches, key=lambda one: one.at):
        key = touch.recommendation_id, touch.item, touch.is_click
        if touch.at > now:
            left_out[AHEAD] += 1
        elif touch.recommendation_id not in owners and not is_issued(touch.recommendation_id):
            left_out[FORGED] += 1
        elif owners.setdefault(touch.recommendation_id, touch.user) != touch.user:
            left_out[STRANGE] += 1
        elif key in firsts:
            left_out[REPEATED] += 1
        else:
            firsts[key] = touch
    seen = [touch for touch in firsts.values() if not touch.is_click or _was_shown(touch, firsts)]
    left_out[UNSEEN] += len(firsts) - len(seen)
    bots = _bot_days(seen)
    kept = [touch for touch in seen if (touch.user, touch.at // SECONDS_PER_DAY) not in bots] if bots else seen
    left_out[BOTS] += len(seen) - len(kept)
    return kept, {reason: n for reason, n in left_out.items() if n}


def is_issued(recommendation_id: str) -> bool:
    """Return whether an id is built as `recsys.tracking.analytics.new_recommendation_id` builds them.

    >>> is_issued("rec_encm_" + "0f" * 16), is_issued("rec_encm_0f"), is_issued("rec_made_up_" + "0f" * 16)
    (True, False, False)
    """
    found = ISSUED_ID.fullmatch(recommendation_id)
    return found is not None and (found[1] in ALGORITHMS or found[1] == OTHER)


def credit(purchases: Iterable[Purchase], touches: Sequence[Touch]) -> list[Credited]:
    """Credit each purchase once: to the last click on the product in the days before, else to the last view of it.

    A touch in the second of the purchase counts as before it. Several purchases may follow from one click.

    Args:
        purchases: Purchases that stand.
        touches: Those that `believed` returns.

    Returns:
        One row for each purchase, in their order, so that the sums are those of the purchases.

    >>> shown = Touch("u", "bag", False, "rec_encm_1", at=100)
    >>> later = Purchase("u", "bag", at=90_000, revenue=20.0)
    >>> [row.basis for row in credit([later, later._replace(item="hat")], [shown])]
    ['view', 'none']
    """
    clicks, views = _by_pair(touches, is_click=True), _by_pair(touches, is_click=False)

    def of(purchase: Purchase) -> Credited:
        pair = purchase.user, purchase.item
        for basis, found in (
            ("click", _last(clicks.get(pair, ()), purchase.at)),
            ("view", _last(views.get(pair, ()), purchase.at)),
        ):
            if found is not None:
                return Credited(purchase, basis, found.recommendation_id)  # type: ignore[arg-type] # one of BASES
        return Credited(purchase, "none", None)

    return [of(purchase) for purchase in purchases]


def _was_shown(click: Touch, firsts: Mapping[tuple[str, str, bool], Touch]) -> bool:
    shown = firsts.get((click.recommendation_id, click.item, False))
    return shown is not None and shown.at <= click.at + LATE_S


def _bot_days(touches: Iterable[Touch]) -> set[tuple[str, int]]:
    """Return the customers and days on which they clicked nearly everything."""
    clicks: Counter[tuple[str, int]] = Counter()
    shown: Counter[tuple[str, int]] = Counter()
    for touch in touches:
        (clicks if touch.is_click else shown)[touch.user, touch.at // SECONDS_PER_DAY] += 1
    return {day for day, n in clicks.items() if n >= BOT_CLICKS and n >= BOT_SHARE * shown[day]}


def _by_pair(touches: Iterable[Touch], *, is_click: bool) -> dict[Pair, list[Touch]]:
    found: dict[Pair, list[Touch]] = {}
    for touch in touches:
        if touch.is_click == is_click:
            found.setdefault((touch.user, touch.item), []).append(touch)
    for one in found.values():
        one.sort(key=_moment)
    return found


def _last(touches: Sequence[Touch], at: int) -> Touch | None:
    """Return the last touch up to a moment, if it is recent enough to count."""
    place = bisect_right(touches, at, key=_moment)
    found = touches[place - 1] if place else None
    return found if found is not None and found.at >= at - CREDIT_DAYS * SECONDS_PER_DAY else None


def _moment(touch: Touch) -> int:
    return touch.at
