"""Settings: the environment and recsys.toml, read once at the edge, frozen, passed down."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from types import MappingProxyType
from typing import Any

from recsys.errors import SettingsError
from recsys.errors.secrets import Secret
from recsys.settings.checks import (
    NAME,
    NAMES,
    REPEAT,
    SOME_NAMES,
    TEXT,
    ZONE,
    ScorerSpec,
    checked,
    listed,
    number,
    one_of,
    shown,
)
from recsys.settings.database_url import DatabaseUrl

DEFAULT_EVENT_WEIGHTS = MappingProxyType(
    {
        "purchase": 1.0,
        "cart": 0.7,
        "wishlist": 0.5,
        "view": 0.3,
        "star5": 0.6,
        "star4": 0.4,
        "star3": 0.1,
        "star2": -0.3,
        "star1": -0.5,
    }
)


@dataclass(frozen=True)
class Source:
    """One place where the shop keeps events, as two SQL texts.

    Both texts return the columns `user_id, item_id, event, timestamp, row_id` and any context columns.

    Attributes:
        since: Every event at or after `:since` (in the stored time zone).
        one_user: Every event of `:user_id`.
    """

    since: str
    one_user: str


@dataclass(frozen=True)
class Shop:
    """How a shop's own tables and words map to ours.

    Attributes:
        sources: Where events are read.
        products: SQL text returning `item_id, active, category, brand, price` and maybe `name`, one row a product.
        stored_time_zone: The zone that the tables' timestamps are in.
        time_zone: The zone the shop's customers live in; time_of_day and season follow it.
        event_weights: Confidence of each event, -1 to 1; events without one, or with 0, are dropped.
            Ratings are `star1` … `star5`.
        purchase_events: Events that mean "has bought": the repeat rule hides these items.
        relevant_events: Events that count as a hit in evaluation.
        cancel_events: Events that annul the newest earlier purchase of the same item by the same user.
        context_columns: Context columns of the sources, known before the choice.
        repeat_after_days: Days for which a bought item stays hidden: infinity hides for ever, 0 allows repeats at once.
    """

    sources: tuple[Source, ...]
    products: str
    stored_time_zone: str = "UTC"
    time_zone: str = "UTC"
    event_weights: Mapping[str, float] = field(default_factory=lambda: DEFAULT_EVENT_WEIGHTS)
    purchase_events: tuple[str, ...] = ("purchase",)
    relevant_events: tuple[str, ...] = ("purchase", "cart")
    cancel_events: tuple[str, ...] = ("cancel",)
    context_columns: tuple[str, ...] = ("device_type",)
    repeat_after_days: float = math.inf


_COUNT, _RATE = (1, 10**9), (1e-9, 1.0)  # at least one; above 0
TRAINING_RANGES: Mapping[str, tuple[float, float]] = {
    **dict.fromkeys(("dim", "factors", "epochs", "batch", "window", "negatives", "shared_negatives"), _COUNT),
    **dict.fromkeys(("min_item_events", "max_user_events_per_day", "max_exam_users"), _COUNT),
    **dict.fromkeys(("learning_rate", "slow_decay", "fast_decay"), _RATE),
    **dict.fromkeys(("l2", "negative_power", "dropped_users", "dropped_contexts"), (0.0, 1.0)),
    "dropout": (0.0, 0.9),
    **dict.fromkeys(("test_quantile", "validation_quantile"), (0.01, 0.99)),
    "half_life_days": (0.0, 1e6),
    "seed": (0, 2**31 - 1),
}
LOSSES = ("softmax", "bce")
MOST_THREADS = 64  # more than there are models


@dataclass(frozen=True)
class Training:
    """How `train.py` cleans, cuts, fits and evaluates.

    Attributes:
        dim: Width of every embedding of the networks.
        factors: Width of the matrix factorisation that all models share.
        epochs: Passes over the events for each fit at most; validation may end it earlier.
        batch: Windows of events in one gradient step.
        window: Consecutive events of one user in one window; a block of LNCM's attention sees as many.
        loss: `softmax`, each event against sampled items at once, or `bce`, binary cross-entropy one by one.
        negatives: Items sampled against each event by the models with a tower, NeuMF and ENCM; never the event's own
            item.
        shared_negatives: Items sampled in each step against all its events by the others, BMF and LNCM.
        negative_power: Items are sampled by popularity to this power; 0 is uniform.
        learning_rate: Largest step size of Adam; it falls to 0 over the epochs.
        l2: Weight decay, decoupled: each step takes off this share of the weights times the step size.
        dropout: Share of activations dropped in training.
        dropped_users: Share of samples trained without the user's own embedding, so that guests are answered.
        dropped_contexts: Share of context values trained as "unknown".
        slow_decay: Weight of a history item falls by this factor for each newer item; the long memory.
        fast_decay: Weight of a history item falls by this factor for each newer item; the short memory.
        half_life_days: An event's confidence halves in so many days; 0 switches time decay off.
        min_item_events: Items with fewer events are left out.
        max_user_events_per_day: Users above this rate on their busiest day are bots.
        test_quantile: The share of events before the cut; the exam is after it.
        validation_quantile: The share of the training part before the validation cut.
        max_exam_users: A larger exam is sampled down to so many users.
        seed: Seed of every random draw.
    """

    dim: int = 64
    factors: int = 128
    epochs: int = 8
    batch: int = 64
    window: int = 50
    loss: str = "softmax"
    negatives: int = 8
    shared_negatives: int = 512
    negative_power: float = 0.0
    learning_rate: float = 2e-3
    l2: float = 0.0
    dropout: float = 0.2
    dropped_users: float = 0.2
    dropped_contexts: float = 0.12
    slow_decay: float = 0.98
    fast_decay: float = 0.8
    half_life_days: float = 180.0
    min_item_events: int = 3
    max_user_events_per_day: int = 2000
    test_quantile: float = 0.8
    validation_quantile: float = 0.9
    max_exam_users: int = 3000
    seed: int = 7

    def __post_init__(self) -> None:
        for name, kind in TRAINING_KINDS.items():
            kind.of(getattr(self, name), f"[training] `{name}`")


TRAINING_KINDS: Mapping[str, ScorerSpec] = {
    option.name: number(*TRAINING_RANGES[option.name], whole=option.type == "int")
    if option.type != "str"
    else one_of(LOSSES)
    for option in fields(Training)
}


@dataclass(frozen=True)
class Settings:
    """Everything a process is told from outside.

    Attributes:
        database_url: Where the shop's database is.
        models_dir: The folder that holds published versions.
        shop: The shop's mapping.
        training: Options of training.
        scoring_threads: How many models score at once in a process that answers; None leaves it to the size of the
            catalogue.
    """

    database_url: DatabaseUrl
    models_dir: Path
    shop: Shop
    training: Training = field(default_factory=Training)
    scoring_threads: int | None = None


SECRETS = ("DB_PASSWORD", "DB_PASS", "JWT_SECRET", "METRICS_TOKEN")  # some are the backend's: it reads the same .env


def load_settings(environ: Mapping[str, str], root: Path) -> Settings:
    """Read the environment, the `.env` beside the scripts and `recsys.toml`. A variable that is empty is not set.

    Args:
        environ: The process environment; it wins over `.env`.
        root: The folder of the scripts; relative paths resolve against it.

    Raises:
        SettingsError: Nothing says where the database is, or a value is not what it should be.
    """
    given = {name: value for name, value in {**_dotenv(root), **environ}.items() if value}
    for name in SECRETS:
        Secret(given.get(name, ""))
    toml = _toml(given.get("RECSYS_TOML"), root)
    return Settings(
        database_url=_database_url(given, root),
        models_dir=_models_dir(root / given.get("MODELS_DIR", "models")),
        shop=_shop(toml),
        training=Training(**checked(toml.get("training", {}), TRAINING_KINDS, "[training]")),
        scoring_threads=_scoring_threads(given.get("SCORING_THREADS", "")),
    )


def _dotenv(root: Path) -> Mapping[str, str]:
    text = _text_of(root / ".env", ".env")
    if text is None:
        return {}
    import io

    from dotenv import dotenv_values  # only paid for where the file exists

    return {name: value for name, value in dotenv_values(stream=io.StringIO(text)).items() if value is not None}


def _toml(named: str | None, root: Path) -> Mapping[str, Any]:
    path = root / (named or "recsys.toml")
    text = _text_of(path, "RECSYS_TOML" if named else path.name)
    if text is None:
        if named:
            raise SettingsError(f"RECSYS_TOML should name a file. Received: {shown(named)}.")
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
    """Return a file's text, or None where there is no file."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        return None
    except UnicodeDecodeError as error:  # which would tell the byte
        line = error.object[: error.start].count(b"\n") + 1
        raise SettingsError(
            f"{what} should be a text file in UTF-8. Received: another encoding, in line {line}."
        ) from None
    except OSError as error:
        raise SettingsError(f"{what} should be a file that this user may read. Received: {error.strerror}.") from error
    if "\0" in text:
        raise SettingsError(f"{what} should be a text file in UTF-8. Received: a zero byte.")
    return text


