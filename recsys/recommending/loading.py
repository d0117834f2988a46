"""A version in memory: context encoder, item arrays, scorers read on first use; the smoke test."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import field
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from recsys import store
from recsys.artifacts import ANSWERING_LIMIT, Arrays, Nearest, Version, current, open_version, trim_memory
from recsys.artifacts.nearest import installed
from recsys.data.cleaning import SECONDS_PER_DAY
from recsys.data.context import ContextEncoder
from recsys.errors import ModelRefused
from recsys.errors.records import Record
from recsys.evaluation.selection import Priors, segment_of
from recsys.features.features import Features
from recsys.features.query import Floats, Query
from recsys.related.again import Repurchases
from recsys.related.together import TogetherPairs
from recsys.scorers.base import Scorer
from recsys.scorers.layers import LinearEnsemble
from recsys.scorers.registry import MODELS, REGISTRY
from recsys.scorers.retrieval import INDEXED, Candidates
from recsys.settings.shop import DEFAULT_CART_EVENTS, DEFAULT_UNCART_EVENTS

T = TypeVar("T")
INDEX = "candidates.usearch"
PAIRS, TRENDS, AGAIN = "together.h5", "trending.h5", "again.h5"
OWN_BYTES = 64 << 20  # resident memory of a process without its version's files


class Items(Record):
    """The item arrays of a version, by item index.

    Attributes:
        categories: `(n_items,)` int32, positions in `category_names`; -1 for none.
        brands: `(n_items,)` int32, positions in `brand_names`; -1 for none.
        prices: `(n_items,)` float64; NaN where unknown.
        active: `(n_items,)` bool, True for items that were active when the version was trained.
        category_names: Distinct texts, ascending.
        brand_names: Distinct texts, ascending.
    """

    categories: NDArray[np.int32]
    brands: NDArray[np.int32]
    prices: NDArray[np.float64]
    active: NDArray[np.bool_]
    category_names: tuple[str, ...]
    brand_names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.prices)

    def category_of(self, item: int) -> str | None:
        """Return the category of an item by its index, or None."""
        code = int(self.categories[item])
        return self.category_names[code] if code >= 0 else None


class ModelBundle(Record):
    """The current version, ready to answer.

    Attributes:
        version: The open version.
        name: Its name.
        data_until: The time of the newest event that training saw, in seconds since 1970.
        n_users: The number of users that training saw; as a user index it means a guest or an unseen user.
        user_kind: `int` or `str`: the type of the shop's user ids.
        item_kind: The same of item ids.
        rules: The event names and rules of training, as attributes of `Shop`.
        offline: Precision@10 and MAP@10 of each scorer over all users, from the version's report.
        contexts: The encoder of context features.
        items: The item arrays.
        priors: The evaluation's differences between the scorers, as priors of the choice for one user.
        scorers: The scorers by name, each read on first use.
        resident_limit: Resident bytes above which mapped memory is released between two scorers.
        segments: The priors of each segment of users in which another scorer serves.
        guests: The user ids that stand for guests.
        n_sessions: How many of the users, the last ones, are guests' sessions, which nobody asks as.
    """

    version: Version
    name: str
    data_until: int
    n_users: int
    user_kind: str
    item_kind: str
    rules: Mapping[str, Any]
    offline: Mapping[str, Mapping[str, float]]
    contexts: ContextEncoder
    items: Items
    priors: Priors
    scorers: Scorers
    resident_limit: int = ANSWERING_LIMIT
    segments: Mapping[str, Priors] = field(default_factory=dict)
    guests: frozenset[int | str] = frozenset()
    n_sessions: int = 0

    def priors_of(self, n_events: int) -> Priors:
        """Return the priors of a user with a number of events on items of the version."""
        return self.segments.get(segment_of(n_events), self.priors) if self.segments else self.priors

    @cached_property
    def heldout(self) -> Arrays:
        """The held-out metrics of each user, read on first use."""
        return self.version.arrays("heldout.h5")

    @cached_property
    def may_outgrow_limit(self) -> bool:
        """Whether the process would hold more than `resident_limit`, if all of the version's files were resident."""
        return OWN_BYTES + self.version.size > self.resident_limit

    @cached_property
    def pairs(self) -> TogetherPairs | None:
        """The items that are bought together, read on first use; None in a version without them.

        Raises:
            ModelRefused: They are not of this version's items.
        """
        return self._of_items(PAIRS, TogetherPairs.from_arrays, lambda pairs: pairs.n_items)

    @cached_property
    def trends(self) -> Floats | None:
        """How much each item rose at the end of training's events, read on first use; None in an older version.

        Raises:
            ModelRefused: They are not of this version's items.
        """
        return self._of_items(TRENDS, lambda arrays: arrays["rises"], len)

    @cached_property
    def repurchases(self) -> Repurchases | None:
        """The consumables and when they are due, read on first use; None in an older version.

        Raises:
            ModelRefused: They are not of this version's items.
        """
        return self._of_items(AGAIN, Repurchases.from_arrays, lambda found: found.n_items)

    def _of_items(self, name: str, made: Callable[[Arrays], T], length: Callable[[T], int]) -> T | None:
        if not self.version.holds(name):
            return None
        found = made(self.version.arrays(name))
        if length(found) != len(self.items):
            raise ModelRefused(f"{name} of {self.name} should hold {len(self.items)} items. Received: {length(found)}.")
        return found

    def original_ids(self, indices: Sequence[int]) -> list[int | str]:
        """Return the external ids of item indices, in their order."""
        return _texts(self._ids[np.array(indices, np.int64)])

    def item_indices(self, ids: Sequence[int | str]) -> list[int]:
        """Return the indices of external ids in the shop's type, in their order; -1 for an unseen item."""
        return _indices(self._ids, ids)

    def user_indices(self, ids: Sequence[int | str]) -> list[int]:
        """Return the indices of users' external ids in the shop's type, in their order; -1 for an unseen user."""
        return _indices(self._accounts, ids)

    def known_users(self) -> list[int | str]:
        """Return the external ids of the users that training saw, ascending, without guests' sessions."""
        return _texts(self._accounts)

    @property
    def _accounts(self) -> NDArray:
        return self.version.arrays("encoders.h5")["users"][: self.n_users - self.n_sessions]

    def warm(self) -> None:
        """Read everything now that requests would read on first use.

        Raises:
            ModelRefused: An array is missing or damaged.
        """
        for name in self.scorers.names:
            _ = self.scorers[name]
        len(self.heldout)
        _ = self.candidates, self.trends, self.repurchases
        if self.pairs is not None:
            _ = self.pairs.weights
        if not (self._ids[1:] > self._ids[:-1]).all():
            raise ModelRefused(f"{self.name} should hold the ids of its items in ascending order. Received: others.")

    @cached_property
    def _ids(self) -> NDArray:
        """The external id of each item in ascending order, int64 or fixed-length UTF-8; read on first use."""
        ids = self.version.arrays("encoders.h5")["items"]
        if len(ids) != len(self.items):
            raise ModelRefused(
                f"{self.name} should hold an id of each of its {len(self.items)} items. Received: {len(ids)}."
            )
        return ids

    @cached_property
    def has_unread_index(self) -> bool:
        """Whether the version has an index of item vectors, but the library that reads it is not installed."""
        return self.version.holds(INDEX) and not installed()

    @cached_property
    def candidates(self) -> Candidates | None:
        """The retrieval of candidate items, opened on first use; None without an index that can be read.

        Raises:
            ModelRefused: The index does not belong to this version's vectors.
        """
        if not self.version.holds(INDEX) or self.has_unread_index:
            return None
        dim = _weights(self.version, INDEXED)["item_factors"].shape[1]
        nearest = Nearest.open(self.version.file(INDEX), f"{self.name}/{INDEX}", dim=dim, n=len(self.items))
        popular = self.version.arrays("candidates.h5")["popular"]
        return Candidates(self.scorers.features, self.scorers[INDEXED], nearest.search, popular)

    def release_memory(self) -> None:
        """Release mapped memory above `resident_limit`."""
        trim_memory(self.resident_limit)


