"""Commands of pages that a shell runs as they are, in a copy of the project: requests, and public data sets."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from datetime import datetime
from pathlib import Path

import pytest

from tests.helpers.commands import commands
from tests.helpers.documents import blocks
from tests.helpers.entry_points import PATIENCE_S, ROOT, install
from tests.helpers.tiny_shop import Published
from tests.helpers.workbook import write_workbook

REQUESTS = sorted(
    {command.text for command in commands() if "|" in command.text and "recommend_api.py" in command.text}
)
DATASETS = (ROOT / "docs/DATASETS.md").read_text(encoding="utf-8")
RETAIL = [
    ["InvoiceNo", "StockCode", "Description", "Quantity", "InvoiceDate", "UnitPrice", "CustomerID"],
    ["536365", "85123A", "WHITE HANGING HEART", 6, datetime(2010, 12, 1, 8, 26), 2.55, 17850],
    ["536366", "71053", "WHITE METAL LANTERN", 6, datetime(2010, 12, 1, 8, 28), 3.39, 17850],
    ["C536379", "71053", "WHITE METAL LANTERN", -1, datetime(2010, 12, 1, 9, 41), 3.39, 17850],
]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A copy of the project's programs, with an interpreter where the pages expect it."""
    install(tmp_path)
    shutil.copytree(ROOT / "scripts", tmp_path / "scripts", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "data").mkdir()
    (tmp_path / ".venv/bin").mkdir(parents=True)
    interpreter = tmp_path / ".venv/bin/python"
    interpreter.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n', encoding="utf-8")
    interpreter.chmod(0o755)
    return tmp_path


def run(folder: Path, text: str, **environ: str) -> str:
    """Run commands in a shell that ends at the first failure, and return what they print."""
    path = f"{folder / '.venv/bin'}:{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", text],
        cwd=folder,
        env={"PATH": path, **environ},
        capture_output=True,
        encoding="utf-8",
        timeout=PATIENCE_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def recipe(beginning: str) -> str:
    """Return the block of docs/DATASETS.md with this beginning, up to the training."""
    (text,) = (block.text for block in blocks(DATASETS) if block.text.startswith(beginning))
    before, trained, after = text.partition(".venv/bin/python train.py")
    assert (trained, after) == (".venv/bin/python train.py", "")
    return before


def rows(file: Path, sql: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(file)) as connection:
        return list(connection.execute(sql))


@pytest.mark.slow
@pytest.mark.parametrize("text", REQUESTS)
def test_a_request_of_a_page_is_answered(text: str, project: Path, published: Published) -> None:
    answers = [json.loads(line) for line in run(project, text, **published.environ).splitlines()]

    assert len(answers) == (3 if "--worker" in text else 1)
    assert all(answer["items"] for answer in answers if "ready" not in answer)


def test_requests_are_found() -> None:
    assert len(REQUESTS) >= 3


@pytest.mark.slow
def test_the_recipe_of_online_retail_imports_purchases_and_cancellations(project: Path) -> None:
    write_workbook(project / "Online Retail.xlsx", {"Online Retail": RETAIL})

    run(project, recipe("export DATABASE_URL=sqlite:///data/online-retail.sqlite"))

    found = rows(project / "data/online-retail.sqlite", "SELECT actionCode, COUNT(*) FROM Interactions GROUP BY 1")
    assert sorted(found) == [("cancel", 1), ("purchase", 2)]


@pytest.mark.slow
def test_the_recipe_of_userbehavior_takes_the_beginning_and_renames_its_events(project: Path) -> None:
    lines = "".join(f"1,{item},7,{event},1511658000\n" for item, event in enumerate(["pv", "cart", "fav", "buy"], 10))
    (project / "UserBehavior.csv").write_text(lines, encoding="utf-8")

    run(project, recipe("(echo user,item,category"))

    found = rows(project / "data/taobao.sqlite", "SELECT actionCode FROM Interactions ORDER BY interId")
    assert sorted(found) == [("cart",), ("purchase",), ("view",), ("wishlist",)]
