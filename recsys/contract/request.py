"""Requests: their types, and `parse_request`, which reads one from bytes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field
from functools import lru_cache
from typing import Literal

from recsys.contract.checks import (
    Check,
    Choice,
    Id,
    Many,
    Whole,
    amount,
    flag,
    identifier,
    label,
    labels,
    members,
    read_document,
    refused,
    text,
)
from recsys.errors import InvalidRequest, RecsysError
from recsys.errors.records import Record

Op = Literal["recommend", "similar", "together", "trending", "again", "ping", "stats", "reload"]

ITEM_OPS = ("recommend", "similar", "together", "trending", "again")  # operations that are answered with items
RELATED_OPS = ("together", "trending", "again")  # those whose lists no model ranks

AUTO = "auto"
DEFAULT_LIMIT = 10
MAX_LIMIT = 100
MAX_BASKET = 50
REPEATS = ("allow", "hide")
MAX_BUDGET_MS = 600_000  # ten minutes: longer than any answer takes, and within the range of every clock
LAST_SECOND = 253_402_300_799  # the end of the year 9999; a timestamp in milliseconds is beyond it


class RecentEvent(Record):
    """An event that the database may not hold yet.

    Attributes:
        item_id: The item's id, as the client wrote it.
        event: The event's name, such as `view`.
        timestamp: Seconds since 1970 in UTC; None means now.
    """

    item_id: Id
    event: str
    timestamp: int | None = None


class Filters(Record):
    """Conditions on the items of an answer; None sets no condition.

    Attributes:
        category: The item's category, as text.
        brand: The item's brand, as text.
        price_min: The lowest price, 0 or more.
        price_max: The highest price, 0 or more and at least `price_min`.
        in_stock: True leaves out items that the shop does not sell now.
    """

    category: str | None = None
    brand: str | None = None
    price_min: float | None = None
    price_max: float | None = None
    in_stock: bool | None = None


class Request(Record):
    """One checked request.

    Attributes:
        op: The operation.
        user_id: The user's id, as the client wrote it; None for a guest.
        limit: The most items of the answer, 1 to 100.
        model: `auto`, or a name of the registry in its own spelling.
        context: Context features and their values; None is an unknown value.
        interactions: Events of this user that the database may not hold yet.
        ground_truth: Items chosen after the version's `data_until`.
        candidates: The only items that may be recommended; None allows all.
        exclude: Items that may not be recommended.
        filters: Conditions on the items of the answer.
        item_id: The item that `similar` starts from.
        item_ids: The items that `together` starts from, 1 to 50; None with other operations.
        complementary: Whether `together` leaves out items of the categories that the basket has.
        repeat: `allow` shows what the user has bought, `hide` never does; None leaves it to the shop's rule.
        id: An id that the client chooses, repeated in the answer.
        budget_ms: Milliseconds after which an answer is of no use; None waits.
        strict: Whether a user of whom nothing is known is a failure, instead of a list of what is popular now.
    """

    op: Op = "recommend"
    user_id: Id | None = None
    limit: int = DEFAULT_LIMIT
    model: str = AUTO
    context: Mapping[str, str | None] = field(default_factory=dict)
    interactions: tuple[RecentEvent, ...] = ()
    ground_truth: tuple[Id, ...] = ()
    candidates: tuple[Id, ...] | None = None
    exclude: tuple[Id, ...] = ()
    filters: Filters = Filters()
    item_id: Id | None = None
    item_ids: tuple[Id, ...] | None = None
    complementary: bool = False
    repeat: Literal["allow", "hide"] | None = None
    id: Id | None = None
    budget_ms: int | None = None
    strict: bool = False


def parse_request(data: bytes, *, models: Sequence[str], ops: Sequence[str] = ITEM_OPS) -> Request:
    """Return the request that one line of bytes holds.

    Args:
        data: One JSON object in UTF-8, its line end included.
        models: The names of the registry; upper and lower case are the same.
        ops: The operations that the process offers.

    Raises:
        InvalidJson: The bytes are not one JSON object.
        InvalidRequest: A field is unknown, missing or invalid; `field` has its path.
        TooLarge: A limit of the contract is exceeded.
    """
    request = Request(**members(read_document(data), request_checks(tuple(models), tuple(ops))))
    _check_subject(request)
    return request


def request_id(data: bytes) -> Id | None:
    """Return the `id` that a failure repeats, or None where the request holds no valid one."""
    try:
        value = read_document(data).get("id")
        return None if value is None else identifier(value, "id")
    except RecsysError:
        return None


def _check_subject(request: Request) -> None:
    """Refuse an operation without the item or items that it starts from, and items of another operation."""
    if request.op == "similar" and request.item_id is None:
        raise InvalidRequest("`item_id` should be given with `op` similar. Received: nothing.", field="item_id")
    if request.op in ITEM_OPS and request.op != "similar" and request.item_id is not None:
        raise refused("item_id", "given only with `op` similar", request.item_id)
    if request.op == "together" and request.item_ids is None:
        raise InvalidRequest("`item_ids` should be given with `op` together. Received: nothing.", field="item_ids")
    if request.op != "together" and request.item_ids is not None:
        raise refused("item_ids", "given only with `op` together", list(request.item_ids))
    if request.op != "together" and request.complementary:
        raise refused("complementary", "true only with `op` together", True)
    if request.op in RELATED_OPS and request.model != AUTO:
        raise refused("model", f"auto with `op` {request.op}, for which no model is chosen", request.model)


def recent_event(value: object, path: str) -> RecentEvent:
    """Return a checked event of the request."""
    checked = members(value, EVENT_CHECKS, path)
    for name in EVENT_REQUIRED:
        if name not in checked:
            raise InvalidRequest(f"`{path}.{name}` should be given. Received: nothing.", field=f"{path}.{name}")
    return RecentEvent(**checked)


def item_filters(value: object, path: str) -> Filters:
    """Return the checked filters of the request."""
    filters = Filters(**members(value, FILTER_CHECKS, path))
    if filters.price_min is not None and filters.price_max is not None and filters.price_max < filters.price_min:
        raise refused(f"{path}.price_max", "at least `price_min`", filters.price_max)
    return filters


@lru_cache(maxsize=8)
def request_checks(models: tuple[str, ...], ops: tuple[str, ...]) -> Mapping[str, Check]:
    """Return the check of every field of a request, as `parse_request` applies them."""
    return {
        "op": Choice(ops),
        "user_id": identifier,
        "limit": Whole(1, MAX_LIMIT),
        "model": Choice((AUTO, *models), any_case=True),
        "context": labels,
        "interactions": Many(recent_event),
        "ground_truth": Many(identifier),
        "candidates": Many(identifier),
        "exclude": Many(identifier),
        "filters": item_filters,
        "item_id": identifier,
        "item_ids": Many(identifier, 1, MAX_BASKET),
        "complementary": flag,
        "repeat": Choice(REPEATS),
        "id": identifier,
        "budget_ms": Whole(1, MAX_BUDGET_MS),
        "strict": flag,
    }


EVENT_REQUIRED = ("item_id", "event")
EVENT_CHECKS: Mapping[str, Check] = {"item_id": identifier, "event": text, "timestamp": Whole(0, LAST_SECOND)}
FILTER_CHECKS: Mapping[str, Check] = {
    "category": label,
    "brand": label,
    "price_min": amount,
    "price_max": amount,
    "in_stock": flag,
}
