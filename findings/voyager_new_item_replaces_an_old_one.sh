#!/usr/bin/env bash
# voyager 2.2.3: an item that is added without an id replaces an item of another id, and the index does not grow.
#
# Five items come with the shop's ids 10, 1, 0, 2 and 11. A sixth is added without an id.
# Expected: a free id, 5: the documentation says that the id is made from the number of elements that the index has.
# Seen:     add_item answers 0, and get_vector(0) is the new vector; the index has five elements still. Two more replace 1 and 2.
#           Saved and loaded before the addition, the same index answers 5 and has six elements.
# Source:   the docstrings of voyager.Index.add_item and add_items (the argument `id`). What is seen is a counter of the ids that were
#           made, which starts at 0 in a new index and at the number of elements in a loaded one.
# Why:      an item of the shop is gone, and whoever looks for its neighbours gets those of another item. No error, and the id that
#           comes back is a valid one. Whether it happens is decided by whether the index was loaded from a file.
# Leaves with 0 while it is so, with 1 once it is not.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder"
"$folder/bin/pip" install --quiet --disable-pip-version-check voyager==2.2.3 numpy==2.4.6
cd "$folder"
bin/python - <<'PY'
import sys

import numpy as np
from voyager import Index, Space

vectors = np.array([[10, 10], [1, 1], [0, 0], [2, 2], [11, 11]], np.float32)
new = np.array([5, 5], np.float32)
built = Index(Space.Euclidean, num_dimensions=2)
built.add_items(vectors, ids=[10, 1, 0, 2, 11])
built.save("items.voy")
found = {}
for label, index in {"built": built, "loaded": Index.load("items.voy")}.items():
    given = index.add_item(new)
    found[label] = (given, index.num_elements, index.get_vector(0).tolist())
    print(f"{label}: the new item is {given}; {index.num_elements} items; the vector of item 0 is {found[label][2]}")
sys.exit(found != {"built": (0, 5, [5.0, 5.0]), "loaded": (5, 6, [0.0, 0.0])})
PY
