"""Finds the ids under which a shop records many guests as if they were one user.

Some ids are words that name nobody, such as `guest` or `N/A`. Others are told by their share of all events and by the
spread of their items: one person neither has a tenth of all events, nor the items of everybody.

A guest's session is a user of its own, where the shop's tables name it. Such users have ids that no account may have,
and that come after those of all accounts: numbers from 2**62 on, or texts that begin with Unicode's last character.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

_WORDS = frozenset(
    "na nan none null nil undefined objectobject notset notavailable notapplicable missing empty blank unknown "
    "unbekannt inconnu desconocido guest guests guestuser guestcustomer gast gastkunde invitado kháchvãnglai anonymous "
    "anonymoususer anon anonym anonyme anonimo anónimo nobody nouser nocustomer notloggedin loggedout visitor "
    "walkincustomer".split()
)
_SIGNS = re.compile(r"[\W_]+")
_NEGATIVE = re.compile(r"[-\u2212]\d+(\.0*)?")
_FILLED = re.compile(r"0+|9{5,}|f{32}")  # 0, 00000000-0000-…, 99999, without the signs between

# No person has so many times the events of the typical user, on items of everybody's taste, and such a share of all.
_LEAST_EVENTS, _TIMES_MEDIAN, _SPREAD = 20, 10, 0.5
_SHARE, _USERS = 0.1, 20  # of any id, among more users than this
_SHARE_OF_A_FILLER = 0.01  # of a number that often stands for "no user"; below it, it is visitor 0 of a data set
_FIRST_SESSION, _SESSION = 2**62, "\U0010ffff"


def names_nobody(user: object) -> bool:
    """Return whether an id is a word for "no user", in any case and between any signs, or signs alone.

    >>> [names_nobody(user) for user in ("guest", "N/A", "(not set)", "-", 0, "-1", "Nan Goldin", None)]
    [True, True, True, True, False, False, False, False]
    """
    if not isinstance(user, str):
        return False
    letters = _SIGNS.sub("", user.casefold())
    return not letters or letters in _WORDS


def is_filler(user: object) -> bool:
    """Return whether an id is a number that often stands for "no user": 0, 99999 or a negative one.

    >>> [is_filler(user) for user in (0, "000", -1, "99999", "00000000-0000-0000-0000-000000000000", 17, "A0")]
    [True, True, True, True, True, False, False]
    """
    words = str(user).strip().casefold()
    return bool(_NEGATIVE.fullmatch(words) or _FILLED.fullmatch(_SIGNS.sub("", words.removesuffix(".0"))))


def session_user(session: str, kind: str) -> int | str:
    """Return the id of the user that a guest's session is, always the same.

    Args:
        session: The session's id, as text.
        kind: `int` or `str`, the type of the shop's user ids.

    >>> session_user("8f3a", "int") >= 2**62, session_user("8f3a", "str")
    (True, '\U0010ffff8f3a')
    """
    if kind == "str":
        return _SESSION + session
    digest = hashlib.blake2b(session.encode(), digest_size=8).digest()
    return _FIRST_SESSION + int.from_bytes(digest) % _FIRST_SESSION


def are_sessions(users: NDArray) -> NDArray[np.bool_]:
    """Return `(n,)` bool: which of the ids of users, `(n,)`, only guests' sessions may have.

    >>> are_sessions(np.array([7, 2**62])).tolist(), are_sessions(np.array(["7", "\U0010ffff7"], object)).tolist()
    ([False, True], [False, True])
    """
    if users.dtype.kind in "iu":
        return users >= _FIRST_SESSION
    return np.fromiter((user.startswith(_SESSION) for user in users.tolist()), np.bool_, len(users))


def implausible_ids(counts: Mapping[Any, int], sessions: Mapping[Any, str] | None = None) -> list[Any]:
    """Return the ids with more events than a person has; `is_crowd` decides about each.

    Args:
        counts: The number of each user's events.
        sessions: The sessions of those users that are guests' sessions. One with a large share of all events is no
            session, however few users there are.
    """
    sessions = sessions or {}
    if len(counts) < 2:
        return []
    total = sum(counts.values())
    least = max(_LEAST_EVENTS, _SHARE_OF_A_FILLER * total, _TIMES_MEDIAN * median(counts.values()))
    is_usual = len(counts) <= _USERS
    return [
        user
        for user, n in counts.items()
        if n >= least
        and (is_filler(sessions.get(user, user)) or (n >= _SHARE * total and (user in sessions or not is_usual)))
    ]


def is_crowd(own: NDArray[np.int64], everybody: NDArray[np.int64]) -> bool:
    """Return whether an id's events have about as many different items as events of everybody would have.

    Args:
        own: `(n_items,)` int64, the id's number of events of each item.
        everybody: `(n_items,)` int64, that of all users.
    """
    others = everybody - own
    if not others.any():
        return False
    missed = (1.0 - others / others.sum()) ** own.sum()
    return int(np.count_nonzero(own)) >= _SPREAD * float((1.0 - missed).sum())
