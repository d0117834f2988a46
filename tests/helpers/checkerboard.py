"""A shop whose right answer is known: a customer likes the items of her own parity, and has not met one of them yet.

Customer u has index u and the id 100 + u, item i the index i and the id 500 + i. Customer u has had every item of her parity but
`withheld(u)`, one event a day, and takes that one after `CUT`. Devices and categories are spread evenly over both clusters, so that
only the history tells them apart. The catalogue is listed in descending order, as some tables are.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

import numpy as np

from recsys.data.cleaning import clean
from recsys.data.interactions import Catalogue, Interactions
from recsys.features.features import NAMES
from recsys.features.query import Query
from recsys.settings import Shop, Training
from recsys.training.closed_form.choose import ClosedForms
from recsys.training.ensemble import NETWORK
from recsys.training.fitting import Hyperparameters
from recsys.training.stages import ShopData, TrainedModels, fit_stage

DAY = 86_400
START = 1_704_672_000  # Monday 2024-01-08 00:00 UTC
CUT = START + 100 * DAY
N_USERS, N_ITEMS = 64, 16
RARE = 599  # an item with two events before the cut, too few to be learned
USER_ITEM = N_ITEMS // 2  # items of one cluster
CATEGORIES = ("tea", "coffee", "honey")
DEVICES = ("mobile", "desktop", None)
EVENTS = ("cancel", "cart", "purchase", "star1", "view")
SHOP = Shop(sources=(), products="")
FAST = Training(dim=8, factors=8, epochs=8, batch=8, window=8, learning_rate=0.02)
# Repeats hidden, repeats allowed: no signal is left out, and no two rules weigh one alike.
ENSEMBLE_WEIGHTS = {
    "neighbours": (2.0, 1.5),
    "neighbours_recent": (1.0, 0.8),
    "transitions": (0.6, 0.4),
    "factors": (1.2, 0.9),
    "popularity": (0.2, 0.1),
    "popularity_60d": (-0.1, 0.05),
    "popularity_15d": (0.1, 0.15),
    "popularity_7d": (0.05, -0.05),
    "own": (0.5, 1.0),
    "own_count": (-0.5, 2.0),
    "own_60d": (0.3, 1.0),
    "own_15d": (-0.2, 0.4),
    NETWORK: (1.0, 0.7),
}

Row = tuple[int, int, str, int]


def withheld(user: int) -> int:
    """Return the one item of her own cluster that a customer has not met: the diagonal of the board."""
    return user % 2 + 2 * (user // 2 % USER_ITEM)


def own_cluster(user: int) -> np.ndarray:
    return np.arange(user % 2, N_ITEMS, 2, dtype=np.int32)


def other_cluster(user: int) -> np.ndarray:
    return np.arange(1 - user % 2, N_ITEMS, 2, dtype=np.int32)


def events_of(rows: Sequence[Row], devices: Sequence[str | None] | None = None) -> Interactions:
    """Return events given as (user id, item id, event, timestamp); rows keep their order as row ids."""
    users, items, events, timestamps = zip(*rows, strict=True) if rows else ((), (), (), ())
    return Interactions(
        users=np.array(users, np.int64),
        items=np.array(items, np.int64),
        events=np.array([EVENTS.index(event) for event in events], np.int16),
        timestamps=np.array(timestamps, np.int64),
        row_ids=np.arange(1, len(rows) + 1),
        event_names=EVENTS,
        contexts={"device_type": np.array([None] * len(rows) if devices is None else devices, object)},
    )


def catalogue_of(
    items: Sequence[int], categories: Sequence[str | None], active: Sequence[bool] | None = None
) -> Catalogue:
    """Return products without brand and price."""
    return Catalogue(
        items=np.array(items, np.int64),
        active=np.ones(len(items), bool) if active is None else np.array(active, bool),
        categories=np.array(categories, object),
        brands=np.full(len(items), None, object),
        prices=np.full(len(items), np.nan),
    )


def before_the_cut() -> Interactions:
    """Return what everybody did before the cut: her own cluster but one, in an order of her own, one event a day."""
    rng = np.random.default_rng(11)
    rows: list[Row] = []
    for user in range(N_USERS):
        liked = rng.permutation(np.setdiff1d(own_cluster(user), withheld(user)))
        days = np.sort(rng.choice(100, len(liked), replace=False))
        moments = START + days * DAY + rng.integers(0, DAY, len(liked))
        kinds = rng.choice(["view", "cart", "purchase"], len(liked))
        rows += [
            (100 + user, 500 + int(item), str(kind), int(moment))
            for item, kind, moment in zip(liked, kinds, moments, strict=True)
        ]
    rows += [(100 + user, RARE, "view", CUT - DAY) for user in (0, 1)]
    return events_of(rows, [DEVICES[n] for n in rng.integers(0, 3, len(rows))])


def after_the_cut() -> Interactions:
    """Return what everybody did after it: the withheld item, bought."""
    return events_of([(100 + user, 500 + withheld(user), "purchase", CUT + user * 3600) for user in range(N_USERS)])


def catalogue() -> Catalogue:
    """Return all items, in descending order; categories go round in threes, across the clusters."""
    items = range(N_ITEMS - 1, -1, -1)
    return catalogue_of([500 + item for item in items], [CATEGORIES[item % 3] for item in items])


def shop_of(
    recorded: Interactions, options: Training = FAST, products: Catalogue | None = None, shop: Shop = SHOP
) -> ShopData:
    """Return a shop as a training run reads it."""
    now = CUT + 60 * DAY
    cleaned, report = clean(recorded, shop=shop, training=options, now=now)
    return ShopData(recorded, cleaned, catalogue() if products is None else products, report, shop, options, now)


def hyperparameters(options: Training = FAST) -> Hyperparameters:
    """Return choices as validation might have made them, so that signals and networks both matter."""
    plain = Hyperparameters.default(options, "a board has no validation")
    weights = np.array([ENSEMBLE_WEIGHTS[name] for name in (*NAMES, NETWORK)], np.float32).T
    return replace(
        plain, closed_forms=ClosedForms(10.0, 2.0), ensemble_weights=dict.fromkeys(plain.ensemble_weights, weights)
    )


def fit(source: ShopData) -> TrainedModels:
    """Fit the whole registry to what a shop knew at the cut, by the project's own code."""
    return fit_stage(source, source.known_at(CUT), lambda epoch: None, hyperparameters(source.options))


@contextmanager
def eagerly() -> Iterator[None]:
    """Run compiled functions step by step: a fit of a few steps is over before its graph would be traced."""
    import tensorflow as tf

    tf.config.run_functions_eagerly(True)
    try:
        yield
    finally:
        tf.config.run_functions_eagerly(False)


def question(stage: TrainedModels, user: int, *, context: Sequence[int] | None = None, repeats: bool = False) -> Query:
    """Return what a customer of the board is asked at the cut; every context is unknown unless given."""
    unknown = [size - 1 for size in stage.data.context_sizes]
    return stage.data.query(user, context=np.array(context or unknown, np.int32), now=CUT, repeats=repeats)
