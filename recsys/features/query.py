"""What a model is asked: one user at one moment, as arrays."""

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
MAX_HISTORY = 500  # older events move a pooled taste by less than 0.98^500 = 0.004 %


@dataclass(frozen=True)
class Query:
    """One customer at one moment.

    Attributes:
        user: Index of the user; `n_users` for a guest or a user that training never saw.
        items: `(h,)` int32, indices of the items of the user's history, oldest first, at most 500.
        weights: `(h,)` float32, the confidence of each event, -1 to 1.
        timestamps: `(h,)` int64, seconds since 1970, ascending.
        context: `(m,)` int32, one index for each context feature of the version.
        now: Seconds since 1970 at the moment of the question.
        repeats: Whether items bought before may be answered; it chooses the weights of the signals.
        kept: `(v, h)` bool, where v variants are asked at once: the events that each of them has; None for one question
            with all.
    """

    user: int
    items: NDArray[np.int32]
    weights: NDArray[np.float32]
    timestamps: NDArray[np.int64]
    context: NDArray[np.int32]
    now: int
    repeats: bool = False
    kept: NDArray[np.bool_] | None = None
    _known: dict[Hashable, Any] = field(init=False, repr=False, compare=False, default_factory=dict)
    _lock: RLock = field(init=False, repr=False, compare=False, default_factory=RLock)

    def without(self, item: int) -> Query:
        """Return the same question with one item less in its history."""
        kept = self.items != item
        return replace(self, items=self.items[kept], weights=self.weights[kept], timestamps=self.timestamps[kept])

    def leave_one_out_variants(self, items: Sequence[int]) -> Query:
        """Return variants of the question to be asked at once: as it is, then without each of some items.

        Networks answer `(1 + len(items), k)`, for some of the catalogue's items only. A sum of signals is not scored
        with them; see `LinearEnsemble.score_drops`.
        """
        variants = replace(self, kept=np.append(-1, items)[:, None] != self.items)
        for shared in ("_known", "_lock"):
            object.__setattr__(variants, shared, getattr(self, shared))
        return variants

    @cached_property
    def variants(self) -> bytes | None:
        """What tells variants from others in the keys of what is known, which they share with the question that they are variants of."""
        return None if self.kept is None else self.kept.tobytes()

    def once(self, key: Hashable, compute: Callable[[], T]) -> T:
        """Return what `compute` returned when this question first asked for `key`; scorers in several threads share it.

        Args:
            key: Whose answer and which; equal keys are the same thing.
            compute: Called once at most; the arrays that it returns become read-only.
        """
        if key not in self._known:  # what is known is read without waiting for what is being computed
            with self._lock:
                if key not in self._known:
                    answer = compute()
                    for part in answer if isinstance(answer, tuple) else (answer,):
                        if isinstance(part, np.ndarray):
                            part.flags.writeable = False
                    self._known[key] = answer
        known: T = self._known[key]
        return known
