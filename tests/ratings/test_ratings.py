"""Ratings as arrays: what is dropped, one type of ids, and an order that rows cannot change."""

import math

import numpy as np
import pytest

from recsys.ratings.ratings import NEVER, Ratings, clean_ratings, ratings_of
from tests.helpers.checkerboard import events_of

NOTHING = {"no id": 0, "no number": 0, "outside the scale": 0, "rated again": 0}


def cleaned(*rows: tuple[object, object, object, object]) -> tuple[Ratings, dict[str, int]]:
    return clean_ratings(*([row[column] for row in rows] for column in range(4)))


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (0, "outside the scale"),
        (0.99, "outside the scale"),
        (5.01, "outside the scale"),
        (-3, "outside the scale"),
        ("6", "outside the scale"),
        (None, "no number"),
        ("", "no number"),
        ("four", "no number"),
        (math.nan, "no number"),
        (math.inf, "no number"),
        (True, "no number"),
    ],
)
def test_a_value_that_is_no_rating_is_dropped_and_counted(value: object, reason: str) -> None:
    ratings, dropped = cleaned((1, 7, 4, 10), (1, 8, value, 20))

    assert ratings.items.tolist() == [7]
    assert dropped == {**NOTHING, reason: 1}


@pytest.mark.parametrize("user", [None, True, 1.5, "", "a\0b", 2**63])
def test_a_row_without_a_usable_id_is_dropped_and_counted(user: object) -> None:
    ratings, dropped = cleaned((1, 7, 4, 10), (user, 8, 5, 20))

    assert ratings.users.tolist() == [1]
    assert dropped == {**NOTHING, "no id": 1}


def test_the_ends_of_the_scale_and_texts_of_numbers_count() -> None:
    ratings, dropped = cleaned((1, 7, 1, 10), (1, 8, "5", 20), (1, 9, 3.5, 30))

    assert (ratings.values.tolist(), dropped) == ([1.0, 5.0, 3.5], NOTHING)


def test_no_ratings_at_all_are_empty_arrays() -> None:
    ratings, dropped = clean_ratings([], [], [], [])

    assert (len(ratings), dropped) == (0, NOTHING)


def test_of_several_ratings_of_a_pair_the_newest_counts() -> None:
    ratings, dropped = cleaned((1, 7, 2, 30), (1, 7, 5, 10), (1, 7, 4, 20), (2, 7, 3, 5))

    assert (ratings.values.tolist(), ratings.timestamps.tolist()) == ([2.0, 3.0], [30, 5])
    assert dropped["rated again"] == 2


def test_ids_of_mixed_types_become_texts() -> None:
    ratings, _ = cleaned((1, 7, 2, 30), ("a", 8, 5, 10))

    assert ratings.users.tolist() == ["1", "a"]
    assert ratings.items.dtype == np.int64


def test_a_time_that_is_none_is_before_all_others() -> None:
    ratings, _ = cleaned((1, 7, 2, None), (1, 8, 5, "yesterday"), (2, 7, 5, 10))

    assert ratings.timestamps.tolist() == [NEVER, NEVER, 10]


def test_the_order_of_rows_changes_nothing(rng: np.random.Generator) -> None:
    rows = [(f"u{n % 7}", n % 5, 1 + n % 5, n // 3) for n in range(60)]
    first, _ = cleaned(*rows)
    for _ in range(5):
        again, _ = cleaned(*(rows[place] for place in rng.permutation(len(rows))))
        assert all(
            getattr(again, name).tolist() == getattr(first, name).tolist()
            for name in ("users", "items", "values", "timestamps")
        )


def test_the_stars_among_a_shops_events_are_its_ratings() -> None:
    events = events_of([(1, 7, "view", 5), (1, 7, "star1", 6), (2, 8, "purchase", 7)])

    ratings, dropped = ratings_of(events)

    assert (ratings.users.tolist(), ratings.items.tolist(), ratings.values.tolist()) == ([1], [7], [1.0])
    assert dropped == NOTHING
    assert len(ratings_of(events_of([]))[0]) == 0
