"""The tables [experiments] and [privacy] of recsys.toml: two arms to compare, and how long events are kept."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Literal

from recsys.errors import SettingsError
from recsys.errors.records import Record
from recsys.errors.wording import shown
from recsys.settings.checks import REPEAT_DAYS, TEXT, TRUTH, SettingCheck, checked, listed, number, one_of

METRICS = ("revenue", "purchases", "carts")  # clicks are none: an arm without lists has none
NO_LISTS = "none"  # the model of an arm whose customers get no recommendations at all
LEAST_KEPT_DAYS = 14  # an outcome is seen for seven days, and a touch counts for seven days
_SHORT_NAME = SettingCheck(
    "1 to 12 letters, digits, - or _",
    lambda value: isinstance(value, str) and re.fullmatch(r"[A-Za-z0-9_-]{1,12}", value) is not None,
)
_EXPERIMENT = {
    "name": _SHORT_NAME,
    "metric": one_of(METRICS),
    "planned_users": number(200, 10**9, whole=True),
    "arms": SettingCheck("a table of two arms", lambda value: isinstance(value, Mapping) and len(value) == 2),
}
_ARM = {
    "share": number(0.01, 0.99),
    "model": TEXT,
    "limit": number(1, 100, whole=True),
    "repeat": one_of(tuple(REPEAT_DAYS)),  # from here on, fields of requests by their names
    "complementary": TRUTH,
}
_PRIVACY = {"keep_days": number(LEAST_KEPT_DAYS, 36_500, whole=True)}


class Arm(Record):
    """How the customers of one arm are served.

    Attributes:
        name: The arm's name.
        share: The share of customers, 0.01 to 0.99.
        model: A scorer's name, `auto`, or `none` for no recommendations at all.
        limit: The most products of a list; None leaves it to the request.
        repeat: `allow` shows what the customer has bought, `hide` never does; None leaves it to the shop's rule.
        complementary: Whether the lists of baskets leave out the categories that the basket has; None does not.
    """

    name: str
    share: float
    model: str = "auto"
    limit: int | None = None
    repeat: Literal["allow", "hide"] | None = None
    complementary: bool | None = None


class Experiment(Record):
    """Two arms, and what decides between them.

    Attributes:
        name: The experiment's name; customers are assigned by it.
        arms: The first one is what the second one is compared with.
        metric: What decides: `revenue`, `purchases` or `carts` of a customer's first seven days.
        planned_users: The number of customers for which the decision is sharpest; it is valid for every number.
    """

    name: str
    arms: tuple[Arm, Arm]
    metric: str = "revenue"
    planned_users: int = 10_000


class Privacy(Record):
    """How long what users did is kept.

    Attributes:
        keep_days: Days after which recorded events are deleted; None keeps them.
    """

    keep_days: int | None = None


def read_experiment(toml: Mapping[str, Any]) -> Experiment | None:
    """Read the table [experiments] of recsys.toml; None where there is none.

    Raises:
        SettingsError: A name or a value is not what it should be.
    """
    if "experiments" not in toml:
        return None
    values = checked(toml["experiments"], _EXPERIMENT, "[experiments]")
    if missing := [name for name in ("name", "arms") if name not in values]:
        raise SettingsError(
            f"[experiments] should hold `name` and two [experiments.arms.…]. Missing: {listed(missing)}."
        )
    first, second = (_arm(name, table) for name, table in values.pop("arms").items())
    if first.share + second.share > 1 + 1e-9:
        received = f"{first.share:g} and {second.share:g}"
        raise SettingsError(f"The `share` of both arms of [experiments] should sum to 1 or less. Received: {received}.")
    if _served(first) == _served(second):
        names = listed(name for name in _ARM if name != "share")
        raise SettingsError(f"The two arms of [experiments] should differ in one of {names}. Received: two equal arms.")
    return Experiment(arms=(first, second), **values)


def read_privacy(toml: Mapping[str, Any]) -> Privacy:
    """Read the table [privacy] of recsys.toml, with its default.

    Raises:
        SettingsError: A name or a value is not what it should be.
    """
    return Privacy(**checked(toml.get("privacy", {}), _PRIVACY, "[privacy]"))


def _served(arm: Arm) -> tuple[object, ...]:
    """Return how the customers of an arm are served; without any list, nothing else counts."""
    if arm.model == NO_LISTS:
        return (NO_LISTS,)
    return arm.model, arm.limit, arm.repeat, bool(arm.complementary)


def _arm(name: object, table: object) -> Arm:
    where = f"[experiments.arms.{shown(name, quotes=False)}]"
    _SHORT_NAME.of(name, f"The name of {where}")
    values = checked(table, _ARM, where)
    if "share" not in values:
        raise SettingsError(f"{where} should hold `share`, such as 0.5. Received: none.")
    return Arm(name=str(name), **values)
