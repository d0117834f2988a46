"""What lists show, counted by hand: best-sellers, coverage, and products of a category in view."""

from __future__ import annotations

import numpy as np
import pytest

from recsys.evaluation.protocol import EvaluationCase, EvaluationSet
from recsys.evaluation.shown import ShownLists, as_json, shown_lists
from recsys.features.query import Query

NOTHING = np.zeros(0, np.int32)
N_ITEMS = 20  # so that two items are best-sellers
POPULARITY = np.array([9.0, 8.0, 7.0, *[1.0] * 17])
CATEGORIES = np.array([*[0] * 10, *[1] * 10, 2], np.int32)  # the last one stands for "no item"
HISTORIES = ([3], [12, 3, 4, 5], [])  # the second user's oldest event is no longer in view


def case_of(history: list[int]) -> EvaluationCase:
    n = len(history)
    query = Query(0, np.array(history, np.int32), np.ones(n, np.float32), np.arange(n), NOTHING, n)
    return EvaluationCase(query, np.array([19], np.int32), 0, NOTHING)


def shown_of(known: tuple[bool, ...] = (True, True, True), inactive: tuple[int, ...] = ()) -> ShownLists:
    active = np.ones(N_ITEMS, bool)
    active[list(inactive)] = False
    evaluation_set = EvaluationSet(tuple(map(case_of, HISTORIES)), np.array(known), 0, active, (NOTHING,) * 3)
    lists = {
        "ease": [np.array([0, 6], np.int32), np.array([6, 7], np.int32), np.array([11, 12], np.int32)],
        "popularity": [np.array([0, 1], np.int32)] * 3,
    }
    return shown_lists(lists, evaluation_set, POPULARITY, CATEGORIES)


def test_the_figures_of_all_users_by_hand() -> None:
    """One of six products is a best-seller; 0, 6, 7, 11 and 12 are shown; four of six are in view."""
    shown = shown_of()

    assert shown.figures("ease") == {
        "best_sellers": pytest.approx(1 / 6), "coverage": 5 / 20, "category": pytest.approx(4 / 6),
    }  # fmt: skip
    assert shown.figures("popularity") == {"best_sellers": 1.0, "coverage": 2 / 20, "category": pytest.approx(4 / 6)}


def test_the_figures_of_some_users() -> None:
    assert shown_of().figures("ease", np.array([False, True, False])) == {
        "best_sellers": 0.0, "coverage": 2 / 20, "category": 1.0,
    }  # fmt: skip
    assert shown_of().figures("ease", np.zeros(3, bool)) == dict.fromkeys(("best_sellers", "coverage", "category"))


def test_only_known_users_and_active_items_count() -> None:
    shown = shown_of(known=(True, False, True), inactive=(0,))

    assert len(shown.in_view) == len(shown.lists["ease"]) == 2
    assert np.flatnonzero(shown.is_best_seller).tolist() == [1]  # a tenth of 19 items, rounded down
    assert shown.figures("ease")["coverage"] == 4 / 19


def test_a_shop_of_one_category_has_no_agreement() -> None:
    shown = shown_lists(
        {"ease": [np.array([0], np.int32)]},
        EvaluationSet((case_of([1]),), np.ones(1, bool), 0, np.ones(2, bool), (NOTHING,)),
        np.ones(2),
        np.zeros(2, np.int32),
    )

    assert shown.figures("ease")["category"] is None


def test_the_json_has_the_segments_with_users() -> None:
    found = as_json(shown_of(), {"known": np.array([True, False, False]), "guests": np.zeros(3, bool)}, ["ease"])

    assert list(found) == ["known"]
    assert found["known"]["users"] == 1
    assert found["known"]["ease"]["best_sellers"] == 0.5
