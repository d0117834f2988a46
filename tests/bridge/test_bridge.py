"""The process boundary: every result and every failure is one line with its exit status."""

import io
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from recsys.bridge import main as entry_point
from recsys.bridge import serving as service
from recsys.bridge import watchdog as deadlines
from recsys.bridge import worker as worker_module
from recsys.contract import MAX_BYTES, Item, Request, Response
from recsys.errors import (
    DatabaseUnavailable,
    DeadlineExceeded,
    ModelRefused,
    NoModel,
    Overloaded,
    RecsysError,
    UnknownUser,
)
from tests.helpers.entry_points import answer, ask, code, command
from tests.helpers.misbehaving import VERSION, install_misbehaving


class StandIns:
    """Stand-ins for the use case and the database, with a record of how they were called."""

    def __init__(self) -> None:
        self.opened = 0
        self.connected: list[tuple[str, float]] = []
        self.until: list[float] = []
        self.is_stale = False
        self.calls: list[dict[str, Any]] = []
        self.loading: BaseException | None = None
        self.connecting: BaseException | None = None
        self.answering: Callable[[Request], BaseException | None] = lambda request: None
        self.score = 0.5
        self.sent: list[bytes] = []

    def load(self, models_dir: Path, *, full: bool, resident_limit: int) -> SimpleNamespace:
        self.opened += 1
        if self.loading:
            raise self.loading
        return SimpleNamespace(name=VERSION, warm=lambda: None)

    def connect(self, url: str, *, timeout_s: float) -> "StandIns":
        self.connected.append((str(url), timeout_s))
        if self.connecting:
            raise self.connecting
        return self

    def limit(self, until: float) -> None:
        self.until.append(until)

    def close(self) -> None:
        self.calls.append({"closed": True})

    def recommend(self, request: Request, bundle: SimpleNamespace, database: "StandIns", **call: Any) -> Response:
        self.calls.append(call)
        error = self.answering(request)
        if error:
            raise error
        return Response(request.user_id, "BMF", bundle.name, (Item(1, self.score),), (), "model")


@pytest.fixture
def stand_ins(monkeypatch: pytest.MonkeyPatch) -> StandIns:
    stand_ins = StandIns()
    loading, use_case = ModuleType("recsys.recommending.loading"), ModuleType("recsys.recommending.recommend")
    store = ModuleType("recsys.store")
    loading.load, use_case.recommend, store.connect = stand_ins.load, stand_ins.recommend, stand_ins.connect  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "recsys.recommending.loading", loading)
    monkeypatch.setitem(sys.modules, "recsys.recommending.recommend", use_case)
    monkeypatch.setitem(sys.modules, "recsys.store", store)
    return stand_ins


def at(monkeypatch: pytest.MonkeyPatch, monotonic: Callable[[], float]) -> None:
    """Replace the clocks of the bridge."""
    clock = SimpleNamespace(monotonic=monotonic, time=lambda: 1764547200.9)
    for module in (deadlines, service):
        monkeypatch.setattr(module, "time", clock)


def run(
    data: bytes, *argv: str, tmp_path: Path, environ: Mapping[str, str] | None = None
) -> tuple[int, list[dict[str, Any]]]:
    lines: list[bytes] = []
    environ = {"DATABASE_URL": "sqlite:///shop.sqlite"} if environ is None else environ
    status = entry_point.run(argv, io.BytesIO(data), lines.append, environ, root=tmp_path)
    assert all(line.endswith(b"\n") and line.count(b"\n") == 1 for line in lines)
    return status, [json.loads(line) for line in lines]


def test_one_request_gets_one_answer_with_its_id_and_its_time(stand_ins: StandIns, tmp_path: Path) -> None:
    status, answers = run(b'{"user_id": 7, "id": "r-1"}\n', tmp_path=tmp_path)

    assert status == 0
    assert len(answers) == 1
    assert answers[0]["ok"] is True
    assert (answers[0]["user_id"], answers[0]["id"], answers[0]["model_version"]) == (7, "r-1", VERSION)
    assert answers[0]["ms"] >= 0


