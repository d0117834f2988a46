"""Time and memory of the HTTP service on a shop, each figure beside an empty route of the same application.

    python benchmarks/service.py --json benchmarks/results/service.json
    python benchmarks/service.py --quick
    python benchmarks/service.py --markdown docs/SERVICE.md
    python benchmarks/service.py --markdown docs/SERVICE.md --check

It needs a trained shop in PostgreSQL: DATABASE_URL and MODELS_DIR name it, and it should be a shop of the benchmark's
own, because events are tracked in it. REDIS_URL names a Redis whose database may be emptied. Both sides of each figure
take turns, and medians of the rounds are kept, so that what else the machine does falls on both.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
for threads in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"):
    os.environ.setdefault(threads, "1")

import redis  # noqa: E402

from benchmarks import pages  # noqa: E402
from benchmarks.loads.http_service import (  # noqa: E402
    EMPTY,
    Reply,
    ServiceProcess,
    closed_loop,
    one_by_one,
    request,
    steady,
)
from recsys.service.cache import EVENTS, PREFIX  # noqa: E402
from recsys.settings import load_settings  # noqa: E402
from recsys.store import Database, connect  # noqa: E402

KEPT = Path("benchmarks/results/service.json")
NAME = "service"  # of the page's markers
RATE = 200.0  # requests a second
CLIENTS = 50
MEMORY_USERS, MEMORY_LISTS = 1000, 3
CONTEXTS = ("homepage", "trending", "product_page")


class Load:
    """How much is measured."""

    def __init__(self, *, quick: bool) -> None:
        self.rounds = 2 if quick else 7
        self.seconds = 0.5 if quick else 3.0
        self.users = 5 if quick else 60
        self.tracks = 20 if quick else 200


def main(argv: Sequence[str]) -> int:
    """Measure, or write the page; returns the exit status."""
    flags = _parser().parse_args(argv)
    if flags.markdown:
        page = Path(flags.markdown)
        text = pages.replaced(page.read_text(encoding="utf-8"), markdown(_kept(ROOT / KEPT)), NAME, page.name)
        made_by = f"python benchmarks/service.py --markdown {flags.markdown}"
        return pages.settled(page, text, made_by, check=flags.check)
    figures = pages.rounded(measure(Load(quick=flags.quick), os.environ))  # so that stdout is what the page says
    sys.stdout.write(markdown(figures))
    if flags.json:
        pages.keep(Path(flags.json), figures)
    return 0


def measure(load: Load, environ: Mapping[str, str]) -> dict[str, Any]:
    """Return all figures."""
    settings = load_settings(environ, ROOT)
    cache = redis.Redis.from_url(environ["REDIS_URL"])
    with tempfile.TemporaryDirectory() as folder, connect(settings.database_url) as db:
        users = _users(db, load.users)
        with ServiceProcess(environ, Path(folder) / "log", with_empty_routes=True) as service:
            asyncio.run(one_by_one(service.port, [request("GET", EMPTY)] * 20))
            figures: dict[str, Any] = {"not_cached": not_cached(service, environ, users, cache, db, load)}
            figures["track"] = track(service, db, users, load)
            lists = [request("GET", f"/recommendations?user_id={user}") for user in users]
            asyncio.run(one_by_one(service.port, lists))
            figures["steady"] = steadily(service, lists, load)
            figures["closed"] = closed(service, lists, load)
            figures["memory"] = memory(service, cache, users, load)
            figures["resident_mib"] = service.resident_bytes / 2**20
        figures["python"], figures["cpus"] = platform.python_version(), os.cpu_count()
    return figures


def steadily(service: ServiceProcess, lists: list[bytes], load: Load) -> dict[str, Any]:
    """Return p50 and p99 of an empty route and of kept lists at an even rate, in milliseconds."""
    sides: dict[str, list[list[float]]] = {"empty": [], "list": []}
    for _ in range(load.rounds):
        for side, requests in (("empty", [request("GET", EMPTY)]), ("list", lists)):
            sides[side].append(asyncio.run(steady(service.port, requests, RATE, load.seconds)))
    return {side: {"p50": _median_of(rounds, 50), "p99": _median_of(rounds, 99)} for side, rounds in sides.items()}


def closed(service: ServiceProcess, lists: list[bytes], load: Load) -> dict[str, Any]:
    """Return answers a second, and computed milliseconds an answer, of 50 clients that ask without a pause."""
    rates: dict[str, list[float]] = {"empty": [], "list": []}
    cpu: dict[str, list[float]] = {"empty": [], "list": []}
    for _ in range(load.rounds):
        for side, requests in (("empty", [request("GET", EMPTY)]), ("list", lists)):
            before, began = service.cpu_s, time.perf_counter()
            replies: list[Reply] = asyncio.run(closed_loop(service.port, requests, CLIENTS, load.seconds))
            assert {reply.status for reply in replies} == {200}
            rates[side].append(len(replies) / (time.perf_counter() - began))
            cpu[side].append(1000 * (service.cpu_s - before) / len(replies))
    ratios = [one / other for one, other in zip(rates["list"], rates["empty"], strict=True)]
    return {
        "rate": {side: statistics.median(values) for side, values in rates.items()},
        "cpu_ms": {side: statistics.median(values) for side, values in cpu.items()},
        "ratio": statistics.median(ratios),
    }


def not_cached(
    service: ServiceProcess,
    environ: Mapping[str, str],
    users: list[int | str],
    cache: redis.Redis,
    db: Database,
    load: Load,
) -> dict[str, float]:
    """Return p50 in milliseconds of new lists over HTTP, of the worker's, and of an empty route, one at a time."""
    command = [sys.executable, str(ROOT / "recommend_api.py"), "--worker"]
    sides: dict[str, list[float]] = {"empty": [], "list": [], "worker": []}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, env={**os.environ, **environ}, **pipes) as worker:
        assert worker.stdin and worker.stdout
        worker.stdout.readline()
        for warm in (True, False):
            forget(cache, db)
            for user in users:
                empty, new = request("GET", EMPTY), request("GET", f"/recommendations?user_id={user}")
                first, second = asyncio.run(one_by_one(service.port, [empty, empty, new]))[1:]
                began = time.perf_counter()
                worker.stdin.write(json.dumps({"user_id": user, "limit": 100}).encode() + b"\n")
                worker.stdin.flush()
                assert json.loads(worker.stdout.readline())["ok"]
                taken = {"empty": first, "list": second, "worker": time.perf_counter() - began}
                for side in sides if not warm else ():
                    sides[side].append(taken[side])
        worker.stdin.close()
    return {side: 1000 * statistics.median(values) for side, values in sides.items()}


