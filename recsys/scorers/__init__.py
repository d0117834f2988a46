"""Everything that can rank a catalogue, in NumPy: one registry, its order deciding ties."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from recsys.scorers.base import MAX_HISTORY, Arrays, Query, Scorer
from recsys.scorers.bmf import BMF
from recsys.scorers.candidates import EXHAUSTIVE_UP_TO, INDEXED, Candidates
from recsys.scorers.ease import EASE
from recsys.scorers.encm import ENCM
from recsys.scorers.item_cf import ItemCF
from recsys.scorers.lncm import LNCM
from recsys.scorers.neumf import NeuMF
from recsys.scorers.popularity import Popularity
from recsys.scorers.signals import N_SIGNALS, NAMES, Blend, Signals
from recsys.scorers.user_frequency import DecayedUserFrequency, UserFrequency


@dataclass(frozen=True)
class Kind:
    """One entry of the registry.

    Attributes:
        load: Builds the scorer, or a network's own part, from a version's arrays; None where there are only signals.
        source: What the wire calls an answer of this scorer.
        derive: Returns the arrays that are computed once a version, for networks that have any.
        counts: Whether scores are counts or similarities from 0; the others are logits.
    """

    load: Callable[[Arrays], Scorer] | None
    source: Literal["model", "item_cf", "popularity"]
    derive: Callable[[Arrays], Arrays] | None = None
    counts: bool = False

    def serve(self, arrays: Arrays, signals: Signals) -> Scorer:
        """Return the scorer as it serves: on top of the signals where it has weights for them."""
        own = self.load(arrays) if self.load else None
        if own is not None and "signal_weights" not in arrays:
            return own
        return Blend(signals, arrays["signal_weights"], own)


REGISTRY: Mapping[str, Kind] = {
    "ENCM": Kind(ENCM.from_arrays, "model", ENCM.derive),
    "LNCM": Kind(LNCM.from_arrays, "model"),
    "NeuMF": Kind(NeuMF.from_arrays, "model", NeuMF.derive),
    "BMF": Kind(BMF.from_arrays, "model"),
    "blend": Kind(None, "item_cf"),
    "ease": Kind(EASE.from_arrays, "item_cf"),
    "item_cf": Kind(ItemCF.from_arrays, "item_cf", counts=True),
    "user_frequency_decayed": Kind(DecayedUserFrequency.from_arrays, "popularity", counts=True),
    "user_frequency": Kind(UserFrequency.from_arrays, "popularity", counts=True),
    "popularity_recent": Kind(Popularity.from_arrays, "popularity", counts=True),
    "popularity": Kind(Popularity.from_arrays, "popularity", counts=True),
}
MODELS = tuple(name for name, kind in REGISTRY.items() if kind.source == "model")
BASELINES = tuple(name for name in REGISTRY if name not in MODELS)

__all__ = [
    "BASELINES",
    "EXHAUSTIVE_UP_TO",
    "INDEXED",
    "MAX_HISTORY",
    "MODELS",
    "NAMES",
    "N_SIGNALS",
    "REGISTRY",
    "Arrays",
    "Blend",
    "Candidates",
    "Kind",
    "Query",
    "Scorer",
    "Signals",
]
