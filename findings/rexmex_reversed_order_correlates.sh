#!/usr/bin/env bash
# rexmex 0.1.3: kendall_tau of a list and its reverse is -1 or 0.33, by the numbers that the items have as ids.
#
# Three items in the right order, and a model that has them exactly the other way round.
# Expected: -1 for kendall_tau and spearmans_rho; the documentation asks for two lists of items, as it does for the metric NDPM beside
#           them, which is 1.0 (the worst) for each of the lists.
# Seen:     items 1, 2, 3: -1.0 and -1.0     items 5, 1, 3: 0.333 and 0.5, a positive correlation for the worst possible order
# Source:   rexmex/metrics/ranking.py hands the item ids themselves to SciPy's kendalltau and spearmanr, which want a rank or a value
#           for each item, with the same item at the same place of both.
# Why:      ids are names. Renumbering the catalogue changes which of two models orders better, and a test with items 1, 2, 3, …,
#           where id and rank are the same, shows nothing.
# Leaves with 0 while it is so, with 1 once it is not.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder"
"$folder/bin/pip" install --quiet --disable-pip-version-check rexmex==0.1.3 numpy==2.4.6 pandas==3.1.1 scipy==1.17.1 scikit-learn==1.9.1 six==1.17.0
OPENBLAS_NUM_THREADS=1 "$folder/bin/python" -W ignore - <<'PY'
import sys

from rexmex.metrics.ranking import kendall_tau, normalized_distance_based_performance_measure, spearmans_rho

found = []
for items in ([1, 2, 3], [5, 1, 3]):
    reverse = items[::-1]
    tau, rho = (round(float(metric(items, reverse)[0]), 3) for metric in (kendall_tau, spearmans_rho))
    found.append((tau, rho, normalized_distance_based_performance_measure(items, reverse)))
    print(f"{items} and {reverse}: tau {tau}, rho {rho}, NDPM {found[-1][2]}")
sys.exit(found != [(-1.0, -1.0, 1.0), (0.333, 0.5, 1.0)])
PY
