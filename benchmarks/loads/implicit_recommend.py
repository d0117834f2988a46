"""Time `recommend` of implicit in the Python that runs this file; `benchmarks/batch.py --implicit` starts it.

    PYTHON benchmarks/loads/implicit_recommend.py N_USERS N_ITEMS

It needs implicit alone. The vectors are random, of 64 factors; no histories, no rules, ten items for each user.
"""

from __future__ import annotations

import json
import os
import sys
import time

for threads in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"):
    os.environ[threads] = "1"

import implicit  # noqa: E402
import numpy as np  # noqa: E402
import scipy.sparse  # noqa: E402

FACTORS, SEED, LENGTH = 64, 7, 10


def main(argv: list[str]) -> None:
    """Print the version and the milliseconds of the processor for each user, as JSON."""
    n_users, n_items = map(int, argv)
    rng = np.random.default_rng(SEED)
    model = implicit.cpu.als.AlternatingLeastSquares(factors=FACTORS, num_threads=1)
    model.user_factors = rng.standard_normal((n_users, FACTORS), dtype=np.float32)
    model.item_factors = rng.standard_normal((n_items, FACTORS), dtype=np.float32)
    nothing = scipy.sparse.csr_matrix((n_users, n_items), dtype=np.float32)
    began = time.process_time()
    model.recommend(np.arange(n_users), nothing, N=LENGTH, filter_already_liked_items=False)
    print(json.dumps({"version": implicit.__version__, "ms": 1000 * (time.process_time() - began) / n_users}))


if __name__ == "__main__":
    main(sys.argv[1:])
