from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal

import numpy as np
import pytest

from recsys.errors import SettingsError
from recsys.store.moments import epoch_seconds

NOON = 1_704_110_400  # 2024-01-01 12:00:00 UTC: 19,723 days and a half


def seconds_of(value: object, zone: str = "UTC") -> int | None:
    """The second of one value, None where it is illegible."""
    seconds, legible = epoch_seconds([value], zone)
    return int(seconds[0]) if legible[0] else None


@pytest.mark.parametrize(
    "value",
    [
        "2024-01-01 12:00:00",
        "2024-01-01T12:00:00",
        "2024-01-01T12:00:00Z",
        "2024-01-01 12:00:00.999",
        "2024-01-01T12:00:00.123456Z",
        "2024-01-01T12:00:00.123456789Z",
        "2024-01-01 12:00",
        "2024-01-01 12:00:00.000 +00:00",  # Sequelize on SQLite
        "2024-01-01 19:00:00 +07:00",
        "2024-01-01T19:00:00+0700",
        "2024-01-01 12:00:00+00",  # PostgreSQL
        " 2024-01-01 12:00:00 ",
        b"2024-01-01 12:00:00",
        NOON,
        NOON * 1000,
        NOON * 1000 + 999,
        float(NOON) + 0.5,
        Decimal(NOON),
        str(NOON),
        f"{NOON}.75",
        f"{NOON * 1000}",
        datetime(2024, 1, 1, 12),
        datetime(2024, 1, 1, 12, microsecond=999_999),
        datetime(2024, 1, 1, 12, tzinfo=UTC),
        datetime(2024, 1, 1, 19, tzinfo=timezone(timedelta(hours=7))),
    ],
)
def test_noon_is_noon_however_it_is_written(value: object) -> None:
    assert seconds_of(value) == NOON


@pytest.mark.parametrize("value", ["2024-01-01", date(2024, 1, 1), "20240101", "2024-01-01 00:00:00"])
def test_a_day_begins_at_midnight(value: object) -> None:
    assert seconds_of(value) == NOON - 43_200


@pytest.mark.parametrize(
    "value",
    [
        None,
        "",
        "yesterday",
        "0000-00-00 00:00:00",
        "2024-02-30 00:00:00",
        "2024-13-01",
        "01/02/2024",
        "nan",
        float("nan"),
        float("inf"),
        10**30,
        -(10**30),
        True,
        b"\xff\xfe",
        "0001-01-01 00:00:00",
        "9999-12-31 23:59:59",
        "infinity",
    ],
)
def test_what_is_no_time_is_marked(value: object) -> None:
    assert seconds_of(value) is None
    assert seconds_of(value, "Asia/Ho_Chi_Minh") is None


def test_illegible_timestamps_do_not_change_their_neighbours() -> None:
    column = ["2024-01-01 12:00:00", "rubbish", NOON, None, datetime(2024, 1, 1, 12), NOON * 1000]

    seconds, legible = epoch_seconds(column, "UTC")

    assert legible.tolist() == [True, False, True, False, True, True]
    assert seconds[legible].tolist() == [NOON] * 4
    assert (seconds.dtype, legible.dtype) == (np.int64, np.bool_)


@pytest.mark.parametrize("kinds", [[], ["2024-01-01 12:00:00"], [NOON], [datetime(2024, 1, 1, 12)]])
def test_a_column_of_one_kind_keeps_its_length(kinds: list[object]) -> None:
    seconds, legible = epoch_seconds(kinds * 3, "UTC")

    assert (seconds.tolist(), legible.tolist()) == ([NOON] * len(kinds) * 3, [True] * len(kinds) * 3)


def test_clocks_without_a_zone_are_in_the_stored_zone_and_those_with_one_are_not() -> None:
    # Hanoi is 7 hours ahead: its noon is 5 o'clock in UTC.
    column = [
        "2024-01-01 12:00:00",
        "2024-01-01T12:00:00Z",
        NOON,
        datetime(2024, 1, 1, 12),
        datetime(2024, 1, 1, 12, tzinfo=UTC),
    ]

    seconds, _ = epoch_seconds(column, "Asia/Ho_Chi_Minh")

    assert (seconds - NOON).tolist() == [-7 * 3600, 0, 0, -7 * 3600, 0]


def test_summer_time_is_followed_to_the_quarter_hour() -> None:
    # Berlin put its clocks forward on 2024-03-31 at 2:00 (UTC+1 to UTC+2) and back on 2024-10-27 at 3:00.
    column = ["2024-03-31 01:59:59", "2024-03-31 03:00:00", "2024-10-27 01:59:59", "2024-10-27 03:00:00"]
    utc = ["2024-03-31 00:59:59", "2024-03-31 01:00:00", "2024-10-26 23:59:59", "2024-10-27 02:00:00"]

    assert epoch_seconds(column, "Europe/Berlin")[0].tolist() == epoch_seconds(utc, "UTC")[0].tolist()


def test_a_large_column_equals_its_rows_one_by_one(rng: np.random.Generator) -> None:
    moments = (rng.integers(0, 2_000_000_000, 500)).tolist()
    column = [str(np.datetime64(moment, "s")).replace("T", " ") for moment in moments]

    assert epoch_seconds(column, "UTC")[0].tolist() == moments
    assert epoch_seconds(column, "America/New_York")[0].tolist() == [
        seconds_of(text, "America/New_York") for text in column
    ]


@pytest.mark.parametrize("name", ["Hanoi", "", "../../etc/passwd"])
def test_an_unknown_zone_is_a_settings_error(name: str) -> None:
    with pytest.raises(SettingsError, match="time zones should be names such as UTC"):
        epoch_seconds(["2024-01-01 12:00:00"], name)


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "Asia/Ho_Chi_Minh"])
def test_clocks_are_read_together_as_each_is_by_itself(zone: str) -> None:
    clocks = [
        "2024-03-31 01:59:59",
        "2024-03-31T03:00:00",
        "2024-10-27 02:30:00",
        "1999-12-31 23:59:59",
        "0001-01-01 00:00:00",
        "9999-12-31 23:59:59",
    ]
    together, legible = epoch_seconds(clocks, zone)
    alone = [epoch_seconds([datetime.fromisoformat(clock)], zone) for clock in clocks]

    assert legible.tolist() == [bool(one_legible[0]) for _, one_legible in alone]
    assert together[legible].tolist() == [int(second[0]) for second, one_legible in alone if one_legible[0]]


def test_one_impossible_date_does_not_change_the_others() -> None:
    seconds, legible = epoch_seconds(["2024-02-31 00:00:00", "0000-00-00 00:00:00", "2024-02-29 00:00:00"], "UTC")

    assert legible.tolist() == [False, False, True]
    assert seconds[2] == 1_709_164_800
