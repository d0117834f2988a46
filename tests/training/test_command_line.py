"""The command line of train.py: the checks before TensorFlow is loaded, the options, and Ctrl-C."""

from __future__ import annotations

import importlib
import os
import re
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from recsys.artifacts import Draft, check_room
from recsys.settings import Training
from recsys.training.command_line import interrupt_again_where_swallowed
from tests.helpers.dying_disk import version_names
from tests.helpers.tiny_shop import NOW, fill

ROOT = Path(__file__).parents[2]


@pytest.fixture
def entry_point(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """train.py as a module, on a tiny shop, where the import of the training run fails."""
    for name in ("TF_CPP_MIN_LOG_LEVEL", "TF_ENABLE_ONEDNN_OPTS", "OPENBLAS_NUM_THREADS"):
        monkeypatch.setenv(name, "1")
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "unraisablehook", sys.unraisablehook)
    module = importlib.import_module("train")
    fill(f"sqlite:///{tmp_path / 'shop.sqlite'}")
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{tmp_path / 'shop.sqlite'}")
    monkeypatch.setenv("MODELS_DIR", str(tmp_path / "models"))
    monkeypatch.setenv("RECSYS_TOML", str(tmp_path / "recsys.toml"))
    (tmp_path / "recsys.toml").write_text("", encoding="utf-8")
    monkeypatch.setitem(sys.modules, "recsys.training.console", None)
    monkeypatch.setitem(sys.modules, "recsys.training.train", None)
    monkeypatch.setattr("recsys.artifacts.check_room", lambda models_dir: None)
    return module


def toml(text: str) -> Callable[[Path], None]:
    return lambda folder: (folder / "recsys.toml").write_text(text, encoding="utf-8") and None


def sql(*statements: str) -> Callable[[Path], None]:
    def run(folder: Path) -> None:
        with sqlite3.connect(folder / "shop.sqlite") as db:
            for statement in statements:
                db.execute(statement)

    return run


def a_file_for_models(folder: Path) -> None:
    (folder / "models").write_text("no folder", encoding="utf-8")


def damaged_history(folder: Path) -> None:
    (folder / "models").mkdir()
    (folder / "models" / "metrics.json").write_text("[", encoding="utf-8")


FOREIGN = "CREATE TABLE rec_context_meta (id INT, title TEXT)"
DROP_OWN_TABLES = (
    "DROP TABLE rec_schema_migrations",
    "DROP TABLE rec_context_meta",
    "DROP VIEW rec_context_meta_active",
)
FAILURES = {
    "an option": (lambda folder: None, ["--epochs", "0"], "`epochs` should be a whole number from 1"),
    "a key of recsys.toml": (toml("[shop]\nrepeat = 'never'"), [], "[shop] `repeat` should be"),
    "no database": (
        lambda folder: (folder / "shop.sqlite").unlink(),
        [],
        "The database of DATABASE_URL cannot be reached",
    ),
    "no table of events": (
        sql("DROP TABLE Comments"),
        [],
        "[[sources]] 2 (Comments), `since`, should fit the shop's tables",
    ),
    "no table of products": (sql("DROP TABLE Products"), [], "[products] (Products) should fit the shop's tables"),
    "a table of our name": (sql(*DROP_OWN_TABLES, FOREIGN), [], "`rec_context_meta` should be recsys' own"),
    "models/ is a file": (a_file_for_models, [], "MODELS_DIR should be a folder"),
    "a damaged metrics.json": (damaged_history, [], "metrics.json"),
}


@pytest.mark.parametrize(("damage", "argv", "message"), FAILURES.values(), ids=FAILURES)
def test_a_run_that_would_fail_later_ends_before_tensorflow_is_loaded(
    entry_point: Any,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    damage: Callable[[Path], None],
    argv: list[str],
    message: str,
):
    damage(tmp_path)
    assert entry_point.main(argv) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("Failed: ")
    assert message in printed.err


@pytest.mark.parametrize(
    ("said", "received"), [("no room for 2 TiB", "no room for 2 TiB"), ("", "no more from the system")]
)
def test_a_run_without_enough_memory_fails_in_one_line(
    entry_point: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], said: str, received: str
):
    def fail(*_: object, **__: object) -> None:
        raise MemoryError(said)

    monkeypatch.setattr("recsys.training.command_line.check_preconditions", fail)

    assert entry_point.main([]) == 1
    assert capsys.readouterr().err == (
        "Failed: Memory should suffice for the run; smaller `dim`, `factors`, `batch` and `window` need less. "
        f"Received: {received}.\n"
    )


def test_a_run_that_passes_every_check_imports_tensorflow(entry_point: Any):
    with pytest.raises(ImportError):
        entry_point.main([])


@pytest.mark.parametrize(
    "table", ["schema_migrations (version INT, dirty INT)", "recommendations (id INT, customer INT)"]
)
def test_a_shop_may_have_tables_of_names_that_training_can_do_without(entry_point: Any, tmp_path: Path, table: str):
    names = ("rec_schema_migrations", "rec_versions", "recommendations")
    encoders = ("rec_user_encoder", "rec_item_encoder", "rec_context_mapping", "rec_context_meta")
    sql(*(f"DROP TABLE {name}" for name in names), f"CREATE TABLE {table}")(tmp_path)
    sql(*(f"DROP TABLE {name}" for name in encoders))(tmp_path)
    with pytest.raises(ImportError):
        entry_point.main([])


