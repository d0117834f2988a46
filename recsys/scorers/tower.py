"""A relu tower over the whole catalogue: the customer's half of the first layer is one vector, the items' half is kept."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from recsys.features.query import Arrays

TILE = 2048  # items at a time: the activations of one tile (2048 × 64 float32) stay in the cache


def tower(
    item_layer: NDArray[np.float32],
    user: NDArray[np.float32],
    layers: Sequence[tuple[NDArray[np.float32], NDArray[np.float32]]],
    output: NDArray[np.float32],
    items: NDArray[np.int32] | None = None,
) -> NDArray[np.float32]:
    """Return the tower's output for every item.

    relu(x + c) is max(x, -c) + c: what every item would have added is carried along as one vector instead, and each
    layer is a product and a maximum.

    Args:
        item_layer: `(n_items, hidden)`, the items' half of the first layer before its activation.
        user: `(hidden,)` or `(v, hidden)`, the customer's half of the first layer, bias included.
        layers: Kernel and bias of each further layer.
        output: `(last hidden,)`, the kernel of the output.
        items: `(k,)` indices to score; None scores all.

    Returns:
        `(n_items,)` or `(k,)` float32, or `(v, k)`.
    """
    n = len(item_layer) if items is None else len(items)
    shifts = [user]
    for kernel, bias in layers:
        shifts.append(shifts[-1] @ kernel + bias)
    scores = np.empty((*user.shape[:-1], n), np.float32)
    for start in range(0, n, TILE):
        which = slice(start, start + TILE)
        hidden = np.maximum(item_layer[which] if items is None else item_layer[items[which]], -user[..., None, :])
        for (kernel, _), shift in zip(layers, shifts[1:], strict=True):
            hidden = hidden @ kernel
            np.maximum(hidden, -shift[..., None, :], out=hidden)
        scores[..., which] = hidden @ output
    scores += (shifts[-1] @ output)[..., None]
    return scores


def tower_weights(arrays: Arrays) -> tuple[tuple[NDArray[np.float32], ...], tuple[NDArray[np.float32], ...]]:
    """Return the kernels and the biases of a tower, first layer first."""
    depth = sum(name.startswith("mlp_kernel_") for name in arrays)
    return tuple(arrays[f"mlp_kernel_{n}"] for n in range(depth)), tuple(arrays[f"mlp_bias_{n}"] for n in range(depth))
