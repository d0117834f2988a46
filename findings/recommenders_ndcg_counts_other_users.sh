#!/usr/bin/env bash
# recommenders 1.2.1 (python_evaluation): ndcg_at_k is a mean over other users than precision_at_k, recall_at_k and map_at_k.
#
# Two users with one relevant item each. User 1 gets a perfect list, user 2 gets none: a cold user whom the model cannot answer.
# Seen:   recall_at_k 1.0, map_at_k 1.0, precision_at_k 0.1; ndcg_at_k 0.5
#         With user 2 left out of the truth as well, ndcg_at_k is 1.0 and the others are the same.
# Why:    the others count the users who are in both tables; NDCG merges all of the truth, and user 2 is a zero. In one row of a
#         results table NDCG falls with the share of users who are not answered, and the figures beside it do not.
# Leaves with 0 while it is so, with 1 once it is not.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder"
"$folder/bin/pip" install --quiet --disable-pip-version-check numpy==1.26.4 pandas==2.2.3 scikit-learn==1.6.1 scipy==1.17.1
"$folder/bin/pip" install --quiet --disable-pip-version-check --no-deps recommenders==1.2.1 # its metrics need no more than these
"$folder/bin/python" -W ignore - <<'PY'
import sys

import pandas as pd
from recommenders.evaluation.python_evaluation import map_at_k, ndcg_at_k, precision_at_k, recall_at_k

truth = pd.DataFrame({"userID": [1, 2], "itemID": [10, 20], "rating": [1.0, 1.0]})
lists = pd.DataFrame({"userID": [1, 1, 1], "itemID": [10, 11, 12], "prediction": [3.0, 2.0, 1.0]})
found = []
for label, relevant in (("both users", truth), ("user 1 alone", truth[:1])):
    figures = {metric.__name__: round(float(metric(relevant, lists, k=10)), 3) for metric in (precision_at_k, recall_at_k, map_at_k, ndcg_at_k)}
    print(f"{label}: {figures}")
    found.append([*figures.values()])
sys.exit(found != [[0.1, 1.0, 1.0, 0.5], [0.1, 1.0, 1.0, 1.0]])
PY
