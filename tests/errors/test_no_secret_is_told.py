"""Every secret contains a marker; no failure prints, answers or writes it."""

from __future__ import annotations

import ast
import importlib
import io
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

import pymysql
import pytest

from recsys.bridge import main as entry_point
from recsys.errors import secrets
from recsys.errors.secrets import Secret, scrubbed
from recsys.store import connect
from recsys.store.drivers import mysql as mysql_driver
from recsys.store.migrations import migrate
from tests.helpers.databases import MYSQL, POSTGRESQL, reachable, run_on_mysql, run_on_postgresql
from tests.helpers.entry_points import ROOT, command, install
from tests.settings.test_database_url import REFUSED

MARK = "hUntEr2"
PASSWORD = f"{MARK} /'\"\\ä%?#"  # each library has its own way of writing some of these letters
ENCODED = quote(PASSWORD, safe="")
SECRETS = {"DB_PASSWORD": PASSWORD, "DB_PASS": f"{MARK}-2", "JWT_SECRET": f"{MARK}-3", "METRICS_TOKEN": f"{MARK}-4"}
GOOD = b'{"user_id": 7}'
CLOSED = 1  # a port without a listener

Surroundings = Callable[[Path], Mapping[str, str]]


# Surroundings: each function puts its fault into the folder and returns the environment


def url(text: str) -> Surroundings:
    return lambda folder: {"DATABASE_URL": text}


def variables(**extra: str) -> Surroundings:
    return lambda folder: {"DB_NAME": "shop", "DB_PASSWORD": PASSWORD, **extra}


def file(name: str, text: str | bytes, **extra: str) -> Surroundings:
    def make(folder: Path) -> Mapping[str, str]:
        (folder / name).write_bytes(text if isinstance(text, bytes) else text.encode())
        return {**SECRETS, "DATABASE_URL": f"mysql://root:{ENCODED}@127.0.0.1:{CLOSED}/shop", **extra}

    return make


def server(default: str, reach: Callable[[], None], rest: str) -> Surroundings:
    def make(folder: Path) -> Mapping[str, str]:
        reach()
        return {"DATABASE_URL": f"{default.partition('://')[0]}://{rest}".replace("HOST", default.rpartition("@")[2])}

    return make


def sqlite(*statements: str, versions: Mapping[str, str] | None = None) -> Surroundings:
    """Return surroundings with a shop of changed tables, and with files that are no versions."""

    def make(folder: Path) -> Mapping[str, str]:
        environ = {**SECRETS, "DATABASE_URL": f"sqlite:///{folder / 'shop.sqlite'}"}
        with connect(environ["DATABASE_URL"], create=True) as db:
            migrate(db)
            for statement in statements:
                db.execute(statement)
        for name, text in (versions or {}).items():
            (folder / "models" / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / "models" / name).write_text(text, encoding="utf-8")
        return environ

    return make


def mysql(rest: str) -> Surroundings:
    return server(MYSQL, lambda: reachable(run_on_mysql, MYSQL), rest)


def postgresql(rest: str) -> Surroundings:
    return server(POSTGRESQL, lambda: reachable(run_on_postgresql, POSTGRESQL), rest)