def track(service: ServiceProcess, db: Database, users: list[int | str], load: Load) -> dict[str, float]:
    """Return p50 in milliseconds of an event over HTTP, of an INSERT with its COMMIT, and of an empty POST."""
    db.execute("CREATE TABLE IF NOT EXISTS benchmark_events (id VARCHAR(64) PRIMARY KEY, body VARCHAR(500))")
    sides: dict[str, list[float]] = {"empty": [], "event": [], "insert": []}
    stamp = time.time_ns()
    for number in range(load.tracks):
        event = {"user_id": users[number % len(users)], "product_id": 1 + number % 50, "interaction_type": "view"}
        body = json.dumps({**event, "event_id": f"{stamp}-{number}"}).encode()
        sides["empty"] += asyncio.run(one_by_one(service.port, [request("GET", EMPTY), request("POST", EMPTY, body)]))[
            1:
        ]
        sides["event"] += asyncio.run(
            one_by_one(service.port, [request("GET", EMPTY), request("POST", "/track", body)])
        )[1:]
        began = time.perf_counter()
        with db.atomic():
            row = {"id": f"{stamp}-{number}", "body": body.decode()}
            db.execute("INSERT INTO benchmark_events (id, body) VALUES (:id, :body)", row)
        sides["insert"].append(time.perf_counter() - began)
    db.execute("DROP TABLE benchmark_events")
    return {side: 1000 * statistics.median(values) for side, values in sides.items()}


