"""Unreadable values: lines on the terminal, in the report and in the history, and the error of an unreadable column."""

from pathlib import Path

import pytest

from recsys.artifacts import history
from recsys.errors import SettingsError
from recsys.store import connect
from recsys.training.console import TrainingConsole
from recsys.training.report import page
from recsys.training.stages import read_shop
from tests.helpers import tiny_shop
from tests.helpers.tiny_shop import ITEMS, NOW, Published, fast_settings, fill

LOSSES = {"BMF": [0.7, 0.6]}


def read(folder: Path, *statements: str) -> tuple[str, ...]:
    """Damage a shop, read it as training does, and return the lines on unreadable values."""
    url = f"sqlite:///{folder / 'shop.sqlite'}"
    fill(url)
    with connect(url) as db:
        for statement in statements:
            db.execute(statement)
        settings = fast_settings(url, folder / "models")
        return read_shop(db, settings, protocol="time", now=NOW, progress=TrainingConsole()).cleaning.unreadable


def test_a_readable_shop_has_no_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert read(tmp_path) == ()
    assert "unreadable" not in capsys.readouterr().err


@pytest.mark.parametrize("price", ["", "12,50", "12.50 EUR", "free", "[/b] [free]"])
def test_an_unreadable_price_is_counted_and_shown_with_its_product(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], price: str
):
    line = f"WARNING: price: 1 of {len(ITEMS)} unreadable, e.g. {price!r} (product 103)"

    assert read(tmp_path, f"UPDATE Productdetails SET originalPrice = '{price}' WHERE productId = 103") == (line,)
    assert line in " ".join(capsys.readouterr().err.split())


def test_every_table_and_column_has_its_own_line(tmp_path: Path):
    n_rows = len(tiny_shop.interactions())

    assert read(
        tmp_path,
        "UPDATE Interactions SET timestamp = x'00ff' WHERE interId IN (5, 6)",
        "UPDATE Comments SET createdAt = x'ff' WHERE id = 1",
        "UPDATE Products SET categoryId = x'ff' WHERE id = 101",
    ) == (
        rf"`timestamp` of Interactions: 2 of {n_rows:,} unreadable, e.g. b'\x00\xff' (row 5)",
        rf"WARNING: `timestamp` of Comments: 1 of {len(tiny_shop.stars())} unreadable, e.g. b'\xff' (row 1)",
        rf"WARNING: category: 1 of {len(ITEMS)} unreadable, e.g. b'\xff' (product 101)",
    )


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        (
            "UPDATE Productdetails SET originalPrice = 'free', discountPrice = NULL",
            r"[products] price should hold numbers from 0 with a dot",
        ),
        (
            "UPDATE Interactions SET timestamp = x'ff'",
            r"[[sources]] `timestamp` of Interactions should hold date-times",
        ),
        (
            "UPDATE Interactions SET device_type = x'ff'",
            r"[[sources]] `device_type` of Interactions should hold text of 1 to 512 bytes",
        ),
        ("UPDATE Comments SET star = 'good'", r"[[sources]] `rating` of Comments should hold numbers with a dot"),
    ],
)
def test_a_column_without_a_readable_value_ends_the_run_and_is_named(tmp_path: Path, statement: str, message: str):
    with pytest.raises(SettingsError) as caught:
        read(tmp_path, statement)
    assert str(caught.value).startswith(message)
    assert "CAST them in recsys.toml" in str(caught.value)


def test_the_report_and_the_history_keep_the_lines(published: Published):
    [entry] = history(published.models_dir)
    line = "price: 1 of 40 unreadable, e.g. '<free>' (product 103)"

    assert entry["cleaning"]["unreadable"] == []
    assert "unreadable" not in page(entry, LOSSES)
    html = page({**entry, "cleaning": {**entry["cleaning"], "unreadable": [line]}}, LOSSES)
    assert "<li>price: 1 of 40 unreadable, e.g. &#x27;&lt;free&gt;&#x27; (product 103)</li>" in html
