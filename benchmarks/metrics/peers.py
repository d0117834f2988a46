"""Adapters to other libraries: read lists as JSON from stdin, and write the metrics of one library as JSON to stdout.

    python benchmarks/metrics/peers.py NAME < lists.json

It runs in an environment with that library, and imports nothing of this project. A metric is a number, null for "not a
number", or the name of the exception. Metrics that a library lacks, and lists that it cannot take, are left out. The
first line of each docstring says which function is called; docs/METRICS.md shows it.
"""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from math import isnan
from typing import Any

Users = Sequence[Mapping[str, list]]
Figures = Mapping[str, Callable[[], Any]]
NAMES = {"precision": "Precision", "map": "MAP", "ndcg": "NDCG", "hit_rate": "HitRate", "recall": "Recall"}


def ranked(user: Mapping[str, list]) -> list[int]:
    """Return a user's items, best first; equal scores by ascending id."""
    return [item for _, item in sorted((-score, item) for item, score in enumerate(user["scores"], start=1))]


def labels(user: Mapping[str, list]) -> list[int]:
    """Return for each item of a user's list whether it is relevant."""
    return [int(item in user["relevant"]) for item in range(1, len(user["scores"]) + 1)]


def beyond(users: Users) -> bool:
    """Return whether a relevant item is in no list; libraries that take labels and scores cannot represent that."""
    return any(item > len(user["scores"]) for user in users for item in user["relevant"])


def mean(values: Sequence[float]) -> float:
    """Return the mean of the values as a float."""
    return float(sum(float(value) for value in values) / len(values))


def frames(users: Users, names: Sequence[str]) -> tuple[Any, Any]:
    """Return lists and relevant items as data frames; `names` are the columns of user, item, score and maybe rank."""
    import pandas as pd

    rows = [
        (n, item, user["scores"][item - 1], rank)
        for n, user in enumerate(users)
        for rank, item in enumerate(ranked(user), start=1)
    ]
    truth = [(n, item, 1.0) for n, user in enumerate(users) for item in user["relevant"]]
    return pd.DataFrame([row[: len(names)] for row in rows], columns=list(names)), pd.DataFrame(
        truth, columns=[*names[:2], "rating"]
    )


def pytrec_eval(users: Users, k: int) -> Figures:
    """RelevanceEvaluator.evaluate, averaged over its users; users without a relevant item get a judgement of 0."""
    import pytrec_eval

    names = {
        "precision": f"P_{k}",
        "map": f"map_cut_{k}",
        "ndcg": f"ndcg_cut_{k}",
        "hit_rate": f"success_{k}",
        "recall": f"recall_{k}",
    }
    truth = {str(n): {str(item): 1 for item in user["relevant"]} or {"1": 0} for n, user in enumerate(users)}
    run = {
        str(n): {str(i): score for i, score in enumerate(user["scores"], start=1)}
        for n, user in enumerate(users)
        if user["scores"]
    }
    results = pytrec_eval.RelevanceEvaluator(truth, set(names.values())).evaluate(run)
    return {figure: lambda name=name: mean([of[name] for of in results.values()]) for figure, name in names.items()}


def ir_measures(users: Users, k: int) -> Figures:
    """ir_measures.calc_aggregate; users without a relevant item get a judgement of 0."""
    import ir_measures
    from ir_measures import AP, P, R, Success, nDCG

    names = {"precision": P @ k, "map": AP @ k, "ndcg": nDCG @ k, "hit_rate": Success @ k, "recall": R @ k}
    truth = [
        ir_measures.Qrel(str(n), str(item), int(item in user["relevant"]))
        for n, user in enumerate(users)
        for item in {1, *user["relevant"]}
    ]
    run = [
        ir_measures.ScoredDoc(str(n), str(i), score)
        for n, user in enumerate(users)
        for i, score in enumerate(user["scores"], start=1)
    ]
    return {
        figure: lambda measure=measure: ir_measures.calc_aggregate([measure], truth, run)[measure]
        for figure, measure in names.items()
    }


