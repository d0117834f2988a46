"""The tasks of shops without Django: what they send, when they train, and what a second message does."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from recsys.artifacts import append_history
from recsys.errors import AlreadyComputing, ModelMismatch, NoModel, Overloaded, SettingsError
from recsys.jobs import tasks
from recsys.jobs.app import app, configuration, read_configuration, schedule
from recsys.lifecycle.lock import training_lock
from recsys.lifecycle.supervise import TrainingResult
from recsys.recommending import batch
from recsys.settings import Settings, load_settings
from tests.helpers.databases import migrated

PUBLISHED = TrainingResult(0, "", 1.0, 0)


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """The settings of an empty shop, in whose folder the process runs."""
    (tmp_path / "shop.sqlite").touch()
    migrated(f"sqlite:///{tmp_path / 'shop.sqlite'}")
    (tmp_path / "recsys.toml").write_text('[shop]\ntime_zone = "Asia/Ho_Chi_Minh"\n', encoding="utf-8")
    for name, value in {"DATABASE_URL": "sqlite:///shop.sqlite", "MODELS_DIR": "models"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    return load_settings({"DATABASE_URL": "sqlite:///shop.sqlite", "MODELS_DIR": "models"}, tmp_path)


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[str, dict[str, Any]]]]:
    """What is sent instead of being sent."""
    messages: list[tuple[str, dict[str, Any]]] = []

    def apply_async(self: Any, args: object = None, kwargs: Any = None, **options: object) -> None:
        messages.append((self.name, kwargs or {}))

    monkeypatch.setattr("celery.app.task.Task.apply_async", apply_async)
    yield messages


def test_the_zone_is_the_shops_and_a_training_fits_into_the_visibility(settings: Settings) -> None:
    conf = configuration({"BROKER_URL": "redis://:word@host/3", "BROKER_QUEUE": "mine"}, settings)

    assert (conf["timezone"], conf["task_default_queue"]) == ("Asia/Ho_Chi_Minh", "mine")
    transport = conf["broker_transport_options"]
    assert transport["visibility_timeout"] > settings.lifecycle.max_training_minutes * 60
    assert transport["unacked_restore_throttle"] == 1
    assert "broker_transport_options" not in configuration({"BROKER_URL": "amqp://host//"}, settings)


@pytest.mark.parametrize("shards", ["0", "-1", "x", "1.5", "10001"])
def test_a_wrong_number_of_shards_is_refused(shards: str, settings: Settings) -> None:
    with pytest.raises(SettingsError, match="LIST_SHARDS should be a whole number"):
        configuration({"LIST_SHARDS": shards}, settings)


def test_every_scheduled_task_exists_and_no_task_is_lost(settings: Settings) -> None:
    app.loader.import_module("recsys.jobs.tasks")
    app.finalize()

    assert {entry["task"] for entry in schedule(4).values()} <= set(app.tasks)
    ours = [task for name, task in app.tasks.items() if name.startswith("recsys.jobs.")]
    assert len(ours) == 5
    assert all(task.acks_late and task.reject_on_worker_lost for task in ours)


def test_the_app_reads_the_settings_of_its_folder(settings: Settings) -> None:
    from celery import Celery

    fresh = Celery("recsys", set_as_current=False)
    fresh.add_defaults(read_configuration)

    assert fresh.conf.timezone == "Asia/Ho_Chi_Minh"
    assert fresh.timezone == ZoneInfo("Asia/Ho_Chi_Minh")


def test_the_history_decides_so_that_a_second_beat_trains_nothing(
    settings: Settings, sent: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    trained = []

    def train(of: Settings) -> TrainingResult:
        trained.append(of.models_dir)
        append_history(of.models_dir, {"trained_at": tasks.time.time(), "published": "name"})
        return PUBLISHED

    monkeypatch.setattr(tasks, "_train", train)

    first, second = tasks.train.run(n_shards=3), tasks.train.run(n_shards=3)

    assert (first, second) == ({"published": True, "reason": ""}, {"published": False, "reason": "none is due"})
    assert len(trained) == 1
    follow = ["recsys.jobs.similarities", "recsys.jobs.preferences", "recsys.jobs.recommend_all"]
    assert [name for name, _ in sent] == follow
    assert sent[2][1] == {"n_shards": 3}
    tasks.train.run(now=True)
    assert len(trained) == 2
    assert len(sent) == 5


@pytest.mark.slow
def test_a_second_training_ends_at_the_lock(settings: Settings, sent: list[Any]) -> None:
    with training_lock(settings.models_dir):
        outcome = tasks.train.run(now=True)

    assert not outcome["published"]
    assert "it is held by process" in outcome["reason"]
    assert sent == []
    assert tasks.TRAIN[0] == sys.executable


def test_the_lists_are_sent_in_shards(sent: list[Any]) -> None:
    tasks.recommend_all.run(n_shards=2, limit=5, model="BMF")

    shared = {"n_shards": 2, "limit": 5, "model": "BMF"}
    assert sent == [("recsys.jobs.recommend_shard", {"number": n, **shared}) for n in (0, 1)]


def test_a_shard_is_computed_by_the_command_s_own_function(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[Settings, dict[str, Any]]] = []
    monkeypatch.setattr(batch, "recommend_all", lambda of, **options: calls.append((of, options)))

    assert tasks.recommend_shard.run(number=1, n_shards=4) == {"done": True, "reason": ""}

    assert calls[0][0].models_dir == settings.models_dir
    assert calls[0][1] == {"to": "table", "limit": 10, "shard": (1, 4), "model": None, "fresh_s": tasks.FRESH_S}


def test_a_part_is_sent_again_where_the_database_is_busy() -> None:
    assert tasks.recommend_shard.autoretry_for == (Overloaded,)
    assert tasks.recommend_shard.max_retries == 8


@pytest.mark.parametrize(
    ("error", "is_answer"),
    [
        (NoModel("none"), True),
        (AlreadyComputing("another"), True),
        (Overloaded("a lock is held"), False),
        (ModelMismatch("no"), False),
    ],
)
def test_what_another_worker_does_is_no_failure(
    error: Exception, is_answer: bool, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(batch, "recommend_all", fail)

    if is_answer:
        assert tasks.recommend_shard.run(number=0, n_shards=1) == {"done": False, "reason": str(error)}
    else:
        with pytest.raises(type(error)):
            tasks.recommend_shard.run(number=0, n_shards=1)


def test_preferences_are_folded_for_everybody(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []
    monkeypatch.setattr(tasks, "refresh_preferences", lambda db, shop, *, now: asked.append(shop) or 7)

    assert tasks.preferences.run() == 7
    assert asked == [settings.shop]


def test_similarities_need_a_version(settings: Settings) -> None:
    with pytest.raises(NoModel):
        tasks.similarities.run()
