"""Which scorer serves each segment of users, by validation and test. docs/METRICS.md describes the rules."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field

import numpy as np
from numpy.typing import NDArray

from recsys.errors.records import Record
from recsys.evaluation.metrics import CERTAIN, paired_lower_bound, standard_error
from recsys.evaluation.selection import SEGMENTS
from recsys.evaluation.shown import ShownLists
from recsys.scorers.registry import REGISTRY
from recsys.settings import Lifecycle

ALL = "all"  # the scorer of every segment that has none of its own
POPULARITY = "popularity"
# No segment may lose to one of these; between equal ones, the first serves
TITLES: Mapping[str, str] = {POPULARITY: "Popularity", "popularity_recent": "Recent popularity"}
CHEAPEST = "cheapest"
# By the setting `among_equals`: the figure of `ShownLists.figures` that decides, and whether more or less is better
PREFERRED: Mapping[str, tuple[str, int]] = {
    "category": ("category", 1),
    "coverage": ("coverage", 1),
    "fewest_best_sellers": ("best_sellers", -1),
}
MIN_COMPARED = 10  # with fewer users, an interval means nothing

PerUser = Mapping[str, NDArray[np.float64]]


class ValidationFigures(Record):
    """What validation measured.

    Attributes:
        best: The scorer with the highest MAP@10.
        map10: `(n,)` AP@10 of each user, by scorer; empty where too few users could be validated.
        n_events: `(n,)` int64, the number of events of each of these users.
        shown: What the scorers showed to these users; None where it is not known.
        recall10: `(n,)` Recall@10 of each user, by scorer; empty where it is not known.
    """

    best: str
    map10: PerUser
    n_events: NDArray[np.int64]
    shown: ShownLists | None = None
    recall10: PerUser = field(default_factory=dict)


class HeldoutFigures(Record):
    """What the test measured, of known users.

    Attributes:
        map10: `(n,)` AP@10 of each user, by scorer.
        n_events: `(n,)` int64, the number of events of each of these users.
    """

    map10: PerUser
    n_events: NDArray[np.int64]

    def mean(self, scorer: str) -> float | None:
        """Return the MAP@10 of a scorer; None without users."""
        return float(self.map10[scorer].mean()) if len(self.n_events) else None


def in_segment(n_events: NDArray[np.int64], segment: str) -> NDArray[np.bool_]:
    """Return which users belong to a segment, `(n,)` bool.

    >>> in_segment(np.array([0, 1, 2, 5]), "returning").tolist()
    [False, False, True, False]
    """
    above = [least for least in SEGMENTS.values() if least > SEGMENTS[segment]]
    return (n_events >= SEGMENTS[segment]) & (n_events < min(above, default=np.iinfo(np.int64).max))


def cheapest_of_the_best(map10: PerUser, recall10: PerUser) -> str:
    """Return the cheapest of the scorers that cannot be told from the best, see `equals_of_the_best`.

    >>> cheapest_of_the_best({"ENCM": np.array([0.5, 0.4, 0.2]), "popularity": np.array([0.4, 0.5, 0.1])}, {})
    'popularity'
    >>> cheapest_of_the_best({"ENCM": np.array([0.5, 0.4, 0.2]), "popularity": np.array([0.4, 0.3, 0.1])}, {})
    'ENCM'
    """
    return equals_of_the_best(map10, recall10)[0]


def equals_of_the_best(map10: PerUser, recall10: PerUser) -> list[str]:
    """Return all scorers that cannot be told from the best, the cheapest first; the registry has the dearest first.

    These are within one paired standard error of the best MAP@10. With one relevant item a user, this mostly says what
    is in first place, and is uncertain. So a scorer is none of them if another one's ten places certainly hold more
    relevant items.

    Args:
        map10: `(n,)` AP@10 of each user, by scorer.
        recall10: `(n,)` Recall@10 of each user, by scorer; without it MAP@10 decides alone.
    """
    names = [name for name in REGISTRY if name in map10]
    best = max(names, key=lambda name: map10[name].mean())

    def is_below(values: PerUser, name: str, other: str, errors: float) -> bool:
        differences = values[other] - values[name]
        return bool(differences.mean() > errors * standard_error(differences))

    near = [name for name in reversed(names) if name == best or not is_below(map10, name, best, 1.0)]
    known = [name for name in near if name in recall10]
    fewer = {name for name in known if any(is_below(recall10, name, other, CERTAIN) for other in known)}
    return [name for name in near if name not in fewer]


def choose_scorers(
    validation: ValidationFigures,
    heldout: HeldoutFigures,
    limits: Lifecycle,
    seed: int,
    among_equals: str = CHEAPEST,
) -> tuple[dict[str, str], list[str]]:
    """Return the scorer that serves each segment, and a note on each segment in which popularity serves instead.

    Validation chooses. A group of at least `segment_users` users gets a scorer within one standard error of the best,
    by default the cheapest one. A smaller segment gets the scorer of all, and a smaller shop the best one. On the test,
    no segment may lose to popularity or recent popularity for certain.

    Args:
        validation: What validation measured.
        heldout: What the test measured.
        limits: Holds `segment_users`.
        seed: Seed of the bootstrap.
        among_equals: What decides among scorers that validation cannot tell from the best, as in the settings.
    """
    measured = {name: values for name, values in validation.map10.items() if name in heldout.map10}

    def chosen(users: NDArray[np.bool_], otherwise: str) -> str:
        if not measured or users.sum() < limits.segment_users:
            return otherwise
        recall10 = {name: values[users] for name, values in validation.recall10.items() if name in measured}
        equals = equals_of_the_best({name: values[users] for name, values in measured.items()}, recall10)
        return _preferred(equals, validation.shown, users, among_equals)

    everyone = np.ones(len(validation.n_events), bool)
    wanted = {ALL: chosen(everyone, validation.best)}
    wanted |= {name: chosen(in_segment(validation.n_events, name), wanted[ALL]) for name in SEGMENTS}
    scorers: dict[str, str] = {}
    notes = []
    for segment, name in wanted.items():
        users = np.ones(len(heldout.n_events), bool) if segment == ALL else in_segment(heldout.n_events, segment)
        map10 = {key: values[users] for key, values in heldout.map10.items()}
        if segment != ALL and name == wanted[ALL] and users.sum() < MIN_COMPARED:
            scorers[segment] = scorers[ALL]  # too few to find anything else about them
            continue
        serves = scorers[segment] = _not_below_popularity(name, map10, seed)
        if serves != name:
            notes.append(
                f"{TITLES[serves]} serves the segment `{segment}`, {users.sum():,} users: there it has MAP@10 "
                f"{map10[serves].mean():.4f}, {name} has {map10[name].mean():.4f}."
            )
    return {segment: name for segment, name in scorers.items() if segment == ALL or name != scorers[ALL]}, notes


def _preferred(equals: list[str], shown: ShownLists | None, users: NDArray[np.bool_], among_equals: str) -> str:
    """Return the scorer that serves among equal ones, cheapest first; without figures to decide by, the cheapest."""
    figure, sign = PREFERRED.get(among_equals, ("", 1))
    if shown is None or not figure:
        return equals[0]
    values = {name: shown.figures(name, users)[figure] for name in equals if name in shown.lists}
    known = {name: sign * value for name, value in values.items() if value is not None}
    return max(known, key=lambda name: known[name]) if known else equals[0]


def _not_below_popularity(name: str, map10: PerUser, seed: int) -> str:
    """Return a scorer, or the better popularity where it certainly loses to one of them."""
    if len(map10[name]) < MIN_COMPARED:
        return name
    popular = [each for each in TITLES if each in map10]
    if all(most_likely_gain(map10[name], map10[each], seed) >= 0 for each in popular):
        return name
    return max(popular, key=lambda each: map10[each].mean())


def most_likely_gain(candidate: NDArray[np.float64], active: NDArray[np.float64], seed: int) -> float:
    """Return the one-sided upper bound of mean(candidate − active), by the paired bootstrap; at 95 %."""
    return -paired_lower_bound(active, candidate, np.random.default_rng(seed))
