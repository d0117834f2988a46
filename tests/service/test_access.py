"""Who may ask: keys, tokens of customers, and how often."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from recsys.errors import SettingsError
from recsys.service.access import MOST_CALLERS, SKEW_S, Rates, customer_of
from recsys.service.failures import NotKnown, TooMany
from recsys.settings.service import DAY_S, ServiceOptions, read_service
from tests.helpers.http_service import ADMIN, KEY, SECRET, HttpService, error_of, shop_of
from tests.helpers.tiny_shop import Published

NOW = 1_764_547_200
OPTIONS = read_service({"JWT_SECRET": SECRET, "SERVICE_KEY": KEY})
CLAIMS = {"sub": "7", "iat": NOW, "exp": NOW + 600}
HEADER = {"alg": "HS256", "typ": "JWT"}


def part(value: object) -> str:
    data = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def token(claims: object = None, header: object = HEADER, secret: str = SECRET, **changed: Any) -> str:
    claims = {**CLAIMS, **changed} if claims is None else claims
    signed = f"{part(header)}.{part(claims)}"
    return f"{signed}.{part(hmac.new(secret.encode(), signed.encode(), hashlib.sha256).digest())}"


def without(name: str) -> dict[str, Any]:
    return {key: value for key, value in CLAIMS.items() if key != name}


@pytest.mark.parametrize("subject", ["7", 7, "cus_01H", "0"])
def test_a_good_token_names_its_customer(subject: object) -> None:
    assert customer_of(token(sub=subject), OPTIONS, NOW) == subject


@pytest.mark.parametrize(
    "given",
    [
        token(secret="t" * 32),
        token(header={"alg": "none"}),
        token(header={"alg": "none"}).rpartition(".")[0] + ".",
        token(header={"alg": "HS512", "typ": "JWT"}),
        token(header={"alg": "hs256"}),
        token(header={}),
        token(header={**HEADER, "crit": ["b64"]}),
        token(header={**HEADER, "typ": "JWE"}),
        token(header=[]),
        token(claims=[]),
        token(claims=b"\xff"),
        token(claims=b'{"sub": "7", "sub": "8", "iat": 1764547200}'),
        token(claims=b'{"sub": "7", "iat": NaN}'),
        token(claims=without("sub")),
        token(claims=without("iat")),
        token(sub=""),
        token(sub=None),
        token(sub=["7"]),
        token(sub={"id": 7}),
        token(sub=True),
        token(sub=7.0),
        token(sub="7\n"),
        token(sub="7" * 600),
        token(exp=NOW),
        token(exp=NOW - 1),
        token(exp="soon"),
        token(exp=True),
        token(exp=1e999),
        token(iat=NOW + SKEW_S + 1),
        token(iat=NOW - DAY_S),
        token(iat="now"),
        token(nbf=NOW + SKEW_S + 1),
        token(nbf="later"),
        token() + "=",
        token()[:-1] + ("A" if token()[-1] != "A" else "B"),
        token().replace(".", "..", 1),
        f" {token()}",
        "a.b.c",
        "..",
        "",
        "x" * 5000,
        f"{token()}.{'x' * 10}",
    ],
    ids=str,
)
def test_any_other_token_is_nobodys(given: str) -> None:
    with pytest.raises(NotKnown) as raised:
        customer_of(given, OPTIONS, NOW)

    assert raised.value.field is None


def test_a_last_character_with_other_spare_bits_is_refused() -> None:
    signature = token().rpartition(".")[2]
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    twin = alphabet[alphabet.index(signature[-1]) ^ 1]  # 32 bytes leave two bits of the last character unused

    with pytest.raises(NotKnown):
        customer_of(token()[:-1] + twin, OPTIONS, NOW)


@pytest.mark.parametrize(
    ("claims", "is_good"),
    [
        ({"iss": "shop", "aud": "web"}, True),
        ({"iss": "shop", "aud": ["app", "web"]}, True),
        ({"iss": "shop"}, False),
        ({"aud": "web"}, False),
        ({"iss": "other", "aud": "web"}, False),
        ({"iss": ["shop"], "aud": "web"}, False),
        ({"iss": "shop", "aud": "app"}, False),
    ],
)
def test_issuer_and_audience_must_be_the_configured_ones(claims: dict[str, Any], is_good: bool) -> None:
    options = read_service({"JWT_SECRET": SECRET, "JWT_ISSUER": "shop", "JWT_AUDIENCE": "web"})

    if is_good:
        assert customer_of(token(**claims), options, NOW) == "7"
    else:
        with pytest.raises(NotKnown):
            customer_of(token(**claims), options, NOW)


def test_without_a_secret_no_token_is_good() -> None:
    with pytest.raises(NotKnown):
        customer_of(token(secret=""), read_service({"SERVICE_KEY": KEY}), NOW)


@pytest.fixture(scope="module")
def guarded(published: Published, tmp_path_factory: pytest.TempPathFactory) -> Iterator[HttpService]:
    variables = {"SERVICE_KEY": KEY, "SERVICE_ADMIN_KEY": ADMIN, "JWT_SECRET": SECRET, "METRICS_TOKEN": "m" * 32}
    with HttpService(shop_of(published, tmp_path_factory.mktemp("guarded")), **variables) as service:
        yield service


def customers(subject: object = "7") -> str:
    now = int(time.time())
    return token(sub=subject, iat=now, exp=now + 600)


ASKED = {
    "list": ("GET", "/recommendations?user_id=7", {}),
    "other": ("GET", "/recommendations?user_id=8", {}),
    "own": ("GET", "/recommendations", {}),
    "track": ("POST", "/track", {"json": {"user_id": 7, "product_id": 101, "interaction_type": "view"}}),
    "forge": ("POST", "/track", {"json": {"user_id": 8, "product_id": 101, "interaction_type": "view"}}),
    "likes": ("GET", "/user/7/preferences", {}),
    "spy": ("GET", "/user/8/preferences", {}),
    "send": ("POST", "/api/recommendations/user", {"json": {"user_id": 8, "purchased_products": [101]}}),
    "popular": ("GET", "/api/recommendations/popular", {}),
    "similar": ("GET", "/api/v1/recommendations/similar?product_id=101", {}),
    "info": ("GET", "/model/info", {}),
    "retrain": ("POST", "/api/model/retrain", {}),
    "compute": ("POST", "/compute/similarities", {}),
    "fold": ("POST", "/compute/user-preferences", {}),
    "job": ("GET", "/jobs/none", {}),
    "outcomes": ("GET", "/analytics", {}),
    "metrics": ("GET", "/metrics", {}),
    "health": ("GET", "/health", {}),
    "ready": ("GET", "/ready", {}),
}
OPEN = {"health", "ready"}
OF_ALL_CUSTOMERS = {"popular", "similar", "info"}
OF_ADMINS = {"retrain", "compute", "fold", "job", "outcomes"}


def test_nobody_may_ask_for_more_than_health(guarded: HttpService) -> None:
    for name, (method, path, options) in ASKED.items():
        answer = guarded.ask(method, path, **options)
        assert answer.status_code == (200 if name in OPEN else 401), name
        if name not in OPEN:
            assert error_of(answer) == (401, "unauthorized")
            assert answer.headers["www-authenticate"] == "Bearer"


def test_a_customer_reads_and_writes_only_their_own(guarded: HttpService) -> None:
    for name, (method, path, options) in ASKED.items():
        answer = guarded.ask(method, path, key=customers(), **options)
        is_theirs = name in OPEN | OF_ALL_CUSTOMERS | {"list", "own", "track", "likes"}
        assert answer.status_code == (200 if is_theirs else 403), (name, answer.text)

    own = guarded.ask("GET", "/recommendations", key=customers())
    named = guarded.ask("GET", "/recommendations?user_id=7", key=KEY)
    assert own.json()["recommendations"] == named.json()["recommendations"]


def test_the_shops_key_asks_for_all_customers_and_starts_nothing(guarded: HttpService) -> None:
    for name, (method, path, options) in ASKED.items():
        answer = guarded.ask(method, path, key=KEY, **options)
        assert answer.status_code == (403 if name in OF_ADMINS else 200), (name, answer.text)


@pytest.mark.parametrize("name", sorted({*ASKED} - {"retrain", "job", "compute", "fold"}))
def test_the_administrators_key_asks_for_everything(guarded: HttpService, name: str) -> None:
    method, path, options = ASKED[name]

    assert guarded.ask(method, path, key=ADMIN, **options).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": "Bearer"},
        {"Authorization": "Bearer "},
        {"Authorization": f"Basic {KEY}"},
        {"Authorization": KEY},
        {"Authorization": f"Bearer {KEY[:-1]}"},
        {"Authorization": f"Bearer {KEY}{KEY}"},
        {"Authorization": f"Bearer {KEY}, Bearer {ADMIN}"},
        {"Authorization": "Bearer \u00e9".encode("latin-1")},
        [("Authorization", f"Bearer {KEY}"), ("Authorization", f"Bearer {KEY}")],
    ],
)
def test_a_header_that_is_not_one_good_key_is_refused(guarded: HttpService, headers: Any) -> None:
    sent = guarded._runner.run(guarded._client.get("/recommendations", headers=headers))

    assert error_of(sent) == (401, "unauthorized")


def test_the_metrics_have_a_token_of_their_own(guarded: HttpService) -> None:
    assert guarded.ask("GET", "/metrics", key="m" * 32).status_code == 200
    assert error_of(guarded.ask("GET", "/recommendations", key="m" * 32)) == (401, "unauthorized")


def test_a_customer_who_asks_too_often_is_told_when_to_come_back(published: Published, tmp_path: Path) -> None:
    variables = {"SERVICE_KEY": KEY, "JWT_SECRET": SECRET, "RATE_LIMIT_USER": "3"}
    with HttpService(shop_of(published, tmp_path), **variables) as service:
        statuses = [service.ask("GET", "/model/info", key=customers()).status_code for _ in range(4)]
        refused = service.ask("GET", "/model/info", key=customers())

        assert statuses == [200, 200, 200, 429]
        assert error_of(refused) == (429, "too_many")
        assert 1 <= int(refused.headers["retry-after"]) <= 20
        assert service.ask("GET", "/model/info", key=customers("8")).status_code == 200
        assert service.ask("GET", "/model/info", key=KEY).status_code == 200


def test_an_address_that_guesses_keys_is_stopped_and_good_keys_with_it(published: Published, tmp_path: Path) -> None:
    with HttpService(shop_of(published, tmp_path), SERVICE_KEY=KEY, RATE_LIMIT_IP="2") as service:
        statuses = [service.ask("GET", "/model/info", key=f"guess{n}").status_code for n in range(3)]

        assert statuses == [401, 401, 429]


def test_a_bucket_fills_evenly_and_forgets_the_oldest() -> None:
    moment = [0.0]
    rates = Rates(60, lambda: moment[0])
    for _ in range(60):
        rates.check("a")
    with pytest.raises(TooMany) as refused:
        rates.check("a")
    assert refused.value.after_s == 1
    moment[0] = 2.5
    for _ in range(2):
        rates.check("a")
    with pytest.raises(TooMany):
        rates.check("a")
    for n in range(MOST_CALLERS):
        rates.check(str(n))
    rates.check("a")

    Rates(0).check("anyone")


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.2", "shop.example"])
def test_off_this_machine_a_key_is_needed(host: str) -> None:
    with pytest.raises(SettingsError, match="^SERVICE_KEY should be set"):
        read_service({"SERVICE_HOST": host})
    with pytest.raises(SettingsError, match="^SERVICE_KEY should be set"):
        read_service({"SERVICE_HOST": host, "JWT_SECRET": SECRET, "SERVICE_ADMIN_KEY": ADMIN})

    assert read_service({"SERVICE_HOST": host, "SERVICE_KEY": KEY}).host == host


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.9", "::1", "localhost"])
def test_on_this_machine_none_is_needed(host: str) -> None:
    assert read_service({"SERVICE_HOST": host}).is_open


@pytest.mark.parametrize(
    ("variables", "what"),
    [
        ({"SERVICE_KEY": "short"}, "SERVICE_KEY should have at least 32 bytes. Received: 5"),
        ({"SERVICE_ADMIN_KEY": "short"}, "SERVICE_ADMIN_KEY should have at least"),
        ({"JWT_SECRET": "replace-this-by-the-output-of-openssl-rand-hex-32"}, "the sample"),
        ({"SERVICE_KEY": KEY, "SERVICE_ADMIN_KEY": KEY}, "should differ"),
        ({"SERVICE_PORT": "0"}, "SERVICE_PORT should be a whole number from 1 to 65,535. Received: 0"),
        ({"SERVICE_PORT": "65536"}, "Received: 65536"),
        ({"SERVICE_PORT": "my password"}, "Received: no number"),
        ({"SERVICE_THREADS": "65"}, "SERVICE_THREADS"),
        ({"REDIS_URL": "http://user:pass@host"}, "Its value is not shown"),
    ],
)
def test_wrong_options_are_told_without_secrets(variables: dict[str, str], what: str) -> None:
    with pytest.raises(SettingsError) as raised:
        read_service(variables)

    assert what in str(raised.value)
    assert "password" not in str(raised.value) and "pass@" not in str(raised.value)


def test_options_have_defaults() -> None:
    options = read_service({})

    assert isinstance(options, ServiceOptions)
    assert (options.host, options.port, options.threads, options.jwt_ttl_s) == ("127.0.0.1", 8001, 4, DAY_S)
    assert options.is_local and options.is_open


@pytest.mark.parametrize(
    ("headers", "client"),
    [
        ({"Host": "shop.example"}, "127.0.0.1"),
        ({"Host": "shop.example:8001"}, "127.0.0.1"),
        ({"X-Forwarded-For": "10.0.0.9"}, "127.0.0.1"),
        ({"Forwarded": "for=10.0.0.9"}, "127.0.0.1"),
        ({}, "10.0.0.9"),
    ],
)
def test_without_keys_only_programs_of_this_machine_may_ask(
    published: Published, tmp_path: Path, headers: dict[str, str], client: str
) -> None:
    with HttpService(shop_of(published, tmp_path), client=(client, 5)) as service:
        answer = service.ask("GET", "/recommendations", headers=headers)

        assert error_of(answer) == (403, "forbidden")
        assert error_of(service.ask("POST", "/api/model/retrain")) == (403, "forbidden")


@pytest.mark.parametrize("host", ["127.0.0.1:8001", "localhost:8001", "[::1]:8001", "localhost"])
def test_they_may_call_this_machine_by_any_of_its_names(published: Published, tmp_path: Path, host: str) -> None:
    with HttpService(shop_of(published, tmp_path)) as service:
        assert service.ask("GET", "/model/info", headers={"Host": host}).status_code == 200
