"""What the library does that ours must not rely on; a release that changes one of these fails here."""

from __future__ import annotations

import os
import signal
import threading
from concurrent.futures.process import BrokenProcessPool
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from apscheduler.events import EVENT_ALL, EVENT_JOB_ERROR, EVENT_JOB_MISSED
from apscheduler.executors.debug import DebugExecutor
from apscheduler.executors.pool import ProcessPoolExecutor
from apscheduler.jobstores.memory import MemoryJobStore
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.cron import CronTrigger
from apscheduler.triggers.interval import IntervalTrigger

BERLIN = ZoneInfo("Europe/Berlin")
PATIENCE_S = 60


def moments(trigger: CronTrigger, start: datetime, count: int) -> list[datetime]:
    found: list[datetime] = []
    for _ in range(count):
        found.append(trigger.get_next_fire_time(found[-1] if found else None, found[-1] if found else start))
    return found


def test_a_daily_trigger_fires_twice_in_the_autumn_night():
    daily = CronTrigger(hour=2, timezone=BERLIN)
    first, second = moments(daily, datetime(2026, 10, 24, 12, tzinfo=BERLIN), 2)
    assert (first.isoformat(), second.isoformat()) == ("2026-10-25T02:00:00+02:00", "2026-10-25T02:00:00+01:00")


def test_a_trigger_at_midnight_leaves_out_the_day_after_the_spring_night():
    at_midnight = CronTrigger(hour=0, timezone=BERLIN)
    first, second = moments(at_midnight, datetime(2027, 3, 27, 12, tzinfo=BERLIN), 2)
    assert (first.day, second.day) == (28, 30)


def test_day_0_of_a_crontab_line_is_monday():
    numbered, named = (CronTrigger.from_crontab(f"0 2 * * {day}", timezone=UTC) for day in ("0", "sun"))
    start = datetime(2026, 11, 24, tzinfo=UTC)
    assert [moments(trigger, start, 1)[0].strftime("%a") for trigger in (numbered, named)] == ["Mon", "Sun"]


def test_a_trigger_without_a_zone_takes_the_machines(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("apscheduler.triggers.cron.get_localzone", lambda: ZoneInfo("Asia/Tokyo"))
    assert str(CronTrigger.from_crontab("0 2 * * *").timezone) == "Asia/Tokyo"


@pytest.fixture
def clock() -> Any:
    scheduler = BackgroundScheduler(timezone=UTC, executors={"default": DebugExecutor()})
    yield scheduler
    if scheduler.running:
        scheduler.shutdown()


def late_job(clock: BackgroundScheduler, **options: Any) -> tuple[list[str], threading.Event]:
    """Start with a job that should have run ten seconds ago; an event says when its fate is known."""
    ran: list[str] = []
    known = threading.Event()
    clock.add_listener(lambda event: known.set(), EVENT_JOB_MISSED)
    clock.start(paused=True)

    def run() -> None:
        ran.append("ran")
        known.set()

    late = datetime.now(UTC) - timedelta(seconds=10)
    clock.add_job(run, IntervalTrigger(hours=1, timezone=UTC), next_run_time=late, **options)
    clock.resume()
    return ran, known


def test_a_job_that_is_late_by_more_than_a_second_is_forgotten_by_default(clock: BackgroundScheduler):
    ran, known = late_job(clock)
    assert known.wait(PATIENCE_S)
    assert ran == []


def test_without_a_grace_a_late_job_runs(clock: BackgroundScheduler):
    ran, known = late_job(clock, misfire_grace_time=None)
    assert known.wait(PATIENCE_S)
    assert ran == ["ran"]


def test_to_replace_an_existing_job_forgets_its_missed_run(clock: BackgroundScheduler):
    store = MemoryJobStore()
    clock.add_jobstore(store)
    clock.start(paused=True)
    late = datetime.now(UTC) - timedelta(minutes=5)
    options: dict[str, Any] = {"id": "train", "misfire_grace_time": None}
    trigger = IntervalTrigger(hours=1, timezone=UTC)
    clock.add_job(print, trigger, next_run_time=late, **options)
    clock.add_job(print, trigger, replace_existing=True, **options)
    assert clock.get_job("train").next_run_time > datetime.now(UTC)


def kill_own_process() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_pool_child_that_is_killed_raises_no_error_event(tmp_path: Path):
    events: list[int] = []
    submitted = threading.Event()
    pool = ProcessPoolExecutor(1)
    scheduler = BackgroundScheduler(timezone=UTC, executors={"default": pool})
    scheduler.add_listener(lambda event: (events.append(event.code), submitted.set()), EVENT_ALL)
    futures: list[Any] = []
    submit = pool._pool.submit

    def submit_and_keep(*arguments: Any, **named: Any) -> Any:
        futures.append(submit(*arguments, **named))
        return futures[-1]

    pool._pool.submit = submit_and_keep
    scheduler.start()
    try:
        scheduler.add_job(kill_own_process, misfire_grace_time=None)
        for _ in range(PATIENCE_S * 10):
            if futures:
                break
            threading.Event().wait(0.1)
        assert isinstance(futures[0].exception(PATIENCE_S), BrokenProcessPool)
    finally:
        scheduler.shutdown()
    assert EVENT_JOB_ERROR not in events
