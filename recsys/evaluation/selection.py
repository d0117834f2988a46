"""Segments of users, and the priors of the choice of the model for one user, as in empirical Bayes.

Priors come from the evaluation of all users. `recsys.recommending.runs.choose` shrinks a user's own metrics to them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys.errors import ModelRefused
from recsys.errors.records import Record

PRIOR_STRENGTH = 10.0
# Users by the number of their events on items that the version knows, from the given number on. A user without any is
# answered with what is popular.
SEGMENTS: Mapping[str, int] = {"known": 5, "returning": 2, "guests": 1}


def segment_of(n_events: int) -> str:
    """Return the segment of a user by the number of their events.

    >>> [segment_of(n) for n in (0, 1, 2, 4, 5, 500)]
    ['guests', 'guests', 'returning', 'returning', 'known', 'known']
    """
    return next((name for name, least in SEGMENTS.items() if n_events >= least), "guests")


class Priors(Record):
    """The prior of the differences between the models, from the evaluation of all users.

    Attributes:
        best: The name of the model that is best over all users.
        mean: μ of each other model: the mean over users of AP@10(model) − AP@10(best).
        spread: τ of each other model: the standard deviation of one observation (one relevant item) around μ; 0 or
            above.
        strength: k, the number of relevant items that the prior weighs as much as; above 0.
        per_user: Whether a user's own metrics may choose another model than the best.
    """

    best: str
    mean: Mapping[str, float]
    spread: Mapping[str, float]
    strength: float = PRIOR_STRENGTH
    per_user: bool = True

    def to_json(self) -> dict[str, Any]:
        """Return the priors as a JSON object."""
        return {
            "best": self.best,
            "mean": dict(self.mean),
            "spread": dict(self.spread),
            "strength": self.strength,
            "per_user": self.per_user,
        }

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Priors:
        """Read the priors from an object that `to_json` wrote; a version without `per_user` chose for each user.

        Raises:
            ModelRefused: A field is missing or malformed, or a number is not finite or outside its range.

        >>> Priors.from_json(Priors("BMF", {"ENCM": -0.01}, {"ENCM": 0.2}).to_json()).mean
        {'ENCM': -0.01}
        """
        try:
            best, strength = str(stored["best"]), float(stored["strength"])
            per_user = bool(stored.get("per_user", True))
            mean, spread = (
                {str(name): float(value) for name, value in stored[key].items()} for key in ("mean", "spread")
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ModelRefused(
                f"Selection priors should hold best, mean, spread and strength. Received: {error!r}."
            ) from error
        finite = all(map(math.isfinite, (strength, *mean.values(), *spread.values())))
        if not finite or strength <= 0 or min(spread.values(), default=0.0) < 0 or mean.keys() != spread.keys():
            raise ModelRefused(
                f"Selection priors should hold a finite mean and a spread from 0 for each model. Received: {stored!r}."
            )
        return cls(best, mean, spread, strength, per_user)


def fit_priors(
    best: str,
    per_user_ap: Mapping[str, NDArray[np.float64]],
    n_relevant: NDArray[np.int64],
    *,
    strength: float = PRIOR_STRENGTH,
    per_user: bool = True,
) -> Priors:
    """Fit μ and τ of every model against the best one.

    τ² is the mean over users of n_u · (d_u − μ)², with d_u the difference of user u. Users without relevant items are
    left out. If no user remains, μ and τ are 0, so that the best model is always chosen.

    Args:
        best: The name of the model that is best over all users.
        per_user_ap: `(n_users,)` AP@10 of each model, including the best; NaN for users without relevant items.
        n_relevant: `(n_users,)` int64, the number of relevant items of each user.
        strength: k, in relevant items.
        per_user: Whether a user's own metrics may choose another model than the best.

    >>> ap = {"BMF": np.array([0.2, 0.4]), "ENCM": np.array([0.4, 0.4])}
    >>> priors = fit_priors("BMF", ap, np.array([1, 4]))  # differences 0.2 and 0, μ = 0.1
    >>> round(priors.mean["ENCM"], 9), round(priors.spread["ENCM"] ** 2, 9)  # (1 × 0.01 + 4 × 0.01) / 2
    (0.1, 0.025)
    """
    mean, spread = {}, {}
    for name, ap in per_user_ap.items():
        if name == best:
            continue
        counted = (n_relevant > 0) & np.isfinite(ap) & np.isfinite(per_user_ap[best])
        differences = (ap - per_user_ap[best])[counted]
        mean[name] = float(differences.mean()) if len(differences) else 0.0
        squares = n_relevant[counted] * (differences - mean[name]) ** 2
        spread[name] = math.sqrt(squares.mean()) if len(squares) else 0.0
    return Priors(best, mean, spread, strength, per_user)
