"""The scheduler: it looks once a minute whether a training is due, runs it, and records how it ended.

The history of trainings decides, not the memory of a process. Therefore a scheduler that was off, asleep or started
again makes up for missed trainings, and two schedulers do not train twice.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import UTC, datetime
from queue import Empty, SimpleQueue
from typing import Any
from zoneinfo import ZoneInfo

from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.interval import IntervalTrigger

from recsys.artifacts import append_history, history
from recsys.errors import RecsysError
from recsys.errors.records import Record
from recsys.lifecycle.alerts import send_alert
from recsys.lifecycle.schedule import Plan, is_due, past, plan
from recsys.lifecycle.supervise import MIB, TrainingResult
from recsys.settings import Lifecycle, Settings

LOOK_S = 60  # seconds between two looks
COUNT_S = 600  # seconds between two counts of the shop's rows, which may take a second each
RECOUNT_S = 86_400  # seconds between two counts of its users
DONE, FAILED, BUSY = 0, 1, 75  # exit statuses of one run; 3 is a refusal


class Choice(Record):
    """What the command line asks for.

    Attributes:
        kind: `daily`, `weekly`, `custom` or `auto`.
        cron: The expression of a custom schedule; empty for every six hours.
        every_interactions: Train, too, when so many rows are new; 0 for never.
    """

    kind: str
    cron: str = ""
    every_interactions: int = 0


class Counts(Record):
    """Counts of the shop's tables.

    Attributes:
        rows: Returns the number of rows that training would read.
        users: Returns the number of users.
    """

    rows: Callable[[], int]
    users: Callable[[], int]


class Scheduler:
    """Looks whether a training is due, runs it and records it. One thread uses it; `stop` may come from a signal."""

    def __init__(
        self,
        settings: Settings,
        choice: Choice,
        *,
        train: Callable[[Callable[[], bool]], TrainingResult],
        counts: Counts,
        now: Callable[[], float],
        log: logging.Logger,
    ) -> None:
        """Prepare; nothing runs yet.

        Args:
            settings: Where versions are, the shop's time zone, limits and the webhook.
            choice: What the command line asks for.
            train: Runs a training to its end; it gets a function that says whether to end early.
            counts: Counts the shop's rows and users.
            now: Returns seconds since 1970.
            log: Receives what happens.

        Raises:
            SettingsError: The cron expression is none.
        """
        self._settings, self._choice, self._log = settings, choice, log
        self._train, self._counts, self._now = train, counts, now
        self._zone = ZoneInfo(settings.shop.time_zone)
        self._calls: SimpleQueue[None] = SimpleQueue()  # unlike an Event, a signal handler may use it
        self._said = ""  # what was said last, so that it is not said every minute
        self._unrecorded: list[dict[str, Any]] = []  # trainings that the history does not hold
        self._next_attempt: float | None = None  # seconds since 1970, after a failure
        self._rows_at = self._users_at = -1e18  # seconds since 1970, of the last counts
        self._known_rows = 0
        self.is_stopping = False
        self._plan = plan(choice.kind, self._zone, cron=choice.cron)

    def stop(self) -> None:
        """End a running training, then the loop. A signal handler may call it."""
        self.is_stopping = True
        self._calls.put(None)

    def run_forever(self) -> None:
        """Look once a minute until `stop`."""
        start = datetime.fromtimestamp((self._now() // LOOK_S + 1) * LOOK_S, UTC)
        clock = BackgroundScheduler(timezone=self._zone, daemon=True)
        every_minute = IntervalTrigger(seconds=LOOK_S, start_date=start, timezone=self._zone)
        # Without a grace, a look that comes late would be dropped, as after a sleep of the machine.
        clock.add_job(self._calls.put, every_minute, args=(None,), id="look", coalesce=True, misfire_grace_time=None)
        clock.start()
        try:
            self._log.info("the scheduler runs: %s", self._current_plan().words)
            while not self.is_stopping:
                self.look()
                self._wait(2 * LOOK_S)  # longer than the clock's minute, in case that the clock's thread died
        finally:
            clock.shutdown(wait=False)
            self._log.info("the scheduler ended")

    def run_once(self) -> int:
        """Run what is due, with further attempts where it fails.

        Returns:
            The exit status: 0 published or nothing due, 1 failed, 3 refused, 75 another process trains.
        """
        self._log.info("one look: %s", self._current_plan().words)
        status = DONE
        while not self.is_stopping:
            outcome = self.look()
            if outcome is not None:
                status = DONE if outcome.published else outcome.status if outcome.refused else FAILED
            if outcome is not None and outcome.another_runs:
                return BUSY
            if self._next_attempt is None:
                return status
            self._wait(self._next_attempt - self._now())
        return FAILED

    def look(self) -> TrainingResult | None:
        """Run a training if one is due.

        Returns:
            How it ended, or why it cannot be told whether one is due; None where none was due.
        """
        try:
            why = self._why_due()
        except RecsysError as error:
            text = f"it cannot be told whether a training is due: {error}"
            if self._tell_once(text, text):
                self._send("failed", f"recsys: {text}", {})
            return TrainingResult(FAILED, text, 0.0, 0)
        if not why or self.is_stopping:
            return None
        began = self._now()
        if self._said != "busy":
            self._log.info("a training begins: %s", why)
        try:
            outcome = self._train(lambda: self.is_stopping)
        except RecsysError as error:
            outcome = TrainingResult(FAILED, str(error), 0.0, 0)
        self._conclude(outcome, began)
        return outcome

    def _why_due(self) -> str:
        """Return why a training is due, or an empty text."""
        now, lifecycle = self._now(), self._settings.lifecycle
        entries = [*history(self._settings.models_dir), *self._unrecorded]
        so_far = past(entries, attempts=lifecycle.retries + 1, now=now)
        if so_far.last_failure is not None:
            earliest = so_far.last_failure + _pause_s(lifecycle, so_far.failures)
            is_time = now >= max(earliest, self._next_attempt or 0.0)
            return f"attempt {so_far.failures + 1} of {lifecycle.retries + 1}" if is_time else ""
        current = self._current_plan()
        if is_due(current, so_far, now):
            return f"due {current.words}" if so_far.began is not None else "there was none before"
        return self._why_many(entries)

    def _current_plan(self) -> Plan:
        """Return the plan; for `auto`, the users are counted once a day."""
        if self._choice.kind != "auto" or self._now() - self._users_at < RECOUNT_S:
            return self._plan
        try:
            renewed = plan("auto", self._zone, n_users=self._counts.users())
        except RecsysError as error:  # what was chosen before stays
            text = f"the users cannot be counted: {error}"
            self._tell_once(text, text)
            return self._plan
        if renewed != self._plan:
            self._log.info("the schedule is now %s", renewed.words)
        self._plan, self._users_at = renewed, self._now()
        return renewed

    def _why_many(self, entries: list[dict[str, Any]]) -> str:
        """Return why a training is due by the number of new rows, or an empty text."""
        wanted, now = self._choice.every_interactions, self._now()
        if not wanted or now - self._rows_at < COUNT_S:
            return ""
        rows, self._rows_at = self._counts.rows(), now
        own = [entry for entry in entries if "restored_at" not in entry]
        cleanings = [entry["cleaning"] for entry in own if isinstance(entry.get("cleaning"), dict)]
        trained = [cleaning["rows_in"] for cleaning in cleanings if isinstance(cleaning.get("rows_in"), int)]
        new = rows - max(trained[-1] if trained else 0, self._known_rows)
        if new < wanted:
            return ""
        self._known_rows = rows
        return f"{new:,} rows are new, {wanted:,} are enough"

    def _conclude(self, outcome: TrainingResult, began: float) -> None:
        """Log, record and report how a training ended."""
        figures = f"{outcome.seconds:,.0f} s, at most {outcome.peak_memory // MIB:,} MiB"
        if outcome.another_runs:
            self._tell_once("busy", f"another process trains: {outcome.reason}")
            return
        self._said, self._next_attempt = "", None
        if outcome.stopped:
            self._log.warning("the training was ended (%s): %s", figures, outcome.reason)
        elif outcome.published:
            self._log.info("a version was published (%s)", figures)
            self._unrecorded = [{"trained_at": began}]
        elif outcome.refused:
            self._log.warning("the training was refused (%s): %s", figures, outcome.reason)
            self._unrecorded = [{"trained_at": began}]
            self._alert("refused", outcome)
        else:
            self._log.error("the training failed (%s): %s", figures, outcome.reason)
            self._record_failure(outcome, began)
            self._alert("failed", outcome)

    def _record_failure(self, outcome: TrainingResult, began: float) -> None:
        """Write a failure into the history, and set the time of the next attempt."""
        models_dir, lifecycle = self._settings.models_dir, self._settings.lifecycle
        entry = {"trained_at": int(began), "published": None, "failed": True, "reason": outcome.reason}
        try:
            append_history(models_dir, entry)
            entries = history(models_dir)
        except RecsysError as error:
            self._log.error("the failure could not be recorded: %s", error)
            self._unrecorded.append(entry)
            entries = []
        so_far = past([*entries, *self._unrecorded], attempts=lifecycle.retries + 1, now=self._now())
        if so_far.failures:
            pause_s = _pause_s(lifecycle, so_far.failures)
            self._next_attempt = self._now() + pause_s
            self._log.info("the next attempt comes in %g minutes", pause_s / 60)

    def _alert(self, event: str, outcome: TrainingResult) -> None:
        words = {"refused": "a training was refused", "failed": "a training failed"}
        details = {"status": outcome.status, "seconds": round(outcome.seconds), "reason": outcome.reason}
        self._send(event, f"recsys: {words[event]}: {outcome.reason}", details)

    def _send(self, event: str, text: str, details: dict[str, Any]) -> None:
        if why := send_alert(self._settings.alert_webhook, event, text, details):
            self._log.warning("the alert did not arrive: %s", why)

    def _tell_once(self, key: str, text: str) -> bool:
        """Log a warning, unless it was the last one, too; returns whether it is new."""
        is_new, self._said = key != self._said, key
        if is_new:
            self._log.warning("%s", text)
        return is_new

    def _wait(self, seconds: float) -> None:
        """Wait for the next minute of the clock, or for `stop`."""
        try:
            self._calls.get(timeout=max(seconds, 0.0))
            while True:
                self._calls.get_nowait()
        except Empty:
            pass


def _pause_s(lifecycle: Lifecycle, failures: int) -> float:
    """Return the seconds before the next attempt, after a number of failures in a row."""
    pause_s: float = lifecycle.retry_minutes * 60 * 2 ** (failures - 1)
    return pause_s
