"""Settings: the error about a wrong one has its name, the expectation and the received value."""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from dotenv import dotenv_values
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recsys.errors import SettingsError
from recsys.settings import Training, load_settings
from recsys.settings.settings import _dotenv as read_dotenv
from recsys.store.names import written
from recsys.store.shop_mapping import source_sql
from tests.bridge.test_bridge import run
from tests.helpers.entry_points import code

SQLITE = {"DATABASE_URL": "sqlite:///shop.sqlite"}
TABLE = 'table = "t"\nuser = "u"\nitem = "i"\ntimestamp = "w"\n'
SOURCE = f'[[sources]]\n{TABLE}event = "e"\n'
PRODUCTS = '[products]\ntable = "p"\nid = "i"\n'
NAMES = 'a list of names in quotes, each once, such as ["purchase"]'
TRACKED = "a list of names in quotes, each once, among view, add_to_cart, purchase, wishlist"
SOME = 'a list of one name or more in quotes, each once, such as ["purchase"]'
ZONE = "the name of a time zone, such as UTC or Asia/Ho_Chi_Minh"
SHARE = "a number from 0 to 1"
COUNT = "a whole number from 1 to 1,000,000,000"
BOTH = "[[sources]] should hold both `since` and `one_user` and no more"
SOURCE_NAMES = "[[sources]] should name `table`, `user`, `item`, `timestamp` and one of `event`, `event_name`, `rating`"
PLAIN_NAME = "a plain table or column name, or one in quotes"
PRODUCT_NAMES = "[products] should hold `query` alone, or `table` and `id`"
TRAINING_NAMES = (
    "`dim`, `factors`, `epochs`, `samples`, `full_fits_below`, `halving`, `batch`, `window`, `loss`, `negatives`, "
    "`shared_negatives`, `negative_power`, `learning_rate`, "
)

