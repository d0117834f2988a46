"""Lists over HTTP: the same as through the bridge, full, of products that are sold now, and kept."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import httpx
import numpy as np
import pytest

from recsys.errors import DatabaseUnavailable
from recsys.recommending import recommend as use_case
from recsys.recommending.loading import ModelBundle
from recsys.related.together import TogetherPairs
from recsys.service import answers as answers_module
from recsys.service import rankings as rankings_module
from recsys.service.lists import KeptList
from recsys.tracking.analytics import RankedItem
from tests.helpers.http_service import HttpService, error_of, shop_of
from tests.helpers.tiny_shop import INACTIVE, ITEMS, LEARNED, NEW, RARE, Published

# Of ten orders with 101, five hold 109 and two hold 110, which is not sold with anything else.
PAIRS = TogetherPairs(
    starts=np.array([0, 2] + [2] * 35),
    neighbours=np.array([8, 9], np.int32),
    lifts=np.array([6.0, 7.5]),
    n_orders=np.array([5, 2], np.int32),
    orders_of_item=np.full(36, 10, np.int32),
)
SOLD = [item for item in ITEMS if item not in INACTIVE]


@pytest.fixture
def shop(published: Published, tmp_path: Path) -> Published:
    return shop_of(published, tmp_path)


@pytest.fixture
def service(shop: Published) -> Iterator[HttpService]:
    with HttpService(shop) as service:
        yield service


@pytest.fixture
def n_made(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Each question for which a list is made from now on."""
    made: list[object] = []
    real = answers_module.make_list

    def counted(*args: Any) -> KeptList:
        made.append(args[2])
        return real(*args)

    monkeypatch.setattr(answers_module, "make_list", counted)
    return made


def of(answer: httpx.Response) -> list[int]:
    assert answer.status_code == 200, answer.text
    return [product["id"] for product in answer.json()["recommendations"]]


def test_a_list_is_the_bridges_list(shop: Published, service: HttpService) -> None:
    answer = service.ask("GET", "/recommendations", params={"user_id": "7", "limit": "5"})

    expected = shop.ask(user_id=7, limit=100, now=int(time.time()))
    document = answer.json()
    assert of(answer) == [item.product_id for item in expected.items][:5]
    assert [product["score"] for product in document["recommendations"]] == [
        round(item.score, 6) for item in expected.items
    ][:5]
    assert (document["algorithm"], document["cached"]) == (expected.model, False)
    first, reason = document["recommendations"][0], expected.items[0].reason
    assert (first["title"], first["price"]) == (title_of(first["id"]), price_of(first["id"]))
    assert reason is not None
    assert first["reason"] == {"code": reason.code, "item_id": reason.item_id}


def title_of(item: int) -> str:
    return f"{('Tea', 'Coffee', 'Honey')[(item - 101) % 3]} {item}"


def price_of(item: int) -> float:
    return item - 98.0 if item % 10 == 0 else item - 96.0


@pytest.mark.parametrize(
    "spec",
    [{"user_id": "7"}, {"userId": "7"}, {"user_id": "7", "session_id": "s-1", "context": "homepage"}],
)
def test_get_and_post_answer_alike(service: HttpService, spec: dict[str, str]) -> None:
    got = service.ask("GET", "/recommendations", params=spec)
    sent = service.ask("POST", "/recommendations", json={**spec, "limit": 12})

    assert of(got) == of(sent)
    assert len(of(got)) == 12


def test_the_second_answer_is_kept_and_the_same(service: HttpService, n_made: list[object]) -> None:
    answers = [service.ask("GET", "/recommendations", params={"user_id": "7"}).json() for _ in range(3)]

    assert [answer["cached"] for answer in answers] == [False, True, True]
    assert answers[0]["recommendations"] == answers[1]["recommendations"] == answers[2]["recommendations"]
    assert len(n_made) == 1


def test_one_list_serves_every_limit(service: HttpService, n_made: list[object]) -> None:
    lists = [service.ids(user_id="7", limit=str(limit)) for limit in (3, 20, 1)]

    assert [len(ids) for ids in lists] == [3, 20, 1]
    assert lists[0] == lists[1][:3] and lists[2] == lists[1][:1]
    assert len(n_made) == 1


