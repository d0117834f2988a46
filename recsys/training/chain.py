"""The chain of fits: what one fit leaves, so that the fit on more events goes on from it instead of from nothing.

A fit may go on only from one whose events all lie before its own cut: choosing, then evaluation, then serving.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys.artifacts import Version, current
from recsys.data.context import ContextEncoder
from recsys.data.dataset import Dataset
from recsys.data.encoding import Encoders
from recsys.data.ids import IdMap
from recsys.errors import RecsysError
from recsys.features.query import Arrays, Floats, Indices
from recsys.networks.base import ITEMS, USERS
from recsys.networks.fit import Earlier, Fit
from recsys.scorers.registry import MODELS
from recsys.settings import Training

WEIGHTS = "vars/"  # the group of a file that holds a network's weights
MORE_EPOCHS = 1  # of a network that goes on; the learning rate falls to 0 once more


@dataclass(frozen=True)
class Learned:
    """What a fit leaves for the next one.

    Attributes:
        encoders: The encoders of its events.
        networks: The weights of each network.
        item_factors: `(n_items, factors)` float32 of ALS.
        data_until: The time of its newest event, in seconds since 1970.
    """

    encoders: Encoders
    networks: Mapping[str, Arrays]
    item_factors: Floats
    data_until: int

    @classmethod
    def of(cls, encoders: Encoders, data: Dataset, fits: Mapping[str, Fit], features: Arrays) -> Learned:
        """Return what the fit before the validation cut leaves for the next one."""
        networks = {name: result.network.arrays() for name, result in fits.items()}
        return cls(encoders, networks, features["item_factors"], int(data.timestamps.max()))

    def for_networks(
        self, encoders: Encoders, epochs: Mapping[str, int], ended: Collection[str] = ()
    ) -> Earlier | None:
        """Return what the networks of the next fit go on from; None where none of them may.

        Args:
            encoders: Of the next fit.
            epochs: The number of epochs that validation chose for each network; 0 keeps the start from ALS, which is
                then computed anew.
            ended: The networks that add nothing; they are carried over and not trained further.
        """
        carried = {name: arrays for name, arrays in self.networks.items() if epochs.get(name)}
        if not carried:
            return None
        more = {name: 0 if name in ended else MORE_EPOCHS for name in carried}
        return Earlier(carried, places(self.encoders, encoders), dict(epochs), more)

    def start_of_als(self, encoders: Encoders, factors: int) -> Floats | None:
        """Return `(n_items, factors)` float32, zeros for new items; None if the width is another one."""
        if self.item_factors.shape[1] != factors:
            return None
        place = places(self.encoders, encoders)[ITEMS]
        return np.where(place[:, None] >= 0, self.item_factors[place], 0).astype(np.float32)


def newest(fits: Iterable[Learned | None], before: int) -> Learned | None:
    """Return the fit with the newest events among those that have no event at or after a moment; None without any.

    Args:
        fits: Fits to go on from.
        before: Seconds since 1970; the cut of the fit that goes on.
    """
    allowed = [learned for learned in fits if learned is not None and learned.data_until < before]
    return max(allowed, key=lambda learned: learned.data_until, default=None)


def active_fits(models_dir: Path, options: Training, note: Callable[[str], None]) -> dict[str, Learned]:
    """Return what both fits of the active version have learned: `evaluation` and `final`; nothing without a version.

    Args:
        models_dir: The folder of versions.
        options: Holds the width of the embeddings; networks of another width are left out.
        note: Receives why there is nothing to go on from.
    """
    try:
        with current(models_dir) as version:
            cut, until = int(version.manifest["evaluation_cut"]), int(version.manifest["data_until"])
            parts = {"evaluation": ("evaluation/", cut - 1), "final": ("", until)}
            return {name: _stored(version, folder, options, end) for name, (folder, end) in parts.items()}
    except (RecsysError, KeyError) as error:
        note(f"nothing to go on from: {error}")
        return {}


def _stored(version: Version, folder: str, options: Training, data_until: int) -> Learned:
    """Return what a fit of a version has learned, in arrays of their own.

    Args:
        version: The open version.
        folder: Of its files, `evaluation/` or nothing.
        options: Hold the width of the embeddings.
        data_until: The time up to which the fit has seen events, in seconds since 1970.
    """
    contexts = version.json(f"{folder}contexts.json")
    encoder = ContextEncoder({name: tuple(contexts[name]) for name in version.manifest["context_features"]})
    ids = version.arrays(f"{folder}encoders.h5")
    users, items = (_ids(np.array(ids[name])) for name in (USERS, ITEMS))
    categories = np.zeros(len(items) + 1, np.int32)  # of no use here
    networks = {
        name: {
            key.removeprefix(WEIGHTS): np.array(array)
            for key, array in version.arrays(f"{folder}{name.lower()}_model.weights.h5").items()
            if key.startswith(WEIGHTS)
        }
        for name in MODELS
        if version.holds(f"{folder}{name.lower()}_model.weights.h5")
        and version.json(f"{name.lower()}_config.json")["dim"] == options.dim
    }
    # one without a weight was not trained
    trained = {name: arrays for name, arrays in networks.items() if arrays["signal_weights"][:, -1].any()}
    factors = np.array(version.arrays(f"{folder}signals.h5")["item_factors"])
    return Learned(Encoders(users, items, encoder, categories), trained, factors, data_until)


def _ids(stored: NDArray[Any]) -> IdMap:
    """Return ids as they were before they were written."""
    if stored.dtype.kind in "iu":
        return IdMap(stored)
    return IdMap(np.array([value.decode() for value in stored.tolist()], object))


def places(old: Encoders, new: Encoders) -> dict[str | int, Indices]:
    """Return for each kind of rows of a network where each row of the new fit was in the old one; -1 for new rows."""

    def place(found: Indices, unknown: int) -> Indices:
        return np.where(found < unknown, found, -1).astype(np.int32)

    def same_kind(name: str) -> Indices:
        ours, theirs = getattr(new, name), getattr(old, name)
        if ours.kind != theirs.kind:
            return np.full(len(ours), -1, np.int32)
        return place(theirs.indices(ours.ids), theirs.unknown)

    rows: dict[str | int, Indices] = {USERS: same_kind("users"), ITEMS: same_kind("items")}
    for n, (name, values) in enumerate(new.contexts.values.items()):
        unknown = len(old.contexts.values.get(name, ()))
        known = old.contexts.column(name, values) if name in old.contexts.values else np.zeros(len(values), np.int32)
        last = old.contexts.features.index(name) if name in old.contexts.values else -1
        rows[n] = np.append(place(known, unknown), unknown if last == n else -1).astype(np.int32)
        if last != n:  # the number of a feature is part of its weights' names
            rows[n][:] = -1
    return rows
