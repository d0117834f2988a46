"""Database URLs: valid ones, and errors about invalid ones, which show no part of them."""

from __future__ import annotations

import copy
import json
import pickle
import traceback
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pymysql
import pytest

from recsys.errors import RecsysError, SettingsError
from recsys.errors.secrets import Secret
from recsys.settings import load_settings
from recsys.settings.database_url import DatabaseUrl
from recsys.store import connect
from tests.helpers.databases import MYSQL, reachable, run_on_mysql

MARK = "hUntEr2"
SERVERS = ("mysql", "mysql+pymysql", "mariadb", "mariadb+pymysql", "postgresql", "postgresql+psycopg", "postgres")
each_server = pytest.mark.parametrize("scheme", SERVERS)


# What is taken

TAKEN: Mapping[str, tuple[str, str, str, str, int | None, str]] = {
    # behind the scheme: user, password, host, port (None for the server's own), name
    "plain": ("root:pw@127.0.0.1:3307/shop", "root", "pw", "127.0.0.1", 3307, "shop"),
    "no port": ("root:pw@db/shop", "root", "pw", "db", None, "shop"),
    "no host": ("root:pw@/shop", "root", "pw", "127.0.0.1", None, "shop"),
    "no password": ("root@db/shop", "root", "", "db", None, "shop"),
    "an empty password": ("root:@db/shop", "root", "", "db", None, "shop"),
    "an @ in the password": ("root:p@ss@db/shop", "root", "p@ss", "db", None, "shop"),
    "a colon in the password": ("root:a:b@db/shop", "root", "a:b", "db", None, "shop"),
    "a % that begins no code": ("root:50%off@db/shop", "root", "50%off", "db", None, "shop"),
    "a % at the end": ("root:50%@db/shop", "root", "50%", "db", None, "shop"),
    "brackets, encoded": ("root:p%5Bss%5D@db/shop", "root", "p[ss]", "db", None, "shop"),
    "a space in the password": ("root:p ss@db/shop", "root", "p ss", "db", None, "shop"),
    "letters of the world": ("root:pä密@db/shop", "root", "pä密", "db", None, "shop"),
    "letters of the world, encoded": ("root:p%C3%A4%e5%af%86@db/shop", "root", "pä密", "db", None, "shop"),
    "everything encoded": ("r%40t:%2F%23%3F%25%40%3A@db/a%2Fb", "r@t", "/#?%@:", "db", None, "a/b"),
    "an address of IPv6": ("root:pw@[::1]:3307/shop", "root", "pw", "::1", 3307, "shop"),
    "an address of IPv6 without a port": ("root:pw@[fe80::1]/shop", "root", "pw", "fe80::1", None, "shop"),
    "the last port": ("root@db:65535/shop", "root", "", "db", 65535, "shop"),
}


@pytest.mark.parametrize(("rest", "user", "password", "host", "port", "name"), TAKEN.values(), ids=TAKEN)
@each_server
def test_a_url_is_read_in_parts(
    scheme: str, rest: str, user: str, password: str, host: str, port: int | None, name: str
) -> None:
    url = DatabaseUrl.parse(f"{scheme}://{rest}")

    own = 5432 if scheme.startswith("postgres") else 3306
    assert url.dialect == ("postgresql" if scheme.startswith("postgres") else "mysql")
    assert (url.user, url.password.reveal(), url.host, url.port, url.name) == (user, password, host, port or own, name)


@pytest.mark.parametrize(
    ("text", "user", "port"),
    [("mysql:///shop", "root", 3306), ("postgresql:///shop", "postgres", 5432), ("MySQL:///shop", "root", 3306)],
)
def test_missing_parts_have_the_defaults_of_the_server(text: str, user: str, port: int) -> None:
    assert DatabaseUrl.parse(text) == DatabaseUrl(
        "mysql" if port == 3306 else "postgresql", "shop", "127.0.0.1", port, user
    )


