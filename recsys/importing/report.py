"""What an import did, row by row accounted for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class ImportReport:
    """Every row of the file is in `added` or in `dropped`, once.

    Attributes:
        rows: Rows of the file.
        added: New rows of Interactions, by event.
        dropped: Rows that were not added, by reason.
        ignored: Values that were left out although their row was added, by reason.
        new_users: New rows of Users.
        new_products: New rows of Products.
        priced_products: Products whose price the file told.
    """

    rows: int
    added: Mapping[str, int]
    dropped: Mapping[str, int]
    ignored: Mapping[str, int]
    new_users: int
    new_products: int
    priced_products: int