SURROUNDINGS: Mapping[str, Surroundings] = {
    **{f"{name}: mysql": url(f"mysql://{rest.replace('M', MARK)}") for name, (rest, _) in REFUSED.items()},
    **{f"{name}: postgresql": url(f"postgresql://{rest.replace('M', MARK)}") for name, (rest, _) in REFUSED.items()},
    "no scheme": url(f"root:{MARK}@127.0.0.1/db"),
    "nothing but a password": url(MARK),
    "an unknown scheme": url(f"oracle://root:{MARK}@127.0.0.1/db"),
    "a scheme of SQLite with a server": url(f"sqlite://root:{MARK}@127.0.0.1/db"),
    "no listener: mysql": url(f"mysql://root:{ENCODED}@127.0.0.1:{CLOSED}/db"),
    "no listener: postgresql": url(f"postgresql://root:{ENCODED}@127.0.0.1:{CLOSED}/db"),
    "no listener, not encoded": url(f"mysql://root:{MARK}@ {MARK}@127.0.0.1:{CLOSED}/db"),
    "no listener, by variables": variables(DB_PORT=f"{CLOSED}"),
    "no such socket": url(f"mysql://root:{ENCODED}@h/db?unix_socket=/no/such"),
    "no such certificate": url(f"mysql://root:{ENCODED}@127.0.0.1:{CLOSED}/db?ssl_ca=/no/such"),
    "an option that the driver lacks: mysql": url(f"mysql://root:{ENCODED}@127.0.0.1:{CLOSED}/db?password={MARK}"),
    "an option that the driver lacks: postgresql": url(f"postgresql://root:{ENCODED}@127.0.0.1:{CLOSED}/db?passwort={MARK}"),
    "a password among the options": url(f"postgresql://root@127.0.0.1:{CLOSED}/db?password={ENCODED}&sslmode={ENCODED}"),
    "a wrong option": url(f"postgresql://root:{MARK}@127.0.0.1:{CLOSED}/db?sslmode={MARK}&port={MARK}"),
    "a wrong password: mysql": mysql(f"nobody:{ENCODED}@HOST/mysql"),
    "no such database: mysql": mysql(f"nobody:{ENCODED}@HOST/no_such"),
    "no such account: postgresql": postgresql(f"nobody:{ENCODED}@HOST/no_such"),
    "a port of letters": variables(DB_PORT=MARK),
    "a host that is a URL": variables(DB_HOST=f"mysql://root:{MARK}@h"),
    "a password of bytes": variables(DB_PASSWORD=f"{MARK}\udce4"),
    "a name of bytes": variables(DB_NAME="\udce4"),
    "a wrong number of threads": file("none", "", SCORING_THREADS="0"),
    "a password for a number": file("none", "", SCORING_THREADS=MARK),
    "a missing mapping": file("none", "", RECSYS_TOML="no_such.toml"),
    "bad TOML": file("recsys.toml", f'[shop\npassword = "{MARK}"'),
    "TOML of a password": file("recsys.toml", f'[database]\npassword = "{MARK}"'),
    "a URL in TOML": file("recsys.toml", f'[shop]\nrepeat = "mysql://root:{MARK}@h/db"'),
    "TOML in Latin-1": file("recsys.toml", f"# {MARK}ä".encode("latin-1")),
    ".env in Latin-1": file(".env", f"DB_PASSWORD={MARK}ä".encode("latin-1")),
    ".env of no assignments": file(".env", f"{MARK}: {MARK}\n'{MARK}\n={MARK}\n"),
    ".env with a bad URL": file(".env", f"DATABASE_URL='mysql://root:{MARK}/x@h:3306/db'\n", DATABASE_URL=""),
    "no tables": sqlite("DROP TABLE Interactions", "DROP TABLE Products"),
    "too little data": sqlite(),
    "CURRENT names nothing": sqlite(versions={"CURRENT": "20260101T000000Z-00000000"}),
    "CURRENT names a path": sqlite(versions={"CURRENT": "../elsewhere"}),
    "a damaged version": sqlite(
        versions={"CURRENT": "20260101T000000Z-00000000", "20260101T000000Z-00000000/manifest.json": "{"}
    ),
}  # fmt: skip


# Entry points: each fails in some surroundings and returns its answer


def one_shot(folder: Path, data: bytes = GOOD) -> str:
    return bridge(folder, data)


def worker(folder: Path) -> str:
    return bridge(folder, GOOD, "--worker")


def bridge(folder: Path, data: bytes, *argv: str) -> str:
    lines: list[bytes] = []
    entry_point.run(argv, io.BytesIO(data), lines.append, os.environ, root=folder)
    return b"".join(lines).decode()


def train(folder: Path) -> str:
    return script("train", folder, "--dry-run", "--epochs", "1")


def migrate_encoders(folder: Path) -> str:
    return script("scripts.migrate_encoders", folder)


def import_events(folder: Path) -> str:
    (folder / "events.csv").write_text("user,item,at\n1,2,yesterday\n", encoding="utf-8")
    return script(
        "scripts.import_events", folder, f"{folder}/events.csv", "--user", "user", "--item", "item", "--timestamp", "at"
    )


def make_shop(folder: Path) -> str:
    return script("scripts.make_shop", folder, "--keep", "--customers", "3", "--products", "40", "--days", "9")


def script(name: str, folder: Path, *argv: str) -> str:
    """Run a script's `main` as its process would, including the end by an exception."""
    module = importlib.import_module(name)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "ROOT", folder)
        try:
            module.main(list(argv))
        except SystemExit:
            return ""
        except Exception:
            secrets._guard_tracebacks()
            sys.excepthook(*sys.exc_info())  # type: ignore[arg-type]
    return ""


ENTRY_POINTS = (one_shot, worker, train, migrate_encoders, import_events, make_shop)
each_entry_point = pytest.mark.parametrize("run_entry_point", ENTRY_POINTS)


@pytest.fixture(autouse=True)
def process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Imitate a new process: no settings, and Python's own hooks for tracebacks."""
    for name in ("DATABASE_URL", "MODELS_DIR", "RECSYS_TOML", *(name for name in os.environ if name.startswith("DB_"))):
        monkeypatch.delenv(name, raising=False)
    for hook in ("excepthook", "unraisablehook"):
        monkeypatch.setattr(sys, hook, getattr(sys, f"__{hook}__"))
    monkeypatch.setattr(threading, "excepthook", threading.__excepthook__)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.chdir(tmp_path)
    return


