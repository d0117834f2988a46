"""A shop's own step: the documented example, what it may return, and how its failures are named."""

from __future__ import annotations

import hashlib
import importlib
import re
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from recsys.artifacts import current, history
from recsys.data.interactions import Catalogue, Interactions
from recsys.errors import SettingsError
from recsys.settings import Training
from recsys.store import connect
from recsys.training import network_fits
from recsys.training.hooks import Hooks, apply_hooks, load_hooks
from recsys.training.stages import known_at, read_shop
from tests.helpers.tiny_shop import DAY, FAST, NOW, START, Published, Quiet, fast_settings, fill
from tests.helpers.unfitted import at_its_start

ROOT = Path(__file__).parents[2]
EVENTS = Interactions(
    users=np.array([1, 2, 3, 4]),
    items=np.array([101, 102, 138, 139]),
    events=np.array([0, 1, 1, 0], np.int16),
    timestamps=np.array([10, 20, 30, 40]),
    row_ids=np.array([7, 8, 9, 10]),
    event_names=("purchase", "view"),
    contexts={"device_type": np.array(["mobile", None, "desktop", None], object)},
)
CATALOGUE = Catalogue(
    items=np.array([101, 102, 138, 139, 140]),
    active=np.ones(5, bool),
    categories=np.full(5, None),
    brands=np.full(5, None),
    prices=np.ones(5),
)


@pytest.fixture(autouse=True)
def modules() -> Iterator[None]:
    """Forget what a test imported."""
    paths, known = list(sys.path), set(sys.modules)
    yield
    sys.path[:] = paths
    for name in set(sys.modules) - known:
        if name.split(".")[0] in ("my_shop", "step"):
            del sys.modules[name]


def step(folder: Path, body: str) -> Hooks:
    """Return a step whose function has a body."""
    (folder / "step.py").write_text(f"import pandas\n\ndef clean(events):\n    {body}\n", encoding="utf-8")
    hooks = load_hooks("step", folder)
    assert hooks is not None
    return hooks


def example(folder: Path) -> Hooks:
    section = (ROOT / "docs" / "SHOP.md").read_text(encoding="utf-8").split("\n## A step of your own\n")[1]
    code = re.search(r"```python\n(.+?)```", section, re.DOTALL)
    assert code is not None
    (folder / "my_shop").mkdir()
    (folder / "my_shop" / "hooks.py").write_text(code[1], encoding="utf-8")
    hooks = load_hooks("my_shop.hooks", folder)
    assert hooks is not None
    return hooks


def test_the_documented_example_drops_employees_and_joins_variants(tmp_path: Path):
    hooks = example(tmp_path)
    events, dropped = apply_hooks(hooks, EVENTS, CATALOGUE)
    assert (events.users.tolist(), events.items.tolist(), dropped) == ([3, 4], [101, 102], {"my_shop.hooks.clean": 2})
    assert [events.event_names[code] for code in events.events] == ["view", "purchase"]
    assert (events.row_ids.tolist(), events.timestamps.tolist()) == ([9, 10], [30, 40])
    assert events.contexts["device_type"].tolist() == ["desktop", None]
    assert hooks.sha256 == hashlib.sha256((tmp_path / "my_shop" / "hooks.py").read_bytes()).hexdigest()
    assert hooks.to_json() == {"module": "my_shop.hooks", "sha256": hooks.sha256}


def test_a_shop_is_read_with_its_own_step_and_each_cut_sees_earlier_events_only(tmp_path: Path):
    url = f"sqlite:///{tmp_path / 'shop.sqlite'}"
    fill(url)
    latest: list[int] = []
    hooks = example(tmp_path)

    def clean(events):  # type: ignore[no-untyped-def]
        latest.append(int(events["timestamp"].max()))
        return hooks.clean(events)

    with connect(url) as db:
        settings = fast_settings(url, tmp_path)
        run = read_shop(db, settings, protocol="time", now=NOW, progress=Quiet(), hooks=replace(hooks, clean=clean))
    assert not {1, 2} & set(run.events.users.tolist())
    assert run.cleaning.dropped["my_shop.hooks.clean"] == int(np.isin(run.recorded.users, [1, 2]).sum())
    cut = START + 100 * DAY
    assert not {1, 2} & set(known_at(run, cut).users.tolist())
    assert latest[0] > cut > latest[1]


@pytest.mark.parametrize("ids", [np.array(["a", "b", "c", "d"], object), np.array([1, 2, 3, 4])])
def test_a_step_that_does_nothing_changes_nothing(tmp_path: Path, ids: np.ndarray):
    events = replace(EVENTS, users=ids)
    result, dropped = apply_hooks(step(tmp_path, "return events.sample(frac=1, random_state=7)"), events, CATALOGUE)
    assert (result.users.tolist(), result.users.dtype) == (ids.tolist(), ids.dtype)
    for name in ("items", "events", "timestamps", "row_ids"):
        assert getattr(result, name).tolist() == getattr(events, name).tolist()
    assert (result.event_names, dropped) == (events.event_names, {"step.clean": 0})


def test_a_step_may_drop_everything(tmp_path: Path):
    result, dropped = apply_hooks(step(tmp_path, "return events[:0]"), EVENTS, CATALOGUE)
    assert (len(result), dropped) == (0, {"step.clean": 4})


