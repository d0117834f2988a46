"""Ablations of the data: without histories, and without user embeddings. The models stay the same."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from benchmarks.sets.base import Part, map_cases
from recsys.evaluation.protocol import EvaluationCase
from recsys.settings import Training


def without_history(part: Part, options: Training) -> tuple[Part, Training]:
    """Return a part without histories: all events of a user have one time, and test cases have an empty history.

    Events at the same time are not in each other's history, so that every event is trained without one. Items that the
    repeat rule hides stay hidden.

    Args:
        part: Part with histories.
        options: Training options, returned unchanged.
    """
    data = part.data
    newest = data.timestamps[np.maximum(data.starts[1:] - 1, 0)] if len(data) else data.timestamps
    timeless = replace(data, timestamps=newest[data.users])

    def emptied(case: EvaluationCase) -> EvaluationCase:
        query = case.query
        return replace(
            case,
            query=query._replace(items=query.items[:0], weights=query.weights[:0], timestamps=query.timestamps[:0]),
        )

    return Part(
        part.encoders,
        timeless,
        {rule: map_cases(evaluation_set, emptied) for rule, evaluation_set in part.evaluation_sets.items()},
    ), options


def without_embedding(part: Part, options: Training) -> tuple[Part, Training]:
    """Return a part whose test cases are guests with a history, and options that train without user embeddings.

    Args:
        part: Part with known users.
        options: Training options.
    """
    guest = part.data.n_users

    def anonymous(case: EvaluationCase) -> EvaluationCase:
        return replace(case, query=case.query._replace(user=guest))

    evaluation_sets = {
        rule: map_cases(evaluation_set, anonymous) for rule, evaluation_set in part.evaluation_sets.items()
    }
    return replace(part, evaluation_sets=evaluation_sets), replace(options, dropped_users=1.0)


ABLATIONS: Mapping[str, Callable[[Part, Training], tuple[Part, Training]]] = {
    "without history": without_history,
    "without embedding": without_embedding,
}
EVERY_SEED = ("without history",)  # published models have none, so its figures are compared with theirs
EVERYTHING, WITHOUT_NEURAL = "everything", "without neural part"
