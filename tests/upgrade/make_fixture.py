"""Freeze a small shop with its trained version and its answers; test_upgrade.py serves from them with later code.

    python tests/upgrade/make_fixture.py

Run it by hand, on the commit whose version is to be frozen, and commit the two files that it writes beside itself:

* `shop.tar.gz`: the files of an operator before an upgrade. These are `.env`, `recsys.toml`, `models/` with one
  version, and the database: `rows.json` (every table) and `schema.<dialect>.sql` (the tables of the migrations).
* `answers.json`: the moment of the requests, about 30 requests, and the commit's answer to each.

The shop is the demo's, with 70 users and 60 products. Pictures and password hashes are left out for size.
"""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
import tarfile
import tempfile
from dataclasses import asdict
from gzip import GzipFile
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path.insert(0, str(ROOT))

from recsys.settings import Training  # noqa: E402
from recsys.store import migrations  # noqa: E402
from tests.helpers.frozen_clock import at  # noqa: E402

ARCHIVE, ANSWERS = HERE / "shop.tar.gz", HERE / "answers.json"
DATABASE = "data/shop.sqlite"
DIALECTS = ("sqlite", "mysql", "postgresql")
UNTIL, NOW = "2026-06-01", 1_780_617_600  # the last event is of May; asked on 2026-06-05 00:00 UTC
SHOP = ["--customers", "70", "--products", "60", "--days", "240", "--until", UNTIL, "--seed", "7"]
ENV = f"DATABASE_URL=sqlite:///{DATABASE}\nMODELS_DIR=models\n"
TOML = """\
[shop]
stored_time_zone = "UTC"
time_zone = "Asia/Ho_Chi_Minh"
purchase_events = ["purchase"]
relevant_events = ["purchase", "cart"]
cancel_events = ["cancel"]
context_columns = ["device_type"]
repeat = "hide"

[events]
purchase = 1.0
cart = 0.7
view = 0.3
star5 = 0.6
star1 = -0.5

[[sources]]
table = "Interactions"
user = "userId"
item = "productId"
event = "actionCode"
timestamp = "timestamp"
row_id = "interId"
device_type = "device_type"

[[sources]]
table = "Comments"
user = "userId"
item = "productId"
rating = "star"
timestamp = "createdAt"
row_id = "id"

[products]
query = '''
    SELECT p.id AS item_id, CASE WHEN p.statusId = 'S1' THEN 1 ELSE 0 END AS active, p.categoryId AS category,
        p.brandId AS brand, COALESCE(d.discountPrice, d.originalPrice) AS price, p.name AS name
    FROM Products p JOIN Productdetails d ON d.productId = p.id
'''

"""
TRAINING = {
    "dim": 8,
    "factors": 8,
    "epochs": 3,
    "batch": 16,
    "window": 10,
    "shared_negatives": 32,
    "learning_rate": 0.01,
}
CONTEXT = {"time_of_day": "evening", "season": "summer", "device_type": "mobile", "category": "coffee"}
SEEN = [
    {"item_id": 7, "event": "view", "timestamp": NOW - 120},
    {"item_id": 12, "event": "cart", "timestamp": NOW - 60},
]
REQUESTS: list[dict[str, Any]] = [
    {"user_id": 1},
    *({"user_id": user, "context": CONTEXT} for user in (2, 3, 5, 11, 40, 70)),
    {"user_id": 15, "context": {}, "limit": 60},
    {"user_id": "6", "context": {"device_type": "unheard of", "no_such_feature": 1}},
    *(
        {"user_id": 8, "context": CONTEXT, "model": model}
        for model in ("ENCM", "lncm", "NeuMF", "BMF", "blend", "ease", "item_cf")
    ),
    {"user_id": 9, "context": CONTEXT, "model": "popularity"},
    {"user_id": 16, "context": CONTEXT, "filters": {"category": "coffee"}},
    {"user_id": 16, "context": CONTEXT, "filters": {"price_min": 10, "price_max": 80, "in_stock": True}},
    {"user_id": 12, "context": CONTEXT, "candidates": [1, 2, 3, 4, 5, 6, 7, 8, 999]},
    {"user_id": 12, "context": CONTEXT, "exclude": [1, 2, 3, 4, 5, 6, 7, 8], "limit": 5},
    {"user_id": 13, "context": CONTEXT, "interactions": SEEN},
    {"user_id": 13, "context": CONTEXT, "interactions": [{"item_id": 20, "event": "purchase", "timestamp": NOW - 30}]},
    {"user_id": 14, "context": CONTEXT, "ground_truth": [3, 17, 33]},
    {"interactions": SEEN, "context": CONTEXT},
    {"user_id": 4711, "interactions": SEEN, "context": CONTEXT},
    {"user_id": 4711},
    {"op": "similar", "item_id": 5},
    {"op": "similar", "item_id": 5, "user_id": 2, "limit": 3},
    {"op": "similar", "item_id": 999},
    {"user_id": 1, "limit": 0},
    {"user_id": 1, "modle": "BMF"},
    {"user_id": 1, "model": "no such model"},
]


