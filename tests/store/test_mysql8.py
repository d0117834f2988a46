"""Every statement that reaches MySQL is one of MySQL 8, not of MariaDB alone; the suite itself runs on MariaDB."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sqlglot

from recsys.settings import Shop, load_settings
from recsys.settings.database_url import DatabaseUrl
from recsys.settings.shop import PRESETS, TRACKED_EVENTS
from recsys.store import connect, migrate
from recsys.store.cards import COLUMNS
from recsys.store.drivers.mysql import SYNTAX
from recsys.store.migrations import statements
from recsys.store.names import written
from recsys.store.shop_mapping import cards_sql, products_sql, source_sql
from tests.helpers.databases import MYSQL, new_database, run_on_mysql

ROOT = Path(__file__).parents[2]
MIGRATIONS = sorted((ROOT / "recsys" / "store" / "migrations").glob("*.sql"))
OF_MYSQL = ("woocommerce", "magento", "opencart", "prestashop", "shopware")
BEGINS = re.compile(r"^\s*(?:SELECT|INSERT INTO|UPDATE|DELETE FROM|WITH)\s")
# What MariaDB knows and MySQL 8 does not.
MARIADB_ALONE = re.compile(
    r"\bRETURNING\b|\bMINUS\b|\bEXCEPT ALL\b|\bSEQUENCE\b|\bNEXTVAL\b|\bFOR SYSTEM_TIME\b|\bWITHOUT OVERLAPS\b|"
    r"\bCREATE (?:OR REPLACE (?:TABLE|INDEX|DATABASE)|INDEX IF NOT EXISTS)|\bJSON_(?:EXISTS|LOOSE|COMPACT|DETAILED)\b|"
    r"\bMEDIAN\s*\(|\bIF EXISTS COLUMN\b|\bUUID_v[47]\b|\bNATURAL_SORT_KEY\b|\bINET6\b",
    re.IGNORECASE,
)


def check(text: str, where: str) -> None:
    """Parse a text as MySQL; `:name` stands for a value."""
    text = written(text, SYNTAX.quoted)
    assert MARIADB_ALONE.search(text) is None, f"{where}: {text}"
    try:
        parsed = sqlglot.parse(text, dialect="mysql", error_level=sqlglot.ErrorLevel.RAISE)
    except sqlglot.errors.SqlglotError as error:
        raise AssertionError(f"{where}: {error}\n{text}") from error
    assert all(tree is not None and not isinstance(tree, sqlglot.exp.Command) for tree in parsed), f"{where}: {text}"


@pytest.mark.parametrize("migration", MIGRATIONS, ids=lambda path: path.name)
def test_the_schema_is_of_mysql_8(migration: Path) -> None:
    for text in statements(migration.name, "mysql"):
        check(text, migration.name)


def shops(folder: Path) -> Iterator[tuple[str, Shop]]:
    tracked = f"[shop]\ntracked_events = {list(TRACKED_EVENTS)}\n"
    for name in OF_MYSQL:
        assert (PRESETS / f"{name}.toml").is_file()
        yield name, mapped(folder, f'{tracked}preset = "{name}"\n')
    yield "the default schema", mapped(folder, tracked)
    by_name = (
        '[[sources]]\ntable = "order"\nuser = "customerId"\nitem = "wp-item"\ntimestamp = "at"\nwhere = "n > 0 -- 1"\n'
        'purchase_when = "paid"\nreturned_when = "back"\nsession = "cart-token"\nquantity = "qty - back -- 1"\n'
        '[products]\ntable = "goods"\nid = "key"\nactive = "onSale"\n'
    )
    yield "names that need quotes", mapped(folder, by_name)


def mapped(folder: Path, toml: str) -> Shop:
    (folder / "recsys.toml").write_text(toml, encoding="utf-8")
    return load_settings({"DATABASE_URL": "sqlite:///unused"}, folder).shop


def test_the_texts_of_every_mapping_are_of_mysql_8(tmp_path: Path) -> None:
    for name, shop in shops(tmp_path):
        for source in map(source_sql, shop.sources):
            check(source.since, name)
            check(source.one_user, name)
        check(products_sql(shop.products), name)
        check(cards_sql(shop.cards, shop.products), name)
    assert len(COLUMNS) == 7


@pytest.mark.parametrize("shop_url", ["mariadb"], indirect=True)
def test_every_statement_that_is_sent_is_of_mysql_8(shop_url: str, tmp_path: Path) -> None:
    """Run what training, serving and tracking do, and parse each text that they send."""
    import numpy as np

    from recsys import store
    from recsys.store.readiness import check_mapping, check_own_tables

    sent: dict[str, Any] = {}
    shop = mapped(tmp_path, f"[shop]\ntracked_events = {list(TRACKED_EVENTS)}\n")
    with store.connect(shop_url, tracer=lambda text, values: sent.setdefault(text, values)) as db:
        check_own_tables(db)
        check_mapping(db, shop)
        db.insert("Users", [{"id": 7}])
        db.insert("Products", [{"id": 1, "name": "bag"}])
        event = {"userId": 7, "productId": 1, "actionCode": "purchase", "timestamp": "2024-01-01 00:00:00"}
        db.insert("Interactions", [event], skip_duplicates=True)
        store.write_version(db, "v1", data_until=0, users=np.array([7]), items=np.array([1]), contexts={"a": ["b"]})
        store.set_active(db, "v1")
        store.read_version(db, "v1")
        store.read_interactions(db, shop)
        store.read_catalogue(db, shop)
        store.count_rows(db, shop), store.count_users(db, shop)
        store.user_events(db, shop, "v1", 7, 10)
        store.bought_items(db, shop, 7, 1_704_153_600)
        store.events_of_users(db, shop, [7], 10, item_kind="int")
        store.count_events(db, shop, "int")
        store.products(db, shop, [1])
        store.product_cards(db, shop, [1])
        filters: dict[str, Any] = {"category": "a", "brand": "b", "price_min": 1.0, "price_max": 2.0}
        store.newest_products(db, shop, limit=3, exclude=[2], among=[1], **filters)
        store.list_versions(db)
        store.purge_unfinished(db)
        store.purge(db, "v1")

    assert len(sent) > 40
    check_sent(sent)


def check_sent(sent: Iterable[str]) -> None:
    for text in sent:
        if BEGINS.match(text):  # not SET, BEGIN and locks
            check(re.sub(r"%\((\w+)\)s", r":value_\1", text).replace("%%", "%"), "sent")  # `key` alone is a word of SQL


@pytest.mark.parametrize("shop_url", ["mariadb"], indirect=True)
def test_what_tracking_lists_and_the_monitor_send_is_of_mysql_8(shop_url: str, tmp_path: Path) -> None:
    from recsys import store
    from recsys.settings.experiments import Privacy
    from recsys.store import monitoring, tracking_experiments, tracking_exports
    from recsys.tracking import analytics, exports, lists, preferences, record, sales, segments

    now, sent = 1_764_400_000, dict[str, Any]()
    shop = mapped(tmp_path, f"[shop]\ntracked_events = {list(TRACKED_EVENTS)}\n")
    with store.connect(shop_url, tracer=lambda text, values: sent.setdefault(text, values)) as db:
        db.insert("Products", [{"id": 1, "name": "bag"}, {"id": 2, "name": "belt"}])
        for number, event in enumerate(("impression", "click", "wishlist", "remove_from_wishlist", "purchase")):
            told = record.TrackedEvent(
                user_id=7,
                session_id=None,
                product_id=1 + number % 2,
                event=event,
                metadata={},
                event_id=f"e{number}",
                recommendation_id=analytics.new_recommendation_id("blend"),
                position=1,
                at=now - 60,
            )
            record.record(db, told, now=now)
        preferences.refresh_preferences(db, shop, now=now)
        preferences.preferences_of(db, 7), segments.user_segment(db, 7), segments.users_by_segment(db)
        for kind in ("top_selling", "most_viewed", "most_wishlisted", "trending"):
            analytics.rankings(db, shop, kind, now=now, limit=5)
        analytics.outcomes(db)
        exports.export_together(db, shop, now=now), exports.together_with(db, 1, 5), exports.similar_items(db, 1, 5)
        tracking_exports.exported_version(db)
        lists.write_list(db, 7, "a", "b", now + 60), lists.read_list(db, 7, "a", now)
        lists.sweep_lists(db, now), lists.forget_lists(db, 7)
        tracking_experiments.write_arm(db, "7", "a", "regular", prefix="x:", now=now)
        tracking_experiments.read_arms(db), tracking_experiments.count_list_events(db, 10)
        sales.sales_report(db, shop, None, Privacy(), now=now)
        record.sweep_tracking(db, Privacy(keep_days=1), now=now)
        run = store.begin_run(db, "all", "v1", now)
        row = store.ListRow(7, 1, 2, 0.5, None, None, "v1", "blend", "model", now)
        after = run._replace(last_user="7", n_users=1, n_lists=1)
        store.write_lists(db, run, after, [7], [row])
        store.finish_run(db, after, now)
        monitoring.encoder_counts(db, "v1"), monitoring.shown_versions(db)
        monitoring.answers_since(db, "2025-01-01"), monitoring.runs_since(db, "2025-01-01 00:00:00")

    assert len(sent) > 60
    check_sent(sent)


BACKEND = ROOT / "backend"
CALL = re.compile(
    r"\.(?:query|execute|findAll|findOne|findByPk|create|bulkCreate|update|destroy|count|upsert|increment|transaction|"
    r"describeTable)\(|\bawait query\("
)
# Methods of the same names that are no database's.
OF_OTHERS = re.compile(
    r"create(?:Hash|Hmac)\(.*\)\.update\(|cookie\.create\((?:session)?\)|(?:connection|stream\?)\.destroy\(\)|super\.transaction\(|"
    r"Object\.create\("
)
OF_SESSIONS = re.compile(r"SET |START TRANSACTION;$|COMMIT;$|ROLLBACK;$|SHOW FULL COLUMNS FROM |CREATE T|DROP TRIGGER ")


def calls_of_the_database() -> Iterator[str]:
    """Yield the lines of the backend that call its database, or a method of their file that takes a statement."""
    source = BACKEND / "src"
    for file in sorted(source.rglob("*.js")):
        if file.name == "sqlite.js":  # it runs what others send, on SQLite
            continue
        text = file.read_text(encoding="utf-8")
        senders = tuple(f"this.#{name}(" for name in re.findall(r"#(\w+)\(sql\b", text))
        for number, line in enumerate(text.splitlines(), 1):
            is_call = CALL.search(OF_OTHERS.sub("", line)) or any(sender in line for sender in senders)
            if is_call and not line.lstrip().startswith(("*", "/*", "//")):
                yield f"{file.relative_to(source).as_posix()}:{number}"


@pytest.mark.parametrize("own_tables", [False, True], ids=["beside the shop's tables", "in another database"])
def test_every_statement_that_the_backend_sends_is_of_mysql_8(own_tables: bool) -> None:
    """Run what the backend does with its database; each line that calls it has to have sent something."""
    with new_database(run_on_mysql, MYSQL) as url:
        place = f"own_{url.rpartition('/')[2]}" if own_tables else ""
        try:
            with connect(replace(DatabaseUrl.parse(url), own_tables=place)) as db:
                migrate(db)
            command = ["node", "test/statements/send.js", url, *([place] if place else [])]
            run = subprocess.run(command, cwd=BACKEND, check=True, capture_output=True, text=True, timeout=120)
        finally:
            if place:
                run_on_mysql(MYSQL, f"DROP DATABASE IF EXISTS {place}")
    sent = json.loads(run.stdout)
    calls = set(calls_of_the_database())

    assert len(calls) >= 60
    missing = sorted(calls - set(sent["lines"]))
    assert missing == [], "\n".join(missing)
    assert len(sent["texts"]) >= 60
    for text in sent["texts"]:
        if not OF_SESSIONS.match(text):
            assert BEGINS.match(text), text
            check(text, "sent by the backend")
    assert not place or any(f"`{place}`.`recommendations`" in text for text in sent["texts"])
