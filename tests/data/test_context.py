"""Context features: the clock in the time zone of the shop, and values that training learned."""

import calendar
import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from recsys.data.context import SEASONS, TIMES_OF_DAY, ContextEncoder, clock_columns, clock_context


def utc(text: str) -> int:
    """Return seconds since 1970 of a UTC time like 2024-03-10T06:59."""
    date, clock = text.split("T")
    year, month, day = map(int, date.split("-"))
    hour, minute = map(int, clock.split(":"))
    return calendar.timegm((year, month, day, hour, minute, 0))


@pytest.mark.parametrize(
    ("moment", "zone", "time_of_day", "season"),
    [
        ("2024-01-08T00:00", "UTC", "night", "winter"),
        ("2024-01-08T05:59", "UTC", "night", "winter"),
        ("2024-01-08T06:00", "UTC", "morning", "winter"),
        ("2024-01-08T12:00", "UTC", "afternoon", "winter"),
        ("2024-01-08T18:00", "UTC", "evening", "winter"),
        ("2024-03-01T00:00", "UTC", "night", "spring"),
        ("2024-12-01T00:00", "UTC", "night", "winter"),
        ("2024-02-29T18:00", "Asia/Tokyo", "night", "spring"),  # 03:00 of the first of March there
        # New York puts its clocks forward on 2024-03-10 at 07:00 UTC, from 01:59 to 03:00
        ("2024-03-09T11:00", "America/New_York", "morning", "spring"),  # 06:00, five hours behind
        ("2024-03-09T10:59", "America/New_York", "night", "spring"),
        ("2024-03-10T10:00", "America/New_York", "morning", "spring"),  # 06:00, four hours behind
        ("2024-03-10T09:59", "America/New_York", "night", "spring"),
        # and back on 2024-11-03 at 06:00 UTC
        ("2024-11-03T10:59", "America/New_York", "night", "autumn"),  # 05:59, five hours behind again
        ("2024-11-02T10:00", "America/New_York", "morning", "autumn"),
        ("2024-01-08T00:15", "Asia/Kathmandu", "morning", "winter"),  # 5:45 ahead: 06:00
        ("2024-01-08T00:14", "Asia/Kathmandu", "night", "winter"),
        ("2024-01-08T00:30", "Asia/Kolkata", "morning", "winter"),  # 5:30 ahead: 06:00
        ("1969-12-31T12:00", "UTC", "afternoon", "winter"),
    ],
)
def test_clock_features_use_the_local_time(moment: str, zone: str, time_of_day: str, season: str) -> None:
    columns = clock_columns(np.array([utc(moment)]), zone)

    assert clock_context(utc(moment), zone) == {"time_of_day": time_of_day, "season": season}
    assert TIMES_OF_DAY[columns["time_of_day"][0]] == time_of_day
    assert SEASONS[columns["season"][0]] == season


def test_many_moments_have_the_features_of_each() -> None:
    moments = utc("2024-03-09T00:00") + 547 * np.arange(400)  # two and a half days over the change of the clocks
    columns = clock_columns(moments, "America/New_York")

    for n, moment in enumerate(moments.tolist()):
        context = clock_context(moment, "America/New_York")
        assert TIMES_OF_DAY[columns["time_of_day"][n]] == context["time_of_day"]
        assert SEASONS[columns["season"][n]] == context["season"]


def test_no_moments_have_no_clock() -> None:
    columns = clock_columns(np.zeros(0, np.int64), "Europe/Berlin")

    assert {name: (column.shape, column.dtype) for name, column in columns.items()} == {
        "time_of_day": ((0,), np.int32),
        "season": ((0,), np.int32),
    }


ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Asia/Ho_Chi_Minh", "Asia/Kathmandu", "Australia/Lord_Howe")
NODE = """
const { deriveContext } = await import(process.argv[1]);
const { zones, moments } = JSON.parse(process.argv[2]);
const of = (moment, timeZone) => deriveContext({ now: 1000 * moment, timeZone });
console.log(JSON.stringify(zones.map((zone) => moments.map((moment) => of(moment, zone)))));
"""


def test_node_derives_the_same_context_in_every_hour_of_a_year() -> None:
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not installed")
    module = Path(__file__).parents[2] / "backend/src/services/recommendations/context.js"
    moments = (utc("2024-01-01T00:30") + 3600 * np.arange(366 * 24)).tolist()
    arguments = json.dumps({"zones": ZONES, "moments": moments})
    command = [node, "--input-type=module", "-e", NODE, module.as_uri(), arguments]
    output = subprocess.run(command, capture_output=True, check=True).stdout

    for zone, contexts in zip(ZONES, json.loads(output), strict=True):
        assert contexts == [{**clock_context(moment, zone), "device_type": None} for moment in moments], zone


@pytest.fixture
def encoder() -> ContextEncoder:
    return ContextEncoder.fit(
        {"device_type": ["Mobile", None, "desktop", "mobile ", ""]}, ["tea", "Coffee", None, "TEA"]
    )


def test_values_are_distinct_folded_and_in_order(encoder: ContextEncoder) -> None:
    assert encoder.features == ("time_of_day", "season", "device_type", "category")
    assert encoder.values["device_type"] == ("desktop", "mobile")
    assert encoder.values["category"] == ("coffee", "tea")
    assert encoder.sizes == (5, 5, 3, 3)


def test_absent_and_unseen_values_are_unknown(encoder: ContextEncoder) -> None:
    assert encoder.encode({}).tolist() == [4, 4, 2, 2]
    unseen = {"time_of_day": "noon", "season": None, "device_type": "tv", "category": "honey"}
    known = {"time_of_day": "evening", "season": "winter", "device_type": " MOBILE", "category": "Tea"}
    assert encoder.encode(unseen).tolist() == [4, 4, 2, 2]
    assert encoder.encode(known).tolist() == [3, 0, 1, 1]
    assert encoder.encode({"weather": "rain"}).tolist() == [4, 4, 2, 2]


def test_a_column_is_encoded_as_its_values_are(encoder: ContextEncoder) -> None:
    values = ["desktop", "Mobile", None, "tv", ""]

    assert encoder.column("device_type", values).tolist() == [0, 1, 2, 2, 2]
    assert [int(encoder.encode({"device_type": value})[2]) for value in values] == [0, 1, 2, 2, 2]
    assert encoder.column("device_type", []).shape == (0,)


def test_a_value_comes_back_in_the_encoders_spelling(encoder: ContextEncoder) -> None:
    assert encoder.known_value("category", " TEA ") == "tea"
    assert encoder.known_value("category", "honey") is None
    assert encoder.known_value("category", None) is None


def test_a_shop_without_context_values_has_clock_features_only() -> None:
    encoder = ContextEncoder.fit({"device_type": [None, None]}, [])

    assert encoder.sizes == (5, 5, 1, 1)
    assert encoder.encode({"device_type": "mobile", "category": "tea"}).tolist() == [4, 4, 0, 0]


def test_a_column_cannot_take_the_place_of_the_clock() -> None:
    encoder = ContextEncoder.fit({"season": ["sale", "regular"]}, [])

    assert encoder.values["season"] == SEASONS
