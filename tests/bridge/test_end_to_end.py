"""Training and serving of a shop, end to end: tables, `train.py`, `recommend_api.py`, answers."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from recsys.artifacts import history
from recsys.scorers.registry import MODELS
from recsys.settings import Training
from tests.helpers import entry_points
from tests.helpers.tiny_shop import FAST, INACTIVE, RARE, Published, bought, fill, interactions, products

CHANGED = [option.name for option in fields(Training) if getattr(FAST, option.name) != option.default]
OPTIONS = [f"--{name.replace('_', '-')}={getattr(FAST, name)}" for name in CHANGED]
# Runs a script with TensorFlow in eager mode: tracing graphs takes longer than such small fits.
EAGERLY = """
import runpy, sys
import tensorflow
tensorflow.config.run_functions_eagerly(True)
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""
CONTEXT = {"time_of_day": "evening", "season": "spring", "device_type": "mobile", "category": "tea"}
REQUESTS: tuple[Mapping[str, Any], ...] = (
    {"user_id": 7, "context": CONTEXT},
    {"user_id": 0, "context": CONTEXT, "limit": 30},
    {"user_id": 25, "context": CONTEXT, "model": "ENCM", "filters": {"category": "honey"}},
    {
        "user_id": 58,
        "context": CONTEXT,
        "interactions": [{"item_id": 101, "event": "purchase", "timestamp": 1_730_000_000}],
    },
    {"interactions": [{"item_id": 102, "event": "view", "timestamp": 1_730_000_000}], "context": CONTEXT},
    {"op": "similar", "item_id": 103},
    {"interactions": [{"item_id": 102, "event": "cart"}], "op": "similar", "item_id": 103, "user_id": 7},
    {"user_id": 4711},
    {"user_id": 4711, "strict": True},
)


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the package and both entry points, without a developer's `.env`."""
    folder = entry_points.install(tmp_path_factory.mktemp("installed"))
    shutil.copy(entry_points.ROOT / "train.py", folder)
    return folder


