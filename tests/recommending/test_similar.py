"""The operation `similar`: items that are similar to one item."""

from pathlib import Path

import pytest

from recsys.recommending import user
from recsys.scorers.registry import MODELS
from tests.helpers.tiny_shop import INACTIVE, ITEMS, NEW, NOW, Published, bought, event, shown

TEA = {item for item in ITEMS if (item - 101) % 3 == 0} - INACTIVE


def test_similar_items_are_those_of_the_same_users(published: Published):
    answer = published.ask(op="similar", item_id=101, limit=6)
    assert (answer.model, answer.source, answer.user_id) == ("item_cf", "item_cf", None)
    assert set(shown(answer)) < TEA - {101}
    assert [run.model for run in answer.runs] == [*MODELS, "item_cf"]


def test_another_model_can_be_requested(published: Published):
    answer = published.ask(op="similar", item_id=101, model="BMF")
    assert (answer.model, answer.source) == ("BMF", "fold_in")
    assert 101 not in shown(answer)


@pytest.mark.parametrize("item", [4711, "7abc", NEW[0]])
def test_for_an_unseen_item_popularity_answers(published: Published, item: int | str):
    answer = published.ask(op="similar", item_id=item)
    assert (answer.model, answer.source) == ("popularity_recent", "popularity")
    assert answer.warnings == ("item_id: no model knows this item yet, so the list is what is popular now",)
    assert len(answer.items) == 10
    assert item not in shown(answer)
    of_category = {"category": "coffee"} if item == NEW[0] else {}  # which the shop's database has
    assert answer.items == published.ask(op="similar", item_id=4712, context=of_category).items


def test_similar_items_obey_filters_and_lists(published: Published):
    answer = published.ask(op="similar", item_id=101, limit=100, filters={"category": "tea"}, exclude=[104])
    assert set(shown(answer)) == TEA - {101, 104}


def test_the_user_of_similar_is_repeated_and_purchases_are_hidden(published: Published):
    assert bought(3) & TEA
    answer = published.ask(op="similar", item_id=101, user_id="3", limit=100)
    assert answer.user_id == 3
    assert not set(shown(answer)) & bought(3)


def test_similar_has_the_metrics_of_the_report(published: Published):
    assert {run.basis for run in published.ask(op="similar", item_id=101, user_id=7).runs} == {"offline"}


@pytest.mark.parametrize(
    ("steps", "is_hidden"), [(["purchase", "cancel"], False), (["cancel", "purchase"], True), (["cancel"], False)]
)
def test_a_cancelled_purchase_is_shown_by_both_operations(
    published: Published, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, steps: list[str], is_hidden: bool
):
    item = min(TEA - bought(3) - {101})
    shop = published.copy(tmp_path / "copy")
    shop.add([event(3, item, name, NOW - 100 + n) for n, name in enumerate(steps)])

    shown_by = {
        "recommend": shown(shop.ask(user_id=3, limit=100)),
        "similar": shown(shop.ask(op="similar", item_id=101, user_id=3, limit=100)),
    }
    monkeypatch.setattr(user, "MAX_EVENTS", 1)
    shown_by["recommend from the newest event"] = shown(shop.ask(user_id=3, limit=100))

    assert {name: item not in items for name, items in shown_by.items()} == dict.fromkeys(shown_by, is_hidden)


def test_a_purchase_by_a_clock_that_is_ahead_is_hidden_by_both_operations(published: Published, tmp_path: Path):
    item = min(TEA - bought(3) - {101})
    shop = published.copy(tmp_path / "copy")
    shop.add([event(3, item, "purchase", NOW + 3600)])

    assert item not in shown(shop.ask(user_id=3, limit=100))
    assert item not in shown(shop.ask(op="similar", item_id=101, user_id=3, limit=100))
