"""Kept lists: one key a user, one lifetime, no list behind a later event; and Redis that is down, slow or full."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from recsys.errors import SettingsError
from recsys.errors.secrets import Secret
from recsys.service import cache as cache_module
from recsys.service.cache import (
    EVENTS,
    MOST_USERS,
    PAUSE_S,
    PREFIX,
    STAMP_S,
    TTL_S,
    Cache,
    Key,
    MemoryCache,
    RedisCache,
    open_cache,
)
from recsys.service.lists import KeptList
from tests.helpers.private_redis import PrivateRedis

ANNA, BEN = Key("7", "v1|auto|homepage|"), Key("8", "v1|auto|homepage|")
ANNAS_CART = Key("7", "v1|auto|cart|101")


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivateRedis]:
    with PrivateRedis(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture(params=["memory", "redis"])
def cache(request: pytest.FixtureRequest) -> Cache:
    if request.param == "memory":
        return MemoryCache()
    return open_redis(request.getfixturevalue("server"))


def open_redis(server: PrivateRedis, clock: Clock | None = None, patience_s: float = 30.0) -> RedisCache:
    """Return a cache over an empty server; it is patient, because a machine that runs tests may be slow."""
    server.client.flushall()
    client = redis.Redis.from_url(server.url, socket_timeout=patience_s, retry=Retry(NoBackoff(), 0))
    return RedisCache(client, clock or Clock())


def stamp_of(cache: Cache, key: Key = ANNA) -> bytes:
    stamp = cache.stamps([key.user])[0]
    assert stamp is not None
    return stamp


def keep(cache: Cache, key: Key, value: bytes) -> None:
    cache.write(key, value, stamp_of(cache, key))


def values(cache: Cache, *keys: Key) -> list[bytes | None]:
    return cache.read(keys)


def test_what_is_kept_is_read_again_by_its_key_only(cache: Cache) -> None:
    keep(cache, ANNA, b"one")
    keep(cache, ANNAS_CART, b"two")

    assert values(cache, BEN, ANNAS_CART, ANNA, Key("7", "v2|auto|homepage|"), Key("", ANNA.field)) == [
        *(None, b"two", b"one"),
        *(None, None),
    ]


def test_an_event_deletes_all_lists_of_its_user_and_of_nobody_else(cache: Cache) -> None:
    for key in (ANNA, ANNAS_CART, BEN):
        keep(cache, key, b"list")

    cache.forget("7")

    assert values(cache, ANNA, ANNAS_CART, BEN) == [None, None, b"list"]


def test_a_list_from_before_an_event_is_not_kept_behind_it(cache: Cache) -> None:
    before = stamp_of(cache)
    cache.forget("7")

    cache.write(ANNA, b"old", before)
    assert values(cache, ANNA) == [None]

    keep(cache, ANNA, b"new")
    assert values(cache, ANNA) == [b"new"]


def test_a_second_list_is_no_new_life_for_the_key(server: PrivateRedis) -> None:
    cache = open_redis(server)
    keep(cache, ANNA, b"one")
    first = server.client.ttl(PREFIX + "7")
    server.client.expire(PREFIX + "7", 100)
    keep(cache, ANNAS_CART, b"two")
    keep(cache, ANNA, b"three")

    assert TTL_S - 60 < first <= TTL_S
    assert 0 < server.client.ttl(PREFIX + "7") <= 100
    assert server.client.type(PREFIX + "7") == b"hash"
    assert server.client.hlen(PREFIX + "7") == 2


def test_after_an_event_the_key_is_gone_and_its_stamp_ends(server: PrivateRedis) -> None:
    cache = open_redis(server)
    keep(cache, ANNA, b"one")

    cache.forget("7")

    assert server.client.exists(PREFIX + "7") == 0
    assert 0 < server.client.ttl(EVENTS + "7") <= STAMP_S


def test_lists_of_this_process_end_after_an_hour_too() -> None:
    clock = Clock()
    cache = MemoryCache(clock)
    keep(cache, ANNA, b"one")
    clock.now += TTL_S - 1
    keep(cache, ANNAS_CART, b"two")
    assert values(cache, ANNA, ANNAS_CART) == [b"one", b"two"]

    clock.now += 1

    assert values(cache, ANNA, ANNAS_CART) == [None, None]


def test_the_memory_of_a_process_has_an_end() -> None:
    cache = MemoryCache()
    for user in range(MOST_USERS + 1):
        keep(cache, Key(str(user), "f"), b"x")
        cache.forget(f"other {user}")

    assert values(cache, Key("0", "f"), Key("1", "f"), Key(str(MOST_USERS), "f")) == [None, b"x", b"x"]


@pytest.mark.parametrize("is_killed", [True, False], ids=["down", "slow"])
def test_redis_that_does_not_answer_is_left_alone_for_a_while(tmp_path: Path, is_killed: bool) -> None:
    clock = Clock()
    with PrivateRedis(tmp_path) as server:
        cache = open_redis(server, clock, patience_s=30.0 if is_killed else 2.0)
        keep(cache, ANNA, b"one")
        server.kill() if is_killed else server.freeze()
        asked: list[object] = []
        execute = cache._redis.pipeline

        def counted(transaction: bool = True) -> object:
            asked.append(transaction)
            return execute(transaction)

        cache._redis.pipeline = counted  # type: ignore[method-assign,assignment]

        assert cache.read([ANNA, BEN]) == [None] * 2
        assert cache.read([ANNA]) == [None]
        cache.write(ANNA, b"two", b"")
        assert len(asked) == 1  # so that a failure costs one wait, not one for each request

        cache.forget("7")
        server.start() if is_killed else server.thaw()
        clock.now += PAUSE_S
        assert values(cache, ANNA, BEN) == [None, None]  # an event of the meantime has deleted the list
        keep(cache, ANNA, b"three")
        assert values(cache, ANNA) == [b"three"]


def test_a_closed_port_costs_one_short_try() -> None:
    cache = open_cache(Secret("redis://127.0.0.1:1/1"))
    assert isinstance(cache, RedisCache)
    connection = cache._redis.connection_pool.connection_kwargs

    assert cache.read([ANNA]) == [None]
    assert (connection["socket_timeout"], connection["socket_connect_timeout"]) == (cache_module.TIMEOUT_S,) * 2
    assert connection["retry"]._retries == 0
    assert 2 * cache_module.TIMEOUT_S < 0.1
    assert cache.is_up() is False


def test_a_full_redis_keeps_nothing_new_and_still_deletes(tmp_path: Path) -> None:
    with PrivateRedis(tmp_path) as server:
        cache = open_redis(server)
        keep(cache, ANNA, b"one")
        server.client.config_set("maxmemory", "1")
        server.client.config_set("maxmemory-policy", "noeviction")

        keep(cache, BEN, b"two")
        assert values(cache, ANNA, BEN) == [b"one", None]
        cache.forget("7")
        assert values(cache, ANNA) == [None]


def test_something_else_under_a_users_key_is_as_nothing(server: PrivateRedis) -> None:
    cache = open_redis(server)
    server.client.set(PREFIX + "7", "of another program")

    assert cache.read([ANNA]) == [None]
    assert KeptList.from_bytes(b"of another program") is None


def test_too_many_users_whose_lists_cannot_be_deleted_leave_nothing_to_be_read(
    server: PrivateRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    cache = open_redis(server, clock)
    keep(cache, ANNA, b"one")
    monkeypatch.setattr(cache_module, "MOST_WAITING", 1)
    cache._not_before = clock.now + PAUSE_S
    cache.forget("8")
    cache.forget("7")
    clock.now += PAUSE_S

    assert values(cache, ANNA) == [None]
    clock.now += TTL_S
    assert values(cache, ANNA) == [b"one"]  # its own lifetime, by Redis's clock, is over by then


def test_an_event_while_another_is_deleted_is_not_lost(server: PrivateRedis) -> None:
    cache = open_redis(server)
    real = cache._redis.pipeline

    def pipeline(transaction: bool = True) -> object:
        pipe = real(transaction)
        execute = pipe.execute

        def run(raise_on_error: bool = True) -> object:
            replies = execute(raise_on_error)
            if not transaction:
                cache._redis.pipeline = broken  # type: ignore[method-assign,assignment]
                cache.forget("7")
            return replies

        pipe.execute = run
        return pipe

    def broken(transaction: bool = True) -> object:
        def fail(raise_on_error: bool = True) -> object:
            raise redis.ConnectionError("gone")

        return SimpleNamespace(delete=lambda key: None, set=lambda *_, **__: None, execute=fail)

    cache._redis.pipeline = pipeline  # type: ignore[method-assign,assignment]
    cache.forget("7")

    assert "7" in cache._waiting


@pytest.mark.parametrize("url", ["redis://127.0.0.1:port/1", "redis://127.0.0.1:99999999/1"])
def test_a_url_that_is_none_is_told_without_its_password(url: str) -> None:
    with pytest.raises(SettingsError, match="REDIS_URL"):
        open_cache(Secret(url)).read([ANNA])


def test_without_a_url_lists_are_kept_in_the_process() -> None:
    cache = open_cache(Secret(""))

    assert isinstance(cache, MemoryCache)
    assert cache.is_up() is None
