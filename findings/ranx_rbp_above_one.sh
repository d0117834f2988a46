#!/usr/bin/env bash
# ranx 0.3.21: rank-biased precision of a perfect list is 4.25, where relevance is given in stars.
#
# One user, three items rated 5, 5 and 4 stars, and a list that has them at ranks 1 to 3.
# Expected: between 0 and 1, the same as with relevance 1 each: 0.875 for rbp.50, 0.488 for rbp.80. The documentation says that what
#           is summed is 0 for an irrelevant item and 1 for a relevant one.
# Seen:     4.25 and 2.312; precision@3, map and mrr of the same call treat the stars as relevant or not, and are 1.0
# Source:   ranx/metrics/rank_biased_precision.py sums the grades themselves, and is asked for by name beside the binary metrics.
# Why:      ratings are what a shop has, NDCG beside it wants them, and RBP is sensitive to the scale then: a shop with ten stars has
#           twice the figure of one with five, and a list of one-star items is a fifth as good as a list of favourites.
# Leaves with 0 while it is so, with 1 once it is not.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder"
"$folder/bin/pip" install --quiet --disable-pip-version-check ranx==0.3.21 numba==0.68.1 numpy==2.4.6 pandas==3.1.1 scipy==1.17.1
"$folder/bin/python" -W ignore - <<'PY'
import sys

from ranx import Qrels, Run, evaluate

ranked = {"user": {"lamp": 3.0, "soap": 2.0, "tea": 1.0}}
found = {}
for label, grades in {"stars": (5, 5, 4), "ones": (1, 1, 1)}.items():
    relevant = {"user": dict(zip(ranked["user"], grades))}
    figures = evaluate(Qrels(relevant), Run(ranked), ["rbp.50", "rbp.80", "precision@3", "map", "mrr"])
    found[label] = [round(float(figure), 3) for figure in figures.values()]
    print(f"{label}: rbp.50, rbp.80, precision@3, map, mrr = {found[label]}")
sys.exit(found != {"stars": [4.25, 2.312, 1.0, 1.0, 1.0], "ones": [0.875, 0.488, 1.0, 1.0, 1.0]})
PY
