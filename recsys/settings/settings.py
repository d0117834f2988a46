"""Settings of a process: the environment, .env and recsys.toml, read once at the start."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field, replace
from pathlib import Path
from typing import Any

from recsys.errors import SettingsError
from recsys.errors.records import Record
from recsys.errors.secrets import Secret
from recsys.errors.wording import shown
from recsys.settings.checks import listed
from recsys.settings.database_url import DatabaseUrl
from recsys.settings.experiments import Experiment, Privacy, read_experiment, read_privacy
from recsys.settings.lifecycle import Lifecycle, read_lifecycle
from recsys.settings.shop import Shop, read_shop
from recsys.settings.training import Training, read_training

WEBHOOK = "ALERT_WEBHOOK_URL"
SERVE_URL = "SERVE_DATABASE_URL"
MOST_THREADS = 64  # more than there are models
TABLES = (  # of recsys.toml
    "[shop]",
    "[events]",
    "[[sources]]",
    "[products]",
    "[training]",
    "[lifecycle]",
    "[experiments]",
    "[privacy]",
)
# Some are the backend's, which reads the same .env.
SECRETS = ("DB_PASSWORD", "DB_PASS", "JWT_SECRET", "METRICS_TOKEN", "SERVICE_KEY", "SERVICE_ADMIN_KEY", "REDIS_URL")


class Settings(Record):
    """All settings of a process.

    Attributes:
        database_url: Where the shop's database is.
        models_dir: The folder that holds published versions.
        shop: The shop's mapping.
        training: Options of training.
        scoring_threads: Models that score at once in a serving process, 1 to 64. None lets the size of the catalogue
            decide.
        lifecycle: When training runs and may publish, and how many versions are kept.
        alert_webhook: The URL that is told of refused and failed scheduled trainings; empty for none.
        serve_database_url: The account of the database with which the backend serves; None where it is that of
            `database_url`.
        experiment: The two arms that are compared; None where there are none.
        privacy: How long recorded events are kept.
    """

    database_url: DatabaseUrl
    models_dir: Path
    shop: Shop
    training: Training = field(default_factory=Training)
    scoring_threads: int | None = None
    lifecycle: Lifecycle = field(default_factory=Lifecycle)
    alert_webhook: Secret = field(default_factory=lambda: Secret(""))
    serve_database_url: DatabaseUrl | None = None
    experiment: Experiment | None = None
    privacy: Privacy = field(default_factory=Privacy)


def load_settings(environ: Mapping[str, str], root: Path) -> Settings:
    """Read the environment, the `.env` beside the scripts and `recsys.toml`.

    An empty variable counts as not set.

    Args:
        environ: The process environment; it wins over `.env`.
        root: The folder of the scripts; relative paths resolve against it.

    Raises:
        SettingsError: No variable names the database, or a value is not what it should be.
    """
    variables = read_variables(environ, root)
    toml = _toml(variables.get("RECSYS_TOML"), root)
    shop = read_shop(toml)
    serve_url = _serve_database_url(variables.get(SERVE_URL, ""), root)
    return Settings(
        database_url=_with_own_tables(_database_url(variables, root), shop, root),
        models_dir=_models_dir(root / variables.get("MODELS_DIR", "models")),
        shop=shop,
        training=read_training(toml),
        scoring_threads=_scoring_threads(variables.get("SCORING_THREADS", "")),
        lifecycle=read_lifecycle(toml),
        alert_webhook=_alert_webhook(variables.get(WEBHOOK, "")),
        serve_database_url=serve_url and _with_own_tables(serve_url, shop, root),
        experiment=read_experiment(toml),
        privacy=read_privacy(toml),
    )


def read_variables(environ: Mapping[str, str], root: Path) -> dict[str, str]:
    """Return the variables of the environment and of `.env` that are not empty; the secrets among them become known.

    Args:
        environ: The process environment; it wins over `.env`.
        root: The folder of `.env`.
    """
    variables = {name: value for name, value in {**_dotenv(root), **environ}.items() if value}
    for name in SECRETS:
        Secret(variables.get(name, ""))
    return variables


def _dotenv(root: Path) -> Mapping[str, str]:
    """Read `.env` by python-dotenv's grammar; its import, a tenth of a request, is only paid for lines that need it."""
    text = _text_of(root / ".env", ".env") or ""
    lines = [line for line in text.split("\n") if line.strip() and not line.startswith("#")]
    pairs = [(name, value.strip()) for name, equals, value in (line.partition("=") for line in lines) if equals]
    if len(pairs) == len(lines) and all(name.isidentifier() and _is_plain(value) for name, value in pairs):
        return dict(pairs)
    import io

    from dotenv import dotenv_values

    return {name: value for name, value in dotenv_values(stream=io.StringIO(text)).items() if value is not None}


