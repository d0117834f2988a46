"""What a client is told: the response's types, and the way from them to one line of ASCII."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from recsys.contract.fields import MAX_WHOLE, Id
from recsys.errors import InternalError, RecsysError

PROTOCOL: Literal[1] = 1

Source = Literal["model", "fold_in", "item_cf", "popularity"]
Basis = Literal["fresh", "heldout", "offline"]


@dataclass(frozen=True)
class Reason:
    """Why an item is answered.

    Attributes:
        code: The kind of reason.
        item_id: An item of the customer's history; without it the answered item's score would be lower.
    """

    code: str
    item_id: Id | None = None


@dataclass(frozen=True)
class Item:
    """One recommended product.

    Attributes:
        product_id: The product's id, in the shop's type.
        score: From 0 to 1; higher is better. Comparable only within one answer.
        reason: Why, where it is known to be true.
    """

    product_id: Id
    score: float
    reason: Reason | None = None


@dataclass(frozen=True)
class Metrics:
    """How well a model ranks, on the evidence of its run.

    Attributes:
        precision10: Precision@10, 0 to 1.
        map10: MAP@10, 0 to 1.
    """

    precision10: float
    map10: float


@dataclass(frozen=True)
class Run:
    """One model's own answer to the request.

    Attributes:
        model: The registry name.
        items: Its best items of those that may be answered, best first.
        metrics: Its quality; None where the run failed or nothing is known.
        basis: Where the metrics come from: events since training, the customer's held-out events, or the version's
            report.
        error: What went wrong, where the run failed.
    """

    model: str
    items: tuple[Id, ...] = ()
    metrics: Metrics | None = None
    basis: Basis | None = None
    error: str | None = None


@dataclass(frozen=True)
class Response:
    """One answer of the contract.

    Attributes:
        user_id: The customer in the shop's type; None for a guest.
        model: The registry name of the winner.
        model_version: The version that answered.
        items: The recommended products, best first.
        runs: The four models, plus the winner where a baseline wins.
        source: What kind of scorer the items come from.
        context: The context features that were used, and their values; None where unknown.
        warnings: What was ignored and why, for people.
        ms: Milliseconds from the request's arrival to this answer.
        id: The request's own mark.
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
    document: dict[str, object] = {
        "ok": True,
        "user_id": _id(response.user_id),
        "model": response.model,
        "model_version": response.model_version,
        "items": [_item(item) for item in response.items],
        "runs": [_run(run) for run in response.runs],
        "source": response.source,
        "context": dict(response.context),
        "warnings": list(response.warnings),
        "ms": _finite("ms", response.ms),
    }
    return as_line(document, response.id)


def failure(error: RecsysError, *, id: Id | None = None) -> bytes:
    """Return a failure as one line; the process leaves with `error.exit_status`."""
    told: dict[str, object] = {"code": error.code, "message": str(error)}
    if error.field is not None:
        told["field"] = error.field
    told["retryable"] = error.retryable
    return as_line({"ok": False, "error": told}, id)


def _item(item: Item) -> dict[str, object]:
    document: dict[str, object] = {"productId": _id(item.product_id), "score": _finite("score", item.score)}
    if item.reason is not None:
        named = {} if item.reason.item_id is None else {"item_id": _id(item.reason.item_id)}
        document["reason"] = {"code": item.reason.code, **named}
    return document


def _run(run: Run) -> dict[str, object]:
    metrics = run.metrics and {
        "precision10": _finite("precision10", run.metrics.precision10),
        "map10": _finite("map10", run.metrics.map10),
    }
    document: dict[str, object] = {
        "model": run.model,
        "items": [_id(item) for item in run.items],
        "metrics": metrics,
        "basis": run.basis,
    }
    return document if run.error is None else {**document, "error": run.error}


def _id(value: Id | None) -> Id | None:
    """Return an id as JSON carries it: NumPy's integers as plain ones, and as text what JavaScript would round."""
    if value is None or isinstance(value, str):
        return value
    number = int(value)
    return number if abs(number) <= MAX_WHOLE else str(number)


def _finite(name: str, value: float) -> float:
    if not math.isfinite(value):
        raise InternalError(f"`{name}` should be finite. Received: {value}.")
    return float(value)


def as_line(document: dict[str, object], id: Id | None = None) -> bytes:
    """Return a document as one line of ASCII, with the request's `id` where it had one."""
    if id is not None:
        document["id"] = _id(id)
    return _ENCODER.encode(document).encode("ascii") + b"\n"


_ENCODER = json.JSONEncoder(ensure_ascii=True, allow_nan=False, separators=(",", ":"))
