"""The registry of all scorers. Between equal scores on validation, the earlier entry wins."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any, Literal

from recsys.errors.records import Record
from recsys.features.features import Features, widened
from recsys.features.query import Arrays
from recsys.scorers.base import Scorer
from recsys.scorers.hybrid import Hybrid
from recsys.scorers.item_item import EASE, ItemCF
from recsys.scorers.layers import LinearEnsemble
from recsys.scorers.popularity import DecayedUserFrequency, Popularity, UserFrequency


class ScorerSpec(Record):
    """One entry of the registry.

    Attributes:
        load: Builds a network or a baseline from a version's arrays; None for those that need the features, too.
        source: The `source` of answers by this scorer.
        precompute: Returns arrays that are computed once for each version; None for scorers without such arrays.
        load_mixed: Builds a scorer from its arrays and the version's features; None for all others.
        is_count: Whether scores are counts or similarities, 0 or more; otherwise they are logits.
    """

    load: Callable[[Arrays], Scorer] | None
    source: Literal["model", "item_cf", "popularity"]
    precompute: Callable[[Arrays], Arrays] | None = None
    load_mixed: Callable[[Arrays, Features], Scorer] | None = None
    is_count: bool = False

    def build(self, arrays: Arrays, features: Features) -> Scorer:
        """Return the scorer that serves: a baseline, or a linear ensemble if the arrays hold ensemble weights.

        Args:
            arrays: The scorer's arrays in a version.
            features: The version's features.
        """
        if self.load_mixed is not None:
            return self.load_mixed(arrays, features)
        if self.load is not None and "signal_weights" not in arrays:
            return self.load(arrays)
        network: Any = self.load(arrays) if self.load else None
        return LinearEnsemble(features, widened(arrays["signal_weights"]), network)


def model(name: str) -> ScorerSpec:
    """Return the entry of a network, whose classes are found by name, so that one line registers it.

    The scorer is the class `name` in the module of `recsys.scorers` that has this name in lower case. Its network is
    found the same way in `recsys.networks`, by training only. A scorer may have a static method `precompute`.
    """
    scorer = getattr(import_module(f"recsys.scorers.{name.lower()}"), name)
    return ScorerSpec(scorer.from_arrays, "model", getattr(scorer, "precompute", None))


REGISTRY: Mapping[str, ScorerSpec] = {
    "ENCM": model("ENCM"),
    "LNCM": model("LNCM"),
    "NeuMF": model("NeuMF"),
    "BMF": model("BMF"),
    "blend": ScorerSpec(None, "item_cf"),
    "hybrid": ScorerSpec(None, "item_cf", load_mixed=Hybrid.from_arrays, is_count=True),
    "ease": ScorerSpec(EASE.from_arrays, "item_cf"),
    "item_cf": ScorerSpec(ItemCF.from_arrays, "item_cf", is_count=True),
    "user_frequency_decayed": ScorerSpec(DecayedUserFrequency.from_arrays, "popularity", is_count=True),
    "user_frequency": ScorerSpec(UserFrequency.from_arrays, "popularity", is_count=True),
    "popularity_recent": ScorerSpec(Popularity.from_arrays, "popularity", is_count=True),
    "popularity": ScorerSpec(Popularity.from_arrays, "popularity", is_count=True),
}
MODELS = tuple(name for name, spec in REGISTRY.items() if spec.source == "model")
BASELINES = tuple(name for name in REGISTRY if name not in MODELS)
# The single scorers of collaborative filtering, of which `hybrid` mixes in the best.
COLLABORATIVE = ("ease", "item_cf")
