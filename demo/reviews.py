"""Reviews that some users write after a purchase, with stars that follow taste, price and quality."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from demo.catalogue import Catalogue
from demo.sessions import DAY, PURCHASE, Event
from demo.tastes import Tastes

SHARE_REVIEWED = 0.24
TEXTS = {
    5: (
        "Exactly what I hoped for.",
        "Could not be happier with it.",
        "Better than I expected, and it looks lovely.",
        "I would buy it again at once.",
    ),
    4: (
        "Very good, with one small thing to complain about.",
        "Does its job well.",
        "Solid, and worth its price.",
        "I like it a lot.",
    ),
    3: (
        "It is all right.",
        "Neither good nor bad.",
        "Fine, but I had hoped for a little more.",
        "Average for the price.",
    ),
    2: ("Not quite for me.", "It looked better in the picture.", "Too expensive for what it is."),
    1: ("I sent it back.", "A disappointment.", "It did not last a week."),
}


@dataclass(frozen=True)
class Review:
    """One user's review of one product: 1 to 5 stars, a sentence, and its time in seconds since the first day."""

    second: int
    user: int
    item: int
    stars: int
    text: str


def make_reviews(
    rng: np.random.Generator, catalogue: Catalogue, tastes: Tastes, events: Sequence[Event], days: int
) -> list[Review]:
    """Return reviews of purchases, ordered by time; at most one for each user and product."""
    first_purchases = {(event.user, event.item): event.second for event in reversed(events) if event.action == PURCHASE}
    reviews = []
    for (user, item), bought in sorted(first_purchases.items()):
        second = bought + int(rng.uniform(2, 21) * DAY)
        if rng.random() > SHARE_REVIEWED or second >= days * DAY:
            continue
        stars = _stars(rng, catalogue, tastes, user, item)
        reviews.append(Review(second, user, item, stars, TEXTS[stars][rng.integers(len(TEXTS[stars]))]))
    return sorted(reviews, key=lambda review: (review.second, review.user, review.item))


def _stars(rng: np.random.Generator, catalogue: Catalogue, tastes: Tastes, user: int, item: int) -> int:
    style = catalogue.styles[item] @ tastes.styles[user] / 2
    excess_price = max(0.0, catalogue.expensiveness[item] - tastes.budget[user])
    pleasure = 2.3 + 1.9 * catalogue.quality[item] + 0.6 * style - 1.5 * excess_price + rng.normal(0, 0.8)
    return int(np.clip(round(pleasure), 1, 5))
