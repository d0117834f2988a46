"""Odd files of every kind, drawn with a seed: each row is read right, or told; none is taken for something else."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from recsys.errors import UsageError
from recsys.importing.amounts import readings
from recsys.importing.options import Condition, ImportOptions
from recsys.importing.report import ImportReport
from recsys.importing.run import import_events
from recsys.settings import load_settings
from recsys.store import Database, connect

N_VARIANTS, N_ROWS = 20, 12
SHOP = load_settings({"DATABASE_URL": "sqlite:///unused"}, Path(__file__).parent).shop
FIRST_DAY = datetime(2024, 1, 1, tzinfo=UTC)


@dataclass
class Odd:
    """A file, and the right events of those of its rows that can only mean one thing to a person who knows the shop.

    Attributes:
        text: The file.
        right: User, moment and price of each right event.
        n_silent: Rows that are no event and need not be told, because a condition drops them.
        options: Options beside the columns.
    """

    text: str
    right: set[tuple[str, str, float | None]]
    n_silent: int = 0
    options: dict[str, Any] = field(default_factory=dict)


def moment(row: int) -> datetime:
    return FIRST_DAY + timedelta(days=row, seconds=37 * row + 1)


def written(row: int) -> str:
    return f"{moment(row):%Y-%m-%d %H:%M:%S}"


def spell(rng: random.Random, value: int | float) -> str:
    """Write a number as some country or program does."""
    size = abs(value)
    plain = f"{size:.2f}" if isinstance(value, float) else str(size)
    comma = plain.replace(".", ",")
    grouped = f"{size:,.2f}" if isinstance(value, float) else f"{size:,}"
    other = grouped.replace(",", " ").replace(".", ",").replace(" ", rng.choice([".", " ", "\u00a0", "\u202f", "'"]))
    digits = rng.choice([plain, comma, grouped, other if isinstance(value, float) else plain])
    if value >= 0:
        return rng.choice([digits, f" {digits} ", f"+{digits}", f"'{digits}"])
    return rng.choice([f"-{digits}", f"\u2212{digits}", f"\u2013{digits}", f"({digits})", f"'-{digits}", f"{digits}-"])


def quantities(rng: random.Random, user: str) -> Odd:
    values = [rng.choice([0, 1, 3, 12, 1200, -1, -3, -70, -1200, 2.5, -1.5]) for _ in range(N_ROWS)]
    odd = rng.choice(["few", "3 pieces", "--1", "1-2", "#REF!"])
    lines = [f"{user}{row}|P|{written(row)}|{spell(rng, value)}" for row, value in enumerate(values)]
    lines.append(f"{user}x|P|{written(1)}|{odd}")
    right = {(f"{user}{row}", written(row), None) for row, value in enumerate(values) if value > 0}
    options = {"delimiter": "|", "drop_when": [Condition.parse("more<=0")]}
    return Odd("\n".join(["user|item|at|more", *lines]), right, N_ROWS - len(right), options)


def prices(rng: random.Random, user: str) -> Odd:
    values = [round(rng.uniform(0.01, 10 ** rng.randrange(1, 6)), 2) for _ in range(N_ROWS)]
    texts = [spell(rng, value) for value in values]
    texts[0] = rng.choice(["12,50 EUR", "on request", "$3", "1,2,3"])
    known = [value if len(readings(text)) == 1 else None for value, text in zip(values, texts, strict=True)]
    lines = [f"{user}{row};{user}{row};{written(row)};{text}" for row, text in enumerate(texts)]
    right = {(f"{user}{row}", written(row), price) for row, price in enumerate(known)}
    return Odd("\n".join(["user;item;at;more", *lines]), right, 0, {"delimiter": ";", "price": "more"})


def quotes(rng: random.Random, user: str) -> Odd:
    notes = ["good", '"good, cheap"', '"she said ""yes"""', '"6 inch', '27" screen', '"a" b', '"']
    notes += ['"two\nlines"', '"two,\nlines"', '"', '"24"', '""']
    lines = [f"{user}{row},P,{written(row)},{rng.choice(notes)}" for row in range(N_ROWS)]
    return Odd(
        "\n".join(["user,item,at,more", *lines]), {(f"{user}{row}", written(row), None) for row in range(N_ROWS)}
    )


def tabs(rng: random.Random, user: str) -> Odd:
    notes = ["good", '"6 inch', '"', '27"', '"a" b', '"all"', '""']
    lines = [f"{user}{row}\tP\t{written(row)}\t{rng.choice(notes)}" for row in range(N_ROWS)]
    options = {"delimiter": "\t", "quote": rng.choice(['"', "none"])}
    right = {(f"{user}{row}", written(row), None) for row in range(N_ROWS)}
    return Odd("\n".join(["user\titem\tat\tmore", *lines]), right, 0, options)


