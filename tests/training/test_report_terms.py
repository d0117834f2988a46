"""The tables of the report on the terms of the sum, and on what the lists show."""

from __future__ import annotations

from typing import Any

from recsys.training.report_terms import shown_section, terms_section

TRIED = [
    {"only": "neighbours", "map10": 0.05},
    {"only": "popularity", "map10": 0.02},
    {"penalty": 1.0, "sampling_correction_power": 0.0, "map10": 0.055},
    {"penalty": 0.1, "sampling_correction_power": 0.0, "map10": 0.06},
    {"without": "neighbours", "penalty": 0.1, "sampling_correction_power": 0.0, "map10": 0.03},
    {"without": "popularity", "penalty": 0.1, "sampling_correction_power": 0.0, "map10": 0.061},
]
FIT = {"choice": "signal weights", "model": "blend", "rule": "hide", "alike": [], "tried": TRIED}


def entry(**fit: Any) -> dict[str, Any]:
    others = [{"choice": "EASE l2", "value": 50.0}, {**FIT, "rule": "allow", "tried": []}, {**FIT, "model": "BMF"}]
    return {"rule": "hide", "winner": "ease", "validation": {"map10": {}, "trials": [*others, {**FIT, **fit}]}}


def test_each_term_stands_alone_and_is_left_out() -> None:
    page = terms_section(entry(without="popularity", map10=0.061))

    assert "<tr><td>neighbours</td><td>0.0500</td><td>0.0300</td><td>+0.0300</td></tr>" in page
    assert "<tr><td>popularity</td><td>0.0200</td><td>0.0610</td><td>-0.0010</td></tr>" in page
    assert "<b>the whole sum</b></td><td>0.0600</td>" in page
    assert "Taken is the sum without popularity, MAP@10 0.0610" in page


def test_a_term_alone_is_called_so_and_equal_terms_are_named() -> None:
    page = terms_section(entry(only="neighbours", alike=["neighbours_recent", "popularity_7d"]))

    assert "Taken is neighbours alone" in page
    assert "Left out, as they say the same as an earlier term: neighbours_recent, popularity_7d." in page


def test_without_a_fit_there_is_no_table() -> None:
    assert terms_section({"rule": "hide", "validation": {"trials": []}}) == ""
    assert terms_section({"rule": "hide", "validation": {"trials": [{**FIT, "tried": []}]}}) == ""
    assert terms_section({"rule": "hide", "validation": {"trials": [{"choice": "signal weights", "model": "blend",
        "rule": "hide", "fallback": True}]}}) == ""  # fmt: skip


def test_the_lists_of_each_segment_are_shown_with_who_serves() -> None:
    figures = {"best_sellers": 0.25, "coverage": 0.5, "category": None}
    by_scorer = dict.fromkeys(("ENCM", "ease", "blend", "popularity", "popularity_recent"), figures)
    shown = {"all": {"users": 1200, **by_scorer}, "guests": {"users": 200, **by_scorer}}
    # ENCM has no weight, so that its lists are those of blend
    rows = {"hide": {"ENCM": {"without_weight": True}, "blend": {}, "ease": {}}}
    map10 = {"ENCM": 0.2, "blend": 0.2, "ease": 0.2}
    told = {"winner": "ease", "validation": {"map10": map10}, "shown": shown, "rows": rows, "rule": "hide"}

    page = shown_section({**told, "verdict": {"scorers": {"all": "ease", "guests": "blend"}}})

    assert "<h3>all, 1,200 users</h3>" in page
    assert "ENCM" not in page
    assert "<tr><td><b>ease ★</b></td><td>25.0%</td><td>50.0%</td><td>–</td></tr>" in page.split("guests, 200")[0]
    assert "<b>blend ★</b>" in page.split("guests, 200")[1]
    assert "<b>ease ★</b>" in shown_section(told)
    assert shown_section({**told, "shown": None}) == ""
