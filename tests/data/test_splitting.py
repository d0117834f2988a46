import numpy as np
import pytest

from recsys.data.interactions import Interactions
from recsys.data.splitting import cut_time, last_item_out, split_at


def events_of(
    users: list[int], items: list[int], timestamps: list[int], row_ids: list[int] | None = None
) -> Interactions:
    return Interactions(
        users=np.array(users, np.int64),
        items=np.array(items, np.int64),
        events=np.zeros(len(users), np.int16),
        timestamps=np.array(timestamps, np.int64),
        row_ids=np.array(row_ids or range(len(users)), np.int64),
        event_names=("purchase",),
    )


@pytest.mark.parametrize(
    ("timestamps", "quantile", "cut", "n_before"),
    [
        ([50, 20, 40, 10, 30], 0.8, 50, 4),  # any order
        ([10, 20, 30, 40], 0.8, 40, 3),  # 3.2 events: at most the share
        ([10, 20, 20, 20, 30], 0.5, 20, 1),  # one second stays together
        ([10, 10, 10], 0.8, 10, 0),
        ([10], 0.8, 10, 0),
    ],
)
def test_at_most_the_quantile_is_before_the_cut(
    timestamps: list[int], quantile: float, cut: int, n_before: int
) -> None:
    assert cut_time(np.array(timestamps), quantile) == cut
    assert sum(timestamp < cut for timestamp in timestamps) == n_before


@pytest.mark.parametrize("quantile", [0.0, 1.0, 80.0, -0.2])
def test_a_quantile_outside_zero_to_one_is_refused(quantile: float) -> None:
    with pytest.raises(ValueError, match="`quantile` should be between 0 and 1"):
        cut_time(np.array([10, 20]), quantile)


def test_a_cut_of_no_events_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one event"):
        cut_time(np.zeros(0, np.int64), 0.8)


def test_the_event_at_the_cut_is_after_it() -> None:
    rows = events_of([1, 2, 3, 4], [5, 6, 7, 8], [30, 10, 20, 40])

    before, after = split_at(rows, 30)

    assert before.items.tolist() == [6, 7]
    assert after.items.tolist() == [5, 8]


def test_each_users_last_event_by_time_then_row_is_held_out() -> None:
    rows = events_of(
        users=[1, 2, 1, 2, 1], items=[10, 20, 11, 21, 12], timestamps=[50, 30, 50, 10, 20], row_ids=[9, 1, 4, 2, 3]
    )

    train, last = last_item_out(rows)

    assert dict(zip(last.users.tolist(), last.items.tolist(), strict=True)) == {1: 10, 2: 20}
    assert train.items.tolist() == [21, 12, 11]  # in time order


def test_a_user_with_one_event_stays_in_train() -> None:
    train, last = last_item_out(events_of([1, 2, 2], [10, 20, 21], [5, 6, 7]))

    assert train.items.tolist() == [10, 20]
    assert last.items.tolist() == [21]


def test_no_events_are_split_into_no_events() -> None:
    train, last = last_item_out(events_of([], [], []))

    assert (len(train), len(last)) == (0, 0)
