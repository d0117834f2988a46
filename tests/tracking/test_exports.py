"""Exports: a version's similarities in both directions, and what orders hold together more often than by chance."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from recsys.artifacts import Draft, activate, open_version
from recsys.data.interactions import Interactions
from recsys.features.features import Neighbours
from recsys.lifecycle.versions import show_active
from recsys.settings import ProductsTable, Shop
from recsys.store import Database, write_version
from recsys.tracking.exports import (
    SimilarItem,
    TogetherItem,
    both_directions,
    export_similarities,
    export_together,
    similar_items,
    together,
    together_with,
)
from recsys.tracking.record import TrackedEvent, record
from tests.helpers.small_versions import UNSYNCED
from tests.tracking.conftest import NOW

AtOnce = Callable[[Callable[[Database, int], None]], int]


def matrix(rows: Sequence[dict[int, float]]) -> Neighbours:
    return Neighbours(
        np.cumsum([0, *map(len, rows)]),
        np.array([column for row in rows for column in row], np.int32),
        np.array([weight for row in rows for weight in row.values()], np.float32),
    )


# Rows of weights, the most neighbours, and the exported pairs with their weights.
DIRECTIONS: dict[str, tuple[list[dict[int, float]], int, dict[tuple[int, int], float]]] = {
    "no items": ([], 2, {}),
    "no weights": ([{}, {}], 2, {}),
    "each direction has its own weight": ([{1: 0.5}, {0: 0.25}], 2, {(0, 1): 0.5, (1, 0): 0.25}),
    "a weight that only one direction has": ([{1: 0.5}, {}], 2, {(0, 1): 0.5, (1, 0): 0.5}),
    "weights of 0, below 0, of the item itself, and none": (
        [{0: 0.9, 1: 0.5, 2: -0.5}, {2: 0.0}, {0: np.nan, 1: np.inf}], 2, {(0, 1): 0.5, (1, 0): 0.5}
    ),
    "an item's best only, and what others have as their best": (
        [{1: 0.5, 2: 0.25, 3: 0.75}, {0: 0.5}, {0: 0.125}, {0: 0.75}], 1,
        {(0, 3): 0.75, (1, 0): 0.5, (2, 0): 0.125, (3, 0): 0.75, (0, 1): 0.5, (0, 2): 0.25},
    ),
    "equal weights by index": ([{2: 0.5, 1: 0.5}, {}, {}], 1, {(0, 1): 0.5, (1, 0): 0.5}),
}  # fmt: skip


@pytest.mark.parametrize(("rows", "n_best", "pairs"), DIRECTIONS.values(), ids=DIRECTIONS)
def test_every_pair_has_its_other_direction(
    rows: list[dict[int, float]], n_best: int, pairs: dict[tuple[int, int], float]
) -> None:
    items, others, weights = both_directions(matrix(rows), n_best)

    found = dict(zip(zip(items.tolist(), others.tolist(), strict=True), weights.tolist(), strict=True))
    assert found == pairs
    assert len(items) == len(pairs)


WEIGHTS = [{1: 0.5, 2: 0.25}, {0: 0.5}, {0: 0.25, 1: 0.125}]  # of the items 10, 11 and 12


def publish(db: Database, folder: Path, now: int, rows: Sequence[dict[int, float]] | None = None) -> str:
    """Publish a version with three items, and weights where there are any; returns its name."""
    with Draft.create(folder, now, UNSYNCED) as draft:
        draft.write_arrays("encoders.h5", {"users": np.array([b"a", b"b"]), "items": np.array([10, 11, 12])})
        if rows is not None:
            weights = matrix(rows)
            arrays = {"starts": weights.starts, "neighbours": weights.neighbours, "similarities": weights.similarities}
            draft.write_arrays("item_cf.h5", arrays)
        name = draft.publish({"data_until": now})
    write_version(db, name, data_until=now, users=np.array(["a", "b"]), items=np.array([10, 11, 12]), contexts={})
    activate(folder, name, UNSYNCED)
    return name


def test_an_activated_version_replaces_the_similarities_by_its_own(db: Database, tmp_path: Path) -> None:
    publish(db, tmp_path, NOW, [{2: 0.75}, {}, {}])
    show_active(db, tmp_path)
    assert similar_items(db, 10, 5) == [SimilarItem("12", 0.75)]

    name = publish(db, tmp_path, NOW + 1, WEIGHTS)
    show_active(db, tmp_path)

    assert db.query("SELECT DISTINCT version FROM rec_product_similarities") == [(name,)]
    assert similar_items(db, 10, 5) == [SimilarItem("11", 0.5), SimilarItem("12", 0.25)]
    assert similar_items(db, "11", 5) == [SimilarItem("10", 0.5), SimilarItem("12", 0.125)]
    assert similar_items(db, 12, 1) == [SimilarItem("10", 0.25)]
    assert similar_items(db, 10**6, 5) == similar_items(db, "' OR 1=1", 5) == similar_items(db, 10, 0) == []

    publish(db, tmp_path, NOW + 2)
    show_active(db, tmp_path)
    assert similar_items(db, 10, 5) == []


def test_a_version_that_is_exported_is_not_written_again_and_no_table_is_no_error(
    sqlite_db: Database, tmp_path: Path
) -> None:
    name = publish(sqlite_db, tmp_path, NOW, WEIGHTS)
    sent: list[str] = []
    with open_version(tmp_path, name) as version:
        assert export_similarities(sqlite_db, version) == 6
        sqlite_db._tracer = lambda sql, values: sent.append(sql)
        assert export_similarities(sqlite_db, version) == 6
        assert not any(sql.startswith(("INSERT", "DELETE")) for sql in sent)

        sqlite_db.execute("DROP TABLE rec_product_similarities")
        assert export_similarities(sqlite_db, version) == 0
        show_active(sqlite_db, tmp_path)


def test_many_processes_may_export_at_once(db: Database, tmp_path: Path, at_once: AtOnce) -> None:
    """Each reader sees the rows of one version, whole."""
    names = [publish(db, tmp_path, NOW + k, [{1: 0.5 + k}, {}, {}]) for k in range(3)]
    with open_version(tmp_path, names[0]) as version:
        export_similarities(db, version)

    def work(connection: Database, number: int) -> None:
        if number < 4:
            with open_version(tmp_path, names[1 + number % 2]) as version:
                export_similarities(connection, version)
        ((n, first, last),) = connection.query("SELECT COUNT(*), MIN(score), MAX(score) FROM rec_product_similarities")
        assert (n, first) == (2, last)

    at_once(work)

    assert db.query("SELECT DISTINCT version FROM rec_product_similarities") in ([(names[1],)], [(names[2],)])


def bought(*lines: tuple[int | str, int | str, int]) -> Interactions:
    """Return purchases as (user, item, second)."""
    users, items, seconds = zip(*lines, strict=True) if lines else ((), (), ())
    n = len(lines)
    return Interactions(
        users=np.array(users, object) if n else np.zeros(0, np.int64),
        items=np.array(items, object) if n else np.zeros(0, np.int64),
        events=np.zeros(n, np.int16),
        timestamps=np.array(seconds, np.int64),
        row_ids=np.arange(n),
        event_names=("purchase",),
    )


def orders(*baskets: str) -> Interactions:
    """Return one order for each text; each letter is an item."""
    return bought(*((f"user {k}", letter, 5) for k, basket in enumerate(baskets) for letter in basket))


def test_lift_and_confidence_are_those_of_the_orders() -> None:
    rows = together(orders("ab", "abc", "a", "c", "d", "cd", "b", "d"), {})

    # Of 8 orders, a is in 3, b in 3, both in 2. By chance it were 9 / 8 orders, and the prior adds 3 to both.
    lift = (2 + 3) / (9 / 8 + 3)
    pair = {"n_orders": 2, "lift": lift, "confidence": 2 / 3, "confidence_back": 2 / 3}
    assert rows == [{"item_id": "a", "together_id": "b", **pair}, {"item_id": "b", "together_id": "a", **pair}]


TOGETHER: dict[str, tuple[Interactions, dict[str, str], set[str]]] = {
    "no orders": (orders(), {}, set()),
    "one order": (orders("ab"), {}, set()),
    "two orders of all": (orders("ab", "ab"), {}, set()),  # nobody buys anything else, so chance has them in all orders
    "two orders of many": (orders("ab", "ab", "c", "d"), {}, {"ab", "ba"}),
    "one order of many": (orders("ab", "c", "d"), {}, set()),
    "the same item twice": (orders("aa", "aa", "b", "c"), {}, set()),
    "less often than by chance": (orders("ab", "ab", *"aaaabbbb"), {}, set()),
    "variants": (orders("ab", "ab", "cd", "cd", "e"), {"a": "bag", "b": "bag", "c": "d"}, set()),
    "variants of two products": (orders("ab", "ab", "c", "d"), {"a": "bag", "b": "belt"}, {"ab", "ba"}),
    "a reseller's order": (
        bought(*((user, f"i{k}", k) for user in "rs" for k in range(101)), ("t", "x", 0)), {}, set()
    ),
}  # fmt: skip


@pytest.mark.parametrize(("purchases", "parents", "pairs"), TOGETHER.values(), ids=TOGETHER)
def test_pairs_need_two_orders_more_than_chance_and_two_products(
    purchases: Interactions, parents: dict[str, str], pairs: set[str]
) -> None:
    assert {row["item_id"] + row["together_id"] for row in together(purchases, parents)} == pairs


def buy(user: int, item: int, at: int, event: str = "purchase") -> dict[str, object]:
    return {
        "userId": user,
        "productId": item,
        "actionCode": event,
        "timestamp": str(np.datetime64(at, "s")).replace("T", " "),
    }


def test_the_shops_orders_and_recorded_purchases_are_exported_together(db: Database, shop: Shop) -> None:
    db.insert("Interactions", [
        buy(1, 10, NOW - 900), buy(1, 11, NOW - 900), buy(2, 12, NOW - 900), buy(4, 10, NOW - 900, "view"),
        buy(5, 12, NOW - 900), buy(5, 10, NOW - 900), buy(5, 10, NOW - 800, "cancel"),
        buy(6, 12, NOW - 400 * 86_400), buy(6, 10, NOW - 400 * 86_400),
    ])  # fmt: skip
    for number, item in enumerate((10, 11, 13)):
        record(db, TrackedEvent(3, None, item, "purchase", event_id=f"e{number}", at=NOW - 500 + number), now=NOW)
    record(db, TrackedEvent("guest", None, 12, "purchase", at=NOW - 500), now=NOW)

    assert export_together(db, shop, now=NOW) == 2

    # Orders: 10 11, 12, 12 (10 was cancelled), 10 11 13. The guest is no user of a shop whose users are numbers.
    pair = TogetherItem("11", 2, (2 + 3) / (2 * 2 / 4 + 3), 1.0, 1.0)
    assert together_with(db, 10, 5) == [pair]
    assert together_with(db, "11", 5) == [replace(pair, item_id="10")]
    assert together_with(db, 12, 5) == together_with(db, "no such", 5) == []
    assert export_together(db, shop, now=NOW + 500 * 86_400) == 0
    assert together_with(db, 10, 5) == []


def test_a_parent_of_the_mapping_tells_variants(db: Database, shop: Shop) -> None:
    db.execute("CREATE TABLE skus (sku INT PRIMARY KEY, product INT)")
    db.insert("skus", [{"sku": 10, "product": 1}, {"sku": 11, "product": 1}, {"sku": 12, "product": None}])
    db.insert("Interactions", [buy(user, item, NOW - 900) for user in (1, 2) for item in (10, 11, 12)])
    db.insert("Interactions", [buy(3, 13, NOW - 900), buy(4, 14, NOW - 900)])
    with_parents = replace(shop, products=ProductsTable("skus", "sku", parent="product"))

    assert export_together(db, with_parents, now=NOW) == 4
    assert {row.item_id for row in together_with(db, 12, 5)} == {"10", "11"}
    assert [row.item_id for row in together_with(db, 10, 5)] == ["12"]


def test_without_its_table_nothing_is_exported(sqlite_db: Database, shop: Shop) -> None:
    sqlite_db.execute("DROP TABLE rec_frequently_together")

    assert export_together(sqlite_db, shop, now=NOW) == 0
