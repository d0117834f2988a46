"""A version in memory: context encoder, item arrays, scorers read on first use; resolved items; the smoke test."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys import store
from recsys.artifacts import ANSWERING_LIMIT, Arrays, Nearest, Version, current, trim_memory
from recsys.artifacts.nearest import installed
from recsys.contract import Request
from recsys.data.cleaning import SECONDS_PER_DAY
from recsys.data.context import ContextEncoder
from recsys.data.ids import canonical, distinct
from recsys.errors import ModelRefused
from recsys.evaluation.selection import Priors
from recsys.features.features import Features
from recsys.features.query import Query
from recsys.scorers.base import Scorer
from recsys.scorers.ensemble import LinearEnsemble
from recsys.scorers.registry import MODELS, REGISTRY
from recsys.scorers.retrieval import INDEXED, Candidates
from recsys.settings import Shop

INDEX = "candidates.usearch"
OWN_BYTES = 64 << 20  # resident memory of a process without its version's files


@dataclass(frozen=True)
class Items:
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


@dataclass(frozen=True)
class ModelBundle:
    """The current version, ready to answer.

    Attributes:
        version: The open version.
        contexts: The encoder of context features.
        items: The item arrays.
        priors: The evaluation's differences between the scorers, as priors of the choice for one user.
        resident_limit: Resident bytes above which mapped memory is released between two scorers.
    """

    version: Version
    contexts: ContextEncoder
    items: Items
    priors: Priors
    resident_limit: int = ANSWERING_LIMIT
    _scorers: dict[str, Scorer] = field(default_factory=dict, repr=False)
    # The last argument of `shop` and its result, at most one pair.
    _shops: list[tuple[Shop, Shop]] = field(init=False, default_factory=list, repr=False)

    @property
    def name(self) -> str:
        """The version's name."""
        return self.version.name

    @property
    def data_until(self) -> int:
        """The time of the newest event that training saw, in seconds since 1970."""
        return int(self.version.manifest["data_until"])

    @property
    def n_users(self) -> int:
        """The number of users that training saw; as a user index it means a guest or an unseen user."""
        return int(self.version.manifest["counts"]["users"])

    @property
    def time_zone(self) -> str:
        """The time zone of the shop's users, such as `Asia/Ho_Chi_Minh`."""
        return str(self.version.manifest["settings"]["time_zone"])

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The names of the scorers that this version has, as in the registry."""
        return tuple(self.version.manifest["scorers"])

    def user_id(self, received: int | str | None) -> int | str | None:
        """Return a received user id in the shop's type; None for a guest and for a value that cannot be a user id."""
        return None if received is None else canonical(received, self.version.manifest["id_type"]["users"])

    def item_id(self, received: int | str) -> int | str | None:
        """Return a received item id in the shop's type; None for a value that cannot be an item id."""
        return canonical(received, self.version.manifest["id_type"]["items"])

    @cached_property
    def heldout(self) -> Arrays:
        """The held-out metrics of each user, read on first use."""
        return self.version.arrays("heldout.h5", memory_map=True)

    @cached_property
    def evaluated_scorers(self) -> tuple[str, ...]:
        """The names of the scorers that have held-out metrics."""
        return tuple(key.removesuffix("/map10") for key in self.heldout if key.endswith("/map10"))

    @cached_property
    def may_outgrow_limit(self) -> bool:
        """Whether the process would hold more than `resident_limit`, if all of the version's files were resident."""
        return OWN_BYTES + self.version.size > self.resident_limit

    def original_ids(self, indices: Sequence[int]) -> list[int | str]:
        """Return the external ids of item indices, in their order."""
        ids: list[Any] = self._ids[np.array(indices, np.int64)].tolist()
        return [item.decode() if isinstance(item, bytes) else item for item in ids]

    def item_indices(self, ids: Sequence[int | str]) -> list[int]:
        """Return the indices of external ids in the shop's type, in their order; -1 for an unseen item."""
        stored = self._ids
        keys = np.array([_key(item, stored.dtype) for item in ids], stored.dtype)
        positions = np.minimum(np.searchsorted(stored, keys), len(stored) - 1)
        indices: list[int] = np.where(stored[positions] == keys, positions, -1).tolist()
        return indices

    def warm(self) -> None:
        """Read everything now that requests would read on first use.

        Raises:
            ModelRefused: An array is missing or damaged.
        """
        for name in self.names:
            self.scorer(name)
        len(self.heldout)
        _ = self.candidates
        if not (self._ids[1:] > self._ids[:-1]).all():
            raise ModelRefused(f"{self.name} should hold the ids of its items in ascending order. Received: others.")

    @cached_property
    def _ids(self) -> NDArray:
        """The external id of each item in ascending order, int64 or fixed-length UTF-8; read on first use."""
        ids = self.version.arrays("encoders.h5", memory_map=True)["items"]
        if len(ids) != len(self.items):
            raise ModelRefused(
                f"{self.name} should hold an id of each of its {len(self.items)} items. Received: {len(ids)}."
            )
        return ids

    @property
    def offline(self) -> Mapping[str, Mapping[str, float]]:
        """Precision@10 and MAP@10 of each scorer over all users, from the version's report."""
        offline: Mapping[str, Mapping[str, float]] = self.version.manifest["offline"]
        return offline

    def scorer(self, name: str) -> Scorer:
        """Return a scorer of the registry, read on first use.

        Raises:
            ModelRefused: An array of the scorer is missing, or is not of this version's items.
        """
        if name not in self._scorers:
            self._scorers[name] = _scorer(self.version, name, len(self.items), self._features)
        return self._scorers[name]

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
        popular = self.version.arrays("candidates.h5", memory_map=True)["popular"]
        return Candidates(self._features, self.scorer(INDEXED), nearest.search, popular)

    @cached_property
    def _features(self) -> Features:
        """The features that all ensembles share, read on first use."""
        try:
            neighbours = self.version.arrays("ease.h5", memory_map=True)
            network = self.version.arrays("signals.h5", memory_map=True)
            return Features.from_arrays({**network, **{f"ease/{name}": neighbours[name] for name in neighbours}})
        except KeyError as error:
            raise ModelRefused(f"{self.name} should hold every array of the signals. Received: no {error}.") from error

    def shop(self, shop: Shop) -> Shop:
        """Return the shop's mapping with the event names and rules that this version was trained with."""
        memo = self._shops[0] if self._shops else None
        if memo is None or memo[0] is not shop:
            memo = shop, self._with_trained_rules(shop)
            self._shops[:] = [memo]
        return memo[1]

    def _with_trained_rules(self, shop: Shop) -> Shop:
        trained = self.version.manifest["settings"]
        repeat = trained["repeat_after_days"]
        return replace(
            shop,
            event_weights=trained["event_weights"],
            purchase_events=tuple(trained["purchase_events"]),
            relevant_events=tuple(trained["relevant_events"]),
            cancel_events=tuple(trained["cancel_events"]),
            context_columns=tuple(trained["context_columns"]),
            time_zone=trained["time_zone"],
            repeat_after_days=math.inf if repeat is None else repeat,
        )


