"""Do recommendations sell? What the shop has sold, and what of it is credited to them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from sys import intern
from typing import NamedTuple

import numpy as np

from recsys import store
from recsys.data.cleaning import SECONDS_PER_DAY, valid_history
from recsys.data.guests import are_sessions
from recsys.data.ids import canonical
from recsys.data.purchases import cancelled_rows, purchase_names
from recsys.errors.records import Record
from recsys.settings import Experiment, Privacy, Shop
from recsys.store import Database
from recsys.store.products import item_kind
from recsys.store.tracking_experiments import read_arms, read_list_events, read_visits
from recsys.store.tracking_exports import read_purchases
from recsys.tracking.analytics import algorithm_of
from recsys.tracking.crediting import BASES, CREDIT_DAYS, Basis, Credited, Purchase, Touch, believed, credit
from recsys.tracking.experiment_report import Cart, Comparison, compare
from recsys.tracking.experiments import assignments, in_both_arms

REPORT_DAYS = 30
COPY_S = SECONDS_PER_DAY  # a page and a table of orders tell of one purchase at different times
IDS_PER_STATEMENT = 1_000


class Row(NamedTuple):
    """A purchase, a cancellation, or what was put into a cart.

    Attributes:
        user: The customer's id.
        item: The product's id.
        event: The shop's name of the event.
        at: When, in seconds since 1970.
        quantity: The number of pieces; NaN where it is not known.
    """

    user: str
    item: str
    event: str
    at: int
    quantity: float = math.nan


class Bought(NamedTuple):
    """What was bought and put into carts.

    Attributes:
        purchases: The purchases that stand.
        carts: What was put into carts.
        unpriced: Products that were bought and have no price.
        n_copies: Recorded rows that are left out, because the shop's own tables have them.
    """

    purchases: list[Purchase]
    carts: list[Cart]
    unpriced: set[str]
    n_copies: int


class Sums(Record):
    """Purchases and their revenue.

    Attributes:
        purchases: How many there are.
        revenue: The sum of their prices.
    """

    purchases: int
    revenue: float


class SalesReport(Record):
    """What was sold, and what of it is credited to recommendations.

    Attributes:
        since: The first second of the purchases, since 1970.
        until: The last one.
        total: All purchases of the shop that stand.
        credited: The same by what they are credited to: `click`, `view` or `none`.
        by_algorithm: What is credited to clicks and views, by the algorithm of the answer.
        unpriced: Purchases without a known price, whose revenue counts as 0.
        copies: Recorded purchases and carts that the shop's own tables have as well, within a day; they count once.
        left_out: How many impressions and clicks are not counted, by reason.
        comparison: The arms of the experiment; None without one.
    """

    since: int
    until: int
    total: Sums
    credited: Mapping[Basis, Sums]
    by_algorithm: Mapping[str, Sums]
    unpriced: int
    copies: int
    left_out: Mapping[str, int]
    comparison: Comparison | None


def sales_report(
    db: Database,
    shop: Shop,
    experiment: Experiment | None = None,
    privacy: Privacy | None = None,
    *,
    now: int,
    days: int = REPORT_DAYS,
) -> SalesReport:
    """Return what was sold in the last days, what of it is credited to recommendations, and how two arms compare.

    A purchase has the current price of its product. A purchase in the future counts as now. What recsys has recorded
    counts unless the shop's own tables have the same within a day.

    Args:
        db: The shop's database.
        shop: The mapping.
        experiment: The experiment; None compares nothing.
        privacy: How long events are kept. What may be deleted in part is not counted.
        now: Seconds since 1970.
        days: Days of purchases that are credited; an experiment is compared from its beginning.
    """
    kept_from = now - SECONDS_PER_DAY * privacy.keep_days if privacy and privacy.keep_days else 0
    window = CREDIT_DAYS * SECONDS_PER_DAY
    since = max(now - days * SECONDS_PER_DAY, kept_from + window if kept_from else 0)
    assigned, n_others = assignments(experiment, read_arms(db)) if experiment else ([], 0)
    first = max(min([since, *(one.at for one in assigned[:1])]), kept_from)
    touches, left_out = believed(_touches(db, first - window), now=now)
    bought = _bought(db, shop, first, now)
    recent = [purchase for purchase in bought.purchases if purchase.at >= since]
    rows = credit(recent, touches)
    comparison = None
    if experiment is not None:
        mixed = in_both_arms(assigned, read_visits(db, first))
        comparison = compare(
            experiment,
            assigned,
            touches,
            bought.carts,
            bought.purchases,
            mixed=mixed,
            n_others=n_others,
            now=now,
            kept_from=kept_from,
        )
    return SalesReport(
        since=since,
        until=now,
        total=_sums(recent),
        credited={basis: _sums(row.purchase for row in rows if row.basis == basis) for basis in BASES},
        by_algorithm=_by_algorithm(rows),
        unpriced=sum(purchase.item in bought.unpriced for purchase in recent),
        copies=bought.n_copies,
        left_out=left_out,
        comparison=comparison,
    )


def _touches(db: Database, since: int) -> Iterator[Touch]:
    """Yield what was shown and clicked. Equal texts are one object, which saves a third of the memory."""
    for one in read_list_events(db, since):
        user, item, answer = intern(one.user_id), intern(one.product_id), intern(one.recommendation_id)
        yield Touch(user, item, one.event == "click", answer, one.at)


def without_copies(own: Sequence[Row], recorded: Sequence[Row]) -> list[Row]:
    """Return the shop's own rows and those of the recorded ones that are no copies of them, by time.

    >>> own, copy = Row("u", "bag", "purchase", 100), Row("u", "bag", "purchase", 160)
    >>> [row.at for row in without_copies([own], [copy, copy._replace(item="hat"), copy._replace(at=99_999)])]
    [100, 160, 99999]
    """
    moments: dict[tuple[str, str, str], list[int]] = {}
    for row in own:
        moments.setdefault(row[:3], []).append(row.at)
    new = [row for row in recorded if all(abs(row.at - at) > COPY_S for at in moments.get(row[:3], ()))]
    return sorted([*own, *new], key=lambda row: row.at)


def _bought(db: Database, shop: Shop, since: int, now: int) -> Bought:
    """Return what was bought and put into carts, each thing once, without what was cancelled."""
    own, recorded = (_rows(db, shop, since, now, own=which) for which in (True, False))
    rows = without_copies(own, recorded)  # also of purchases that are cancelled in the shop's own tables
    users, items = (np.array([row[column] for row in rows], object) for column in (0, 1))
    is_purchase, is_cancel = (
        np.array([row.event in names for row in rows], bool) for names in (purchase_names(shop), shop.cancel_events)
    )
    quantities = np.array([row.quantity for row in rows], np.float64)
    stand = is_purchase & ~cancelled_rows(users, items, is_purchase, is_cancel, quantities)
    lines = [row for row, stands in zip(rows, stand.tolist(), strict=True) if stands]
    # lines of one order, which differ in their quantity, are one purchase
    bought = list({row[: -1 if row.quantity == row.quantity else None]: row for row in lines}.values())
    prices = _prices(db, shop, list(dict.fromkeys(row.item for row in bought)))
    return Bought(
        purchases=[Purchase(row.user, row.item, row.at, prices.get(row.item, 0.0)) for row in bought],
        carts=[Cart(row.user, row.at) for row in rows if row.event in shop.cart_events],
        unpriced={row.item for row in bought} - prices.keys(),
        n_copies=len(own) + len(recorded) - len(rows),
    )


def _rows(db: Database, shop: Shop, since: int, now: int, *, own: bool) -> list[Row]:
    """Return the valid rows of the shop's own tables or of ours, without those of guests, who are no customers."""
    found = read_purchases(db, shop, since, carts=True, own=own, recorded=not own)
    if found.sessions is not None:
        found = found.take(~are_sessions(found.users))
    events, _ = valid_history(found, shop=shop, now=now)
    quantities = np.full(len(events), math.nan) if events.quantities is None else events.quantities
    columns = (events.users, events.items, events.events, events.timestamps, quantities)
    return [
        Row(str(user), str(item), events.event_names[event], min(at, now), quantity)
        for user, item, event, at, quantity in zip(*(column.tolist() for column in columns), strict=True)
    ]


def _prices(db: Database, shop: Shop, items: Sequence[str]) -> dict[str, float]:
    """Return the current prices of products that have one."""
    kind = item_kind(db, shop) if items else None
    known = [item for item in (text if kind is None else canonical(text, kind) for text in items) if item is not None]
    parts = (known[first : first + IDS_PER_STATEMENT] for first in range(0, len(known), IDS_PER_STATEMENT))
    found = (row for part in parts for row in store.products(db, shop, part, ("price",)))
    return {str(row.item_id): float(row.price) for row in found if np.isfinite(row.price)}


def _sums(purchases: Iterable[Purchase]) -> Sums:
    revenues = [purchase.revenue for purchase in purchases]
    return Sums(len(revenues), math.fsum(revenues))


def _by_algorithm(rows: Iterable[Credited]) -> dict[str, Sums]:
    """Return what is credited to each algorithm, the most revenue first."""
    found: dict[str, list[Purchase]] = {}
    for row in rows:
        if row.recommendation_id is not None:
            found.setdefault(algorithm_of(row.recommendation_id), []).append(row.purchase)
    sums = {name: _sums(purchases) for name, purchases in found.items()}
    return dict(sorted(sums.items(), key=lambda entry: (-entry[1].revenue, entry[0])))
