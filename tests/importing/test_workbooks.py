"""Excel workbooks: every cell arrives as a CSV of the sheet would bring it, and a bad workbook is refused by name."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from zipfile import ZIP_STORED, ZipFile

import pytest

from recsys.errors import UsageError
from recsys.importing.columns import _parsed
from recsys.importing.files import EventFile
from recsys.importing.id_allocation import FIRST_ASSIGNED
from recsys.importing.options import ImportOptions
from recsys.store import Database, connect
from scripts import import_events as script
from tests.helpers.workbook import ERROR, write_workbook
from tests.importing.test_import_events import CLICKS, ORDER_FLAGS, ORDER_OPTIONS, ORDERS, dropped, run, stored

HEADER = ["user", "item", "event", "at"]
AT = datetime(2024, 3, 1, 9, 30)  # noqa: DTZ001 - Excel has no zones
AT_TEXT = "2024-03-01 09:30:00"
NO_VALUE = "events.xlsx should hold a header and rows. Received: no sheet with a value."


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Database]:
    with connect(f"sqlite:///{tmp_path / 'shop.sqlite'}", create=True) as opened:
        yield opened


@pytest.fixture
def workbook(tmp_path: Path) -> Callable[..., Path]:
    """Write sheets, given by name; rows alone are the sheet `Log`."""

    def write(rows: Any = (), **named: Any) -> Path:
        return write_workbook(tmp_path / "events.xlsx", named or {"Log": rows})

    return write


def as_excel_has_it(text: str) -> object:
    """Return the cell that Excel makes of a CSV's field."""
    for read in (int, float, datetime.fromisoformat):
        try:
            return read(text)
        except ValueError:
            continue
    return text or None


def texts(path: Path, **options: Any) -> list[list[str]]:
    return [list(row.values()) for batch in EventFile(path, **options).batches(1000) for row in batch.to_pylist()]


# The whole way


def test_online_retail_arrives_as_from_its_csv(db: Database, tmp_path: Path) -> None:
    path = tmp_path / "Online Retail.xlsx"
    text = ORDERS.replace("inf", "free")  # Excel has no infinity
    rows = [[as_excel_has_it(field) for field in line] for line in csv.reader(io.StringIO(text))]
    write_workbook(path, {"Online Retail": rows})
    (tmp_path / "orders.csv").write_text(text, encoding="utf-8")

    report = run(db, path, ORDER_OPTIONS)
    again = run(db, tmp_path / "orders.csv", ORDER_OPTIONS)

    assert report.rows == 10 == sum(report.added.values()) + sum(report.dropped.values())
    assert report.added == {"purchase": 4, "cancel": 1}
    assert [user for (user,) in db.query("SELECT id FROM Users ORDER BY id")] == [13047, 17850]
    assert stored(db)[0] == (17850, FIRST_ASSIGNED, "purchase", "2010-12-01 08:26:00")
    assert dropped(report) == {
        "dropped as Quantity<=0": 1,
        "no user": 1,
        "no item": 1,
        "illegible timestamp": 1,
        "equal to an earlier row": 1,
    }
    assert dropped(again)["imported before"] == 5, "a row is the same row in both formats"
    assert again.added == {}


@pytest.mark.parametrize(
    ("cell", "text"),
    [
        ("007", "007"),  # an id that somebody stored as text
        (7, "7"),
        (17850.0, "17850"),
        (-2.0, "-2"),
        (2.55, "2.55"),
        ("17850.0", "17850.0"),
        ("1e3", "1e3"),
        (1e300, "1e+300"),
        (2.0**53 - 1, "9007199254740991"),
        (2.0**60, "1.152921504606847e+18"),
        ("C536379", "C536379"),
        ("NA", "NA"),
        (" tea ", " tea "),
        ("a\nb", "a\nb"),
        (True, "TRUE"),
        (AT, AT_TEXT),
        (datetime(2024, 3, 1), "2024-03-01 00:00:00"),  # noqa: DTZ001
        (datetime(2024, 3, 1, 9, 30, 0, 500_000), "2024-03-01 09:30:00.500000"),  # noqa: DTZ001
        ("01.03.2024", "01.03.2024"),
        (None, ""),
        ("", ""),
        (ERROR, ""),
    ],
)
def test_a_cell_is_text_as_in_a_csv(workbook: Callable[..., Path], cell: object, text: str) -> None:
    assert texts(workbook([["before", "value"], ["x", cell]])) == ([["x", text]])


def test_every_second_of_a_date_is_exact(workbook: Callable[..., Path]) -> None:
    moments = [AT + timedelta(seconds=7_919 * k) for k in range(10_000)]

    assert texts(workbook([["at"], *([moment] for moment in moments)])) == [[str(moment)] for moment in moments]


