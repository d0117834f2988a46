"""Lists of everybody: the answers that `recommend` would give to each user, computed for blocks of users.

A night's run reads the users of a block with their events, ranks the catalogue for all of them with matrix products,
checks the best items against the database once for the block, explains them, and writes the block. Whoever does not fit
is asked alone, by `recommend` itself: users with very many events or unreadable rows, lists that the catalogue hardly
fills, and rankings whose neighbours are too close to be told apart by rounded products.
"""

from __future__ import annotations

import gc
import hashlib
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from recsys import store
from recsys.artifacts.files import DISK, Files
from recsys.contract import AUTO, Request
from recsys.contract.request import DEFAULT_LIMIT, MAX_LIMIT
from recsys.data.ids import canonical
from recsys.errors import SettingsError
from recsys.errors.wording import listed
from recsys.recommending.batch.lists import Shelf, lists_of
from recsys.recommending.batch.output import KINDS, FolderOfParts, Output, Table, To, UserList
from recsys.recommending.batch.tables import BlockTables
from recsys.recommending.batch.users import load_users
from recsys.recommending.loading import ModelBundle, load
from recsys.recommending.recommend import recommend
from recsys.recommending.user import MAX_EVENTS
from recsys.scorers.registry import REGISTRY
from recsys.settings import Settings, Shop

BLOCK_BYTES = 64 << 20  # of a block's scores; the products take as much again
MAX_BLOCK = 512  # users; more of them gain nothing
MAX_BLOCK_EVENTS = 100_000  # rows of the users of a block, some hundred bytes each while they are read
NEW_OBJECTS = 50_000  # between two collections of garbage
FOLDER = Path("lists")

Progress = Callable[[int, int], None]


class BatchResult(NamedTuple):
    """What a run did, including the part before an interruption.

    Attributes:
        n_users: The number of users that were asked for.
        n_lists: How many of them have a list with items.
        seconds: The time of this process.
    """

    n_users: int
    n_lists: int
    seconds: float


def recommend_all(
    settings: Settings,
    *,
    users: Sequence[int | str] | None = None,
    to: To = "table",
    limit: int = DEFAULT_LIMIT,
    shard: tuple[int, int] = (0, 1),
    model: str | None = None,
    progress: Progress | None = None,
    folder: Path = FOLDER,
    fresh_s: int = 0,
    now: Callable[[], float] = time.time,
    files: Files = DISK,
) -> BatchResult:
    """Compute and store the lists of all users, or of a segment, by the published winner.

    A run that was interrupted goes on where it stopped, if it is called again with the same arguments and the same
    version is active. A call after a finished run computes everything anew.

    Args:
        settings: The database, the models and the mapping.
        users: The ids of a segment; None for everybody whom the version knows or who has an event.
        to: `table` fills rec_batch_lists; `jsonl` and `parquet` write files into `folder`.
        limit: The length of a list, 1 to 100.
        shard: Which part of the users, from 0, and the number of parts. A user is in the same part in every process.
        model: A name of the registry; None for the winner of each user's segment.
        progress: Called after each block with the number of users that are done, and of all.
        folder: Where the files go, into a folder for each job.
        fresh_s: For how many seconds a finished run into the table stands for the next one of the same version.
        now: The clock, seconds since 1970.
        files: The effects on disk.

    Raises:
        SettingsError: An argument is out of its range, or the version lacks the model.
        NoModel: Nothing is published.
        ModelMismatch: The database does not hold the version's encoders.
        AlreadyComputing: Another process does the same job and is further on, or finished it less than `fresh_s` ago.
    """
    began = time.monotonic()
    check_arguments(to, limit, shard)
    bundle = load(settings.models_dir)
    if model is not None and model not in bundle.scorers.names:
        names = listed([name for name in REGISTRY if name in bundle.scorers.names])
        raise SettingsError(f"`model` should be one of {names}, which {bundle.name} has. Received: {model!r}.")
    job = ".".join([segment_name(users), model or AUTO, str(limit), f"{shard[0] + 1}-of-{shard[1]}"])
    with store.connect(settings.database_url) as db:
        store.require_version(db, bundle.name)
        output: Output = (
            Table(db, job, bundle.name, int(now()), fresh_s)
            if to == "table"
            else FolderOfParts(folder / f"{job}.{to}", to, job, bundle.name, int(now()), files)
        )
        counts = users_to_answer(db, settings.shop, bundle, users, shard)
        todo = sorted(counts)
        n_all = len(todo)
        if (last := output.run.last_user) is not None:
            after = canonical(last, bundle.user_kind)
            todo = [user for user in todo if after is not None and user > after]  # type: ignore[operator]
        run = BlockRun(bundle, db, settings.shop, limit, model, now)
        with rare_collections():
            for block in blocks(todo, counts, len(bundle.items)):
                output.write(run.lists(block, counts))
                if progress is not None:
                    progress(n_all - len(todo) + run.n_done, n_all)
        output.finish(int(now()))
    return BatchResult(output.run.n_users, output.run.n_lists, time.monotonic() - began)


@contextmanager
def rare_collections() -> Iterator[None]:
    """Let Python look for garbage in cycles rarely: a block leaves none, and to look takes 4 % of a run otherwise."""
    usual = gc.get_threshold()
    gc.set_threshold(NEW_OBJECTS, *usual[1:])
    try:
        yield
    finally:
        gc.set_threshold(*usual)


