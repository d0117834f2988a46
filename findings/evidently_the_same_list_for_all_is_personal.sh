#!/usr/bin/env bash
# evidently 0.7.23: personalization@10 is 1.0, the best, where every user gets the same five items.
#
# Two users with lists of five items. k is 10: nobody has that many.
# Expected: 0.0 for the same list, 1.0 for two without a common item: documented as one minus the mean overlap of two users' lists.
# Seen:     k=10: the same list 1.0, nothing in common 1.5     k=5: 0.0 and 1.0
# Source:   "Ranking metrics" in the documentation, range 0 to 1. metrics/recsys/personalisation.py (in evidently/legacy) takes users times k
#           off the number of common items, as if every list had k items; shorter lists have fewer to take off.
# Why:      candidates after a filter, small categories and thresholds make lists short. A best-seller list looks tailored to each user
#           as soon as it is shorter than k, and filling it up makes it worse.
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
from evidently.metrics import Personalization

columns = Recsys(user_id="user", item_id="item", target="relevant", prediction="rank", recommendations_type="rank")
found = {}
for label, second in {"the same list": range(5), "nothing in common": range(5, 10)}.items():
    rows = pd.DataFrame({"user": ["a"] * 5 + ["b"] * 5, "item": [*range(5), *second], "relevant": 1, "rank": [*range(1, 6)] * 2})
    table = Dataset.from_pandas(rows, DataDefinition(ranking=[columns]))
    report = Report([Personalization(k=k) for k in (10, 5)]).run(table, None).dict()
    found[label] = [round(float(metric["value"]), 3) for metric in report["metrics"]]
    print(f"{label}: personalization at 10 and at 5 = {found[label]}")
sys.exit(found != {"the same list": [1.0, 0.0], "nothing in common": [1.5, 1.0]})
PY
