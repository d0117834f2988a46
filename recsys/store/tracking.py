"""What users did, as told to recsys itself, and the rows that follow from it: analytics, preferences and segments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from recsys.errors.records import Record
from recsys.store.columns import text
from recsys.store.database import Database

INTERACTIONS = "rec_user_interactions"
IDS_PER_STATEMENT = 1_000


class Interaction(Record):
    """A row of `rec_user_interactions`, with the names of its columns; `pending` is 1 until preferences have it."""

    interaction_id: str
    user_id: str
    session_id: str | None
    product_id: str | None
    interaction_type: str
    metadata: str | None
    event_id: str | None
    recommendation_id: str | None
    position: int | None
    occurred_at: int
    pending: int


class Count(NamedTuple):
    """The key of a row of `rec_analytics`.

    Attributes:
        day: Such as `2026-11-20`, in UTC.
        algorithm: The algorithm of the recommendation.
        position: The place in its list from 1; 0 where it is unknown.
        action: The event.
    """

    day: str
    algorithm: str
    position: int
    action: str


_KEYS = ("user_id", "session_id", "product_id")  # compared as bytes
_INSERT = (
    f"INSERT INTO {INTERACTIONS} ({', '.join(Interaction.__match_args__)}) "  # noqa: S608 - our own names
    f"VALUES ({', '.join(f':{name}' for name in Interaction.__match_args__)}) "
)
_COUNT = (
    "INSERT INTO rec_analytics (day, algorithm, position, action, count) "
    "VALUES (:day, :algorithm, :position, :action, 1) "
)


def add_interaction(db: Database, row: Interaction, count: Count | None = None) -> bool:
    """Store an event that is not stored yet, and count it; both are committed together, or neither.

    Args:
        db: The database.
        row: The event.
        count: What of `rec_analytics` it adds to; None for an event that belongs to no recommendation.

    Returns:
        Whether it was new.
    """
    values = {name: _key(db, value) if name in _KEYS else value for name, value in vars(row).items()}
    insert = _INSERT + db.syntax.skip_duplicates.format("interaction_id")
    if count is None:
        return db.execute(insert, values) == 1
    with db.atomic():
        is_new = db.execute(insert, values) == 1
        if is_new:
            key = "day, algorithm, position, action"
            one_more = db.syntax.upsert.format(key=key, sets="count = rec_analytics.count + 1")
            db.execute(_COUNT + one_more, count._asdict())
    return is_new


def take_from_guest(db: Database, interaction_id: str, user_id: str, guests: str) -> None:
    """Give an event that is a guest's to another user. That of a customer stays theirs.

    Args:
        db: The database.
        interaction_id: The event.
        user_id: Whose it is from then on.
        guests: How the ids of guests begin.
    """
    behind = guests[:-1] + chr(ord(guests[-1]) + 1)
    db.execute(
        f"UPDATE {INTERACTIONS} SET user_id = :user "  # noqa: S608 - our own name
        "WHERE interaction_id = :id AND user_id >= :first AND user_id < :behind",
        {
            "user": _key(db, user_id),
            "id": interaction_id,
            "first": _key(db, guests),
            "behind": _key(db, behind),
        },
    )


def move_events(db: Database, guest_id: str, user_id: str, events: Sequence[str]) -> int:
    """Give a guest's events to a customer, and delete what was kept of the guest, in one transaction.

    Args:
        db: The database.
        guest_id: The guest.
        user_id: The customer.
        events: Those that the customer's preferences do not have yet.

    Returns:
        How many events the guest had.
    """
    guest = {"guest": _key(db, guest_id)}
    with db.atomic():
        moved = db.execute(
            f"UPDATE {INTERACTIONS} SET user_id = :user, pending = CASE WHEN product_id IS NOT NULL "  # noqa: S608 - our own names
            "AND interaction_type IN (:events) THEN 1 ELSE pending END WHERE user_id = :guest",
            {**guest, "user": _key(db, user_id), "events": list(events)},
        )
        for table in ("rec_user_preferences", "rec_user_segments"):
            db.execute(f"DELETE FROM {table} WHERE user_id = :guest", guest)  # noqa: S608 - our own names
    return moved


def counts_since(db: Database, day: str) -> list[tuple[str, int, str, int]]:
    """Return the sums of `rec_analytics` from a day on, as (algorithm, position, action, count), in order."""
    sql = (
        "SELECT algorithm, position, action, SUM(count) FROM rec_analytics WHERE day >= :day "
        "GROUP BY algorithm, position, action ORDER BY algorithm, position, action"
    )
    return [(str(name), int(place), str(action), int(n)) for name, place, action, n in db.query(sql, {"day": day})]


def users_with_news(db: Database, limit: int) -> list[str]:
    """Return users with events that their preferences do not have yet, at most `limit`."""
    sql = f"SELECT DISTINCT user_id FROM {INTERACTIONS} WHERE pending = 1 LIMIT :limit"  # noqa: S608 - our own name
    return [_text(user) for (user,) in db.query(sql, {"limit": limit})]


def begin_preferences(db: Database, user_id: str, now: int) -> tuple[int, list[int]]:
    """Return the revision of a user's preferences, and the ids of the events that they do not have yet.

    Events that are read afterwards hold at least these. `write_preferences` writes only to the same revision.

    Args:
        db: The database.
        user_id: The user, who gets an empty row if they have none.
        now: Seconds since 1970.
    """
    user = {"user": _key(db, user_id)}
    sql = "SELECT revision FROM rec_user_preferences WHERE user_id = :user"
    rows = db.query(sql, user)
    if not rows:
        db.execute(
            "INSERT INTO rec_user_preferences (user_id, categories, brands, revision, updated_at) "  # noqa: S608 - our own names
            f"VALUES (:user, '{{}}', '{{}}', 0, :now) {db.syntax.skip_duplicates.format('user_id')}",
            {**user, "now": now},
        )
        rows = db.query(sql, user)
    pending = db.query(f"SELECT id FROM {INTERACTIONS} WHERE pending = 1 AND user_id = :user", user)  # noqa: S608 - our own name
    return int(rows[0][0]), [int(number) for (number,) in pending]


def write_preferences(
    db: Database,
    user_id: str,
    columns: Mapping[str, Any],
    segment: str,
    *,
    revision: int,
    folded: Sequence[int],
    now: int,
) -> bool:
    """Write what was folded of a user, in one transaction, unless another thread has written since the revision.

    Args:
        db: The database.
        user_id: The user.
        columns: `categories` and `brands` as JSON, `price_min` and `price_max`.
        segment: The user's segment; the moment of its assignment stays while it is the same.
        revision: The revision that `begin_preferences` returned.
        folded: The ids that it returned.
        now: Seconds since 1970.

    Returns:
        Whether it was written.
    """
    user = {"user": _key(db, user_id), "now": now}
    sets = ", ".join(f"{name} = :{name}" for name in columns)
    with db.atomic():
        n_changed = db.execute(
            f"UPDATE rec_user_preferences SET {sets}, updated_at = :now, revision = revision + 1 "  # noqa: S608 - our own names
            "WHERE user_id = :user AND revision = :revision",
            {**user, **columns, "revision": revision},
        )
        if not n_changed:
            return False
        moment = "CASE WHEN rec_user_segments.segment = :segment THEN rec_user_segments.assigned_at ELSE :now END"
        change = db.syntax.upsert.format(key="user_id", sets=f"assigned_at = {moment}, segment = :segment")
        insert = "INSERT INTO rec_user_segments (user_id, segment, assigned_at) VALUES (:user, :segment, :now) "
        db.execute(insert + change, {**user, "segment": segment})
        for first in range(0, len(folded), IDS_PER_STATEMENT):
            ids = folded[first : first + IDS_PER_STATEMENT]
            db.execute(f"UPDATE {INTERACTIONS} SET pending = 0 WHERE id IN (:ids)", {"ids": ids})  # noqa: S608 - our own name
    return True


def read_preferences(db: Database, user_id: str) -> tuple[str, str, float | None, float | None] | None:
    """Return a user's categories and brands as JSON, and their lowest and highest price; None for an unknown user."""
    sql = "SELECT categories, brands, price_min, price_max FROM rec_user_preferences WHERE user_id = :user"
    rows = db.query(sql, {"user": _key(db, user_id)})
    return rows[0] if rows else None


def read_segment(db: Database, user_id: str) -> tuple[str, str | None, int] | None:
    """Return a user's segment, arm, and since when they are in the segment; None for an unknown user."""
    sql = "SELECT segment, arm, assigned_at FROM rec_user_segments WHERE user_id = :user"
    rows = db.query(sql, {"user": _key(db, user_id)})
    return (str(rows[0][0]), text(rows[0][1]), int(rows[0][2])) if rows else None


def segment_counts(db: Database) -> dict[str, int]:
    """Return the number of users in each segment."""
    rows = db.query("SELECT segment, COUNT(*) FROM rec_user_segments GROUP BY segment")
    return {str(segment): int(n) for segment, n in rows}


def _key(db: Database, value: str | None) -> str | bytes | None:
    return None if value is None else db.key(value)


def _text(raw: object) -> str:
    return text(raw) or ""
