#!/usr/bin/env bash
# implicit 0.7.3: recommend(N=2) of a neighbourhood model answers with four items when two items are filtered out.
#
# A user who has items 0 and 1, and a list of two items that are out of stock: 0 and 1, which would not have come anyway.
# Expected: two items; N is documented as the number of results.
# Seen:     CosineRecommender: N=2 gives 2 items, with filter_items=[0, 1] 4 items, with items=[2, 3, 4, 5] and N=1 4 items
#           AlternatingLeastSquares with the same arguments: 2, 2 and 1. Asked for several users at once, the first too gives 2.
# Source:   implicit/nearest_neighbours.py: N is raised by the length of the filter, and that raised N is also what the answer is cut
#           to; with `items` it is set to the number of all items and never cut.
# Why:      a filter of 500 items out of stock makes a strip of ten places up to 510 long, and a metric at 10 that trusts the length
#           counts hits far below rank 10. Exchanging one model for another changes the length of the answer.
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
found = {}
for model in (CosineRecommender(), AlternatingLeastSquares(factors=4, random_state=0, num_threads=1)):
    model.fit(bought, show_progress=False)
    asked = ({"N": 2}, {"N": 2, "filter_items": [0, 1]}, {"N": 1, "items": [2, 3, 4, 5]})
    lengths = [len(model.recommend(0, bought[0], **how)[0]) for how in asked]
    several = model.recommend([0, 1], bought[[0, 1]], N=2, filter_items=[0, 1])[0].shape[1]
    found[type(model).__name__] = [*lengths, several]
    print(f"{type(model).__name__}: N=2 {lengths[0]}; N=2 and a filter {lengths[1]}; N=1 of four items {lengths[2]}; two users at once {several}")
sys.exit(found != {"CosineRecommender": [2, 4, 4, 2], "AlternatingLeastSquares": [2, 2, 1, 2]})
PY
