"""The routes: each reads a message, asks one use case, and writes one answer."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict
from typing import Any

import orjson
from fastapi import FastAPI, Request, Response
from pydantic import BaseModel

from recsys import store
from recsys.contract.response import as_line
from recsys.data.ids import canonical
from recsys.errors import RecsysError
from recsys.service import messages
from recsys.service.access import Caller
from recsys.service.arms import empty_list, served
from recsys.service.events import product_of
from recsys.service.failures import STATUSES, NotFound
from recsys.service.lists import BASKETS, RANKINGS, ListSpec
from recsys.service.messages import Join, Recommend, Track, read_body, read_query
from recsys.service.metrics import ALGORITHM
from recsys.service.parts import Parts, trained_at
from recsys.settings import NO_LISTS
from recsys.store import Database
from recsys.store.cards import product_cards
from recsys.tracking.preferences import preferences_of
from recsys.tracking.segments import segment_of_user

Handler = Callable[[Request], Awaitable[Response]]
OF_A_PRODUCT = ("product_page", *BASKETS)  # pages whose list depends on their product
JOB_STARTED = 202
NO_JSON, RUNS_ALREADY = 415, 409
FAILURES: dict[int | str, dict[str, Any]] = {
    status: {"model": messages.Failure, "description": "The request was not answered."}
    for status in sorted({status for _, status in STATUSES} - {405})
}


def add_routes(app: FastAPI, parts: Parts) -> None:
    """Add all routes to the application."""
    # They are tried in this order.
    for add in (_add_lists, _add_tracking, _add_open_routes, _add_older_names, _add_model, _add_computations):
        add(app, parts)


def _route(
    app: FastAPI,
    method: str,
    path: str,
    answer: type[BaseModel] | None,
    *,
    query: type[BaseModel] | None = None,
    body: type[BaseModel] | None = None,
    example: Mapping[str, Any] | None = None,
    status: int = 200,
) -> Callable[[Handler], Handler]:
    """Return the decorator of a route, which describes to OpenAPI what the route reads by itself.

    Args:
        app: The application.
        method: The method.
        path: The path; `{name}` is a part that the query's message has, too.
        answer: The answer's message; None for text.
        query: The message in the query.
        body: The message in the body.
        example: A request that tests send.
        status: The status of an answer.
    """
    extra: dict[str, Any] = {}
    if query is not None:
        extra["parameters"] = _parameters(query, path, example or {})
    if body is not None:
        content = {"schema": body.model_json_schema(by_alias=False), "example": example or {}}
        extra["requestBody"] = {"required": True, "content": {"application/json": content}}
    never = {NO_JSON} if body is None else set()
    never |= {RUNS_ALREADY} if status != JOB_STARTED else set()
    failures = {code: failure for code, failure in FAILURES.items() if code not in never}
    options: dict[str, Any] = {"openapi_extra": extra, "responses": failures, "status_code": status}
    if answer is None:
        options["response_class"] = Response
    else:
        options["response_model"] = answer
    return app.api_route(path, methods=[method], **options)


def _parameters(query: type[BaseModel], path: str, example: Mapping[str, Any]) -> list[dict[str, Any]]:
    schema = query.model_json_schema(by_alias=False)
    found = []
    for name, about in schema["properties"].items():
        in_path = f"{{{name}}}" in path
        parameter = {
            "name": name,
            "in": "path" if in_path else "query",
            "required": in_path or name in schema.get("required", ()),
            "schema": about,
        }
        if name in example:
            parameter["example"] = example[name]
        found.append(parameter)
    return found


def _add_open_routes(app: FastAPI, parts: Parts) -> None:
    @_route(app, "GET", "/health", messages.Healthy)
    async def health(request: Request) -> Response:
        """Say that the process answers."""
        return written({"status": "healthy", "service": "recommendation"})

    @_route(app, "GET", "/ready", messages.Readiness)
    async def ready(request: Request) -> Response:
        """Say whether the database and Redis answer, which version serves, and how old it is."""

        def look() -> tuple[bool, bool | None]:
            try:
                parts.threads.use(store.list_versions)
                database = True
            except RecsysError:
                database = False
            return database, parts.cache.is_up()

        database, redis = await parts.threads.run(look)
        document = {
            "ready": database,
            "database": database,
            "redis": redis,
            "version": parts.service.bundle.name,
            "model_age_days": round(parts.metrics.model_age_days(), 4),
        }
        return written(document, 200 if database else 503)

    @_route(app, "GET", "/metrics", None)
    async def metrics(request: Request) -> Response:
        """Return the figures of this process for Prometheus."""
        parts.access.check_metrics(request)
        return Response(parts.metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")


def _add_tracking(app: FastAPI, parts: Parts) -> None:
    example = {"user_id": 7, "product_id": 101, "interaction_type": "view", "event_id": "page-1-view"}

    @_route(app, "POST", "/track", messages.Tracked, body=Track, example=example)
    async def track(request: Request) -> Response:
        """Store one event, and answer after the commit."""
        caller = parts.access.caller(request)
        sent = await read_body(request, Track)
        recorded = await parts.events.track(_in_shops_type(parts, caller.named_user(sent.user_id)), sent)
        parts.metrics.events.labels(sent.interaction_type).inc()
        return written({"success": True, "interaction_id": recorded.interaction_id})

    example = {"user_id": 7, "guest_id": "guest_0123456789abcdef0123456789abcdef"}

    @_route(app, "POST", "/track/join", messages.Joined, body=Join, example=example)
    async def join(request: Request) -> Response:
        """Give what a guest did to the customer who has signed in; a repeat changes nothing."""
        caller = parts.access.caller(request)
        sent = await read_body(request, Join)
        user = _in_shops_type(parts, caller.named_user(sent.user_id))
        return written({"success": True, "events": await parts.events.join(sent.guest_id, user)})

    @_route(app, "GET", "/user/{user_id}/preferences", messages.UserPreferences, query=_OneUser, example={"user_id": 7})
    async def preferences(request: Request) -> Response:
        """Return what a customer prefers."""
        caller = parts.access.caller(request)
        message = read_query(request, _OneUser, user_id=request.path_params["user_id"])
        user = _in_shops_type(parts, caller.user(message.user_id))

        def read(db: Database) -> dict[str, Any]:
            return {"user_id": user, **asdict(preferences_of(db, user)), "segment": segment_of_user(db, user)}

        return written(await parts.threads.run(parts.threads.use, read))


def _add_lists(app: FastAPI, parts: Parts) -> None:
    example = {"user_id": 7, "limit": 5}

    @_route(app, "GET", "/recommendations", messages.Recommendations, query=Recommend, example=example)
    async def recommendations(request: Request) -> Response:
        """Return a list of products, best first."""
        caller = parts.access.caller(request)
        return await answer(request, parts, caller, read_query(request, Recommend))

    @_route(app, "POST", "/recommendations", messages.Recommendations, body=Recommend, example=example)
    async def recommendations_by_post(request: Request) -> Response:
        """Return a list of products, best first."""
        caller = parts.access.caller(request)
        return await answer(request, parts, caller, await read_body(request, Recommend))

    @_route(
        app,
        "GET",
        "/api/v1/recommendations/similar",
        messages.Recommendations,
        query=messages.Similar,
        example={"product_id": 101, "limit": 5},
    )
    async def similar(request: Request) -> Response:
        """Return the products most similar to one, by the weights of the version that serves."""
        caller = parts.access.caller(request)
        message = read_query(request, messages.Similar)
        product = await parts.threads.run(parts.threads.use, lambda db: _product_of_shop(db, parts, message.product_id))
        spec = ListSpec(caller.only_user, "similar", "auto", product)
        return await _answered(request, parts, caller.only_user, spec, message.limit)


def _add_older_names(app: FastAPI, parts: Parts) -> None:
    listed = messages.Recommendations

    @_route(
        app,
        "GET",
        "/api/recommendations/similar/{product_id}",
        listed,
        query=messages.Similar,
        example={"product_id": 101, "limit": 5},
    )
    async def similar_by_path(request: Request) -> Response:
        """Return the list of a product's page."""
        caller = parts.access.caller(request)
        message = read_query(request, messages.Similar, product_id=request.path_params["product_id"])
        spec = Recommend(product_id=message.product_id, context="product_page", limit=message.limit)
        return await answer(request, parts, caller, spec)

    @_route(app, "GET", "/api/recommendations/popular", listed, query=messages.Limited, example={"limit": 5})
    async def popular(request: Request) -> Response:
        """Return what is popular, as a guest sees it."""
        parts.access.caller(request)
        message = read_query(request, messages.Limited)
        return await answer(request, parts, Caller(), Recommend(limit=message.limit))

    @_route(
        app, "GET", "/api/recommendations/user/{user_id}", listed, query=_UserList, example={"user_id": 7, "limit": 5}
    )
    async def of_user(request: Request) -> Response:
        """Return the list of a customer's home page."""
        caller = parts.access.caller(request)
        message = read_query(request, _UserList, user_id=request.path_params["user_id"])
        return await answer(request, parts, caller, Recommend(user_id=message.user_id, limit=message.limit))

    @_route(
        app,
        "POST",
        "/api/recommendations/user",
        listed,
        body=messages.Purchased,
        example={"user_id": 7, "purchased_products": [101, 104], "limit": 5},
    )
    async def of_purchases(request: Request) -> Response:
        """Return the list of a customer whose purchases the shop sends along."""
        caller = parts.access.caller(request)
        message = await read_body(request, messages.Purchased)
        user = _in_shops_type(parts, caller.user(message.user_id))
        bought = tuple(dict.fromkeys(message.purchased_products))
        spec = ListSpec(user, "homepage", "auto", None, bought)
        return await _answered(request, parts, user, spec, message.limit)


