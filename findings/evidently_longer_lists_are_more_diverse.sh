#!/usr/bin/env bash
# evidently 0.7.23: diversity of items that have nothing in common is 0.5 for a list of two and 4.5 for a list of ten.
#
# One user; each item has a feature of its own, so that any two are at cosine distance 1. k is 10.
# Expected: 1.0 for every length: documented as the mean of the distances of all pairs, from 0 to 2.
# Seen:     lists of 2, 5 and 10 items: 0.5, 2.0, 4.5. Serendipity of three relevant items, each the same as what the user had: -2.0
#           where the documentation says 0 to 2 and a mean over relevant items; of one such item 0.0, as it should be.
# Source:   "Ranking metrics" in the documentation. metrics/recsys/diversity.py (in evidently/legacy) divides the sum over all pairs by the
#           number of items; serendipity.py divides by the number of items in the user's history, and not by the relevant ones.
# Why:      a model that fills all places is more "diverse" than one that fills half of them, k=10 than k=5, whatever is in them; and
#           serendipity falls with each relevant item that is found.
# Leaves with 0 while it is so, with 1 once it is not.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder"
"$folder/bin/pip" install --quiet --disable-pip-version-check --no-compile numpy==2.4.6 pandas==2.3.3 scipy==1.17.1 scikit-learn==1.9.1 pydantic==2.14.4 requests==2.34.2 rich==15.0.0 fsspec==2026.9.0 cloudpickle==3.1.3 PyYAML==6.0.4 regex==2026.11.19 defusedxml==0.7.1 protobuf==7.36.2 packaging==26.4 anyio==4.16.0 sniffio==1.3.1 msgspec==0.23.0 multidict==7.2.1 multipart==2.0.1 mypy_extensions==1.2.0
"$folder/bin/pip" install --quiet --disable-pip-version-check --no-deps --no-compile evidently==0.7.23 plotly==5.24.1 nltk==3.10.4 litestar==2.25.0 opentelemetry-proto==1.45.2 typing-inspect==0.9.0 deprecation==2.1.0 uuid6==2025.0.1 ujson==6.1.0
OPENBLAS_NUM_THREADS=1 "$folder/bin/python" -W ignore - <<'PY'
import sys

import numpy as np
import pandas as pd
from evidently import DataDefinition, Dataset, Recsys, Report
from evidently.metrics import Diversity, Serendipity

columns = Recsys(user_id="user", item_id="item", target="relevant", prediction="rank", recommendations_type="rank")
features = [f"f{n}" for n in range(10)]


def figure(metric, items, vectors, history):
    """Return a metric at 10 of one list, all of it relevant."""
    rows = pd.DataFrame(vectors, columns=features).assign(user="u", item=items, relevant=1, rank=range(1, len(items) + 1))
    table = Dataset.from_pandas(rows, DataDefinition(ranking=[columns]))
    report = Report([metric(k=10, item_features=features)]).run(table, None, additional_data={"current_train_data": history})
    return round(float(report.dict()["metrics"][0]["value"]), 3)


history = pd.DataFrame(np.eye(10)[:1], columns=features).assign(user="u", item="old", relevant=1, rank=1)
diverse = [figure(Diversity, [f"i{n}" for n in range(length)], np.eye(10)[:length], history) for length in (2, 5, 10)]
print("diversity of 2, 5 and 10 items without anything in common:", diverse)
surprise = [figure(Serendipity, [f"i{n}" for n in range(length)], np.repeat(np.eye(10)[:1], length, axis=0), history) for length in (1, 3)]
print("serendipity of 1 and 3 relevant items that are like the item in the history:", surprise)
sys.exit(diverse != [0.5, 2.0, 4.5] or surprise != [0.0, -2.0])
PY
