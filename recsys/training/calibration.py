"""Fits Platt scaling with scikit-learn."""

from __future__ import annotations

import math

import numpy as np
from sklearn.linear_model import LogisticRegression

from recsys.evaluation.metrics import Calibration
from recsys.evaluation.results import EvaluationResult
from recsys.features.query import Floats, Mask

TOLERANCE = 1e-8  # of the gradient; scikit-learn's default of 1e-4 moves probabilities by up to 0.07
FLOAT32_NOISE = 1e-7  # relative rounding error of float32 logits


def calibrate(result: EvaluationResult) -> Calibration | None:
    """Fit the map from a scorer's logits to probabilities; None unless there are relevant and irrelevant pairs."""
    if not result.pair_labels.any() or result.pair_labels.all():
        return None
    return fit_calibration(result.pair_logits, result.pair_labels)


def fit_calibration(logits: Floats, labels: Mask) -> Calibration:
    """Return the maximum-likelihood fit.

    Labels are smoothed to (n₊ + 1) / (n₊ + 2) and 1 / (n₋ + 2), as Platt proposed. So the fit stays finite on separable
    data and on data of one class. Each row is given twice, as both classes, with the smoothed label as its weight.

    Args:
        logits: `(n,)` floats, finite, at least one.
        labels: `(n,)` bool, whether the event happened.

    Raises:
        ValueError: There is no row, or a logit is not finite.

    Reference: Lin, Lin, Weng, "A note on Platt's probabilistic outputs for support vector machines", 2007.

    >>> steep = fit_calibration(np.array([-2.0, -1.0, 1.0, 2.0]), np.array([False, False, True, True]))
    >>> steep.slope > 0, abs(steep.intercept) < 1e-6
    (True, True)
    """
    z, happened = np.asarray(logits, np.float64), np.asarray(labels, bool)
    if not len(z) or not np.isfinite(z).all():
        values = z[~np.isfinite(z)][:3].tolist() or "none"
        raise ValueError(f"`logits` should be finite numbers, at least one. Received: {values}.")
    targets = np.where(happened, (happened.sum() + 1) / (happened.sum() + 2), 1 / ((~happened).sum() + 2))
    centre, scale = z.mean(), z.std()
    if scale <= FLOAT32_NOISE * np.abs(z).max():
        scale = math.inf  # a constant scorer: its logits differ only by rounding, so the slope is 0
    standardised = np.tile((z - centre) / scale, 2)[:, np.newaxis]
    fitted = LogisticRegression(C=np.inf, tol=TOLERANCE).fit(
        standardised, np.repeat([True, False], len(z)), np.append(targets, 1 - targets)
    )
    slope = float(fitted.coef_[0, 0] / scale)
    return Calibration(slope, float(fitted.intercept_[0] - slope * centre))
