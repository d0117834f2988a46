"""The operations `together`, `trending` and `again`."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from recsys.contract import Reason
from recsys.errors import InvalidRequest, ModelRefused
from recsys.recommending.loading import ModelBundle
from recsys.related.again import PRIOR_WEIGHTS, Repurchases
from recsys.related.together import TogetherPairs
from tests.helpers.tiny_shop import DAY, INACTIVE, ITEMS, LEARNED, NEW, NOW, Published, bought, event, shown

SOLD = set(ITEMS) - INACTIVE


def with_pairs(published: Published, rows: dict[int, dict[int, float]]) -> ModelBundle:
    """Return the version with pairs of item ids and their strengths, all of one order of one."""
    bundle, n_items = published.load(), len(LEARNED)
    lists = [rows.get(item, {}) for item in LEARNED]
    bundle.__dict__["pairs"] = TogetherPairs(
        starts=np.cumsum([0, *map(len, lists)]),
        neighbours=np.array([other - LEARNED[0] for row in lists for other in row], np.int32),
        lifts=np.array([strength for row in lists for strength in row.values()]),
        n_orders=np.ones(sum(map(len, lists)), np.int32),
        orders_of_item=np.ones(n_items, np.int32),
    )
    return bundle


@pytest.fixture
def bundle(published: Published) -> ModelBundle:
    return with_pairs(published, {101: {110: 3.0, 111: 1.0, 102: 9.0, 134: 8.0}, 102: {111: 2.5, 112: 0.5}})


def test_a_basket_sums_what_goes_with_its_items(published: Published, bundle: ModelBundle) -> None:
    answer = published.ask(bundle, op="together", item_ids=[101, 102], limit=5)

    # 111 goes with both. 102 lies in the basket, and 134 is not sold.
    assert shown(answer)[:3] == [111, 110, 112]
    assert [item.score for item in answer.items[:3]] == pytest.approx([3.5 / 4.5, 3 / 4, 0.5 / 1.5])
    together = [Reason("together", 102), Reason("together", 101), Reason("together", 102)]
    assert [item.reason for item in answer.items[:3]] == together
    assert (answer.model, answer.source, answer.runs, answer.warnings) == ("together", "together", (), ())
    behind = answer.items[3:]
    assert len(behind) == 2
    assert {item.reason.code for item in behind if item.reason} == {"similar"}
    scores = [item.score for item in answer.items]
    assert scores == sorted(scores, reverse=True)


def test_one_item_has_its_partners_in_the_order_of_their_strength(published: Published, bundle: ModelBundle) -> None:
    assert shown(published.ask(bundle, op="together", item_ids=[101]))[:3] == [102, 110, 111]


@pytest.mark.parametrize(
    ("items", "model", "warnings"),
    [
        ([101], "item_cf", ()),
        ([101, "101", 101], "item_cf", ()),
        ([101, 4711, "4711", "7abc"], "item_cf", ("item_ids: 2 that no model knows yet",)),
        ([4711], "popularity_recent", ("item_ids: 1 that no model knows yet",)),
        ([NEW[0]], "popularity_recent", ("item_ids: 1 that no model knows yet",)),
    ],
)
def test_without_pairs_item_weights_answer_and_then_what_is_popular(
    published: Published, items: list[int | str], model: str, warnings: tuple[str, ...]
) -> None:
    answer = published.ask(op="together", item_ids=items)

    assert (answer.model, answer.warnings, len(answer.items)) == (model, warnings, 10)
    assert not {101, *items} & set(shown(answer)) or model == "popularity_recent"
    assert not set(items) & set(shown(answer))


def test_the_list_is_full_and_holds_nothing_that_is_sold_out_bought_or_in_the_cart(
    published: Published, tmp_path: Path
) -> None:
    shop = published.copy(tmp_path / "copy")
    shop.add([event(3, 105, "cart", NOW - 60)])
    for fields in ({"op": "together", "item_ids": [101, 102]}, {"op": "trending"}):
        basket = set(fields.get("item_ids", ()))
        guest = shop.ask(limit=100, **fields)
        assert set(shown(guest)) == SOLD - basket
        assert len(guest.warnings) == 1  # fewer than 100
        user = shop.ask(limit=100, user_id="3", **fields)
        assert user.user_id == 3
        assert set(shown(user)) == SOLD - basket - bought(3) - {105}
        fresh = shop.ask(limit=100, interactions=[{"item_id": 104, "event": "purchase"}], exclude=[107], **fields)
        assert set(shown(fresh)) == SOLD - basket - {104, 107}
        tea = shop.ask(limit=100, filters={"category": "tea"}, candidates=[104, 105], **fields)
        assert shown(tea) == [104]
        assert shop.ask(candidates=[], **fields).items == ()
        nobody = shop.ask(user_id=999_999, strict=True, **fields)
        assert (nobody.user_id, len(nobody.items)) == (999_999, 10)


def test_complementary_items_are_of_another_category(published: Published, tmp_path: Path) -> None:
    """101 is tea, 102 coffee; a new product's category is that of the shop's table."""
    shop = published.copy(tmp_path / "copy")
    shop.execute("UPDATE Products SET categoryId = NULL WHERE id = 109")
    tea, coffee, honey = ({item for item in SOLD if (item - 101) % 3 == group} for group in range(3))

    def ids(*items: int | str) -> set[int | str]:
        return set(shown(shop.ask(op="together", item_ids=items, complementary=True, limit=100)))

    assert ids(101) == (coffee | honey) - {109}
    assert ids(101, 102) == honey - {109}
    assert ids(101, 102, 103) == set()
    assert ids(138) == (tea | coffee | honey) - {109} - {
        item for item in SOLD if item % 3 == 138 % 3
    }  # no model knows it
    assert ids(109) == SOLD - {109}  # it has no category
    assert ids(4711, "x") == SOLD
    shop.execute("UPDATE Products SET categoryId = ' TEA ' WHERE id = 102")
    assert ids(102) == (coffee | honey) - {102, 109}


def test_what_rises_comes_first_and_then_what_is_popular(published: Published) -> None:
    bundle = published.load()
    rises = np.full(len(LEARNED), -1.0, np.float32)
    rises[[3, 9, 33]] = 1.0, 3.0, 9.0  # 104, 110, and 134, which is not sold
    bundle.__dict__["trends"] = rises

    answer = published.ask(bundle, op="trending", limit=5)

    assert shown(answer)[:2] == [110, 104]
    assert [item.score for item in answer.items[:2]] == [0.75, 0.5]
    assert {item.reason for item in answer.items} == {Reason("popular")}
    assert (answer.model, answer.source, answer.runs) == ("trending", "trending", ())
    popular = shown(published.ask(model="popularity_recent", limit=5, exclude=[110, 104]))
    assert shown(answer)[2:] == popular[:3]


def test_a_version_without_these_files_answers_by_what_it_has(published: Published) -> None:
    bundle = published.load()
    bundle.__dict__.update(pairs=None, trends=None)

    together = published.ask(bundle, op="together", item_ids=[101], limit=3)
    trending = published.ask(bundle, op="trending", limit=3)

    assert shown(together) == shown(published.ask(op="similar", item_id=101, limit=3))
    assert (trending.model, trending.source) == ("popularity_recent", "popularity")
    assert shown(trending) == shown(published.ask(limit=3))


def test_files_of_another_catalogue_are_refused(published: Published, tmp_path: Path) -> None:
    shop = published.copy(tmp_path / "copy")
    bundle = shop.load()
    bundle.__dict__["version"] = Stored({"trending.h5": {"rises": np.zeros(3, np.float32)}})

    with pytest.raises(ModelRefused, match=r"trending.h5 of .* should hold 36 items. Received: 3"):
        _ = bundle.trends


class Stored:
    """A version of some arrays."""

    def __init__(self, arrays: dict[str, dict[str, Any]]) -> None:
        self.arrays = arrays.__getitem__
        self.holds = arrays.__contains__


def test_no_model_is_named(published: Published) -> None:
    with pytest.raises(InvalidRequest, match="`model` should be auto with `op` trending"):
        published.ask(op="trending", model="BMF")


def with_intervals(published: Published, intervals: dict[int, float]) -> ModelBundle:
    """Return the version with consumables by item id, as a shop without purchases judges them."""
    bundle, n_items = published.load(), len(LEARNED)
    days = np.array([intervals.get(item, np.nan) for item in LEARNED], np.float32)
    own = PRIOR_WEIGHTS[1:5].astype(np.float32)
    bundle.__dict__["repurchases"] = Repurchases(days, np.full(n_items, -2, np.float32), own)
    return bundle


@pytest.fixture
def shop(published: Published, tmp_path: Path) -> Published:
    """A shop of a user 500, whom training has not seen."""
    shop = published.copy(tmp_path / "copy")
    shop.add([event(500, 101, "purchase", NOW - age * DAY) for age in (61, 31)])
    shop.add([event(500, 104, "purchase", NOW - 3 * DAY), event(500, 107, "purchase", NOW - 31 * DAY)])
    shop.add([event(500, 110, "view", NOW - 31 * DAY), event(500, 134, "purchase", NOW - 31 * DAY)])
    shop.add([event(500, 113, "purchase", NOW - 31 * DAY), event(500, NEW[0], "purchase", NOW - 31 * DAY)])
    return shop


CONSUMABLES = {101: 30.0, 104: 30.0, 107: 30.0, 110: 30.0, 134: 30.0, 116: 30.0}  # 113 is none


def test_what_the_user_bought_before_and_may_need_again(published: Published, shop: Published) -> None:
    bundle = with_intervals(shop, CONSUMABLES)

    answer = shop.ask(bundle, op="again", user_id=500)

    # 134 is not sold, 110 was only viewed, and 116 never chosen
    assert shown(answer) == [101, 107, 104]
    assert {item.reason for item in answer.items} == {Reason("again")}
    scores = [item.score for item in answer.items]
    assert scores == sorted(scores, reverse=True) and 0 < scores[-1] < scores[0] < 1
    assert (answer.model, answer.source, answer.runs, answer.warnings) == ("again", "again", (), ())
    assert shown(shop.ask(bundle, op="again", user_id=500, limit=2)) == [101, 107]
    assert shown(shop.ask(bundle, op="again", user_id=500, exclude=[101], candidates=[101, 107])) == [107]
    assert shown(shop.ask(bundle, op="again", user_id=500, now=NOW + 900 * DAY)) == [101, 104, 107]


def test_what_lies_in_the_cart_was_just_bought_or_taken_back_is_not_due(shop: Published) -> None:
    bundle = with_intervals(shop, CONSUMABLES)

    def due(*events: tuple[int, str, float]) -> list[int | str]:
        more = [{"item_id": item, "event": name, "timestamp": int(NOW - age * DAY)} for item, name, age in events]
        return shown(shop.ask(bundle, op="again", user_id=500, interactions=more))

    assert due((101, "cart", 1)) == [107, 104]
    assert due((101, "purchase", 0.1)) == [107, 104]
    assert due((101, "purchase", -0.5)) == [107, 104]  # a clock that is ahead
    assert due((116, "purchase", 40))[:2] == [101, 107] and 116 in due((116, "purchase", 40))
    assert due((107, "cancel", 1)) == [101, 104]
    guest = [{"item_id": 107, "event": "purchase", "timestamp": NOW - 20 * DAY}]
    assert shown(shop.ask(bundle, op="again", interactions=guest)) == [107]


@pytest.mark.parametrize(
    ("days", "repeat", "due"),
    [
        (math.inf, None, [101, 107, 104]),
        (0, None, [101, 107, 104]),
        (7, None, [101, 107]),
        (7, "hide", [101, 107]),
        (7, "allow", [101, 107, 104]),
        (400, None, []),
    ],
)
def test_only_a_number_of_days_hides_what_was_bought(
    shop: Published, days: float, repeat: str | None, due: list[int]
) -> None:
    bundle = with_intervals(shop, CONSUMABLES)
    bundle.rules["repeat_after_days"] = days  # type: ignore[index]

    assert shown(shop.ask(bundle, op="again", user_id=500, repeat=repeat)) == due


def test_nothing_is_due_for_whoever_bought_nothing(published: Published) -> None:
    bundle = with_intervals(published, CONSUMABLES)
    for user in (None, 999_999, "x"):
        answer = published.ask(bundle, op="again", user_id=user, strict=True)
        assert (answer.items, answer.model, answer.source, answer.warnings) == ((), "again", "again", ())
    assert published.ask(with_intervals(published, {}), op="again", user_id=3).items == ()


def test_an_older_version_knows_no_intervals(published: Published) -> None:
    bundle = published.load()
    bundle.__dict__["repurchases"] = None

    answer = published.ask(bundle, op="again", user_id=3)

    assert answer.items == ()
    assert answer.warnings == ("items: none, because the version was trained before intervals were known",)


def test_a_published_version_knows_its_consumables(published: Published) -> None:
    found = published.load().repurchases

    assert found is not None and found.n_items == len(LEARNED)
    answers = [published.ask(op="again", user_id=user) for user in range(5)]
    bought_again = {item for answer in answers for item in shown(answer)}
    consumables = {101 + index for index in np.flatnonzero(np.isfinite(found.intervals)).tolist()}
    assert bought_again and bought_again <= consumables & SOLD
    for user, answer in enumerate(answers):
        assert set(shown(answer)) <= bought(user)
