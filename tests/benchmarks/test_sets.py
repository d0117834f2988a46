"""benchmarks/sets: train data and test cases of each public set, on small copies with positions counted by hand."""

import gzip
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pytest

from benchmarks.measuring.ablations import without_embedding, without_history
from benchmarks.measuring.results import EvaluationResult, best_items, evaluate_scorers
from benchmarks.sets import SETS, BenchmarkError
from benchmarks.sets.base import HOUR, NEWEST, NOW, hours_apart
from benchmarks.sets.taobao import FIRST
from recsys.evaluation.protocol import EvaluationSet
from recsys.features.query import Query
from recsys.settings import Training

FILLERS = range(20, 119)  # 99 items that no user rated


class Fixed:
    """A scorer with the same scores for all users."""

    def __init__(self, scores: Sequence[float]) -> None:
        self.scores, self.n_items = np.array(scores, np.float32), len(scores)

    def score(self, query: Query, features: object = None, items: np.ndarray | None = None) -> np.ndarray:
        return self.scores.copy() if items is None else self.scores[items]


def write(path: Path, rows: Iterable[Sequence[object]], header: str | None = None, delimiter: str = ",") -> None:
    path.parent.mkdir(exist_ok=True)
    lines = [header] if header else []
    lines += [delimiter.join(map(str, row)) for row in rows]
    path.write_bytes(gzip.compress("\n".join([*lines, ""]).encode()))


def write_ml_1m_ncf(folder: Path) -> None:
    """Three users; the second has their test item among their negatives, the third a single rating."""
    write(
        folder / "ml-1m.train.rating.gz",
        [(0, 2, 1, 2), (1, 4, 1, 1), (0, 0, 1, 0), (2, 5, 1, 0), (1, 3, 1, 0), (0, 1, 1, 1)],
        None,
        "\t",
    )
    write(
        folder / "ml-1m.test.rating.gz",
        [(0, 10, 5, 978300000), (1, 11, 4, 978300000), (2, 12, 3, 978300000)],
        None,
        "\t",
    )
    negatives = [("(0,10)", *FILLERS), ("(1,11)", 11, *FILLERS[:98]), ("(2,12)", *FILLERS)]
    write(folder / "ml-1m.test.negative.gz", negatives, None, "\t")


def write_online_retail(folder: Path) -> None:
    """Hourly lines from 0 to 10, and three that are no purchase; 80 % of time is before hour 8, or 5.6 of 0 to 7."""
    sold = ["a x", "a y", "b x", "b y", "a z", "c x", "a x", "b z", "a x", "c y", "b q"]
    rows = [
        ("536", words[2], '"a, ""b"""', 1, f"2010-12-01 {hour:02}:00:00", 1.5, words[0], "UK")
        for hour, words in enumerate(sold)
    ]
    rows.insert(3, ("C536", "z", "", 1, "2010-12-01 02:00:00", 1.5, "a", "UK"))  # a cancellation
    rows.insert(5, ("536", "z", "", -1, "2010-12-01 03:00:00", 1.5, "a", "UK"))  # a return
    rows.append(("537", "z", "", 1, "2010-12-01 20:00:00", 1.5, "", "UK"))  # without a user
    header = "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country"
    write(folder / "transactions.csv.gz", rows, header)


def write_amazon_beauty(folder: Path) -> None:
    """Three users of three items each, newest first; only the third has item 9."""
    taken = {1: (1, 2, 3), 2: (2, 3, 1), 3: (3, 1, 9)}
    rows = [(user, items[pos], pos) for pos in (2, 1, 0) for user, items in taken.items()]
    write(folder / "interactions.csv.gz", rows, "user,item,pos")


def write_taobao(folder: Path) -> None:
    """Positive at hours 1, 2, 3, 5, 6 and 8: 80 % of the time is before 6; of 1, 2, 3 and 5 it is before 3.8."""
    lines = [
        "1 101 pv",
        "1 101 cart",
        "2 102 fav",
        "2 103 buy",
        "1 102 pv",
        "1 103 buy",
        "2 101 cart",
        "2 102 pv",
        "1 102 buy",
    ]
    rows = [
        (*line.split()[:2], 7 if "101" in line else 8, line.split()[2], FIRST + hour * HOUR)
        for hour, line in enumerate(lines)
    ]
    rows.append((1, 109, 7, "buy", FIRST - 1))  # before the window
    write(folder / "events.csv.gz", rows, "user_id,item_id,category_id,event_type,timestamp")


