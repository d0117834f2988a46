"""The encoders and the encoding of events, by hand."""

from dataclasses import replace

import numpy as np
import pytest

from recsys.data.encoding import Encoders, encode
from recsys.data.interactions import Catalogue, Interactions
from recsys.settings import Training
from tests.helpers.checkerboard import DAY, SHOP, catalogue_of, events_of

EVENING = 1_704_736_800  # Monday 2024-01-08 18:00 UTC
TIMELESS = Training(half_life_days=0, min_item_events=2)
TIME_OF_DAY, SEASON, DEVICE, CATEGORY = range(4)
UNKNOWN_CATEGORY = 2  # after coffee and tea


@pytest.fixture
def events() -> Interactions:
    """User 70 views 12, buys 10 and 12 at once, and buys 10 again. User 50 has 10, then 11, which no other user has."""
    return events_of(
        [
            (70, 10, "purchase", EVENING + 200),
            (50, 10, "cart", EVENING + 50),
            (70, 12, "view", EVENING),
            (50, 11, "purchase", EVENING + 60),
            (70, 12, "purchase", EVENING + 100),
            (70, 10, "purchase", EVENING + 100),
        ],
        ["mobile", None, "desktop", "mobile", "desktop", "desktop"],
    )


@pytest.fixture
def products() -> Catalogue:
    return catalogue_of([12, 99, 10, 11], ["Tea", None, "coffee", None])  # unordered; 99 has no event


@pytest.fixture
def encoders(events: Interactions, products: Catalogue) -> Encoders:
    return Encoders.fit(events, products, min_item_events=2)


def test_items_need_enough_events_and_users_an_event_on_one(events: Interactions, products: Catalogue) -> None:
    lenient, strict = (Encoders.fit(events, products, minimum) for minimum in (2, 3))

    assert (lenient.users.ids.tolist(), lenient.items.ids.tolist()) == ([50, 70], [10, 12])
    assert (strict.users.ids.tolist(), strict.items.ids.tolist()) == ([50, 70], [10])


def test_each_item_has_its_category_whatever_the_order_of_the_catalogue(encoders: Encoders) -> None:
    assert encoders.contexts.values["category"] == ("coffee", "tea")
    assert encoders.item_categories.tolist() == [0, 1, UNKNOWN_CATEGORY]  # item 10, item 12, no item


def test_items_without_a_product_have_no_category(events: Interactions) -> None:
    encoders = Encoders.fit(events, catalogue_of([], []), min_item_events=1)

    assert encoders.items.ids.tolist() == [10, 11, 12]
    assert encoders.item_categories.tolist() == [0, 0, 0, 0]  # "unknown" is the only index
    assert encoders.contexts.sizes == (5, 5, 3, 1)


def test_events_are_ordered_by_user_moment_and_row(events: Interactions, encoders: Encoders) -> None:
    data = encode(events, encoders, SHOP, TIMELESS, now=EVENING + 300)

    assert data.users.tolist() == [0, 1, 1, 1, 1]  # without the event on item 11
    assert data.items.tolist() == [0, 1, 1, 0, 0]  # in one second the row decides: 12 before 10
    assert (data.timestamps - EVENING).tolist() == [50, 0, 100, 100, 200]
    assert data.weights.tolist() == pytest.approx([0.7, 0.3, 1.0, 1.0, 1.0])
    assert data.purchases.tolist() == [False, False, True, True, True]
    assert (data.n_users, data.n_items, data.context_sizes) == (2, 2, (5, 5, 3, 3))
    assert [array.dtype for array in (data.users, data.items, data.weights, data.timestamps)] == [
        np.int32,
        np.int32,
        np.float32,
        np.int64,
    ]


def test_confidence_decays_and_weight_does_not(events: Interactions, encoders: Encoders) -> None:
    decaying = replace(TIMELESS, half_life_days=1.0)

    data = encode(events, encoders, SHOP, decaying, now=EVENING + 200 + 2 * DAY)

    assert data.confidences[-1] == pytest.approx(0.25)  # two half-lives
    assert data.confidences[0] == pytest.approx(0.7 * 0.25 * 0.5 ** (150 / DAY))
    assert data.weights.tolist() == pytest.approx([0.7, 0.3, 1.0, 1.0, 1.0])


