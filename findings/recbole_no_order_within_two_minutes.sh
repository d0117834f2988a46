#!/usr/bin/env bash
# recbole 1.2.1: "leave the last one out" tests on the first interaction of a visit and trains on the last.
#
# Two users, four items each, ten seconds apart; the file has the newest row first. Evaluation: order TO (by time), split LS
# valid_and_test, the settings that its documentation gives for sequential models.
# Expected: i4, the newest, is the test, i3 the validation, i1 and i2 are trained on.
# Seen:     test i1, validation i2, training i4 and i3. All eight times have become 1700000000.0.
# Source:   recbole/data/dataset/dataset.py: _dataframe_to_interaction makes a 32-bit FloatTensor of every float field, and build()
#           sorts afterwards. Unix seconds of today are 128 apart there, and milliseconds as far; what is closer keeps the order of
#           the file. Reported to its repository (1653, 2204); 1.2.1 is the newest release.
# Why:      a shop's visit is a few clicks within two minutes. The model sees the purchase and is asked for the view before it. Files
#           sorted by time hide it, files sorted by product or newest first do not.
# Leaves with 0 while it is so, with 1 once it is not.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder"
"$folder/bin/pip" install --quiet --disable-pip-version-check recbole==1.2.1 torch==2.13.0 numpy==1.26.4 pandas==2.2.3 scipy==1.12.0
cd "$folder"
OPENBLAS_NUM_THREADS=1 "$folder/bin/python" -W ignore - 2>/dev/null <<'PY'
import sys
from pathlib import Path

from recbole.config import Config
from recbole.data import create_dataset

start = 1_700_000_000
rows = [(user, f"i{n}", start + 10 * n) for user in ("u1", "u2") for n in (4, 3, 2, 1)]
Path("shop").mkdir()
lines = ["user_id:token\titem_id:token\ttimestamp:float", *("\t".join(map(str, row)) for row in rows)]
Path("shop/shop.inter").write_text("\n".join(lines) + "\n")
settings = {
    "data_path": ".",
    "load_col": {"inter": ["user_id", "item_id", "timestamp"]},
    "eval_args": {"split": {"LS": "valid_and_test"}, "group_by": "user", "order": "TO", "mode": "full"},
    "use_gpu": False,
}
data = create_dataset(Config(model="Pop", dataset="shop", config_dict=settings))
found = {}
for part, split in zip(("training", "validation", "test"), data.build()):
    items = data.id2token("item_id", split.inter_feat["item_id"].numpy())
    found[part] = sorted(set(items.tolist()))
    print(f"{part}: {found[part]}, times {sorted(set(split.inter_feat['timestamp'].tolist()))}")
sys.exit(found != {"training": ["i3", "i4"], "validation": ["i2"], "test": ["i1"]})
PY
