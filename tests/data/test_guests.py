"""Ids under which a shop records its guests are found, whatever they are; a person's id never is."""

import numpy as np
import pytest

from recsys.data.cleaning import clean
from recsys.data.guests import implausible_ids, is_filler, names_nobody
from recsys.data.interactions import Interactions
from recsys.settings import Shop, Training

DAY = 86_400
NOW = 1_700_000_000
WORDS = (
    "guest Guest GUEST guests [guest] <guest> anonymous Anonymous anon nobody NA N/A n/a #N/A n.a. NaN nan null "
    "(null) NULL None nil undefined unknown UNKNOWN (unknown) not_set no-user - -- ? . __ * visitor gast "
    "walk-in-customer"
).split()
FILLERS = ("0", "00", "0.0", "-1", "-99", "−1", "99999", "999999999", "00000000-0000-0000-0000-000000000000", "f" * 32)  # noqa: RUF001
PERSONS = (
    "1",
    "17",
    "nan goldin",
    "null@example.com",
    "A0",
    "guest17",
    "0x1",
    "9",
    "99",
    "N",
    "Anna",
    "Gastón",
    "日本",
)
CROWDS = ("WALKIN-POS", "shop@example.com", "1", "till 4", "日本")


def shop_of(
    shared: object, n_shared: int, *, n_users: int = 60, n_each: int = 25, own_items: bool = False
) -> Interactions:
    """Return purchases of users from 1001 on with a taste each, and of one more id, of any item or of two."""
    rng = np.random.default_rng(7)
    users = np.repeat(np.arange(1001, 1001 + n_users), n_each)
    items = 3 * rng.integers(0, 40, len(users)) + users % 3
    others = rng.integers(0, 2 if own_items else 120, n_shared)
    kind = np.int64 if isinstance(shared, int) else object
    all_users = [shared] * n_shared + [user if kind is np.int64 else f"u{user}" for user in users.tolist()]
    n = len(all_users)
    return Interactions(
        users=np.array(all_users, kind),
        items=np.concatenate([others, items]),
        events=np.zeros(n, np.int16),
        timestamps=NOW - rng.permutation(n) * (200 * DAY // n) - 1,
        row_ids=np.arange(n),
        event_names=("purchase",),
    )


def guests_of(
    events: Interactions, *, guests: tuple[str, ...] = (), persons: tuple[str, ...] = ()
) -> tuple[int | str, ...]:
    shop = Shop(sources=(), products="", guests=guests, persons=persons)
    kept, report = clean(events, shop=shop, training=Training(max_user_events_per_day=10**6), now=NOW)
    dropped = {reason: n for reason, n in report.dropped.items() if reason.startswith("guests")}
    assert list(dropped) == [f"guests as user {user!r}" for user in report.guests]
    assert not set(report.guests) & set(kept.users.tolist())
    assert report.rows_in - report.rows_out == sum(report.dropped.values())
    return report.guests


def test_words_for_nobody_are_known_by_themselves() -> None:
    assert [word for word in WORDS if not names_nobody(word)] == []
    assert [word for word in (*FILLERS, *PERSONS, 0, -1, None) if names_nobody(word)] == []


def test_fillers_are_numbers_that_often_stand_for_nobody() -> None:
    assert [text for text in (*FILLERS, 0, -1, 0.0) if not is_filler(text)] == []
    assert [text for text in (*WORDS, *PERSONS, 1, 17, 999) if is_filler(text)] == []


@pytest.mark.parametrize("shared", [0, -1, 99999, 1, *FILLERS, *CROWDS])
def test_an_id_with_a_third_of_all_events_is_no_person(shared: object) -> None:
    assert guests_of(shop_of(shared, 700)) == (shared,)


@pytest.mark.parametrize("word", WORDS)
def test_a_word_for_nobody_has_no_events_left(word: str) -> None:
    assert guests_of(shop_of(word, 1, n_users=5)) == (word,)


@pytest.mark.parametrize(
    ("events", "why"),
    [
        (shop_of(0, 1), "visitor 0 of a data set that counts from 0"),
        (shop_of(0, 200), "a busy person, though the first of a data set that counts from 0"),
        (shop_of("A", 300, n_users=12), "one of few users, of whom everybody has a large share"),
        (shop_of("A", 700, own_items=True), "a person with two items"),
        (shop_of("A", 200, n_users=60), "a person with eight times the usual number of events"),
        (shop_of("A", 400, n_users=400), "a person with many events, but no tenth of all"),
    ],
)
def test_a_person_stays(events: Interactions, why: str) -> None:
    assert guests_of(events) == (), why


def test_the_shop_knows_better() -> None:
    assert guests_of(shop_of("POS", 700), persons=("POS",)) == ()
    assert guests_of(shop_of(0, 700), persons=("0",)) == ()
    assert guests_of(shop_of("POS", 3), guests=("POS",)) == ("POS",)


def test_two_ids_of_guests_do_not_hide_each_other() -> None:
    assert sorted(implausible_ids({**dict.fromkeys(range(100, 160), 25), 0: 900, -1: 800, 7: 950})) == [-1, 0, 7]


def test_a_shop_of_one_user_or_none_has_no_guests() -> None:
    assert implausible_ids({}) == implausible_ids({0: 10**6}) == []
