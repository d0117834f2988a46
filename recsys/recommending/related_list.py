"""Answers `together`, `trending` and `again`: lists from orders, everybody's purchases or one's own, without a model.

The list goes on with what comes next where the first source has too few: a version without pairs answers by item-item
weights, and one without trends by what is popular. What may be shown is decided as for every other list. `again` alone
goes on with nothing, and shows what was bought: nobody is due for what they never bought.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from recsys import store
from recsys.contract import Item, Reason, Request, Response, Source
from recsys.errors import InternalError
from recsys.evaluation.ranking import top_k
from recsys.features.features import Neighbours
from recsys.features.query import Floats, Indices, Mask
from recsys.recommending.fill import (
    ItemFilter,
    RecommendationList,
    build_item_filter,
    fill_list,
    same_text,
    unseen_items,
)
from recsys.recommending.loading import ModelBundle
from recsys.recommending.user import STRENGTHS, User, indices_of, load_user
from recsys.related.together import nearest_in_basket
from recsys.scorers.item_item import NeighbourScorer
from recsys.scorers.popularity import Popularity
from recsys.settings import Shop

SIMILAR = "item_cf"
POPULAR = ("popularity_recent", "popularity")  # the first that a version has


class Tier(NamedTuple):
    """One source of items.

    Attributes:
        model: The name of what ranks them.
        source: The kind of it.
        scores: `(n_items,)` float32; only items with a score above 0 come from it.
        reason: Returns the reason of an item by its index.
    """

    model: str
    source: Source
    scores: Floats
    reason: Callable[[int], Reason | None]


def related_list(
    request: Request, bundle: ModelBundle, db: store.Database, *, shop: Shop, now: int, check: Callable[[], None]
) -> Response:
    """Answer one request.

    Args:
        request: The checked request, of `RELATED_OPS`.
        bundle: The version that answers.
        db: The shop's database.
        shop: The mapping with the version's event names and rules.
        now: Seconds since 1970.
        check: Raises where the deadline has passed.

    Raises:
        ModelMismatch: The database does not hold the version's encoders.
        DeadlineExceeded: The deadline has passed.
    """
    user = load_user(request, bundle, db, shop=shop, now=now)
    check()
    item_filter = build_item_filter(request, user, bundle.items)
    basket = indices_of(user.refs, request.item_ids or ())
    if request.complementary:
        products = [user.refs[item].item_id for item in request.item_ids or () if item in user.refs]
        item_filter = _complementary(item_filter, bundle, store.products(db, shop, products, ["category"]))
    tiers = _tiers(request, bundle, user, basket, now)
    places = _places(tiers, item_filter.allowed, item_filter.depth)
    ids = dict(zip(places, bundle.original_ids(list(places)), strict=True))
    check()
    recommended = fill_list(db, shop, item_filter, list(places), [], ids, with_new=request.op != "again")
    check()
    unseen = unseen_items(bundle, recommended)
    first = next((tiers[places[index]] for _, index in recommended.items if index >= 0), tiers[-1])
    return Response(
        user_id=user.user_id,
        model=first.model,
        model_version=bundle.name,
        items=_items(recommended.items, tiers, places, unseen),
        runs=(),
        source=first.source,
        context=user.context,
        warnings=tuple(_warnings(request, bundle, user, basket, recommended)),
    )


def _tiers(request: Request, bundle: ModelBundle, user: User, basket: Indices, now: int) -> list[Tier]:
    """Return the sources of an operation's list, at least one."""
    if request.op == "again":
        return [_again(bundle, user, now)]
    return [*(_together(bundle, basket) if request.op == "together" else _trending(bundle)), _popular(bundle)]


def _complementary(item_filter: ItemFilter, bundle: ModelBundle, basket: Sequence[store.ProductRow]) -> ItemFilter:
    """Return a filter without the categories of a basket, and without items of none; the same where it has none."""
    categories = frozenset(same_text(row.category) for row in basket if row.category is not None)
    if not categories:
        return item_filter
    codes = [code for code, name in enumerate(bundle.items.category_names) if same_text(name) not in categories]
    allowed = item_filter.allowed & np.isin(bundle.items.categories, codes)
    return item_filter._replace(allowed=allowed, other_than=categories)


