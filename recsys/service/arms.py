"""Serves each customer by their arm of an experiment, and writes down who has entered."""

from __future__ import annotations

import time
from collections import OrderedDict
from contextlib import suppress
from typing import Any

from recsys.errors import RecsysError
from recsys.service.lists import AGAIN, BASKETS, RANKINGS, SIMILAR, ListSpec
from recsys.service.threads import Threads
from recsys.settings import NO_LISTS, Arm, Experiment
from recsys.tracking.analytics import new_recommendation_id
from recsys.tracking.experiments import arm_of, check_arms, keep_arm
from recsys.tracking.record import is_guest

MOST_WRITTEN = 100_000  # customers that a process remembers; others are written again, which changes nothing


class Arms:
    """The arms of the experiment. The event loop owns it; what it writes is written in threads."""

    def __init__(self, experiment: Experiment | None, threads: Threads) -> None:
        """Remember the experiment.

        Args:
            experiment: The experiment; None serves everybody alike.
            threads: Where arms are written.

        Raises:
            SettingsError: The model of an arm is unknown.
        """
        check_arms(experiment)
        self._experiment = experiment
        self._threads = threads
        self._written: OrderedDict[str, None] = OrderedDict()

    def of(self, user: int | str | None) -> Arm | None:
        """Return the arm of a customer; None for a guest, and for those outside of the experiment."""
        if self._experiment is None or user is None or is_guest(user):
            return None
        return arm_of(self._experiment, user)

    def is_new(self, user: int | str) -> bool:
        """Return whether a customer of the experiment has had no answer of this process yet."""
        return str(user) not in self._written

    async def enter(self, user: int | str) -> None:
        """Write down that a customer has had an answer of the experiment; a later one changes nothing.

        A failure is no failure of the answer: the customer's next answer tries again.

        Args:
            user: A customer of the experiment.
        """
        experiment, name, now = self._experiment, str(user), int(time.time())
        if experiment is None:
            return
        with suppress(RecsysError):
            await self._threads.run(self._threads.use, lambda db: keep_arm(db, experiment, name, now=now))
            self._written[name] = None
            if len(self._written) > MOST_WRITTEN:
                self._written.popitem(last=False)


def served(spec: ListSpec, limit: int, arm: Arm | None) -> tuple[ListSpec, int]:
    """Return which list a customer of an arm gets, and how long it may be.

    The arm's model ranks the customer's own lists, whatever the request names. Rankings and what belongs to a product
    are ranked the same in both arms. The repeat rule holds for every list but rankings, `complementary` for a basket's.

    Args:
        spec: The list that was asked for.
        limit: Its length.
        arm: The customer's arm; None changes nothing.
    """
    if arm is None:
        return spec, limit
    is_own = spec.product is None and spec.context not in (*RANKINGS, SIMILAR, AGAIN)
    is_basket = spec.product is not None and spec.context in BASKETS
    spec = spec._replace(
        model=arm.model if is_own else spec.model,
        repeat=None if spec.user is None else arm.repeat,
        complementary=is_basket and bool(arm.complementary),
    )
    return spec, min(limit, arm.limit or limit)


def empty_list() -> dict[str, Any]:
    """Return the answer of an arm without any recommendation."""
    return {
        "recommendations": [],
        "algorithm": NO_LISTS,
        "cached": False,
        "recommendation_id": new_recommendation_id(NO_LISTS),
    }
