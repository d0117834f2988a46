"""Items like one item."""

import pytest

from recsys.scorers.registry import MODELS
from tests.helpers.tiny_shop import INACTIVE, ITEMS, NEW, Published, bought, shown

TEA = {item for item in ITEMS if (item - 101) % 3 == 0} - INACTIVE


def test_items_like_one_are_those_that_the_same_customers_took(published: Published):
    answer = published.ask(op="similar", item_id=101, limit=6)
    assert (answer.model, answer.source, answer.user_id) == ("item_cf", "item_cf", None)
    assert set(shown(answer)) < TEA - {101}
    assert [run.model for run in answer.runs] == [*MODELS, "item_cf"]


def test_another_model_may_be_asked_for(published: Published):
    answer = published.ask(op="similar", item_id=101, model="BMF")
    assert (answer.model, answer.source) == ("BMF", "fold_in")
    assert 101 not in shown(answer)


@pytest.mark.parametrize("item", [4711, "7abc", NEW[0]])
def test_for_an_item_that_training_does_not_know_popularity_answers(published: Published, item: int | str):
    answer = published.ask(op="similar", item_id=item)
    assert (answer.model, answer.source) == ("popularity", "popularity")
    assert len(answer.items) == 10
    assert item not in shown(answer)
    assert answer.items == published.ask(op="similar", item_id=4712).items


def test_similar_items_obey_filters_and_lists(published: Published):
    answer = published.ask(op="similar", item_id=101, limit=100, filters={"category": "tea"}, exclude=[104])
    assert set(shown(answer)) == TEA - {101, 104}


def test_who_asks_is_echoed_and_not_shown_what_she_has_bought(published: Published):
    assert bought(3) & TEA
    answer = published.ask(op="similar", item_id=101, user_id="3", limit=100)
    assert answer.user_id == 3
    assert not set(shown(answer)) & bought(3)


def test_similar_items_are_told_from_the_report_because_an_item_has_no_held_out_events(published: Published):
    assert {run.basis for run in published.ask(op="similar", item_id=101, user_id=7).runs} == {"offline"}
