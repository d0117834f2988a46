"""Start every process of a shop in one order, against a database and Redis that run already, and stop all together.

In this order: the database and Redis are asked, and the version is looked for; then recommendation (SERVICE_PORT,
8001), worker, beat, express (PORT, 6969) and storefront (STOREFRONT_PORT, 3000). Each one has to be ready before the
next one starts. deploy/docker-compose.yml does the same in containers. Settings are those of .env and the environment.
Express does not run on PostgreSQL: EXPRESS_DATABASE_URL and EXPRESS_MODELS_DIR name its own database and versions.

Ctrl-C or SIGTERM stops all. Exit status: 0 stopped, 1 a process ended by itself, 69 no database or Redis, 78 a setting
is wrong, or something has not been built.
"""

from __future__ import annotations

import argparse
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import redis  # noqa: E402

from recsys.artifacts import current  # noqa: E402
from recsys.errors import DatabaseUnavailable, RecsysError, SettingsError  # noqa: E402
from recsys.errors.arguments import Parser  # noqa: E402
from recsys.errors.wording import shown  # noqa: E402
from recsys.service.__main__ import TABLES  # noqa: E402
from recsys.settings import Settings, load_settings  # noqa: E402
from recsys.settings.database_url import DatabaseUrl  # noqa: E402
from recsys.settings.settings import read_variables  # noqa: E402
from recsys.store import connect  # noqa: E402
from recsys.store.migrations import columns  # noqa: E402

NAMES = ("recommendation", "worker", "beat", "express", "storefront")
PORTS = {"recommendation": ("SERVICE_PORT", 8001), "express": ("PORT", 6969), "storefront": ("STOREFRONT_PORT", 3000)}
REDIS_URL, BROKER_URL = "redis://127.0.0.1:6379/1", "redis://127.0.0.1:6379/0"
SERVER = "backend/src/server.js"
SHOP_PAGE = "integrations/nextjs/.next/standalone/server.js"
FOR_STOREFRONT = ("PATH", "HOME", "LANG", "TZ", "JWT_SECRET", "JWT_TTL_S", "SESSION_COOKIE", "SERVICE_KEY", "SHOP_URL")
ANSWER_S = 2.0  # of a server on this machine
READY_S = 120.0  # for one process, on a busy machine
# What is sent, whether to the whole group, and the seconds for all to end. A worker waits for its tasks, and a training
# that runs is interrupted by the second one: it is tried again later.
STOPPING = ((signal.SIGTERM, False, 10.0), (signal.SIGTERM, True, 5.0), (signal.SIGKILL, True, 5.0))
AGAIN_S = 0.1
FAILED = 1


@dataclass
class Process:
    """One process of the shop.

    Attributes:
        name: What lines and logs call it.
        command: The program and its arguments.
        environ: Its whole environment.
        ready: Whether it is ready, by what its log says meanwhile.
        port: Where it listens; None if it does not.
        log: The file of its output; set when it starts.
        child: The running process; None before it starts.
    """

    name: str
    command: Sequence[str]
    environ: Mapping[str, str]
    ready: Callable[[str], bool]
    port: int | None = None
    log: Path = Path()
    child: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    def start(self, folder: Path) -> None:
        """Start it, with its output in a new log of the folder."""
        self.log = folder / f"{self.name}.log"
        with self.log.open("wb") as log:
            self.child = subprocess.Popen(
                self.command, cwd=ROOT, env=self.environ, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True,
            )  # fmt: skip

    def ended(self) -> int | None:
        """Return its exit status; None while it runs."""
        return self.child.poll() if self.child else None

    def send(self, number: signal.Signals, *, to_group: bool) -> None:
        """Send a signal to it, or to its whole group; nothing once it has ended."""
        if self.child is not None and self.child.poll() is None:
            (os.killpg if to_group else os.kill)(self.child.pid, number)

    def last_line(self) -> str:
        """Return the last line that it wrote."""
        lines = self.log.read_text(encoding="utf-8", errors="replace").split("\n")
        return next((line.strip() for line in reversed(lines) if line.strip()), "no output")


class Ended(Exception):
    """A process ended by itself, or was not ready in time; the text is for people."""


def main(argv: list[str]) -> int:
    """Start all processes, wait for a signal, and stop them; returns the exit status."""
    flags = _parser().parse_args(argv)
    stopping: list[int] = []
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, frame: stopping.append(number))
    started: list[Process] = []
    try:
        settings = load_settings(os.environ, ROOT)
        variables = variables_of(os.environ)
        folder = Path(flags.logs).resolve()
        processes = [process for process in planned(settings, variables, folder) if process.name not in flags.without]
        check_built([process.name for process in processes])
        check_express(processes)
        check_ports(processes)
        folder.mkdir(parents=True, exist_ok=True)
        for line in servers(settings, variables):
            say(line)
        run(processes, started, folder, settings, lambda: bool(stopping))
    except (RecsysError, Ended) as error:
        print(f"start_all: {error}", file=sys.stderr)
        return error.exit_status if isinstance(error, RecsysError) else FAILED
    finally:
        stop(started)
    return 0