class BlockRun:
    """Computes the lists of blocks of users, one block after the other.

    Attributes:
        n_done: The number of users that have been answered.
    """

    def __init__(
        self,
        bundle: ModelBundle,
        db: store.Database,
        shop: Shop,
        limit: int,
        model: str | None,
        now: Callable[[], float],
    ) -> None:
        """Take what all blocks share; see `recommend_all`."""
        self.n_done = self._n_asked_alone = 0
        self._bundle, self._db, self._limit, self._model, self._now = bundle, db, limit, model, now
        self._shop = shop
        self._winners = winners_only(bundle)
        self._tables = BlockTables(self._winners)
        self._shelf = Shelf(db, shop, bundle)

    @property
    def n_alone(self) -> int:
        """How many users were asked, or at least ranked, alone."""
        return self._n_asked_alone + self._tables.n_ranked_alone

    def lists(self, block: Sequence[int | str], counts: dict[int | str, int]) -> list[UserList]:
        """Return the list of each user of a block.

        Args:
            block: Distinct ids in the shop's type.
            counts: The number of rows of each user.
        """
        now = int(self._now())
        together = [user for user in block if counts[user] <= MAX_EVENTS]
        shop = replace(self._shop, **self._bundle.rules)
        users = load_users(together, self._bundle, self._db, shop=shop, now=now)
        readable = [user for user in users if user is not None]
        made = lists_of(
            readable, self._tables, self._shelf, self._db, shop=shop, limit=self._limit, model=self._model, now=now
        )
        self.n_done += len(block)
        return [made.get(user) or self._alone(user, now) for user in block]

    def _alone(self, user: int | str, now: int) -> UserList:
        self._n_asked_alone += 1
        request = Request(user_id=user, limit=self._limit, model=self._model or AUTO)
        answer = recommend(request, self._winners, self._db, shop=self._shop, now=now, threads=1)
        return UserList(user, answer.model, answer.source, answer.items, now)


def check_arguments(to: str, limit: int, shard: tuple[int, int]) -> None:
    """Refuse arguments that are out of their range.

    Raises:
        SettingsError: One is.
    """
    if to not in KINDS:
        raise SettingsError(f"`to` should be one of {listed(KINDS)}. Received: {to!r}.")
    if not 1 <= limit <= MAX_LIMIT:
        raise SettingsError(f"`limit` should be a whole number from 1 to {MAX_LIMIT}. Received: {limit}.")
    index, n_shards = shard
    if not 0 <= index < n_shards:
        raise SettingsError(f"`shard` should be a part from 0, and the number of parts. Received: {shard}.")


def winners_only(bundle: ModelBundle) -> ModelBundle:
    """Return the version without the choice for each user, so that the winner of each segment answers."""
    segments = {name: replace(priors, per_user=False) for name, priors in bundle.segments.items()}
    return replace(bundle, priors=replace(bundle.priors, per_user=False), segments=segments)


def users_to_answer(
    db: store.Database, shop: Shop, bundle: ModelBundle, users: Sequence[int | str] | None, shard: tuple[int, int]
) -> dict[int | str, int]:
    """Return the users of a shard, and how many rows each has.

    Args:
        db: The shop's database.
        shop: The mapping.
        bundle: The version.
        users: The ids of a segment, in any spelling; None for everybody.
        shard: Which part, from 0, and the number of parts.

    Raises:
        SettingsError: An id of the segment is none of the shop's kind.
    """
    if users is None:
        counts = dict.fromkeys(bundle.known_users(), 0) | store.count_events(db, shop, bundle.user_kind)
        counts = {user: n for user, n in counts.items() if user not in bundle.guests}
    else:
        ids = [canonical(user, bundle.user_kind) for user in users]
        for received, user in zip(users, ids, strict=True):
            if user is None:
                kind = "whole numbers" if bundle.user_kind == "int" else "text"
                raise SettingsError(f"`users` should hold ids of the shop, {kind}. Received: {received!r}.")
        distinct = list(dict.fromkeys(user for user in ids if user is not None))
        counts = dict.fromkeys(distinct, 0) | store.count_events(db, shop, bundle.user_kind, distinct)
    return {user: n for user, n in counts.items() if shard_of(user, shard[1]) == shard[0]}


def shard_of(user: int | str, n_shards: int) -> int:
    """Return the part that a user belongs to, from 0; the same in every process, whoever else is a user."""
    return zlib.crc32(str(user).encode()) % n_shards


def segment_name(users: Sequence[int | str] | None) -> str:
    """Return a short name for a segment, the same for the same users in any order."""
    if users is None:
        return "all"
    return hashlib.sha256("\n".join(sorted(map(str, set(users)))).encode()).hexdigest()[:12]


def blocks(users: Sequence[int | str], counts: dict[int | str, int], n_items: int) -> Iterator[list[int | str]]:
    """Yield the users in blocks, each with a bounded number of scores and of events.

    Args:
        users: Ids, in order.
        counts: The number of rows of each.
        n_items: The number of items that are scored for each.
    """
    size = max(1, min(MAX_BLOCK, BLOCK_BYTES // (4 * max(n_items, 1))))
    block: list[int | str] = []
    n_events = 0
    for user in users:
        n_rows = min(counts[user], MAX_EVENTS)
        if block and (len(block) == size or n_events + n_rows > MAX_BLOCK_EVENTS):
            yield block
            block, n_events = [], 0
        block.append(user)
        n_events += n_rows
    if block:
        yield block
