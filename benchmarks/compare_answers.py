"""Whether two checkouts of the project answer alike, but for `ms`, names of versions and, if asked for, rounding.

    python benchmarks/compare_answers.py BEFORE AFTER --shop data/demo.sqlite --models models

500 requests go through a worker of each checkout, and a sample of them through one-shot processes: the test corpus of
invalid and unusual input, and random requests for the shop. All processes have the same fixed clock. The shop is copied
to SQLite and to a MariaDB server (RECSYS_BENCH_MYSQL), so that the original is not written to. The exit status is 1 if
an answer differs, or if no request succeeds. `--within 1e-6` lets decimal numbers differ by so much.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from rich.table import Table  # noqa: E402

from benchmarks.loads.databases import MARIADB, SERVER, SQLITE, databases  # noqa: E402
from benchmarks.loads.inputs import Inputs, inputs  # noqa: E402
from recsys.store import connect, migrate  # noqa: E402
from recsys.training.terminal import console as new_console  # noqa: E402
from tests.helpers.frozen_clock import at  # noqa: E402

NOT_COPIED = "rec_schema_migrations"  # written by `migrate`
VARYING = ((rb'"(ms|pid)":[0-9.]+', rb'"\1":0'), (rb"[0-9]{8}T[0-9]{6}Z-[0-9a-f]{8}", b"VERSION"))
DECIMAL = rb"-?\b[0-9]+(?:\.[0-9]+(?:e-?[0-9]+)?|e-[0-9]+)\b"
SHOWN, TIMEOUT_S = 5, 600


def worker_answers(command: Sequence[str], environ: Mapping[str, str], asked: Inputs) -> dict[str, bytes]:
    """Return the lines that a worker answers to each input; the whole input is written at once."""
    data = b"".join(data + b"\n" for data, _ in asked.values())
    _, *lines = _run([*command, "--worker"], environ, data).splitlines(keepends=True)
    told = iter(lines)
    found = {name: b"".join(next(told, b"") for _ in range(count)) for name, (_, count) in asked.items()}
    return {**found, "lines too many": b"".join(told)}


def one_shot_answers(command: Sequence[str], environ: Mapping[str, str], asked: Inputs) -> dict[str, bytes]:
    """Return what a process each answers."""
    return {name: _run(command, environ, data) for name, (data, _) in asked.items()}


def _run(command: Sequence[str], environ: Mapping[str, str], data: bytes) -> bytes:
    env = {"PATH": os.environ["PATH"], **environ}
    done = subprocess.run(command, input=data, env=env, capture_output=True, timeout=TIMEOUT_S, check=False)
    told = done.stdout + done.stderr
    for pattern, same in VARYING:
        told = re.sub(pattern, same, told)
    return told


def alike(before: bytes, after: bytes, within: float) -> bool:
    """Return whether two answers of some lines are the same, with decimal numbers at most `within` apart.

    >>> alike(b'{"score":0.5}', b'{"score":0.50001}', 1e-3), alike(b'{"score":0.5}', b'{"score":0.6}', 1e-3)
    (True, False)
    >>> alike(b'{"id":1}', b'{"id":2}', 10), alike(b'{"a":1.0,"b":2}', b'{"b":2,"a":1.0}', 0.1)
    (False, False)
    """
    if before == after or not within:
        return before == after
    numbers = [re.findall(DECIMAL, told) for told in (before, after)]
    return re.sub(DECIMAL, b"0.0", before) == re.sub(DECIMAL, b"0.0", after) and all(
        abs(float(one) - float(other)) <= within for one, other in zip(*numbers, strict=True)
    )


def copy_rows(shop: Path, url: str) -> None:
    """Copy every row of a SQLite file into an empty database."""
    with sqlite3.connect(shop) as source, connect(url, create=True) as db:
        migrate(db)
        for (table,) in source.execute(
            "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
        ).fetchall():
            rows = source.execute(f"SELECT * FROM {table}")  # noqa: S608 - a name of the catalogue
            if table != NOT_COPIED:
                db.insert(
                    table, (dict(zip((column[0] for column in rows.description), row, strict=True)) for row in rows)
                )


def main(argv: Sequence[str]) -> int:
    """Compare; returns the exit status."""
    flags = _parser().parse_args(argv)
    table, console, different = (
        Table("database", "asked through", "requests", "successes", "different"),
        new_console(),
        list[str](),
    )
    with tempfile.TemporaryDirectory() as name, databases(Path(name), flags.server) as urls:
        folder = Path(name)
        shutil.copy(flags.shop, folder / "shop.sqlite")
        shutil.copytree(flags.models, folder / "models")
        (folder / "recsys.toml").touch()
        version = (folder / "models/CURRENT").read_text(encoding="utf-8").strip()
        manifest = json.loads((folder / "models" / version / "manifest.json").read_text(encoding="utf-8"))
        if MARIADB in urls:
            copy_rows(flags.shop, urls[MARIADB])
        asked = inputs(flags.shop, manifest["scorers"], flags.requests, flags.seed)
        sample = {
            name: asked[name] for name in random.Random(flags.seed).sample(list(asked), min(flags.one_shot, len(asked)))
        }
        commands = [
            at(manifest["data_until"] + 3600, checkout / "recommend_api.py") for checkout in (flags.before, flags.after)
        ]
        for database in (SQLITE, MARIADB)[: len(urls)]:
            environ = {
                "DATABASE_URL": urls[database],
                "MODELS_DIR": str(folder / "models"),
                "RECSYS_TOML": str(folder / "recsys.toml"),
            }
            for door, ask, some in (("worker", worker_answers, asked), ("one-shot", one_shot_answers, sample)):
                before, after = (ask(command, environ, some) for command in commands)
                unlike = [name for name in before if not alike(before[name], after[name], flags.within)]
                different += [
                    f"{database}, {door}, {name}\n  {before[name]!r:.400}\n  {after[name]!r:.400}" for name in unlike
                ]
                successes = sum(b'"ok":true' in told for told in before.values())
                different += (
                    []
                    if successes or door != "worker"
                    else [f"{database}: a request should succeed. Received: none did."]
                )
                table.add_row(database, door, f"{len(some):,}", f"{successes:,}", f"{len(unlike):,}")
    console.print(table)
    for text in different[:SHOWN]:
        console.print(text, markup=False, highlight=False, soft_wrap=True)
    return 1 if different else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("before", type=Path, help="a checkout")
    parser.add_argument("after", type=Path, help="another checkout")
    parser.add_argument(
        "--shop", type=Path, default=ROOT / "data/demo.sqlite", help="its SQLite file; default data/demo.sqlite"
    )
    parser.add_argument("--models", type=Path, default=ROOT / "models", help="its versions; default models/")
    parser.add_argument("--requests", type=int, default=500, metavar="N", help="default 500")
    parser.add_argument(
        "--one-shot", type=int, default=30, metavar="N", help="of them, through a process each; default 30"
    )
    parser.add_argument("--within", type=float, default=0.0, metavar="X", help="of decimal numbers; default 0")
    parser.add_argument("--seed", type=int, default=7, metavar="N", help="default 7")
    parser.add_argument(
        "--server", default=os.environ.get("RECSYS_BENCH_MYSQL", SERVER), metavar="URL", help=f"default {SERVER}"
    )
    parser.add_argument(
        "--without-mariadb", dest="server", action="store_const", const=None, help="compare on SQLite only"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
