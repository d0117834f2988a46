"""Reads the sheets of an Excel workbook (.xlsx) as one table of text, with pandas and calamine."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any
from zipfile import BadZipFile, ZipFile

import pandas
import pyarrow
from python_calamine import CalamineError

from recsys.errors import UsageError
from recsys.errors.wording import listed
from recsys.importing.columns import MAX_EXACT
from recsys.importing.streams import unpacked

_PART = "xl/workbook.xml"  # every .xlsx archive has it


def read_workbook(path: Path, sheet_names: Sequence[str], *, member: str | None = None) -> tuple[Any, str]:
    """Return the rows of a workbook's sheets, one sheet after the other.

    The first row that is not blank is the header of its sheet. Blank rows and sheets are left out, and so are blank
    columns. A cell is text as in a CSV that Excel saves, with dates in ISO 8601. A sheet of half a million rows and
    eight columns takes about 0.7 GB while it is read.

    Args:
        path: The workbook.
        sheet_names: Names of the sheets to read, in order; empty for all.
        member: The workbook's name in the zip archive `path`; None if `path` is the workbook.

    Returns:
        A pyarrow table whose columns are strings, and where its header stands, for messages.

    Raises:
        UsageError: The file is damaged or no .xlsx, a sheet is missing, sheets differ in their columns, or have none.
    """
    where, headers, tables = path.name, [], []
    try:
        content = path if member is None else BytesIO(_member(path, member))
        _check_archive(path, content)
        with pandas.ExcelFile(content, engine="calamine") as book:
            for sheet in sheet_names or book.sheet_names:
                where = f"{path.name}, sheet {sheet!r}"
                if sheet not in book.sheet_names:
                    names = ", ".join(map(repr, book.sheet_names))
                    raise UsageError(f"--sheet should name a sheet of {path.name}: {names}. Received: {sheet!r}.")
                cells = pandas.read_excel(book, sheet_name=sheet, header=None, dtype=object, na_filter=False)
                filled = cells != ""
                cells = cells.loc[filled.any(axis=1), filled.any()]
                if not cells.empty:
                    headers.append(f"{where}, row {cells.index[0] + 1}")
                    tables.append(_table(cells))
    except (CalamineError, BadZipFile) as error:
        raise UsageError(f"{where} cannot be read: {' '.join(str(error).split())}.") from error
    if not tables:
        raise UsageError(f"{path.name} should hold a header and rows. Received: no sheet with a value.")
    for header, table in zip(headers, tables, strict=True):
        if table.column_names != tables[0].column_names:
            raise UsageError(
                f"{header} should have the columns of {headers[0]}, or --sheet name the sheets to read. "
                f"Received: {listed(table.column_names)}."
            )
    return pyarrow.concat_tables(tables), headers[0]


def _member(path: Path, member: str) -> bytes:
    with path.open("rb") as stream:
        return unpacked(stream, member).read()


def _check_archive(path: Path, content: Path | BytesIO) -> None:
    """Refuse zip archives that are no workbook."""
    with ZipFile(content) as archive:
        parts = archive.namelist()
    if _PART not in parts:
        raise UsageError(
            f"{path.name} should be CSV, gzipped CSV, Parquet or .xlsx. "
            f"Received: a zip archive of {len(parts)} files, such as {listed(parts[:1])}; unpack it first."
        )


def _table(cells: Any) -> Any:
    """Return a sheet's cells as a pyarrow table, whose column names are the first row."""
    columns = [pyarrow.array(map(_text, cells[column]), pyarrow.string()) for column in cells]
    return pyarrow.Table.from_arrays([column[1:] for column in columns], [column[0].as_py() for column in columns])


def _text(cell: object) -> str:
    if isinstance(cell, bool):
        return str(cell).upper()
    if isinstance(cell, int) and abs(cell) >= MAX_EXACT:
        return str(float(cell))  # Excel has no more digits; those of the integer are made up
    return str(cell)
