"""Which versions are kept after a publication, and the switch from the active version to another one.

A version belongs to a folder: the history of that folder, metrics.json, names it. Encoders in the database are removed
only if this history names their version, because another folder may share the database.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from recsys import store
from recsys.artifacts import (
    DISK,
    Files,
    Version,
    activate,
    append_history,
    current_name,
    history,
    is_current,
    open_version,
    remove_version,
    version_names,
)
from recsys.errors import ModelMismatch, ModelRefused, NoModel, RecsysError
from recsys.errors.records import Record
from recsys.errors.wording import listed
from recsys.settings import Settings
from recsys.store import StoredEncoders
from recsys.tracking.exports import export_similarities

Connect = Callable[..., store.Database]
Entries = Sequence[Mapping[str, Any]]
ROLLBACK, RESTORE, ACTIVATE = "rollback", "restore", "activate"  # the `action` of entries that are no training runs
RESTORED_AT = "restored_at"  # in the entry of a training run that came from a backup
CUT_SHORT = "The run ended before it could write its entry."


class Switch(Record):
    """What a switch did.

    Attributes:
        before: The version that was active; None if none was, or CURRENT could not be read.
        after: The version that is active now.
        wrote_encoders: Whether the database lacked the version's encoders, so that they were written.
    """

    before: str | None
    after: str
    wrote_encoders: bool


class Summary(Record):
    """What the manifest of a version says; None where it does not.

    Attributes:
        name: The version's name.
        data_until: The time of the newest event in its training data, in seconds since 1970 in UTC.
        winner: The scorer that serves by default.
        precision10: The winner's Precision@10 at its publication.
        map10: The winner's MAP@10 at its publication.
        size: Bytes of all its files.
        fault: Why the version cannot be opened.
    """

    name: str
    data_until: int | None = None
    winner: str | None = None
    precision10: float | None = None
    map10: float | None = None
    size: int | None = None
    fault: str | None = None


def trained_at(name: str) -> int:
    """Return when a version was trained, by its name, in seconds since 1970; 0 if that is no time.

    >>> trained_at("20261120T233000Z-0f1e2d3c"), trained_at("20269999T233000Z-0f1e2d3c")
    (1795217400, 0)
    """
    try:
        return int(datetime.strptime(name.partition("-")[0], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC).timestamp())
    except ValueError:
        return 0


def summary(models_dir: Path, name: str) -> Summary:
    """Return what a version's manifest says, or why it cannot be opened."""
    try:
        with open_version(models_dir, name) as version:
            manifest, size = version.manifest, version.size
    except RecsysError as error:
        return Summary(name, fault=str(error))
    winner, offline = manifest.get("winner"), manifest.get("offline")
    row = offline.get(winner) if isinstance(offline, Mapping) else None
    figures = row if isinstance(row, Mapping) else {}
    return Summary(
        name, manifest.get("data_until"), winner, figures.get("precision10"), figures.get("map10"), size=size
    )


def published_names(models_dir: Path, entries: Entries | None = None) -> list[str]:
    """Return the versions in the folder without those of killed publishers, the oldest first.

    A whole version that never served is left if its publisher is killed just before the activation. It is told by the
    history, which reaches back to its time and does not name it. Where the history was moved away, all versions count.

    Args:
        models_dir: The folder of all versions.
        entries: The history, if it was read already.

    Raises:
        ModelRefused: The history is damaged.
    """
    entries = recorded(models_dir) if entries is None else entries
    # What was restored, or written later for a run that was cut short, does not say how far the history reaches back.
    own = [entry for entry in entries if RESTORED_AT not in entry and entry.get("reason") != CUT_SHORT]
    runs = [entry["trained_at"] for entry in own if isinstance(entry.get("trained_at"), int)]
    known, first = {named(entry) for entry in entries}, min(runs, default=None)
    return [
        name
        for name in version_names(models_dir)
        if name in known or first is None or trained_at(name) < first or is_current(models_dir, name)
    ]


def recorded(models_dir: Path) -> list[dict[str, Any]]:
    """Return the entries of the history that are objects, with the errors of `history`."""
    return [entry for entry in history(models_dir) if isinstance(entry, dict)]


def named(entry: Mapping[str, Any]) -> str | None:
    """Return the version that an entry of the history published, restored or switched to."""
    name = entry.get("published") or entry.get("version")
    return name if isinstance(name, str) else None


def version_before(models_dir: Path) -> str:
    """Return the newest published version that is older than the active one.

    Raises:
        NoModel: No version is active, or there is no older one.
        ModelRefused: CURRENT or the history is damaged.
    """
    active = current_name(models_dir)
    names = published_names(models_dir)
    older = [name for name in names if name < active]
    if not older:
        raise NoModel(f"{models_dir} should hold a version before {active}. Received: {listed(names)}.")
    return older[-1]


def record_active(models_dir: Path, files: Files = DISK) -> None:
    """Add the active version to the history if its publisher was killed before it could."""
    with suppress(NoModel, ModelRefused):
        name = current_name(models_dir)
        if name not in map(named, recorded(models_dir)):
            entry = {"trained_at": trained_at(name), "published": name, "reason": CUT_SHORT}
            append_history(models_dir, entry, files)


