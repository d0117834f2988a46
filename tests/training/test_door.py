"""train.py: what it notices before TensorFlow is loaded, and how it ends when it is interrupted."""

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
from typing import Any

import pytest

from recsys.artifacts import Draft
from recsys.settings import Training
from recsys.training.command_line import interrupt_again_where_swallowed
from tests.helpers.dying_disk import version_names
from tests.helpers.tiny_shop import NOW, fill

ROOT = Path(__file__).parents[2]


@pytest.fixture
def door(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """train.py as a module, on a shop of its own, where importing recsys.training fails."""
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
    monkeypatch.setitem(sys.modules, "recsys.training", None)
    monkeypatch.setattr("recsys.training.preflight.check_room", lambda models_dir: None)
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
FORGET = ("DROP TABLE rec_schema_migrations", "DROP TABLE rec_context_meta", "DROP VIEW rec_context_meta_active")
LATE = {
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
    "a table of our name": (sql(*FORGET, FOREIGN), [], "`rec_context_meta` should be recsys' own"),
    "models/ is a file": (a_file_for_models, [], "MODELS_DIR should be a folder"),
    "a damaged metrics.json": (damaged_history, [], "metrics.json"),
}


@pytest.mark.parametrize(("harm", "argv", "words"), LATE.values(), ids=LATE)
def test_what_would_fail_later_is_told_before_tensorflow_is_loaded(
    door: Any,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    harm: Callable[[Path], None],
    argv: list[str],
    words: str,
):
    harm(tmp_path)
    assert door.main(argv) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("Failed: ")
    assert words in printed.err


def test_what_passes_every_check_goes_on_to_tensorflow(door: Any):
    with pytest.raises(ImportError):
        door.main([])


@pytest.mark.parametrize(
    "table", ["schema_migrations (version INT, dirty INT)", "recommendations (id INT, customer INT)"]
)
def test_tables_of_the_shops_own_that_training_can_do_without_pass(door: Any, tmp_path: Path, table: str):
    sql(
        "DROP TABLE rec_schema_migrations",
        "DROP TABLE rec_versions",
        "DROP TABLE recommendations",
        f"CREATE TABLE {table}",
    )(tmp_path)
    sql(
        *(
            f"DROP TABLE {name}"
            for name in ("rec_user_encoder", "rec_item_encoder", "rec_context_mapping", "rec_context_meta")
        )
    )(tmp_path)
    with pytest.raises(ImportError):
        door.main([])


def test_a_second_run_finds_the_lock_and_says_who_holds_it(
    door: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    with Draft.create(tmp_path / "models", NOW):
        assert door.main([]) == 1
    said = capsys.readouterr().err
    holder = rf"\.lock should be free\. Received: it is held by process {os.getpid()} on \S+ since [-0-9]+ [:0-9]+ UTC, which trains"
    assert re.search(holder, said)


def test_a_disk_without_room_for_one_more_version_is_told_with_figures(
    door: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    from recsys.artifacts import check_room

    monkeypatch.setattr("recsys.training.preflight.check_room", check_room)
    monkeypatch.setattr("recsys.artifacts.publish.free_bytes", lambda folder: 5 * 2**20)
    assert door.main([]) == 1
    assert "should have room for one more version, 16 MiB. Received: 5 MiB free." in capsys.readouterr().err


def test_a_dry_run_checks_the_mapping_and_writes_nothing(door: Any, tmp_path: Path):
    sql(*FORGET, FOREIGN)(tmp_path)  # a dry run has no use for our tables
    before = (tmp_path / "shop.sqlite").read_bytes()
    with pytest.raises(ImportError):
        door.main(["--dry-run"])
    assert (tmp_path / "shop.sqlite").read_bytes() == before
    assert not (tmp_path / "models").exists()
    sql("DROP TABLE Interactions")(tmp_path)
    assert door.main(["--dry-run"]) == 1


def test_every_option_says_what_it_means_its_default_and_its_range(door: Any, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit):
        door.main(["--help"])
    words = " ".join(capsys.readouterr().out.split())
    for option in fields(Training):
        flag = re.escape(f"--{option.name.replace('_', '-')} {option.type} ")
        found = re.search(
            rf"{flag}(\S.+?) Default {re.escape(str(option.default))}; (above|from|one of) [^;]+?\.( -|$)", words
        )
        assert found, option.name
        assert len(found[1].split()) >= 4 and found[1].endswith("."), option.name


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


def left_behind(folder: Path) -> list[str]:
    """Return what a run has left in models/ besides its lock, and the versions that the database knows."""
    models = folder / "models"
    files = [path.name for path in models.iterdir() if path.name != ".lock"] if models.exists() else []
    with sqlite3.connect(folder / "shop.sqlite") as db:
        return [*files, *(name for (name,) in db.execute("SELECT name FROM rec_versions"))]


INTERRUPTING = "import os, signal\ntry:\n    os.kill(os.getpid(), signal.SIGINT)\n    sum(range(1000))\nexcept BaseException:\n    pass\n"


@pytest.mark.parametrize("package", ["argparse", "rich", "tensorflow"])
def test_an_interrupt_before_the_run_ends_in_one_line_even_where_an_import_would_swallow_it(
    tmp_path: Path, package: str
):
    stubs = tmp_path / "stubs"
    stubs.mkdir()
    for name in (package, "keras") if package == "tensorflow" else (package,):
        (stubs / f"{name}.py").write_text(INTERRUPTING, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, str(ROOT / "train.py")],
        env=environ(tmp_path, PYTHONPATH=str(stubs)),
        capture_output=True,
        encoding="utf-8",
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (
        130,
        "",
        "Interrupted; nothing of an unfinished version is left.\n",
    )
    assert left_behind(tmp_path) == []


def test_an_interrupt_that_a_callback_swallows_comes_again(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    class Swallowing:
        def __del__(self) -> None:
            raise KeyboardInterrupt

    monkeypatch.setattr(sys, "unraisablehook", sys.unraisablehook)
    interrupt_again_where_swallowed()
    with pytest.raises(KeyboardInterrupt):
        Swallowing()
        threading.Event().wait(60)
    assert capsys.readouterr().err == ""


def test_an_interrupt_of_the_fits_ends_in_one_line_and_leaves_nothing(tmp_path: Path):
    with subprocess.Popen(
        [sys.executable, str(ROOT / "train.py"), "--dim", "4", "--factors", "4"],
        env=environ(tmp_path),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
    ) as run:
        assert run.stderr is not None
        said = []
        for line in run.stderr:
            said.append(line)
            if " epoch " in line and sum(" epoch " in earlier for earlier in said) == 1:
                assert version_names(tmp_path / "models") == []
                run.send_signal(signal.SIGINT)
        assert run.wait(timeout=60) == 130
    assert said[-1] == "Interrupted; nothing of an unfinished version is left.\n"
    assert "Traceback" not in "".join(said)
    assert left_behind(tmp_path) == []
