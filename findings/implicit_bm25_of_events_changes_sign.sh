#!/usr/bin/env bash
# implicit 0.7.3: bm25_weight of one and the same matrix is 0.74 or -0.53, by the sparse format it is held in.
#
# Three items, three users; user 0 bought item 0 on three days. As a list of events that is three entries of 1 at one place of a COO
# matrix, as CSR it is one entry of 3. SciPy holds the two to be equal.
# Expected: equal matrices have equal weights.
# Seen:     bm25_weight(events) -0.528, bm25_weight(events.tocsr()) 0.736; the weight of user 0's only item is below that of an item
#           nobody bought. BM25Recommender.fit takes both and trains on either.
# Source:   implicit/nearest_neighbours.py: the weight counts the entries of a column for the users' frequency and weighs entry by
#           entry; repeated places are not added up first. The documentation asks for "a sparse matrix".
# Why:      events straight from a log are COO with repeats. The item that a user comes back for is pushed away from all others.
# Leaves with 0 while it is so, with 1 once it is not.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder"
"$folder/bin/pip" install --quiet --disable-pip-version-check implicit==0.7.3 numpy==2.4.6 scipy==1.17.1
OPENBLAS_NUM_THREADS=1 "$folder/bin/python" -W ignore - <<'PY'
import sys

import numpy as np
from implicit.nearest_neighbours import bm25_weight
from scipy.sparse import coo_matrix

items, users = [0, 0, 0, 1, 2], [0, 0, 0, 1, 1]
events = coo_matrix((np.ones(5), (items, users)), shape=(3, 3))
print("equal as matrices:", bool((events.toarray() == events.tocsr().toarray()).all()))
found = [round(float(bm25_weight(matrix).toarray()[0, 0]), 3) for matrix in (events, events.tocsr())]
print(f"weight of user 0's item: {found[0]} of events, {found[1]} of their sums")
sys.exit(found != [-0.528, 0.736])
PY
