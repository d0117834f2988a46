"""Serve the demo shop, its page and its routes, on one port until Ctrl-C; what is missing of the shop is made first.

The database is that of `make demo`, or the one that DATABASE_URL or DB_NAME names in the environment, which gets the
demo's products if it holds none. PORT is the port (6969). `make shop` also installs the packages and builds the page.
"""

from __future__ import annotations

import argparse
import os
import secrets
import shutil
import socket
import sys
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import bcrypt  # noqa: E402
from dotenv import dotenv_values  # noqa: E402

from demo.people import DEMO_PASSWORD  # noqa: E402
from recsys.artifacts import current  # noqa: E402
from recsys.errors import ModelRefused, NoModel, RecsysError, SettingsError  # noqa: E402
from recsys.errors.arguments import Parser  # noqa: E402
from recsys.settings import Settings, load_settings  # noqa: E402
from recsys.store import Database, connect, list_versions  # noqa: E402
from recsys.training.terminal import console  # noqa: E402
from scripts import demo  # noqa: E402

HOST, PORT = "127.0.0.1", 6969
FAILED = 1
ADMIN_ROLE = "R1"

out = console(log_width=demo.LOG_WIDTH)


def main(argv: list[str]) -> int:
    """Make what is missing, and become the server; returns the exit status of a failure."""
    Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args(argv)
    try:
        environ = server_variables(os.environ)
        node = _node()
        prepare(environ)
        _tell(environ)
        sys.stdout.flush()
        os.chdir(demo.ROOT)
        os.execve(node, [node, "backend/src/server.js"], environ)  # Ctrl-C and SIGTERM go to the server itself
    except RecsysError as error:
        console(stderr=True).print(f"shop: {error}", soft_wrap=True)
        return error.exit_status
    except OSError as error:
        console(stderr=True).print(f"shop: {error}", soft_wrap=True)
        return FAILED
    except demo.StepFailed as failure:
        return int(failure.args[0])
    except KeyboardInterrupt:
        return demo.INTERRUPTED


