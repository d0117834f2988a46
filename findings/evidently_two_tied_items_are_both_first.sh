#!/usr/bin/env bash
# evidently 0.7.23: precision@1 is 2.0 where the two best scores are equal, and 0.0 where all five are.
#
# One user, five scored items, the first two are relevant.
# Expected: between 0 and 1, as documented; one item is in a list of one. For a list of two there are two.
# Seen:     two best equal: precision@1 2.0, NDCG@1 2.0, NDCG@2 1.226, MAP@2 1.5
#           all five equal: nothing is recommended up to rank 2, and five items at rank 3: precision@2, NDCG@2 and MAP@2 0.0
# Source:   "Ranking metrics" in the documentation. calculations/recommender_systems.py (in evidently/legacy) ranks scores with pandas' method
#           "average" and cuts the result to a whole number: 1.5 and 1.5 are rank 1 twice, and rank 2 is nobody's.
# Why:      counts, popularity and stars tie for most users. A model with coarse scores gets more than a perfect one, or nothing, and
#           the mean over users hides which.
# Leaves with 0 while it is so, with 1 once it is not.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder"
"$folder/bin/pip" install --quiet --disable-pip-version-check --no-compile numpy==2.4.6 pandas==2.3.3 scipy==1.17.1 scikit-learn==1.9.1 pydantic==2.14.4 requests==2.34.2 rich==15.0.0 fsspec==2026.9.0 cloudpickle==3.1.3 PyYAML==6.0.4 regex==2026.11.19 defusedxml==0.7.1 protobuf==7.36.2 packaging==26.4 anyio==4.16.0 sniffio==1.3.1 msgspec==0.23.0 multidict==7.2.1 multipart==2.0.1 mypy_extensions==1.2.0
"$folder/bin/pip" install --quiet --disable-pip-version-check --no-deps --no-compile evidently==0.7.23 plotly==5.24.1 nltk==3.10.4 litestar==2.25.0 opentelemetry-proto==1.45.2 typing-inspect==0.9.0 deprecation==2.1.0 uuid6==2025.0.1 ujson==6.1.0
OPENBLAS_NUM_THREADS=1 "$folder/bin/python" -W ignore - <<'PY'
import sys

import pandas as pd
from evidently import DataDefinition, Dataset, Recsys, Report
from evidently.metrics import MAP, NDCG, PrecisionTopK

columns = Recsys(user_id="user", item_id="item", target="relevant", prediction="score", recommendations_type="score")
found = {}
for label, scores in {"all different": [9, 8, 3, 2, 1], "two best equal": [9, 9, 3, 2, 1], "all equal": [5, 5, 5, 5, 5]}.items():
    rows = pd.DataFrame({"user": "u", "item": range(5), "relevant": [1, 1, 0, 0, 0], "score": scores})
    report = Report([metric(k=3) for metric in (PrecisionTopK, NDCG, MAP)]).run(Dataset.from_pandas(rows, DataDefinition(ranking=[columns])), None).dict()
    found[label] = [[round(float(value), 3) for value in list(metric["value"]["value"].values())[:3]] for metric in report["metrics"]]
    print(f"{label}: precision, NDCG, MAP at 1, 2, 3 = {found[label]}")
tied, equal = found["two best equal"], found["all equal"]
sys.exit(found["all different"][0] != [1.0, 1.0, 0.667] or tied[0][0] != 2.0 or tied[1][:2] != [2.0, 1.226] or equal[0][:2] != [0.0, 0.0])
PY
