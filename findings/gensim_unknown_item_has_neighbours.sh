#!/usr/bin/env bash
# gensim 4.4.0: Word2Vec over baskets knows an item that it has never learned, and answers with another item's neighbours.
#
# Baskets of whole item numbers; 25 items are bought often, item 7 once, which min_count=5 leaves out.
# Expected: item 7 is unknown: `7 in vectors` is False, vectors.most_similar(7) raises KeyError, as it does with item 31, and as it
#           does with texts.
# Seen:     `7 in vectors` is True, and vectors[7] is the vector of whatever item is eighth in the order of frequency; its neighbours
#           are offered as those of item 7, and the similarity of the two is 1.0
# Source:   gensim/models/keyedvectors.py (get_index): a key that is not found and is a whole number is taken for a position. The
#           documentation speaks of keys.
# Why:      "item2vec" on a shop's numeric ids: new and rare items with small ids get confident neighbours that have nothing to do
#           with them, and a check whether the item is known says yes. With ids as texts it does not happen.
# Leaves with 0 while it is so, with 1 once it is not.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder"
"$folder/bin/pip" install --quiet --disable-pip-version-check gensim==4.4.0 numpy==2.4.6 scipy==1.17.1
OPENBLAS_NUM_THREADS=1 "$folder/bin/python" -W ignore - <<'PY'
import random
import sys

from gensim.models import Word2Vec

rng = random.Random(0)
baskets = [[rng.randrange(0, 50, 2) for _ in range(5)] for _ in range(500)] + [[7, 9]]  # even items alone are bought often
vectors = Word2Vec(baskets, vector_size=8, min_count=5, workers=1, seed=1).wv
eighth = vectors.index_to_key[7]
same = vectors.most_similar(7, topn=3) == vectors.most_similar(eighth, topn=3)
print(f"learned: {sorted(vectors.index_to_key)}")
print(f"7 in vectors: {7 in vectors}; its neighbours are those of item {eighth}: {same}; similarity {float(vectors.similarity(7, eighth)):.2f}")
try:
    vectors.most_similar(31)
    unknown = False
except KeyError as error:
    unknown = True
    print(f"item 31: KeyError {error}")
named = Word2Vec([[str(item) for item in basket] for basket in baskets], vector_size=8, min_count=5, workers=1, seed=1).wv
print(f"'7' in vectors of texts: {'7' in named}")
sys.exit(not (7 in vectors and 7 not in vectors.key_to_index and same and unknown) or "7" in named)
PY
