#!/usr/bin/env bash
# rectools 0.19.0: the popular items "of the last seven days" are those of all time, where times are Unix seconds.
#
# 20 users bought an item 300 days ago, five bought another one today. Times are whole numbers of seconds.
# Expected: the new item alone, or an error: the documentation asks for the timestamp of an interaction and names no unit.
# Seen:     PopularModel(period=7 days): the old item with score 20, then the new one. The 300 days have become 0.026 seconds of
#           January 1st, 1970. With the same times as datetimes: the new item alone.
# Source:   rectools/dataset/interactions.py (convert_weight_and_datetime_types) casts the column to datetime64[ns], so a whole number
#           is one of nanoseconds; nothing checks that the result is a plausible date.
# Why:      seconds are what MovieLens, Amazon's reviews and most event tables have. Splits by days (TimeRangeSplitter) and trends
#           are all of them as wrong, and no figure shows it.
# Leaves with 0 while it is so, with 1 once it is not.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder"
"$folder/bin/pip" install --quiet --disable-pip-version-check rectools==0.19.0 numpy==1.26.4 pandas==2.3.3 scipy==1.17.1
OPENBLAS_NUM_THREADS=1 "$folder/bin/python" -W ignore - <<'PY'
import sys
from datetime import timedelta

import pandas as pd
from rectools.dataset import Dataset
from rectools.models import PopularModel

today, day = 1_700_000_000, 86_400
rows = [(user, "old", 1, today - 300 * day) for user in range(20)] + [(user, "new", 1, today - user) for user in range(5)]
seconds = pd.DataFrame(rows, columns=["user_id", "item_id", "weight", "datetime"])
dates = seconds.assign(datetime=pd.to_datetime(seconds["datetime"], unit="s"))
found = {}
for label, events in {"seconds": seconds, "dates": dates}.items():
    data = Dataset.construct(events)
    answer = PopularModel(period=timedelta(days=7)).fit(data).recommend([19], data, k=2, filter_viewed=False)
    found[label] = answer["item_id"].tolist()
    print(f"{label}: {found[label]}; the newest event is of {data.interactions.df['datetime'].max()}")
sys.exit(found != {"seconds": ["old", "new"], "dates": ["new"]})
PY
