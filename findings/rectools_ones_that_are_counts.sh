#!/usr/bin/env bash
# rectools 0.19.0: get_user_item_matrix(include_weights=False), documented as all ones, has a 5 for an item bought five times.
#
# One user bought soap on five days and a lamp once.
# Expected: 1 and 1. The documentation of the argument: if False, all values of the matrix are 1.
# Seen:     5 and 1. Dataset.construct keeps both rows of a pair, so weights of repeats are added up as well: with weight 2 each, 10.
# Source:   rectools/dataset/interactions.py (get_user_item_matrix) gives one 1 per row of the table to scipy's csr_matrix, which adds
#           up equal places.
# Why:      whoever asks for a matrix without weights wants who bought what. The popularity of what is bought often creeps back into
#           every model that is trained on it, and into similarities; two shops with the same buyers get different neighbours.
# Leaves with 0 while it is so, with 1 once it is not.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder"
"$folder/bin/pip" install --quiet --disable-pip-version-check rectools==0.19.0 numpy==1.26.4 pandas==2.3.3 scipy==1.17.1
OPENBLAS_NUM_THREADS=1 "$folder/bin/python" -W ignore - <<'PY'
import sys

import pandas as pd
from rectools.dataset import Dataset

events = pd.DataFrame({"user_id": 1, "item_id": ["soap"] * 5 + ["lamp"], "weight": 2.0, "datetime": pd.date_range("2026-01-01", periods=6)})
data = Dataset.construct(events)
print("items:", data.item_id_map.external_ids.tolist())
found = [data.get_user_item_matrix(include_weights=weights).toarray().max(axis=0).tolist() for weights in (False, True)]
print(f"without weights {found[0]}, with them {found[1]}")
sys.exit(found != [[5.0, 1.0], [10.0, 2.0]])
PY