def write_jdata(folder: Path) -> None:
    """User 2 buys what was in their cart; user 9 is unknown."""
    files = {
        "buy_train": [(1, 10), (2, 11), (3, 12)],
        "buy_valid": [(1, 11)],
        "buy_test": [(2, 10), (9, 10)],
        "cart": [(1, 12), (2, 10)],
        "collect": [(3, 11)],
    }
    for name, rows in files.items():
        write(folder / f"{name}.csv.gz", rows, "user,item")


WRITERS = {
    "ml-1m-ncf": write_ml_1m_ncf,
    "online-retail": write_online_retail,
    "amazon-beauty-5core": write_amazon_beauty,
    "taobao-userbehavior": write_taobao,
    "jdata-mb": write_jdata,
}


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    for name, writer in WRITERS.items():
        writer(tmp_path / name)
    return tmp_path


def result_of(scorer: Fixed, evaluation_set: EvaluationSet) -> EvaluationResult:
    return evaluate_scorers({"fixed": scorer}, evaluation_set)["fixed"]


def asked(evaluation_set: EvaluationSet) -> dict[int, tuple[list[int], list[int]]]:
    """Return what is relevant for each user and what is hidden from them."""
    return {case.query.user: (case.relevant.tolist(), case.hidden.tolist()) for case in evaluation_set.cases}


# ml-1m-ncf


def test_movielens_asks_for_the_official_positive_among_the_official_negatives(data_dir: Path) -> None:
    test = SETS["ml-1m-ncf"].load(data_dir).test
    candidates = [case.candidates.tolist() for case in test.evaluation_sets["allow"].cases]

    assert asked(test.evaluation_sets["allow"]) == {0: ([10], []), 1: ([11], []), 2: ([12], [])}
    assert candidates[0] == [*FILLERS, 10]
    assert candidates[1] == [*FILLERS[:98], 11], "the user's test item is a candidate once"
    assert (test.data.n_users, test.data.n_items) == (3, 119)


def test_movielens_validates_on_the_newest_rating_of_the_train_file(data_dir: Path) -> None:
    validation = SETS["ml-1m-ncf"].load(data_dir).validation
    first, second = validation.evaluation_sets["allow"].cases

    assert asked(validation.evaluation_sets["allow"]) == {0: ([2], []), 1: ([4], [])}, (
        "a user with one rating has nothing to be asked from"
    )
    assert validation.data.items.tolist() == [0, 1, 3, 5]
    assert (len(set(first.candidates.tolist())), first.candidates[-1]) == (100, 2)
    assert set(first.candidates[:-1].tolist()) & {0, 1, 2} == set()
    assert set(second.candidates[:-1].tolist()) & {3, 4} == set()
    assert first.query.items.tolist() == [0, 1]


def test_a_set_without_a_clock_has_hours_between_events_and_unknown_times_of_day(data_dir: Path) -> None:
    test = SETS["ml-1m-ncf"].load(data_dir).test

    assert test.data.items.tolist() == [0, 1, 2, 3, 4, 5]
    assert (test.data.timestamps - NEWEST).tolist() == [-7200, -3600, 0, -3600, 0, 0]
    assert {case.query.now for case in test.evaluation_sets["allow"].cases} == {NOW}
    assert test.data.contexts.tolist() == [[4, 4, 0, 0]] * 6
    assert test.evaluation_sets["allow"].cases[0].query.context.tolist() == [4, 4, 0, 0]
    assert test.data.confidences.tolist() == [1] * 6


def test_hours_apart_follow_the_order_and_not_the_rows() -> None:
    assert (hours_apart(np.array([5, 4, 5]), np.array([9, 0, 2])) - NEWEST).tolist() == [0, 0, -3600]


def test_a_tie_with_the_positive_is_lost(data_dir: Path) -> None:
    evaluation_set = SETS["ml-1m-ncf"].load(data_dir).test.evaluation_sets["allow"]
    ahead, level = np.zeros(119), np.zeros(119)
    ahead[20:29] = 1  # nine better ones
    level[20:29], level[29], level[[10, 11, 12]] = 2, 1, 1  # and a tenth that is as good
    ahead[[10, 11, 12]] = 1 - 1e-6

    assert result_of(Fixed(np.zeros(119)), evaluation_set).per_user["hr10"].tolist() == [0, 0, 0]
    assert result_of(Fixed(ahead), evaluation_set).per_user["hr10"].tolist() == [1, 1, 1]
    assert result_of(Fixed(level), evaluation_set).per_user["hr10"].tolist() == [0, 0, 0]


