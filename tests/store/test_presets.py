"""The presets, each on tables with the columns of its system and rows whose right counts are worked out by hand."""

import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import preset_schemas
from recsys.importing.formats.registry import open_format
from recsys.importing.run import import_events
from recsys.settings import ProductsTable, Shop, Source, TableSource, TrackedSource, load_settings
from recsys.settings.shop import PRESETS, read_shop
from recsys.store import (
    Database,
    bought_items,
    connect,
    item_of_handle,
    migrate,
    product_cards,
    products,
    read_catalogue,
    read_interactions,
    user_events,
    write_version,
)
from recsys.store.readiness import check_mapping
from recsys.store.systems import find_systems, has_default_schema
from tests.helpers.databases import MYSQL, POSTGRESQL, new_database, run_on_mysql, run_on_postgresql
from tests.helpers.preset_cases import CASES

TABLES = Path(__file__).with_name("presets")
NOW = int(datetime(2025, 6, 1, tzinfo=UTC).timestamp())
SERVERS: Mapping[str, tuple[Callable[[str, str], None], str]] = {
    "mysql": (run_on_mysql, MYSQL),
    "postgresql": (run_on_postgresql, POSTGRESQL),
}


of_each = pytest.mark.parametrize("name", CASES)


def mapped(name: str, folder: Path, more: str = "") -> Shop:
    (folder / "recsys.toml").write_text(f'[shop]\npreset = "{name}"\n{more}', encoding="utf-8")
    return load_settings({"DATABASE_URL": "sqlite:///unused"}, folder).shop


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], tuple[Database, Shop]]]:
    """Opens the database of a preset, with its tables and our own; no test changes the shop's tables."""
    from contextlib import ExitStack

    known: dict[str, tuple[Database, Shop]] = {}
    with ExitStack() as stack:

        def open_once(name: str) -> tuple[Database, Shop]:
            if name not in known:
                url = stack.enter_context(new_database(*SERVERS[CASES[name].server]))
                db = stack.enter_context(connect(url))
                shop = mapped(name, tmp_path_factory.mktemp(name))
                fill(db, name, shop)
                known[name] = db, shop
            return known[name]

        yield open_once


def fill(db: Database, name: str, shop: Shop) -> None:
    """Make the tables of a system, or import its export, and make our own."""
    if (TABLES / name).is_dir():
        options, source = open_format("shopify-orders", TABLES / name, {})
        import_events(db, TABLES / name, options, shop=shop, source=source)
        return
    for statement in (TABLES / f"{name}.sql").read_text(encoding="utf-8").split(";\n"):
        if statement.strip():
            db.execute(statement)
    migrate(db, shop=False)