def _models_dir(path: Path) -> Path:
    if path.is_file():
        raise SettingsError(f"MODELS_DIR should be a folder. Received: the file {shown(path.name)}.")
    return path


def _database_url(given: Mapping[str, str], root: Path) -> DatabaseUrl:
    if "DATABASE_URL" in given:
        return DatabaseUrl.parse(given["DATABASE_URL"], root=root)
    name = given.get("DB_NAME") or given.get("DB_DATABASE_NAME")
    if not name:
        raise SettingsError(
            "DATABASE_URL (or DB_HOST, DB_PORT, DB_NAME, DB_USER, DB_PASSWORD) should say where the shop's database is. "
            "Received: nothing. `make demo` writes a .env for its embedded shop."
        )
    return DatabaseUrl.of_pieces(
        host=given.get("DB_HOST", "127.0.0.1"),
        port=given.get("DB_PORT", "3306"),
        name=name,
        user=given.get("DB_USER") or given.get("DB_USERNAME") or "root",
        password=given.get("DB_PASSWORD") or given.get("DB_PASS") or "",
    )


def _scoring_threads(text: str) -> int | None:
    if not text:
        return None
    if text.isascii() and text.isdecimal() and len(text) <= 2 and 1 <= int(text) <= MOST_THREADS:
        return int(text)
    received = (
        shown(text)[1:-1] if set(text) <= set("+-.0123456789") else "no number"
    )  # a password may stand in the wrong line
    raise SettingsError(f"SCORING_THREADS should be a whole number from 1 to {MOST_THREADS}. Received: {received}.")


