"""The registry of scorers; its order decides ties."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Literal

from recsys.features.features import Signals
from recsys.features.query import Arrays
from recsys.scorers.base import Scorer
from recsys.scorers.ensemble import Blend
from recsys.scorers.item_item import EASE, ItemCF
from recsys.scorers.popularity import Popularity
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


def model(name: str) -> Kind:
    """Return the entry of a neural model, found by its name, so that one line registers it.

    Its scorer is the class `name` in the module of that name, in lower case, of `recsys.scorers`; its network, which only training
    imports, that of `recsys.networks`. A scorer with a `derive` has arrays that are computed once a version.
    """
    scorer = getattr(import_module(f"recsys.scorers.{name.lower()}"), name)
    return Kind(scorer.from_arrays, "model", getattr(scorer, "derive", None))


REGISTRY: Mapping[str, Kind] = {
    "ENCM": model("ENCM"),
    "LNCM": model("LNCM"),
    "NeuMF": model("NeuMF"),
    "BMF": model("BMF"),
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
