"""An earlier commit's shop, version, settings and command lines work with today's code; `make_fixture.py` froze them.

The clock stands still at the moment of freezing, so that no answer depends on when the test runs. All fields of a
recorded answer are compared, except `ms` and an error's `message`, which is for people. Answers may have more fields
than before. Scores are compared to 1e-6, because processors round the last bits differently.

Three things have changed by intention since then, and are compared as `check_answer` says: what lies in the cart is not
recommended, reasons have other codes and never name the item itself, and unknown users get what is popular.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from recsys.store import Database, connect, migrate
from tests.helpers.entry_points import PATIENCE_S, ROOT, answer, install
from tests.helpers.frozen_clock import EAGERLY, at

HERE = Path(__file__).parent
FROZEN: Mapping[str, Any] = json.loads((HERE / "answers.json").read_text(encoding="utf-8"))
NOW: int = FROZEN["now"]
REQUESTS: list[dict[str, Any]] = [pair["request"] for pair in FROZEN["asked"]]
RECORDED: list[dict[str, Any]] = [pair["answer"] for pair in FROZEN["asked"]]
UNSEEN = 999  # a product that the recorded requests ask about
BOOKKEEPING = "schema_migrations"  # later code may keep it elsewhere; no row of the other tables may be lost
# Every flag of the frozen commit, so that a renamed one is noticed.
TRAIN = """
--dry-run --eval time --dim 8 --factors 8 --epochs 1 --batch 4096 --window 10 --loss softmax --negatives 2
--shared-negatives 32 --negative-power 0 --learning-rate 0.01
--l2 0 --dropout 0.1 --dropped-users 0.2 --dropped-contexts 0.1 --slow-decay 0.98
--fast-decay 0.8 --half-life-days 180 --min-item-events 3 --max-user-events-per-day 2000 --test-quantile 0.8
--validation-quantile 0.9 --max-exam-users 15 --seed 7
""".split()


@pytest.fixture(scope="module")
def frozen(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the archive's files; no test may change it."""
    folder = tmp_path_factory.mktemp("frozen")
    with tarfile.open(HERE / "shop.tar.gz") as archive:
        archive.extractall(folder, filter="data")
    return folder


@pytest.fixture
def upgraded(frozen: Path, tmp_path: Path) -> Path:
    """Today's code in the folder of the old shop, its database restored where the old `.env` says."""
    folder = install(tmp_path / "upgraded")
    for part in ("scripts", "demo"):
        shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "train.py", folder)
    for part in (".env", "recsys.toml"):
        shutil.copy(frozen / part, folder)
    shutil.copytree(frozen / "models", folder / "models")
    (folder / "data").mkdir()
    restore(f"sqlite:///{folder / 'data/shop.sqlite'}", frozen)
    return folder


def restore(url: str, frozen: Path) -> None:
    """Make the old tables in an empty database, and write the old rows."""
    with connect(url, create=True) as db:
        for statement in (frozen / f"schema.{db.dialect}.sql").read_text(encoding="utf-8").split(";\n"):
            if statement.strip():
                db.execute(statement)
        for table, rows in old_rows(frozen).items():
            db.insert(table, rows)


def old_rows(frozen: Path) -> dict[str, list[dict[str, Any]]]:
    """Return the rows of each table as they were frozen."""
    tables = json.loads((frozen / "rows.json").read_text(encoding="utf-8"))
    return {
        name: [dict(zip(table["columns"], map(cell, row), strict=True)) for row in table["rows"]]
        for name, table in tables.items()
    }


def cell(value: Any) -> Any:
    return bytes.fromhex(value["hex"]) if isinstance(value, dict) else value


def stored_rows(db: Database, tables: Mapping[str, list[dict[str, Any]]]) -> dict[str, list[tuple[str, ...]]]:
    """Return the rows of the old tables' old columns, as sorted texts."""
    stored = {}
    for table, rows in tables.items():
        if rows and table != BOOKKEEPING:
            selected = db.query(f"SELECT {', '.join(rows[0])} FROM {table}")
            stored[table] = sorted(tuple(map(str, row)) for row in selected)
    return stored


def run(folder: Path, command: list[str], lines: str = "", **environ: str) -> subprocess.CompletedProcess[bytes]:
    """Run a command beside the old `.env`; it has to succeed."""
    same = {name: value for name, value in os.environ.items() if name.startswith(("OPENBLAS_", "TF_"))}
    env = {"PATH": os.environ["PATH"], "HOME": str(folder), **same, **environ}
    process = subprocess.run(
        command, input=lines.encode(), env=env, cwd=folder, capture_output=True, timeout=PATIENCE_S, check=False
    )
    assert process.returncode == 0, (process.stdout + process.stderr).decode(errors="replace")[-3000:]
    return process


def worker_answers(folder: Path, **environ: str) -> list[dict[str, Any]]:
    """Return what a worker answers to the recorded requests at the moment of freezing."""
    lines = "".join(json.dumps(request) + "\n" for request in REQUESTS)
    process = run(folder, at(NOW, folder / "recommend_api.py", "--worker"), lines, **environ)
    ready, *answers = map(json.loads, process.stdout.splitlines())
    assert ready["ready"] is True
    return answers