def _is_plain(value: str) -> bool:
    """Return whether a value of `.env` stands for itself: no quotes around it, no variable and no comment in it."""
    return value[:1] not in ("'", '"') and "$" not in value and "#" not in value


def _toml(name: str | None, root: Path) -> Mapping[str, Any]:
    path = root / (name or "recsys.toml")
    text = _text_of(path, "RECSYS_TOML" if name else path.name)
    if text is None:
        if name:
            raise SettingsError(f"RECSYS_TOML should name a file. Received: {shown(name)}.")
        return {}
    import tomllib  # only paid for where the file exists

    try:
        toml = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise SettingsError(f"{path.name} should be valid TOML. Received: {error}.") from error
    if unknown := set(toml) - {table.strip("[]") for table in TABLES}:
        raise SettingsError(f"{path.name} should hold {', '.join(TABLES)}. Received: {listed(sorted(unknown))}.")
    return toml


def _text_of(path: Path, what: str) -> str | None:
    """Read a file, which messages call `what`; None where there is no file."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        return None
    except UnicodeDecodeError as error:  # its own message shows the byte, which may be part of a password
        line = error.object[: error.start].count(b"\n") + 1
        received = f"another encoding, in line {line}"
        raise SettingsError(f"{what} should be a text file in UTF-8. Received: {received}.") from None
    except OSError as error:
        raise SettingsError(f"{what} should be a file that this user may read. Received: {error.strerror}.") from error
    if "\0" in text:
        raise SettingsError(f"{what} should be a text file in UTF-8. Received: a zero byte.")
    return text


def _models_dir(path: Path) -> Path:
    if path.is_file():
        raise SettingsError(f"MODELS_DIR should be a folder. Received: the file {shown(path.name)}.")
    return path


def _database_url(variables: Mapping[str, str], root: Path) -> DatabaseUrl:
    if "DATABASE_URL" in variables:
        return DatabaseUrl.parse(variables["DATABASE_URL"], root=root)
    name = variables.get("DB_NAME") or variables.get("DB_DATABASE_NAME")
    if not name:
        raise SettingsError(
            "DATABASE_URL (or DB_HOST, DB_PORT, DB_NAME, DB_USER, DB_PASSWORD) should say where the shop's database "
            "is. Received: nothing. `make demo` writes a .env for its embedded shop."
        )
    return DatabaseUrl.of_pieces(
        host=variables.get("DB_HOST", "127.0.0.1"),
        port=variables.get("DB_PORT", "3306"),
        name=name,
        user=variables.get("DB_USER") or variables.get("DB_USERNAME") or "root",
        password=variables.get("DB_PASSWORD") or variables.get("DB_PASS") or "",
    )


def _with_own_tables(url: DatabaseUrl, shop: Shop, root: Path) -> DatabaseUrl:
    """Return a URL with the place of our own tables, and check that it is one."""
    place = shop.own_tables
    if place and url.dialect == "sqlite":
        place = str(root / place)
    elif place and not (place.isascii() and place.isidentifier()):
        expected = "a plain name of a schema (PostgreSQL) or a database of the same server (MySQL)"
        raise SettingsError(f"[shop] `own_tables` should be {expected}. Received: {shown(place)}.")
    return replace(url, own_tables=place, cache_prefix=shop.cache_prefix)


def _alert_webhook(text: str) -> Secret:
    """Return the URL of the webhook, whose path often is a password; no message shows any part of it."""
    url = Secret(text)
    host = text.partition("://")[2].partition("/")[0].rpartition("@")[2]
    if text and not (
        text.lower().startswith(("https://", "http://")) and host and text.isascii() and text.isprintable()
    ):
        raise SettingsError(f"{WEBHOOK} should be a URL that begins with https:// or http://. Its value is not shown.")
    return url


def _serve_database_url(text: str, root: Path) -> DatabaseUrl | None:
    return DatabaseUrl.parse(text, root=root, setting=SERVE_URL) if text else None


def _scoring_threads(text: str) -> int | None:
    if not text:
        return None
    if text.isascii() and text.isdecimal() and len(text) <= 2 and 1 <= int(text) <= MOST_THREADS:
        return int(text)
    # Other text than a number is not shown: it may be a password in the wrong line.
    received = shown(text, quotes=False) if set(text) <= set("+-.0123456789") else "no number"
    raise SettingsError(f"SCORING_THREADS should be a whole number from 1 to {MOST_THREADS}. Received: {received}.")
