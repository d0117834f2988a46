"""JData of JD.com, as in papers on multi-behaviour recommendation: purchases, carts and collections without times."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from benchmarks.sets.base import HOUR, NEWEST, NOW, BenchmarkSet, Part, Parts, columns, events, make_part
from recsys.data.interactions import Interactions

BUYS = ("buy_train.csv.gz", "buy_valid.csv.gz", "buy_test.csv.gz")
CART, COLLECT = "cart.csv.gz", "collect.csv.gz"
RULES = ("hide",)
MAX_CASES = 5_000


def read(folder: Path) -> Parts:
    """Return the parts: validation is `buy_valid`; the test is `buy_test`, with `buy_valid` in its train data."""
    train, valid, test = (_rows(folder / name, "purchase", NEWEST) for name in BUYS)
    beside = (_rows(folder / CART, "cart", NEWEST - HOUR), _rows(folder / COLLECT, "wishlist", NEWEST - HOUR))
    return Parts(validation=_part((*beside, train), valid), test=_part((*beside, train, valid), test))


def _rows(path: Path, event: str, moment: int) -> Interactions:
    """Return events of one kind, all at one time, because the set has no order."""
    table = columns(path)
    return events(table["user"], table["item"], np.full(len(table["user"]), moment), event)


def _part(train: tuple[Interactions, ...], after: Interactions) -> Part:
    users, items, timestamps = (
        np.concatenate([getattr(rows, name) for rows in train]) for name in ("users", "items", "timestamps")
    )
    names = np.repeat([rows.event_names[0] for rows in train], [len(rows) for rows in train])
    learned = events(users, items, timestamps, names)
    return make_part(learned, after, cut=NOW, rules=RULES, has_clock=False, max_cases=MAX_CASES)


JDATA = BenchmarkSet(
    name="jdata-mb",
    files=(*BUYS, CART, COLLECT),
    origin=(
        "data/jdata of https://github.com/K-Kyungho/MEMBER: train, validation, test, cart and collect, saved as "
        "buy_train, buy_valid, buy_test, cart and collect with the header user,item, gzipped."
    ),
    protocol=(
        f"The published split. Test: the purchases of {MAX_CASES:,} sampled users, in the whole catalogue without "
        "earlier purchases. The set has neither times nor an order: all carts and collections get one time, all "
        "purchases the next. Published results also train on views, which the set lacks, so they cannot be "
        "compared."
    ),
    rules=RULES,
    references={"hide": ("item_cf", "user_frequency")},
    has_clock=False,
    read=read,
)
