#!/usr/bin/env bash
# keras-rs 0.4.0 on keras 3.15.1 and torch 2.13.0: with shuffle_ties=False a ranking metric does not find the best item.
#
# 2,000 items; the last is the only relevant one, and its score 0.501 is above all others, which have 0.5. There is no tie that
# concerns it: every ranking puts it first, and every figure at 10 should be the best possible.
# Seen:   shuffle_ties=False  NDCG 0.0, MRR 0.0, MAP 0.0, Recall 0.0
#         shuffle_ties=True   NDCG 1.0, MRR 1.0, MAP 1.0, Recall 1.0 (the default)
# Why:    on torch, to make ties stable, each score is lowered by 0.000001 times its position, so 0.501 at position 1,999 becomes
#         0.499. Whoever turns shuffling off to have the same figures in every run gets others than those of the ranking, the more
#         so the longer the list and the closer the scores, such as probabilities.
# Leaves with 0 while it is so, with 1 once it is not.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder"
"$folder/bin/pip" install --quiet --disable-pip-version-check keras-rs==0.4.0 keras==3.15.1 torch==2.13.0
KERAS_BACKEND=torch "$folder/bin/python" - <<'PY'
import sys

import numpy as np
from keras_rs.metrics import NDCG, MeanAveragePrecision, MeanReciprocalRank, RecallAtK

scores = np.full((1, 2000), 0.5, np.float32)
scores[0, -1] = 0.501
relevant = np.zeros((1, 2000), np.float32)
relevant[0, -1] = 1
found = {}
for shuffle in (False, True):
    found[shuffle] = [float(metric(k=10, shuffle_ties=shuffle)(relevant, scores)) for metric in (NDCG, MeanReciprocalRank, MeanAveragePrecision, RecallAtK)]
    print(f"shuffle_ties={shuffle}: NDCG, MRR, MAP, Recall at 10 = {found[shuffle]}")
sys.exit(found != {False: [0.0] * 4, True: [1.0] * 4})
PY
