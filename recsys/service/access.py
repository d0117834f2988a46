"""Who asks: a shop's server by its key, a customer by a signed token; and how often each may."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from math import ceil, isfinite
from typing import Any, NamedTuple

from fastapi import Request

from recsys.contract.checks import identifier, read_document
from recsys.errors import InvalidRequest, RecsysError
from recsys.service.failures import NotKnown, NotYours, TooMany
from recsys.settings.service import ServiceOptions, is_loopback

BEARER = re.compile(r"Bearer +([\w~+/.-]+=*)", re.IGNORECASE)
PART = re.compile(r"[A-Za-z0-9_-]+")
MAX_TOKEN = 4096  # characters; ours have 200
SKEW_S = 60  # how far the clock of another machine that signs tokens may be ahead
FORWARDED = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip")
NO_END = 2**53 - 1  # a token without an end is limited by its age
MINUTE_S = 60.0
MOST_CALLERS = 20_000  # that are counted; those who have been away for longest are forgotten


class Caller(NamedTuple):
    """Whoever asks.

    Attributes:
        is_admin: Whether trainings and computations may be started.
        only_user: The id of the only customer that may be asked for; None for a shop's server.
    """

    is_admin: bool = False
    only_user: int | str | None = None

    def user(self, requested: int | str | None) -> int | str | None:
        """Return the user of a request.

        Args:
            requested: The user that the request names; None where it names none.

        Raises:
            NotYours: A customer asks for somebody else.
        """
        if self.only_user is None:
            return requested
        if requested is not None and str(requested) != str(self.only_user):
            raise NotYours("`user_id` should be the customer of the token. Received: another one.", field="user_id")
        return self.only_user

    def named_user(self, requested: int | str | None) -> int | str:
        """Return the user of a request that cannot be a guest's without an id.

        Args:
            requested: The user that the request names; None where it names none.

        Raises:
            InvalidRequest: There is none.
            NotYours: A customer asks for somebody else.
        """
        user = self.user(requested)
        if user is None:
            raise InvalidRequest("`user_id` should be given. Received: nothing.", field="user_id")
        return user


SHOP, ADMIN = Caller(), Caller(is_admin=True)


class Rates:
    """Counts requests by caller: a bucket of `per_minute` that fills evenly."""

    def __init__(self, per_minute: int, now: Callable[[], float] = time.monotonic) -> None:
        self._per_minute = per_minute
        self._now = now
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def check(self, caller: str, cost: float = 1.0) -> None:
        """Count a request.

        Args:
            caller: Who asks.
            cost: 0 only asks whether another request may come.

        Raises:
            TooMany: There are too many of them.
        """
        if not self._per_minute:
            return
        now, rate = self._now(), self._per_minute / MINUTE_S
        left, since = self._buckets.pop(caller, (float(self._per_minute), now))
        left = min(float(self._per_minute), left + (now - since) * rate)
        refused = left < 1
        self._buckets[caller] = (left if refused else left - cost, now)
        if len(self._buckets) > MOST_CALLERS:
            self._buckets.popitem(last=False)
        if refused:
            raise TooMany(
                "There should be fewer requests. Received: more than the limit; Retry-After says when to come back.",
                after_s=ceil((1 - left) / rate),
            )


class Access:
    """Tells who asks, or refuses."""

    def __init__(self, options: ServiceOptions, *, now: Callable[[], float] = time.time) -> None:
        self._options = options
        self._now = now
        self._refusals = Rates(options.address_limit)
        self._customers = Rates(options.customer_limit)

    def caller(self, request: Request) -> Caller:
        """Return who sends a request.

        Raises:
            NotKnown: There is no key or token, or none that is good.
            NotYours: The service is open to this machine only, and the request comes through a proxy.
            TooMany: The customer, or an address with wrong keys, asks too often.
        """
        headers = request.headers.getlist("authorization")
        if not headers and self._options.is_open:
            return _local(request)
        address = request.client.host if request.client else "unknown"
        self._refusals.check(address, 0.0)
        try:
            caller = self._known(headers)
        except NotKnown:
            self._refusals.check(address)
            raise
        if caller.only_user is not None:
            self._customers.check(str(caller.only_user))
        return caller

    def admin(self, request: Request) -> Caller:
        """Return who sends a request of an administrator.

        Raises:
            NotYours: It is somebody else.
        """
        caller = self.caller(request)
        if not caller.is_admin:
            raise NotYours("This should be asked with SERVICE_ADMIN_KEY. Received: another key, or none.")
        return caller

    def check_metrics(self, request: Request) -> None:
        """Refuse whoever may not read the metrics: they need a key of the shop, or METRICS_TOKEN."""
        headers = request.headers.getlist("authorization")
        given = BEARER.fullmatch(headers[0]) if len(headers) == 1 else None
        if given and _same(given[1], self._options.metrics_token.reveal()):
            return
        if self.caller(request).only_user is not None:
            raise NotYours("The metrics should be read with a key. Received: a customer's token.")

    def _known(self, headers: list[str]) -> Caller:
        given = BEARER.fullmatch(headers[0]) if len(headers) == 1 else None
        if given is None:
            received = ("none", "something else")[len(headers)] if len(headers) < 2 else "several"
            raise NotKnown(f"There should be one header Authorization: Bearer …. Received: {received}.")
        options, token = self._options, given[1]
        if _same(token, options.admin_key.reveal()):
            return ADMIN
        if _same(token, options.key.reveal()):
            return SHOP
        return Caller(only_user=customer_of(token, options, self._now()))


def customer_of(token: str, options: ServiceOptions, now: float) -> int | str:
    """Return the customer that a token names; the rules are those of the backend, which signs such tokens.

    Args:
        token: A JSON Web Token, signed with HS256 whatever its header says.
        options: The secret, and the claims that tokens must have.
        now: Seconds since 1970.

    Raises:
        NotKnown: It is not signed by the shop, is no longer good, or demands what is not known here.
    """
    parts = token.split(".")
    secret = options.jwt_secret.reveal()
    if not secret or len(parts) != 3 or len(token) > MAX_TOKEN or not all(map(PART.fullmatch, parts)):
        raise _refused()
    signed = hmac.new(secret.encode(errors="surrogateescape"), f"{parts[0]}.{parts[1]}".encode(), hashlib.sha256)
    if not hmac.compare_digest(signed.digest(), _decoded(parts[2])):
        raise _refused()
    header, claims = _document(parts[0]), _document(parts[1])
    if header.get("alg") != "HS256" or "crit" in header or header.get("typ", "JWT") != "JWT":
        raise _refused()
    _check_times(claims, options, now)
    for name, expected in (("iss", options.jwt_issuer), ("aud", options.jwt_audience)):
        if expected and not _holds(claims.get(name), expected, several=name == "aud"):
            raise _refused()
    try:
        return identifier(claims.get("sub"), "sub")
    except RecsysError:
        raise _refused() from None


def _check_times(claims: Mapping[str, Any], options: ServiceOptions, now: float) -> None:
    """Refuse a token without a moment of issue, from the future, not yet good, expired, or older than any may be."""
    issued, begins, ends = claims.get("iat"), claims.get("nbf", 0), claims.get("exp", NO_END)
    if not all(map(_is_time, (issued, begins, ends))):
        raise _refused()
    assert issued is not None
    if issued > now + SKEW_S or begins > now + SKEW_S or now >= ends or now >= issued + options.jwt_ttl_s:
        raise _refused()


def _is_time(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)


def _holds(claim: object, expected: str, *, several: bool) -> bool:
    return claim == expected or (several and isinstance(claim, list) and expected in claim)


def _document(part: str) -> dict[str, Any]:
    try:
        return read_document(_decoded(part))
    except RecsysError:
        raise _refused() from None


def _decoded(part: str) -> bytes:
    """Return the bytes of a part; another spelling of the same bytes is refused."""
    try:
        data = base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
    except (binascii.Error, ValueError):
        raise _refused() from None
    if base64.urlsafe_b64encode(data).rstrip(b"=").decode() != part:
        raise _refused()
    return data


def _refused() -> NotKnown:
    return NotKnown("The key or the token should be one of the shop's, and still good. Received: another one.")


def _same(given: str, expected: str) -> bool:
    """Return whether a key is the expected one, in a time that tells nothing of it."""
    return bool(expected) and hmac.compare_digest(given.encode(), expected.encode(errors="surrogateescape"))


def _local(request: Request) -> Caller:
    """Return the caller of a service without keys, which only programs of this machine may ask.

    A page of a browser could send requests here under a name that leads to this machine. So the name is checked, too.
    """
    host = request.headers.get("host", "")
    name = host.rpartition(":")[0] if host.rpartition(":")[2].isdecimal() else host
    is_ours = request.client is None or is_loopback(request.client.host)
    if not is_ours or not is_loopback(name.strip("[]")) or any(name in request.headers for name in FORWARDED):
        raise NotYours(
            "Without SERVICE_KEY, requests should come from this machine and through no proxy. Received: another one."
        )
    return SHOP
