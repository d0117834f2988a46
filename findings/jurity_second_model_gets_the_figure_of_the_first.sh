#!/usr/bin/env bash
# jurity 2.1.0: a model that recommends nothing right has NDCG, MAP, precision and recall 1.0, if a perfect one was measured before it.
#
# One user with two relevant items, and two models. Both score the item at rank 1 with 1.0 and the next with 0.5, as lists without scores
# of their own get them. The first has both items, the second has two others.
# Expected: 1.0 for the first and 0.0 for the second, in any order.
# Seen:     right, then wrong: 1.0 and 1.0     wrong, then right: 0.0 and 0.0     right, then wrong with other scores: 1.0 and 0.0
#           Each figure comes from a new metric object, and the tables are different ones.
# Source:   jurity/utils.py keeps the sorted lists of the last five tables (lru_cache_df); the key is made of a table's values and column
#           names. User and item are its index by then, which is no part of the key. The docstrings name no cache.
# Why:      models are compared in one loop. Those that score by rank, by votes or by stars have the same numbers, and so the same figures;
#           nothing looks wrong, and the order of the loop decides who is good.
# Leaves with 0 while it is so, with 1 once it is not.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder"
"$folder/bin/pip" install --quiet --disable-pip-version-check numpy==2.4.6 pandas==2.3.3 scipy==1.17.1 scikit-learn==1.9.1
"$folder/bin/pip" install --quiet --disable-pip-version-check --no-deps jurity==2.1.0
cat > "$folder/measure.py" <<'PY'
"""Print NDCG, MAP, precision and recall of several lists in a row; each is "item,item:score,score"."""
import sys

import pandas as pd
from jurity.recommenders import RankingRecoMetrics as Ranking

bought = pd.DataFrame({"user_id": 1, "item_id": ["soap", "lamp"], "click": 1})
for argument in sys.argv[1:]:
    items, scores = (part.split(",") for part in argument.split(":"))
    best = pd.DataFrame({"user_id": 1, "item_id": items, "click": [float(score) for score in scores]})
    metrics = [metric(click_column="click", k=2) for metric in (Ranking.NDCG, Ranking.MAP, Ranking.Precision, Ranking.Recall)]
    print(*(float(metric.get_score(bought.copy(), best.copy())) for metric in metrics))
PY
measure() { OPENBLAS_NUM_THREADS=1 "$folder/bin/python" -W ignore "$folder/measure.py" "$@" | paste -sd '|'; }
right=soap,lamp:1.0,0.5 wrong=brush,vase:1.0,0.5 others=brush,vase:0.9,0.5
first=$(measure $right $wrong) second=$(measure $wrong $right) third=$(measure $right $others)
echo "right, then wrong: NDCG, MAP, precision, recall = ${first/|/ and }"
echo "wrong, then right: ${second/|/ and }"
echo "right, then wrong with other scores: ${third/|/ and }"
ones="1.0 1.0 1.0 1.0" zeros="0.0 0.0 0.0 0.0"
[[ "$first $second $third" == "$ones|$ones $zeros|$zeros $ones|$zeros" ]]
