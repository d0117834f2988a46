"""`make shop`: what it makes, what it leaves alone, and the server that it becomes."""

import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

import bcrypt
import pytest

from recsys.errors import SettingsError
from recsys.store import connect, migrate
from scripts import demo, shop
from tests.helpers.entry_points import PATIENCE_S, ROOT, install
from tests.helpers.tiny_shop import DAY, NOW, Published, event

SECRET = "a-secret-of-the-tests-that-is-long-enough"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout with a built page and nothing else."""
    monkeypatch.setattr(demo, "ROOT", tmp_path)
    (tmp_path / "frontend/dist").mkdir(parents=True)
    (tmp_path / "frontend/dist/index.html").write_text("<!doctype html>", encoding="utf-8")
    return tmp_path


# The environment of the server


def test_a_new_checkout_gets_the_embedded_shop_and_a_secret_that_is_not_printed(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    variables = shop.server_variables({"PORT": "0"})
    first = (folder / ".env").read_text(encoding="utf-8")
    shop.server_variables({"PORT": "0"})

    assert (folder / ".env").read_text(encoding="utf-8") == first, "the second time"
    *_, url, secret = first.splitlines()
    assert url == "DATABASE_URL=sqlite:///data/demo.sqlite"
    name, _, value = secret.partition("=")
    assert (name, len(bytes.fromhex(value))) == ("JWT_SECRET", 32)
    assert value not in capsys.readouterr().out
    assert stat.S_IMODE((folder / ".env").stat().st_mode) == 0o600
    assert (variables["HOST"], variables["LOG_LEVEL"], variables["PYTHON_BIN"]) == ("127.0.0.1", "warn", sys.executable)
    assert int(variables["PORT"]) > 0 and "JWT_SECRET" not in variables


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("PORT=0", "PORT=0\nJWT_SECRET="),
        ("PORT=0\nJWT_SECRET=\n", "PORT=0\nJWT_SECRET=\nJWT_SECRET="),
        (f"PORT=0\nJWT_SECRET={SECRET}\n", None),
    ],
)
def test_an_env_of_ones_own_only_gets_the_secret_that_it_lacks(folder: Path, before: str, after: str | None) -> None:
    (folder / ".env").write_text(before, encoding="utf-8")
    (folder / ".env").chmod(0o640)
    shop.server_variables({})
    text = (folder / ".env").read_text(encoding="utf-8")

    assert text == before if after is None else text.startswith(after)
    assert stat.S_IMODE((folder / ".env").stat().st_mode) == 0o640


def test_a_secret_of_the_environment_is_not_written(folder: Path) -> None:
    shop.server_variables({"PORT": "0", "JWT_SECRET": SECRET})

    assert "JWT_SECRET" not in (folder / ".env").read_text(encoding="utf-8")


def test_the_environment_precedes_env_which_precedes_the_defaults(folder: Path) -> None:
    text = f"PORT=70000\nLOG_LEVEL=debug\nPYTHON_BIN=/opt/python\nJWT_SECRET={SECRET}\n"
    (folder / ".env").write_text(text, encoding="utf-8")
    variables = shop.server_variables({"PORT": "0", "LOG_LEVEL": "error", "HOST": "localhost"})

    assert (variables["HOST"], variables["LOG_LEVEL"], variables["PYTHON_BIN"]) == ("localhost", "error", "/opt/python")


def test_a_shop_that_the_environment_names_is_the_one_that_is_served(folder: Path) -> None:
    url = f"sqlite:///{folder}/own.sqlite"
    variables = shop.server_variables({"PORT": "0", "DATABASE_URL": url})

    assert variables["DATABASE_URL"] == url and "MODELS_DIR" not in variables


def test_a_shop_that_env_names_is_left_alone(folder: Path) -> None:
    (folder / ".env").write_text("DATABASE_URL=mysql+pymysql://root@127.0.0.1/real_shop\n", encoding="utf-8")
    variables = shop.server_variables({"PORT": "0"})

    assert {name: variables[name] for name in demo.APART} == demo.APART


def test_without_a_page_nothing_is_made(folder: Path) -> None:
    shutil.rmtree(folder / "frontend")
    with pytest.raises(SettingsError, match=r"page should have been built, as `make shop` does\. Received: no index"):
        shop.server_variables({"PORT": "0"})


@pytest.mark.parametrize("port", ["http", "-1", "65536", "1e3"])
def test_what_is_no_port_is_refused(port: str) -> None:
    with pytest.raises(SettingsError, match=f"PORT should be a whole number from 0 to 65535. Received: {port}"):
        shop.free_port("127.0.0.1", port)


def test_a_port_in_use_is_refused_and_another_one_proposed() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        with pytest.raises(SettingsError, match=rf"PORT should be free: PORT=6970 make shop .* Received: {port} on"):
            shop.free_port("127.0.0.1", str(port))


# What is made


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The commands that are run; they do nothing."""
    commands: list[str] = []
    monkeypatch.setattr(demo, "run", lambda command, _environ: commands.append(command[0]))
    return commands


