"""Fitting ALS: matrix factorisation of implicit feedback by alternating least squares (Hu, Koren & Volinsky 2008)."""

from __future__ import annotations

from typing import Any

import numpy as np

from recsys.features.query import Arrays, Floats

# On ml-1m, HR@10 on validation: 5 sweeps 0.727, 10 0.726, 15 0.724, 30 0.728, all within the standard error of 0.005
SWEEPS = 10
MORE_SWEEPS = 3  # of a fit that starts from vectors of another
ALPHA = 3.3  # confidence of an observed pair; that of other pairs is 1 (Hu, Koren & Volinsky 2008)
THREADS = 0  # all cores; each row is solved by itself, so the number of threads changes no bit


def als(
    matrix: Any,
    dim: int,
    regularization: float,
    *,
    seed: int,
    alpha: float = ALPHA,
    start: Floats | None = None,
) -> Arrays:
    """Return user and item vectors whose dot product is near 1 for observed pairs and near 0 for all others.

    Errors of observed pairs weigh `alpha`, those of other pairs 1.

    Args:
        matrix: Which users have positive events with which items, as `user_item_matrix` returns it.
        dim: Length of a vector.
        regularization: Above 0; on ml-1m, 20 to 60 are good with `alpha` 3.3.
        seed: Seed of the initial vectors; equal seeds give equal results.
        alpha: Confidence of an observed pair; that of other pairs is 1.
        start: `(n_items, dim)` float32, the item vectors of a fit on some of the same events, of another regularization
            or width, zeros for new items; then a few sweeps are enough. None starts from noise.

    Returns:
        `user_factors` `(n_users, dim)` and `item_factors` `(n_items, dim)` float32; zeros where there are no events.

    Raises:
        ValueError: A parameter is not a positive number.
    """
    for name, value in (("dim", dim), ("regularization", regularization), ("alpha", alpha)):
        if not 0 < value < np.inf:
            raise ValueError(f"`{name}` should be a positive number. Received: {value}.")
    if not matrix.nnz:
        names = ("user_factors", "item_factors")
        return {name: np.zeros((size, dim), np.float32) for name, size in zip(names, matrix.shape, strict=True)}
    from implicit.cpu.als import AlternatingLeastSquares  # type: ignore[import-untyped]
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    with threadpool_limits(1, "blas"):  # the library has its own threads, and warns if BLAS has some, too
        model = AlternatingLeastSquares(
            dim,
            regularization,
            alpha,
            iterations=SWEEPS if start is None else MORE_SWEEPS,
            num_threads=THREADS,
            random_state=seed,
        )
        if start is not None:
            model.user_factors = np.zeros((matrix.shape[0], dim), np.float32)  # solved first, from the item vectors
            model.item_factors = start.copy()
        model.fit(matrix, show_progress=False)
    return {"user_factors": model.user_factors, "item_factors": model.item_factors}


def narrowed(factors: Arrays, dim: int) -> Floats | None:
    """Return item vectors that a narrower fit may start from: the widest directions of a wider one.

    Of all item vectors of that width, they come with some user vectors nearest to the dot products of the wider fit.

    Args:
        factors: What `als` has returned.
        dim: The length of the vectors.

    Returns:
        `(n_items, dim)` float32; None where the fit is narrower than that.
    """
    users, items = factors["user_factors"].astype(np.float64), factors["item_factors"].astype(np.float64)
    if dim > items.shape[1]:
        return None
    sizes, directions = np.linalg.eigh(users.T @ users)
    scaled = items @ (directions * np.sqrt(np.maximum(sizes, 0)))  # as if the users' vectors were orthonormal
    squares, widest = np.linalg.eigh(scaled.T @ scaled)
    squares, widest = squares[::-1][:dim], widest[:, ::-1][:, :dim]
    narrow: Floats = (scaled @ (widest / np.maximum(squares, 1e-12) ** 0.25)).astype(np.float32)
    return narrow  # each direction is as long as that of the users' vectors, as where ALS ends
