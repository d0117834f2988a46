#!/usr/bin/env bash
# cornac 3.0.1: MRR of one model on one test set is another figure when NDCG@10 is measured in the same call.
#
# 5,000 items with different scores; ten users, whose one relevant item stands at rank 100, 200, … 1,000.
# Expected: each metric says the same, whichever others are asked for. MRR's mean of 1/rank is 0.002929.
# Seen:     [MRR(), NDCG()] 0.002929 and 0.114948; [MRR(), NDCG(), NDCG(k=10)] 0.002765 and 0.11355 for the same two. The second pair
#           is up to numpy's partition, and may be another on another processor.
# Source:   cornac.eval_methods.base_method.ranking_eval takes the largest k of all metrics and ranks once; MRR, and any metric
#           without a cut-off, has k = -1, which is smaller than 10. Recommender.rank(k=10) sorts ten items and leaves the others
#           as numpy.argpartition threw them. Its documentation calls k a cut-off, and does not say that the rest is in no order.
# Why:      a results table with MRR and one "@10" is how models are compared. Adding a column changes another column.
# Leaves with 0 while it is so, with 1 once it is not.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder"
"$folder/bin/pip" install --quiet --disable-pip-version-check cornac==3.0.1 numpy==2.4.6 scipy==1.17.1
"$folder/bin/python" -W ignore - <<'PY'
import sys

import numpy as np
from cornac.eval_methods import BaseMethod
from cornac.eval_methods.base_method import ranking_eval
from cornac.metrics import MRR, NDCG
from cornac.models import Recommender


class ByNumber(Recommender):
    """Scores an item by the number that is its id: the item with the highest number is best for everyone."""

    def __init__(self):
        super().__init__("by number")

    def score(self, user_idx, item_idx=None):
        return np.array([float(item) for item in self.iid_map])


items, ranks = 5000, range(100, 1001, 100)
shelf = [("stock", str(item), 1.0) for item in np.random.default_rng(0).permutation(items)]
users = [(f"user {rank}", str(items - 1), 1.0) for rank in ranks]  # the best item is bought already: ranks count from the next one
split = BaseMethod.from_splits(shelf + users, [(f"user {rank}", str(items - 1 - rank), 1.0) for rank in ranks])
model = ByNumber().fit(split.train_set)
found = {}
for label, metrics in {"alone": [MRR(), NDCG()], "beside NDCG@10": [MRR(), NDCG(), NDCG(k=10)]}.items():
    means, _ = ranking_eval(model, metrics, split.train_set, split.test_set)
    found[label] = [round(float(mean), 6) for mean in means[:2]]
    print(f"{label}: MRR, NDCG = {found[label]}")
right = round(float(np.mean([1 / rank for rank in ranks])), 6)
sys.exit(found["alone"][0] != right or found["beside NDCG@10"] == found["alone"])
PY
