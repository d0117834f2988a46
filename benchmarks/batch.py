"""How much lists of everybody cost, beside a worker that is asked one user at a time, and on how many shards.

    python benchmarks/batch.py --json benchmarks/results/batch.json
    python benchmarks/batch.py --rounds 1 --users 200 --alone 50 --winners BMF
    python benchmarks/batch.py --implicit PYTHON --json benchmarks/results/batch.json    with implicit beside BMF
    python benchmarks/batch.py --large --json benchmarks/results/batch.json
    python benchmarks/batch.py --markdown docs/BATCH.md
    python benchmarks/batch.py --markdown docs/BATCH.md --check

Both ways answer users of one synthetic shop of random weights, in turns and in one process. The figures are seconds of
the processor, which other programs of the machine disturb less than the time that passes. Shards and memory are
measured in processes of their own. --large measures 10,000 users of 100,000 items in place of all else, and adds the
figures to the kept ones. Tables go to stdout, progress to stderr. --markdown writes the kept results into the
page.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
for threads in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"):
    os.environ[threads] = "1"  # as recommend_api.py has it, before NumPy loads
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from benchmarks import pages  # noqa: E402
from benchmarks.loads.databases import SERVER, SQLITE  # noqa: E402
from benchmarks.loads.shops import Size, SyntheticShop, synthetic_shop  # noqa: E402
from benchmarks.loads.users import USUAL  # noqa: E402
from recsys.artifacts import trim_memory  # noqa: E402
from recsys.bridge.watchdog import Watchdog  # noqa: E402
from recsys.bridge.worker import Worker  # noqa: E402
from recsys.recommending.batch import recommend_all  # noqa: E402
from recsys.training.terminal import console  # noqa: E402

NAME = "batch"  # of the page's markers
KEPT = Path("benchmarks/results/batch.json")
WINNERS = ("BMF", "LNCM", "NeuMF", "ENCM", "blend", "item_cf")
WARM_UPS = 20  # requests that do not count
LARGE = 1_000_000  # users that the figures are extrapolated to
OF_LARGE = Size(items=100_000, users=20_000, customers=10_000, history=36)  # one in a hundred of them

err = console(stderr=True)


def main(argv: Sequence[str]) -> int:
    """Measure, or write the page; returns the exit status."""
    flags = _parser().parse_args(argv)
    if flags.markdown:
        kept = flags.json or KEPT
        block = markdown(json.loads(kept.read_text(encoding="utf-8"))) if kept.exists() else pages.NOT_TAKEN
        text = pages.replaced(flags.markdown.read_text(encoding="utf-8"), block, NAME, flags.markdown.name)
        return pages.settled(flags.markdown, text, "benchmarks/batch.py", check=flags.check)
    if flags.large:
        kept = flags.json or KEPT
        pages.keep(kept, {**json.loads(kept.read_text(encoding="utf-8")), "large": large(flags)})
        return 0
    size = Size(flags.items, 2 * flags.users * flags.rounds, flags.users * flags.rounds, flags.history)
    server = SERVER if flags.mariadb else None
    with synthetic_shop(size, server, err.print) as shop:
        database = [name for name in shop.urls if name != SQLITE or not server][0]
        result = {
            "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} processors",
            "python": platform.python_version(),
            "database": database,
            "items": flags.items,
            "history": flags.history,
            "users": flags.users,
            "rounds": flags.rounds,
            "winners": [measured(shop, database, name, flags) for name in flags.winners],
            "shards": shards(shop, database, flags.winners[0]),
        }
    if flags.implicit:
        result["implicit"] = library(flags.implicit, len(shop.groups[USUAL]), flags.items)
    if flags.json:
        pages.keep(flags.json, result)
    print(markdown(result))
    return 0


def measured(shop: SyntheticShop, database: str, winner: str, flags: argparse.Namespace) -> dict[str, Any]:
    """Return the milliseconds of the processor for each user, both ways in turns, and their ratio."""
    users, settings = list(shop.groups[USUAL]), shop.settings(database)
    alone, together = [], []
    with tempfile.TemporaryDirectory() as folder, closing(_worker(shop, database)) as worker:
        _ask(worker, users[:WARM_UPS], winner)
        for number in range(flags.rounds):
            segment = users[number * flags.users :][: flags.users]
            alone.append(_ask(worker, segment[: flags.alone], winner))
            began = time.process_time()
            recommend_all(settings, users=segment, to=flags.to, model=winner, folder=Path(folder))
            together.append(1000 * (time.process_time() - began) / len(segment))
    ratios = [one / many for one, many in zip(alone, together, strict=True)]
    ms = {"alone_ms": statistics.median(alone), "batch_ms": statistics.median(together)}
    err.print(f"{winner}: {ms['alone_ms']:.2f} ms alone, {ms['batch_ms']:.2f} ms in a batch")
    return {"winner": winner, **ms, "ratio": statistics.median(ratios), "to": flags.to}


def large(flags: argparse.Namespace) -> dict[str, Any]:
    """Return what one process takes for one of a hundred of a million users, of ten times the items."""
    with synthetic_shop(OF_LARGE, SERVER if flags.mariadb else None, err.print) as shop:
        database = [name for name in shop.urls if name != SQLITE or not flags.mariadb][0]
        taken = _in_its_own_process(shop, database, flags.winners[0], (0, 1))
    return {"winner": flags.winners[0], "items": OF_LARGE.items, "database": database, **taken}


def library(python: str, n_users: int, n_items: int) -> dict[str, Any]:
    """Return the version of implicit in another Python, and the milliseconds of its `recommend` for each user."""
    command = [python, str(ROOT / "benchmarks" / "loads" / "implicit_recommend.py"), str(n_users), str(n_items)]
    printed: dict[str, Any] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return printed


def shards(shop: SyntheticShop, database: str, winner: str) -> dict[str, float]:
    """Return the seconds of the processor and the largest memory of one process for everybody, and of two shards."""
    whole = _in_its_own_process(shop, database, winner, (0, 1))
    halves = [_in_its_own_process(shop, database, winner, (part, 2)) for part in range(2)]
    return {
        "one_s": whole["cpu_s"],
        "two_s": sum(half["cpu_s"] for half in halves),
        "one_mb": whole["mb"],
        "users": whole["users"],
    }


def _in_its_own_process(shop: SyntheticShop, database: str, winner: str, shard: tuple[int, int]) -> dict[str, float]:
    with ProcessPoolExecutor(max_workers=1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(_shard, shop, database, winner, shard).result()


def _shard(shop: SyntheticShop, database: str, winner: str, shard: tuple[int, int]) -> dict[str, float]:
    began = time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        users = shop.groups[USUAL]
        made = recommend_all(
            shop.settings(database), users=users, to="jsonl", model=winner, shard=shard, folder=Path(folder)
        )
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000
    return {"cpu_s": time.process_time() - began, "mb": peak, "users": made.n_users}


def _worker(shop: SyntheticShop, database: str) -> Worker:
    return Worker.start(shop.environ(database), shop.folder, Watchdog())


def _ask(worker: Worker, users: Sequence[int], winner: str) -> float:
    """Return the milliseconds of the processor for each of a worker's answers to one user at a time."""
    began = time.process_time()
    for user in users:
        answer = json.loads(worker.answer(json.dumps({"user_id": user, "limit": 10, "model": winner}).encode()))
        if not answer["ok"]:
            raise SystemExit(f"The worker should answer. Received: {answer}.")
        trim_memory()
    return 1000 * (time.process_time() - began) / len(users)


