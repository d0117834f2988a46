"""Where lists are kept between two requests: Redis, or the memory of this process.

A user has one key, a hash with a field for each list. The user's own cart, purchase or wishlist event deletes the key.
A list that was computed from older events must not be stored behind such an event. Therefore a reader gets a stamp of
the user's last event, and a list is stored only where the stamp is still the same.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

from redis import Redis, RedisError
from redis.backoff import NoBackoff
from redis.exceptions import ResponseError, WatchError
from redis.retry import Retry

from recsys.errors import SettingsError
from recsys.errors.secrets import Secret

PREFIX = "rec:recommendations:"
EVENTS = "rec:events:"  # the stamps
TTL_S = 3600  # of a user's lists, from the first one on
STAMP_S = 60  # far longer than a list takes to compute
TIMEOUT_S = 0.04  # of one Redis command: loopback takes a tenth of a millisecond
PAUSE_S = 1.0  # after a failure Redis is not asked for so long
MOST_USERS = 10_000  # of the memory of a process
MOST_WAITING = 100_000  # users whose lists could not be deleted yet


class Key(NamedTuple):
    """Which list.

    Attributes:
        user: The user's id as text; empty for what is the same for all.
        field: Version, algorithm, context and product.
    """

    user: str
    field: str


class Cache(Protocol):
    """Keeps lists; no method raises an error because the place of the lists is away."""

    def read(self, keys: Sequence[Key]) -> list[bytes | None]:
        """Return what is kept, in the order of the keys; None where there is nothing."""

    def stamps(self, users: Sequence[str]) -> list[bytes | None]:
        """Return the stamp of each user's last event; None where nothing may be kept now."""

    def write(self, key: Key, value: bytes, stamp: bytes) -> None:
        """Keep a list, unless the user has had an event since the stamp was read."""

    def forget(self, user: str) -> None:
        """Delete all lists of a user, and change the stamp."""

    def is_up(self) -> bool | None:
        """Return whether the place of the lists answers; None where it is this process."""


class MemoryCache:
    """Keeps lists in this process."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._lists: OrderedDict[str, tuple[float, dict[str, bytes]]] = OrderedDict()
        self._stamps: OrderedDict[str, tuple[float, bytes]] = OrderedDict()
        self._lock = threading.Lock()

    def read(self, keys: Sequence[Key]) -> list[bytes | None]:
        """Return what is kept, in the order of the keys; None where there is nothing."""
        now = self._now()
        with self._lock:
            return [self._value(key, now) for key in keys]

    def stamps(self, users: Sequence[str]) -> list[bytes | None]:
        """Return the stamp of each user's last event."""
        now = self._now()
        with self._lock:
            return [self._stamp(user, now) for user in users]

    def write(self, key: Key, value: bytes, stamp: bytes) -> None:
        """Keep a list, unless the user has had an event since the stamp was read."""
        now = self._now()
        with self._lock:
            if self._stamp(key.user, now) != stamp:
                return
            until, lists = self._lists.get(key.user, (0.0, {}))
            if until <= now:
                until, lists = now + TTL_S, {}
            lists[key.field] = value
            self._lists[key.user] = until, lists
            self._lists.move_to_end(key.user)
            if len(self._lists) > MOST_USERS:
                self._lists.popitem(last=False)

    def forget(self, user: str) -> None:
        """Delete all lists of a user, and change the stamp."""
        with self._lock:
            self._lists.pop(user, None)
            self._stamps[user] = self._now() + STAMP_S, secrets.token_bytes(8)
            self._stamps.move_to_end(user)
            if len(self._stamps) > MOST_USERS:
                self._stamps.popitem(last=False)

    def is_up(self) -> bool | None:
        """Return None: the lists are in this process."""
        return None

    def _value(self, key: Key, now: float) -> bytes | None:
        until, lists = self._lists.get(key.user, (0.0, {}))
        return lists.get(key.field) if until > now else None

    def _stamp(self, user: str, now: float) -> bytes:
        until, stamp = self._stamps.get(user, (0.0, b""))
        return stamp if until > now else b""


