"""Finds the user ids of a file that stand for guests, before its rows are read."""

from __future__ import annotations

from collections import Counter, defaultdict

import numpy as np
from numpy.typing import NDArray

from recsys.data.guests import implausible_ids, is_crowd, names_nobody
from recsys.importing.columns import texts
from recsys.importing.files import EventSource
from recsys.importing.id_allocation import spelled
from recsys.importing.options import ImportOptions

PREFIX = "guest:"  # of the id of a guest's session


def find_guests(file: EventSource, options: ImportOptions) -> frozenset[str]:
    """Return the ids that stand for guests, as the file writes them: those of the options, words, and crowds.

    Args:
        file: The file, whose column of users is read once, and once more with the items if an id has too many rows.
        options: The columns, and the ids that the caller knows to be guests or persons.
    """
    counts: Counter[str] = Counter()
    for batch in file.batches(options.chunk, [options.user]):
        counts.update(texts(batch.column(options.user)).tolist())
    del counts[None]
    guests, spellings, rows = {spelled(user) for user in options.guests}, defaultdict(list), Counter[str]()
    for user, n in counts.items():
        spellings[spelled(user)].append(user)
        rows[spelled(user)] += n
    guests |= {user for user in rows if names_nobody(user)}
    guests |= _crowds(file, options, set(implausible_ids({user: n for user, n in rows.items() if user not in guests})))
    guests -= {spelled(user) for user in options.persons}
    return frozenset(user for guest in guests for user in spellings[guest])


def users_of_sessions(users: NDArray, sessions: NDArray, guests: frozenset[str]) -> tuple[NDArray, NDArray[np.bool_]]:
    """Return users with a user of its own for each session of a guest, and `(n,)` bool, the rows of these.

    Args:
        users: `(n,)` object holding str, or None for a guest.
        sessions: `(n,)` object holding str, or None where there is no session.
        guests: The ids that stand for guests.
    """
    pairs = list(zip(users.tolist(), sessions.tolist(), strict=True))
    is_guest = np.array([visit is not None and (user is None or user in guests) for user, visit in pairs], np.bool_)
    users = users.copy()
    users[is_guest] = [PREFIX + visit for visit in sessions[is_guest].tolist()]
    return users, is_guest


def _crowds(file: EventSource, options: ImportOptions, users: set[str]) -> set[str]:
    """Return the users whose rows have the items of everybody."""
    if not users:
        return set()
    everybody: Counter[str | None] = Counter()
    own: defaultdict[str, Counter[str | None]] = defaultdict(Counter)
    for batch in file.batches(options.chunk, list(dict.fromkeys((options.user, options.item)))):
        items = texts(batch.column(options.item)).tolist()
        everybody.update(items)
        for user, item in zip(texts(batch.column(options.user)).tolist(), items, strict=True):
            if user is not None and (key := spelled(user)) in users:
                own[key][item] += 1
    of_all = np.array(list(everybody.values()), np.int64)
    return {
        user for user, items in own.items() if is_crowd(np.array([items[item] for item in everybody], np.int64), of_all)
    }