def markdown(result: Mapping[str, Any]) -> str:
    """Return the table of winners, and a sentence about shards."""
    lines = [
        "| winner | worker, one at a time, ms | batch, ms | ratio | hours of one core for a million users |",
        "|---|---:|---:|---:|---:|",
    ]
    for row in result["winners"]:
        hours = row["batch_ms"] * LARGE / 3_600_000
        lines.append(
            f"| {row['winner']} | {row['alone_ms']:.2f} | {row['batch_ms']:.2f} | {row['ratio']:.1f} × | {hours:.2f} |"
        )
    made, split = result["winners"][0], result["shards"]
    lines += [
        "",
        f"Milliseconds of the processor for each user; {result['items']:,} items, {result['history']} events at the "
        f"median, {result['database']}, to {made['to']}; {result['rounds']} rounds of {result['users']:,} users; "
        f"{result['machine']}, Python {result['python']}.",
        "",
        f"Two shards of {made['winner']} take {split['two_s'] / split['one_s']:.2f} × the processor's time of one "
        f"process for {split['users']:,.0f} users, starts included. One process holds {split['one_mb']:,.0f} MB.",
        "",
    ]
    if beside := result.get("implicit"):
        lines += [
            f"`recommend` of implicit {beside['version']}, with 64 factors and as many items, takes {beside['ms']:.2f} "
            f"ms for each user. It reads no histories and knows no rules and no reasons. {made['winner']} takes "
            f"{made['batch_ms'] / beside['ms']:.1f} × its time.",
            "",
        ]
    if of := result.get("large"):
        seconds, share = of["cpu_s"] / of["users"], LARGE // of["users"]
        lines += [
            f"With {of['items']:,} items, {of['winner']} takes {1000 * seconds:.2f} ms for each user, the start "
            f"included, and {of['mb']:,.0f} MB ({of['users']:,} users, {of['database']}). For {LARGE:,} users, "
            f"{share:.0f} times as many, that is {seconds * LARGE / 3600:.1f} hours of one core.",
            "",
        ]
    return "\n".join(lines)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=pages.positive, default=10_000, metavar="N", help="of the catalogue (10,000)")
    parser.add_argument("--history", type=pages.positive, default=36, metavar="N", help="median of their events (36)")
    parser.add_argument("--users", type=pages.positive, default=4000, metavar="N", help="in a round's batch (4,000)")
    parser.add_argument("--alone", type=pages.positive, default=200, metavar="N", help="in a round, alone (200)")
    parser.add_argument("--rounds", type=pages.positive, default=5, metavar="N", help="both ways in turns (5)")
    parser.add_argument("--winners", nargs="+", default=list(WINNERS), metavar="NAME", help="the scorers to measure")
    parser.add_argument("--to", default="jsonl", metavar="KIND", help="table, jsonl (default) or parquet")
    parser.add_argument("--mariadb", action="store_true", help=f"a database of {SERVER}; default SQLite")
    parser.add_argument(
        "--implicit", metavar="PYTHON", help="a Python with implicit, to measure beside the first winner"
    )
    parser.add_argument("--large", action="store_true", help="measure 100,000 items alone, and add them to the figures")
    pages.add_flags(parser)
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
