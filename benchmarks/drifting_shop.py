"""A small shop that changes: products come and go, customers too, and tastes wander. Made week by week from a seed.

Its effects are planted, so that its figures say nothing of a real shop. It shows how trainings follow one another.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recsys.store import Database
from recsys.store.writes import Row

START = 1_756_684_800  # Monday 2025-09-01 00:00 UTC
HOUR, WEEK = 3_600, 604_800
CUSTOMERS = 60  # at a time; each week one of them stays away for good, and another one comes
GROUPS = 6
PRODUCTS, LAUNCHED, RETIRED = 90, 3, 2  # at the start; in a week
FADING_WEEKS = 20.0  # until a product is a third as attractive as at its launch
VISITS, CHANGES = 0.75, 0.04  # the share of customers who come in a week, and who change one of two favourite groups
VIEWED, CARTED, BOUGHT = (
    3,
    0.8,
    0.7,
)  # products in a visit; the shares of visits with one in the cart, and of carts bought


@dataclass
class DriftingShop:
    """The state of the shop at the end of its newest week.

    Attributes:
        rng: The source of all that happens.
        week: The number of weeks that have passed.
    """

    rng: np.random.Generator
    week: int = 0

    def __post_init__(self) -> None:
        self._customers = np.arange(1, CUSTOMERS + 1)
        self._tastes = self.rng.integers(0, GROUPS, (CUSTOMERS, 2))
        self._groups = np.zeros(0, np.int64)
        self._launched = np.zeros(0, np.int64)
        self._quality = np.zeros(0)
        self._sold = np.zeros(0, bool)

    @property
    def moment(self) -> int:
        """The end of the newest week, in seconds since 1970."""
        return START + self.week * WEEK

    def pass_week(self, db: Database) -> None:
        """Write the next week into the shop's tables.

        Args:
            db: The shop's database, with the tables of the default schema.
        """
        with db.atomic():
            self._change_assortment(db)
            self._change_customers()
            rows = [row for place in range(CUSTOMERS) for row in self._visit(place)]
            db.insert("Interactions", sorted(rows, key=lambda row: (row["timestamp"], row["userId"])))
        self.week += 1

    def _change_assortment(self, db: Database) -> None:
        sold = np.flatnonzero(self._sold)
        if len(sold):
            retired = self.rng.choice(sold, RETIRED, replace=False, p=_shares(self.week - self._launched[sold] + 1.0))
            self._sold[retired] = False
            db.execute("UPDATE Products SET statusId = 'S2' WHERE id IN (:ids)", {"ids": (retired + 1).tolist()})
        n = LAUNCHED if len(sold) else PRODUCTS
        first, groups = len(self._groups) + 1, self.rng.integers(0, GROUPS, n)
        ages = np.zeros(n, np.int64) if len(sold) else self.rng.integers(0, 2 * int(FADING_WEEKS), n)
        self._groups = np.append(self._groups, groups)
        self._launched = np.append(self._launched, self.week - ages)
        self._quality = np.append(self._quality, np.exp(self.rng.normal(0, 1, n)))
        self._sold = np.append(self._sold, np.ones(n, bool))
        new = [(first + row, f"group-{group}") for row, group in enumerate(groups.tolist())]
        names = [{"id": id, "name": f"Product {id}", "statusId": "S1", "categoryId": group} for id, group in new]
        db.insert("Products", names)
        db.insert("Productdetails", [{"productId": id, "originalPrice": 5 + id % 40} for id, _ in new])

    def _change_customers(self) -> None:
        place = int(self.rng.integers(CUSTOMERS))
        self._customers[place] = self._customers.max() + 1
        self._tastes[place] = self.rng.integers(0, GROUPS, 2)
        changed = self.rng.random(CUSTOMERS) < CHANGES
        self._tastes[changed, 0] = self.rng.integers(0, GROUPS, int(changed.sum()))

    def _visit(self, place: int) -> list[Row]:
        if self.rng.random() > VISITS:
            return []
        likes = np.where(np.isin(self._groups, self._tastes[place]), 1.0, 0.08) * self._sold
        fresh = np.exp((self._launched - self.week) / FADING_WEEKS)
        viewed = self.rng.choice(len(likes), VIEWED, replace=False, p=_shares(likes * self._quality * fresh))
        actions = [(int(item), "view") for item in viewed]
        if self.rng.random() < CARTED:
            actions.append((int(viewed[-1]), "cart"))
            if self.rng.random() < BOUGHT:
                actions.append((int(viewed[-1]), "purchase"))
        start = self.moment + int(self.rng.integers(0, WEEK - HOUR))
        return [
            {
                "userId": int(self._customers[place]),
                "productId": item + 1,
                "actionCode": action,
                "timestamp": str(np.datetime64(start + 60 * number, "s")).replace("T", " "),
            }
            for number, (item, action) in enumerate(actions)
        ]


def _shares(weights: NDArray) -> NDArray[np.float64]:
    shares: NDArray[np.float64] = weights / weights.sum()
    return shares


def shuffle_products(db: Database) -> None:
    """Move each event to the product of some other event."""
    rows = db.query("SELECT interId, productId FROM Interactions ORDER BY interId")
    items = np.random.default_rng(5).permutation([item for _, item in rows]).tolist()
    changed = [{"item": item, "row": row} for (row, _), item in zip(rows, items, strict=True)]
    db.execute_many("UPDATE Interactions SET productId = :item WHERE interId = :row", changed)


def lose_half_of_the_products(db: Database) -> None:
    """Take every second product out of the catalogue."""
    db.execute("DELETE FROM Productdetails WHERE productId % 2 = 1")
    db.execute("DELETE FROM Products WHERE id % 2 = 1")


def write_prices_as_ids(db: Database) -> None:
    """Put each product's price where its id should be in the events."""
    db.execute("UPDATE Interactions SET productId = 5 + productId % 40")


DAMAGES: Mapping[str, Callable[[Database], None]] = {
    "half of the products missing": lose_half_of_the_products,
    "purchases shuffled": shuffle_products,
    "prices as ids": write_prices_as_ids,
}
