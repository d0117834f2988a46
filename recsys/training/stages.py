"""The three fits of a training run: what is chosen on validation, what is reported on the test, what serves."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys.data.cleaning import CleanReport, clean
from recsys.data.dataset import Dataset
from recsys.data.encoding import Encoders, encode
from recsys.data.ids import IdMap
from recsys.data.interactions import Catalogue, Interactions
from recsys.data.splitting import cut_time, last_item_out, split_at
from recsys.errors import NotEnoughData
from recsys.errors.wording import listed
from recsys.evaluation.metrics import paired_lower_bound
from recsys.evaluation.protocol import (
    EvaluationResult,
    EvaluationSet,
    build_evaluation_set,
    evaluate_all,
    leave_one_out,
    summarise,
)
from recsys.settings import Shop, Training
from recsys.training.fitting import Fitted, Hyperparameters, Report, ValidationSplit, choose, fit_everything

MIN_EVENTS, MIN_USERS, MIN_ITEMS = 100, 10, 10


@dataclass(frozen=True)
class ShopData:
    """What a training run reads.

    Attributes:
        recorded: Events as the shop's tables hold them.
        interactions: Cleaned events in the order of time.
        catalogue: The shop's products.
        cleaning: What was dropped and why.
        shop: The mapping they were read by.
        options: How to train.
        now: Seconds since 1970.
    """

    recorded: Interactions
    interactions: Interactions
    catalogue: Catalogue
    cleaning: CleanReport
    shop: Shop
    options: Training
    now: int

    def known_at(self, moment: int) -> Interactions:
        """Return the events before a moment, cleaned as on that day: no cancellation or robot of later days is known yet.

        Args:
            moment: Seconds since 1970.
        """
        before, _ = split_at(self.recorded, moment)
        return clean(before, shop=self.shop, training=self.options, now=moment)[0]

    def check_enough(self) -> None:
        """Refuse a shop that is too small to learn from.

        Raises:
            NotEnoughData: It says how much there is and what is needed.
        """
        events, active = self.interactions, int(self.catalogue.active.sum())
        users, items = len(np.unique(events.users)), len(np.unique(events.items))
        if len(events) < MIN_EVENTS or users < MIN_USERS or items < MIN_ITEMS or not active:
            dropped = listed(f"{count} {reason}" for reason, count in self.cleaning.dropped.items())
            raise NotEnoughData(
                f"Training needs {MIN_EVENTS} events of {MIN_USERS} users on {MIN_ITEMS} items and an active product. "
                f"There are {len(events)} events of {users} users on {items} items, {active} active products "
                f"({self.cleaning.rows_in} rows were read; dropped: {dropped})."
            )


@dataclass(frozen=True)
class EncodedEvents:
    """Events up to a moment, encoded.

    Attributes:
        encoders: Of these events.
        data: The events.
        active: `(n_items,)` bool, which encoded items the shop sells now.
    """

    encoders: Encoders
    data: Dataset
    active: NDArray[np.bool_]


@dataclass(frozen=True)
class TrainedModels(EncodedEvents, Fitted):
    """Events up to a moment, encoded, and everything fitted on them."""


@dataclass(frozen=True)
class Results:
    """What the test said.

    Attributes:
        rows: For each repeat rule, for each scorer, one row of the report.
        evaluations: Per-user figures of each scorer under the shop's rule.
        evaluation_set: The exam behind `evaluations`.
        context_lift: What ENCM gains from the true context of each event; None where there is no event to measure it
            on.
    """

    rows: Mapping[str, Mapping[str, Mapping[str, Any]]]
    evaluations: Mapping[str, EvaluationResult]
    evaluation_set: EvaluationSet
    context_lift: Mapping[str, float] | None


def encode_events(source: ShopData, events: Interactions) -> EncodedEvents:
    """Encode events by nothing but themselves and the catalogue.

    Raises:
        NotEnoughData: No item has enough events.
    """
    encoders = Encoders.fit(events, source.catalogue, source.options.min_item_events)
    if not len(encoders.items):
        needed = source.options.min_item_events
        raise NotEnoughData(
            f"An item needs {needed} events (min_item_events). None of the training part's {len(events)} events is on one."
        )
    now = int(events.timestamps.max()) + 1
    return EncodedEvents(
        encoders, encode(events, encoders, source.shop, source.options, now), active_items(encoders, source.catalogue)
    )


def fit_stage(
    source: ShopData, events: Interactions, report: Report, hyperparameters: Hyperparameters
) -> TrainedModels:
    """Encode events and fit everything on them; nothing else of the shop's history is seen.

    Args:
        source: The shop.
        events: The events to learn from.
        report: Told of every epoch.
        hyperparameters: Made on validation.
    """
    encoded = encode_events(source, events)
    return TrainedModels(
        **{**vars(fit_everything(encoded.data, source.options, hyperparameters, report)), **vars(encoded)}
    )


def active_items(encoders: Encoders, catalogue: Catalogue) -> NDArray[np.bool_]:
    """Return `(n_items,)` bool: which encoded items the shop sells now."""
    if not len(catalogue):
        return np.zeros(len(encoders.items), bool)
    listed = IdMap.fit(catalogue.items)
    order = np.argsort(catalogue.items, kind="stable")
    positions = listed.indices(encoders.items.ids)
    return np.append(catalogue.active[order], False)[positions]


def split(
    source: ShopData, events: Interactions, protocol: str, quantile: float
) -> tuple[Interactions, Interactions, int]:
    """Return the events to learn from, the exam's events, and the moment of the cut.

    Args:
        source: The shop.
        events: Cleaned events to cut.
        protocol: `time` or `loo99`.
        quantile: The share of `events` before the cut.
    """
    if protocol == "loo99":
        past, after = last_item_out(events)
        return past, after, int(events.timestamps.max()) + 1
    cut = cut_time(events.timestamps, quantile)
    return source.known_at(cut), split_at(events, cut)[1], cut


def check_left(before: Interactions, part: str) -> None:
    """Refuse a cut that has nothing before it.

    Raises:
        NotEnoughData: It says which cut.
    """
    if not len(before):
        raise NotEnoughData(f"Nothing is left to learn from before the {part} cut: the events share too few moments.")


def build_evaluation_sets(
    source: ShopData, stage: EncodedEvents, after: Interactions, cut: int, protocol: str
) -> dict[str, EvaluationSet]:
    """Return the exam under each repeat rule."""
    options, rng = source.options, np.random.default_rng(source.options.seed)
    if protocol == "loo99":
        return {
            "allow": leave_one_out(
                stage.data, after, stage.encoders, shop=source.shop, rng=rng, max_users=options.max_exam_users
            )
        }
    allowed_after = source.shop.repeat_after_days if source.shop.repeat_after_days < math.inf else 0.0
    return {
        rule: build_evaluation_set(
            stage.data,
            after,
            stage.encoders,
            shop=source.shop,
            active=stage.active,
            cut=cut,
            repeat_after_days=days,
            rng=rng,
            max_users=options.max_exam_users,
        )
        for rule, days in (("hide", math.inf), ("allow", allowed_after))
    }


def in_force(shop: Shop, protocol: str) -> str:
    """Return the repeat rule that serves: `hide` or `allow`."""
    return "allow" if protocol == "loo99" or shop.repeat_after_days < math.inf else "hide"


def validate(
    source: ShopData, events: Interactions, later: Interactions, cut: int, protocol: str, report: Report
) -> Hyperparameters:
    """Choose everything there is to choose on what came after a cut.

    Args:
        source: The shop.
        events: Before the cut.
        later: After it.
        cut: Seconds since 1970.
        protocol: `time` or `loo99`.
        report: Told of every epoch.
    """
    encoded = encode_events(source, events)
    rule = in_force(source.shop, protocol)
    return choose(
        ValidationSplit(encoded.data, build_evaluation_sets(source, encoded, later, cut, protocol), rule),
        source.options,
        report,
    )


def evaluate_on_test(
    source: ShopData,
    stage: TrainedModels,
    after: Interactions,
    evaluation_sets: Mapping[str, EvaluationSet],
    rule: str,
    hyperparameters: Hyperparameters,
) -> Results:
    """Let every scorer sit the test under each rule."""
    check_evaluation_set(evaluation_sets[rule], "test")
    rows: dict[str, dict[str, Any]] = {}
    for label, evaluation_set in evaluation_sets.items():
        evaluations = evaluate_all(stage.scorers, evaluation_set)
        rng = np.random.default_rng(source.options.seed)
        rows[label] = {
            name: summarise(evaluation, evaluation_set, hyperparameters.calibrations.get(name), rng)
            for name, evaluation in evaluations.items()
        }
        for name in stage.networks:
            rows[label][name] |= network_gain(evaluations[name], evaluations["blend"], evaluation_set, rng)
        if label == rule:
            kept = evaluations
    return Results(rows, kept, evaluation_sets[rule], context_lift(source, stage, after))


def network_gain(
    network: EvaluationResult, blend: EvaluationResult, evaluation_set: EvaluationSet, rng: np.random.Generator
) -> dict[str, float]:
    """Return what a network adds to the shared signals: the mean difference of NDCG@10, and its one-sided 95 % lower bound."""
    if not evaluation_set.known.any():
        return {}
    with_it, without = (evaluations.per_user["ndcg10"][evaluation_set.known] for evaluations in (network, blend))
    return {"own_part": float((with_it - without).mean()), "own_part_low": paired_lower_bound(with_it, without, rng)}


def check_evaluation_set(evaluation_set: EvaluationSet, part: str) -> None:
    """Refuse an exam in which no known user has anything relevant.

    Raises:
        NotEnoughData: It says what there is.
    """
    if not evaluation_set.known.any():
        raise NotEnoughData(
            f"The {part} part needs a user who bought before its cut and chose something new after it. There are {len(evaluation_set)} users with "
            f"something relevant, none of them known from before; {evaluation_set.n_nothing_relevant} have nothing relevant."
        )


def context_lift(
    source: ShopData, stage: TrainedModels, after: Interactions, limit: int = 2000
) -> Mapping[str, float] | None:
    """Return ENCM's mean reciprocal rank of held-out events with their own context and with all of it unknown.

    Args:
        source: The shop.
        stage: Fitted before the cut.
        after: Events after the cut.
        limit: Events sampled at most.
    """
    later = encode(after, stage.encoders, source.shop, source.options, source.now)
    if not len(later) or "ENCM" not in stage.scorers:
        return None
    contexts = _following(stage, later)
    picked = np.random.default_rng(source.options.seed).permutation(len(later))[:limit]
    unknown = np.array([size - 1 for size in stage.data.context_sizes], np.int32)
    ranks: dict[str, list[float]] = {"with_context": [], "without_context": []}
    for n in picked:
        for label, context in zip(ranks, (contexts[n], unknown), strict=True):
            query = stage.data.query(int(later.users[n]), context=context, now=int(later.timestamps[n]), repeats=True)
            scores = stage.scorers["ENCM"].score(query)
            ranks[label].append(1.0 / (1 + int((scores > scores[later.items[n]]).sum())))
    figures = {label: float(np.mean(values)) for label, values in ranks.items()}
    return {**figures, "lift": figures["with_context"] - figures["without_context"], "events": float(len(picked))}


def _following(stage: TrainedModels, later: Dataset) -> NDArray[np.int32]:
    """Return the contexts of later events; the category before a customer's first one is that of her newest event in the stage."""
    contexts, first = later.contexts.copy(), later.baskets == later.starts[later.users]
    newest = stage.data.starts[later.users[first] + 1] - 1
    contexts[first, stage.encoders.contexts.features.index("category")] = stage.encoders.item_categories[
        stage.data.items[newest]
    ]
    return contexts