def run(
    processes: Sequence[Process],
    started: list[Process],
    folder: Path,
    settings: Settings,
    is_stopping: Callable[[], bool],
) -> None:
    """Start the processes one after another, and wait until all have to stop.

    Args:
        processes: All processes, in their order.
        started: Gets each process that was started.
        folder: Where their logs go.
        settings: Names the database whose tables are looked at behind the service.
        is_stopping: Whether a signal came.

    Raises:
        Ended: A process ended by itself, or was not ready in time.
    """
    for process in processes:
        process.start(folder)
        started.append(process)
        if not wait_for(process, started, is_stopping):
            return
        say(f"{process.name} ✓ {process.port or ''}".rstrip())
        if process.name == "recommendation":
            for line in tables(settings):
                say(line)
    say("All are running until Ctrl-C.")
    while not is_stopping():
        check_running(started)
        time.sleep(AGAIN_S)


def wait_for(process: Process, started: Sequence[Process], is_stopping: Callable[[], bool]) -> bool:
    """Return whether a process is ready; False if all have to stop meanwhile.

    Raises:
        Ended: It ended, or one that was ready, or it takes too long.
    """
    until = time.monotonic() + READY_S
    while not is_stopping():
        check_running(started)
        if process.ready(process.log.read_text(encoding="utf-8", errors="replace")):
            return True
        if time.monotonic() > until:
            raise Ended(f"{process.name} ✗ was not ready within {READY_S:.0f} s. {process.last_line()} ({process.log})")
        time.sleep(AGAIN_S)
    return False


def check_running(started: Sequence[Process]) -> None:
    """Look whether all processes run.

    Raises:
        Ended: One has ended.
    """
    for process in started:
        if (status := process.ended()) is not None:
            raise Ended(f"{process.name} ✗ ended with status {status}: {process.last_line()} ({process.log})")


def stop(started: Sequence[Process]) -> None:
    """End the processes, the last one first; those that do not end in time with all that they have started."""
    for number, to_group, seconds in STOPPING:
        for process in reversed(started):
            process.send(number, to_group=to_group)
        until = time.monotonic() + seconds
        while any(process.ended() is None for process in started) and time.monotonic() < until:
            time.sleep(AGAIN_S)
    for process in reversed(started):
        say(f"{process.name} stopped" if process.ended() is not None else f"{process.name} ✗ does not end")


