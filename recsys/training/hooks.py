"""A shop's own step: a module named in recsys.toml, whose function `clean` drops or corrects events before training.

The function gets the events as they were read, before our own cleaning: all of them, and those before each cut, so that
an evaluation never sees what the step learned later. It may drop rows and change values. It may not add rows, nor users
who have no event: a user that training invents never asks for recommendations.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys.data.interactions import Catalogue, Interactions
from recsys.errors import SettingsError
from recsys.errors.records import Record
from recsys.errors.wording import listed, shown

NO_HOOKS = "none"
COLUMNS = ("user_id", "item_id", "event", "timestamp")


class Hooks(Record):
    """The shop's own step.

    Attributes:
        module: The module's name.
        file: Its file.
        sha256: The hash of the file, in hexadecimal.
        clean: Maps events to events, as frames of pandas.
    """

    module: str
    file: Path
    sha256: str
    clean: Callable[[Any], Any]

    def to_json(self) -> dict[str, str]:
        """Return what a version's manifest says about the step."""
        return {"module": self.module, "sha256": self.sha256}


def load_hooks(module: str, root: Path) -> Hooks | None:
    """Import the shop's module, from a folder or from what is installed; None for `none`.

    Args:
        module: The setting `hooks`.
        root: The folder of the scripts, which is searched first.

    Raises:
        SettingsError: There is no such module, it fails, or it has no function `clean`. The message names the file and
            the line.
    """
    if module == NO_HOOKS:
        return None
    if str(root) not in sys.path:
        sys.path.insert(0, str(root))
    importlib.invalidate_caches()
    try:
        spec = importlib.util.find_spec(module)
    except (ImportError, ValueError):  # the package around it is missing, or fails
        spec = None
    if spec is None or not spec.origin or not Path(spec.origin).is_file():
        raise SettingsError(
            f"[training] `hooks` should name a module in {root}, or an installed one. Received: {shown(module)}."
        )
    file = Path(spec.origin)
    sha256 = hashlib.sha256(file.read_bytes()).hexdigest()
    with _named(file, "import"):
        clean = getattr(importlib.import_module(module), "clean", None)
    if not callable(clean):
        raise SettingsError(f"{file} should have a function `clean`. Received: {shown(clean)}.")
    return Hooks(module, file, sha256, clean)


def apply_hooks(hooks: Hooks | None, events: Interactions, catalogue: Catalogue) -> tuple[Interactions, dict[str, int]]:
    """Return the events that the shop's own step leaves, and the number of dropped rows by reason.

    Args:
        hooks: The step; None for none.
        events: Events as they were read.
        catalogue: The shop's products.

    Raises:
        SettingsError: The step fails, or what it returns is no such frame. The message names file and line, or column.
    """
    if hooks is None:
        return events, {}
    frame = to_frame(events)
    with _named(hooks.file, "clean"):
        cleaned = hooks.clean(frame.copy())
    kept = _checked(hooks.file, cleaned, frame)
    result = _to_interactions(kept, events)
    _check_ids(hooks.file, "user_id", result.users, events.users)
    _check_ids(hooks.file, "item_id", result.items, np.append(events.items, catalogue.items))
    return result, {f"{hooks.module}.clean": len(events) - len(result)}


def to_frame(events: Interactions) -> Any:
    """Return events as a frame: user, item, event's name, seconds since 1970 in UTC, and the context columns."""
    import pandas

    names = np.array(events.event_names, object)
    columns = {
        "user_id": events.users,
        "item_id": events.items,
        "event": names[events.events] if len(names) else np.zeros(0, object),
        "timestamp": events.timestamps,
        **events.contexts,
    }
    return pandas.DataFrame(columns)


def _checked(file: Path, cleaned: Any, frame: Any) -> Any:
    """Return what a step returned, in the order of the rows that it got."""
    import pandas

    expected = f"`clean` of {file} should return"
    if not isinstance(cleaned, pandas.DataFrame):
        raise SettingsError(f"{expected} a DataFrame. Received: {type(cleaned).__name__}.")
    if sorted(map(str, cleaned.columns)) != sorted(frame.columns):
        raise SettingsError(f"{expected} the columns {listed(frame.columns)}. Received: {listed(cleaned.columns)}.")
    if not cleaned.index.is_unique or not cleaned.index.isin(frame.index).all():
        raise SettingsError(
            f"{expected} rows that it got, each once, with their index; it may drop rows, but not add any. "
            f"Received: {len(cleaned):,} rows for {len(frame):,}."
        )
    for name in COLUMNS:
        kinds = [_kind(table[name]) for table in (frame, cleaned)]
        if len(cleaned) and kinds[0] != kinds[1]:
            raise SettingsError(f"{expected} {kinds[0]} in `{name}`. Received: {kinds[1]}.")
    return cleaned.sort_index()


def _kind(column: Any) -> str:
    """Return what a column holds, for messages."""
    if column.dtype.kind in "iu":
        return "whole numbers"
    if column.map(lambda value: isinstance(value, str)).all():
        return "texts"
    return f"{column.dtype} with missing values" if column.isna().any() else str(column.dtype)


def _to_interactions(kept: Any, events: Interactions) -> Interactions:
    rows = kept.index.to_numpy(np.int64)
    names, codes = np.unique(kept["event"].to_numpy(object).astype(str), return_inverse=True)
    contexts = {name: _texts(kept[name].to_numpy(object)) for name in events.contexts}
    return replace(
        events.take(rows),
        users=_ids(kept["user_id"], events.users),
        items=_ids(kept["item_id"], events.items),
        events=codes.astype(np.int16),
        event_names=tuple(names.tolist()),
        timestamps=kept["timestamp"].to_numpy(np.int64),
        contexts=contexts,
    )


def _texts(values: NDArray) -> NDArray:
    """Return the texts of a column; None for missing values, which pandas writes as NaN."""
    texts = np.full(len(values), None, object)
    texts[:] = [value if isinstance(value, str) else None for value in values]
    return texts


def _ids(column: Any, before: NDArray) -> NDArray:
    ids: NDArray = column.to_numpy(before.dtype)
    return ids


def _check_ids(file: Path, name: str, ids: NDArray, known: NDArray) -> None:
    new = set(ids.tolist()) - set(known.tolist())
    if new:
        raise SettingsError(
            f"`clean` of {file} should return values of `{name}` that the shop has. "
            f"Received: {len(new):,} others, e.g. {shown(min(new, key=str))}."
        )


@contextmanager
def _named(file: Path, what: str) -> Iterator[None]:
    """Turn any failure of the shop's code into an error that names its file and line."""
    try:
        yield
    except Exception as error:  # another's code may raise anything; this is the border to it
        lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if Path(frame.filename) == file]
        line = error.lineno if isinstance(error, SyntaxError) else lines[-1] if lines else 1
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        raise SettingsError(f"{file}, line {line}, should {what} without an error. Received: {reason}.") from error