def ranx(users: Users, k: int) -> Figures:
    """ranx.evaluate, `map@10` and so on."""
    from ranx import Qrels, Run, evaluate

    names = {"precision": "precision", "map": "map", "ndcg": "ndcg", "hit_rate": "hit_rate", "recall": "recall"}

    def of(name: str) -> float:
        truth = Qrels({str(n): {str(item): 1 for item in user["relevant"]} for n, user in enumerate(users)})
        lists = {
            str(n): {str(i): score for i, score in enumerate(user["scores"], start=1)} for n, user in enumerate(users)
        }
        return float(evaluate(truth, Run(lists), f"{name}@{k}"))

    return {figure: lambda name=name: of(name) for figure, name in names.items()}


def sklearn(users: Users, k: int) -> Figures:
    """sklearn.metrics: ndcg_score(k=10) and roc_auc_score, averaged over users."""
    from sklearn.metrics import ndcg_score, roc_auc_score

    if beyond(users):
        return {}
    return {
        "ndcg": lambda: mean([ndcg_score([labels(user)], [user["scores"]], k=k) for user in users]),
        "auc": lambda: mean([roc_auc_score(labels(user), user["scores"]) for user in users]),
    }


def torchmetrics(users: Users, k: int) -> Figures:
    """torchmetrics.retrieval with top_k=10; AUC without."""
    import torch
    from torchmetrics import retrieval

    if beyond(users):
        return {}
    scores = torch.tensor([score for user in users for score in user["scores"]])
    truth = torch.tensor([label for user in users for label in labels(user)])
    owners = torch.tensor([n for n, user in enumerate(users) for _ in user["scores"]])
    kinds = {
        "precision": retrieval.RetrievalPrecision(top_k=k),
        "map": retrieval.RetrievalMAP(top_k=k),
        "ndcg": retrieval.RetrievalNormalizedDCG(top_k=k),
        "hit_rate": retrieval.RetrievalHitRate(top_k=k),
        "recall": retrieval.RetrievalRecall(top_k=k),
        "auc": retrieval.RetrievalAUROC(),
    }
    return {figure: lambda metric=metric: metric(scores, truth, indexes=owners) for figure, metric in kinds.items()}


def rectools(users: Users, k: int) -> Figures:
    """rectools.metrics with k=10 and their defaults."""
    from rectools import Columns, metrics

    lists, truth = frames(users, [Columns.User, Columns.Item, Columns.Score, Columns.Rank])
    return {figure: lambda name=name: getattr(metrics, name)(k=k).calc(lists, truth) for figure, name in NAMES.items()}


def implicit(users: Users, k: int) -> Figures:
    """implicit.evaluation.ranking_metrics_at_k(K=10) of a model that returns the lists."""
    import numpy as np
    from implicit.evaluation import ranking_metrics_at_k
    from scipy.sparse import csr_matrix

    if beyond(users):
        return {}
    n_items = max(len(user["scores"]) for user in users)

    class Model:
        def recommend(self, userid: Any, user_items: Any, N: int = 10, **others: Any) -> tuple[Any, Any]:  # noqa: N803
            lists = [ranked(users[n])[:N] for n in userid]
            width = min(N, n_items)
            return np.array([np.subtract(items, 1)[:width] for items in lists], np.int32), np.zeros(
                (len(lists), width), np.float32
            )

    pairs = [(n, item - 1) for n, user in enumerate(users) for item in user["relevant"]]
    test = csr_matrix((np.ones(len(pairs)), tuple(zip(*pairs, strict=True))), shape=(len(users), n_items))
    train = csr_matrix((len(users), n_items))
    results = {}

    def of(name: str) -> float:
        if not results:
            results.update(
                ranking_metrics_at_k(Model(), train, test, K=min(k, n_items), show_progress=False, num_threads=1)
            )
        return results[name]

    return {figure: lambda figure=figure: of(figure) for figure in ("precision", "map", "ndcg", "auc")}


