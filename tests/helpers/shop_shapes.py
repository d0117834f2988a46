"""Small shops of very different shapes, for what has to hold whatever a shop looks like."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from recsys.evaluation.protocol import EvaluationCase, EvaluationSet
from recsys.features.features import Features
from recsys.settings import Training
from recsys.training.closed_form.choose import fit_baselines, fit_features
from tests.helpers.datasets import dataset_of

DAY = 86_400


@dataclass(frozen=True)
class Shape:
    """What a shop looks like.

    Attributes:
        n_users: The number of users; each has one test case.
        n_items: The number of items.
        events: Events of a user before the test case.
        tail: The exponent of popularity: the item of rank r is chosen r^-tail as often as the first.
        loyalty: The share of choices within a user's own group of items.
        groups: The number of groups of items that are bought together.
        days: From the oldest event to the newest; 0 means that all events are at one moment.
        repeats: The share of events that repeat an earlier item of the user; above 0, repeats are relevant.
    """

    n_users: int = 600
    n_items: int = 300
    events: int = 6
    tail: float = 1.0
    loyalty: float = 0.5
    groups: int = 12
    days: int = 60
    repeats: float = 0.0


SHAPES: Mapping[str, Shape] = {
    "a common shop": Shape(),
    "no clock": Shape(n_users=800, n_items=800, tail=0.8, loyalty=0.2, days=0),
    "no clock, many small groups": Shape(n_users=1000, n_items=1500, tail=0.5, loyalty=0.3, groups=150, days=0),
    "one purchase each": Shape(events=1, loyalty=0.7),
    "a long tail": Shape(n_items=1500, tail=0.5, loyalty=0.4),
    "best-sellers only": Shape(tail=1.5, loyalty=0.0),
    "repeats": Shape(events=12, repeats=0.5),
    "tiny": Shape(n_users=14, n_items=20, events=4),
    "nothing to learn": Shape(tail=0.0, loyalty=0.0),
}


def shop(shape: Shape, seed: int) -> tuple[Features, EvaluationSet]:
    """Return the features of a shop's events, and one test case for each user, their next choice."""
    rng = np.random.default_rng(seed)
    popularity = np.arange(1, shape.n_items + 1.0) ** -shape.tail
    popularity = rng.permutation(popularity / popularity.sum())
    group_of_item = rng.integers(0, shape.groups, shape.n_items)
    users, items, relevant = [], [], []
    for user in range(shape.n_users):
        own = popularity * (group_of_item == rng.integers(0, shape.groups))
        chosen: list[int] = []
        while len(chosen) < shape.events + 1:
            if chosen and rng.random() < shape.repeats:
                chosen.append(int(rng.choice(chosen)))
                continue
            loyal = own.any() and rng.random() < shape.loyalty
            item = int(rng.choice(shape.n_items, p=own / own.sum() if loyal else popularity))
            if shape.repeats or item not in chosen:
                chosen.append(item)
        users += [user] * shape.events
        items += chosen[:-1]
        relevant.append(chosen[-1])
    moments = np.sort(rng.integers(0, shape.days * DAY + 1, (shape.n_users, shape.events)), axis=1).ravel()
    data = dataset_of(np.array(users), np.array(items), np.ones(len(users)), shape.n_users, shape.n_items, moments)
    arrays = {f"ease/{name}": array for name, array in fit_baselines(data, l2=50.0)["ease"].items()}
    features = Features.from_arrays({**arrays, **fit_features(data, 1.0, Training(factors=16))})
    now, nothing = shape.days * DAY + 1, np.zeros(0, np.int32)
    cases = tuple(
        EvaluationCase(
            query := data.query(user, context=nothing, now=now, repeats=shape.repeats > 0),
            np.array([item], np.int32),
            0,
            nothing if shape.repeats else np.unique(query.items),
        )
        for user, item in enumerate(relevant)
    )
    known, active = np.ones(len(cases), bool), np.ones(shape.n_items, bool)
    return features, EvaluationSet(cases, known, 0, active, tuple(case.relevant for case in cases))
