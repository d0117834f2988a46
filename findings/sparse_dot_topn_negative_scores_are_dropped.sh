#!/usr/bin/env bash
# sparse-dot-topn 1.2.0: without a threshold, sp_matmul_topn leaves out every score below 0, unless all columns are asked for.
#
# One user, five items, scores 2, -2, -3, -4 and -5, as factors or centred ratings have them.
# Expected: the two best of five are 2 and -2. The threshold is optional, and documented as: only values greater than it come back.
# Seen:     top_n=2: 2 alone     top_n=4: 2 alone     top_n=5: all five     top_n=2 with threshold=-100: 2 and -2
#           A user with negative scores only gets an empty row with top_n=4, and five items with top_n=5.
# Source:   the docstring of sp_matmul_topn: top_n is "the number of results to retain"; nothing there speaks of signs. Without a
#           threshold the selection starts from 0; where top_n is the number of columns, nothing is selected.
# Why:      users at the low end of a matrix factorisation get no list, others a short one, and neither is told from "no overlap". A
#           test on a toy shop with as many items as places does not show it.
# Leaves with 0 while it is so, with 1 once it is not.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder"
"$folder/bin/pip" install --quiet --disable-pip-version-check sparse-dot-topn==1.2.0 numpy==2.4.6 scipy==1.17.1 psutil==7.2.2
OPENBLAS_NUM_THREADS=1 "$folder/bin/python" - <<'PY'
import sys

import numpy as np
from scipy.sparse import csr_matrix
from sparse_dot_topn import sp_matmul_topn

user = csr_matrix(np.array([[1.0]]))
items = csr_matrix(np.array([[2.0, -2.0, -3.0, -4.0, -5.0]]))
found = []
for how in ({"top_n": 2}, {"top_n": 4}, {"top_n": 5}, {"top_n": 2, "threshold": -100.0}):
    found.append(sorted(sp_matmul_topn(user, items, **how).data.tolist(), reverse=True))
    print(f"{how}: {found[-1]}")
lengths = [sp_matmul_topn(user, -abs(items), top_n=k).nnz for k in (4, 5)]
print(f"negative scores only: {lengths[0]} items with top_n=4, {lengths[1]} with top_n=5")
sys.exit(found != [[2.0], [2.0], [2.0, -2.0, -3.0, -4.0, -5.0], [2.0, -2.0]] or lengths != [0, 5])
PY
