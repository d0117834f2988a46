#!/usr/bin/env bash
# vectra 0.15.0 (npm): one item with a vector of zeros moves other items to wrong places, and is itself among the best.
#
# Five items; "cold" has no interactions and so the vector (0, 0). The query is (1, 0), item b is the same, d is near it, c is at a right
# angle.
# Expected: b, d, a, c, and cold last or left out; two asked for: b and d
# Seen:     five asked for: a 0.74, cold NaN, b 1, d 0.995, c 0. Two asked for: b and cold.
# Source:   vectra's ItemSelector.normalizedCosineSimilarity says NaN where a length is 0; LocalIndex.queryItems keeps the best k in a
#           heap and sorts them by the difference of their scores. No comparison with NaN is true, so the order is no order.
#           insertItem takes such a vector without a word, and the documentation names no exception.
# Why:      an item that nobody bought has zeros in a model of counts or of TF-IDF. The stranger comes before the best match for
#           everyone, and takes others out of their places, for as long as there is one such item in the catalogue.
# Leaves with 0 while it is so, with 1 once it is not.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm install --silent --no-audit --no-fund --ignore-scripts vectra@0.15.0 >/dev/null
cat >find.mjs <<'JS'
import { LocalIndex } from 'vectra';

const index = new LocalIndex('index');
await index.createIndex();
const vectors = { a: [1, 0.9], cold: [0, 0], b: [1, 0], c: [0, 1], d: [1, 0.1] };
for (const [id, vector] of Object.entries(vectors)) await index.insertItem({ id, vector });
const found = {};
for (const k of [5, 2]) {
  const answer = await index.queryItems([1, 0], '', k);
  found[k] = answer.map(({ item }) => item.id);
  console.log(`${k} asked for:`, answer.map(({ item, score }) => `${item.id} ${score.toFixed(3)}`).join(', '));
}
process.exit(found[2].includes('cold') && found[5].indexOf('a') < found[5].indexOf('b') ? 0 : 1);
JS
node find.mjs
