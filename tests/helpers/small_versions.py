"""Small versions with encoders, published step by step as training does, but without any fit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from recsys import store
from recsys.artifacts import Draft, Files, activate, append_history
from recsys.lifecycle.versions import clean_up, record_active, show_active
from recsys.settings import Settings, load_settings
from recsys.store import Database, connect, list_versions
from tests.helpers.dying_disk import Unsynced, Watched

HOUR = 3600
NOW = 1_704_067_200  # 2024-01-01
CONTEXTS = {"season": ["dry", "wet"], "device_type": ["mobile"]}
UNSYNCED = Unsynced()


def settings_of(url: str, folder: Path) -> Settings:
    """Return default settings with `folder/models`."""
    return load_settings({"DATABASE_URL": url, "MODELS_DIR": str(folder / "models")}, folder)


def write_draft(draft: Draft, now: int, users: Sequence[int | str] = (3, 7)) -> str:
    """Fill and publish a draft; the version knows these users and three items."""
    ids = np.array([user.encode() for user in users]) if isinstance(users[0], str) else np.array(users)
    draft.write_arrays("encoders.h5", {"users": ids, "items": np.array([10, 11, 12])})
    draft.write_json("contexts.json", CONTEXTS)
    draft.path("deep/weights.bin").write_bytes(f"weights of {now}".encode() * 100)
    offline = {"popularity": {"precision10": 0.1, "map10": now % 1000 / 1000}}
    return draft.publish({"data_until": now - HOUR, "winner": "popularity", "offline": offline})


def publish(
    settings: Settings,
    now: int,
    *,
    files: Files = UNSYNCED,
    connect: Callable[..., Database] = store.connect,
    users: Sequence[int | str] = (3, 7),
    clean: bool = True,
    note: Callable[[str], None] = lambda text: None,
) -> str:
    """Publish a version in the order of training, and clean up after it."""
    with Draft.create(settings.models_dir, now, files) as draft:
        record_active(settings.models_dir, files)
        name = write_draft(draft, now, users)
        with connect(settings.database_url) as db:
            store.migrate(db, shop=False)
            store.purge_unfinished(db)
            write_encoders(db, name, now, users)
        activate(settings.models_dir, name, files)
        append_history(settings.models_dir, {"trained_at": now, "published": name, "rows": {}}, files)
        with connect(settings.database_url) as db:
            show_active(db, settings.models_dir)
        if clean:
            clean_up(settings, files=files, connect=connect, note=note)
    return name


def write_encoders(db: Database, name: str, now: int, users: Sequence[int | str] = (3, 7)) -> None:
    """Write a small version's encoders into the database."""
    ids = np.array(users, object)
    store.write_version(db, name, data_until=now - HOUR, users=ids, items=np.array([10, 11, 12]), contexts=CONTEXTS)


def publish_many(settings: Settings, n_versions: int, **options: bool) -> list[str]:
    """Publish one version an hour; returns their names, the oldest first."""
    return [publish(settings, NOW + number * HOUR, **options) for number in range(n_versions)]


def in_database(settings: Settings) -> list[str]:
    """Return the versions whose encoders are in the database, the oldest first."""
    with connect(settings.database_url) as db:
        return sorted(row.name for row in list_versions(db))


def shown(settings: Settings) -> list[str]:
    """Return the versions that the views show."""
    with connect(settings.database_url) as db:
        return [row.name for row in list_versions(db) if row.active]


def watched(disk: Watched) -> Callable[..., Database]:
    """Return a function that opens the database; each statement counts as a step of the disk."""
    return lambda url: connect(url, tracer=lambda sql, _: disk.before(sql.split()[0], Path("database")))
