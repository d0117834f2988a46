"""The process: it waits for the database, names its tables, answers, swaps versions, and ends."""

from __future__ import annotations

import json
import logging
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from recsys.errors import DatabaseUnavailable, SettingsError
from recsys.service import __main__ as process
from recsys.service.__main__ import AGAIN_S, HELP, TABLES, main, prepare_tables, wait_for_database
from recsys.store import connect
from tests.helpers.http_service import ROOT, shop_of
from tests.helpers.tiny_shop import Published

START_S = 120.0


class Clock:
    def __init__(self) -> None:
        self.now, self.naps = 0.0, 0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.naps += 1


def test_it_waits_until_the_database_answers(published: Published, monkeypatch: pytest.MonkeyPatch) -> None:
    clock, tries = Clock(), []

    def connecting(url: object, *, timeout_s: float) -> object:
        tries.append(timeout_s)
        if len(tries) < 4:
            raise DatabaseUnavailable("away")
        return "open"

    monkeypatch.setattr(process, "connect", connecting)

    assert wait_for_database(published.settings, now=clock, sleep=clock.sleep) == "open"
    assert clock.naps == 3


def test_after_a_minute_it_gives_up_with_69(published: Published, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()

    def away(url: object, *, timeout_s: float) -> object:
        raise DatabaseUnavailable("away.")

    monkeypatch.setattr(process, "connect", away)

    with pytest.raises(DatabaseUnavailable, match="It was asked for 60 seconds") as raised:
        wait_for_database(published.settings, now=clock, sleep=clock.sleep)
    assert raised.value.exit_status == 69
    assert clock.now == pytest.approx(60, abs=2 * AGAIN_S)


def test_a_wrong_setting_is_not_waited_for(published: Published, monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(url: object, *, timeout_s: float) -> object:
        raise SettingsError("DATABASE_URL cannot be used.")

    monkeypatch.setattr(process, "connect", wrong)

    with pytest.raises(SettingsError):
        wait_for_database(published.settings, sleep=lambda seconds: pytest.fail("it should not wait"))


def test_each_table_has_a_line(shop_url: str, caplog: pytest.LogCaptureFixture) -> None:
    log = logging.getLogger("tests.tables")
    with caplog.at_level(logging.INFO, log.name), connect(shop_url) as db:
        prepare_tables(db, log)
        prepare_tables(db, log)

    lines = [record.getMessage() for record in caplog.records]
    assert lines[0] == "migrations: none was missing"
    for table in TABLES:
        assert sum(f"table {table}: ready" in line for line in lines) == 2


@pytest.mark.parametrize(
    ("argv", "environ", "status"),
    [
        (["-h"], {}, 0),
        (["--port", "8002"], {}, 64),
        ([], {}, 78),
        ([], {"DATABASE_URL": "sqlite:///shop.sqlite", "SERVICE_HOST": "0.0.0.0"}, 78),
        ([], {"DATABASE_URL": "sqlite:///shop.sqlite", "SERVICE_PORT": "no"}, 78),
    ],
)
def test_the_exit_status_says_what_was_wrong(
    argv: list[str],
    environ: dict[str, str],
    status: int,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(process, "_log", lambda: logging.getLogger("tests.main"))

    assert main(argv, environ, tmp_path) == status
    if argv == ["-h"]:
        assert capsys.readouterr().out == HELP


def test_a_database_that_never_comes_ends_the_process_with_69(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "_log", lambda: logging.getLogger("tests.main"))
    monkeypatch.setattr(process, "WAIT_S", 0.0)
    monkeypatch.setattr(wait_for_database, "__kwdefaults__", {**wait_for_database.__kwdefaults__, "seconds": 0.0})

    assert main([], {"DATABASE_URL": f"sqlite:///{tmp_path / 'none.sqlite'}"}, tmp_path) == 69


@pytest.mark.slow
def test_the_process_answers_and_ends_at_a_signal(published: Published, tmp_path: Path) -> None:
    shop = shop_of(published, tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    environ = {**os.environ, **shop.environ, "SERVICE_PORT": str(port), "PYTHONPATH": str(ROOT), "REDIS_URL": ""}
    child = subprocess.Popen(
        [sys.executable, "-m", "recsys.service"], cwd=tmp_path, env=environ, stderr=subprocess.PIPE, text=True
    )
    try:
        answer = asked(f"http://127.0.0.1:{port}/recommendations?user_id=7&limit=3", child)
        assert len(answer["recommendations"]) == 3
        child.send_signal(signal.SIGTERM)
        _, lines = child.communicate(timeout=START_S)
    finally:
        child.kill()
        child.wait()
    assert child.returncode in (0, -signal.SIGTERM)
    for table in TABLES:
        assert f"table {table}: ready" in lines
    assert "Traceback" not in lines


def asked(url: str, child: subprocess.Popen[str]) -> dict[str, list[object]]:
    """Return an answer, as soon as the process listens."""
    until = time.monotonic() + START_S
    while True:
        try:
            with urllib.request.urlopen(url, timeout=START_S) as reply:
                return dict(json.load(reply))
        except OSError:
            if child.poll() is not None or time.monotonic() > until:
                raise
            time.sleep(0.05)  # until it listens
