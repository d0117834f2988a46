#!/usr/bin/env bash
# gbstats 0.8.0 (GrowthBook): the sample ratio mismatch of 1,000 and 1,100 users is found, and not any more with an arm of weight 0.
#
# Two arms of half of the traffic each. A third has the weight 0 and no users: an arm that was stopped before the start.
# Expected: p 0.029 with and without it, a chi-squared test with one degree of freedom. An arm that expects nobody and has nobody says
#           nothing about the others.
# Seen:     check_srm([1000, 1100], [.5, .5]) 0.029     with one such arm 0.092     with two 0.190
# Source:   gbstats/utils.py leaves arms without weight out of the sum, and counts them in the degrees of freedom.
# Why:      this test guards every A/B result: a broken assignment or lost tracking shows here first. At the usual limit of 0.05 or
#           0.01 the warning stays away because of an arm that nobody sees.
# Leaves with 0 while it is so, with 1 once it is not.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder"
"$folder/bin/pip" install --quiet --disable-pip-version-check --no-deps gbstats==0.8.0 numpy==1.26.4 scipy==1.11.4 packaging==25.0
OPENBLAS_NUM_THREADS=1 "$folder/bin/python" -W ignore - <<'PY'
import sys

from gbstats.utils import check_srm

found = [round(float(check_srm([1000, 1100] + [0] * idle, [0.5, 0.5] + [0] * idle)), 3) for idle in range(3)]
for idle, p in enumerate(found):
    print(f"two arms of half of the traffic, {idle} of weight 0: p {p}")
sys.exit(found != [0.029, 0.092, 0.19])
PY
