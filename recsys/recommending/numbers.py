"""The items that a request names, looked up once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recsys.contract import Request
from recsys.ids import distinct
from recsys.recommending.loading import Loaded


@dataclass(frozen=True)
class Number:
    """One item of a request.

    Attributes:
        item_id: In the shop's type.
        index: Its index; -1 where training did not see the item.
    """

    item_id: int | str
    index: int


Numbers = Mapping[int | str, Number]


def numbers(request: Request, loaded: Loaded) -> Numbers:
    """Return every item that the request names and that can be an id of the shop, by the id as the client wrote it."""
    named = [event.item_id for event in request.interactions]
    named += [*request.ground_truth, *(request.candidates or ()), *request.exclude]
    named += [] if request.item_id is None else [request.item_id]
    ids = {given: item for given in named if (item := loaded.item_id(given)) is not None}
    found = loaded.item_indices(list(ids.values())) if ids else []
    return {given: Number(item, index) for (given, item), index in zip(ids.items(), found, strict=True)}


def indices(named: Numbers, given: tuple[int | str, ...]) -> NDArray[np.int32]:
    """Return the indices of those of the given ids that training saw, distinct and ascending."""
    return distinct(named[item].index for item in given if item in named and named[item].index >= 0)
