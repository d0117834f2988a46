"""Check that one-shot, worker and Keras give the same answers with the same weights, before anything is timed."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.loads.one_shot import tensorflow_per_request
from benchmarks.loads.shops import SyntheticShop
from benchmarks.loads.timing import DOOR, TIMEOUT_S, BenchmarkError, Program, timed
from benchmarks.loads.users import FIRST_ITEM, FRESH, USUAL
from recsys import store
from recsys.contract import parse_request
from recsys.evaluation.ranking import top_k
from recsys.recommending.fill import build_item_filter
from recsys.recommending.loading import ModelBundle, load
from recsys.recommending.user import User, load_user
from recsys.scorers.layers import LinearEnsemble
from recsys.scorers.registry import MODELS, REGISTRY

TOLERANCE = 1e-5
LIMIT = 50
CONTEXT = {"time_of_day": "evening", "season": "summer"}  # an hour may end while this is checked
Answer = Mapping[str, Any]


def agreement(shop: SyntheticShop) -> dict[str, Any]:
    """Compare every model's list on each database, for a usual user, a user with events since training, and a guest.

    Raises:
        BenchmarkError: A score differs by more than 1e-5, or a rank differs; the message says where.
    """
    differences, compared, bundle, all_cases = [0.0], 0, load(shop.models_dir), cases(shop)
    with ThreadPoolExecutor(len(all_cases)) as pool:  # nothing is timed yet
        logits_by_case = list(pool.map(lambda case: keras_logits(shop, case), all_cases))
    for case, logits in zip(all_cases, logits_by_case, strict=True):
        for database in shop.urls:
            requests = [{**case, "model": name, "limit": LIMIT} for name in MODELS]
            one_shot = [one_shot_answer(shop, database, request) for request in requests]
            for name, *answers in zip(MODELS, one_shot, worker_answers(shop, database, requests), strict=True):
                listed, largest = expected(shop, database, bundle, name, {**case, "limit": LIMIT}, logits[name])
                differences += [largest, *(difference(answer, listed, f"{name} on {database}") for answer in answers)]
                compared += 1
    return {"lists": compared, "items": LIMIT, "largest_difference": max(differences), "tolerance": TOLERANCE}


def cases(shop: SyntheticShop) -> list[dict[str, Any]]:
    """Return requests without a model: of two users that training knows, and of a guest with a history."""
    events = [{"item_id": FIRST_ITEM + n, "event": "view"} for n in (3, 1, 4)]
    known = [{"user_id": shop.groups[group][0], "context": CONTEXT} for group in (USUAL, FRESH)]
    return [*known, {"interactions": events, "context": CONTEXT}]


def keras_logits(shop: SyntheticShop, case: Mapping[str, Any]) -> dict[str, NDArray[np.float32]]:
    """Return the logits of each Keras network, without features, for all items."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "scores.npz"
        program = tensorflow_per_request(shop, next(iter(shop.urls)), "--scores", str(path))
        timed(
            Program(program.argv, [json.dumps({**case, "limit": LIMIT}).encode()], program.environ, program.check),
            0,
        )
        with np.load(path) as kept:
            return {name: kept[name] for name in MODELS}


def one_shot_answer(shop: SyntheticShop, database: str, request: Mapping[str, Any]) -> Answer:
    """Return the answer of a one-shot process."""
    (answer,) = _run(shop, database, [request])
    return answer


def worker_answers(shop: SyntheticShop, database: str, requests: Sequence[Mapping[str, Any]]) -> list[Answer]:
    """Return the answers of one worker."""
    ready, *answers = _run(shop, database, requests, "--worker")
    if ready.get("ready") is not True:
        raise BenchmarkError(f"A worker should be ready. Received: {ready}.")
    return answers


def _run(shop: SyntheticShop, database: str, requests: Sequence[Mapping[str, Any]], *argv: str) -> list[Answer]:
    program = Program([sys.executable, str(DOOR), *argv], environ=shop.environ(database))
    lines = "".join(json.dumps(request) + "\n" for request in requests).encode()
    done = subprocess.run(
        program.argv, input=lines, capture_output=True, env=program.variables(), timeout=TIMEOUT_S, check=False
    )
    if done.returncode or done.stderr:
        output = (done.stdout + done.stderr).decode()[-500:]
        raise BenchmarkError(f"recommend_api.py should answer. Received: {done.returncode}, {output}")
    return [json.loads(line) for line in done.stdout.splitlines()]


def expected(
    shop: SyntheticShop,
    database: str,
    bundle: ModelBundle,
    name: str,
    case: Mapping[str, Any],
    logits: NDArray[np.float32],
) -> tuple[list[tuple[Any, float]], float]:
    """Return a model's list computed from Keras's logits, as (id, σ(score)), and the largest difference of our logits.

    Raises:
        BenchmarkError: The difference is above the tolerance, or the ranks differ.
    """
    user, allowed = user_and_allowed_items(shop, database, bundle, case)
    scorer, query = bundle.scorers[name], user.query
    if not isinstance(scorer, LinearEnsemble) or scorer.network is None:
        raise BenchmarkError(f"{name} should have a network. Received: {type(scorer).__name__}.")
    ours = scorer.network.score(query)
    largest = float((np.abs(ours - logits) / np.maximum(1, np.abs(logits))).max())
    if largest > TOLERANCE or not np.array_equal(top_k(ours, LIMIT), top_k(logits, LIMIT)):
        raise BenchmarkError(
            f"{name} should score as Keras does. Received: logits that differ by up to {largest:.2g}, or other ranks."
        )
    weights = scorer.weights[int(query.repeats)]
    whole = scorer.features.blend(scorer.features.compute(query), weights[:-1]) + weights[-1] * logits
    best = top_k(whole, LIMIT, allowed)
    shares = 1 / (1 + np.exp(-whole[best].astype(np.float64)))
    return list(zip(bundle.original_ids(best.tolist()), shares.tolist(), strict=True)), largest


def user_and_allowed_items(
    shop: SyntheticShop, database: str, bundle: ModelBundle, case: Mapping[str, Any]
) -> tuple[User, NDArray[np.bool_]]:
    """Return the user of a request, and which items are eligible."""
    request = parse_request(json.dumps(case).encode(), models=tuple(REGISTRY))
    mapping = replace(shop.settings(database).shop, **bundle.rules)
    with store.connect(shop.urls[database]) as db:
        user = load_user(request, bundle, db, shop=mapping, now=int(time.time()))
    return user, build_item_filter(request, user, bundle.items).allowed


def difference(answer: Answer, listed: Sequence[tuple[Any, float]], where: str) -> float:
    """Return the largest difference of a score.

    Raises:
        BenchmarkError: It is too large, or the lists differ.
    """
    items = [(item["productId"], item["score"]) for item in answer["items"]] if answer["ok"] else []
    if [item for item, _ in items] != [item for item, _ in listed]:
        raise BenchmarkError(f"{where} should answer {listed[:5]} …. Received: {items[:5]} ….")
    largest = max(abs(score - other) for (_, score), (_, other) in zip(items, listed, strict=True))
    if largest > TOLERANCE:
        raise BenchmarkError(
            f"{where} should score as Keras does. Received: scores that differ by up to {largest:.2g}."
        )
    return largest
