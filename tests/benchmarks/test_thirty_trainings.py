"""benchmarks/thirty_trainings.py: its shop, the comparison by hand, what counts as a fault, and the page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import thirty_trainings
from benchmarks.drifting_shop import CUSTOMERS, DAMAGES, LAUNCHED, PRODUCTS, RETIRED, WEEK, DriftingShop
from benchmarks.thirty_trainings import FUTURE, GATE, faults, rendered
from recsys.store import Database, connect, migrate
from tests.helpers.tiny_shop import count

N_WEEKS = 3


@pytest.fixture
def db(tmp_path: Path) -> Any:
    with connect(f"sqlite:///{tmp_path / 'shop.sqlite'}", create=True) as db:
        migrate(db)
        yield db


def weeks(db: Database, seed: int = 7) -> DriftingShop:
    shop = DriftingShop(np.random.default_rng(seed))
    for _ in range(N_WEEKS):
        shop.pass_week(db)
    return shop


def test_products_come_and_go_and_each_week_a_customer_is_replaced(db: Database) -> None:
    shop = weeks(db)

    assert count(db, "Products") == PRODUCTS + (N_WEEKS - 1) * LAUNCHED
    ((gone,),) = db.query("SELECT COUNT(*) FROM Products WHERE statusId = 'S2'")
    assert gone == (N_WEEKS - 1) * RETIRED
    ((highest, customers),) = db.query("SELECT MAX(userId), COUNT(DISTINCT userId) FROM Interactions")
    assert highest <= CUSTOMERS + N_WEEKS
    assert CUSTOMERS / 2 < customers <= CUSTOMERS + N_WEEKS
    newest = np.datetime64(db.query("SELECT MAX(timestamp) FROM Interactions")[0][0], "s").astype(int)
    assert shop.moment - WEEK < newest < shop.moment


def test_a_seed_makes_the_same_shop_again(db: Database, tmp_path: Path) -> None:
    weeks(db)
    with connect(f"sqlite:///{tmp_path / 'again.sqlite'}", create=True) as again:
        migrate(again)
        weeks(again)
        rows = [made.query("SELECT userId, productId, actionCode, timestamp FROM Interactions") for made in (db, again)]

    assert rows[0] == rows[1]


@pytest.mark.parametrize("damage", DAMAGES)
def test_each_damage_changes_what_training_would_read(db: Database, damage: str) -> None:
    def read() -> list[Any]:
        return [
            db.query("SELECT interId, productId FROM Interactions ORDER BY interId"),
            db.query("SELECT id FROM Products ORDER BY id"),
        ]

    weeks(db)
    before = read()
    DAMAGES[damage](db)

    assert read() != before


def side(difference: float = 0.01, low: float = -0.05, high: float = 0.07, alone: float = 0.05) -> dict[str, Any]:
    return {
        "users": 50,
        "map10": 0.2 + difference,
        "best": "ease",
        "map10_of_best": 0.2,
        "difference": difference,
        "low": low,
        "high": high,
        "single": [low, alone],
        "baselines": {"ease": 0.2},
    }


def row(number: int = 1, status: int = 0, damage: str | None = None, **sides: Any) -> dict[str, Any]:
    filled = {GATE: side(), FUTURE: side(), **sides}
    return {
        "number": number,
        "events": 1_234,
        "damage": damage,
        "status": status,
        "said": "what training said",
        "scorer": "BMF",
        **filled,
    }


BELOW = side(-0.1, -0.2, -0.01, -0.02)
DAMAGE = next(iter(DAMAGES))


@pytest.mark.parametrize(
    ("found", "sentence"),
    [
        (row(), None),
        (row(status=3), None),
        (row(status=3, damage=DAMAGE), None),
        (row(**{FUTURE: BELOW}), None),  # told, but not what the gate can see
        (row(**{GATE: BELOW}), "After training 1 the active version is surely below ease."),
        (row(damage=DAMAGE), "Training 1 should be refused. Received: status 0."),
        (row(status=1), "Training 1 failed: what training said"),
    ],
)
def test_what_should_not_happen_is_named(found: dict[str, Any], sentence: str | None) -> None:
    assert faults([found]) == ([] if sentence is None else [sentence])


def figures(*rows: dict[str, Any]) -> dict[str, Any]:
    return {
        "trainings": list(rows),
        "seed": 7,
        "options": ["--epochs", "1"],
        "minutes": 14.2,
        "processor_minutes": 9.6,
        "commit": "0123456789",
    }


def test_the_page_has_a_row_for_each_training_and_says_how_often_it_is_below() -> None:
    text = rendered(figures(row(), row(2, status=3, damage=DAMAGE, **{FUTURE: BELOW})))

    assert "| 1 | 1,234 | published | BMF | 0.210 | ease 0.200 | +0.010 (-0.050 to +0.070) |" in text
    assert f"| 2 | 1,234 | refused: {DAMAGE} | BMF |" in text
    assert "In the 4 weeks that follow, it is surely below 1 times by the intervals that hold together" in text
    assert (
        "- **The first criterion failed**: after 1 of the 2 trainings (2) the active version is surely below the best "
        "baseline in the 4 weeks that follow, each 95 % interval for itself.\n" in text
    )
    assert "**The first criterion held**: after none of the 1 trainings" in rendered(figures(row()))
    assert "- Refused: 2. The version before served on." in text
    assert "10 minutes of one processor, 14 by the clock" in text


def test_the_page_is_written_and_then_up_to_date(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "page.md"
    page.write_text("a\n<!-- results: thirty trainings -->\n<!-- end of results -->\nb\n", encoding="utf-8")

    assert thirty_trainings.main(["--markdown", str(page)], tmp_path) == 0
    assert "Not measured yet." in page.read_text(encoding="utf-8")
    thirty_trainings.pages.keep(tmp_path / thirty_trainings.KEPT, figures(row()))
    assert thirty_trainings.main(["--markdown", str(page), "--check"], tmp_path) == 1
    assert thirty_trainings.main(["--markdown", str(page)], tmp_path) == 0
    assert thirty_trainings.main(["--markdown", str(page), "--check"], tmp_path) == 0
    assert "page.md says what was measured." in capsys.readouterr().out


def test_the_kept_figures_are_those_of_the_page() -> None:
    assert thirty_trainings.main(["--markdown", str(thirty_trainings.ROOT / "docs" / "METRICS.md"), "--check"]) == 0
