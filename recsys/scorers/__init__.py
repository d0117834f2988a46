"""Everything that can rank a catalogue, in NumPy: one registry, its order deciding ties."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from recsys.scorers.base import MAX_HISTORY, Arrays, Query, Scorer
from recsys.scorers.bmf import BMF
from recsys.scorers.encm import ENCM
from recsys.scorers.item_cf import ItemCF
from recsys.scorers.lncm import LNCM
from recsys.scorers.neumf import NeuMF
from recsys.scorers.popularity import Popularity
from recsys.scorers.user_frequency import DecayedUserFrequency, UserFrequency


@dataclass(frozen=True)
class Kind:
    """One entry of the registry.

    Attributes:
        load: Builds the scorer from a version's arrays.
        source: What the wire calls an answer of this scorer.
        derive: Returns the arrays that are computed once a version, for networks that have any.
    """

    load: Callable[[Arrays], Scorer]
    source: Literal["model", "item_cf", "popularity"]
    derive: Callable[[Arrays], Arrays] | None = None


REGISTRY: Mapping[str, Kind] = {
    "ENCM": Kind(ENCM.from_arrays, "model", ENCM.derive),
    "LNCM": Kind(LNCM.from_arrays, "model", LNCM.derive),
    "NeuMF": Kind(NeuMF.from_arrays, "model", NeuMF.derive),
    "BMF": Kind(BMF.from_arrays, "model"),
    "item_cf": Kind(ItemCF.from_arrays, "item_cf"),
    "user_frequency_decayed": Kind(DecayedUserFrequency.from_arrays, "popularity"),
    "user_frequency": Kind(UserFrequency.from_arrays, "popularity"),
    "popularity_recent": Kind(Popularity.from_arrays, "popularity"),
    "popularity": Kind(Popularity.from_arrays, "popularity"),
}
MODELS = tuple(name for name, kind in REGISTRY.items() if kind.source == "model")
BASELINES = tuple(name for name in REGISTRY if name not in MODELS)

__all__ = ["BASELINES", "MAX_HISTORY", "MODELS", "REGISTRY", "Arrays", "Kind", "Query", "Scorer"]
