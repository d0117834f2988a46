"""Pairs bought together, and what goes with a basket."""

import numpy as np
import pytest

from recsys.related.together import TogetherPairs, nearest_in_basket, orders_of, together_pairs


def pairs_of(*baskets: str, families: list[int] | None = None, n_neighbours: int = 100) -> TogetherPairs:
    """Return the pairs of orders of letters; a is item 0."""
    lines = [(number, ord(letter) - ord("a")) for number, basket in enumerate(baskets) for letter in basket]
    orders, items = np.array(lines, np.int64).reshape(-1, 2).T
    groups = None if families is None else np.array(families)
    return together_pairs(orders, items, 6, families=groups, n_neighbours=n_neighbours)


def partners(pairs: TogetherPairs, item: int) -> list[int]:
    return list(map(int, pairs.neighbours[pairs.starts[item] : pairs.starts[item + 1]]))


def test_a_pair_has_lift_orders_and_both_confidences() -> None:
    pairs = pairs_of("ab", "abc", "ab", "a", "c", "d", "cd", "d")

    # Of 8 orders, a is in 4, b in 3, both in 3. By chance it were 12 / 8 orders, and the prior adds 3 to both.
    assert pairs.items.tolist() == [0, 1] and pairs.neighbours.tolist() == [1, 0]
    assert pairs.lifts.tolist() == pytest.approx([6 / 4.5] * 2)
    assert pairs.n_orders.tolist() == [3, 3]
    assert pairs.confidences.tolist() == [3 / 4, 1.0]
    assert pairs.confidences_back.tolist() == [1.0, 3 / 4]
    assert pairs.weights.similarities.tolist() == pytest.approx([6 / 4.5 * 3 / 4, 6 / 4.5])
    assert pairs.orders_of_item.tolist() == [4, 3, 3, 3, 0, 0]


def test_partners_are_in_the_order_of_their_strength_and_only_the_best_are_kept() -> None:
    orders = ["ab"] * 5 + ["ac"] * 2 + ["ad"] * 3 + ["e"] * 30

    assert partners(pairs_of(*orders), 0) == [1, 3, 2]
    assert partners(pairs_of(*orders, n_neighbours=1), 0) == [1]
    assert partners(pairs_of(*orders, families=[9, 9, 2, 3, 4, 5]), 0) == [3, 2]


@pytest.mark.parametrize("baskets", [(), ("a",), ("aa", "aa"), ("ab", "cd")])
def test_no_pair_is_no_error(baskets: tuple[str, ...]) -> None:
    pairs = pairs_of(*baskets)

    assert (pairs.n_items, len(pairs.neighbours)) == (6, 0)
    assert nearest_in_basket(pairs.weights, np.array([0, 1], np.int32)).tolist() == [-1] * 6


def test_the_arrays_of_a_version_are_the_pairs() -> None:
    pairs = pairs_of("ab", "ab", "c", "d")

    again = TogetherPairs.from_arrays(pairs.arrays())

    assert all(np.array_equal(array, again.arrays()[name]) for name, array in pairs.arrays().items())
    assert {name: str(array.dtype) for name, array in pairs.arrays().items()} == {
        "starts": "int64",
        "neighbours": "int32",
        "lifts": "float32",
        "n_orders": "int32",
        "orders_of_item": "int32",
    }


def test_a_basket_names_the_item_that_a_partner_goes_with_best() -> None:
    pairs = pairs_of(*["ac"] * 5, *["bc"] * 2, *["bd"] * 3, *"abcdef" * 3)

    # c is in 5 of the 8 orders with a, and in 2 of the 8 with b
    assert nearest_in_basket(pairs.weights, np.array([1, 0], np.int32)).tolist() == [-1, -1, 0, 1, -1, -1]
    assert nearest_in_basket(pairs.weights, np.zeros(0, np.int32)).tolist() == [-1] * 6


@pytest.mark.parametrize(
    ("users", "seconds", "orders"),
    [
        ([], [], []),
        ([1, 2, 1, 1, 2], [0, 0, 600, 1201, 599], [1, 3, 1, 2, 3]),
        ([1, 1, 1], [0, 500, 1000], [1, 1, 1]),
        ([1, 1, 1], [1300, 0, 600], [2, 1, 1]),
    ],
)
def test_purchases_within_ten_minutes_are_one_order(users: list[int], seconds: list[int], orders: list[int]) -> None:
    assert orders_of(np.array(users, np.int64), np.array(seconds, np.int64)).tolist() == orders
