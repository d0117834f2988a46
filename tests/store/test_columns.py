from datetime import date
from decimal import Decimal
from uuid import UUID

import numpy as np
import pytest

from recsys.store.columns import event_codes, id_array, is_key, joined_ids, read_id, sorted_names, star, text_array

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