class Scorers(dict[str, Scorer]):
    """The scorers of a version by name, each read on first use.

    Reading raises ModelRefused if an array of the scorer is missing, or is not of this version's items.

    Attributes:
        version: The open version.
        n_items: The number of its items.
        names: The names of all its scorers, as in the registry.
    """

    def __init__(self, version: Version, n_items: int) -> None:
        super().__init__()
        self.version = version
        self.n_items = n_items
        self.names: tuple[str, ...] = tuple(version.manifest["scorers"])

    def __missing__(self, name: str) -> Scorer:
        scorer = _scorer(self.version, name, self.n_items, self.features)
        return self.setdefault(name, scorer)  # of two threads, the first one sets it

    @cached_property
    def features(self) -> Features:
        """The features that all ensembles share, read on first use."""
        try:
            neighbours = self.version.arrays("ease.h5")
            network = self.version.arrays("signals.h5")
            return Features.from_arrays({**network, **{f"ease/{name}": neighbours[name] for name in neighbours}})
        except KeyError as error:
            message = f"{self.version.name} should hold every array of the signals. Received: no {error}."
            raise ModelRefused(message) from error


def load(
    models_dir: Path, *, name: str | None = None, full: bool = False, resident_limit: int = ANSWERING_LIMIT
) -> ModelBundle:
    """Open a version.

    Args:
        models_dir: The folder of all versions.
        name: The version's name; None for the current one.
        full: Whether to hash every file, even where the version's stamp says that it was checked.
        resident_limit: Resident bytes above which mapped memory is released between two scorers.

    Raises:
        NoModel: Nothing is published, or there is no version of that name.
        ModelRefused: A file is missing or damaged.
    """
    version = current(models_dir, full=full) if name is None else open_version(models_dir, name, full=full)
    try:
        names, arrays = version.json("catalogue.json"), version.arrays("items.h5")
        contexts = version.json("contexts.json")
        columns = arrays["category"], arrays["brand"], arrays["price"], arrays["active"].astype(bool)
        items = Items(*columns, tuple(names["category"]), tuple(names["brand"]))
        manifest = version.manifest
        features = {name: tuple(contexts[name]) for name in manifest["context_features"]}
        selection = version.json("selection.json")
    except (KeyError, TypeError) as error:
        raise ModelRefused(f"{version.name} should hold what its schema says. Received: no {error}.") from error
    return ModelBundle(
        version=version,
        name=version.name,
        data_until=int(manifest["data_until"]),
        n_users=int(manifest["counts"]["users"]),
        user_kind=manifest["id_type"]["users"],
        item_kind=manifest["id_type"]["items"],
        rules=_rules(manifest["settings"]),
        offline=manifest["offline"],
        contexts=ContextEncoder(features),
        items=items,
        priors=Priors.from_json(selection),
        scorers=Scorers(version, len(items)),
        resident_limit=resident_limit,
        segments={segment: Priors.from_json(stored) for segment, stored in selection.get("segments", {}).items()},
        guests=frozenset(manifest.get("guests", ())),  # older versions have neither
        n_sessions=int(manifest.get("sessions", 0)),
    )


