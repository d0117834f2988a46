"""The process: `python -m recsys.service` waits for the database, brings its tables up to date, and answers.

Exit status: 0 ended, 69 no database within a minute, 78 a setting or the version is missing or wrong; 64 and 70 as
everywhere.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

for threads in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"):
    os.environ.setdefault(threads, "1")  # before NumPy loads: the scorers run in threads of their own

import uvicorn  # noqa: E402
from fastapi import FastAPI  # noqa: E402

from recsys.bridge import error_boundary  # noqa: E402
from recsys.bridge.serving import Service  # noqa: E402
from recsys.errors import DatabaseUnavailable, Overloaded, RecsysError, SettingsError, UsageError  # noqa: E402
from recsys.recommending.loading import load  # noqa: E402
from recsys.service.app import make_app  # noqa: E402
from recsys.service.parts import Parts, with_recorded_events  # noqa: E402
from recsys.settings import Settings, load_settings  # noqa: E402
from recsys.settings.service import ServiceOptions, read_service  # noqa: E402
from recsys.settings.settings import read_variables  # noqa: E402
from recsys.store import Database, connect, migrate  # noqa: E402
from recsys.store.migrations import columns  # noqa: E402

WAIT_S = 60.0  # for the database: a machine that starts brings both up at once
AGAIN_S = 0.5
CONNECT_S = 5.0
LAST_ANSWERS_S = 5  # after SIGTERM, for requests that are being answered
TABLES = (
    "rec_user_interactions",
    "rec_user_preferences",
    "rec_product_similarities",
    "rec_frequently_together",
    "rec_recommendations_cache",
    "rec_user_segments",
    "rec_analytics",
)
SCHEMA = "--openapi"
HELP = f"""usage: python -m recsys.service [{SCHEMA}]

Answers HTTP at SERVICE_HOST:SERVICE_PORT, by default 127.0.0.1:8001; see docs/SERVICE.md.

  {SCHEMA}    write the OpenAPI document to stdout, and end
  -h, --help   print this and leave with 0
"""


def main(argv: Sequence[str], environ: Mapping[str, str], root: Path) -> int:
    """Run the service until a signal ends it, and return the exit status.

    Args:
        argv: The command line without the program's name.
        environ: The process environment.
        root: The folder that holds `.env`, `recsys.toml`, `models/` and `train.py`.
    """
    if list(argv) in (["-h"], ["--help"]):
        sys.stdout.write(HELP)
        return 0
    log = _log()
    if list(argv) == [SCHEMA]:
        sys.stdout.write(schema())
        return 0
    result = error_boundary.run(lambda: _serve(argv, environ, root, log))
    if isinstance(result, RecsysError):
        log.error("%s", result)
        return result.exit_status
    return result


def schema() -> str:
    """Return the OpenAPI document, as docs/schema/openapi.json holds it."""
    return json.dumps(make_app().openapi(), indent=2, ensure_ascii=False) + "\n"


def wait_for_database(
    settings: Settings,
    *,
    seconds: float = WAIT_S,
    now: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Database:
    """Return a connection as soon as the database gives one.

    Raises:
        DatabaseUnavailable: It gave none in time.
    """
    until = now() + seconds
    while True:
        try:
            return connect(settings.database_url, timeout_s=CONNECT_S)
        except (DatabaseUnavailable, Overloaded) as error:
            if now() + AGAIN_S >= until:
                raise DatabaseUnavailable(f"{error} It was asked for {seconds:.0f} seconds.") from error
        sleep(AGAIN_S)


def prepare_tables(database: Database, log: logging.Logger) -> None:
    """Run the missing migrations, and write a line for each table of the service.

    Raises:
        SettingsError: The account may not create a missing table.
    """
    ran = migrate(database, shop=False)
    log.info("migrations: %s", ", ".join(ran) or "none was missing")
    for table in TABLES:
        n_columns = len(columns(database, table))
        if not n_columns:
            raise SettingsError(f"The table {table} should be there. Received: none, after all migrations.")
        log.info("table %s: ready, %d columns", table, n_columns)


def _serve(argv: Sequence[str], environ: Mapping[str, str], root: Path, log: logging.Logger) -> int:
    if argv:
        raise UsageError(f"The command line should be empty, {SCHEMA} or --help. Received: other words.")
    options = read_service(read_variables(environ, root))
    settings = load_settings(environ, root)
    with wait_for_database(settings) as database:
        prepare_tables(database, log)
    service = Service(with_recorded_events(settings), load(settings.models_dir, full=True))
    service.bundle.warm()
    if options.is_open:
        log.info("no SERVICE_KEY: programs of this machine may ask for every customer")
    parts = Parts(service, options, root=root, environ=environ, log=log)
    app = make_app(parts)
    app.router.lifespan_context = _lifespan_of(parts)
    log.info("%s serves at http://%s:%d", service.bundle.name, options.host, options.port)
    server = uvicorn.Server(_server_options(app, options))
    server.run()
    return 0 if server.started else 69


def _server_options(app: FastAPI, options: ServiceOptions) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        host=options.host,
        port=options.port,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=LAST_ANSWERS_S,
        ws="none",
    )


def _lifespan_of(parts: Parts) -> Callable[[Any], AbstractAsyncContextManager[None]]:
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        parts.start()
        yield
        await parts.close()

    return lifespan


def _log() -> logging.Logger:
    """Return the log of the process: lines without secrets on stderr, also those of libraries that warn."""
    from recsys.lifecycle.logs import FORMAT, Scrubbed

    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(Scrubbed(FORMAT))
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    log = logging.getLogger("recsys.service")
    log.setLevel(logging.INFO)
    return log


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ, Path.cwd()))