def _add_model(app: FastAPI, parts: Parts) -> None:
    @_route(app, "GET", "/model/info", messages.ModelInfo)
    async def model_info(request: Request) -> Response:
        """Describe the version that serves."""
        parts.access.caller(request)
        bundle, refused = parts.service.bundle, parts.versions.refused
        manifest = bundle.version.manifest
        document = {
            "version": bundle.name,
            "trained_at": trained_at(bundle.name),
            "data_until": bundle.data_until,
            "winner": bundle.priors.best,
            "scorers": list(bundle.scorers.names),
            "metrics": {name: dict(figures) for name, figures in bundle.offline.items()},
            "counts": {name: int(count) for name, count in manifest["counts"].items()},
            "refused": refused and refused.version,
        }
        return written(document)

    @_route(app, "POST", "/api/model/retrain", messages.Job, status=JOB_STARTED)
    async def retrain(request: Request) -> Response:
        """Start one training, unless one runs."""
        parts.access.admin(request)
        return written(asdict(await asyncio.to_thread(parts.jobs.start_training)), JOB_STARTED)

    @_route(app, "GET", "/jobs/{job_id}", messages.Job, query=_OneJob)
    async def job(request: Request) -> Response:
        """Return how a training or a computation stands."""
        parts.access.admin(request)
        found = parts.jobs.find(request.path_params["job_id"])
        if found is None:
            raise NotFound("There should be such a job. Received: an unknown id.")
        return written(asdict(found))

    @_route(app, "GET", "/analytics", messages.Outcomes)
    async def analytics(request: Request) -> Response:
        """Return what came of recommendations by algorithm and position, what they have sold, and both arms."""
        parts.access.admin(request)
        return written(await parts.threads.run(parts.figures))


