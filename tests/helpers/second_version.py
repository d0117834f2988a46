"""A second version of the tiny shop, for tests of what happens when another one is activated."""

from __future__ import annotations

import shutil
from collections.abc import Callable

import numpy as np

from recsys.artifacts import Draft, Files, Version, open_version
from recsys.artifacts.files import DISK
from recsys.artifacts.manifest import RESERVED
from recsys.store import connect, write_version
from tests.helpers.tiny_shop import NOW, Published

Alter = Callable[[Draft, Version], None]


def turned_around(draft: Draft, first: Version) -> None:
    """Reverse popularity, so that `"model": "popularity"` gives another list for each version."""
    rewrite(draft, first, "popularity.h5", popularity=lambda popularity: popularity.max() - popularity)


def rewrite(draft: Draft, first: Version, path: str, **changes: Callable[[np.ndarray], np.ndarray]) -> None:
    """Write one of the version's files of arrays anew, some of them changed."""
    arrays = first.arrays(path)
    draft.path(path).unlink()
    draft.write_arrays(path, {**arrays, **{name: change(arrays[name]) for name, change in changes.items()}})


def second_version(
    shop: Published, alter: Alter = turned_around, *, in_database: bool = True, files: Files = DISK
) -> str:
    """Publish the shop's version once more, changed, and return its name; it is not active yet.

    Args:
        shop: A copy that may be changed.
        alter: Changes files before they are hashed.
        in_database: Whether its encoders are written too.
        files: How the disk is changed.
    """
    with open_version(shop.models_dir, shop.version) as first, Draft.create(shop.models_dir, NOW, files) as draft:
        for entry in first.manifest["files"]:
            shutil.copy(first.file(entry["path"]), draft.path(entry["path"]))
        alter(draft, first)
        name = draft.publish({key: value for key, value in first.manifest.items() if key not in RESERVED})
        if in_database:
            write_encoders(shop, first, name)
    return name


def write_encoders(shop: Published, version: Version, name: str) -> None:
    """Write a version's encoders into the shop's database under a name."""
    encoders = version.arrays("encoders.h5")
    with connect(shop.url) as db:
        write_version(
            db,
            name,
            data_until=version.manifest["data_until"],
            users=encoders["users"],
            items=encoders["items"],
            contexts=version.json("contexts.json"),
        )


def point_at(shop: Published, text: str) -> None:
    """Write any text into CURRENT."""
    (shop.models_dir / "CURRENT").write_text(text, encoding="ascii")
