#!/usr/bin/env bash
# rs_metrics 0.6.0: a perfect list has NDCG 1.0 and MAP 0.5, because the customer bought the soap three times.
#
# One customer: soap on three days and a lamp once, as rows of a table. The list is soap, lamp.
# Expected: 1.0 for both; every item that was bought is there, in the first places, and none beside them.
# Seen:     ndcg 1.0, mapr 0.5; with each pair once in the table mapr is 1.0
#           With the bought items as a set in a dictionary, instead of a list, ndcg is 1.0, and hitrate, precision, recall, mrr and mapr are 0.
# Source:   rs_metrics/metrics.py: ndcg makes a set of the true items; mapr divides by their number with repeats, and the others hand them to
#           numpy.isin, which takes a set for one item. The functions take a data frame of users and items, or a dictionary.
# Why:      the test period of a shop has repeat purchases. MAP falls with the loyalty of the customers, not with the lists, and the best
#           possible list of a customer who buys weekly is near 0.
# Leaves with 0 while it is so, with 1 once it is not.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder"
"$folder/bin/pip" install --quiet --disable-pip-version-check rs_metrics==0.6.0 numpy==2.4.6 pandas==3.1.1
OPENBLAS_NUM_THREADS=1 "$folder/bin/python" -W ignore - <<'PY'
import sys

import pandas as pd
from rs_metrics import hitrate, mapr, mrr, ndcg, precision, recall

bought = pd.DataFrame({"user_id": 1, "item_id": ["soap", "soap", "soap", "lamp"]})
perfect = pd.DataFrame({"user_id": 1, "item_id": ["soap", "lamp"]})
found = {}
for label, true in {"as bought": bought, "each pair once": bought.drop_duplicates()}.items():
    found[label] = [round(float(metric(true, perfect)), 3) for metric in (ndcg, mapr)]
    print(f"{label}: NDCG, MAP = {found[label]}")
others = [float(metric({1: {"soap", "lamp"}}, {1: ["soap", "lamp"]})) for metric in (ndcg, hitrate, precision, recall, mrr, mapr)]
print("as a set: NDCG, hit rate, precision, recall, MRR, MAP =", others)
sys.exit(found != {"as bought": [1.0, 0.5], "each pair once": [1.0, 1.0]} or others != [1.0] + [0.0] * 5)
PY
