"""A version in memory: its encoders of context, its item arrays, its scorers as they are asked for."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys.artifacts import ANSWERING_LIMIT, Arrays, Nearest, Version, current
from recsys.artifacts.nearest import installed
from recsys.contract import Request
from recsys.data.context import ContextEncoder
from recsys.data.ids import canonical, distinct
from recsys.errors import ModelRefused
from recsys.evaluation.selection import Priors
from recsys.features.features import Features
from recsys.scorers.base import Scorer
from recsys.scorers.ensemble import LinearEnsemble
from recsys.scorers.registry import MODELS, REGISTRY
from recsys.scorers.retrieval import INDEXED, Candidates
from recsys.settings import Shop

INDEX = "candidates.usearch"
OWN_BYTES = 64 << 20  # that a process holds besides its version's files


@dataclass(frozen=True)
class Items:
    """What the version knows of each item.

    Attributes:
        categories: `(n_items,)` int32, positions in `category_names`; -1 without.
        brands: `(n_items,)` int32, positions in `brand_names`; -1 without.
        prices: `(n_items,)` float64; NaN where unknown.
        active: `(n_items,)` bool, which were sold when the version was trained.
        category_names: Texts, ascending.
        brand_names: Texts, ascending.
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
        """Return the category of an item by its index."""
        code = int(self.categories[item])
        return self.category_names[code] if code >= 0 else None


