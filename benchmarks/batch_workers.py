"""How long lists for everybody take on two, four and eight Celery workers, and how much of the processor.

    python benchmarks/batch_workers.py --json benchmarks/results/batch_workers.json
    python benchmarks/batch_workers.py --markdown docs/SCALE.md
    python benchmarks/batch_workers.py --markdown docs/SCALE.md --check

It makes a synthetic shop in MariaDB, starts `celery -A recsys.jobs.app worker` with so many processes, and sends
`recsys.jobs.recommend_all` with eight shards through the broker. Seconds pass from the message to the last shard's end;
those of the processor are the workers' from their start to their end. Tables go to stdout, progress to stderr.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from benchmarks import pages  # noqa: E402
from benchmarks.loads.databases import MARIADB, SERVER  # noqa: E402
from benchmarks.loads.shops import Size, SyntheticShop, synthetic_shop  # noqa: E402
from recsys import store  # noqa: E402
from recsys.training.terminal import console  # noqa: E402

NAME = "batch-workers"  # of the page's markers
KEPT = Path("benchmarks/results/batch_workers.json")
SHARDS = 8
LOOK_S = 0.2  # between two looks whether all shards have ended
MOST_S = 1800.0

err = console(stderr=True)


def main(argv: Sequence[str]) -> int:
    """Measure, or write the page; returns the exit status."""
    flags = _parser().parse_args(argv)
    if flags.markdown:
        kept = flags.json or KEPT
        block = markdown(json.loads(kept.read_text(encoding="utf-8"))) if kept.exists() else pages.NOT_TAKEN
        text = pages.replaced(flags.markdown.read_text(encoding="utf-8"), block, NAME, flags.markdown.name)
        return pages.settled(flags.markdown, text, "benchmarks/batch_workers.py", check=flags.check)
    with synthetic_shop(Size(flags.items, flags.users, flags.users // 2), SERVER, err.print) as shop:
        result = {
            "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} processors",
            "broker": flags.broker.partition(":")[0],
            "items": flags.items,
            "users": flags.users,
            "runs": [measured(shop, flags.broker, n, flags.model) for n in flags.workers],
        }
    if flags.json:
        pages.keep(flags.json, result)
    print(markdown(result))
    return 0


def measured(shop: SyntheticShop, broker: str, n_workers: int, model: str) -> dict[str, Any]:
    """Return the seconds that pass, and those of the processor, of one run on so many workers."""
    environ = {**shop.environ(MARIADB), "BROKER_URL": broker, "BROKER_QUEUE": f"recsys-{secrets.token_hex(4)}"}
    with store.connect(shop.urls[MARIADB]) as db:  # a finished run would stand for the next one
        store.migrate(db, shop=False)
        db.execute("DELETE FROM rec_batch_runs")
    before = _children_s()
    with _workers(shop, {**os.environ, **environ, "OPENBLAS_NUM_THREADS": "1"}, n_workers) as celery:
        began, sent = time.monotonic(), int(time.time())
        arguments = json.dumps({"n_shards": SHARDS, "model": model})
        celery("call", "recsys.jobs.recommend_all", "--kwargs", arguments)
        n_users = _wait(shop, sent)
        wall_s = time.monotonic() - began
    cpu_s = _children_s() - before
    err.print(f"{n_workers} workers: {wall_s:.1f} s, {cpu_s:.1f} s of the processor")
    return {"workers": n_workers, "wall_s": wall_s, "cpu_s": cpu_s, "users": n_users}


@contextmanager
def _workers(shop: SyntheticShop, environ: Mapping[str, str], n: int) -> Any:
    """Start workers, and yield a function that runs another command of Celery in their folder."""
    command = [sys.executable, "-m", "celery", "-A", "recsys.jobs.app"]
    given: dict[str, Any] = {"cwd": shop.folder, "env": {**environ, "PYTHONPATH": str(ROOT)}}
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen([*command, "worker", "--concurrency", str(n), "--loglevel", "ERROR"], **given, **quiet)
    try:
        yield lambda *arguments: subprocess.run([*command, *arguments], check=True, **given, **quiet)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()


def _wait(shop: SyntheticShop, sent: int) -> int:
    """Wait until all shards of a run that was sent at a moment have ended; returns the number of users."""
    give_up_at = time.monotonic() + MOST_S
    with store.connect(shop.urls[MARIADB]) as db:
        while time.monotonic() < give_up_at:
            rows = db.query("SELECT n_users FROM rec_batch_runs WHERE finished_at >= :sent", {"sent": sent})
            if len(rows) == SHARDS:
                return sum(int(n) for (n,) in rows)
            time.sleep(LOOK_S)
    raise SystemExit(f"{SHARDS} shards should have ended within {MOST_S:.0f} s. Received: {len(rows)}.")


def _children_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def markdown(result: Mapping[str, Any]) -> str:
    """Return the table of runs."""
    lines = ["| workers | seconds | seconds of the processor | ms of the processor a user |", "|---:|---:|---:|---:|"]
    for run in result["runs"]:
        per_user = 1000 * run["cpu_s"] / run["users"]
        lines.append(f"| {run['workers']} | {run['wall_s']:.1f} | {run['cpu_s']:.1f} | {per_user:.2f} |")
    users = result["runs"][0]["users"]
    lines += [
        "",
        f"{users:,} users in {SHARDS} shards, {result['items']:,} items, MariaDB to `rec_batch_lists`, broker "
        f"{result['broker']}; the starts of the workers are part of the processor's time; {result['machine']}.",
        "",
    ]
    return "\n".join(lines)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=pages.positive, default=10_000, metavar="N", help="of the catalogue (10,000)")
    parser.add_argument("--users", type=pages.positive, default=20_000, metavar="N", help="of the shop (20,000)")
    parser.add_argument("--workers", type=pages.positive, nargs="+", default=[2, 4, 8], metavar="N", help="2 4 8")
    parser.add_argument("--model", default="BMF", metavar="NAME", help="the scorer (BMF)")
    broker = "amqp://guest:guest@127.0.0.1:5672//"
    parser.add_argument("--broker", default=broker, metavar="URL", help="RabbitMQ at 127.0.0.1, or Redis")
    pages.add_flags(parser)
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
