#!/usr/bin/env bash
# scikit-surprise 1.1.5: a known user, asked for by the text of their id, gets the mean of all ratings, and no warning.
#
# Twenty users with whole numbers as ids; those with even ids give 5 stars, the others 1.
# Expected: predict("2", 3) answers as predict(2, 3), or says by `was_impossible` that user and item are unknown.
# Seen:     predict("2", "3") is 3.0, the mean; `was_impossible` is False, also for a user that was never there
# Source:   surprise/prediction_algorithms/matrix_factorization.pyx (SVD.estimate): a biased model takes zeros for what it does not know.
# Why:      a web framework gives ids as texts. Every user then gets the same stars for everything, and errors measured by
#           `test` on ratings of the right type do not show it.
# Leaves with 0 while it is so, with 1 once it is not.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder"
"$folder/bin/pip" install --quiet --disable-pip-version-check scikit-surprise==1.1.5 numpy==2.4.6 scipy==1.17.1 pandas==3.1.1
OPENBLAS_NUM_THREADS=1 "$folder/bin/python" -W ignore - <<'PY'
import sys

import pandas
from surprise import SVD, Dataset, Reader

rows = [(user, item, 5 if user % 2 == 0 else 1) for user in range(20) for item in range(8)]
table = pandas.DataFrame(rows, columns=["user", "item", "stars"])
model = SVD(random_state=1).fit(Dataset.load_from_df(table, Reader(rating_scale=(1, 5))).build_full_trainset())
by_number, by_text, nobody = model.predict(2, 3), model.predict("2", "3"), model.predict(999, 3)
print(f"user 2: {by_number.est:.2f}; user '2': {by_text.est:.2f}, was_impossible {by_text.details['was_impossible']}")
print(f"user 999, who is unknown: {nobody.est:.2f}, was_impossible {nobody.details['was_impossible']}")
is_so = by_number.est > 4 and by_text.est == 3.0 and not by_text.details["was_impossible"]
sys.exit(not (is_so and not nobody.details["was_impossible"]))
PY
