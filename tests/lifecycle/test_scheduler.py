"""The scheduler with a stub for trainings: attempts, alerts, what the history decides, and a year by a fake clock."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from recsys.artifacts import Draft, activate, append_history, current_name, history
from recsys.errors import DatabaseUnavailable, Overloaded, RecsysError
from recsys.lifecycle.scheduler import BUSY, DONE, FAILED, Choice, Counts, Scheduler
from recsys.lifecycle.supervise import TrainingResult
from recsys.lifecycle.versions import clean_up, record_active, show_active
from recsys.settings import Lifecycle, Settings, load_settings
from recsys.store import Database, connect, migrate, purge_unfinished
from tests.helpers.dying_disk import Unsynced, version_names
from tests.helpers.small_versions import UNSYNCED, in_database, settings_of, write_draft, write_encoders

BERLIN = ZoneInfo("Europe/Berlin")
START = int(datetime(2026, 11, 27, 12, tzinfo=BERLIN).timestamp())
HOUR, DAY = 3_600, 86_400
PUBLISHED, REFUSED = TrainingResult(0, "", 0.0, 0), TrainingResult(3, "Refused: worse", 0.0, 0)
BROKEN, OTHER = (
    TrainingResult(1, "Failed: no table", 0.0, 0),
    TrainingResult(75, "it is held by process 7 on web2", 0.0, 0),
)


class Shop:
    """A scheduler with a fake clock, whose trainings end as a list says."""

    def __init__(self, folder: Path, choice: Choice = Choice("daily"), **lifecycle: float) -> None:  # noqa: B008
        settings = load_settings({"DATABASE_URL": "sqlite:///none"}, folder)
        self.settings: Settings = replace(
            settings,
            models_dir=folder / "models",
            shop=replace(settings.shop, time_zone="Europe/Berlin"),
            lifecycle=Lifecycle(**lifecycle),  # type: ignore[arg-type]
        )
        self.choice = choice
        self.now = float(START)
        self.outcomes: list[TrainingResult] = []
        self.began: list[float] = []
        self.rows, self.users = 0, 5_000
        self.records = True
        self.scheduler = self.new_scheduler()

    def new_scheduler(self) -> Scheduler:
        counts = Counts(lambda: self.rows, lambda: self.users)
        return Scheduler(
            self.settings,
            self.choice,
            train=self.train,
            counts=counts,
            now=lambda: self.now,
            log=logging.getLogger("recsys.test"),
        )

    def train(self, is_stopping: Callable[[], bool]) -> TrainingResult:
        outcome = self.outcomes.pop(0)
        if not outcome.another_runs:
            self.began.append(self.now)
        if self.records and outcome.status in (0, 3):
            entry = {"trained_at": int(self.now), "published": None, "cleaning": {"rows_in": self.rows}}
            append_history(self.settings.models_dir, entry, Unsynced())
        self.now += outcome.seconds
        return outcome

    def look_for(self, seconds: float, step: float = 60) -> list[str]:
        """Look once a minute; returns when trainings began."""
        before = len(self.began)
        end = self.now + seconds
        while self.now < end:
            self.scheduler.look()
            self.now += step
        return [f"{datetime.fromtimestamp(moment, BERLIN):%d %H:%M}" for moment in self.began[before:]]


@pytest.fixture(autouse=True)
def log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "recsys.test")


def test_a_shop_without_any_training_has_one_at_once_and_then_daily(tmp_path: Path):
    shop = Shop(tmp_path)
    shop.outcomes = [PUBLISHED, REFUSED, PUBLISHED]
    assert shop.look_for(2 * DAY) == ["27 12:00", "28 02:00", "29 02:00"]


def test_a_failure_is_tried_again_later_each_time_and_then_waits_for_the_next_day(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    shop = Shop(tmp_path)
    shop.outcomes = [PUBLISHED, BROKEN, BROKEN, BROKEN, BROKEN, PUBLISHED]
    assert shop.look_for(2 * DAY) == ["27 12:00", "28 02:00", "28 02:05", "28 02:15", "29 02:00", "29 02:05"]
    entries = history(shop.settings.models_dir)
    assert [entry.get("failed", False) for entry in entries] == [False, True, True, True, True, False]
    assert entries[1]["reason"] == "Failed: no table"
    assert "the next attempt comes in 10 minutes" in caplog.text


def test_a_new_process_goes_on_with_the_attempts_of_the_old_one(tmp_path: Path):
    shop = Shop(tmp_path)
    shop.outcomes = [PUBLISHED, BROKEN]
    shop.look_for(14 * HOUR + 120)
    shop.outcomes = [BROKEN, BROKEN]
    shop.scheduler = shop.new_scheduler()
    assert shop.look_for(HOUR) == ["28 02:05", "28 02:15"]


def test_a_refusal_is_not_tried_again(tmp_path: Path):
    shop = Shop(tmp_path)
    shop.outcomes = [REFUSED]
    assert shop.look_for(12 * HOUR) == ["27 12:00"]


def test_while_another_process_trains_nothing_is_recorded_and_it_is_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    shop = Shop(tmp_path)
    shop.outcomes = [OTHER] * 5 + [PUBLISHED]
    assert shop.look_for(HOUR) == ["27 12:05"]
    assert caplog.text.count("process 7 on web2") == 1
    assert len(history(shop.settings.models_dir)) == 1


def test_a_training_by_hand_counts_for_the_day(tmp_path: Path):
    shop = Shop(tmp_path)
    append_history(shop.settings.models_dir, {"trained_at": START + 13 * HOUR}, Unsynced())  # at one in the night
    shop.now = START + 13 * HOUR + 60
    shop.outcomes = [PUBLISHED]
    assert shop.look_for(DAY + 2 * HOUR) == ["29 02:00"]


def test_missed_trainings_are_made_up_once_after_a_sleep(tmp_path: Path):
    shop = Shop(tmp_path)
    shop.outcomes = [PUBLISHED] * 3
    shop.look_for(60)
    shop.now += 5 * DAY
    assert shop.look_for(DAY) == ["02 12:01", "03 02:00"]


def test_a_training_that_does_not_write_into_the_history_is_not_run_every_minute(tmp_path: Path):
    shop = Shop(tmp_path)
    shop.records = False
    shop.outcomes = [PUBLISHED, PUBLISHED]
    assert shop.look_for(DAY) == ["27 12:00", "28 02:00"]


def test_a_history_that_cannot_be_read_is_reported_once_and_never_trained_over(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    shop = Shop(tmp_path)
    shop.settings.models_dir.mkdir()
    (shop.settings.models_dir / "metrics.json").write_text("[")
    assert shop.look_for(HOUR) == []
    assert caplog.text.count("it cannot be told whether a training is due") == 1
    assert shop.scheduler.run_once() == FAILED


def test_new_rows_start_a_training_and_a_refused_one_does_not_come_back(tmp_path: Path):
    shop = Shop(tmp_path, Choice("weekly", every_interactions=100))
    shop.outcomes = [PUBLISHED, REFUSED, PUBLISHED]
    assert shop.look_for(HOUR) == ["27 12:00"]
    shop.rows = 99
    assert shop.look_for(HOUR) == []
    shop.rows = 100
    assert len(shop.look_for(HOUR)) == 1
    shop.scheduler = shop.new_scheduler()
    assert shop.look_for(HOUR) == []
    shop.rows = 200
    assert len(shop.look_for(HOUR)) == 1


def test_auto_follows_the_number_of_users_from_day_to_day(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    shop = Shop(tmp_path, Choice("auto"))
    shop.outcomes = [PUBLISHED] * 6
    assert shop.look_for(DAY) == ["27 12:00", "28 02:00"]
    shop.users = 20_000
    assert shop.look_for(20 * HOUR) == ["28 12:00", "28 18:00", "29 00:00", "29 06:00"]
    assert "daily at 02:00 Europe/Berlin, chosen for 5,000 users" in caplog.text
    assert "every six hours from 00:00 Europe/Berlin, chosen for 20,000 users" in caplog.text


def test_users_that_cannot_be_counted_leave_the_schedule_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    shop = Shop(tmp_path, Choice("auto"))
    shop.outcomes = [PUBLISHED] * 2

    def fail() -> int:
        raise DatabaseUnavailable("no answer")

    monkeypatch.setattr(shop.scheduler, "_counts", Counts(fail, fail))
    assert shop.look_for(DAY) == ["27 12:00", "28 02:00"]


@pytest.mark.parametrize(
    ("outcomes", "status"),
    [
        ([PUBLISHED], DONE),
        ([REFUSED], 3),
        ([BROKEN, BROKEN, BROKEN], FAILED),
        ([BROKEN, PUBLISHED], DONE),
        ([OTHER], BUSY),
    ],
)
def test_one_run_ends_with_the_status_of_its_training(tmp_path: Path, outcomes: list[TrainingResult], status: int):
    shop = Shop(tmp_path, retry_minutes=0)
    shop.outcomes = list(outcomes)
    assert shop.scheduler.run_once() == status
    assert shop.outcomes == []
    if status != BUSY:
        assert shop.scheduler.run_once() == DONE  # nothing is due any more


def test_stop_ends_a_loop_that_waits(tmp_path: Path):
    shop = Shop(tmp_path)
    shop.outcomes = [PUBLISHED]
    train, shop.train = shop.train, None  # type: ignore[assignment]

    def train_and_stop(is_stopping: Callable[[], bool]) -> TrainingResult:
        shop.scheduler.stop()
        assert is_stopping()
        return train(is_stopping)

    shop.scheduler._train = train_and_stop
    shop.scheduler.run_forever()
    assert len(shop.began) == 1


def unsynced(url: Any, **options: Any) -> Database:
    """Open a SQLite database that does not wait for the disk."""
    db = connect(url, **options)
    db.execute("PRAGMA synchronous = OFF")
    return db


class Year(Shop):
    """Trainings that publish files and encoders which grow and drift; one of ten fails, or is killed half-way.

    What is kept and swept is decided by `recsys.lifecycle.versions`, as after a real training.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        url = f"sqlite:///{folder / 'shop.sqlite'}"
        self.settings = replace(self.settings, database_url=settings_of(url, folder).database_url)
        with unsynced(self.settings.database_url, create=True) as db:
            migrate(db)
        self.scheduler = self.new_scheduler()
        self.rng = np.random.default_rng(7)
        self.fates: list[str] = []
        self.published: list[str] = []
        self.n_users = 0

    def train(self, is_stopping: Callable[[], bool]) -> TrainingResult:
        self.began.append(self.now)
        self.rows += int(self.rng.integers(500, 1_500))  # the shop grows
        fails = self.rng.random() < 0.1
        self.fates.append(str(self.rng.choice(["disk", "database", "killed"])) if fails else "")
        try:
            name = self.publish(self.fates[-1])
        except RecsysError as error:
            return TrainingResult(1, str(error), 1.0, 0)
        if not name:
            return TrainingResult(-9, "it was ended by SIGKILL", 1.0, 0)
        self.published.append(name)
        return TrainingResult(0, "", 1.0, 0)

    def publish(self, fate: str) -> str | None:
        """Publish in the order of training; return the version's name, or None where the process is killed."""
        settings, now = self.settings, int(self.now)
        users = range(self.rows // 1_000 + 1)
        drift = self.rng.normal(len(self.began) / 100, 1, self.rows // 100).astype(np.float32)
        with Draft.create(settings.models_dir, now, UNSYNCED) as draft:
            record_active(settings.models_dir, UNSYNCED)
            draft.write_json("drift.json", drift.tolist())
            if fate == "disk":
                raise Overloaded("The disk should have room. Received: none.")
            name = write_draft(draft, now, users)
            if fate == "database":
                raise DatabaseUnavailable("The database should answer. Received: nothing.")
            with unsynced(settings.database_url) as db:
                purge_unfinished(db)
                write_encoders(db, name, now, users)
            if fate == "killed":
                return None
            activate(settings.models_dir, name, UNSYNCED)
            append_history(settings.models_dir, {"trained_at": now, "published": name}, UNSYNCED)
            with unsynced(settings.database_url) as db:
                show_active(db, settings.models_dir)
            clean_up(settings, files=UNSYNCED, connect=unsynced, note=lambda text: None)
        self.n_users = len(users)
        return name


def sizes(folder: Path) -> Iterator[int]:
    return (path.stat().st_size for path in folder.rglob("*") if path.is_file() and path.name != "metrics.json")


@pytest.mark.slow
def test_a_year_of_trainings_has_a_bounded_disk_and_a_whole_history(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("recsys.lifecycle.scheduler.append_history", lambda *rest: append_history(*rest, UNSYNCED))
    shop = Year(tmp_path)
    largest = 0
    for day in range(365):
        if day in range(100, 107):  # switched off for a week
            shop.now += DAY
            shop.scheduler = shop.new_scheduler()
            continue
        shop.look_for(DAY, step=4 * HOUR)
        shop.now = START + (day + 1) * DAY
        largest = max(largest, sum(sizes(shop.settings.models_dir)))
        kept = version_names(shop.settings.models_dir)
        assert [name for name in kept if name in shop.published] == shop.published[-5:]
        assert len(kept) <= 5 + 3  # and those of killed runs since the last publication
    entries = history(shop.settings.models_dir)
    assert [entry["trained_at"] for entry in entries] == [int(moment) for moment in shop.began]
    assert [entry["published"] for entry in entries if entry["published"]] == shop.published
    failed = [fate for fate in shop.fates if fate]
    assert sum(entry.get("failed", False) for entry in entries) == len(failed) > 20
    assert {"disk", "database", "killed"} == set(failed)
    days = [datetime.fromtimestamp(entry["trained_at"], BERLIN).date() for entry in entries if entry["published"]]
    assert len(set(days)) == len(days)  # one publication a day, also in the nights on which clocks change
    assert 355 <= len(days) <= 360  # 365 days and the first, without the week that was made up once
    assert version_names(shop.settings.models_dir) == in_database(shop.settings) == shop.published[-5:]
    assert current_name(shop.settings.models_dir) == shop.published[-1]
    with connect(shop.settings.database_url) as db:
        assert db.query("SELECT COUNT(*) FROM rec_user_encoder")[0][0] <= 5 * shop.n_users
    newest = shop.settings.models_dir / shop.published[-1]
    assert largest < 9 * sum(sizes(newest))  # five versions, three of killed runs, and one that is written
    assert not list(shop.settings.models_dir.glob(".draft-*"))
    assert datetime.fromtimestamp(shop.began[-1], UTC) > datetime.fromtimestamp(START + 363 * DAY, UTC)
