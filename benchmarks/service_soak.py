"""Whether the HTTP service keeps its promises: no event lost or doubled, no answer of somebody else, every list full.

    python benchmarks/service_soak.py --soak 1800              half an hour of mixed requests
    python benchmarks/service_soak.py --kill 10000             10,000 events while parts of it are killed
    python benchmarks/service_soak.py --soak 60 --kill 200     the minute that the tests run

It uses what DATABASE_URL and MODELS_DIR name, which should be a trained shop of its own: events are tracked in it.
Redis is a server that it starts and kills itself. The database is reached through a proxy that cuts all connections.
The exit status is 1 if a promise was broken.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.loads.http_service import Client, ServiceProcess, request  # noqa: E402
from recsys.settings import load_settings  # noqa: E402
from recsys.store import Database, connect  # noqa: E402

CLIENTS = 8
LIMIT = 12
AGAIN_S = 0.1  # after a request that failed
MOST_KILLS, EVENTS_A_KILL = 30, 30  # fewer events than for the most kills: one kill for so many
LOOK_S = 0.05
AWAY_S = 1.0  # for which a killed part stays away
SEED = 7
STORED = "SELECT event_id FROM rec_user_interactions WHERE event_id LIKE :stamp"
CONTEXTS = ("homepage", "product_page", "cart", "checkout", "top_selling", "most_viewed", "trending")
CHANGES = ("add_to_cart", "wishlist", "view", "view", "click")


def main(argv: Sequence[str]) -> int:
    """Run what the command line asks for; returns the exit status."""
    flags = _parser().parse_args(argv)
    settings = load_settings(os.environ, ROOT)
    with tempfile.TemporaryDirectory() as folder, Redis(Path(folder)) as cache:
        environ = {**os.environ, "REDIS_URL": f"redis://127.0.0.1:{cache.port}/1"}
        report: dict[str, Any] = {}
        if flags.soak:
            with connect(settings.database_url) as db, ServiceProcess(environ, Path(folder) / "log") as service:
                report["soak"] = asyncio.run(soak(service, db, flags.soak))
                print(report["soak"], file=sys.stderr)
        if flags.kill:
            report["kill"] = asyncio.run(kill(environ, cache, Path(folder), flags.kill))
    print(json.dumps(report, indent=2))
    broken = sum(part[name] for part in report.values() for name in part if name in BROKEN)
    return int(broken > 0)


BROKEN = ("wrong_user", "not_full", "empty", "not_sold", "lost", "doubled", "unsorted")


async def soak(service: ServiceProcess, db: Database, seconds: float) -> dict[str, Any]:
    """Ask, track, and compare for some seconds; returns counts.

    The list of another user is found by the purchases of the one who is asked for, which no list of theirs may hold.
    """
    bought = _bought(db)
    users = sorted(bought)
    active = {item for (item,) in db.query("SELECT id FROM Products WHERE statusId = 'S1'")}
    counts: Counter[str] = Counter({name: 0 for name in BROKEN if name not in ("lost", "doubled")})
    until = time.monotonic() + seconds
    lists: dict[tuple[int, int], list[int]] = {}  # of each user, after so many of their own events
    changed: Counter[int] = Counter()
    at_start = service.resident_bytes

    async def run(number: int) -> None:
        chance, client = random.Random(SEED + number), Client(service.port)
        own = users[number::CLIENTS]  # one client asks for a user, so that its events and answers have an order
        while time.monotonic() < until:
            user = chance.choice(own)
            if chance.random() < 0.1:
                event = chance.choice(CHANGES)
                body = {"user_id": user, "product_id": chance.choice(sorted(active)), "interaction_type": event}
                reply = await client.ask(request("POST", "/track", json.dumps(body).encode()))
                counts["events"] += 1
                changed[user] += 1
            else:
                context = chance.choice(CONTEXTS) if chance.random() < 0.5 else "homepage"
                path = f"/recommendations?user_id={user}&context={context}&product_id={chance.choice(sorted(active))}"
                reply = await client.ask(request("GET", path))
                if reply.status == 200:
                    personal = context == "homepage"
                    _check(json.loads(reply.body), user, active, bought[user] if personal else set(), counts)
                    if personal:
                        ids = [product["id"] for product in json.loads(reply.body)["recommendations"]]
                        counts["changed"] += lists.setdefault((user, changed[user]), ids) != ids
            counts[f"status_{reply.status}"] += 1
        await client.close()

    await asyncio.gather(*(run(number) for number in range(CLIENTS)))
    grown = service.resident_bytes - at_start
    return {**counts, "users": len(users), "resident_mib": service.resident_bytes >> 20, "grown_mib": grown >> 20}


def _check(document: dict[str, Any], user: int, active: set[int], bought: set[int], counts: Counter[str]) -> None:
    """Count what an answer breaks."""
    products = document["recommendations"]
    ids, scores = [product["id"] for product in products], [product["score"] for product in products]
    counts["answers"] += 1
    counts["cached"] += document["cached"]
    counts["empty"] += not ids
    counts["not_full"] += len(set(ids)) != LIMIT
    counts["not_sold"] += bool(set(ids) - active)
    counts["unsorted"] += scores != sorted(scores, reverse=True)
    counts["wrong_user"] += bool(set(ids) & bought)


def _bought(db: Database) -> dict[int, set[int]]:
    """Return what each of some users has bought."""
    rows = db.query("SELECT userId, productId FROM Interactions WHERE actionCode = 'purchase' ORDER BY userId")
    bought: dict[int, set[int]] = {}
    for user, item in rows:
        bought.setdefault(user, set()).add(item)
    return dict(list(bought.items())[:200])


async def kill(environ: Mapping[str, str], cache: Redis, folder: Path, n_events: int) -> dict[str, Any]:
    """Track events while the service, Redis and the database's connections are killed in turn; returns counts.

    Clients repeat an event with its id until it is acknowledged. Then every event is in the table, once.
    """
    proxy = Proxy(environ["DATABASE_URL"])
    await proxy.start()
    service = ServiceProcess({**environ, "DATABASE_URL": proxy.url}, folder / "log")
    await asyncio.to_thread(service.start)
    stamp = str(time.time_ns())
    waiting = list(range(n_events))
    counts: Counter[str] = Counter()
    acknowledged: set[str] = set()

    async def run(number: int) -> None:
        client = Client(service.port)
        while waiting:
            name = f"{stamp}-{waiting.pop()}"
            event = "add_to_cart" if len(waiting) % 3 == 0 else "view"
            body = {"user_id": f"soak-{number}", "product_id": 1, "interaction_type": event, "event_id": name}
            await _acknowledged(client, request("POST", "/track", json.dumps(body).encode()), counts)
            acknowledged.add(name)
        await client.close()

    n_kills = min(MOST_KILLS, max(3, n_events // EVENTS_A_KILL))
    due = [(number + 1) * n_events // (n_kills + 1) for number in range(n_kills)]
    disturbing = asyncio.ensure_future(_disturb(service, cache, proxy, counts, acknowledged, due))
    began = time.monotonic()
    await asyncio.gather(*(run(number) for number in range(CLIENTS)))
    seconds = time.monotonic() - began
    await disturbing
    await asyncio.to_thread(service.kill)
    await proxy.stop()
    with connect(environ["DATABASE_URL"]) as db:
        rows = db.query(STORED, {"stamp": f"{stamp}-%"})
    stored = Counter(name for (name,) in rows)
    lost = len(acknowledged - set(stored))
    doubled = sum(number - 1 for number in stored.values())
    return {"events": n_events, **counts, "lost": lost, "doubled": doubled, "seconds": round(seconds)}


async def _acknowledged(client: Client, data: bytes, counts: Counter[str]) -> None:
    """Send an event until it is acknowledged."""
    while True:
        try:
            reply = await client.ask(data)
            if reply.status == 200:
                return
            counts[f"status_{reply.status}"] += 1
        except OSError:
            counts["broken_off"] += 1
        await asyncio.sleep(AGAIN_S)


async def _disturb(
    service: ServiceProcess, cache: Redis, proxy: Proxy, counts: Counter[str], acknowledged: set[str], due: list[int]
) -> None:
    """Kill one part after another, each time as soon as so many events are acknowledged.

    Args:
        service: One part.
        cache: Another part.
        proxy: The way to the database.
        counts: Where kills are counted.
        acknowledged: The events so far.
        due: Numbers of events, ascending.
    """
    for number, n_events in enumerate(due):
        while len(acknowledged) < n_events:
            await asyncio.sleep(LOOK_S)
        part = ("service", "redis", "database")[number % 3]
        counts[f"kills_of_{part}"] += 1
        if part == "service":
            await asyncio.to_thread(service.kill)
            await asyncio.to_thread(service.start)
        elif part == "redis":
            cache.kill()
            await asyncio.sleep(AWAY_S)
            cache.start()
        else:
            proxy.cut()
            await asyncio.sleep(AWAY_S)
            proxy.mend()


class Proxy:
    """Passes bytes between the service and the database's server, until all connections are cut."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._server = (parts.hostname or "127.0.0.1", parts.port or 5432)
        with socket.create_server(("127.0.0.1", 0)) as free:
            self._port = free.getsockname()[1]
        account = parts.netloc.rpartition("@")[0]
        place = f"127.0.0.1:{self._port}"
        self.url = parts._replace(netloc=f"{account}@{place}" if account else place).geturl()
        self._writers: set[asyncio.StreamWriter] = set()
        self._is_cut = False
        self._ended: set[asyncio.Future[Any]] = set()  # done when a connection has ended
        self._listener: asyncio.Server | None = None

    async def start(self) -> None:
        """Listen."""
        self._listener = await asyncio.start_server(self._pass, "127.0.0.1", self._port)

    async def stop(self) -> None:
        """Stop listening, and cut what is left."""
        self.cut()
        if self._listener is not None:
            self._listener.close()
        await asyncio.gather(*self._ended)

    def cut(self) -> None:
        """Break all connections off, without a word, and refuse new ones."""
        self._is_cut = True
        for writer in list(self._writers):
            writer.transport.abort()

    def mend(self) -> None:
        """Take new connections."""
        self._is_cut = False

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._is_cut:
            writer.transport.abort()
            return
        server_reader, server_writer = await asyncio.open_connection(*self._server)
        ends = {writer, server_writer}
        self._writers |= ends
        both = self._pump(reader, server_writer), self._pump(server_reader, writer)
        ended = asyncio.gather(*both, return_exceptions=True)
        self._ended.add(ended)
        await ended
        self._ended.discard(ended)
        self._writers -= ends

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(65_536):
                writer.write(data)
                await writer.drain()
        writer.close()


class Redis:
    """A Redis server of its own, without a file."""

    def __init__(self, folder: Path) -> None:
        program = shutil.which("redis-server") or shutil.which("valkey-server")
        if program is None:
            raise SystemExit("there should be redis-server or valkey-server on the path")
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self._command = [program, "--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(folder), "--save", ""]
        self._child: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Redis:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def start(self) -> None:
        """Start it; it listens soon."""
        self._child = subprocess.Popen(self._command, stdout=subprocess.DEVNULL)

    def kill(self) -> None:
        """End it at once."""
        if self._child is not None:
            self._child.kill()
            self._child.wait()
            self._child = None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--soak", type=float, default=0.0, metavar="SECONDS", help="mixed requests for so long")
    parser.add_argument("--kill", type=int, default=0, metavar="EVENTS", help="so many events while parts are killed")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
