"""Platt scaling: it maps logits to probabilities, so that the RMSE of different models is comparable.

`recsys.training.calibration` fits it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from recsys.errors.records import Record
from recsys.features.query import Floats


class Calibration(Record):
    """The map from a logit z to the probability σ(slope · z + intercept).

    Attributes:
        slope: The factor of the logit; 0 where the logits are constant.
        intercept: The log-odds at z = 0.
    """

    slope: float
    intercept: float

    def apply(self, logits: Floats) -> NDArray[np.float64]:
        """Return the probabilities of logits, `(n,)` float64, 0 to 1."""
        z = self.slope * np.asarray(logits, np.float64) + self.intercept
        return 0.5 * (1 + np.tanh(0.5 * z))  # unlike exp, tanh does not overflow at large negative logits
