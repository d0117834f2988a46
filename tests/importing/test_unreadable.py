"""What a file says is read, or told with an example and what helps; it is never taken for something else."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow
import pytest

from recsys.errors import UsageError
from recsys.importing.amounts import amount, readings
from recsys.importing.files import MALFORMED, STRAY_QUOTES, EventFile
from recsys.importing.options import Condition, ImportOptions
from recsys.importing.records import Records
from recsys.importing.report import ImportReport
from recsys.importing.rows import RowReader

# A text, what it can mean, and what it means where a comma is decimal.
NUMBERS = [
    ("12.50", [12.5], []),
    ("-1,5", [-1.5], [-1.5]),
    ("\u22122", [-2], [-2]),
    ("\u20132", [-2], [-2]),
    ("(3)", [-3], [-3]),
    ("( 3 )", [-3], [-3]),
    ("'-70", [-70], [-70]),
    ("70-", [-70], [-70]),
    ("+4", [4], [4]),
    ("- 4", [-4], [-4]),
    ("1,200", [1200, 1.2], [1.2]),
    ("-1,200", [-1200, -1.2], [-1.2]),
    ("1.200", [1.2], [1200]),
    ("1.234,5", [1234.5], [1234.5]),
    ("1,234.5", [1234.5], []),
    ("1.234.567", [1234567], [1234567]),
    ("12,34,567", [1234567], []),
    ("1 200", [1200], [1200]),
    ("1\u00a0200,5", [1200.5], [1200.5]),
    ("1'200,50", [1200.5], [1200.5]),
    ("1e3", [1000], [1000]),
    ("0012", [12], [12]),
    (".5", [0.5], []),
    *((text, [], []) for text in ("", "-", "--3", "-3-", "1,5,6", "3 pieces", "12,50 EUR", "2-3", "1_000", "٣", "inf")),
    (None, [], []),
]


@pytest.mark.parametrize(("text", "meant", "with_comma"), NUMBERS)
def test_a_number_is_all_that_can_be_meant_by_it(
    text: str | None, meant: Sequence[float], with_comma: Sequence[float]
) -> None:
    assert list(readings(text)) == meant
    assert list(readings(text, ",")) == with_comma
    np.testing.assert_equal(amount(text), meant[0] if len(meant) == 1 else np.nan)


@pytest.mark.parametrize(
    ("condition", "met", "undecided"),
    [
        ("x<=0", ["-1,200", "(3)", "\u22122", "-1,5", "'-70"], ["few"]),
        ("x>0", ["1,200", "7"], ["few"]),
        ("x>1000", [], ["1,200", "few"]),  # 1.2 or 1200
        ("x=", [None], []),
        ("x!=", ["-1,200", "(3)", "\u22122", "-1,5", "'-70", "1,200", "7", "few"], []),
    ],
)
def test_a_condition_holds_whatever_a_value_means_or_is_undecided(
    condition: str, met: list[str | None], undecided: list[str]
) -> None:
    texts = np.array(["-1,200", "(3)", "\u22122", "-1,5", "'-70", "1,200", "7", "few", None], object)

    holds, unknown = Condition.parse(condition).holds(texts)

    assert texts[holds].tolist() == met
    assert texts[unknown].tolist() == undecided


# Lines of a CSV of the columns user, when, note; the rows that it has, and the numbers of stray quotes and bad lines.
DAY = "2024-01-0"
CSV = {
    "quoted fields": ('7,1,"a, b"\n8,2,"say ""hi"""\n', [("7", "1", "a, b"), ("8", "2", 'say "hi"')], 0, 0),
    "a note of three lines": (
        f'7,{DAY}1,"good,\nvery good,\nindeed"\n8,{DAY}2,b\n',
        [("7", f"{DAY}1", "good,\nvery good,\nindeed"), ("8", f"{DAY}2", "b")],
        0,
        0,
    ),
    "a note whose second line has as many commas as a row": (
        f'7,{DAY}1,"good\nfast, cheap, small"\n8,{DAY}2,b\n',
        [("7", f"{DAY}1", "good\nfast, cheap, small"), ("8", f"{DAY}2", "b")],
        0,
        0,
    ),
    "a quote that nothing closes": (
        f'7,{DAY}1,"6 inch\n8,{DAY}2,b\n9,{DAY}3,c\n',
        [("7", f"{DAY}1", '"6 inch'), ("8", f"{DAY}2", "b"), ("9", f"{DAY}3", "c")],
        1,
        0,
    ),
    "a quote that the next row seems to close": (
        f'7,{DAY}1,"6 inch\n8,{DAY}2,5"\n9,{DAY}3,c\n',
        [("7", f"{DAY}1", '"6 inch'), ("8", f"{DAY}2", '5"'), ("9", f"{DAY}3", "c")],
        1,
        0,
    ),
    "many of them": (
        f'7,{DAY}1,"a\n8,{DAY}2,"b\n9,{DAY}3,"c',
        [("7", f"{DAY}1", '"a'), ("8", f"{DAY}2", '"b'), ("9", f"{DAY}3", '"c')],
        3,
        0,
    ),
    "text behind a closing quote": (
        f'7,{DAY}1,"Best" shirt\n8,{DAY}2,b\n',
        [("7", f"{DAY}1", '"Best" shirt'), ("8", f"{DAY}2", "b")],
        1,
        0,
    ),
    "a quote within a field": (
        f'7,{DAY}1,6" pipe\n8,{DAY}2,b\n',
        [("7", f"{DAY}1", '6" pipe'), ("8", f"{DAY}2", "b")],
        0,
        0,
    ),
    "an open quote behind a quoted comma": (f'7,"{DAY}1, noon","6 inch\n8,{DAY}2,b\n', [("8", f"{DAY}2", "b")], 1, 1),
    "an open quote in the last line": (
        f'7,{DAY}1,a\n8,{DAY}2,"b',
        [("7", f"{DAY}1", "a"), ("8", f"{DAY}2", '"b')],
        1,
        0,
    ),
    "an open quote before many lines": (
        f'7,{DAY}1,"x\n' + f"8,{DAY}2,b\n" * 3000,
        [("7", f"{DAY}1", '"x'), *[("8", f"{DAY}2", "b")] * 3000],
        1,
        0,
    ),
    "short, long and empty lines": ("7,1\n\n8,2,b,c\n9,3,d\n", [("9", "3", "d")], 0, 2),
}