FAULTS: Mapping[str, tuple[str, str, str]] = {
    # the file: what was expected, what came
    'shop = "x"': ("[shop] should be a table", '"x"'),
    "shop = [1]": ("[shop] should be a table", "[1]"),
    "[[shop]]": ("[shop] should be a table", "[{}]"),
    "events = ['a']": ("[events] should be a table", '["a"]'),
    "products = 5": ("[products] should be a table", "5"),
    "training = true": ("[training] should be a table", "true"),
    "sources = {}": ("[[sources]] should be one block or more", "{}"),
    "sources = []": ("[[sources]] should be one block or more", "[]"),
    "sources = ['t']": ("[[sources]] should be a table", '"t"'),
    "[shops]": (
        "recsys.toml should hold [shop], [events], [[sources]], [products], [training], [lifecycle]",
        "`shops`",
    ),
    "[shop]\ntimezone = 'UTC'": (
        "[shop] should hold `stored_time_zone`, `time_zone`, `repeat`, `purchase_events`, `rele",
        "`timezone`",
    ),
    # zones
    '[shop]\ntime_zone = "Mars/Base"': (f"[shop] `time_zone` should be {ZONE}", '"Mars/Base"'),
    '[shop]\nstored_time_zone = "Mars/Base"': (f"[shop] `stored_time_zone` should be {ZONE}", '"Mars/Base"'),
    '[shop]\ntime_zone = "Europe"': (f"[shop] `time_zone` should be {ZONE}", '"Europe"'),
    '[shop]\ntime_zone = "../UTC"': (f"[shop] `time_zone` should be {ZONE}", '"../UTC"'),
    '[shop]\ntime_zone = "/etc/localtime"': (f"[shop] `time_zone` should be {ZONE}", '"/etc/localtime"'),
    '[shop]\ntime_zone = ""': (f"[shop] `time_zone` should be {ZONE}", '""'),
    "[shop]\ntime_zone = 7": (f"[shop] `time_zone` should be {ZONE}", "7"),
    "[shop]\nstored_time_zone = ['UTC']": (f"[shop] `stored_time_zone` should be {ZONE}", '["UTC"]'),
    # presets and cards
    '[shop]\npreset = "myshop"': ("[shop] `preset` should be one of ", '"myshop"'),
    '[shop]\npreset = "../presets/medusa"': ("[shop] `preset` should be one of ", '"../presets/medusa"'),
    "[shop]\npreset = ['medusa']": ("[shop] `preset` should be one of ", '["medusa"]'),
    "[shop]\npreset = ''": ("[shop] `preset` should be one of ", '""'),
    '[shop]\npreset = "medusa"\nrepeat = "never"': ("[shop] `repeat` should be ", '"never"'),
    "events = 5\n[shop]\npreset = 'medusa'": ("[events] should be a table", "5"),
    '[shop]\npreset = "woocommerce"\ntable_prefix = "a; "': (
        "[shop] `table_prefix` should be a prefix of plain table names, or empty",
        '"a; "',
    ),
    '[shop]\npreset = "woocommerce"\ntable_prefix = 5': ("[shop] `table_prefix` should be a prefix", "5"),
    "[shop]\ncards = 5": ("[shop] `cards` should be a table", "5"),
    "[shop.cards]": ("[shop.cards] should hold `query`", "nothing"),
    "[shop.cards]\nquery = ''": ("[shop.cards] `query` should be a text that is not empty", '""'),
    "[shop.cards]\ntable = 't'": ("[shop.cards] should hold `query`", "`table`"),
    # lists of names
    '[shop]\npurchase_events = "purchase"': (f"[shop] `purchase_events` should be {NAMES}", '"purchase"'),
    "[shop]\npurchase_events = ['a', 'a']": (f"[shop] `purchase_events` should be {NAMES}", '["a", "a"]'),
    "[shop]\npurchase_events = [1]": (f"[shop] `purchase_events` should be {NAMES}", "[1]"),
    "[shop]\npurchase_events = ['']": (f"[shop] `purchase_events` should be {NAMES}", '[""]'),
    "[shop]\npurchase_events = [['a']]": (f"[shop] `purchase_events` should be {NAMES}", '[["a"]]'),
    "[shop]\nrelevant_events = []": (f"[shop] `relevant_events` should be {SOME}", "[]"),
    "[shop]\nrelevant_events = 'cart'": (f"[shop] `relevant_events` should be {SOME}", '"cart"'),
    "[shop]\ncart_events = 'cart'": (f"[shop] `cart_events` should be {NAMES}", '"cart"'),
    "[shop]\ncart_events = ['a', 'a']": (f"[shop] `cart_events` should be {NAMES}", '["a", "a"]'),
    "[shop]\ncancel_events = {}": (f"[shop] `cancel_events` should be {NAMES}", "{}"),
    "[shop]\ncancel_events = 2024-01-01": (f"[shop] `cancel_events` should be {NAMES}", '"2024-01-01"'),
    "[shop]\ncontext_columns = [1, 2]": (f"[shop] `context_columns` should be {NAMES}", "[1, 2]"),
    '[shop]\ncontext_columns = "x"': (f"[shop] `context_columns` should be {NAMES}", '"x"'),
    '[shop]\ncontext_columns = ["a", "a"]': (f"[shop] `context_columns` should be {NAMES}", '["a", "a"]'),
    '[shop]\ncontext_columns = ["a b"]': ("[shop] `context_columns` should be plain names", '"a b"'),
    '[shop]\ncontext_columns = ["a FROM t --"]': ("[shop] `context_columns` should be plain names", '"a FROM t --"'),
    '[shop]\ncontext_columns = ["user_id"]': ("[shop] `context_columns` should be plain names", '"user_id"'),
    '[shop]\ntracked_events = ["view", "view"]': (f"[shop] `tracked_events` should be {TRACKED}", '["view", "view"]'),
    '[shop]\ntracked_events = ["search"]': (f"[shop] `tracked_events` should be {TRACKED}", '["search"]'),
    "[shop]\ntracked_events = true": (f"[shop] `tracked_events` should be {TRACKED}", "true"),
    '[shop]\ncontext_columns = ["season"]': ("[shop] `context_columns` should be plain names", '"season"'),
    # repeat
    "[shop]\nrepeat = 'never'": ('[shop] `repeat` should be "hide", "allow" or a number of days', '"never"'),
    "[shop]\nrepeat = -1": ('[shop] `repeat` should be "hide", "allow" or a number of days', "-1"),
    "[shop]\nrepeat = nan": ('[shop] `repeat` should be "hide", "allow" or a number of days', "nan"),
    "[shop]\nrepeat = true": ('[shop] `repeat` should be "hide", "allow" or a number of days', "true"),
    "[shop]\nrepeat = []": ('[shop] `repeat` should be "hide", "allow" or a number of days', "[]"),
    f"[shop]\nrepeat = {10**400}": ('[shop] `repeat` should be "hide", "allow" or a number of days', f"{10**56}..."),
    f"[shop]\nrepeat = 0x1{'0' * 5000}": (
        '[shop] `repeat` should be "hide", "allow" or a number of days',
        "a number that is far too long",
    ),
    # weights
    "[events]": ("[events] should give at least one event a weight above 0", "{}"),
    "[events]\nview = 0": ("[events] should give at least one event a weight above 0", '{"view": 0}'),
    "[events]\nview = -1": ("[events] should give at least one event a weight above 0", '{"view": -1}'),
    "[events]\nview = nan": ("[events] `view` should be a number from -1 to 1", "nan"),
    "[events]\nview = 1.5": ("[events] `view` should be a number from -1 to 1", "1.5"),
    "[events]\nview = inf": ("[events] `view` should be a number from -1 to 1", "inf"),
    "[events]\nview = '1'": ("[events] `view` should be a number from -1 to 1", '"1"'),
    "[events]\nview = true": ("[events] `view` should be a number from -1 to 1", "true"),
    "[events]\n\"a\\nb\" = 2": ("[events] `a\\nb` should be a number from -1 to 1", "2"),
    # sources
    "[[sources]]": (SOURCE_NAMES, "nothing"),
    "[[sources]]\nsince = 1": (BOTH, "`since`"),
    "[[sources]]\nsince = 1\none_user = 'SELECT 1'": ("[[sources]] `since` should be a text that is not empty", "1"),
    "[[sources]]\nsince = 'SELECT 1'\none_user = ' '": (
        "[[sources]] `one_user` should be a text that is not empty",
        '" "',
    ),
    "[[sources]]\nsince = 'a'\none_user = 'b'\ntable = 't'": (BOTH, "`one_user`, `since`, `table`"),
    f"[[sources]]\n{TABLE}": (SOURCE_NAMES, "`item`, `table`, `timestamp`, `user`"),
    f"{SOURCE}rating = 'r'": (SOURCE_NAMES, "`event`, `item`, `rating`, `table`, `timestamp`, `user`"),
    f"{SOURCE}rowid = 'r'": (
        "[[sources]] should hold `table`, `user`, `item`, `timestamp`, `event`, `rating`, `row_id`",
        "`rowid`",
    ),
    f"{SOURCE}purchase_when = 'paid'": (
        "[[sources]] should hold `purchase_when`, `returned_when` only where every row is one event",
        "`event`, `item`, `purchase_when`, `table`, `timestamp`, `user`",
    ),
    f"{SOURCE}session = ''": ("[[sources]] `session` should be a text that is not empty", '""'),
    f"{SOURCE}quantity = 2": ("[[sources]] `quantity` should be a text that is not empty", "2"),
    "[[sources]]\nsince = 'a'\none_user = 'b'\nsession = 's'": (BOTH, "`one_user`, `session`, `since`"),
    "[shop]\ncontext_columns = ['session']": ("[shop] `context_columns` should be plain names", '"session"'),
    f"{SOURCE}where = ''": ("[[sources]] `where` should be a text that is not empty", '""'),
    "[shop]\nmax_unreadable = 2": ("[shop] `max_unreadable` should be a number from 0 to 1", "2"),
    f"{SOURCE}row_id = 'a; DROP'": (f"[[sources]] `row_id` should be {PLAIN_NAME}", '"a; DROP"'),
    f"{SOURCE}row_id = 3": (f"[[sources]] `row_id` should be {PLAIN_NAME}", "3"),
    f"{SOURCE}device_type = 'a b'": (f"[[sources]] `device_type` should be {PLAIN_NAME}", '"a b"'),
    f"[[sources]]\n{TABLE}event_name = 1": ("[[sources]] `event_name` should be a text that is not empty", "1"),
    f"[[sources]]\n{TABLE}event_name = ''": ("[[sources]] `event_name` should be a text that is not empty", '""'),
    f"{SOURCE}{SOURCE}row_id = 1": (f"[[sources]] (block 2) `row_id` should be {PLAIN_NAME}", "1"),
    # products
    "[products]": (PRODUCT_NAMES, "nothing"),
    "[products]\nquery = 5": ("[products] `query` should be a text that is not empty", "5"),
    "[products]\nquery = ''": ("[products] `query` should be a text that is not empty", '""'),
    "[products]\nquery = 'SELECT 1'\nid = 'i'": (PRODUCT_NAMES, "`id`, `query`"),
    "[products]\nid = 'i'": (PRODUCT_NAMES, "`id`"),
    f"{PRODUCTS}active = 3": ("[products] `active` should be a text that is not empty", "3"),
    f"{PRODUCTS}active = ''": ("[products] `active` should be a text that is not empty", '""'),
    f"{PRODUCTS}price = 'p / 100'": (f"[products] `price` should be {PLAIN_NAME}", '"p / 100"'),
    f"{PRODUCTS}colour = 'c'": ("[products] should hold `query`, `table`, `id`, `active`, ", "`colour`"),
    # training
    "[training]\nepoch = 3": (f"[training] should hold {TRAINING_NAMES}", "`epoch`"),
    "[training]\nepochs = '3'": (f"[training] `epochs` should be {COUNT}", '"3"'),
    "[training]\nepochs = 3.0": (f"[training] `epochs` should be {COUNT}", "3.0"),
    "[training]\nepochs = true": (f"[training] `epochs` should be {COUNT}", "true"),
    "[training]\nepochs = 0": (f"[training] `epochs` should be {COUNT}", "0"),
    "[training]\ndropped_users = nan": (f"[training] `dropped_users` should be {SHARE}", "nan"),
    "[training]\nl2 = []": (f"[training] `l2` should be {SHARE}", "[]"),
    "[training]\nloss = 'hinge'": ("[training] `loss` should be one of softmax, bce", '"hinge"'),
    "[training]\nloss = ['bce']": ("[training] `loss` should be one of softmax, bce", '["bce"]'),
    "[training]\nper_user_choice = 1": ("[training] `per_user_choice` should be true or false", "1"),
    "[training]\nper_user_choice = 'yes'": ("[training] `per_user_choice` should be true or false", '"yes"'),
    "[training]\nseed = -1": ("[training] `seed` should be a whole number from 0 to 2,147,483,647", "-1"),
    # TOML
    "time_zone = UTC": ("recsys.toml should be valid TOML", "Invalid value (at line 1, column 13)"),
    f"a = {'9' * 5000}": ("recsys.toml should be valid TOML", "Exceeds the limit (4300 digits)"),
    f"a = {'[' * 5000}": ("recsys.toml should be valid TOML", "maximum recursion depth exceeded"),
    "a = '\0'": ("recsys.toml should be a text file in UTF-8", "a zero byte"),
}  # fmt: skip


