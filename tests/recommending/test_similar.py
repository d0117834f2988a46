"""The operation `similar`: items that are similar to one item."""

import pytest

from recsys.scorers.registry import MODELS
from tests.helpers.tiny_shop import INACTIVE, ITEMS, NEW, Published, bought, shown

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
    assert (answer.model, answer.source) == ("popularity", "popularity")
    assert len(answer.items) == 10
    assert item not in shown(answer)
    assert answer.items == published.ask(op="similar", item_id=4712).items


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