@pytest.mark.parametrize(
    ("user", "at", "options", "event"),
    [
        ("007", AT, {}, (7, FIRST_ASSIGNED, "view", AT_TEXT)),
        (17850.0, AT, {}, (17850, FIRST_ASSIGNED, "view", AT_TEXT)),
        ("17850", AT_TEXT, {}, (17850, FIRST_ASSIGNED, "view", AT_TEXT)),
        (7, 1_709_285_400, {}, (7, FIRST_ASSIGNED, "view", AT_TEXT)),
        (7, 1_709_285_400_000.0, {"timestamp_unit": "ms"}, (7, FIRST_ASSIGNED, "view", AT_TEXT)),
        (7, "1709285400", {}, (7, FIRST_ASSIGNED, "view", AT_TEXT)),
        (7, "01.03.2024 09:30", {"timestamp_format": "%d.%m.%Y %H:%M"}, (7, FIRST_ASSIGNED, "view", AT_TEXT)),
        (7, AT, {"timestamp_format": "%d.%m.%Y %H:%M"}, (7, FIRST_ASSIGNED, "view", AT_TEXT)),  # a date needs no format
        (7, AT + timedelta(milliseconds=7), {"timestamp_format": "%d.%m.%Y"}, (7, FIRST_ASSIGNED, "view", AT_TEXT)),
        (7, datetime(2024, 3, 1, 17, 30), {"time_zone": "Asia/Shanghai"}, (7, FIRST_ASSIGNED, "view", AT_TEXT)),  # noqa: DTZ001
        (None, AT, {}, "no user"),
        ("NULL", AT, {}, "no user"),
        (ERROR, AT, {}, "no user"),
        (7, None, {}, "illegible timestamp"),
        (7, "31.02.2024", {"timestamp_format": "%d.%m.%Y"}, "illegible timestamp"),
        (7, "01.03.2024 09:30", {}, "illegible timestamp"),
    ],
)
def test_cells_follow_the_same_rules_as_a_csv(
    db: Database, workbook: Callable[..., Path], user: object, at: object, options: dict[str, Any], event: Any
) -> None:
    report = run(db, workbook([HEADER, [user, "A", "view", at]]), ImportOptions(**{**vars(CLICKS), **options}))

    assert report.rows == 1
    assert (stored(db), dropped(report)) == (([], {event: 1}) if isinstance(event, str) else ([event], {}))


# Rows and sheets


def test_blank_rows_and_columns_around_the_table_are_left_out(workbook: Callable[..., Path]) -> None:
    path = workbook([[None] * 5, [], [None, "user", "item", None], [], [None, 1, 2, None], [None, "", "", ""]])
    file = EventFile(path)

    assert (file.columns, texts(path)) == (("user", "item"), [["1", "2"]])
    with pytest.raises(UsageError, match=r"events.xlsx, sheet 'Log', row 3 should have one column 'who'"):
        file.require(["who"])


def test_sheets_follow_each_other_and_what_they_share_is_added_once(
    db: Database, workbook: Callable[..., Path]
) -> None:
    first, shared, last = (["ann", item, "view", AT + timedelta(days=n)] for n, item in enumerate("ABC"))
    path = workbook(
        **{"Year 2009-2010": [HEADER, first, shared], "Notes": [], "Year 2010-2011": [HEADER, shared, last]}
    )

    report = run(db, path, ImportOptions(**{**vars(CLICKS), "chunk": 1}))

    assert (report.rows, report.added) == (4, {"view": 3})
    assert dropped(report) == {"equal to an earlier row": 1}


@pytest.mark.parametrize(("names", "users"), [(("B",), ["2"]), (("B", "A"), ["2", "1"]), (("A",), ["1"])])
def test_sheets_are_read_as_they_are_named(
    workbook: Callable[..., Path], names: tuple[str, ...], users: list[str]
) -> None:
    assert [
        row[0] for row in texts(workbook(A=[["user"], [1]], B=[["user"], [2]], C=[["x"]]), sheet_names=names)
    ] == users


