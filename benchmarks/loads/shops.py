"""Synthetic shops: tables of a given size, and a published version that fits them."""

from __future__ import annotations

import multiprocessing
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.loads.databases import databases
from benchmarks.loads.users import FIRST_ITEM, SECONDS_PER_DAY, SyntheticUsers, make_users
from benchmarks.loads.weights import Popularity
from recsys import store
from recsys.artifacts import Draft, activate, open_version
from recsys.data.interactions import Catalogue
from recsys.settings import Settings, Training, load_settings
from recsys.store.writes import Row

CATEGORIES, BRANDS = tuple(f"category-{n:02}" for n in range(20)), tuple(f"brand-{n:02}" for n in range(50))
SOLD = 0.98  # share of the catalogue
CHUNK = 20_000  # rows in a transaction
Say = Callable[[str], object]


@dataclass(frozen=True)
class Size:
    """Size of a synthetic shop.

    Attributes:
        items: Number of products in the shop, all known to the version.
        users: Number of users that the version knows.
        customers: Number of users with a usual history; the kept results have this name.
        history: Median number of their events.
    """

    items: int
    users: int
    customers: int = 4000
    history: int = 50

    @property
    def label(self) -> str:
        """The size in words."""
        return f"{self.items:,} items, {self.users:,} users"


@dataclass(frozen=True)
class SyntheticShop:
    """A shop that can answer requests.

    Attributes:
        size: Of the shop.
        folder: Holds `models/`, the empty `recsys.toml` and, if there is one, the SQLite file.
        urls: The same tables in each database.
        version: The name of the active version.
        groups: External ids of users by group; see `SyntheticUsers`.
    """

    size: Size
    folder: Path
    urls: Mapping[str, str]
    version: str
    groups: Mapping[str, Sequence[int]]

    @property
    def models_dir(self) -> Path:
        """The folder of versions."""
        return self.folder / "models"

    def environ(self, database: str) -> dict[str, str]:
        """Return the variables of a process that serves from a database; they override `.env` and `recsys.toml`."""
        urls = {"DATABASE_URL": self.urls[database], "MODELS_DIR": str(self.models_dir)}
        return {**urls, "RECSYS_TOML": str(self.folder / "recsys.toml")}

    def settings(self, database: str) -> Settings:
        """Return the settings that such a process reads."""
        return load_settings(self.environ(database), self.folder)


@contextmanager
def synthetic_shop(
    size: Size, server: str | None, say: Callable[[str], object], options: Training | None = None
) -> Iterator[SyntheticShop]:
    """Make a shop in a folder of its own; folder and database are removed at the end.

    Args:
        size: Size of the shop.
        server: URL of a MariaDB server; None makes the SQLite file only.
        say: Called with a line about time and disk space.
        options: Widths of the networks; training's own by default.
    """
    since, folder = time.perf_counter(), Path(tempfile.mkdtemp(prefix="recsys-bench-"))
    try:
        with databases(folder, server) as urls:
            made = in_its_own_process(make, size, folder, urls, options or Training())
            say(f"made a shop of {size.label}: {time.perf_counter() - since:.0f} s, {disk_bytes(folder) / 1e9:.2f} GB")
            yield made
    finally:
        shutil.rmtree(folder)


def make(size: Size, folder: Path, urls: Mapping[str, str], options: Training) -> SyntheticShop:
    """Fill databases, publish a version that fits them, and make it the active one.

    Args:
        size: Of the shop.
        folder: To be filled.
        urls: Of empty databases.
        options: Widths of the networks.
    """
    (folder / "recsys.toml").touch()
    rng = np.random.default_rng(options.seed)
    popularity, now = Popularity(rng, size.items), int(time.time())
    catalogue = make_catalogue(rng, size.items)
    sizes = {"n_users": size.users, "n_usual": min(size.customers, size.users // 2), "history": size.history}
    users = make_users(rng, popularity, **sizes, data_until=now - SECONDS_PER_DAY)
    for url in urls.values():
        fill(url, catalogue, users)
    told = load_settings({"DATABASE_URL": next(iter(urls.values())), "MODELS_DIR": str(folder / "models")}, folder)
    settings = Settings(told.database_url, told.models_dir, told.shop, options)
    from benchmarks.loads.versions import publish  # TensorFlow takes seconds, which filling need not wait for

    with Draft.create(settings.models_dir, now) as draft:
        version = publish(draft, settings, users, catalogue, popularity, size.users)
    made = SyntheticShop(size, folder, dict(urls), version, users.groups)
    put_encoders(made, version)
    activate(settings.models_dir, version)
    return made


def make_catalogue(rng: np.random.Generator, n_items: int) -> Catalogue:
    """Return products of twenty categories and fifty brands, of which some are not sold any more."""
    categories, brands = (
        np.array(words, object)[rng.integers(0, len(words), n_items)] for words in (CATEGORIES, BRANDS)
    )
    prices = np.round(np.exp(rng.normal(3, 1, n_items)), 2)
    return Catalogue(
        np.arange(FIRST_ITEM, FIRST_ITEM + n_items), rng.random(n_items) < SOLD, categories, brands, prices
    )


def fill(url: str, catalogue: Catalogue, users: SyntheticUsers) -> None:
    """Write the shop's tables into an empty database."""
    with store.connect(url, create=True) as db:
        store.migrate(db)
        for table, rows in {**_products(catalogue), "Interactions": users.rows()}.items():
            db.insert(table, rows, chunk=CHUNK)


def _products(catalogue: Catalogue) -> dict[str, Iterator[Row]]:
    columns = (
        column.tolist() for column in (catalogue.items, catalogue.active, catalogue.categories, catalogue.brands)
    )
    products = (
        {
            "id": item,
            "name": f"Product {item}",
            "statusId": "S1" if active else "S2",
            "categoryId": category,
            "brandId": brand,
        }
        for item, active, category, brand in zip(*columns, strict=True)
    )
    priced = zip(catalogue.items.tolist(), catalogue.prices.tolist(), strict=True)
    return {
        "Products": products,
        "Productdetails": ({"productId": item, "originalPrice": price} for item, price in priced),
    }


def put_encoders(shop: SyntheticShop, version: str) -> None:
    """Write a version's encoders into every database of a shop, as training does."""
    with open_version(shop.models_dir, version) as opened:
        ids, contexts = opened.arrays("encoders.h5"), opened.json("contexts.json")
        for url in shop.urls.values():
            with store.connect(url) as db:
                until = opened.manifest["data_until"]
                store.write_version(
                    db,
                    version,
                    data_until=until,
                    users=ids["users"],
                    items=ids["items"],
                    contexts=contexts,
                    chunk=CHUNK,
                )
                store.set_active(db, version)


def in_its_own_process(function: Callable[..., SyntheticShop], *arguments: object) -> SyntheticShop:
    """Return what a function returns in a new process: whatever it loads is none of what is measured afterwards."""
    with ProcessPoolExecutor(max_workers=1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


def disk_bytes(folder: Path) -> int:
    """Return how many bytes of the disk the files of a folder take; one that has several names counts once."""
    files = {status.st_ino: status for path in folder.rglob("*") if not path.is_symlink() and (status := path.stat())}
    return sum(getattr(status, "st_blocks", -(-status.st_size // 512)) * 512 for status in files.values())
