"""scripts/monitor.py: its tables, its JSON, its exit statuses, its file for Prometheus, and the dashboard beside it."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from recsys.artifacts import append_history
from recsys.lifecycle.exposition import HELP, PREFIX, exposition, write_exposition
from recsys.lifecycle.health import DEGRADED, FIGURES, Backup, Health, Problem
from recsys.settings import Settings
from recsys.store import connect
from scripts import monitor
from tests.helpers.dying_disk import Died, Mortal
from tests.helpers.entry_points import ROOT
from tests.helpers.small_versions import HOUR, NOW, publish, settings_of

Run = Callable[..., tuple[int, str, str]]
REFUSED = {"trained_at": NOW, "timestamp": NOW, "published": None, "reason": "MAP@10 is worse", "sparsity": 0.97}
PROMETHEUS_LINE = re.compile(r'(# (HELP|TYPE) recsys_\w+ .+|recsys_\w+(\{\w+="\w+"(,\w+="\w+")*\})? -?[0-9.e+-]+)')
METRIC = re.compile(r"\brecsys_\w+")
OF_HISTOGRAMS = re.compile(r"_(bucket|count|sum)$")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    url = f"sqlite:///{tmp_path / 'shop.sqlite'}"
    connect(url, create=True).close()
    return settings_of(url, tmp_path)


@pytest.fixture
def name(settings: Settings) -> str:
    """Returns the name of a version that was published at `NOW`."""
    return publish(settings, NOW)


@pytest.fixture
def run(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs the script an hour after `NOW`; returns its status and what it printed."""
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{tmp_path / 'shop.sqlite'}")
    monkeypatch.setenv("MODELS_DIR", str(settings.models_dir))
    monkeypatch.setattr(monitor.time, "time", lambda: NOW + HOUR)

    def run_main(*argv: str) -> tuple[int, str, str]:
        status = monitor.main(list(argv), tmp_path)
        printed = capsys.readouterr()
        return status, printed.out, printed.err

    return run_main


def test_a_healthy_version_with_its_figures(run: Run, name: str) -> None:
    status, out, err = run()

    assert (status, err) == (0, "")
    assert out.startswith("HEALTHY\n")
    assert name in out
    assert re.search(r"model age\W+0\.0 days", out)


@pytest.mark.usefixtures("name")
def test_a_degraded_state_has_the_status_1_and_its_reason(run: Run, settings: Settings) -> None:
    for _ in range(3):
        append_history(settings.models_dir, REFUSED)

    status, out, _ = run("--action", "health")

    assert status == 1
    assert out.startswith("DEGRADED\n  degraded: refusals: The last 3 training runs published nothing")


def test_an_unhealthy_state_has_the_status_2_and_its_reason(run: Run, settings: Settings, name: str) -> None:
    (settings.models_dir / name / "manifest.json").unlink()

    status, out, _ = run()

    assert status == 2
    assert out.startswith("UNHEALTHY\n  unhealthy: version_damaged: ")


def test_json_has_the_same(run: Run, name: str) -> None:
    status, out, _ = run("--json")

    document = json.loads(out)
    assert (status, document["status"], document["version"], document["problems"]) == (0, "HEALTHY", name, [])
    assert set(document["figures"]) == set(FIGURES)


@pytest.mark.usefixtures("name")
def test_a_damaged_history_ends_the_table_of_runs(run: Run, settings: Settings) -> None:
    (settings.models_dir / "metrics.json").write_text("[{", encoding="utf-8")

    status, out, err = run("--action", "metrics")

    assert (status, out) == (77, "")
    assert err.startswith("monitor: metrics.json should")


def test_before_the_first_training_run_each_action_has_its_answer(run: Run) -> None:
    assert run()[0] == 2
    assert run("--action", "backups")[:2][0] == 1
    status, out, _ = run("--action", "metrics")
    assert (status, out.rstrip().endswith("Run train.py first.")) == (1, True)
    assert json.loads(run("--action", "metrics", "--json")[1]) == {"status": "DEGRADED", "runs": []}


def test_the_runs_are_listed_the_newest_first_with_what_became_of_them(run: Run, settings: Settings) -> None:
    name = publish(settings, NOW - HOUR)
    append_history(settings.models_dir, REFUSED)
    append_history(settings.models_dir, {"trained_at": NOW + 1, "published": None, "failed": True, "reason": "killed"})
    append_history(settings.models_dir, {"action": "rollback", "timestamp": NOW + 2, "version": name})

    status, out, _ = run("--action", "metrics")

    assert status == 0
    assert re.findall(r"published|refused|failed", out) == ["failed", "refused", "published"]
    assert "97.00%" in out
    runs = json.loads(run("--action", "metrics", "--json")[1])["runs"]
    assert [(run["result"], run["reason"]) for run in runs] == [
        ("published", None),
        ("refused", "MAP@10 is worse"),
        ("failed", "killed"),
    ]


