"""The gate: a table of what it refuses and warns about, the choice of scorers by segment, and the comparison."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from recsys.evaluation.selection import SEGMENTS, segment_of
from recsys.evaluation.shown import ShownLists
from recsys.lifecycle.choice import HeldoutFigures, ValidationFigures, cheapest_of_the_best, choose_scorers, in_segment
from recsys.lifecycle.gate import ActiveFigures, CandidateFigures, PairedFigures, Verdict, decide, too_small
from recsys.scorers.registry import REGISTRY
from recsys.settings import Lifecycle
from recsys.training.report import verdict_lines

LIMITS = Lifecycle()
N_USERS = 400
SINCE = 1_704_672_000  # 2024-01-08


def figures_of(mean: float, n: int = N_USERS, seed: int = 1) -> NDArray[np.float64]:
    """Return AP@10 of users with exactly this mean, and some spread."""
    values = np.random.default_rng(seed).uniform(0, 2 * mean, n)
    return values + mean - values.mean()


HELDOUT = HeldoutFigures(
    {"BMF": figures_of(0.2), "blend": figures_of(0.15), "popularity": figures_of(0.05)}, np.full(N_USERS, 9)
)
CANDIDATE = CandidateFigures(
    counts={"users": 1000, "items": 200, "for_sale": 150, "events": 9000},
    largest_user=17,
    largest_share=0.01,
    heldout=HELDOUT,
    changed={"BMF": 0.9},
    agreement=0.8,
)
ACTIVE = ActiveFigures(
    "20240101T000000Z-00000000", {"users": 1000, "items": 200, "for_sale": 150, "events": 9000}, "ENCM", 0.2, 0.05
)


def paired_of(candidate: NDArray[np.float64], active: NDArray[np.float64], n_events: int = 9) -> PairedFigures:
    """Return the figures of users who all have a number of events."""
    return PairedFigures(SINCE, candidate, active, np.full(len(candidate), n_events))


EQUAL = paired_of(figures_of(0.2), figures_of(0.2))
BMF = {"all": "BMF"}


def verdict(active: ActiveFigures | None = ACTIVE, paired: PairedFigures | str = EQUAL, **changes: Any) -> Verdict:
    scorers = changes.pop("scorers", BMF)
    return decide(replace(CANDIDATE, **changes), scorers, active, paired, LIMITS, seed=3)


def counts(**others: int) -> dict[str, int]:
    return {**CANDIDATE.counts, **others}


def heldout(**means: float) -> HeldoutFigures:
    return HeldoutFigures(
        {**HELDOUT.map10, **{name: figures_of(mean) for name, mean in means.items()}}, HELDOUT.n_events
    )


REFUSED: Mapping[str, tuple[dict[str, Any], str]] = {
    "worse than the active version": (
        {"paired": paired_of(figures_of(0.1), figures_of(0.2))},
        "MAP@10 of 400 users since 2024-01-08 is 0.1000, and 0.2000 with version 20240101T000000Z-00000000: "
        "a difference of -0.1000, at most -0.09",
    ),
    "not finite": ({"not_finite": ("BMF", "ease")}, "Every score should be a finite number. Received: others from BMF"),
    "a network without effect": ({"changed": {"BMF": 0.0}}, "BMF should change the list of some user"),
    "fewer users": ({"counts": counts(users=799)}, "Users should be at most 20% fewer than the 1,000 of version"),
    "fewer products": ({"counts": counts(items=100)}, "Products with events should be at most 20% fewer than the 200"),
    "fewer products for sale": ({"counts": counts(for_sale=119)}, "for sale should be at most 20% fewer than the 150"),
    "fewer events": ({"counts": counts(events=7000)}, "Events should be at most 20% fewer than the 9,000"),
    "MAP far below the publication": (
        {"heldout": heldout(BMF=0.13, popularity=0.03)},
        "Held-out MAP@10 should be at most 30% below the 0.2000 of ENCM in version 20240101T000000Z-00000000. "
        "Received: 0.1300 of BMF.",
    ),
    "lift far below the publication": (
        {"heldout": heldout(BMF=0.2, popularity=0.1)},
        "MAP@10 divided by popularity's should be at most 30% below the 4.0000 of ENCM",
    ),
    "another fit serves than was evaluated": (
        {"agreement": 0.2},
        "The fit that serves should share 25% of the ten best items with the fit that was evaluated, for the median "
        "user. Received: 20%.",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_candidate_is_refused_with_the_figures(case: str) -> None:
    changes, reason = REFUSED[case]

    found = verdict(**changes)

    assert not found.publishes
    assert [text for text in found.reasons if reason in text] == list(found.reasons), "one reason, and no other"
    assert found.sentence == found.reasons[0]
    assert found.to_json()["reasons"] == list(found.reasons)


AT_THE_LIMIT: Mapping[str, dict[str, Any]] = {
    "as good as the active version": {},
    "better": {"paired": paired_of(figures_of(0.3), figures_of(0.2))},
    "worse, within the margin": {"paired": paired_of(figures_of(0.195), figures_of(0.2))},
    "a fifth fewer users": {"counts": counts(users=800)},
    "more of everything": {"counts": counts(users=3000, items=900, events=40_000)},
    "MAP three tenths below": {"heldout": heldout(BMF=0.1401, popularity=0.03)},
    "a quarter of the items in common": {"agreement": 0.25},
    "agreement was not measured": {"agreement": None},
    "a network changes one list": {"changed": {"BMF": 1 / N_USERS}},
    "nothing is published": {"active": None, "paired": "nothing is published"},
    "the active version was evaluated otherwise": {
        "active": replace(ACTIVE, comparable=False, map10=0.9),
        "paired": "its ids have another type",
    },
    "the active version has no figures": {"active": replace(ACTIVE, map10=None, popularity=None)},
    "popularity had no hit": {"active": replace(ACTIVE, popularity=0.0)},
}


@pytest.mark.parametrize("case", AT_THE_LIMIT)
def test_a_candidate_within_every_limit_is_published(case: str) -> None:
    found = verdict(**AT_THE_LIMIT[case])

    assert found.reasons == ()
    assert found.publishes
    assert found.sentence == "The new version may serve."


def test_a_difference_that_may_be_chance_is_a_warning() -> None:
    few = paired_of(np.array([0.0, 0.9, 0.1, 0.3]), np.array([0.9, 0.0, 0.2, 0.4]))

    found = verdict(paired=few)

    assert found.publishes
    assert ["which may be chance" in warning for warning in found.warnings] == [True]


CHANCE: Mapping[str, tuple[dict[str, Any], str]] = {
    "MAP far below the publication": (
        {"BMF": [0.0, 0.0, 0.4, 0.0], "popularity": [0.0, 0.0, 0.1, 0.0]},
        "Held-out MAP@10",
    ),
    "lift far below the publication": ({"BMF": [0.3, 0.1, 0.4, 0.0], "popularity": [0.0, 0.4, 0.0, 0.0]}, "divided by"),
    "too few to say anything": ({"BMF": [0.01] * 4, "popularity": [0.002] * 4}, "Held-out MAP@10"),
}


@pytest.mark.parametrize("case", CHANCE)
def test_a_drop_since_the_publication_that_may_be_chance_is_a_warning(case: str) -> None:
    values, sentence = CHANCE[case]
    precisions = {name: np.array(of_users) for name, of_users in values.items()}

    found = verdict(heldout=HeldoutFigures(precisions, np.full(4, 9)))

    assert found.publishes
    assert [sentence in text and "may be chance with 4 users" in text for text in found.warnings] == [True]


def test_the_figures_of_a_segment_are_those_of_its_own_scorer() -> None:
    n_events = np.repeat([9, 1], [300, 100])

    found = verdict(scorers={"all": "BMF", "guests": "popularity"}, heldout=replace(HELDOUT, n_events=n_events))

    segments = found.figures["candidate"]["segments"]
    assert segments["guests"]["map10"] == segments["guests"]["popularity"]
    assert segments["known"]["map10"] == pytest.approx(HELDOUT.map10["BMF"][:300].mean())


def test_a_segment_that_loses_for_certain_is_a_warning_beside_the_figures_of_each() -> None:
    n_events = np.repeat([9, 3, 1], [380, 15, 5])  # known, returning, and too few guests
    candidate = np.where(n_events == 3, 0.1, 0.2)

    found = verdict(paired=PairedFigures(SINCE, candidate, np.full(N_USERS, 0.2), n_events))

    assert found.publishes
    assert found.warnings == (
        "MAP@10 of 15 users of the segment `returning` since 2024-01-08 is 0.1000, and 0.2000 with version "
        "20240101T000000Z-00000000: a difference of -0.1000, at most -0.1000; allowed is -0.0100.",
    )
    segments = found.figures["paired"]["segments"]
    assert {name: (part["users"], part["at_most"]) for name, part in segments.items()} == {
        "known": (380, pytest.approx(0)),
        "returning": (15, pytest.approx(-0.1)),
    }
    lines = verdict_lines(found.to_json())
    assert "Of them returning (15 users): MAP@10 0.1000 and 0.2000; the difference is at most -0.1000." in lines


def test_several_reasons_are_counted_in_one_sentence() -> None:
    found = verdict(counts=counts(users=1, events=2))

    assert len(found.reasons) == 2
    assert found.sentence == f"{found.reasons[0]} 1 more in models/metrics.json."


def test_scores_that_are_no_numbers_cannot_be_forced_and_all_else_can() -> None:
    assert not verdict(not_finite=("BMF",)).can_be_forced
    forced = replace(verdict(agreement=0.0), forced=True)
    assert forced.can_be_forced
    assert forced.publishes
    assert forced.to_json()["forced"] is True
    assert forced.to_json()["reasons"] != []


WARNED: Mapping[str, tuple[dict[str, Any], str]] = {
    "few users": (
        {"counts": {"users": 49, "items": 10, "for_sale": 9, "events": 300}},
        "Training knows 49 users; with fewer than 50",
    ),
    "sparse": ({"counts": counts(events=1999)}, "99.00% of all pairs of a user and a product have no event"),
    "one id for all guests": (
        {"largest_user": 0, "largest_share": 0.5},
        "User 0 has 50% of all events (above 10%). If your guests share this id",
    ),
    "a version of another time": (
        {"paired": "it is too old to hold all of its evaluation fit"},
        "is compared by the figures of its publication only: it is too old to hold all of its evaluation fit.",
    ),
}


@pytest.mark.parametrize("case", WARNED)
def test_a_shop_is_warned(case: str) -> None:
    changes, warning = WARNED[case]

    found = verdict(**{"active": None if "counts" in changes else ACTIVE, **changes})

    assert found.publishes
    assert [text for text in found.warnings if warning in text] == list(found.warnings)
    assert len(found.warnings) == 1


def test_nothing_is_warned_about_a_shop_within_the_limits() -> None:
    assert verdict().warnings == ()


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ({"events": 100, "users": 10, "items": 10}, False),
        ({"events": 99, "users": 10, "items": 10}, True),
        ({"events": 100, "users": 9, "items": 10}, True),
        ({"events": 100, "users": 10, "items": 9}, True),
    ],
)
def test_a_shop_below_any_least_number_is_too_small(counts: dict[str, int], expected: bool) -> None:
    assert too_small(counts, LIMITS) is expected


# The scorer of each segment


def test_every_user_with_an_event_is_in_one_segment() -> None:
    n_events = np.arange(1, 501)

    member = np.stack([in_segment(n_events, name) for name in SEGMENTS])

    assert (member.sum(axis=0) == 1).all()
    assert [list(SEGMENTS)[place] for place in member.argmax(axis=0)] == [segment_of(n) for n in n_events.tolist()]


def per_user(n: int, **means: float) -> dict[str, NDArray[np.float64]]:
    return {name: figures_of(mean, n, seed) for seed, (name, mean) in enumerate(means.items())}


def no_harm(*names: str) -> HeldoutFigures:
    """Return a test in which all scorers are equal."""
    return HeldoutFigures(dict.fromkeys([*names, "popularity"], figures_of(0.1)), np.full(N_USERS, 9))


def test_the_cheapest_within_one_standard_error_is_chosen() -> None:
    close = {"ENCM": figures_of(0.2), "ease": figures_of(0.2, seed=2), "popularity": figures_of(0.05)}

    assert cheapest_of_the_best(close, {}) == "ease"
    assert cheapest_of_the_best({**close, "ease": figures_of(0.1)}, {}) == "ENCM"
    assert cheapest_of_the_best(dict.fromkeys(REGISTRY, figures_of(0.1)), {}) == "popularity"
    assert cheapest_of_the_best({"ENCM": np.array([0.2]), "ease": np.array([0.1])}, {}) == "ENCM", (
        "one user has no error"
    )


@pytest.mark.parametrize(
    ("ease", "popularity", "chosen"),
    [
        (0.3, 0.3, "popularity"),
        (0.3, 0.2, "ease"),
        (0.2, 0.3, "popularity"),  # the dearer one, which finds fewer, is out as well
        (0.0, 0.0, "ENCM"),
    ],
)
def test_a_scorer_whose_ten_places_certainly_hold_fewer_relevant_items_is_no_equal(
    ease: float, popularity: float, chosen: str
) -> None:
    equal = dict.fromkeys(("ENCM", "ease", "popularity"), figures_of(0.2))
    recall10 = {
        name: np.where(np.arange(N_USERS) < share * N_USERS, 1.0, 0.0)
        for name, share in (("ENCM", 0.3), ("ease", ease), ("popularity", popularity))
    }

    assert cheapest_of_the_best(equal, recall10) == chosen
    assert cheapest_of_the_best(equal, {"ENCM": recall10["ENCM"]}) == "popularity", "nothing is known of the others"


def test_each_segment_with_enough_users_has_a_scorer_of_its_own() -> None:
    n_events = np.repeat([9, 3, 1], 200)
    parts = [per_user(200, ENCM=0.3, ease=0.1), per_user(200, ENCM=0.1, ease=0.3), per_user(200, ENCM=0.1, ease=0.2)]
    map10 = {name: np.concatenate([part[name] for part in parts]) for name in ("ENCM", "ease")}

    scorers, notes = choose_scorers(ValidationFigures("ease", map10, n_events), no_harm("ENCM", "ease"), LIMITS, 1)

    assert (scorers, notes) == ({"all": "ease", "known": "ENCM"}, [])


def test_a_segment_with_too_few_users_has_the_scorer_of_all() -> None:
    n_events = np.concatenate([np.full(300, 9), np.full(199, 1)])
    map10 = {
        "ENCM": np.concatenate([figures_of(0.3, 300), figures_of(0.1, 199)]),
        "ease": np.concatenate([figures_of(0.1, 300), figures_of(0.3, 199)]),
    }

    scorers, _ = choose_scorers(ValidationFigures("ENCM", map10, n_events), no_harm("ENCM", "ease"), LIMITS, 1)

    assert scorers == {"all": "ENCM"}


def test_a_shop_with_too_few_users_is_served_by_the_best_on_validation() -> None:
    map10 = {"ENCM": figures_of(0.1, 199), "ease": figures_of(0.1, 199), "popularity": figures_of(0.05, 199)}
    few = ValidationFigures("ENCM", map10, np.full(199, 9))

    assert choose_scorers(few, no_harm("ENCM", "ease"), LIMITS, 1)[0] == {"all": "ENCM"}
    assert choose_scorers(ValidationFigures("item_cf", {}, np.zeros(0, int)), no_harm("item_cf"), LIMITS, 1)[0] == {
        "all": "item_cf"
    }


def test_popularity_serves_a_segment_that_loses_to_it_for_certain() -> None:
    lost = HeldoutFigures(
        {
            "ENCM": np.concatenate([figures_of(0.3, 300), figures_of(0.02, 100)]),
            "popularity": np.concatenate([figures_of(0.1, 300), figures_of(0.2, 100)]),
        },
        np.concatenate([np.full(300, 9), np.full(100, 1)]),
    )

    scorers, notes = choose_scorers(ValidationFigures("ENCM", {}, np.zeros(0, int)), lost, LIMITS, 1)

    assert scorers == {"all": "ENCM", "guests": "popularity"}
    assert notes == ["Popularity serves the segment `guests`, 100 users: there it has MAP@10 0.2000, ENCM has 0.0200."]


def test_recent_popularity_serves_a_segment_that_loses_to_it_for_certain() -> None:
    lost = {"ENCM": figures_of(0.2), "popularity_recent": figures_of(0.3), "popularity": figures_of(0.1)}

    scorers, notes = choose_scorers(
        ValidationFigures("ENCM", {}, np.zeros(0, int)), HeldoutFigures(lost, np.full(N_USERS, 9)), LIMITS, 1
    )

    assert scorers == {"all": "popularity_recent"}
    assert notes[0] == (
        "Recent popularity serves the segment `all`, 400 users: there it has MAP@10 0.3000, ENCM has 0.2000."
    )


def test_popularity_that_serves_may_not_lose_to_recent_popularity_either() -> None:
    lost = {"popularity_recent": figures_of(0.3), "popularity": figures_of(0.1)}
    heldout = HeldoutFigures(lost, np.full(N_USERS, 9))

    assert choose_scorers(ValidationFigures("popularity", {}, np.zeros(0, int)), heldout, LIMITS, 1)[0] == {
        "all": "popularity_recent"
    }


# ENCM, ease and popularity are equal on validation, and item_cf is far below. Each list has two items of six; 0 and 1
# are best-sellers, and each user has category 0, the items 0, 2 and 4, in view.
SHOWN = ShownLists(
    {
        "ENCM": [np.array([0, 4])] * 150 + [np.array([2, 4])] * 150,  # a quarter best-sellers, all in view, 3 items
        "ease": [np.array([2, 3])] * 100 + [np.array([4, 5])] * 100 + [np.array([0, 5])] * 100,  # 5 items, 1/6
        "item_cf": [np.array([2, 3])] * 150 + [np.array([4, 5])] * 150,
        "popularity": [np.array([0, 1])] * 300,
    },
    np.arange(6) < 2,
    np.array([0, 1, 0, 1, 0, 1], np.int32),
    [np.array([0], np.int32)] * 300,
    6,
)


@pytest.mark.parametrize(
    ("among_equals", "expected"),
    [("cheapest", "popularity"), ("category", "ENCM"), ("coverage", "ease"), ("fewest_best_sellers", "ease")],
)
@pytest.mark.parametrize("shown", [SHOWN, None])
def test_a_setting_decides_among_scorers_that_validation_cannot_tell_from_the_best(
    among_equals: str, expected: str, shown: ShownLists | None
) -> None:
    map10 = {**dict.fromkeys(("ENCM", "ease", "popularity"), figures_of(0.3, 300)), "item_cf": figures_of(0.1, 300)}
    validation = ValidationFigures("ENCM", map10, np.full(300, 9), shown)

    scorers, _ = choose_scorers(validation, no_harm("ENCM", "ease", "item_cf"), LIMITS, 1, among_equals)

    assert scorers == {"all": expected if shown else "popularity"}


def test_a_shop_without_categories_is_decided_by_the_cheapest() -> None:
    shown = replace(SHOWN, categories=np.zeros(6, np.int32))
    map10 = dict.fromkeys(("ENCM", "ease"), figures_of(0.3, 300))
    validation = ValidationFigures("ENCM", map10, np.full(300, 9), shown)

    assert choose_scorers(validation, no_harm("ENCM", "ease"), LIMITS, 1, "category")[0] == {"all": "ease"}


def test_few_users_are_no_reason_for_popularity() -> None:
    lost = HeldoutFigures({"ENCM": np.zeros(9), "popularity": np.ones(9)}, np.full(9, 9))

    assert choose_scorers(ValidationFigures("ENCM", {}, np.zeros(0, int)), lost, LIMITS, 1) == ({"all": "ENCM"}, [])


def test_a_scorer_that_the_test_does_not_know_cannot_be_chosen() -> None:
    map10 = {"LNCM": figures_of(0.9, 300), "ease": figures_of(0.3, 300)}

    scorers, _ = choose_scorers(ValidationFigures("ease", map10, np.full(300, 9)), no_harm("ease"), LIMITS, 1)

    assert scorers == {"all": "ease"}
