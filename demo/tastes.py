"""The users' hidden preferences, hours and devices, which cause the demo shop's events."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from demo.catalogue import N_STYLES
from demo.lines import BRANDS, CATEGORIES

DEVICES = ("desktop", "mobile", "tablet")
BASE_AFFINITY = -2.3  # log-affinity to a category that a persona does not name
PERSONAS = {
    "photographer": {"cameras": 1.6, "lenses": 2.0, "outdoor": 0.4, "audio": -0.4},
    "barista": {"coffee": 2.0, "kitchen": 1.6, "audio": -0.4, "stationery": -0.6},
    "runner": {"running": 2.2, "skincare": 0.0, "audio": -0.2, "outdoor": -0.2},
    "hiker": {"outdoor": 2.0, "winter": 1.1, "running": 0.0, "cameras": -0.5},
    "listener": {"audio": 2.2, "coffee": 0.2, "stationery": -0.5},
    "radiant": {"skincare": 2.2, "winter": 0.2, "running": -0.3, "coffee": -0.4},
    "writer": {"stationery": 2.0, "coffee": 0.8, "kitchen": 0.1, "audio": -0.4},
    "homemaker": {"kitchen": 1.6, "winter": 0.9, "coffee": 0.6, "skincare": 0.2},
}
SHARE_DRIFTING = 0.35
SHARE_JOINED_LATER = 0.4
MEDIAN_SESSIONS_A_MONTH = 1.4
# Sessions by hour: four kinds of users, as (peak hour, width in hours).
CHRONOTYPES = ((8.0, 2.0), (13.0, 2.8), (20.0, 2.2), (23.0, 2.4))


@dataclass(frozen=True)
class Tastes:
    """Preferences, with one row for each user.

    Attributes:
        before: `(n, n_categories)` log-affinity to categories before the drift.
        after: `(n, n_categories)` log-affinity after it; equal to `before` for most users.
        drift_day: `(n,)` the day in the middle of the drift.
        styles: `(n, N_STYLES)` preferred looks, in the catalogue's coordinates.
        brands: `(n, n_brands)` log-affinity to brands.
        budget: `(n,)` 0 to 1, the preferred place in a line's price range.
        loyalty: `(n,)` probability that a used-up product is bought again.
        hours: `(n, 24)` distribution of sessions over the hours; rows sum to 1.
        devices: `(n, 3)` distribution over DEVICES; rows sum to 1.
        sessions_a_month: `(n,)` expected sessions; a few users have very many.
        joined: `(n,)` the day of registration; negative is before the first simulated day.
    """

    before: NDArray[np.float64]
    after: NDArray[np.float64]
    drift_day: NDArray[np.float64]
    styles: NDArray[np.float64]
    brands: NDArray[np.float64]
    budget: NDArray[np.float64]
    loyalty: NDArray[np.float64]
    hours: NDArray[np.float64]
    devices: NDArray[np.float64]
    sessions_a_month: NDArray[np.float64]
    joined: NDArray[np.int64]

    def categories(self, user: int, day: float) -> NDArray[np.float64]:
        """Return `(n_categories,)` log-affinities on a day; a drift takes about three weeks."""
        progress = 1 / (1 + np.exp(-(day - self.drift_day[user]) / 7))
        affinities: NDArray[np.float64] = (1 - progress) * self.before[user] + progress * self.after[user]
        return affinities


def make_tastes(rng: np.random.Generator, n: int, days: int) -> Tastes:
    """Return the preferences of `n` users over a simulated period of `days` days."""
    before = _affinities(rng, n)
    drifting = rng.random(n) < SHARE_DRIFTING
    later = rng.random(n) < SHARE_JOINED_LATER
    return Tastes(
        before=before,
        after=np.where(drifting[:, None], _affinities(rng, n), before),
        drift_day=rng.uniform(0.2 * days, 0.8 * days, n),
        styles=rng.normal(size=(n, N_STYLES)),
        brands=rng.normal(0, 0.6, (n, len(BRANDS))),
        budget=rng.beta(2, 2.5, n),
        loyalty=rng.beta(2.5, 2.5, n),
        hours=_hours(rng, n),
        devices=rng.dirichlet([2.0, 2.6, 0.5], n),
        sessions_a_month=MEDIAN_SESSIONS_A_MONTH * rng.lognormal(0, 0.65, n),
        joined=np.where(later, rng.integers(0, max(1, int(days * 0.95)), n), -rng.integers(1, 700, n)),
    )


def _affinities(rng: np.random.Generator, n: int) -> NDArray[np.float64]:
    """Return `(n, n_categories)` log-affinities: one persona, a weaker second one, and noise."""
    table = np.full((len(PERSONAS), len(CATEGORIES)), BASE_AFFINITY)
    columns = list(CATEGORIES)
    for row, likes in enumerate(PERSONAS.values()):
        for category, affinity in likes.items():
            table[row, columns.index(category)] = affinity
    first, second = rng.integers(len(PERSONAS), size=(2, n))
    mixed: NDArray[np.float64] = np.logaddexp(table[first], table[second] + np.log(rng.uniform(0.05, 0.6, n))[:, None])
    return mixed + rng.normal(0, 0.3, mixed.shape)


def _hours(rng: np.random.Generator, n: int) -> NDArray[np.float64]:
    """Return `(n, 24)` shares: mostly one or two chronotypes, over a small uniform base."""
    hour = np.arange(24)
    curves = []
    for peak, width in CHRONOTYPES:
        distance = np.minimum(np.abs(hour - peak), 24 - np.abs(hour - peak))
        curve = np.exp(-0.5 * (distance / width) ** 2)
        curves.append(curve / curve.sum())
    weights = rng.dirichlet([0.5] * len(CHRONOTYPES), n)
    shares: NDArray[np.float64] = 0.95 * weights @ np.array(curves) + 0.05 / 24
    return shares