def _together(bundle: ModelBundle, basket: Indices) -> list[Tier]:
    """Return what was bought with the basket, then what the same users chose; nothing for a basket without items."""
    tiers: list[Tier] = []
    if len(basket) == 0:
        return tiers
    if bundle.pairs is not None:
        tiers.append(_of_basket("together", "together", bundle, bundle.pairs.weights, basket))
    if SIMILAR in bundle.scorers.names:
        scorer = bundle.scorers[SIMILAR]
        if isinstance(scorer, NeighbourScorer):
            tiers.append(_of_basket(SIMILAR, "item_cf", bundle, scorer.neighbours, basket))
    return tiers


def _of_basket(model: str, source: Source, bundle: ModelBundle, weights: Neighbours, basket: Indices) -> Tier:
    """Return the items that go with a basket by a matrix of weights."""
    nearest = nearest_in_basket(weights, basket)

    def reason(item: int) -> Reason | None:
        [partner] = bundle.original_ids([int(nearest[item])])
        return Reason("together" if source == "together" else "similar", partner)

    scores = weights.accumulate(basket, np.ones(len(basket), np.float32))
    return Tier(model, source, np.where(nearest >= 0, scores, np.float32(0)), reason)


def _trending(bundle: ModelBundle) -> list[Tier]:
    """Return what rises; nothing in a version without trends."""
    rising = bundle.trends
    return [] if rising is None else [Tier("trending", "trending", rising, lambda item: Reason("popular"))]


def _again(bundle: ModelBundle, user: User, now: int) -> Tier:
    """Return the consumables that the user bought, by the odds of a purchase; none in a version without intervals."""
    found, odds = bundle.repurchases, np.zeros(len(bundle.items), np.float32)
    if found is not None:
        bought = (user.strengths == STRENGTHS.index("bought")) & (user.indices >= 0)
        odds = found.odds(user.indices[bought], user.timestamps[bought], now=now)
    return Tier("again", "again", odds, lambda item: Reason("again"))


def _popular(bundle: ModelBundle) -> Tier:
    """Return what is popular.

    Raises:
        InternalError: The version has no scorer of popularity.
    """
    for name in POPULAR:
        scorer = bundle.scorers[name] if name in bundle.scorers.names else None
        if isinstance(scorer, Popularity):
            return Tier(name, "popularity", scorer.popularity, lambda item: Reason("popular"))
    raise InternalError(f"A version should have one of {', '.join(POPULAR)}. Received: {bundle.scorers.names}.")


def _places(tiers: Sequence[Tier], allowed: Mask, depth: int) -> dict[int, int]:
    """Return the best items in the order of the list, at most `depth`, each with the place of its tier."""
    places: dict[int, int] = {}
    free = allowed.copy()
    for place, tier in enumerate(tiers):
        if len(places) == depth:
            break
        best = top_k(tier.scores, depth - len(places), free & (tier.scores > 0))
        free[best] = False
        places.update(dict.fromkeys(best.tolist(), place))
    return places


def _items(
    listed: Sequence[tuple[int | str, int]],
    tiers: Sequence[Tier],
    places: Mapping[int, int],
    unseen: set[int | str],
) -> tuple[Item, ...]:
    """Return the items with scores from 0 to 1, none above one before it."""
    items: list[Item] = []
    least = 1.0
    for item, index in listed:
        if index < 0:
            items.append(Item(item, 0.0, Reason("new") if item in unseen else None))
            continue
        tier = tiers[places[index]]
        score = float(tier.scores[index])
        least = min(least, score / (1 + score))
        items.append(Item(item, least, tier.reason(index)))
    return tuple(items)


def _warnings(
    request: Request, bundle: ModelBundle, user: User, basket: Indices, recommended: RecommendationList
) -> list[str]:
    """Return what was left out or missing, for people."""
    unknown_features = sorted(set(request.context) - set(user.context))
    notes = [*user.notes, *recommended.notes]
    warnings = [*notes, *(f"context: {name} is no feature of this version" for name in unknown_features)]
    item_ids = {user.refs[item].item_id if item in user.refs else item for item in request.item_ids or ()}
    n_unknown = len(item_ids) - len(basket)
    if n_unknown > 0:
        warnings.append(f"item_ids: {n_unknown} that no model knows yet")
    if request.op == "again":
        if bundle.repurchases is None:
            warnings.append("items: none, because the version was trained before intervals were known")
        return warnings  # a short list lacks nothing
    n_items = len(recommended.items)
    if n_items < request.limit:
        warnings.append(f"items: {n_items} of {request.limit}, because the shop has no more that may be shown")
    return warnings
