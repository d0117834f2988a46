#!/usr/bin/env bash
# cornac 3.0.1: RatioSplit(test_size=0, val_size=0.2) tests on everything, training rows included, and has no validation set.
#
# Twenty ratings. Whoever tunes first and tests later asks for a validation set alone.
# Expected: 16 ratings for training, 4 for validation, none or an error for the test.
# Seen:     training 16, validation None, test 20: the 16 training ratings and the 4 that were meant for validation
# Source:   cornac.eval_methods.RatioSplit._split takes the last `test_size` rows as [-test_size:], and [-0:] is the whole list;
#           its check of sizes lets 0 pass, and its documentation names no lower bound.
# Why:      a model that learns its training rows by heart wins, and the figure is printed as that of a test set.
# Leaves with 0 while it is so, with 1 once it is not.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder"
"$folder/bin/pip" install --quiet --disable-pip-version-check cornac==3.0.1 numpy==2.4.6 scipy==1.17.1
"$folder/bin/python" -W ignore - <<'PY'
import sys

from cornac.eval_methods import RatioSplit


def pairs(part):
    """Return the (user, item) pairs of a part by number."""
    return {(int(user), int(item)) for user, item in zip(*part.uir_tuple[:2])}


ratings = [(f"user {n % 5}", f"item {n}", 1.0) for n in range(20)]
split = RatioSplit(ratings, test_size=0.0, val_size=0.2, seed=1, exclude_unknowns=False)
train, test = pairs(split.train_set), pairs(split.test_set)
print(f"training {len(train)}, validation {split.val_set}, test {len(test)}, of which {len(train & test)} were trained on")
sys.exit((len(train), len(test), len(train & test)) != (16, 20, 16) or split.val_set is not None)
PY