def test_requests_at_the_same_time_share_one_computation(service: HttpService, n_made: list[object]) -> None:
    answers = service.ask_all([("GET", "/recommendations", {"params": {"user_id": "7"}})] * 20)

    assert len(n_made) == 1
    assert {json.dumps(answer.json()["recommendations"]) for answer in answers} == {
        json.dumps(answers[0].json()["recommendations"])
    }


def test_no_answer_is_somebody_elses(shop: Published, service: HttpService) -> None:
    users = list(range(60)) * 2
    answers = service.ask_all([("GET", "/recommendations", {"params": {"user_id": str(user)}}) for user in users])

    bundle, now = shop.load(), int(time.time())
    for user, answer in zip(users, answers, strict=True):
        expected = shop.ask(bundle, user_id=user, limit=100, now=now)
        assert of(answer) == [item.product_id for item in expected.items][:12]


def test_price_and_title_are_those_of_the_moment(shop: Published, service: HttpService) -> None:
    before = service.ask("GET", "/recommendations", params={"user_id": "7"}).json()["recommendations"][0]
    shop.execute(f"UPDATE Productdetails SET discountPrice = 1.5 WHERE productId = {before['id']}")
    shop.execute(f"UPDATE Products SET name = 'Renamed' WHERE id = {before['id']}")

    answer = service.ask("GET", "/recommendations", params={"user_id": "7"}).json()

    assert answer["cached"] is True
    assert (answer["recommendations"][0]["id"], answer["recommendations"][0]["price"]) == (before["id"], 1.5)
    assert answer["recommendations"][0]["title"] == "Renamed"


def test_a_product_that_is_switched_off_leaves_a_kept_list_which_stays_full(
    shop: Published, service: HttpService
) -> None:
    before = service.ids(user_id="7", limit="13")
    shop.execute(f"UPDATE Products SET statusId = 'S2' WHERE id = {before[0]}")

    answer = service.ask("GET", "/recommendations", params={"user_id": "7"})

    assert answer.json()["cached"] is True
    assert of(answer) == before[1:]


def test_a_list_whose_spare_products_are_sold_out_is_made_again(
    shop: Published, service: HttpService, n_made: list[object]
) -> None:
    everything = service.ids(user_id="7", limit="100")
    off = everything[:20]
    shop.execute(f"UPDATE Products SET statusId = 'S2' WHERE id IN ({', '.join(map(str, off))})")

    answer = service.ask("GET", "/recommendations", params={"user_id": "7", "limit": "100"})

    assert answer.json()["cached"] is False
    assert set(of(answer)) == set(everything) - set(off)
    assert service.ask("GET", "/recommendations", params={"user_id": "7", "limit": "100"}).json()["cached"] is True
    assert len(n_made) == 2


def test_nothing_that_is_not_sold_is_ever_shown(service: HttpService) -> None:
    for context in ("homepage", "product_page", "cart", "checkout", "top_selling", "most_viewed", "trending"):
        ids = service.ids(user_id="7", context=context, product_id="101", limit="100")
        assert ids and not set(ids) & INACTIVE
        assert len(set(ids)) == len(ids)


@pytest.mark.parametrize("user", ["999999", "nobody", "07", "-1", "7abc", "' OR 1=1 --", "人" * 100])
def test_a_user_of_whom_nothing_is_known_gets_what_is_popular(service: HttpService, user: str) -> None:
    answer = service.ask("GET", "/recommendations", params={"user_id": user})

    assert of(answer) == service.ids()
    assert answer.json()["algorithm"].startswith("popularity")


@pytest.mark.parametrize("item", [*NEW, RARE, 999_999])
def test_a_product_that_the_version_does_not_know_is_no_error(service: HttpService, item: int) -> None:
    assert len(service.ids(user_id="7", context="product_page", product_id=str(item))) == 12


def test_the_page_of_a_product_shows_similar_ones(shop: Published, service: HttpService) -> None:
    expected = shop.ask(op="similar", item_id=104, limit=100, now=int(time.time()))

    by_context = service.ask("GET", "/recommendations", params={"context": "product_page", "product_id": "104"})
    by_path = service.ask("GET", "/api/recommendations/similar/104")

    assert of(by_context) == of(by_path) == [item.product_id for item in expected.items][:12]
    assert 104 not in of(by_path)


