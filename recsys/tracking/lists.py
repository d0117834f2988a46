"""Lists that were computed already: `rec_recommendations_cache`, which is read where Redis is down or cold.

A list holds ids, scores and reasons, as in Redis. Prices, names and what is sold now are read when it is shown.
"""

from __future__ import annotations

import hashlib

from recsys.store import Database
from recsys.store.columns import is_key
from recsys.store.tracking_exports import delete_entries, delete_expired, read_entry, write_entry


def read_list(db: Database, user_id: int | str, field: str, now: int) -> str | None:
    """Return a list as it was written; None if there is none, or it has expired.

    Args:
        db: The database.
        user_id: The user's id, or another key of whoever asks.
        field: What the list answers: version, algorithm, context and product, in one text of any length.
        now: Seconds since 1970.
    """
    return read_entry(db, _key(str(user_id)), _key(field), now)


def write_list(db: Database, user_id: int | str, field: str, entry: str, expires_at: int) -> None:
    """Store a list, in place of an earlier one of the same user and field.

    Args:
        db: The database.
        user_id: The user's id.
        field: What the list answers.
        entry: The list as text.
        expires_at: From this second since 1970 on, it is not read any more.
    """
    write_entry(db, _key(str(user_id)), _key(field), entry, expires_at)


def forget_lists(db: Database, user_id: int | str) -> int:
    """Delete a user's lists, after an event of theirs; returns how many there were.

    Args:
        db: The database.
        user_id: The user's id; an unknown one is no error.
    """
    return delete_entries(db, _key(str(user_id)))


def sweep_lists(db: Database, now: int) -> int:
    """Delete the lists that have expired; returns how many there were.

    Args:
        db: The database.
        now: Seconds since 1970.
    """
    return delete_expired(db, now)


def _key(text: str) -> str:
    """Return a text that every database can hold as a key: itself, or its SHA-256 where it is too long or unusual."""
    return text if is_key(text) else f"sha256:{hashlib.sha256(text.encode('utf-8', 'surrogatepass')).hexdigest()}"
