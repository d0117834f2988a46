#!/usr/bin/env bash
# implicit 0.7.3: recommend(filter_already_liked_items=True) answers with items that the user has, when few others are left.
#
# A shop of six items. User 1 has four of them, and five are asked for: two are right, three have to stay empty.
# Expected: items 4 and 5 alone; the documentation says that what the user has rated in training is not returned.
# Seen:     AlternatingLeastSquares: items 4 and 5, then three bought ones with the score -3.4e38
#           CosineRecommender, user 0: two bought items with the score 0.0, which is what an item without evidence has as well
#           CosineRecommender, several users at once: filled up with the id -1, which Python takes for the last item of a list
# Source:   documentation of RecommenderBase.recommend; implicit/cpu/topk.pyx lowers the score of what is filtered and keeps the row
#           at N; the scorer of implicit/_nearest_neighbours.pyx does the same with 0; implicit/utils.py (_batch_call) fills with -1.
# Why:      small categories and faithful users are the rule in a shop: "recommended for you" shows what they own already. A test on
#           the scores needs another threshold for each kind of model, and 0.0 is one that no test can tell.
# Leaves with 0 while it is so, with 1 once it is not.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder"
"$folder/bin/pip" install --quiet --disable-pip-version-check implicit==0.7.3 numpy==2.4.6 scipy==1.17.1
OPENBLAS_NUM_THREADS=1 "$folder/bin/python" -W ignore - <<'PY'
import sys

import numpy as np
from implicit.als import AlternatingLeastSquares
from implicit.nearest_neighbours import CosineRecommender
from scipy.sparse import csr_matrix

bought = csr_matrix(np.array([[1, 1, 0, 0, 0, 0], [1, 1, 1, 1, 0, 0], [0, 1, 1, 1, 1, 0], [1, 0, 1, 0, 1, 1]], np.float32))
factors = AlternatingLeastSquares(factors=4, random_state=0, num_threads=1)
factors.fit(bought, show_progress=False)
items, scores = factors.recommend(1, bought[1], N=5)
print("ALS, user 1 has 0 to 3:", [(int(item), float(f"{score:.2g}")) for item, score in zip(items, scores)])
als = set(items.tolist()) == {1, 2, 3, 4, 5}

pairs = csr_matrix(np.array([[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 1]], np.float32))  # nobody links 0 and 1 to 2 and 3
near = CosineRecommender()
near.fit(pairs, show_progress=False)
items, scores = near.recommend(0, pairs[0], N=3)
print("cosine, user 0 has 0 and 1:", [(int(item), float(score)) for item, score in zip(items, scores)])
cosine = set(items.tolist()) == {0, 1} and not scores.any()
items, _ = near.recommend([0, 2], pairs[[0, 2]], N=3)
print("cosine, users 0 and 2 at once:", items.tolist())
sys.exit(not (als and cosine and (items[:, 2] == -1).all()))
PY
