"""`make demo`: whose shop it touches, when it trains, and what a second run says."""

import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from recsys.settings import load_settings
from scripts import demo
from tests.helpers.entry_points import PATIENCE_S, ROOT, install
from tests.helpers.tiny_shop import DAY, NOW, Published, event

OTHER = "mysql+pymysql://root@127.0.0.1/real_shop"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty checkout."""
    monkeypatch.setattr(demo, "ROOT", tmp_path)
    return tmp_path


def chosen(folder: Path, environ: Mapping[str, str]) -> tuple[str, Path]:
    """Return the database and the folder of versions that the demo's steps work on."""
    settings = load_settings({**environ, **demo.own_variables(environ)}, folder)
    return str(settings.database_url), settings.models_dir


def test_without_a_named_shop_the_demo_writes_env_and_publishes_into_models(folder: Path) -> None:
    assert chosen(folder, {}) == (f"sqlite:///{folder}/data/demo.sqlite", folder / "models")
    assert (folder / ".env").read_text(encoding="utf-8").splitlines()[1:] == ["DATABASE_URL=sqlite:///data/demo.sqlite"]
    assert chosen(folder, {}) == (f"sqlite:///{folder}/data/demo.sqlite", folder / "models"), "the second time"


@pytest.mark.parametrize(
    "environ", [{"DATABASE_URL": OTHER}, {"DB_NAME": "real_shop"}, {"DB_DATABASE_NAME": "real_shop"}]
)
def test_a_shop_of_the_environment_is_not_touched_and_no_env_is_written(
    folder: Path, environ: Mapping[str, str]
) -> None:
    assert chosen(folder, environ) == (f"sqlite:///{folder}/data/demo.sqlite", folder / "data/demo-models")
    assert not (folder / ".env").exists()


def test_a_shop_of_env_is_not_touched_nor_its_mapping_and_versions(folder: Path) -> None:
    (folder / ".env").write_text(f"DATABASE_URL={OTHER}\nMODELS_DIR=real-models\n", encoding="utf-8")
    (folder / "recsys.toml").write_text('[products]\ntable = "articles"\nid = "sku"\n', encoding="utf-8")

    assert chosen(folder, {}) == (f"sqlite:///{folder}/data/demo.sqlite", folder / "data/demo-models")
    assert load_settings(demo.own_variables({}), folder).shop.products is None
    assert (folder / ".env").read_text(encoding="utf-8") == f"DATABASE_URL={OTHER}\nMODELS_DIR=real-models\n"


def test_settings_of_another_shop_that_are_broken_do_not_stop_the_demo(folder: Path) -> None:
    (folder / ".env").write_text(f"DATABASE_URL={OTHER}\n", encoding="utf-8")
    (folder / "recsys.toml").write_text("[shop\n", encoding="utf-8")

    assert chosen(folder, {}) == (f"sqlite:///{folder}/data/demo.sqlite", folder / "data/demo-models")


@pytest.mark.parametrize("left", ["models/CURRENT", "recsys.toml"])
def test_beside_files_of_another_shop_the_env_keeps_the_demo_apart(folder: Path, left: str) -> None:
    (folder / left).parent.mkdir(exist_ok=True)
    (folder / left).write_text("", encoding="utf-8")

    assert chosen(folder, {}) == (f"sqlite:///{folder}/data/demo.sqlite", folder / "data/demo-models")
    assert "MODELS_DIR=data/demo-models\nRECSYS_TOML=data/demo.toml\n" in (folder / ".env").read_text(encoding="utf-8")
    assert chosen(folder, {}) == (f"sqlite:///{folder}/data/demo.sqlite", folder / "data/demo-models"), (
        "the second time"
    )


def test_a_version_is_up_to_date_until_something_happens_in_the_shop(published: Published, tmp_path: Path) -> None:
    shop = published.copy(tmp_path / "shop")
    assert demo.up_to_date(shop.settings) == shop.version

    shop.add([event(7, 101, "view", NOW - DAY)])

    assert demo.up_to_date(shop.settings) is None


def test_without_a_version_or_with_a_damaged_one_there_is_something_to_train(
    published: Published, tmp_path: Path
) -> None:
    shop = published.copy(tmp_path / "shop")
    (shop.models_dir / shop.version / "contexts.json").write_text("{}", encoding="utf-8")
    assert demo.up_to_date(shop.settings) is None

    (shop.models_dir / "CURRENT").unlink()

    assert demo.up_to_date(shop.settings) is None


@pytest.mark.slow
def test_a_second_run_trains_nothing_and_shows_what_the_first_has_published(
    published: Published, tmp_path: Path
) -> None:
    install(tmp_path)
    for folder in ("scripts", "demo"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    first = published.copy(tmp_path / "first")
    (tmp_path / "data").mkdir()
    shutil.copytree(first.models_dir, tmp_path / "models")
    shutil.copy(first.folder / "shop.sqlite", tmp_path / "data/demo.sqlite")
    (tmp_path / ".env").write_text("DATABASE_URL=sqlite:///data/demo.sqlite\n", encoding="utf-8")

    done = subprocess.run(
        [sys.executable, tmp_path / "scripts/demo.py"],
        env={},
        capture_output=True,
        encoding="utf-8",
        timeout=PATIENCE_S,
        check=False,
    )

    assert (done.returncode, done.stderr) == (0, "")
    assert "The shop is there already: 40 Products" in done.stdout
    assert f"Version {published.version} has seen all that happened in this shop" in done.stdout
    assert f"{published.version}: 60 users, 36 items" in done.stdout
    assert '{"user_id": 1, "limit": 5}' in done.stdout
    assert all(f"│ {rank} │" in done.stdout for rank in range(1, 6))


@pytest.mark.slow
def test_a_step_that_fails_ends_the_demo_with_its_exit_status(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (folder / "steps.py").write_text("raise SystemExit(75)", encoding="utf-8")

    with pytest.raises(demo.StepFailed) as caught:
        demo.run(["steps.py"], {})

    assert caught.value.args == (75,)
    assert "demo: steps.py ended with exit status 75" in capfd.readouterr().err