def moment(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M")


def test_each_preset_has_a_case() -> None:
    assert sorted(CASES) == sorted(path.stem for path in PRESETS.iterdir())


@of_each
def test_the_texts_fit_the_tables(name: str, opened: Callable[[str], tuple[Database, Shop]]) -> None:
    check_mapping(*opened(name))


@of_each
def test_a_system_is_known_by_its_tables(name: str, opened: Callable[[str], tuple[Database, Shop]]) -> None:
    db, shop = opened(name)
    systems = find_systems(db)
    if name == "shopify-export":
        assert not systems and has_default_schema(db)
        return
    assert [system.preset for system in systems] == [name]
    written = read_shop(tomllib.loads(systems[0].toml()))
    assert replace(written, stored_time_zone=shop.stored_time_zone) == shop


@of_each
def test_training_reads_what_was_bought(name: str, opened: Callable[[str], tuple[Database, Shop]]) -> None:
    db, shop = opened(name)

    read, dropped = read_interactions(db, shop)

    rows = zip(read.users.tolist(), read.timestamps.tolist(), read.events.tolist(), read.items.tolist(), strict=True)
    received = sorted(((user, moment(at), read.event_names[event], item) for user, at, event, item in rows), key=str)
    assert received == sorted(
        ((user, *event) for user, events in CASES[name].events.items() for event in events), key=str
    )
    assert dropped == CASES[name].dropped


@of_each
def test_recent_events_are_those_since_a_moment(name: str, opened: Callable[[str], tuple[Database, Shop]]) -> None:
    since = datetime(2025, 1, 5, 10, tzinfo=UTC)

    read, _ = read_interactions(*opened(name), since=int(since.timestamp()))

    everything = (event for events in CASES[name].events.values() for event in events)
    assert len(read) == sum(event[0] >= "2025-01-05 10:00" for event in everything)


@of_each
def test_serving_reads_the_same_of_each_user(name: str, opened: Callable[[str], tuple[Database, Shop]]) -> None:
    db, shop = opened(name)
    case = CASES[name]
    users, items = list(case.events), list(case.catalogue)
    write_version(db, f"v-{name}", data_until=0, users=_ids(users), items=_ids(items), contexts={})

    for user, expected in case.events.items():
        events = user_events(db, shop, f"v-{name}", user, 100)
        names = [events.event_names[event] for event in events.events]
        received = zip(map(moment, events.timestamps.tolist()), names, events.items.tolist(), strict=True)
        assert sorted(received, key=str) == sorted(expected, key=str), user
        assert not events.unread


@of_each
def test_what_a_user_has_bought_is_hidden(name: str, opened: Callable[[str], tuple[Database, Shop]]) -> None:
    db, shop = opened(name)
    for user, expected in CASES[name].hidden.items():
        assert set(bought_items(db, shop, user, NOW)) == expected, user


@of_each
def test_products_are_described(name: str, opened: Callable[[str], tuple[Database, Shop]]) -> None:
    db, shop = opened(name)
    expected = CASES[name].catalogue

    catalogue = read_catalogue(db, shop)
    prices = [None if np.isnan(price) else price for price in catalogue.prices.tolist()]
    columns = (catalogue.active.tolist(), catalogue.categories.tolist(), catalogue.brands.tolist(), prices)
    assert dict(zip(catalogue.items.tolist(), zip(*columns, strict=True), strict=True)) == expected

    rows = {row.item_id: (row.active, row.category, row.brand) for row in products(db, shop, list(expected))}
    assert rows == {item: values[:3] for item, values in expected.items()}


@of_each
def test_products_have_cards(name: str, opened: Callable[[str], tuple[Database, Shop]]) -> None:
    db, shop = opened(name)
    case = CASES[name]
    ids = [card.id for card in case.cards]

    assert list(
        product_cards(db, shop, [*ids, ids[0], "unknown"] if isinstance(ids[0], str) else ids).values()
    ) == list(case.cards)
    assert {handle: item_of_handle(db, shop, handle) for handle in case.handles} == case.handles


OVERRIDES = """
repeat = 30
[events]
view = 0.2
purchase = 0.5
[[sources]]
table = "visits"
user = "u"
item = "i"
event = "e"
timestamp = "t"
"""


def test_each_name_of_recsys_toml_wins_over_the_presets(tmp_path: Path) -> None:
    whole, changed = mapped("medusa", tmp_path), mapped("medusa", tmp_path, OVERRIDES)

    assert (whole.repeat_after_days, changed.repeat_after_days) == (float("inf"), 30)
    assert (whole.cancel_events, changed.cancel_events) == ((), ())
    weights = {"purchase": 1.0, "cart": 0.7, "wishlist": 0.5, "view": 0.3}
    assert dict(whole.event_weights) == weights
    assert dict(changed.event_weights) == {**weights, "view": 0.2, "purchase": 0.5}
    assert [source.table for source in changed.sources if isinstance(source, TableSource)] == ["visits"]
    assert (changed.products, changed.cards) == (whole.products, whole.cards)
    assert changed.products is not None
    tracked = mapped("medusa", tmp_path, 'tracked_events = ["view", "add_to_cart"]')
    assert [type(source) for source in tracked.sources] == [Source, TrackedSource]
    products = '[products]\ntable = "goods"\nid = "sku"'
    cards = '[shop.cards]\nquery = "SELECT 1"\n'
    assert mapped("medusa", tmp_path, cards + products).products == ProductsTable("goods", "sku")
    assert mapped("medusa", tmp_path, cards + products).cards == "SELECT 1"


@pytest.mark.parametrize(
    ("of_medusa", "is_same"),
    [("", True), ("ALTER TABLE price ADD more text;", True), ("ALTER TABLE customer ALTER email SET NOT NULL;", False)],
)
def test_the_tables_are_compared_with_the_published_ones(
    of_medusa: str, is_same: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    published = f"{(TABLES / 'medusa.sql').read_text(encoding='utf-8')}\n{of_medusa}"
    monkeypatch.setattr(preset_schemas, "medusa_sql", lambda version, folder: published)

    assert preset_schemas.main(["medusa", "--version", "2.0"]) == (0 if is_same else 1)
    difference = "not in medusa 2.0: customer.email text   there: customer.email text NOT NULL\n"
    assert (difference in capsys.readouterr().out) != is_same


def test_a_prefix_of_tables_is_a_setting(tmp_path: Path) -> None:
    for prefix, table in (("", " wc_order_stats "), ("shop_2_", " shop_2_wc_order_stats ")):
        shop = mapped("woocommerce", tmp_path, f'table_prefix = "{prefix}"')
        (source,) = shop.sources
        assert isinstance(source, Source)
        assert table in source.since and table in source.one_user
        assert "prefix" not in f"{source}{shop.products}{shop.cards}"


def test_the_words_of_medusas_tags_are_read(opened: Callable[[str], tuple[Database, Shop]]) -> None:
    catalogue = read_catalogue(*opened("medusa"))
    assert catalogue.tags is not None
    assert catalogue.tags[catalogue.items.tolist().index("shirt")] == "cotton, summer"


def _ids(values: Sequence[Any]) -> np.ndarray:
    return np.array(values, object if isinstance(values[0], str) else np.int64)
