"""The cases of "bought" and of "in the cart" in tests/data/, which the backend's tests read, too."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recsys.settings import Shop
from recsys.settings.shop import DEFAULT_EVENT_WEIGHTS, TableSource

_DATA = Path(__file__).parent.parent / "data"
NOW = 1_795_185_000  # an afternoon in November 2026
WEIGHTS = {**DEFAULT_EVENT_WEIGHTS, "order": 1.0, "mua": 1.0}
Event = tuple[str, int | None, int]  # name, item, seconds before now


@dataclass(frozen=True)
class Case:
    """One case: events, the rule, and the items that are bought."""

    name: str
    events: list[Event]
    bought: list[int]
    purchases: tuple[str, ...]
    cancels: tuple[str, ...]
    days: float
    now: int


@dataclass(frozen=True)
class CartCase:
    """One case: events, the items in the cart, and the names of events."""

    name: str
    events: list[Event]
    cart: list[int]
    purchases: tuple[str, ...]
    cancels: tuple[str, ...]
    carts: tuple[str, ...]
    uncarts: tuple[str, ...]


def _rows(file: str) -> list[dict[str, Any]]:
    table = json.loads((_DATA / file).read_text(encoding="utf-8"))
    return [{**table["defaults"], **row, "events": [tuple(event) for event in row["events"]]} for row in table["cases"]]


CASES = [
    Case(
        name=row["name"],
        events=row["events"],
        bought=row["bought"],
        purchases=tuple(row["purchases"]),
        cancels=tuple(row["cancels"]),
        days=math.inf if row["days"] is None else row["days"],
        now=row.get("now", NOW),
    )
    for row in _rows("purchase_cases.json")
]
_NAMES = ("purchases", "cancels", "carts", "uncarts")
CART_CASES = [
    CartCase(name=row["name"], events=row["events"], cart=row["cart"], **{name: tuple(row[name]) for name in _NAMES})
    for row in _rows("cart_cases.json")
]


def shop_of(case: Case, *sources: TableSource) -> Shop:
    """Return a shop with the case's rule and the given sources."""
    return Shop(
        sources=sources,
        event_weights=WEIGHTS,
        purchase_events=case.purchases,
        cancel_events=case.cancels,
        repeat_after_days=case.days,
    )


def cart_shop_of(case: CartCase) -> Shop:
    """Return a shop with the case's names."""
    return Shop(
        sources=(),
        event_weights=WEIGHTS,
        purchase_events=case.purchases,
        cancel_events=case.cancels,
        cart_events=case.carts,
        uncart_events=case.uncarts,
    )


@dataclass(frozen=True)
class QuantityCase:
    """One case: events of user, name, item, seconds before now and pieces, and which of them stand as purchases."""

    name: str
    events: list[tuple[int, str, int, int, float | None]]
    stand: list[int]

    def standing(self) -> list[tuple[int, int]]:
        """Return the user and the item of each purchase that stands, sorted."""
        return sorted((user, item) for user, _, item, *_ in (self.events[row] for row in self.stand))


QUANTITY_CASES = [
    QuantityCase(row["name"], [tuple(event) for event in row["events"]], row["stand"])
    for row in json.loads((_DATA / "quantity_cases.json").read_text(encoding="utf-8"))["cases"]
]