def test_a_ranking_comes_first_and_the_users_list_fills_it(
    service: HttpService, monkeypatch: pytest.MonkeyPatch
) -> None:
    ranked = [RankedItem("105", 9.0), RankedItem(134, 5.0), RankedItem("106", 3.0), RankedItem("none", 2.0)]
    monkeypatch.setattr(rankings_module, "rankings", lambda db, shop, kind, *, now, limit: ranked)

    answer = service.ask("GET", "/recommendations", params={"user_id": "7", "context": "top_selling"})

    products = answer.json()["recommendations"]
    assert of(answer)[:2] == [105, 106]  # 134 is not sold, and `none` is no id
    assert [products[0]["score"], products[1]["score"]] == [0.9, 0.75]
    assert len(products) == 12
    scores = [product["score"] for product in products]
    assert scores == sorted(scores, reverse=True)
    assert answer.json()["algorithm"] == "top_selling"


def test_nobody_waits_for_a_ranking_that_is_counted(service: HttpService, monkeypatch: pytest.MonkeyPatch) -> None:
    counted, asked = threading.Event(), []

    def slow(db: object, shop: object, kind: str, *, now: int, limit: int) -> list[RankedItem]:
        asked.append(kind)
        assert counted.wait(60)
        return [RankedItem("105", 9.0)]

    monkeypatch.setattr(rankings_module, "rankings", slow)
    monkeypatch.setattr(rankings_module, "WAIT_S", 0.01)
    spec = {"params": {"user_id": "7", "context": "most_viewed"}}
    first, second = (service.ask("GET", "/recommendations", **spec).json() for _ in range(2))
    counted.set()
    monkeypatch.setattr(rankings_module, "WAIT_S", 60)
    third, fourth = (service.ask("GET", "/recommendations", **spec).json() for _ in range(2))

    for answer in (first, second):  # the user's own list stands in, and is not kept in place of the ranking
        assert len(answer["recommendations"]) == 12
        assert (answer["algorithm"] == "most_viewed", answer["cached"]) == (False, False)
    assert (third["algorithm"], third["recommendations"][0]["id"]) == ("most_viewed", 105)
    assert fourth["cached"]
    assert asked == ["most_viewed"]


def test_a_ranking_that_cannot_be_counted_is_counted_again(
    service: HttpService, monkeypatch: pytest.MonkeyPatch
) -> None:
    outcomes: list[Callable[[], list[RankedItem]]] = [
        lambda: raised(DatabaseUnavailable("The database should answer. Received: nothing.")),
        lambda: [RankedItem("105", 9.0)],
    ]
    monkeypatch.setattr(rankings_module, "rankings", lambda *args, **options: outcomes.pop(0)())
    monkeypatch.setattr(rankings_module, "WAIT_S", 60)
    spec = {"params": {"user_id": "7", "context": "most_wishlisted"}}

    answers = [service.ask("GET", "/recommendations", **spec).json() for _ in range(2)]

    assert [len(answer["recommendations"]) for answer in answers] == [12, 12]
    assert [answer["algorithm"] == "most_wishlisted" for answer in answers] == [False, True]


def raised(error: Exception) -> NoReturn:
    raise error


def test_what_is_trending_goes_on_with_the_trends_of_the_version(shop: Published, service: HttpService) -> None:
    expected = shop.ask(op="trending", limit=100, now=int(time.time()))

    assert expected.model == "trending"
    assert service.ids(context="trending") == [item.product_id for item in expected.items][:12]  # nothing is newer


@pytest.mark.parametrize("context", ["cart", "checkout"])
def test_the_cart_shows_first_what_is_bought_together(
    service: HttpService, monkeypatch: pytest.MonkeyPatch, context: str
) -> None:
    monkeypatch.setattr(ModelBundle, "pairs", property(lambda bundle: PAIRS))

    answer = service.ask("GET", "/recommendations", params={"context": context, "product_id": "101"})

    products = answer.json()["recommendations"]
    assert of(answer)[:2] == [109, 110]
    assert products[0]["reason"] == {"code": "together", "item_id": 101}
    assert [product["score"] for product in products[:2]] == [0.75, 0.6]  # 3 and 1.5: lift times confidence
    assert products[2]["score"] <= 0.6
    assert products[2]["reason"]["code"] == "similar"
    assert (len(products), answer.json()["algorithm"]) == (12, "together")
    assert 101 not in of(answer)


