"""Which purchases are one order."""

import numpy as np
import pytest

from recsys.related.orders import orders_of


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
