"""Which segment a user belongs to: `rec_user_segments`, one row a user.

`recsys.tracking.preferences.refresh_preferences` writes it together with the preferences. The arm of an experiment has
its place beside the segment and outlives changes of it, so that one table says how each user is served.
"""

from __future__ import annotations

from recsys.errors.records import Record
from recsys.evaluation.selection import segment_of
from recsys.store import Database
from recsys.store.tracking import read_segment, segment_counts

GUESTS = segment_of(0)


class UserSegment(Record):
    """A row of `rec_user_segments`.

    Attributes:
        segment: `known`, `returning` or `guests`, by the number of the user's events.
        arm: The user's arm of an experiment; None without one.
        assigned_at: Since when the user is in the segment, in seconds since 1970; None for an unknown user.
    """

    segment: str
    arm: str | None = None
    assigned_at: int | None = None


def user_segment(db: Database, user_id: int | str) -> UserSegment:
    """Return the segment of a user as of their last refresh.

    Args:
        db: The database.
        user_id: The user's id; an unknown user is a guest.
    """
    row = read_segment(db, str(user_id))
    return UserSegment(GUESTS) if row is None else UserSegment(*row)


def segment_of_user(db: Database, user_id: int | str) -> str:
    """Return the name of the segment of a user, as `user_segment` does.

    Args:
        db: The database.
        user_id: The user's id.
    """
    return user_segment(db, user_id).segment


def users_by_segment(db: Database) -> dict[str, int]:
    """Return the number of users in each segment that has any, the largest first.

    Equal numbers are in the order of the names.

    Args:
        db: The database; users without preferences have no row, and are not counted.
    """
    counts = segment_counts(db)
    return dict(sorted(counts.items(), key=lambda row: (-row[1], row[0])))
