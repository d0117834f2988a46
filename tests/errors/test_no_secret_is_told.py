"""A marker stands in every secret; whatever fails, and whoever says so, nothing that is printed, answered or written holds it."""

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
from recsys.store.migrations import migrate
from tests.helpers.databases import MYSQL, POSTGRESQL, reachable, run_on_mysql, run_on_postgresql
from tests.helpers.entry_points import ROOT, command, install
from tests.settings.test_database_url import REFUSED

MARK = "hUntEr2"
PASSWORD = f"{MARK} /'\"\\ä%?#"  # each library has its own way of writing some of these letters
ENCODED = quote(PASSWORD, safe="")
SECRETS = {"DB_PASSWORD": PASSWORD, "DB_PASS": f"{MARK}-2", "JWT_SECRET": f"{MARK}-3", "METRICS_TOKEN": f"{MARK}-4"}
GOOD = b'{"user_id": 7}'
CLOSED = 1  # a port that nobody listens at

World = Callable[[Path], Mapping[str, str]]


# Worlds: each returns the environment, after it has put its fault into the folder


def url(text: str) -> World:
    return lambda folder: {"DATABASE_URL": text}


def variables(**given: str) -> World:
    return lambda folder: {"DB_NAME": "shop", "DB_PASSWORD": PASSWORD, **given}


def file(name: str, text: str | bytes, **given: str) -> World:
    def make(folder: Path) -> Mapping[str, str]:
        (folder / name).write_bytes(text if isinstance(text, bytes) else text.encode())
        return {**SECRETS, "DATABASE_URL": f"mysql://root:{ENCODED}@127.0.0.1:{CLOSED}/shop", **given}

    return make


def server(default: str, reach: Callable[[], None], rest: str) -> World:
    def make(folder: Path) -> Mapping[str, str]:
        reach()
        return {"DATABASE_URL": f"{default.partition('://')[0]}://{rest}".replace("HOST", default.rpartition("@")[2])}

    return make


def sqlite(*statements: str, versions: Mapping[str, str] | None = None) -> World:
    """Return a world with a shop whose tables have been meddled with, and with files that are no versions."""

    def make(folder: Path) -> Mapping[str, str]:
        told = {**SECRETS, "DATABASE_URL": f"sqlite:///{folder / 'shop.sqlite'}"}
        with connect(told["DATABASE_URL"], create=True) as db:
            migrate(db)
            for statement in statements:
                db.execute(statement)
        for name, text in (versions or {}).items():
            (folder / "models" / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / "models" / name).write_text(text, encoding="utf-8")
        return told

    return make


def mysql(rest: str) -> World:
    return server(MYSQL, lambda: reachable(run_on_mysql, MYSQL), rest)


def postgresql(rest: str) -> World:
    return server(POSTGRESQL, lambda: reachable(run_on_postgresql, POSTGRESQL), rest)


WORLDS: Mapping[str, World] = {
    **{f"{name}: mysql": url(f"mysql://{rest.replace('M', MARK)}") for name, (rest, _) in REFUSED.items()},
    **{f"{name}: postgresql": url(f"postgresql://{rest.replace('M', MARK)}") for name, (rest, _) in REFUSED.items()},
    "no scheme": url(f"root:{MARK}@127.0.0.1/db"),
    "nothing but a password": url(MARK),
    "an unknown scheme": url(f"oracle://root:{MARK}@127.0.0.1/db"),
    "a scheme of SQLite with a server": url(f"sqlite://root:{MARK}@127.0.0.1/db"),
    "nobody listens: mysql": url(f"mysql://root:{ENCODED}@127.0.0.1:{CLOSED}/db"),
    "nobody listens: postgresql": url(f"postgresql://root:{ENCODED}@127.0.0.1:{CLOSED}/db"),
    "nobody listens, as it is written": url(f"mysql://root:{MARK}@ {MARK}@127.0.0.1:{CLOSED}/db"),
    "nobody listens, by variables": variables(DB_PORT=f"{CLOSED}"),
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
    "a damaged version": sqlite(versions={"CURRENT": "20260101T000000Z-00000000", "20260101T000000Z-00000000/manifest.json": "{"}),
}  # fmt: skip


# Doors: each fails in a world and returns what it has answered


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
    """Run a script's `main` as its process would, the end by an exception included."""
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


DOORS = (one_shot, worker, train, migrate_encoders, import_events, make_shop)
each_door = pytest.mark.parametrize("door", DOORS)


@pytest.fixture(autouse=True)
def process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A process of its own: nothing is set, and tracebacks are Python's until somebody says otherwise."""
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
    """Looks for the marker in what was answered, printed and written, and returns that."""
    return lambda answered: without_mark(answered + "".join(capsys.readouterr()), tmp_path)


def without_mark(told: str, folder: Path) -> str:
    made = [
        path
        for path in folder.rglob("*")
        if path.is_file() and path.name not in {".env", "recsys.toml", "shop.sqlite", "none"}
    ]
    for text in (told, *(path.read_bytes().decode(errors="replace") for path in made)):
        assert MARK.lower() not in "".join(text.split()).lower()
    return told


@pytest.mark.parametrize("world", WORLDS.values(), ids=WORLDS)
@each_door
def test_no_failure_tells_a_secret(
    door: Callable[[Path], str],
    world: World,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    clean: Callable[[str], str],
) -> None:
    for name, value in world(tmp_path).items():
        monkeypatch.setenv(name, value)

    assert clean(door(tmp_path)) != ""


