"""Options of the HTTP service: where it listens, who may ask, how often, and where its lists are kept."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_address

from recsys.errors import SettingsError
from recsys.errors.records import Record
from recsys.errors.secrets import Secret
from recsys.errors.wording import shown

DEFAULT_PORT = 8001
LOCAL_NAMES = ("localhost", "127.0.0.1", "::1")
MIN_KEY_BYTES = 32  # of a key and of the secret that signs tokens, as the backend has it
DAY_S = 86_400
SAMPLE = "replace-this"  # how the samples of .env.example begin


class ServiceOptions(Record):
    """Options of the HTTP service.

    Attributes:
        host: The address that it listens on.
        port: 1 to 65535.
        key: The shop's key, for its servers; empty for none.
        admin_key: The key of trainings and computations; empty for none.
        jwt_secret: Signs the tokens of customers; empty where there are none.
        jwt_ttl_s: Seconds for which a token is good.
        jwt_issuer: The `iss` that tokens must have; empty for any.
        jwt_audience: The `aud` that tokens must have; empty for any.
        metrics_token: Reads `/metrics` as the keys do; empty for none.
        redis_url: Where lists are kept; empty for the memory of the process.
        customer_limit: Requests a minute of one customer; 0 for no limit.
        address_limit: Requests a minute of one address that were refused; 0 for no limit.
        threads: Threads that read the database and score.
    """

    host: str
    port: int
    key: Secret
    admin_key: Secret
    jwt_secret: Secret
    jwt_ttl_s: int
    jwt_issuer: str
    jwt_audience: str
    metrics_token: Secret
    redis_url: Secret
    customer_limit: int
    address_limit: int
    threads: int

    @property
    def is_local(self) -> bool:
        """Whether only this machine can reach the service."""
        return is_loopback(self.host)

    @property
    def is_open(self) -> bool:
        """Whether nobody has to show a key or a token."""
        return not self.key and not self.jwt_secret


def read_service(variables: Mapping[str, str]) -> ServiceOptions:
    """Read the options of the HTTP service.

    Args:
        variables: The environment and `.env`; see `recsys.settings.settings.read_variables`.

    Raises:
        SettingsError: A value is not what it should be, or the service would listen for strangers without a key.
    """
    redis_url = variables.get("REDIS_URL", "")
    if redis_url and not redis_url.startswith(("redis://", "rediss://", "unix://")):
        raise SettingsError("REDIS_URL should be redis://host:port/1, rediss://… or unix://…. Its value is not shown.")
    options = ServiceOptions(
        host=variables.get("SERVICE_HOST", "127.0.0.1"),
        port=_whole(variables, "SERVICE_PORT", DEFAULT_PORT, 1, 65_535),
        key=_key(variables, "SERVICE_KEY"),
        admin_key=_key(variables, "SERVICE_ADMIN_KEY"),
        jwt_secret=_key(variables, "JWT_SECRET"),
        jwt_ttl_s=_whole(variables, "JWT_TTL_S", DAY_S, 60, 366 * DAY_S),
        jwt_issuer=variables.get("JWT_ISSUER", ""),
        jwt_audience=variables.get("JWT_AUDIENCE", ""),
        metrics_token=Secret(variables.get("METRICS_TOKEN", "")),
        redis_url=Secret(redis_url),
        customer_limit=_whole(variables, "RATE_LIMIT_USER", 240, 0, 10**9),
        address_limit=_whole(variables, "RATE_LIMIT_IP", 1200, 0, 10**9),
        threads=_whole(variables, "SERVICE_THREADS", 4, 1, 64),
    )
    if not options.is_local and not options.key:
        raise SettingsError(
            f"SERVICE_KEY should be set where SERVICE_HOST is not this machine's own. Received: {shown(options.host)} "
            "and no key. `openssl rand -hex 32` makes one."
        )
    if options.key and options.key == options.admin_key:
        raise SettingsError("SERVICE_KEY and SERVICE_ADMIN_KEY should differ. Received: the same key twice.")
    return options


def is_loopback(host: str) -> bool:
    """Return whether an address or a name is of this machine only.

    >>> is_loopback("127.0.0.1"), is_loopback("localhost"), is_loopback("0.0.0.0"), is_loopback("shop.example")
    (True, True, False, False)
    """
    if host in LOCAL_NAMES:
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _key(variables: Mapping[str, str], name: str) -> Secret:
    """Return a key; messages show no part of it."""
    text = variables.get(name, "")
    n_bytes = len(text.encode(errors="surrogateescape"))
    advice = f"`openssl rand -hex 32` makes one; put it into .env as {name}=…"
    if text.startswith(SAMPLE):
        raise SettingsError(f"{name} should be a secret. Received: the sample of .env.example. {advice}")
    if text and n_bytes < MIN_KEY_BYTES:
        raise SettingsError(f"{name} should have at least {MIN_KEY_BYTES} bytes. Received: {n_bytes}. {advice}")
    return Secret(text)


def _whole(variables: Mapping[str, str], name: str, default: int, least: int, most: int) -> int:
    text = variables.get(name, "")
    if not text:
        return default
    if text.isascii() and text.isdecimal() and len(text) <= len(str(most)) and least <= int(text) <= most:
        return int(text)
    # Other text than a number is not shown: it may be a password in the wrong line.
    received = shown(text, quotes=False) if set(text) <= set("+-.0123456789") else "no number"
    raise SettingsError(f"{name} should be a whole number from {least} to {most:,}. Received: {received}.")
