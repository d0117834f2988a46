"""What rises."""

import math

import numpy as np
import pytest

from recsys.related.trending import decayed_counts, rises, trending

DAY = 86_400
NOW = 1_700_000_000


def test_an_event_counts_less_with_every_day() -> None:
    ages = np.array([0, 7, 14, -3, 7])  # the fourth is ahead of the clock
    counts = decayed_counts(
        np.array([0, 0, 1, 1, 2], np.int32),
        np.array([1.0, 0.5, 1.0, 0.25, -1.0], np.float32),
        NOW - ages * DAY,
        4,
        days=7,
        now=NOW,
    )

    assert counts.tolist() == pytest.approx([1 + 0.5 / math.e, math.exp(-2) + 0.25, 0.0, 0.0])


def test_what_is_new_rises_what_is_steady_stays_and_what_is_over_falls() -> None:
    steady = [(0, day) for day in range(200)]
    new = [(1, day) for day in range(5)]
    over = [(2, day) for day in range(15, 40)]
    items, ages = np.array([*steady, *new, *over]).T

    scores = trending(items.astype(np.int32), np.ones(len(items), np.float32), NOW - ages * DAY, 4, now=NOW)

    assert scores.dtype == np.float32
    assert scores[1] > 1 > abs(scores[0]) and scores[2] < -0.5 and scores[3] == 0
    assert rises(np.zeros(0), np.zeros(0)).tolist() == []
    none = np.zeros(0, np.int32)
    assert trending(none, none.astype(np.float32), none.astype(np.int64), 2, now=NOW).tolist() == [0, 0]
