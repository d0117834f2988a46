"""Reads the sessions of guests, each of which is a user of its own where a row names no user."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys.data.guests import are_sessions, names_nobody, session_user
from recsys.data.interactions import Interactions
from recsys.errors import SettingsError
from recsys.errors.wording import shown
from recsys.store.columns import id_array, joined_ids, present, read_each
from recsys.store.products import id_kind
from recsys.store.reading import Reading


def read_sessions(
    column: Sequence[Any], known: dict[Any, Any], reading: Reading, row_names: Sequence[Any]
) -> NDArray[np.object_]:
    """Return sessions, `(n,)` object holding str; None for null, and for words such as `guest` that are no session.

    Args:
        column: `(n,)` values as the driver returned them.
        known: The ids of values that were read before; new ones are added in place.
        reading: Counts of the source's columns, updated in place.
        row_names: `(n,)` names of the rows in messages.
    """
    ids = id_array(column, known)
    reading.add("session_id", column, present(ids), row_names)
    sessions = np.empty(len(ids), object)
    sessions[:] = list(read_each(ids.tolist(), lambda value: None if value is None else str(value)))
    nobody = {session for session in set(sessions.tolist()) if session is not None and names_nobody(session)}
    if nobody:
        sessions[[session in nobody for session in sessions.tolist()]] = None
    return sessions


def with_session_users(events: Interactions) -> Interactions:
    """Return events with the user of the session where no user is known.

    Args:
        events: Events whose users are None where only the session is known.

    Raises:
        SettingsError: A user of the shop has an id that only sessions may have.
    """
    if events.sessions is None:
        return events
    named = present(events.users)
    users = joined_ids([events.users[named]])
    taken = users[are_sessions(users)]
    if len(taken):
        limits = {"int": "below 2**62", "str": "text that does not begin with the character U+10FFFF"}
        raise SettingsError(
            f"`user_id` should be {limits[id_kind(users)]}, because such ids are those of guests' sessions. "
            f"Received: {shown(taken.tolist()[0])}. CAST numbers to text in recsys.toml, or leave `session` out."
        )
    everybody = np.empty(len(named), users.dtype)
    everybody[named] = users
    kind = id_kind(users)
    guests = list(read_each(events.sessions[~named].tolist(), lambda session: session_user(session, kind)))
    if guests:
        everybody[~named] = guests
    return replace(events, users=everybody)


def joined_sessions(chunks: Sequence[Interactions]) -> NDArray | None:
    """Join the sessions of chunks; None if no chunk has any."""
    if all(chunk.sessions is None for chunk in chunks):
        return None
    nothing = (np.full(len(chunk), None, object) if chunk.sessions is None else chunk.sessions for chunk in chunks)
    return np.concatenate(list(nothing))