def variables_of(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the variables of all processes; keys that are missing are made for this run."""
    variables = read_variables(environ, ROOT)
    for name in ("JWT_SECRET", "SERVICE_KEY"):
        variables.setdefault(name, secrets.token_hex(32))
    variables.setdefault("REDIS_URL", REDIS_URL)
    variables.setdefault("BROKER_URL", BROKER_URL)
    return variables


def planned(settings: Settings, variables: Mapping[str, str], folder: Path) -> list[Process]:
    """Return all processes in the order in which they start.

    Args:
        settings: Names the shop's database.
        variables: The variables of all processes.
        folder: Where Beat keeps what it has sent.

    Raises:
        SettingsError: A port is none.
    """
    ports = {name: _port(variables, *place) for name, place in PORTS.items()}
    address = {name: f"http://127.0.0.1:{port}" for name, port in ports.items()}
    node = shutil.which("node") or "node"
    celery = [sys.executable, "-m", "celery", "-A", "recsys.jobs.app"]
    # Celery's tasks are read from the project, wherever this was started.
    python = {**variables, "PYTHONPATH": str(ROOT), "SERVICE_HOST": "127.0.0.1"}
    page = {"SHOP_URL": address["express"]} | {name: variables[name] for name in FOR_STOREFRONT if name in variables}
    page |= {"HOSTNAME": "127.0.0.1", "PORT": str(ports["storefront"]), "NODE_ENV": "production"}
    page |= {"RECOMMENDATION_SERVICE_URL": address["recommendation"], "NEXT_TELEMETRY_DISABLED": "1"}
    return [
        Process(
            "recommendation", [sys.executable, "-m", "recsys.service"],
            {**python, "SERVICE_PORT": str(ports["recommendation"])},
            answers(f"{address['recommendation']}/ready"), ports["recommendation"],
        ),
        Process(
            "worker", [*celery, "worker", "--concurrency", "2", "--loglevel", "info"], python, says(" ready."),
        ),
        Process(
            "beat", [*celery, "beat", "--schedule", str(folder / "beat"), "--pidfile=", "--loglevel", "info"], python,
            says("beat: Starting"),
        ),
        Process(
            "express", [node, SERVER], express_variables(variables, ports["express"]),
            answers(f"{address['express']}/ready"), ports["express"],
        ),
        Process("storefront", [node, SHOP_PAGE], page, answers(f"{address['storefront']}/"), ports["storefront"]),
    ]  # fmt: skip


def express_variables(variables: Mapping[str, str], port: int) -> dict[str, str]:
    """Return the environment of Express, which may have a database and versions of its own."""
    mine = {name: value for name, value in variables.items() if not name.startswith("SERVICE_")}
    own = {name: variables.get(f"EXPRESS_{name}", mine.get(name, "")) for name in ("DATABASE_URL", "MODELS_DIR")}
    return {"LOG_LEVEL": "warn", "PYTHON_BIN": sys.executable, **mine, **own, "HOST": "127.0.0.1", "PORT": str(port)}


def check_built(names: Sequence[str]) -> None:
    """Look whether what the processes need is there.

    Raises:
        SettingsError: Node, the packages of Express or the built page are missing.
    """
    node = [("node", shutil.which("node") is not None, "Node 20.19 or newer should be installed")]
    needed = {
        "express": [*node, ("express", (ROOT / "backend/node_modules/express").exists(), "`npm ci --prefix backend`")],
        "storefront": [*node, ("page", (ROOT / SHOP_PAGE).exists(), "`npm run build --prefix integrations/nextjs`")],
    }
    for name in names:
        for what, is_there, advice in needed.get(name, ()):
            if not is_there:
                way_out = f"{advice} makes it" if advice.startswith("`") else advice
                raise SettingsError(
                    f"What {name} needs should be there: {way_out}, and `--without {name}` goes without it. "
                    f"Received: no {what}."
                )


def check_express(processes: Sequence[Process]) -> None:
    """Look whether Express has a database that it can use.

    Raises:
        SettingsError: It would get one of PostgreSQL.
    """
    for process in processes:
        url = process.environ.get("DATABASE_URL", "")
        if process.name == "express" and url and DatabaseUrl.parse(url, root=ROOT).dialect == "postgresql":
            raise SettingsError(
                "EXPRESS_DATABASE_URL should name a database of MySQL, MariaDB or SQLite, which Express needs; "
                "`--without express` goes without it. Received: PostgreSQL."
            )


def check_ports(processes: Sequence[Process]) -> None:
    """Look whether all ports are free, before anything is started.

    Raises:
        SettingsError: One is not.
    """
    for process in processes:
        if process.port is None:
            continue
        with socket.socket() as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                listener.bind(("127.0.0.1", process.port))
            except OSError as error:
                variable = PORTS[process.name][0]
                message = f"The port of {process.name} should be free; {variable} names another one"
                raise SettingsError(f"{message}. Received: {process.port}, {error.strerror}.") from error


def servers(settings: Settings, variables: Mapping[str, str]) -> Iterator[str]:
    """Yield a line for the database, for Redis and for the version, as soon as each one has answered.

    Raises:
        DatabaseUnavailable: The database or Redis is away.
        NoModel: Nothing is published.
    """
    with connect(settings.database_url, timeout_s=ANSWER_S):
        yield f"{_kind(settings.database_url)} ✓ {settings.database_url.port or ''}".rstrip()
    client = redis.Redis.from_url(variables["REDIS_URL"], socket_timeout=ANSWER_S, socket_connect_timeout=ANSWER_S)
    try:
        client.ping()
    except redis.RedisError as error:
        message = "Redis should answer at REDIS_URL. Received: no answer"
        raise DatabaseUnavailable(f"{message}, {type(error).__name__}.") from error
    yield f"redis ✓ {client.get_connection_kwargs().get('port', '')}".rstrip()
    with current(settings.models_dir) as version:
        yield f"version ✓ {version.name}"


def tables(settings: Settings) -> Iterator[str]:
    """Yield a line for each table of the service."""
    with connect(settings.database_url, timeout_s=ANSWER_S) as db:
        for table in TABLES:
            n_columns = len(columns(db, table))
            yield f"{table} {'✓' if n_columns else '✗'} {n_columns} columns"


def answers(url: str) -> Callable[[str], bool]:
    """Return whether an address answers with 200."""

    def ask(log: str) -> bool:
        try:
            with urllib.request.urlopen(url, timeout=ANSWER_S) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False

    return ask


def says(text: str) -> Callable[[str], bool]:
    """Return whether a process has written a text."""
    return lambda log: text in log


def say(line: str) -> None:
    """Print a line at once, also into a pipe."""
    print(line, flush=True)


def _kind(url: DatabaseUrl) -> str:
    return "postgres" if url.dialect == "postgresql" else url.dialect


def _port(variables: Mapping[str, str], name: str, default: int) -> int:
    text = variables.get(name, str(default))
    if not (text.isascii() and text.isdecimal() and len(text) < 6 and 0 < int(text) < 2**16):
        raise SettingsError(f"{name} should be a whole number from 1 to 65535. Received: {shown(text)}.")
    return int(text)


def _parser() -> Parser:
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--without", action="append", default=[], choices=NAMES, help="do not start it; repeatable")
    parser.add_argument("--logs", default="logs", help="the folder of the processes' output (logs)")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
