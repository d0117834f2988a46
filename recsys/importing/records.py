"""Splits the lines of a CSV into fields. A quote that nothing closes costs no other row."""

from __future__ import annotations

import csv
import re
from collections import deque
from collections.abc import Iterable, Iterator
from itertools import islice

NO_QUOTE = "none"  # in place of the character around fields: every quote is plain text
MAX_LINES = 1_000  # of one record: a longer field is no text of a shop, but a quote that nothing closes
LINES_AT_ONCE = 1_000  # that are split together, if each is a record
_DIGITS = re.compile(r"\d+")


class Records(Iterator[list[str]]):
    """The records of a CSV, in order, whatever their number of fields; an empty line has none.

    A quoted field may have several lines. A quote is taken as plain text where it is not closed as one, or where its
    first line is a whole row by itself and the next line is another, with the same kind of number or time in a column.

    Attributes:
        stray_quotes: Number of lines so far in which a quote was plain text.
        example: The first of these lines.
    """

    def __init__(self, lines: Iterable[str], *, delimiter: str, quote: str, width: int | None = None) -> None:
        """Start before the first record.

        Args:
            lines: The lines, with their ends.
            delimiter: The separator of fields. Where it has several characters, such as `::`, fields are never quoted.
            quote: The character around fields; `none` if every quote is plain text.
            width: The number of fields of a whole row; None if the first record is a header, which tells it.
        """
        self.stray_quotes, self.example = 0, ""
        self._delimiter, self._width = delimiter, width
        self._quote = quote if len(delimiter) == 1 else NO_QUOTE
        self._lines: Iterator[str] = iter(lines)
        self._ahead: deque[str] = deque()  # lines that were looked at, and come next
        self._records = self._read()

    def __next__(self) -> list[str]:
        record = next(self._records)
        if self._width is None:
            self._width = len(record)
        return record

    def _read(self) -> Iterator[list[str]]:
        if self._quote == NO_QUOTE:
            yield from self._plainly(self._lines)
            return
        while lines := self._take(LINES_AT_ONCE if self._width is not None else 1):
            records = self._line_by_line(lines)
            if records is not None:
                yield from records
                continue
            self._ahead.extendleft(reversed(lines))
            for _ in lines:
                for line in self._take(1):
                    yield self._quoted(line) if self._quote in line else self._split(line)

    def _take(self, n: int) -> list[str]:
        """Return the next lines, at most n; the lines ahead come first."""
        ahead = [self._ahead.popleft() for _ in range(min(n, len(self._ahead)))]
        return ahead + list(islice(self._lines, n - len(ahead)))

    def _line_by_line(self, lines: list[str]) -> list[list[str]] | None:
        """Return the record of each line; None if a quote does not close a field, or a record has several lines."""
        try:
            records = list(csv.reader(lines, delimiter=self._delimiter, quotechar=self._quote, strict=True))
        except csv.Error:
            return None
        return records if len(records) == len(lines) else None

    def _quoted(self, line: str) -> list[str]:
        """Return the record that begins with a line, and go on behind it."""
        first, following = self._split(line), [line]
        fields, is_open = self._parse(following)
        while is_open and len(following) < MAX_LINES and (nearest := self._take(1)):
            following += nearest
            if self._are_two_rows(first, following[-1]):
                break
            if self._quote in following[-1]:
                fields, is_open = self._parse(following)
        is_whole = fields is not None and self._width in {None, len(fields)}
        if fields is not None and not is_open and (is_whole or len(following) == 1):
            return fields
        self._ahead.extendleft(reversed(following[1:]))
        self.stray_quotes += 1
        self.example = self.example or line.rstrip("\r\n")
        return first

    def _parse(self, lines: list[str]) -> tuple[list[str] | None, bool]:
        """Return a record's fields, None if a quote does not close one, and whether more lines belong to it."""
        try:
            return next(csv.reader(lines, delimiter=self._delimiter, quotechar=self._quote, strict=True), []), False
        except csv.Error as error:
            return None, "unexpected end of data" in str(error)

    def _are_two_rows(self, first: list[str], line: str) -> bool:
        second = self._split(line)
        return len(first) == len(second) == self._width != 1 and any(
            _DIGITS.sub("9", one) == _DIGITS.sub("9", other) and _DIGITS.search(one)
            for one, other in zip(first, second, strict=True)
        )

    def _split(self, line: str) -> list[str]:
        return next(self._plainly([line]), [])

    def _plainly(self, lines: Iterable[str]) -> Iterator[list[str]]:
        if len(self._delimiter) == 1:
            return csv.reader(lines, delimiter=self._delimiter, quoting=csv.QUOTE_NONE)
        bare = (line.rstrip("\r\n") for line in lines)
        return (line.split(self._delimiter) if line else [] for line in bare)