def load(models_dir: Path, *, full: bool = False, resident_limit: int = ANSWERING_LIMIT) -> ModelBundle:
    """Open the current version.

    Args:
        models_dir: The folder of all versions.
        full: Whether to hash every file, even where the version's stamp says that it was checked.
        resident_limit: Resident bytes above which mapped memory is released between two scorers.

    Raises:
        NoModel: Nothing is published.
        ModelRefused: A file is missing or damaged.
    """
    version = current(models_dir, full=full)
    try:
        names, arrays = version.json("catalogue.json"), version.arrays("items.h5", memory_map=True)
        contexts = version.json("contexts.json")
        columns = arrays["category"], arrays["brand"], arrays["price"], arrays["active"].astype(bool)
        items = Items(*columns, tuple(names["category"]), tuple(names["brand"]))
        features = {name: tuple(contexts[name]) for name in version.manifest["context_features"]}
    except (KeyError, TypeError) as error:
        raise ModelRefused(f"{version.name} should hold what its schema says. Received: no {error}.") from error
    priors = Priors.from_json(version.json("selection.json"))
    return ModelBundle(version, ContextEncoder(features), items, priors, resident_limit)


def _scorer(version: Version, name: str, n_items: int, features: Features) -> Scorer:
    """Return a scorer of the registry, built from the version's arrays."""
    spec = REGISTRY[name]
    try:
        if name in MODELS:
            precomputed = _precomputed(version, name) if spec.precompute else {}
            scorer = spec.build({**_weights(version, name), **precomputed}, features)
        else:
            scorer = spec.build(version.arrays(f"{name}.h5", memory_map=True), features)
    except KeyError as error:
        raise ModelRefused(f"{version.name} should hold every array of {name}. Received: no {error}.") from error
    parts = (scorer, scorer.network) if isinstance(scorer, LinearEnsemble) and scorer.network is not None else (scorer,)
    for part in parts:
        if part.n_items != n_items:
            raise ModelRefused(f"{name} of {version.name} should score {n_items} items. Received: {part.n_items}.")
    return scorer


def _weights(version: Version, name: str) -> dict[str, Any]:
    """Return the trained weights of a model, by name."""
    arrays = version.arrays(f"{name.lower()}_model.weights.h5", memory_map=True)
    return {key.removeprefix("vars/"): array for key, array in arrays.items() if key.startswith("vars/")}


def _precomputed(version: Version, name: str) -> dict[str, Any]:
    """Return the item arrays that training computed from the weights, by name."""
    return dict(version.arrays(f"{name.lower()}_derived.h5", memory_map=True))


def _key(item: int | str, dtype: np.dtype) -> int | bytes:
    """Return an id as the file holds it; an empty one where the id is longer than all of the file's."""
    if isinstance(item, int):
        return item
    key = item.encode()
    return key if len(key) <= dtype.itemsize else b""


@dataclass(frozen=True)
class ItemRef:
    """An item that a request names.

    Attributes:
        item_id: The external id, in the shop's type.
        index: The item index; -1 where training did not see the item.
    """

    item_id: int | str
    index: int


ItemRefs = Mapping[int | str, ItemRef]


def resolve_items(request: Request, bundle: ModelBundle) -> ItemRefs:
    """Return the items that a request names, by the id as received; ids that the shop cannot have are left out."""
    received = [event.item_id for event in request.interactions]
    received += [*request.ground_truth, *(request.candidates or ()), *request.exclude]
    received += [] if request.item_id is None else [request.item_id]
    ids = {written: item for written in received if (item := bundle.item_id(written)) is not None}
    item_indices = bundle.item_indices(list(ids.values())) if ids else []
    return {written: ItemRef(item, index) for (written, item), index in zip(ids.items(), item_indices, strict=True)}


def indices(resolved: ItemRefs, received: tuple[int | str, ...]) -> NDArray[np.int32]:
    """Return the indices of received ids that training saw, `(n,)` int32 distinct and ascending."""
    return distinct(resolved[item].index for item in received if item in resolved and resolved[item].index >= 0)


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
        for name in bundle.names:
            scores = bundle.scorer(name).score(query)
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
