"""The example site of Django in a folder, with real processes of Celery on the brokers of localhost.

Each site has a queue of its own. The database of Redis is that of these sites alone, and is cleared. A site has its
tables in SQLite in its folder, or in a new database of a server, which is dropped at the end.
"""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from recsys.store import connect
from tests.helpers.databases import MYSQL, POSTGRESQL, new_database, run_on_mysql, run_on_postgresql

ROOT = Path(__file__).resolve().parents[2]
SERVERS = {"postgresql": (run_on_postgresql, POSTGRESQL), "mariadb": (run_on_mysql, MYSQL)}
DATABASES = ("sqlite", *SERVERS)
BROKERS = {"redis": "redis://127.0.0.1:6379/11", "rabbitmq": "amqp://guest:guest@127.0.0.1:5672//"}
LONGEST_S = 600
Environment = Mapping[str, str]


@contextmanager
def database(name: str) -> Iterator[str]:
    """Yield the URL of a new database, which is dropped at the end; an empty one for SQLite in the site's folder.

    Args:
        name: One of `DATABASES`.
    """
    if name not in SERVERS:
        yield ""
        return
    with new_database(*SERVERS[name]) as url:
        yield url


def environment(folder: Path, broker: str, visibility_s: int = 3600, database_url: str = "") -> dict[str, str]:
    """Return the environment of a site's processes.

    Args:
        folder: Holds the models, modules of the caller, and the database where it is SQLite.
        broker: The broker's URL.
        visibility_s: Of Redis, in seconds.
        database_url: What `database` yields.
    """
    return {
        **os.environ,
        "EXAMPLE_DIR": str(folder),
        "EXAMPLE_DATABASE_URL": database_url,
        "BROKER_URL": broker,
        "BROKER_QUEUE": f"recsys-site-{secrets.token_hex(4)}",
        "BROKER_VISIBILITY_S": str(visibility_s),
        "DJANGO_SETTINGS_MODULE": "example.settings",
        "PYTHONPATH": os.pathsep.join([str(folder), str(ROOT / "integrations/django"), str(ROOT)]),
    }


@contextmanager
def celery(
    environ: Environment, folder: Path, words: Sequence[str], log: str = "worker.log"
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a worker or a Beat, which is killed with its children at the end.

    Args:
        environ: Of `environment`.
        folder: The site's folder.
        words: The module of the app, the command and its flags.
        log: The file of the folder that gets the output.
    """
    app, command, *flags = words
    quiet = ["--without-gossip", "--without-mingle"] if command == "worker" else []
    with (folder / log).open("ab") as output:
        child = subprocess.Popen(
            [sys.executable, "-m", "celery", "-A", app, command, "--loglevel", "INFO", *flags, *quiet],
            cwd=folder,
            env=dict(environ),
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        yield child
    finally:
        with suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()


def wait(is_so: Callable[[], bool], what: str, folder: Path, longest_s: float = LONGEST_S) -> None:
    """Wait until something is so.

    Raises:
        TimeoutError: It took too long; the message has the end of the worker's log.
    """
    until = time.monotonic() + longest_s
    while not is_so():
        if time.monotonic() > until:
            log = (folder / "worker.log").read_text(encoding="utf-8", errors="replace")
            raise TimeoutError(f"{what} within {longest_s} seconds. The worker's log ends with:\n{log[-3000:]}")
        time.sleep(0.2)


def counts(environ: Environment, queries: Mapping[str, str]) -> dict[str, int]:
    """Return the numbers that queries of the site's database find, by the queries' names."""
    url = environ["EXAMPLE_DATABASE_URL"] or f"sqlite:///{environ['EXAMPLE_DIR']}/site.sqlite"
    with connect(url) as db:
        return {name: int(db.query(sql)[0][0]) for name, sql in queries.items()}


def python(environ: Environment, code: str) -> str:
    """Run code in a process that knows the site; returns what it prints.

    Raises:
        RuntimeError: It failed.
    """
    words = [sys.executable, "-c", f"import django; django.setup()\n{code}"]
    done = subprocess.run(words, env=dict(environ), capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stdout + done.stderr)
    return done.stdout


def clear(environ: Environment) -> None:
    """Remove the site's queue; of Redis, all of the database."""
    if environ["BROKER_URL"].startswith("redis"):
        import redis

        redis.Redis.from_url(environ["BROKER_URL"]).flushdb()
        return
    code = "from example.celery import app\nwith app.connection() as c: c.default_channel.queue_delete({!r})"
    with suppress(RuntimeError):
        python(environ, code.format(environ["BROKER_QUEUE"]))