def moments(rng: random.Random, user: str) -> Odd:
    form, options = rng.choice(
        [
            ("%Y-%m-%dT%H:%M:%S", {}),
            ("%Y-%m-%dT%H:%M:%S.000Z", {}),
            ("%Y-%m-%d %H:%M:%S+00:00", {}),
            ("%d.%m.%Y %H:%M:%S", {}),
            ("%m/%d/%Y %H:%M:%S", {}),
            ("%d.%m.%Y %H:%M:%S", {"timestamp_format": "%d.%m.%Y %H:%M:%S"}),
            ("%b %d %Y %H:%M:%S", {"timestamp_format": "%b %d %Y %H:%M:%S"}),
            ("s", {}),
            ("s", {"timestamp_unit": "s"}),
            ("ms", {}),
            ("ms", {"timestamp_unit": "ms"}),
        ]
    )
    scale = {"s": 1, "ms": 1000}.get(form)
    stamps = [f"{int(moment(row).timestamp()) * scale}" if scale else f"{moment(row):{form}}" for row in range(N_ROWS)]
    stamps[rng.randrange(N_ROWS)] = rng.choice(["soon", "", "0000-00-00 00:00:00", "31.02.2024", "-5"])
    lines = [f"{user}{row},P,{stamp},x" for row, stamp in enumerate(stamps)]
    right = {(f"{user}{row}", written(row), None) for row in range(N_ROWS)}
    return Odd("\n".join(["user,item,at,more", *lines]), right, 0, options)


def orders(rng: random.Random, user: str) -> Odd:
    lines, right, silent = ["user,item,at,more,order"], set(), 0
    for order in range(N_ROWS):
        status, n_lines = rng.choice(["paid", "refunded", ""]), rng.randrange(1, 4)
        lines.append(f"{user}{order},P0,{written(order)},{status},{user}{order}")
        lines += [f",P{line},,,{user}{order}" for line in range(1, n_lines)]
        if status == "paid":
            right.add((f"{user}{order}", written(order), None))
        else:
            silent += n_lines
    conditions = [Condition.parse("more=refunded"), Condition.parse("more=")]
    return Odd("\n".join(lines), right, silent, {"fill_down": "order", "drop_when": conditions})


def separators(rng: random.Random, user: str) -> Odd:
    real, named = rng.sample([",", ";", "\t", "::", "|"], 2)
    lines = [real.join((f"{user}{row}", "P", written(row), "x")) for row in range(N_ROWS)]
    right = {(f"{user}{row}", written(row), None) for row in range(N_ROWS)}
    text = "\n".join([real.join(("user", "item", "at", "more")), *lines])
    return Odd(text, right, 0, {"delimiter": rng.choice([real, named])})


def objects(rng: random.Random, user: str) -> Odd:
    rows = [{"user": f"{user}{row}", "item": "P", "at": written(row), "more": None} for row in range(N_ROWS)]
    lines = [json.dumps(row) for row in rows]
    lines[rng.randrange(1, N_ROWS)] = rng.choice(["[1]", "{broken", '"text"', '{"user": "u"', "null", "NaN"])
    return Odd("\n".join(lines), {(f"{user}{row}", written(row), None) for row in range(N_ROWS)})


KINDS: dict[str, Callable[[random.Random, str], Odd]] = {
    kind.__name__: kind for kind in (quantities, prices, quotes, tabs, moments, orders, separators, objects)
}


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    with connect(f"sqlite:///{tmp_path_factory.mktemp('odd') / 'shop.sqlite'}", create=True) as db:
        yield db


def added(db: Database, user: str) -> set[tuple[str, str, float | None]]:
    sql = (
        "SELECT u.externalId, i.timestamp, d.originalPrice FROM Interactions i JOIN Users u ON u.id = i.userId "
        "LEFT JOIN Productdetails d ON d.productId = i.productId WHERE u.externalId LIKE :users"
    )
    return {(str(who), str(at), price) for who, at, price in db.query(sql, {"users": f"{user}%"})}


def n_told(report: ImportReport) -> int:
    lines = [line for _, line in report.unreadable_lines()]
    assert all("e.g." in line and line.endswith(".") for line in lines)
    return sum(report.dropped[reason] for reason in report.unreadable)


@pytest.mark.parametrize("kind", KINDS)
def test_every_row_of_an_odd_file_is_read_right_or_told(kind: str, database: Database, tmp_path: Path) -> None:
    rng, n_read, n_refused = random.Random(f"odd {kind}"), 0, 0
    for variant in range(N_VARIANTS):
        user = f"{kind}{variant}u"
        odd = KINDS[kind](rng, user)
        path = tmp_path / f"{variant}.csv"
        path.write_text(odd.text, encoding="utf-8")
        options = ImportOptions(**{"user": "user", "item": "item", "timestamp": "at", "chunk": 5, **odd.options})
        try:
            report = import_events(database, path, options, shop=SHOP)
        except UsageError as error:
            assert "Received: " in str(error), odd
            assert not added(database, user), odd
            n_refused += 1
            continue
        found = added(database, user)
        n_read += len(found)
        assert found <= odd.right, (odd, found - odd.right)
        assert report.rows == report.added.total() + report.dropped.total(), odd
        assert len(odd.right - found) <= n_told(report), (odd, report)
        silent = sum(n for reason, n in report.dropped.items() if reason not in report.unreadable)
        assert silent == odd.n_silent, (odd, report)
    assert n_read and n_refused < N_VARIANTS * 2 // 3


def test_an_odd_price_or_quote_is_told_with_an_example(database: Database, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text('user,item,at,more\na,P,2024-01-01,"6 inch\nb,P,2024-01-02,"12,50 EUR"\nc,Q,2024-01-03,few\n')
    options = ImportOptions(user="user", item="item", timestamp="at", price="more")

    report = import_events(database, path, options, shop=SHOP)

    assert {reason: report.ignored[reason] for reason in report.unreadable} == {
        "price not a number above 0": 3,
        "quote that is no quote of a field": 1,
    }
