"""`scripts/doctor.py --init`: what is recognised is written once, what is proposed only when it is accepted."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from recsys.settings import load_settings
from recsys.store import connect
from recsys.store.migrations import migrate
from recsys.store.systems import preset_tables
from scripts import doctor

SHOP = """
CREATE TABLE customers (id INT PRIMARY KEY, email TEXT);
CREATE TABLE products (id INT PRIMARY KEY, name TEXT, price INT);
CREATE TABLE purchases (id INT PRIMARY KEY, customer_id INT, product_id INT, bought_at TEXT);
INSERT INTO customers VALUES (1, NULL), (2, NULL);
INSERT INTO products VALUES (5, 'Pen', 2);
INSERT INTO purchases VALUES (1, 1, 5, '2025-01-01 10:00:00'), (2, 2, 5, '2025-01-01 10:00:00')
"""
Run = Callable[..., tuple[int, str]]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs the command on a SQLite file, in a folder of its own; returns its status and what it printed."""
    monkeypatch.setattr(doctor, "ROOT", tmp_path)

    def command(*flags: str) -> tuple[int, str]:
        status = doctor.main(["--init", "--database-url", f"sqlite:///{tmp_path / 'db'}", *flags])
        printed = capsys.readouterr()
        return status, printed.out + printed.err

    return command


def fill(tmp_path: Path, statements: str) -> None:
    with connect(f"sqlite:///{tmp_path / 'db'}", create=True) as db:
        for statement in filter(str.strip, statements.split(";\n")):
            db.execute(statement)


def test_a_proposal_is_printed_and_written_when_it_is_accepted(run: Run, tmp_path: Path) -> None:
    fill(tmp_path, SHOP)
    status, text = run()
    assert status == 0 and not (tmp_path / "recsys.toml").exists()
    assert "# purchases (2 rows) names products by product_id and users by customer_id" in text
    assert "it reads 2 events of 2 users. Nothing is written yet" in text

    assert run("--accept")[0] == 0
    assert load_settings({"DATABASE_URL": "sqlite:///x"}, tmp_path).shop.purchase_events == ("purchase",)
    written = (tmp_path / "recsys.toml").read_text(encoding="utf-8")

    status, text = run("--accept")
    assert status == 0 and "recsys.toml exists, and stays as it is. The mapping fits the tables: it reads 2" in text
    assert (tmp_path / "recsys.toml").read_text(encoding="utf-8") == written


def test_it_tells_the_sessions_of_guests(run: Run, tmp_path: Path) -> None:
    fill(tmp_path, SHOP)
    columns = "id INT PRIMARY KEY, customer_id INT, product_id INT, visitor_id TEXT, viewed_at TEXT"
    views = "(1, 1, 5, 'a', '2025-01-01'), (2, NULL, 5, 'b', '2025-01-01'), (3, 0, 5, 'c', '2025-01-01')"
    guests = "(4, 0, 5, 'b', '2025-01-02'), (5, NULL, 5, NULL, '2025-01-02')"
    fill(tmp_path, f"CREATE TABLE views ({columns});\nINSERT INTO views VALUES {views}, {guests}")

    status, text = run("--accept")

    assert status == 0 and "it reads 7 events of 2 users and 2 sessions of guests. Written" in text
    assert 'l."visitor_id" AS session_id' in text

    by_name = '[[sources]]\ntable = "Views"\nuser = "customer_id"\nitem = "product_id"\nevent_name = "view"\n'
    by_name += 'timestamp = "viewed_at"\n[products]\ntable = "products"\nid = "id"\n'
    (tmp_path / "recsys.toml").write_text(by_name, encoding="utf-8")
    hint = 'views.visitor_id tells 2 sessions of guests apart: with session = "visitor_id" in its [[sources]]'
    assert hint in run()[1]

    (tmp_path / "recsys.toml").write_text(by_name.replace("[prod", 'session = "visitor_id"\n[prod'), encoding="utf-8")
    status, text = run()
    assert status == 0 and "of 2 users and 1 sessions of guests." in text and "tells" not in text


def test_it_is_written_where_the_settings_will_look_for_it(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(tmp_path, SHOP)
    monkeypatch.setenv("RECSYS_TOML", "mapping/shop.toml")

    status, text = run("--accept")
    assert status == 64 and "shop.toml should be a new file in a folder that can be written" in text

    (tmp_path / "mapping").mkdir()
    status, text = run("--accept")
    assert status == 0 and "Written to shop.toml." in text
    assert not (tmp_path / "recsys.toml").exists()
    environ = {"DATABASE_URL": "sqlite:///x", "RECSYS_TOML": "mapping/shop.toml"}
    assert load_settings(environ, tmp_path).shop.purchase_events == ("purchase",)


def test_the_default_schema_needs_no_file(run: Run, tmp_path: Path) -> None:
    with connect(f"sqlite:///{tmp_path / 'db'}", create=True) as db:
        migrate(db)
    status, text = run()
    assert status == 0 and "need no recsys.toml" in text and not (tmp_path / "recsys.toml").exists()


def test_a_system_is_written_with_its_prefix_and_zone(run: Run, tmp_path: Path) -> None:
    tables = (Path(__file__).with_name("presets") / "opencart.sql").read_text(encoding="utf-8")
    structure = [line for line in tables.split(";\n") if "CREATE TABLE" in line]
    shop = ";\n".join(structure).replace("int(11) AUTO_INCREMENT", "int").replace("oc_", "shop1_")
    keys = (
        shop.replace("`", "").replace("KEY order_id (order_id)", "CHECK (1)").replace("KEY email (email)", "CHECK (1)")
    )
    zone = "INSERT INTO shop1_setting (setting_id, key, value) VALUES (1, 'config_timezone', 'Asia/Ho_Chi_Minh')"
    fill(tmp_path, keys + ";\n" + zone)
    status, text = run()
    assert status == 0
    assert "This is opencart." in text and "with the prefix 'shop1_'" in text
    toml = (tmp_path / "recsys.toml").read_text(encoding="utf-8")
    assert 'table_prefix = "shop1_"' in toml and 'stored_time_zone = "Asia/Ho_Chi_Minh"' in toml


def test_an_empty_database_and_a_wrong_table_are_told(run: Run, tmp_path: Path) -> None:
    fill(tmp_path, "")
    status, text = run()
    assert status != 0 and "should hold the shop's tables" in text


def test_a_system_whose_tables_are_not_all_seen_is_told(run: Run, tmp_path: Path) -> None:
    tables, _ = preset_tables()["opencart"]
    fill(tmp_path, ";\n".join(f"CREATE TABLE oc_{name} (id INT PRIMARY KEY)" for name in tables if name != "return"))
    status, text = run("--accept")
    assert status != 0 and not (tmp_path / "recsys.toml").exists()
    assert "This looks like opencart, but tables are missing or may not be seen: oc_return." in text
