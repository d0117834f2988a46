"""The rows of experiments: arms of customers, what lists have shown, and what privacy deletes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from recsys.store.columns import text
from recsys.store.database import Database
from recsys.store.tracking import INTERACTIONS

SEGMENTS, PREFERENCES = "rec_user_segments", "rec_user_preferences"
SWEPT_ROWS = 5_000  # in one transaction, so that writers wait for a moment only


class ListEvent(NamedTuple):
    """A row of `rec_user_interactions` that says what a list has shown, or what came of it.

    Attributes:
        user_id: The customer.
        product_id: The product.
        event: `impression` or `click`.
        recommendation_id: The answer that it says it was in.
        at: When, in seconds since 1970.
    """

    user_id: str
    product_id: str
    event: str
    recommendation_id: str
    at: int


def write_arm(db: Database, user_id: str, arm: str, segment: str, *, prefix: str, now: int) -> None:
    """Write a customer's arm, unless they have one that begins with the prefix.

    Args:
        db: The database.
        user_id: The customer.
        arm: The text of the column.
        segment: The segment of a customer without a row.
        prefix: The beginning of the texts that stay.
        now: Seconds since 1970, the beginning of a new row's segment.
    """
    kept = f"CASE WHEN SUBSTR({SEGMENTS}.arm, 1, :length) = :prefix THEN {SEGMENTS}.arm ELSE :arm END"
    change = db.syntax.upsert.format(key="user_id", sets=f"arm = {kept}")
    insert = f"INSERT INTO {SEGMENTS} (user_id, segment, arm, assigned_at) VALUES (:user, :segment, :arm, :now) "  # noqa: S608 - our own names
    values = {"user": db.key(user_id), "arm": arm, "segment": segment, "prefix": prefix, "length": len(prefix)}
    db.execute(insert + change, {**values, "now": now})


def read_arms(db: Database) -> list[tuple[str, str]]:
    """Return the customers that have an arm, and its text."""
    sql = f"SELECT user_id, arm FROM {SEGMENTS} WHERE arm IS NOT NULL"  # noqa: S608 - our own name
    return [(text(user) or "", str(arm)) for rows in db.stream(sql) for user, arm in rows]


def read_list_events(db: Database, since: int) -> Iterator[ListEvent]:
    """Yield the impressions and clicks that name an answer, from a second since 1970 on."""
    sql = (
        "SELECT user_id, product_id, interaction_type, recommendation_id, occurred_at "  # noqa: S608 - our own name
        f"FROM {INTERACTIONS} WHERE occurred_at >= :since AND interaction_type IN ('impression', 'click') "
        "AND recommendation_id IS NOT NULL AND product_id IS NOT NULL ORDER BY id"
    )
    for rows in db.stream(sql, {"since": since}):
        for user, item, event, answer, at in rows:
            yield ListEvent(text(user) or "", text(item) or "", str(event), text(answer) or "", int(at))


def count_list_events(db: Database, most: int) -> int:
    """Return how many impressions and clicks there are, but no more than `most`."""
    sql = (
        f"SELECT COUNT(*) FROM (SELECT id FROM {INTERACTIONS} "  # noqa: S608 - our own name
        "WHERE interaction_type IN ('impression', 'click') LIMIT :most) c"
    )
    return int(db.query(sql, {"most": most})[0][0])


def read_visits(db: Database, since: int) -> list[tuple[str, str]]:
    """Return which customers had an event in which visit, from a second since 1970 on, each once."""
    sql = (
        f"SELECT DISTINCT session_id, user_id FROM {INTERACTIONS} "  # noqa: S608 - our own name
        "WHERE occurred_at >= :since AND session_id IS NOT NULL"
    )
    stream = db.stream(sql, {"since": since})
    return [(text(session) or "", text(user) or "") for rows in stream for session, user in rows]


def delete_events(db: Database, before: int) -> int:
    """Delete recorded events before a second since 1970, in parts; returns how many there were."""
    select = f"SELECT id FROM {INTERACTIONS} WHERE occurred_at < :before ORDER BY occurred_at LIMIT {SWEPT_ROWS}"  # noqa: S608 - our own name
    deleted = 0
    while ids := [int(number) for (number,) in db.query(select, {"before": before})]:
        deleted += db.execute(f"DELETE FROM {INTERACTIONS} WHERE id IN (:ids)", {"ids": ids})  # noqa: S608 - our own name
    return deleted


def delete_idle_users(db: Database, before: int) -> int:
    """Delete preferences and segments that nothing has changed since; returns how many customers there were.

    An arm of an experiment goes with the segment, if the customer has no preferences any more.
    """
    db.execute(f"DELETE FROM {PREFERENCES} WHERE updated_at < :before", {"before": before})  # noqa: S608 - our own name
    return db.execute(
        f"DELETE FROM {SEGMENTS} WHERE assigned_at < :before "  # noqa: S608 - our own names
        f"AND user_id NOT IN (SELECT user_id FROM {PREFERENCES})",
        {"before": before},
    )