def main() -> int:
    """Write both files; returns the exit status."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        install(folder)
        unpacked = folder / "frozen"
        unpacked.mkdir()
        (folder / ".env").write_text(ENV, encoding="utf-8")
        (folder / "recsys.toml").write_text(settings(), encoding="utf-8")
        (folder / "data").mkdir()
        run([sys.executable, str(folder / "scripts/make_shop.py"), *SHOP])
        with sqlite3.connect(folder / DATABASE) as db:
            db.execute("UPDATE Productimages SET image = ''")
            db.execute("UPDATE Users SET password = ''")
        run(at(NOW, folder / "train.py"))
        answers = ask(folder, REQUESTS)
        write_database(folder / DATABASE, unpacked)
        for part in (".env", "recsys.toml"):
            shutil.copy(folder / part, unpacked)
        shutil.copytree(folder / "models", unpacked / "models", ignore=shutil.ignore_patterns(".*"))
        pack(unpacked, ARCHIVE)
    commit = run(["git", "-C", str(ROOT), "rev-parse", "HEAD"]).strip()
    pairs = [
        json.dumps({"request": request, "answer": answer}) for request, answer in zip(REQUESTS, answers, strict=True)
    ]
    lines = ",\n".join(pairs)
    ANSWERS.write_text(f'{{"commit": "{commit}", "now": {NOW}, "asked": [\n{lines}\n]}}\n', encoding="utf-8")
    n_bytes = sum(file.stat().st_size for file in (ARCHIVE, ANSWERS))
    print(f"wrote {len(pairs)} answers, {n_bytes:,} bytes")  # noqa: T201 - a command
    return 0


def settings() -> str:
    """Return a `recsys.toml` that names every option of training, so that a renamed one is noticed."""
    options = asdict(Training(**TRAINING))
    return TOML + "[training]\n" + "".join(f"{name} = {json.dumps(value)}\n" for name, value in options.items())


def install(folder: Path) -> None:
    """Copy the code to a folder without a developer's `.env` or `recsys.toml`."""
    for part in ("recsys", "scripts", "demo"):
        shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
    for script in ("train.py", "recommend_api.py"):
        shutil.copy(ROOT / script, folder)


def ask(folder: Path, requests: list[dict[str, Any]], **environ: str) -> list[dict[str, Any]]:
    """Return a worker's answers at the frozen moment, without `ms`.

    Args:
        folder: The folder with the code and the shop.
        requests: One for each line.
        environ: Variables beside the folder's `.env`.
    """
    lines = "".join(json.dumps(request) + "\n" for request in requests)
    _, *answers = map(json.loads, run(at(NOW, folder / "recommend_api.py", "--worker"), lines, **environ).splitlines())
    return [{name: value for name, value in answer.items() if name != "ms"} for answer in answers]


def run(command: list[str], stdin: str = "", **environ: str) -> str:
    """Return a command's output; if it fails, exit with the end of its output."""
    same = {
        name: value for name, value in os.environ.items() if name == "PATH" or name.startswith(("OPENBLAS_", "TF_"))
    }
    process = subprocess.run(
        command, input=stdin, env={**same, **environ}, capture_output=True, encoding="utf-8", check=False
    )
    if process.returncode:
        received = f"{process.returncode}, {process.stdout[-500:]} {process.stderr[-2000:]}"
        raise SystemExit(f"{' '.join(command[-2:])} should succeed. Received: {received}")
    return process.stdout


def write_database(path: Path, folder: Path) -> None:
    """Write a SQLite database as rows, and the tables of every dialect as statements; bytes become `{"hex": …}`."""
    rows: dict[str, Any] = {}
    with sqlite3.connect(path) as db:
        tables = db.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")
        for (name,) in tables.fetchall():
            selected = db.execute(f"SELECT * FROM {name} ORDER BY 1, 2")  # noqa: S608 - a name from the database itself
            columns = [column[0] for column in selected.description]
            rows[name] = {"columns": columns, "rows": [[as_json(value) for value in row] for row in selected]}
    (folder / "rows.json").write_text(json.dumps(rows), encoding="utf-8")
    for dialect in DIALECTS:
        record = migrations._spelled(migrations._RECORD, dialect)
        statements = [
            record,
            *(text for name, _ in rows["schema_migrations"]["rows"] for text in migrations.statements(name, dialect)),
        ]
        (folder / f"schema.{dialect}.sql").write_text(";\n".join(statements) + ";\n", encoding="utf-8")


def as_json(value: Any) -> Any:
    """Return a cell as a value of JSON."""
    return {"hex": value.hex()} if isinstance(value, bytes) else value


def pack(folder: Path, archive: Path) -> None:
    """Write a folder's files into an archive that is the same for the same files."""

    def anonymous(member: tarfile.TarInfo) -> tarfile.TarInfo:
        member.uid = member.gid = 0
        member.uname = member.gname = ""
        member.mtime = 0
        return member

    with GzipFile(archive, "wb", mtime=0) as packed, tarfile.open(fileobj=packed, mode="w") as tar:
        for path in sorted(folder.rglob("*")):
            tar.add(path, path.relative_to(folder).as_posix(), recursive=False, filter=anonymous)


if __name__ == "__main__":
    sys.exit(main())
