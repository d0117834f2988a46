"""Answers with lists: kept ones or new ones, with what the shop says of their products at this moment."""

from __future__ import annotations

import asyncio
import base64
import threading
import time
from collections import OrderedDict
from collections.abc import Coroutine, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

from recsys.bridge.hot_swap import Versions
from recsys.bridge.serving import Service
from recsys.contract import Request
from recsys.errors import RecsysError
from recsys.recommending.loading import ModelBundle
from recsys.service.cache import MOST_USERS, TTL_S, Cache, Key
from recsys.service.lists import RANKINGS, Entry, KeptList, ListSpec, field_of, make_list
from recsys.service.rankings import Rankings
from recsys.service.threads import Gathered, SingleFlight, Threads
from recsys.store import Database
from recsys.store.cards import ProductCard, product_cards
from recsys.tracking.analytics import new_recommendation_id
from recsys.tracking.lists import forget_lists, read_list, write_list

SPARE = 8  # products looked up beyond the limit, because some may be sold out by now
REASON = ("code", "item_id", "category")
NOBODY = ""  # the user of lists that are the same for all

Cards = dict[int | str, ProductCard]


class Ask(NamedTuple):
    """A read for one answer.

    Attributes:
        key: The list; it is read from the cache unless it is given.
        limit: The length of the answer.
        given: A list that was just made.
    """

    key: Key
    limit: int
    given: KeptList | None = None


class Found(NamedTuple):
    """What was read for one answer.

    Attributes:
        kept: The list; None where none is kept, or where too many of its products are no longer sold.
        entries: As many of its entries as are sold now and were asked for, best first.
        cards: The cards of these products.
        stamp: Of the user's last event; None where nothing may be stored.
        is_stale: Whether a kept list was passed over, because too little of it is sold now.
    """

    kept: KeptList | None
    entries: tuple[Entry, ...]
    cards: Cards
    stamp: bytes | None = None
    is_stale: bool = False


class Made(NamedTuple):
    """A list that the cache did not have.

    Attributes:
        kept: The list.
        place: `table` or `made`.
        cards: The cards of its first products.
    """

    kept: KeptList
    place: str
    cards: Cards


class Answer(NamedTuple):
    """An answer and where it comes from.

    Attributes:
        document: The answer as JSON objects.
        algorithm: What ranked it.
        place: `cache`, `table` or `made`.
    """

    document: dict[str, Any]
    algorithm: str
    place: str


