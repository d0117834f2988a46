"""A worker's database connection: kept open, replaced once if it is lost, closed after errors."""

import shutil
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from recsys import store
from recsys.bridge import serving as service_module
from recsys.bridge.serving import ANSWER_SHARE, DATABASE_TIMEOUT_S, MAX_IDLE_S, Connection, Service, _database_until
from recsys.contract import parse_request
from recsys.errors import DatabaseUnavailable, DeadlineExceeded, InvalidRequest, Overloaded, SettingsError, UnknownUser
from recsys.store import connect
from recsys.store import database as database_module
from tests.helpers.entry_points import code, install
from tests.helpers.failing_servers import FreezableProxy
from tests.helpers.tiny_shop import INACTIVE, Published, moved, shown
from tests.helpers.worker_process import WorkerProcess

GONE = DatabaseUnavailable("Gone.")
SLOW_MS = 1500  # a tenth of it is for reporting a slow database, which has to suffice on a busy machine


@dataclass
class Server:
    """A stand-in for the database and its driver, with a clock of its own.

    Attributes:
        now: What `time.monotonic` says.
        opened: The seconds that each connection was given.
        closed: The numbers of the connections that were closed.
        limits: Until when each reading could last.
        failing: What connecting raises.
    """

    now: float = 1000.0
    opened: list[float] = field(default_factory=list)
    closed: list[int] = field(default_factory=list)
    limits: list[float] = field(default_factory=list)
    failing: Exception | None = None
    stale: bool = False

    def connect(self, url: str, *, timeout_s: float) -> Any:
        self.opened.append(timeout_s)
        if self.failing:
            raise self.failing
        number = len(self.opened)
        return Link(number, self)


@dataclass
class Link:
    number: int
    server: Server

    @property
    def is_stale(self) -> bool:
        return self.server.stale

    def limit(self, until: float) -> None:
        self.server.limits.append(until)

    def close(self) -> None:
        self.server.closed.append(self.number)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Server:
    server = Server()
    monkeypatch.setattr(store, "connect", server.connect)
    monkeypatch.setattr(service_module, "time", SimpleNamespace(monotonic=lambda: server.now))
    return server


@pytest.fixture
def connection(server: Server) -> Connection:
    return Connection("mysql+pymysql://shop")


def number(link: Link) -> int:
    return link.number


def failing(*errors: BaseException | None) -> Callable[[Link], int]:
    """Return a reading that raises one after another, and then reads."""
    left = iter(errors)

    def read(link: Link) -> int:
        error = next(left, None)
        if error:
            raise error
        return link.number

    return read


def test_a_connection_is_kept_open(server: Server, connection: Connection) -> None:
    assert [connection.use(number, until=1000.0 + limit) for limit in (1, 2, 3)] == [1, 1, 1]
    assert (server.opened, server.limits, server.closed, connection.opened) == ([1.0], [1001.0, 1002.0, 1003.0], [], 1)


def test_a_kept_connection_that_has_gone_is_replaced_and_read_from_once_more(
    server: Server, connection: Connection
) -> None:
    connection.use(number, 1005.0)

    assert connection.use(failing(GONE), 1005.0) == 2
    assert (server.closed, connection.opened) == ([1], 2)
    assert connection.use(number, 1005.0) == 2


def test_it_is_never_replaced_twice(server: Server, connection: Connection) -> None:
    connection.use(number, 1005.0)

    with pytest.raises(DatabaseUnavailable):
        connection.use(failing(GONE, GONE), 1005.0)
    assert (server.closed, connection.opened) == ([1, 2], 2)
    assert connection.use(number, 1005.0) == 3


def test_what_fails_on_a_new_connection_fails(server: Server, connection: Connection) -> None:
    with pytest.raises(DatabaseUnavailable):
        connection.use(failing(GONE), 1005.0)
    assert (server.closed, connection.opened) == ([1], 1)


def test_a_server_that_is_down_is_asked_once(server: Server, connection: Connection) -> None:
    connection.use(number, 1005.0)
    server.failing = GONE

    with pytest.raises(DatabaseUnavailable):
        connection.use(failing(GONE), 1005.0)
    assert len(server.opened) == 2