def server_variables(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of all steps and of the server; writes what .env lacks.

    Raises:
        SettingsError: Something else listens on the port, or the page has not been built.
    """
    env = demo.ROOT / ".env"
    is_new = not env.exists()
    variables = {**environ, **({} if _names_shop(environ) else demo.own_variables(environ))}
    load_settings(variables, demo.ROOT)  # an .env that cannot be read is refused before it is written to
    add_secret(env, environ, is_new=is_new)
    known = {name: value for name, value in {**dotenv_values(env), **variables}.items() if value}
    page = demo.ROOT / known.get("FRONTEND_DIR", "frontend/dist")
    if not (page / "index.html").exists():
        raise SettingsError(f"The page should have been built, as `make shop` does. Received: no index.html in {page}.")
    host = known.get("HOST", HOST)
    port = free_port(host, known.get("PORT", str(PORT)))
    log_level = known.get("LOG_LEVEL", "warn")  # a line for each request would hide the address
    python = known.get("PYTHON_BIN", sys.executable)
    return {**variables, "HOST": host, "PORT": str(port), "LOG_LEVEL": log_level, "PYTHON_BIN": python}


def _names_shop(environ: Mapping[str, str]) -> bool:
    return any(environ.get(name) for name in demo.SHOP_NAMES)


def free_port(host: str, port: str) -> int:
    """Return the port after checking that it may be listened on; another one for 0.

    Raises:
        SettingsError: It is no port, or not free.
    """
    if not (port.isdecimal() and int(port) < 2**16):
        raise SettingsError(f"PORT should be a whole number from 0 to 65535. Received: {port:.20}.")
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, int(port)))
        except OSError as error:
            message = f"PORT should be free: PORT={PORT + 1} make shop takes another one. Received: {port} on {host}"
            raise SettingsError(f"{message}, {error.strerror}.") from error
        return int(listener.getsockname()[1])


def add_secret(env: Path, environ: Mapping[str, str], *, is_new: bool) -> None:
    """Add a JWT_SECRET to .env unless there is one, in the file or the environment. It is not printed.

    Args:
        env: The file.
        environ: The environment.
        is_new: Whether this run has written the file, so that nobody else has to read it.
    """
    if environ.get("JWT_SECRET") or (env.exists() and dotenv_values(env).get("JWT_SECRET")):
        return
    before = env.read_text(encoding="utf-8") if env.exists() else ""
    line_end = "" if before.endswith("\n") or not before else "\n"
    with env.open("a", encoding="utf-8") as file:
        if is_new or not before:
            env.chmod(0o600)
        file.write(f"{line_end}JWT_SECRET={secrets.token_hex(32)}\n")
    out.print("JWT_SECRET, which signs the server's tokens, written to .env")


def prepare(environ: Mapping[str, str]) -> None:
    """Make the shop, train a version and write its encoders, as far as they are missing."""
    settings = load_settings(environ, demo.ROOT)
    demo.run(["scripts/make_shop.py", "--keep"], environ)
    if has_version(settings):
        return
    if not demo.up_to_date(settings):
        _check_models(settings, environ)
        demo.run(["train.py"], environ)
    demo.run(["scripts/migrate_encoders.py"], environ)


def has_version(settings: Settings) -> bool:
    """Return whether the active version is whole, and its encoders are in the database. It may be of an earlier day."""
    try:
        with current(settings.models_dir) as version, connect(settings.database_url) as db:
            return any(row.name == version.name and row.complete for row in list_versions(db))
    except (NoModel, ModelRefused):
        return False


def _check_models(settings: Settings, environ: Mapping[str, str]) -> None:
    """Leave the versions of another shop alone.

    Raises:
        SettingsError: The environment names a shop, but MODELS_DIR holds versions of another one.
    """
    if _names_shop(environ) and not environ.get("MODELS_DIR") and (settings.models_dir / "CURRENT").exists():
        message = "MODELS_DIR should name a folder for this shop's versions, such as data/shop-models"
        raise SettingsError(f"{message}. Received: {settings.models_dir}, which has those of another one.")


def _node() -> str:
    """Return the path of Node.

    Raises:
        SettingsError: Node is missing, or the packages of the server are.
    """
    node = shutil.which("node")
    if node is None:
        raise SettingsError("Node 20.19 or newer should be installed. Received: no `node` on PATH.")
    if not (demo.ROOT / "backend/node_modules/express").exists():
        raise SettingsError("The server's packages should be installed, by `npm ci` in backend/. Received: none.")
    return node


def _tell(environ: Mapping[str, str]) -> None:
    """Print the address, and who can sign in."""
    with connect(load_settings(environ, demo.ROOT).database_url) as db:
        customer, administrator = account(db, is_admin=False), account(db, is_admin=True)
    host = environ["HOST"] if environ["HOST"] not in {"0.0.0.0", "::"} else "localhost"  # noqa: S104 - only compared
    address = f"http://{f'[{host}]' if ':' in host else host}:{environ['PORT']}"
    out.print(f"The shop is at {address} until Ctrl-C.", style="bold", soft_wrap=True)
    nobody = "nobody with the demo's password"
    for page, who in (("/login", customer), ("/admin", administrator)):
        login = f"{who}, password {DEMO_PASSWORD}" if who else nobody
        out.print(f"  {address}{page}  {login}", soft_wrap=True)
    if administrator is None:
        out.print("A demo shop of an earlier day has no administrator: scripts/make_shop.py --force makes it anew.")


def account(db: Database, *, is_admin: bool) -> str | None:
    """Return the address of the first customer or administrator; None if the demo's password is not theirs."""
    sql = "SELECT email, password FROM Users WHERE {} AND email IS NOT NULL ORDER BY id LIMIT 1"
    rows = db.query(sql.format("roleId = :role" if is_admin else "COALESCE(roleId, '') <> :role"), {"role": ADMIN_ROLE})
    for email, password in rows:
        with_password = (password or "").encode("utf-8")
        try:
            return str(email) if bcrypt.checkpw(DEMO_PASSWORD.encode("ascii"), with_password) else None
        except ValueError:  # no hash of bcrypt's
            return None
    return None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
