"""The query: one user at one moment, as the arrays that scorers read."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from threading import RLock
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

T = TypeVar("T")
Arrays = Mapping[str, NDArray]
MAX_HISTORY = 500  # older events move a pooled history by less than 0.98^500 = 0.004 %


@dataclass(frozen=True)
class Query:
    """One user at one moment, with a cache of what scorers compute from the history; see `once`.

    Attributes:
        user: Index of the user; `n_users` for a guest or a user that training never saw.
        items: `(h,)` int32, indices of the items of the user's history, oldest first, at most 500.
        weights: `(h,)` float32, the weight of each event by its name, -1 to 1, not decayed with time.
        timestamps: `(h,)` int64, seconds since 1970, ascending.
        context: `(m,)` int32, one index for each context feature of the version.
        now: The moment of the query, in seconds since 1970.
        repeats: Whether purchased items may be recommended; it chooses the row of the ensemble weights.
        masks: `(v, h)` bool, the events that each of v leave-one-out variants has; None for a plain query.
    """

    user: int
    items: NDArray[np.int32]
    weights: NDArray[np.float32]
    timestamps: NDArray[np.int64]
    context: NDArray[np.int32]
    now: int
    repeats: bool = False
    masks: NDArray[np.bool_] | None = None
    _known: dict[Hashable, Any] = field(init=False, repr=False, compare=False, default_factory=dict)  # cache of `once`
    _lock: RLock = field(init=False, repr=False, compare=False, default_factory=RLock)

    def without(self, item: int) -> Query:
        """Return a query whose history lacks one item; its cache is empty."""
        others = self.items != item
        return replace(self, items=self.items[others], weights=self.weights[others], timestamps=self.timestamps[others])

    def leave_one_out_variants(self, items: Sequence[int]) -> Query:
        """Return one query that stands for several: the whole history, then the history without each item in turn.

        Why this exists: an explanation names the history item that raised a score most. It is found by leaving out one
        item at a time and scoring again. Five plain scorings took up to 21 ms of a request, most of it in LNCM. With
        masks, a network scores all variants in one call, in 1.6 ms at most. Variants share the cache of the original
        query, so they reuse what does not depend on the mask.

        Networks answer such a query with `(1 + len(items), k)` scores, for chosen items only, not for the whole
        catalogue. Features do not read masks in `blend`; their drops are differences of sums, see
        `Features.score_drops`.

        Args:
            items: Items of the history.
        """
        masked = replace(self, masks=np.append(-1, items)[:, None] != self.items)
        for shared in ("_known", "_lock"):
            object.__setattr__(masked, shared, getattr(self, shared))
        return masked

    @cached_property
    def mask_key(self) -> bytes | None:
        """The part of a cache key that separates leave-one-out variants from the original query; both use one cache."""
        return None if self.masks is None else self.masks.tobytes()

    def once(self, key: Hashable, compute: Callable[[], T]) -> T:
        """Return the cached value of `key`, computed at the first call. Scorers in several threads may call this.

        Args:
            key: Names the value and whose it is; equal keys mean the same value.
            compute: Called at most once for each key. The arrays that it returns become read-only.
        """
        if key not in self._known:  # reading needs no lock, so no thread waits for another key's computation
            with self._lock:
                if key not in self._known:
                    computed = compute()
                    for part in computed if isinstance(computed, tuple) else (computed,):
                        if isinstance(part, np.ndarray):
                            part.flags.writeable = False
                    self._known[key] = computed
        value: T = self._known[key]
        return value