def check(answered: Any, recorded: Any, where: str) -> None:
    """Assert that a part of an answer equals the recorded one, as the top of this file says."""
    if isinstance(recorded, dict):
        for name in recorded.keys() - {"message"}:
            assert name in answered, f"{where} should have `{name}`"
            check(answered[name], recorded[name], f"{where}.{name}")
    elif isinstance(recorded, list):
        assert len(answered) == len(recorded), where
        for position, (member, old) in enumerate(zip(answered, recorded, strict=True)):
            check(member, old, f"{where}[{position}]")
    else:
        assert answered == (pytest.approx(recorded, abs=1e-6) if isinstance(recorded, float) else recorded), where


def cart(request: Mapping[str, Any], tables: Mapping[str, list[dict[str, Any]]]) -> set[int]:
    """Return the products in the cart of a request's user, by the newest of the events that fill and empty it."""
    names = ("cart", "purchase", "cancel")
    newest: dict[int, tuple[str, str]] = {}
    rows = [row for row in tables["Interactions"] if row["userId"] == int(request.get("user_id", 0))]
    for row in sorted(rows, key=lambda row: (row["timestamp"], row["interId"])):
        if row["actionCode"] in names:
            newest[row["productId"]] = row["actionCode"], row["timestamp"]
    for event in request.get("interactions", ()):
        if event["event"] in names:
            newest[event["item_id"]] = event["event"], "later"
    since = str(datetime.fromtimestamp(NOW, UTC) - timedelta(days=30))
    return {item for item, (name, moment) in newest.items() if name == "cart" and moment >= since[:19]}


def check_answer(
    answered: dict[str, Any], recorded: dict[str, Any], request: Mapping[str, Any], in_cart: set[int]
) -> None:
    """Assert that an answer equals the recorded one, apart from what has changed by intention.

    Args:
        answered: Today's answer.
        recorded: The recorded one.
        request: The request.
        in_cart: Products that were recommended and no longer are; others follow at the end of the lists.
    """
    where = json.dumps(request)
    if recorded.get("error", {}).get("code") == "unknown_user" or request.get("item_id") == UNSEEN:
        assert (answered["ok"], answered["source"], len(answered["items"])) == (True, "popularity", 10), where
        return
    old, new = json.loads(json.dumps([recorded, answered]))
    if recorded["ok"]:
        for item in new["items"]:
            reason = item.pop("reason", {"code": "none"})
            assert reason["code"] in {"viewed", "cart", "bought", "similar", "popular", "new", "none"}, where
            assert reason.get("item_id") != item["productId"], where
        for item in old["items"]:
            item.pop("reason", None)
        old["items"] = [item for item in old["items"] if item["productId"] not in in_cart]
        new["items"] = new["items"][: len(old["items"])]
        for old_run, new_run in zip(old["runs"], new["runs"], strict=True):
            old_run["items"] = [item for item in old_run["items"] if item not in in_cart]
            new_run["items"] = new_run["items"][: len(old_run["items"])]
        if len(old["items"]) < len(recorded["items"]):
            old["warnings"] = new["warnings"]  # they say how many there are
    check(new, old, where)


def check_all(answers: list[dict[str, Any]], tables: Mapping[str, list[dict[str, Any]]]) -> None:
    for request, answered, recorded in zip(REQUESTS, answers, RECORDED, strict=True):
        check_answer(answered, recorded, request, cart(request, tables))


def test_the_recording_has_successes_and_failures() -> None:
    assert len(RECORDED) >= 30
    assert {recorded["ok"] for recorded in RECORDED} == {True, False}
    assert {"model", "fold_in", "item_cf", "popularity"} <= {recorded.get("source") for recorded in RECORDED}


@pytest.mark.slow
def test_an_old_shop_is_served_as_before(frozen: Path, upgraded: Path) -> None:
    tables = old_rows(frozen)
    check_all(worker_answers(upgraded), tables)
    one_shot = run(upgraded, at(NOW, upgraded / "recommend_api.py"), json.dumps(REQUESTS[1]))
    check_answer(answer(one_shot), RECORDED[1], REQUESTS[1], cart(REQUESTS[1], tables))


@pytest.mark.slow
def test_an_old_database_is_migrated_without_loss(frozen: Path, upgraded: Path, database_url: str) -> None:
    restore(database_url, frozen)
    old = old_rows(frozen)
    applied = {row["name"] for row in old[BOOKKEEPING]}
    with connect(database_url) as db:
        before = stored_rows(db, old)
        first, second = migrate(db), migrate(db)
        after = stored_rows(db, old)

    assert before == after
    assert {name: len(rows) for name, rows in before.items()} == {name: len(old[name]) for name in before}
    assert not applied & set(first), "what the old code ran should not run again"
    assert second == []
    check_all(worker_answers(upgraded, DATABASE_URL=database_url), old)


@pytest.mark.slow
def test_old_command_lines_work(frozen: Path, upgraded: Path) -> None:
    version = (upgraded / "models/CURRENT").read_text(encoding="utf-8").strip()
    published = {path.name for path in (upgraded / "models").iterdir() if not path.name.startswith(".")}

    run(upgraded, [sys.executable, str(upgraded / "scripts/make_shop.py"), "--keep"])
    run(upgraded, [sys.executable, str(upgraded / "scripts/migrate_encoders.py")])
    run(
        upgraded,
        [sys.executable, str(upgraded / "scripts/migrate_encoders.py"), "--version", version, "--models-dir", "models"],
    )
    run(upgraded, at(NOW, upgraded / "train.py", *TRAIN, code=EAGERLY))

    assert {path.name for path in (upgraded / "models").iterdir() if not path.name.startswith(".")} == published
    check_all(worker_answers(upgraded), old_rows(frozen))
