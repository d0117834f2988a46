"""What each preset should read from the tables of its file in tests/store/presets, worked out by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from recsys.store import ProductCard


@dataclass(frozen=True)
class Preset:
    """What a preset should read from the tables of its file.

    Attributes:
        server: The database that the system runs on.
        events: For each user, in the order of time: the moment in UTC, the event and the item.
        hidden: The items that each user has bought.
        dropped: Rows that are left out, by reason.
        catalogue: For each product: whether it is active, its category, brand and price.
        cards: The cards of some products.
        handles: The item of each handle.
    """

    server: str
    events: Mapping[Any, Sequence[tuple[str, str, Any]]]
    hidden: Mapping[Any, set[Any]]
    catalogue: Mapping[Any, tuple[bool, str | None, str | None, float | None]]
    cards: Sequence[ProductCard] = ()
    handles: Mapping[str, Any] = field(default_factory=dict)
    dropped: Mapping[str, int] = field(default_factory=dict)


ANN, PEN, INK = "aa" * 16, "c1" * 16, "d1" * 16  # ids of Shopware
EVE, BOB, NEW = range(10**15, 10**15 + 3)  # the importer's numbers of texts, in the order of the files
SHIRT, MUG, CAP, POSTER = range(10**15, 10**15 + 4)
CASES: Mapping[str, Preset] = {
    "medusa": Preset(
        "postgresql",
        events={
            "cus_ann": [
                ("2024-12-10 10:00", "purchase", "cap"),
                ("2025-01-01 10:00", "purchase", "mug"),
                ("2025-01-01 10:00", "purchase", "shirt"),
                ("2025-01-02 10:00", "purchase", "bag"),
                ("2025-01-02 10:00", "purchase", "shirt"),
                ("2025-01-03 10:00", "purchase", "mug"),
                ("2025-01-05 10:00", "purchase", "cap"),
            ],
            "cus_ann_guest": [],
            "cus_bob": [("2025-01-09 10:00", "purchase", "shirt")] * 2,
            "cus_cyd": [("2025-01-11 10:00", "purchase", "bag")],
            "cus_dan": [("2025-01-15 10:00", "purchase", "poster_old"), ("2025-01-18 04:30", "purchase", "shirt")],
            "cus_dan_guest": [("2025-01-18 10:00", "purchase", "mug")],
            "cus_eve": [],
            "cus_eve_guest": [("2025-01-12 10:00", "purchase", "mug")],
            "nobody": [],
        },
        hidden={
            "cus_ann": {"cap", "mug", "shirt", "bag"},
            "cus_ann_guest": set(),
            "cus_bob": {"shirt"},
            "cus_dan": {"poster_old", "shirt"},
            "cus_eve_guest": {"mug"},
        },
        dropped={"null user": 1},
        catalogue={
            "shirt": (True, "shirts", None, 239000.0),
            "mug": (False, "gifts", None, 5.5),
            "bag": (True, None, None, None),
            "cap": (True, None, None, 7.25),
            "poster_old": (False, None, None, None),
            "poster_new": (True, None, None, None),
        },
        cards=[
            ProductCard("shirt", "ao-thun", "Áo thun", "https://shop.example/shirt.jpg", 239000.0, "vnd", True),
            ProductCard("mug", "mug", "Mug", None, 5.5, "usd", False),
            ProductCard("bag", "bag", "Bag", None, None, None, True),
            ProductCard("poster_old", "poster", "Poster", None, None, None, False),
        ],
        handles={"ao-thun": "shirt", "poster": "poster_new", "Mug": None, "none": None},
    ),
    "woocommerce": Preset(
        "mysql",
        events={
            7: [("2024-12-01 10:00", "purchase", 80), ("2024-12-31 23:30", "purchase", 60)],
            -1: [],
            -5: [],
            -2: [("2025-01-02 10:00", "purchase", 60)],
            -3: [("2025-01-03 10:00", "purchase", 50)],
            2: [
                ("2025-01-10 10:00", "purchase", 50),
                ("2025-01-10 10:00", "purchase", 60),
                ("2025-01-13 10:00", "purchase", 90),
            ],
            -9: [("2025-01-12 10:00", "purchase", 60)],
            1: [],
        },
        hidden={7: {60, 80}, -2: {60}, -3: {50}, 2: {50, 60, 90}, 1: set()},
        catalogue={
            50: (True, "shirts", "Nord", 19.9),
            60: (True, "clothes", None, None),
            70: (False, None, None, None),
            80: (False, None, None, 40.0),
            90: (False, None, None, None),
        },
        cards=[
            ProductCard(50, "shirt", "Shirt", "https://shop.example/shirt.jpg", 19.9, "eur", True),
            ProductCard(60, "mug", "Mug", None, None, "eur", True),
            ProductCard(80, "lamp", "Lamp", None, 40.0, "eur", False),
        ],
        handles={"shirt": 50, "shirt-m": None, "shirt-jpg": None},
    ),
    "opencart": Preset(
        "mysql",
        events={
            3: [
                ("2024-12-10 10:00", "purchase", 41),
                ("2025-01-01 10:00", "purchase", 40),
                ("2025-01-12 10:00", "purchase", 41),
                ("2025-01-12 10:00", "purchase", 43),
                ("2025-01-12 10:00", "purchase", 50),
            ],
            -3: [("2025-01-03 10:00", "purchase", 40), ("2025-01-09 10:00", "purchase", 41)],
            -4: [("2025-01-04 10:00", "purchase", 50)] * 2,
            4: [("2025-01-11 10:00", "purchase", 40)],
            -8: [],
            -10: [],
            -1: [],
            8: [],
            0: [],
        },
        hidden={3: {40, 41, 43, 50}, -3: {40, 41}, -4: {50}, 4: {40}, 0: set()},
        catalogue={
            40: (True, "Phones", "Apple", 101.0),
            41: (True, "Mac", "Apple", 500.5),
            42: (False, None, None, 20.0),
            43: (False, None, None, 5.0),
            50: (True, None, None, 20.0),
        },
        cards=[
            ProductCard(40, "iphone", "iPhone", "catalog/iphone.jpg", 101.0, "usd", True),
            ProductCard(41, None, "iMac", None, 500.5, "usd", True),
            ProductCard(43, None, None, None, 5.0, "usd", False),
        ],
        handles={"iphone": 40, "das-iphone": None, "macs": None},
    ),
    "vendure": Preset(
        "postgresql",
        events={
            7: [
                ("2025-01-01 10:00", "purchase", 1),
                ("2025-01-05 10:00", "purchase", 2),
                ("2025-01-05 10:00", "purchase", 4),
            ],
            8: [("2025-01-06 10:00", "purchase", 1)] * 2,
            9: [
                ("2025-01-07 10:00", "purchase", 2),
                ("2025-01-08 10:00", "purchase", 3),
                ("2025-01-11 10:00", "purchase", 5),
            ],
            10: [],
        },
        hidden={7: {1, 2, 4}, 8: {1}, 9: {2, 3, 5}, 10: set()},
        dropped={"null user": 1},
        catalogue={
            1: (True, "laptops", "Nord", 1199.5),
            2: (True, None, None, 5.5),
            3: (True, None, None, None),
            4: (False, None, None, None),
            5: (False, None, None, None),
        },
        cards=[
            ProductCard(1, "laptop", "Laptop", "https://shop.example/laptop.jpg", 1199.5, "usd", True),
            ProductCard(2, "coc", "Cốc", None, 5.5, "usd", True),
            ProductCard(5, "poster", "Poster", None, None, None, False),
        ],
        handles={"laptop": 1, "klapprechner": None, "staff": None},
    ),
    "prestashop": Preset(
        "mysql",
        events={
            3: [
                ("2024-12-10 10:00", "purchase", 3),
                ("2025-01-01 10:00", "purchase", 1),
                ("2025-01-05 10:00", "purchase", 2),
                ("2025-01-06 10:00", "purchase", 1),
            ],
            4: [],
            5: [*[("2025-01-08 10:00", "purchase", 1)] * 2, ("2025-01-11 10:00", "purchase", 99)],
            6: [("2025-01-09 10:00", "purchase", 2)],
            7: [("2025-01-10 10:00", "purchase", 2)],
            8: [],
        },
        hidden={3: {1, 2, 3}, 4: set(), 5: {1, 99}, 6: {2}, 7: {2}},
        catalogue={1: (True, "clothes", "Nord", 19.9), 2: (True, None, None, 5.0), 3: (False, None, None, 7.5)},
        cards=[
            ProductCard(1, "shirt", "Shirt", "42-home_default/shirt.jpg", 19.9, "eur", True),
            ProductCard(3, "casquette", "Casquette", None, 7.5, "eur", False),
        ],
        handles={"mug": 2, "chemise": None},
    ),
    "magento": Preset(
        "mysql",
        events={
            3: [
                ("2024-12-10 10:00", "purchase", 30),
                ("2025-01-01 10:00", "purchase", 10),
                ("2025-01-06 10:00", "purchase", 20),
            ],
            -7: [("2025-01-07 10:00", "purchase", 50), ("2025-01-08 10:00", "purchase", 20)],
            -8: [],
            -9: [],
            -1: [],
            -10: [("2025-01-10 10:00", "purchase", 20)],
            4: [("2025-01-11 10:00", "purchase", 20)],
            5: [],
        },
        hidden={3: {10, 20, 30}, -7: {20, 50}, 4: {20}, 5: set()},
        catalogue={
            10: (True, "Shirts", "Nord", 19.9),
            11: (False, None, None, None),
            20: (True, None, None, 5.0),
            30: (False, None, None, None),
            40: (True, None, None, None),
            50: (False, None, None, None),
        },
        cards=[
            ProductCard(10, "shirt", "Shirt", "/s/h/shirt.jpg", 19.9, "eur", True),
            ProductCard(20, "mug", "Mug", None, 5.0, "eur", True),
            ProductCard(30, None, "Cap", None, None, "eur", False),
        ],
        handles={"mug": 20, "Shirt": None},
    ),
    "shopware": Preset(
        "mysql",
        events={
            ANN: [
                ("2024-12-10 10:00", "purchase", INK),
                ("2025-01-01 10:00", "purchase", PEN),
                ("2025-01-05 10:00", "purchase", INK),
                ("2025-01-06 10:00", "purchase", INK),
                ("2025-01-06 10:00", "purchase", PEN),
            ],
            "ab" * 16: [],
            "bb" * 16: [*[("2025-01-07 10:00", "purchase", PEN)] * 2, ("2025-01-08 10:00", "purchase", "ee" * 16)],
            "nobody": [],
        },
        hidden={ANN: {INK, PEN}, "ab" * 16: set(), "bb" * 16: {PEN, "ee" * 16}},
        dropped={"null user": 1},
        catalogue={PEN: (True, "Pens", "Nord", 2.38), INK: (False, None, None, None)},
        cards=[
            ProductCard(PEN, "Pen/1", "Pen", "media/pen.jpg", 2.38, "eur", True),
            ProductCard(INK, None, "Ink", None, None, "eur", False),
        ],
        handles={"Pen/1": PEN, "Old-pen/1": None},
    ),
    "shopify-export": Preset(  # by numbers, because its ids are texts; the cap is a draft, and the poster deleted
        "mysql",
        events={
            EVE: [
                ("2025-01-01 10:00", "purchase", SHIRT),
                ("2025-01-01 10:00", "purchase", SHIRT),
                ("2025-01-07 10:00", "purchase", CAP),
                ("2025-01-08 10:00", "purchase", POSTER),
            ],
            BOB: [("2025-01-03 10:00", "purchase", MUG), ("2025-01-09 18:00", "purchase", SHIRT)],
            NEW: [],
        },
        hidden={EVE: {SHIRT, CAP, POSTER}, BOB: {SHIRT, MUG}, NEW: set()},
        catalogue={
            SHIRT: (True, "Clothes", None, 18.0),
            MUG: (True, "Gifts", None, 10.0),
            CAP: (False, "Clothes", None, 25.0),
            POSTER: (False, None, None, 5.0),
        },
        cards=[
            ProductCard(SHIRT, "shirt", "Shirt", None, 18.0, None, True),
            ProductCard(POSTER, "OLD", "Old poster", None, 5.0, None, False),
        ],
        handles={"mug": MUG, "none": None},
    ),
}
