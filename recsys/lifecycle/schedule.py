"""When a training is due: the plan, and the question whether the history of trainings has answered it already.

A plan is a cron expression in the shop's wall-clock time. The library APScheduler computes its moments, but only in
UTC, where no hour is missing or repeated. In a zone with summer time, its release 3.11.3 fires a daily 02:00 twice in
the autumn night, and a daily 00:00 not at all on the day after the spring night. Here each wall-clock time counts once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

from apscheduler.triggers.cron import CronTrigger

from recsys.errors import SettingsError
from recsys.errors.records import Record
from recsys.errors.wording import shown

KINDS = ("daily", "weekly", "custom", "auto")
DAILY, WEEKLY, EVERY_SIX_HOURS = "0 2 * * *", "0 2 * * sun", "0 */6 * * *"
WEEKLY_BELOW, DAILY_TO = 1_000, 10_000  # users


class Plan(Record):
    """A schedule in the shop's time zone.

    Attributes:
        cron: Minute, hour, day of the month, month and day of the week, as crontab writes them, with names of days.
        zone: The shop's time zone.
        once_a_day: Whether any training of a day counts for that day.
        words: The plan for people.
    """

    cron: str
    zone: ZoneInfo
    once_a_day: bool
    words: str


def plan(kind: str, zone: ZoneInfo, *, cron: str = "", n_users: int | None = None) -> Plan:
    """Return the plan of a kind of schedule.

    Args:
        kind: One of `KINDS`.
        zone: The shop's time zone.
        cron: The expression of a custom schedule; empty for every six hours.
        n_users: The shop's users, for `auto`; None where they cannot be counted, which counts as a day's schedule.

    Raises:
        SettingsError: The expression is none, or names days of the week by number.
    """
    if kind == "auto":
        size = "an unknown number of" if n_users is None else f"{n_users:,}"
        if n_users is not None and n_users < WEEKLY_BELOW:
            chosen = plan("weekly", zone)
        else:
            chosen = plan("daily" if n_users is None or n_users <= DAILY_TO else "custom", zone)
        return Plan(chosen.cron, zone, chosen.once_a_day, f"{chosen.words}, chosen for {size} users")
    if kind == "daily":
        return Plan(DAILY, zone, True, f"daily at 02:00 {zone.key}")
    if kind == "weekly":
        return Plan(WEEKLY, zone, True, f"on Sundays at 02:00 {zone.key}")
    if not cron:
        return Plan(EVERY_SIX_HOURS, zone, False, f"every six hours from 00:00 {zone.key}")
    trigger(cron)
    return Plan(cron, zone, False, f"at `{cron}` {zone.key}")


@lru_cache(maxsize=16)
def trigger(cron: str) -> CronTrigger:
    """Return the trigger of an expression; its times are wall-clock times, written as if they were UTC.

    Raises:
        SettingsError: The expression is none, never comes, or names days of the week by number, which APScheduler
            counts from Monday and crontab from Sunday.
    """
    fields = cron.split()
    expected = (
        'A cron expression should be five fields of a crontab line with names of days, such as "30 3 * * mon-fri"'
    )
    if not cron.isascii() or len(fields) != 5:
        raise SettingsError(f"{expected}. Received: {shown(cron)}.")
    if fields[4] != "*" and any(letter.isdigit() for letter in fields[4].partition("#")[0]):
        raise SettingsError(
            f"{expected}. Received: {shown(fields[4])}, where 0 is Sunday to some and Monday to others."
        )
    if fields[2] != "*" and fields[4] != "*":  # crontab means "either", APScheduler "both"
        raise SettingsError(f"{expected}, or with a day of the month. Received: {shown(cron)}, which has both.")
    try:
        found = CronTrigger.from_crontab(cron, timezone=UTC)
    except ValueError as error:
        raise SettingsError(f"{expected}. Received: {shown(cron)}: {error}.") from error
    if found.get_next_fire_time(None, datetime(2000, 1, 1, tzinfo=UTC)) is None:
        raise SettingsError(f"{expected}. Received: {shown(cron)}, a day that never comes.")
    return found


def next_moment(plan: Plan, after: datetime) -> datetime:
    """Return the first moment of a plan after a training that began at a moment.

    Args:
        plan: The plan.
        after: When the training began, in any zone.

    Returns:
        A moment in the plan's zone. A wall-clock time that a change of the clock skips comes as much later.
    """
    began = after.astimezone(plan.zone).replace(tzinfo=UTC)  # its wall-clock time
    if plan.once_a_day:
        began = began.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
    else:
        began += timedelta(microseconds=1)
    instant = after
    while instant <= after:  # a training in the second of two equal hours began after its wall-clock time had come
        wall = trigger(plan.cron).get_next_fire_time(None, began)
        began = wall + timedelta(microseconds=1)
        # fold 0: the first of two equal times; in a gap, as much later as clocks jump
        instant = wall.replace(tzinfo=plan.zone).astimezone(UTC)
    return instant.astimezone(plan.zone)


class Past(Record):
    """What the history says about the plan's last moment.

    Attributes:
        began: When the last training began that counts, in seconds since 1970; None before the first.
        failures: How many trainings have failed since, one after another.
        last_failure: When the last of them began; None without one.
    """

    began: float | None = None
    failures: int = 0
    last_failure: float | None = None


def past(history: Iterable[Mapping[str, Any]], *, attempts: int, now: float) -> Past:
    """Return what a history says. A training counts if it published, was refused, or was the last attempt of a row.

    Args:
        history: Entries of metrics.json, oldest first; those without a time or from the future are left out.
        attempts: After so many failures in a row, the plan waits for its next moment.
        now: Seconds since 1970.
    """
    runs = [entry for entry in history if "left_in_database" not in entry]  # a note beside a run's own entry
    known = [entry for entry in runs if _is_past(entry.get("trained_at"), now)]
    began: float | None = None
    last_failure: float | None = None
    failures = 0
    for entry in sorted(known, key=lambda entry: float(entry["trained_at"])):
        moment, failed = float(entry["trained_at"]), bool(entry.get("failed"))
        failures, last_failure = (failures + 1, moment) if failed else (0, None)
        if not failed or failures >= attempts:
            began, failures, last_failure = moment, 0, None
    return Past(began, failures, last_failure)


def _is_past(moment: Any, now: float) -> bool:
    return isinstance(moment, int | float) and not isinstance(moment, bool) and 0 <= moment <= now


def is_due(plan: Plan, past: Past, now: float) -> bool:
    """Return whether a training should begin: a moment of the plan has passed since the last one that counts.

    However many moments have passed, one training makes up for them. Before the first training, one is due at once.

    Args:
        plan: The plan.
        past: What the history says.
        now: Seconds since 1970.
    """
    if past.began is None:
        return True
    return next_moment(plan, datetime.fromtimestamp(past.began, UTC)).timestamp() <= now