def test_items_may_become_products_without_events(tmp_path: Path):
    result, _ = apply_hooks(step(tmp_path, "return events.assign(item_id=140)"), EVENTS, CATALOGUE)
    assert result.items.tolist() == [140] * 4


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("return None", "should return a DataFrame. Received: NoneType"),
        (
            "return events.drop(columns='event')",
            "should return the columns user_id, item_id, event, timestamp, device_type",
        ),
        ("return events.assign(price=1)", "Received: user_id, item_id, event, timestamp, device_type, price"),
        ("return pandas.concat([events, events])", "not add any. Received: 8 rows for 4"),
        ("events.loc[99] = events.loc[0]; return events", "not add any. Received: 5 rows for 4"),
        ("return events.assign(user_id=events.user_id.astype(str))", "whole numbers in `user_id`. Received: texts"),
        ("return events.assign(item_id=events.item_id / 1)", "whole numbers in `item_id`. Received: float64"),
        ("return events.assign(item_id=events.item_id.where(events.item_id > 101))", "float64 with missing values"),
        (
            "return events.assign(timestamp=pandas.to_datetime(events.timestamp, unit='s'))",
            "`timestamp`. Received: datetime",
        ),
        ("return events.assign(event=1)", "texts in `event`. Received: whole numbers"),
        ("return events.assign(user_id=99)", "values of `user_id` that the shop has. Received: 1 others, e.g. 99"),
        ("return events.assign(item_id=99)", "values of `item_id` that the shop has. Received: 1 others, e.g. 99"),
        (
            "return events[events['price'] > 0]",
            r"step.py, line 4, should clean without an error. Received: KeyError: 'price'",
        ),
    ],
)
def test_what_a_step_may_not_return_is_named(tmp_path: Path, body: str, message: str):
    with pytest.raises(SettingsError) as caught:
        apply_hooks(step(tmp_path, body), EVENTS, CATALOGUE)
    assert message in str(caught.value)
    assert str(tmp_path / "step.py") in str(caught.value)


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("x = 1", "should have a function `clean`. Received: null"),
        ("clean = 1", "should have a function `clean`. Received: 1"),
        ("\n1 / 0", "step.py, line 2, should import without an error. Received: ZeroDivisionError: division by zero"),
        ("\n\ndef clean(:", "step.py, line 3, should import without an error. Received: SyntaxError"),
        ("import none_of_these", "Received: ModuleNotFoundError: No module named 'none_of_these'"),
    ],
)
def test_a_module_that_cannot_be_used_is_named(tmp_path: Path, code: str, message: str):
    (tmp_path / "step.py").write_text(code, encoding="utf-8")
    with pytest.raises(SettingsError) as caught:
        load_hooks("step", tmp_path)
    assert message in str(caught.value)


@pytest.mark.parametrize("module", ["my_shop.hooks", "nowhere", "sys"])
def test_a_module_that_is_missing_is_named(tmp_path: Path, module: str):
    with pytest.raises(SettingsError, match="`hooks` should name a module in"):
        load_hooks(module, tmp_path)


def test_without_hooks_nothing_is_loaded_or_changed(tmp_path: Path):
    assert load_hooks("none", tmp_path) is None
    assert apply_hooks(None, EVENTS, CATALOGUE) == (EVENTS, {})


@pytest.mark.parametrize("name", ["", "my shop", "a..b", "os; x", 1])
def test_a_name_that_is_no_module_is_refused(name: str):
    with pytest.raises(SettingsError, match="`hooks` should be the name of a Python module"):
        Training(hooks=name)


def test_a_version_of_a_whole_training_names_the_step_and_the_hash_of_its_file(
    published: Published, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """`train.py` reads `[training] hooks`; the manifest and the cleaning tell what the step was and did."""
    shop = published.copy(tmp_path)
    (tmp_path / "step.py").write_text(
        "def clean(events):\n    return events[events['user_id'] != 7]\n", encoding="utf-8"
    )
    options = "".join(f"{name} = {getattr(FAST, name)}\n" for name in ("dim", "factors", "epochs", "batch", "window"))
    (tmp_path / "recsys.toml").write_text(f'[training]\nhooks = "step"\n{options}', encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "unraisablehook", sys.unraisablehook)
    monkeypatch.setattr(network_fits, "fit", at_its_start)
    monkeypatch.setattr("time.time", lambda: NOW + 3600.0)
    for name in ("TF_CPP_MIN_LOG_LEVEL", "TF_ENABLE_ONEDNN_OPTS", "OPENBLAS_NUM_THREADS"):
        monkeypatch.setenv(name, "1")
    for name, value in {**shop.environ, "RECSYS_TOML": str(tmp_path / "recsys.toml")}.items():
        monkeypatch.setenv(name, value)

    assert importlib.import_module("train").main([]) == 0

    manifest = current(shop.models_dir).manifest
    sha256 = hashlib.sha256((tmp_path / "step.py").read_bytes()).hexdigest()
    assert manifest["hooks"] == {"module": "step", "sha256": sha256}
    with connect(shop.url) as db:
        (n_events,) = db.query("SELECT COUNT(*) FROM Interactions WHERE userId = 7")[0]
        n_events += db.query("SELECT COUNT(*) FROM Comments WHERE userId = 7")[0][0]
    assert history(shop.models_dir)[-1]["cleaning"]["dropped"]["step.clean"] == n_events
    assert manifest["counts"]["users"] == 60 - 1
