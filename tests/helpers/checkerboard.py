"""A shop with a known right answer: each user likes the items of one parity, and one of them is withheld.

User u has index u and id 100 + u, item i has index i and id 500 + i. Before `CUT`, user u has one event a day with all
items of the same parity, except `withheld(u)`, which they buy after it. Devices and categories are independent of the
parity, so only the history tells the two clusters apart. The catalogue is in descending order, as some tables are.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np

from recsys.data.cleaning import clean
from recsys.data.interactions import Catalogue, Interactions
from recsys.features.features import NAMES
from recsys.features.query import Query
from recsys.settings import Settings, Shop, Training
from recsys.settings.database_url import DatabaseUrl
from recsys.training.closed_form.content import content
from recsys.training.fitting import FittedModels, Hyperparameters, fit_models
from recsys.training.run import TrainingRun
from recsys.training.search import NETWORK
from recsys.training.stages import encode_events, known_at

DAY = 86_400
START = 1_704_672_000  # Monday 2024-01-08 00:00 UTC
CUT = START + 100 * DAY
N_USERS, N_ITEMS = 64, 16
RARE = 599  # an item with two events before the cut, which training leaves out
CLUSTER_SIZE = N_ITEMS // 2  # items of one cluster
CATEGORIES = ("tea", "coffee", "honey")
DEVICES = ("mobile", "desktop", None)
EVENTS = ("cancel", "cart", "purchase", "star1", "view")
SHOP = Shop(sources=(), products="")
FAST = Training(dim=8, factors=8, epochs=8, batch=8, window=8, learning_rate=0.02)
# Purchased items hidden, repeats allowed: no weight is 0, and none is the same under both rules.
ENSEMBLE_WEIGHTS = {
    "neighbours": (2.0, 1.5),
    "neighbours_recent": (1.0, 0.8),
    "transitions": (0.6, 0.4),
    "content": (0.3, 0.2),
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
    """Return the one item of a user's cluster without events before the cut: the diagonal of the board."""
    return user % 2 + 2 * (user // 2 % CLUSTER_SIZE)


def own_cluster(user: int) -> np.ndarray:
    """Return the items of the user's parity."""
    return np.arange(user % 2, N_ITEMS, 2, dtype=np.int32)


def other_cluster(user: int) -> np.ndarray:
    """Return the items of the other parity."""
    return np.arange(1 - user % 2, N_ITEMS, 2, dtype=np.int32)


def events_of(rows: Sequence[Row], devices: Sequence[str | None] | None = None) -> Interactions:
    """Return events given as (user id, item id, event, timestamp); row ids follow their order."""
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
    """Return a catalogue without brands and prices."""
    return Catalogue(
        items=np.array(items, np.int64),
        active=np.ones(len(items), bool) if active is None else np.array(active, bool),
        categories=np.array(categories, object),
        brands=np.full(len(items), None, object),
        prices=np.full(len(items), np.nan),
    )


def before_the_cut() -> Interactions:
    """Return all events before the cut: each user's cluster except one item, in random order, one event a day."""
    rng = np.random.default_rng(11)
    rows: list[Row] = []
    for user in range(N_USERS):
        liked = rng.permutation(np.setdiff1d(own_cluster(user), withheld(user)))
        days = np.sort(rng.choice(100, len(liked), replace=False))
        moments = START + days * DAY + rng.integers(0, DAY, len(liked))
        names = rng.choice(["view", "cart", "purchase"], len(liked))
        rows += [
            (100 + user, 500 + int(item), str(name), int(moment))
            for item, name, moment in zip(liked, names, moments, strict=True)
        ]
    rows += [(100 + user, RARE, "view", CUT - DAY) for user in (0, 1)]
    return events_of(rows, [DEVICES[n] for n in rng.integers(0, 3, len(rows))])


def after_the_cut() -> Interactions:
    """Return all events after the cut: each user's purchase of the withheld item."""
    return events_of([(100 + user, 500 + withheld(user), "purchase", CUT + user * 3600) for user in range(N_USERS)])


def catalogue() -> Catalogue:
    """Return all items in descending order; the three categories alternate, independent of parity."""
    items = range(N_ITEMS - 1, -1, -1)
    return catalogue_of([500 + item for item in items], [CATEGORIES[item % 3] for item in items])


def shop_of(
    recorded: Interactions,
    options: Training = FAST,
    products: Catalogue | None = None,
    shop: Shop = SHOP,
    protocol: str = "time",
) -> TrainingRun:
    """Return a training run that has read the shop."""
    now = CUT + 60 * DAY
    cleaned, report = clean(recorded, shop=shop, training=options, now=now)
    settings = Settings(DatabaseUrl.parse("sqlite:///none.sqlite"), Path("models"), shop, options)
    return TrainingRun(
        settings, protocol, now, recorded, cleaned, catalogue() if products is None else products, report
    )


def hyperparameters(options: Training = FAST) -> Hyperparameters:
    """Return hyperparameters as validation might choose them, with weights for features and networks."""
    plain = Hyperparameters.default(options, "a board has no validation")
    weights = np.array([ENSEMBLE_WEIGHTS[name] for name in (*NAMES, NETWORK)], np.float32).T
    everything = dict.fromkeys(plain.ensemble_weights, weights)
    return replace(plain, l2=10.0, regularization=2.0, ensemble_weights=everything)


def fit(run: TrainingRun) -> FittedModels:
    """Fit the whole registry to the events before the cut, as training does."""
    encoders, data = encode_events(run, known_at(run, CUT))
    described, options = content(run.catalogue, encoders.items.ids), run.settings.training
    return fit_models(encoders, data, options, hyperparameters(options), lambda epoch: None, described)


@contextmanager
def eagerly() -> Iterator[None]:
    """Run compiled functions eagerly: a fit of a few steps takes less time than tracing its graph."""
    import tensorflow as tf

    tf.config.run_functions_eagerly(True)
    try:
        yield
    finally:
        tf.config.run_functions_eagerly(False)


def query_at_cut(
    stage: FittedModels, user: int, *, context: Sequence[int] | None = None, repeats: bool = False
) -> Query:
    """Return the query of a user at the cut; without `context`, all context features are unknown."""
    unknown = [size - 1 for size in stage.data.context_sizes]
    return stage.data.query(user, context=np.array(context or unknown, np.int32), now=CUT, repeats=repeats)