MAKE, TRAIN, MIGRATE = "scripts/make_shop.py", "train.py", "scripts/migrate_encoders.py"


def test_a_version_is_not_trained_again_after_a_visit(published: Published, tmp_path: Path, steps: list[str]) -> None:
    copy = published.copy(tmp_path / "shop")
    copy.add([event(7, 101, "view", NOW - DAY)])
    shop.prepare(copy.environ)

    assert steps == [MAKE]


def test_without_a_version_one_is_trained(published: Published, tmp_path: Path, steps: list[str]) -> None:
    copy = published.copy(tmp_path / "shop")
    (copy.models_dir / "CURRENT").unlink()
    shop.prepare(copy.environ)

    assert steps == [MAKE, TRAIN, MIGRATE]


def test_a_damaged_version_is_replaced(published: Published, tmp_path: Path, steps: list[str]) -> None:
    copy = published.copy(tmp_path / "shop")
    (copy.models_dir / copy.version / "contexts.json").write_text("{}", encoding="utf-8")
    shop.prepare(copy.environ)

    assert steps == [MAKE, TRAIN, MIGRATE]


def test_a_run_that_ended_before_its_encoders_were_written_is_completed(
    published: Published, tmp_path: Path, steps: list[str]
) -> None:
    copy = published.copy(tmp_path / "shop")
    copy.execute("UPDATE rec_versions SET complete = 0")
    shop.prepare(copy.environ)

    assert steps == [MAKE, MIGRATE]


def test_versions_of_another_shop_are_not_replaced(
    published: Published, tmp_path: Path, steps: list[str], folder: Path
) -> None:
    copy = published.copy(tmp_path / "shop")
    copy.execute("DELETE FROM rec_versions")
    copy.add([event(7, 101, "view", NOW - DAY)])
    shutil.copytree(copy.models_dir, folder / "models")
    with pytest.raises(SettingsError, match="MODELS_DIR should name a folder for this shop's versions"):
        shop.prepare({"DATABASE_URL": copy.url})

    assert steps == [MAKE]


@pytest.mark.parametrize(
    ("rows", "customer", "administrator"),
    [
        (
            [("a@example.com", "demo-shop", "R2"), ("b@example.com", "demo-shop", "R1")],
            "a@example.com",
            "b@example.com",
        ),
        ([("lan@shop.vn", "another", "R2"), ("vy@shop.vn", "another", "R1")], None, None),
        ([("lan@shop.vn", None, None), (None, "demo-shop", "R1")], None, None),
        ([], None, None),
    ],
)
def test_only_those_who_have_the_demos_password_are_told(
    tmp_path: Path, rows: list[tuple], customer: str | None, administrator: str | None
) -> None:
    def hashed(password: str | None) -> str | None:
        return password and bcrypt.hashpw(password.encode(), bcrypt.gensalt(4)).decode()

    with connect(f"sqlite:///{tmp_path / 'shop.sqlite'}", create=True) as db:
        migrate(db)
        columns = ("email", "password", "roleId")
        db.insert("Users", [dict(zip(columns, (email, hashed(word), role), strict=True)) for email, word, role in rows])

        assert (shop.account(db, is_admin=False), shop.account(db, is_admin=True)) == (customer, administrator)


# What make does before


NPM = """#!/bin/sh
echo "$@" >> "{log}"
mkdir -p node_modules frontend/dist
"""


