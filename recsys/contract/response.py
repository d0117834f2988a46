"""Responses: their types, and `success` and `failure`, which write them as one line of ASCII."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import field
from math import isfinite
from typing import Any, Literal, NamedTuple

import orjson

from recsys.contract.checks import MAX_WHOLE, Id
from recsys.errors import InternalError, RecsysError
from recsys.errors.records import Record

PROTOCOL: Literal[1] = 1

Source = Literal["model", "fold_in", "item_cf", "popularity", "together", "trending", "again"]
Basis = Literal["fresh", "heldout", "offline"]
ReasonCode = Literal["viewed", "cart", "bought", "similar", "together", "again", "popular", "new"]

DELETE = b"\x7f"  # the only character of ASCII that orjson writes as it is and the standard library escapes


class Reason(NamedTuple):
    """The explanation of a recommended item.

    Attributes:
        code: What the user did with `item_id`: `viewed`, `cart` or `bought`; `similar` to `item_id`, an item of the
            request, or bought `together` with it; `again`, because the user bought it before and may need it again;
            `popular` now; or `new`, which no model knows yet.
        item_id: Another item; without it the recommended item's score would be lower.
        category: The category that the popular item was chosen from; None for all categories.
    """

    code: ReasonCode
    item_id: Id | None = None
    category: str | None = None


class Item(NamedTuple):
    """One recommended product.

    Attributes:
        product_id: The product's id, in the shop's type.
        score: From 0 to 1; higher is better. Comparable only within one answer.
        reason: The explanation, where one was found.
    """

    product_id: Id
    score: float
    reason: Reason | None = None


class Metrics(NamedTuple):
    """How well a model ranks, on the basis that its run names.

    Attributes:
        precision10: Precision@10, 0 to 1.
        map10: MAP@10, 0 to 1.
    """

    precision10: float
    map10: float


class Run(NamedTuple):
    """The list of one model for the request.

    Attributes:
        model: The registry name.
        items: The model's best available items, best first.
        metrics: How well the model ranks; None where the run failed or no metrics are known.
        basis: Where the metrics come from: events since training, the user's held-out events, or the version's report.
        error: What went wrong, where the run failed.
    """

    model: str
    items: tuple[Id, ...] = ()
    metrics: Metrics | None = None
    basis: Basis | None = None
    error: str | None = None


class Response(Record):
    """One answer to an operation that asks for items.

    Attributes:
        user_id: The user's id in the shop's type; None for a guest.
        model: The registry name of the winner; `together`, `trending` or `again` where these begin the list.
        model_version: The version that answered.
        items: The recommended products, best first.
        runs: The four models, plus the winner where a baseline wins; none of `together`, `trending` and `again`.
        source: The kind of scorer that the items come from.
        context: The context features that were used, and their values; None for unknown.
        warnings: What was ignored or left out, and why; for people.
        ms: Milliseconds from the request's arrival to this answer.
        id: The request's id.
    """

    user_id: Id | None
    model: str
    model_version: str
    items: tuple[Item, ...]
    runs: tuple[Run, ...]
    source: Source
    context: Mapping[str, str | None] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    ms: float = 0.0
    id: Id | None = None


def success(response: Response) -> bytes:
    """Return an answer as one line.

    Raises:
        InternalError: A number of the answer is not finite.
    """
    if not isfinite(response.ms):
        raise _not_finite("ms", response.ms)
    document: dict[str, Any] = {
        "ok": True,
        "user_id": response.user_id,
        "model": response.model,
        "model_version": response.model_version,
        "items": _items(response.items),
        "runs": _runs(response.runs),
        "source": response.source,
        "context": dict(response.context),
        "warnings": response.warnings,
        "ms": float(response.ms),
    }
    return as_line(document, response.id)


def failure(error: RecsysError, *, id: Id | None = None) -> bytes:
    """Return a failure as one line.

    Args:
        error: The failure.
        id: The request's id, where it had one.
    """
    document: dict[str, Any] = {"code": error.code, "message": str(error)}
    if error.field is not None:
        document["field"] = error.field
    document["retryable"] = error.retryable
    return as_line({"ok": False, "error": document}, id)


def _items(items: Sequence[Item]) -> list[dict[str, Any]]:
    documents = []
    for item in items:
        if not isfinite(item.score):
            raise _not_finite("score", item.score)
        document: dict[str, Any] = {"productId": item.product_id, "score": float(item.score)}
        if reason := item.reason:
            document["reason"] = {name: value for name, value in reason._asdict().items() if value is not None}
        documents.append(document)
    return documents


def _runs(runs: Sequence[Run]) -> list[dict[str, Any]]:
    documents = []
    for run in runs:
        document: dict[str, Any] = {"model": run.model, "items": run.items, "metrics": None, "basis": run.basis}
        if metrics := run.metrics:
            if not isfinite(metrics.precision10 + metrics.map10):
                raise _not_finite("metrics", metrics)
            document["metrics"] = {"precision10": float(metrics.precision10), "map10": float(metrics.map10)}
        if run.error is not None:
            document["error"] = run.error
        documents.append(document)
    return documents


def _not_finite(name: str, value: object) -> InternalError:
    return InternalError(f"`{name}` should be finite. Received: {value}.")


def as_line(document: dict[str, Any], id: Id | None = None) -> bytes:
    """Return a document as one line of ASCII, with the request's `id` where it had one.

    Whole numbers that JavaScript would round are written as text, NumPy's integers as plain ones.
    """
    if id is not None:
        document["id"] = id
    with suppress(orjson.JSONEncodeError):  # a whole number of NumPy or beyond ±MAX_WHOLE, or a lone surrogate
        line = orjson.dumps(document, option=orjson.OPT_STRICT_INTEGER | orjson.OPT_APPEND_NEWLINE)
        if line.isascii() and DELETE not in line:
            return line
    return json.dumps(_exact(document), allow_nan=False, separators=(",", ":")).encode("ascii") + b"\n"


def _exact(value: Any) -> Any:
    """Return a value of JSON with each whole number as JavaScript keeps it exactly."""
    if isinstance(value, dict):
        return {name: _exact(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_exact(inner) for inner in value]
    if value is None or isinstance(value, str | float | bool):
        return value
    number = int(value)
    return number if abs(number) <= MAX_WHOLE else str(number)
