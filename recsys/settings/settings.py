"""Settings of a process: the environment, .env and recsys.toml, read once at the start."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from recsys.errors import SettingsError
from recsys.errors.secrets import Secret
from recsys.settings.checks import listed, shown
from recsys.settings.database_url import DatabaseUrl
from recsys.settings.shop import Shop, read_shop
from recsys.settings.training import Training, read_training

MOST_THREADS = 64  # more than there are models
SECRETS = ("DB_PASSWORD", "DB_PASS", "JWT_SECRET", "METRICS_TOKEN")  # some are the backend's, which reads the same .env


@dataclass(frozen=True)
class Settings:
    """All settings of a process.

    Attributes:
        database_url: Where the shop's database is.
        models_dir: The folder that holds published versions.
        shop: The shop's mapping.
        training: Options of training.
        scoring_threads: Models that score at once in a serving process, 1 to 64. None lets the size of the catalogue
            decide.
    """

    database_url: DatabaseUrl
    models_dir: Path
    shop: Shop
    training: Training = field(default_factory=Training)
    scoring_threads: int | None = None


def load_settings(environ: Mapping[str, str], root: Path) -> Settings:
    """Read the environment, the `.env` beside the scripts and `recsys.toml`.

    An empty variable counts as not set.

    Args:
        environ: The process environment; it wins over `.env`.
        root: The folder of the scripts; relative paths resolve against it.

    Raises:
        SettingsError: No variable names the database, or a value is not what it should be.
    """
    variables = {name: value for name, value in {**_dotenv(root), **environ}.items() if value}
    for name in SECRETS:
        Secret(variables.get(name, ""))
    toml = _toml(variables.get("RECSYS_TOML"), root)
    return Settings(
        database_url=_database_url(variables, root),
        models_dir=_models_dir(root / variables.get("MODELS_DIR", "models")),
        shop=read_shop(toml),
        training=read_training(toml),
        scoring_threads=_scoring_threads(variables.get("SCORING_THREADS", "")),
    )


def _dotenv(root: Path) -> Mapping[str, str]:
    text = _text_of(root / ".env", ".env")
    if text is None:
        return {}
    import io

    from dotenv import dotenv_values  # only paid for where the file exists

    return {name: value for name, value in dotenv_values(stream=io.StringIO(text)).items() if value is not None}


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
    if unknown := set(toml) - {"shop", "events", "sources", "products", "training"}:
        tables = "[shop], [events], [[sources]], [products], [training]"
        raise SettingsError(f"{path.name} should hold {tables}. Received: {listed(sorted(unknown))}.")
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


def _scoring_threads(text: str) -> int | None:
    if not text:
        return None
    if text.isascii() and text.isdecimal() and len(text) <= 2 and 1 <= int(text) <= MOST_THREADS:
        return int(text)
    # Other text than a number is not shown: it may be a password in the wrong line.
    received = shown(text)[1:-1] if set(text) <= set("+-.0123456789") else "no number"
    raise SettingsError(f"SCORING_THREADS should be a whole number from 1 to {MOST_THREADS}. Received: {received}.")
