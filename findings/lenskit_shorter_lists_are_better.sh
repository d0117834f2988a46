#!/usr/bin/env bash
# lenskit 2025.8.1 (seen in 2026.4.0 too): AveragePrecision(n=10) falls when items are appended to a list.
#
# A user with five relevant items. Three lists have the same one hit, at rank 1: one item, five items, ten items.
# Seen:   AP@10 1.0, 0.2, 0.2; Precision@10 1.0, 0.2, 0.1; Recall@10 0.2 each
# Why:    AP is divided by min(relevant items, length of the list), Precision by the length of the list (which its documentation
#         says; that of AP does not). A model that answers with its one surest item is perfect, and finds a fifth of what it
#         should: of two models the one that fills fewer places wins.
# Leaves with 0 while it is so, with 1 once it is not.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder"
"$folder/bin/pip" install --quiet --disable-pip-version-check lenskit==2025.8.1 torch==2.13.0
"$folder/bin/python" -W ignore - <<'PY'
import sys

from lenskit.data import ItemList
from lenskit.metrics.ranking import AveragePrecision, Precision, Recall

relevant = ItemList([1, 2, 3, 4, 5])
found = []
for length in (1, 5, 10):
    answered = ItemList([1, *range(11, 10 + length)], ordered=True)
    found.append([round(float(metric(n=10).measure_list(answered, relevant)), 3) for metric in (AveragePrecision, Precision, Recall)])
    print(f"{length} items, the first is relevant: AP, Precision, Recall at 10 = {found[-1]}")
sys.exit(found != [[1.0, 1.0, 0.2], [0.2, 0.2, 0.2], [0.2, 0.1, 0.2]])
PY