DEFAULT_SOURCES: tuple[Mapping[str, str], ...] = (
    {
        "table": "Interactions",
        "user": "userId",
        "item": "productId",
        "event": "actionCode",
        "timestamp": "timestamp",
        "row_id": "interId",
        "device_type": "device_type",
    },
    {
        "table": "Comments",
        "user": "userId",
        "item": "productId",
        "rating": "star",
        "timestamp": "createdAt",
        "row_id": "id",
    },
)
DEFAULT_PRODUCTS = (
    "SELECT p.id AS item_id, CASE WHEN p.statusId = 'S1' THEN 1 ELSE 0 END AS active, p.categoryId AS category, p.brandId AS brand, "
    "(SELECT MIN(COALESCE(d.discountPrice, d.originalPrice)) FROM Productdetails d WHERE d.productId = p.id) AS price, p.name AS name "
    "FROM Products p"
)


SHOP_KINDS: Mapping[str, ScorerSpec] = {
    "stored_time_zone": ZONE,
    "time_zone": ZONE,
    "repeat": REPEAT,
    "purchase_events": NAMES,
    "relevant_events": SOME_NAMES,
    "cancel_events": NAMES,
    "context_columns": NAMES,
}
SOURCE_COLUMNS = ("user", "item", "timestamp", "event", "rating", "row_id")
SOURCE_KINDS: Mapping[str, ScorerSpec] = {"table": NAME, **dict.fromkeys(SOURCE_COLUMNS, NAME), "event_name": TEXT}
STATEMENT_KINDS: Mapping[str, ScorerSpec] = {"since": TEXT, "one_user": TEXT}
PRODUCT_KINDS: Mapping[str, ScorerSpec] = {
    "query": TEXT,
    **dict.fromkeys(("table", "id"), NAME),
    "active": TEXT,
    **dict.fromkeys(("category", "brand", "price", "name"), NAME),
}
# What a source's columns are called already, and the contexts that are derived.
NO_CONTEXTS = frozenset({*SOURCE_KINDS, "user_id", "item_id", "time_of_day", "season", "category"})


def _shop(toml: Mapping[str, Any]) -> Shop:
    values = checked(toml.get("shop", {}), SHOP_KINDS, "[shop]")
    contexts = values.get("context_columns", ("device_type",))
    for name in contexts:
        if not name.isidentifier() or name in NO_CONTEXTS:
            names = f"plain names, other than {listed(sorted(NO_CONTEXTS))}"
            raise SettingsError(f"[shop] `context_columns` should be {names}. Received: {shown(name)}.")
    repeat = values.pop("repeat", math.inf)
    return Shop(
        sources=_sources(toml["sources"], contexts) if "sources" in toml else _default_sources(contexts),
        products=_products(toml["products"]) if "products" in toml else DEFAULT_PRODUCTS,
        event_weights=_event_weights(toml["events"]) if "events" in toml else DEFAULT_EVENT_WEIGHTS,
        repeat_after_days=repeat,
        **values,
    )


