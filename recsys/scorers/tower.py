"""The MLP of NeuMF and ENCM over the whole catalogue.

The items' part of its first layer is computed once for each version. For a query, only one vector of the user is new.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from recsys.features.query import Arrays

TILE = 2048  # items at a time; the activations of one tile (2048 × 64 float32) fit into the processor's cache


def tower(
    item_layer: NDArray[np.float32],
    user: NDArray[np.float32],
    layers: Sequence[tuple[NDArray[np.float32], NDArray[np.float32]]],
    output: NDArray[np.float32],
    items: NDArray[np.int32] | None = None,
) -> NDArray[np.float32]:
    """Return the output of an MLP with relu layers for every item.

    It uses relu(x + c) = max(x, -c) + c. The term c is the same for all items, so it is carried through the layers as
    one vector. Each layer is then a matrix product and a maximum, without additions over all items.

    Args:
        item_layer: `(n_items, hidden)`, the items' part of the first layer before its activation.
        user: `(hidden,)`, or `(v, hidden)` for leave-one-out variants; the user's part of that layer, bias included.
        layers: Kernel and bias of each further layer.
        output: `(last hidden,)`, the kernel of the output.
        items: `(k,)` indices to score; None scores the whole catalogue.

    Returns:
        `(n_items,)` or `(k,)` float32; `(v, k)` for variants.
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
    """Return the kernels and the biases of an MLP, the first layer first.

    Args:
        arrays: The network's arrays in a version, `mlp_kernel_0`, `mlp_bias_0` and so on.
    """
    depth = sum(name.startswith("mlp_kernel_") for name in arrays)
    return tuple(arrays[f"mlp_kernel_{n}"] for n in range(depth)), tuple(arrays[f"mlp_bias_{n}"] for n in range(depth))