def clean_up(
    settings: Settings, *, files: Files = DISK, connect: Connect = store.connect, note: Callable[[str], None]
) -> None:
    """Remove old versions and leftovers, with their encoders. The caller has published and holds the publisher's lock.

    The newest `keep_versions` of the published ones stay, and so do the active one, the one that the views show, and
    all that a reader holds. Restored versions, and those that were switched to, are as new as that moment. A failure
    is only noted: the next publication removes what stays.

    Args:
        settings: Where versions and database are, and how many versions are kept.
        files: The effects on disk.
        connect: Opens the database.
        note: Receives what was removed, or why nothing was.
    """
    try:
        with connect(settings.database_url) as db:
            removed = _remove_old(settings, db, files)
    except RecsysError as error:
        note(f"Older versions stay until the next publication: {error}")
        return
    if removed:
        note(f"Removed: {listed(removed)}.")


def _remove_old(settings: Settings, db: store.Database, files: Files) -> list[str]:
    models_dir = settings.models_dir
    entries = recorded(models_dir)
    rows = store.list_versions(db)
    shown = {row.name for row in rows if row.active}
    newest = {named(entry): position for position, entry in enumerate(entries)}
    published = sorted(published_names(models_dir, entries), key=lambda name: (newest.get(name, -1), name))
    kept = {*published[-settings.lifecycle.keep_versions :], *shown}
    removed = [
        name
        for name in version_names(models_dir)
        if name not in kept and remove_version(models_dir, name, files, forget=lambda name=name: store.purge(db, name))  # type: ignore[misc] # bound now
    ]
    known = {*map(named, entries), *(str(entry.get("left_in_database")) for entry in entries)}
    gone = known - {*version_names(models_dir), *shown}
    for row in rows:
        if row.name in gone and row.name not in removed:
            store.purge(db, row.name)
    return removed


def switch(
    settings: Settings,
    name: str,
    *,
    action: str,
    now: int,
    files: Files = DISK,
    connect: Connect = store.connect,
) -> Switch:
    """Make a version the active one: files, encoders in the database, views, history.

    The order is safe against a crash at any step: the encoders are complete before CURRENT names the version, and the
    same call finishes what a killed one left.

    Args:
        settings: Where versions and database are.
        name: The version.
        action: What the history says: `rollback` or `activate`.
        now: Seconds since 1970.
        files: The effects on disk.
        connect: Opens the database.

    Raises:
        NoModel: There is no such version.
        ModelRefused: The version is damaged; the active one stays.
        RecsysError: The database or the disk fails; the message says which version serves.
    """
    models_dir = settings.models_dir
    before = _active_name(models_dir)
    with open_version(models_dir, name, full=True, files=files) as version, connect(settings.database_url) as db:
        store.migrate(db, shop=False)
        wrote = write_encoders(db, version)
        if before != name:
            activate(models_dir, name, files)
        try:
            show_active(db, models_dir)
            _record(models_dir, name, {"action": action, "timestamp": now, "version": name, "from": before}, files)
        except RecsysError as error:
            raise type(error)(f"Version {name} serves. Run the same command again to finish. {error}") from error
    return Switch(before, name, wrote)


def show_active(db: store.Database, models_dir: Path) -> None:
    """Make the views and the similarities show the version that CURRENT names, even if it changes meanwhile.

    Raises:
        ModelMismatch: The database has not all encoders of that version.
    """
    while True:
        name = current_name(models_dir)
        store.set_active(db, name)
        if current_name(models_dir) == name:
            with open_version(models_dir, name) as version:
                export_similarities(db, version)
            return


def encoders_of(version: Version) -> StoredEncoders:
    """Return the encoders in a version's files as the database should hold them.

    Raises:
        ModelRefused: The version does not hold them.
    """
    ids, contexts = version.arrays("encoders.h5"), version.json("contexts.json")
    try:
        users, items = ([_text(key) for key in ids[kind].tolist()] for kind in ("users", "items"))
        users = users[: len(users) - int(version.manifest.get("sessions", 0))]
        values = {name: list(map(str, listed_values)) for name, listed_values in contexts.items()}
        return StoredEncoders(int(version.manifest["data_until"]), users, items, values)
    except (LookupError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise ModelRefused(
            f"{version.name} should hold `users`, `items`, contexts and `data_until`. Received: {error!r}."
        ) from error


def encoded(encoders: StoredEncoders) -> bytes:
    """Return encoders as JSON; equal encoders have equal bytes, whatever database they come from."""
    return orjson.dumps(vars(encoders))


def write_encoders(db: store.Database, version: Version) -> bool:
    """Write a version's encoders to the database, unless it holds the same ones; returns whether it wrote.

    Raises:
        Overloaded: Another process writes them.
        RecsysError: The database fails.
    """
    encoders = encoders_of(version)
    try:
        if encoded(store.read_version(db, version.name)) == encoded(encoders):
            return False
    except ModelMismatch:
        pass  # there are none, or a part of them
    store.purge(db, version.name)
    store.write_version(
        db,
        version.name,
        data_until=encoders.data_until,
        users=np.array(encoders.users, object),
        items=np.array(encoders.items, object),
        contexts=encoders.contexts,
    )
    return True


def _text(key: object) -> str:
    return key.decode() if isinstance(key, bytes) else str(key)


def _active_name(models_dir: Path) -> str | None:
    try:
        return current_name(models_dir)
    except (NoModel, ModelRefused):
        return None


def _record(models_dir: Path, name: str, entry: Mapping[str, Any], files: Files) -> None:
    """Add a switch to the history, unless its last publication or switch was to the same version."""
    entries = [entry for entry in recorded(models_dir) if entry.get("action") != RESTORE and RESTORED_AT not in entry]
    active = [version for version in map(named, entries) if version]
    if active[-1:] != [name]:
        last = active[-1] if active else None
        append_history(models_dir, {**entry, "from": last if entry["from"] == name else entry["from"]}, files)
