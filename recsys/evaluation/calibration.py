"""Platt scaling: it maps logits to probabilities, so that the RMSE of different models is comparable."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

NEWTON_STEPS = 100  # an upper bound; ten are usual
STEP_HALVINGS = 30
GRADIENT_TOLERANCE = 1e-9
FLOAT32_NOISE = 1e-7  # relative rounding error of float32 logits


@dataclass(frozen=True)
class Calibration:
    """The map from a logit z to the probability σ(slope · z + intercept).

    Attributes:
        slope: The factor of the logit; 0 where the logits are constant.
        intercept: The log-odds at z = 0.
    """

    slope: float
    intercept: float

    @classmethod
    def fit(
        cls, logits: NDArray[np.float32], labels: NDArray[np.bool_], weights: NDArray[np.float64] | None = None
    ) -> Calibration:
        """Return the maximum-likelihood fit, by Newton's method with halved steps.

        Labels are smoothed to (n₊ + 1) / (n₊ + 2) and 1 / (n₋ + 2), as Platt proposed. So the fit stays finite on
        separable data and on data of one class.

        Args:
            logits: `(n,)` floats, finite, at least one.
            labels: `(n,)` bool, whether the event happened.
            weights: `(n,)` positive weights of the rows; None for 1.

        Raises:
            ValueError: There is no row, or a logit is not finite.

        Reference: Lin, Lin, Weng, "A note on Platt's probabilistic outputs for support vector machines", 2007.

        >>> steep = Calibration.fit(np.array([-2.0, -1.0, 1.0, 2.0]), np.array([False, False, True, True]))
        >>> steep.slope > 0, abs(steep.intercept) < 1e-9
        (True, True)
        """
        z = np.asarray(logits, np.float64)
        if not len(z) or not np.isfinite(z).all():
            values = z[~np.isfinite(z)][:3].tolist() or "none"
            raise ValueError(f"`logits` should be finite numbers, at least one. Received: {values}.")
        happened = np.asarray(labels, bool)
        w = np.ones(len(z)) if weights is None else np.asarray(weights, np.float64)
        w_positive, w_negative = w[happened].sum(), w[~happened].sum()
        targets = np.where(happened, (w_positive + 1) / (w_positive + 2), 1 / (w_negative + 2))
        centre, scale = z.mean(), z.std()
        if scale <= FLOAT32_NOISE * np.abs(z).max():
            scale = math.inf  # a constant scorer: its logits differ only by rounding, so the slope is 0
        design = np.column_stack([(z - centre) / scale, np.ones(len(z))])
        start = np.array([0.0, math.log((w_positive + 1) / (w_negative + 1))])
        slope, intercept = _newton(design, targets, w / w.sum(), start)
        return cls(float(slope / scale), float(intercept - slope * centre / scale))

    def apply(self, logits: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return the probabilities of logits, `(n,)` float64, 0 to 1."""
        return _sigmoid(self.slope * np.asarray(logits, np.float64) + self.intercept)


def _newton(
    design: NDArray[np.float64], targets: NDArray[np.float64], weights: NDArray[np.float64], start: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the parameters that minimise the weighted cross-entropy, `(2,)` float64; `weights` sum to 1."""

    def loss(parameters: NDArray[np.float64]) -> float:
        z = design @ parameters
        return float(weights @ (np.logaddexp(0.0, z) - targets * z))

    parameters = start
    for _ in range(NEWTON_STEPS):
        probabilities = _sigmoid(design @ parameters)
        gradient = design.T @ (weights * (probabilities - targets))
        if np.abs(gradient).max() < GRADIENT_TOLERANCE:
            break
        curvature = design.T @ (design * (weights * probabilities * (1 - probabilities))[:, np.newaxis])
        step = np.linalg.solve(
            curvature + 1e-12 * np.eye(2), gradient
        )  # the ridge keeps it regular for constant logits
        sizes = 0.5 ** np.arange(STEP_HALVINGS)
        size = next((size for size in sizes if loss(parameters - size * step) < loss(parameters)), 0.0)
        if not size:
            break
        parameters = parameters - size * step
    return parameters


def _sigmoid(z: NDArray[np.float64]) -> NDArray[np.float64]:
    return 0.5 * (1 + np.tanh(0.5 * z))  # unlike exp, tanh does not overflow at large negative logits