def test_a_second_run_finds_the_lock_and_names_its_holder(
    entry_point: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    with Draft.create(tmp_path / "models", NOW):
        assert entry_point.main([]) == 1
    printed = capsys.readouterr().err
    holder = rf"it is held by process {os.getpid()} on \S+ since [-0-9]+ [:0-9]+ UTC, which trains"
    assert re.search(rf"\.lock should be free\. Received: {holder}", printed)


def test_a_disk_without_room_for_another_version_is_reported_with_sizes(
    entry_point: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr("recsys.artifacts.check_room", check_room)
    monkeypatch.setattr("shutil.disk_usage", lambda folder: SimpleNamespace(free=5 * 2**20))
    assert entry_point.main([]) == 1
    assert "should have room for one more version, 16 MiB. Received: 5 MiB free." in capsys.readouterr().err


def test_a_dry_run_checks_the_mapping_and_writes_nothing(entry_point: Any, tmp_path: Path):
    sql(*DROP_OWN_TABLES, FOREIGN)(tmp_path)  # a dry run does not use our tables
    before = (tmp_path / "shop.sqlite").read_bytes()
    with pytest.raises(ImportError):
        entry_point.main(["--dry-run"])
    assert (tmp_path / "shop.sqlite").read_bytes() == before
    assert not (tmp_path / "models").exists()
    sql("DROP TABLE Interactions")(tmp_path)
    assert entry_point.main(["--dry-run"]) == 1


def test_the_help_of_every_option_has_meaning_default_and_range(entry_point: Any, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit):
        entry_point.main(["--help"])
    help_text = " ".join(capsys.readouterr().out.split())
    for option in fields(Training):
        flag = re.escape(f"--{option.name.replace('_', '-')} {option.type} ")
        default = re.escape(str(option.default).lower())
        match = re.search(rf"{flag}(\S.+?) Default {default}; (above|from|one of) [^;]+?\.( -|$)", help_text)
        assert match, option.name
        assert len(match[1].split()) >= 4 and match[1].endswith("."), option.name


# Ctrl-C


def environ(folder: Path, **more: str) -> dict[str, str]:
    url = f"sqlite:///{folder / 'shop.sqlite'}"
    fill(url)
    return {
        "PATH": "/usr/bin:/bin",
        "HOME": "/nonexistent",
        "DATABASE_URL": url,
        "MODELS_DIR": str(folder / "models"),
        **more,
    }


LOCKS = {".lock", ".training.lock"}


def left_behind(folder: Path) -> list[str]:
    """Return the files in models/ except the locks, and the versions in the database."""
    models = folder / "models"
    files = [path.name for path in models.iterdir() if path.name not in LOCKS] if models.exists() else []
    with sqlite3.connect(folder / "shop.sqlite") as db:
        return [*files, *(name for (name,) in db.execute("SELECT name FROM rec_versions"))]


INTERRUPTING = """
import os, signal
try:
    os.kill(os.getpid(), signal.SIGINT)
    sum(range(1000))
except BaseException:
    pass
"""
INTERRUPTED = "Interrupted; nothing of an unfinished version is left.\n"


@pytest.mark.parametrize("package", ["argparse", "rich", "tensorflow"])
def test_an_interrupt_that_an_import_would_swallow_ends_in_one_line(tmp_path: Path, package: str):
    stubs = tmp_path / "stubs"
    stubs.mkdir()
    for name in (package, "keras") if package == "tensorflow" else (package,):
        (stubs / f"{name}.py").write_text(INTERRUPTING, encoding="utf-8")
    process = subprocess.run(
        [sys.executable, str(ROOT / "train.py")],
        env=environ(tmp_path, PYTHONPATH=str(stubs)),
        capture_output=True,
        encoding="utf-8",
        timeout=120,
        check=False,
    )
    assert (process.returncode, process.stdout, process.stderr) == (130, "", INTERRUPTED)
    assert set(left_behind(tmp_path)) <= {".training.json"}  # it names a dead owner, whose lock the next run takes over


class Swallowing:
    def __del__(self) -> None:
        raise KeyboardInterrupt


def print_and_go_on() -> None:
    """As TensorFlow does with an error in a comparison of types: PyErr_Print calls the hook."""
    sys.excepthook(KeyboardInterrupt, KeyboardInterrupt(), None)


@pytest.mark.parametrize("swallow", [Swallowing, print_and_go_on])
def test_an_interrupt_that_a_callback_swallows_is_repeated(
    swallow: Callable[[], object], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr(sys, "unraisablehook", sys.unraisablehook)
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    interrupt_again_where_swallowed()
    with pytest.raises(KeyboardInterrupt):
        swallow()
        for _ in range(600):  # until the interrupt, which no wait notices while it lasts
            threading.Event().wait(0.1)
    assert capsys.readouterr().err == ""


def test_an_interrupt_of_the_fits_ends_in_one_line_and_leaves_no_files(tmp_path: Path):
    with subprocess.Popen(
        [sys.executable, str(ROOT / "train.py"), "--dim", "4", "--factors", "4"],
        env=environ(tmp_path),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
    ) as run:
        assert run.stderr is not None
        lines: list[str] = []
        for line in run.stderr:
            lines.append(line)
            if " epoch " in line and sum(" epoch " in earlier for earlier in lines) == 1:
                assert version_names(tmp_path / "models") == []
                run.send_signal(signal.SIGINT)
        assert run.wait(timeout=60) == 130
    assert lines[-1] == INTERRUPTED
    assert "Traceback" not in "".join(lines)
    assert left_behind(tmp_path) == []