def test_progress_ends_at_the_size_of_the_workbook(db: Database, workbook: Callable[..., Path]) -> None:
    path, calls = workbook([HEADER, [1, 1, "view", AT], [1, 2, "view", AT]]), []
    run(db, path, ImportOptions(**{**vars(CLICKS), "chunk": 1}), progress=lambda done, rows: calls.append((done, rows)))

    assert calls == [(path.stat().st_size // 2, 1), (path.stat().st_size, 2)]


# Bad workbooks


@pytest.mark.parametrize(
    ("contents", "options", "says"),
    [
        ({"A": []}, {}, NO_VALUE),
        ({"A": [[None, ""], [ERROR]]}, {}, NO_VALUE),
        ({"A": [HEADER]}, {}, "events.xlsx should hold rows. Received: a header only."),
        (
            {"A": [HEADER], "B": []},
            {"sheet_names": ("C",)},
            "--sheet should name a sheet of events.xlsx: 'A', 'B'. Received: 'C'.",
        ),
        ({"A": [HEADER], "B": []}, {"sheet_names": ("B",)}, NO_VALUE),
        (
            {"A": [["who", "item", "event", "at"]]},
            {},
            "events.xlsx, sheet 'A', row 1 should have one column 'user'. "
            "Received: no such column among who, item, event, at.",
        ),
        (
            {"A": [[*HEADER, "user"]]},
            {},
            "events.xlsx, sheet 'A', row 1 should have one column 'user'. "
            "Received: more than one among user, item, event, at, user.",
        ),
        (
            {"A": [HEADER, [1, 2, "view", AT]], "Notes": [[], ["Made in 2024"]]},
            {},
            "events.xlsx, sheet 'Notes', row 2 should have the columns of events.xlsx, sheet 'A', row 1, "
            "or --sheet name the sheets to read. Received: Made in 2024.",
        ),
    ],
)  # fmt: skip
def test_a_workbook_without_the_table_is_refused(
    db: Database, workbook: Callable[..., Path], contents: dict[str, Any], options: dict[str, Any], says: str
) -> None:
    with pytest.raises(UsageError) as caught:
        run(db, workbook(**contents), ImportOptions(**{**vars(CLICKS), **options}))

    assert str(caught.value) == says


def archive(path: Path, **files: str) -> bytes:
    with ZipFile(path, "w") as zipped:
        for name, content in files.items():
            zipped.writestr(name, content)
    return path.read_bytes()


def with_a_wrong_digit(path: Path) -> bytes:
    """Return a workbook in which a cell differs from its checksum."""
    parts = {info.filename: ZipFile(path).read(info) for info in ZipFile(path).infolist()}
    with ZipFile(path, "w", ZIP_STORED) as zipped:
        for name, content in parts.items():
            zipped.writestr(name, content)
    return path.read_bytes().replace(b"<v>17850</v>", b"<v>17851</v>")


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda path: path.read_bytes()[:-200], "events.xlsx cannot be read: File is not a zip file."),
        (lambda path: b"PK\x03\x04" + bytes(100), "events.xlsx cannot be read: File is not a zip file."),
        (with_a_wrong_digit, "events.xlsx, sheet 'Log' cannot be read: I/O error: Invalid checksum."),
        (
            lambda path: archive(path, **{"xl/workbook.xml": "<workbook>"}),
            "events.xlsx cannot be read: ",
        ),
        (
            lambda path: archive(path, **{"online_retail.csv": "user,item", "readme": ""}),
            "events.xlsx should be CSV, gzipped CSV, Parquet or .xlsx. "
            "Received: a zip archive of 2 files, such as online_retail.csv; unpack it first.",
        ),
        (
            lambda path: b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(504),
            "events.xlsx should be an .xlsx file without a password. Received: an encrypted workbook, or an old .xls.",
        ),
        (
            lambda path: b"user,item,event,at\n1,2,view,3\n",
            "events.xlsx should be Excel, as its name says. Received: something else.",
        ),
        (lambda path: b"", "events.xlsx should hold a header and rows. Received: an empty file."),
    ],
)
def test_a_damaged_workbook_is_refused(
    workbook: Callable[..., Path], damage: Callable[[Path], bytes], says: str
) -> None:
    path = workbook([HEADER, [17850, 2, "view", AT]])
    path.write_bytes(damage(path))

    with pytest.raises(UsageError) as caught:
        EventFile(path)

    assert str(caught.value).startswith(says) and "\n" not in str(caught.value)


def test_a_workbook_is_known_by_its_content(workbook: Callable[..., Path], tmp_path: Path) -> None:
    path = workbook([HEADER, [1, 2, "view", AT]]).rename(tmp_path / "download")

    assert texts(path) == [["1", "2", "view", AT_TEXT]]


def test_a_sheet_of_a_csv_is_refused(tmp_path: Path) -> None:
    (tmp_path / "events.csv").write_text("user\n1\n", encoding="utf-8")

    with pytest.raises(UsageError, match=r"--sheet is for .xlsx files. Received: events.csv, which is CSV."):
        EventFile(tmp_path / "events.csv", sheet_names=("A",))


def test_the_script_reads_a_sheet(
    workbook: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [[as_excel_has_it(field) for field in line] for line in csv.reader(io.StringIO(ORDERS.replace("inf", "1")))]
    path = workbook(Notes=[["Made by hand"]], Orders=rows)
    flags = [str(path), *ORDER_FLAGS, "--database-url", f"sqlite:///{tmp_path / 'shop.sqlite'}"]

    assert script.main(flags) == UsageError.exit_status
    assert "--sheet name the sheets to read" in capsys.readouterr().err
    assert script.main([*flags, "--sheet", "Orders"]) == 0
    assert "added: cancel" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("form", "text", "read"),
    [
        ("%d/%m/%Y", "2020-01-13 10:00:00", datetime(2020, 1, 13, 10)),  # a workbook's date cell
        ("%Y-%d-%m %H:%M:%S", "2020-13-01 10:00:00", datetime(2020, 1, 13, 10)),
        ("%Y-%d-%m %H:%M:%S", "2020-01-13 10:00:00", None),  # never guessed by another format of the same look
        ("%d/%m/%Y", "13.01.2020", None),
    ],
)
def test_a_date_cell_needs_no_format_and_no_text_is_guessed(form: str, text: str, read: datetime | None) -> None:
    assert _parsed(text, form) == read
