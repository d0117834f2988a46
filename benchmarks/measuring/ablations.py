"""A part without one of the two sides of a customer; the models themselves are left as they are."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from benchmarks.sets.base import Part, map_cases
from recsys.evaluation.protocol import EvaluationCase
from recsys.settings import Training


def without_history(part: Part, options: Training) -> tuple[Part, Training]:
    """Return a part in which nobody has a past: a user's events are of one moment, and questions come with an empty history.

    Events of one moment are no history of one another, so every event is learned with nothing before it. What the
    repeat rule hides stays hidden.

    Args:
        part: With history.
        options: Of the fit.
    """
    data = part.data
    newest = data.timestamps[np.maximum(data.starts[1:] - 1, 0)] if len(data) else data.timestamps
    timeless = replace(data, timestamps=newest[data.users])

    def emptied(case: EvaluationCase) -> EvaluationCase:
        query = case.query
        return replace(
            case,
            query=replace(query, items=query.items[:0], weights=query.weights[:0], timestamps=query.timestamps[:0]),
        )

    return Part(
        timeless,
        {rule: map_cases(evaluation_set, emptied) for rule, evaluation_set in part.evaluation_sets.items()},
    ), options


def without_embedding(part: Part, options: Training) -> tuple[Part, Training]:
    """Return a part whose questions come from guests with a history, and options that train on nothing but guests.

    Args:
        part: With users.
        options: Of the fit.
    """
    guest = part.data.n_users

    def anonymous(case: EvaluationCase) -> EvaluationCase:
        return replace(case, query=replace(case.query, user=guest))

    evaluation_sets = {
        rule: map_cases(evaluation_set, anonymous) for rule, evaluation_set in part.evaluation_sets.items()
    }
    return Part(part.data, evaluation_sets), replace(options, dropped_users=1.0)


ABLATIONS: Mapping[str, Callable[[Part, Training], tuple[Part, Training]]] = {
    "without history": without_history,
    "without embedding": without_embedding,
}
EVERY_SEED = ("without history",)  # published models have none, so its figures are compared with theirs
EVERYTHING, WITHOUT_NEURAL = "everything", "without neural part"