def test_a_socket_stands_for_a_host() -> None:
    url = DatabaseUrl.parse("mysql+pymysql://root:pw@/shop?unix_socket=%2Frun%2Fmysqld.sock")

    assert (url.user, url.revealed_options()) == ("root", {"unix_socket": "/run/mysqld.sock"})


def test_a_path_of_sqlite_is_not_decoded(tmp_path: Path) -> None:
    assert DatabaseUrl.parse("sqlite:///a b#c?d%20e", root=tmp_path).name == f"{tmp_path}/a b#c?d%20e"
    assert DatabaseUrl.parse("sqlite:////var/shop.sqlite", root=tmp_path).name == "/var/shop.sqlite"
    assert DatabaseUrl.parse("sqlite:///shop.sqlite").name == "shop.sqlite"


# What is refused: M stands for a part of the password, which no sentence may hold

REFUSED: Mapping[str, tuple[str, str]] = {
    "a slash in the password": ("root:M/x@127.0.0.1:3306/db", "percent-encoded"),
    "a slash after digits": ("root:12/M@127.0.0.1:3306/db", "percent-encoded"),
    "a number sign in the password": ("root:M#x@127.0.0.1:3306/db", "percent-encoded"),
    "a number sign after digits": ("root:12#M@127.0.0.1:3306/db", "percent-encoded"),
    "a question mark in the password": ("root:M?x@127.0.0.1:3306/db", "percent-encoded"),
    "a question mark after digits": ("root:12?M@127.0.0.1:3306/db", "percent-encoded"),
    "a slash, and no port": ("root:M/x@127.0.0.1/db", "percent-encoded"),
    "a slash in the user name": ("ro/ot:M@127.0.0.1/db", "percent-encoded"),
    "a slash behind an @": ("root:x@M/y@127.0.0.1/db", "percent-encoded"),
    "a slash in brackets": ("root:p[M/x]@127.0.0.1/db", "percent-encoded"),
    "a bracket behind the @": ("root:pw@[M]/db", "the host should be a name"),
    "half a bracket": ("root:pw@[M/db", "the host should be a name"),
    "brackets in the password": ("root:p[M]@127.0.0.1/db", "percent-encoded"),
    "half a bracket in the password": ("root:]M@127.0.0.1/db", "percent-encoded"),
    "a % that begins a code of no letter": ("root:M%fee@127.0.0.1/db", "%25"),
    "Latin-1, encoded": ("root:M%E4@127.0.0.1/db", "not UTF-8"),
    "Latin-1, from the environment": ("root:M\udce4@127.0.0.1/db", "not written in UTF-8"),
    "a zero byte": ("root:M%00@127.0.0.1/db", "%00"),
    "a line break": ("root:M\n@127.0.0.1/db", "line break"),
    "the end of a line of Windows": ("root:M@127.0.0.1/db\r", "line break"),
    "a host of two words": ("root:pw@M M/db", "the host should be a name"),
    "no port behind the colon": ("root:M@127.0.0.1:/db", "the port is not a number"),
    "a port in letters": ("root:pw@127.0.0.1:M/db", "the port is not a number"),
    "port 0": ("root:M@127.0.0.1:0/db", "from 1 to 65535"),
    "port 65536": ("root:M@127.0.0.1:65536/db", "from 1 to 65535"),
    "port 99999": ("root:M@127.0.0.1:99999/db", "from 1 to 65535"),
    "a port in other digits": ("root:M@127.0.0.1:٣٣٠٦/db", "from 1 to 65535"),
    "two ports": ("root:M@127.0.0.1:3306:3306/db", "the port is not a number"),
    "no name": ("root:M@127.0.0.1", "one database should be named"),
    "no name behind the slash": ("root:M@127.0.0.1:3306/", "one database should be named"),
    "two names": ("root:M@127.0.0.1/a/M", "one database should be named"),
    "a fragment": ("root:M@127.0.0.1/db#M", "percent-encoded"),
    "an option without a value": ("root:M@127.0.0.1/db?M", "name=value"),
    "an option of no name": ("root:M@127.0.0.1/db?=M", "name=value"),
    "nothing": ("", "one database should be named"),
}