def test_the_use_case_receives_the_shop_the_moment_and_the_deadline(
    stand_ins: StandIns, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    at(monkeypatch, lambda: 100.0)

    _, answers = run(b'{"user_id": 7, "budget_ms": 800}', tmp_path=tmp_path)

    call, closed = stand_ins.calls
    assert (call["now"], call["deadline"], call["monotonic"]()) == (1764547200, 100.8, 100.0)
    assert call["shop"].purchase_events == ("purchase",)
    assert stand_ins.connected == [
        (f"sqlite:///{tmp_path}/shop.sqlite", pytest.approx(0.72))
    ]  # a tenth is kept for the answer
    assert stand_ins.until == [pytest.approx(100.72)]
    assert closed == {"closed": True}
    assert answers[0]["ms"] == 0.0


def test_without_a_budget_there_is_no_deadline_but_a_limit_for_the_database(
    stand_ins: StandIns, tmp_path: Path
) -> None:
    run(b'{"user_id": 7}', tmp_path=tmp_path)

    assert stand_ins.calls[0]["deadline"] is None
    assert stand_ins.connected[0][1] == pytest.approx(service.DATABASE_TIMEOUT_S, abs=1)


@pytest.mark.parametrize(
    ("given", "threads"), [({}, None), ({"SCORING_THREADS": ""}, None), ({"SCORING_THREADS": "2"}, 2)]
)
def test_the_use_case_receives_the_number_of_scoring_threads(
    stand_ins: StandIns, tmp_path: Path, given: Mapping[str, str], threads: int | None
) -> None:
    run(b'{"user_id": 7}', tmp_path=tmp_path, environ={"DATABASE_URL": "sqlite:///shop.sqlite", **given})

    assert stand_ins.calls[0]["threads"] == threads


@pytest.mark.parametrize("text", ["0", "-1", "65", "1.5", "two", "٢", "1" * 5000])
def test_an_invalid_number_of_threads_is_refused(stand_ins: StandIns, tmp_path: Path, text: str) -> None:
    environ = {"DATABASE_URL": "sqlite:///shop.sqlite", "SCORING_THREADS": text}

    status, answers = run(b'{"user_id": 7}', tmp_path=tmp_path, environ=environ)

    assert (status, code(answers[0])) == (78, "settings")
    assert answers[0]["error"]["message"].startswith(
        "SCORING_THREADS should be a whole number from 1 to 64. Received: "
    )


def test_a_budget_used_up_by_opening_the_version_is_a_deadline(
    stand_ins: StandIns, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    at(monkeypatch, lambda: 101.0 if stand_ins.opened else 100.0)

    status, answers = run(b'{"user_id": 7, "budget_ms": 800}', tmp_path=tmp_path)

    assert (status, code(answers[0]), answers[0]["error"]["retryable"]) == (75, "deadline", True)
    assert stand_ins.connected == []


def test_a_budget_used_up_by_the_start_opens_nothing(
    stand_ins: StandIns, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    at(monkeypatch, iter((100.0, 100.8)).__next__)

    status, answers = run(b'{"user_id": 7, "budget_ms": 800}', tmp_path=tmp_path)

    assert (status, code(answers[0]), stand_ins.opened) == (75, "deadline", 0)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (UnknownUser("Nobody."), (67, "unknown_user")),
        (DatabaseUnavailable("Gone."), (69, "database_unavailable")),
        (DeadlineExceeded("Late."), (75, "deadline")),
        (Overloaded("Full."), (75, "overloaded")),
        (ModelRefused("Damaged."), (77, "model_refused")),
        (NoModel("None."), (78, "no_model")),
        (MemoryError(), (75, "overloaded")),
        (ModuleNotFoundError("No module named 'h5py'", name="h5py"), (78, "settings")),
        (ModuleNotFoundError("No module named 'recsys.gone'", name="recsys.gone"), (70, "internal")),
        (KeyError("secret"), (70, "internal")),
        (RecursionError("secret"), (70, "internal")),
        (SystemExit(0), (70, "internal")),
        (RecsysError("secret"), (70, "internal")),
    ],
    ids=repr,
)
def test_every_exception_becomes_one_failure_and_its_exit_status(
    stand_ins: StandIns, tmp_path: Path, error: BaseException, expected: tuple[int, str]
) -> None:
    stand_ins.answering = lambda request: error

    status, answers = run(b'{"user_id": 7, "id": 3}', tmp_path=tmp_path)

    assert (status, code(answers[0])) == expected
    assert answers[0]["id"] == 3
    assert "secret" not in json.dumps(answers)


def test_the_traceback_of_a_defect_goes_to_stderr(
    stand_ins: StandIns, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stand_ins.answering = lambda request: KeyError("secret")

    run(b'{"user_id": 7}', tmp_path=tmp_path)

    assert "KeyError: 'secret'" in capsys.readouterr().err


def test_a_foreseen_failure_leaves_stderr_alone(
    stand_ins: StandIns, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(b'{"user_id": 7, "limit": 0}', tmp_path=tmp_path)

    assert capsys.readouterr().err == ""


def test_a_score_that_is_not_finite_is_a_failure_and_no_answer(stand_ins: StandIns, tmp_path: Path) -> None:
    stand_ins.score = float("nan")

    status, answers = run(b'{"user_id": 7}', tmp_path=tmp_path)

    assert (status, [code(answer) for answer in answers]) == (70, ["internal"])


def test_checks_run_in_the_order_request_settings_version_database(stand_ins: StandIns, tmp_path: Path) -> None:
    stand_ins.loading, stand_ins.connecting = NoModel("None."), DatabaseUnavailable("Gone.")

    assert code(run(b"{", tmp_path=tmp_path, environ={})[1][0]) == "invalid_json"
    assert code(run(b'{"user_id": 7}', tmp_path=tmp_path, environ={})[1][0]) == "settings"
    assert code(run(b'{"user_id": 7}', tmp_path=tmp_path)[1][0]) == "no_model"
    assert stand_ins.connected == []
    stand_ins.loading = None
    assert code(run(b'{"user_id": 7}', tmp_path=tmp_path)[1][0]) == "database_unavailable"


@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_help_is_printed_and_nothing_is_read_or_opened(stand_ins: StandIns, tmp_path: Path, flag: str) -> None:
    lines: list[bytes] = []
    assert entry_point.run([flag], io.BytesIO(b'{"user_id": 7}'), lines.append, {}, root=tmp_path) == 0
    assert [line.startswith(b"usage: recommend_api.py") for line in lines] == [True]
    assert stand_ins.opened == 0


@pytest.mark.parametrize(
    "argv", [["--help", "--worker"], ["--worker", "--worker"], ["recommend"], ["-x" * 1000, "\udce9\x1b"]]
)
def test_a_wrong_command_line_is_refused_before_anything_is_read(
    stand_ins: StandIns, tmp_path: Path, argv: list[str]
) -> None:
    status, answers = run(b'{"user_id": 7}', *argv, tmp_path=tmp_path)

    assert (status, code(answers[0])) == (64, "usage")
    assert len(answers[0]["error"]["message"]) < 200
    assert stand_ins.opened == 0


def test_a_ping_is_for_workers_only(stand_ins: StandIns, tmp_path: Path) -> None:
    status, answers = run(b'{"op": "ping"}', tmp_path=tmp_path)

    assert (status, code(answers[0]), answers[0]["error"]["field"]) == (65, "invalid_request", "op")


READY = {
    "ready": True,
    "protocol": 1,
    "version": VERSION,
    "limits": {"bytes": 1_048_576, "depth": 32, "list": 10_000, "limit": 100},
    "pid": os.getpid(),
}


def test_a_worker_writes_ready_and_ends_with_its_input(stand_ins: StandIns, tmp_path: Path) -> None:
    assert run(b"", "--worker", tmp_path=tmp_path) == (0, [READY])


def test_a_worker_answers_every_line_in_order_and_opens_the_version_once(stand_ins: StandIns, tmp_path: Path) -> None:
    data = b'{"user_id": 1, "id": "a"}\n{"op": "ping", "id": "b"}\r\n{"user_id": 2, "id": "c"}\n'

    status, answers = run(data, "--worker", tmp_path=tmp_path)

    assert status == 0
    assert [answer.get("id") for answer in answers] == [None, "a", "b", "c"]
    assert answers[2] == {"ok": True, "protocol": 1, "version": VERSION, "pid": os.getpid(), "refused": None, "id": "b"}
    assert stand_ins.opened == 1


def test_stats_counts_answers_and_failures(stand_ins: StandIns, tmp_path: Path) -> None:
    lines = [
        b'{"user_id": 1}',
        b"{",
        b'{"user_id": 1, "limit": 0}',
        b"[]",
        b'{"op": "stats", "id": 9}',
        b'{"op": "stats"}',
    ]

    _, answers = run(b"\n".join(lines), "--worker", tmp_path=tmp_path)

    stats = answers[5]
    assert stats.pop("uptime_s") >= 0
    assert stats.pop("rss_bytes") > 10_000_000
    assert stats == {
        "ok": True,
        "protocol": 1,
        "version": VERSION,
        "pid": os.getpid(),
        "answered": 4,
        "failures": {"invalid_json": 2, "invalid_request": 1},
        "swaps": 0,
        "refused": None,
        "connections": 1,
        "id": 9,
    }
    assert answers[6]["answered"] == 5


def test_a_worker_connects_once_before_it_is_ready(stand_ins: StandIns, tmp_path: Path) -> None:
    run(b'{"user_id": 1}\n{"user_id": 2}\n', "--worker", tmp_path=tmp_path)

    assert len(stand_ins.connected) == 1
    assert [call for call in stand_ins.calls if "closed" in call] == [{"closed": True}]


def test_a_worker_starts_where_the_database_is_down(stand_ins: StandIns, tmp_path: Path) -> None:
    stand_ins.connecting = DatabaseUnavailable("Gone.")

    status, answers = run(b'{"user_id": 1}\n', "--worker", tmp_path=tmp_path)

    assert (status, answers[0]["ready"], code(answers[1])) == (0, True, "database_unavailable")
    assert stand_ins.connected[0][1] == pytest.approx(worker_module.FIRST_CONNECT_S, abs=0.5)


def test_reload_looks_for_another_version(stand_ins: StandIns, tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    current = tmp_path / "models" / "CURRENT"
    current.write_text(VERSION, encoding="ascii")
    pong = {"ok": True, "protocol": 1, "version": VERSION, "pid": os.getpid(), "refused": None, "id": 1}

    assert run(b'{"op": "reload", "id": 1}', "--worker", tmp_path=tmp_path)[1][1] == pong
    current.unlink()
    _, answers = run(b'{"op": "reload", "id": 1}\n{"op": "stats"}\n{"user_id": 7}', "--worker", tmp_path=tmp_path)

    assert (code(answers[1]), answers[1]["id"]) == ("no_model", 1)
    assert answers[2]["refused"] == {"version": None, "code": "no_model", "message": answers[1]["error"]["message"]}
    assert answers[3]["model_version"] == VERSION


@pytest.mark.parametrize(("budget", "seconds"), [("", 0.8), (', "budget_ms": 300', 0.3), (', "budget_ms": 5000', 0.8)])
def test_after_the_end_of_its_input_a_worker_has_800_ms_for_an_answer(
    stand_ins: StandIns, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, budget: str, seconds: float
) -> None:
    at(monkeypatch, lambda: 100.0)
    monkeypatch.setattr(worker_module, "time", service.time)
    watchdog = deadlines.Watchdog()
    watchdog.end()
    environ = {"DATABASE_URL": "sqlite:///shop.sqlite"}

    entry_point.run(
        ["--worker"],
        io.BytesIO(b'{"user_id": 7%s}' % budget.encode()),
        stand_ins.sent.append,
        environ,
        root=tmp_path,
        watchdog=watchdog,
    )

    assert stand_ins.calls[0]["deadline"] == pytest.approx(100.0 + seconds)
    assert stand_ins.until[-1] == pytest.approx(100.0 + 0.9 * seconds)


def test_a_reload_has_no_budget_before_the_end_of_input(
    stand_ins: StandIns, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits: list[float | None] = []
    monkeypatch.setattr(deadlines.Watchdog, "limit", lambda watchdog, deadline: limits.append(deadline))

    run(b'{"op": "reload", "budget_ms": 600000}\n{"op": "ping", "budget_ms": 600000}\n', "--worker", tmp_path=tmp_path)

    of_reload, after_reload, of_ping, after_ping = limits  # reading an answer has no deadline
    assert (of_reload, after_reload, after_ping) == (None, None, None)
    assert of_ping is not None


def test_a_worker_answers_errors_in_order_and_goes_on(stand_ins: StandIns, tmp_path: Path) -> None:
    stand_ins.answering = lambda request: {
        2: KeyError(),
        3: UnknownUser("Nobody."),
        4: MemoryError(),
        5: SystemExit(1),
    }.get(request.user_id)
    lines = [b"{", b"", *(b'{"user_id": %d}' % user for user in (1, 2, 3, 4, 5, 6)), b'{"user_id": 7, "limit": 0}']

    status, answers = run(b"\n".join(lines) + b"\n", "--worker", tmp_path=tmp_path)

    assert status == 0
    assert [code(answer) for answer in answers[1:]] == [
        "invalid_json",
        "invalid_json",
        None,
        "internal",
        "unknown_user",
        "overloaded",
        "internal",
        None,
        "invalid_request",
    ]


@pytest.mark.parametrize("excess", [1, 2, MAX_BYTES, 3 * MAX_BYTES + 5])
def test_a_worker_refuses_a_line_that_is_too_long_and_reads_the_next(
    stand_ins: StandIns, tmp_path: Path, excess: int
) -> None:
    too_long = b'{"user_id": 7}'.ljust(MAX_BYTES - 1 + excess) + b"\n"
    longest = b'{"user_id": 7}'.ljust(MAX_BYTES - 1) + b"\n"

    _, answers = run(too_long + longest + b'{"user_id": 8}\n', "--worker", tmp_path=tmp_path)

    assert [code(answer) for answer in answers[1:]] == ["too_large", None, None]


def test_a_worker_refuses_a_last_line_that_is_too_long(stand_ins: StandIns, tmp_path: Path) -> None:
    _, answers = run(b" " * (2 * MAX_BYTES), "--worker", tmp_path=tmp_path)

    assert [code(answer) for answer in answers[1:]] == ["too_large"]


def test_a_last_line_without_its_end_is_answered(stand_ins: StandIns, tmp_path: Path) -> None:
    _, answers = run(b'{"user_id": 7}\n{"user_id": 8}', "--worker", tmp_path=tmp_path)

    assert [answer["user_id"] for answer in answers[1:]] == [7, 8]


@pytest.mark.parametrize(
    ("error", "status"), [(NoModel("None."), 78), (ModelRefused("Damaged."), 77), (KeyError(), 70)], ids=repr
)
def test_a_worker_that_cannot_start_writes_the_failure_instead_of_ready(
    stand_ins: StandIns, tmp_path: Path, error: BaseException, status: int
) -> None:
    stand_ins.loading = error

    exit_status, answers = run(b'{"user_id": 7}\n', "--worker", tmp_path=tmp_path)

    assert exit_status == status
    assert [answer["ok"] for answer in answers] == [False]


# The tests below run real processes: a copy of entry points and package, with a use case that misbehaves on request.


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with entry point and package, but without a developer's `.env`."""
    return install_misbehaving(tmp_path_factory.mktemp("installed"))


@pytest.fixture
def shop() -> Mapping[str, str]:
    return {"DATABASE_URL": "sqlite:///shop.sqlite"}


def test_a_process_answers_and_exits_with_0(installed: Path, shop: Mapping[str, str]) -> None:
    process = ask(installed, '{"user_id": "caf\u00e9"}'.encode(), env=shop)

    assert process.returncode == 0
    assert answer(process)["user_id"] == "caf\u00e9"


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", "invalid_json"),
        (b"\xff\xfe{", "invalid_json"),
        (b" " * 2**21, "too_large"),
        (b"[" * 100_000, "too_large"),
        (b'{"user_id": 7, "limit": 101}', "invalid_request"),
    ],
    ids=["nothing", "no UTF-8", "2 MiB of spaces", "too deep", "limit 101"],
)
def test_bad_input_exits_with_65_and_a_quiet_stderr(installed: Path, data: bytes, expected: str) -> None:
    process = ask(installed, data, env={})

    assert (process.returncode, code(answer(process)), process.stderr) == (65, expected, b"")


def test_a_wrong_flag_exits_with_64(installed: Path) -> None:
    process = ask(installed, b"", "--serve", env={})

    assert (process.returncode, code(answer(process))) == (64, "usage")


def test_missing_settings_exit_with_78(installed: Path) -> None:
    process = ask(installed, b'{"user_id": 7}', env={})

    assert (process.returncode, code(answer(process))) == (78, "settings")


@pytest.mark.parametrize("argv", [(), ("--worker",)], ids=["one-shot", "worker"])
def test_no_published_version_exits_with_78(installed: Path, shop: Mapping[str, str], argv: tuple[str, ...]) -> None:
    process = ask(installed, b'{"user_id": 7}', *argv, env={**shop, "MODELS_DIR": str(installed / "empty")})

    assert (process.returncode, code(answer(process))) == (78, "no_model")


def test_a_dead_database_exits_with_69(installed: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

    process = ask(installed, b'{"user_id": 7}', env={"DATABASE_URL": f"mysql+pymysql://root@127.0.0.1:{port}/shop"})

    assert (process.returncode, code(answer(process))) == (69, "database_unavailable")


def test_output_of_libraries_to_stdout_goes_to_stderr(installed: Path, shop: Mapping[str, str]) -> None:
    process = ask(installed, b'{"user_id": "print"}', env={**shop, "PATH": os.defpath})

    assert answer(process)["user_id"] == "print"
    for stray in (
        b"a banner at import",
        b"a stray line",
        b"another",
        b"from a library",
        b"from C",
        b"from a child",
        b"''",
    ):
        assert stray in process.stderr


def test_variables_of_the_interpreter_change_nothing(installed: Path, shop: Mapping[str, str], tmp_path: Path) -> None:
    awkward = {**shop, "PYTHONIOENCODING": "ascii", "LC_ALL": "POSIX", "PYTHONPATH": "/nowhere", "PATH": os.defpath}
    (tmp_path / "json.py").write_text("raise SystemExit('not this one')", encoding="utf-8")

    for flags in ((), ("-I",), ("-X", "utf8=0")):
        process = ask(
            installed, '{"user_id": "print", "id": "\u00e9"}'.encode(), env=awkward, flags=flags, cwd=tmp_path
        )

        assert (process.returncode, answer(process)["id"]) == (0, "\u00e9")
        assert b"caf" in process.stderr


def test_the_entry_point_works_through_a_symbolic_link(
    installed: Path, shop: Mapping[str, str], tmp_path: Path
) -> None:
    (tmp_path / "recommend_api.py").symlink_to(installed / "recommend_api.py")

    assert answer(ask(tmp_path, b'{"user_id": 7}', env=shop, flags=("-I",)))["ok"] is True


def test_blas_uses_one_thread_in_any_environment(installed: Path, shop: Mapping[str, str]) -> None:
    process = ask(installed, b'{"user_id": "threads"}', env={**shop, "OPENBLAS_NUM_THREADS": "8"})

    assert process.stderr.split(b"\n")[-1] == b"1"


@pytest.mark.parametrize(("user", "expected"), [("exit", (70, "internal")), ("memory", (75, "overloaded"))])
def test_errors_that_would_end_a_process_silently_are_answered(
    installed: Path, shop: Mapping[str, str], user: str, expected: tuple[int, str]
) -> None:
    process = ask(installed, json.dumps({"user_id": user}).encode(), env=shop)

    assert (process.returncode, code(answer(process))) == expected


def test_the_watchdog_ends_a_process_that_c_code_holds(installed: Path, shop: Mapping[str, str]) -> None:
    process = ask(installed, b'{"user_id": "holding", "budget_ms": 1500}', env=shop)

    assert (process.returncode, process.stdout) == (1, b"")
    assert process.stderr.removeprefix(b"a banner at import\nbusy\n").startswith(b"Timeout (")


def test_a_missing_package_is_named(installed: Path, shop: Mapping[str, str], tmp_path: Path) -> None:
    shutil.copytree(installed, tmp_path / "broken")
    (tmp_path / "broken" / "recsys" / "recommending" / "recommend.py").write_text(
        "import no_such_package", encoding="utf-8"
    )

    process = ask(tmp_path / "broken", b'{"user_id": 7}', env=shop)

    assert (process.returncode, code(answer(process))) == (78, "settings")
    assert "no_such_package" in answer(process)["error"]["message"]


def test_a_defect_at_import_is_one_failure(installed: Path, shop: Mapping[str, str], tmp_path: Path) -> None:
    shutil.copytree(installed, tmp_path / "broken")
    (tmp_path / "broken" / "recsys" / "recommending" / "recommend.py").write_text("this is no Python", encoding="utf-8")

    process = ask(tmp_path / "broken", b'{"user_id": 7}', env=shop)

    assert (process.returncode, code(answer(process))) == (70, "internal")
    assert b"SyntaxError" in process.stderr


@pytest.fixture
def worker(installed: Path, shop: Mapping[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(
        command(installed, "--worker"),
        env=shop,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as process:
        yield process
        process.kill()


def exchange(worker: subprocess.Popen[bytes], line: bytes) -> dict[str, Any]:
    assert worker.stdin is not None
    assert worker.stdout is not None
    worker.stdin.write(line + b"\n")
    worker.stdin.flush()
    return json.loads(worker.stdout.readline())


def test_a_worker_answers_each_line_at_once_and_ends_when_stdin_closes(worker: subprocess.Popen[bytes]) -> None:
    assert worker.stdin is not None
    assert worker.stdout is not None
    ready = json.loads(worker.stdout.readline())

    assert (ready["ready"], ready["protocol"], ready["pid"]) == (True, 1, worker.pid)
    assert exchange(worker, b'{"user_id": 1}')["user_id"] == 1
    assert code(exchange(worker, b"nonsense")) == "invalid_json"
    assert code(exchange(worker, b'{"user_id": "memory"}')) == "overloaded"
    assert exchange(worker, b'{"op": "ping"}')["pid"] == worker.pid
    worker.stdin.close()
    assert worker.wait(timeout=30) == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_worker_ends_by_the_signal_that_it_receives(worker: subprocess.Popen[bytes], number: signal.Signals) -> None:
    assert worker.stdout is not None
    worker.stdout.readline()
    worker.send_signal(number)

    assert worker.wait(timeout=30) == -number


@pytest.fixture
def deaf() -> Iterator[int]:
    """Return the writing end of a pipe without a reader."""
    reading, writing = os.pipe()
    os.close(reading)
    yield writing
    os.close(writing)


def test_a_defect_is_answered_even_if_stderr_has_no_reader(installed: Path, shop: Mapping[str, str], deaf: int) -> None:
    process = ask(installed, b'{"user_id": 7}', env=shop, stderr=deaf)

    assert (process.returncode, code(answer(process))) == (70, "internal")  # the banner at import could not be printed


def test_a_missing_reader_is_exit_status_74_without_a_message(
    installed: Path, shop: Mapping[str, str], deaf: int
) -> None:
    process = ask(installed, b'{"user_id": "large"}', env=shop, stdout=deaf)

    assert (process.returncode, process.stderr) == (74, b"a banner at import\n")


def test_a_full_disk_behind_stdout_is_exit_status_74_with_a_message(installed: Path, shop: Mapping[str, str]) -> None:
    with open("/dev/full", "wb") as full:
        process = ask(installed, b'{"user_id": 7}', env=shop, stdout=full)

    assert process.returncode == 74
    assert b"No space left" in process.stderr


@pytest.mark.parametrize(
    ("redirection", "status", "expected"),
    [
        ("0<&-", 65, "invalid_json"),
        ("2>&-", 0, None),
        ("1>&-", 74, None),
        ("0<&- 2>&-", 65, "invalid_json"),
        ("0<&- 1>&- 2>&-", 74, None),
    ],
)
def test_a_standard_stream_that_is_closed_is_no_defect(
    installed: Path, shop: Mapping[str, str], redirection: str, status: int, expected: str | None
) -> None:
    shell = ["sh", "-c", f'exec "$0" "$1" {redirection}', *command(installed)]
    process = subprocess.run(
        shell, env=shop, input=b'{"user_id": "print"}', capture_output=True, timeout=60, check=False
    )

    assert process.returncode == status, process.stderr
    if status != 74:
        assert code(answer(process)) == expected
