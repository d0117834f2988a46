import threading
from typing import Any

import numpy as np
import pytest

from recsys.data.ids import IdMap
from recsys.errors import ModelMismatch, RecsysError, SettingsError
from recsys.store import Database, connect
from recsys.store.encoders import (
    VersionRow,
    find_user,
    list_versions,
    purge,
    set_active,
    write_version,
)
from tests.helpers.stored_encoders import stored_contexts, stored_items

USERS = np.array([3, 7, 40])
ITEMS = np.array([10, 11, 12, 13, 14])
CONTEXTS = {"time_of_day": ["Morning", "morning", "tối"], "season": ["dry", "wet"], "device": []}
TABLES = ("rec_versions", "rec_user_encoder", "rec_item_encoder", "rec_context_mapping", "rec_context_meta")


def write(db: Database, name: str = "v1", **others: Any) -> int:
    defaults = {"data_until": 5, "users": USERS, "items": ITEMS, "contexts": CONTEXTS, "chunk": 2}
    return write_version(db, name, **{**defaults, **others})


def counts(db: Database) -> list[int]:
    return [db.query(f"SELECT COUNT(*) FROM {table}")[0][0] for table in TABLES]


def test_a_version_is_read_as_it_was_written(db: Database) -> None:
    version = write(db)

    assert find_user(db, "v1", 7) == (version, 1)
    assert find_user(db, "v1", "7") == (version, 1)
    assert stored_items(db, version) == ["10", "11", "12", "13", "14"]
    assert stored_contexts(db, version) == CONTEXTS
    assert list(stored_contexts(db, version)) == list(CONTEXTS)
    assert list_versions(db) == [VersionRow(version, "v1", complete=True, active=False, data_until=5)]


@pytest.mark.parametrize(
    "users", [np.array(["a", "A", "a ", "ä", "🎒", "7", "07"], object), IdMap(np.array(["a", "b"], object))]
)
def test_ids_differ_by_every_byte(db: Database, users: Any) -> None:
    version = write(db, users=users, items=np.array([b"abc", b"ABC"]))
    ids = users.ids if isinstance(users, IdMap) else users

    assert [find_user(db, "v1", user)[1] for user in ids] == list(range(len(ids)))
    assert find_user(db, "v1", "B") == (version, None)
    assert stored_items(db, version) == ["abc", "ABC"]


def test_an_unknown_user_is_found_to_be_none_in_one_statement(db: Database) -> None:
    version = write(db)
    sent: list[str] = []
    db._tracer = lambda sql, params: sent.append(sql)

    assert find_user(db, "v1", 8) == (version, None)
    assert len(sent) == 1


@pytest.mark.parametrize("user", ["7abc", "", "a\0b", "\ud800", "x" * 600, "' OR 1=1 --", -1, 2**70])
def test_what_can_be_no_id_is_an_unknown_user(db: Database, user: int | str) -> None:
    version = write(db)

    assert find_user(db, "v1", user) == (version, None)


def test_without_a_complete_version_there_is_a_mismatch_that_says_what_to_run(db: Database) -> None:
    write(db, "other")

    with pytest.raises(ModelMismatch, match="migrate_encoders.py --version v1"):
        find_user(db, "v1", 7)


def test_many_items_are_written_in_several_transactions(db: Database) -> None:
    version = write(db, items=np.arange(100, 12_100), chunk=5_000)

    assert stored_items(db, version) == list(map(str, range(100, 12_100)))


def test_writing_again_changes_nothing(db: Database) -> None:
    version = write(db)
    set_active(db, "v1")
    before = counts(db)
    sent: list[str] = []
    db._tracer = lambda sql, params: sent.append(sql)

    assert write(db) == version

    assert all(sql.startswith("SELECT") for sql in sent)
    assert counts(db) == before
    assert list_versions(db)[0].active


def test_a_version_that_lost_rows_is_written_again(db: Database) -> None:
    write(db)
    db.execute("DELETE FROM rec_item_encoder WHERE idx = 3")

    version = write(db)

    assert stored_items(db, version) == list(map(str, ITEMS))
    assert counts(db) == [1, 3, 5, 5, 3]