class RedisCache:
    """Keeps lists in Redis 7 or Valkey. While it is away nothing is read or kept, and what has to be deleted waits."""

    def __init__(self, client: Redis, now: Callable[[], float] = time.monotonic) -> None:
        self._redis = client
        self._now = now
        self._not_before = 0.0
        self._blind_until = 0.0
        self._waiting: dict[str, object] = {}  # each with a mark, so that a later event is not taken for an earlier one
        self._lock = threading.Lock()

    def read(self, keys: Sequence[Key]) -> list[bytes | None]:
        """Return what is kept, in the order of the keys; None where there is nothing."""
        return self._replies([("HGET", PREFIX + key.user, key.field) for key in keys])

    def stamps(self, users: Sequence[str]) -> list[bytes | None]:
        """Return the stamp of each user's last event; None where nothing may be kept now."""
        return self._replies([("GET", EVENTS + user) for user in users], nothing=b"")

    def write(self, key: Key, value: bytes, stamp: bytes) -> None:
        """Keep a list, unless the user has had an event since the stamp was read."""
        if not self._may_ask() or key.user in self._waiting:
            return
        name = PREFIX + key.user
        try:
            with self._redis.pipeline() as pipe:
                pipe.watch(EVENTS + key.user)  # type: ignore[no-untyped-call] # of redis
                if (pipe.get(EVENTS + key.user) or b"") != stamp:
                    return
                pipe.multi()
                pipe.hset(name, key.field, value)
                pipe.expire(name, TTL_S, nx=True)
                pipe.execute()
        except WatchError:
            return
        except RedisError as error:
            self._failed(error)

    def forget(self, user: str) -> None:
        """Delete all lists of a user, and change the stamp."""
        with self._lock:
            self._waiting[user] = object()
            if len(self._waiting) > MOST_WAITING:  # nothing older is read until all of it has expired
                self._waiting.clear()
                self._blind_until = self._now() + TTL_S
        if self._may_ask():
            self._delete_waiting()

    def is_up(self) -> bool | None:
        """Return whether Redis answers."""
        try:
            return bool(self._redis.ping())
        except RedisError:
            return False

    def _replies(self, commands: Sequence[tuple[str, ...]], nothing: bytes | None = None) -> list[bytes | None]:
        """Return the replies to commands, with `nothing` for those without any; None for all where Redis is away."""
        if not self._may_ask() or not self._delete_waiting() or self._now() < self._blind_until:
            return [None] * len(commands)
        try:
            pipe = self._redis.pipeline(transaction=False)
            for command in commands:
                pipe.execute_command(*command)  # type: ignore[no-untyped-call] # of redis
            return [nothing if reply is None else reply for reply in pipe.execute()]
        except RedisError as error:
            self._failed(error)
            return [None] * len(commands)

    def _delete_waiting(self) -> bool:
        """Delete the lists of users who have had an event; returns whether none is left."""
        if not self._waiting:
            return True
        with self._lock:
            users = dict(self._waiting)
        try:
            pipe = self._redis.pipeline(transaction=False)
            for user in users:
                pipe.delete(PREFIX + user)
                pipe.set(EVENTS + user, secrets.token_bytes(8), ex=STAMP_S)
            replies = pipe.execute(raise_on_error=False)  # a full Redis deletes, but refuses the stamp
        except RedisError as error:
            self._failed(error)
            return False
        if any(isinstance(reply, Exception) for reply in replies[::2]):
            return False
        with self._lock:
            for user, token in users.items():
                if self._waiting.get(user) is token:
                    del self._waiting[user]
        return True

    def _may_ask(self) -> bool:
        return self._now() >= self._not_before

    def _failed(self, error: RedisError) -> None:
        """Leave Redis alone for a while; an error of one command, as of a full memory, is no reason."""
        if not isinstance(error, ResponseError):
            self._not_before = self._now() + PAUSE_S


def open_cache(url: Secret) -> Cache:
    """Return where lists are kept.

    Args:
        url: The URL of Redis; empty for this process.

    Raises:
        SettingsError: It is no URL of Redis.
    """
    if not url:
        return MemoryCache()
    try:
        client = Redis.from_url(
            url.reveal(),
            socket_timeout=TIMEOUT_S,
            socket_connect_timeout=TIMEOUT_S,
            retry=Retry(NoBackoff(), 0),  # by default a closed port would cost seconds
        )
    except ValueError:
        raise SettingsError("REDIS_URL should be redis://host:port/1. Its value is not shown.") from None
    return RedisCache(client)