def test_a_question_answered_with_nan_is_lost(data_dir: Path) -> None:
    evaluation_set = SETS["ml-1m-ncf"].load(data_dir).test.evaluation_sets["allow"]
    scores = np.full(119, np.nan)
    scores[[10, 11]] = 9

    assert result_of(Fixed(scores), evaluation_set).per_user["ndcg10"].tolist() == [0, 0, 0]


def test_negatives_of_other_rows_are_refused(data_dir: Path) -> None:
    write(
        data_dir / "ml-1m-ncf/ml-1m.test.negative.gz",
        [("(0,10)", *FILLERS), ("(2,12)", *FILLERS), ("(1,11)", *FILLERS)],
        None,
        "\t",
    )

    with pytest.raises(BenchmarkError, match="should have a line for each row of ml-1m.test.rating.gz"):
        SETS["ml-1m-ncf"].load(data_dir)


# online-retail: users a, b, c are 0, 1, 2; items x, y, z are 0, 1, 2


def test_retail_asks_customers_and_items_known_before_the_cut(data_dir: Path) -> None:
    test = SETS["online-retail"].load(data_dir).test

    assert test.data.users.tolist() == [0, 0, 0, 0, 1, 1, 1, 2]
    assert test.data.items.tolist() == [0, 1, 2, 0, 0, 1, 2, 0]
    assert asked(test.evaluation_sets["allow"]) == {0: ([0], []), 2: ([1], [])}, "no train data has q"
    assert asked(test.evaluation_sets["hide"]) == {2: ([1], [0])}, "a bought nothing new"


def test_retail_validates_within_what_the_test_learns_from(data_dir: Path) -> None:
    validation = SETS["online-retail"].load(data_dir).validation

    assert len(validation.data) == 6
    assert asked(validation.evaluation_sets["allow"]) == {0: ([0], []), 1: ([2], [])}
    assert asked(validation.evaluation_sets["hide"]) == {1: ([2], [0, 1])}


def test_retail_knows_the_time_of_the_cut(data_dir: Path) -> None:
    query = SETS["online-retail"].load(data_dir).test.evaluation_sets["allow"].cases[0].query

    assert query.now == np.datetime64("2010-12-01T08:00:00").astype(int)
    assert query.context[:2].tolist() == [1, 0], "a winter morning"
    assert query.repeats


def test_the_whole_catalogue_competes_without_the_hidden_and_ties_go_by_index(data_dir: Path) -> None:
    evaluation_sets = SETS["online-retail"].load(data_dir).test.evaluation_sets
    (new,) = evaluation_sets["hide"].cases

    assert best_items(Fixed([3, 1, 2]), new, evaluation_sets["hide"].active).tolist() == [2, 1]
    assert best_items(
        Fixed([0, 0, 0]), evaluation_sets["allow"].cases[0], evaluation_sets["allow"].active
    ).tolist() == [
        0,
        1,
        2,
    ]


def test_metrics_by_hand(data_dir: Path) -> None:
    results = result_of(Fixed([1, 2, 3]), SETS["online-retail"].load(data_dir).test.evaluation_sets["allow"])

    assert results.per_user["p10"].tolist() == [0.1, 0.1]
    assert results.per_user["map10"].tolist() == pytest.approx([1 / 3, 1 / 2]), "relevant at 3, and at 2"
    assert results.per_user["ndcg10"].tolist() == pytest.approx([1 / 2, 1 / np.log2(3)])
    assert results.per_user["recall20"].tolist() == [1, 1]
    assert results.coverage == 1


# amazon-beauty-5core: items 1, 2, 3 are 0, 1, 2


def test_beauty_asks_for_the_last_item_if_anybody_had_it_before(data_dir: Path) -> None:
    parts = SETS["amazon-beauty-5core"].load(data_dir)

    assert asked(parts.test.evaluation_sets["hide"]) == {0: ([2], [0, 1]), 1: ([0], [1, 2])}, "no train data has item 9"
    assert parts.test.evaluation_sets["hide"].cases[1].query.items.tolist() == [1, 2], "oldest first"
    assert asked(parts.validation.evaluation_sets["hide"]) == {0: ([1], [0]), 1: ([2], [1]), 2: ([0], [2])}


# taobao-userbehavior: items 101, 102, 103 are 0, 1, 2


