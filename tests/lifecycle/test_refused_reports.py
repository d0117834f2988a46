"""A refused run has a report with its verdict; the history names it, and only the newest ones are kept."""

from __future__ import annotations

import errno
import html
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from recsys.artifacts import Files, current, history, keep_refused_report
from recsys.errors import NotEnoughData, TrainingRefused
from recsys.settings import Lifecycle, Settings
from recsys.training import publishing
from recsys.training.train import train
from tests.helpers.dying_disk import Died, Mortal, Unsynced, Watched
from tests.helpers.small_versions import UNSYNCED, publish, settings_of
from tests.helpers.tiny_shop import NOW, Published, Quiet, fill, interactions, tiny_shop
from tests.helpers.unfitted import published_quickly, train_quickly

LATER = NOW + 3600
DAY = 86_400


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Published:
    """The tiny shop with a version of as quick a training as those that follow."""
    return published_quickly(tmp_path_factory.mktemp("quickly"))


@pytest.fixture(autouse=True)
def unfitted(monkeypatch: pytest.MonkeyPatch) -> None:
    train_quickly(monkeypatch)


class Noting(Quiet):
    """A `Progress` that keeps notes."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


def text_of(models_dir: Path) -> str:
    """Return the report that the newest entry of the history names, without HTML's escapes."""
    return html.unescape((models_dir / history(models_dir)[-1]["report"]).read_text(encoding="utf-8"))


def test_the_gate_refuses_and_the_report_has_its_verdict_and_tables(published: Published, tmp_path: Path) -> None:
    shop, progress = published.copy(tmp_path), Noting()
    shop.execute("DELETE FROM Products WHERE id % 2 = 1")

    with pytest.raises(TrainingRefused):
        train(shop.settings, now=LATER, progress=progress)

    entry, text = history(shop.models_dir)[-1], text_of(shop.models_dir)
    assert entry["report"] == "refused/20240911T010000Z.html"
    assert progress.notes == [f"The report of this run: {shop.models_dir / entry['report']}"]
    assert "Verdict: refused." in text
    assert all(f"Refused: {reason}" in text for reason in entry["verdict"]["reasons"])
    assert text.count("<table") == 5  # of both repeat rules; of the terms and of what lists show
    assert current(shop.models_dir).name == published.version


@pytest.fixture
def small(tmp_path: Path) -> Settings:
    """A shop with the events of one user, too few to train, and a version that was published before."""
    return shop_of_one(tmp_path / "small")


def shop_of_one(folder: Path) -> Settings:
    folder.mkdir()
    url = f"sqlite:///{folder / 'shop.sqlite'}"
    fill(url, {**tiny_shop(), "Interactions": [row for row in interactions() if row["userId"] == 1]})
    settings = settings_of(url, folder)
    publish(settings, NOW)
    return settings


def refused(settings: Settings, now: int = LATER, files: Files = UNSYNCED, progress: Any = None) -> str:
    """Train, which is refused for lack of data; return the reason."""
    with pytest.raises(NotEnoughData) as caught:
        train(settings, now=now, progress=progress or Quiet(), files=files)
    return str(caught.value)


def test_a_run_with_too_little_data_has_a_report_of_its_cleaning(small: Settings) -> None:
    reason = refused(small)

    text = text_of(small.models_dir)
    assert f"Refused: {reason}" in text
    assert "rows read" in text


def test_a_version_that_does_not_answer_is_refused_after_its_verdict(
    published: Published, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = published.copy(tmp_path)

    def strange(*_: object, **__: object) -> None:
        raise TrainingRefused("The new version should know user 7. Received: a stranger.")

    monkeypatch.setattr(publishing, "check_answers", strange)
    with pytest.raises(TrainingRefused):
        train(shop.settings, now=LATER, progress=Quiet())

    text = text_of(shop.models_dir)
    assert "Verdict: it may serve." in text
    assert "Refused afterwards: The new version should know user 7. Received: a stranger." in text


def test_only_the_newest_reports_are_kept_and_torn_ones_are_swept(tmp_path: Path) -> None:
    (tmp_path / "refused").mkdir()
    (tmp_path / "refused" / "20240101T000000Z.html.tmp").write_text("torn")

    paths = [
        keep_refused_report(tmp_path, NOW + day * DAY, b"page", keep=3, files=Unsynced()) for day in (0, 1, 2, 3, 4)
    ]

    assert sorted(f"refused/{path.name}" for path in (tmp_path / "refused").iterdir()) == paths[-3:]


class FullForReports(Unsynced):
    """A disk without room for a report."""

    def write(self, path: Path, data: bytes) -> None:
        if path.parent.name == "refused":
            raise OSError(errno.ENOSPC, "full", str(path))
        super().write(path, data)


def test_a_report_without_room_is_noted_and_the_entry_written_all_the_same(small: Settings) -> None:
    progress = Noting()

    refused(small, files=FullForReports(), progress=progress)

    entry = history(small.models_dir)[-1]
    assert (entry["published"], "report" in entry) == (None, False)
    [note] = progress.notes
    assert note.startswith("The report of this run could not be written: ")


# Folder, lock and draft; the report with its folder, without the oldest one; the entry; the removal of the draft.
N_STEPS = 16


def test_a_refused_run_that_dies_at_any_step_leaves_the_old_version_and_a_history_that_can_be_read(
    tmp_path: Path,
) -> None:
    def copied(step: int) -> Settings:
        folder = shutil.copytree(template.models_dir.parent, tmp_path / str(step))
        url = f"sqlite:///{folder / 'shop.sqlite'}"
        return replace(settings_of(url, folder), lifecycle=Lifecycle(keep_versions=2))

    template = replace(shop_of_one(tmp_path / "template"), lifecycle=Lifecycle(keep_versions=2))
    for day in (1, 2):
        refused(template, LATER + day * DAY)
    disk = Watched()
    refused(copied(0), LATER + 3 * DAY, disk)
    assert len(disk.steps) == N_STEPS, disk.steps

    for step in range(1, N_STEPS + 1):
        settings = copied(step)
        with pytest.raises(Died):
            train(settings, now=LATER + 3 * DAY, progress=Quiet(), files=Dying(step, torn=True))
        with current(settings.models_dir, full=True) as version:
            assert version.manifest["winner"] == "popularity"
        refused(settings, LATER + 4 * DAY)
        assert history(settings.models_dir)[-1]["report"] == "refused/20240915T010000Z.html"
        assert len(list((settings.models_dir / "refused").iterdir())) == 2


class Dying(Mortal):
    """A disk that dies, without fsync."""

    def fsync(self, path: Path) -> None:
        self.before("fsync", path)
