#!/usr/bin/env bash
# scikit-uplift 0.5.1: the error of the total uplift is 0.82, where it is 0.027: thirty times too large.
#
# A thousand customers, half of whom got a voucher; about 20 and 30 of a hundred bought. uplift_by_percentile(bins=10, std=True, total=True).
# Expected: the total has the standard deviation of the whole sample, 0.027, which is what bins=1 gives; it is smaller than that of a tenth.
# Seen:     each tenth 0.08, the total 0.824; with 20 bins 2.3. The uplift of the total beside it, 0.102, is that of the whole sample.
# Source:   the docstring calls the last row the total values, on the full data amount. sklift/metrics/metrics.py counts the responses anew
#           for it, and adds up the standard deviations of the bins (np.sum(std_uplift)).
# Why:      uplift divided by its error says whether a campaign works. 0.10 with an error of 0.027 is a clear effect, with 0.82 it is none;
#           and more bins make the whole sample less certain.
# Leaves with 0 while it is so, with 1 once it is not.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder"
"$folder/bin/pip" install --quiet --disable-pip-version-check numpy==2.4.6 pandas==3.1.1 scipy==1.17.1 scikit-learn==1.9.1
"$folder/bin/pip" install --quiet --disable-pip-version-check --no-deps scikit-uplift==0.5.1
OPENBLAS_NUM_THREADS=1 "$folder/bin/python" -W ignore - <<'PY'
import sys

import numpy as np
from sklift.metrics import uplift_by_percentile

rng = np.random.default_rng(0)
voucher = np.arange(1000) % 2
bought = (rng.random(1000) < 0.2 + 0.1 * voucher).astype(int)
score = rng.random(1000)
rates = [bought[voucher == group].mean() for group in (0, 1)]
right = float(sum(rate * (1 - rate) / 500 for rate in rates) ** 0.5)
print(f"uplift {rates[1] - rates[0]:.3f}, its error {right:.4f}")
found = {}
for bins in (1, 10, 20):
    last = uplift_by_percentile(bought, score, voucher, bins=bins, std=True, total=True).loc["total"]
    found[bins] = round(float(last["std_uplift"]), 4)
    print(f"{bins} bins: total uplift {last['uplift']:.3f}, std_uplift {found[bins]}")
sys.exit(found[1] != round(right, 4) or found[10] < 20 * right or found[20] < 60 * right)
PY
