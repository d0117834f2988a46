"""The wire contract (docs/PROTOCOL.md): bytes to frozen requests, frozen responses to bytes; no streams.

The messages of workers only are in `recsys.contract.worker_messages`, so that a one-shot process need not define them.
"""

from recsys.contract.checks import MAX_BYTES, MAX_DEPTH, MAX_LENGTH, MAX_TEXT_BYTES, MAX_WHOLE, Id
from recsys.contract.request import (
    AUTO,
    ITEM_OPS,
    RELATED_OPS,
    Filters,
    Op,
    RecentEvent,
    Request,
    parse_request,
    request_id,
)
from recsys.contract.response import (
    PROTOCOL,
    Basis,
    Item,
    Metrics,
    Reason,
    ReasonCode,
    Response,
    Run,
    Source,
    failure,
    success,
)

__all__ = [
    "AUTO",
    "ITEM_OPS",
    "MAX_BYTES",
    "MAX_DEPTH",
    "MAX_LENGTH",
    "MAX_TEXT_BYTES",
    "MAX_WHOLE",
    "PROTOCOL",
    "Basis",
    "Filters",
    "Id",
    "Item",
    "Metrics",
    "Op",
    "Reason",
    "ReasonCode",
    "RecentEvent",
    "RELATED_OPS",
    "Request",
    "Response",
    "Run",
    "Source",
    "failure",
    "parse_request",
    "request_id",
    "success",
]
