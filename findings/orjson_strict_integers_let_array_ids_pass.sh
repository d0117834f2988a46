#!/usr/bin/env bash
# orjson 3.13.0 with NumPy 2.4.6: OPT_STRICT_INTEGER refuses the id 2**53 + 1 as an int, and writes it where it comes from an array.
#
# The option is there so that JavaScript, which reads whole numbers as doubles, never gets one that it cannot hold.
# Expected: TypeError for a NumPy integer and for an array of them, as for a Python int.
# Seen:     int: TypeError, Integer exceeds 53-bit range     np.int64: {"product_id":9007199254740993}     array: [9007199254740993]
#           JSON.parse of that text gives the product 9007199254740992.
# Source:   orjson's documentation of OPT_STRICT_INTEGER: "Enforce 53-bit limit on integers"; nothing there excepts NumPy's.
# Why:      a recommender's ids come out of arrays. Two products become one on the page, without an error on either side.
# Leaves with 0 while it is so, with 1 once it is not.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder"
"$folder/bin/pip" install --quiet --disable-pip-version-check orjson==3.13.0 numpy==2.4.6
"$folder/bin/python" - <<'PY'
import json
import sys

import numpy as np
import orjson

product = 2**53 + 1
strict = orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_STRICT_INTEGER
told = {}
for name, value in {"int": product, "np.int64": np.int64(product), "array": np.array([product])}.items():
    try:
        told[name] = orjson.dumps({"product_id": value}, option=strict).decode()
    except TypeError as error:
        told[name] = f"TypeError, {error}"
    print(f"{name}: {told[name]}")
in_javascript = json.loads(told["np.int64"], parse_int=float)["product_id"] if told["np.int64"].startswith("{") else None
print(f"as JavaScript reads it: {in_javascript}")
sys.exit(not (told["int"].startswith("TypeError") and in_javascript == product - 1 and str(product) in told["array"]))
PY
