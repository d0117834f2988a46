"""A worker ends with its parent, and with its input, whatever it is doing."""

import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from recsys.bridge import watchdog as watchdog_module
from recsys.bridge.watchdog import LAST_ANSWER_S, LAST_RESORT_S, WATCHDOG_GRACE_S, Watchdog
from tests.helpers.entry_points import PATIENCE_S, command
from tests.helpers.misbehaving import install_misbehaving
from tests.helpers.worker_process import WorkerProcess

BUSY_MACHINE_S = 5.0  # what a process that ends after a second may need to do so beside a whole test suite
SHOP = {"DATABASE_URL": "sqlite:///shop.sqlite"}


class Timer:
    """A stand-in for faulthandler and signal: it records the seconds until the process would end.

    Attributes:
        seconds: The seconds until faulthandler would end the process; None for never.
        kernel_s: The seconds until the kernel would end it; None for never.
    """

    ITIMER_REAL = object()

    def __init__(self) -> None:
        self.seconds: float | None = None
        self.kernel_s: float | None = None

    def setitimer(self, which: object, seconds: float) -> None:
        assert which is self.ITIMER_REAL
        self.kernel_s = seconds or None

    def dump_traceback_later(self, seconds: float, *, exit: bool, file: int) -> None:
        assert exit
        assert file == 2
        self.seconds = seconds

    def cancel_dump_traceback_later(self) -> None:
        self.seconds = None


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    clock = SimpleNamespace(now=100.0, monotonic=lambda: clock.now)
    monkeypatch.setattr(watchdog_module, "time", clock)
    return clock


@pytest.fixture
def timer(monkeypatch: pytest.MonkeyPatch) -> Timer:
    timer = Timer()
    monkeypatch.setattr(watchdog_module, "faulthandler", timer)
    monkeypatch.setattr(watchdog_module, "signal", timer)
    return timer


def test_an_answer_without_a_deadline_has_no_limit(clock: SimpleNamespace, timer: Timer) -> None:
    with Watchdog().answering():
        assert timer.seconds is None


def test_an_answer_has_its_deadline_and_a_little_grace(clock: SimpleNamespace, timer: Timer) -> None:
    watchdog = Watchdog()
    with watchdog.answering():
        clock.now = 100.1
        watchdog.limit(100.8)
        assert timer.seconds == pytest.approx(0.7 + WATCHDOG_GRACE_S)
    assert timer.seconds is None


def test_the_deadline_of_one_answer_does_not_end_the_next(clock: SimpleNamespace, timer: Timer) -> None:
    watchdog = Watchdog()
    with watchdog.answering():
        watchdog.limit(100.8)
    with watchdog.answering():
        assert timer.seconds is None


def test_at_the_end_of_input_a_running_answer_has_a_second(clock: SimpleNamespace, timer: Timer) -> None:
    watchdog = Watchdog()
    with watchdog.answering():
        watchdog.end()
        assert timer.seconds == LAST_ANSWER_S
    assert timer.seconds is None


def test_an_answer_that_begins_after_the_end_has_a_second_too(clock: SimpleNamespace, timer: Timer) -> None:
    watchdog = Watchdog()
    watchdog.end()
    assert timer.seconds is None  # reading lines, and leaving, take the time they take
    for _ in range(2):
        clock.now += 10
        with watchdog.answering():
            assert timer.seconds == LAST_ANSWER_S
        assert timer.seconds is None


@pytest.mark.parametrize(("deadline", "seconds"), [(100.3, 0.3 + WATCHDOG_GRACE_S), (105.0, LAST_ANSWER_S)])
def test_the_earlier_of_both_limits_ends_the_process(
    clock: SimpleNamespace, timer: Timer, deadline: float, seconds: float
) -> None:
    watchdog = Watchdog()
    with watchdog.answering():
        watchdog.limit(deadline)
        watchdog.end()
        assert timer.seconds == pytest.approx(seconds)


def test_a_deadline_that_has_passed_ends_the_process_at_once(clock: SimpleNamespace, timer: Timer) -> None:
    watchdog = Watchdog()
    with watchdog.answering():
        watchdog.limit(90.0)
        assert timer.seconds == watchdog_module.LEAST_S > 0


def test_writing_an_answer_has_no_deadline_of_its_own(clock: SimpleNamespace, timer: Timer) -> None:
    watchdog = Watchdog()
    with watchdog.answering():
        watchdog.limit(100.8)
        watchdog.limit(None)
        assert timer.seconds is None


def test_writing_an_answer_has_a_second_once_the_input_has_ended(clock: SimpleNamespace, timer: Timer) -> None:
    watchdog = Watchdog()
    with watchdog.answering():
        watchdog.limit(100.8)
        watchdog.end()
        clock.now = 100.7
        watchdog.limit(None)
        assert timer.seconds == LAST_ANSWER_S
    assert timer.seconds is None


