"""The health of a version's life: every state of folder, database and history has its answer."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from recsys import store
from recsys.artifacts import append_history
from recsys.lifecycle import health as health_module
from recsys.lifecycle.backup import back_up
from recsys.lifecycle.health import (
    DEGRADED,
    ENOUGH_ANSWERS,
    HEALTHY,
    LEVELS,
    TOO_OLD,
    UNHEALTHY,
    Health,
    backup_problems,
    backups_in,
    health,
)
from recsys.lifecycle.runs import Unpublished, unpublished
from recsys.settings import Lifecycle, Settings
from recsys.store import connect
from tests.helpers.small_versions import HOUR, NOW, publish, publish_many, settings_of

DAY = 24 * HOUR
sqlite_only = pytest.mark.parametrize("shop_url", ["sqlite"], indirect=True)
FIGURES = {
    "n_users": 2,
    "n_products": 3,
    "n_interactions": 4,
    "sparsity": 0.5,
    "similarity_density": 1.0,
    "avg_similarity": 0.25,
}


@pytest.fixture
def settings(shop_url: str, tmp_path: Path) -> Settings:
    return settings_of(shop_url, tmp_path)


def names_of(found: Health) -> list[tuple[str, str]]:
    return [(problem.level, problem.name) for problem in found.problems]


def rows(coverage: float, map10: float = 0.1) -> dict[str, Any]:
    return {"rule": "hide", "winner": "BMF", "rows": {"hide": {"BMF": {"coverage": coverage, "map10": map10}}}}


def run_at(moment: int, published: str | None, **figures: Any) -> dict[str, Any]:
    return {"timestamp": moment, "trained_at": moment, "published": published, **figures}


def test_a_version_that_was_just_published_is_healthy(settings: Settings) -> None:
    name = publish(settings, NOW)
    append_history(settings.models_dir, run_at(NOW, name, **FIGURES, **rows(0.4, 0.2)))

    found = health(settings, now=NOW + 12 * HOUR)

    assert (found.status, found.version, found.problems) == (HEALTHY, name, ())
    told = {key: found.figures[key] for key in found.figures if key not in ("version_bytes", "disk_free_bytes")}
    assert told == {
        "model_age_days": 0.5,
        "model_data_age_days": 13 / 24,
        "model_users": 2,
        "model_products": 3,
        "model_interactions": 4,
        "model_sparsity": 0.5,
        "model_similarity_density": 1.0,
        "model_avg_similarity": 0.25,
        "model_map10": 0.2,
        "model_coverage": 0.4,
        "refusals_in_a_row": 0,
        "failures_in_a_row": 0,
        "encoders_missing": 0,
        "answers": 0,
        "fallback_share": None,
        "failed_run_share": None,
    }


def test_an_empty_database_and_no_version_yet(settings: Settings) -> None:
    connect(settings.database_url, create=True).close()

    found = health(settings, now=NOW)

    assert (found.status, found.version, names_of(found)) == (UNHEALTHY, None, [(UNHEALTHY, "no_version")])
    assert "Run train.py first." in found.problems[0].text
    assert not settings.models_dir.exists(), "the monitor makes nothing"


@sqlite_only
def test_a_dead_database_hides_nothing_that_the_files_say(settings: Settings, tmp_path: Path) -> None:
    name = publish(settings, NOW)
    dead = replace(settings, database_url=settings_of(f"sqlite:///{tmp_path}/none/x.sqlite", tmp_path).database_url)

    found = health(dead, now=NOW)

    assert (found.version, names_of(found)) == (name, [(UNHEALTHY, "database")])
    assert (found.figures["model_age_days"], found.figures["encoders_missing"]) == (0.0, None)


def damaged(settings: Settings, name: str) -> None:
    (settings.models_dir / name / "deep" / "weights.bin").write_bytes(b"")


def half(settings: Settings, name: str) -> None:
    (settings.models_dir / name / "manifest.json").unlink()


def gone(settings: Settings, name: str) -> None:
    shutil.rmtree(settings.models_dir / name)


def unreadable(settings: Settings, _name: str) -> None:
    (settings.models_dir / "CURRENT").write_text("../elsewhere", encoding="ascii")


TORN: Mapping[str, tuple[Callable[[Settings, str], None], str]] = {
    "a cut file": (damaged, "version_damaged"),
    "no manifest": (half, "version_damaged"),
    "no folder": (gone, "no_version"),
    "a pointer elsewhere": (unreadable, "version_damaged"),
}


@sqlite_only
@pytest.mark.parametrize(("tear", "problem"), TORN.values(), ids=TORN)
def test_half_a_version_is_unhealthy(settings: Settings, tear: Callable[[Settings, str], None], problem: str) -> None:
    tear(settings, publish(settings, NOW))

    assert (UNHEALTHY, problem) in names_of(health(settings, now=NOW))


@sqlite_only
def test_age_is_a_problem_from_the_limit_on_and_a_clock_behind_is_none(settings: Settings) -> None:
    publish(settings, NOW)
    limit = Lifecycle().max_model_age_days * DAY
    levels = {}
    for age in (-DAY, limit - HOUR, limit + 1, TOO_OLD * limit + 1):
        found = health(settings, now=int(NOW + age))
        levels[age] = (found.status, found.figures["model_age_days"])

    expected = [HEALTHY, HEALTHY, DEGRADED, UNHEALTHY]
    assert [status for status, _ in levels.values()] == expected
    assert levels[-DAY][1] == 0.0


def test_encoders_that_are_missing_in_the_database_are_unhealthy(settings: Settings) -> None:
    name = publish(settings, NOW)
    with connect(settings.database_url) as db:
        store.purge(db, name)

    found = health(settings, now=NOW)

    assert (UNHEALTHY, "encoders") in names_of(found)
    assert found.figures["encoders_missing"] == 1
    assert f"scripts/migrate_encoders.py --version {name}" in found.problems[0].text


@sqlite_only
def test_encoders_that_differ_from_the_manifest_are_unhealthy(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = publish(settings, NOW)
    counts = {"users": 3, "items": 3}
    manifest = {"counts": counts, "context_features": ["season", "device_type"], "data_until": NOW}
    monkeypatch.setattr(health_module, "_version", lambda *_: (name, manifest, []))

    assert names_of(health(settings, now=NOW)) == [(UNHEALTHY, "encoders")]
    counts["users"] = 2
    assert names_of(health(settings, now=NOW)) == []


@sqlite_only
def test_views_of_another_version_are_degraded(settings: Settings) -> None:
    old, new = publish_many(settings, 2)
    with connect(settings.database_url) as db:
        store.set_active(db, old)

    found = health(settings, now=NOW + HOUR)

    assert (found.version, names_of(found)) == (new, [(DEGRADED, "views")])


RUNS: Mapping[str, tuple[Sequence[Mapping[str, Any]], Unpublished]] = {
    "no history": ([], Unpublished()),
    "published": ([run_at(1, None, reason="worse"), run_at(2, "v")], Unpublished()),
    "two refused": (
        [run_at(1, "v"), run_at(2, None, reason="worse"), run_at(3, None, reason="worst")],
        Unpublished(2, 0, "worst"),
    ),
    "one failed after a refusal": (
        [run_at(1, None, reason="worse"), run_at(2, None, failed=True, reason="killed")],
        Unpublished(1, 1, "killed"),
    ),
    "a rollback is no run": (
        [run_at(1, None, reason="worse"), {"action": "rollback", "timestamp": 2, "version": "v"}],
        Unpublished(1, 0, "worse"),
    ),
    "a restored copy is no run": (
        [run_at(1, None, reason="worse"), {**run_at(0, "v"), "restored_at": 2}],
        Unpublished(1, 0, "worse"),
    ),
    "entries that are no runs": ([{"trained_at": "yesterday"}, {"trained_at": True}, {}], Unpublished()),
}


@pytest.mark.parametrize(("entries", "expected"), RUNS.values(), ids=RUNS)
def test_runs_since_the_last_publication(entries: Sequence[Mapping[str, Any]], expected: Unpublished) -> None:
    assert unpublished(entries) == expected


@sqlite_only
@pytest.mark.parametrize(("failed", "name"), [(False, "refusals"), (True, "failures")])
def test_many_runs_without_a_publication_are_degraded(settings: Settings, failed: bool, name: str) -> None:
    publish(settings, NOW)
    statuses = []
    for number in range(1, Lifecycle().max_refusals + 1):
        append_history(settings.models_dir, run_at(NOW + number, None, failed=failed, reason=f"reason {number}"))
        statuses.append(health(settings, now=NOW + HOUR).status)

    found = health(settings, now=NOW + HOUR)
    assert statuses == [HEALTHY, HEALTHY, DEGRADED]
    assert names_of(found) == [(DEGRADED, name)]
    assert found.problems[0].text.endswith("The newest: reason 3")


@sqlite_only
@pytest.mark.parametrize(("coverage", "status"), [(0.21, HEALTHY), (0.19, DEGRADED), (0.0, DEGRADED)])
def test_coverage_that_has_collapsed_is_degraded(settings: Settings, coverage: float, status: str) -> None:
    for number, before in enumerate((0.4, 0.9, 0.4)):
        append_history(settings.models_dir, run_at(NOW - DAY + number, f"v{number}", **rows(before)))
    name = publish(settings, NOW)
    append_history(settings.models_dir, run_at(NOW, name, **rows(coverage)))

    found = health(settings, now=NOW)

    assert (found.status, found.figures["model_coverage"]) == (status, coverage)


@sqlite_only
def test_figures_outside_their_range_are_unknown_and_old_entries_have_none(settings: Settings) -> None:
    name = publish(settings, NOW)
    figures = ("model_sparsity", "model_similarity_density", "model_avg_similarity")
    assert [health(settings, now=NOW).figures[figure] for figure in figures] == [None] * 3
    wrong = {"sparsity": -0.03, "similarity_density": 1.03, "avg_similarity": "1"}
    append_history(settings.models_dir, run_at(NOW, name, **wrong))

    assert [health(settings, now=NOW).figures[figure] for figure in figures] == [None] * 3


@sqlite_only
def test_a_damaged_history_is_told_and_the_rest_still_looked_at(settings: Settings) -> None:
    name = publish(settings, NOW)
    (settings.models_dir / "metrics.json").write_text("[{", encoding="utf-8")

    found = health(settings, now=NOW)

    assert (found.version, names_of(found)) == (name, [(DEGRADED, "history")])


def answered(settings: Settings, n: int, n_fallbacks: int, hour: str) -> None:
    with connect(settings.database_url) as db:
        counts = {"python": (n - n_fallbacks, ""), "popular": (n_fallbacks, "deadline")}
        rows = [{"hour": hour, "source": key, "reason": why, "count": k} for key, (k, why) in counts.items()]
        db.insert("rec_answer_counts", rows)


FALLBACKS = {
    "few of many": (1000, 50, HEALTHY),
    "more than the limit": (1000, 150, DEGRADED),
    "most": (1000, 600, UNHEALTHY),
    "most of very few": (ENOUGH_ANSWERS - 1, ENOUGH_ANSWERS - 1, HEALTHY),
}


@pytest.mark.parametrize(("n", "n_fallbacks", "status"), FALLBACKS.values(), ids=FALLBACKS)
def test_the_share_of_fallbacks_in_a_day(settings: Settings, n: int, n_fallbacks: int, status: str) -> None:
    publish(settings, NOW)
    answered(settings, n, n_fallbacks, "2023-12-31 12:00:00")
    answered(settings, 10_000, 10_000, "2023-12-30 12:00:00")  # a day before

    found = health(settings, now=NOW)

    assert (found.status, found.figures["answers"]) == (status, n)
    assert found.figures["fallback_share"] == pytest.approx(n_fallbacks / n)
    assert names_of(found) == ([] if status == HEALTHY else [(status, "fallback")])


def test_model_runs_that_failed_count_too(settings: Settings) -> None:
    publish(settings, NOW)
    metrics = ['{"error":"deadline"}', '{"map10":0.1}']
    with connect(settings.database_url) as db:
        columns = {"userId": 7, "modelName": "BMF", "createdAt": "2023-12-31 20:00:00"}
        db.insert(
            "model_runs", [{**columns, "metricsJson": metrics[number % 4 > 0]} for number in range(ENOUGH_ANSWERS)]
        )

    found = health(settings, now=NOW)

    assert (found.figures["failed_run_share"], names_of(found)) == (0.25, [(DEGRADED, "failed_run")])


@sqlite_only
@pytest.mark.parametrize(("free", "status"), [(2**20, UNHEALTHY), (2**26 + 1, HEALTHY)])
def test_a_full_disk(settings: Settings, monkeypatch: pytest.MonkeyPatch, free: int, status: str) -> None:
    publish(settings, NOW)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(2**30, 2**30 - free, free))

    found = health(settings, now=NOW)

    assert (found.status, found.figures["disk_free_bytes"]) == (status, free)


@sqlite_only
def test_backups_by_number_size_and_date(settings: Settings, tmp_path: Path) -> None:
    folder, limits = tmp_path / "backups", Lifecycle()
    assert (backups_in(folder), [problem.name for problem in backup_problems([], limits, NOW)]) == (
        [],
        ["backup_missing"],
    )
    name = publish(settings, NOW)
    size = back_up(settings, name, folder / f"{name}.zip")
    (whole,) = backups_in(folder)

    assert (whole.version, whole.size, whole.fault) == (name, size, None)
    assert backup_problems([whole], limits, whole.written_at + DAY) == []
    old = backup_problems([whole], limits, whole.written_at + 9 * DAY)
    assert [(problem.level, problem.name) for problem in old] == [(DEGRADED, "backup_age")]

    (folder / "later.zip").write_bytes(b"PK")
    point_in_time = replace(whole, written_at=whole.written_at - HOUR)
    broken = next(backup for backup in backups_in(folder) if backup.fault)
    assert broken.version is None
    newest, oldest = (
        backup_problems(found, limits, whole.written_at) for found in ([broken, whole], [point_in_time, broken])
    )
    assert [[(problem.level, problem.name) for problem in found] for found in (newest, oldest)] == [
        [(UNHEALTHY, "backup_damaged")],
        [(DEGRADED, "backup_damaged")],
    ]


def test_the_worst_problem_comes_first(settings: Settings) -> None:
    connect(settings.database_url, create=True).close()
    for number in range(3):
        append_history(settings.models_dir, run_at(NOW + number, None, reason="too few events"))

    levels = [LEVELS.index(problem.level) for problem in health(settings, now=NOW + DAY).problems]

    assert levels == sorted(levels, reverse=True) == [2, 1]