def test_a_reading_that_used_up_its_time_is_not_repeated(server: Server, connection: Connection) -> None:
    connection.use(number, 1005.0)

    def slow(link: Link) -> int:
        server.now = 1005.0
        raise GONE

    with pytest.raises(DatabaseUnavailable):
        connection.use(slow, 1005.0)
    assert (server.closed, connection.opened) == ([1], 1)


def test_without_time_nothing_is_opened(server: Server, connection: Connection) -> None:
    with pytest.raises(DeadlineExceeded):
        connection.use(number, 1000.0)
    assert server.opened == []


@pytest.mark.parametrize("refusal", [UnknownUser("Nobody."), InvalidRequest("No.")], ids=repr)
def test_a_refusal_leaves_the_connection_open(server: Server, connection: Connection, refusal: Exception) -> None:
    with pytest.raises(type(refusal)):
        connection.use(failing(refusal), 1005.0)
    assert connection.use(number, 1005.0) == 1


SPOILING = (
    Overloaded("Locked."),
    DeadlineExceeded("Late."),
    SettingsError("No table."),
    MemoryError(),
    KeyError(),
    SystemExit(),
)


@pytest.mark.parametrize("error", SPOILING, ids=repr)
def test_anything_else_may_leave_half_an_answer_unread_and_closes_it(
    server: Server, connection: Connection, error: BaseException
) -> None:
    connection.use(number, 1005.0)

    with pytest.raises(type(error)):
        connection.use(failing(error), 1005.0)
    assert (server.closed, connection.opened) == ([1], 1)
    assert connection.use(number, 1005.0) == 2


def test_a_connection_that_is_known_to_lead_elsewhere_is_replaced_before_it_is_used(
    server: Server, connection: Connection
) -> None:
    connection.use(number, 1005.0)
    server.stale = True

    assert connection.use(number, 1005.0) == 2
    assert server.closed == [1]


def test_a_connection_that_was_idle_for_long_is_not_trusted(server: Server, connection: Connection) -> None:
    connection.use(number, 1005.0)
    server.now += MAX_IDLE_S
    assert connection.use(number, server.now + 5) == 1

    server.now += MAX_IDLE_S + 1
    assert connection.use(number, server.now + 5) == 2
    assert server.closed == [1]


def test_closing_closes_what_is_open(server: Server, connection: Connection) -> None:
    connection.close()
    connection.use(number, 1005.0)
    connection.close()
    connection.close()

    assert server.closed == [1]


@pytest.mark.parametrize(
    ("deadline", "until"),
    [
        (None, 1000.0 + DATABASE_TIMEOUT_S),
        (1000.8, 1000.8 - ANSWER_SHARE * 0.8),
        (1600.0, 1000.0 + DATABASE_TIMEOUT_S),
        (999.0, 999.0 + ANSWER_SHARE),  # past all the same
    ],
)
def test_the_database_leaves_time_for_the_answer(deadline: float | None, until: float) -> None:
    assert _database_until(1000.0, deadline) == pytest.approx(until)


# From here on real databases.

REQUEST = parse_request(b'{"user_id": 7}', models=())


@pytest.fixture
def shop(published: Published, database_url: str, tmp_path: Path) -> Published:
    return moved(published.copy(tmp_path / "shop"), database_url)


@pytest.fixture
def service(shop: Published) -> Iterator[Service]:
    service = Service(shop.settings, shop.load())
    yield service
    service.close()


def end_connections(shop: Published) -> None:
    """Let the database break off every connection but this one, as a restart does."""
    if shop.url.startswith("sqlite"):
        return replace_file(shop)
    with connect(shop.url) as db:
        if db.dialect == "mysql":
            own = "SELECT id FROM information_schema.processlist WHERE db = DATABASE() AND id <> CONNECTION_ID()"
            for (process,) in db.query(own):
                db.execute(f"KILL {int(process)}")
        else:
            db.query(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )


def replace_file(shop: Published) -> None:
    file = Path(shop.url.removeprefix("sqlite:///"))
    shutil.copy(file, file.with_name("copy.sqlite"))
    file.with_name("copy.sqlite").rename(file)


def test_a_request_after_the_database_broke_off_is_answered_as_if_nothing_had_been(
    shop: Published, service: Service
) -> None:
    before = service.recommend(REQUEST, None)
    assert service.recommend(REQUEST, None).items == before.items
    assert service.connection.opened == 1

    end_connections(shop)

    assert service.recommend(REQUEST, None).items == before.items
    assert service.connection.opened == 2


