"""An imported id has one spelling, whatever else a file says, and what is odd about ids is told with an example."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from recsys.importing.id_allocation import FIRST_ASSIGNED, IdAllocator, spelled
from recsys.importing.options import ImportOptions
from recsys.importing.report import ImportReport
from recsys.importing.run import import_events
from recsys.settings import load_settings
from recsys.store import connect

N_VARIANTS = 20
# For each kind, how a whole number is written in it.
SPELLINGS: dict[str, Sequence[Callable[[int], str]]] = {
    "as it is": (str,),
    "through a float": (
        lambda n: f"{n}.0",
        lambda n: f"{n}.00",
        lambda n: f"{n}.",
        lambda n: f"{n:.18e}",
        lambda n: f"{n:.15E}",
        lambda n: f"{n},0",
        lambda n: f"{n},00",
        lambda n: repr(float(n)),
    ),
    "padded": (lambda n: f"{n:012}", lambda n: f"0{n}", lambda n: f"00{n}", lambda n: f"{n:010}.0"),
    "signed": (lambda n: f"+{n}", lambda n: f"+{n}.0", lambda n: f"+0{n}"),
}
# What is no whole number, and what is told of it.
OTHERS = {
    "no whole number": (
        "Total",
        "85123A",
        "1.5",
        "17,850",
        "17.850,00",
        "0x1F",
        "１２",
        "½",
        "1_000",
        "--",
        "12-3",
        "A" * 128,
    ),  # noqa: RUF001
    "a number without its last digits": ("5.41E+08", "1e+05", "1.2346E+11", "2103807459595387648.0"),
    "a whole number of more than 15 digits": ("2103807459595387524", "1000000000000000", "-5", "-1000"),
}


def numbers_of(allocator: IdAllocator, ids: Sequence[str]) -> list[int]:
    numbers: list[int] = allocator.numbers(np.array(ids, object), [f"row of {text}" for text in ids])[0].tolist()
    return numbers


def test_a_whole_number_is_itself_in_every_spelling_whatever_stands_beside_it() -> None:
    rng = random.Random(21)
    others = [text for texts in OTHERS.values() for text in texts]
    for kind, spellings in SPELLINGS.items():
        for _ in range(N_VARIANTS):
            numbers = [0, *(rng.randrange(10 ** rng.randrange(1, 12)) for _ in range(5))]
            written = [rng.choice(spellings)(number) for number in numbers]
            around = rng.sample(others, 3)
            ids = [*around, *written, *around]
            rng.shuffle(ids)
            found = dict(zip(ids, numbers_of(IdAllocator([]), ids), strict=True))
            assert [found[text] for text in written] == numbers, (kind, written)
            assert all(found[text] >= FIRST_ASSIGNED for text in around)
            assert len({found[text] for text in around}) == len(around)


def test_what_a_file_says_changes_no_earlier_and_no_other_id() -> None:
    rng = random.Random(5)
    others = [text for texts in OTHERS.values() for text in texts]
    for _ in range(N_VARIANTS):
        table: dict[int, str | None] = {}
        meanings: dict[str, int] = {}
        for _month in range(4):
            allocator = IdAllocator(table.items())
            plain = [rng.choice(SPELLINGS[rng.choice(list(SPELLINGS))])(rng.randrange(60)) for _ in range(12)]
            ids = [*plain, *rng.sample(others, 4)]
            rng.shuffle(ids)
            numbers, new = allocator.numbers(np.array(ids, object), ids)
            assert not set(new) & set(table)
            table |= new
            for text, number in zip(ids, numbers.tolist(), strict=True):
                assert meanings.setdefault(spelled(text), number) == number
        assert len(set(meanings.values())) == len(meanings) == len(table)


def test_every_odd_id_is_counted_under_its_kind_with_an_example() -> None:
    for kind, texts in OTHERS.items():
        allocator = IdAllocator([])
        first, *_ = numbers_of(allocator, ["7", *texts, *texts])[1:]
        [(told, oddity)] = allocator.oddities.items()
        assert (kind in told or kind == "a whole number of more than 15 digits", oddity.n_ids) == (True, len(texts))
        assert oddity.example == f"{texts[0]!r} is {first}, in the row row of {texts[0]}"[: len(oddity.example)]

    allocator = IdAllocator([])
    numbers_of(allocator, ["7", "007", "7.0", "8"])
    assert [(told, oddity.n_ids) for told, oddity in allocator.oddities.items()] == [
        ("a whole number in another spelling", 2)
    ]


def test_leading_zeros_stay_in_view() -> None:
    allocator = IdAllocator([])
    _, new = allocator.numbers(np.array(["0663713001", "541518023.0", "5", "0"], object), [""] * 4)

    assert new == {663713001: "0663713001", 541518023: None, 5: None, 0: None}


def imported(
    folder: Path, files: Sequence[str], **options: object
) -> tuple[dict[int, str | None], ImportReport, list[tuple[int, int]]]:
    """Import files one after the other; returns the users, the last report, and (user, item) of all events."""
    shop = load_settings({"DATABASE_URL": "sqlite:///unused.sqlite"}, folder).shop
    settings = ImportOptions(**{"user": "user", "item": "item", "timestamp": "at", **options})  # type: ignore[arg-type]
    with connect(f"sqlite:///{folder / 'shop.sqlite'}", create=True) as db:
        for number, text in enumerate(files):
            path = folder / f"{number}.csv"
            path.write_text(text, encoding="utf-8")
            report = import_events(db, path, settings, shop=shop)
        users: dict[int, str | None] = dict(db.query("SELECT id, externalId FROM Users ORDER BY id"))
        return users, report, db.query("SELECT userId, productId FROM Interactions ORDER BY interId")


def test_a_total_below_a_good_file_renumbers_nobody(tmp_path: Path) -> None:
    january = "user,item,at\n1,7,1704067200\n2,7,1704067300\n3,8,1704067400\n"
    february = "user,item,at\n0,7,1706745600\n9,8,1706745700\n5.0,9,1706745800\n4,9,1706745900\nTotal,300,1706746000\n"

    users, report, events = imported(tmp_path, [january, february])

    assert users == {0: None, 1: None, 2: None, 3: None, 4: None, 5: None, 9: None, FIRST_ASSIGNED: "Total"}
    assert [user for user, _ in events] == [1, 2, 3, 0, 9, 5, 4, FIRST_ASSIGNED]
    assert report.oddities == [
        "1 user ids: a whole number in another spelling, e.g. '5.0' is 5, in the row 5.0,9,1706745800",
        f"1 user ids: no whole number, e.g. 'Total' is {FIRST_ASSIGNED}, in the row Total,300,1706746000",
    ]


# Guests


def with_guests(guest: str, n_guests: int, session: Callable[[int], str] = lambda _: "") -> str:
    """Return a file of 40 users with 10 purchases each, and rows of one more user id."""
    rng = random.Random(3)
    rows = [(str(user), "") for user in range(101, 141) for _ in range(10)]
    rows += [(guest, session(row)) for row in range(n_guests)]
    rng.shuffle(rows)
    lines = [f"{user},{rng.randrange(1, 60)},{1_704_067_200 + row},{visit}" for row, (user, visit) in enumerate(rows)]
    return "\n".join(["user,item,at,visit", *lines, ""])


def test_guests_are_dropped_by_name_under_whatever_id(tmp_path: Path) -> None:
    for number, guest in enumerate(("0", "NA", "guest", "-1", "POS 4", "0.0")):
        folder = tmp_path / str(number)
        folder.mkdir()
        users, report, events = imported(folder, [with_guests(guest, 200)])
        assert (len(users), len(events)) == (40, 400), guest
        assert report.dropped[f"guests as user {guest!r}"] == 200


def test_guests_of_a_session_are_users_of_their_own(tmp_path: Path) -> None:
    text = with_guests("", 100, lambda row: f"v{row % 30}") + "(not set),1,1704967200,v1\nNA,1,1704967300,\n"

    users, report, events = imported(tmp_path, [text], session="visit")

    sessions = {external for external in users.values() if external is not None}
    assert sessions == {f"guest:v{number}" for number in range(30)}
    assert (len(events), report.guest_rows, len(users)) == (501, 101, 70)
    assert {reason: n for reason, n in report.dropped.items() if n} == {"guests as user 'NA'": 1}


def test_the_caller_knows_better(tmp_path: Path) -> None:
    users, report, _ = imported(tmp_path, [with_guests("0", 200)], persons=("0", "NA"), guests=("101", "0102"))

    assert 0 in users and len(users) == 39
    assert {reason: n for reason, n in report.dropped.items() if n} == {
        "guests as user '101'": 10,
        "guests as user '102'": 10,
    }
