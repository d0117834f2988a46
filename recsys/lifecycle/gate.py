"""The gate: from the figures of a candidate and of the active version to a verdict, publish or refuse.

Pure functions of plain figures; `recsys.lifecycle.comparison` measures them. docs/METRICS.md describes the rules.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys.errors.records import Record
from recsys.evaluation.selection import SEGMENTS
from recsys.lifecycle.choice import ALL, MIN_COMPARED, POPULARITY, HeldoutFigures, in_segment, most_likely_gain
from recsys.scorers.registry import MODELS
from recsys.settings import Lifecycle

COUNTS: Mapping[str, str] = {
    "users": "users",
    "items": "products with events",
    "for_sale": "products with events that are for sale",
    "events": "events",
}


class ActiveFigures(Record):
    """What the active version recorded at its publication.

    Attributes:
        name: The version's name.
        counts: Its numbers, by the names of `COUNTS`.
        scorer: The scorer that serves.
        map10: The scorer's held-out MAP@10; None where it was not measured.
        popularity: The same of popularity.
        comparable: Whether it was evaluated by the same protocol and repeat rule.
    """

    name: str
    counts: Mapping[str, int]
    scorer: str
    map10: float | None
    popularity: float | None
    comparable: bool = True


class PairedFigures(Record):
    """AP@10 of the evaluation fits of candidate and active version, for the same users on the same later events.

    Attributes:
        since: The later of both cuts, in seconds since 1970.
        candidate: `(n,)` floats.
        active: `(n,)` floats, of the same users in the same order.
        n_events: `(n,)` int64, the number of events of each of these users until then.
    """

    since: int
    candidate: NDArray[np.float64]
    active: NDArray[np.float64]
    n_events: NDArray[np.int64]


class CandidateFigures(Record):
    """What is known of the candidate.

    Attributes:
        counts: Its numbers, by the names of `COUNTS`.
        largest_user: The user id with the most events.
        largest_share: That user's share of all events, 0 to 1.
        heldout: What the test measured.
        not_finite: Scorers with a score that is no finite number.
        changed: The share of held-out users whose ten items differ from those of `blend`, by network.
        agreement: The share of the ten items that the fit that serves has in common with the evaluation fit, for the
            median user; None where it was not measured.
    """

    counts: Mapping[str, int]
    largest_user: int | str
    largest_share: float
    heldout: HeldoutFigures
    not_finite: tuple[str, ...] = ()
    changed: Mapping[str, float] = field(default_factory=dict)
    agreement: float | None = None

    @property
    def sparsity(self) -> float:
        """The least share of pairs of a user and an item that have no event, 0 to 1."""
        return max(0.0, 1 - self.counts["events"] / (self.counts["users"] * self.counts["items"]))


class Verdict(Record):
    """Whether a candidate may serve.

    Attributes:
        reasons: Why it is refused, one sentence each; empty if it may be published.
        warnings: What its shop should know, one sentence each.
        scorers: The scorer that serves: of `all`, and of each segment that has another one.
        figures: What was compared, for the report.
        can_be_forced: Whether `--force` publishes it all the same.
        forced: Whether it was published all the same.
    """

    reasons: tuple[str, ...]
    warnings: tuple[str, ...]
    scorers: Mapping[str, str]
    figures: Mapping[str, Any]
    can_be_forced: bool = True
    forced: bool = False

    @property
    def publishes(self) -> bool:
        """Whether the candidate may be published."""
        return not self.reasons or self.forced

    @property
    def sentence(self) -> str:
        """What the verdict is, in one sentence, the most important reason first."""
        if not self.reasons:
            return "The new version may serve."
        others = len(self.reasons) - 1
        return self.reasons[0] + (f" {others} more in models/metrics.json." if others else "")

    def to_json(self) -> dict[str, Any]:
        """Return the verdict as a JSON object."""
        return {
            "published": self.publishes,
            "forced": self.forced,
            "reasons": list(self.reasons),
            "warnings": list(self.warnings),
            "scorers": dict(self.scorers),
            "figures": dict(self.figures),
        }


def too_small(counts: Mapping[str, int], limits: Lifecycle) -> bool:
    """Return whether a shop has too little to learn from.

    Args:
        counts: The number of `events`, `users`, and `items` with events.
        limits: The least numbers.
    """
    least = {"events": limits.min_events, "users": limits.min_users, "items": limits.min_products}
    return any(counts[name] < number for name, number in least.items())


def decide(
    candidate: CandidateFigures,
    scorers: Mapping[str, str],
    active: ActiveFigures | None,
    paired: PairedFigures | str,
    limits: Lifecycle,
    *,
    notes: tuple[str, ...] = (),
    seed: int = 0,
) -> Verdict:
    """Return the verdict on a candidate.

    Args:
        candidate: Its figures.
        scorers: The scorer that serves each segment, from `choose_scorers`.
        active: The figures of the active version; None where nothing is published.
        paired: The comparison of both evaluation fits; a text says why there is none.
        limits: What is refused, and what is a warning.
        notes: Warnings of earlier steps.
        seed: Seed of the bootstrap.
    """
    reasons: list[str] = []
    warnings: list[str] = [*notes, *_data_warnings(candidate, limits)]
    figures: dict[str, Any] = {"candidate": _figures_of(candidate, scorers)}
    if candidate.not_finite:
        names = ", ".join(candidate.not_finite)
        reasons.append(f"Every score should be a finite number. Received: others from {names}.")
    reasons += _unchanged(candidate, scorers)
    if candidate.agreement is not None and candidate.agreement < limits.min_agreement:
        reasons.append(
            f"The fit that serves should share {limits.min_agreement:.0%} of the ten best items with the fit that was "
            f"evaluated, for the median user. Received: {candidate.agreement:.0%}."
        )
    if active is not None:
        figures["active"] = {**active.counts, "version": active.name, "scorer": active.scorer, "map10": active.map10}
        if isinstance(paired, PairedFigures):
            figures["paired"], reason, warning = compare(paired, active.name, limits, seed)
            reasons += reason
            warnings += warning
        else:
            figures["not_paired"] = paired
            warnings.append(f"Version {active.name} is compared by the figures of its publication only: {paired}.")
        reasons += _fewer(candidate.counts, active, limits)
        if active.comparable:
            reason, warning = _below_publication(candidate, scorers[ALL], active, limits, seed)
            reasons += reason
            warnings += warning
        else:
            warnings.append(f"Version {active.name} was evaluated by other rules, so that its MAP@10 says nothing.")
    return Verdict(tuple(reasons), tuple(warnings), scorers, figures, can_be_forced=not candidate.not_finite)


def compare(
    paired: PairedFigures, active: str, limits: Lifecycle, seed: int
) -> tuple[dict[str, Any], list[str], list[str]]:
    """Compare two versions by their evaluation fits.

    Args:
        paired: The figures of the same users.
        active: The name of the active version.
        limits: Holds the margin.
        seed: Seed of the bootstrap.

    Returns:
        The figures, also of each segment with enough users; a reason to refuse if the candidate is worse by more than
        the margin for certain; a warning if it is so in the mean only, and one for each segment in which it is certain.
    """
    found = _difference(paired.candidate, paired.active, limits, seed)
    segments = {
        segment: _difference(paired.candidate[users], paired.active[users], limits, seed)
        for segment in SEGMENTS
        if (users := in_segment(paired.n_events, segment)).sum() >= MIN_COMPARED
    }
    figures = {"since": paired.since, **found, "segments": segments}
    day = datetime.fromtimestamp(paired.since, UTC).strftime("%Y-%m-%d")
    lower = [
        f"{_sentence(part, f'users of the segment `{segment}` since {day}', active)}, {_bounds(part)}."
        for segment, part in segments.items()
        if _is_worse(part)
    ]
    sentence = _sentence(found, f"users since {day}", active)
    if _is_worse(found):
        return figures, [f"{sentence}, {_bounds(found)}."], lower
    if found["candidate"] - found["active"] < found["allowed"]:
        return figures, [], [f"{sentence}, which may be chance ({_bounds(found)}).", *lower]
    return figures, [], lower


def _difference(
    candidate: NDArray[np.float64], active: NDArray[np.float64], limits: Lifecycle, seed: int
) -> dict[str, Any]:
    """Return the number of users, both means, the upper bound of their difference, and the least that is allowed."""
    theirs = float(active.mean())
    return {
        "users": len(candidate),
        "candidate": float(candidate.mean()),
        "active": theirs,
        "at_most": most_likely_gain(candidate, active, seed),
        "allowed": -limits.margin * theirs,
    }


def _is_worse(found: Mapping[str, Any]) -> bool:
    """Return whether a candidate is worse by more than the margin for certain."""
    return bool(found["at_most"] < found["allowed"])


def _sentence(found: Mapping[str, Any], who: str, active: str) -> str:
    return (
        f"MAP@10 of {found['users']:,} {who} is {found['candidate']:.4f}, and {found['active']:.4f} with version "
        f"{active}: a difference of {found['candidate'] - found['active']:+.4f}"
    )


def _bounds(found: Mapping[str, Any]) -> str:
    return f"at most {found['at_most']:+.4f}; allowed is {found['allowed']:+.4f}"


def _figures_of(candidate: CandidateFigures, scorers: Mapping[str, str]) -> dict[str, Any]:
    """Return the candidate's figures for the report; those of a segment are of the scorer that serves it."""
    heldout, scorer = candidate.heldout, scorers[ALL]
    return {
        **candidate.counts,
        "scorer": scorer,
        "map10": heldout.mean(scorer),
        "popularity": heldout.mean(POPULARITY),
        "sparsity": candidate.sparsity,
        "largest_user": candidate.largest_user,
        "largest_share": candidate.largest_share,
        "agreement": candidate.agreement,
        "changed": dict(candidate.changed),
        "segments": {
            segment: {
                "users": int(users.sum()),
                "map10": float(heldout.map10[scorers.get(segment, scorer)][users].mean()),
                "popularity": float(heldout.map10[POPULARITY][users].mean()),
            }
            for segment in SEGMENTS
            if (users := in_segment(heldout.n_events, segment)).any()
        },
    }


