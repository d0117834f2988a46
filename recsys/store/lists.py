"""The tables rec_batch_*: lists of everybody, and how far the runs that compute them have come."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from recsys.errors import AlreadyComputing
from recsys.store.database import Database, Duplicate
from recsys.store.users import IDS_A_STATEMENT, chunked


class ListRow(NamedTuple):
    """One item of a user's list.

    Attributes:
        user_id: The user's id.
        position: From 1, the best.
        item_id: The item's id.
        score: From 0 to 1.
        reason: The code of the reason; None where there is none.
        reason_item: The id of the item that is the reason.
        version: The name of the version.
        model: The registry name of the scorer.
        source: The kind of scorer.
        computed_at: Seconds since 1970.
    """

    user_id: int | str
    position: int
    item_id: int | str
    score: float
    reason: str | None
    reason_item: int | str | None
    version: str
    model: str
    source: str
    computed_at: int


class ListRun(NamedTuple):
    """How far a run has come.

    Attributes:
        job: The name of what is computed; a job has one run at a time.
        version: The name of the version.
        started_at: Seconds since 1970.
        last_user: The id of the last user that is done, as text; None before the first one.
        n_users: The number of users that are done.
        n_lists: The number of lists that have items.
    """

    job: str
    version: str
    started_at: int
    last_user: str | None = None
    n_users: int = 0
    n_lists: int = 0


def begin_run(db: Database, job: str, version: str, now: int, *, fresh_s: int = 0) -> ListRun:
    """Return the unfinished run of a job with this version, else a new one.

    Args:
        db: A migrated database.
        job: The name of what is computed.
        version: The name of the version that answers.
        now: Seconds since 1970.
        fresh_s: For how many seconds a finished run of this version stands for the next one.

    Raises:
        AlreadyComputing: Another process has begun the job at the same moment, or finished it just now.
    """
    rows = db.query(
        "SELECT version, started_at, last_user, n_users, n_lists, finished_at FROM rec_batch_runs WHERE job = :job",
        {"job": job},
    )
    if rows:
        stored, started_at, last_user, n_users, n_lists, finished_at = rows[0]
        if stored == version and finished_at is None:
            last = last_user.decode() if isinstance(last_user, bytes) else last_user
            return ListRun(job, version, int(started_at), last, int(n_users), int(n_lists))
        if stored == version and 0 <= now - int(finished_at) < fresh_s:
            raise AlreadyComputing(
                f"The lists of {job} should be {fresh_s} s old. Received: {now - int(finished_at)} s."
            )
        db.execute("DELETE FROM rec_batch_runs WHERE job = :job", {"job": job})
    try:
        db.insert("rec_batch_runs", [{"job": job, "version": version, "started_at": now}])
    except Duplicate:
        raise _taken(job) from None
    return ListRun(job, version, now)


def write_lists(
    db: Database, before: ListRun, after: ListRun, users: Sequence[int | str], rows: Iterable[ListRow]
) -> None:
    """Replace the lists of a block of users, and move the run on, in one transaction.

    Args:
        db: A migrated database.
        before: The run as it was read or written last.
        after: The run with this block.
        users: The ids of the block's users; those without rows have no list any more.
        rows: The items of their lists.

    Raises:
        AlreadyComputing: Another process does the same job, and is further on; nothing is written.
    """
    with db.atomic(read_committed=True):  # the users of other shards lie between these
        _move_on(db, before, after)
        delete_lists(db, users)
        db.insert("rec_batch_lists", (_columns(db, row) for row in rows))


def finish_run(db: Database, run: ListRun, now: int) -> None:
    """Note that a run is finished; the next call of its job begins a new one."""
    db.execute("UPDATE rec_batch_runs SET finished_at = :now WHERE job = :job", {"now": now, "job": run.job})


def delete_lists(db: Database, users: Sequence[int | str]) -> None:
    """Delete the lists of users."""
    for chunk in chunked(users, IDS_A_STATEMENT):
        keys = [db.key(str(user)) for user in chunk]
        db.execute("DELETE FROM rec_batch_lists WHERE user_id IN (:users)", {"users": keys})


def read_list(db: Database, user_id: int | str) -> list[ListRow]:
    """Return a user's list, best first; its ids are text."""
    rows = db.query(
        f"SELECT {', '.join(ListRow._fields)} FROM rec_batch_lists WHERE user_id = :user ORDER BY position",  # noqa: S608 - our own names
        {"user": db.key(str(user_id))},
    )
    return [ListRow._make(value.decode() if isinstance(value, bytes) else value for value in row) for row in rows]


def _columns(db: Database, row: ListRow) -> dict[str, object]:
    reason_item = None if row.reason_item is None else db.key(str(row.reason_item))
    keys = {"user_id": db.key(str(row.user_id)), "item_id": db.key(str(row.item_id)), "reason_item": reason_item}
    return {**row._asdict(), **keys}


def _move_on(db: Database, before: ListRun, after: ListRun) -> None:
    is_same = "last_user = :before" if before.last_user is not None else "last_user IS NULL"
    changed = db.execute(
        "UPDATE rec_batch_runs SET last_user = :after, n_users = :n_users, n_lists = :n_lists "  # noqa: S608 - our own text
        f"WHERE job = :job AND started_at = :started_at AND finished_at IS NULL AND {is_same}",
        {
            "job": after.job,
            "started_at": after.started_at,
            "n_users": after.n_users,
            "n_lists": after.n_lists,
            "after": None if after.last_user is None else db.key(after.last_user),
            "before": None if before.last_user is None else db.key(before.last_user),
        },
    )
    if not changed:
        raise _taken(after.job)


def _taken(job: str) -> AlreadyComputing:
    return AlreadyComputing(
        f"One process at a time should compute the lists of {job}. Received: another one, which is ahead."
    )
