"""What came of recommendations, by algorithm and position (`rec_analytics`), and the rankings of the shop."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Literal, NamedTuple, get_args
from uuid import uuid4

import numpy as np

from recsys.data.cleaning import SECONDS_PER_DAY
from recsys.data.purchases import purchase_names
from recsys.errors.wording import listed
from recsys.related.trending import LONGER_DAYS, RECENT_DAYS, rises
from recsys.scorers.registry import REGISTRY
from recsys.settings import Shop, TrackedSource, with_tracking
from recsys.store import Database
from recsys.store.tracking import counts_since
from recsys.store.tracking_counts import ItemCounts, count_items

Kind = Literal["top_selling", "most_viewed", "most_wishlisted", "trending"]
COUNTED = ("impression", "click", "add_to_cart", "purchase")
FALLBACK = "fallback"  # lists of the Express backend that no model answered
OTHER = "other"
# What an answer may be computed by; other names, which a visitor could make up, would fill the table.
ALGORITHMS = frozenset(map(str.lower, REGISTRY)) | {
    "hybrid",
    "content",
    "similar",
    "similarities",
    "together",
    "again",
    "new",
    FALLBACK,
    *get_args(Kind),
}
RANKING_DAYS = 90  # what was liked earlier is no news


class RankedItem(NamedTuple):
    """An item of a ranking.

    Attributes:
        item_id: The item's id, in the type of the shop's products.
        score: The number of events, or of `trending` how much it rises; above 0.
    """

    item_id: int | str
    score: float


class PositionCounts(NamedTuple):
    """What came of an algorithm's recommendations at one position.

    Attributes:
        algorithm: The algorithm that the recommendation's id names; `other` for an unknown one.
        position: The place in the list from 1; 0 where the event did not say.
        impressions: How often it was shown.
        clicks: How often it was clicked.
        carts: How often it was put into the cart.
        purchases: How often it was bought.
    """

    algorithm: str
    position: int
    impressions: int
    clicks: int
    carts: int
    purchases: int


def new_recommendation_id(algorithm: str) -> str:
    """Return the id of one answer; events that carry it count for the algorithm.

    Args:
        algorithm: A name of `ALGORITHMS`, in upper or lower case; another one counts as `other`.
    """
    return f"rec_{_known(algorithm)}_{uuid4().hex}"


def algorithm_of(recommendation_id: str) -> str:
    """Return the algorithm that an id names; `other` where it names none that is known.

    >>> algorithm_of("rec_item_cf_0f1e2d3c"), algorithm_of("rec_made_up_1"), algorithm_of("7")
    ('item_cf', 'other', 'other')
    """
    prefix, _, rest = recommendation_id.partition("_")
    return _known(rest.rpartition("_")[0]) if prefix == "rec" else OTHER


def outcomes(db: Database, *, since: int = 0) -> list[PositionCounts]:
    """Return what came of all recommendations, by algorithm and position.

    Args:
        db: The database.
        since: From the day of this second since 1970 on, in UTC.
    """
    table: dict[tuple[str, int], dict[str, int]] = {}
    for algorithm, position, action, count in counts_since(db, datetime.fromtimestamp(since, UTC).date().isoformat()):
        table.setdefault((algorithm, position), {})[action] = count
    return [PositionCounts(*key, *(counts.get(action, 0) for action in COUNTED)) for key, counts in table.items()]


def rankings(db: Database, shop: Shop, kind: Kind, *, now: int, limit: int) -> list[RankedItem]:
    """Return the items of a ranking over all of the shop's sources and the recorded events, best first.

    A purchase that was cancelled, and a wishlist event that was taken back, do not count. Inactive items are among
    them. Equal items are in the order of their ids as text.

    Args:
        db: The shop's database.
        shop: The mapping.
        kind: `trending` compares the weighted events of the last week with those of the four weeks before. The others
            count events of the last 90 days.
        now: Seconds since 1970.
        limit: Most items to return.

    Raises:
        ValueError: There is no ranking of that name.
    """
    if not any(isinstance(source, TrackedSource) for source in shop.sources):
        shop = with_tracking(shop)
    if kind == "trending":
        weights = {name: weight for name, weight in shop.event_weights.items() if weight > 0}
        weights |= dict.fromkeys(shop.cancel_events, -max(weights.values()))
        recent = count_items(db, shop, list(weights), since=now - RECENT_DAYS * SECONDS_PER_DAY, until=now)
        longer = count_items(db, shop, list(weights), since=now - LONGER_DAYS * SECONDS_PER_DAY, until=now)
        return _best(_rises(_weighted(recent, weights), _weighted(longer, weights)), limit)
    names: Mapping[str, Sequence[str]] = {
        "top_selling": purchase_names(shop),
        "most_viewed": ["view"],
        "most_wishlisted": ["wishlist"],
    }
    if kind not in names:
        raise ValueError(f"`kind` should be one of {listed(get_args(Kind))}. Received: {kind}.")
    weights = dict.fromkeys(names[kind], 1.0)
    if kind == "top_selling":
        weights |= dict.fromkeys(shop.cancel_events, -1.0)
    counts = count_items(db, shop, list(weights), since=now - RANKING_DAYS * SECONDS_PER_DAY, until=now)
    return _best(_weighted(counts, weights), limit)


def _known(algorithm: str) -> str:
    name = algorithm.lower()
    return name if name in ALGORITHMS else OTHER


def _weighted(counts: ItemCounts, weights: Mapping[str, float]) -> dict[int | str, float]:
    """Return the weighted sum of each item's counts."""
    sums: dict[int | str, float] = {}
    for (item, event), count in counts.items():
        sums[item] = sums.get(item, 0.0) + weights[event] * count
    return sums


def _rises(recent: Mapping[int | str, float], longer: Mapping[int | str, float]) -> dict[int | str, float]:
    """Return how much each item of the last week rises; see `recsys.related.trending.rises`."""
    counts = np.array([(count, longer.get(item, 0.0)) for item, count in recent.items()]).reshape(-1, 2)
    return dict(zip(recent, rises(*counts.T).tolist(), strict=True))


def _best(scores: Mapping[int | str, float], limit: int) -> list[RankedItem]:
    best = sorted((-score, str(item), item) for item, score in scores.items() if score > 0)
    return [RankedItem(item, -negative) for negative, _, item in best[:limit]]