def _data_warnings(candidate: CandidateFigures, limits: Lifecycle) -> list[str]:
    """Return warnings about a small or sparse shop, and about one user id with many of the events."""
    warnings, users = [], candidate.counts["users"]
    if users < limits.few_users:
        warnings.append(f"Training knows {users:,} users; with fewer than {limits.few_users:,}, figures are uncertain.")
    if candidate.sparsity > limits.max_sparsity:
        warnings.append(
            f"{candidate.sparsity:.2%} of all pairs of a user and a product have no event (above "
            f"{limits.max_sparsity:.0%}): most lists rest on what is popular and similar."
        )
    if candidate.largest_share > limits.max_user_share:
        warnings.append(
            f"User {candidate.largest_user} has {candidate.largest_share:.0%} of all events (above "
            f"{limits.max_user_share:.0%}). If your guests share this id, or a program does, leave it out of the "
            "[[sources]] in recsys.toml, as by WHERE user_id <> …; guests are served without an id."
        )
    return warnings


def _unchanged(candidate: CandidateFigures, scorers: Mapping[str, str]) -> list[str]:
    """Return a reason to refuse for each network that should serve, but changes nobody's ten items."""
    return [
        f"{name} should change the list of some user, because it is to serve. Received: for every user the ten items "
        "of `blend`, which has no network."
        for name in dict.fromkeys(scorers.values())
        if name in MODELS and candidate.changed.get(name) == 0
    ]


