#!/usr/bin/env bash
# ir-measures 0.4.3 with pytrec-eval-terrier 0.5.11: a perfect list has RR@10 1.0, and RR 0.111 in the same call.
#
# Nine items, scored by the Unix second of their arrival: newest first. All scores differ, the newest is the relevant one, rank 1 of 9.
# Expected: RR, RR@10 and nDCG@10 1.0. A list of nine is not shortened by a cut at ten.
# Seen:     RR@10 1.0, RR 0.111, nDCG@10 0.301
#           With the seconds counted from that day's midnight, the same order: 1.0 each.
# Source:   pytrec_eval hands the scores to trec_eval, which keeps them as 32-bit floats: today's seconds are equal there within about
#           two minutes, and equal scores are ordered by descending item id. RR@10 goes to another provider of ir_measures (its own
#           providers/msmarco_provider.py), which sorts the full numbers.
# Why:      any score of more than seven digits does it: times, revenue in cents, popularity times a large factor. Baselines such as
#           "the newest" get the figures of an order by id, and only some columns of the table show it.
# Leaves with 0 while it is so, with 1 once it is not.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder"
"$folder/bin/pip" install --quiet --disable-pip-version-check ir-measures==0.4.3 pytrec-eval-terrier==0.5.11 numpy==2.4.6 scipy==1.17.1
"$folder/bin/python" -W ignore - <<'PY'
import sys

from ir_measures import RR, calc_aggregate, nDCG

midnight, found = 1_699_920_000, {}
for label, zero in {"Unix seconds": 0, "seconds of the day": midnight}.items():
    newest_first = {"user": {f"item {n}": float(midnight + 60_000 - n - zero) for n in range(1, 10)}}
    figures = calc_aggregate([RR, RR @ 10, nDCG @ 10], {"user": {"item 1": 1}}, newest_first)
    found[label] = {str(metric): round(figure, 3) for metric, figure in sorted(figures.items(), key=str)}
    print(f"{label}: {found[label]}")
sys.exit(found["Unix seconds"] != {"RR": 0.111, "RR@10": 1.0, "nDCG@10": 0.301} or set(found["seconds of the day"].values()) != {1.0})
PY
