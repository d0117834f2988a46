"""What an import tells: counts of rows by reason, and examples of what could not be read."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from recsys.errors import UsageError

LOUD = 0.01  # a larger share of unreadable rows is a warning


@dataclass(frozen=True)
class Unreadable:
    """An example of what could not be read, and what helps.

    Attributes:
        example: The first such value or line, and where it stands.
        way_out: A sentence on the option that helps.
    """

    example: str
    way_out: str


@dataclass
class ImportReport:
    """Counts of an import. Every row of the file, and each of `repeated`, counts once, in `added` or in `dropped`.

    Attributes:
        rows: Rows of the file.
        added: New rows of Interactions, by event.
        dropped: Rows that were not added, by reason.
        ignored: Values that were left out of added rows, by reason.
        withdrawn: Rows of earlier imports that were deleted, because the file says that they are void by now.
        new_users: New rows of Users.
        new_products: New rows of Products.
        priced_products: Products with a price in the file.
        unreadable: Those of the reasons in `dropped` and `ignored` for which something could not be read.
        repeated: Events that were read beside those of a row each: cancellations that take back several purchases.
        guest_rows: Rows of guests that became events of their sessions.
        oddities: What is odd about ids, a line with an example for each kind.
    """

    rows: int = 0
    added: Counter[str] = field(default_factory=Counter)
    dropped: Counter[str] = field(default_factory=Counter)
    ignored: Counter[str] = field(default_factory=Counter)
    withdrawn: int = 0
    new_users: int = 0
    new_products: int = 0
    priced_products: int = 0
    unreadable: dict[str, Unreadable] = field(default_factory=dict)
    repeated: int = 0
    guest_rows: int = 0
    oddities: list[str] = field(default_factory=list)

    def refuse_unreadable(self, most: float) -> None:
        """Refuse a file of which too much cannot be read.

        Args:
            most: The largest share of rows that may be dropped because they are unreadable.

        Raises:
            UsageError: More are; the message shows the commonest reason, an example, and what helps.
        """
        counts = Counter({reason: self.dropped[reason] for reason in self.unreadable})
        if counts.total() > most * self.rows:
            (reason, _), *_ = counts.most_common(1)
            unreadable = self.unreadable[reason]
            raise UsageError(
                f"At most {most:.0%} of all rows may be unreadable. Received: {counts.total():,} of the first "
                f"{self.rows:,}, mostly by {reason}, e.g. {unreadable.example}. {unreadable.way_out} --max-unreadable "
                "names another share."
            )

    def unreadable_lines(self) -> list[tuple[bool, str]]:
        """Return a line for each kind of unreadable value, and whether it is more than 1 % of the rows."""
        lines = []
        for reason, unreadable in self.unreadable.items():
            count = self.dropped[reason] or self.ignored[reason]
            words = f"{reason}: {count:,} of {self.rows:,} rows, e.g. {unreadable.example}. {unreadable.way_out}"
            lines.append((count > LOUD * self.rows, words))
        return lines