def test_a_kept_connection_reads_what_is_true_now(shop: Published, service: Service) -> None:
    before = service.recommend(REQUEST, None)
    best = shown(before)[0]
    shop.execute(f"UPDATE Products SET statusId = 'S2' WHERE id = {best}")

    after = service.recommend(REQUEST, None)

    assert best not in shown(after)
    assert not INACTIVE & set(shown(after))
    assert service.connection.opened == 1


def test_a_file_that_is_moved_away_is_not_read_on(published: Published, tmp_path: Path) -> None:
    shop = published.copy(tmp_path / "shop")
    service = Service(shop.settings, shop.load())
    service.recommend(REQUEST, None)
    (shop.folder / "shop.sqlite").rename(shop.folder / "aside.sqlite")

    with pytest.raises(DatabaseUnavailable):
        service.recommend(REQUEST, None)

    (shop.folder / "aside.sqlite").rename(shop.folder / "shop.sqlite")
    service.recommend(REQUEST, None)
    service.close()


@pytest.mark.parametrize("database_url", ["mariadb", "postgresql"], indirect=True)
def test_a_server_that_freezes_costs_a_request_its_own_time_and_no_more(database_url: str) -> None:
    def ask(db: store.Database) -> Any:
        return db.query("SELECT 1")

    with FreezableProxy(database_url) as proxy:
        connection = Connection(proxy.url)
        assert connection.use(ask, time.monotonic() + 60) == [(1,)]
        proxy.freeze()
        started = time.monotonic()

        with pytest.raises(DatabaseUnavailable):
            connection.use(ask, started + 0.2)

        assert time.monotonic() - started < 5  # and not the minute that the connection was opened with
        assert connection.opened == 1


@pytest.mark.parametrize("database_url", ["mariadb", "postgresql"], indirect=True)
@pytest.mark.parametrize("when", ["at the greeting", "in the rows"])
def test_a_server_that_drips_costs_a_worker_nothing(
    published: Published, database_url: str, tmp_path: Path, when: str
) -> None:
    shop = moved(published.copy(tmp_path / "shop"), database_url)
    with (
        FreezableProxy(database_url) as proxy,
        WorkerProcess(install(tmp_path), {**shop.environ, "DATABASE_URL": proxy.url}) as worker,
    ):
        if when == "in the rows":
            assert worker.ask({"user_id": 7})["ok"]
        proxy.drip()
        if when == "at the greeting":
            end_connections(shop)
        answers = [worker.ask({"user_id": user, "budget_ms": SLOW_MS}) for user in (1, 2)]
        assert [code(each) for each in answers] == ["database_unavailable"] * 2
        assert worker.ask({"op": "ping"})["pid"] == worker.ready["pid"]


def test_a_locked_file_costs_a_request_its_own_time_and_no_more(published: Published, tmp_path: Path) -> None:
    shop = published.copy(tmp_path / "shop")
    connection = Connection(shop.url)

    def ask(db: store.Database) -> Any:
        return db.query("SELECT COUNT(*) FROM Products")

    with closing(sqlite3.connect(shop.folder / "shop.sqlite", isolation_level=None)) as other:
        other.execute("PRAGMA journal_mode = DELETE")  # as of a file that other software made
        assert connection.use(ask, time.monotonic() + 60) == [(40,)]
        other.execute("BEGIN EXCLUSIVE")
        started = time.monotonic()
        with pytest.raises(Overloaded):
            connection.use(ask, started + 0.2)
        assert time.monotonic() - started < 5
    assert connection.use(ask, time.monotonic() + 60) == [(40,)]
    connection.close()


def test_a_statement_that_follows_a_slow_one_has_what_is_left(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = SimpleNamespace(now=1000.0)
    monkeypatch.setattr(database_module, "time", SimpleNamespace(monotonic=lambda: clock.now))
    with connect(database_url) as db:
        limits: list[float] = []
        real = db.driver.start_clock
        monkeypatch.setattr(
            db.driver, "start_clock", lambda link, seconds: (limits.append(seconds), real(link, seconds))
        )
        db.limit(1000.8)
        for clock.now in (1000.0, 1000.5):
            db.query("SELECT 1")
        clock.now = 1000.8
        with pytest.raises(DeadlineExceeded):
            db.query("SELECT 1")

    assert limits == [pytest.approx(0.8), pytest.approx(0.3)]
