"""Settings: the environment and recsys.toml, read once at the edge, frozen, passed down."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from types import MappingProxyType
from typing import Any
from urllib.parse import quote

from recsys.errors import SettingsError

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
        negatives: Items sampled against each event by the models with a tower, NeuMF and ENCM; never the event's own item.
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
        for name, (least, most) in TRAINING_RANGES.items():
            if not least <= getattr(self, name) <= most:
                raise SettingsError(f"[training] `{name}` should be from {least:g} to {most:g}. Received: {getattr(self, name)}.")
        if self.loss not in LOSSES:
            raise SettingsError(f"[training] `loss` should be one of {', '.join(LOSSES)}. Received: {self.loss}.")


@dataclass(frozen=True)
class Settings:
    """Everything a process is told from outside.

    Attributes:
        database_url: `sqlite:///…`, `mysql+pymysql://…` or `postgresql+psycopg://…`.
        models_dir: The folder that holds published versions.
        shop: The shop's mapping.
        training: Options of training.
        scoring_threads: How many models score at once in a process that answers; None leaves it to the size of the catalogue.
    """

    database_url: str
    models_dir: Path
    shop: Shop
    training: Training = field(default_factory=Training)
    scoring_threads: int | None = None


def load_settings(environ: Mapping[str, str], root: Path) -> Settings:
    """Read the environment, the `.env` beside the scripts and `recsys.toml`.

    Args:
        environ: The process environment; it wins over `.env`.
        root: The folder of the scripts; relative paths resolve against it.

    Raises:
        SettingsError: Nothing says where the database is, or a value is not what it should be.
    """
    if (root / ".env").is_file():
        from dotenv import dotenv_values  # only paid for where the file exists

        given = {key: value for key, value in dotenv_values(root / ".env").items() if value is not None}
        environ = {**given, **environ}
    toml_path = root / environ.get("RECSYS_TOML", "recsys.toml")
    toml: dict[str, Any] = {}
    if toml_path.is_file():
        import tomllib  # only paid for where the file exists

        try:
            toml = tomllib.loads(toml_path.read_text(encoding="utf-8"))
        except tomllib.TOMLDecodeError as error:
            raise SettingsError(f"{toml_path.name} should be valid TOML. Received: {error}.") from error
    elif "RECSYS_TOML" in environ:
        raise SettingsError(f"RECSYS_TOML should name a file. Received: {environ['RECSYS_TOML']}.")
    unknown = set(toml) - {"shop", "events", "sources", "products", "training"}
    if unknown:
        tables = "[shop], [events], [[sources]], [products], [training]"
        raise SettingsError(f"{toml_path.name} should hold {tables}. Received: {sorted(unknown)}.")
    return Settings(
        database_url=_database_url(environ, root),
        models_dir=root / environ.get("MODELS_DIR", "models"),
        shop=_shop(toml),
        training=_from_table(Training, toml.get("training", {}), "[training]"),
        scoring_threads=_scoring_threads(environ.get("SCORING_THREADS", "")),
    )


def _database_url(environ: Mapping[str, str], root: Path) -> str:
    url = environ.get("DATABASE_URL", "")
    if url.startswith("sqlite:///"):
        return f"sqlite:///{root / url.removeprefix('sqlite:///')}"
    if url:
        return url
    name = environ.get("DB_NAME") or environ.get("DB_DATABASE_NAME")
    if not name:
        raise SettingsError(
            "DATABASE_URL (or DB_HOST, DB_PORT, DB_NAME, DB_USER, DB_PASSWORD) should say where the shop's database is. "
            "Received: nothing. `make demo` writes a .env for its embedded shop."
        )
    user = environ.get("DB_USER") or environ.get("DB_USERNAME") or "root"
    password = environ.get("DB_PASSWORD") or environ.get("DB_PASS") or ""
    host, port = environ.get("DB_HOST", "127.0.0.1"), environ.get("DB_PORT", "3306")
    return f"mysql+pymysql://{quote(user, safe='')}:{quote(password, safe='')}@{host}:{port}/{quote(name, safe='')}"


def _scoring_threads(text: str) -> int | None:
    if not text:
        return None
    if text.isascii() and text.isdecimal() and len(text) <= 2 and 1 <= int(text) <= MOST_THREADS:
        return int(text)
    raise SettingsError(f"SCORING_THREADS should be a whole number from 1 to {MOST_THREADS}. Received: {text[:60]!r}.")


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
    {"table": "Comments", "user": "userId", "item": "productId", "rating": "star", "timestamp": "createdAt", "row_id": "id"},
)
DEFAULT_PRODUCTS = (
    "SELECT p.id AS item_id, CASE WHEN p.statusId = 'S1' THEN 1 ELSE 0 END AS active, p.categoryId AS category, p.brandId AS brand, "
    "(SELECT MIN(COALESCE(d.discountPrice, d.originalPrice)) FROM Productdetails d WHERE d.productId = p.id) AS price, p.name AS name "
    "FROM Products p"
)


def _shop(toml: Mapping[str, Any]) -> Shop:
    table = dict(toml.get("shop", {}))
    known = {"stored_time_zone", "time_zone", "purchase_events", "relevant_events", "cancel_events", "context_columns", "repeat"}
    if set(table) - known:
        raise SettingsError(f"[shop] should hold {sorted(known)}. Received: {sorted(set(table) - known)}.")
    repeat = table.pop("repeat", "hide")
    values: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in table.items()}
    contexts = values.get("context_columns", ("device_type",))
    products = toml.get("products", {})
    return Shop(
        sources=tuple(_source(source, contexts) for source in toml.get("sources", DEFAULT_SOURCES)),
        products=products["query"] if "query" in products else _products(products) if products else DEFAULT_PRODUCTS,
        event_weights=_event_weights(toml.get("events")),
        repeat_after_days=_repeat_after_days(repeat),
        **values,
    )


def _event_weights(table: Mapping[str, Any] | None) -> Mapping[str, float]:
    if table is None:
        return DEFAULT_EVENT_WEIGHTS
    for name, weight in table.items():
        if isinstance(weight, bool) or not isinstance(weight, int | float) or not -1 <= weight <= 1:
            raise SettingsError(f"[events] `{name}` should be a weight from -1 to 1. Received: {weight!r}.")
    return {name: float(weight) for name, weight in table.items() if weight}


def _repeat_after_days(repeat: object) -> float:
    words = {"hide": math.inf, "allow": 0.0}
    if isinstance(repeat, str) and repeat in words:
        return words[repeat]
    if not isinstance(repeat, bool) and isinstance(repeat, int | float) and repeat >= 0:
        return float(repeat)
    raise SettingsError(f'[shop] `repeat` should be "hide", "allow" or a number of days. Received: {repeat!r}.')


def _source(source: Mapping[str, str], contexts: tuple[str, ...]) -> Source:
    """Return a source's two texts, written by the shop or made from its table and column names."""
    if "since" in source or "one_user" in source:
        if set(source) != {"since", "one_user"}:
            raise SettingsError(f"[[sources]] should hold both `since` and `one_user` and no more. Received: {sorted(source)}.")
        return Source(source["since"], source["one_user"])
    missing = {"table", "user", "item", "timestamp"} - set(source)
    if missing or ("event" in source) + ("event_name" in source) + ("rating" in source) != 1:
        raise SettingsError(
            "[[sources]] should name `table`, `user`, `item`, `timestamp` and one of `event`, `event_name`, `rating`. "
            f"Received: {sorted(source)}."
        )
    for key, name in source.items():
        if key != "event_name":
            _identifier(key, name)
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