def told(error: BaseException) -> str:
    """Return all that can be printed of an error."""
    return "".join([str(error), repr(error), *traceback.format_exception(error)])


@pytest.mark.parametrize(("rest", "expected"), REFUSED.values(), ids=REFUSED)
@each_server
def test_the_error_about_a_url_shows_no_part_of_it(scheme: str, rest: str, expected: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as caught:
        load_settings({"DATABASE_URL": f"{scheme}://{rest.replace('M', MARK)}"}, tmp_path)

    assert str(caught.value).startswith("DATABASE_URL cannot be used: ")
    assert expected in str(caught.value)
    assert MARK not in told(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize(
    ("text", "received"),
    [
        (MARK, "no scheme"),
        (f"root:{MARK}@127.0.0.1/db", "no scheme"),
        (f"root:{MARK}://127.0.0.1/db", "no scheme"),
        (f"mysql:root:{MARK}@127.0.0.1/db", "no scheme"),
        (f"mysql:/root:{MARK}@127.0.0.1/db", "no scheme"),
        (f"oracle://root:{MARK}@127.0.0.1/db", "oracle://…"),
        (f"mysql+mysqldb://root:{MARK}@127.0.0.1/db", "mysql+mysqldb://…"),
        (f"sqlite://root:{MARK}@127.0.0.1/db", "sqlite://…"),
        (f" mysql://root:{MARK}@127.0.0.1/db", "no scheme"),
        ("sqlite:///", "sqlite://…"),
    ],
)
def test_the_error_about_an_unknown_url_shows_only_its_scheme(text: str, received: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as caught:
        load_settings({"DATABASE_URL": text}, tmp_path)

    assert str(caught.value).startswith(
        "DATABASE_URL should be sqlite:///path, mysql+pymysql://user:password@host:port/name or "
    )
    assert str(caught.value).endswith(f"Received: {received}.")
    assert MARK not in told(caught.value)


PIECES = {"DB_NAME": "shop", "DB_PASSWORD": MARK}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"DB_PORT": "0"}, "DB_PORT cannot be used: the port should be a whole number from 1 to 65535"),
        ({"DB_PORT": "99999"}, "DB_PORT cannot be used: "),
        ({"DB_PORT": MARK}, "DB_PORT cannot be used: "),
        ({"DB_PORT": "3306 "}, "DB_PORT cannot be used: "),
        ({"DB_HOST": "127.0.0.1:3306"}, "DB_HOST cannot be used: the host should be a name"),
        ({"DB_HOST": f"mysql://root:{MARK}@127.0.0.1"}, "DB_HOST cannot be used: "),
        ({"DB_HOST": "a b"}, "DB_HOST cannot be used: "),
        ({"DB_PASSWORD": f"{MARK}\udce4"}, "DB_PASSWORD cannot be used: it is not written in UTF-8"),
    ],
)
def test_the_error_about_a_variable_names_it(given: Mapping[str, str], expected: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as caught:
        load_settings({**PIECES, **given}, tmp_path)

    assert str(caught.value).startswith(expected)
    assert MARK not in told(caught.value)


@pytest.mark.parametrize("password", ["a/b#c?d@e:f%g h[i]", "%41", "pä密", "", "'\"\\"])
def test_variables_and_an_encoded_url_are_the_same_database(password: str, tmp_path: Path) -> None:
    from urllib.parse import quote

    pieces = {"DB_NAME": "shop", "DB_USER": "web", "DB_HOST": "db", "DB_PORT": "3307", "DB_PASSWORD": password}
    url = f"mysql://web:{quote(password, safe='')}@db:3307/shop"

    assert load_settings(pieces, tmp_path).database_url == load_settings({"DATABASE_URL": url}, tmp_path).database_url


# What a URL that was read prints


@pytest.mark.parametrize(
    ("text", "printed"),
    [
        (f"mysql://root:{MARK}@db/shop", "mysql+pymysql://root:***@db:3306/shop"),
        (f"postgres://a%40b:{MARK}@[::1]:1/a%2Fb", "postgresql+psycopg://a%40b:***@[::1]:1/a%2Fb"),
        (
            f"postgresql://x@db/shop?sslmode=require&sslpassword={MARK}",
            "postgresql+psycopg://x@db:5432/shop?sslmode=require&sslpassword=***",
        ),
        (f"postgresql://x@db/shop?password={MARK}", "postgresql+psycopg://x@db:5432/shop?password=***"),
        ("sqlite:///shop.sqlite", "sqlite:///shop.sqlite"),
    ],
)
def test_as_text_a_url_has_no_password(text: str, printed: str) -> None:
    url = DatabaseUrl.parse(text)

    assert (str(url), f"{url}", repr(url)) == (printed, printed, f"DatabaseUrl({printed!r})")
    assert MARK not in f"{asdict(url)}{vars(url)}"


def test_settings_print_no_password(tmp_path: Path) -> None:
    settings = load_settings({"DATABASE_URL": f"mysql://root:{MARK}@db/shop"}, tmp_path)

    assert "root:***@db" in repr(settings)
    assert MARK not in f"{settings!r}{settings}{vars(settings)}"


def leak_by_json(secret: Secret) -> Any:
    return json.dumps({"password": secret})


def leak_by_pickle(secret: Secret) -> Any:
    return pickle.dumps(secret)


def leak_by_format(secret: Secret) -> Any:
    return f"{secret:>20}"


@pytest.mark.parametrize("way", [leak_by_json, leak_by_pickle, leak_by_format])
def test_only_reveal_returns_the_value_of_a_secret(way: Any) -> None:
    with pytest.raises(TypeError) as caught:
        way(Secret(MARK))

    assert MARK not in str(caught.value)


def test_a_secret_prints_as_a_mask_and_equals_the_same_secret() -> None:
    secret = Secret(MARK)

    assert [str(secret), repr(secret), f"{secret}", "%s" % secret, str([secret])] == ["***"] * 4 + ["[***]"]  # noqa: UP031
    assert secret == copy.deepcopy(secret) == Secret(MARK) != Secret("another")
    assert (bool(secret), bool(Secret("")), secret.reveal()) == (True, False, MARK)


# Real servers


@pytest.mark.parametrize("password", ["pä密/#?%@:", "plain"])
def test_a_password_of_any_characters_opens_the_database(password: str) -> None:
    from urllib.parse import quote

    reachable(run_on_mysql, MYSQL)
    host = MYSQL.rpartition("@")[2]
    connection = pymysql.connect(
        host=host.partition(":")[0], port=int(host.partition(":")[2] or 3306), user="root", charset="utf8mb4"
    )
    with connection, connection.cursor() as cursor:
        cursor.execute("DROP USER IF EXISTS recsys_letters")
        cursor.execute("CREATE USER recsys_letters IDENTIFIED BY %s", (password,))
        try:
            with connect(f"mysql://recsys_letters:{quote(password, safe='')}@{host}/information_schema") as db:
                assert db.query("SELECT 1") == [(1,)]
        finally:
            cursor.execute("DROP USER recsys_letters")


@pytest.mark.parametrize(
    "server", ["mysql://nobody:{}@127.0.0.1:1/x", "postgresql://nobody:{}@127.0.0.1:1/x?sslmode={}"]
)
def test_errors_of_drivers_show_no_password(server: str) -> None:
    with pytest.raises(RecsysError) as caught:
        connect(server.format(MARK, MARK), timeout_s=2)

    assert MARK not in str(caught.value)
