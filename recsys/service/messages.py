"""What clients send and get over HTTP: strict models, from which OpenAPI is generated, and the readers of requests."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, TypeVar

import orjson
from fastapi import Request
from pydantic import AfterValidator, AliasChoices, BaseModel, ConfigDict, Field, ValidationError, model_validator

from recsys.contract.checks import MAX_BYTES, MAX_TEXT_BYTES, MAX_WHOLE, identifier, read_document
from recsys.contract.checks import text as check_text
from recsys.contract.response import ReasonCode
from recsys.errors import InvalidRequest, TooLarge
from recsys.errors.wording import shown
from recsys.scorers.registry import REGISTRY
from recsys.service.failures import UnsupportedType
from recsys.tracking.record import MAX_EVENT_ID, MAX_POSITION
from recsys.tracking.sales import SalesReport

MOST_METADATA = 4096  # bytes of an event's metadata as JSON
DEFAULT_LIMIT = 12
JSON_TYPE = re.compile(r"application/(?:[\w.-]+\+)?json", re.IGNORECASE)
WHOLE = re.compile(r"0|-?[1-9][0-9]{0,15}")
MODELS = {name.casefold(): name for name in ("auto", *REGISTRY)}

EventType = Literal[
    "view", "add_to_cart", "purchase", "wishlist", "remove_from_wishlist", "search", "impression", "click"
]
Ranking = Literal["top_selling", "most_viewed", "most_wishlisted", "trending"]
Context = Literal["homepage", "product_page", "cart", "checkout", "again", Ranking]


def _id(value: int | str) -> int | str:
    return _checked(identifier, value)  # type: ignore[no-any-return]


def _text(value: str) -> str:
    return _checked(check_text, value)  # type: ignore[no-any-return]


def _checked(check: Any, value: object) -> Any:
    """Return what a check of the wire contract returns; pydantic wants a ValueError for what it refuses."""
    try:
        return check(value, "value")
    except InvalidRequest as error:
        raise ValueError(str(error).removeprefix("`value` should ")) from None


def _model(value: str) -> str:
    if (name := MODELS.get(value.casefold())) is None:
        raise ValueError(f"be one of {', '.join(MODELS.values())}. Received: {shown(value)}.")
    return name


Id = Annotated[
    Annotated[int, Field(ge=-MAX_WHOLE, le=MAX_WHOLE)] | Annotated[str, Field(min_length=1, max_length=MAX_TEXT_BYTES)],
    AfterValidator(_id),
]
Text = Annotated[str, Field(min_length=1, max_length=MAX_TEXT_BYTES), AfterValidator(_text)]
ShortText = Annotated[str, Field(min_length=1, max_length=MAX_EVENT_ID), AfterValidator(_text)]


class Message(BaseModel):
    """The base of what clients send: no unknown field, no conversion of types."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Track(Message):
    """One event of a customer."""

    user_id: Id | None = Field(default=None, description="Whose event it is; a customer's token already says so.")
    session_id: Text | None = Field(default=None, description="The visit that it belongs to.")
    product_id: Id | None = Field(default=None, description="The product; a search has none.")
    product_handle: Text | None = Field(default=None, description="The product by the name in its page's address.")
    interaction_type: EventType
    metadata: dict[str, Any] | None = Field(default=None, description=f"At most {MOST_METADATA} bytes as JSON.")
    event_id: ShortText | None = Field(default=None, description="The sender's id of the event; it is stored once.")
    recommendation_id: ShortText | None = Field(default=None, description="The answer that showed the product.")
    position: int | None = Field(
        default=None, ge=1, le=MAX_POSITION, description="The product's place in that answer, from 1."
    )

    @model_validator(mode="after")
    def _names_a_product(self) -> Track:
        has_product = self.product_id is not None or self.product_handle is not None
        if not has_product and self.interaction_type != "search":
            raise ValueError("`product_id` or `product_handle` should be given. Received: neither.")
        if self.metadata is not None and len(orjson.dumps(self.metadata)) > MOST_METADATA:
            raise ValueError(f"`metadata` should have at most {MOST_METADATA} bytes as JSON. Received: more.")
        return self


class Join(Message):
    """A guest who has signed in."""

    guest_id: Text = Field(description="The guest's id in earlier events; it begins with guest_.")
    user_id: Id | None = Field(default=None, description="The customer; a customer's token already says so.")


class Recommend(Message):
    """A question for a list."""

    user_id: Id | None = Field(
        default=None, validation_alias=AliasChoices("user_id", "userId"), description="For whom; without it, a guest."
    )
    session_id: Text | None = Field(default=None, description="The visit; it does not change the list.")
    product_id: Id | None = Field(default=None, description="The product of the page.")
    product_handle: Text | None = Field(default=None, description="The same by the name in its page's address.")
    context: Context = Field(default="homepage", description="Where the list is shown.")
    limit: int = Field(default=DEFAULT_LIMIT, ge=1, le=100)
    model: Annotated[str, AfterValidator(_model)] = Field(default="auto", description="A scorer; auto chooses.")


class Similar(Message):
    """A question for the items most similar to a product."""

    product_id: Id
    limit: int = Field(default=DEFAULT_LIMIT, ge=1, le=100)


class Purchased(Message):
    """A question for a customer whose purchases the shop sends along."""

    user_id: Id | None = None
    purchased_products: Annotated[list[Id], Field(max_length=500)] = Field(default_factory=list)
    limit: int = Field(default=DEFAULT_LIMIT, ge=1, le=100)


class Limited(Message):
    """A question with nothing but a length."""

    limit: int = Field(default=DEFAULT_LIMIT, ge=1, le=100)


