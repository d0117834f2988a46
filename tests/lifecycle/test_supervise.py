"""Trainings in a child process: limits, ends, exit statuses, and the webhook."""

from __future__ import annotations

import http.server
import json
import os
import socket
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from recsys.errors import InternalError
from recsys.errors.secrets import Secret
from recsys.lifecycle.alerts import send_alert
from recsys.lifecycle.logs import close_log, open_log
from recsys.lifecycle.supervise import (
    MIB,
    Limits,
    TrainingResult,
    limits,
    machine_memory,
    resident_memory,
    run_training,
)

NO_LIMITS = Limits(3600.0, None)
GRANDCHILD = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
print(child.pid, flush=True)
"""


def run(code: str, tmp_path: Path, allowed: Limits = NO_LIMITS, **options: Any) -> tuple[TrainingResult, list[str]]:
    lines: list[str] = []
    options = {"say": lines.append, "look_s": 0.05, **options}
    outcome = run_training([sys.executable, "-c", code], folder=tmp_path, limits=allowed, **options)
    return outcome, lines


def is_gone(process: int) -> bool:
    """Tell whether a killed process ends; the system removes it a moment after the signal, later under load."""
    until = time.monotonic() + 10
    while is_alive(process) and time.monotonic() < until:
        time.sleep(0.05)
    return not is_alive(process)


def is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    status = Path(f"/proc/{process}/stat")
    return not status.exists() or status.read_text().rpartition(")")[2].split()[0] != "Z"


@pytest.mark.parametrize(
    ("code", "status", "reason"),
    [
        ("print('fine')", 0, ""),
        ("import sys; print('Failed: no table'); sys.exit(1)", 1, "Failed: no table"),
        ("import sys; sys.exit(1)", 1, "it ended with exit status 1 and said nothing"),
        ("import sys; print('Refused: worse'); sys.exit(3)", 3, "Refused: worse"),
        ("import sys; sys.exit(75)", 75, "it ended with exit status 75 and said nothing"),
        ("import os; os.kill(os.getpid(), 9)", -9, "it was ended by SIGKILL, as the system does where memory runs out"),
        ("import os; os.kill(os.getpid(), 11)", -11, "it was ended by SIGSEGV"),
    ],
)
def test_the_exit_status_alone_is_the_success(tmp_path: Path, code: str, status: int, reason: str):
    outcome, _ = run(code, tmp_path)
    assert (outcome.status, outcome.reason, outcome.published) == (status, reason, status == 0)
    assert (outcome.refused, outcome.another_runs, outcome.stopped) == (status == 3, status == 75, False)


def test_output_and_errors_are_passed_on_line_by_line_without_secrets(tmp_path: Path):
    Secret("opensesame")
    code = "import sys; print('one'); print(); sys.stderr.write('opensesame\\n'); print('x' * 5000)"
    _, lines = run(code, tmp_path)
    assert sorted(map(len, lines)) == [3, 3, 1000, 4000]
    assert {"one", "***"} <= set(lines)


@pytest.mark.slow
@pytest.mark.parametrize("ignores", [False, True])
def test_a_training_that_takes_too_long_ends_with_its_group(
    tmp_path: Path, ignores: bool, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("recsys.lifecycle.supervise.END_S", 0.5)
    ignoring = "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)\n" if ignores else ""
    outcome, lines = run(f"{ignoring}{GRANDCHILD}\ntime.sleep(600)", tmp_path, Limits(3.0, None))
    assert outcome.status != 0
    assert outcome.reason == "it took longer than 0.05 minutes (max_training_minutes)"
    assert is_gone(int(lines[0]))


@pytest.mark.slow
def test_a_training_leaves_no_process_behind_after_its_own_end(tmp_path: Path):
    outcome, lines = run(GRANDCHILD, tmp_path)
    assert outcome.published
    assert is_gone(int(lines[0]))


@pytest.mark.skipif(sys.platform != "linux", reason="memory of a group")
def test_a_training_that_grows_too_large_is_ended(tmp_path: Path):
    code = "import time; data = bytearray(b'x') * (300 << 20); time.sleep(600)"
    outcome, _ = run(code, tmp_path, Limits(3600.0, 200 * MIB))
    assert outcome.status == -9
    assert "MiB of resident memory, 200 are allowed (max_training_memory_mib)" in outcome.reason
    assert outcome.peak_memory > 200 * MIB


def test_a_scheduler_that_ends_takes_the_training_along(tmp_path: Path):
    lines: list[str] = []
    code = "import time; print('begun', flush=True); time.sleep(600)"
    outcome, _ = run(code, tmp_path, say=lines.append, is_stopping=lambda: bool(lines))
    assert outcome.stopped
    assert not outcome.published


def test_a_program_that_is_missing_is_reported(tmp_path: Path):
    with pytest.raises(InternalError, match="A training should start"):
        run_training([str(tmp_path / "none")], folder=tmp_path, limits=NO_LIMITS, say=print)


def test_limits_come_from_the_settings_or_from_the_machine():
    assert limits(2, 100) == Limits(120, 100 * MIB)
    memory = limits(2, 0).memory
    assert memory is not None
    assert 0.7 * machine_memory() < memory < machine_memory()


@pytest.mark.skipif(sys.platform != "linux", reason="memory of a group")
def test_resident_memory_is_that_of_the_group():
    assert resident_memory(os.getpgrp()) > MIB
    assert resident_memory(2**22 + 1) == 0


class Hook(http.server.BaseHTTPRequestHandler):
    """Answers with the status in the path, and keeps what was posted."""

    posted: list[tuple[str, dict[str, Any]]] = []

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.posted.append((self.path, json.loads(body)))
        self.send_response(int(self.path.split("/")[1]))
        self.send_header("Location", "/200/elsewhere")
        self.end_headers()

    do_GET = do_POST

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def hook() -> Iterator[str]:
    Hook.posted.clear()
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hook) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(("status", "why"), [(200, None), (204, None), (302, "302"), (404, "404"), (500, "500")])
def test_an_alert_is_posted_as_json_and_its_failure_told_without_the_url(hook: str, status: int, why: str | None):
    told = send_alert(Secret(f"{hook}/{status}/token"), "refused", "a training was refused", {"status": 3})
    assert told == (f"it answered with status {why}" if why else None)
    document = {"status": 3, "event": "refused", "text": "a training was refused"}
    assert Hook.posted == [(f"/{status}/token", document)]


def test_an_alert_that_cannot_be_sent_stops_nothing(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("recsys.lifecycle.alerts.TIMEOUT_S", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        assert send_alert(Secret(f"http://127.0.0.1:{port}/token"), "failed", "x", {}) == "TimeoutError"
    assert send_alert(Secret(f"http://127.0.0.1:{port}/token"), "failed", "x", {}) == "ConnectionRefusedError"
    assert send_alert(Secret("http://host:no port/token"), "failed", "x", {}) == "InvalidURL"
    assert send_alert(Secret(""), "failed", "x", {}) is None


def test_logs_rotate_and_hold_no_secret(tmp_path: Path):
    Secret("opensesame")
    log = open_log(tmp_path / "logs", "training", max_bytes=200, kept=2)
    for number in range(50):
        log.info("line %d opensesame", number)
    close_log(log)
    files = sorted(path.name for path in (tmp_path / "logs").iterdir())
    assert files == ["training.log", "training.log.1", "training.log.2"]
    text = (tmp_path / "logs" / "training.log").read_text()
    assert text.endswith("INFO line 49 ***\n")
    assert text[:2] == "20"
    assert text.split()[0].endswith("Z")