@dataclass(frozen=True)
class ModelBundle:
    """The current version, ready to answer.

    Attributes:
        version: The open version.
        contexts: The encoder of contexts.
        items: The per-item arrays.
        priors: What the evaluation says about the differences between the scorers.
        resident_limit: Resident bytes above which mapped memory is given back between two scorers.
    """

    version: Version
    contexts: ContextEncoder
    items: Items
    priors: Priors
    resident_limit: int = ANSWERING_LIMIT
    _scorers: dict[str, Scorer] = field(default_factory=dict, repr=False)
    _shops: list[tuple[Shop, Shop]] = field(
        init=False, default_factory=list, repr=False
    )  # the last one given, and what became of it

    @property
    def name(self) -> str:
        """The version's name."""
        return self.version.name

    @property
    def data_until(self) -> int:
        """Seconds since 1970 of the newest event that training saw."""
        return int(self.version.manifest["data_until"])

    @property
    def n_users(self) -> int:
        """The number of users that training saw; as an index it stands for everybody else."""
        return int(self.version.manifest["counts"]["users"])

    @property
    def time_zone(self) -> str:
        """The zone that the shop's customers live in."""
        return str(self.version.manifest["settings"]["time_zone"])

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The scorers of the registry that this version has."""
        return tuple(self.version.manifest["scorers"])

    def user_id(self, given: int | str | None) -> int | str | None:
        """Return a user id in the shop's type; None for a guest and for what cannot be one."""
        return None if given is None else canonical(given, self.version.manifest["id_type"]["users"])

    def item_id(self, given: int | str) -> int | str | None:
        """Return an item id in the shop's type; None for what cannot be one."""
        return canonical(given, self.version.manifest["id_type"]["items"])

    @cached_property
    def heldout(self) -> Arrays:
        """The held-out figures of each user, read on first use."""
        return self.version.arrays("heldout.h5", memory_map=True)

    @cached_property
    def evaluated_scorers(self) -> tuple[str, ...]:
        """The scorers that have held-out figures."""
        return tuple(key.removesuffix("/map10") for key in self.heldout if key.endswith("/map10"))

    @cached_property
    def may_outgrow_limit(self) -> bool:
        """Whether the process would hold more than `resident_limit`, if all of the version's files were resident."""
        return OWN_BYTES + self.version.size > self.resident_limit

    def original_ids(self, indices: Sequence[int]) -> list[int | str]:
        """Return the external ids of item indices, aligned."""
        ids: list[Any] = self._ids[np.array(indices, np.int64)].tolist()
        return [item.decode() if isinstance(item, bytes) else item for item in ids]

    def item_indices(self, ids: Sequence[int | str]) -> list[int]:
        """Return the indices of external ids in the shop's type, aligned; -1 for what training did not see."""
        stored = self._ids
        keys = np.array([_key(item, stored.dtype) for item in ids], stored.dtype)
        found = np.minimum(np.searchsorted(stored, keys), len(stored) - 1)
        indices: list[int] = np.where(stored[found] == keys, found, -1).tolist()
        return indices

    def warm(self) -> None:
        """Read now what requests would read on first use.

        Raises:
            ModelRefused: Something is not what serving needs.
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
        """Precision and MAP of each scorer in the version's report."""
        offline: Mapping[str, Mapping[str, float]] = self.version.manifest["offline"]
        return offline

    def scorer(self, name: str) -> Scorer:
        """Return a scorer of the registry, read on first use.

        Raises:
            ModelRefused: Its arrays are not what a scorer needs.
        """
        if name not in self._scorers:
            self._scorers[name] = _scorer(self.version, name, len(self.items), self._features)
        return self._scorers[name]

    @cached_property
    def has_unread_index(self) -> bool:
        """Whether the version has an index of item vectors, and what reads it is not installed."""
        return self.version.holds(INDEX) and not installed()

    @cached_property
    def candidates(self) -> Candidates | None:
        """What finds promising items, opened on first use; None where the version has no index, or what reads it is not installed.

        Raises:
            ModelRefused: The index is none of this version's vectors.
        """
        if not self.version.holds(INDEX) or self.has_unread_index:
            return None
        dim = _weights(self.version, INDEXED)["item_factors"].shape[1]
        nearest = Nearest.open(self.version.file(INDEX), f"{self.name}/{INDEX}", dim=dim, n=len(self.items))
        popular = self.version.arrays("candidates.h5", memory_map=True)["popular"]
        return Candidates(self._features, self.scorer(INDEXED), nearest.search, popular)

    @cached_property
    def _features(self) -> Features:
        """What the models share, read on first use."""
        try:
            neighbours = self.version.arrays("ease.h5", memory_map=True)
            network = self.version.arrays("signals.h5", memory_map=True)
            return Features.from_arrays({**network, **{f"ease/{name}": neighbours[name] for name in neighbours}})
        except KeyError as error:
            raise ModelRefused(f"{self.name} should hold every array of the signals. Received: no {error}.") from error

    def shop(self, shop: Shop) -> Shop:
        """Return the shop's mapping with the words and rules that this version was trained under."""
        memo = self._shops[0] if self._shops else None
        if memo is None or memo[0] is not shop:
            memo = shop, self._trained(shop)
            self._shops[:] = [memo]
        return memo[1]

    def _trained(self, shop: Shop) -> Shop:
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
        full: Whether to hash every file, whatever the version's stamp says.
        resident_limit: See `ModelBundle`.

    Raises:
        NoModel: Nothing is published.
        ModelRefused: A file is missing or damaged.
    """
    version = current(models_dir, full=full)
    try:
        words, arrays = version.json("catalogue.json"), version.arrays("items.h5", memory_map=True)
        contexts = version.json("contexts.json")
        columns = arrays["category"], arrays["brand"], arrays["price"], arrays["active"].astype(bool)
        items = Items(*columns, tuple(words["category"]), tuple(words["brand"]))
        features = {name: tuple(contexts[name]) for name in version.manifest["context_features"]}
    except (KeyError, TypeError) as error:
        raise ModelRefused(f"{version.name} should hold what its schema says. Received: no {error}.") from error
    return ModelBundle(
        version, ContextEncoder(features), items, Priors.from_json(version.json("selection.json")), resident_limit
    )


def _scorer(version: Version, name: str, n_items: int, features: Features) -> Scorer:
    kind = REGISTRY[name]
    try:
        if name in MODELS:
            scorer = kind.build(
                {**_weights(version, name), **(_derived(version, name) if kind.precompute else {})}, features
            )
        else:
            scorer = kind.build(version.arrays(f"{name}.h5", memory_map=True), features)
    except KeyError as error:
        raise ModelRefused(f"{version.name} should hold every array of {name}. Received: no {error}.") from error
    parts = (scorer, scorer.network) if isinstance(scorer, LinearEnsemble) and scorer.network is not None else (scorer,)
    for part in parts:
        if part.n_items != n_items:
            raise ModelRefused(f"{name} of {version.name} should score {n_items} items. Received: {part.n_items}.")
    return scorer


def _weights(version: Version, name: str) -> dict[str, Any]:
    arrays = version.arrays(f"{name.lower()}_model.weights.h5", memory_map=True)
    return {key.removeprefix("vars/"): array for key, array in arrays.items() if key.startswith("vars/")}


def _derived(version: Version, name: str) -> dict[str, Any]:
    return dict(version.arrays(f"{name.lower()}_derived.h5", memory_map=True))


def _key(item: int | str, kind: np.dtype) -> int | bytes:
    """Return an id as the file holds it; nothing where it is longer than all of them."""
    if isinstance(item, int):
        return item
    key = item.encode()
    return key if len(key) <= kind.itemsize else b""


@dataclass(frozen=True)
class ItemRef:
    """One item of a request.

    Attributes:
        item_id: In the shop's type.
        index: Its index; -1 where training did not see the item.
    """

    item_id: int | str
    index: int


ItemRefs = Mapping[int | str, ItemRef]


def resolve_items(request: Request, bundle: ModelBundle) -> ItemRefs:
    """Return every item that the request names and that can be an id of the shop, by the id as the client wrote it."""
    resolved = [event.item_id for event in request.interactions]
    resolved += [*request.ground_truth, *(request.candidates or ()), *request.exclude]
    resolved += [] if request.item_id is None else [request.item_id]
    ids = {given: item for given in resolved if (item := bundle.item_id(given)) is not None}
    found = bundle.item_indices(list(ids.values())) if ids else []
    return {given: ItemRef(item, index) for (given, item), index in zip(ids.items(), found, strict=True)}


def indices(resolved: ItemRefs, given: tuple[int | str, ...]) -> NDArray[np.int32]:
    """Return the indices of those of the given ids that training saw, distinct and ascending."""
    return distinct(resolved[item].index for item in given if item in resolved and resolved[item].index >= 0)
