#!/usr/bin/env bash
# torchmetrics 1.9.0 on torch 2.13.0: RetrievalMAP(top_k=k) is 1.0 for a list that leaves out nearly all that is relevant.
#
# Twenty items, eleven of them relevant: the best scored one, and the ten that are scored lowest. The first ten hold one hit.
# Seen:   RetrievalMAP(top_k=10) 1.0, RetrievalRecall(top_k=10) 0.091, RetrievalNormalizedDCG(top_k=10) 0.22
#         With top_k=11, where a second hit enters at the last rank, MAP falls to 0.591: finding more is worse.
# Why:    the sum of precisions is divided by the hits within top_k, not by the relevant items or by min(k, relevant items).
#         A hit at rank 1 is a perfect MAP@k for every user with any number of relevant items.
# Leaves with 0 while it is so, with 1 once it is not.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder"
"$folder/bin/pip" install --quiet --disable-pip-version-check torchmetrics==1.9.0 torch==2.13.0
"$folder/bin/python" -W ignore - <<'PY'
import sys

import torch
from torchmetrics.retrieval import RetrievalMAP, RetrievalNormalizedDCG, RetrievalRecall

scores, user = torch.arange(20, 0, -1, dtype=torch.float32), torch.zeros(20, dtype=torch.long)
relevant = torch.tensor([1] + [0] * 9 + [1] * 10)
found = []
for k in (10, 11):
    found.append([round(float(metric(top_k=k)(scores, relevant, indexes=user)), 3) for metric in (RetrievalMAP, RetrievalRecall, RetrievalNormalizedDCG)])
    print(f"top_k={k}: MAP, Recall, NDCG = {found[-1]}")
sys.exit(found[0] != [1.0, 0.091, 0.22] or found[1][0] != 0.591)
PY
