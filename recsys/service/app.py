"""The application: its routes, and the boundary at which every failure becomes one JSON error."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, MutableMapping
from functools import partial
from typing import Any

from fastapi import FastAPI, Request, Response
from starlette.exceptions import HTTPException
from starlette.routing import Match, Route

from recsys.bridge import error_boundary
from recsys.errors import RecsysError
from recsys.service.failures import NotAllowedHere, NotFound, answer_of
from recsys.service.metrics import ALGORITHM, OTHER, Metrics
from recsys.service.parts import Parts
from recsys.service.routes import add_routes

VERSION = "1"  # of the contract, which only grows
NO_SUCH = "There should be such a route. Received: another one; /openapi.json has all."

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Asgi = Callable[[Scope, Receive, Send], Awaitable[None]]


class Boundary:
    """The outermost part of the application: failures that nobody expected, and the figures of every answer.

    It is no `BaseHTTPMiddleware`, behind which a route could not see that its client has gone.
    """

    def __init__(self, app: Asgi, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, status = time.perf_counter(), 0

        async def sending(message: MutableMapping[str, Any]) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, sending)
        except Exception as error:
            failure = error_boundary.run(partial(_raise, error))
            if status:  # the answer has begun: the server closes the connection
                raise
            assert isinstance(failure, RecsysError)
            await answer_of(failure)(scope, receive, sending)
        finally:
            route = getattr(scope.get("route"), "path", OTHER)
            self._metrics.count_answer(route, status, scope.get(ALGORITHM, ""), time.perf_counter() - began)


def make_app(parts: Parts | None = None) -> FastAPI:
    """Return the application.

    Args:
        parts: What its routes use; the caller starts and closes them. None where only its OpenAPI document is wanted.
    """
    app = FastAPI(
        title="recsys",
        version=VERSION,
        summary="Recommendations and tracking over HTTP.",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    if parts is None:
        parts = Parts.__new__(Parts)
    else:
        app.add_middleware(Boundary, metrics=parts.metrics)
    app.add_exception_handler(RecsysError, _failed)
    app.add_exception_handler(HTTPException, _no_route)
    add_routes(app, parts)
    return app


def _raise(error: Exception) -> None:
    raise error


async def _failed(request: Request, error: Exception) -> Response:
    """Answer a failure of the project; of others the boundary writes the traceback."""
    assert isinstance(error, RecsysError)
    return answer_of(error)


async def _no_route(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code == 405:
        answer = answer_of(NotAllowedHere("The route should be asked by another method; /openapi.json has all."))
        answer.headers["Allow"] = ", ".join(sorted(_allowed(request)))
        return answer
    return answer_of(NotFound(NO_SUCH))


def _allowed(request: Request) -> set[str]:
    """Return the methods of a path; Starlette itself names those of the path's first route only."""
    routes = (route for route in request.app.routes if isinstance(route, Route))
    return set().union(*(route.methods or () for route in routes if route.matches(request.scope)[0] is not Match.NONE))
