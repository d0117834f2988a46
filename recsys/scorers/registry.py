"""The registry of scorers; its order decides ties."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Literal

from recsys.features.features import Features
from recsys.features.query import Arrays
from recsys.scorers.base import Scorer
from recsys.scorers.ensemble import LinearEnsemble
from recsys.scorers.item_item import EASE, ItemCF
from recsys.scorers.popularity import Popularity
from recsys.scorers.user_frequency import DecayedUserFrequency, UserFrequency


@dataclass(frozen=True)
class ScorerSpec:
    """One entry of the registry.

    Attributes:
        load: Builds the scorer, or a network's own part, from a version's arrays; None where there are only signals.
        source: What the wire calls an answer of this scorer.
        precompute: Returns the arrays that are computed once a version, for networks that have any.
        is_count: Whether scores are counts or similarities from 0; the others are logits.
    """

    load: Callable[[Arrays], Scorer] | None
    source: Literal["model", "item_cf", "popularity"]
    precompute: Callable[[Arrays], Arrays] | None = None
    is_count: bool = False

    def build(self, arrays: Arrays, features: Features) -> Scorer:
        """Return the scorer as it serves: on top of the signals where it has weights for them."""
        own = self.load(arrays) if self.load else None
        if own is not None and "signal_weights" not in arrays:
            return own
        return LinearEnsemble(features, arrays["signal_weights"], own)


def model(name: str) -> ScorerSpec:
    """Return the entry of a neural model, found by its name, so that one line registers it.

    Its scorer is the class `name` in the module of that name, in lower case, of `recsys.scorers`; its network, which
    only training imports, that of `recsys.networks`. A scorer with a `precompute` has arrays that are computed once a
    version.
    """
    scorer = getattr(import_module(f"recsys.scorers.{name.lower()}"), name)
    return ScorerSpec(scorer.from_arrays, "model", getattr(scorer, "precompute", None))


REGISTRY: Mapping[str, ScorerSpec] = {
    "ENCM": model("ENCM"),
    "LNCM": model("LNCM"),
    "NeuMF": model("NeuMF"),
    "BMF": model("BMF"),
    "blend": ScorerSpec(None, "item_cf"),
    "ease": ScorerSpec(EASE.from_arrays, "item_cf"),
    "item_cf": ScorerSpec(ItemCF.from_arrays, "item_cf", is_count=True),
    "user_frequency_decayed": ScorerSpec(DecayedUserFrequency.from_arrays, "popularity", is_count=True),
    "user_frequency": ScorerSpec(UserFrequency.from_arrays, "popularity", is_count=True),
    "popularity_recent": ScorerSpec(Popularity.from_arrays, "popularity", is_count=True),
    "popularity": ScorerSpec(Popularity.from_arrays, "popularity", is_count=True),
}
MODELS = tuple(name for name, kind in REGISTRY.items() if kind.source == "model")
BASELINES = tuple(name for name in REGISTRY if name not in MODELS)
