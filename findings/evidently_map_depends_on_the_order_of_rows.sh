#!/usr/bin/env bash
# evidently 0.7.23: MAP@5 of a perfect list is 1.0, and 2.28 with the rows of the same table in reverse.
#
# One user, five recommendations with ranks 1 to 5, the first is the relevant one. Each row has its rank.
# Expected: MAP 1.0 for any order of the rows; the documentation gives its range as 0 to 1, and asks for no order.
# Seen:     rows best first 1.0, shuffled 1.833, worst first 2.283. NDCG, MRR, recall and precision of the same calls do not change.
# Source:   the description of MAP in the documentation, "Ranking metrics". metrics/recsys/precision_recall_k.py (in evidently/legacy) takes
#           the last row of the table up to rank k for the item at rank k; with scores instead of ranks it is the same. MAR does it too.
# Why:      a table that was merged, joined by item or read from a store is in no order. MAP of two models differs by the order in which
#           they were written, and mostly by less than here, so that nothing looks wrong.
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
from evidently.metrics import MAP, MRR, NDCG, PrecisionTopK, RecallTopK

columns = Recsys(user_id="user", item_id="item", target="relevant", prediction="rank", recommendations_type="rank")
best_first = pd.DataFrame({"user": "u", "item": range(5), "relevant": [1, 0, 0, 0, 0], "rank": range(1, 6)})
found = {}
for label, order in {"best first": [0, 1, 2, 3, 4], "shuffled": [2, 1, 4, 0, 3], "worst first": [4, 3, 2, 1, 0]}.items():
    table = Dataset.from_pandas(best_first.iloc[order], DataDefinition(ranking=[columns]))
    report = Report([metric(k=5) for metric in (MAP, NDCG, MRR, RecallTopK, PrecisionTopK)]).run(table, None).dict()
    found[label] = [round(float(list(metric["value"]["value"].values())[4]), 3) for metric in report["metrics"]]
    print(f"{label}: MAP, NDCG, MRR, recall, precision at 5 = {found[label]}")
others = {tuple(figures[1:]) for figures in found.values()}
sys.exit([figures[0] for figures in found.values()] != [1.0, 1.833, 2.283] or others != {(1.0, 1.0, 1.0, 0.2)})
PY