def recommenders(users: Users, k: int) -> Figures:
    """recommenders.evaluation.python_evaluation with k=10; auc over the pairs of all users."""
    from recommenders.evaluation import python_evaluation

    lists, truth = frames(users, ["userID", "itemID", "prediction"])
    names = {"precision": "precision_at_k", "map": "map_at_k", "ndcg": "ndcg_at_k", "recall": "recall_at_k"}
    marked = lists.assign(
        rating=[float(item in users[n]["relevant"]) for n, item in zip(lists["userID"], lists["itemID"], strict=True)]
    )
    found = {
        figure: lambda name=name: getattr(python_evaluation, name)(truth, lists, k=k) for figure, name in names.items()
    }
    return found if beyond(users) else {**found, "auc": lambda: python_evaluation.auc(marked, lists)}


def cornac(users: Users, k: int) -> Figures:
    """cornac.metrics with k=10, averaged over users with a relevant item, as ranking_eval does; its MAP has no k."""
    import numpy as np
    from cornac import metrics

    users = [user for user in users if user["relevant"]]
    kinds = {
        "precision": metrics.Precision(k=k),
        "ndcg": metrics.NDCG(k=k),
        "hit_rate": metrics.HitRatio(k=k),
        "recall": metrics.Recall(k=k),
        "auc": metrics.AUC(),
    }

    def of(metric: Any, user: Mapping[str, list]) -> float:
        items, scores = np.arange(1, len(user["scores"]) + 1), np.array(user["scores"])
        return metric.compute(
            gt_pos=np.array(user["relevant"], int), pd_rank=np.array(ranked(user)), item_indices=items, pd_scores=scores
        )

    return {
        figure: lambda metric=metric: mean([of(metric, user) for user in users])
        for figure, metric in kinds.items()
        if not (figure == "auc" and beyond(users))
    }


def replay(users: Users, k: int) -> Figures:
    """replay.metrics of data frames."""
    from replay import metrics

    lists, truth = frames(users, ["query_id", "item_id", "rating"])
    names = {**NAMES, "auc": "RocAuc"}
    return {
        figure: lambda name=name: next(iter(getattr(metrics, name)(k)(lists, truth).values()))
        for figure, name in names.items()
    }


def recpack(users: Users, k: int) -> Figures:
    """recpack.metrics of sparse matrices."""
    from recpack import metrics
    from scipy.sparse import csr_matrix

    n_items = max(item for user in users for item in (len(user["scores"]), *user["relevant"]))

    def matrix(cells: Sequence[tuple[int, int, float]]) -> Any:
        return csr_matrix(
            ([value for *_, value in cells], ([n for n, *_ in cells], [item - 1 for _, item, _ in cells])),
            shape=(len(users), n_items),
        )

    lists = matrix(
        [(n, item, score) for n, user in enumerate(users) for item, score in enumerate(user["scores"], start=1)]
    )
    truth = matrix([(n, item, 1.0) for n, user in enumerate(users) for item in user["relevant"]])
    names = {"precision": "PrecisionK", "ndcg": "NDCGK", "recall": "RecallK"}

    def of(name: str) -> float:
        metric = getattr(metrics, name)(k)
        metric.calculate(truth, lists)
        return metric.value

    return {figure: lambda name=name: of(name) for figure, name in names.items()}