@pytest.mark.parametrize(("text", "rows", "stray", "malformed"), CSV.values(), ids=CSV)
@pytest.mark.parametrize("delimiter", [",", "\t"])
def test_no_quote_costs_another_row(
    tmp_path: Path, text: str, rows: list[tuple[str, ...]], stray: int, malformed: int, delimiter: str
) -> None:
    path = tmp_path / "events.csv"
    path.write_text(("user,when,note\n" + text).replace(",", delimiter), encoding="utf-8")
    file = EventFile(path, delimiter=delimiter)

    read = [row for batch in file.batches(2) for row in zip(*batch.to_pydict().values(), strict=True)]

    assert read == [tuple(field.replace(",", delimiter) for field in row) for row in rows]
    assert (file.ignored[STRAY_QUOTES], file.dropped[MALFORMED]) == (stray, malformed)
    assert set(file.unreadable) == {reason for reason, n in ((STRAY_QUOTES, stray), (MALFORMED, malformed)) if n}


def test_without_quoting_every_quote_is_text(tmp_path: Path) -> None:
    path = tmp_path / "events.tsv"
    path.write_text('user\twhen\tnote\n7\t1\t"a"\n8\t2\t"b\n', encoding="utf-8")

    [batch] = EventFile(path, delimiter="\t", quote="none").batches(10)

    assert batch.to_pydict()["note"] == ['"a"', '"b']


def test_a_file_of_quotes_that_nothing_closes_is_read_whole() -> None:
    lines = [f'{row},2024-01-01,"6 inch\n' for row in range(60_000)]
    records = Records(lines, delimiter=",", quote='"', width=3)

    assert [int(fields[0]) for fields in records] == list(range(60_000))
    assert records.stray_quotes == 60_000


def rows_of(columns: dict[str, list[str | None]], report: ImportReport, **options: object) -> list[tuple[object, ...]]:
    """Return user, item and event of each row that is read."""
    batch = pyarrow.RecordBatch.from_pydict({name: pyarrow.array(texts) for name, texts in columns.items()})
    report.rows += batch.num_rows
    reader = RowReader(ImportOptions(user="user", item="item", timestamp="at", **options), ("purchase",), report)  # type: ignore[arg-type]
    events = reader.read(batch)
    return list(zip(events.users.tolist(), events.items.tolist(), events.events.tolist(), strict=True))


ORDERS: dict[str, list[str | None]] = {
    "order": ["1", "1", "2", "2", None],
    "user": ["ann", "", "bob", "bob", "eve"],
    "item": ["PEN", "INK", "PEN", "", "CAP"],
    "status": ["paid", "", "refunded", "", ""],
    "at": ["2024-01-01", "", "2024-01-02", "2024-01-02", "2024-01-03"],
    "price": ["1,50", "12,50 EUR", "1", "", "2"],
}


def test_an_orders_later_lines_are_filled_from_its_first_one_but_for_the_product() -> None:
    report = ImportReport()

    rows = rows_of(ORDERS, report, fill_down="order", drop_when=(Condition.parse("status=refunded"),))

    assert rows == [("ann", "PEN", "purchase"), ("ann", "INK", "purchase"), ("eve", "CAP", "purchase")]
    assert +report.dropped == {"dropped as status=refunded": 2}


def test_a_blank_can_be_dropped_and_one_that_no_condition_names_is_told() -> None:
    report, named = ImportReport(), ImportReport()

    rows_of(ORDERS, report, drop_when=(Condition.parse("status!=paid"),))
    rows_of(ORDERS, named, drop_when=(Condition.parse("status!=paid"), Condition.parse("status=")))

    assert report.ignored["blank status, which status!=paid does not meet"] == 3
    assert named.dropped["dropped as status="] == 3
    assert not any(reason.startswith("blank") for reason in +named.ignored)


def test_what_is_unreadable_is_told_with_an_example_and_what_helps() -> None:
    report = ImportReport()
    columns = {**ORDERS, "n": ["1", "few", "2", "3", "4"], "at": ["yesterday", *["2024-01-02"] * 4]}

    rows_of(columns, report, price="price", drop_when=(Condition.parse("n<1"),))

    assert report.unreadable_lines() == [
        (True, "unreadable number for n<1: 1 of 5 rows, e.g. 'few' (row 2). --decimal says which mark is decimal."),
        (
            True,
            "illegible timestamp: 1 of 5 rows, e.g. 'yesterday' (row 1). --timestamp-format says how text is written, "
            "--timestamp-unit what numbers count.",
        ),
    ]
    report.rows = 1000
    assert [is_loud for is_loud, _ in report.unreadable_lines()] == [False, False]


def test_a_file_of_which_too_much_is_unreadable_is_refused_unless_that_is_allowed() -> None:
    report = ImportReport()
    rows_of({**ORDERS, "at": ["31.01.2024", "31.01.2024", *["2024-01-02"] * 3]}, report)

    report.refuse_unreadable(0.2)
    with pytest.raises(UsageError, match=r"1 of the first 5.*'31\.01\.2024' \(row 1\)\. --timestamp-format"):
        report.refuse_unreadable(0.19)
