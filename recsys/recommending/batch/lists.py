"""Lists of everybody, step 3: the available items of each user's ranking, with their reasons."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from recsys import store
from recsys.contract import Item, Request
from recsys.features.query import Mask
from recsys.recommending.batch.output import UserList
from recsys.recommending.batch.reasons import explain_block
from recsys.recommending.batch.scores import Ranking, rank_alone, rank_block
from recsys.recommending.batch.tables import BlockTables
from recsys.recommending.fill import HEADROOM, RecommendationList, build_item_filter, fill_list
from recsys.recommending.loading import ModelBundle
from recsys.recommending.recommend import (
    LAST_RESORT,
    POPULAR,
    answer_source,
    explained_items,
    history_reasons,
    popular_reasons,
)
from recsys.recommending.runs import FAILURES, Scored
from recsys.recommending.user import User
from recsys.scorers.registry import REGISTRY
from recsys.scorers.retrieval import EXHAUSTIVE_UP_TO
from recsys.settings import Shop

Available = set[int | str]
FRESH_S = 60  # an item may have been sold out for so long; the backend checks again when it answers


class Shelf:
    """Which items the shop sells now: each item is looked up once, and again after a minute."""

    def __init__(self, db: store.Database, shop: Shop, bundle: ModelBundle) -> None:
        """Take the shop's database, its mapping, and the version."""
        self._db, self._shop, self._bundle = db, shop, bundle
        self._looked_up: Mask = np.zeros(len(bundle.items), bool)
        self._available: Available = set()
        self._since = 0

    def available(self, rankings: Sequence[Ranking], now: int) -> Available:
        """Return the external ids of the items that the shop sells, with those of the rankings looked up."""
        if now - self._since >= FRESH_S:
            self._looked_up[:], self._available, self._since = False, set(), now
        ranked = np.zeros(len(self._looked_up), bool)
        ranked[np.concatenate([ranking.items for ranking in rankings])] = True
        missing = np.flatnonzero(ranked & ~self._looked_up)
        self._looked_up |= ranked
        for ids in store.chunked(self._bundle.original_ids(missing.tolist()), store.IDS_A_STATEMENT):
            rows = store.products(self._db, self._shop, ids, [])
            self._available.update(row.item_id for row in rows if row.active)
        return self._available


def lists_of(
    users: Sequence[User],
    tables: BlockTables,
    shelf: Shelf,
    db: store.Database,
    *,
    shop: Shop,
    limit: int,
    model: str | None,
    now: int,
) -> dict[int | str, UserList]:
    """Return the lists of a block of users, by id; without those of users who have to be asked alone.

    Args:
        users: The users of a block.
        tables: The version, whose priors choose a winner for each segment.
        shelf: What the shop sells now.
        db: The shop's database.
        shop: The mapping with the version's event names and rules.
        limit: The length of a list.
        model: A name of the registry; None for the winner of each user's segment.
        now: Seconds since 1970.
    """
    lists: dict[int | str, UserList] = {}
    bundle = tables.bundle
    for name, group in by_winner(users, bundle, model).items():
        try:
            rankings = rank_block(tables, name, group, limit + HEADROOM)
        except FAILURES:
            continue  # whoever is asked alone gets another scorer's list
        available, filled = shelf.available(rankings, now), []
        for user, ranking in zip(group, rankings, strict=True):
            recommended = _fill(db, shop, bundle, user, ranking, available, limit)
            if recommended is None:  # places are too close to be told apart, or too few items are sold
                ranking = rank_alone(tables, name, user, limit + HEADROOM)
                recommended = _fill(db, shop, bundle, user, ranking, shelf.available([ranking], now), limit)
            if recommended is not None:
                filled.append((user, ranking, recommended))
        for user, items in _explained(bundle, name, filled):
            if user.user_id is not None:
                lists[user.user_id] = UserList(user.user_id, name, answer_source(name, user), items, now)
    return lists


def by_winner(users: Iterable[User], bundle: ModelBundle, model: str | None) -> dict[str, list[User]]:
    """Return the users of each scorer that answers, without those whose candidate items are retrieved from an index."""
    groups: dict[str, list[User]] = {}
    n_active = int(np.count_nonzero(bundle.items.active))
    popular = next((name for name in POPULAR if name in bundle.scorers.names), LAST_RESORT)
    for user in users:
        winner = model or (popular if user.is_new else bundle.priors_of(len(user.query.items)).best)
        if n_active - len(user.hidden) <= EXHAUSTIVE_UP_TO or bundle.candidates is None:
            groups.setdefault(winner, []).append(user)
    return groups


def _fill(
    db: store.Database,
    shop: Shop,
    bundle: ModelBundle,
    user: User,
    ranking: Ranking,
    available: Available,
    limit: int,
) -> RecommendationList | None:
    """Return the list of a user; None where they have to be asked alone."""
    indices = ranking.items.tolist()
    ids = bundle.original_ids(indices)
    places = [place for place, item in enumerate(ids) if item in available][:limit]
    is_short = len(places) < limit
    if (is_short and not ranking.is_all) or (len(indices) if is_short else places[-1] + 1) > ranking.n_certain:
        return None
    if is_short:
        item_filter = build_item_filter(Request(limit=limit), user, bundle.items)
        return fill_list(db, shop, item_filter, indices, (), dict(zip(indices, ids, strict=True)))
    return RecommendationList(tuple([(ids[place], indices[place]) for place in places]), available)


def _explained(
    bundle: ModelBundle, name: str, filled: Sequence[tuple[User, Ranking, RecommendationList]]
) -> Iterator[tuple[User, tuple[Item, ...]]]:
    """Yield each user with the items of their list, which have scores and reasons.

    Args:
        bundle: The version.
        name: The registry name of the scorer that ranked the items.
        filled: The users with their rankings and lists.
    """
    winner = Scored(name, None, None, None, 0)
    scored = [np.array([index for _, index in of.items if index >= 0], np.int32) for _, _, of in filled]
    is_popular, explained = REGISTRY[name].source == "popularity", None
    if not is_popular:
        explained = explain_block(bundle.scorers[name], [user.query for user, _, _ in filled], scored)
    for place, (user, ranking, recommended) in enumerate(filled):
        logits = dict(zip(ranking.items.tolist(), ranking.logits.tolist(), strict=True))
        if explained is None:
            shown = {item: logits[item] for item in scored[place].tolist()}
            reasons = popular_reasons(winner, user, shown, bundle.items, None)
        else:
            reasons = history_reasons(user, explained[place])
        new = [item for item, index in recommended.items if index < 0]
        known = bundle.item_indices(new) if new else []
        unseen = {item for item, index in zip(new, known, strict=True) if index < 0}
        yield user, explained_items(winner, recommended, logits, reasons, unseen)