def test_backups_are_counted_with_their_size_and_date(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    (folder / "a.zip").write_bytes(b"PK")
    os.utime(folder / "a.zip", (NOW, NOW))

    status, out, _ = run("--action", "backups", "--backups", str(folder), "--json")

    document = json.loads(out)
    assert (status, document["status"], document["count"], document["bytes"]) == (2, "UNHEALTHY", 1, 2)
    assert document["backups"][0]["written_at"] == "2024-01-01T00:00:00Z"
    assert run("--action", "backups", "--backups", str(folder))[1].startswith("UNHEALTHY\n  unhealthy: backup_damaged")


def test_wrong_settings_have_a_status_of_their_own(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "oracle://x")
    status, out, err = run("--json")
    assert (status, out) == (78, "")
    assert err.startswith("monitor: ")


@pytest.mark.usefixtures("name")
def test_the_file_for_prometheus_holds_every_known_figure(run: Run, tmp_path: Path) -> None:
    target = tmp_path / "recsys.prom"

    assert run("--prometheus", str(target), "--json")[0] == 0

    lines = target.read_text(encoding="utf-8").splitlines()
    assert all(PROMETHEUS_LINE.fullmatch(line) for line in lines)
    values = dict(line.split(" ", 1) for line in lines if not line.startswith("#"))
    assert float(values["recsys_model_age_days"]) == pytest.approx(1 / 24)
    assert float(values["recsys_model_data_age_days"]) == pytest.approx(2 / 24)
    assert (values["recsys_health_status"], values["recsys_monitor_timestamp_seconds"]) == ("0", str(NOW + HOUR))
    assert "recsys_model_sparsity" not in values
    assert sorted(path.name for path in tmp_path.iterdir()) == ["models", "recsys.prom", "shop.sqlite"]


def test_every_figure_and_problem_can_be_exposed() -> None:
    problems = (Problem(DEGRADED, "model_age", "It is old."), Problem(DEGRADED, "model_age", "Twice."))
    text = exposition(Health("v", problems, dict.fromkeys(FIGURES, 1.0)), [Backup("a.zip", "v", 5, NOW)], NOW)
    assert set(METRIC.findall(text)) == {PREFIX + name for name in HELP}
    assert text.count('recsys_health_problem{problem="model_age",level="degraded"} 1\n') == 1


def test_a_file_that_cannot_be_written_is_told(run: Run, tmp_path: Path) -> None:
    status, _, err = run("--prometheus", str(tmp_path / "none" / "recsys.prom"))
    assert status == 78
    assert err.startswith("monitor: --prometheus should be a file that this user may write. Received: ")


def test_a_monitor_that_dies_leaves_the_old_file_or_the_new_one(tmp_path: Path) -> None:
    target = tmp_path / "recsys.prom"
    for step in (1, 2):
        target.write_text("old\n", encoding="utf-8")
        with pytest.raises(Died):
            write_exposition(target, "new\n", Mortal(step))
        assert target.read_text(encoding="utf-8") == "old\n"
    write_exposition(target, "new\n")
    assert target.read_text(encoding="utf-8") == "new\n"


def test_the_dashboard_uses_the_names_of_the_monitor_and_the_backend() -> None:
    dashboard = json.loads((ROOT / "deploy" / "grafana.json").read_text(encoding="utf-8"))
    used = {
        OF_HISTOGRAMS.sub("", name)
        for panel in dashboard["panels"]
        for target in panel["targets"]
        for name in METRIC.findall(target["expr"])
    }
    source = (ROOT / "backend" / "src" / "monitoring" / "metrics.js").read_text(encoding="utf-8")
    backend = {PREFIX + name for name in re.findall(r"(?:histogram|counter|gauge)\('(\w+)'", source)}
    ours = {PREFIX + name for name in HELP}

    assert {"recsys_answers_total", "recsys_python_version_refused", "recsys_model_age_days"} <= backend
    assert used <= backend | ours
    assert ours - used == {"recsys_encoders_missing", "recsys_answers", "recsys_backups"}


def test_operations_say_what_to_do_about_every_problem() -> None:
    page = (ROOT / "docs" / "OPERATIONS.md").read_text(encoding="utf-8")
    source = (ROOT / "recsys" / "lifecycle" / "health.py").read_text(encoding="utf-8")
    names = set(re.findall(r'(?:UNHEALTHY|DEGRADED|level), "(\w+)"', source)) | {
        "model_age",
        "model_data_age",
        "fallback",
        "failed_run",
        "refusals",
        "failures",
        "backup_damaged",
    }
    told = set(re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE))

    assert names - told == set()
