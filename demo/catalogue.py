"""The demo shop's products: their names, prices and dates, and the hidden properties that users respond to."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count, islice, product

import numpy as np
from numpy.typing import NDArray

from demo.lines import BATCHES, BRANDS, BRANDS_OF_CATEGORY, CATEGORIES, EDITIONS, LINES, Line

N_STYLES = 4
DONG = 25_000  # a euro
SHARE_LAUNCHED_LATER = 0.3
SHARE_DISCOUNTED = 0.25
SHARE_ENDED = 0.06
SHARE_SOLD_OUT = 0.03


@dataclass(frozen=True)
class Product:
    """One product.

    Attributes:
        id: From 1.
        line: The product line.
        brand: A key of BRANDS.
        name: Unique in the shop.
        price: The list price in đồng, in whole thousands.
        discount: The reduced price, or None.
        launched: Day of its launch; 0 is the first simulated day, negative is before.
        ended: First day on which it is no longer sold, or None.
    """

    id: int
    line: Line
    brand: str
    name: str
    price: float
    discount: float | None
    launched: int
    ended: int | None


@dataclass(frozen=True)
class Catalogue:
    """Products with the hidden properties that users respond to.

    Attributes:
        products: `n` products; product `k` has id `k + 1`.
        lines: `(n,)` positions in LINES.
        brands: `(n,)` positions in BRANDS.
        styles: `(n, N_STYLES)` coordinates of a product's looks; unit variance.
        quality: `(n,)` 0 to 1.
        popularity: `(n,)` log-popularity, by which a few products are far above the rest.
        expensiveness: `(n,)` 0 (cheapest of its line) to 1.
        launched: `(n,)` days of launch.
        ended: `(n,)` days of the end of sale; a large number for products that are still sold.
    """

    products: tuple[Product, ...]
    lines: NDArray[np.int64]
    brands: NDArray[np.int64]
    styles: NDArray[np.float64]
    quality: NDArray[np.float64]
    popularity: NDArray[np.float64]
    expensiveness: NDArray[np.float64]
    launched: NDArray[np.int64]
    ended: NDArray[np.int64]


def make_catalogue(rng: np.random.Generator, n_products: int, days: int) -> Catalogue:
    """Return a catalogue, with products spread evenly over the categories.

    Args:
        rng: The random generator.
        n_products: Number of products.
        days: Length of the simulated period, which contains the later launches and the ends of sale.
    """
    named = list(islice(_names(), n_products))
    rank = np.array([name.rank for name in named])
    expensiveness = np.clip(0.1 + 0.75 * rank + rng.normal(0, 0.07, n_products), 0, 1)
    launched, ended = _life_spans(rng, n_products, days)
    discounted = rng.random(n_products) < SHARE_DISCOUNTED
    reductions = rng.choice([0.05, 0.1, 0.15, 0.2, 0.3, 0.4], n_products)
    products = []
    for position, name in enumerate(named):
        low, high = name.line.price
        price = _tidy(low * (high / low) ** expensiveness[position])
        discount = _tidy(price * (1 - reductions[position])) if discounted[position] else None
        end = int(ended[position]) if ended[position] < _NEVER else None
        products.append(
            Product(
                id=position + 1,
                line=name.line,
                brand=name.brand,
                name=name.text,
                price=_dong(price),
                discount=None if discount is None else _dong(discount),
                launched=int(launched[position]),
                ended=end,
            )
        )
    brand_keys = list(BRANDS)
    return Catalogue(
        products=tuple(products),
        lines=np.array([LINES.index(name.line) for name in named]),
        brands=np.array([brand_keys.index(name.brand) for name in named]),
        styles=rng.normal(size=(n_products, N_STYLES)),
        quality=rng.beta(5, 2, n_products),
        popularity=0.9 * rng.gumbel(size=n_products),
        expensiveness=expensiveness,
        launched=launched,
        ended=ended,
    )


_NEVER = 10**6


def _life_spans(rng: np.random.Generator, n: int, days: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return launch days and end days; most products are sold during the whole simulated period."""
    later = rng.random(n) < SHARE_LAUNCHED_LATER
    launched = np.where(later, rng.integers(0, max(1, int(days * 0.92)), n), -rng.integers(30, 900, n))
    chance = rng.random(n)
    ends = np.where(
        chance < SHARE_ENDED,
        rng.integers(days // 3, max(days // 3 + 1, days), n),
        rng.integers(max(0, days - 21), days + 1, n),
    )
    has_end = (chance < SHARE_ENDED + SHARE_SOLD_OUT) & ~later
    return launched, np.where(has_end, ends, _NEVER)


@dataclass(frozen=True)
class _Name:
    line: Line
    brand: str
    text: str
    rank: float  # 0 for the cheapest model of the line, 1 for the most expensive


def _names() -> Iterator[_Name]:
    """Yield names without end, from each category in turn, and within it from each line in turn."""
    queues = {category: _names_of(category) for category in CATEGORIES}
    while True:
        for queue in queues.values():
            yield next(queue)


def _names_of(category: str) -> Iterator[_Name]:
    queues = [_names_in(line) for line in LINES if line.category == category]
    while True:
        for queue in queues:
            yield next(queue)


def _names_in(line: Line) -> Iterator[_Name]:
    """Yield a line's names without end: all models under one brand each, then under the others, then in editions."""
    brands = BRANDS_OF_CATEGORY[line.category]
    editions = BATCHES if line.days else EDITIONS
    for generation in count(1):
        for edition, turn, (position, model) in product(editions, range(len(brands)), enumerate(line.models)):
            brand = brands[(position + turn) % len(brands)]
            parts = [f"{BRANDS[brand]} {model} {line.noun}", edition, f"Mark {generation}" if generation > 1 else ""]
            yield _Name(line, brand, ", ".join(part for part in parts if part), position / (len(line.models) - 1))


def _tidy(price: float) -> float:
    """Round a price in euros as a shop would.

    >>> _tidy(12.34), _tidy(234.56)
    (12.35, 235.0)
    """
    return float(round(price)) if price >= 100 else round(round(price * 20) / 20, 2)


def _dong(euros: float) -> float:
    """Return a price in đồng, in whole thousands.

    >>> _dong(12.35)
    309000.0
    """
    return 1000.0 * round(euros * DONG / 1000)
