"""The benchmark of training: its shops, what it extrapolates, and its tables."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks.measuring.planted import NOW, planted, resampled
from benchmarks.measuring.training_tables import markdown
from benchmarks.training import extrapolated, main
from tests.helpers.checkerboard import N_USERS, before_the_cut

ROOT = Path(__file__).parents[2]
PAGE = "# Page\n\n<!-- results: training -->\nold\n<!-- end of results -->\n"


def stage(title: str, cpu: float, **epochs: tuple[int, float]) -> dict[str, object]:
    """Return a stage with some epochs of some networks; each epoch takes as long as the last."""
    networks = {name: {"count": n, "cpu": n * last, "last": last} for name, (n, last) in epochs.items()}
    return {"title": title, "cpu": cpu, "epochs": networks}


def test_a_planted_shop_has_as_many_events_as_asked_and_users_follow_items() -> None:
    events, catalogue = planted(20_000, 3)
    again, _ = planted(20_000, 3)

    assert len(events) == pytest.approx(20_000, rel=0.05)
    assert (len(np.unique(events.users)), len(catalogue.items)) == (2000, 400)
    assert (np.diff(events.timestamps) >= 0).all()
    assert events.timestamps.max() < NOW
    np.testing.assert_array_equal(events.items, again.items)
    order = np.lexsort((events.row_ids, events.users))
    users, items = events.users[order], events.items[order]
    follows = (users[1:] == users[:-1]) & np.isin((items[1:] - items[:-1]) % 400, (1, 2, 3))
    assert follows.sum() > 0.2 * (users[1:] == users[:-1]).sum(), "by chance it would be 1 in 100"


def test_resampling_keeps_whole_users_and_all_their_events() -> None:
    source = before_the_cut()
    events, catalogue = resampled(source, 1000, 3)
    counts = np.bincount(events.users - events.users.min())

    assert 1000 <= len(events) <= 1000 + counts.max()
    assert set(counts.tolist()) <= set(np.bincount(source.users - 100).tolist())
    assert len(counts) > N_USERS
    assert len(catalogue.items) == len(np.unique(source.items))


def test_one_epoch_is_multiplied_by_the_count_of_the_whole_run() -> None:
    """ENCM has 4 epochs more of 10 s, BMF one more of 2 s; a network that the whole run lacks adds nothing.

    NeuMF, which the short run did not train in this step, has 3 epochs of the 5 s that it took in another step.
    """
    row = {"cpu": 50.0, "stages": [stage("Choose", 40.0, ENCM=(1, 10.0), BMF=(1, 2.0), LNCM=(1, 9.0))]}
    row["epoch_cpu"] = {"ENCM": 8.0, "NeuMF": 5.0}
    whole = {"stages": [stage("Choose", 9.0, ENCM=(5, 1.0), BMF=(2, 1.0), NeuMF=(3, 1.0))]}
    found = extrapolated(row, whole)

    assert (found["cpu"], found["stages"][0]["cpu"], found["stages"][0]["added"]) == (107.0, 97.0, 57.0)
    assert row["cpu"] == 50.0


ROWS = [
    {"shop": "planted", "size": 1000, "code": "here", "cpu": 10.0, "peak_mb": 900.0, "winner": "blend"}
    | {"ndcg10": {"blend": 0.1}, "stages": [stage("Start", 0.0), stage("Choose", 8.0)], "neumf_samples_per_s": 5e4},
    {"shop": "planted", "size": 1000, "code": "before", "cpu": 61.0, "peak_mb": 800.0, "winner": "BMF"}
    | {"ndcg10": {"blend": 0.1, "BMF": 0.11}, "stages": [stage("Choose", 60.0)], "extrapolated": True},
    {
        "shop": "planted",
        "size": 1000,
        "code": "cornac",
        "cpu": 5.0,
        "peak_mb": 700.0,
        "samples": 10_000,
        "ndcg10": 0.05,
    },
]


def test_the_tables_have_each_run_and_each_step() -> None:
    text = markdown(ROWS)

    assert "| planted | 1,000 | this commit | 10 | 6.1 | 900 | blend 0.1000 | 50,000 |" in text
    assert "| planted | 1,000 | the commit before | 61* |  | 800 | BMF 0.1100, blend 0.1000 |  |" in text
    assert "| planted | 1,000 | Cornac, NeuMF | 5 |  | 700 | 0.0500 | 2,000 |" in text
    assert "| planted | 1,000 | this commit | 8.0 |" in text
    assert "Start" not in text


def test_a_page_without_kept_figures_says_so(tmp_path: Path) -> None:
    (page := tmp_path / "page.md").write_text(PAGE, encoding="utf-8")

    assert main(["--markdown", str(page), "--check"], tmp_path) == 1
    assert main(["--markdown", str(page)], tmp_path) == 0
    assert "Not measured yet." in page.read_text(encoding="utf-8")
    assert main(["--markdown", str(page), "--check"], tmp_path) == 0


def test_the_page_has_the_kept_figures() -> None:
    assert main(["--markdown", str(ROOT / "docs/SCALE.md"), "--check"]) == 0
