"""Answers one request, as a pipe.

Load the user, find the eligible items, retrieve candidates, compute features, score with every model, select the
winner, fill its list, explain it, respond. Each step takes plain data and returns plain data. Only loading and
responding know the version.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from recsys import store
from recsys.artifacts.nearest import LIBRARY
from recsys.contract import AUTO, RELATED_OPS, Item, Reason, Request, Response, Run, Source
from recsys.errors import DeadlineExceeded, InternalError
from recsys.evaluation.selection import Priors
from recsys.features.query import Mask, Query
from recsys.recommending.explain import explanations
from recsys.recommending.fill import RecommendationList, build_item_filter, fill_list, in_category, unseen_items
from recsys.recommending.loading import Items, ModelBundle, Scorers
from recsys.recommending.related_list import related_list
from recsys.recommending.runs import K as HOLDOUT_K
from recsys.recommending.runs import (
    ModelEvidence,
    Scored,
    ScoringTask,
    choose,
    compute_features,
    pick_evidence,
    retrieve_candidates,
    score_all,
)
from recsys.recommending.user import STRENGTHS, User, load_user
from recsys.scorers.registry import MODELS, REGISTRY
from recsys.settings import Shop

SIMILAR = "item_cf"  # the scorer of `similar`: items that the same users chose
LAST_RESORT = "popularity"
POPULAR = ("popularity_recent", LAST_RESORT)  # the same list for all users; for new ones, the first that a version has


def recommend(
    request: Request,
    bundle: ModelBundle,
    db: store.Database,
    *,
    shop: Shop,
    now: int,
    deadline: float | None = None,
    monotonic: Callable[[], float] = time.monotonic,
    threads: int | None = None,
) -> Response:
    """Answer one request.

    Args:
        request: The checked request, of an operation that asks for items.
        bundle: The version that answers.
        db: The shop's database.
        shop: The mapping of the shop's tables.
        now: Seconds since 1970.
        deadline: The moment of `monotonic` after which an answer is of no use.
        monotonic: The clock of the deadline.
        threads: How many models score at once, from 1; None leaves it to `score_all`.

    Raises:
        UnknownUser: The request is strict, and nothing is known of the user.
        ModelMismatch: The database does not hold the version's encoders.
        DeadlineExceeded: The deadline has passed.
    """

    def check_deadline() -> None:
        if deadline is not None and monotonic() > deadline:
            raise DeadlineExceeded(
                f"`budget_ms` should be enough for an answer. Received: {request.budget_ms}.", field="budget_ms"
            )

    def task(query: Query, allowed: Mask, at_least: int, also: Mask | None = None) -> ScoringTask:
        items = retrieve_candidates(query, allowed, at_least, lambda: bundle.candidates, scorers, names)
        if items is not None and also is not None:
            items = np.unique(np.concatenate([items, np.flatnonzero(allowed & also).astype(np.int32)]))
        return ScoringTask(query, allowed, items, compute_features(scorers.features, query, items))

    shop, scorers = with_repeat(replace(shop, **bundle.rules), request), bundle.scorers
    if request.op in RELATED_OPS:
        return related_list(request, bundle, db, shop=shop, now=now, check=check_deadline)
    user = load_user(request, bundle, db, shop=shop, now=now)
    check_deadline()

    item_filter = build_item_filter(request, user, bundle.items)
    requested = requested_model(request, user, scorers.names)
    priors = bundle.priors_of(len(user.query.items))
    names = list(dict.fromkeys([*MODELS, priors.best, *([requested] if requested else [])]))
    preferred = None if user.category is None else in_category(bundle.items, user.category)
    present = task(user.query, item_filter.allowed, item_filter.depth, preferred)
    past = None
    if user.holdout is not None:
        allowed = bundle.items.active.copy()
        allowed[user.holdout.hidden] = False
        past = user.holdout, task(user.holdout.query, allowed, HOLDOUT_K)
    release = bundle.release_memory if bundle.may_outgrow_limit else None
    runs = score_all(names, scorers, present, past, threads=threads, after_each=release)

    evidence = pick_evidence(runs, user, bundle.heldout if user.known else {}, bundle.offline)
    winner = select_winner(requested, runs, priors, evidence) or last_resort(scorers, present, runs)
    is_popular = REGISTRY[winner.model].source == "popularity"
    if is_popular and preferred is not None:
        winner = category_first(winner, present, preferred)
    runs = [run for run in runs if run.model in MODELS] + [winner] * (winner.model not in MODELS)
    ranked = present.best(winner.logits, item_filter.depth).tolist()
    tops = {run.model: present.best(run.scores, request.limit).tolist() for run in runs if run.scores is not None}
    check_deadline()

    others = [item for top in tops.values() for item in top]
    looked_up = list(dict.fromkeys([*ranked, *others]))
    ids = dict(zip(looked_up, bundle.original_ids(looked_up), strict=True))
    recommended = fill_list(db, shop, item_filter, ranked, others, ids)
    check_deadline()

    unseen = unseen_items(bundle, recommended)
    scored = np.array([index for _, index in recommended.items if index >= 0], np.int32)
    positions = scored if present.items is None else np.searchsorted(present.items, scored)
    logits = dict(zip(scored.tolist(), winner.logits[positions].tolist(), strict=True))
    if is_popular:
        reasons = popular_reasons(winner, user, logits, bundle.items, request.filters.category or user.category)
    else:
        reasons = history_reasons(user, explanations(scorers[winner.model], present.query, scored))
    return Response(
        user_id=user.user_id,
        model=winner.model,
        model_version=bundle.name,
        items=explained_items(winner, recommended, logits, reasons, unseen),
        runs=tuple([_run(run, evidence, recommended, [ids[item] for item in tops.get(run.model, ())]) for run in runs]),
        source=answer_source(winner.model, user),
        context=user.context,
        warnings=tuple(_warnings(request, bundle, user, recommended, is_popular)),
    )


def with_repeat(shop: Shop, request: Request) -> Shop:
    """Return the shop with the repeat rule of a request.

    The list of `again` is made of what was bought, so that "for ever" hides nothing of it; a number of days does.

    Args:
        shop: The mapping with the version's rules.
        request: The request.
    """
    days = shop.repeat_after_days
    if request.repeat == "allow":
        days = 0.0
    elif request.op == "again":
        days = 0.0 if math.isinf(days) else days
    elif request.repeat == "hide":
        days = math.inf
    return replace(shop, repeat_after_days=days)


def requested_model(request: Request, user: User, names: Sequence[str]) -> str | None:
    """Return the name of the scorer that the request prescribes, or None where the evidence chooses.

    Args:
        request: The request.
        user: The user; what is popular now answers where nothing is known of them, or of the item of `similar`.
        names: The scorers of the version.
    """
    if request.model != AUTO:
        return request.model
    if user.is_new:
        return next((name for name in POPULAR if name in names), LAST_RESORT)
    return SIMILAR if request.op == "similar" else None


def select_winner(
    requested: str | None, runs: Sequence[Scored], priors: Priors, evidence: ModelEvidence
) -> Scored | None:
    """Return the run that answers: the requested model's, else the one with the best evidence; None if none scored.

    Args:
        requested: The model that the request prescribes, or None.
        runs: All runs of the request.
        priors: From the evaluation of all users.
        evidence: The user's own metrics.
    """
    scored = {run.model: run for run in runs if run.scores is not None}
    if requested in scored or not scored:
        return scored.get(requested or "")
    return scored[choose(priors, evidence.evidence, [name for name in REGISTRY if name in scored])]


def last_resort(scorers: Scorers, task: ScoringTask, runs: Sequence[Scored]) -> Scored:
    """Return the run of the scorer that answers where no other one could score.

    Raises:
        InternalError: It cannot score, either.
    """
    [run] = score_all([LAST_RESORT], scorers, task)
    if run.scores is None:
        raise InternalError(f"At least {LAST_RESORT} should score. Received: {[run.error for run in runs]}.")
    return run


def category_first(run: Scored, task: ScoringTask, preferred: NDArray[np.bool_]) -> Scored:
    """Return the run of a popularity scorer in which a category's popular items come before all other items.

    Args:
        run: The run.
        task: What it scored.
        preferred: `(n_items,)` bool, which items are of the category.
    """
    scores, chosen = run.logits, preferred if task.items is None else preferred[task.items]
    return run._replace(scores=np.where(chosen & (scores > 0), scores + scores.max(initial=0), scores))


def popular_reasons(
    winner: Scored, user: User, logits: Mapping[int, float], items: Items, category: str | None
) -> dict[int, Reason]:
    """Return the reason of each item that is popular, by item index; with its category, if it is the one asked for.

    Args:
        winner: The run of a popularity scorer.
        user: The user; where their own counts are part of the score, it does not say that an item is popular.
        logits: Item index → score of each listed item.
        items: The item arrays of the version.
        category: The category that the request filters by or that comes first; None for all.
    """
    chosen = np.zeros(len(items), bool) if category is None else in_category(items, category)
    counted = set() if winner.model in POPULAR else set(user.query.items.tolist())
    return {
        item: Reason("popular", category=items.category_of(item) if chosen[item] else None)
        for item, score in logits.items()
        if score > 0 and item not in counted
    }


def history_reasons(user: User, explained: Mapping[int, int]) -> dict[int, Reason]:
    """Return the reason of each explained item, by item index: the user's strongest event on the item that explains it.

    Args:
        user: The user, with the events of the explained.
        explained: Item index → index of the item of the history that explains it.
    """
    explaining = set(explained.values())
    strongest: dict[int, tuple[int, int]] = {}  # strength and row; of equal events, the newest is kept
    for row, (index, strength) in enumerate(zip(user.indices.tolist(), user.strengths.tolist(), strict=True)):
        if index in explaining and strength >= strongest.get(index, (0, 0))[0]:
            strongest[index] = strength, row
    ids = user.items[[row for _, row in strongest.values()]].tolist()
    reasons = {
        index: Reason(STRENGTHS[strength], item)
        for (index, (strength, _)), item in zip(strongest.items(), ids, strict=True)
    }
    return {item: reasons[cause] for item, cause in explained.items()}


def explained_items(
    winner: Scored,
    recommended: RecommendationList,
    logits: Mapping[int, float],
    reasons: Mapping[int, Reason],
    unseen: Set[int | str],
) -> tuple[Item, ...]:
    """Return the recommended items with their scores from 0 to 1 and the reasons that hold.

    Args:
        winner: The run that answers.
        recommended: The list.
        logits: Item index → score of each item of the list that has one.
        reasons: Item index → reason.
        unseen: External ids of the items that filled the list and that training did not see: they are new.
    """
    to_unit = _share if REGISTRY[winner.model].is_count else _sigmoid
    return tuple(
        [
            Item(item, to_unit(logits[index]), reasons.get(index))
            if index >= 0
            else Item(item, 0.0, Reason("new") if item in unseen else None)
            for item, index in recommended.items
        ]
    )


def _run(run: Scored, evidence: ModelEvidence, recommended: RecommendationList, top: Sequence[int | str]) -> Run:
    """Return a run for the response, with those of its top items that are available now.

    Args:
        run: The scorer's run.
        evidence: The metrics of each scorer.
        recommended: The list that is answered; it knows which items are available.
        top: The external ids of the run's best items, best first.
    """
    if run.scores is None:
        return Run(run.model, error=run.error)
    metrics = evidence.metrics.get(run.model)
    items = tuple([item for item in top if item in recommended.available])
    return Run(run.model, items, metrics, None if metrics is None else evidence.basis)


def answer_source(model: str, user: User) -> Source:
    """Return the kind of scorer that the items come from; a model folds an unseen user in."""
    source = REGISTRY[model].source
    return "fold_in" if source == "model" and not user.known else source


def _warnings(
    request: Request, bundle: ModelBundle, user: User, recommended: RecommendationList, is_popular: bool
) -> list[str]:
    """Return what was ignored, left out or missing, for people."""
    unknown_features = sorted(set(request.context) - set(user.context))
    warnings = [
        *([_new_user_warning(request, is_popular)] if user.is_new else []),
        *user.notes,
        *recommended.notes,
        *(f"context: {name} is no feature of this version" for name in unknown_features),
    ]
    if bundle.has_unread_index:
        warnings.append(
            f"candidates: every item is scored, because {LIBRARY}, which reads this version's index, is not installed"
        )
    n_items = len(recommended.items)
    if n_items < request.limit:
        warnings.append(f"items: {n_items} of {request.limit}, because the shop has no more that may be shown")
    return warnings


def _new_user_warning(request: Request, is_popular: bool) -> str:
    """Return what is unknown, and what the list holds instead."""
    is_similar = request.op == "similar"
    unknown = "item_id: no model knows this item yet" if is_similar else "user_id: nothing is known of this user yet"
    return f"{unknown}, so {'the list is what is popular now' if is_popular else 'no event has shaped the list'}"


def _share(score: float) -> float:
    """Return a count or similarity (0 or more) on a scale from 0 to 1; the sigmoid would tie all counts above 40."""
    return score / (1 + score)


def _sigmoid(z: float) -> float:
    """Return σ(z) in double precision: float32 would tie the best items at 1."""
    return 1 / (1 + math.exp(-z)) if z >= 0 else math.exp(z) / (1 + math.exp(z))