def _add_computations(app: FastAPI, parts: Parts) -> None:
    @_route(app, "POST", "/compute/similarities", messages.Job, status=JOB_STARTED)
    async def similarities(request: Request) -> Response:
        """Write the version's similarities, and what is bought together, into their tables."""
        parts.access.admin(request)
        bundle = parts.service.bundle
        return written(asdict(parts.jobs.start("similarities", lambda: parts.export(bundle))), JOB_STARTED)

    @_route(app, "POST", "/compute/user-preferences", messages.Job, status=JOB_STARTED)
    async def user_preferences(request: Request) -> Response:
        """Fold the events of all customers who have had some since."""
        parts.access.admin(request)
        return written(asdict(parts.jobs.start("user-preferences", parts.events.refresh_all)), JOB_STARTED)


class _OneUser(messages.Message):
    """A question for one customer."""

    user_id: messages.Id


class _UserList(_OneUser, messages.Limited):
    """A question for one customer's list."""


class _OneJob(messages.Message):
    """A question for one job."""

    job_id: messages.Text


async def answer(request: Request, parts: Parts, caller: Caller, message: Recommend) -> Response:
    """Answer a question for a list.

    Args:
        request: The request.
        parts: The application's parts.
        caller: Who asks.
        message: The question.
    """
    user = _in_shops_type(parts, caller.user(message.user_id))
    if message.context in RANKINGS:
        return await _answered(request, parts, user, ListSpec(None, message.context, "auto", None), message.limit)
    product = None
    if message.context in OF_A_PRODUCT:
        names = message.product_id, message.product_handle
        if message.product_id is None and message.product_handle is not None:
            product = await parts.threads.run(parts.threads.use, lambda db: product_of(db, parts.service, *names))
        elif message.product_id is not None:
            product = canonical(message.product_id, parts.service.bundle.item_kind)
    spec = ListSpec(user, message.context, message.model, product)
    return await _answered(request, parts, user, spec, message.limit)


