"""UCI Online Retail and Online Retail II: invoices of a wholesaler, with cancellations and guests."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow

from recsys.importing.amounts import count
from recsys.importing.columns import row_texts
from recsys.importing.files import EventFile
from recsys.importing.formats.files import (
    ILLEGIBLE_QUANTITY,
    QUANTITIES,
    Column,
    Flags,
    FormatFile,
    Opened,
    Shape,
    column,
    open_files,
    options_with,
)
from recsys.importing.options import Condition
from recsys.importing.returns import Sales

# Postage, discounts, fees, samples, corrections and tests; vouchers and everything else are products.
NO_PRODUCTS = frozenset(
    {"POST", "DOT", "C2", "C3", "D", "M", "S", "B", "CRUK", "ADJUST", "ADJUST2", "AMAZONFEE", "BANK CHARGES"}
    | {"TEST001", "TEST002"}
)
_NUMERIC_DAY = re.compile(r"(\d{1,2})\.(\d{1,2})\.(\d{4})(?: (\d{1,2}):(\d\d))?")


def open_online_retail(path: Path, flags: Flags) -> Opened:
    """Open the workbook, its zip archive, or a CSV of it, with either set's names of columns.

    Rows without a user are those of guests, and dropped. A cancellation annuls the newest earlier purchases of the
    product, as many as it takes all pieces back of. The others stand.
    """
    files = open_files(path, r".+\.(csv|xlsx|txt)", flags)
    names = files[0].columns
    invoice, price, user = (
        next((name for name in names if name in choices), choices[0])
        for choices in (("InvoiceNo", "Invoice"), ("UnitPrice", "Price"), ("CustomerID", "Customer ID"))
    )
    for file in files:
        file.require((invoice, "StockCode", "Description", "Quantity", "InvoiceDate", price, user))
    options = options_with(
        flags,
        user=user,
        item="StockCode",
        timestamp="InvoiceDate",
        timestamp_format="%m/%d/%Y %H:%M",
        price=price,
        name="Description",
        cancelled_when=(Condition(invoice, "^=", "C"), Condition(invoice, "^=", "c")),
    )
    return Opened(options, FormatFile(files, lambda: _Invoices(invoice, user)))


class _Invoices(Shape):
    """Leaves out rows that are no sale of a product, and returns of a part."""

    def __init__(self, invoice: str, user: str) -> None:
        super().__init__()
        self._invoice, self._user = invoice, user
        self._sales = Sales()

    def rows(self, file: EventFile, batch: Any) -> Any:
        names = (self._invoice, self._user, "StockCode", "Quantity")
        several: dict[int, int] = {}
        moments = column(batch, "InvoiceDate")
        rows = zip(*(column(batch, name) for name in names), moments, strict=True)
        reasons = [
            self._reason(invoice, user, item, quantity, moment, place, several)
            for place, (invoice, user, item, quantity, moment) in enumerate(rows)
        ]
        counts = Counter(filter(None, reasons))
        illegible = counts.pop(ILLEGIBLE_QUANTITY, 0)
        self.dropped.update(counts)
        if illegible:
            first = column(batch, "Quantity")[reasons.index(ILLEGIBLE_QUANTITY)]
            self.drop_unread(ILLEGIBLE_QUANTITY, first, QUANTITIES, rows=illegible)
        batch = _with_iso_days(batch, moments)
        for place, number in several.items():
            (text,) = row_texts(batch.slice(place, 1))
            self.taken_back[text] = number
        return batch.filter(pyarrow.array([reason is None for reason in reasons], pyarrow.bool_()))

    def _reason(
        self,
        invoice: str | None,
        user: str | None,
        item: str | None,
        quantity: str | None,
        moment: str | None,
        place: int,
        several: dict[int, int],
    ) -> str | None:
        """Return why a row is dropped; None for purchases, and for cancellations of whole purchases.

        Args:
            invoice: The invoice's number.
            user: The user.
            item: The product.
            quantity: The pieces.
            moment: When it was.
            place: The row's place in its batch.
            several: How many purchases a cancellation annuls, by the place of its row, if not one; updated in place.
        """
        kind, pieces = (invoice or "")[:1].upper(), count(quantity)
        if (item or "").upper() in NO_PRODUCTS:
            return "no product, such as postage"
        if kind == "A":
            return "correction of a debt"
        if pieces != pieces:
            return ILLEGIBLE_QUANTITY
        if kind == "C":
            annulled = self._sales.take_back(user or "", item or "", pieces)
            if annulled > 1:
                several[place] = annulled
            return None if annulled else "return of a part of a purchase"
        if pieces <= 0:
            return "quantity of 0 or below"
        if user and item:
            self._sales.buy(user, item, moment or "", pieces)
        return None


def _with_iso_days(batch: Any, moments: Column) -> Any:
    """Return the batch with moments such as 01.12.2010 08:26 in ISO 8601."""
    if not any(moment and _NUMERIC_DAY.fullmatch(moment) for moment in moments):
        return batch
    iso = [moment and _NUMERIC_DAY.sub(_iso, moment) for moment in moments]
    place = batch.schema.names.index("InvoiceDate")
    return batch.set_column(place, "InvoiceDate", pyarrow.array(iso, pyarrow.string()))


def _iso(match: re.Match[str]) -> str:
    day, month, year, hour, minute = (int(part or 0) for part in match.groups())
    return f"{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:00"
