"""How many purchases each cancellation of a file takes back, by their pieces.

The default schema has no quantities: in it, a cancellation annuls the newest purchase. So one that takes back several
purchases is written several times, and one that takes back a part of a purchase not at all.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from sys import intern
from typing import Any

import numpy as np

from recsys.data.purchases import OpenPurchases, purchase_names
from recsys.importing.files import EventSource
from recsys.importing.options import ImportOptions
from recsys.importing.report import ImportReport
from recsys.importing.rows import CANCEL, RowReader
from recsys.settings import Shop


class Sales:
    """The purchases of a file in the order of time, with the pieces that have not come back; it grows with its rows."""

    def __init__(self) -> None:
        # By user and item, the moment and the pieces of each purchase in turn: half the memory of pairs.
        self._open: dict[tuple[str, str], list[Any]] = {}

    def buy(self, user: str, item: str, moment: str, pieces: float) -> None:
        """Add pieces that a user bought; those of one moment are one purchase."""
        purchases = self._open.setdefault((intern(user), intern(item)), [])
        if purchases and purchases[-2] == moment:
            purchases[-1] += pieces
        else:
            purchases += (intern(moment), pieces)

    def take_back(self, user: str, item: str, pieces: float) -> int:
        """Take back pieces, and return how many purchases this annuls: 1 where the file knows of none."""
        purchases = self._open.get((user, item))
        if not purchases:
            return 1
        opened = OpenPurchases()
        for moment, bought in zip(purchases[::2], purchases[1::2], strict=True):
            opened.buy(moment, bought)
        n_annulled = len(opened.take_back(pieces))
        purchases[:] = [part for purchase in opened for part in purchase]
        return n_annulled


def purchases_taken_back(
    file: EventSource, options: ImportOptions, shop: Shop, known_events: Collection[str], guests: frozenset[str]
) -> dict[str, int]:
    """Return how many purchases a cancellation takes back, by the text of its row; 1 where it is absent.

    Args:
        file: The file, which is read once.
        options: The columns, of which `quantity` is given.
        shop: Holds the names of purchases and cancellations.
        known_events: Our event names.
        guests: The user ids that stand for guests.
    """
    reader = RowReader(options, known_events, ImportReport(), guests)
    cancels, bought = {*shop.cancel_events, CANCEL}, set(purchase_names(shop))
    by_pair: defaultdict[tuple[str, str], list[tuple[int, int, bool, float, str]]] = defaultdict(list)
    n_rows = 0
    for batch in file.batches(options.chunk):
        events = reader.read(batch)
        columns = (events.users, events.items, events.events, events.seconds, events.quantities)
        for row, (user, item, event, second, pieces) in enumerate(zip(*map(np.ndarray.tolist, columns), strict=True)):
            if event in cancels or event in bought:
                text = events.rows[row] if event in cancels else ""
                by_pair[intern(user), intern(item)].append((second, n_rows + row, event in cancels, pieces, text))
        n_rows += len(events)
    taken_back = {}
    for rows in by_pair.values():
        if not any(is_cancel for _, _, is_cancel, _, _ in rows):
            continue
        purchases, before = OpenPurchases(), None
        for second, _, is_cancel, pieces, text in sorted(rows, key=lambda row: row[:2]):
            if (second, is_cancel, pieces) == before:
                continue  # an event that is written twice
            before = (second, is_cancel, pieces)
            if not is_cancel:
                purchases.buy(second, pieces)
            elif purchases and (number := len(purchases.take_back(pieces))) != 1:
                taken_back[text] = number
    return taken_back
