#!/usr/bin/env bash
# content-based-recommender 1.5.0 (npm): a coffee mill gets an article on bread, where articles and products are both numbered from 1.
#
# Three products and three articles, each collection numbered 1 to 3, trained with trainBidirectional(products, articles).
# Expected: product 1, a coffee mill, gets article 2, on coffee: the documentation promises recommendations between two collections.
# Seen:     product 1: article 2, and with it 3, which is the product that fits article 1 (tea); article 3 is on bread
#           With ids "p1" to "a3", product 1 gets article 2 alone.
# Source:   trainBidirectional in README.md asks for a field id in both collections, and does not say that ids have to differ between them.
#           lib/ContentBasedRecommender.js keeps one list per id for both: neighbours of product 1 and of article 1 are one list.
# Why:      products and articles come from two tables, and each table counts from 1. The answer has ids and scores alone, so that nothing
#           tells a product of the list from an article with its number.
# Leaves with 0 while it is so, with 1 once it is not.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm install --silent --no-audit --no-fund --ignore-scripts content-based-recommender@1.5.0 >/dev/null
cat >find.cjs <<'JS'
const ContentBasedRecommender = require('content-based-recommender');

const products = ['coffee mill', 'garden hose', 'tea pot'];
const articles = ['tea ceremony', 'coffee roasting', 'sourdough bread'];
const found = {};
for (const [label, product, article] of [['numbers', '', ''], ['letters', 'p', 'a']]) {
  const recommender = new ContentBasedRecommender();
  const table = (names, prefix) => names.map((content, n) => ({ id: `${prefix}${n + 1}`, content }));
  recommender.trainBidirectional(table(products, product), table(articles, article));
  found[label] = recommender.getSimilarDocuments(`${product}1`).map(({ id }) => id);
  console.log(`ids with ${label}: product 1 (${products[0]}) gets article`, found[label].join(' and article '));
}
console.log('article 3:', articles[2]);
process.exit(found.numbers.sort().join() === '2,3' && found.letters.join() === 'a2' ? 0 : 1);
JS
node find.cjs