def told(environ: Mapping[str, str], folder: Path) -> str:
    with pytest.raises(SettingsError) as caught:
        load_settings(environ, folder)
    return str(caught.value)


@pytest.mark.parametrize("text", FAULTS, ids=lambda text: text[:40])
def test_the_error_about_a_setting_names_it(text: str, tmp_path: Path) -> None:
    (tmp_path / "recsys.toml").write_text(text, encoding="utf-8")
    expected, received = FAULTS[text]

    message = told(SQLITE, tmp_path)

    assert message.startswith(expected)
    assert f". Received: {received}" in message


@pytest.mark.parametrize("text", ['[shop]\ntime_zone = "Mars/Base"', 'shop = "x"', "[training]\nepochs = 0"])
def test_serving_reports_a_wrong_setting_even_without_a_version(text: str, tmp_path: Path) -> None:
    (tmp_path / "recsys.toml").write_text(text, encoding="utf-8")

    for argv in ((), ("--worker",)):
        status, answers = run(b'{"user_id": 7}', *argv, tmp_path=tmp_path, environ=SQLITE)

        assert (status, code(answers[0])) == (78, "settings")
        assert answers[0]["error"]["message"].startswith(FAULTS[text][0])


def test_every_valid_setting_is_accepted(tmp_path: Path) -> None:
    text = """
[shop]
stored_time_zone = "America/Argentina/Buenos_Aires"
repeat = inf
purchase_events = []
cancel_events = []
context_columns = ["channel", "device_type"]
[events]
order = 1
return = -1
seen = 0
[[sources]]
table = "shop.activity"
user = "Käufer"
item = "i"
event = "e"
timestamp = "w"
channel = "c"
[training]
dropout = 0
loss = "bce"
"""
    (tmp_path / "recsys.toml").write_text(text, encoding="utf-8-sig")

    settings = load_settings(SQLITE, tmp_path)

    assert (settings.shop.repeat_after_days, settings.shop.purchase_events, settings.shop.cancel_events) == (
        math.inf,
        (),
        (),
    )
    assert dict(settings.shop.event_weights) == {"order": 1.0, "return": -1.0}
    assert written(source_sql(settings.shop.sources[0]).since) == (
        "SELECT Käufer AS user_id, i AS item_id, e AS event, w AS timestamp, 0 AS row_id, c AS channel "
        "FROM shop.activity WHERE w >= :since"
    )
    assert (settings.training.loss, settings.training.dropout) == ("bce", 0.0)


