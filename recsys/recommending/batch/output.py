"""Lists of everybody, step 4: where they go: the table rec_batch_lists, or files of JSON lines or Parquet.

Each output remembers how far its run has come, in the same step as it writes a block. After a kill at any point, the
next run goes on behind the last block: nobody is written twice, and nobody is left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol, get_args

import orjson

from recsys import store
from recsys.artifacts.files import DISK, Files
from recsys.contract import Item, Source
from recsys.errors import SettingsError
from recsys.store import ListRow, ListRun

To = Literal["table", "jsonl", "parquet"]
KINDS: tuple[str, ...] = get_args(To)
PROGRESS = "progress.json"


class UserList(NamedTuple):
    """The list of one user.

    Attributes:
        user_id: The id in the shop's type.
        model: The registry name of the scorer.
        source: The kind of scorer.
        items: The recommended items, best first.
        computed_at: Seconds since 1970.
    """

    user_id: int | str
    model: str
    source: Source
    items: tuple[Item, ...]
    computed_at: int


class Output(Protocol):
    """Where lists go.

    Attributes:
        run: How far the run has come.
    """

    run: ListRun

    def write(self, lists: Sequence[UserList]) -> None:
        """Write the lists of a block of users, and remember that the last of them is done."""

    def finish(self, now: int) -> None:
        """Remember that everybody is done; the next run begins anew."""


class Table:
    """Writes into the table rec_batch_lists."""

    def __init__(self, db: store.Database, job: str, version: str, now: int, fresh_s: int = 0) -> None:
        """Go on with an unfinished run of the job, or begin one; see `recsys.store.lists.begin_run`."""
        store.migrate(db, shop=False)
        self.run = store.begin_run(db, job, version, now, fresh_s=fresh_s)
        self._db = db

    def write(self, lists: Sequence[UserList]) -> None:
        """Replace the lists of a block of users; see `Output.write`."""
        after = moved_on(self.run, lists)
        users = [of_user.user_id for of_user in lists]
        rows = (row for of_user in lists for row in rows_of(of_user, self.run.version))
        store.write_lists(self._db, self.run, after, users, rows)
        self.run = after

    def finish(self, now: int) -> None:
        """See `Output.finish`."""
        store.finish_run(self._db, self.run, now)


class FolderOfParts:
    """Writes one file for each block of users into a folder, with the progress beside them.

    A part has its name by the number of parts before it. A kill between a part and the progress lets the next run write
    the same part again.
    """

    def __init__(self, folder: Path, kind: str, job: str, version: str, now: int, files: Files = DISK) -> None:
        """Go on with an unfinished run of the job, or remove the parts of the finished one and begin anew."""
        self._folder, self._kind, self._files = folder, kind, files
        files.make_dir(folder)
        run, self._n_parts = self._stored()
        if run is None or (run.job, run.version) != (job, version):
            run, self._n_parts = ListRun(job, version, now), 0
            self._save(run, 0)
        for stale in self._parts_from(self._n_parts):
            files.remove(stale)
        self.run = run

    def write(self, lists: Sequence[UserList]) -> None:
        """Write the next part; see `Output.write`."""
        after, part = moved_on(self.run, lists), self._folder / f"part-{self._n_parts:06}.{self._kind}"
        version = self.run.version
        self._replace(part, _json_lines(lists, version) if self._kind == "jsonl" else _parquet(lists, version))
        self._save(after, self._n_parts + 1)
        self.run, self._n_parts = after, self._n_parts + 1

    def finish(self, now: int) -> None:
        """See `Output.finish`."""
        self._save(self.run, self._n_parts, finished_at=now)

    def _stored(self) -> tuple[ListRun | None, int]:
        try:
            stored = orjson.loads((self._folder / PROGRESS).read_bytes())
        except FileNotFoundError:
            return None, 0
        except ValueError as error:
            raise SettingsError(f"{self._folder / PROGRESS} should be JSON of this program. Remove it.") from error
        n_parts, finished_at = stored.pop("n_parts"), stored.pop("finished_at")
        return (ListRun(**stored), n_parts) if finished_at is None else (None, 0)

    def _save(self, run: ListRun, n_parts: int, finished_at: int | None = None) -> None:
        stored = {**run._asdict(), "n_parts": n_parts, "finished_at": finished_at}
        self._replace(self._folder / PROGRESS, orjson.dumps(stored))

    def _replace(self, path: Path, data: bytes) -> None:
        draft = path.with_name(f".{path.name}")
        self._files.write(draft, data)
        self._files.fsync(draft)
        self._files.rename(draft, path)
        self._files.fsync(path.parent)

    def _parts_from(self, number: int) -> list[Path]:
        return sorted(self._folder.glob("part-*"))[number:]


def moved_on(run: ListRun, lists: Sequence[UserList]) -> ListRun:
    """Return the run with a block of lists."""
    n_lists = run.n_lists + sum(1 for of_user in lists if of_user.items)
    return run._replace(last_user=str(lists[-1].user_id), n_users=run.n_users + len(lists), n_lists=n_lists)


def rows_of(of_user: UserList, version: str) -> list[ListRow]:
    """Return the rows of a list, best first."""
    return [
        ListRow(
            user_id=of_user.user_id,
            position=position,
            item_id=item.product_id,
            score=item.score,
            reason=item.reason.code if item.reason else None,
            reason_item=item.reason.item_id if item.reason else None,
            version=version,
            model=of_user.model,
            source=of_user.source,
            computed_at=of_user.computed_at,
        )
        for position, item in enumerate(of_user.items, 1)
    ]


def _json_lines(lists: Sequence[UserList], version: str) -> bytes:
    """Return one JSON object a line, with the fields of an answer of docs/PROTOCOL.md."""
    return b"".join(
        orjson.dumps(
            {
                "user_id": of_user.user_id,
                "model": of_user.model,
                "model_version": version,
                "source": of_user.source,
                "computed_at": of_user.computed_at,
                "items": [_item(item) for item in of_user.items],
            },
            option=orjson.OPT_APPEND_NEWLINE,
        )
        for of_user in lists
    )


def _item(item: Item) -> dict[str, Any]:
    fields: dict[str, Any] = {"productId": item.product_id, "score": item.score}
    if item.reason:
        reason = {"code": item.reason.code, "item_id": item.reason.item_id}
        fields["reason"] = {name: value for name, value in reason.items() if value is not None}
    return fields


def _parquet(lists: Sequence[UserList], version: str) -> bytes:
    """Return a Parquet file with one row for each item of each list, with the columns of rec_batch_lists."""
    import pyarrow  # imported here: serving does without
    import pyarrow.parquet

    rows = [row._asdict() for of_user in lists for row in rows_of(of_user, version)]
    id_type = pyarrow.int64() if isinstance(lists[0].user_id, int) else pyarrow.string()
    item_type = pyarrow.int64() if rows and isinstance(rows[0]["item_id"], int) else pyarrow.string()
    types = {"user_id": id_type, "position": pyarrow.int16(), "item_id": item_type, "score": pyarrow.float64()}
    types |= {"reason": pyarrow.string(), "reason_item": item_type}
    types |= {**dict.fromkeys(("version", "model", "source"), pyarrow.string()), "computed_at": pyarrow.int64()}
    table = pyarrow.Table.from_pylist(rows, schema=pyarrow.schema(list(types.items())))
    buffer = pyarrow.BufferOutputStream()
    pyarrow.parquet.write_table(table, buffer)
    return bytes(buffer.getvalue())