def test_versions_lie_side_by_side(db: Database) -> None:
    first = write(db)
    second = write(db, "v2", users=np.array([7]), items=np.array([14, 10]), contexts={})

    assert first != second
    assert (find_user(db, "v1", 7), find_user(db, "v2", 7)) == ((first, 1), (second, 0))
    assert (stored_items(db, first), stored_items(db, second)) == (list(map(str, ITEMS)), ["14", "10"])
    assert (stored_contexts(db, first), stored_contexts(db, second)) == (CONTEXTS, {})

    purge(db, "v1")
    assert find_user(db, "v2", 7) == (second, 0)
    assert counts(db) == [1, 1, 2, 0, 0]


def test_purging_takes_many_short_transactions_and_forgets_all(db: Database) -> None:
    write(db)
    sent: list[str] = []
    db._tracer = lambda sql, params: sent.append(" ".join(sql.split()[:3]))

    purge(db, "v1", chunk=2)
    purge(db, "v1", chunk=2)
    purge(db, "never written")

    assert sent.count("DELETE FROM rec_item_encoder") == 3  # 5 rows, 2 at a time
    assert counts(db) == [0, 0, 0, 0, 0]
    assert list_versions(db) == []


def test_the_views_follow_one_complete_version(db: Database) -> None:
    write(db)
    write(db, "v2")

    set_active(db, "v1")
    set_active(db, "v2")
    set_active(db, "v2")
    assert [row.name for row in list_versions(db) if row.active] == ["v2"]

    with pytest.raises(ModelMismatch, match="Received: v3"):
        set_active(db, "v3")
    assert [row.name for row in list_versions(db) if row.active] == ["v2"]


class Killed(Exception):
    """The writer dies here."""


def test_a_writer_killed_at_any_statement_is_finished_by_the_next_run(db: Database, shop_url: str) -> None:
    old = write(db, "old", chunk=3)
    set_active(db, "old")
    killed = 0
    while True:
        sent = 0

        def die(sql: str, params: object, last: int = killed) -> None:
            nonlocal sent
            if sent == last:
                assert find_user(db, "old", 7) == (old, 1)
                with pytest.raises(ModelMismatch):
                    find_user(db, "new", 7)
                raise Killed
            sent += 1

        try:
            with connect(shop_url, tracer=die) as writer:
                write(writer, "new", chunk=3)
            break
        except Killed:
            killed += 1

    # The last run purges what the one before it has left: 2 look-ups, 9 statements to purge; then MAX(id), and as
    # BEGIN, INSERT,
    # COMMIT each: the id, 3 users, 3 + 2 items, 3 + 2 context values, 3 features; the count, and `complete`.
    assert killed == 2 + 9 + 1 + 7 * 3 + 2
    (version, idx) = find_user(db, "new", 7)
    assert (idx, stored_items(db, version), stored_contexts(db, version)) == (1, list(map(str, ITEMS)), CONTEXTS)
    assert [row.name for row in list_versions(db) if row.active] == ["old"]


def test_it_is_visible_with_the_last_statement_only(db: Database) -> None:
    sent: list[str] = []
    db._tracer = lambda sql, params: sent.append(" ".join(sql.split()[:6]))

    write(db)

    assert sent[-1] == "UPDATE rec_versions SET complete = 1"


def test_two_writers_at_once_take_two_ids(db: Database, shop_url: str) -> None:
    versions: list[int] = []
    failures: list[RecsysError] = []
    start = threading.Barrier(3)

    def run(name: str) -> None:
        with connect(shop_url) as writer:
            start.wait()
            try:
                versions.append(write(writer, name))
            except RecsysError as error:
                failures.append(error)

    threads = [threading.Thread(target=run, args=(f"v{number}",)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert failures == []
    assert len(set(versions)) == 3
    assert counts(db) == [3, 9, 15, 15, 9]


@pytest.mark.parametrize(
    ("ids", "what"),
    [
        (np.array(["a", ""], object), "1 to 512 bytes"),
        (np.array(["a\0b"], object), "1 to 512 bytes"),
        (np.array(["x" * 513], object), "1 to 512 bytes"),
        (np.array([1, 1]), "distinct ids. Received: 2, of which 1"),
        (np.array([1, "1"], object), "distinct ids"),
    ],
)
def test_ids_that_cannot_be_stored_are_refused_before_anything_is_written(db: Database, ids: Any, what: str) -> None:
    with pytest.raises(SettingsError, match=what):
        write(db, items=ids)

    assert counts(db) == [0, 0, 0, 0, 0]


def test_a_version_may_know_no_user(db: Database) -> None:
    version = write(db, users=np.zeros(0, np.int64), items=np.zeros(0, np.int64), contexts={})

    assert find_user(db, "v1", 7) == (version, None)