# Files


def latin_1(path: Path) -> None:
    path.write_bytes("# für\nDB_PASSWORD=gehe\xefm\n".encode("latin-1"))


def utf_16(path: Path) -> None:
    path.write_text("DATABASE_URL=sqlite:///x\n", encoding="utf-16")


def utf_16_without_a_mark(path: Path) -> None:
    path.write_text("A=1\n", encoding="utf-16-le")


def folder(path: Path) -> None:
    path.mkdir()


def loop(path: Path) -> None:
    path.symlink_to(path.name)


def unreadable(path: Path) -> None:
    path.write_text("", encoding="utf-8")


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (latin_1, "should be a text file in UTF-8. Received: another encoding, in line 1."),
        (utf_16, "should be a text file in UTF-8. Received: another encoding, in line 1."),
        (utf_16_without_a_mark, "should be a text file in UTF-8. Received: a zero byte."),
        (folder, "should be a file that this user may read. Received: Is a directory."),
        (loop, "should be a file that this user may read. Received: Too many levels of symbolic links."),
        (unreadable, "should be a file that this user may read. Received: Permission denied."),
    ],
)
@pytest.mark.parametrize(
    ("name", "environ"), [(".env", {}), ("recsys.toml", {}), ("RECSYS_TOML", {"RECSYS_TOML": "my.toml"})]
)
def test_the_error_about_an_unreadable_file_names_it(
    name: str,
    environ: Mapping[str, str],
    make: Callable[[Path], None],
    expected: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = tmp_path / environ.get("RECSYS_TOML", name)
    make(path)
    if make is unreadable:  # root may read everything
        refuse(path, monkeypatch)

    assert told({**SQLITE, **environ}, tmp_path) == f"{name} {expected}"


def refuse(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the system refuse to open a file, whoever asks."""
    real = Path.read_text

    def read_text(self: Path, *args: str, **kwargs: str) -> str:
        if self == path:
            raise PermissionError(13, "Permission denied", str(path))
        return real(self, *args, **kwargs)

    monkeypatch.setattr(Path, "read_text", read_text)


def test_a_named_file_has_to_exist(tmp_path: Path) -> None:
    assert (
        told({**SQLITE, "RECSYS_TOML": "my.toml"}, tmp_path) == 'RECSYS_TOML should name a file. Received: "my.toml".'
    )


def test_a_byte_order_mark_is_skipped(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("DATABASE_URL=sqlite:///my.sqlite\n", encoding="utf-8-sig")

    assert load_settings({}, tmp_path).database_url.name == f"{tmp_path}/my.sqlite"


# Variables


def test_models_dir_has_to_be_a_folder(tmp_path: Path) -> None:
    (tmp_path / "models").touch()

    assert told(SQLITE, tmp_path) == 'MODELS_DIR should be a folder. Received: the file "models".'


EMPTY = (
    "MODELS_DIR",
    "RECSYS_TOML",
    "DB_HOST",
    "DB_PORT",
    "DB_USER",
    "DB_USERNAME",
    "DB_PASSWORD",
    "DB_PASS",
    "SCORING_THREADS",
    "DATABASE_URL",
)


@pytest.mark.parametrize("said", ["in the environment", "in .env", "in both, the environment winning"])
@pytest.mark.parametrize("name", EMPTY)
def test_an_empty_variable_is_not_set(name: str, said: str, tmp_path: Path) -> None:
    environ = {"DB_DATABASE_NAME": "shop", "DB_NAME": ""}
    plain = load_settings(environ, tmp_path)
    if said != "in the environment":
        (tmp_path / ".env").write_text(f"{name}={'' if said == 'in .env' else '1'}\n", encoding="utf-8")

    settings = load_settings({**environ, **({} if said == "in .env" else {name: ""})}, tmp_path)

    assert settings == plain
    assert str(settings.database_url) == "mysql+pymysql://root@127.0.0.1:3306/shop"
    assert (settings.models_dir, settings.scoring_threads) == (tmp_path / "models", None)


def test_with_all_variables_empty_the_database_is_missing(tmp_path: Path) -> None:
    message = told(dict.fromkeys(("DATABASE_URL", "DB_NAME", "DB_DATABASE_NAME", *EMPTY), ""), tmp_path)

    assert message.startswith(
        "DATABASE_URL (or DB_HOST, DB_PORT, DB_NAME, DB_USER, DB_PASSWORD) should say where the shop's database is."
    )


def test_relative_paths_start_at_the_project_folder(tmp_path: Path) -> None:
    (tmp_path / "my.toml").write_text("[training]\nepochs = 2\n", encoding="utf-8")

    settings = load_settings({**SQLITE, "MODELS_DIR": "versions", "RECSYS_TOML": "my.toml"}, tmp_path)

    assert (settings.models_dir, settings.database_url.name) == (tmp_path / "versions", f"{tmp_path}/shop.sqlite")
    assert settings.training.epochs == 2


DOTENV_LINES = [
    "# a comment",
    " # indented",
    "",
    "NAME=value",
    "NAME = spaced  out ",
    "NAME=",
    "NAME",
    "export NAME=value",
    "NAME='in quotes' # comment",
    'NAME="two',
    'lines"',
    "NAME=a#b # comment",
    "NAME=$OTHER",
    "NAME=${OTHER:-default}",
    "NAME=p@ss=w\\ord%20",
    "1NAME=x",
    "NA ME=x",
    "'NAME'=x",
]
ODD = "aB_1=# '\"$\\{}\n\r\t\x0b\x1c\x85\u2028\xa0:-é"


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(ODD, max_size=14) | st.lists(st.sampled_from(DOTENV_LINES)).map("\n".join))
def test_a_dotenv_file_is_read_as_python_dotenv_reads_it(tmp_path: Path, text: str) -> None:
    path = tmp_path / ".env"
    path.write_bytes(text.encode())
    values = dotenv_values(stream=io.StringIO(path.read_text(encoding="utf-8-sig")))

    assert read_dotenv(tmp_path) == {name: value for name, value in values.items() if value is not None}


@pytest.mark.parametrize(
    ("n_events", "epochs", "samples", "halving"),
    [
        (499_999, 8, 1_000_000, False),  # as set
        (500_000, 16, 250_000, True),  # two epochs in a pass
        (999_939, 32, 250_000, True),
        (10**8, 32, 250_000, True),  # a pass has `samples` events at most
    ],
)
def test_a_large_shop_has_more_and_shorter_epochs(n_events: int, epochs: int, samples: int, halving: bool) -> None:
    found = Training().for_shop(n_events)

    assert (found.epochs, found.samples, found.halving) == (epochs, samples, halving)
    assert found.for_shop(n_events) == found, "a run with the settings that a version names is the same"


def test_options_without_long_epochs_stay_as_they_are() -> None:
    options = Training(samples=100_000, full_fits_below=1)

    assert options.for_shop(10**6) == replace(options, halving=True)