async def _answered(request: Request, parts: Parts, user: int | str | None, spec: ListSpec, limit: int) -> Response:
    """Answer with a list as the customer's arm has it, and write down behind the answer that they have entered."""
    arm = parts.arms.of(user)
    if arm is not None and user is not None and parts.arms.is_new(user):
        parts.answers.later(parts.arms.enter(user))
    named = {"arm": None if arm is None else arm.name}
    if arm is not None and arm.model == NO_LISTS:
        request.scope[ALGORITHM] = NO_LISTS
        return written({**empty_list(), **named})
    found = await parts.answers.answer(*served(spec, limit, arm))
    request.scope[ALGORITHM] = found.algorithm
    is_personal = spec.user is not None or spec.product is not None
    parts.metrics.count_list(found.algorithm, found.place, is_personal=is_personal)
    return written({**found.document, **named})


def _product_of_shop(db: Database, parts: Parts, message: int | str) -> int | str:
    """Return a product of the shop, whether the version knows it or not.

    Raises:
        NotFound: The shop does not have it.
    """
    product = canonical(message, parts.service.bundle.item_kind)
    if product is None or not product_cards(db, parts.service.settings.shop, [product]):
        raise NotFound("`product_id` should be a product of the shop. Received: another one.")
    return product


def _in_shops_type(parts: Parts, user: Any) -> Any:
    """Return a user's id in the shop's type; one that the shop cannot have is nobody that is known."""
    if user is None:
        return None
    known = canonical(user, parts.service.bundle.user_kind)
    return user if known is None else known


def written(document: dict[str, Any], status: int = 200) -> Response:
    """Return an answer; whole numbers that JavaScript would round become text."""
    try:
        data = orjson.dumps(document, option=orjson.OPT_STRICT_INTEGER)
    except orjson.JSONEncodeError:
        data = as_line(document)
    return Response(data, status, media_type="application/json")
