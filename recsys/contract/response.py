"""Responses: their types, and `success` and `failure`, which write them as one line of ASCII."""

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
    """The explanation of a recommended item.

    Attributes:
        code: The kind of reason.
        item_id: An item of the user's history; without it the recommended item's score would be lower.
    """

    code: str
    item_id: Id | None = None


@dataclass(frozen=True)
class Item:
    """One recommended product.

    Attributes:
        product_id: The product's id, in the shop's type.
        score: From 0 to 1; higher is better. Comparable only within one answer.
        reason: The explanation, where one was found.
    """

    product_id: Id
    score: float
    reason: Reason | None = None


@dataclass(frozen=True)
class Metrics:
    """How well a model ranks, on the basis that its run names.

    Attributes:
        precision10: Precision@10, 0 to 1.
        map10: MAP@10, 0 to 1.
    """

    precision10: float
    map10: float


@dataclass(frozen=True)
class Run:
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


@dataclass(frozen=True)
class Response:
    """One answer to `recommend` or `similar`.

    Attributes:
        user_id: The user's id in the shop's type; None for a guest.
        model: The registry name of the winner.
        model_version: The version that answered.
        items: The recommended products, best first.
        runs: The four models, plus the winner where a baseline wins.
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
    """Return a failure as one line.

    Args:
        error: The failure.
        id: The request's id, where it had one.
    """
    document: dict[str, object] = {"code": error.code, "message": str(error)}
    if error.field is not None:
        document["field"] = error.field
    document["retryable"] = error.retryable
    return as_line({"ok": False, "error": document}, id)


def _item(item: Item) -> dict[str, object]:
    document: dict[str, object] = {"productId": _id(item.product_id), "score": _finite("score", item.score)}
    if item.reason is not None:
        cause = {} if item.reason.item_id is None else {"item_id": _id(item.reason.item_id)}
        document["reason"] = {"code": item.reason.code, **cause}
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
    """Return an id for JSON: NumPy's integers as plain ones, and as text those that JavaScript would round."""
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
