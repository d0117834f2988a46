"""One request answered: user, models in threads, the winner by honest evidence, the list."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache

import numpy as np
from numpy.typing import NDArray

from recsys import store
from recsys.artifacts.nearest import LIBRARY
from recsys.contract import AUTO, Item, Reason, Request, Response, Run, Source
from recsys.data.ids import distinct
from recsys.data.interactions import Interactions
from recsys.errors import DeadlineExceeded, InternalError
from recsys.evaluation.selection import choose
from recsys.recommending.explain import explanations
from recsys.recommending.fill import RecommendationList, build_item_filter, fill_list
from recsys.recommending.loading import ItemRefs, ModelBundle, indices, resolve_items
from recsys.recommending.runs import (
    ModelEvidence,
    Scored,
    build_recent_holdout,
    pick_evidence,
    retrieve_candidates,
    score_all,
)
from recsys.recommending.user import User, load_user, purchased
from recsys.scorers.registry import MODELS, REGISTRY
from recsys.settings import Shop

SIMILAR = "item_cf"  # what answers "similar": neighbours by shared customers
LAST_RESORT = "popularity"


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
        request: The question.
        bundle: The version.
        db: The shop's database.
        shop: The mapping.
        now: Seconds since 1970.
        deadline: The moment of `monotonic` after which an answer is of no use.
        monotonic: The clock of the deadline.
        threads: How many models score at once, from 1; None leaves it to `score_all`.

    Raises:
        UnknownUser: There is nothing to go on.
        ModelMismatch: The database does not hold the version's encoders.
        DeadlineExceeded: The budget is used up.
    """

    def in_time() -> None:
        if deadline is not None and monotonic() > deadline:
            raise DeadlineExceeded(
                f"`budget_ms` should be enough for an answer. Received: {request.budget_ms}.", field="budget_ms"
            )

    shop = bundle.shop(shop)
    resolved = resolve_items(request, bundle)
    if request.op == "similar":
        user = _similar_query_user(request, bundle, db, resolved, shop, now)
    else:
        user = load_user(request, bundle, db, resolve_items=resolved, shop=shop, now=now)
    in_time()
    truth, warnings = _ground_truth(request, user, resolved)
    asked, item_filter = _asked(request, user), build_item_filter(request, user, resolved)
    names = list(dict.fromkeys([*MODELS, bundle.priors.best, *([asked] if asked else [])]))
    holdout = build_recent_holdout(names, user, truth)
    items = retrieve_candidates(names, user, user.query(), item_filter.allowed, item_filter.depth)
    runs = score_all(names, user, holdout, items, threads)
    model_evidence = pick_evidence(runs, user, holdout)
    winner = _winner(asked, user, runs, model_evidence, items)
    runs = [run for run in runs if run.model in MODELS] + [winner] * (winner.model not in MODELS)
    in_time()
    best = cache(lambda k: winner.best(k, item_filter.allowed))
    tops = {
        run.model: run.best(request.limit, item_filter.allowed)
        for run in runs
        if run.scores is not None and run is not winner
    }
    tops[winner.model] = best(item_filter.depth_of(0))[: request.limit]
    listed_items = fill_list(db, user, best, item_filter, [int(item) for top in tops.values() for item in top])
    in_time()
    return Response(
        user_id=user.user_id,
        model=winner.model,
        model_version=bundle.name,
        items=_items(user, winner, listed_items),
        runs=tuple(_run(run, model_evidence, listed_items, tops.get(run.model)) for run in runs),
        source=_source(winner, user),
        context=user.context,
        warnings=(*warnings, *_warnings(request, user, listed_items)),
    )


def _similar_query_user(
    request: Request, bundle: ModelBundle, db: store.Database, resolved: ItemRefs, shop: Shop, now: int
) -> User:
    """Return somebody whose one event is a look at the item that `similar` starts from; what she has bought stays hidden."""
    store.require_version(db, bundle.name)
    item = resolved.get(request.item_id) if request.item_id is not None else None
    known = item is not None and item.index >= 0
    strongest = max(shop.event_weights, key=lambda name: shop.event_weights[name])
    rows = slice(None) if known else slice(0)
    event = Interactions(
        users=np.zeros(1, np.int64)[rows],
        items=np.array([item.item_id if item else 0], object)[rows],
        events=np.zeros(1, np.int16)[rows],
        timestamps=np.array([now], np.int64)[rows],
        row_ids=np.zeros(1, np.int64)[rows],
        event_names=(strongest,),
    )
    index = np.array([item.index if item else 0], np.int32)[rows]
    context = dict.fromkeys(bundle.contexts.features)
    quiet = replace(shop, purchase_events=(), relevant_events=())  # the look is no purchase to hide and no evidence
    user_id = bundle.user_id(request.user_id)
    bought = frozenset() if user_id is None else purchased(db, shop, user_id, bundle, now)
    return User(user_id, bundle.n_users, False, event, index, bought, context, quiet, bundle, now)


