from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from uuid import UUID

import numpy as np
import pytest

from recsys.errors import SettingsError
from recsys.store.columns import (
    epoch_seconds,
    event_codes,
    id_array,
    is_key,
    joined_ids,
    read_id,
    sorted_names,
    star,
    text_array,
)

NOON = 1_704_110_400  # 2024-01-01 12:00:00 UTC: 19,723 days and a half


def seconds_of(value: object, zone: str = "UTC") -> int | None:
    """The second of one value, None where it is illegible."""
    seconds, legible = epoch_seconds([value], zone)
    return int(seconds[0]) if legible[0] else None


# Time


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


# Ids


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        (7, 7),
        (-7, -7),
        ("7", "7"),
        ("007", "007"),
        ("Ä-7 🎒", "Ä-7 🎒"),
        (Decimal("7"), 7),
        (b"abc", "abc"),
        (UUID("12345678-1234-5678-1234-567812345678"), "12345678-1234-5678-1234-567812345678"),
        (2**64 - 1, "18446744073709551615"),
        ("x" * 512, "x" * 512),
        (None, None),
        ("", None),
        (b"", None),
        ("a\0b", None),
        ("\ud800", None),
        ("x" * 513, None),
        ("ä" * 257, None),
        (b"\xff\xfe", None),
    ],
)
def test_an_id_is_an_integer_or_text_or_nothing(raw: object, value: object) -> None:
    assert read_id(raw) == value
    assert type(read_id(raw)) is type(value)


@pytest.mark.parametrize("raw", [1.5, True, date(2024, 1, 1), Decimal("7.5"), [1]])
def test_a_value_of_another_type_is_no_id(raw: object) -> None:
    assert read_id(raw) is None


def test_a_key_is_1_to_512_bytes_without_nul() -> None:
    assert [is_key(text) for text in ("a", "ä" * 256, "", "a\0", "ä" * 257, "\udfff")] == [
        True,
        True,
        False,
        False,
        False,
        False,
    ]


def test_integers_stay_integers_even_where_others_were_null() -> None:
    chunk = id_array([1, None, 3], {})

    assert chunk.tolist() == [1, None, 3]
    assert joined_ids([chunk[[0, 2]], id_array([4], {})]).dtype == np.int64


def test_one_text_makes_every_id_text() -> None:
    ids = joined_ids([id_array([1, 2], {}), id_array(["a", "2"], {})])

    assert ids.dtype == object
    assert ids.tolist() == ["1", "2", "a", "2"]


def test_an_id_beyond_int64_makes_every_id_text() -> None:
    assert joined_ids([id_array([1, 2**63], {})]).tolist() == ["1", "9223372036854775808"]


def test_equal_texts_are_kept_once() -> None:
    known: dict[object, int | str | None] = {}
    first, second = id_array(["".join(["a", "b"])], known), id_array(["".join(["a", "b"])], known)

    assert first[0] is second[0]


def test_no_ids_at_all_are_integers() -> None:
    assert joined_ids([]).dtype == np.int64


def test_null_and_empty_texts_are_none() -> None:
    assert text_array(["a", None, "", 5, b"b", b"\xff"]).tolist() == ["a", None, None, "5", "b", None]


# Events


def test_events_are_coded_and_those_not_allowed_are_marked() -> None:
    names: dict[str, int] = {}

    codes = event_codes(["view", "dance", None, "cart", "view"], names, {"view", "cart"}, rating=False)
    more = event_codes(["cart", "view"], names, {"view", "cart"}, rating=False)

    assert (codes.tolist(), codes.dtype) == ([0, -1, -1, 1, 0], np.int16)
    assert more.tolist() == [1, 0]
    assert names == {"view": 0, "cart": 1}


def test_names_come_back_in_order_and_only_those_that_occur() -> None:
    ordered, codes = sorted_names({"view": 0, "cart": 1, "star5": 2}, np.array([1, 0, 1], np.int16))

    assert (ordered, codes.tolist()) == (("cart", "view"), [0, 1, 0])


@pytest.mark.parametrize(
    ("rating", "event"),
    [
        (1, "star1"),
        (5, "star5"),
        (4.5, "star5"),  # half up
        (4.49, "star4"),
        (0.5, "star1"),
        (Decimal("3.0"), "star3"),
        ("2", "star2"),
        (0.49, None),
        (0, None),
        (5.5, None),
        (-3, None),
        (10, None),
        (None, None),
        ("good", None),
        (float("nan"), None),
        (float("inf"), None),
    ],
)
def test_ratings_become_events_rounded_and_none_outside(rating: object, event: str | None) -> None:
    assert star(rating) == event


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
