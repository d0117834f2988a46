"""The test cases of one cut under each repeat rule.

The queries of one user differ in the rule alone. They follow each other, so that they can share features and scores.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from recsys.evaluation.protocol import EvaluationCase, EvaluationSet
from recsys.features.features import FeatureValues
from recsys.features.query import Floats, Indices, Mask, Query
from recsys.scorers.base import Scorer

Moment = tuple[int, int, bytes, bytes]


def moment_of(query: Query) -> Moment:
    """Return all that queries of one dataset differ in, except the rule; the items stand for the whole history."""
    return query.user, query.now, query.context.tobytes(), query.items.tobytes()


def by_user(evaluation_sets: Mapping[str, EvaluationSet]) -> Iterator[tuple[str, int, EvaluationCase]]:
    """Yield the rule, the position in its set and the test case of each query; those of one moment follow each other.

    Args:
        evaluation_sets: The set of each rule, after one cut.
    """
    places = [
        (*moment_of(case.query), rule, n)
        for rule, evaluation_set in evaluation_sets.items()
        for n, case in enumerate(evaluation_set.cases)
    ]
    for *_, rule, n in sorted(places):
        yield rule, n, evaluation_sets[rule].cases[n]


class Once:
    """A scorer that does not read the repeat rule. It scores the query of a moment once, for all rules."""

    def __init__(self, scorer: Scorer) -> None:
        """Take the scorer."""
        self._scorer = scorer
        self._last: tuple[Moment, Floats] | None = None

    @property
    def n_items(self) -> int:
        """The number of items."""
        return self._scorer.n_items

    def score(
        self,
        query: Query,
        features: FeatureValues | None = None,
        items: Indices | None = None,
        masks: Mask | None = None,
    ) -> Floats:
        """Return the scores of the whole catalogue, which the caller may not write to; see `Scorer.score`.

        Args:
            query: The user and the moment.
            features: Not read.
            items: None.
            masks: None.
        """
        moment = moment_of(query)
        if self._last is None or self._last[0] != moment:
            self._last = moment, self._scorer.score(query)
        return self._last[1]
