"""UserBehavior of Taobao, its first 815 users: nine days of views, favourites, carts and purchases."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks.sets.base import (
    SHOP,
    BenchmarkSet,
    Part,
    Parts,
    columns,
    events,
    make_part,
    quantile_cut,
    rows_of_events,
)
from recsys.data.interactions import Catalogue, Interactions
from recsys.data.splitting import split_at

FILE = "events.csv.gz"
RULES = ("hide",)
EVENTS = {"pv": "view", "fav": "wishlist", "cart": "cart", "buy": "purchase"}
POSITIVE = ("wishlist", "cart", "purchase")
# 25 November and 4 December 2017, midnight in Beijing: rows outside are noise
FIRST, END = 1_511_539_200, 1_512_316_800
TAOBAO_SHOP = replace(SHOP, time_zone="Asia/Shanghai", relevant_events=POSITIVE)


def read(folder: Path) -> Parts:
    """Return the parts, both cut at the 80 % quantile of positive events' times; validation is in the train part."""
    rows, catalogue = _events(folder / FILE)
    cut = _cut(rows)
    train, after = split_at(rows, cut)
    return Parts(
        validation=_part(*split_at(train, _cut(train)), _cut(train), catalogue),
        test=_part(train, after, cut, catalogue),
    )


def _events(path: Path) -> tuple[Interactions, Catalogue]:
    table = columns(path)
    inside = (table["timestamp"] >= FIRST) & (table["timestamp"] < END)
    table = {name: column[inside] for name, column in table.items()}
    items, first = np.unique(table["item_id"], return_index=True)
    categories, nothing = table["category_id"][first].astype(str).astype(object), np.full(len(items), None)
    names = np.array([EVENTS[kind] for kind in table["event_type"]])
    catalogue = Catalogue(items, np.ones(len(items), bool), categories, nothing, np.full(len(items), np.nan))
    return events(table["user_id"], table["item_id"], table["timestamp"], names), catalogue


def _cut(rows: Interactions) -> int:
    return quantile_cut(rows.timestamps[rows_of_events(rows, *POSITIVE)])


def _part(train: Interactions, after: Interactions, cut: int, catalogue: Catalogue) -> Part:
    relevant = after.take(rows_of_events(after, *POSITIVE))
    return make_part(train, relevant, cut=cut, rules=RULES, shop=TAOBAO_SHOP, catalogue=catalogue)


TAOBAO = BenchmarkSet(
    name="taobao-userbehavior",
    files=(FILE,),
    origin=(
        "The first 84,475 rows of UserBehavior.csv of https://tianchi.aliyun.com/dataset/649, with the header "
        "user_id,item_id,category_id,event_type,timestamp."
    ),
    protocol=(
        "The cut is the 80 % quantile of the times of positive events (cart, favourite, purchase). Train: events "
        "before it, views with a confidence of 0.3. Test: later positive events on items known before the cut; the "
        "ranking covers the whole catalogue without the user's purchases. The set is small and the intervals are "
        "wide: it supports no claim."
    ),
    rules=RULES,
    references={"hide": ("item_cf", "ease")},
    has_clock=True,
    read=read,
)
