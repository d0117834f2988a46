"""SQL statements of a request: their number depends neither on the shop's size nor on the user's history."""

from collections.abc import Mapping
from typing import Any

import pytest

from recsys.store import connect
from tests.helpers.tiny_shop import NOW, Published, event, moved

STRANGER, BUSY = 1000, 1001
TOLD = {"interactions": [{"item_id": 101, "event": "view"}]}


def statements(shop: Published, **fields: Any) -> list[str]:
    """Return the statements that one request sends."""
    sent: list[str] = []
    shop.ask(**fields, tracer=lambda sql, values: sent.append(" ".join(sql.split())))
    return sent


@pytest.fixture
def shop(published: Published, database_url: str) -> Published:
    """The shop on one of the three databases, with a stranger of 5 events and one of 3,000."""
    shop = moved(published, database_url)
    shop.add([event(STRANGER, 101 + n, "view", NOW - 60) for n in range(5)])
    shop.add([event(BUSY, 101 + n % 30, "view", NOW - 3000 + n) for n in range(3000)])
    return shop


def add_weights(shop: Published) -> None:
    """Let the shop have a hundred times the products and several times the events."""
    with connect(shop.url) as db:
        db.insert(
            "Products",
            [{"id": 1000 + n, "name": f"New {n}", "statusId": "S1", "categoryId": "tea"} for n in range(4000)],
        )
        db.insert("Interactions", [event(5000 + n % 500, 1000 + n % 4000, "view", NOW - 60) for n in range(12_000)])


EXPECTED: tuple[tuple[str, Mapping[str, Any], int], ...] = (
    # her index with her events; what the shop says now of the best items
    ("a customer of the training", {"user_id": 7}, 2),
    ("a stranger with 5 events", {"user_id": STRANGER}, 2),
    ("a stranger with 3,000 events", {"user_id": BUSY}, 2),
    ("a hundred items", {"user_id": 7, "limit": 20}, 2),
    ("named items", {"user_id": 7, "exclude": list(range(101, 120)), **TOLD}, 2),
    # the version's row; what the shop says of the best items: a guest has no events to read
    ("a guest", TOLD, 2),
    # the ranking has no more: the newest products fill the list
    ("more than is ranked", {"user_id": 7, "limit": 100}, 3),
    ("only what is not ranked", {"user_id": 7, "candidates": [139]}, 2),
    ("similar items", {"op": "similar", "item_id": 101}, 2),
)


def test_the_number_of_statements_depends_on_the_request_only(shop: Published):
    before = {name: len(statements(shop, **fields)) for name, fields, _ in EXPECTED}
    assert before == {name: number for name, _, number in EXPECTED}
    add_weights(shop)
    assert {name: len(statements(shop, **fields)) for name, fields, _ in EXPECTED} == before


def test_events_beyond_the_limit_cost_one_more_statement(shop: Published, monkeypatch: pytest.MonkeyPatch):
    from recsys.recommending import user as user

    monkeypatch.setattr(user, "MAX_EVENTS", 2999)
    assert len(statements(shop, user_id=BUSY)) == 3
    monkeypatch.setattr(user, "MAX_EVENTS", 3000)
    assert len(statements(shop, user_id=BUSY)) == 2


def test_a_request_reads_and_never_writes(published: Published):
    for _, fields, _ in EXPECTED:
        if fields.get("user_id", 7) == 7:
            assert all(sql.startswith("SELECT ") for sql in statements(published, **fields))


def test_the_scores_are_the_same_from_every_database(shop: Published, published: Published):
    here, there = shop.ask(user_id=7), published.ask(user_id=7)
    assert here.items == there.items
    assert here.runs == there.runs
