#!/usr/bin/env bash
# mabwiser 2.7.4: of two arms that always earn the same, the one that came in the last batch is chosen 26 times as often.
#
# Popularity() with two arms; each earns exactly 10 each time. First batch: ten times A and ten times B. Second batch, partial_fit: A only.
# Expected: one half each: P(arm) is documented as its mean reward divided by the sum of all means, and both means are 10.
# Seen:     reward 10: A 0.952, B 0.048     reward 1: A 0.667     reward 0.1: A 0.167. fit on all three batches at once: 0.5 for each.
#           2,000 predictions with reward 10: A 1,926 times, B 74 times
# Source:   the docstring of LearningPolicy.Popularity. mabwiser/popularity.py makes shares of the means in place; the next partial_fit puts
#           the mean of an arm in the batch beside the shares of those that are not in it, and makes shares of the mixture.
# Why:      batches in which an arm does not occur are the rule with many items. With revenue as the reward the arms of the last batch take
#           over, with click rates they are punished, and learning in one go does not show it.
# Leaves with 0 while it is so, with 1 once it is not.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder"
"$folder/bin/pip" install --quiet --disable-pip-version-check numpy==2.4.6 pandas==3.1.1 scipy==1.17.1 scikit-learn==1.9.1
"$folder/bin/pip" install --quiet --disable-pip-version-check --no-deps mabwiser==2.7.4
OPENBLAS_NUM_THREADS=1 "$folder/bin/python" -W ignore - <<'PY'
import sys

from mabwiser.mab import MAB, LearningPolicy

both, only = ["A", "B"] * 10, ["A"] * 10
found = {}
for reward in (10, 1, 0.1):
    batches, once = (MAB(["A", "B"], LearningPolicy.Popularity(), seed=1) for _ in range(2))
    batches.fit(both, [reward] * 20)
    batches.partial_fit(only, [reward] * 10)
    once.fit(both + only, [reward] * 30)
    found[reward] = [round(sum(bandit.predict() == "A" for _ in range(2000)) / 2000, 2) for bandit in (batches, once)]
    print(f"reward {reward}: A is chosen with probability {found[reward][0]} after two batches, {found[reward][1]} after one")
sys.exit(not (found[10][0] > 0.9 and found[1][0] > 0.6 and found[0.1][0] < 0.25 and all(abs(once - 0.5) < 0.05 for _, once in found.values())))
PY
