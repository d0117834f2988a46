"""scripts/scheduler.py as a command, with stubs for trainings, and beside train.py on the same folder."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import scripts.scheduler
from recsys.artifacts import history
from recsys.lifecycle.lock import training_lock
from recsys.store import connect, count_rows, count_users
from scripts.scheduler import main
from tests.helpers.tiny_shop import fast_settings, fill, interactions, stars

ROOT = Path(__file__).parents[2]
PATIENCE_S = 120


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a tiny shop, on which the command runs."""
    fill(f"sqlite:///{tmp_path / 'shop.sqlite'}")
    (tmp_path / "recsys.toml").write_text('[shop]\ntime_zone = "Asia/Ho_Chi_Minh"\n', encoding="utf-8")
    for name, value in environ(tmp_path).items():
        monkeypatch.setenv(name, value)
    return tmp_path


def environ(folder: Path) -> dict[str, str]:
    return {
        "DATABASE_URL": f"sqlite:///{folder / 'shop.sqlite'}",
        "MODELS_DIR": str(folder / "models"),
        "RECSYS_TOML": str(folder / "recsys.toml"),
    }


def once(folder: Path, *argv: str) -> int:
    return main(["--schedule", "daily", "--once", "--logs", str(folder / "logs"), *argv])


def stub(monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    monkeypatch.setattr(scripts.scheduler, "TRAIN", (sys.executable, "-c", code))


def test_a_training_of_a_schedule_is_logged_with_its_output(
    shop: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    stub(monkeypatch, "print('epoch 1')")
    assert once(shop) == 0
    assert re.search(r"Z INFO epoch 1$", (shop / "logs" / "training.log").read_text(), re.MULTILINE)
    log = (shop / "logs" / "scheduler.log").read_text()
    assert "one look: daily at 02:00 Asia/Ho_Chi_Minh" in log
    assert "a version was published" in log
    assert "scheduler: a training begins: there was none before" in capsys.readouterr().err


def test_a_failure_is_recorded_and_a_webhook_that_is_away_changes_nothing(
    shop: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    (shop / "recsys.toml").write_text("[lifecycle]\nretries = 1\nretry_minutes = 0\n")
    monkeypatch.setenv("ALERT_WEBHOOK_URL", "http://127.0.0.1:9/token-of-the-chat")
    stub(monkeypatch, "import sys; print('Failed: http://127.0.0.1:9/token-of-the-chat'); sys.exit(1)")
    assert once(shop) == 1
    entries = history(shop / "models")
    assert [(entry["failed"], entry["published"], entry["reason"]) for entry in entries] == [
        (True, None, "Failed: ***")
    ] * 2
    log = (shop / "logs" / "scheduler.log").read_text()
    assert log.count("the alert did not arrive: ConnectionRefusedError") == 2
    assert "token-of-the-chat" not in log + (shop / "logs" / "training.log").read_text() + capsys.readouterr().err
    assert once(shop) == 0  # today's attempts are used up


def test_the_limits_are_those_of_the_settings(shop: Path, monkeypatch: pytest.MonkeyPatch):
    (shop / "recsys.toml").write_text("[lifecycle]\nretries = 0\nmax_training_minutes = 0.01\n")
    stub(monkeypatch, "import time; time.sleep(600)")
    assert once(shop) == 1
    assert "it took longer than 0.01 minutes" in history(shop / "models")[0]["reason"]


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--schedule", "custom", "--cron", "0 2 * * 0"], "0 is Sunday to some and Monday to others"),
        (["--schedule", "daily", "--cron", "0 2 * * *"], "--cron belongs to --schedule custom"),
        (["--schedule", "hourly"], "invalid choice"),
        ([], "required: --schedule"),
        (["--schedule", "daily", "--every-interactions", "0"], "whole number from 1"),
    ],
)
def test_a_wrong_command_line_is_refused(argv: list[str], message: str, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit, match="2"):
        main(argv)
    assert message in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("ALERT_WEBHOOK_URL", "ftp://host/token", "ALERT_WEBHOOK_URL should be a URL that begins with https://"),
        ("ALERT_WEBHOOK_URL", "https:///token", "Its value is not shown."),
        ("DATABASE_URL", "nonsense", "DATABASE_URL should be"),
    ],
)
def test_wrong_settings_are_named_and_no_secret_is_told(
    shop: Path,
    name: str,
    value: str,
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    monkeypatch.setenv(name, value)
    assert once(shop) == 1
    told = capsys.readouterr().err
    assert message in told
    assert "token" not in told


def test_logs_that_cannot_be_written_are_named(shop: Path, capsys: pytest.CaptureFixture[str]):
    (shop / "logs").write_text("a file")
    assert once(shop) == 1
    assert "--logs should be a folder that this user may write to" in capsys.readouterr().err


def test_rows_and_users_are_counted_as_training_reads_them(shop_url: str, tmp_path: Path):
    fill(shop_url)
    settings = fast_settings(shop_url, tmp_path)
    with connect(shop_url) as db:
        assert count_rows(db, settings.shop) == len(interactions()) + len(stars())
        assert count_users(db, settings.shop) == len({row["userId"] for row in interactions()})


LOADING = """
import os, pathlib, time
folder = pathlib.Path(os.environ["LOADED"])
(folder / f"loaded-{os.getpid()}").touch()
time.sleep(600)
"""


@contextmanager
def start(folder: Path, *argv: str) -> Iterator[subprocess.Popen[str]]:
    """Start a program, and make sure that it has ended in the end."""
    variables = {**environ(folder), "LOADED": str(folder), "PYTHONPATH": str(folder / "stubs")}
    command = [sys.executable, *argv]
    with subprocess.Popen(
        command, env={**os.environ, **variables}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="utf-8"
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def loaded(folder: Path, known: set[int]) -> int:
    """Wait until one more process loads TensorFlow; returns its id."""
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        found = {int(path.name.partition("-")[2]) for path in folder.glob("loaded-*")} - known
        if found:
            (process,) = found
            return process
        time.sleep(0.05)
    raise AssertionError("no process loads TensorFlow")


@pytest.mark.slow
def test_of_two_trainings_one_runs_and_the_other_says_who_does_before_it_loads_tensorflow(shop: Path):
    (shop / "stubs").mkdir()
    for name in ("tensorflow", "keras"):
        (shop / "stubs" / f"{name}.py").write_text(LOADING, encoding="utf-8")
    by_hand, by_schedule = str(ROOT / "train.py"), str(ROOT / "scripts" / "scheduler.py")
    schedule = (by_schedule, "--schedule", "daily", "--logs", str(shop / "logs"))

    with start(shop, by_hand) as running:
        assert loaded(shop, set()) == running.pid
        with start(shop, *schedule, "--once") as second:
            told, _ = second.communicate(timeout=PATIENCE_S)
        assert second.returncode == 75
        assert re.search(rf"another process trains: .*held by process {running.pid} on \S+ since ", told)
        running.kill()  # nothing cleans up: the lock dies with its process

    with start(shop, *schedule) as scheduler:
        training = loaded(shop, {running.pid})
        with start(shop, by_hand) as third:
            told, _ = third.communicate(timeout=PATIENCE_S)
        assert third.returncode == 75
        assert f"held by process {training} on" in told
        assert len(list(shop.glob("loaded-*"))) == 2
        scheduler.send_signal(signal.SIGTERM)
        assert scheduler.wait(PATIENCE_S) == 0
    with training_lock(shop / "models"):
        with pytest.raises(ProcessLookupError):
            os.kill(training, 0)
    assert history(shop / "models") == []  # who is told to end has not failed
