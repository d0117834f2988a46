#!/usr/bin/env bash
# scikit-uplift 0.5.1: the Qini coefficient of the best possible ranking is 1.0, and -17.2 where the same zeros and ones are uint8.
#
# A thousand customers, half of whom got a voucher; who bought is 0 or 1. One ranking is the optimum by the library's
# own definition, one is random.
# Expected: the same figures for any type that holds zeros and ones; the documentation asks for binary values.
# Seen:     int64, int8 and float64: optimum 1.0, random -0.007     uint8: optimum -17.214, random 0.122
#           uplift_auc_score and uplift_at_k of the same columns do not change.
# Source:   the docstring of qini_auc_score ("1d array-like", binary). perfect_qini_curve of sklift/metrics/metrics.py subtracts the buyers
#           without a voucher from 0, which is 255 as uint8, so that they come first in what is taken for the optimum.
# Why:      uint8 is what flags are stored as to save memory. The scale is made of the customers who need no voucher, and a random ranking
#           looks like a model that found something.
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
from sklift.metrics import qini_auc_score, uplift_auc_score

rng = np.random.default_rng(0)
voucher = np.arange(1000) % 2
bought = (rng.random(1000) < 0.2 + 0.1 * voucher).astype(np.int64)
guess, optimum = rng.random(1000), bought * voucher - bought * (1 - voucher)
found, areas = {}, set()
for kind in ("int64", "int8", "float64", "uint8"):
    y, t = bought.astype(kind), voucher.astype(kind)
    found[kind] = [round(float(qini_auc_score(y, ranking, t)), 3) for ranking in (optimum, guess)]
    areas.add(round(float(uplift_auc_score(y, guess, t)), 6))
    print(f"{kind}: Qini of the optimum and of a random ranking = {found[kind]}")
print("uplift AUC of the random ranking, all kinds:", *areas)
sys.exit(found.pop("uint8") != [-17.214, 0.122] or set(map(tuple, found.values())) != {(1.0, -0.007)} or len(areas) != 1)
PY
