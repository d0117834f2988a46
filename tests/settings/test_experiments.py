"""The tables [experiments] and [privacy] of recsys.toml."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from recsys.contract import parse_request
from recsys.errors import SettingsError
from recsys.settings import Arm, Experiment, Privacy, load_settings

URL = {"DATABASE_URL": "sqlite:///shop.sqlite"}
ARMS = '[experiments.arms.A]\nshare = 0.5\nmodel = "none"\n[experiments.arms.B]\nshare = 0.5\n'
GOOD = f'[experiments]\nname = "lists"\n{ARMS}'


def test_an_experiment_is_read_with_its_defaults(tmp_path: Path) -> None:
    assert load_settings(URL, tmp_path).experiment is None
    assert load_settings(URL, tmp_path).privacy == Privacy(None)
    more = 'metric = "carts"\nplanned_users = 500\n'
    cases = {
        GOOD: Experiment("lists", (Arm("A", 0.5, "none"), Arm("B", 0.5)), "revenue", 10_000),
        GOOD.replace('name = "lists"\n', f'name = "x"\n{more}').replace("share = 0.5\n", "share = 0.1\nlimit = 4\n"): (
            Experiment("x", (Arm("A", 0.1, "none", 4), Arm("B", 0.1, "auto", 4)), "carts", 500)
        ),
        GOOD.replace('model = "none"', 'repeat = "hide"\ncomplementary = true'): Experiment(
            "lists", (Arm("A", 0.5, repeat="hide", complementary=True), Arm("B", 0.5))
        ),
        GOOD.replace('model = "none"', 'repeat = "allow"') + 'repeat = "hide"\n': Experiment(
            "lists", (Arm("A", 0.5, repeat="allow"), Arm("B", 0.5, repeat="hide"))
        ),
    }
    for text, expected in cases.items():
        (tmp_path / "recsys.toml").write_text(f"{text}[privacy]\nkeep_days = 90\n", encoding="utf-8")
        settings = load_settings(URL, tmp_path)
        assert (settings.experiment, settings.privacy) == (expected, Privacy(90))


def test_the_example_of_the_page_is_read(tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs/EXPERIMENTS.md").read_text(encoding="utf-8")
    (tmp_path / "recsys.toml").write_text(page.split("```toml\n")[1].split("```")[0], encoding="utf-8")

    settings = load_settings(URL, tmp_path)

    arms = (Arm("without", 0.5, "none"), Arm("with", 0.5))
    assert (settings.experiment, settings.privacy) == (Experiment("lists", arms), Privacy(365))


def test_what_an_arm_sets_are_fields_of_requests_by_their_names() -> None:
    arms = (Arm("A", 0.5, "ENCM", 4, "allow", True), Arm("B", 0.5, "BMF", 100, "hide", False))
    for arm in arms:
        fields = {name: value for name, value in vars(arm).items() if name not in ("name", "share")}
        basket = {"op": "together", "item_ids": [3], **{**fields, "model": "auto"}}
        own = {name: value for name, value in fields.items() if name != "complementary"}
        for document in (basket, own):
            request = parse_request(json.dumps(document).encode(), models=("ENCM", "BMF"))
            assert {name: getattr(request, name) for name in own} == {**own, "model": document["model"]}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("experiments = 1", "[experiments] should be a table. Received: 1."),
        (f"[experiments]\n{ARMS}", "[experiments] should hold `name` and two [experiments.arms.…]. Missing: `name`."),
        ('[experiments]\nname = "x"', "Missing: `arms`."),
        (GOOD.replace("lists", "a:b"), "[experiments] `name` should be 1 to 12 letters, digits, - or _."),
        (GOOD.replace("lists", "a" * 13), "[experiments] `name` should be 1 to 12 letters"),
        (GOOD + "[experiments.arms.C]\nshare = 0.1\n", "[experiments] `arms` should be a table of two arms."),
        (GOOD.replace("arms.B", "arms.a-name-too-long"), "should be 1 to 12 letters"),
        (GOOD.replace("share = 0.5", "share = 0.6"), "should sum to 1 or less. Received: 0.6 and 0.6."),
        (
            GOOD.replace("share = 0.5", "share = 0"),
            "[experiments.arms.A] `share` should be a number from 0.01 to 0.99.",
        ),
        (GOOD.replace("share = 0.5\nmodel", "model"), "[experiments.arms.A] should hold `share`, such as 0.5."),
        (
            GOOD.replace('model = "none"\n', ""),
            "differ in one of `model`, `limit`, `repeat`, `complementary`. Received: two equal arms.",
        ),
        (
            GOOD.replace('model = "none"', "strict = true"),
            "A] should hold `share`, `model`, `limit`, `repeat`, `complementary`. Received: `strict`.",
        ),
        (GOOD.replace('model = "none"', "repeat = 30"), "[experiments.arms.A] `repeat` should be one of hide, allow."),
        (GOOD.replace('model = "none"', 'repeat = "Hide"'), "`repeat` should be one of hide, allow. Received:"),
        (GOOD.replace('model = "none"', 'complementary = "yes"'), "`complementary` should be true or false."),
        (GOOD.replace('model = "none"', "complementary = false"), "Received: two equal arms."),
        (GOOD + 'model = "none"\nrepeat = "hide"\n', "Received: two equal arms."),  # neither has any list
        (GOOD.replace('lists"', 'lists"\nmetric = "clicks"'), "`metric` should be one of revenue, purchases, carts."),
        (GOOD.replace('lists"', 'lists"\nplanned_users = 10'), "`planned_users` should be a whole number from 200"),
        (
            "[privacy]\nkeep_days = 13",
            "[privacy] `keep_days` should be a whole number from 14 to 36,500. Received: 13.",
        ),
        ("[privacy]\nkeep_days = true", "[privacy] `keep_days` should be a whole number"),
        ("[privacy]\ndays = 30", "[privacy] should hold `keep_days`. Received: `days`."),
    ],
)
def test_what_is_wrong_is_refused_by_name(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "recsys.toml").write_text(text, encoding="utf-8")

    with pytest.raises(SettingsError) as caught:
        load_settings(URL, tmp_path)

    assert message in str(caught.value)
