"""A version's proof that it can take over: questions of every kind, answered by every scorer, before a customer asks one."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from recsys import store
from recsys.artifacts import trim_memory
from recsys.data.cleaning import SECONDS_PER_DAY
from recsys.errors import ModelRefused
from recsys.features.query import Query
from recsys.recommending.loading import ModelBundle


def smoke_test(bundle: ModelBundle, db: store.Database) -> None:
    """Find out whether a version can serve.

    Args:
        bundle: The version, to be made ready by the way.
        db: The shop's database.

    Raises:
        ModelMismatch: The database does not hold the version's encoders.
        ModelRefused: An array is not what a scorer needs, or a score is not finite.
    """
    store.require_version(db, bundle.name)
    bundle.warm()
    for query in _queries(bundle):
        for name in bundle.names:
            scores = bundle.scorer(name).score(query)
            if scores.shape != (len(bundle.items),) or not np.isfinite(scores).all():
                raise ModelRefused(
                    f"{name} of {bundle.name} should score every item with a finite number. Received: others."
                )
            trim_memory()  # another version is mapped beside this one


def _queries(bundle: ModelBundle) -> Iterator[Query]:
    """Yield what the first and the last customer, a guest and somebody whom nothing is known of may ask, with repeats and without."""
    n_items, now = len(bundle.items), bundle.data_until + SECONDS_PER_DAY
    histories = (np.zeros(0, np.int32), np.array([0, n_items // 2, n_items - 1], np.int32))
    context = bundle.contexts.encode(dict.fromkeys(bundle.contexts.features))
    for user in (0, bundle.n_users - 1, bundle.n_users):
        for items in histories:
            times = np.full(len(items), bundle.data_until, np.int64)
            for repeats in (False, True):
                yield Query(user, items, np.ones(len(items), np.float32), times, context, now, repeats)