def _ground_truth(request: Request, user: User, resolved: ItemRefs) -> tuple[NDArray[np.int32], list[str]]:
    """Return the item indices that were chosen after `data_until`, and a warning for the rest."""
    truth = indices(resolved, request.ground_truth)
    before = user.indices[user.events.timestamps <= user.bundle.data_until]
    kept = distinct(set(truth.tolist()) - set(before.tolist()))
    given = {resolved[item].item_id if item in resolved else item for item in request.ground_truth}
    dropped = len(given) - len(kept)
    note = f"ground_truth: {dropped} dropped, because training had seen them with this user or does not know them"
    return kept, [note] if dropped else []


def _asked(request: Request, user: User) -> str | None:
    """Return the scorer that the request asks for, or None where the evidence shall choose."""
    if request.model != AUTO:
        return request.model
    if request.op == "similar":
        return SIMILAR if len(user.indices) else LAST_RESORT
    return None


def _winner(
    asked: str | None,
    user: User,
    runs: Sequence[Scored],
    model_evidence: ModelEvidence,
    items: NDArray[np.int32] | None,
) -> Scored:
    """Return the run that answers: the one asked for, else the choice on evidence, else the last resort."""
    done = {run.model: run for run in runs if run.scores is not None}
    if asked in done:
        return done[asked]
    if done:
        return done[choose(user.bundle.priors, model_evidence.evidence, [name for name in REGISTRY if name in done])]
    [last] = score_all([LAST_RESORT], user, None, items)
    if last.scores is None:
        raise InternalError(f"At least {LAST_RESORT} should score. Received: {[run.error for run in runs]}.")
    return last


def _items(user: User, winner: Scored, listed_items: RecommendationList) -> tuple[Item, ...]:
    """Return the list with its scores and true reasons."""
    scorer = user.bundle.scorer(winner.model)
    answered = np.array([index for _, index in listed_items.items if index >= 0], np.int32)
    because = explanations(scorer, user.query(), answered)
    ids = dict(zip(user.indices.tolist(), user.events.items.tolist(), strict=True))
    reasons = {item: Reason("history", ids[cause]) for item, cause in because.items()}
    squash = _share if REGISTRY[winner.model].is_count else _sigmoid
    return tuple(
        Item(item, squash(winner.score_of(index)) if index >= 0 else 0.0, reasons.get(index))
        for item, index in listed_items.items
    )


def _run(
    run: Scored, model_evidence: ModelEvidence, listed_items: RecommendationList, top: NDArray[np.int32] | None
) -> Run:
    """Return a run as the wire shows it; of its list, what the shop sells now."""
    if run.scores is None or top is None:
        return Run(run.model, error=run.error)
    items = tuple(listed_items.ids[int(item)] for item in top if int(item) in listed_items.available)
    return Run(
        run.model,
        items,
        model_evidence.metrics.get(run.model),
        model_evidence.basis if run.model in model_evidence.metrics else None,
    )


def _source(winner: Scored, user: User) -> Source:
    source = REGISTRY[winner.model].source
    return "fold_in" if source == "model" and not user.known else source


def _warnings(request: Request, user: User, listed_items: RecommendationList) -> list[str]:
    unknown = sorted(set(request.context) - set(user.context))
    notes = [*user.notes, *listed_items.notes, *(f"context: {name} is no feature of this version" for name in unknown)]
    if user.bundle.has_unread_index:
        notes.append(
            f"candidates: every item is scored, because {LIBRARY}, which reads this version's index, is not installed"
        )
    if len(listed_items.items) < request.limit:
        notes.append(
            f"items: {len(listed_items.items)} of {request.limit}, because the shop has no more that may be shown"
        )
    return notes


def _share(score: float) -> float:
    """Return a count or a similarity, from 0, as a share of 1; σ would tie whatever is counted more than 40 times."""
    return score / (1 + score)


def _sigmoid(z: float) -> float:
    """Return σ(z) in double precision: float32 would tie the best items at 1."""
    return 1 / (1 + math.exp(-z)) if z >= 0 else math.exp(z) / (1 + math.exp(z))
