"""The demo shop as rows of the default schema; the same options give the same rows for every database."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from html import escape
from typing import Any

import numpy as np

from demo.catalogue import Catalogue, Product, make_catalogue
from demo.lines import BRANDS, CATEGORIES
from demo.people import ADMIN_EMAIL, Person, administrator, make_people, password_hashes
from demo.pictures import picture
from demo.reviews import Review, make_reviews
from demo.sessions import ACTIONS, DAY, VIEW, Event, make_events
from demo.tastes import make_tastes
from recsys.store.writes import BASE_CODES

Rows = list[dict[str, Any]]

PRAISE = {
    "cameras": "Made for pictures that are worth keeping.",
    "lenses": "The part of the picture that you never see.",
    "audio": "Sound that leaves room for the music.",
    "coffee": "Packed in small batches, shipped within the week.",
    "kitchen": "A quiet helper for every morning.",
    "running": "Light, and made to last until the last kilometre.",
    "outdoor": "Tested where the path ends.",
    "winter": "Warm when the weather is not.",
    "skincare": "Gentle ingredients, and few of them.",
    "stationery": "For everyone who still thinks with a pen.",
}


@dataclass(frozen=True)
class Options:
    """Options of the demo shop.

    Attributes:
        users: Number of users.
        products: Number of products.
        days: Length of the simulated period.
        until: The day after the last simulated one.
        seed: Seed of all random generators.
    """

    users: int
    products: int
    days: int
    until: date
    seed: int


def make_shop(options: Options) -> dict[str, Rows]:
    """Return the shop's rows by table, in the order of writing."""
    start = options.until - timedelta(days=options.days)
    catalogue = make_catalogue(_rng(options, 1), options.products, options.days)
    tastes = make_tastes(_rng(options, 2), options.users, options.days)
    people = (*make_people(_rng(options, 3), options.users), administrator(options.users + 1))
    events = make_events(_rng(options, 4), catalogue, tastes, start, options.days)
    reviews = make_reviews(_rng(options, 5), catalogue, tastes, events, options.days)
    clock = _Clock(start)
    return {
        "Allcodes": _codes(),
        "Users": _users(people, (*tastes.joined, 0), list(password_hashes(_rng(options, 6), len(people))), clock),
        "Products": _products(catalogue, events, clock),
        "Productdetails": _details(catalogue, _rng(options, 7), clock),
        "Productimages": [
            {
                "id": product.id,
                "productId": product.id,
                "image": picture(product),
                **clock.stamps(product.launched * DAY),
            }
            for product in catalogue.products
        ],
        "Interactions": _interactions(events, clock),
        "Comments": _comments(reviews, clock),
    }


def _rng(options: Options, part: int) -> np.random.Generator:
    """Return the generator of one part of the shop, so that a change in one part leaves the others unchanged."""
    return np.random.default_rng([options.seed, part])


class _Clock:
    def __init__(self, start: date) -> None:
        self._start = datetime(start.year, start.month, start.day, tzinfo=UTC)

    def text(self, second: int) -> str:
        """Return a moment in UTC as the tables hold it."""
        return f"{self._start + timedelta(seconds=second):%Y-%m-%d %H:%M:%S}"

    def stamps(self, second: int) -> dict[str, str]:
        return {"createdAt": self.text(second), "updatedAt": self.text(second)}


def _codes() -> Rows:
    categories = [("CATEGORY", code, name) for code, name in CATEGORIES.items()]
    brands = [("BRAND", code, name) for code, name in BRANDS.items()]
    return [
        {"id": k, "type": kind, "code": code, "value": value}
        for k, (kind, code, value) in enumerate((*BASE_CODES, *categories, *brands), 1)
    ]


def _users(people: Sequence[Person], joined: Sequence[int], passwords: Sequence[str], clock: _Clock) -> Rows:
    return [
        {
            "id": person.id,
            "email": person.email,
            "password": password,
            "firstName": person.first_name,
            "lastName": person.last_name,
            "address": person.address,
            "genderId": person.gender,
            "roleId": "R1" if person.email == ADMIN_EMAIL else "R2",
            "statusId": "S1",
            **clock.stamps(int(day) * DAY),
        }
        for person, password, day in zip(people, passwords, joined, strict=True)
    ]


def _products(catalogue: Catalogue, events: Sequence[Event], clock: _Clock) -> Rows:
    views = Counter(event.item for event in events if event.action == VIEW)
    return [
        {
            "id": product.id,
            "name": product.name,
            "contentHTML": f"<p>{escape(_praise(product))}</p>",
            "contentMarkdown": _praise(product),
            "statusId": "S1" if product.ended is None else "S2",
            "categoryId": product.line.category,
            "brandId": product.brand,
            "view": views[position],
            "madeby": BRANDS[product.brand],
            **clock.stamps(product.launched * DAY),
        }
        for position, product in enumerate(catalogue.products)
    ]


def _praise(product: Product) -> str:
    return f"{product.name}. {PRAISE[product.line.category]}"


def _details(catalogue: Catalogue, rng: np.random.Generator, clock: _Clock) -> Rows:
    stocks = rng.integers(3, 250, len(catalogue.products))
    return [
        {
            "id": product.id,
            "productId": product.id,
            "nameDetail": product.name,
            "description": PRAISE[product.line.category],
            "originalPrice": product.price,
            "discountPrice": product.discount,
            "stock": 0 if product.ended is not None else int(stock),
            **clock.stamps(product.launched * DAY),
        }
        for product, stock in zip(catalogue.products, stocks, strict=True)
    ]


def _interactions(events: Sequence[Event], clock: _Clock) -> Rows:
    return [
        {
            "interId": number,
            "userId": event.user + 1,
            "productId": event.item + 1,
            "actionCode": ACTIONS[event.action],
            "device_type": event.device,
            "timestamp": clock.text(event.second),
        }
        for number, event in enumerate(events, 1)
    ]


def _comments(reviews: Sequence[Review], clock: _Clock) -> Rows:
    return [
        {
            "id": number,
            "content": review.text,
            "productId": review.item + 1,
            "userId": review.user + 1,
            "star": review.stars,
            **clock.stamps(review.second),
        }
        for number, review in enumerate(reviews, 1)
    ]


def summary(tables: Mapping[str, Rows]) -> list[tuple[str, str]]:
    """Return the shop's counts, as pairs of a name and a text."""
    actions = Counter(row["actionCode"] for row in tables["Interactions"])
    status = Counter(row["statusId"] for row in tables["Products"])
    reduced = sum(row["discountPrice"] is not None for row in tables["Productdetails"])
    times = [row["timestamp"] for row in tables["Interactions"]]
    return [
        ("customers", f"{sum(row['roleId'] == 'R2' for row in tables['Users']):,}"),
        ("products", f"{len(tables['Products']):,} in {len(CATEGORIES)} categories of {len(BRANDS)} brands"),
        ("reduced", f"{reduced:,}"),
        ("not for sale", f"{status['S2']:,} withdrawn or sold out"),
        *((f"{action}s", f"{actions[action]:,}") for action in ACTIONS),
        ("reviews", f"{len(tables['Comments']):,}"),
        ("from … until", f"{times[0]} … {times[-1]}" if times else "no events"),
    ]