def memory(service: ServiceProcess, cache: redis.Redis, users: list[int | str], load: Load) -> dict[str, float]:
    """Return the bytes in Redis of a thousand users with three lists each.

    The lists of the benchmark's users are made; further users get copies of them.
    """
    for user in users:
        paths = [f"/recommendations?user_id={user}&context={context}&product_id=1" for context in CONTEXTS]
        paths.append(f"/recommendations?user_id={user}&context=cart&product_id=2")
        asyncio.run(one_by_one(service.port, [request("GET", path) for path in paths]))
    time.sleep(1)  # what is kept behind the answers
    hashes = [cache.hgetall(f"{PREFIX}{user}") for user in users]
    hashes = [dict(list(lists.items())[:MEMORY_LISTS]) for lists in hashes if len(lists) >= MEMORY_LISTS]
    total = 0
    for number in range(MEMORY_USERS):
        name = f"{PREFIX}benchmark {number:06d}"
        cache.hset(name, mapping=hashes[number % len(hashes)])
        cache.expire(name, 600)
        total += cache.memory_usage(name, samples=0)
        cache.delete(name)
    lengths = [len(value) for lists in hashes for value in lists.values()]
    return {"bytes": total, "list_bytes": statistics.mean(lengths)}


def forget(cache: redis.Redis, db: Database) -> None:
    """Delete all kept lists."""
    for pattern in (f"{PREFIX}*", f"{EVENTS}*"):
        for name in cache.scan_iter(pattern):
            cache.delete(name)
    db.execute("DELETE FROM rec_recommendations_cache")


def markdown(figures: Mapping[str, Any]) -> str:
    """Return the table of the page."""
    if not figures:
        return pages.NOT_TAKEN
    even, loop, new, event = (figures[name] for name in ("steady", "closed", "not_cached", "track"))
    rows = [
        ("kept list at 200 requests/s, p50", even["list"]["p50"], even["empty"]["p50"], even["empty"]["p50"] + 2, "ms"),
        ("the same, p99", even["list"]["p99"], even["empty"]["p99"], even["empty"]["p99"] + 15, "ms"),
        ("kept list, 50 clients without a pause", loop["rate"]["list"], loop["rate"]["empty"], None, "answers/s"),
        ("new list, p50", new["list"], new["empty"], new["worker"] + new["empty"] + 3, "ms"),
        ("`POST /track`, p50", event["event"], event["empty"], event["insert"] + event["empty"] + 1, "ms"),
    ]
    lines = ["| what | measured | empty route | bound | met |", "|---|---|---|---|---|"]
    for what, value, empty, bound, unit in rows:
        if bound is None:
            bound, is_met = 0.6 * empty, loop["ratio"] >= 0.6
        else:
            is_met = value <= bound
        digits = 0 if unit == "answers/s" else 2
        cells = [f"{number:,.{digits}f} {unit}" for number in (value, empty, bound)]
        lines.append(f"| {what} | {' | '.join(cells)} | {'yes' if is_met else '**no**'} |")
    size = figures["memory"]["bytes"] / 1e6
    lines.append(f"| 1,000 users × 3 lists in Redis | {size:.2f} MB | | 4.00 MB | {'yes' if size <= 4 else '**no**'} |")
    cpu = loop["cpu_ms"]
    notes = (
        f"The worker takes {new['worker']:.2f} ms for the same new list through the bridge.\n"
        f"One INSERT with its COMMIT takes {event['insert']:.2f} ms.\n"
        f"Of 50 clients, a kept list computes {cpu['list']:.2f} ms and an empty answer {cpu['empty']:.2f} ms; "
        f"the median ratio of answers is {loop['ratio']:.2f}.\n"
        f"Python {figures['python']}; client, database, Redis and other programs share {figures['cpus']} processor(s)."
    )
    return "\n".join([*lines, "", notes]) + "\n"


def _users(db: Database, n_users: int) -> list[int | str]:
    rows = db.query("SELECT userId FROM Interactions GROUP BY userId ORDER BY userId LIMIT :n", {"n": n_users})
    return [user for (user,) in rows]


def _median_of(rounds: list[list[float]], percent: int) -> float:
    """Return the median over rounds of a percentile, in milliseconds."""
    return 1000 * statistics.median(statistics.quantiles(values, n=100)[percent - 1] for values in rounds)


def _kept(path: Path) -> dict[str, Any]:
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else {}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few requests, to test that the benchmark runs")
    parser.add_argument("--json", metavar="FILE", help="keep the figures")
    parser.add_argument("--markdown", metavar="PAGE", help="write the kept figures into a page")
    parser.add_argument("--check", action="store_true", help="only say whether the page is up to date")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
