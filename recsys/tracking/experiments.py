"""Which arm of an experiment a customer belongs to, and what `rec_user_segments` keeps of it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable
from typing import Any, NamedTuple

from recsys.errors import SettingsError
from recsys.errors.wording import listed, shown
from recsys.scorers.registry import REGISTRY
from recsys.settings import NO_LISTS, Arm, Experiment
from recsys.store import Database
from recsys.store.tracking_experiments import write_arm
from recsys.tracking.segments import GUESTS

AUTO = "auto"
ALWAYS_DESCRIBED = ("name", "share", "model", "limit")
_DIGITS = 6  # of a definition's hash


class Assignment(NamedTuple):
    """Since when a customer is in an arm.

    Attributes:
        user: The customer's id.
        arm: The arm's name.
        at: The first answer of the experiment, in seconds since 1970.
    """

    user: str
    arm: str
    at: int


def arm_of(experiment: Experiment, user_id: int | str) -> Arm | None:
    """Return the arm of a customer: the same on every machine and at every time; None outside of both shares.

    It depends on the experiment's name and the customer's id alone. So a change of shares moves as few as it can, and
    two experiments of different names divide the customers independently.

    Args:
        experiment: The experiment.
        user_id: The customer's id; 7 and "7" are the same.
    """
    digest = hashlib.sha256(f"{experiment.name}\0{user_id}".encode("utf-8", "surrogatepass")).digest()
    place = int.from_bytes(digest[:8]) / 2**64  # 0 to 1
    for arm in experiment.arms:
        if place < arm.share:
            return arm
        place -= arm.share
    return None


def definition(experiment: Experiment) -> str:
    """Return the beginning of what `rec_user_segments` keeps: the name, and a hash of arms and shares.

    After a change of an arm or a share, it is another one, so that customers who were served otherwise before are never
    counted as if they had been served by the arms of now. The Express backend writes the same.
    """
    arms = json.dumps([_described(arm) for arm in experiment.arms])
    return f"{experiment.name}:{hashlib.sha256(arms.encode()).hexdigest()[:_DIGITS]}:"


def _described(arm: Arm) -> list[Any]:
    """Return what an arm is; further keys only where they are set, so that new ones change no running experiment."""
    further = [key for key in vars(arm) if key not in ALWAYS_DESCRIBED and getattr(arm, key) is not None]
    return [getattr(arm, key) for key in ALWAYS_DESCRIBED] + [[key, getattr(arm, key)] for key in sorted(further)]


def keep_arm(db: Database, experiment: Experiment, user_id: int | str, *, now: int) -> None:
    """Write into `rec_user_segments` that a customer has entered an experiment, unless they have done so before.

    Args:
        db: The database.
        experiment: The experiment; customers outside of both shares are not written.
        user_id: The customer's id.
        now: The moment of the answer, in seconds since 1970.
    """
    arm = arm_of(experiment, user_id)
    if arm is not None:
        prefix = definition(experiment)
        write_arm(db, str(user_id), f"{prefix}{arm.name}:{now}", GUESTS, prefix=prefix, now=now)


def assignments(experiment: Experiment, rows: Iterable[tuple[str, str]]) -> tuple[list[Assignment], int]:
    """Return the customers of an experiment in the order in which they entered, and how many have another arm.

    Args:
        experiment: The experiment.
        rows: Customers, and the text of their arm in `rec_user_segments`. Those of another experiment, or of this one
            before a change, are only counted.
    """
    prefix, names = definition(experiment), {arm.name for arm in experiment.arms}
    found, n_others = [], 0
    for user, text in rows:
        arm, _, moment = text.removeprefix(prefix).partition(":")
        if text.startswith(prefix) and arm in names and moment.isdecimal():
            found.append(Assignment(user, arm, int(moment)))
        else:
            n_others += 1
    return sorted(found, key=lambda one: (one.at, one.user)), n_others


def in_both_arms(assigned: Iterable[Assignment], visits: Iterable[tuple[str, str]]) -> set[str]:
    """Return the customers who were in a visit in which a customer of the other arm was, too.

    That is one person on two devices, or before and after a login, who has seen both arms.

    Args:
        assigned: The customers of the experiment.
        visits: Visits and the customers that had events in them.
    """
    arms = {one.user: one.arm for one in assigned}
    of_visit: dict[str, set[str]] = {}
    for visit, user in visits:
        if user in arms:
            of_visit.setdefault(visit, set()).add(user)
    mixed = (users for users in of_visit.values() if len({arms[user] for user in users}) > 1)
    return {user for users in mixed for user in users}


def check_arms(experiment: Experiment | None, scorers: Collection[str] = tuple(REGISTRY)) -> None:
    """Make sure that the models of both arms are known.

    Raises:
        SettingsError: A model is unknown.
    """
    known = (AUTO, NO_LISTS, *scorers)
    for arm in experiment.arms if experiment else ():
        if arm.model not in known:
            where = f"[experiments.arms.{arm.name}] `model`"
            raise SettingsError(f"{where} should be one of {listed(known)}. Received: {shown(arm.model)}.")
