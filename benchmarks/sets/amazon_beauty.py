"""Amazon reviews of beauty products (2014, 5-core): each user's last item, in the whole catalogue."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.sets.base import (
    MAX_VALIDATION_CASES,
    NOW,
    BenchmarkSet,
    Part,
    Parts,
    columns,
    events,
    hours_apart,
    make_part,
)
from benchmarks.sets.movielens import is_last
from recsys.data.interactions import Interactions

FILE = "interactions.csv.gz"
RULES = ("hide",)  # a user reviews an item once


def read(folder: Path) -> Parts:
    """Return the parts: each user's last item is the test, the last but one validation."""
    table = columns(folder / FILE)
    last = is_last(table["user"], table["pos"])
    before_last = np.zeros(len(last), bool)
    before_last[~last] = is_last(table["user"][~last], table["pos"][~last])
    return Parts(
        validation=_part(table, ~last & ~before_last, before_last, MAX_VALIDATION_CASES),
        test=_part(table, ~last, last),
    )


def _part(
    table: dict[str, NDArray], train: NDArray[np.bool_], after: NDArray[np.bool_], max_cases: int | None = None
) -> Part:
    def rows(which: NDArray[np.bool_]) -> Interactions:
        return events(
            table["user"][which], table["item"][which], hours_apart(table["user"][which], table["pos"][which])
        )

    return make_part(rows(train), rows(after), cut=NOW, rules=RULES, has_clock=False, max_cases=max_cases)


AMAZON_BEAUTY = BenchmarkSet(
    name="amazon-beauty-5core",
    files=(FILE,),
    origin=(
        "Beauty.txt of https://github.com/RUCAIBox/CIKM2020-S3Rec/tree/master/data, one row an item: user,item,pos "
        "with pos 0 the oldest; the reviews are https://jmcauley.ucsd.edu/data/amazon/."
    ),
    protocol=(
        "Test: each user's last item, if any user had it before, in the whole catalogue without the user's earlier "
        f"items. Validation: the last item but one, for {MAX_VALIDATION_CASES:,} sampled users. The set has an order"
        " but no times; events are one hour apart."
    ),
    rules=RULES,
    references={"hide": ("ease", "item_cf")},
    has_clock=False,
    read=read,
)
