"""The fit of content: the descriptions of items as TF-IDF weights, and how alike they are."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys.data.interactions import Catalogue
from recsys.features.content import Content
from recsys.features.query import Arrays, Floats, Indices
from recsys.scorers.registry import COLLABORATIVE
from recsys.training.closed_form.co_occurrence import co_occurrences, stack_rows

MAX_TERMS = 50_000  # of a catalogue; the most frequent ones stay
MIN_ITEMS = 2  # a term of one item alone makes it like no other
PRICE_BANDS = 5  # with about equally many items
MOST_ALIKE = 100  # weights stored for each item
_WORD = re.compile(r"\w\w+")
_TAGS = re.compile(r"[,;|\n]")


def content(catalogue: Catalogue, items: NDArray) -> Content:
    """Fit TF-IDF weights to the names, categories, brands, tags and price bands of some items.

    Args:
        catalogue: The shop's products.
        items: `(n,)` the shop's ids of the items; one that is no product has no description.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer  # a second to import

    rows = catalogue.rows_of(items)
    documents = list(_documents(catalogue, rows))
    counts: dict[str, int] = {}
    for document in documents:
        for term in set(document):
            counts[term] = counts.get(term, 0) + 1
    if max(counts.values(), default=0) < MIN_ITEMS:
        return Content.nothing(len(items))
    vectorizer = TfidfVectorizer(
        analyzer=lambda document: document,
        min_df=MIN_ITEMS,
        max_features=MAX_TERMS,
        sublinear_tf=True,
        dtype=np.float32,
    )
    matrix = vectorizer.fit_transform(documents)
    matrix.sort_indices()
    return Content(matrix.indptr.astype(np.int64), matrix.indices.astype(np.int32), matrix.data)


def similarities(described: Content) -> Arrays:
    """Return the arrays of `Neighbours` with the cosine of the descriptions of two items, for the feature `content`.

    An item is not like itself. At most 100 weights of a row are stored, the largest ones; of more that are equal, some.
    20,000 items with a name, a category, a brand and a price take about 7 seconds.

    Args:
        described: The descriptions of the items.

    Returns:
        `starts` `(n_items + 1,)` int64, `neighbours` `(k,)` int32, `similarities` `(k,)` float32 above 0.
    """
    from scipy import sparse  # fitting only: serving never pays for it

    shape = described.n_items, int(described.terms.max(initial=-1)) + 1
    rows = sparse.csr_matrix((described.values, described.terms, described.starts), shape=shape)
    return stack_rows(_most_alike(first, block) for first, block in co_occurrences(rows.T.tocsr()))


def _most_alike(first: int, block: Any) -> tuple[NDArray[np.int64], Indices, Floats]:
    """Return the largest cosines with other items in the form of `stack_rows`.

    Args:
        first: The item of the first row.
        block: `(k, n_items)` cosines in CSR form.
    """
    columns, cosines = [np.zeros(0, np.int32)], [np.zeros(0, np.float32)]
    for item, (start, end) in enumerate(pairwise(block.indptr.tolist()), first):
        others = np.flatnonzero(block.indices[start:end] != item) + start
        if len(others) > MOST_ALIKE:  # before sorting: a row of thousands is cut ten times faster than it is sorted
            others = others[np.argpartition(-block.data[others], MOST_ALIKE)[:MOST_ALIKE]]
        others = others[np.argsort(block.indices[others])]
        columns.append(block.indices[others].astype(np.int32))
        cosines.append(block.data[others].astype(np.float32))
    lengths = np.array([len(row) for row in columns[1:]], np.int64)
    return lengths, np.concatenate(columns), np.concatenate(cosines)


def hybrid(
    baselines: Mapping[str, Arrays], described: Content | None, content_weight: float, collaborative: str
) -> Arrays:
    """Return the arrays of the scorer `hybrid`.

    Args:
        baselines: The arrays of `ease` and `item_cf`.
        described: The descriptions of the items; None where nothing is known of them.
        content_weight: The share of content, 0 to 1.
        collaborative: The name of the collaborative side, one of `COLLABORATIVE`.
    """
    side = baselines[collaborative]
    is_ease = collaborative == COLLABORATIVE[0]  # whose weights the features hold already
    held = {"tie_break": side["tie_break"]} if is_ease else side
    known = Content.nothing(len(side["tie_break"])) if described is None else described
    return {**held, **known.arrays, "weights": np.array([content_weight, 1 - content_weight], np.float32)}


def _documents(catalogue: Catalogue, rows: NDArray[np.int64]) -> Iterator[list[str]]:
    """Yield the terms of each item; the kind of a term is part of it, so that a brand is no word of a name."""
    bands = _price_bands(catalogue.prices, rows)
    nothing = np.full(len(catalogue), None, object)
    names = nothing if catalogue.names is None else catalogue.names
    tags = nothing if catalogue.tags is None else catalogue.tags
    for row, band in zip(rows.tolist(), bands, strict=True):
        if row == len(catalogue):
            yield []
            continue
        labels = {"category": catalogue.categories[row], "brand": catalogue.brands[row]}
        yield [
            *(f"name:{word}" for word in _WORD.findall((names[row] or "").casefold())),
            *(f"{kind}:{label.strip().casefold()}" for kind, label in labels.items() if label),
            *(f"tag:{tag.strip().casefold()}" for tag in _TAGS.split(tags[row] or "") if tag.strip()),
            *([] if band < 0 else [f"price:{band}"]),
        ]


def _price_bands(prices: NDArray[np.float64], rows: NDArray[np.int64]) -> list[int]:
    """Return the band of each item's price, from 0; -1 where the price is unknown."""
    known = np.append(prices, np.nan)[rows]
    finite = known[np.isfinite(known)]
    if not len(finite):
        return [-1] * len(rows)
    limits = np.unique(np.quantile(finite, np.linspace(0, 1, PRICE_BANDS + 1)[1:-1]))
    bands = np.where(np.isfinite(known), np.searchsorted(limits, known, side="right"), -1)
    return [int(band) for band in bands]