class Answers:
    """Answers questions for lists. The event loop owns it; what it reads and scores runs in threads."""

    def __init__(self, service: Service, versions: Versions, threads: Threads, cache: Cache) -> None:
        self._service = service
        self._rankings = Rankings(service.settings)
        self._versions = versions
        self._threads = threads
        self._cache = cache
        self._reads: Gathered[Ask, Found] = Gathered(threads, self._read)
        self._flights: SingleFlight[Key, Made] = SingleFlight()
        self._background: set[asyncio.Task[None]] = set()
        self._events: OrderedDict[str, int] = OrderedDict()  # how many events of each user this process has seen
        self._lock = threading.Lock()
        self._not_deleted: set[str] = set()  # users whose lists in the table could not be deleted yet

    async def answer(self, spec: ListSpec, limit: int) -> Answer:
        """Return a list of at most `limit` products that are sold now, best first.

        Raises:
            RecsysError: Neither a kept list nor a new one can be answered.
        """
        bundle = self._service.bundle
        key = Key(NOBODY if spec.user is None else str(spec.user), field_of(bundle.name, spec))
        if spec.bought:  # the shop alone knows of these purchases
            new = await self._threads.run(self._new, spec, bundle)
            return _answer(await self._reads.get(Ask(key, limit, new)), new, "made")
        ask = Ask(key, limit)
        found = await self._reads.get(ask)
        if found.kept is not None:
            return _answer(found, found.kept, "cache")
        made = await self._flights.run(key, lambda: self._make(ask, spec, bundle, found.stamp, fresh=found.is_stale))
        shown = _found(Ask(key, limit, made.kept), made.kept, made.cards)
        if shown.is_stale:  # another request's limit was shorter, or many of the products are sold out by now
            shown = await self._reads.get(Ask(key, limit, made.kept))
        if shown.is_stale and made.place == "table":
            made = await self._flights.run(key, lambda: self._make(ask, spec, bundle, found.stamp, fresh=True))
            shown = await self._reads.get(Ask(key, limit, made.kept))
        return _answer(shown, made.kept, made.place)

    def had_event(self, user: int | str) -> None:
        """Let requests from now on compute anew, because the user has had an event; the lists are deleted already."""
        self._flights.detach(lambda key: key.user == str(user))

    def forget(self, db: Database, user: int | str) -> None:
        """Delete a user's lists, in a thread, after an event was committed; a failure does not undo the event."""
        name = str(user)
        self._cache.forget(name)
        with self._lock:
            self._events[name] = self._events.pop(name, 0) + 1
            if len(self._events) > MOST_USERS:
                self._events.popitem(last=False)
        try:
            forget_lists(db, name)
        except RecsysError:
            self._not_deleted.add(name)

    def later(self, work: Coroutine[Any, Any, None]) -> None:
        """Run something behind the answers."""
        task = asyncio.ensure_future(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    async def finish(self) -> None:
        """Wait until what runs behind the answers is done."""
        while self._background:
            await asyncio.gather(*self._background, return_exceptions=True)

    def close(self) -> None:
        """Wait until no ranking is counted, and close its connection."""
        self._rankings.close()

    async def _make(self, ask: Ask, spec: ListSpec, bundle: ModelBundle, stamp: bytes | None, *, fresh: bool) -> Made:
        """Return a list of the table, or a new one; it is kept behind the answer."""
        n_events = self._events.get(ask.key.user, 0)
        made = await self._threads.run(self._table_or_new, ask, spec, bundle, fresh)
        if made.place == "made" and spec.context == "homepage":
            self._versions.answered(Request(user_id=spec.user, model=spec.model))
        if spec.context not in RANKINGS or made.kept.algorithm == spec.context:  # not what stands in for a ranking
            self.later(self._keep(ask.key, made, stamp, n_events))
        return made

    def _table_or_new(self, ask: Ask, spec: ListSpec, bundle: ModelBundle, fresh: bool) -> Made:
        key, shop = ask.key, self._service.settings.shop

        def work(db: Database) -> Made:
            if key.user in self._not_deleted:
                forget_lists(db, key.user)
                self._not_deleted.discard(key.user)
            entry = None if fresh else read_list(db, key.user, key.field, int(time.time()))
            kept, place = _of_table(entry), "table"
            if kept is None:
                kept, place = make_list(self._service, self._rankings, spec, bundle, db), "made"
            first = [item for item, _, _ in kept.entries[: ask.limit + SPARE]]
            return Made(kept, place, product_cards(db, shop, first))

        return self._threads.use(work)

    def _new(self, spec: ListSpec, bundle: ModelBundle) -> KeptList:
        return self._threads.use(lambda db: make_list(self._service, self._rankings, spec, bundle, db))

    async def _keep(self, key: Key, made: Made, stamp: bytes | None, n_events: int) -> None:
        with suppress(RecsysError):  # the next request makes the list again
            await self._threads.run(self._store, key, made, stamp, n_events)

    def _store(self, key: Key, made: Made, stamp: bytes | None, n_events: int) -> None:
        data = made.kept.to_bytes()
        if stamp is not None:
            self._cache.write(key, data, stamp)
        if made.place == "made":
            entry, until = base64.b64encode(data).decode(), int(time.time()) + TTL_S
            self._threads.use(lambda db: write_list(db, key.user, key.field, entry, until))
            # An event of the meantime has deleted the lists before this one was written, or is seen here.
            if self._events.get(key.user, 0) != n_events or self._cache.stamps([key.user])[0] != stamp:
                self._threads.use(lambda db: forget_lists(db, key.user))

    def _read(self, asks: Sequence[Ask]) -> list[Found]:
        """Read kept lists and the cards of their products, for several answers at once, in a thread."""
        wanted = [ask.key for ask in asks if ask.given is None]
        values = iter(self._cache.read(wanted) if wanted else ())
        lists = [ask.given or KeptList.from_bytes(next(values) or b"") for ask in asks]
        cards = self._cards(lists, [ask.limit + SPARE for ask in asks])
        found = [_found(ask, kept, cards) for ask, kept in zip(asks, lists, strict=True)]
        stale = [one.is_stale for one in found]
        if any(stale):  # what is kept for them may have others that are available
            whole = [kept if is_stale else None for kept, is_stale in zip(lists, stale, strict=True)]
            cards |= self._cards(whole, [len(kept.entries) if kept else 0 for kept in whole])
            found = [_found(ask, kept, cards) for ask, kept in zip(asks, lists, strict=True)]
        lacking = [place for place, one in enumerate(found) if one.kept is None]
        stamps = self._cache.stamps([asks[place].key.user for place in lacking]) if lacking else []
        for place, stamp in zip(lacking, stamps, strict=True):
            found[place] = found[place]._replace(stamp=stamp)
        return found

    def _cards(self, lists: Sequence[KeptList | None], depths: Sequence[int]) -> Cards:
        """Return the cards of the first products of some lists, in one statement."""
        ids = {
            entry[0]
            for kept, depth in zip(lists, depths, strict=True)
            if kept is not None
            for entry in kept.entries[:depth]
        }
        if not ids:
            return {}
        return self._threads.use(lambda db: product_cards(db, self._service.settings.shop, list(ids)))


def _of_table(entry: str | None) -> KeptList | None:
    """Return a list of the table; None where there is none that can be read."""
    try:
        return KeptList.from_bytes(base64.b64decode(entry)) if entry else None
    except ValueError:
        return None


def _answer(found: Found, kept: KeptList, place: str) -> Answer:
    document = {
        "recommendations": [_product(entry, found.cards[entry[0]]) for entry in found.entries],
        "algorithm": kept.algorithm,
        "cached": place == "cache",
        "recommendation_id": new_recommendation_id(kept.algorithm),
    }
    return Answer(document, kept.algorithm, place)


def _found(ask: Ask, kept: KeptList | None, cards: Cards) -> Found:
    if kept is None:
        return Found(None, (), {})
    entries = _sold(kept, cards, ask.limit)
    is_stale = len(entries) < min(ask.limit, len(kept.entries))
    return Found(None if is_stale and ask.given is None else kept, entries, cards, is_stale=is_stale)


def _sold(kept: KeptList, cards: Cards, limit: int) -> tuple[Entry, ...]:
    """Return the first entries whose products are sold now."""
    available: list[Entry] = []
    for entry in kept.entries:
        card = cards.get(entry[0])
        if card is not None and card.is_active:
            available.append(entry)
            if len(available) == limit:
                break
    return tuple(available)


def _product(entry: Entry, card: ProductCard) -> dict[str, Any]:
    item, score, reason = entry
    why = reason and {name: part for name, part in zip(REASON, reason, strict=True) if part is not None}
    return {
        "id": item,
        "handle": card.handle,
        "title": card.title,
        "thumbnail": card.thumbnail,
        "price": card.price,
        "currency": card.currency,
        "score": score,
        "reason": why,
    }
