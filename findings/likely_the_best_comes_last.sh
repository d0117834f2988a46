#!/usr/bin/env bash
# likely 0.2.0 (npm): recommendations come in the order of the catalogue, with the best item anywhere, in Node 20.
#
# Eight customers; each has rated six or seven of nine items. All agree that items with higher numbers are better: 1 to 5 stars.
# Expected: the best first: recommendations(row) and rankAllItems(row) are documented as sorted by value.
# Seen:     for a customer without items 0, 4 and 8: 0 with 1 star, 4 with 3, 8 with 5, about; all nine items of rankAllItems are 0, 1, … 8
# Source:   the comments of likely.js; README.md calls the answer sorted. Its comparison is `a[1] < b[1]`, which is true or false, and never
#           less than 0: the sort of today's Node takes that as "in order already" for any two neighbours.
# Why:      whoever shows the first few shows the first of the catalogue, the same for all customers, with believable scores beside them.
# Leaves with 0 while it is so, with 1 once it is not.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm install --silent --no-audit --no-fund --ignore-scripts likely@0.2.0 >/dev/null
cat >rank.cjs <<'JS'
const likely = require('likely');

const stars = (customer, item) => ((item + customer) % 4 === 0 ? 0 : 1 + item / 2); // 0 is "not rated"
const ratings = [...Array(8).keys()].map((customer) => [...Array(9).keys()].map((item) => stars(customer, item)));
const model = likely.buildModel(ratings);
const wanted = model.recommendations(0);
const all = model.rankAllItems(0).map(([item]) => item);
console.log('customer 0 has not rated:', wanted.map(([item, value]) => `item ${item} with ${value.toFixed(1)} stars`).join(', '));
console.log('all items, best first:', all.join(' '));
const [first, , last] = wanted;
process.exit(first[0] === 0 && last[0] === 8 && last[1] > first[1] + 2 && all.join() === '0,1,2,3,4,5,6,7,8' ? 0 : 1);
JS
node rank.cjs
