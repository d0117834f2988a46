"""Small datasets from their columns."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
from numpy.typing import NDArray

from recsys.data.dataset import Dataset


def dataset_of(
    users: NDArray, items: NDArray, weights: NDArray, n_users: int, n_items: int, timestamps: NDArray | None = None
) -> Dataset:
    """Return events without context and purchases, in the given order, all at 0 if there are no timestamps."""
    n = len(users)
    return Dataset(
        users=users.astype(np.int32),
        items=items.astype(np.int32),
        weights=weights.astype(np.float32),
        confidences=weights.astype(np.float32),
        timestamps=np.zeros(n, np.int64) if timestamps is None else timestamps.astype(np.int64),
        purchases=np.zeros(n, bool),
        contexts=np.zeros((n, 0), np.int32),
        n_users=n_users,
        n_items=n_items,
        context_sizes=(),
    )


def taken(data: Dataset, mask: NDArray[np.bool_]) -> Dataset:
    """Return the events that a mask selects."""
    columns = {field.name: getattr(data, field.name) for field in fields(data)}
    return replace(data, **{name: column[mask] for name, column in columns.items() if isinstance(column, np.ndarray)})
