"""The demo shop: believable, in any database, and the same for the same seed."""

from __future__ import annotations

import doctest
import xml.etree.ElementTree as ElementTree
from collections import Counter, defaultdict
from datetime import UTC, date, datetime
from pathlib import Path
from types import ModuleType

import bcrypt
import numpy as np
import pytest

from demo import catalogue, people, pictures
from demo.lines import BRANDS, BRANDS_OF_CATEGORY, CATEGORIES, LINES
from demo.shop import Options, Rows, make_shop
from recsys.errors import UsageError
from recsys.store import Database, connect
from recsys.store.migrations import migrate
from recsys.store.writes import SHOP_TABLES, fill_shop
from scripts import make_shop as script

Tables = dict[str, Rows]
OPTIONS = Options(users=150, products=240, days=365, until=date(2026, 1, 1), seed=7)
SMALL = ("--customers", "30", "--products", "40", "--days", "60", "--until", "2026-01-01")


@pytest.fixture(scope="module")
def shop() -> Tables:
    return make_shop(OPTIONS)


@pytest.fixture(scope="module")
def line_of_product() -> dict[int, str]:
    made = catalogue.make_catalogue(np.random.default_rng([7, 1]), OPTIONS.products, OPTIONS.days)
    return {product.id: product.line.key for product in made.products}


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def products_by_id(shop: Tables) -> dict[int, dict]:
    return {row["id"]: row for row in shop["Products"]}


def events_by_user(shop: Tables) -> dict[int, Rows]:
    by_user = defaultdict(list)
    for row in shop["Interactions"]:
        by_user[row["userId"]].append(row)
    return by_user


# Determinism


def test_the_same_seed_makes_the_same_rows() -> None:
    options = Options(users=20, products=30, days=90, until=date(2026, 1, 1), seed=3)

    assert make_shop(options) == make_shop(options)


def test_another_seed_makes_another_shop() -> None:
    first, second = (make_shop(Options(20, 30, 90, date(2026, 1, 1), seed)) for seed in (3, 4))

    assert first["Interactions"] != second["Interactions"]


def test_the_rows_are_the_same_in_every_database(database_url: str) -> None:
    made = make_shop(Options(40, 20, 120, date(2026, 1, 1), seed=7))
    with connect(database_url) as db:
        migrate(db)
        fill_shop(db, made, empty_first=False)
        stored = {table: [tuple(row) for row in db.query(select(made[table], table))] for table in SHOP_TABLES}

    for table, rows in made.items():
        assert [tuple(map(comparable, row)) for row in stored[table]] == [
            tuple(map(comparable, row.values())) for row in rows
        ]


def select(rows: Rows, table: str) -> str:
    return f"SELECT {', '.join(rows[0])} FROM {table} ORDER BY {next(iter(rows[0]))}"  # noqa: S608 - our own names


def comparable(value: object) -> object:
    return f"{value:%Y-%m-%d %H:%M:%S}" if isinstance(value, datetime) else value


# What it holds


def test_users_have_names_of_several_cultures_and_their_own_addresses(shop: Tables) -> None:
    users = shop["Users"]

    assert len({user["email"] for user in users}) == len(users) == OPTIONS.users + 1
    assert all(user["email"].isascii() and user["email"].endswith("@example.com") for user in users)
    assert any(not user["firstName"].isascii() for user in users)
    assert {(user["roleId"], user["statusId"]) for user in users[:-1]} == {("R2", "S1")}
    assert (users[-1]["roleId"], users[-1]["email"]) == ("R1", "admin@example.com")
    assert {user["genderId"] for user in users} == {"M", "FE", "O"}


def test_every_user_logs_in_with_the_documented_password(shop: Tables) -> None:
    hashes = [user["password"] for user in shop["Users"]]

    assert all(bcrypt.checkpw(b"demo-shop", password.encode("ascii")) for password in hashes)
    assert not bcrypt.checkpw(b"demo-shoq", hashes[0].encode("ascii"))
    assert len(set(hashes)) == len(hashes)  # a salt each


def test_product_names_are_unique_and_fit_their_brand_and_category(shop: Tables) -> None:
    nouns = {category: [line.noun for line in LINES if line.category == category] for category in CATEGORIES}

    assert len({row["name"] for row in shop["Products"]}) == OPTIONS.products
    for row in shop["Products"]:
        assert row["name"].startswith(BRANDS[row["brandId"]] + " ")
        assert row["brandId"] in BRANDS_OF_CATEGORY[row["categoryId"]]
        assert any(noun in row["name"] for noun in nouns[row["categoryId"]])


def test_names_stay_unique_in_a_shop_far_larger_than_the_lists() -> None:
    made = catalogue.make_catalogue(np.random.default_rng(7), 5_000, 365)

    assert len({product.name for product in made.products}) == 5_000


