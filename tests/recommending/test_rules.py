"""Eligible items: no rule of the shop is broken, and a list is as long as the catalogue allows."""

import math
from collections.abc import Callable
from pathlib import Path

import pytest

from recsys.contract import Reason
from recsys.recommending import fill as listing
from recsys.recommending import loading
from recsys.scorers.registry import REGISTRY
from tests.helpers.tiny_shop import DAY, INACTIVE, ITEMS, NEW, NOW, RARE, Published, bought, event, interactions, shown

SOLD = set(ITEMS) - INACTIVE
TEA = {item for item in SOLD if (item - 101) % 3 == 0}


@pytest.fixture
def repeat_after(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Let versions have been trained under another repeat rule."""
    real = loading._rules

    def change(days: float) -> None:
        monkeypatch.setattr(loading, "_rules", lambda trained: {**real(trained), "repeat_after_days": days})

    return change


@pytest.mark.parametrize("model", REGISTRY)
def test_purchased_and_inactive_items_never_appear(published: Published, model: str):
    bundle = published.load()
    for user in (0, 7, 14, 25, 59):
        answer = published.ask(bundle, user_id=user, model=model, limit=20)
        assert answer.model == model
        assert len(answer.items) == 20
        assert not set(shown(answer)) & (bought(user) | INACTIVE)


@pytest.mark.parametrize("model", ["ENCM", "item_cf", "popularity"])
def test_a_long_list_shows_every_eligible_item(published: Published, model: str):
    answer = published.ask(user_id=7, model=model, limit=100)
    assert set(shown(answer)) == SOLD - bought(7)
    assert len(shown(answer)) == len(SOLD - bought(7))
    assert answer.warnings == (
        f"items: {len(SOLD - bought(7))} of 100, because the shop has no more that may be shown",
    )


def test_products_without_a_score_fill_the_list_newest_first(published: Published):
    answer = published.ask(user_id=7, limit=100)
    assert shown(answer)[-3:] == [*sorted(NEW, reverse=True), RARE]
    assert {item.score for item in answer.items[-3:]} == {0.0}
    assert {item.reason for item in answer.items[-3:]} == {Reason("new")}


def test_a_product_added_after_training_fills_a_short_list(published: Published, tmp_path: Path):
    shop = published.copy(tmp_path)
    shop.execute(
        "INSERT INTO Products (id, name, statusId, categoryId) "
        "VALUES (900, 'Fresh tea', 'S1', 'tea'), (901, 'Ended', 'S2', 'tea')"
    )
    assert shown(shop.ask(user_id=7, limit=100))[-4:] == [900, *sorted(NEW, reverse=True), RARE]
    assert shown(shop.ask(user_id=7, candidates=[900, 901])) == [900]


def test_purchased_new_products_take_no_place_in_the_list(published: Published, tmp_path: Path):
    shop = published.copy(tmp_path)
    shop.add([event(7, item, "purchase", NOW - 60) for item in NEW])
    ranked = len(SOLD - bought(7)) - len({*NEW, RARE})
    assert shown(shop.ask(user_id=7, limit=ranked + 1))[-1] == RARE


@pytest.mark.parametrize(
    "ending", ["UPDATE Products SET statusId = 'S2' WHERE id = {}", "DELETE FROM Products WHERE id = {}"]
)
def test_a_product_sold_out_after_training_is_replaced_by_the_next(published: Published, tmp_path: Path, ending: str):
    shop = published.copy(tmp_path)
    before = shown(shop.ask(user_id=7, limit=6))
    shop.execute(ending.format(before[1]))
    answer = shop.ask(user_id=7, limit=5)
    assert shown(answer) == [before[0], *before[2:6]]
    assert all(before[1] not in run.items for run in answer.runs)


def test_a_product_active_again_after_training_can_be_shown(published: Published, tmp_path: Path):
    shop = published.copy(tmp_path)
    shop.execute("UPDATE Products SET statusId = 'S1' WHERE id = 135")
    assert 135 in shown(shop.ask(user_id=7, limit=100))


def test_the_ranking_is_read_deeper_until_enough_items_are_active(
    published: Published, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(listing, "HEADROOM", 0)
    shop = published.copy(tmp_path)
    ranked = shown(shop.ask(user_id=7, limit=100))
    shop.execute(f"UPDATE Products SET statusId = 'S2' WHERE id IN ({', '.join(map(str, ranked[:3]))})")
    assert shown(shop.ask(user_id=7, limit=2)) == ranked[3:5]


def test_a_ranking_of_sold_out_items_only_ends_in_the_newest_products(
    published: Published, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(listing, "HEADROOM", 0)
    shop = published.copy(tmp_path)
    ranked = shown(shop.ask(user_id=7, limit=100))
    shop.execute(f"UPDATE Products SET statusId = 'S2' WHERE id IN ({', '.join(map(str, ranked[:8]))})")
    statements: list[str] = []
    answer = shop.ask(user_id=7, limit=1, tracer=lambda sql, _: statements.append(sql))
    assert shown(answer) == [NEW[-1]]
    assert sum("rec_item_encoder WHERE version" in sql for sql in statements) <= 1 + listing.DOUBLINGS


def test_if_repeats_are_allowed_the_favourite_item_comes_first(published: Published, repeat_after):
    repeat_after(0)
    answer = published.ask(user_id=7, model="user_frequency")
    counts = dict.fromkeys(ITEMS, 0.0)
    for row in interactions():
        if row["userId"] == 7:
            counts[row["productId"]] += {"view": 0.3, "cart": 0.7, "purchase": 1.0}[row["actionCode"]]
    favourite = max(counts, key=counts.__getitem__)
    assert favourite in bought(7)
    assert shown(answer)[0] == favourite


def test_if_repeats_are_allowed_a_purchase_of_this_second_is_no_exception(published: Published, repeat_after):
    repeat_after(0)
    answer = published.ask(user_id=7, limit=100, interactions=[{"item_id": 105, "event": "purchase"}])
    assert set(shown(answer)) == SOLD


def test_purchases_are_hidden_within_the_window_of_days_only(published: Published, repeat_after):
    repeat_after(90)
    recent = bought(7, since=NOW - 90 * DAY)
    assert recent
    assert recent < bought(7)
    assert set(shown(published.ask(user_id=7, limit=100))) == SOLD - recent


@pytest.mark.parametrize("days", [math.inf, 90, 0])
def test_a_request_may_say_whether_bought_items_are_shown(published: Published, repeat_after, days: float):
    repeat_after(days)
    shop_rule = {math.inf: bought(7), 90: bought(7, since=NOW - 90 * DAY), 0: set()}[days]
    for rule, hidden in (("allow", set()), ("hide", bought(7)), (None, shop_rule)):
        for fields in ({}, {"model": "BMF"}, {"op": "trending"}, {"op": "together", "item_ids": [NEW[0]]}):
            answer = published.ask(user_id=7, limit=100, repeat=rule, **fields)
            assert set(shown(answer)) == SOLD - hidden - set(fields.get("item_ids", ()))


def test_the_first_second_of_the_window_is_inside(published: Published, repeat_after, tmp_path: Path):
    repeat_after(10)
    shop = published.copy(tmp_path)
    shop.add([event(7, 103, "purchase", NOW - 10 * DAY - 1), event(7, 106, "purchase", NOW - 10 * DAY)])
    answer = shown(shop.ask(user_id=7, limit=100))
    assert 103 in answer
    assert 106 not in answer


def test_a_purchase_beyond_the_newest_events_is_still_hidden(
    published: Published, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    from recsys.recommending import user as user

    monkeypatch.setattr(user, "MAX_EVENTS", 5)
    for limit in (5, 100):
        assert not set(shown(published.ask(user_id=7, limit=limit))) & bought(7)


def test_a_cancelled_purchase_is_not_hidden(published: Published):
    [taken] = shown(published.ask(user_id=7, limit=1))
    told = [{"item_id": taken, "event": "purchase", "timestamp": NOW - 60}]
    assert taken not in shown(published.ask(user_id=7, limit=100, interactions=told))
    told.append({"item_id": taken, "event": "cancel", "timestamp": NOW - 30})
    assert taken in shown(published.ask(user_id=7, limit=100, interactions=told))


def test_a_filter_by_category_shows_that_category_only_in_any_case(published: Published):
    answer = published.ask(user_id=7, limit=100, filters={"category": " TEA "})
    assert set(shown(answer)) == TEA - bought(7)
    assert RARE in shown(answer)  # tea that no model ranks


def test_a_filter_by_brand_shows_that_brand_only(published: Published):
    answer = published.ask(user_id=7, limit=100, filters={"brand": "Nord"})
    assert set(shown(answer)) == {item for item in SOLD - bought(7) if item % 2 == 0}


def test_a_filter_by_price_uses_the_price_that_users_pay(published: Published):
    # 108 costs 12, and so does 110 with its discount of 2; customer 5 has bought neither
    assert not bought(5) & {108, 110}
    assert set(shown(published.ask(user_id=5, filters={"price_min": 12, "price_max": 12}))) == {108, 110}


def test_a_filter_by_price_uses_present_prices(published: Published, tmp_path: Path):
    shop = published.copy(tmp_path)
    shop.execute("UPDATE Productdetails SET originalPrice = 12.5 WHERE productId = 111")
    assert 111 not in bought(5)
    [item] = shop.ask(user_id=5, filters={"price_min": 12.5, "price_max": 12.9}).items
    assert item.product_id == 111
    assert item.score > 0  # it is ranked, though training knew it for 15


def test_filters_that_no_item_passes_give_an_empty_list_and_a_warning(published: Published):
    answer = published.ask(user_id=7, filters={"category": "wine"})
    assert answer.items == ()
    assert answer.warnings == ("items: 0 of 10, because the shop has no more that may be shown",)


def test_only_candidates_are_shown_and_all_rules_apply_to_them(published: Published):
    mine = next(iter(bought(7)))
    answer = published.ask(user_id=7, candidates=[101, 102, 103, 139, 135, mine, 4711, "7abc"])
    assert set(shown(answer)) == {101, 102, 103, 139}
    assert shown(answer)[-1] == 139


def test_no_candidates_give_an_empty_list(published: Published):
    assert published.ask(user_id=7, candidates=[]).items == ()


def test_excluded_items_are_never_shown_seen_in_training_or_not(published: Published):
    first = shown(published.ask(user_id=7, limit=5))
    answer = published.ask(user_id=7, limit=100, exclude=[first[0], str(first[1]), NEW[1], "x"])
    assert shown(answer)[:3] == first[2:5]
    assert NEW[1] not in shown(answer)


def test_the_lists_of_all_models_obey_the_same_rules(published: Published):
    answer = published.ask(user_id=7, limit=5, filters={"category": "tea"}, exclude=[101])
    for run in answer.runs:
        assert len(run.items) == 5
        assert set(run.items) <= TEA - bought(7) - {101}


def test_a_product_that_is_sold_again_is_not_called_new(published: Published, tmp_path: Path):
    shop = published.copy(tmp_path)
    item = min(INACTIVE - {140})
    shop.execute(f"UPDATE Products SET statusId = 'S1' WHERE id = {item}")
    [again] = shop.ask(user_id=7, limit=1, candidates=[item]).items
    assert (again.product_id, again.score, again.reason) == (item, 0.0, None)


def test_no_run_ranks_a_purchase_beyond_the_newest_events(published: Published, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("recsys.recommending.user.MAX_EVENTS", 5)
    answer = published.ask(user_id=7, limit=10)
    assert all(len(run.items) == 10 for run in answer.runs)
