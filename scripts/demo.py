"""Run every step on a demo shop: make the shop, train, publish, write the encoders, ask for recommendations.

Finished steps are skipped, so that a second run only asks for recommendations. If .env or the environment names another
shop, that shop is not touched: the demo then has its own database and versions in data/.
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
from contextlib import suppress
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
from recsys.errors.arguments import Parser  # noqa: E402
from recsys.settings import Settings, load_settings  # noqa: E402
from recsys.store import connect, read_interactions  # noqa: E402
from recsys.store.writes import product_names, user  # noqa: E402
from recsys.training.terminal import console  # noqa: E402

DEMO_URL = "sqlite:///data/demo.sqlite"
# Settings of the demo beside another shop, whose versions must stay and whose mapping does not fit the demo's tables.
APART = {"DATABASE_URL": DEMO_URL, "MODELS_DIR": "data/demo-models", "RECSYS_TOML": "data/demo.toml"}
SHOP_NAMES = ("DATABASE_URL", "DB_NAME", "DB_DATABASE_NAME")  # each of these names a shop
REQUEST = {"user_id": 1, "limit": 5}
INTERRUPTED = 130  # the status of shells after Ctrl-C
LOG_WIDTH = 110  # columns of a file or a pipe, enough for the tables

out = console(log_width=LOG_WIDTH)


class StepFailed(Exception):
    """A step ended with this exit status, after a message of its own."""


def main(argv: list[str]) -> int:
    """Run the missing steps and ask for recommendations; returns the exit status."""
    Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args(argv)
    try:
        environ = {**os.environ, **own_variables(os.environ)}
        settings = load_settings(environ, ROOT)
        # A web server's user may not write the compiled files, and would compile for each request.
        compileall.compile_dir(ROOT / "recsys", quiet=2)
        run(["scripts/make_shop.py", "--keep"], environ)
        version = up_to_date(settings)
        if version:
            out.print(f"Version {version} has seen all that happened in this shop: nothing to train.")
        else:
            run(["train.py"], environ)
        run(["scripts/migrate_encoders.py"], environ)
        _show(json.loads(run(["recommend_api.py"], environ, stdin=json.dumps(REQUEST))), settings)
    except RecsysError as error:
        console(stderr=True).print(f"demo: {error}")
        return error.exit_status
    except StepFailed as failure:
        return int(failure.args[0])
    except KeyboardInterrupt:
        return INTERRUPTED
    return 0


def own_variables(environ: Mapping[str, str]) -> Mapping[str, str]:
    """Return the variables that the steps get in addition to the environment; writes .env if nothing names a shop."""
    data = ROOT / "data"
    data.mkdir(exist_ok=True)
    if not (ROOT / ".env").exists() and not any(environ.get(name) for name in SHOP_NAMES):
        _write_env(apart=(ROOT / "models/CURRENT").exists() or (ROOT / "recsys.toml").exists())
    (data / "demo.toml").write_text("# The demo shop has the default schema: nothing to map.\n", encoding="utf-8")
    with suppress(SettingsError):  # the settings of another shop may be broken
        if load_settings(environ, ROOT).database_url == load_settings(APART, ROOT).database_url:
            return {}
    out.print(
        "The settings name another shop, which is left alone: the demo keeps to data/demo.sqlite and data/demo-models."
    )
    return APART


def _write_env(*, apart: bool) -> None:
    """Write .env. With `apart`, its variables keep the demo apart from another shop's versions and mapping."""
    variables = APART if apart else {"DATABASE_URL": DEMO_URL}
    lines = [f"{name}={value}" for name, value in variables.items()]
    with (ROOT / ".env").open("x", encoding="utf-8") as file:
        file.write("\n".join(['# The demo\'s embedded shop. For your own: README.md, "Your own shop".', *lines, ""]))
    out.print(f".env written: {', '.join(lines)}")


def run(command: Sequence[str], environ: Mapping[str, str], stdin: str | None = None) -> str:
    """Run a command.

    Args:
        command: A script and its arguments.
        environ: The environment.
        stdin: The text on its stdin; None to inherit the streams.

    Returns:
        Its stdout if it got a stdin, otherwise an empty text.

    Raises:
        StepFailed: Its exit status is not 0.
    """
    python = Path(sys.executable)
    shown = python.relative_to(ROOT) if python.is_relative_to(ROOT) else python
    pipe = f"echo {shlex.quote(stdin)} | " if stdin else ""
    out.print(f"$ {pipe}{shown} {shlex.join(command)}", style="bold", soft_wrap=True)
    process = subprocess.run(
        [sys.executable, *command],
        env=environ,
        cwd=ROOT,
        input=stdin,
        encoding="utf-8",
        stdout=subprocess.PIPE if stdin else None,
    )
    if process.returncode:
        message = f"demo: {command[0]} ended with exit status {process.returncode}. {process.stdout or ''}"
        console(stderr=True).print(message)
        raise StepFailed(process.returncode)
    return process.stdout or ""


def up_to_date(settings: Settings) -> str | None:
    """Return the name of the active version if it was trained on exactly the shop's current events, otherwise None."""
    try:
        with current(settings.models_dir) as version, connect(settings.database_url) as db:
            interactions, _ = read_interactions(db, settings.shop)
            cleaned, _ = clean(interactions, shop=settings.shop, training=settings.training, now=int(time.time()))
            return version.name if data_hash(cleaned) == version.manifest["data_sha256"] else None
    except (NoModel, ModelRefused):
        return None


def _show(answer: Mapping[str, Any], settings: Settings) -> None:
    """Print an answer as tables, with names in place of ids, and the next steps."""
    causes = [item.get("reason", {}).get("item_id") for item in answer["items"]]
    with connect(settings.database_url) as db:
        names = product_names(db, [*(item["productId"] for item in answer["items"]), *filter(None, causes)])
        name, address = user(db, answer["user_id"]) or ("nobody", "nobody")
    table = Table("", "product", "score", "because of", title=f"For {name}, by {answer['model']}")
    for rank, (item, cause) in enumerate(zip(answer["items"], causes, strict=True), 1):
        label = f"{names[item['productId']]} ({item['productId']})"
        table.add_row(str(rank), label, f"{item['score']:.3f}", names.get(cause, ""))
    out.print(table)
    out.print(_runs(answer))
    log_in = f"{name} logs in as {address}; every user's password is {DEMO_PASSWORD}."
    out.print(f"{answer['ms']:.0f} ms in the process. {log_in}", soft_wrap=True)
    next_steps = "Next: ask for another user_id, train on your own shop (README.md), read docs/PROTOCOL.md."
    out.print(next_steps, soft_wrap=True)


def _runs(answer: Mapping[str, Any]) -> Table:
    table = Table("model", "its first five", "P@10", "MAP@10", "measured", title="All models")
    for run in answer["runs"]:
        metrics = run["metrics"] or {"precision10": float("nan"), "map10": float("nan")}
        name = f"{run['model']} ★" if run["model"] == answer["model"] else run["model"]
        items = " ".join(map(str, run["items"][:5])) or run.get("error", "")
        table.add_row(name, items, f"{metrics['precision10']:.3f}", f"{metrics['map10']:.3f}", run["basis"] or "")
    return table


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
