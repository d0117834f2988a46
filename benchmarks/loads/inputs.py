"""Inputs for two checkouts: the test corpus of invalid and unusual requests, and random requests for a shop."""

from __future__ import annotations

import json
import random
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tests.helpers.corpus import cases

UNCOMPARABLE = {"op 40 stats"}  # answers with memory and seconds
Inputs = dict[str, tuple[bytes, int]]  # by name: bytes, and the lines that a worker answers to them and a line end


def inputs(shop: Path, scorers: Sequence[str], number: int, seed: int) -> Inputs:
    """Return the corpus and random requests, by name.

    Args:
        shop: A SQLite file of the default schema.
        scorers: Names that `model` may have.
        number: Number of inputs; the corpus comes first.
        seed: Seed of the random requests.
    """
    by_name = {name: (case.data, len(case.lines)) for name, case in cases().items() if name not in UNCOMPARABLE}
    with sqlite3.connect(shop) as db:
        users = [user for (user,) in db.execute("SELECT DISTINCT userId FROM Interactions ORDER BY userId")]
        products = db.execute("SELECT id, categoryId FROM Products WHERE categoryId IS NOT NULL ORDER BY id").fetchall()
    drawn = drawn_requests(random.Random(seed), users, *map(list, zip(*products, strict=True)), scorers)
    for n in range(number - len(by_name)):
        by_name[f"drawn {n}"] = json.dumps(next(drawn)).encode(), 1
    return dict(list(by_name.items())[:number])


def drawn_requests(
    rng: random.Random, users: Sequence[int], items: list[int], categories: Sequence[str], scorers: Sequence[str]
) -> Iterator[dict[str, Any]]:
    """Yield random requests without end, one kind after another."""

    def sample(most: int) -> list[int]:
        return rng.sample(items, min(rng.randint(1, most), len(items)))

    def events() -> list[dict[str, Any]]:
        return [{"item_id": item, "event": rng.choice(["view", "cart", "purchase"])} for item in sample(6)]

    while True:
        user = {"user_id": rng.choice(users)}
        low = rng.uniform(1, 60)
        context = {
            "time_of_day": rng.choice(["morning", "night", "?"]),
            "device_type": rng.choice(["mobile", "desktop", None]),
        }
        yield user
        yield {**user, "limit": rng.choice([1, 3, 25, 100]), "id": f"no. {rng.randint(1, 99)}"}
        yield {**user, "context": {name: value for name, value in context.items() if value}}
        yield {"interactions": events(), "context": {"category": rng.choice(categories)}}
        yield {**user, "interactions": events(), "ground_truth": sample(5)}
        yield {"op": "similar", "item_id": rng.choice(items), **(user if rng.random() < 0.5 else {})}
        yield {**user, "filters": {"category": rng.choice(categories), "in_stock": rng.random() < 0.5}}
        yield {**user, "filters": {"price_min": low, "price_max": 3 * low}}
        yield {**user, "candidates": sample(30)}
        yield {**user, "exclude": sample(50), "limit": 20}
        yield {**user, "model": rng.choice(scorers)}
        yield rng.choice(
            [
                {"user_id": -5},
                {**user, "limit": 101},
                {**user, "model": "none"},
                {**user, "filters": {"colour": "red"}},
                {},
            ]
        )
