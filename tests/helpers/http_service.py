"""The HTTP service in the process of a test: no socket, but every other part."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import httpx

from recsys.bridge.serving import Service
from recsys.service.app import make_app
from recsys.service.cache import Cache
from recsys.service.parts import Parts, with_recorded_events
from recsys.settings.service import read_service
from tests.helpers.tiny_shop import Published

ROOT = Path(__file__).resolve().parents[2]
KEY, ADMIN, SECRET = "k" * 32, "a" * 32, "s" * 32  # of the tests only


def shop_of(published: Published, folder: Path) -> Published:
    """Return a copy of a shop that a test may write to; its versions are the original's, which no test may change."""
    for path in published.folder.glob("shop.sqlite*"):
        shutil.copy(path, folder)
    (folder / "models").symlink_to(published.models_dir)
    return Published(folder, published.version)


class HttpService:
    """A service on the tiny shop, and a client of it."""

    def __init__(
        self,
        shop: Published,
        *,
        cache: Cache | None = None,
        client: tuple[str, int] = ("127.0.0.1", 1),
        **variables: str,
    ) -> None:
        self._runner = asyncio.Runner()
        service = Service(with_recorded_events(shop.settings), shop.load())
        self.parts = Parts(service, read_service(variables), root=ROOT, environ=shop.environ, cache=cache)
        transport = httpx.ASGITransport(app=make_app(self.parts), raise_app_exceptions=False, client=client)
        self._client = httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8001")

    def __enter__(self) -> HttpService:
        self._runner.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._runner.run(self._client.aclose())
        self._runner.run(self.parts.close())
        self._runner.__exit__(kind, error, trace)

    def ask(self, method: str, path: str, *, key: str | None = None, **options: Any) -> httpx.Response:
        """Send one request, and wait for what runs behind the answer."""
        return self.ask_all([(method, path, options)], key=key)[0]

    def ask_all(
        self, requests: list[tuple[str, str, Mapping[str, Any]]], *, key: str | None = None
    ) -> list[httpx.Response]:
        """Send requests at the same time, and wait for what runs behind the answers."""
        headers = {} if key is None else {"Authorization": f"Bearer {key}"}

        async def send() -> list[httpx.Response]:
            sent = [
                self._client.request(method, path, **{**options, "headers": {**headers, **options.get("headers", {})}})
                for method, path, options in requests
            ]
            answers = await asyncio.gather(*sent)
            await self.parts.answers.finish()
            return answers

        return self._runner.run(send())

    def ids(self, **spec: Any) -> list[int | str]:
        """Return the products of a list."""
        answer = self.ask("GET", "/recommendations", params=spec)
        assert answer.status_code == 200, answer.text
        return [product["id"] for product in answer.json()["recommendations"]]


def error_of(answer: httpx.Response) -> tuple[int, str]:
    """Return the status of an answer that failed and its code, after a look at its form."""
    document = answer.json()
    assert set(document) == {"ok", "error"} and document["ok"] is False
    assert set(document["error"]) <= {"code", "message", "field", "retryable"}
    return answer.status_code, document["error"]["code"]