def test_at_the_end_of_input_a_written_answer_has_a_second(clock: SimpleNamespace, timer: Timer) -> None:
    watchdog = Watchdog()
    with watchdog.answering():
        watchdog.limit(None)
        watchdog.end()
        assert timer.seconds == LAST_ANSWER_S


def test_the_kernel_ends_a_process_that_faulthandler_could_not(clock: SimpleNamespace, timer: Timer) -> None:
    watchdog = Watchdog()
    with watchdog.answering():
        watchdog.limit(100.8)
        assert timer.seconds is not None
        assert timer.kernel_s == timer.seconds + LAST_RESORT_S
    assert timer.kernel_s is None


def test_a_failed_answer_has_no_limit_any_more(clock: SimpleNamespace, timer: Timer) -> None:
    watchdog = Watchdog()
    with suppress(KeyError), watchdog.answering():
        watchdog.limit(100.8)
        raise KeyError
    assert timer.seconds is None


def test_a_parent_that_ended_before_the_signal_was_requested_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    left: list[int] = []
    monkeypatch.setattr(watchdog_module, "_signalled_by_kernel", lambda: True)
    monkeypatch.setattr(watchdog_module.os, "_exit", left.append)

    watchdog_module.die_with_parent(os.getppid())
    assert left == []
    watchdog_module.die_with_parent(os.getppid() + 1)
    assert left == [0]


@pytest.mark.skipif(not hasattr(select, "poll"), reason="the system has no poll")
@pytest.mark.parametrize("kind", ["pipe", "socket shut", "socket closed"])
def test_the_end_of_input_is_noticed_behind_unread_lines(kind: str) -> None:
    noticed, tell = os.pipe()
    if kind == "pipe":
        requests, client = os.pipe()
        os.write(client, b"{}\n" * 100)
        hang_up = lambda: os.close(client)  # noqa: E731
    else:
        ours, theirs = socket.socketpair()
        requests = ours.detach()
        theirs.sendall(b"{}\n" * 100)
        hang_up = theirs.close if kind == "socket closed" else lambda: theirs.shutdown(socket.SHUT_WR)
    watchdog_module.watch_input(requests, lambda: os.close(tell))

    assert select.select([noticed], [], [], 0)[0] == []
    hang_up()
    assert select.select([noticed], [], [], PATIENCE_S)[0] == [noticed]
    os.close(noticed)
    os.close(requests)
    if kind == "socket shut":
        theirs.close()


# From here on real processes.


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return install_misbehaving(tmp_path_factory.mktemp("installed"))


