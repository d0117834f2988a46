"""A generated shop of sixty users and forty products, which trains in seconds; most tests use it.

There are three groups of users. User u prefers items with (item - 101) % 3 == u % 3, and has one favourite among them.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from recsys.artifacts import current
from recsys.contract import Response, parse_request
from recsys.data.cleaning import CleanReport
from recsys.recommending.loading import ModelBundle, load
from recsys.recommending.recommend import recommend
from recsys.scorers.base import Scorer
from recsys.scorers.registry import REGISTRY
from recsys.settings import Settings, Training, load_settings
from recsys.settings.database_url import DatabaseUrl
from recsys.store import Database, connect, migrate, write_version
from recsys.store.database import Tracer
from recsys.store.writes import fill_shop

if TYPE_CHECKING:
    from recsys.training.fitting import FittedModels, Hyperparameters
    from recsys.training.run import TrainingRun

DAY = 86_400
START = 1_704_672_000  # Monday 2024-01-08 00:00 UTC
N_DAYS = 240
NOW = START + (N_DAYS + 7) * DAY  # a week after the last event
USERS = range(60)  # 0 is a valid id
ITEMS = range(101, 141)
CATEGORIES = ("tea", "coffee", "honey")  # one for each group of users
BRANDS = ("Nord", "Sud")
INACTIVE = frozenset({134, 135, 136, 140})  # 140 has no event, the others have some
RARE = 137  # active, with fewer events than training needs
NEW = (138, 139)  # active, without any event
LEARNED = range(101, 137)  # the items that training knows
FAST = Training(dim=8, factors=8, epochs=2, batch=128, window=20, shared_negatives=64, learning_rate=0.02)

Row = dict[str, Any]


class Quiet:
    """A `Progress` that ignores everything."""

    def rows(self, n_rows: int) -> None:
        pass

    def cleaned(self, report: CleanReport) -> None:
        pass

    def stage(self, title: str) -> None:
        pass

    def planned(self, seconds: object) -> None:
        pass

    def step(self, text: str) -> None:
        pass

    def epoch(self, epoch: object) -> None:
        pass

    def note(self, text: str) -> None:
        pass

    def decided(self, run: object) -> None:
        pass


@dataclass(frozen=True)
class Published:
    """The tiny shop with a published version of it.

    Attributes:
        folder: Holds `shop.sqlite` and `models/`.
        version: The version's name.
        elsewhere: The URL of the shop's database; None for that SQLite file.
    """

    folder: Path
    version: str
    elsewhere: str | None = None

    @property
    def url(self) -> str:
        return self.elsewhere or f"sqlite:///{self.folder / 'shop.sqlite'}"

    @property
    def models_dir(self) -> Path:
        return self.folder / "models"

    @property
    def environ(self) -> dict[str, str]:
        """The environment variables of a process on this shop."""
        return {"DATABASE_URL": self.url, "MODELS_DIR": str(self.models_dir)}

    @property
    def settings(self) -> Settings:
        return fast_settings(self.url, self.models_dir)

    def copy(self, folder: Path) -> Published:
        """Return a copy that a test may damage."""
        shutil.copytree(self.folder, folder, dirs_exist_ok=True)
        return Published(folder, self.version)

    def add(self, rows: Sequence[Row]) -> None:
        """Insert events."""
        with connect(self.url) as db:
            db.insert("Interactions", rows)

    def execute(self, sql: str) -> None:
        with connect(self.url) as db:
            db.execute(sql)

    def load(self, **scorers: Scorer) -> ModelBundle:
        """Return the version as it serves, with stand-ins for some of its scorers."""
        bundle = load(self.models_dir)
        bundle.scorers.update(scorers)
        return bundle

    def ask(
        self, bundle: ModelBundle | None = None, *, now: int = NOW, tracer: Tracer | None = None, **fields: Any
    ) -> Response:
        """Return the answer to a request of the wire contract."""
        request = parse_request(json.dumps(fields).encode(), models=tuple(REGISTRY))
        with connect(self.url, tracer=tracer) as db:
            return recommend(request, bundle or self.load(), db, shop=self.settings.shop, now=now)


def shown(response: Response) -> list[int | str]:
    """Return the product ids of an answer."""
    return [item.product_id for item in response.items]


def moved(published: Published, url: str, own_tables: str = "") -> Published:
    """Return the shop in another, empty database, with the version's encoders beside it, or in the place of our own."""
    address = replace(DatabaseUrl.parse(url), own_tables=own_tables)
    fill(address)
    version = current(published.models_dir)
    encoders = version.arrays("encoders.h5")
    with connect(address) as db:
        write_version(
            db,
            published.version,
            data_until=version.manifest["data_until"],
            users=encoders["users"],
            items=encoders["items"],
            contexts=version.json("contexts.json"),
        )
    return replace(published, elsewhere=url)


def fast_settings(url: str, models_dir: Path) -> Settings:
    """Return default settings with options that train in seconds."""
    settings = load_settings({"DATABASE_URL": url, "MODELS_DIR": str(models_dir)}, models_dir)
    return Settings(settings.database_url, models_dir, settings.shop, FAST)


