"""Records what customers do, and refreshes behind the answers what follows from it."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from uuid import uuid4

from recsys.bridge.serving import Service
from recsys.data.ids import canonical
from recsys.errors import InvalidRequest, RecsysError
from recsys.service.answers import Answers
from recsys.service.failures import NotFound
from recsys.service.messages import Track
from recsys.service.threads import Threads
from recsys.store import Database
from recsys.store.cards import item_of_handle
from recsys.tracking.lists import sweep_lists
from recsys.tracking.preferences import refresh_preferences
from recsys.tracking.record import (
    ADD_TO_CART,
    PURCHASE,
    REMOVE_FROM_WISHLIST,
    VIEW,
    WISHLIST,
    Recorded,
    TrackedEvent,
    join_guest,
    record,
    sweep_tracking,
)

CHANGE_LISTS = frozenset({ADD_TO_CART, PURCHASE, WISHLIST, REMOVE_FROM_WISHLIST})
SAY_WHAT_IS_LIKED = CHANGE_LISTS | {VIEW}
SWEEP_S = 60.0  # between two looks for what killed processes have left, and for lists that have expired
REFRESH_S = 30.0  # of the database, for the preferences of many users


class Events:
    """Records events. The event loop owns it; what it writes is written in threads."""

    def __init__(self, service: Service, threads: Threads, answers: Answers) -> None:
        self._service = service
        self._threads = threads
        self._answers = answers
        self._changed: dict[int | str, None] = {}
        self._is_refreshing = False

    async def track(self, user: int | str, sent: Track) -> Recorded:
        """Store an event once, and return after the commit.

        Args:
            user: Whose event it is.
            sent: The event.

        Raises:
            NotFound: No product has the handle.
            InvalidRequest: The product's id is none that the shop can have.
        """
        recorded, changes = await self._threads.run(self._record, user, sent)
        if changes:
            self._answers.had_event(user)
        if sent.interaction_type in SAY_WHAT_IS_LIKED:
            self._refresh_soon(user)
        return recorded

    async def join(self, guest: str, user: int | str) -> int:
        """Give what a guest did to the customer who has signed in; returns how many events there were.

        Raises:
            InvalidRequest: The first id is none of a guest, or the second one is.
        """

        def work(db: Database) -> int:
            n_events = join_guest(db, guest, user)
            self._answers.forget(db, guest)
            self._answers.forget(db, user)
            return n_events

        n_events: int = await self._threads.run(self._threads.use, work)
        if n_events:
            self._answers.had_event(user)
            self._refresh_soon(user)
        return n_events

    def _refresh_soon(self, user: int | str) -> None:
        """Have a user's events folded again behind the answers."""
        self._changed[user] = None
        if not self._is_refreshing:
            self._is_refreshing = True
            self._answers.later(self._refresh())

    async def keep_house(self) -> None:
        """Refresh and sweep once a minute, until the task is cancelled."""
        while True:
            with suppress(RecsysError):
                await self._threads.run(self._sweep)
            await asyncio.sleep(SWEEP_S)

    def _record(self, user: int | str, sent: Track) -> tuple[Recorded, bool]:
        """Store an event, and delete the lists that it changes; in a thread."""
        # With an id the event may be sent again, where the connection is lost before the commit is known.
        event_id = sent.event_id or uuid4().hex
        changes = sent.interaction_type in CHANGE_LISTS

        def work(db: Database) -> Recorded:
            event = TrackedEvent(
                user_id=user,
                session_id=sent.session_id,
                product_id=self._product(db, sent),
                event=sent.interaction_type,
                metadata=sent.metadata,
                event_id=event_id,
                recommendation_id=sent.recommendation_id,
                position=sent.position,
            )
            recorded = record(db, event, now=int(time.time()))
            if changes:
                self._answers.forget(db, user)
            return recorded

        return self._threads.use(work), changes

    def _product(self, db: Database, sent: Track) -> int | str | None:
        return product_of(db, self._service, sent.product_id, sent.product_handle)

    async def _refresh(self) -> None:
        """Fold the events of users again who have had some."""
        try:
            while self._changed:
                users, self._changed = list(self._changed), {}
                with suppress(RecsysError):  # the sweep finds them
                    await self._threads.run(self._refresh_users, users)
        finally:
            self._is_refreshing = False

    def _refresh_users(self, users: list[int | str]) -> int:
        shop, now = self._service.settings.shop, int(time.time())
        return self._threads.use(lambda db: refresh_preferences(db, shop, users, now=now), seconds=REFRESH_S)

    def refresh_all(self) -> str:
        """Fold the events of all users who have had some since their last refresh; returns how many there were."""
        shop, now, n_users = self._service.settings.shop, int(time.time()), 0
        while n := self._threads.use(lambda db: refresh_preferences(db, shop, None, now=now), seconds=REFRESH_S):
            n_users += n
        return f"{n_users} customers"

    def _sweep(self) -> None:
        now = int(time.time())
        privacy = self._service.settings.privacy
        self._threads.use(lambda db: sweep_lists(db, now), seconds=REFRESH_S)
        self._threads.use(lambda db: sweep_tracking(db, privacy, now=now), seconds=REFRESH_S)
        self.refresh_all()


def product_of(db: Database, service: Service, product: int | str | None, handle: str | None) -> int | str | None:
    """Return the product that a request names, in the shop's type; None where it names none.

    Args:
        db: The open database.
        service: The settings and the version.
        product: Its id.
        handle: The name in its page's address, which counts where there is no id.

    Raises:
        NotFound: No product has the handle.
        InvalidRequest: The id is none that the shop can have.
    """
    if product is None and handle is not None:
        found = item_of_handle(db, service.settings.shop, handle)
        if found is None:
            raise NotFound("`product_handle` should name a product of the shop. Received: another name.")
        return found
    if product is None:
        return None
    known = canonical(product, service.bundle.item_kind)
    if known is None:
        raise InvalidRequest("`product_id` should be an id of the shop. Received: another text.", field="product_id")
    return known