def test_purchases_that_the_shop_sends_along_are_hidden_and_shape_the_list(service: HttpService) -> None:
    answer = service.ask("POST", "/api/recommendations/user", json={"purchased_products": [101, 104, 107], "limit": 20})
    again = service.ask("POST", "/api/recommendations/user", json={"purchased_products": [101, 104, 107], "limit": 20})

    assert not {101, 104, 107} & set(of(answer))
    assert of(answer) == of(again)
    assert answer.json()["cached"] is again.json()["cached"] is False


def test_older_names_answer_the_same_lists(service: HttpService) -> None:
    assert of(service.ask("GET", "/api/recommendations/user/7?limit=12")) == service.ids(user_id="7")
    assert of(service.ask("GET", "/api/recommendations/popular")) == service.ids()


@pytest.mark.parametrize("model", ["ease", "EASE", "popularity", "BMF"])
def test_a_scorer_answers_by_its_name(shop: Published, service: HttpService, model: str) -> None:
    expected = shop.ask(user_id=7, model=model, limit=100, now=int(time.time()))

    assert service.ids(user_id="7", model=model) == [item.product_id for item in expected.items][:12]


def test_a_dead_database_is_503_and_tells_nothing_of_itself(
    service: HttpService, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dead(*_: object, **__: object) -> None:
        raise DatabaseUnavailable("The database at 10.0.0.7 cannot be reached.")

    monkeypatch.setattr(use_case, "recommend", dead)

    answer = service.ask("GET", "/recommendations", params={"user_id": "7"})

    assert error_of(answer) == (503, "database_unavailable")
    assert "10.0.0.7" not in answer.text
    assert answer.json()["error"]["retryable"] is True
    assert answer.headers["retry-after"]


def test_a_defect_is_500_without_its_traceback(
    service: HttpService, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(use_case, "recommend", lambda *_, **__: 1 / 0)

    answer = service.ask("GET", "/recommendations", params={"user_id": "7"})

    assert error_of(answer) == (500, "internal")
    assert "division" not in answer.text
    assert "ZeroDivisionError" in capsys.readouterr().err


@pytest.mark.parametrize("data", [b"", b"x", b"x\x9c", KeptList("a", ((1, 0.5, None),)).to_bytes()[:-3]])
def test_what_is_no_list_is_none(data: bytes) -> None:
    assert KeptList.from_bytes(data) is None


@pytest.mark.parametrize(
    "kept",
    [
        KeptList("ease", ()),
        KeptList("ease", ((1, 0.5, None), ("prod_é", 0.25, ["bought", 3, None]))),
    ],
)
def test_a_list_is_read_as_it_was_kept(kept: KeptList) -> None:
    assert KeptList.from_bytes(kept.to_bytes()) == kept


def test_all_that_the_shop_sells_may_be_listed(service: HttpService) -> None:
    assert set(service.ids(limit="100")) == set(SOLD)
    assert set(LEARNED) - INACTIVE <= set(SOLD)


def test_what_is_due_again_is_the_customers_own_and_may_be_empty(shop: Published, service: HttpService) -> None:
    expected = {user: shop.ask(op="again", user_id=user, limit=100, now=int(time.time())) for user in range(5)}
    assert any(answer.items for answer in expected.values())
    for user, answer in expected.items():
        got = service.ask("GET", "/recommendations", params={"user_id": str(user), "context": "again", "limit": "100"})
        assert of(got) == [item.product_id for item in answer.items]
        assert got.json()["algorithm"] == "again"
        assert {product["reason"]["code"] for product in got.json()["recommendations"]} <= {"again"}
    for _ in range(2):  # the second one from the cache
        assert service.ids(context="again") == service.ids(context="again", user_id="999999") == []
