"""A list as it is kept: the ids of a hundred items with their scores and reasons, in few bytes, and how it is made."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Literal, NamedTuple, get_args

import orjson

from recsys.bridge.serving import Service
from recsys.contract import Reason, Request
from recsys.contract.request import MAX_LIMIT, RecentEvent
from recsys.data.ids import canonical
from recsys.errors import InternalError
from recsys.recommending.loading import ModelBundle
from recsys.service.messages import Ranking
from recsys.service.rankings import Rankings
from recsys.store import Database
from recsys.tracking.exports import similar_items

DECODED = 512  # lists, of some twenty kilobytes each: a visit asks for the same few again
SCORE_DIGITS = 6  # a list of a hundred then takes half the bytes
RANKINGS = get_args(Ranking)
SIMILAR = "similar"  # the list of exported similarities
AGAIN = "again"  # what the user bought before; it may be empty
TRENDING = "trending"  # the ranking that goes on with the trends of the version
BASKETS = ("cart", "checkout")  # pages where what is bought together comes first

Entry = tuple[int | str, float, tuple[str, int | str | None, str | None] | None]


class ListSpec(NamedTuple):
    """Which list is wanted, whatever its length.

    Attributes:
        user: The user's id; None for a guest.
        context: Where the list is shown.
        model: A scorer's name, or `auto`.
        product: The product of the page, in the shop's type; None without one.
        bought: Products that the shop says were bought; such a list is not kept.
        repeat: The repeat rule of the user's arm; None leaves it to the shop's.
        complementary: Whether a basket's list leaves out the categories that the basket has.
    """

    user: int | str | None
    context: str
    model: str
    product: int | str | None
    bought: tuple[int | str, ...] = ()
    repeat: Literal["allow", "hide"] | None = None
    complementary: bool = False


class KeptList(NamedTuple):
    """A list for as many items as may be asked for.

    Attributes:
        algorithm: What ranked it.
        entries: Item, score, and reason (code, item, category), best first.
    """

    algorithm: str
    entries: tuple[Entry, ...]

    def to_bytes(self) -> bytes:
        """Return the list as it is kept, column by column, because columns compress better."""
        items, scores, reasons = zip(*self.entries, strict=True) if self.entries else ((), (), ())
        return zlib.compress(orjson.dumps([self.algorithm, items, scores, reasons]))

    @staticmethod
    @lru_cache(maxsize=DECODED)
    def from_bytes(data: bytes) -> KeptList | None:
        """Return a kept list; None for what is none, as another program may write into Redis."""
        try:
            algorithm, items, scores, reasons = orjson.loads(zlib.decompress(data))
            return KeptList(algorithm, tuple(zip(items, scores, reasons, strict=True)))
        except (zlib.error, ValueError, TypeError):
            return None


def field_of(version: str, spec: ListSpec) -> str:
    """Return the name of a list among those of its user."""
    product = "" if spec.product is None else orjson.dumps(spec.product).decode()
    settings = (spec.repeat, "complementary" if spec.complementary else None)
    return "|".join([version, spec.model, spec.context, product, *(name for name in settings if name is not None)])


def make_list(service: Service, ranked_items: Rankings, spec: ListSpec, bundle: ModelBundle, db: Database) -> KeptList:
    """Return a new list; one of the use case in place of a ranking that is not counted yet.

    Args:
        service: The settings, and the use case that ranks.
        ranked_items: The shop's rankings.
        spec: Which list.
        bundle: The version that answers.
        db: The open database.

    Raises:
        RecsysError: See `recsys.recommending.recommend.recommend`.
    """
    if spec.context in RANKINGS:
        ranked = ranked_items.of(spec.context)  # type: ignore[arg-type] # one of RANKINGS
        if ranked is None:
            return _recommended(service, spec, bundle, db)
        counted = _of_version(bundle, ((item.item_id, item.score) for item in ranked))
        first: list[Entry] = [(item, _share(score), ("popular", None, None)) for item, score in counted]
        return _filled(spec.context, first, lambda: _recommended(service, spec, bundle, db))
    if spec.context == SIMILAR and spec.product is not None:
        found = similar_items(db, spec.product, MAX_LIMIT)
        alike = _of_version(bundle, ((item.item_id, item.score) for item in found))
        first = [(item, _share(score), (SIMILAR, spec.product, None)) for item, score in alike]
        return _filled("similarities", first, lambda: _recommended(service, spec, bundle, db))
    return _recommended(service, spec, bundle, db)


def _recommended(service: Service, spec: ListSpec, bundle: ModelBundle, db: Database) -> KeptList:
    """Return the list of the use case."""
    response = service.answer(_request(service, spec), bundle, db, None)
    return KeptList(
        response.model,
        tuple((item.product_id, _rounded(item.score), _entry_reason(item.reason)) for item in response.items),
    )


def _request(service: Service, spec: ListSpec) -> Request:
    """Return the request of the contract that a list is the answer to, or that goes on with it."""
    product, request = spec.product, Request(user_id=spec.user, limit=MAX_LIMIT, repeat=spec.repeat)
    if spec.context in (AGAIN, TRENDING):
        return replace(request, op="again" if spec.context == AGAIN else "trending")
    if spec.context in BASKETS and product is not None:
        return replace(request, op="together", item_ids=(product,), complementary=spec.complementary)
    if product is not None and spec.context not in RANKINGS:
        return replace(request, op="similar", model=spec.model, item_id=product)
    bought = tuple(RecentEvent(item, service.settings.shop.purchase_events[0]) for item in spec.bought)
    return replace(request, model=spec.model, interactions=bought)


def _filled(algorithm: str, first: Sequence[Entry], fill: Callable[[], KeptList]) -> KeptList:
    """Return a list that goes on with the use case's list; no score behind rises above one before."""
    shown = {item for item, _, _ in first}
    least = min((score for _, score, _ in first), default=1.0)
    rest = [(item, min(score, least), reason) for item, score, reason in fill().entries if item not in shown]
    entries = [(item, _rounded(score), reason) for item, score, reason in (*first, *rest)]
    return KeptList(algorithm, tuple(entries[:MAX_LIMIT]))


def _of_version(bundle: ModelBundle, pairs: Iterable[tuple[int | str, float]]) -> list[tuple[int | str, float]]:
    """Return items of our tables, which hold ids as text, in the shop's type; each once."""
    found: dict[int | str, float] = {}
    for written, score in pairs:
        item = canonical(written, bundle.item_kind)
        if item is not None:
            found.setdefault(item, score)
    return list(found.items())


def _entry_reason(reason: Reason | None) -> tuple[str, int | str | None, str | None] | None:
    return None if reason is None else (reason.code, reason.item_id, reason.category)


def _share(count: float) -> float:
    """Return a count above 0 on a scale from 0 to 1, as `recommend` does."""
    return count / (1 + count)


def _rounded(score: float) -> float:
    """Return a score with few digits.

    Raises:
        InternalError: It is not finite.
    """
    if not abs(score) < float("inf"):
        raise InternalError(f"`score` should be finite. Received: {score}.")
    return round(score, SCORE_DIGITS)
