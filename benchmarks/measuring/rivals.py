"""Other libraries on the same events; run as a script by `training.py`, in an environment that has one of them.

    python rivals.py implicit EVENTS.npz

EVENTS.npz is what `steps.py` exports. The last line of stdout is a JSON object.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

FACTORS, SWEEPS = 128, 10  # of ALS, as training has them
REGULARIZATION, ALPHA = 35.0, 3.3
EPOCHS, BATCH, NEGATIVES = 1, 256, 4  # of NeuMF, as its authors have them
K = 10
PER_MB = 1024 if sys.platform != "darwin" else 1024 * 1024
Score = Callable[[int], Any]


def implicit(users: Any, items: Any) -> tuple[Score, int]:
    """Fit ALS; returns the scores of a user, and the number of samples, which ALS does not have."""
    from implicit.cpu.als import AlternatingLeastSquares
    from scipy.sparse import csr_matrix

    matrix = csr_matrix((np.ones(len(users), np.float32), (users, items)))
    matrix.data[:] = 1
    model = AlternatingLeastSquares(FACTORS, REGULARIZATION, ALPHA, iterations=SWEEPS, random_state=7)
    model.fit(matrix, show_progress=False)
    return lambda user: model.item_factors @ model.user_factors[user], 0


def cornac(users: Any, items: Any) -> tuple[Score, int]:
    """Fit NeuMF for an epoch; returns the scores of a user, and the number of samples of an epoch."""
    from cornac.data import Dataset
    from cornac.models import NeuMF

    pairs = np.unique(np.stack([users, items], 1), axis=0)
    known = Dataset.from_uir([(int(user), int(item), 1.0) for user, item in pairs], seed=7)
    widths = {"num_factors": 16, "layers": (128, 64, 32, 16)}  # on PyTorch both parts have to end in one width
    model = NeuMF(
        **widths, num_epochs=EPOCHS, batch_size=BATCH, num_neg=NEGATIVES, backend="pytorch", seed=7, verbose=False
    )
    model.fit(known)
    places = np.array([known.iid_map.get(item, -1) for item in range(int(items.max()) + 1)])

    def score(user: int) -> Any:
        found = np.append(np.asarray(model.score(known.uid_map[user])).ravel(), -np.inf)
        return found[places]

    return score, EPOCHS * len(pairs) * (1 + NEGATIVES)


def ndcg(score: Score, events: Any) -> float:
    """Return the mean NDCG@10 of the test cases."""
    values = []
    relevant, hidden = (np.split(events[name], events[f"{name}_ends"][:-1]) for name in ("relevant", "hidden"))
    for user, wanted, masked, count in zip(events["test_users"], relevant, hidden, events["counts"], strict=True):
        scores = np.array(score(int(user)), np.float64)
        scores[masked] = -np.inf
        top = np.argsort(-scores, kind="stable")[:K]
        gains = np.isin(top, wanted) / np.log2(np.arange(2, K + 2))
        values.append(gains.sum() / (1 / np.log2(np.arange(2, min(int(count), K) + 2))).sum())
    return float(np.mean(values))


def main(name: str, path: str) -> None:
    """Fit one library, and print the figures."""
    events = np.load(path)
    users, items = events["users"], events["items"]
    began, wall = time.process_time(), time.perf_counter()
    score, samples = {"implicit": implicit, "cornac": cornac}[name](users, items)
    cpu, seconds = time.process_time() - began, time.perf_counter() - wall
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / PER_MB
    figures = {"cpu": cpu, "wall": seconds, "samples": samples, "peak_mb": peak, "ndcg10": ndcg(score, events)}
    print(json.dumps(figures), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
