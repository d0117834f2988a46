"""When a training is due: plans, nights on which clocks change, and what a history says."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from recsys.errors import SettingsError
from recsys.lifecycle.schedule import Past, is_due, next_moment, past, plan, trigger

BERLIN = ZoneInfo("Europe/Berlin")
NOW = 1_800_000_000


@pytest.mark.parametrize(
    ("n_users", "words"),
    [
        (0, "on Sundays at 02:00 UTC, chosen for 0 users"),
        (999, "on Sundays at 02:00 UTC, chosen for 999 users"),
        (1_000, "daily at 02:00 UTC, chosen for 1,000 users"),
        (10_000, "daily at 02:00 UTC, chosen for 10,000 users"),
        (10_001, "every six hours from 00:00 UTC, chosen for 10,001 users"),
        (None, "daily at 02:00 UTC, chosen for an unknown number of users"),
    ],
)
def test_auto_chooses_by_size_and_says_which(n_users: int | None, words: str):
    assert plan("auto", ZoneInfo("UTC"), n_users=n_users).words == words


@pytest.mark.parametrize(
    ("cron", "message"),
    [
        ("0 2 * * 0", "0 is Sunday to some and Monday to others"),
        ("0 2 * * 7", "0 is Sunday"),
        ("0 2 * * 1-5", "0 is Sunday"),
        ("0 2 * * */2", "0 is Sunday"),
        ("0 2 * * mon,3", "0 is Sunday"),
        ("0 2 13 * fri", "which has both"),
        ("0 2 31 2 *", "a day that never comes"),
        ("0 25 * * *", "higher than the maximum"),
        ("0 2 * * fri-mon", "must not be higher"),
        ("0 2 * *", "five fields"),
        ("@daily", "five fields"),
        ("", "five fields"),
        ("0 2 * * * *", "five fields"),
        ("٠ 2 * * *", "five fields"),
        ("0 2 * * ?", "five fields"),
    ],
)
def test_a_cron_expression_that_may_be_misread_is_refused(cron: str, message: str):
    with pytest.raises(SettingsError, match=message):
        trigger(cron)


@pytest.mark.parametrize("cron", ["*/15 * * * *", "0 2 * * sun", "30 3 * * mon-fri", "0 2 1 jan,jul *", "0 2 29 2 *"])
def test_usual_cron_expressions_are_taken(cron: str):
    assert trigger(cron)


DAILY, MIDNIGHT, HALF_PAST, HOURLY = "0 2 * * *", "0 0 * * *", "30 2 * * *", "0 * * * *"
# Zone, expression, and the moments of three days by the clock on the wall, with the offset from UTC.
NIGHTS = [
    ("Europe/Berlin", DAILY, "2026-10-24", ["25 02:00+0200", "26 02:00+0100", "27 02:00+0100"]),
    ("Europe/Berlin", HALF_PAST, "2026-10-24", ["25 02:30+0200", "26 02:30+0100", "27 02:30+0100"]),
    ("Europe/Berlin", HALF_PAST, "2027-03-27", ["28 03:30+0200", "29 02:30+0200", "30 02:30+0200"]),
    ("Europe/Berlin", MIDNIGHT, "2027-03-27", ["28 00:00+0100", "29 00:00+0200", "30 00:00+0200"]),
    ("America/New_York", DAILY, "2027-03-13", ["14 03:00-0400", "15 02:00-0400", "16 02:00-0400"]),
    ("America/New_York", "30 1 * * *", "2026-10-31", ["01 01:30-0400", "02 01:30-0500", "03 01:30-0500"]),
    ("America/Havana", MIDNIGHT, "2026-10-31", ["01 00:00-0400", "02 00:00-0500", "03 00:00-0500"]),
    ("Asia/Beirut", MIDNIGHT, "2027-03-27", ["28 01:00+0300", "29 00:00+0300", "30 00:00+0300"]),
    ("Australia/Lord_Howe", "45 1 * * *", "2027-04-03", ["04 01:45+1100", "05 01:45+1030", "06 01:45+1030"]),
    ("Australia/Lord_Howe", "15 2 * * *", "2026-10-03", ["04 02:45+1100", "05 02:15+1100", "06 02:15+1100"]),
    ("Pacific/Apia", DAILY, "2011-12-28", ["29 02:00-1000", "31 02:00+1400", "01 02:00+1400"]),
    ("Asia/Ho_Chi_Minh", DAILY, "2026-10-24", ["25 02:00+0700", "26 02:00+0700", "27 02:00+0700"]),
    ("Europe/Berlin", HOURLY, "2026-10-25T01:00", ["25 02:00+0200", "25 03:00+0100", "25 04:00+0100"]),
    ("Europe/Berlin", HOURLY, "2027-03-28T01:00", ["28 03:00+0200", "28 04:00+0200", "28 05:00+0200"]),
]


@pytest.mark.parametrize("once_a_day", [False, True])
@pytest.mark.parametrize(("zone", "cron", "start", "expected"), NIGHTS)
def test_each_wall_clock_time_counts_once_in_nights_on_which_clocks_change(
    zone: str, cron: str, start: str, expected: list[str], once_a_day: bool
):
    chosen = plan("daily" if once_a_day and cron == DAILY else "custom", ZoneInfo(zone), cron=cron)
    moment = datetime.fromisoformat(start).replace(tzinfo=ZoneInfo(zone))
    if cron != HOURLY:
        moment += timedelta(hours=12)
    found = []
    for _ in expected:
        moment = next_moment(chosen, moment + timedelta(seconds=2))  # trainings begin a little later
        found.append(f"{moment:%d %H:%M%z}")
    assert found == expected


def test_minute_by_minute_the_autumn_night_has_one_training():
    chosen, began, trainings = plan("daily", BERLIN), datetime(2026, 10, 24, 2, tzinfo=BERLIN).timestamp(), []
    for minute in range(3 * 24 * 60):
        now = datetime(2026, 10, 24, 12, tzinfo=BERLIN).timestamp() + 60 * minute
        if is_due(chosen, Past(began), now):
            began = now
            trainings.append(f"{datetime.fromtimestamp(now, BERLIN):%d %H:%M}")
    assert trainings == ["25 02:00", "26 02:00", "27 02:00"]


def test_a_training_in_the_second_of_two_equal_hours_is_not_followed_by_the_first():
    after = datetime(2026, 10, 25, 2, 10, tzinfo=BERLIN, fold=1)
    assert next_moment(plan("custom", BERLIN, cron="*/30 * * * *"), after) == datetime(2026, 10, 25, 3, tzinfo=BERLIN)


@pytest.mark.parametrize(
    ("kind", "began", "now", "due"),
    [
        ("daily", "2026-11-27 02:00", "2026-11-28 01:59", False),
        ("daily", "2026-11-27 02:00", "2026-11-28 02:00", True),
        ("daily", "2026-11-28 00:10", "2026-11-28 02:00", False),  # by hand, the same day
        ("daily", "2026-11-27 23:50", "2026-11-28 02:00", True),
        ("daily", "2026-11-20 02:00", "2026-11-28 01:00", True),  # the machine slept for a week
        ("weekly", "2026-11-22 02:00", "2026-11-28 23:00", False),
        ("weekly", "2026-11-22 02:00", "2026-11-29 02:00", True),
        ("weekly", "2026-11-29 00:30", "2026-12-05 12:00", False),
        ("custom", "2026-11-28 00:00", "2026-11-28 05:59", False),
        ("custom", "2026-11-28 00:00", "2026-11-28 06:00", True),
        ("custom", None, "2026-11-28 06:00", True),
    ],
)
def test_a_training_is_due_once_for_all_moments_that_have_passed(kind: str, began: str | None, now: str, due: bool):
    def seconds(text: str) -> float:
        return datetime.fromisoformat(text).replace(tzinfo=BERLIN).timestamp()

    so_far = Past(seconds(began) if began else None)
    assert is_due(plan(kind, BERLIN), so_far, seconds(now)) is due
    assert not is_due(plan(kind, BERLIN), Past(seconds(now)), seconds(now))


def entry(moment: Any, *, failed: bool = False) -> dict[str, Any]:
    return {"trained_at": moment, "published": None, **({"failed": True} if failed else {})}


@pytest.mark.parametrize(
    ("history", "expected"),
    [
        ([], Past()),
        ([entry(10)], Past(10)),
        ([entry(10), entry(20, failed=True)], Past(10, 1, 20)),
        ([entry(10), entry(20, failed=True), entry(30, failed=True)], Past(10, 2, 30)),
        ([entry(10), *(entry(20 + n, failed=True) for n in range(3))], Past(22)),  # all attempts are used up
        ([entry(10), *(entry(20 + n, failed=True) for n in range(4))], Past(22, 1, 23)),
        ([entry(20, failed=True), entry(30)], Past(30)),
        ([entry(30), entry(20, failed=True)], Past(30)),  # recorded late
        ([entry(10), entry(NOW + 1)], Past(10)),  # a clock was wrong
        ([entry(10), {}, entry("x"), entry(None), entry(True), entry(float("nan"))], Past(10)),
    ],
)
def test_a_history_says_when_the_last_training_was_and_how_many_failed_since(
    history: list[dict[str, Any]], expected: Past
):
    assert past(history, attempts=3, now=NOW) == expected


def test_moments_are_in_the_plans_zone():
    moment = next_moment(plan("daily", BERLIN), datetime(2026, 6, 1, tzinfo=UTC))
    assert moment.tzinfo is BERLIN
