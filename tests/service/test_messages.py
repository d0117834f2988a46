"""Bad input: one JSON error with the right status, and nothing half stored."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from recsys.contract import MAX_BYTES
from recsys.store import connect
from tests.helpers.http_service import HttpService, error_of, shop_of
from tests.helpers.tiny_shop import Published, count

GOOD = {"user_id": 7, "product_id": 101, "interaction_type": "view"}


@pytest.fixture(scope="module")
def shop(published: Published, tmp_path_factory: pytest.TempPathFactory) -> Published:
    return shop_of(published, tmp_path_factory.mktemp("messages"))


@pytest.fixture(scope="module")
def service(shop: Published) -> Iterator[HttpService]:
    with HttpService(shop) as service:
        yield service


def as_json(**changed: Any) -> bytes:
    return json.dumps({name: value for name, value in {**GOOD, **changed}.items() if value != "-"}).encode()


@pytest.mark.parametrize(
    ("body", "status", "code", "field"),
    [
        (b"", 400, "invalid_json", None),
        (b"{", 400, "invalid_json", None),
        (b"[]", 400, "invalid_json", None),
        (b"null", 400, "invalid_json", None),
        (b'"7"', 400, "invalid_json", None),
        (b"\xff{}", 400, "invalid_json", None),
        (b'{"user_id": NaN}', 400, "invalid_json", None),
        (b'{"user_id": Infinity}', 400, "invalid_json", None),
        (b'{"user_id": 1e999}', 400, "invalid_request", None),
        (b'{"user_id": 7, "user_id": 8}', 400, "invalid_request", "user_id"),
        (b'{"user_id": 9007199254740993}', 400, "invalid_request", None),
        (b'{"a":' * 40 + b"1" + b"}" * 40, 413, "too_large", "a"),
        (b'{"metadata": [' + b"1," * 10_001 + b"1]}", 413, "too_large", "metadata"),
        (b" " * (MAX_BYTES + 1), 413, "too_large", None),
        (as_json(user_id=True), 400, "invalid_request", "user_id"),
        (as_json(user_id=7.5), 400, "invalid_request", "user_id"),
        (as_json(user_id=[7]), 400, "invalid_request", "user_id"),
        (as_json(user_id={"$ne": None}), 400, "invalid_request", "user_id"),
        (as_json(user_id=""), 400, "invalid_request", "user_id"),
        (as_json(user_id="7\u0000"), 400, "invalid_request", "user_id"),
        (as_json(user_id="x" * 513), 400, "invalid_request", "user_id"),
        (as_json(user_id="人" * 200), 400, "invalid_request", "user_id"),
        (as_json(user_id=None), 400, "invalid_request", "user_id"),
        (as_json(user_id="-"), 400, "invalid_request", "user_id"),
        (as_json(product_id="101x"), 400, "invalid_request", "product_id"),
        (as_json(product_id="' OR 1=1 --"), 400, "invalid_request", "product_id"),
        (as_json(product_id=None), 400, "invalid_request", None),
        (as_json(interaction_type="like"), 400, "invalid_request", "interaction_type"),
        (as_json(interaction_type="VIEW"), 400, "invalid_request", "interaction_type"),
        (as_json(interaction_type=1), 400, "invalid_request", "interaction_type"),
        (as_json(interaction_type="-"), 400, "invalid_request", "interaction_type"),
        (as_json(position=0), 400, "invalid_request", "position"),
        (as_json(position="1"), 400, "invalid_request", "position"),
        (as_json(position=True), 400, "invalid_request", "position"),
        (as_json(position=1.0), 400, "invalid_request", "position"),
        (as_json(metadata=[]), 400, "invalid_request", "metadata"),
        (as_json(metadata={"a": "x" * 5000}), 400, "invalid_request", None),
        (as_json(event_id="x" * 129), 400, "invalid_request", "event_id"),
        (as_json(event_id=5), 400, "invalid_request", "event_id"),
        (as_json(admin=True), 400, "invalid_request", "admin"),
        (as_json(**{"__proto__": {}}), 400, "invalid_request", "__proto__"),
    ],
    ids=lambda value: repr(value)[:50],
)
def test_a_body_that_is_not_right_is_refused_and_nothing_is_stored(
    shop: Published, service: HttpService, body: bytes, status: int, code: str, field: str | None
) -> None:
    answer = service.ask("POST", "/track", content=body, headers={"Content-Type": "application/json"})

    assert error_of(answer) == (status, code)
    assert answer.json()["error"].get("field") == field
    with connect(shop.url) as db:
        assert count(db, "rec_user_interactions") == 0


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "", "application/jsonx", "json"])
def test_what_is_not_sent_as_json_is_refused(service: HttpService, kind: str) -> None:
    answer = service.ask("POST", "/recommendations", content=b"{}", headers={"Content-Type": kind} if kind else {})

    assert error_of(answer) == (415, "unsupported_type")


@pytest.mark.parametrize("kind", ["application/json; charset=utf-8", "application/vnd.api+json", "Application/JSON"])
def test_json_has_several_names(service: HttpService, kind: str) -> None:
    answer = service.ask("POST", "/recommendations", content=b"\xef\xbb\xbf{}", headers={"Content-Type": kind})

    assert answer.status_code == 200


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("limit=0", "limit"),
        ("limit=101", "limit"),
        ("limit=-1", "limit"),
        ("limit=ten", "limit"),
        ("limit=1.0", "limit"),
        ("limit=%2B5", "limit"),
        ("limit=05", "limit"),
        ("limit=1_0", "limit"),
        ("limit=%205", "limit"),
        ("limit=", "limit"),
        ("limit=99999999999999999999", "limit"),
        ("limit=5&limit=5", None),
        ("context=basement", "context"),
        ("context=", "context"),
        ("user_id=", "user_id"),
        ("user_id=%00", "user_id"),
        ("user_id=7&userId=8", None),
        ("model=magic", "model"),
        ("who=7", "who"),
        (f"session_id={'x' * 600}", "session_id"),
    ],
)
def test_a_query_that_is_not_right_is_refused(service: HttpService, query: str, field: str | None) -> None:
    answer = service.ask("GET", f"/recommendations?{query}")

    assert error_of(answer) == (400, "invalid_request")
    if field is not None:
        assert answer.json()["error"]["field"] == field


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/", 404, "not_found"),
        ("GET", "/recommendations/", 404, "not_found"),
        ("GET", "/docs", 404, "not_found"),
        ("GET", "/api/recommendations/similar/", 404, "not_found"),
        ("GET", "/user/7/preferences/x", 404, "not_found"),
        ("GET", "/api/v1/recommendations/similar?product_id=999999", 404, "not_found"),
        ("GET", "/api/v1/recommendations/similar?product_id=x", 404, "not_found"),
        ("GET", "/api/v1/recommendations/similar", 400, "invalid_request"),
        ("GET", "/recommendations?context=product_page&product_handle=no-such", 404, "not_found"),
        ("GET", "/track", 405, "method_not_allowed"),
        ("DELETE", "/recommendations", 405, "method_not_allowed"),
        ("GET", "/api/model/retrain", 405, "method_not_allowed"),
    ],
)
def test_other_routes_and_methods_are_refused_alike(
    service: HttpService, method: str, path: str, status: int, code: str
) -> None:
    answer = service.ask(method, path)

    assert error_of(answer) == (status, code)


@pytest.mark.parametrize(
    ("path", "methods"), [("/recommendations", "GET, POST"), ("/track", "POST"), ("/user/7/preferences", "GET")]
)
def test_a_wrong_method_is_told_all_right_ones(service: HttpService, path: str, methods: str) -> None:
    assert service.ask("OPTIONS", path).headers["allow"] == methods


def test_no_answer_allows_other_origins(service: HttpService) -> None:
    answer = service.ask("GET", "/health", headers={"Origin": "https://elsewhere.example"})
    preflight = service.ask(
        "OPTIONS", "/track", headers={"Origin": "https://x.example", "Access-Control-Request-Method": "POST"}
    )

    assert not [name for name in (*answer.headers, *preflight.headers) if name.startswith("access-control-")]
    assert error_of(preflight) == (405, "method_not_allowed")


def test_too_many_purchases_are_refused(service: HttpService) -> None:
    body = {"purchased_products": list(range(501))}

    assert error_of(service.ask("POST", "/api/recommendations/user", json=body)) == (400, "invalid_request")


def test_health_and_readiness_are_told(service: HttpService) -> None:
    ready = service.ask("GET", "/ready")

    assert service.ask("GET", "/health").json() == {"status": "healthy", "service": "recommendation"}
    assert (ready.status_code, ready.json()["ready"], ready.json()["redis"]) == (200, True, None)
    assert ready.json()["version"] == service.parts.service.bundle.name
    assert ready.json()["model_age_days"] > 0


def test_metrics_name_routes_algorithms_places_and_the_age(service: HttpService) -> None:
    service.ids(user_id="11")
    service.ids(user_id="11")
    service.ask("GET", "/no/such/route/7")

    text = service.ask("GET", "/metrics").text
    assert 'recsys_service_answers_total{route="/recommendations",status="200"}' in text
    assert 'recsys_service_lists_total{place="cache"}' in text
    assert 'recsys_service_lists_total{place="made"}' in text
    assert "recsys_service_request_seconds_count{algorithm=" in text
    assert "recsys_service_model_age_days " in text
    assert "recsys_service_fallbacks_total" in text
    assert "/no/such" not in text