def test_there_are_a_hundred_of_them() -> None:
    assert len(WORLDS) * len(DOORS) > 100


# Whichever library raises

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
@pytest.mark.parametrize("door", [migrate_encoders, import_events, make_shop, train])
def test_whatever_a_library_says_is_told_without_the_secret(
    door: Callable[[Path], str],
    written: Callable[[str], str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    clean: Callable[[str], str],
) -> None:
    monkeypatch.setenv("DATABASE_URL", f"mysql://root:{ENCODED}@127.0.0.1:{CLOSED}/db")
    monkeypatch.setattr("scripts.migrate_encoders._from_version", lambda *_: None)
    told = ""
    for kind in KINDS:
        monkeypatch.setattr(pymysql, "connect", raising(kind(f"<{written(PASSWORD)}>")))
        told += clean(door(tmp_path))

    assert told.count("***") >= len(KINDS) - 1  # a MemoryError may have words of ours


@pytest.mark.parametrize("written", TEXTS.values(), ids=TEXTS)
def test_a_defect_while_serving_is_told_without_the_secret(
    written: Callable[[str], str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, clean: Callable[[str], str]
) -> None:
    monkeypatch.setenv("DATABASE_URL", f"mysql://root:{ENCODED}@127.0.0.1:{CLOSED}/db")
    for kind in KINDS:
        monkeypatch.setattr("recsys.recommending.loading.load", raising(kind(f"<{written(PASSWORD)}>")))
        told = clean(one_shot(tmp_path))

        assert "***" in told or isinstance(kind(""), MemoryError)


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
def test_whoever_guesses_a_password_in_a_request_does_not_learn_that_it_is_one(
    guess: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def asked() -> str:
        return one_shot(tmp_path, json.dumps({"user_id": 1, "model": guess}).encode())

    told = asked()
    Secret(guess)

    assert asked() == told
    assert MARK in told


@pytest.mark.parametrize(
    ("door", "flags"),
    [
        ("scripts.import_events", ["--databse-url"]),
        ("scripts.make_shop", ["--databse-url"]),
        ("scripts.migrate_encoders", ["--database-url"]),
    ],
)
def test_a_wrong_command_line_is_told_without_the_account_of_a_url(
    door: str, flags: list[str], tmp_path: Path, clean: Callable[[str], str]
) -> None:
    script(door, tmp_path, "x", *flags, f"mysql://root:{MARK}@h/db")

    clean(bridge(tmp_path, b"", f"--database-url=mysql://root:{MARK}@h/db"))


# Whatever Python prints by itself, in real processes

ENDS = {
    "the process": "raise RuntimeError(password)",
    "a thread": "import threading; thread = threading.Thread(target=fail); thread.start(); thread.join()",
    "a finaliser": "Gone()",
    "a cause": "try:\n    fail()\nexcept ValueError as error:\n    raise KeyError('x') from error",
}


@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS)
def test_an_end_that_nobody_caught_is_told_without_the_secret(end: str, tmp_path: Path) -> None:
    code = f"""
import sys
from pathlib import Path
from recsys.settings import load_settings
password = load_settings({{"DATABASE_URL": {f"mysql://root:{ENCODED}@h/db"!r}}}, Path({str(tmp_path)!r})).database_url.password.reveal()
def fail():
    raise ValueError(password)
class Gone:
    def __del__(self):
        fail()
{end}
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )

    assert "***" in without_mark(done.stdout + done.stderr, tmp_path)
    assert "Traceback (most recent call last):" in done.stderr


@pytest.mark.parametrize(
    "rest", ["root:hUntEr2/x@127.0.0.1:3306/db", "root:hun#hUntEr2@127.0.0.1:3306/db", "root:p[hUntEr2]@127.0.0.1/db"]
)
def test_a_real_process_tells_no_password(rest: str, tmp_path: Path) -> None:
    folder = install(tmp_path)
    for argv in ((), ("--worker",)):
        environ = {"DATABASE_URL": f"mysql+pymysql://{rest}"}
        done = subprocess.run(
            command(folder, *argv), input=GOOD, env=environ, capture_output=True, timeout=60, check=False
        )

        told = json.loads(without_mark(done.stdout.decode() + done.stderr.decode(), tmp_path))
        assert (done.returncode, told["error"]["code"]) == (78, "settings")
        assert "percent-encoded" in told["error"]["message"]


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
def test_a_short_secret_is_masked_where_it_stands_alone(text: str, expected: str) -> None:
    Secret("ab")
    Secret("secret")

    assert scrubbed(text) == expected


def test_a_secret_that_begins_another_leaves_no_rest_of_it() -> None:
    Secret("longer-secret")
    Secret("longer-secret-still")

    assert scrubbed("longer-secret-still longer-secret") == "*** ***"


def test_the_hooks_of_others_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "excepthook", print)

    Secret("one that is new")

    assert sys.excepthook is print


def test_everything_that_writes_a_traceback_goes_through_the_mask() -> None:
    outside = {"recsys/errors/secrets.py", "recsys/bridge/error_boundary.py"}
    doors = [
        ROOT / "train.py",
        ROOT / "recommend_api.py",
        *(ROOT / "recsys").rglob("*.py"),
        *(ROOT / "scripts").rglob("*.py"),
    ]
    found = {str(path.relative_to(ROOT)) for path in doors if "traceback" in imported(path)}

    assert found <= outside


def imported(path: Path) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {
        alias.name for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom) for alias in node.names
    }
