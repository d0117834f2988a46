#!/usr/bin/env bash
# implicit 0.7.3: leave_k_out_split makes 3 purchases of 1, and its random_state is not used for what is held out.
#
# Five users; two have enough items to be tested, three have one item each. All values are 1.
# Expected: training and test add up to what was split, and the same seed gives the same split.
# Seen:     the held out value of user 0 is 3.0: a test set with a purchase that nobody made. random_state=42 twice holds out two
#           different items for nearly every one of 200 users.
# Source:   implicit/evaluation.pyx: _take_tails counts users from 0 without gaps, and leave_k_out_split hands it only those who have
#           enough items, gaps and all; the entry of the user before a gap is taken again for it, and csr_matrix adds up what it is
#           given twice. The shuffle draws from numpy's global generator. Both were reported to the library's repository in 2022 and
#           2023 (639, 654), and are in the release of May 2026.
# Why:      most users of a shop have one purchase, so gaps are everywhere. A test weighted by quantity or revenue counts the wrong
#           amounts, and two models that were "measured with seed 42" saw two test sets.
# Leaves with 0 while it is so, with 1 once it is not.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder"
"$folder/bin/pip" install --quiet --disable-pip-version-check implicit==0.7.3 numpy==2.4.6 scipy==1.17.1
OPENBLAS_NUM_THREADS=1 "$folder/bin/python" -W ignore - <<'PY'
import sys

import numpy as np
from implicit.evaluation import leave_k_out_split
from scipy.sparse import csr_matrix

bought = csr_matrix(np.array([[1, 1, 1, 1, 0, 0], [1, 0, 0, 0, 0, 0], [1, 0, 0, 0, 0, 0], [1, 1, 1, 1, 1, 0], [1, 0, 0, 0, 0, 0]], np.float32))
train, test = leave_k_out_split(bought, K=1, random_state=42)
print("held out of users 0 to 4:", np.asarray(test.sum(axis=1)).ravel().tolist())
print("largest value before", bought.max(), "and after", (train + test).max())

many = csr_matrix(np.ones((200, 30), np.float32))
first, second = (leave_k_out_split(many, K=1, random_state=42)[1] for _ in range(2))
moved = int((first.argmax(axis=1) != second.argmax(axis=1)).sum())
print(f"random_state=42 twice: another item is held out for {moved} of 200 users")
sys.exit((train + test).max() != 3 or moved == 0)
PY
