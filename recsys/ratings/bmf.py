"""The stars that BMF would predict: the network of the shop's lists, fitted on the same ratings, beside the others.

BMF learns what users choose, not how many stars they give. A straight line maps its logits to stars. It is fitted by
least squares on the newest tenth of the ratings, which that fit of BMF has not seen.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from recsys.data.encoding import Encoders, encode
from recsys.data.interactions import Catalogue, Interactions
from recsys.data.splitting import cut_time
from recsys.ratings.model import Stars
from recsys.ratings.ratings import HIGHEST, LOWEST, Ratings
from recsys.settings import Shop, Training

LINE_QUANTILE = 0.9
REGULARISATION = 30.0  # of ALS, from which BMF starts
NAMES = tuple(f"star{n}" for n in range(int(LOWEST), int(HIGHEST) + 1))
WEIGHTS = dict(zip(NAMES, (0.2, 0.4, 0.6, 0.8, 1.0), strict=True))  # confidence of each number of stars


def bmf_stars(before: Ratings, after: Ratings, *, options: Training | None = None) -> Stars:
    """Return BMF's stars for ratings after a cut, `(n,)` float64; the mean where it knows neither user nor item.

    Args:
        before: What it learns from.
        after: The pairs to predict.
        options: How to train; the defaults if None.
    """
    options = replace(options or Training(), min_item_events=1)
    cut = cut_time(before.timestamps, LINE_QUANTILE)
    early, late = before.take(before.timestamps < cut), before.take(before.timestamps >= cut)
    line = (0.0, float(before.values.mean()))
    if len(early):
        logits = _logits(early, late, options)
        if logits.std() > 0:
            slope, intercept = np.polyfit(logits, late.values, 1)
            line = float(slope), float(intercept)
    return np.clip(line[0] * _logits(before, after, options) + line[1], LOWEST, HIGHEST)


def _logits(before: Ratings, pairs: Ratings, options: Training) -> Stars:
    from recsys.networks.fit import fit
    from recsys.scorers.bmf import BMF
    from recsys.training.closed_form.als import als
    from recsys.training.closed_form.co_occurrence import user_item_matrix

    events = _events(before)
    shop = Shop(sources=(), products="", event_weights=WEIGHTS, purchase_events=(), context_columns=())
    encoders = Encoders.fit(events, _catalogue(events), 1)
    data = encode(events, encoders, shop, options, int(before.timestamps.max()) + 1)
    popularity = np.bincount(data.items, data.weights, data.n_items).astype(np.float32)
    factors = als(user_item_matrix(data), options.dim, REGULARISATION, seed=options.seed)
    start = {**factors, "popularity": popularity}
    scorer = BMF.from_arrays(fit("BMF", data, start, options, lambda epoch: None).network.arrays())
    logits = np.zeros(len(pairs))
    items = encoders.items.indices(pairs.items)
    users = encoders.users.indices(pairs.users)
    for user in np.unique(users).tolist():
        rows = np.flatnonzero(users == user)
        query = data.query(user, context=data.unknown_context, now=int(before.timestamps.max()) + 1, repeats=True)
        known = rows[items[rows] < data.n_items]
        scores = scorer.score(query)
        logits[rows] = scores.mean()  # of an unknown item
        logits[known] = scores[items[known]]
    return logits


def _events(ratings: Ratings) -> Interactions:
    return Interactions(
        users=ratings.users,
        items=ratings.items,
        events=(np.floor(ratings.values + 0.5) - LOWEST).astype(np.int16),
        timestamps=ratings.timestamps,
        row_ids=np.arange(1, len(ratings) + 1),
        event_names=NAMES,
    )


def _catalogue(events: Interactions) -> Catalogue:
    items = np.unique(events.items)
    nothing = np.full(len(items), None, object)
    return Catalogue(items, np.ones(len(items), bool), nothing, nothing, np.full(len(items), np.nan))
