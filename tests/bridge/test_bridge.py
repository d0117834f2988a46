"""The process boundary: one line for whatever happens, and the exit status that belongs to it."""

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
from recsys.bridge import serving as answering
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


class Stage:
    """Stand-ins for the use case and the database, with a record of how they were called."""

    def __init__(self) -> None:
        self.opened = 0
        self.connected: list[tuple[str, float]] = []
        self.until: list[float] = []
        self.is_stale = False
        self.told: list[dict[str, Any]] = []
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

    def connect(self, url: str, *, timeout_s: float) -> "Stage":
        self.connected.append((str(url), timeout_s))
        if self.connecting:
            raise self.connecting
        return self

    def limit(self, until: float) -> None:
        self.until.append(until)

    def close(self) -> None:
        self.told.append({"closed": True})

    def recommend(self, request: Request, bundle: SimpleNamespace, database: "Stage", **told: Any) -> Response:
        self.told.append(told)
        error = self.answering(request)
        if error:
            raise error
        return Response(request.user_id, "BMF", bundle.name, (Item(1, self.score),), (), "model")


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch) -> Stage:
    stage = Stage()
    loading, use_case = ModuleType("recsys.recommending.loading"), ModuleType("recsys.recommending.recommend")
    store = ModuleType("recsys.store")
    loading.load, use_case.recommend, store.connect = stage.load, stage.recommend, stage.connect  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "recsys.recommending.loading", loading)
    monkeypatch.setitem(sys.modules, "recsys.recommending.recommend", use_case)
    monkeypatch.setitem(sys.modules, "recsys.store", store)
    return stage


def at(monkeypatch: pytest.MonkeyPatch, monotonic: Callable[[], float]) -> None:
    """Let every clock of the bridge show what is given."""
    clock = SimpleNamespace(monotonic=monotonic, time=lambda: 1764547200.9)
    for module in (answering, deadlines, service):
        monkeypatch.setattr(module, "time", clock)


def run(
    data: bytes, *argv: str, tmp_path: Path, environ: Mapping[str, str] | None = None
) -> tuple[int, list[dict[str, Any]]]:
    lines: list[bytes] = []
    given = {"DATABASE_URL": "sqlite:///shop.sqlite"} if environ is None else environ
    status = entry_point.run(argv, io.BytesIO(data), lines.append, given, root=tmp_path)
    assert all(line.endswith(b"\n") and line.count(b"\n") == 1 for line in lines)
    return status, [json.loads(line) for line in lines]


def test_one_request_gets_one_answer_with_its_id_and_its_time(stage: Stage, tmp_path: Path) -> None:
    status, answers = run(b'{"user_id": 7, "id": "r-1"}\n', tmp_path=tmp_path)

    assert status == 0
    assert len(answers) == 1
    assert answers[0]["ok"] is True
    assert (answers[0]["user_id"], answers[0]["id"], answers[0]["model_version"]) == (7, "r-1", VERSION)
    assert answers[0]["ms"] >= 0