def lenskit(users: Users, k: int) -> Figures:
    """lenskit.metrics with n=10, by RunAnalysis."""
    from lenskit.data import ItemList, ItemListCollection
    from lenskit.metrics import RunAnalysis
    from lenskit.metrics.ranking import NDCG, AveragePrecision, Hit, Precision, Recall

    kinds = {
        "precision": Precision(n=k),
        "map": AveragePrecision(n=k),
        "ndcg": NDCG(n=k),
        "hit_rate": Hit(n=k),
        "recall": Recall(n=k),
    }
    lists, truth = ItemListCollection(["user_id"]), ItemListCollection(["user_id"])
    for n, user in enumerate(users):
        truth.add(ItemList(list(user["relevant"])), user_id=n)
        if items := ranked(user):
            lists.add(ItemList(items, scores=[user["scores"][item - 1] for item in items], ordered=True), user_id=n)

    def of(metric: Any) -> float:
        analysis = RunAnalysis()
        analysis.add_metric(metric)
        return analysis.measure(lists, truth).list_metrics(fill_missing=True).mean().iloc[0]

    return {figure: lambda metric=metric: of(metric) for figure, metric in kinds.items()}


def keras_rs(users: Users, k: int) -> Figures:
    """keras_rs.metrics with k=10, ties in order."""
    import os

    os.environ["KERAS_BACKEND"] = "torch"
    import numpy as np
    from keras_rs import metrics

    if beyond(users) or len({len(user["scores"]) for user in users}) > 1:
        return {}
    truth, scores = (
        np.array(rows, np.float32) for rows in ([labels(user) for user in users], [user["scores"] for user in users])
    )
    names = {"precision": "PrecisionAtK", "map": "MeanAveragePrecision", "ndcg": "NDCG", "recall": "RecallAtK"}
    return {
        figure: lambda name=name: getattr(metrics, name)(k=k, shuffle_ties=False)(truth, scores)
        for figure, name in names.items()
    }


def recbole(users: Users, k: int) -> Figures:
    """recbole.evaluator with topk=[10] and metric_decimal_place=6, over users with a relevant item; GAUC."""
    import torch
    from recbole.config import Config
    from recbole.evaluator import Collector, Evaluator

    users = [user for user in users if user["relevant"]]
    if beyond(users) or len({len(user["scores"]) for user in users}) > 1:
        return {}
    names = {
        "precision": "Precision",
        "map": "MAP",
        "ndcg": "NDCG",
        "hit_rate": "Hit",
        "recall": "Recall",
        "auc": "GAUC",
    }
    scores = torch.tensor([[-torch.inf, *user["scores"]] for user in users])  # item 0 is padding
    pairs = [(n, item) for n, user in enumerate(users) for item in user["relevant"]]

    def of(name: str) -> float:
        wanted = {"metrics": [name], "topk": [k], "metric_decimal_place": 6, "use_gpu": False, "data_path": "."}
        config = Config(model="BPR", dataset="lists", config_dict=wanted)
        collector = Collector(config)
        collector.eval_batch_collect(scores, None, *(torch.tensor(column) for column in zip(*pairs, strict=True)))
        return next(iter(Evaluator(config).evaluate(collector.get_data_struct()).values()))

    enough = len(users[0]["scores"]) >= k  # its top k needs k items
    return {figure: lambda name=name: of(name) for figure, name in names.items() if enough or figure == "auc"}


PEERS = (
    *(pytrec_eval, ir_measures, ranx, sklearn, torchmetrics, keras_rs, rectools),
    *(implicit, recommenders, cornac, replay, recpack, lenskit, recbole),
)


def attempted(figure: Callable[[], Any]) -> float | str | None:
    """Return a figure rounded to six digits, None for "not a number", or the name of what it raised."""
    try:
        value = float(figure())
    except Exception as error:  # every exception of a library is recorded by name
        return type(error).__name__
    return None if isnan(value) else round(value, 6)


def main(name: str) -> int:
    """Print one library's figures."""
    warnings.simplefilter("ignore")
    given, peer = json.load(sys.stdin), {peer.__name__: peer for peer in PEERS}[name]
    found = {
        case: {figure: attempted(of) for figure, of in peer(users, given["k"]).items()}
        for case, users in given["cases"].items()
    }
    print(json.dumps(found))  # the last line: some libraries print too
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
