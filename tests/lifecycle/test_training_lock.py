"""The training lock: who holds it, who gets it after a death, and hosts whose system locks are apart."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from recsys.artifacts import Files
from recsys.errors import AlreadyTraining, SettingsError
from recsys.lifecycle.lock import LOCK, OWNER, STALE_S, Owner, training_lock

ROOT = Path(__file__).parents[2]
PATIENCE_S = 60
HERE = Owner.this_process(1_700_000_000)
ELSEWHERE = replace(HERE, host="web2", machine="another start", process=77, token="feed")
HOLDING = """
import sys
from pathlib import Path
from recsys.lifecycle.lock import training_lock
with training_lock(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


class Apart(Files):
    """A network folder whose system locks do not reach other hosts."""

    def lock(self, path: Path, *, wait_s: float = 0.0) -> int:
        return os.open(path, os.O_RDWR | os.O_CREAT)


@pytest.fixture(autouse=True)
def no_settling(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("recsys.lifecycle.lock.SETTLE_S", 0.0)


def holder(models_dir: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDING, str(models_dir)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        encoding="utf-8",
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def age(path: Path, seconds: float) -> None:
    moment = path.stat().st_mtime - seconds
    os.utime(path, (moment, moment))


def test_the_lock_names_its_owner_and_leaves_nothing_but_an_empty_lock_behind(tmp_path: Path):
    with training_lock(tmp_path):
        owner = Owner.read(tmp_path / OWNER)
        assert owner is not None
        assert (owner.process, owner.host) == (os.getpid(), os.uname().nodename)
        assert re.fullmatch(r"[-0-9]{10} [:0-9]{8} UTC", owner.since)
    assert [path.name for path in tmp_path.iterdir()] == [LOCK]


@pytest.mark.slow
def test_a_second_process_is_told_who_holds_it_and_gets_it_after_a_kill(tmp_path: Path):
    with holder(tmp_path) as process:
        received = rf"held by process {process.pid} on \S+ since [-0-9]+ [:0-9]+ UTC, which trains"
        with pytest.raises(AlreadyTraining, match=received), training_lock(tmp_path):
            pass
        process.send_signal(signal.SIGKILL)
        process.wait(PATIENCE_S)
    assert (tmp_path / OWNER).exists()
    with training_lock(tmp_path):
        owner = Owner.read(tmp_path / OWNER)
        assert owner is not None
        assert owner.process == os.getpid()


@pytest.mark.parametrize(
    ("owner", "silent_s", "taken"),
    [
        (ELSEWHERE, 0, False),
        (ELSEWHERE, STALE_S - 10, False),
        (ELSEWHERE, STALE_S + 10, True),
        (replace(ELSEWHERE, machine=HERE.machine), 0, True),  # the system's lock is free: that process died
        (None, 0, False),  # half a file, which another host may be writing
        (None, STALE_S + 10, True),
    ],
)
def test_an_owner_on_another_host_counts_as_dead_after_a_minute(
    tmp_path: Path, owner: Owner | None, silent_s: float, taken: bool
):
    path = tmp_path / OWNER
    path.write_bytes(owner.as_json() if owner else b'{"host": "we')
    age(path, silent_s)
    if taken:
        with training_lock(tmp_path, me=HERE):
            assert Owner.read(path) == HERE
        assert not path.exists()
    else:
        who = "process 77 on web2 since 2023-11-14" if owner else "another process"
        with pytest.raises(AlreadyTraining, match=who), training_lock(tmp_path, me=HERE):
            pass
        assert Owner.read(path) == owner


def test_of_two_hosts_with_locks_apart_one_trains(tmp_path: Path):
    with training_lock(tmp_path, me=ELSEWHERE, files=Apart()):
        with pytest.raises(AlreadyTraining, match="web2"), training_lock(tmp_path, me=HERE, files=Apart()):
            pass
        assert Owner.read(tmp_path / OWNER) == ELSEWHERE


def test_of_two_hosts_that_take_over_at_once_the_last_writer_trains(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / OWNER
    path.write_bytes(replace(ELSEWHERE, token="dead").as_json())
    age(path, STALE_S + 10)
    monkeypatch.setattr("recsys.lifecycle.lock.time.sleep", lambda seconds: path.write_bytes(ELSEWHERE.as_json()))
    with pytest.raises(AlreadyTraining, match="web2"), training_lock(tmp_path, me=HERE, files=Apart()):
        pass
    assert Owner.read(path) == ELSEWHERE


def written(path: Path) -> None:
    path.write_bytes(ELSEWHERE.as_json())


@pytest.mark.parametrize("loss", [written, Path.unlink])
def test_a_training_whose_lock_was_taken_over_is_told_so_and_leaves_it(tmp_path: Path, loss: Callable[[Path], None]):
    told: list[str] = []
    lost = threading.Event()

    def on_loss(why: str) -> None:
        told.append(why)
        lost.set()

    with training_lock(tmp_path, me=HERE, on_loss=on_loss, beat_s=0.01):
        loss(tmp_path / OWNER)
        assert lost.wait(PATIENCE_S)
    assert "This training had it before." in told[0]
    assert (tmp_path / OWNER).exists() == (loss is written)


def test_signs_of_life_renew_the_file(tmp_path: Path):
    beaten = threading.Event()

    class Counted(Files):
        def touch(self, path: Path) -> None:
            super().touch(path)
            if path.name == OWNER:
                beaten.set()

    with training_lock(tmp_path, me=HERE, files=Counted(), beat_s=0.01):
        assert beaten.wait(PATIENCE_S)
        assert json.loads((tmp_path / OWNER).read_text())["process"] == os.getpid()


def test_a_folder_that_is_a_file_is_named(tmp_path: Path):
    (tmp_path / "models").write_text("no folder")
    with pytest.raises(SettingsError, match="MODELS_DIR should be a folder"), training_lock(tmp_path / "models"):
        pass