@pytest.fixture(scope="module")
def polling(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A worker on a system whose kernel tells nobody of a parent's death."""
    folder = install_misbehaving(tmp_path_factory.mktemp("polling"))
    module = folder / "recsys" / "bridge" / "watchdog.py"
    text = module.read_text(encoding="utf-8")
    assert text.count('sys.platform != "linux"') == 1
    module.write_text(text.replace('sys.platform != "linux"', "True"), encoding="utf-8")
    return folder


def until_busy(stderr: int) -> None:
    """Read what a worker says until it says that it is computing."""
    output = b""
    while not output.endswith(b"busy\n"):
        chunk = os.read(stderr, 4096)
        assert chunk, output
        output += chunk


def test_the_end_of_the_input_ends_a_worker_that_computes(installed: Path) -> None:
    with WorkerProcess(installed, SHOP, stderr=subprocess.PIPE) as worker:
        process = worker.process
        assert process.stderr is not None
        worker.send({"user_id": "busy"})
        worker.send({"user_id": 8})
        until_busy(process.stderr.fileno())
        ended = time.monotonic()

        assert worker.end() == 1

        assert time.monotonic() - ended < LAST_ANSWER_S + BUSY_MACHINE_S
        assert process.stderr.read().startswith(b"Timeout (")
        assert process.stdout is not None
        assert process.stdout.read() == b""


def test_a_socket_that_is_shut_as_node_does_ends_a_worker_that_computes(installed: Path) -> None:
    ours, theirs = socket.socketpair()
    with (
        ours,
        subprocess.Popen(
            command(installed, "--worker"), env=SHOP, stdin=theirs, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        ) as process,
    ):
        theirs.close()
        assert process.stderr is not None
        ours.sendall(b'{"user_id": "busy"}\n')
        until_busy(process.stderr.fileno())

        ours.shutdown(socket.SHUT_WR)

        assert process.wait(timeout=PATIENCE_S) == 1


PINGS = 4000  # 50 KB of requests, which a pipe holds, and 400 KB of answers, which it does not


@pytest.mark.skipif(not hasattr(select, "poll"), reason="the system has no poll")
@pytest.mark.parametrize(
    "request_line", [b"{}\n", b'{"op":"ping"}\n', b"nothing\n"], ids=["answers", "pongs", "failures"]
)
def test_the_end_of_input_ends_a_worker_with_unread_answers(installed: Path, request_line: bytes) -> None:
    with WorkerProcess(installed, SHOP) as worker:
        assert worker.process.stdin is not None
        worker.process.stdin.write(request_line * PINGS)

        assert worker.end() == 1


@pytest.mark.skipif(not hasattr(select, "poll"), reason="the system has no poll")
def test_the_end_of_input_ends_a_worker_with_unread_stderr(installed: Path) -> None:
    with WorkerProcess(installed, SHOP, stderr=subprocess.PIPE) as worker:
        assert worker.process.stdin is not None
        worker.process.stdin.write(b'{"user_id":"defect"}\n' * (PINGS // 2))  # a traceback each

        assert worker.end() == -signal.SIGALRM


def run(arguments: list[str], **streams: Any) -> subprocess.CompletedProcess[bytes]:
    environ = {**SHOP, "PATH": os.defpath}
    return subprocess.run(arguments, env=environ, capture_output=True, timeout=PATIENCE_S, check=False, **streams)


def test_what_was_sent_before_the_end_is_answered(installed: Path) -> None:
    pipe = 'printf \'{"user_id": 7}\\n{"user_id": 8}\\n\' | exec "$0" "$1" --worker'
    process = run(["sh", "-c", pipe, *command(installed)])

    assert (process.returncode, process.stdout.count(b"\n")) == (0, 3), process.stderr
    assert b'"user_id":7' in process.stdout
    assert b'"user_id":8' in process.stdout


def test_a_file_of_requests_is_answered_to_its_end(installed: Path, tmp_path: Path) -> None:
    (tmp_path / "requests").write_bytes(b'{"user_id": 7}\n' * 500)
    with open(tmp_path / "requests", "rb") as requests:
        process = run(command(installed, "--worker"), stdin=requests)

    assert (process.returncode, process.stdout.count(b"\n")) == (0, 501), process.stderr


PARENT = """
import subprocess, sys
worker = subprocess.Popen(sys.argv[1:], stdin=0, stdout=1, stderr=2)
worker.wait()
"""


@pytest.fixture
def adopted() -> Iterator[dict[str, int]]:
    """Ends of the pipes to a worker whose parent is another process."""
    requests, request = os.pipe()
    answers, answer = os.pipe()
    errors, error = os.pipe()
    ends = {"request": request, "answers": answers, "errors": errors}
    yield {**ends, "requests": requests, "answer": answer, "error": error}
    for end in ends.values():
        os.close(end)


KERNEL, POLLING = "by the kernel", "by polling"
DEATHS = [
    (KERNEL, "idle"),
    (KERNEL, "busy"),
    (KERNEL, "holding"),
    (POLLING, "idle"),
    (POLLING, "busy"),
]  # C code lets nobody poll


@pytest.mark.parametrize(("noticed", "state"), DEATHS)
def test_the_death_of_the_parent_ends_a_worker_whose_input_stays_open(
    request: pytest.FixtureRequest, adopted: dict[str, int], noticed: str, state: str
) -> None:
    if noticed == KERNEL and sys.platform != "linux":
        pytest.skip("only Linux tells")
    folder = request.getfixturevalue("installed" if noticed == KERNEL else "polling")
    streams = {"stdin": adopted["requests"], "stdout": adopted["answer"], "stderr": adopted["error"]}
    with subprocess.Popen([sys.executable, "-c", PARENT, *command(folder, "--worker")], env=SHOP, **streams) as parent:
        for end in streams.values():
            os.close(end)
        assert b'"ready":true' in os.read(adopted["answers"], 4096)
        if state != "idle":
            os.write(adopted["request"], b'{"user_id": "%s"}\n' % state.encode())
            until_busy(adopted["errors"])

        parent.send_signal(signal.SIGKILL)
        killed = time.monotonic()

        assert select.select([adopted["answers"]], [], [], PATIENCE_S)[0] != []
        assert os.read(adopted["answers"], 4096) == b""  # nobody holds the other end any more
        assert time.monotonic() - killed < 1 + BUSY_MACHINE_S


def test_a_worker_that_ends_closes_its_database_and_versions(published, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    from recsys.bridge.worker import Worker

    worker = Worker.start(published.environ, published.folder, Watchdog())
    with closing(worker):
        assert b'"ok":true' in worker.answer(b'{"user_id": 7}')
    assert worker._service.connection._idle is None
    assert worker._versions._closed.is_set()