def train(folder: Path, env: Mapping[str, str], *flags: str, eagerly: bool = True) -> subprocess.CompletedProcess[str]:
    """Run `train.py`."""
    code = ["-c", EAGERLY] if eagerly else []
    # The same kernels give the same last bits.
    same = {name: value for name, value in os.environ.items() if name.startswith("OPENBLAS_")}
    quiet = {"TF_CPP_MIN_LOG_LEVEL": "3", "TF_ENABLE_ONEDNN_OPTS": "0", **same}
    env = {"PATH": os.environ["PATH"], "HOME": str(folder), **quiet, **env}
    return subprocess.run(
        [sys.executable, *code, str(folder / "train.py"), *flags],
        env=env,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


def answers(
    folder: Path, env: Mapping[str, str], requests: tuple[Mapping[str, Any], ...] = REQUESTS
) -> list[dict[str, Any]]:
    """Return a worker's answers, without the fields that differ from run to run."""
    lines = b"".join(json.dumps(request).encode() + b"\n" for request in requests)
    process = entry_points.ask(folder, lines, "--worker", env=env)
    assert process.returncode == 0, process.stderr
    documents = [json.loads(line) for line in process.stdout.splitlines()[1:]]
    return [{key: value for key, value in each.items() if key not in {"ms", "model_version"}} for each in documents]


def near(value: Any) -> Any:
    """Return the same document, with floats that compare to 1e-6."""
    if isinstance(value, float):
        return pytest.approx(value, abs=1e-6)
    if isinstance(value, dict):
        return {key: near(member) for key, member in value.items()}
    return [near(member) for member in value] if isinstance(value, list) else value


@pytest.mark.slow
def test_the_same_shop_gives_the_same_figures_and_answers_on_every_database(
    database_url: str, installed: Path, published: Published, tmp_path: Path
):
    fill(database_url)
    env = {"DATABASE_URL": database_url, "MODELS_DIR": str(tmp_path / "models")}
    process = train(installed, env, *OPTIONS)
    assert process.returncode == 0, process.stderr
    [entry], [reference] = history(tmp_path / "models"), history(published.models_dir)
    assert f"published {entry['published']}" in process.stdout
    assert entry["data_sha256"] == reference["data_sha256"]
    assert near(entry["rows"]) == reference["rows"]
    assert near(entry["validation"]) == reference["validation"]
    assert entry["winner"] == reference["winner"]

    answered = answers(installed, env)
    assert near(answered) == answers(installed, published.environ)
    assert [answer["ok"] for answer in answered] == [True] * 8 + [False]
    for answer, user in ((answered[0], 7), (answered[1], 0), (answered[2], 25)):
        shown = {item["productId"] for item in answer["items"]}
        assert shown
        assert not shown & (bought(user) | INACTIVE)
    alone = entry_points.answer(entry_points.ask(installed, REQUESTS[0], env=env))
    assert alone["model_version"] == entry["published"]
    assert near({key: value for key, value in alone.items() if key not in {"ms", "model_version"}}) == answered[0]


TOML = """
[shop]
stored_time_zone = "Asia/Ho_Chi_Minh"
time_zone = "Asia/Ho_Chi_Minh"
purchase_events = ["order"]
relevant_events = ["order"]
context_columns = ["channel"]
repeat = 30

[events]
order = 1.0
look = 0.3

[[sources]]
table = "orders"
user = "customer"
item = "sku"
event_name = "order"
timestamp = "bought_at"
channel = "channel"

[[sources]]
since = '''
    SELECT who AS user_id, what AS item_id, 'look' AS event, at AS timestamp, 0 AS row_id, NULL AS channel
    FROM looks WHERE at >= :since
'''
one_user = '''
    SELECT who AS user_id, what AS item_id, 'look' AS event, at AS timestamp, 0 AS row_id
    FROM looks WHERE who = :user_id
'''

[products]
query = '''
    SELECT sku AS item_id, live AS active, department AS category, maker AS brand, cents / 100.0 AS price
    FROM products
'''
"""
OWN_TABLES = """
CREATE TABLE orders (customer TEXT, sku TEXT, bought_at TEXT, channel TEXT);
CREATE TABLE looks (who TEXT, what TEXT, at TEXT);
CREATE TABLE products (sku TEXT PRIMARY KEY, live INTEGER, department TEXT, maker TEXT, cents INTEGER);
CREATE INDEX orders_of ON orders (customer);
"""


def other_shop(path: Path) -> None:
    """Write the tiny shop into tables of another schema, with texts as ids."""
    with sqlite3.connect(path) as db:
        db.executescript(OWN_TABLES)
        for row in products():
            db.execute(
                "INSERT INTO products VALUES (?, ?, ?, ?, ?)",
                (
                    f"SKU-{row['id']}",
                    int(row["statusId"] == "S1"),
                    row["categoryId"],
                    row["brandId"],
                    100 * (row["id"] - 96),
                ),
            )
        for row in interactions():
            user, sku = f"c-{row['userId']}", f"SKU-{row['productId']}"
            if row["actionCode"] == "purchase":
                db.execute("INSERT INTO orders VALUES (?, ?, ?, ?)", (user, sku, row["timestamp"], row["device_type"]))
            else:
                db.execute("INSERT INTO looks VALUES (?, ?, ?)", (user, sku, row["timestamp"]))


def dump(path: Path) -> dict[str, list[tuple[Any, ...]]]:
    with sqlite3.connect(path) as db:
        tables = [name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")]
        return {name: db.execute(f"SELECT * FROM {name}").fetchall() for name in tables}


@pytest.mark.slow
def test_a_shop_with_other_tables_and_text_ids_needs_only_a_mapping(installed: Path, tmp_path: Path):
    database, toml = tmp_path / "other.sqlite", tmp_path / "other.toml"
    other_shop(database)
    toml.write_text(TOML, encoding="utf-8")
    env = {"DATABASE_URL": f"sqlite:///{database}", "MODELS_DIR": str(tmp_path / "models"), "RECSYS_TOML": str(toml)}
    before = dump(database)

    process = train(installed, env, *OPTIONS, eagerly=False)
    assert process.returncode == 0, process.stderr
    noise = [line for line in process.stderr.splitlines() if "arning" in line or line.startswith(("I0", "W0", "E0"))]
    assert noise == []

    after = dump(database)
    assert {name: after[name] for name in before} == before  # the shop's own tables are unchanged
    ours = set(after) - set(before)
    assert ours == {
        "rec_schema_migrations",
        "rec_versions",
        "rec_user_encoder",
        "rec_item_encoder",
        "rec_context_mapping",
        "rec_context_meta",
        "rec_lists",
        "rec_answer_counts",
        "rec_user_interactions",
        "rec_user_preferences",
        "rec_product_similarities",
        "rec_frequently_together",
        "rec_recommendations_cache",
        "rec_user_segments",
        "rec_analytics",
        "rec_batch_lists",
        "rec_batch_runs",
        "rec_guest_events",
        "recommendations",
        "model_runs",
    }

    known, stranger, lower, guest = answers(
        installed,
        env,
        (
            {"user_id": "c-7", "limit": 100},
            {"user_id": "c-4711", "strict": True},
            {"user_id": "C-7", "strict": True},
            {
                "interactions": [{"item_id": "SKU-101", "event": "look"}],
                "context": {"channel": "mobile"},
                "filters": {"price_max": 20},
            },
        ),
    )
    assert (known["ok"], known["user_id"]) == (True, "c-7")
    active = {f"SKU-{row['id']}" for row in products() if row["statusId"] == "S1"}
    # the last order is older than 30 days, so that every product may be recommended again
    assert {item["productId"] for item in known["items"]} == active
    assert known["items"][-1]["productId"] in {f"SKU-{RARE}", "SKU-138", "SKU-139"}
    assert [run["model"] for run in known["runs"]][:4] == list(MODELS)
    for unknown in (stranger, lower):
        assert unknown["error"]["code"] == "unknown_user"
    assert guest["context"]["channel"] == "mobile"
    assert {item["productId"] for item in guest["items"]} <= {f"SKU-{item}" for item in range(101, 117)}