def _rules(trained: Mapping[str, Any]) -> dict[str, Any]:
    """Return the event names and rules that a version was trained with, as attributes of `Shop`."""
    repeat = trained["repeat_after_days"]
    names = ("purchase_events", "relevant_events", "cancel_events", "context_columns")
    return {
        **{name: tuple(trained[name]) for name in names},
        "cart_events": tuple(trained.get("cart_events", DEFAULT_CART_EVENTS)),  # older versions have neither
        "uncart_events": tuple(trained.get("uncart_events", DEFAULT_UNCART_EVENTS)),
        "event_weights": trained["event_weights"],
        "time_zone": trained["time_zone"],
        "repeat_after_days": math.inf if repeat is None else repeat,
    }


def _scorer(version: Version, name: str, n_items: int, features: Features) -> Scorer:
    """Return a scorer of the registry, built from the version's arrays."""
    spec = REGISTRY[name]
    try:
        if name in MODELS:
            precomputed = version.arrays(f"{name.lower()}_derived.h5") if spec.precompute else {}
            scorer = spec.build({**_weights(version, name), **precomputed}, features)
        else:
            scorer = spec.build(version.arrays(f"{name}.h5"), features)
    except KeyError as error:
        raise ModelRefused(f"{version.name} should hold every array of {name}. Received: no {error}.") from error
    parts = (scorer, scorer.network) if isinstance(scorer, LinearEnsemble) and scorer.network is not None else (scorer,)
    for part in parts:
        if part.n_items != n_items:
            raise ModelRefused(f"{name} of {version.name} should score {n_items} items. Received: {part.n_items}.")
    return scorer