class Nothing(Message):
    """A question without any field."""


class Tracked(BaseModel):
    """The event is stored."""

    success: Literal[True]
    interaction_id: str


class Joined(BaseModel):
    """The guest's events are the customer's."""

    success: Literal[True]
    events: int


class Why(BaseModel):
    """Why a product is in the list."""

    code: ReasonCode
    item_id: int | str | None = None
    category: str | None = None


class Recommendation(BaseModel):
    """A product of a list, as the shop has it now."""

    id: int | str
    handle: str | None
    title: str | None
    thumbnail: str | None
    price: float | None
    currency: str | None
    score: float
    reason: Why | None


class Recommendations(BaseModel):
    """A list, best first."""

    recommendations: list[Recommendation]
    algorithm: str
    cached: bool
    recommendation_id: str
    arm: str | None = Field(description="The customer's arm of the experiment; null outside of it.")


class UserPreferences(BaseModel):
    """What a customer prefers, as of their last events."""

    user_id: int | str
    categories: dict[str, float]
    brands: dict[str, float]
    price_min: float | None
    price_max: float | None
    segment: str


class Job(BaseModel):
    """A training or a computation that was started."""

    job_id: str
    kind: Literal["training", "similarities", "user-preferences"]
    status: Literal["running", "done", "failed"]
    message: str


class Healthy(BaseModel):
    """The process answers."""

    status: Literal["healthy"]
    service: Literal["recommendation"]


class Readiness(BaseModel):
    """Whether lists can be answered, and from what."""

    ready: bool
    database: bool
    redis: bool | None
    version: str
    model_age_days: float


class ModelInfo(BaseModel):
    """The version that serves."""

    version: str
    trained_at: int
    data_until: int
    winner: str
    scorers: list[str]
    metrics: dict[str, dict[str, float]]
    counts: dict[str, int]
    refused: str | None


class Outcome(BaseModel):
    """What came of an algorithm's recommendations at one position."""

    algorithm: str
    position: int
    impressions: int
    clicks: int
    carts: int
    purchases: int


class Outcomes(BaseModel):
    """What came of all recommendations, and what they have sold."""

    outcomes: list[Outcome]
    sales: SalesReport | None = Field(
        description="Null where there are too many impressions and clicks; scripts/experiment.py makes the report then."
    )


class ErrorDetail(BaseModel):
    """What is wrong, and whether the same request may succeed later."""

    code: str
    message: str
    field: str | None = None
    retryable: bool


class Failure(BaseModel):
    """A request that was not answered."""

    ok: Literal[False]
    error: ErrorDetail


M = TypeVar("M", bound=Message)


async def read_body(request: Request, kind: type[M]) -> M:
    """Return the checked body of a request.

    Args:
        request: The request.
        kind: What it should hold.

    Raises:
        InvalidJson: It is not one JSON object.
        InvalidRequest: A field is unknown, missing or invalid.
        TooLarge: It has more than 1 MiB.
        UnsupportedType: It is not sent as JSON.
    """
    given = request.headers.get("content-type", "").partition(";")[0].strip()
    if not JSON_TYPE.fullmatch(given):
        raise UnsupportedType(f"The body should be sent as application/json. Received: {shown(given, quotes=False)}.")
    parts: list[bytes] = []
    size = 0
    async for part in request.stream():
        size += len(part)
        if size > MAX_BYTES:
            raise TooLarge(f"The request should have at most {MAX_BYTES} bytes. Received: more.")
        parts.append(part)
    return checked(kind, read_document(b"".join(parts)))


def read_query(request: Request, kind: type[M], **more: object) -> M:
    """Return the checked query of a request.

    Args:
        request: The request; each name may come once.
        kind: What it should hold.
        more: Values that the path holds.

    Raises:
        InvalidRequest: A name is unknown, or comes twice, or a value is invalid.
    """
    pairs = request.query_params.multi_items()
    values: dict[str, object] = dict(pairs)
    if len(values) < len(pairs):
        raise InvalidRequest("Each name of the query should be given once. Received: one of them twice.")
    for name, value in pairs:
        if name in ("limit", "position") and WHOLE.fullmatch(value):
            values[name] = int(value)
    return checked(kind, {**values, **more})


def checked(kind: type[M], values: Mapping[str, object]) -> M:
    """Return a message with checked values.

    Raises:
        InvalidRequest: The first value that is not what it should be.
    """
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        raise _refusal(error.errors(include_url=False)) from None


def _refusal(errors: Sequence[Any]) -> InvalidRequest:
    """Return what is wrong in the words of the wire contract."""
    first = errors[0]
    places = [str(part) for part in first["loc"] if not str(part).startswith(("function-", "constrained-"))]
    field = places[0] if places else None
    name = shown(field, quotes=False) if field else ""
    if first["type"] == "extra_forbidden":
        return InvalidRequest(f"`{name}` should be no field. Received: an unknown field.", field=name)
    if first["type"] == "missing":
        return InvalidRequest(f"`{name}` should be given. Received: nothing.", field=name)
    if first["type"] == "value_error":
        message = str(first["ctx"]["error"])
        return InvalidRequest(message if message.startswith("`") else f"`{name}` should {message}", field=name or None)
    received = first.get("input")
    return InvalidRequest(
        f"`{name}` is refused: {first['msg'].removeprefix('Input ').lower()}. Received: {_shown(received)}.", field=name
    )


def _shown(value: object) -> str:
    if isinstance(value, list | dict):
        return f"{'a list' if isinstance(value, list) else 'an object'} of {len(value)}"
    return shown(value)
