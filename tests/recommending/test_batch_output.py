"""Where lists of everybody go: the table and files, after a kill at every step; nobody twice, nobody left out."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest

from recsys import store
from recsys.artifacts.files import Files
from recsys.contract import Item
from recsys.errors import AlreadyComputing, Overloaded, SettingsError
from recsys.recommending.batch import BatchResult, recommend_all
from recsys.recommending.batch.output import FolderOfParts, Table, UserList
from recsys.recommending.batch.run import segment_name
from recsys.store import ListRow
from scripts import recommend_all as script
from tests.helpers.dying_disk import Died, Mortal, Unsynced, Watched
from tests.helpers.tiny_shop import NOW, Published, event, moved

USERS = tuple(range(2, 12))  # four blocks of three, three, three and one
FEW = USERS[:4]  # two blocks
ALL = "popularity"  # the cheapest scorer


@pytest.fixture
def shop(published: Published, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Published:
    monkeypatch.setattr("recsys.recommending.batch.run.MAX_BLOCK", 3)
    return published.copy(tmp_path)


def run(shop: Published, to: str = "table", files: Files | None = None, now: int = NOW, **options: Any) -> BatchResult:
    given = {"users": USERS, "limit": 4, "model": ALL, "folder": shop.folder / "lists", **options}
    return recommend_all(shop.settings, to=to, now=lambda: now, files=files or Unsynced(), **given)  # type: ignore[arg-type]


def die_at(statement: int, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Let the process die at a statement, from 1, and at every later one; returns the list of statements."""
    sent: list[str] = []

    def trace(sql: str, _: object) -> None:
        sent.append(sql)
        if len(sent) >= statement:
            raise Died

    monkeypatch.setattr(store, "connect", partial(REAL_CONNECT, tracer=trace))
    return sent


REAL_CONNECT = store.connect


def in_table(shop: Published) -> dict[str, list[ListRow]]:
    with REAL_CONNECT(shop.url) as db:
        users = [
            user.decode() if isinstance(user, bytes) else user
            for (user,) in db.query("SELECT DISTINCT user_id FROM rec_batch_lists")
        ]
        return {user: store.read_list(db, user) for user in users}


def in_files(folder: Path, kind: str) -> list[tuple[int, list[int]]]:
    """Return the user and the items of each list, in the order of the files."""
    lists: list[tuple[int, list[int]]] = []
    for part in sorted(folder.rglob(f"part-*.{kind}")):
        if kind == "jsonl":
            rows = [json.loads(line) for line in part.read_text().splitlines()]
            lists += [(row["user_id"], [item["productId"] for item in row["items"]]) for row in rows]
        else:
            table = pyarrow.parquet.read_table(part).to_pylist()
            users = list(dict.fromkeys(row["user_id"] for row in table))
            lists += [(user, [row["item_id"] for row in table if row["user_id"] == user]) for user in users]
    return lists


def test_a_kill_at_any_statement_loses_and_doubles_nobody(shop: Published, monkeypatch: pytest.MonkeyPatch) -> None:
    with REAL_CONNECT(shop.url) as db:
        store.migrate(db)
    sent = die_at(10**9, monkeypatch)
    run(shop, users=FEW)
    expected, n_statements = in_table(shop), len(sent)
    assert set(expected) == {str(user) for user in FEW} and n_statements > 15
    for statement in range(1, n_statements + 1):
        shop.execute("DELETE FROM rec_batch_lists")
        shop.execute("DELETE FROM rec_batch_runs")
        die_at(statement, monkeypatch)
        with pytest.raises(Died):
            run(shop, users=FEW)
        before = in_table(shop)
        answered: list[int] = []
        monkeypatch.setattr(store, "connect", REAL_CONNECT)
        result = run(shop, users=FEW, progress=lambda done, of, answered=answered: answered.append(done))

        assert in_table(shop) == expected, sent[statement - 1]
        assert result[:2] == (len(FEW), len(FEW))
        assert answered[:1] == [len(before) + min(3, len(FEW) - len(before))] or len(before) == len(FEW)


