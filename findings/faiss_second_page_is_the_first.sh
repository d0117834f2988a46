#!/usr/bin/env bash
# faiss-cpu 1.15.1: the second ten of IndexFlatIP's twenty best are the ten that it gave when asked for ten.
#
# Sixty items with the same vector, as new items of a category have that only know the category. The query is that vector.
# Expected: the ten best are the first ten of the twenty best; so it is with IndexFlatL2 on the same vectors, whose order is by id.
# Seen:     k=10: 9, 8, … 0     k=20: 19, 18, … 10, then 9, 8, … 0
# Source:   the documentation of IndexFlat and of search says nothing of equal distances; that two metrics of one class of index order
#           them in opposite ways is seen from its answers alone.
# Why:      a page is made by asking for more and leaving out what was shown. Page two repeats page one item by item, so does page
#           three, and 50 of 60 items are shown by no page. NDCG@10 of k=10 and of k=20 are figures of different lists.
# Leaves with 0 while it is so, with 1 once it is not.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder"
"$folder/bin/pip" install --quiet --disable-pip-version-check faiss-cpu==1.15.1 numpy==2.4.6
OPENBLAS_NUM_THREADS=1 "$folder/bin/python" -W ignore - <<'PY'
import sys

import faiss
import numpy as np

query = np.array([[0.6, 0.8]], np.float32)
found = {}
for index in (faiss.IndexFlatIP(2), faiss.IndexFlatL2(2)):
    index.add(np.repeat(query, 60, axis=0))
    ten, twenty = (index.search(query, k)[1][0].tolist() for k in (10, 20))
    found[type(index).__name__] = ten, twenty
    print(f"{type(index).__name__}: ten best {ten}, the second ten of twenty {twenty[10:]}")
ten, twenty = found["IndexFlatIP"]
steady, longer = found["IndexFlatL2"]
sys.exit(ten != twenty[10:] or steady != longer[:10])
PY