def test_every_category_and_brand_has_products_and_a_code(shop: Tables) -> None:
    codes = {row["code"] for row in shop["Allcodes"]}

    assert {row["categoryId"] for row in shop["Products"]} == set(CATEGORIES)
    assert {row["brandId"] for row in shop["Products"]} == set(BRANDS)
    assert {*CATEGORIES, *BRANDS, "R2", "S1", "S2", "view", "cart", "purchase"} <= codes
    assert len(codes) == len(shop["Allcodes"])


def test_prices_are_whole_thousands_and_reductions_below_them(shop: Tables) -> None:
    details = shop["Productdetails"]
    reduced = [row for row in details if row["discountPrice"] is not None]

    assert all(50_000 < row["originalPrice"] < 100_000_000 for row in details)
    assert all(row["originalPrice"] % 1000 == (row["discountPrice"] or 0) % 1000 == 0 for row in details)
    assert 0.1 < len(reduced) / len(details) < 0.4
    assert all(0 < row["discountPrice"] < row["originalPrice"] for row in reduced)


def test_some_products_are_withdrawn_and_not_purchased_afterwards(shop: Tables) -> None:
    stock = {row["productId"]: row["stock"] for row in shop["Productdetails"]}
    gone = {row["id"] for row in shop["Products"] if row["statusId"] == "S2"}
    last_month = {row["productId"] for row in shop["Interactions"] if row["timestamp"] >= "2025-12-31"}

    assert 0.02 < len(gone) / OPTIONS.products < 0.2
    assert gone == {product for product, number in stock.items() if number == 0}
    assert gone & last_month == set()


def test_nothing_is_seen_before_its_launch_and_new_products_come_all_year(shop: Tables) -> None:
    products = products_by_id(shop)
    launches = [row["createdAt"] for row in shop["Products"] if row["createdAt"] >= "2025-01-01"]

    assert all(products[row["productId"]]["createdAt"] <= row["timestamp"] for row in shop["Interactions"])
    assert len({launch[:7] for launch in launches}) >= 10


def test_pictures_are_well_formed_and_differ_by_line(shop: Tables, line_of_product: dict[int, str]) -> None:
    drawings = defaultdict(set)
    for row in shop["Productimages"]:
        root = ElementTree.fromstring(row["image"])
        assert root.tag == "{http://www.w3.org/2000/svg}svg"
        group = root.find("{http://www.w3.org/2000/svg}g")
        assert group is not None
        shapes = tuple(
            shape.get("d") or tuple(sorted(shape.attrib.items() - {("fill", shape.get("fill"))})) for shape in group
        )
        drawings[line_of_product[row["productId"]]].add(shapes)

    assert len(shop["Productimages"]) == OPTIONS.products
    assert all(len(shapes) == 1 for shapes in drawings.values())
    assert len(set.union(*drawings.values())) == len(LINES)
    assert len({row["image"] for row in shop["Productimages"]}) == OPTIONS.products


def test_each_line_has_a_drawing_and_each_category_a_ground() -> None:
    assert set(pictures.glyphs()) == {line.key for line in LINES}
    assert set(pictures.GROUNDS) == set(CATEGORIES)


def test_an_unknown_shape_is_refused() -> None:
    with pytest.raises(ValueError, match="should begin with r, c, e, p or s"):
        pictures.drawing(["x 1 2"], {})


# What happened


def test_events_are_in_order_and_inside_the_simulated_period(shop: Tables) -> None:
    times = [row["timestamp"] for row in shop["Interactions"]]

    assert times == sorted(times)
    assert "2025-01-01" <= times[0] < "2025-01-05" and "2025-12-25" < times[-1] < "2026-01-01"
    assert [row["interId"] for row in shop["Interactions"]] == list(range(1, len(times) + 1))


def test_views_are_more_than_carts_and_carts_more_than_purchases(shop: Tables) -> None:
    actions = Counter(row["actionCode"] for row in shop["Interactions"])

    assert actions["view"] > 3 * actions["cart"] > 3 * actions["purchase"] > 0
    assert set(actions) == {"view", "cart", "purchase"}


def test_every_purchase_was_put_into_the_cart_before(shop: Tables) -> None:
    for events in events_by_user(shop).values():
        carts = Counter()
        for event in events:
            carts[event["productId"]] += (event["actionCode"] == "cart") - (event["actionCode"] == "purchase")
            assert carts[event["productId"]] >= 0


def test_view_counters_are_the_views_of_the_log(shop: Tables) -> None:
    views = Counter(row["productId"] for row in shop["Interactions"] if row["actionCode"] == "view")

    assert {row["id"]: row["view"] for row in shop["Products"]} == {
        row["id"]: views[row["id"]] for row in shop["Products"]
    }


