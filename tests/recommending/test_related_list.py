"""The operations `together` and `trending`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from recsys.contract import Reason
from recsys.errors import InvalidRequest, ModelRefused
from recsys.recommending.loading import ModelBundle
from recsys.related.together import TogetherPairs
from tests.helpers.tiny_shop import INACTIVE, ITEMS, LEARNED, NEW, NOW, Published, bought, event, shown

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
