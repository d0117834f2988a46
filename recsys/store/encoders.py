"""The tables rec_*: the encoders of each published version, from ids to indices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from recsys.data.ids import IdMap
from recsys.errors import ModelMismatch, Overloaded, SettingsError
from recsys.errors.records import Record
from recsys.store.columns import is_key
from recsys.store.database import CHUNK_ROWS, Database, Duplicate

RESERVATIONS = 20  # attempts to reserve an id that another writer may take first
FIND_USER = (  # the id of the version named `:version`, and the index of `:user_key` in it
    "SELECT v.id, e.idx FROM rec_versions v "
    "LEFT JOIN rec_user_encoder e ON e.version = v.id AND e.original_id = :user_key "
    "WHERE v.name = :version AND v.complete = 1"
)
TABLES = ("rec_user_encoder", "rec_item_encoder", "rec_context_mapping", "rec_context_meta")


class VersionRow(Record):
    """A row of `rec_versions`.

    Attributes:
        id: The number that all rows of the version carry.
        name: The version's name.
        complete: Whether all its rows are written.
        active: Whether the views show it.
        data_until: The time of the newest event in its training data, in seconds since 1970 in UTC.
    """

    id: int
    name: str
    complete: bool
    active: bool
    data_until: int


class StoredEncoders(Record):
    """A version's encoders as the tables hold them.

    Attributes:
        data_until: The time of the newest event in its training data, in seconds since 1970 in UTC.
        users: Ids as text, in index order.
        items: Ids as text, in index order.
        contexts: Features in order, each with its values in index order.
    """

    data_until: int
    users: list[str]
    items: list[str]
    contexts: dict[str, list[str]]


def write_version(
    db: Database,
    name: str,
    *,
    data_until: int,
    users: NDArray | IdMap,
    items: NDArray | IdMap,
    contexts: Mapping[str, Sequence[str]],
    chunk: int = CHUNK_ROWS,
) -> int:
    """Write a version's encoders; they become visible once the last row is written.

    A complete version is left as it is. The rows of an interrupted run are deleted first.

    Args:
        db: The database.
        name: The version's name.
        data_until: The time of the newest event in its training data, in seconds since 1970 in UTC.
        users: `(n_users,)` ids in index order.
        items: `(n_items,)` ids in index order.
        contexts: Features in order, each with its values in index order.
        chunk: Rows in one transaction.

    Returns:
        The version's id in the tables.

    Raises:
        SettingsError: An id is not 1 to 512 bytes of UTF-8, or occurs twice.
        Overloaded: Another process writes the version, or changes its rows.
    """
    rows = {
        "rec_user_encoder": _keys("users", users),
        "rec_item_encoder": _keys("items", items),
        "rec_context_mapping": [value for values in contexts.values() for value in values],
        "rec_context_meta": list(contexts),
    }
    sizes = {table: len(keys) for table, keys in rows.items()}
    stored = _version(db, name)
    if stored is not None and stored.complete and table_counts(db, stored.id) == sizes:
        return stored.id
    purge(db, name, chunk)
    version = _reserve(db, name, data_until)
    for table in ("rec_user_encoder", "rec_item_encoder"):
        numbered = ({"version": version, "original_id": key, "idx": idx} for idx, key in enumerate(rows[table]))
        db.insert(table, numbered, chunk=chunk)
    mappings = (
        {"version": version, "feature_name": feature, "original_value": str(value), "idx": idx}
        for feature, values in contexts.items()
        for idx, value in enumerate(values)
    )
    db.insert("rec_context_mapping", mappings, chunk=chunk)
    features = ({"version": version, "feature_name": name, "position": k} for k, name in enumerate(contexts))
    db.insert("rec_context_meta", features, chunk=chunk)
    if table_counts(db, version) != sizes:
        raise Overloaded(
            f"The encoders of version {name} were changed by somebody else while they were written. Try again."
        )
    db.execute("UPDATE rec_versions SET complete = 1 WHERE id = :id", {"id": version})
    return version


def find_user(db: Database, version_name: str, user_id: int | str) -> tuple[int, int | None]:
    """Return a version's id and a user's index in it, None for an unknown user; one statement.

    Raises:
        ModelMismatch: The database has no complete version of that name.
    """
    key = str(user_id)
    rows = db.query(FIND_USER, {"version": version_name, "user_key": db.key(key) if is_key(key) else None})
    if not rows:
        raise _missing(version_name)
    version, idx = rows[0]
    return int(version), None if idx is None else int(idx)


def require_version(db: Database, version_name: str) -> None:
    """Make sure that the database holds a version's encoders, for requests without a user; one statement.

    Raises:
        ModelMismatch: The database has no complete version of that name.
    """
    find_user(db, version_name, "")


def read_version(db: Database, name: str) -> StoredEncoders:
    """Return a version's encoders.

    Raises:
        ModelMismatch: The database has no complete version of that name, or its indices do not count from 0.
    """
    version = _version(db, name)
    if version is None or not version.complete:
        raise _missing(name)
    users, items = (_column(db, f"rec_{kind}_encoder", "original_id", version.id) for kind in ("user", "item"))
    features = _column(db, "rec_context_meta", "feature_name", version.id, order="position")
    contexts = {name: _column(db, "rec_context_mapping", "original_value", version.id, name) for name in features}
    return StoredEncoders(version.data_until, users, items, contexts)


def _column(
    db: Database, table: str, column: str, version: int, feature: str | None = None, *, order: str = "idx"
) -> list[str]:
    """Return the texts of a column in the order of another one, which counts from 0.

    Args:
        db: The database.
        table: One of `TABLES`.
        column: The column to read.
        version: The version's id.
        feature: For the values of contexts, the feature.
        order: The column that numbers the rows.

    Raises:
        ModelMismatch: A number is missing or there twice.
    """
    condition = "" if feature is None else "AND feature_name = :feature "
    sql = f"SELECT {order}, {column} FROM {table} WHERE version = :version {condition}ORDER BY {order}"  # noqa: S608 - our own names
    rows = [row for chunk in db.stream(sql, {"version": version, "feature": feature}) for row in chunk]
    if [number for number, _ in rows] != list(range(len(rows))):
        raise ModelMismatch(f"The rows of {table} should count from 0. Received: a gap, or a number twice.")
    return [text.decode() if isinstance(text, bytes) else str(text) for _, text in rows]


def list_versions(db: Database) -> list[VersionRow]:
    """Return all versions in the database, the newest last."""
    rows = db.query("SELECT id, name, complete, active, data_until FROM rec_versions ORDER BY id")
    return [
        VersionRow(int(version), str(name), bool(complete), bool(active), int(data_until))
        for version, name, complete, active, data_until in rows
    ]


def set_active(db: Database, name: str) -> None:
    """Make the views show a version; one statement.

    Raises:
        ModelMismatch: The database has no complete version of that name.
    """
    version = _version(db, name)
    if version is None or not version.complete:
        raise ModelMismatch(f"An active version should have all its encoders in the database. Received: {name}.")
    db.execute("UPDATE rec_versions SET active = CASE WHEN name = :name THEN 1 ELSE 0 END", {"name": name})


def purge(db: Database, name: str, chunk: int = CHUNK_ROWS) -> None:
    """Delete a version's rows, in one transaction per chunk. The version counts as incomplete from the start.

    Args:
        db: The database.
        name: The version's name; an unknown one is no error.
        chunk: About how many rows one transaction deletes.
    """
    version = _version(db, name)
    if version is None:
        return
    params = {"version": version.id}
    db.execute("UPDATE rec_versions SET complete = 0, active = 0 WHERE id = :version", params)
    for table in ("rec_user_encoder", "rec_item_encoder"):
        ((last,),) = db.query(f"SELECT MAX(idx) FROM {table} WHERE version = :version", params)  # noqa: S608 - our own names
        for start in range(0, 0 if last is None else int(last) + 1, chunk):
            db.execute(
                f"DELETE FROM {table} WHERE version = :version AND idx >= :start AND idx < :stop",  # noqa: S608 - our own names
                {**params, "start": start, "stop": start + chunk},
            )
    for table in ("rec_context_mapping", "rec_context_meta"):
        db.execute(f"DELETE FROM {table} WHERE version = :version", params)  # noqa: S608 - our own names
    db.execute("DELETE FROM rec_versions WHERE id = :version", params)


def purge_unfinished(db: Database, chunk: int = CHUNK_ROWS) -> None:
    """Delete the rows of incomplete versions, which killed writers have left.

    A writer that is at work meanwhile fails with Overloaded.

    Args:
        db: The database.
        chunk: About how many rows one transaction deletes.
    """
    for version in list_versions(db):
        if not version.complete:
            purge(db, version.name, chunk)


def _missing(name: str) -> ModelMismatch:
    expected = f"The database should hold the encoders of version {name}. Received: none."
    return ModelMismatch(f"{expected} Run scripts/migrate_encoders.py --version {name}.")


def _version(db: Database, name: str) -> VersionRow | None:
    return next((version for version in list_versions(db) if version.name == name), None)


def _reserve(db: Database, name: str, data_until: int) -> int:
    """Reserve the next free id; where another writer takes it first, the one after it is tried."""
    for _ in range(RESERVATIONS):
        ((newest,),) = db.query("SELECT MAX(id) FROM rec_versions")
        version = 1 if newest is None else int(newest) + 1
        try:
            db.insert("rec_versions", [{"id": version, "name": name, "data_until": int(data_until)}])
        except Duplicate:
            if _version(db, name) is not None:
                raise Overloaded(f"Version {name} is being written by somebody else. Try again.") from None
            continue
        return version
    raise Overloaded("Too many versions are being written at once. Try again.")


def table_counts(db: Database, version: int) -> dict[str, int]:
    """Return the number of a version's rows in each of the tables `TABLES`, by the id of the version."""
    count = "(SELECT COUNT(*) FROM {} WHERE version = :version)"
    ((*counts,),) = db.query("SELECT " + ", ".join(map(count.format, TABLES)), {"version": version})
    return dict(zip(TABLES, map(int, counts), strict=True))


def _keys(name: str, ids: NDArray | IdMap) -> list[str]:
    """Return ids as the text that is stored.

    Raises:
        SettingsError: An id cannot be stored, or occurs twice.
    """
    raw = (ids.ids if isinstance(ids, IdMap) else np.asarray(ids)).tolist()
    keys = [key.decode("utf-8") if isinstance(key, bytes) else str(key) for key in raw]
    for key in keys:
        if not is_key(key):
            raise SettingsError(f"`{name}` should hold ids of 1 to 512 bytes of UTF-8. Received: {key[:80]!r}.")
    if len(set(keys)) != len(keys):
        raise SettingsError(
            f"`{name}` should hold distinct ids. Received: {len(keys)}, of which {len(set(keys))} are distinct."
        )
    return keys