def test_a_context_is_what_is_known_before_its_event(events: Interactions, encoders: Encoders) -> None:
    data = encode(events, encoders, SHOP, TIMELESS, now=EVENING + 300)

    tea, coffee = 1, 0
    assert data.contexts[:, TIME_OF_DAY].tolist() == [3] * 5
    assert data.contexts[:, SEASON].tolist() == [0] * 5
    assert data.contexts[:, DEVICE].tolist() == [2, 0, 0, 0, 1]  # none, desktop, desktop, desktop, mobile
    # no event before the first; the view of 12 before the two of one second; 10, the newest of that second, before the
    # last
    assert data.contexts[:, CATEGORY].tolist() == [UNKNOWN_CATEGORY, UNKNOWN_CATEGORY, tea, tea, coffee]


def test_clock_features_use_the_time_zone_of_the_shop(events: Interactions, encoders: Encoders) -> None:
    data = encode(events, encoders, replace(SHOP, time_zone="Asia/Tokyo"), TIMELESS, now=EVENING + 300)

    assert data.contexts[:, TIME_OF_DAY].tolist() == [0] * 5  # 03:00 of the next day


def test_unknown_users_and_items_are_left_out(events: Interactions, encoders: Encoders) -> None:
    later = events_of(
        [(70, 10, "view", EVENING + 900), (71, 10, "view", EVENING + 901), (70, 13, "view", EVENING + 902)]
    )

    data = encode(later, encoders, SHOP, TIMELESS, now=EVENING + 1000)

    assert (data.users.tolist(), data.items.tolist()) == ([1], [0])
    assert data.contexts[:, DEVICE].tolist() == [2]


def test_text_ids_are_encoded_like_integer_ids(events: Interactions) -> None:
    def text(ids: np.ndarray) -> np.ndarray:
        return np.array([f"id-{number}" for number in ids.tolist()], object)

    text_events = replace(events, users=text(events.users), items=text(events.items))
    products = catalogue_of([1, 2], ["tea", "coffee"])
    encoders = Encoders.fit(
        text_events, replace(products, items=np.array(["id-12", "id-10"], object)), min_item_events=2
    )

    data = encode(text_events, encoders, SHOP, TIMELESS, now=EVENING + 300)

    assert (encoders.users.kind, encoders.items.ids.tolist()) == ("str", ["id-10", "id-12"])
    assert (data.users.tolist(), data.items.tolist()) == ([0, 1, 1, 1, 1], [0, 1, 1, 0, 0])
    assert encoders.item_categories.tolist() == [0, 1, UNKNOWN_CATEGORY]


def test_no_events_are_encoded_as_an_empty_dataset(encoders: Encoders) -> None:
    data = encode(events_of([]), encoders, SHOP, TIMELESS, now=EVENING)

    assert (len(data), data.contexts.shape) == (0, (0, 4))
    assert data.starts.tolist() == [0, 0, 0]


def test_no_events_have_no_encoders() -> None:
    encoders = Encoders.fit(events_of([]), catalogue_of([10], ["tea"]), min_item_events=1)

    assert (len(encoders.users), len(encoders.items)) == (0, 0)
    assert len(encode(events_of([(1, 10, "view", EVENING)]), encoders, SHOP, TIMELESS, now=EVENING)) == 0


def test_one_event_of_one_user_on_one_item() -> None:
    one = events_of([(1, 10, "star1", EVENING)])
    encoders = Encoders.fit(one, catalogue_of([10], ["tea"]), min_item_events=1)

    data = encode(one, encoders, SHOP, TIMELESS, now=EVENING + 1)

    assert (data.users.tolist(), data.items.tolist(), data.weights.tolist()) == ([0], [0], [-0.5])
    assert data.contexts.tolist() == [[3, 0, 0, 1]]  # no category before, though the item has one