@pytest.mark.parametrize(("kind", "torn"), [("jsonl", False), ("jsonl", True), ("parquet", True)])
def test_a_kill_at_any_effect_on_disk_loses_and_doubles_nobody(shop: Published, kind: str, torn: bool) -> None:
    watched = Watched()
    run(shop, kind, watched, users=FEW)
    expected = in_files(shop.folder, kind)
    assert [user for user, _ in expected] == list(FEW)
    for step in range(1, len(watched.steps) + 1):
        files = Mortal(step, torn=torn)
        other: dict[str, Any] = {"folder": shop.folder / f"killed at {step}", "users": FEW}
        with pytest.raises(Died):
            run(shop, kind, files, **other)
        result = run(shop, kind, **other)

        assert in_files(other["folder"], kind) == expected, files.steps[-1]
        assert result[:2] == (len(FEW), len(FEW))


def _job() -> str:
    return f"{segment_name(USERS)}.{ALL}.4.1-of-1"


def test_a_new_user_behind_the_last_block_is_answered_by_the_run_that_goes_on(
    shop: Published, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = die_at(10**9, monkeypatch)
    run(shop, users=None)
    shop.execute("DELETE FROM rec_batch_lists")
    shop.execute("DELETE FROM rec_batch_runs")
    die_at(len(sent) // 2, monkeypatch)
    with pytest.raises(Died):
        run(shop, users=None)
    shop.add([event(777, 101, "view", NOW - 60)])
    monkeypatch.setattr(store, "connect", REAL_CONNECT)
    run(shop, users=None)

    assert set(in_table(shop)) == {*map(str, range(60)), "777"}


@pytest.mark.parametrize("to", ["table", "jsonl"])
def test_a_call_after_a_finished_run_computes_everything_anew(shop: Published, to: str) -> None:
    run(shop, to)
    shop.execute("UPDATE Products SET statusId = 'S2' WHERE id = 105")
    assert run(shop, to, now=NOW + 60).n_users == len(USERS)

    if to == "table":
        lists = in_table(shop)
        assert {row.computed_at for rows in lists.values() for row in rows} == {NOW + 60}
        assert {len(rows) for rows in lists.values()} == {4}
        assert "105" not in {row.item_id for rows in lists.values() for row in rows}
    else:
        assert [user for user, _ in in_files(shop.folder, to)] == list(USERS)


def test_an_interrupted_run_of_another_version_is_not_gone_on_with(shop: Published) -> None:
    with REAL_CONNECT(shop.url) as db:
        store.migrate(db)
        old = Table(db, _job(), "20200101T000000Z-00000000", NOW)
        assert Table(db, _job(), "20200101T000000Z-00000000", NOW + 1).run == old.run
        assert Table(db, _job(), shop.version, NOW + 2).run.started_at == NOW + 2
    folder = shop.folder / "lists"
    first = FolderOfParts(folder, "jsonl", "job", "old", NOW)
    assert FolderOfParts(folder, "jsonl", "job", "old", NOW + 1).run == first.run
    assert FolderOfParts(folder, "jsonl", "job", "new", NOW + 2).run.started_at == NOW + 2


def test_of_two_processes_with_one_job_only_the_one_ahead_writes(shop: Published) -> None:
    with REAL_CONNECT(shop.url) as db:
        store.migrate(db)
        one, other = (Table(db, "job", shop.version, NOW) for _ in range(2))
        one.write([UserList(3, ALL, "popularity", (), NOW)])
        with pytest.raises(Overloaded, match="One process at a time should compute the lists of job"):
            other.write([UserList(3, ALL, "popularity", (), NOW)])


def test_a_second_message_for_the_same_lists_computes_nothing(shop: Published) -> None:
    run(shop)
    with pytest.raises(AlreadyComputing, match=r"should be 60 s old. Received: 59 s"):
        run(shop, now=NOW + 59, fresh_s=60)

    assert run(shop, now=NOW + 60, fresh_s=60).n_users == len(USERS)
    with REAL_CONNECT(shop.url) as db:
        assert store.begin_run(db, _job(), "another version", NOW + 61, fresh_s=60).n_users == 0


@pytest.mark.parametrize("database_url", ["mariadb", "postgresql"], indirect=True)
def test_a_shard_writes_between_the_users_of_another_that_has_not_committed(
    published: Published, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = moved(published, database_url)
    with REAL_CONNECT(shop.url) as db, REAL_CONNECT(shop.url, timeout_s=10) as other_db:
        store.migrate(db)
        one, other = Table(db, "one", shop.version, NOW), Table(other_db, "other", shop.version, NOW)
        insert, items = db.insert, (Item(101, 0.5),)

        def insert_after_the_other(*given: Any) -> int:
            other.write([UserList(user, ALL, "popularity", items, NOW) for user in (3, 5)])
            return insert(*given)

        for _ in range(2):  # without old lists, and with them
            monkeypatch.setattr(db, "insert", insert_after_the_other)
            one.write([UserList(user, ALL, "popularity", items, NOW) for user in (2, 4, 6)])
        assert [len(store.read_list(db, user)) for user in range(2, 7)] == [1] * 5


def test_progress_that_is_no_json_is_named(shop: Published) -> None:
    (shop.folder / "lists").mkdir()
    (shop.folder / "lists" / "progress.json").write_text("{")
    with pytest.raises(SettingsError, match=r"progress.json should be JSON of this program. Remove it."):
        FolderOfParts(shop.folder / "lists", "jsonl", "job", "new", NOW)


def test_the_table_is_written_and_read_on_every_database(published: Published, database_url: str) -> None:
    shop = moved(published, database_url)
    run(shop, model="BMF")
    run(shop, model="BMF", users=(2,), limit=3)

    lists = in_table(shop)
    assert [row.position for row in lists["2"]] == [1, 2, 3]
    assert {user: len(rows) for user, rows in lists.items() if user != "2"} == {str(user): 4 for user in USERS[1:]}
    first = lists["5"][0]
    assert (first.model, first.source, first.version) == ("BMF", "model", shop.version)
    assert 0 < first.score < 1 and first.reason in ("viewed", "cart", "bought") and first.reason_item


def test_files_say_the_same_as_the_table(shop: Published) -> None:
    for to in ("table", "jsonl", "parquet"):
        run(shop, to, model="BMF")
    lists = in_table(shop)
    rows = {row.user_id: row for rows in lists.values() for row in rows if row.position == 1}
    lines = [
        json.loads(line) for part in sorted(shop.folder.rglob("part-*.jsonl")) for line in part.read_text().splitlines()
    ]
    assert (
        in_files(shop.folder, "jsonl")
        == in_files(shop.folder, "parquet")
        == [(user, [int(row.item_id) for row in lists[str(user)]]) for user in USERS]
    )
    for line in lines:
        row = rows[str(line["user_id"])]
        reason = {"code": row.reason, "item_id": int(row.reason_item)} if row.reason_item else None
        assert line["items"][0] == {
            "productId": int(row.item_id),
            "score": row.score,
            **({"reason": reason} if reason else {}),
        }
        assert (line["model"], line["model_version"], line["source"]) == ("BMF", shop.version, row.source)


Command = Callable[..., int]


@pytest.fixture
def command(shop: Published, monkeypatch: pytest.MonkeyPatch) -> Command:
    for name, value in shop.environ.items():
        monkeypatch.setenv(name, value)
    return lambda *argv: script.main(list(argv), shop.folder)


def test_the_command_computes_a_segment(command: Command, shop: Published, capsys: pytest.CaptureFixture[str]) -> None:
    segment = shop.folder / "segment.txt"
    segment.write_text("\ufeff7\n\n5\n7\n", encoding="utf-8")
    assert (
        command(
            "--users",
            str(segment),
            "--limit",
            "2",
            "--model",
            ALL,
            "--to",
            "jsonl",
            "--out",
            str(shop.folder / "lists"),
        )
        == 0
    )

    assert capsys.readouterr().out.startswith("2 lists of 2 users in ")
    assert [(user, len(items)) for user, items in in_files(shop.folder, "jsonl")] == [(5, 2), (7, 2)]


def test_the_parts_of_the_command_count_from_one(command: Command, capsys: pytest.CaptureFixture[str]) -> None:
    assert [command("--shard", f"{part}/2", "--model", ALL) for part in (1, 2)] == [0, 0]
    counts = [int(line.split()[0]) for line in capsys.readouterr().out.splitlines()]
    assert sum(counts) == 60 and min(counts) > 0


@pytest.mark.parametrize("shard", ["0/3", "4/3", "3", "a/b", "1/0", "1/2/3", "-1/2"])
def test_a_part_that_is_none_is_refused(command: Command, shard: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as refused:
        command(f"--shard={shard}")
    assert refused.value.code == 2
    assert "it should be a part and their number, such as 3/16" in capsys.readouterr().err


def test_failures_and_interruptions_have_their_exit_status(
    command: Command, shop: Published, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert command("--users", str(shop.folder / "missing.txt")) == SettingsError.exit_status
    assert "--users should be a file of ids in UTF-8, one a line" in capsys.readouterr().err

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(script, "recommend_all", interrupted)
    assert command() == 130
    assert "The same command goes on from here" in capsys.readouterr().err