def _products(table: Mapping[str, str]) -> str:
    if not {"table", "id"} <= set(table):
        raise SettingsError(f"[products] should hold `query`, or `table` and `id`. Received: {sorted(table)}.")
    for key, name in table.items():
        if key != "active":
            _identifier(key, name)
    active = f"CASE WHEN {table['active']} THEN 1 ELSE 0 END" if "active" in table else "1"
    optional = ", ".join(f"{table.get(name, 'NULL')} AS {name}" for name in ("category", "brand", "price", "name"))
    return f"SELECT {table['id']} AS item_id, {active} AS active, {optional} FROM {table['table']}"  # noqa: S608 - names checked above


def _identifier(key: str, name: object) -> None:
    if not isinstance(name, str) or not all(part.isidentifier() for part in name.split(".")):
        raise SettingsError(f"recsys.toml `{key}` should be a plain table or column name. Received: {name!r}.")


def _from_table(kind: type[Training], table: Mapping[str, Any], where: str) -> Training:
    types = {item.name: item.type for item in fields(kind)}
    for name, value in table.items():
        if name not in types:
            raise SettingsError(f"{where} should hold {sorted(types)}. Received: {name}.")
        whole = types[name] == "int"
        if types[name] == "str":
            continue  # its words are checked where it is made
        if isinstance(value, bool) or not isinstance(value, int if whole else int | float) or value < 0:
            raise SettingsError(f"{where} `{name}` should be {'a whole number' if whole else 'a number'} from 0. Received: {value!r}.")
    return kind(**table)
