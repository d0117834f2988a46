#!/usr/bin/env bash
# replay-rec (RePlay) 0.22.0: MAP of the same recommendations is 1.0 from dictionaries and 0.25 from data frames.
#
# One user, four items with the same score, item 10 is relevant: what a list by popularity looks like where counts are small.
# Seen:   dict: MAP@10 1.0, NDCG@10 1.0     pandas and polars: MAP@10 0.25, NDCG@10 0.431
# Why:    equal scores keep their order in dictionaries, and are ordered by descending item id in data frames. A model is four times
#         as good, or bad, for the container that its lists came in; nothing of it is said beside the metrics.
# Leaves with 0 while it is so, with 1 once it is not.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder"
"$folder/bin/pip" install --quiet --disable-pip-version-check replay-rec==0.22.0 pandas==2.3.3 polars==1.44.2
"$folder/bin/python" -W ignore - <<'PY'
import sys

import pandas as pd
import polars as pl
from replay.metrics import MAP, NDCG

lists, chosen = {1: [(10, 1.0), (20, 1.0), (30, 1.0), (40, 1.0)]}, {1: [10]}
frame = pd.DataFrame([(1, item, score) for item, score in lists[1]], columns=["query_id", "item_id", "rating"])
truth = pd.DataFrame([(1, 10)], columns=["query_id", "item_id"])
given = {"dict": (lists, chosen), "pandas": (frame, truth), "polars": (pl.from_pandas(frame), pl.from_pandas(truth))}
found = {}
for kind, (recommended, relevant) in given.items():
    found[kind] = [round(next(iter(metric(10)(recommended, relevant).values())), 3) for metric in (MAP, NDCG)]
    print(f"{kind}: MAP@10, NDCG@10 = {found[kind]}")
sys.exit(found != {"dict": [1.0, 1.0], "pandas": [0.25, 0.431], "polars": [0.25, 0.431]})
PY
