"""A version answers before it serves: the path of a request is asked for a version that is written, but not active.

It is asked with the account of the database that the backend serves with, so that a missing right is found here, too.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from recsys import store
from recsys.contract import Response, parse_request, success
from recsys.data.dataset import Dataset
from recsys.data.encoding import Encoders
from recsys.data.purchases import window_start
from recsys.errors import (
    InternalError,
    InvalidRequest,
    ModelMismatch,
    ModelRefused,
    SettingsError,
    TrainingRefused,
    UnknownUser,
)
from recsys.errors.records import Record
from recsys.features.query import MAX_HISTORY
from recsys.recommending.loading import ModelBundle, load, smoke_test
from recsys.recommending.recommend import recommend
from recsys.recommending.user import load_user
from recsys.scorers.registry import REGISTRY
from recsys.settings import Settings

KNOWN_USERS = 20
TOLERATED = 10  # one user in so many may have fewer events than training read: a shop cancels and deletes meanwhile
WRONG = (InternalError, InvalidRequest, ModelMismatch, ModelRefused, SettingsError, UnknownUser)


class Learned(Record):
    """What training read, which the version has to know.

    Attributes:
        encoders: The encoders of the fit that serves.
        data: Its events.
        products: The ids of the shop's products.
        now: Seconds since 1970.
        as_recorded: Whether training read the events as a request does, without a step of the shop's own.
    """

    encoders: Encoders
    data: Dataset
    products: frozenset[int | str]
    now: int
    as_recorded: bool = True


def check_answers(
    settings: Settings, name: str, learned: Learned, *, connect: Callable[..., store.Database] = store.connect
) -> None:
    """Ask a version that is not active yet for known users, a guest and a similar item.

    Args:
        settings: Where the version and the shop are.
        name: The version's name; its encoders are in the database.
        learned: What training read.
        connect: Opens the database.

    Raises:
        TrainingRefused: An answer fails, or is not what it should be; the message says which and how.
        DatabaseUnavailable: The database cannot be reached.
    """
    try:
        bundle = load(settings.models_dir, name=name)
        with bundle.version, connect(settings.serve_database_url or settings.database_url) as db:
            smoke_test(bundle, db)
            _Questions(settings, bundle, db, learned).ask_all()
    except WRONG as error:
        raise TrainingRefused(f"The new version should answer before it serves. Received: {error}") from error


class _Questions:
    """Requests to one version, and what their answers should be."""

    def __init__(self, settings: Settings, bundle: ModelBundle, db: store.Database, learned: Learned) -> None:
        self._settings, self._bundle, self._db, self._learned = settings, bundle, db, learned
        self._popular = int(np.argmax(np.bincount(learned.data.items, minlength=learned.data.n_items)))

    def ask_all(self) -> None:
        """Ask for the known users, a guest and a similar item."""
        short = [text for user in self._users() if (text := self._ask_user(user))]
        if len(short) > KNOWN_USERS // TOLERATED:
            raise TrainingRefused(short[0])
        item = self._learned.encoders.items.ids[self._popular : self._popular + 1].tolist()[0]
        event = next(name for name, weight in self._settings.shop.event_weights.items() if weight > 0)
        self._ask("a guest", {"interactions": [{"item_id": item, "event": event}]})
        similar = self._ask("a similar item", {"op": "similar", "item_id": item})
        if item in similar:
            raise TrainingRefused(f"Items similar to {item!r} should be others. Received: the item itself.")

    def _users(self) -> list[int]:
        """Return the indices of users with few events and of users with many, evenly spaced by their number."""
        n_accounts = self._bundle.n_users - self._bundle.n_sessions
        order = np.argsort(np.diff(self._learned.data.starts)[:n_accounts], kind="stable")
        places = np.linspace(0, len(order) - 1, min(KNOWN_USERS, len(order))).astype(int)
        chosen: list[int] = order[places].tolist()
        return chosen

    def _ask_user(self, user: int) -> str:
        """Ask for one known user; return what is wrong with the number of their events, or nothing of it."""
        learned, shop = self._learned, self._settings.shop
        user_id = learned.encoders.users.ids[user : user + 1].tolist()[0]
        who = f"user {user_id!r}"
        shown = self._ask(who, {"user_id": user_id})
        request = self._request({"user_id": user_id})
        known = load_user(request, self._bundle, self._db, shop=shop, now=learned.now)
        if not known.known or known.query.user != user:
            raise TrainingRefused(
                f"The new version should know {who}, from whom training learned. Received: a stranger."
            )
        if not learned.as_recorded:
            return ""  # the shop's own step may have changed items and events
        rows = learned.data.rows_of(user)
        timestamps = known.query.timestamps
        n_seen = int((timestamps <= self._bundle.data_until).sum())
        n_read = min(rows.stop - rows.start, MAX_HISTORY - (len(timestamps) - n_seen))
        if n_seen < n_read:
            return f"A request of {who} should see {n_read} events, as training did. Received: {n_seen}."
        bought = learned.data.bought(user, window_start(learned.now, shop.repeat_after_days))
        again = next((item for item in learned.encoders.items.ids[bought].tolist() if item in shown), None)
        if again is not None:
            raise TrainingRefused(f"The list of {who} should hide what they bought. Received: {again!r}.")
        return ""

    def _ask(self, who: str, fields: Mapping[str, Any]) -> set[int | str]:
        """Send a request along the path that serves, and return the ids of the answer."""
        response = self._answer(self._request(fields))
        success(response)
        ids = [item.product_id for item in response.items]
        if response.model_version != self._bundle.name or not ids:
            raise TrainingRefused(f"The answer for {who} should hold products. Received: none.")
        strange = [item for item in ids if item not in self._learned.products and not self._is_new(item)]
        if strange:
            raise TrainingRefused(
                f"The answer for {who} should name products as the shop does. Received: {strange[0]!r}."
            )
        return set(ids)

    def _request(self, fields: Mapping[str, Any]) -> Any:
        return parse_request(json.dumps(fields).encode(), models=tuple(REGISTRY))

    def _answer(self, request: Any) -> Response:
        return recommend(
            request,
            self._bundle,
            self._db,
            shop=self._settings.shop,
            now=self._learned.now,
            threads=self._settings.scoring_threads,
        )

    def _is_new(self, item: int | str) -> bool:
        """Return whether an id is of a product that came after training had read them."""
        return type(item) in {type(product) for product in self._learned.products} and bool(
            store.products(self._db, self._settings.shop, [item], [])
        )