def _weights(version: Version, name: str) -> dict[str, Any]:
    """Return the trained weights of a model, by name."""
    arrays = version.arrays(f"{name.lower()}_model.weights.h5")
    return {key.removeprefix("vars/"): array for key, array in arrays.items() if key.startswith("vars/")}


def _indices(stored: NDArray, ids: Sequence[int | str]) -> list[int]:
    """Return the positions of ids in a file's ascending ids; -1 for others."""
    if not len(stored):
        return [-1] * len(ids)
    keys = np.array([_key(item, stored.dtype) for item in ids], stored.dtype)
    positions = np.minimum(np.searchsorted(stored, keys), len(stored) - 1)
    indices: list[int] = np.where(stored[positions] == keys, positions, -1).tolist()
    return indices


def _texts(stored: NDArray) -> list[int | str]:
    """Return ids as the shop has them."""
    ids: list[Any] = stored.tolist()
    return [item.decode() if isinstance(item, bytes) else item for item in ids]


def _key(item: int | str, dtype: np.dtype) -> int | bytes:
    """Return an id as the file holds it; an empty one where the id is longer than all of the file's."""
    if isinstance(item, int):
        return item
    key = item.encode()
    return key if len(key) <= dtype.itemsize else b""


def smoke_test(bundle: ModelBundle, db: store.Database) -> None:
    """Let every scorer of a version score a few queries, before the version serves; this also warms the version up.

    Args:
        bundle: The version to test.
        db: The shop's database.

    Raises:
        ModelMismatch: The database does not hold the version's encoders.
        ModelRefused: An array is not what a scorer needs, or a score is not finite.
    """
    store.require_version(db, bundle.name)
    bundle.warm()
    for query in _smoke_test_queries(bundle):
        features = bundle.scorers.features.compute(query)
        for name in bundle.scorers.names:
            scores = bundle.scorers[name].score(query, features)
            if scores.shape != (len(bundle.items),) or not np.isfinite(scores).all():
                raise ModelRefused(
                    f"{name} of {bundle.name} should score every item with a finite number. Received: others."
                )
            trim_memory()  # the version that serves is mapped, too


def _smoke_test_queries(bundle: ModelBundle) -> Iterator[Query]:
    """Yield queries of the first user, the last user and a guest; each with and without history and repeats."""
    n_items, now = len(bundle.items), bundle.data_until + SECONDS_PER_DAY
    histories = (np.zeros(0, np.int32), np.array([0, n_items // 2, n_items - 1], np.int32))
    context = bundle.contexts.encode(dict.fromkeys(bundle.contexts.features))
    for user in (0, bundle.n_users - 1, bundle.n_users):
        for items in histories:
            timestamps = np.full(len(items), bundle.data_until, np.int64)
            for repeats in (False, True):
                yield Query(user, items, np.ones(len(items), np.float32), timestamps, context, now, repeats)