@pytest.fixture
def clean(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[[str], str]:
    """Return a function that searches answer, output and files for the marker, and returns answer and output."""
    return lambda answered: without_mark(answered + "".join(capsys.readouterr()), tmp_path)


def without_mark(output: str, folder: Path) -> str:
    files = [
        path
        for path in folder.rglob("*")
        if path.is_file() and path.name not in {".env", "recsys.toml", "shop.sqlite", "none"}
    ]
    for text in (output, *(path.read_bytes().decode(errors="replace") for path in files)):
        assert MARK.lower() not in "".join(text.split()).lower()
    return output


@pytest.mark.parametrize("surroundings", SURROUNDINGS.values(), ids=SURROUNDINGS)
@each_entry_point
def test_no_failure_shows_a_secret(
    run_entry_point: Callable[[Path], str],
    surroundings: Surroundings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    clean: Callable[[str], str],
) -> None:
    for name, value in surroundings(tmp_path).items():
        monkeypatch.setenv(name, value)

    assert clean(run_entry_point(tmp_path)) != ""


def test_there_are_more_than_a_hundred_failures() -> None:
    assert len(SURROUNDINGS) * len(ENTRY_POINTS) > 100


# Errors raised by libraries

TEXTS: Mapping[str, Callable[[str], str]] = {
    "as it is": str,
    "quoted": repr,
    "in ASCII": ascii,
    "in bytes": lambda text: repr(text.encode()),
    "in JSON": json.dumps,
    "percent-encoded": lambda text: quote(text, safe=""),
    "percent-encoded but for slashes": quote,
    "in a form": quote_plus,
    "quoted twice": lambda text: repr(json.dumps(text)),
    "percent-encoded twice": lambda text: quote(quote(text, safe="")),
    "in lower case": lambda text: (
        quote(text, safe="").replace("%2F", "%2f").replace("%3F", "%3f").replace("%C3%A4", "%c3%a4")
    ),
    "in a URL": lambda text: f"mysql://root:{quote(text, safe='')}@127.0.0.1/db",
}
KINDS: tuple[Callable[[str], BaseException], ...] = (
    lambda text: pymysql.err.OperationalError(1045, f"Access denied ({text})"),
    lambda text: pymysql.err.ProgrammingError(1064, f"Near {text}"),
    lambda text: OSError(text),
    lambda text: ValueError(text),
    lambda text: RuntimeError(text),
    lambda text: KeyError(text),
    lambda text: MemoryError(text),
    lambda text: ImportError(text),
)


@pytest.mark.parametrize("written", TEXTS.values(), ids=TEXTS)
@pytest.mark.parametrize("run_entry_point", [migrate_encoders, import_events, make_shop, train])
def test_errors_of_libraries_are_printed_without_the_secret(
    run_entry_point: Callable[[Path], str],
    written: Callable[[str], str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    clean: Callable[[str], str],
) -> None:
    monkeypatch.setenv("DATABASE_URL", f"mysql://root:{ENCODED}@127.0.0.1:{CLOSED}/db")
    monkeypatch.setattr("scripts.migrate_encoders._write_version", lambda url, *_: connect(url))  # without a version
    output = ""
    for kind in KINDS:
        monkeypatch.setattr(mysql_driver, "PunctualConnection", raising(kind(f"<{written(PASSWORD)}>")))
        output += clean(run_entry_point(tmp_path))

    assert output.count("***") >= len(KINDS) - 1  # a MemoryError may have our own message


@pytest.mark.parametrize("written", TEXTS.values(), ids=TEXTS)
def test_a_defect_while_serving_is_printed_without_the_secret(
    written: Callable[[str], str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, clean: Callable[[str], str]
) -> None:
    monkeypatch.setenv("DATABASE_URL", f"mysql://root:{ENCODED}@127.0.0.1:{CLOSED}/db")
    for kind in KINDS:
        monkeypatch.setattr("recsys.recommending.loading.load", raising(kind(f"<{written(PASSWORD)}>")))
        output = clean(one_shot(tmp_path))

        assert "***" in output or isinstance(kind(""), MemoryError)


def raising(error: BaseException) -> Callable[..., None]:
    def fail(*_: Any, **__: Any) -> None:
        raise error

    return fail


@pytest.mark.parametrize(
    "data",
    [
        b"{",
        b'{"user_id": [1]}',
        b"x" * 2**21,
        b'{"user_id": 1, "models": 1}',
        b'{"user_id": "mysql://root:hUntEr2@h/db", "x": 1}',
    ],
)
def test_a_wrong_request_is_answered_without_a_secret(
    data: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clean: Callable[[str], str]
) -> None:
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)

    assert json.loads(clean(one_shot(tmp_path, data)))["error"]["code"] in {
        "invalid_json",
        "invalid_request",
        "too_large",
    }


@pytest.mark.parametrize("guess", [MARK, PASSWORD])
def test_a_password_guessed_in_a_request_is_not_confirmed(
    guess: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def answer() -> str:
        return one_shot(tmp_path, json.dumps({"user_id": 1, "model": guess}).encode())

    before = answer()
    Secret(guess)

    assert answer() == before
    assert MARK in before


@pytest.mark.parametrize(
    ("program", "flags"),
    [
        ("scripts.import_events", ["--databse-url"]),
        ("scripts.make_shop", ["--databse-url"]),
        ("scripts.migrate_encoders", ["--database-url"]),
    ],
)
def test_a_wrong_command_line_is_reported_without_the_account_of_a_url(
    program: str, flags: list[str], tmp_path: Path, clean: Callable[[str], str]
) -> None:
    script(program, tmp_path, "x", *flags, f"mysql://root:{MARK}@h/db")

    clean(bridge(tmp_path, b"", f"--database-url=mysql://root:{MARK}@h/db"))


def test_a_url_in_place_of_a_file_is_reported_without_its_account(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clean: Callable[[str], str]
) -> None:
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{tmp_path / 'shop.sqlite'}")
    columns = ("--user", "user", "--item", "item", "--timestamp", "at", "--event-name", "view")

    assert "no such file" in clean(script("scripts.import_events", tmp_path, f"mysql://root:{MARK}@h/db", *columns))


# Tracebacks that Python prints, in real processes

ENDS = {
    "the process": "raise RuntimeError(password)",
    "a thread": "import threading; thread = threading.Thread(target=fail); thread.start(); thread.join()",
    "a finaliser": "Gone()",
    "a cause": "try:\n    fail()\nexcept ValueError as error:\n    raise KeyError('x') from error",
}


@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS)
def test_an_uncaught_exception_is_printed_without_the_secret(end: str, tmp_path: Path) -> None:
    code = f"""
import sys
from pathlib import Path
from recsys.settings import load_settings
settings = load_settings({{"DATABASE_URL": {f"mysql://root:{ENCODED}@h/db"!r}}}, Path({str(tmp_path)!r}))
password = settings.database_url.password.reveal()
def fail():
    raise ValueError(password)
class Gone:
    def __del__(self):
        fail()
{end}
"""
    completed = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )

    assert "***" in without_mark(completed.stdout + completed.stderr, tmp_path)
    assert "Traceback (most recent call last):" in completed.stderr


@pytest.mark.parametrize(
    "rest", ["root:hUntEr2/x@127.0.0.1:3306/db", "root:hun#hUntEr2@127.0.0.1:3306/db", "root:p[hUntEr2]@127.0.0.1/db"]
)
def test_a_real_process_shows_no_password(rest: str, tmp_path: Path) -> None:
    folder = install(tmp_path)
    for argv in ((), ("--worker",)):
        environ = {"DATABASE_URL": f"mysql+pymysql://{rest}"}
        completed = subprocess.run(
            command(folder, *argv), input=GOOD, env=environ, capture_output=True, timeout=60, check=False
        )

        output = json.loads(without_mark(completed.stdout.decode() + completed.stderr.decode(), tmp_path))
        assert (completed.returncode, output["error"]["code"]) == (78, "settings")
        assert "percent-encoded" in output["error"]["message"]


# The mask itself


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a b abc ab", "a b abc ***"),
        ("(ab)", "(***)"),
        ("abc-ab", "abc-***"),
        ("secrets and secret words", "***s and *** words"),
        ("nothing", "nothing"),
    ],
)
def test_a_short_secret_is_masked_as_a_whole_word_only(text: str, expected: str) -> None:
    Secret("ab")
    Secret("secret")

    assert scrubbed(text) == expected


def test_a_secret_that_begins_another_leaves_no_part_of_it() -> None:
    Secret("longer-secret")
    Secret("longer-secret-still")

    assert scrubbed("longer-secret-still longer-secret") == "*** ***"


def test_hooks_of_other_programs_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "excepthook", print)

    Secret("one that is new")

    assert sys.excepthook is print


def test_every_traceback_is_masked() -> None:
    masking = {"recsys/errors/secrets.py", "recsys/bridge/error_boundary.py"}
    masking |= {"recsys/training/hooks.py"}  # it takes line numbers alone
    paths = [
        ROOT / "train.py",
        ROOT / "recommend_api.py",
        *(ROOT / "recsys").rglob("*.py"),
        *(ROOT / "scripts").rglob("*.py"),
    ]
    importers = {str(path.relative_to(ROOT)) for path in paths if "traceback" in imported(path)}

    assert importers <= masking


def imported(path: Path) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {
        alias.name for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom) for alias in node.names
    }
