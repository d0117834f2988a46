"""New users and new products get what is popular now, of the page's category first."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from recsys.contract import Reason
from recsys.errors import UnknownUser
from recsys.recommending import recommend as use_case
from recsys.recommending.user import OF_GUESTS
from tests.helpers.tiny_shop import INACTIVE, ITEMS, NEW, Published, moved, shown

STRANGER = 1000
UNSEEN = 900  # a product that training has not seen
TEA = {item for item in ITEMS if (item - 101) % 3 == 0} - INACTIVE - set(NEW)
POPULAR, POPULAR_TEA = Reason("popular"), Reason("popular", category="tea")


@pytest.fixture
def shop(published: Published, tmp_path: Path) -> Published:
    """The shop with a product that was added after training."""
    copy = published.copy(tmp_path / "copy")
    copy.execute(f"INSERT INTO Products (id, name, statusId, categoryId) VALUES ({UNSEEN}, 'Fresh', 'S1', 'Tea')")
    return copy


CASES: dict[str, dict[str, Any]] = {
    "a guest": {"context": {"category": "tea"}},
    "a guest, in upper case": {"context": {"category": " TEA "}},
    "an unknown user": {"user_id": STRANGER, "context": {"category": "tea"}},
    "a guest whose click nobody knows": {
        "interactions": [{"item_id": UNSEEN, "event": "view"}],
        "context": {"category": "tea"},
    },
    "a new product": {"op": "similar", "item_id": UNSEEN},
    "a new product, of a known user": {"op": "similar", "item_id": UNSEEN, "user_id": 7},
    "an unknown product": {"op": "similar", "item_id": 4711, "context": {"category": "tea"}},
    "the context's category before the product's": {
        "op": "similar",
        "item_id": NEW[0],
        "context": {"category": "tea"},
    },
}


@pytest.mark.parametrize("fields", CASES.values(), ids=CASES)
def test_popular_products_of_the_category_come_first(shop: Published, fields: dict[str, Any]) -> None:
    answer = shop.ask(**fields, limit=20)

    assert (answer.model, answer.source, len(answer.warnings)) == ("popularity_recent", "popularity", 1)
    n_tea = len([item for item in shown(answer) if item in TEA])
    assert n_tea > 5
    assert set(shown(answer)[:n_tea]) <= TEA
    assert [item.reason for item in answer.items] == [POPULAR_TEA] * n_tea + [POPULAR] * (20 - n_tea)
    scores = [item.score for item in answer.items]
    assert scores == sorted(scores, reverse=True)
    assert all(0 < score < 1 for score in scores)


@pytest.mark.parametrize("user_id", [7, "7"])
def test_an_id_that_stands_for_guests_is_answered_as_a_guest(published: Published, user_id: int | str) -> None:
    bundle = replace(published.load(), guests=frozenset({7}))

    answer, guest = published.ask(bundle, user_id=user_id), published.ask()

    assert (answer.items, answer.source) == (guest.items, "popularity") != (published.ask(user_id=7).items, "model")
    assert answer.user_id == user_id
    assert OF_GUESTS in answer.warnings


@pytest.mark.parametrize(
    "fields",
    [
        {"context": {"category": "no such category"}},
        {"context": {"category": None}},
        {"op": "similar", "item_id": 4711},
        {"op": "similar", "item_id": "7abc"},
    ],
)
def test_without_a_known_category_all_popular_products_are_listed(shop: Published, fields: dict[str, Any]) -> None:
    assert shop.ask(**fields).items == shop.ask().items
    assert {item.reason for item in shop.ask(**fields).items} == {POPULAR}


def test_the_category_of_a_new_product_is_read_from_every_database(published: Published, database_url: str) -> None:
    shop = moved(published, database_url)
    shop.execute(f"INSERT INTO Products (id, name, statusId, categoryId) VALUES ({UNSEEN}, 'Fresh', 'S1', 'Tea')")

    answer = shop.ask(op="similar", item_id=UNSEEN, limit=5)

    assert {item.reason for item in answer.items} == {POPULAR_TEA}
    assert set(shown(answer)) <= TEA
    assert set(shown(shop.ask(limit=100))) == set(ITEMS) - INACTIVE | {UNSEEN}


def test_filters_lists_and_new_products_work_as_for_everybody(shop: Published) -> None:
    answer = shop.ask(filters={"category": "tea"}, exclude=[104], limit=100)
    assert set(shown(answer)) == (TEA | {item for item in NEW if (item - 101) % 3 == 0} | {UNSEEN}) - {104}
    assert (shown(answer)[-2:], answer.items[-1].score) == ([UNSEEN, *answer_new(answer)][-2:], 0.0)
    assert {item.reason for item in answer.items if item.score == 0} == {Reason("new")}
    assert shown(shop.ask(candidates=[104, UNSEEN])) == [104, UNSEEN]


def answer_new(answer: Any) -> list[int | str]:
    """Return the items of an answer that no model knows, except `UNSEEN`."""
    return [item.product_id for item in answer.items if item.score == 0 and item.product_id != UNSEEN]


def test_a_model_that_the_request_names_answers(shop: Published) -> None:
    answer = shop.ask(user_id=STRANGER, model="BMF")
    assert (answer.model, answer.source, len(answer.items)) == ("BMF", "fold_in", 10)
    assert answer.warnings == ("user_id: nothing is known of this user yet, so no event has shaped the list",)
    assert {item.reason for item in answer.items} == {None}


def test_without_the_recent_popularity_that_of_all_time_answers(shop: Published) -> None:
    bundle = shop.load()
    bundle.scorers.names = tuple(name for name in bundle.scorers.names if name != "popularity_recent")
    assert shop.ask(bundle).model == "popularity"
    assert use_case.POPULAR == ("popularity_recent", "popularity")


def test_strict_refuses_new_users_and_no_others(shop: Published) -> None:
    for fields in CASES.values():
        if fields.get("op") == "similar":
            assert shop.ask(**fields, strict=True).source == "popularity"
        else:
            with pytest.raises(UnknownUser):
                shop.ask(**fields, strict=True)
    assert shop.ask(user_id=7, strict=True).items == shop.ask(user_id=7).items
    view = [{"item_id": 101, "event": "view"}]
    assert shop.ask(interactions=view, strict=True).items == shop.ask(interactions=view).items