def _fewer(counts: Mapping[str, int], active: ActiveFigures, limits: Lifecycle) -> list[str]:
    """Return a reason to refuse for each count that is far below the active version's."""
    return [
        f"{words.capitalize()} should be at most {limits.max_count_drop:.0%} fewer than the {active.counts[name]:,} of "
        f"version {active.name}. Received: {counts[name]:,}."
        for name, words in COUNTS.items()
        if counts[name] < (1 - limits.max_count_drop) * active.counts[name]
    ]


def _below_publication(
    candidate: CandidateFigures, scorer: str, active: ActiveFigures, limits: Lifecycle, seed: int
) -> tuple[list[str], list[str]]:
    """Return reasons to refuse a candidate that is far below what the active version had at its publication.

    Returns:
        A reason for each figure that is too low for certain, as far as the candidate's users can tell; a warning for
        each that may be so by chance. How uncertain the figure of the publication is was not recorded.
    """
    heldout, least = candidate.heldout, 1 - limits.max_metric_drop
    ours, popular = heldout.map10[scorer], heldout.map10[POPULARITY]
    lift_before = _ratio(active.map10, active.popularity)
    # The figure then and now, and what each user's precision is to be at least, in the mean.
    figures = {
        "Held-out MAP@10": (active.map10, heldout.mean(scorer), np.ones_like(ours)),
        "MAP@10 divided by popularity's": (
            lift_before,
            _ratio(heldout.mean(scorer), heldout.mean(POPULARITY)),
            popular,
        ),
    }
    reasons: list[str] = []
    warnings: list[str] = []
    for name, (before, now, unit) in figures.items():
        if before is None or now is None or now >= least * before:
            continue
        sentence = (
            f"{name} should be at most {limits.max_metric_drop:.0%} below the {before:.4f} of {active.scorer} in "
            f"version {active.name}. Received: {now:.4f} of {scorer}"
        )
        if len(ours) >= MIN_COMPARED and most_likely_gain(ours, least * before * unit, seed) < 0:
            reasons.append(f"{sentence}.")
        else:
            warnings.append(f"{sentence}, which may be chance with {len(ours):,} users.")
    return reasons, warnings


def _ratio(value: float | None, base: float | None) -> float | None:
    return value / base if value is not None and base else None