def test_the_use_case_is_told_the_shop_the_moment_and_the_deadline(
    stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    at(monkeypatch, lambda: 100.0)

    _, answers = run(b'{"user_id": 7, "budget_ms": 800}', tmp_path=tmp_path)

    told, closed = stage.told
    assert (told["now"], told["deadline"], told["monotonic"]()) == (1764547200, 100.8, 100.0)
    assert told["shop"].purchase_events == ("purchase",)
    assert stage.connected == [(f"sqlite:///{tmp_path}/shop.sqlite", pytest.approx(0.72))]  # a tenth is left to say so
    assert stage.until == [pytest.approx(100.72)]
    assert closed == {"closed": True}
    assert answers[0]["ms"] == 0.0


def test_without_a_budget_there_is_no_deadline_but_a_limit_for_the_database(stage: Stage, tmp_path: Path) -> None:
    run(b'{"user_id": 7}', tmp_path=tmp_path)

    assert stage.told[0]["deadline"] is None
    assert stage.connected[0][1] == pytest.approx(service.DATABASE_TIMEOUT_S, abs=1)


@pytest.mark.parametrize(
    ("given", "threads"), [({}, None), ({"SCORING_THREADS": ""}, None), ({"SCORING_THREADS": "2"}, 2)]
)
def test_the_use_case_is_told_how_many_models_may_score_at_once(
    stage: Stage, tmp_path: Path, given: Mapping[str, str], threads: int | None
) -> None:
    run(b'{"user_id": 7}', tmp_path=tmp_path, environ={"DATABASE_URL": "sqlite:///shop.sqlite", **given})

    assert stage.told[0]["threads"] == threads


@pytest.mark.parametrize("text", ["0", "-1", "65", "1.5", "two", "٢", "1" * 5000])
def test_a_number_of_threads_that_cannot_be_is_refused(stage: Stage, tmp_path: Path, text: str) -> None:
    environ = {"DATABASE_URL": "sqlite:///shop.sqlite", "SCORING_THREADS": text}

    status, answers = run(b'{"user_id": 7}', tmp_path=tmp_path, environ=environ)

    assert (status, code(answers[0])) == (78, "settings")
    assert answers[0]["error"]["message"].startswith(
        "SCORING_THREADS should be a whole number from 1 to 64. Received: "
    )


def test_a_budget_that_opening_the_version_has_used_up_is_a_deadline(
    stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    at(monkeypatch, iter((100.0, 100.1, 100.2, 100.9)).__next__)

    status, answers = run(b'{"user_id": 7, "budget_ms": 800}', tmp_path=tmp_path)

    assert (status, code(answers[0]), answers[0]["error"]["retryable"]) == (75, "deadline", True)
    assert stage.connected == []


def test_a_budget_that_starting_has_used_up_opens_nothing(
    stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    at(monkeypatch, iter((100.0, 100.8)).__next__)

    status, answers = run(b'{"user_id": 7, "budget_ms": 800}', tmp_path=tmp_path)

    assert (status, code(answers[0]), stage.opened) == (75, "deadline", 0)


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
    stage: Stage, tmp_path: Path, error: BaseException, expected: tuple[int, str]
) -> None:
    stage.answering = lambda request: error

    status, answers = run(b'{"user_id": 7, "id": 3}', tmp_path=tmp_path)

    assert (status, code(answers[0])) == expected
    assert answers[0]["id"] == 3
    assert "secret" not in json.dumps(answers)


def test_the_traceback_of_a_defect_goes_to_stderr(
    stage: Stage, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stage.answering = lambda request: KeyError("secret")

    run(b'{"user_id": 7}', tmp_path=tmp_path)

    assert "KeyError: 'secret'" in capsys.readouterr().err


def test_a_foreseen_failure_leaves_stderr_alone(
    stage: Stage, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(b'{"user_id": 7, "limit": 0}', tmp_path=tmp_path)

    assert capsys.readouterr().err == ""


def test_a_score_that_is_not_finite_is_a_failure_and_no_answer(stage: Stage, tmp_path: Path) -> None:
    stage.score = float("nan")

    status, answers = run(b'{"user_id": 7}', tmp_path=tmp_path)

    assert (status, [code(answer) for answer in answers]) == (70, ["internal"])


def test_the_request_is_judged_first_then_the_settings_then_the_model_then_the_database(
    stage: Stage, tmp_path: Path
) -> None:
    stage.loading, stage.connecting = NoModel("None."), DatabaseUnavailable("Gone.")

    assert code(run(b"{", tmp_path=tmp_path, environ={})[1][0]) == "invalid_json"
    assert code(run(b'{"user_id": 7}', tmp_path=tmp_path, environ={})[1][0]) == "settings"
    assert code(run(b'{"user_id": 7}', tmp_path=tmp_path)[1][0]) == "no_model"
    assert stage.connected == []
    stage.loading = None
    assert code(run(b'{"user_id": 7}', tmp_path=tmp_path)[1][0]) == "database_unavailable"


@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_help_is_printed_and_nothing_is_read_or_opened(stage: Stage, tmp_path: Path, flag: str) -> None:
    lines: list[bytes] = []
    assert entry_point.run([flag], io.BytesIO(b'{"user_id": 7}'), lines.append, {}, root=tmp_path) == 0
    assert [line.startswith(b"usage: recommend_api.py") for line in lines] == [True]
    assert stage.opened == 0


@pytest.mark.parametrize(
    "argv", [["--help", "--worker"], ["--worker", "--worker"], ["recommend"], ["-x" * 1000, "\udce9\x1b"]]
)
def test_a_wrong_command_line_is_refused_before_anything_is_read(stage: Stage, tmp_path: Path, argv: list[str]) -> None:
    status, answers = run(b'{"user_id": 7}', *argv, tmp_path=tmp_path)

    assert (status, code(answers[0])) == (64, "usage")
    assert len(answers[0]["error"]["message"]) < 200
    assert stage.opened == 0


def test_a_ping_is_for_workers_only(stage: Stage, tmp_path: Path) -> None:
    status, answers = run(b'{"op": "ping"}', tmp_path=tmp_path)

    assert (status, code(answers[0]), answers[0]["error"]["field"]) == (65, "invalid_request", "op")


READY = {
    "ready": True,
    "protocol": 1,
    "version": VERSION,
    "limits": {"bytes": 1_048_576, "depth": 32, "list": 10_000, "limit": 100},
    "pid": os.getpid(),
}


def test_a_worker_says_ready_and_leaves_with_the_input(stage: Stage, tmp_path: Path) -> None:
    assert run(b"", "--worker", tmp_path=tmp_path) == (0, [READY])


def test_a_worker_answers_every_line_in_order_and_opens_the_version_once(stage: Stage, tmp_path: Path) -> None:
    data = b'{"user_id": 1, "id": "a"}\n{"op": "ping", "id": "b"}\r\n{"user_id": 2, "id": "c"}\n'

    status, answers = run(data, "--worker", tmp_path=tmp_path)

    assert status == 0
    assert [answer.get("id") for answer in answers] == [None, "a", "b", "c"]
    assert answers[2] == {"ok": True, "protocol": 1, "version": VERSION, "pid": os.getpid(), "id": "b"}
    assert stage.opened == 1


def test_a_worker_tells_how_it_has_fared(stage: Stage, tmp_path: Path) -> None:
    lines = [
        b'{"user_id": 1}',
        b"{",
        b'{"user_id": 1, "limit": 0}',
        b"[]",
        b'{"op": "stats", "id": 9}',
        b'{"op": "stats"}',
    ]

    _, answers = run(b"\n".join(lines), "--worker", tmp_path=tmp_path)

    told = answers[5]
    assert told.pop("uptime_s") >= 0
    assert told.pop("rss_bytes") > 10_000_000
    assert told == {
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


def test_a_worker_connects_before_it_is_ready_and_once(stage: Stage, tmp_path: Path) -> None:
    run(b'{"user_id": 1}\n{"user_id": 2}\n', "--worker", tmp_path=tmp_path)

    assert len(stage.connected) == 1
    assert [told for told in stage.told if "closed" in told] == [{"closed": True}]


def test_a_worker_starts_where_the_database_is_down(stage: Stage, tmp_path: Path) -> None:
    stage.connecting = DatabaseUnavailable("Gone.")

    status, answers = run(b'{"user_id": 1}\n', "--worker", tmp_path=tmp_path)

    assert (status, answers[0]["ready"], code(answers[1])) == (0, True, "database_unavailable")
    assert stage.connected[0][1] == pytest.approx(worker_module.FIRST_CONNECT_S, abs=0.5)


def test_a_worker_looks_for_another_version_when_it_is_told_to(stage: Stage, tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    current = tmp_path / "models" / "CURRENT"
    current.write_text(VERSION, encoding="ascii")
    told = {"ok": True, "protocol": 1, "version": VERSION, "pid": os.getpid(), "id": 1}

    assert run(b'{"op": "reload", "id": 1}', "--worker", tmp_path=tmp_path)[1][1] == told
    current.unlink()
    _, answers = run(b'{"op": "reload", "id": 1}\n{"op": "stats"}\n{"user_id": 7}', "--worker", tmp_path=tmp_path)

    assert (code(answers[1]), answers[1]["id"]) == ("no_model", 1)
    assert answers[2]["refused"] == {"version": None, "code": "no_model", "message": answers[1]["error"]["message"]}
    assert answers[3]["model_version"] == VERSION


@pytest.mark.parametrize(("given", "left"), [("", 0.8), (', "budget_ms": 300', 0.3), (', "budget_ms": 5000', 0.8)])
def test_after_the_end_of_its_input_a_worker_has_800_ms_for_an_answer(
    stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: str, left: float
) -> None:
    at(monkeypatch, lambda: 100.0)
    monkeypatch.setattr(worker_module, "time", service.time)
    watchdog = deadlines.Watchdog()
    watchdog.end()
    environ = {"DATABASE_URL": "sqlite:///shop.sqlite"}

    entry_point.run(
        ["--worker"],
        io.BytesIO(b'{"user_id": 7%s}' % given.encode()),
        stage.sent.append,
        environ,
        root=tmp_path,
        watchdog=watchdog,
    )

    assert stage.told[0]["deadline"] == pytest.approx(100.0 + left)
    assert stage.until[-1] == pytest.approx(100.0 + 0.9 * left)


def test_a_reload_has_no_budget_but_for_the_end_of_the_input(
    stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits: list[float | None] = []
    monkeypatch.setattr(deadlines.Watchdog, "limit", lambda watchdog, deadline: limits.append(deadline))

    run(b'{"op": "reload", "budget_ms": 600000}\n{"op": "ping", "budget_ms": 600000}\n', "--worker", tmp_path=tmp_path)

    of_reload, after_it, of_ping, after_that = limits  # whoever reads an answer takes the time that it takes
    assert (of_reload, after_it, after_that) == (None, None, None)
    assert of_ping is not None


def test_a_worker_answers_errors_in_their_place_and_goes_on(stage: Stage, tmp_path: Path) -> None:
    stage.answering = lambda request: {
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
def test_a_worker_refuses_a_line_that_is_too_long_and_reads_the_next_one(
    stage: Stage, tmp_path: Path, excess: int
) -> None:
    too_long = b'{"user_id": 7}'.ljust(MAX_BYTES - 1 + excess) + b"\n"
    longest = b'{"user_id": 7}'.ljust(MAX_BYTES - 1) + b"\n"

    _, answers = run(too_long + longest + b'{"user_id": 8}\n', "--worker", tmp_path=tmp_path)

    assert [code(answer) for answer in answers[1:]] == ["too_large", None, None]


def test_a_worker_refuses_a_line_that_is_too_long_at_the_end_of_the_input(stage: Stage, tmp_path: Path) -> None:
    _, answers = run(b" " * (2 * MAX_BYTES), "--worker", tmp_path=tmp_path)

    assert [code(answer) for answer in answers[1:]] == ["too_large"]


def test_a_last_line_without_its_end_is_answered(stage: Stage, tmp_path: Path) -> None:
    _, answers = run(b'{"user_id": 7}\n{"user_id": 8}', "--worker", tmp_path=tmp_path)

    assert [answer["user_id"] for answer in answers[1:]] == [7, 8]


@pytest.mark.parametrize(
    ("error", "status"), [(NoModel("None."), 78), (ModelRefused("Damaged."), 77), (KeyError(), 70)], ids=repr
)
def test_a_worker_that_cannot_start_says_why_instead_of_ready(
    stage: Stage, tmp_path: Path, error: BaseException, status: int
) -> None:
    stage.loading = error

    left, answers = run(b'{"user_id": 7}\n', "--worker", tmp_path=tmp_path)

    assert left == status
    assert [answer["ok"] for answer in answers] == [False]


# From here on real processes: a copy of the doors and the package, with a use case that misbehaves on cue.


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the door and the package, where no developer's `.env` lies."""
    return install_misbehaving(tmp_path_factory.mktemp("installed"))


@pytest.fixture
def shop() -> Mapping[str, str]:
    return {"DATABASE_URL": "sqlite:///shop.sqlite"}


def test_a_process_answers_and_leaves_with_zero(installed: Path, shop: Mapping[str, str]) -> None:
    done = ask(installed, '{"user_id": "caf\u00e9"}'.encode(), env=shop)

    assert done.returncode == 0
    assert answer(done)["user_id"] == "caf\u00e9"


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
def test_bad_input_leaves_with_65_and_a_quiet_stderr(installed: Path, data: bytes, expected: str) -> None:
    done = ask(installed, data, env={})

    assert (done.returncode, code(answer(done)), done.stderr) == (65, expected, b"")


def test_a_wrong_flag_leaves_with_64(installed: Path) -> None:
    done = ask(installed, b"", "--serve", env={})

    assert (done.returncode, code(answer(done))) == (64, "usage")


def test_nothing_set_at_all_leaves_with_78(installed: Path) -> None:
    done = ask(installed, b'{"user_id": 7}', env={})

    assert (done.returncode, code(answer(done))) == (78, "settings")


@pytest.mark.parametrize("argv", [(), ("--worker",)], ids=["one-shot", "worker"])
def test_no_published_version_leaves_with_78(installed: Path, shop: Mapping[str, str], argv: tuple[str, ...]) -> None:
    done = ask(installed, b'{"user_id": 7}', *argv, env={**shop, "MODELS_DIR": str(installed / "empty")})

    assert (done.returncode, code(answer(done))) == (78, "no_model")


def test_a_dead_database_leaves_with_69(installed: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

    done = ask(installed, b'{"user_id": 7}', env={"DATABASE_URL": f"mysql+pymysql://root@127.0.0.1:{port}/shop"})

    assert (done.returncode, code(answer(done))) == (69, "database_unavailable")


def test_whatever_libraries_write_to_stdout_lands_on_stderr(installed: Path, shop: Mapping[str, str]) -> None:
    done = ask(installed, b'{"user_id": "print"}', env={**shop, "PATH": os.defpath})

    assert answer(done)["user_id"] == "print"
    for stray in (
        b"a banner at import",
        b"a stray line",
        b"another",
        b"from a library",
        b"from C",
        b"from a child",
        b"''",
    ):
        assert stray in done.stderr


def test_the_environment_of_the_interpreter_does_not_matter(
    installed: Path, shop: Mapping[str, str], tmp_path: Path
) -> None:
    awkward = {**shop, "PYTHONIOENCODING": "ascii", "LC_ALL": "POSIX", "PYTHONPATH": "/nowhere", "PATH": os.defpath}
    (tmp_path / "json.py").write_text("raise SystemExit('not this one')", encoding="utf-8")

    for flags in ((), ("-I",), ("-X", "utf8=0")):
        done = ask(installed, '{"user_id": "print", "id": "\u00e9"}'.encode(), env=awkward, flags=flags, cwd=tmp_path)

        assert (done.returncode, answer(done)["id"]) == (0, "\u00e9")
        assert b"caf" in done.stderr


def test_the_door_works_through_a_symbolic_link(installed: Path, shop: Mapping[str, str], tmp_path: Path) -> None:
    (tmp_path / "recommend_api.py").symlink_to(installed / "recommend_api.py")

    assert answer(ask(tmp_path, b'{"user_id": 7}', env=shop, flags=("-I",)))["ok"] is True


def test_blas_keeps_to_one_thread_whatever_the_environment_says(installed: Path, shop: Mapping[str, str]) -> None:
    done = ask(installed, b'{"user_id": "threads"}', env={**shop, "OPENBLAS_NUM_THREADS": "8"})

    assert done.stderr.split(b"\n")[-1] == b"1"


@pytest.mark.parametrize(("user", "expected"), [("exit", (70, "internal")), ("memory", (75, "overloaded"))])
def test_what_would_end_a_process_silently_is_answered(
    installed: Path, shop: Mapping[str, str], user: str, expected: tuple[int, str]
) -> None:
    done = ask(installed, json.dumps({"user_id": user}).encode(), env=shop)

    assert (done.returncode, code(answer(done))) == expected


def test_the_watchdog_ends_a_process_that_c_code_holds(installed: Path, shop: Mapping[str, str]) -> None:
    done = ask(installed, b'{"user_id": "holding", "budget_ms": 1500}', env=shop)

    assert (done.returncode, done.stdout) == (1, b"")
    assert done.stderr.removeprefix(b"a banner at import\nbusy\n").startswith(b"Timeout (")


def test_a_packages_absence_is_named(installed: Path, shop: Mapping[str, str], tmp_path: Path) -> None:
    shutil.copytree(installed, tmp_path / "broken")
    (tmp_path / "broken" / "recsys" / "recommending" / "recommend.py").write_text(
        "import no_such_package", encoding="utf-8"
    )

    done = ask(tmp_path / "broken", b'{"user_id": 7}', env=shop)

    assert (done.returncode, code(answer(done))) == (78, "settings")
    assert "no_such_package" in answer(done)["error"]["message"]


def test_a_defect_at_import_is_one_failure(installed: Path, shop: Mapping[str, str], tmp_path: Path) -> None:
    shutil.copytree(installed, tmp_path / "broken")
    (tmp_path / "broken" / "recsys" / "recommending" / "recommend.py").write_text("this is no Python", encoding="utf-8")

    done = ask(tmp_path / "broken", b'{"user_id": 7}', env=shop)

    assert (done.returncode, code(answer(done))) == (70, "internal")
    assert b"SyntaxError" in done.stderr


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


def test_a_worker_answers_each_line_at_once_and_leaves_when_stdin_closes(worker: subprocess.Popen[bytes]) -> None:
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
def test_a_worker_leaves_by_the_signal_that_asks_it_to(worker: subprocess.Popen[bytes], number: signal.Signals) -> None:
    assert worker.stdout is not None
    worker.stdout.readline()
    worker.send_signal(number)

    assert worker.wait(timeout=30) == -number


@pytest.fixture
def deaf() -> Iterator[int]:
    """Return the writing end of a pipe that nobody reads."""
    reading, writing = os.pipe()
    os.close(reading)
    yield writing
    os.close(writing)


def test_a_defect_is_answered_even_if_nobody_reads_its_traceback(
    installed: Path, shop: Mapping[str, str], deaf: int
) -> None:
    done = ask(installed, b'{"user_id": 7}', env=shop, stderr=deaf)

    assert (done.returncode, code(answer(done))) == (70, "internal")  # the banner at import could not be printed


def test_a_reader_that_has_left_is_exit_74_and_no_word(installed: Path, shop: Mapping[str, str], deaf: int) -> None:
    done = ask(installed, b'{"user_id": "large"}', env=shop, stdout=deaf)

    assert (done.returncode, done.stderr) == (74, b"a banner at import\n")


def test_a_full_disk_behind_stdout_is_exit_74_with_a_word(installed: Path, shop: Mapping[str, str]) -> None:
    with open("/dev/full", "wb") as full:
        done = ask(installed, b'{"user_id": 7}', env=shop, stdout=full)

    assert done.returncode == 74
    assert b"No space left" in done.stderr


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
    done = subprocess.run(shell, env=shop, input=b'{"user_id": "print"}', capture_output=True, timeout=60, check=False)

    assert done.returncode == status, done.stderr
    if status != 74:
        assert code(answer(done)) == expected