def _event_weights(table: object) -> Mapping[str, float]:
    names = table if isinstance(table, Mapping) else {}
    weights = checked(table, dict.fromkeys(names, number(-1, 1)), "[events]")
    if not any(weight > 0 for weight in weights.values()):
        raise SettingsError(
            f"[events] should give at least one event a weight above 0. Received: {shown(dict(names))}."
        )
    return {name: weight for name, weight in weights.items() if weight}


def _default_sources(contexts: Sequence[str]) -> tuple[Source, ...]:
    return tuple(_named_source(source, contexts) for source in DEFAULT_SOURCES)


def _sources(blocks: object, contexts: Sequence[str]) -> tuple[Source, ...]:
    if not isinstance(blocks, list) or not blocks:
        raise SettingsError(f"[[sources]] should be one block or more. Received: {shown(blocks)}.")
    places = (
        ["[[sources]]"]
        if len(blocks) == 1
        else [f"[[sources]] (block {number})" for number in range(1, len(blocks) + 1)]
    )
    return tuple(_source(block, contexts, where) for block, where in zip(blocks, places, strict=True))


def _source(block: object, contexts: Sequence[str], where: str) -> Source:
    """Return a source's two texts, written by the shop or made from its table and column names."""
    names = set(block) if isinstance(block, Mapping) else set()
    if names & set(STATEMENT_KINDS):
        if names != set(STATEMENT_KINDS):
            raise SettingsError(
                f"{where} should hold both `since` and `one_user` and no more. Received: {listed(sorted(names))}."
            )
        return Source(**checked(block, STATEMENT_KINDS, where))
    source = checked(block, {**SOURCE_KINDS, **dict.fromkeys((*contexts, "device_type"), NAME)}, where)
    if not {"table", "user", "item", "timestamp"} <= names or len(names & {"event", "event_name", "rating"}) != 1:
        raise SettingsError(
            f"{where} should name `table`, `user`, `item`, `timestamp` and one of `event`, `event_name`, `rating`. "
            f"Received: {listed(sorted(names)) or 'nothing'}."
        )
    return _named_source(source, contexts)


def _named_source(source: Mapping[str, str], contexts: Sequence[str]) -> Source:
    """Return the two texts that read a table's events, whose names are checked."""
    if "event" in source:
        event = source["event"]
    elif "rating" in source:
        event = source["rating"]
    else:
        event = "'" + source["event_name"].replace("'", "''") + "'"
    columns = [f"{source['user']} AS user_id", f"{source['item']} AS item_id"]
    columns.append(f"{event} AS {'rating' if 'rating' in source else 'event'}")
    columns.append(f"{source['timestamp']} AS timestamp")
    columns.append(f"{source['row_id']} AS row_id" if "row_id" in source else "0 AS row_id")
    columns += [f"{source[name]} AS {name}" for name in contexts if name in source]
    select = f"SELECT {', '.join(columns)} FROM {source['table']}"  # noqa: S608 - names checked above
    if "rating" in source:
        return Source(
            f"{select} WHERE {source['timestamp']} >= :since AND {event} IS NOT NULL",
            f"{select} WHERE {source['user']} = :user_id AND {event} IS NOT NULL",
        )
    return Source(f"{select} WHERE {source['timestamp']} >= :since", f"{select} WHERE {source['user']} = :user_id")


def _products(written: object) -> str:
    table = checked(written, PRODUCT_KINDS, "[products]")
    if set(table) == {"query"}:
        return str(table["query"])
    if "query" in table or not {"table", "id"} <= set(table):
        raise SettingsError(
            f"[products] should hold `query` alone, or `table` and `id`. Received: {listed(sorted(table)) or 'nothing'}."
        )
    active = f"CASE WHEN {table['active']} THEN 1 ELSE 0 END" if "active" in table else "1"
    optional = ", ".join(f"{table.get(name, 'NULL')} AS {name}" for name in ("category", "brand", "price", "name"))
    return f"SELECT {table['id']} AS item_id, {active} AS active, {optional} FROM {table['table']}"  # noqa: S608 - names checked above
