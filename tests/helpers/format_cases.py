"""What each format should read from the files of its folder in tests/importing/formats, worked out by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

Event = tuple[str, str, str, str]  # user, item, event, moment in UTC


@dataclass(frozen=True)
class Case:
    """What a format should read from a folder of files.

    Attributes:
        format: The format's name.
        events: The right events, sorted.
        dropped: The right counts of rows that are no events.
        products: Name, category and price of some products.
        main: The file that the command names; None for the folder.
    """

    format: str
    events: Sequence[Event]
    dropped: Mapping[str, int] = field(default_factory=dict)
    products: Mapping[str, tuple[str | None, str | None, float | None]] = field(default_factory=dict)
    main: str | None = None


CASES: Mapping[str, Case] = {
    "retailrocket": Case(
        "retailrocket",
        events=[
            ("0", "248676", "cart", "2015-06-02 05:50:14"),
            ("0", "248676", "purchase", "2015-06-02 05:33:56"),
            ("257597", "355908", "view", "2015-06-02 05:02:12"),
            ("7", "248676", "purchase", "2015-06-02 05:33:56"),
        ],
        dropped={"equal to an earlier row": 1},
    ),
    "rees46": Case(
        "rees46",
        events=[
            ("541312140", "44600062", "view", "2019-10-01 00:00:00"),
            ("541312140", "44600062", "view", "2019-11-01 00:00:00"),
            ("550050854", "1307067", "purchase", "2019-10-01 00:00:04"),
            ("550050854", "1307067", "purchase", "2019-11-01 00:00:04"),
            ("554748717", "3900821", "cart", "2019-10-01 00:00:01"),
            ("554748717", "3900821", "cart", "2019-11-01 00:00:01"),
            ("554748717", "3900821", "uncart", "2019-10-01 00:00:05"),
            ("554748717", "3900821", "uncart", "2019-11-01 00:00:05"),
        ],
        dropped={"no user": 2},
        products={
            "3900821": ("Product 3900821", "appliances.water_heater", 33.2),
            "1307067": ("Product 1307067", "computers.notebook", None),
        },
    ),
    "rees46-purchase-history": Case(
        "rees46",
        events=[("1515915625441993984", "1515966223509089906", "purchase", "2020-04-24 11:50:39")],
        dropped={"no user": 1},
    ),
    "movielens-csv": Case(
        "movielens",
        events=[
            ("1", "17", "star4", "1999-12-01 16:24:09"),
            ("1", "25", "star1", "1999-12-01 16:43:48"),
            ("2", "29", "star3", "1999-11-21 05:56:16"),
        ],
        dropped={"unknown event 'rating 7'": 1},
        products={"17": ("Sense (1995)", "Drama", None), "25": ("Café (1995)", "Comedy", None)},
        main="ml.csv",
    ),
    "movielens-dat": Case(
        "movielens",
        events=[
            ("1", "17", "star4", "1999-12-01 16:24:09"),
            ("1", "25", "star1", "1999-12-01 16:43:48"),
            ("2", "29", "star3", "1999-11-21 05:56:16"),
        ],
        products={"17": ("Sense (1995)", "Drama", None), "25": ("Café (1995)", "Comedy", None)},
    ),
    "movielens-100k": Case(
        "movielens",
        events=[
            ("1", "17", "star4", "1999-12-01 16:24:09"),
            ("1", "25", "star1", "1999-12-01 16:43:48"),
            ("2", "29", "star3", "1999-11-21 05:56:16"),
        ],
        products={"17": ("Sense (1995)", "Drama", None), "25": ("Café (1995)", "Comedy", None)},
    ),
    "recbole": Case(
        "recbole",
        events=[("u1", '"17', "star4", "1999-12-01 16:24:09"), ("u2", "29", "star3", "1999-11-21 05:56:16")],
        products={'"17': ('6" nail', "Tools", 0.5)},
    ),
    "recbole-without-clock": Case(
        "recbole",
        events=[
            ("u1", "3", "purchase", "2000-01-01 00:00:00"),
            ("u1", "3", "purchase", "2000-01-01 02:00:00"),
            ("u1", "4", "purchase", "2000-01-01 01:00:00"),
        ],
        dropped={"label of 0": 1},
        main="clicks.inter",
    ),
    "online-retail": Case(
        "online-retail",
        events=[
            ("13047", "71053", "purchase", "2010-12-05 08:00:00"),
            ("17850", "71053", "cancel", "2010-12-02 09:05:00"),
            ("17850", "71053", "purchase", "2010-12-01 08:26:00"),
            ("17850", "85123A", "cancel", "2010-12-03 09:00:00"),
            ("17850", "85123A", "purchase", "2010-12-01 08:26:00"),
        ],
        dropped={
            "no product, such as postage": 3,
            "return of a part of a purchase": 1,
            "quantity of 0 or below": 1,
            "no user": 1,
        },
        products={"85123A": ("£ HEART", None, 2.55)},
    ),
    "online-retail-ii-semicolons": Case(
        "online-retail",
        events=[
            ("13085", "85048", "cancel", "2009-12-02 07:45:00"),
            ("13085", "85048", "purchase", "2009-12-01 07:45:00"),
        ],
        products={"85048": ("BALL", None, 6.95)},
    ),
    "instacart": Case(
        "instacart",
        events=[
            ("1", "14084", "purchase", "2000-01-03 08:00:00"),
            ("1", "196", "purchase", "2000-01-03 08:00:00"),
            ("1", "196", "purchase", "2000-01-18 07:00:00"),
            ("2", "14084", "purchase", "2000-01-09 11:00:00"),
            ("2", "196", "purchase", "2000-01-04 23:00:00"),
        ],
        dropped={"order that orders.csv does not have": 1},
        products={"196": ("Soda, plain", "soft drinks", None), "14084": ("Milk", "91", None)},
    ),
    "otto": Case(
        "otto",
        events=[
            ("0", "0", "purchase", "2022-08-28 22:00:02"),
            ("12", "59625", "cart", "2022-08-28 22:00:01"),
            ("12", "59625", "view", "2022-08-28 22:00:00"),
        ],
        dropped={"line with too few or too many fields": 1},
    ),
    "diginetica": Case(
        "diginetica",
        events=[
            ("7", "31331", "view", "2016-05-10 00:00:00"),
            ("session:1", "31331", "view", "2016-05-09 00:17:11"),
            ("session:1", "81766", "purchase", "2016-05-09 00:25:00"),
            ("session:1", "81766", "view", "2016-05-09 00:08:46"),
        ],
        products={"81766": ("Product 81766", "1096", 1024.0)},
    ),
    "shopify-orders": Case(
        "shopify-orders",
        events=[
            ("4912345", "INK", "purchase", "2024-02-05 10:00:00"),
            ("ann@example.com", "cup", "purchase", "2024-01-31 15:15:20"),
            ("ann@example.com", "pen", "purchase", "2024-01-31 15:15:20"),
            ("ann@example.com", "pen", "purchase", "2024-01-31 15:15:20"),
            ("bob@example.com", "INK", "purchase", "2024-02-03 10:00:00"),
            ("dan@example.com", "GONE", "purchase", "2024-02-08 10:00:00"),
        ],
        dropped={
            "order refunded": 2,
            "order cancelled": 2,
            "order pending": 2,
            "order voided": 1,
            "quantity of 0 or below": 1,
            "no user": 1,
        },
        products={"pen": ("Pen", "Writing", 10.0), "INK": ("Ink", None, 10.0)},
    ),
}
