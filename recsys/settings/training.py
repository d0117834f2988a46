"""Options of training, with their defaults and ranges."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any

from recsys.errors.records import Record
from recsys.settings.checks import MODULE, TRUTH, SettingCheck, checked, number, one_of

_COUNT, _RATE = (1, 10**9), (1e-9, 1.0)  # both exclude 0
TRAINING_RANGES: Mapping[str, tuple[float, float]] = {
    **dict.fromkeys(("dim", "factors", "epochs", "samples", "full_fits_below", "batch", "window", "negatives"), _COUNT),
    **dict.fromkeys(("shared_negatives", "min_item_events", "max_user_events_per_day", "max_exam_users"), _COUNT),
    **dict.fromkeys(("learning_rate", "slow_decay", "fast_decay"), _RATE),
    **dict.fromkeys(("l2", "negative_power", "dropped_users", "dropped_contexts", "content_weight"), (0.0, 1.0)),
    "dropout": (0.0, 0.9),
    **dict.fromkeys(("test_quantile", "validation_quantile"), (0.01, 0.99)),
    "half_life_days": (0.0, 1e6),
    "min_co_occurrence": (0, 10**6),
    "seed": (0, 2**31 - 1),
}
PART = 250_000  # events of an epoch of a large shop
LOSSES = ("softmax", "bce")
AMONG_EQUALS = ("cheapest", "category", "coverage", "fewest_best_sellers")


class Training(Record):
    """How `train.py` cleans and splits events, fits models and evaluates them.

    Attributes:
        dim: Width of every embedding of the networks.
        factors: Width of the ALS vectors, which are a feature of every model.
        epochs: Most passes over the events in each fit; validation may stop it earlier.
        samples: Most events that an epoch learns from, so that its cost does not grow with the shop; the next epochs
            take others.
        full_fits_below: A shop with as many events or more saves time: each fit goes on from the one before it, and a
            pass over the events is cut into several epochs; networks that add nothing end early, as with `halving`.
        halving: Whether networks that add nothing to the linear sum on a part of validation end early. Those of a
            large shop do in any case, see `full_fits_below`.
        batch: Windows of events in one gradient step.
        window: Consecutive events of one user in one window; LNCM's attention spans one window.
        loss: `softmax` compares each event with all its sampled items at once. `bce` is binary cross-entropy, which
            takes every item by itself.
        negatives: Negative items sampled for each event by the models with a tower, NeuMF and ENCM.
        shared_negatives: Negative items sampled once for all events of a step by the other models, BMF and LNCM; they
            compare a catalogue of at most so many items whole.
        negative_power: Negatives are sampled in proportion to popularity raised to this power; 0 is uniform. Without
            effect where a catalogue is compared whole.
        learning_rate: Largest step size of Adam; it falls to 0 over the epochs.
        l2: Decoupled weight decay: each step subtracts this share of the weights, times the step size.
        dropout: Share of activations that training sets to 0.
        dropped_users: Share of events trained without the user's embedding, so that the models can serve guests.
        dropped_contexts: Share of context values that training replaces by "unknown".
        slow_decay: Factor by which a history item's weight falls for each newer item, in the long-term history.
        fast_decay: The same factor in the short-term history.
        half_life_days: Days in which an event's confidence halves; 0 switches time decay off.
        min_item_events: Items with fewer events are left out.
        max_user_events_per_day: Users above this rate on their busiest day are bots.
        test_quantile: Share of events before the test cut; evaluation sets are built from later events.
        validation_quantile: Share of the training part before the validation cut.
        max_exam_users: Most users of an evaluation set; a larger one is sampled down.
        min_co_occurrence: Items with fewer common users are no neighbours in item-based collaborative filtering; with
            0, validation tries 2 and 5.
        content_weight: Share of content in the scorer `hybrid`; collaborative filtering has the rest.
        hooks: A module whose function `clean` drops or corrects events before training.
        per_user_choice: Whether a customer's own events may choose another model than the one that is best for all.
        among_equals: Which scorer serves among those that validation cannot tell from the best: the `cheapest`, or the
            one with the most of `category` or `coverage`, or the `fewest_best_sellers`, in its lists.
        seed: Seed of every random draw.
    """

    dim: int = 64
    factors: int = 128
    epochs: int = 8
    samples: int = 1_000_000
    full_fits_below: int = 500_000
    halving: bool = False
    batch: int = 64
    window: int = 50
    loss: str = "softmax"
    negatives: int = 8
    shared_negatives: int = 512
    negative_power: float = 0.0
    learning_rate: float = 2e-3
    l2: float = 0.0
    dropout: float = 0.2
    dropped_users: float = 0.2
    dropped_contexts: float = 0.12
    slow_decay: float = 0.98
    fast_decay: float = 0.8
    half_life_days: float = 180.0
    min_item_events: int = 3
    max_user_events_per_day: int = 2000
    test_quantile: float = 0.8
    validation_quantile: float = 0.9
    max_exam_users: int = 3000
    min_co_occurrence: int = 0
    content_weight: float = 0.4
    hooks: str = "none"
    per_user_choice: bool = False
    among_equals: str = "cheapest"
    seed: int = 7

    def saves_time(self, n_events: int) -> bool:
        """Return whether a shop of so many cleaned events is a large one."""
        return n_events >= self.full_fits_below

    def for_shop(self, n_events: int) -> Training:
        """Return the options for a shop: those of a large one have shorter epochs, more of them, and `halving`.

        Validation then looks at the networks several times in a pass over the events, so that one that learns nothing
        new ends early, and so does one that adds nothing to the sum. A fit that goes on from another one has one such
        epoch.

        Args:
            n_events: Cleaned events.
        """
        if not self.saves_time(n_events):
            return self
        parts = math.ceil(min(n_events, self.samples) / PART)
        samples = PART if parts > 1 else self.samples
        return replace(self, halving=True, samples=samples, epochs=self.epochs * parts)

    def __post_init__(self) -> None:
        for name, expected in _OPTIONS.items():
            expected.of(getattr(self, name), f"[training] `{name}`")


_NOT_NUMBERS: Mapping[str, SettingCheck] = {
    "loss": one_of(LOSSES),
    "hooks": MODULE,
    **dict.fromkeys(("halving", "per_user_choice"), TRUTH),
    "among_equals": one_of(AMONG_EQUALS),
}
# What each option should hold.
_OPTIONS: Mapping[str, SettingCheck] = {
    option.name: _NOT_NUMBERS.get(option.name) or number(*TRAINING_RANGES[option.name], whole=option.type == "int")
    for option in fields(Training)
}


def read_training(toml: Mapping[str, Any]) -> Training:
    """Read the table [training] of recsys.toml, with its defaults.

    Raises:
        SettingsError: A name or a value is not what it should be.
    """
    return Training(**checked(toml.get("training", {}), _OPTIONS, "[training]"))
