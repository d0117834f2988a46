"""The choice of the model for one request: the best over all users, unless this user's evidence favours another one.

The user's evidence is shrunk to a prior over all users, as in empirical Bayes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys.errors import ModelRefused

PRIOR_STRENGTH = 10.0
CONFIDENCE = 0.9  # below it, a choice for each user would follow noise


@dataclass(frozen=True)
class Priors:
    """The prior of the differences between the models, from the evaluation of all users.

    Attributes:
        best: The name of the model that is best over all users.
        mean: μ of each other model: the mean over users of AP@10(model) − AP@10(best).
        spread: τ of each other model: the standard deviation of one observation (one relevant item) around μ; 0 or
            above.
        strength: k, the number of relevant items that the prior weighs as much as; above 0.
    """

    best: str
    mean: Mapping[str, float]
    spread: Mapping[str, float]
    strength: float = PRIOR_STRENGTH

    def to_json(self) -> dict[str, Any]:
        """Return the priors as a JSON object."""
        return {"best": self.best, "mean": dict(self.mean), "spread": dict(self.spread), "strength": self.strength}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Priors:
        """Read the priors from an object that `to_json` wrote.

        Raises:
            ModelRefused: A field is missing or malformed, or a number is not finite or outside its range.

        >>> Priors.from_json(Priors("BMF", {"ENCM": -0.01}, {"ENCM": 0.2}).to_json()).mean
        {'ENCM': -0.01}
        """
        try:
            best, strength = str(stored["best"]), float(stored["strength"])
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
        return cls(best, mean, spread, strength)


@dataclass(frozen=True)
class Evidence:
    """The held-out metrics of the models for one user.

    Attributes:
        average_precision: AP@10 of each model, 0 to 1; a model that failed is absent.
        n_relevant: The number of relevant items behind the metrics.
        precision: P@10 of each model, 0 to 1; it breaks ties.
    """

    average_precision: Mapping[str, float]
    n_relevant: int
    precision: Mapping[str, float] = field(default_factory=dict)


def fit_priors(
    best: str,
    per_user_ap: Mapping[str, NDArray[np.float64]],
    n_relevant: NDArray[np.int64],
    *,
    strength: float = PRIOR_STRENGTH,
) -> Priors:
    """Fit μ and τ of every model against the best one.

    τ² is the mean over users of n_u · (d_u − μ)², with d_u the difference of user u. Users without relevant items are
    left out. If no user remains, μ and τ are 0, so that the best model is always chosen.

    Args:
        best: The name of the model that is best over all users.
        per_user_ap: `(n_users,)` AP@10 of each model, including the best; NaN for users without relevant items.
        n_relevant: `(n_users,)` int64, the number of relevant items of each user.
        strength: k, in relevant items.

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
    return Priors(best, mean, spread, strength)


def choose(priors: Priors, evidence: Evidence | None, order: Sequence[str]) -> str:
    """Return the name of the model that answers.

    The user's mean difference x̄ to the best is shrunk to θ = (n·x̄ + k·μ) / (n + k), with standard deviation τ / √(n +
    k). Another model than the best is chosen only if P(θ > 0) > 0.9. Among those, the highest θ wins; ties go by P@10,
    then by registry order. Without evidence, or with a spread of 0, the best model answers.

    Args:
        priors: From the evaluation of all users.
        evidence: The user's own metrics, or None.
        order: The names of the models that have an answer, in registry order, at least one. If the best model is not
            among them, the one with the highest μ answers, because no difference to the best is known.

    >>> priors = Priors("BMF", {"ENCM": -0.01}, {"ENCM": 0.2})
    >>> choose(priors, Evidence({"BMF": 0.1, "ENCM": 0.9}, n_relevant=10), ("ENCM", "BMF"))  # θ = 0.395, sd = 0.045
    'ENCM'
    >>> choose(priors, Evidence({"BMF": 0.1, "ENCM": 0.2}, n_relevant=3), ("ENCM", "BMF"))  # θ = 0.015, sd = 0.055
    'BMF'
    """
    if priors.best not in order:
        return max(order, key=lambda name: priors.mean.get(name, -math.inf))  # max keeps the first of equals
    if evidence is None or evidence.n_relevant < 1:
        return priors.best
    thetas = {name: theta for name in order if (theta := _confident_gain(priors, evidence, name)) is not None}
    if not thetas:
        return priors.best
    return max(thetas, key=lambda name: (thetas[name], evidence.precision.get(name, 0.0)))


def _confident_gain(priors: Priors, evidence: Evidence, name: str) -> float | None:
    """Return θ if the model is better than the best one with enough confidence, else None."""
    precision, best = evidence.average_precision.get(name), evidence.average_precision.get(priors.best)
    spread = priors.spread.get(name, 0.0)
    if name == priors.best or precision is None or best is None or spread <= 0:
        return None
    n = evidence.n_relevant
    theta = (n * (precision - best) + priors.strength * priors.mean[name]) / (n + priors.strength)
    z = theta * math.sqrt(n + priors.strength) / spread
    is_confident = 0.5 * (1 + math.erf(z / math.sqrt(2))) > CONFIDENCE
    return theta if is_confident else None
