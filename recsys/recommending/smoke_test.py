"""A version's proof that it can take over: questions of every kind, answered by every scorer, before a customer asks one."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from recsys import store
from recsys.artifacts import settle
from recsys.data.cleaning import SECONDS_PER_DAY
from recsys.errors import ModelRefused
from recsys.features.query import Query
from recsys.recommending.loading import Loaded


def prove(loaded: Loaded, db: store.Database) -> None:
    """Find out whether a version can serve.

    Args:
        loaded: The version, to be made ready by the way.
        db: The shop's database.

    Raises:
        ModelMismatch: The database does not hold the version's encoders.
        ModelRefused: An array is not what a scorer needs, or a score is not finite.
    """
    store.require_version(db, loaded.name)
    loaded.warm()
    for query in _questions(loaded):
        for name in loaded.names:
            scores = loaded.scorer(name).score(query)
            if scores.shape != (len(loaded.items),) or not np.isfinite(scores).all():
                raise ModelRefused(f"{name} of {loaded.name} should score every item with a finite number. Received: others.")
            settle()  # another version is mapped beside this one


def _questions(loaded: Loaded) -> Iterator[Query]:
    """Yield what the first and the last customer, a guest and somebody whom nothing is known of may ask, with repeats and without."""
    n_items, now = len(loaded.items), loaded.data_until + SECONDS_PER_DAY
    histories = (np.zeros(0, np.int32), np.array([0, n_items // 2, n_items - 1], np.int32))
    context = loaded.contexts.encode(dict.fromkeys(loaded.contexts.features))
    for user in (0, loaded.n_users - 1, loaded.n_users):
        for items in histories:
            times = np.full(len(items), loaded.data_until, np.int64)
            for repeats in (False, True):
                yield Query(user, items, np.ones(len(items), np.float32), times, context, now, repeats)
