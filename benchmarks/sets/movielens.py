"""MovieLens-1M with the split of the paper on neural collaborative filtering (He et al. 2017)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.sets.base import (
    MAX_VALIDATION_CASES,
    NOW,
    SEED,
    SHOP,
    BenchmarkError,
    BenchmarkSet,
    Part,
    Parts,
    columns,
    events,
    events_later,
    hours_apart,
    training,
    without_clock,
)
from recsys.data.context import ContextEncoder
from recsys.data.dataset import Dataset
from recsys.data.encoding import Encoders, encode
from recsys.data.ids import IdMap
from recsys.evaluation.protocol import RMSE_NEGATIVES, EvaluationCase, EvaluationSet, known_context, sampled_negatives

TRAIN, TEST, NEGATIVES = "ml-1m.train.rating.gz", "ml-1m.test.rating.gz", "ml-1m.test.negative.gz"
N_NEGATIVES = 99


def read(folder: Path) -> Parts:
    """Return the parts: validation evaluates on each user's last item but one, the test on the official item."""
    ratings = columns(folder / TRAIN, ("user", "item", "rating", "rank"), delimiter="\t")
    test = columns(folder / TEST, ("user", "item", "rating", "timestamp"), delimiter="\t")
    candidates = official_candidates(folder / NEGATIVES, test["user"], test["item"])
    n_users = 1 + max(int(column["user"].max()) for column in (ratings, test))
    n_items = 1 + max(int(ids.max()) for ids in (ratings["item"], *candidates))
    users, items = IdMap(np.arange(n_users)), IdMap(np.arange(n_items))  # also items that only the test has
    contexts = ContextEncoder.fit({"device_type": ()}, ())
    encoders = Encoders(users, items, contexts, contexts.column("category", [None] * (n_items + 1)))
    last = is_last(ratings["user"], ratings["rank"])
    earlier, out = ({name: column[rows] for name, column in ratings.items()} for rows in (~last, last))
    return Parts(
        validation=_part(earlier, *_thinned(out["user"], sampled_candidates(ratings, out, n_items)), encoders),
        test=_part(ratings, test["user"], candidates, encoders),
    )


def official_candidates(path: Path, users: NDArray[np.int64], items: NDArray[np.int64]) -> list[NDArray[np.int32]]:
    """Return for each test row its distinct official negatives, then its positive.

    156 users have their test item among their negatives. It is a candidate once, as in the paper's program.

    Args:
        path: File of the negatives, one line for each test row: `(user,item)`, then 99 items.
        users: `(n,)` users of the test rows.
        items: `(n,)` items of the test rows.

    Raises:
        BenchmarkError: The lines do not match the test rows.
    """
    names = ("pair", *(str(n) for n in range(N_NEGATIVES)))
    table = columns(path, names, delimiter="\t")
    if table["pair"].tolist() != [f"({user},{item})" for user, item in zip(users, items, strict=True)]:
        raise BenchmarkError(
            f"{NEGATIVES} should have a line for each row of {TEST}, in its order. Received: other pairs."
        )
    negatives = np.stack([table[name] for name in names[1:]], axis=1).astype(np.int32)
    return [
        np.append(np.setdiff1d(row, [item]), item).astype(np.int32) for row, item in zip(negatives, items, strict=True)
    ]


def is_last(users: NDArray[np.int64], order: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return `(n,)` which rows are the newest of their user, for users with at least two rows."""
    _, user, counts = np.unique(users, return_inverse=True, return_counts=True)
    return (events_later(users, order) == 0) & (counts[user] > 1)


def sampled_candidates(ratings: dict[str, NDArray], out: dict[str, NDArray], n_items: int) -> list[NDArray[np.int32]]:
    """Return for each held-out row 99 items that its user has not rated in the train file, then the row's own.

    Test positives are not used: they may be among the negatives, like any other item that the user has not rated yet.
    """
    by_user = np.argsort(ratings["user"], kind="stable")
    starts = np.searchsorted(ratings["user"][by_user], np.stack([out["user"], out["user"] + 1]))
    seen = [ratings["item"][by_user[start:stop]] for start, stop in starts.T]
    negatives = sampled_negatives(np.random.default_rng(SEED), seen, n_items, N_NEGATIVES)
    return [np.append(row, item).astype(np.int32) for row, item in zip(negatives, out["item"], strict=True)]


def _thinned(
    users: NDArray[np.int64], candidates: list[NDArray[np.int32]]
) -> tuple[NDArray[np.int64], list[NDArray[np.int32]]]:
    """Return a seeded sample of the test cases if there are too many for validation."""
    kept = np.sort(np.random.default_rng(SEED).permutation(len(users))[:MAX_VALIDATION_CASES])
    return users[kept], [candidates[n] for n in kept]


def _part(
    ratings: dict[str, NDArray], users: NDArray[np.int64], candidates: list[NDArray[np.int32]], encoders: Encoders
) -> Part:
    """Return a part whose candidates end with the positive, so that the positive loses ties."""
    train = events(ratings["user"], ratings["item"], hours_apart(ratings["user"], ratings["rank"]))
    data = encode(train, encoders, SHOP, training(has_clock=False), NOW)
    cases = tuple(_case(data, user, row, encoders) for user, row in zip(users.tolist(), candidates, strict=True))
    rng = np.random.default_rng(SEED)
    pairs = tuple(np.append(row[-1:], rng.choice(row[:-1], RMSE_NEGATIVES)).astype(np.int32) for row in candidates)
    evaluation_set = EvaluationSet(cases, np.ones(len(cases), bool), 0, np.ones(data.n_items, bool), pairs)
    return without_clock(Part(encoders, data, {"allow": evaluation_set}))


def _case(data: Dataset, user: int, candidates: NDArray[np.int32], encoders: Encoders) -> EvaluationCase:
    query = data.query(user, context=known_context(data, user, encoders, SHOP, NOW), now=NOW, repeats=True)
    return EvaluationCase(query, candidates[-1:], 0, np.zeros(0, np.int32), candidates)


ML_1M_NCF = BenchmarkSet(
    name="ml-1m-ncf",
    files=(TRAIN, TEST, NEGATIVES),
    origin=(
        "The files are in the folder Data of https://github.com/hexiangnan/neural_collaborative_filtering, gzipped "
        "here; the ratings are https://grouplens.org/datasets/movielens/1m/."
    ),
    protocol=(
        "Test: each user's newest rating among its 99 official negatives. Ties count as lost, and a negative equal "
        "to the rated item is dropped. Validation: the last rating but one among 99 sampled items that the user has"
        f" not rated, for {MAX_VALIDATION_CASES:,} sampled users. The set has an order but no times; events are one "
        "hour apart."
    ),
    rules=("allow",),
    references={"allow": ("ease",)},
    has_clock=False,
    read=read,
)