def fill(url: str | DatabaseUrl, tables: dict[str, list[Row]] | None = None) -> None:
    """Write the tiny shop, or other tables, into an empty database."""
    with connect(url, create=True) as db:
        migrate(db)
        fill_shop(db, tiny_shop() if tables is None else tables, empty_first=False)


def count(db: Database, table: str) -> int:
    return int(db.query(f"SELECT COUNT(*) FROM {table}")[0][0])  # noqa: S608 - our own names


@dataclass(frozen=True)
class Trained:
    """A training run that published.

    Attributes:
        published: The shop with its version.
        run: The run, so that tests can publish again without another fit.
    """

    published: Published
    run: TrainingRun

    @property
    def evaluated(self) -> FittedModels:
        """The fit before the test cut."""
        return self.run.evaluated

    @property
    def final(self) -> FittedModels:
        """The fit that serves."""
        return self.run.final

    @property
    def hyperparameters(self) -> Hyperparameters:
        """What validation decided."""
        return self.run.hyperparameters


def train_in(folder: Path) -> Trained:
    """Fill a shop in a folder, train on it and publish.

    Fits run eagerly, because tracing a graph takes longer than a tiny fit.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import tensorflow as tf

    from recsys.training.train import train

    url = f"sqlite:///{folder / 'shop.sqlite'}"
    fill(url)
    tf.config.run_functions_eagerly(True)
    try:
        run = train(fast_settings(url, folder / "models"), now=NOW, progress=Quiet())
    finally:
        tf.config.run_functions_eagerly(False)
    assert run.version is not None
    return Trained(Published(folder, run.version), run)


def tiny_shop() -> dict[str, list[Row]]:
    """Return the rows of each table; they are always the same."""
    return {"Products": products(), "Productdetails": prices(), "Interactions": interactions(), "Comments": stars()}


def products() -> list[Row]:
    return [
        {
            "id": item,
            "name": f"{CATEGORIES[(item - 101) % 3].title()} {item}",
            "statusId": "S2" if item in INACTIVE else "S1",
            "categoryId": CATEGORIES[(item - 101) % 3],
            "brandId": BRANDS[item % 2],
        }
        for item in ITEMS
    ]


def prices() -> list[Row]:
    """101 costs 5, 102 costs 6, and so on; every tenth is discounted by 2."""
    return [
        {"productId": item, "originalPrice": item - 96.0, "discountPrice": item - 98.0 if item % 10 == 0 else None}
        for item in ITEMS
    ]


def interactions() -> list[Row]:
    rng = np.random.default_rng(2024)
    rows = [row for user in USERS for row in visits(user, rng)]
    rows += [event(user, RARE, "view", START + 100 * DAY + user) for user in (1, 2)]
    return sorted(rows, key=lambda row: (row["timestamp"], row["userId"]))


def visits(user: int, rng: np.random.Generator) -> list[Row]:
    """Return the events of one user: at each visit they view two items, put one into the cart and often buy it."""
    group, rows = user % 3, []
    liked = [item for item in LEARNED if (item - 101) % 3 == group]
    favourite = liked[user // 3 % 11]
    hour = (8, 14, 20)[group]  # tea in the morning, coffee in the afternoon, honey in the evening
    for number, day in enumerate(np.sort(rng.choice(N_DAYS, 3 if user >= 57 else 16, replace=False)).tolist()):
        moment = START + day * DAY + hour * 3600 + 10 * user
        viewed = int(rng.choice(liked if rng.random() < 0.9 else LEARNED))
        chosen = favourite if number % 3 == 0 else int(rng.choice(liked if rng.random() < 0.9 else LEARNED))
        rows += [event(user, viewed, "view", moment), event(user, chosen, "view", moment + 60)]
        if rng.random() < 0.8:
            rows.append(event(user, chosen, "cart", moment + 120))
            if rng.random() < 0.7:
                rows.append(event(user, chosen, "purchase", moment + 180))
    return rows


def event(user: int, item: int, action: str, timestamp: int) -> Row:
    device = ("mobile", "desktop", None)[user % 3 if user % 4 else 2]
    return {
        "userId": user,
        "productId": item,
        "actionCode": action,
        "device_type": device,
        "timestamp": stored_time(timestamp),
    }


def stored_time(timestamp: int) -> str:
    return str(np.datetime64(timestamp, "s")).replace("T", " ")


def bought(user: int, since: int = 0) -> set[int]:
    """Return the items that a user bought at or after a moment."""
    first = stored_time(since)
    return {
        row["productId"]
        for row in interactions()
        if row["userId"] == user and row["actionCode"] == "purchase" and row["timestamp"] >= first
    }


def stars() -> list[Row]:
    """Every fifth user rates one item of their group with five stars and one of another group with one star."""
    rows = []
    for user in USERS[::5]:
        for item, star in ((101 + user % 3, 5), (101 + (user + 1) % 3, 1)):
            rows.append(
                {"userId": user, "productId": item, "star": star, "createdAt": stored_time(START + 200 * DAY + user)}
            )
    return rows
