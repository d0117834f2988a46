"""scripts/experiment.py: the report for people and as JSON, the sweep, and what it refuses."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from recsys.settings import load_settings
from recsys.store import Database
from recsys.tracking.experiments import arm_of, keep_arm
from recsys.tracking.record import TrackedEvent, record
from scripts import experiment

DAY = 86_400
ROOT = Path(__file__).parents[2]
TOML = """
[experiments]
name = "lists"
[experiments.arms.A]
share = 0.5
model = "none"
[experiments.arms.B]
share = 0.5
[privacy]
keep_days = 60
"""


@pytest.fixture
def root(sqlite_db: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with settings, beside a shop in which a click has sold a product."""
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{tmp_path / 'alone.sqlite'}")
    (tmp_path / "recsys.toml").write_text(TOML, encoding="utf-8")
    settings = load_settings({"DATABASE_URL": "sqlite:///x"}, tmp_path)
    assert settings.experiment is not None
    sqlite_db.insert("Products", [{"id": 101, "name": "bag", "statusId": "S1"}])
    sqlite_db.insert("Productdetails", [{"productId": 101, "originalPrice": 20.0, "discountPrice": 20.0}])
    customers = [user for user in range(99) if arm_of(settings.experiment, user) is settings.experiment.arms[1]]
    now, answer = int(time.time()), "rec_encm_" + "a" * 32
    keep_arm(sqlite_db, settings.experiment, customers[0], now=now - 9 * DAY)
    keep_arm(sqlite_db, settings.experiment, customers[1], now=now)
    for name, days, named in (
        ("impression", 8, answer),
        ("click", 8, answer),
        ("purchase", 8, None),
        ("view", 61, None),
    ):
        event = TrackedEvent(customers[0], None, 101, name, recommendation_id=named, at=now - days * DAY)
        record(sqlite_db, event, now=now)
    return tmp_path


def test_the_report_is_a_table_for_people(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert experiment.main(["report"], root) == 0

    printed = capsys.readouterr().out
    for text in (
        "a click on a list",
        "100.0%",
        "Experiment lists",
        "A (none)",
        "B (auto)",
        "100.00%",
        "1 customers not counted: not observed for seven days yet",
        "Shares: 0 and 2 customers, 1 and 1 expected",
        "There are too few customers to say anything yet.",
    ):
        assert text in printed, printed


def test_the_report_is_one_json_document(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert experiment.main(["report", "--json", "--days", "7"], root) == 0
    week = json.loads(capsys.readouterr().out)
    assert experiment.main(["report", "--json"], root) == 0
    month = json.loads(capsys.readouterr().out)

    assert week["total"] == {"purchases": 0, "revenue": 0.0}
    assert month["credited"]["click"] == month["total"] == {"purchases": 1, "revenue": 20.0}
    assert week["comparison"] == month["comparison"]  # since its beginning, whatever days are credited
    assert month["comparison"]["arms"][1]["revenue"] == 20.0


def test_json_needs_no_package_that_what_serves_does_not_have(root: Path) -> None:
    program = "import sys; sys.modules['rich'] = sys.modules['scipy'] = sys.modules['pandas'] = None\n"
    program += f"sys.path.insert(0, {str(ROOT)!r}); from pathlib import Path; from scripts import experiment\n"
    program += f"sys.exit(experiment.main(['report', '--json'], Path({str(root)!r})))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, encoding="utf-8")

    assert json.loads(done.stdout)["total"]["purchases"] == 1


@pytest.mark.parametrize(("most", "status"), [("2", 65), ("3", 0)])
def test_a_report_of_too_much_is_refused(
    root: Path, most: str, status: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert experiment.main(["report", "--json", "--most", most], root) == status
    assert ("fewer than 2 impressions and clicks" in capsys.readouterr().err) == (status == 65)


def test_a_shop_without_an_experiment_has_what_was_credited(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (root / "recsys.toml").unlink()

    assert experiment.main(["report"], root) == 0
    assert "Experiment" not in capsys.readouterr().out


def test_the_sweep_deletes_what_is_not_kept(
    root: Path, sqlite_db: Database, capsys: pytest.CaptureFixture[str]
) -> None:
    assert experiment.main(["sweep"], root) == 0

    assert capsys.readouterr().out == "1 events and what was kept of 0 customers are deleted.\n"
    assert sqlite_db.query("SELECT COUNT(*) FROM rec_user_interactions") == [(3,)]


@pytest.mark.parametrize(
    ("argv", "toml", "message"),
    [
        (["sweep"], "", "[privacy] `keep_days` should say how many days are kept. Received: nothing."),
        (["report"], TOML.replace('"none"', '"gpt"'), "[experiments.arms.A] `model` should be one of"),
        (["report"], "[privacy]\nkeep_days = 1", "[privacy] `keep_days` should be a whole number from 14"),
    ],
)
def test_wrong_settings_are_refused(
    root: Path, argv: list[str], toml: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (root / "recsys.toml").write_text(toml, encoding="utf-8")

    assert experiment.main(argv, root) == 78
    assert message in capsys.readouterr().err


def test_a_database_without_our_tables_is_told_the_way_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty.sqlite").touch()
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{tmp_path / 'empty.sqlite'}")

    assert experiment.main(["report"], tmp_path) == 78
    assert "train.py or python -m recsys.service makes it" in capsys.readouterr().err


@pytest.mark.parametrize("days", ["0", "-1", "1.5", "x", "100000"])
def test_days_are_a_whole_number(tmp_path: Path, days: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        experiment.main(["report", "--days", days], tmp_path)
    assert "should be a whole number from 1 to 99999" in capsys.readouterr().err