@pytest.fixture
def make(tmp_path: Path) -> Callable[[str], subprocess.CompletedProcess[str]]:
    """Run make in a copy of the sources, with no other programs than `bin/` has."""
    shutil.copy(ROOT / "Makefile", tmp_path)
    for name in ("frontend/src/a.js", "frontend/public/b.svg", "frontend/index.html", "frontend/vite.config.js"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    for part in ("backend", "frontend"):
        (tmp_path / part).mkdir(exist_ok=True)
        for name in ("package.json", "package-lock.json"):
            (tmp_path / part / name).touch()
    (tmp_path / "bin").mkdir()
    for program in ("find", "touch", "mkdir"):
        (tmp_path / "bin" / program).symlink_to(str(shutil.which(program)))

    def run(target: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(shutil.which("make")), "-C", tmp_path, target],
            env={"PATH": str(tmp_path / "bin")},
            capture_output=True,
            encoding="utf-8",
            timeout=PATIENCE_S,
            check=False,
        )

    return run


def test_without_npm_there_is_one_line(make: Callable[[str], subprocess.CompletedProcess[str]]) -> None:
    done = make("shop")

    assert done.returncode == 2
    assert "Node 20.19 or newer should be installed. Received: no npm on PATH." in done.stderr.splitlines()


def test_the_page_is_built_when_it_is_older_than_its_sources(
    make: Callable[[str], subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    log = tmp_path / "log"
    (tmp_path / "bin/npm").write_text(NPM.format(log=log), encoding="utf-8")
    (tmp_path / "bin/npm").chmod(0o755)
    build = "run build --silent --prefix frontend -- --logLevel warn"
    page = "frontend/dist/.built"

    def asked() -> list[str]:
        done = make(page)
        assert done.returncode == 0, done.stderr
        lines = log.read_text(encoding="utf-8").splitlines() if log.exists() else []
        log.unlink(missing_ok=True)
        return lines

    assert asked() == ["ci --silent --no-audit --no-fund", build]
    assert asked() == []
    later = (tmp_path / page).stat().st_mtime + 1
    os.utime(tmp_path / "frontend/src/a.js", (later, later))
    assert asked() == [build]
    os.utime(tmp_path / page, (later + 1, later + 1))
    assert asked() == []
    (tmp_path / page).unlink()  # as a build does first
    assert asked() == [build]


# The whole


@pytest.mark.slow
def test_it_serves_the_page_and_a_list_and_ends_with_ctrl_c(published: Published, tmp_path: Path) -> None:
    if shutil.which("node") is None:
        pytest.skip("Node is not installed")
    if not (ROOT / "backend/node_modules/express").exists():
        pytest.skip("the packages of backend/ are not installed")
    install(tmp_path)
    for part in ("scripts", "demo", "backend/src"):
        shutil.copytree(ROOT / part, tmp_path / part, ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "backend/package.json").write_text('{"type": "module"}', encoding="utf-8")
    (tmp_path / "backend/node_modules").symlink_to(ROOT / "backend/node_modules")
    (tmp_path / "frontend/dist").mkdir(parents=True)
    (tmp_path / "frontend/dist/index.html").write_text("<!doctype html>the page", encoding="utf-8")
    first = published.copy(tmp_path / "first")
    (tmp_path / "data").mkdir()
    shutil.copytree(first.models_dir, tmp_path / "models")
    shutil.copy(first.folder / "shop.sqlite", tmp_path / "data/demo.sqlite")
    (tmp_path / ".env").write_text("DATABASE_URL=sqlite:///data/demo.sqlite\n", encoding="utf-8")

    process = subprocess.Popen(
        [sys.executable, tmp_path / "scripts/shop.py"],
        env={"PATH": os.environ["PATH"], "PORT": "0"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
    )
    try:
        assert process.stdout is not None
        address = next(line.split()[4] for line in process.stdout if line.startswith("The shop is at "))
        assert "the page" in patiently(f"{address}/cart")
        products = json.loads(patiently(f"{address}/api/products?limit=5"))
        assert len(products["data"]) == 5
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=PATIENCE_S)
    finally:
        process.kill()

    assert (process.returncode, errors) == (0, "")


def patiently(url: str) -> str:
    """Return what a server answers, as soon as it listens."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            with urllib.request.urlopen(url, timeout=PATIENCE_S) as response:
                return str(response.read().decode("utf-8"))
        except urllib.error.URLError as error:
            if not isinstance(error.reason, ConnectionRefusedError) or time.monotonic() > deadline:
                raise
            time.sleep(0.05)
