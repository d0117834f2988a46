"""The whole line on a shop of our own: make the shop, train, publish, put its encoders into the database, ask for recommendations.

What is there already is kept, so that a second run does little more than ask. A shop that .env or the environment names is left
alone: the demo then keeps to its own database and its own versions, all in data/.
"""

from __future__ import annotations

import argparse
import compileall
import json
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from rich.table import Table  # noqa: E402

from demo.people import DEMO_PASSWORD  # noqa: E402
from recsys.artifacts import current  # noqa: E402
from recsys.data.cleaning import clean  # noqa: E402
from recsys.data.interactions import data_hash  # noqa: E402
from recsys.errors import ModelRefused, NoModel, RecsysError, SettingsError  # noqa: E402
from recsys.settings import Settings, load_settings  # noqa: E402
from recsys.store import connect, read_interactions  # noqa: E402
from recsys.store.writes import product_names, user  # noqa: E402
from recsys.training.terminal import console  # noqa: E402

DEMO_URL = "sqlite:///data/demo.sqlite"
# Beside another shop: its versions are not replaced, and its mapping does not fit the demo's tables.
APART = {"DATABASE_URL": DEMO_URL, "MODELS_DIR": "data/demo-models", "RECSYS_TOML": "data/demo.toml"}
SHOP_NAMES = ("DATABASE_URL", "DB_NAME", "DB_DATABASE_NAME")  # any of these says where a shop is
REQUEST = {"user_id": 1, "limit": 5}
INTERRUPTED = 130  # as shells have it for Ctrl-C
LOG_WIDTH = 110  # of a file or a pipe: wide enough for the tables

out = console(log_width=LOG_WIDTH)


class StepFailed(Exception):
    """A step has ended with this exit status, and has said why."""


def main(argv: list[str]) -> int:
    """Run what is left to do and ask; returns the exit status."""
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args(argv)
    try:
        environ = {**os.environ, **_own_variables(os.environ)}
        settings = load_settings(environ, ROOT)
        compileall.compile_dir(
            ROOT / "recsys", quiet=2
        )  # a web server's user may not be allowed to, and would compile for each request
        _run(["scripts/make_shop.py", "--keep"], environ)
        version = _up_to_date(settings)
        if version:
            out.print(f"Version {version} has seen all that happened in this shop: nothing to train.")
        else:
            _run(["train.py"], environ)
        _run(["scripts/migrate_encoders.py"], environ)
        _show(json.loads(_run(["recommend_api.py"], environ, stdin=json.dumps(REQUEST))), settings)
    except RecsysError as error:
        console(stderr=True).print(f"demo: {error}")
        return error.exit_status
    except StepFailed as failure:
        return int(failure.args[0])
    except KeyboardInterrupt:
        return INTERRUPTED
    return 0


def _own_variables(environ: Mapping[str, str]) -> Mapping[str, str]:
    """Return what the steps are told beyond the environment and .env; where nothing names a shop, .env is written for the demo's."""
    data = ROOT / "data"
    data.mkdir(exist_ok=True)
    if not (ROOT / ".env").exists() and not any(environ.get(name) for name in SHOP_NAMES):
        _write_env(apart=(ROOT / "models/CURRENT").exists() or (ROOT / "recsys.toml").exists())
    (data / "demo.toml").write_text("# The demo shop has the default schema: nothing to map.\n", encoding="utf-8")
    try:
        if load_settings(environ, ROOT).database_url == load_settings(APART, ROOT).database_url:
            return {}
    except SettingsError:
        pass  # whatever is wrong with another shop's settings, it is not the demo's business
    out.print(
        "The settings name another shop, which is left alone: the demo keeps to data/demo.sqlite and data/demo-models."
    )
    return APART


def _write_env(*, apart: bool) -> None:
    """Write .env; beside versions or a mapping of another shop it keeps the demo apart from them."""
    variables = APART if apart else {"DATABASE_URL": DEMO_URL}
    lines = [
        '# The demo\'s embedded shop. For your own: README.md, "Your own shop".',
        *(f"{k}={v}" for k, v in variables.items()),
    ]
    with (ROOT / ".env").open("x", encoding="utf-8") as file:
        file.write("\n".join(lines) + "\n")
    out.print(f".env written: {', '.join(lines[1:])}")


def _run(command: Sequence[str], environ: Mapping[str, str], stdin: str | None = None) -> str:
    """Run one of the doors and return its stdout where it got a stdin; otherwise both its streams are ours.

    Raises:
        StepFailed: Its exit status is not 0.
    """
    python = Path(sys.executable)
    shown = python.relative_to(ROOT) if python.is_relative_to(ROOT) else python
    pipe = f"echo {shlex.quote(stdin)} | " if stdin else ""
    out.print(f"$ {pipe}{shown} {shlex.join(command)}", style="bold", soft_wrap=True)
    done = subprocess.run(
        [sys.executable, *command],
        env=environ,
        cwd=ROOT,
        input=stdin,
        encoding="utf-8",
        stdout=subprocess.PIPE if stdin else None,
    )
    if done.returncode:
        console(stderr=True).print(f"demo: {command[0]} ended with exit status {done.returncode}. {done.stdout or ''}")
        raise StepFailed(done.returncode)
    return done.stdout or ""


def _up_to_date(settings: Settings) -> str | None:
    """Return the name of the active version if it learned from exactly the events that the shop holds now."""
    try:
        with current(settings.models_dir) as version, connect(settings.database_url) as db:
            interactions, _ = read_interactions(db, settings.shop)
            cleaned, _ = clean(interactions, shop=settings.shop, training=settings.training, now=int(time.time()))
            return version.name if data_hash(cleaned) == version.manifest["data_sha256"] else None
    except (NoModel, ModelRefused):
        return None


def _show(answer: Mapping[str, Any], settings: Settings) -> None:
    """Print an answer as tables, with names for ids, and what to do next."""
    because = [item.get("reason", {}).get("item_id") for item in answer["items"]]
    with connect(settings.database_url) as db:
        names = product_names(db, [*(item["productId"] for item in answer["items"]), *filter(None, because)])
        name, address = user(db, answer["user_id"]) or ("nobody", "nobody")
    table = Table("", "product", "score", "because of", title=f"For {name}, by {answer['model']}")
    for rank, (item, cause) in enumerate(zip(answer["items"], because, strict=True), 1):
        label = f"{names[item['productId']]} ({item['productId']})"
        table.add_row(str(rank), label, f"{item['score']:.3f}", names.get(cause, ""))
    out.print(table)
    out.print(_runs(answer))
    out.print(
        f"{answer['ms']:.0f} ms in the process. {name} logs in as {address}; every customer's password is {DEMO_PASSWORD}.",
        soft_wrap=True,
    )
    out.print(
        "Next: ask for another user_id, train on your own shop (README.md), read docs/PROTOCOL.md.", soft_wrap=True
    )


def _runs(answer: Mapping[str, Any]) -> Table:
    table = Table("model", "its first five", "P@10", "MAP@10", "measured", title="All that were asked")
    for run in answer["runs"]:
        metrics = run["metrics"] or {"precision10": float("nan"), "map10": float("nan")}
        name = f"{run['model']} ★" if run["model"] == answer["model"] else run["model"]
        items = " ".join(map(str, run["items"][:5])) or run.get("error", "")
        table.add_row(name, items, f"{metrics['precision10']:.3f}", f"{metrics['map10']:.3f}", run["basis"] or "")
    return table


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
