"""Compares evaluation fits on the same later events: the candidate's with the active version's, and with the final fit.

Two fits have encoders of their own. So the test cases are built once in the shop's ids, and translated for each fit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys.artifacts import Version
from recsys.data.context import ContextEncoder
from recsys.data.encoding import Encoders, encode
from recsys.data.ids import IdMap
from recsys.data.interactions import Catalogue, Interactions
from recsys.errors.records import Record
from recsys.evaluation.metrics import average_precision_at_k
from recsys.evaluation.protocol import EvaluationCase, EvaluationSet, allowed_items, build_evaluation_set, known_context
from recsys.evaluation.ranking import top_k
from recsys.evaluation.results import K
from recsys.evaluation.selection import segment_of
from recsys.features.features import Features
from recsys.features.query import Arrays, Mask
from recsys.lifecycle.choice import ALL
from recsys.scorers.base import Scorer
from recsys.scorers.registry import MODELS, REGISTRY
from recsys.settings import Shop, Training


class EvaluationFit(Record):
    """A fit before a cut, with what it needs to score.

    Attributes:
        encoders: The encoders of its events.
        scorers: Its scorers by name, at least those that serve.
        serves: The scorer of `all`, and of each segment that has another one.
    """

    encoders: Encoders
    scorers: Mapping[str, Scorer]
    serves: Mapping[str, str]

    def scorer_of(self, n_events: int) -> Scorer:
        """Return the scorer that serves a user with a number of events."""
        return self.scorers[self.serves.get(segment_of(n_events), self.serves[ALL])]


class LaterEvents(Record):
    """The events around a moment, in the shop's ids.

    Attributes:
        before: What was known at the moment, cleaned.
        after: Events at or after it, cleaned.
        moment: Seconds since 1970.
        catalogue: The shop's products.
        shop: Holds event names, weights, the repeat rule and the time zone.
        training: Holds the largest number of users, and the seed.
    """

    before: Interactions
    after: Interactions
    moment: int
    catalogue: Catalogue
    shop: Shop
    training: Training


class SharedCases(Record):
    """Test cases in the shop's ids, one for each known user with a relevant item.

    Attributes:
        users: `(n,)` user ids.
        relevant: The ids of the relevant items of each user.
        hidden: The ids of the items that the repeat rule hides from each user.
        n_events: `(n,)` int64, the number of events of each user before the moment, as a request sees them.
        all_users: The encoder of every user with an event before the moment.
    """

    users: NDArray
    relevant: tuple[NDArray, ...]
    hidden: tuple[NDArray, ...]
    n_events: NDArray[np.int64]
    all_users: IdMap

    def __len__(self) -> int:
        return len(self.users)


def shared_cases(events: LaterEvents, contexts: ContextEncoder) -> SharedCases:
    """Return the test cases of the known users after a moment.

    Args:
        events: The events around the moment.
        contexts: Any encoder of context features; the cases do not depend on it.
    """
    users = IdMap(np.unique(events.before.users))
    items = IdMap(np.unique(np.concatenate([events.before.items, events.after.items])))
    encoders = Encoders(users, items, contexts, _categories(contexts, items, events.catalogue))
    known = events.after.take(users.indices(events.after.users) < users.unknown)
    cases = build_evaluation_set(
        encode(events.before, encoders, events.shop, events.training, events.moment),
        known,
        encoders,
        shop=events.shop,
        active=np.ones(len(items), bool),
        cut=events.moment,
        repeat_after_days=events.shop.repeat_after_days,
        rng=np.random.default_rng(events.training.seed),
        max_users=events.training.max_exam_users,
    ).cases
    return SharedCases(
        users=users.ids[[case.query.user for case in cases]],
        relevant=tuple(items.ids[case.relevant] for case in cases),
        hidden=tuple(items.ids[case.hidden] for case in cases),
        n_events=np.array([len(case.query.items) for case in cases], np.int64),
        all_users=users,
    )


def cases_of(fit: EvaluationFit, shared: SharedCases, events: LaterEvents) -> EvaluationSet:
    """Return the test cases as a fit would serve them: by its own encoders, with each user's history at the moment.

    A user that the fit does not know has a history all the same, as a request has.

    Args:
        fit: The fit.
        shared: The cases in the shop's ids.
        events: The events around the moment.
    """
    encoders = replace(fit.encoders, users=shared.all_users)
    past = encode(events.before, encoders, events.shop, events.training, events.moment)
    numbers, own_numbers = shared.all_users.indices(shared.users), fit.encoders.users.indices(shared.users)
    cases = []
    for number, own_number, relevant, hidden in zip(
        numbers.tolist(), own_numbers.tolist(), shared.relevant, shared.hidden, strict=True
    ):
        context = known_context(past, number, encoders, events.shop, events.moment)
        repeats = events.shop.repeat_after_days < np.inf
        query = past.query(number, context=context, now=events.moment, repeats=repeats)._replace(user=own_number)
        wanted, masked = (fit.encoders.items.indices(ids) for ids in (relevant, hidden))
        reachable = np.sort(wanted[wanted < fit.encoders.items.unknown])
        cases.append(
            EvaluationCase(query, reachable, len(wanted) - len(reachable), masked[masked < fit.encoders.items.unknown])
        )
    active = np.append(events.catalogue.active, False)[events.catalogue.rows_of(fit.encoders.items.ids)]
    none = np.zeros(0, np.int32)
    return EvaluationSet(tuple(cases), np.ones(len(cases), bool), 0, active, (none,) * len(cases))


def average_precisions(fit: EvaluationFit, shared: SharedCases, events: LaterEvents) -> NDArray[np.float64]:
    """Return the AP@10 of the scorer that serves each user, `(n,)` float64."""
    cases = cases_of(fit, shared, events)
    return np.array(
        [
            average_precision_at_k(top, case.relevant, n_relevant=case.n_relevant)
            for case, top in zip(cases.cases, _lists(fit, cases, cases.active), strict=True)
        ],
        np.float64,
    )


def agreement(fits: Sequence[EvaluationFit], shared: SharedCases, events: LaterEvents) -> float | None:
    """Return the share of the ten best items that two fits have in common, for the median user; None without users.

    Only items that both know are ranked: new products do not count as a difference.

    Args:
        fits: Two fits.
        shared: The cases in the shop's ids.
        events: The events around the moment.
    """
    lists = []
    for fit, other in zip(fits, fits[::-1], strict=True):
        cases, items = cases_of(fit, shared, events), fit.encoders.items
        common = other.encoders.items.indices(items.ids) < other.encoders.items.unknown
        lists.append([set(items.ids[top].tolist()) for top in _lists(fit, cases, cases.active & common)])
    shares = [len(a & b) / max(len(a), len(b)) for a, b in zip(*lists, strict=True) if a or b]
    return float(np.median(shares)) if shares else None


def _lists(fit: EvaluationFit, cases: EvaluationSet, active: Mask) -> list[NDArray[np.int32]]:
    """Return the ten best items of each case, by the scorer that serves its user."""
    return [
        top_k(fit.scorer_of(len(case.query.items)).score(case.query), K, allowed_items(case, active))
        for case in cases.cases
    ]


def stored_fit(version: Version, catalogue: Catalogue) -> EvaluationFit | None:
    """Return the evaluation fit of a version, or None where the version is too old to hold all of it.

    Args:
        version: The open version.
        catalogue: The shop's products, for the categories of its items.

    Raises:
        ModelRefused: A file is damaged.
    """
    if not version.holds("evaluation/contexts.json"):
        return None
    contexts = version.json("evaluation/contexts.json")
    encoder = ContextEncoder({name: tuple(contexts[name]) for name in version.manifest["context_features"]})
    users, items = (_ids(version.arrays("evaluation/encoders.h5")[name]) for name in ("users", "items"))
    serves = version.manifest["serves"]
    features = _features(version)
    scorers = {name: REGISTRY[name].build(_arrays(version, name), features) for name in set(serves.values())}
    return EvaluationFit(Encoders(users, items, encoder, _categories(encoder, items, catalogue)), scorers, serves)


def evaluation_files(names: Sequence[str]) -> tuple[str, ...]:
    """Return the baselines whose arrays a version keeps of its evaluation fit; networks' weights are always kept.

    Args:
        names: The scorers that serve.
    """
    return tuple(name for name in REGISTRY if name not in MODELS and (name in names or name == "ease"))


def _arrays(version: Version, name: str) -> Arrays:
    if name not in MODELS:
        return version.arrays(f"evaluation/{name}.h5")
    arrays = version.arrays(f"evaluation/{name.lower()}_model.weights.h5")
    return {key.removeprefix("vars/"): array for key, array in arrays.items() if key.startswith("vars/")}


def _features(version: Version) -> Features:
    neighbours = version.arrays("evaluation/ease.h5")
    shared = {f"ease/{name}": array for name, array in neighbours.items()}
    return Features.from_arrays({**version.arrays("evaluation/signals.h5"), **shared})


def _ids(stored: NDArray[Any]) -> IdMap:
    """Return ids as they were before `recsys.training.publishing.stored_ids`."""
    if stored.dtype.kind in "iu":
        return IdMap(stored)
    return IdMap(np.array([value.decode() for value in stored.tolist()], object))


def _categories(contexts: ContextEncoder, items: IdMap, catalogue: Catalogue) -> NDArray[np.int32]:
    """Return the index of each item in the feature `category`, `(n_items + 1,)` int32; the last one for "no item"."""
    categories = np.append(catalogue.categories, np.array([None]))[catalogue.rows_of(items.ids)]
    return contexts.column("category", [*categories, None])
