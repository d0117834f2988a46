"""scripts/start_all.py: its order and environments, and what happens if a process or a server is missing.

integrations/nextjs/test/whole.test.js starts the real processes.
"""

from __future__ import annotations

import signal
import socket
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path

import pytest

from recsys.errors import DatabaseUnavailable, NoModel, SettingsError
from recsys.settings import load_settings
from scripts import start_all
from scripts.start_all import ROOT, Ended, Process, says
from tests.helpers.databases import migrated

SAYS = "import time\nprint('here', flush=True)\ntime.sleep(60)"
STUBBORN = "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + SAYS
ENDS = "import sys\nprint('no such thing')\nsys.exit(3)"
NOBODY = "redis://127.0.0.1:1/0"  # nothing listens there


@pytest.fixture(autouse=True)
def quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look often, and wait for little: the processes of these tests are small."""
    monkeypatch.setattr(start_all, "AGAIN_S", 0.01)


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """A shop in SQLite, without a version."""
    (tmp_path / "shop.sqlite").touch()
    url = migrated(f"sqlite:///{tmp_path / 'shop.sqlite'}")
    return {
        "DATABASE_URL": url,
        "MODELS_DIR": str(tmp_path / "models"),
        "PATH": "/usr/bin:/bin",
        "SECRET_OF_OTHERS": "x",
    }


def process(name: str, code: str) -> Process:
    return Process(name, [sys.executable, "-c", code], {}, says("here"))


def run(processes: Sequence[Process], folder: Path, environ: dict[str, str], n_looks: int = 0) -> list[Process]:
    """Run processes until they are ready, and then for some looks; returns those that were started."""
    started: list[Process] = []
    looks = iter(range(n_looks))
    is_up = False

    def is_stopping() -> bool:
        nonlocal is_up
        is_up = is_up or all(one.log.is_file() and "here" in one.log.read_text() for one in processes)
        return is_up and next(looks, None) is None and len(started) == len(processes)

    try:
        start_all.run(processes, started, folder, load_settings(environ, folder), is_stopping)
    finally:
        start_all.stop(started)
    return started


def test_processes_start_in_their_order_and_end_together(
    tmp_path: Path, environ: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    started = run([process("one", SAYS), process("two", SAYS)], tmp_path, environ, n_looks=3)

    assert [one.ended() for one in started] == [-signal.SIGTERM] * 2
    assert capsys.readouterr().out.splitlines() == [
        *("one ✓", "two ✓", "All are running until Ctrl-C.", "two stopped", "one stopped"),
    ]


def test_one_that_ends_by_itself_ends_all_and_its_last_line_is_told(tmp_path: Path, environ: dict[str, str]) -> None:
    processes = [process("one", SAYS), process("two", ENDS), process("three", SAYS)]

    with pytest.raises(Ended, match=r"two ✗ ended with status 3: no such thing \(.*two.log\)"):
        run(processes, tmp_path, environ)
    assert processes[0].ended() == -signal.SIGTERM
    assert processes[2].child is None


def test_one_that_never_is_ready_ends_all(
    tmp_path: Path, environ: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(start_all, "READY_S", 0.0)
    silent = process("silent", "import time\ntime.sleep(60)")

    with pytest.raises(Ended, match="silent ✗ was not ready within 0 s. no output"):
        run([silent], tmp_path, environ)
    assert silent.ended() == -signal.SIGTERM


def test_one_that_does_not_listen_to_sigterm_is_killed(
    tmp_path: Path, environ: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    stages = ((signal.SIGTERM, False, 0.05), (signal.SIGTERM, True, 0.05), (signal.SIGKILL, True, 20.0))
    monkeypatch.setattr(start_all, "STOPPING", stages)

    (stubborn,) = run([process("stubborn", STUBBORN)], tmp_path, environ, n_looks=1)
    assert stubborn.ended() == -signal.SIGKILL


def test_the_environments_hold_what_each_process_needs(tmp_path: Path, environ: dict[str, str]) -> None:
    environ |= {"EXPRESS_DATABASE_URL": "sqlite:///express.sqlite", "SERVICE_ADMIN_KEY": "a" * 32, "PORT": "6970"}
    variables = start_all.variables_of(environ)
    planned = start_all.planned(load_settings(environ, tmp_path), variables, tmp_path)
    by_name = {one.name: one.environ for one in planned}

    assert [one.name for one in planned] == list(start_all.NAMES)
    assert [one.port for one in planned] == [8001, None, None, 6970, 3000]
    service, express, page = (by_name[name] for name in ("recommendation", "express", "storefront"))
    for name in ("JWT_SECRET", "SERVICE_KEY"):
        assert len(service[name]) == 64
        assert page[name] == service[name]
    assert express["JWT_SECRET"] == service["JWT_SECRET"]
    assert (express["DATABASE_URL"], express["MODELS_DIR"]) == ("sqlite:///express.sqlite", environ["MODELS_DIR"])
    assert page["SHOP_URL"] == "http://127.0.0.1:6970"
    assert not {"DATABASE_URL", "SERVICE_ADMIN_KEY", "SECRET_OF_OTHERS", "EXPRESS_DATABASE_URL"} & set(page)
    assert "SERVICE_ADMIN_KEY" not in express
    assert start_all.variables_of({**environ, "SERVICE_KEY": "k" * 32})["SERVICE_KEY"] == "k" * 32


@pytest.mark.parametrize("text", ["0", "65536", "x", "-1", "8001.0"])
def test_a_port_that_is_none_is_refused(text: str, tmp_path: Path, environ: dict[str, str]) -> None:
    environ["SERVICE_PORT"] = text
    with pytest.raises(SettingsError, match="SERVICE_PORT should be a whole number from 1 to 65535"):
        start_all.planned(load_settings(environ, tmp_path), start_all.variables_of(environ), tmp_path)


def test_a_port_that_is_taken_is_told_before_anything_starts() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(SettingsError, match=f"The port of express should be free; PORT names .* Received: {port}"):
            start_all.check_ports([Process("express", [], {}, says(""), port)])


def test_express_on_postgresql_is_refused_with_the_way_out() -> None:
    express = Process("express", [], {"DATABASE_URL": "postgresql+psycopg://postgres@127.0.0.1:5432/shop"}, says(""))

    with pytest.raises(SettingsError, match="EXPRESS_DATABASE_URL should name .* `--without express`"):
        start_all.check_express([express])


def test_what_is_not_built_is_told_with_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(start_all, "ROOT", tmp_path)
    monkeypatch.setattr("shutil.which", lambda name: "/usr/bin/node")
    for name, command in (
        ("express", "npm ci --prefix backend"),
        ("storefront", "npm run build --prefix integrations"),
    ):
        with pytest.raises(SettingsError, match=f"`{command}.*--without {name}"):
            start_all.check_built(["recommendation", "worker", name])
    start_all.check_built(["recommendation", "worker", "beat"])
    monkeypatch.setattr("shutil.which", lambda name: None)
    with pytest.raises(SettingsError, match="Node 20.19 or newer"):
        start_all.check_built(["storefront"])


def test_servers_that_are_away_and_a_shop_without_a_version_are_told(
    tmp_path: Path, environ: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = load_settings(environ, tmp_path)
    lines = start_all.servers(settings, {"REDIS_URL": NOBODY})
    assert next(lines) == "sqlite ✓"
    with pytest.raises(DatabaseUnavailable, match="Redis should answer at REDIS_URL"):
        next(lines)

    monkeypatch.setattr("redis.Redis.ping", lambda self: True)
    lines = start_all.servers(settings, {"REDIS_URL": NOBODY})
    assert [next(lines), next(lines)] == ["sqlite ✓", "redis ✓ 1"]
    with pytest.raises(NoModel):
        next(lines)
    elsewhere = load_settings({**environ, "DATABASE_URL": "postgresql+psycopg://nobody@127.0.0.1:1/none"}, tmp_path)
    with pytest.raises(DatabaseUnavailable):
        next(start_all.servers(elsewhere, {"REDIS_URL": NOBODY}))


def test_the_exit_status_says_what_was_wrong(
    tmp_path: Path, environ: dict[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in {**environ, "REDIS_URL": NOBODY, "SERVICE_PORT": str(_free())}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(signal, "signal", lambda number, handler: None)
    argv = ["--without", "express", "--without", "storefront", "--logs", str(tmp_path / "logs")]

    assert start_all.main(argv) == 69
    told = capsys.readouterr()
    assert told.out == "sqlite ✓\n"
    assert told.err.startswith("start_all: Redis should answer at REDIS_URL. Received: no answer")
    monkeypatch.setenv("SERVICE_PORT", "x")
    assert start_all.main(argv) == 78


def test_the_mapping_beside_the_compose_file_is_one() -> None:
    path = ROOT / "deploy/recsys.toml"
    text = path.read_text(encoding="utf-8")
    settings = load_settings({"DATABASE_URL": "sqlite:///shop.sqlite", "RECSYS_TOML": str(path)}, ROOT / "deploy")

    assert tomllib.loads(text)["shop"]["tracked_events"] == ["view", "add_to_cart", "wishlist"]
    assert len(settings.shop.sources) == 3  # those of the default schema, and what the storefront tracks


def _free() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])