def test_taobao_asks_for_carts_favourites_and_purchases_and_hides_what_was_bought(data_dir: Path) -> None:
    parts = SETS["taobao-userbehavior"].load(data_dir)

    assert asked(parts.test.evaluation_sets["hide"]) == {0: ([1], [2]), 1: ([0], [2])}
    assert parts.test.data.n_items == 3, "item 109 was noise"
    assert asked(parts.validation.evaluation_sets["hide"]) == {0: ([2], [])}
    assert parts.test.data.weights.tolist() == pytest.approx([0.3, 0.7, 0.3, 1, 0.5, 1])


def test_taobao_knows_the_category_of_the_newest_event(data_dir: Path) -> None:
    cases = SETS["taobao-userbehavior"].load(data_dir).test.evaluation_sets["hide"].cases

    assert [case.query.context[-1] for case in cases] == [1, 1], "8, after 7"
    assert cases[0].query.context[0] == 1, "six o'clock in Beijing"


# jdata-mb: users 1, 2, 3 are 0, 1, 2; items 10, 11, 12 are 0, 1, 2


def test_jdata_puts_carts_and_collections_before_purchases_and_hides_purchases_only(data_dir: Path) -> None:
    parts = SETS["jdata-mb"].load(data_dir)

    assert asked(parts.validation.evaluation_sets["hide"]) == {0: ([1], [0])}
    assert asked(parts.test.evaluation_sets["hide"]) == {1: ([0], [1])}, "item 10 is in their cart and eligible"
    assert (parts.test.data.timestamps - NEWEST).tolist() == [-3600, 0, 0, -3600, 0, -3600, 0]
    assert parts.test.data.weights.tolist() == pytest.approx([0.7, 1, 1, 0.7, 1, 0.5, 1])


# all sets


@pytest.mark.parametrize("name", SETS)
def test_a_missing_file_is_named_with_where_to_get_it(name: str, data_dir: Path) -> None:
    missing = SETS[name].files[-1]
    (data_dir / name / missing).unlink()

    with pytest.raises(BenchmarkError) as caught:
        SETS[name].load(data_dir)

    assert f"DATA_DIR should hold {name}/{missing}. Received: {data_dir}, which does not. " in str(caught.value)
    assert "https://" in str(caught.value)


@pytest.mark.parametrize("name", SETS)
def test_both_parts_have_an_exam_for_each_rule_that_is_reported(name: str, data_dir: Path) -> None:
    benchmark = SETS[name]
    parts = benchmark.load(data_dir)

    assert (
        set(parts.validation.evaluation_sets)
        == set(parts.test.evaluation_sets)
        == set(benchmark.rules)
        == set(benchmark.references)
    )
    assert all(
        evaluation_set.known.all() and len(evaluation_set) == len(evaluation_set.pairs)
        for part in (parts.validation, parts.test)
        for evaluation_set in part.evaluation_sets.values()
    )


def test_the_hash_is_that_of_all_files(data_dir: Path) -> None:
    before = SETS["jdata-mb"].sha256(data_dir)
    write(data_dir / "jdata-mb/collect.csv.gz", [(3, 10)], "user,item")

    assert len(before) == 64
    assert SETS["jdata-mb"].sha256(data_dir) != before


# what ablations take away


def test_without_history_nothing_comes_before_anything_and_the_hidden_stay_hidden(data_dir: Path) -> None:
    part, _ = without_history(SETS["online-retail"].load(data_dir).test, Training())
    (case,) = part.evaluation_sets["hide"].cases

    assert part.data.baskets.tolist() == [0, 0, 0, 0, 4, 4, 4, 7]
    assert (part.data.timestamps[:4] == part.data.timestamps[3]).all()
    assert (len(case.query.items), len(case.query.weights), len(case.query.timestamps)) == (0, 0, 0)
    assert (case.query.user, case.hidden.tolist()) == (2, [0])


def test_without_embedding_everybody_is_a_guest_with_a_history_and_counts_as_known(data_dir: Path) -> None:
    part, options = without_embedding(SETS["online-retail"].load(data_dir).test, Training())
    evaluation_set = part.evaluation_sets["allow"]

    assert [case.query.user for case in evaluation_set.cases] == [3, 3]
    assert [case.query.items.tolist() for case in evaluation_set.cases] == [[0, 1, 2, 0], [0]]
    assert evaluation_set.known.all()
    assert options.dropped_users == 1