def test_a_few_products_have_most_of_the_views(shop: Tables) -> None:
    views = sorted((row["view"] for row in shop["Products"]), reverse=True)

    assert sum(views[: len(views) // 5]) > 0.45 * sum(views)


def test_used_up_goods_are_bought_again_and_durable_ones_are_not(shop: Tables, line_of_product: dict[int, str]) -> None:
    lasting = {line.key: line.days for line in LINES}
    counts = Counter(
        (row["userId"], row["productId"]) for row in shop["Interactions"] if row["actionCode"] == "purchase"
    )
    again = {
        kind: [n > 1 for (_, product), n in counts.items() if bool(lasting[line_of_product[product]]) is kind]
        for kind in (True, False)
    }

    assert np.mean(again[True]) > 4 * np.mean(again[False])
    assert np.mean(again[True]) > 0.2


def test_users_have_their_own_preferences(shop: Tables) -> None:
    """The favourite category of a user has a far larger share of views than the shop's favourite has of all views."""
    products = products_by_id(shop)
    everybody = Counter(products[row["productId"]]["categoryId"] for row in shop["Interactions"])
    own = []
    for events in events_by_user(shop).values():
        if len(events) >= 30:
            own.append(
                max(Counter(products[event["productId"]]["categoryId"] for event in events).values()) / len(events)
            )

    assert np.median(own) > 2 * max(everybody.values()) / everybody.total()


@pytest.mark.parametrize(
    ("category", "high", "low"), [("winter", ("12", "01"), ("06", "07")), ("outdoor", ("06", "07"), ("12", "01"))]
)
def test_seasons_move_categories(shop: Tables, category: str, high: tuple[str, str], low: tuple[str, str]) -> None:
    assert share(shop, category, lambda row: row["timestamp"][5:7] in high) > 2 * share(
        shop, category, lambda row: row["timestamp"][5:7] in low
    )


def test_the_time_of_day_moves_products(shop: Tables, line_of_product: dict[int, str]) -> None:
    """Of the lines that belong to the morning, such as coffee, the morning has more than its share."""
    belongs = {line.key: line.bucket for line in LINES}
    morning = ["06" <= row["timestamp"][11:13] < "12" for row in shop["Interactions"]]
    of_morning = [belongs[line_of_product[row["productId"]]] == "morning" for row in shop["Interactions"]]

    assert np.mean(of_morning, where=morning) > 1.5 * np.mean(of_morning, where=np.invert(morning))


def share(shop: Tables, category: str, when: object) -> float:
    products = products_by_id(shop)
    rows = [row for row in shop["Interactions"] if when(row)]  # type: ignore[operator]
    return sum(products[row["productId"]]["categoryId"] == category for row in rows) / len(rows)


def test_a_camera_is_followed_by_its_complements(shop: Tables, line_of_product: dict[int, str]) -> None:
    complements = {"prime", "zoom", "card", "bag", "tripod"}
    after, all_views = [], []
    for events in events_by_user(shop).values():
        lines = [line_of_product[event["productId"]] for event in events]
        all_views += [line in complements for line in lines]
        after += [
            second in complements
            for first, second in zip(lines, lines[1:], strict=False)
            if first == "mirrorless" != second
        ]

    assert len(after) > 30
    assert np.mean(after) > 2.5 * np.mean(all_views)


def test_stars_follow_the_products_and_every_reviewer_has_bought(shop: Tables) -> None:
    bought = {
        (row["userId"], row["productId"]): row["timestamp"]
        for row in reversed(shop["Interactions"])
        if row["actionCode"] == "purchase"
    }
    stars = Counter(row["star"] for row in shop["Comments"])

    assert {2, 3, 4, 5} <= set(stars) <= {1, 2, 3, 4, 5}
    assert stars[4] + stars[5] > stars[1] + stars[2]
    assert all(bought[row["userId"], row["productId"]] < row["createdAt"] < "2026-01-01" for row in shop["Comments"])


def test_reviewers_rate_what_fits_their_taste_higher() -> None:
    """Stars follow a style near the user's, quality, and a price within the user's budget."""
    from demo.reviews import _stars
    from demo.tastes import make_tastes

    rng = np.random.default_rng(7)
    made, tastes = catalogue.make_catalogue(rng, 200, 365), make_tastes(rng, 200, 365)
    pairs = rng.integers(200, size=(3_000, 2)).tolist()
    fits = [float(made.styles[item] @ tastes.styles[user]) for user, item in pairs]
    stars = [_stars(rng, made, tastes, user, item) for user, item in pairs]

    assert np.corrcoef(fits, stars)[0, 1] > 0.3


def test_devices_are_those_of_the_schema_and_sometimes_unknown(shop: Tables) -> None:
    devices = Counter(row["device_type"] for row in shop["Interactions"])

    assert set(devices) == {"desktop", "mobile", "tablet", None}
    assert devices[None] < 0.05 * devices.total()


# The script


def test_the_script_fills_an_empty_database_and_prints_its_counts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    url = f"sqlite:///{tmp_path / 'shop.sqlite'}"

    assert script.main([*SMALL, "--database-url", url]) == 0
    printed = capsys.readouterr()
    assert "customers" in printed.out and "demo-shop" in printed.out and printed.err == ""
    with connect(url) as db:
        assert count(db, "Users") == 31 and count(db, "Products") == 40 and count(db, "Productimages") == 40


def test_a_database_that_holds_a_shop_is_refused_and_left_as_it_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    url = f"sqlite:///{tmp_path / 'shop.sqlite'}"
    with connect(url, create=True) as db:
        migrate(db)
        db.insert("Products", [{"id": 5, "name": "Somebody's own"}])

    assert script.main([*SMALL, "--database-url", url]) == UsageError.exit_status
    printed = capsys.readouterr()
    assert printed.out == "" and "1 Products" in printed.err and "--force" in printed.err
    with connect(url) as db:
        assert db.query("SELECT id, name FROM Products") == [(5, "Somebody's own")]
        assert count(db, "Users") == 0


def test_keep_leaves_a_shop_as_it_is_and_succeeds(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    url = f"sqlite:///{tmp_path / 'shop.sqlite'}"
    assert script.main([*SMALL, "--keep", "--database-url", url]) == 0
    with connect(url) as db:
        before = db.query("SELECT * FROM Interactions")

    assert script.main([*SMALL, "--seed", "8", "--keep", "--database-url", url]) == 0
    assert "Nothing was changed" in capsys.readouterr().out
    with connect(url) as db:
        assert db.query("SELECT * FROM Interactions") == before


def test_force_empties_the_shops_own_tables_and_no_other(database_url: str, capsys: pytest.CaptureFixture[str]) -> None:
    with connect(database_url) as db:
        migrate(db)
        db.insert("Products", [{"id": 5_000, "name": "Old"}])
        db.insert("rec_versions", [{"id": 1, "name": "v1", "complete": 1, "data_until": 0}])

    assert script.main([*SMALL, "--force", "--database-url", database_url]) == 0
    with connect(database_url) as db:
        assert db.query("SELECT COUNT(*) FROM Products WHERE name = 'Old'")[0][0] == 0
        assert count(db, "Products") == 40 and count(db, "rec_versions") == 1
        db.insert("Users", [{"email": "new@example.com"}])  # numbered behind the others, on PostgreSQL too
        assert db.query("SELECT id FROM Users WHERE email = 'new@example.com'") == [(32,)]


def test_a_shop_that_cannot_be_written_whole_is_not_written_at_all(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'shop.sqlite'}"
    made = make_shop(Options(5, 10, 30, date(2026, 1, 1), 7))
    with connect(url, create=True) as db:
        migrate(db)
        db.insert("Comments", [{"id": 1, "content": "in the way", "star": 5}])
        made["Comments"] = [{"id": 1, "content": "second", "star": 5}]
        with pytest.raises(Exception, match="UNIQUE"):
            fill_shop(db, made, empty_first=False)

        assert count(db, "Users") == count(db, "Products") == count(db, "Interactions") == 0


@pytest.mark.parametrize(
    "flags", [["--customers", "0"], ["--products", "x"], ["--until", "31.1.2026"], ["--force", "--keep"]]
)
def test_a_wrong_command_line_is_refused(flags: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        script.main(flags)

    assert stop.value.code == 2
    assert "usage:" in capsys.readouterr().err


def test_tables_of_others_are_never_filled(tmp_path: Path) -> None:
    with (
        connect(f"sqlite:///{tmp_path / 'shop.sqlite'}", create=True) as db,
        pytest.raises(ValueError, match="rec_versions"),
    ):
        fill_shop(db, {"rec_versions": []}, empty_first=True)


def test_one_user_and_one_product_make_a_shop() -> None:
    made = make_shop(Options(1, 1, 1, date(2026, 1, 1), 7))

    assert (len(made["Users"]), len(made["Products"])) == (2, 1)


@pytest.mark.parametrize("module", [catalogue, people, pictures])
def test_the_examples_in_the_docstrings_hold(module: ModuleType) -> None:
    result = doctest.testmod(module)

    assert result.attempted > 0 and result.failed == 0


def count(db: Database, table: str) -> int:
    return int(db.query(f"SELECT COUNT(*) FROM {table}")[0][0])  # noqa: S608 - our own names
