"""What lies in the cart is not recommended, and reasons say what the user did."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from recsys.contract import Reason
from recsys.data.purchases import CART_DAYS
from recsys.recommending import loading
from recsys.recommending.recommend import history_reasons
from recsys.recommending.user import event_strengths
from recsys.settings import Shop
from tests.helpers.tiny_shop import DAY, NOW, Published, event, interactions, moved, shown

USER = 7
OPS = {"recommend": {}, "similar": {"op": "similar", "item_id": 101}}


@pytest.fixture
def item(published: Published) -> int:
    """A product that both operations show to the user."""
    lists = [shown(published.ask(user_id=USER, limit=100, **fields)) for fields in OPS.values()]
    return next(int(item) for item in lists[0][:20] if item in lists[1])


def steps(*ages: tuple[str, int]) -> list[tuple[str, int]]:
    return [(name, NOW - age) for name, age in ages]


# What was done with an item, and whether it lies in the cart then.
CARTS = {
    "put into it": (steps(("cart", 60)), True),
    "looked at since": (steps(("cart", 60), ("view", 30)), True),
    "bought before": (steps(("purchase", 90), ("cancel", 80), ("cart", 60)), True),
    "cancelled since": (steps(("cart", 90), ("purchase", 80), ("cancel", 60)), False),
    "taken out": (steps(("cart", 90), ("uncart", 60)), False),
    "taken out by the name of a cancellation": (steps(("cart", 90), ("cancel", 60)), False),
    "taken out and put back": (steps(("cart", 90), ("uncart", 60), ("cart", 30)), True),
    "in its last second": (steps(("cart", CART_DAYS * DAY)), True),
    "a second too old": (steps(("cart", CART_DAYS * DAY + 1)), False),
    "never": (steps(("view", 60)), False),
}


@pytest.mark.parametrize("op", OPS)
@pytest.mark.parametrize(("events", "is_in_cart"), CARTS.values(), ids=CARTS)
def test_what_lies_in_the_cart_is_not_recommended(
    published: Published, tmp_path: Path, item: int, op: str, events: list[tuple[str, int]], is_in_cart: bool
) -> None:
    shop = published.copy(tmp_path / "copy")
    shop.execute(f"DELETE FROM Interactions WHERE userId = {USER} AND productId = {item}")
    asked = {"user_id": USER, "limit": 100, **OPS[op]}
    sent = [{"item_id": item, "event": name, "timestamp": moment} for name, moment in events]
    by_request = shop.ask(**asked, interactions=sent)
    shop.add([event(USER, item, name, moment) for name, moment in events])
    stored = shop.ask(**asked)

    for answer in (stored, by_request, shop.ask(**asked, candidates=[item])):
        assert (item not in shown(answer)) == is_in_cart


def test_the_cart_is_read_from_every_database(published: Published, database_url: str, item: int) -> None:
    shop = moved(published, database_url)
    shop.add([event(USER, item, "cart", NOW - 60)])
    for fields in OPS.values():
        assert item not in shown(shop.ask(user_id=USER, limit=100, **fields))


def test_a_guests_cart_is_hidden_by_similar(published: Published, item: int) -> None:
    told = [{"item_id": item, "event": "cart"}]
    for fields in OPS.values():
        assert item not in shown(published.ask(interactions=told, limit=100, **fields))


def test_similar_leaves_out_events_that_the_shop_does_not_know(published: Published) -> None:
    told = [{"item_id": 104, "event": "teleport"}]
    similar = {"op": "similar", "item_id": 101}
    assert published.ask(**similar, interactions=told).items == published.ask(**similar).items


def test_a_removal_from_the_cart_is_no_preference(published: Published) -> None:
    told = [{"item_id": 104, "event": "uncart"}]
    for fields in OPS.values():
        assert published.ask(**fields, interactions=told).items == published.ask(**fields).items


def test_a_version_before_carts_were_named_has_the_default(published: Published) -> None:
    trained = dict(published.load().version.manifest["settings"])
    assert loading._rules(trained)["cart_events"] == ("cart",)
    assert loading._rules({**trained, "cart_events": ["basket"]})["cart_events"] == ("basket",)
    assert loading._rules({**trained, "cart_events": []})["cart_events"] == ()
    assert loading._rules({**trained, "uncart_events": ["out"]})["uncart_events"] == ("out",)
    del trained["cart_events"], trained["uncart_events"]
    assert loading._rules(trained)["cart_events"] == ("cart",)
    assert loading._rules(trained)["uncart_events"] == ("uncart",)


# Reasons

STRONGEST = {
    "a view": (["view"], "viewed"),
    "a rating": (["star5"], "viewed"),
    "a wish": (["wishlist"], "viewed"),
    "a cart event": (["view", "cart"], "cart"),
    "a purchase": (["purchase", "cart", "view"], "bought"),
    "another name of a purchase": (["order"], "bought"),
    "another name of a cart event": (["basket", "view"], "cart"),
    "a name of both": (["reserve"], "bought"),
    "a purchase without a weight": (["gift"], "viewed"),
}


@pytest.mark.parametrize(("events", "code"), STRONGEST.values(), ids=STRONGEST)
def test_the_strongest_event_on_an_item_names_the_reason(events: list[str], code: str) -> None:
    shop = Shop(
        sources=(),
        event_weights=dict.fromkeys(("view", "cart", "purchase", "order", "basket", "reserve", "wishlist", "star5"), 1),
        purchase_events=("purchase", "order", "reserve", "gift"),
        cart_events=("cart", "basket", "reserve"),
    )
    n = len(events)
    user = SimpleNamespace(
        items=np.full(n, 901), indices=np.full(n, 5, np.int32), strengths=event_strengths(events, shop)
    )
    assert history_reasons(user, {8: 5, 9: 5}) == {8: Reason(code, 901), 9: Reason(code, 901)}  # type: ignore[arg-type]


@pytest.mark.parametrize("user", [0, 7, 14, 25, 59])
def test_reasons_are_true(published: Published, user: int) -> None:
    answer = published.ask(user_id=user, limit=100)
    own = {
        name: {row["productId"] for row in interactions() if row["userId"] == user and row["actionCode"] == name}
        for name in ("view", "cart", "purchase")
    }
    reasons = [item.reason for item in answer.items if item.reason]
    assert {reason.code for reason in reasons} > {"new"}
    for item in answer.items:
        if item.reason:
            code, cause = item.reason.code, item.reason.item_id
            assert cause != item.product_id
            assert (code == "bought") == (cause in own["purchase"])
            assert (code == "cart") == (cause in own["cart"] - own["purchase"])
            assert (code == "new") == (cause is None) == (item.score == 0)


def test_similar_names_its_item(published: Published) -> None:
    reasons = [item.reason for item in published.ask(op="similar", item_id=101, user_id=USER, limit=5).items]
    assert reasons == [Reason("similar", 101)] * 5
