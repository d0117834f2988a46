"""The design that `recommend_api.py` is compared with: a process for each request that imports TensorFlow.

It reads the whole encoder tables, builds four Keras models, and predicts the whole catalogue with each. Shop, version,
weights and the user's history are those of `recommend_api.py`. In its favour, it has no shared features, evidence or
reasons, and each `predict` is a single batch.

DATABASE_URL and MODELS_DIR are set as for recommend_api.py; --scores also saves each model's logits of all items:

    python benchmarks/loads/tensorflow_per_request.py < request.json
    python benchmarks/loads/tensorflow_per_request.py --scores FILE.npz < request.json
"""

import os
import sys
import time

SINCE = time.perf_counter()
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.realpath(__file__))))
sys.path[0] = ROOT  # in place of this folder, which has modules of common names
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")

import json  # noqa: E402
from dataclasses import replace  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

import keras  # noqa: E402
import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402

from recsys import store  # noqa: E402
from recsys.contract import parse_request  # noqa: E402
from recsys.evaluation.ranking import top_k  # noqa: E402
from recsys.features.query import Query  # noqa: E402
from recsys.networks.base import Network, Shapes, UserBatch  # noqa: E402
from recsys.networks.fit import NETWORKS  # noqa: E402
from recsys.recommending.loading import ModelBundle, load  # noqa: E402
from recsys.recommending.user import load_user  # noqa: E402
from recsys.scorers.registry import MODELS, REGISTRY  # noqa: E402
from recsys.settings import load_settings  # noqa: E402

TABLES = ("rec_user_encoder_active", "rec_item_encoder_active", "rec_context_mapping_active", "rec_context_meta_active")


class Catalogue(keras.Model):
    """A network with the state of one user, as a function of items."""

    def __init__(self, network: Network, query: Query) -> None:
        super().__init__()
        self.network = network
        self.state = tuple(tf.reshape(part, (1, part.shape[-1])) for part in network.encode(user_batch(query)))

    def call(self, items: tf.Tensor) -> tf.Tensor:
        """Return logits `(b,)` of items `(b,)`."""
        return self.network.score(self.state, items[None])[0]


def user_batch(query: Query) -> UserBatch:
    """Return a query as a batch of one user; an empty history becomes one event with weight 0."""
    items, weights = (
        (query.items, query.weights) if len(query.items) else (np.zeros(1, np.int32), np.zeros(1, np.float32))
    )
    return UserBatch(
        users=tf.constant([query.user], tf.int32),
        items=tf.constant(items[None], tf.int32),
        weights=tf.constant(weights[None], tf.float32),
        history_end=tf.constant([[len(query.items) - 1]], tf.int32),
        contexts=tf.constant(query.context[None, None], tf.int32),
        user_known=tf.ones((1, 1)),
    )


def keras_model(bundle: ModelBundle, name: str) -> Network:
    """Return one of the four with its published weights."""
    config = bundle.version.json(f"{name.lower()}_config.json")
    shapes = Shapes(
        **{
            **{key: value for key, value in config.items() if key != "model"},
            "context_sizes": tuple(config["context_sizes"]),
        }
    )
    network = NETWORKS[name](shapes, seed=0)
    network.load_weights(bundle.version.file(f"{name.lower()}_model.weights.h5"))
    return network


def main(argv: list[str]) -> int:
    """Answer the request on stdin; returns the exit status."""
    laps = {"import": time.perf_counter() - SINCE}
    request = parse_request(sys.stdin.buffer.read(), models=tuple(REGISTRY))
    settings = load_settings(os.environ, Path(ROOT))
    bundle = load(settings.models_dir)
    with store.connect(settings.database_url) as db:
        whole = {table: db.query(f"SELECT * FROM {table}") for table in TABLES}  # noqa: S608 - our own names
        users, items = ({text(row[0]): int(row[1]) for row in whole[table]} for table in TABLES[:2])
        active = np.zeros(len(items), bool)
        active[
            [
                items[str(row[0])]
                for row in db.query("SELECT id FROM Products WHERE statusId = 'S1'")
                if str(row[0]) in items
            ]
        ] = True
        shop = replace(settings.shop, **bundle.rules)
        user = load_user(request, bundle, db, shop=shop, now=int(time.time()))
        query = user.query._replace(user=users.get(str(request.user_id), len(users)))
    laps["tables"] = time.perf_counter() - SINCE
    logits: dict[str, Any] = {}
    for name in MODELS:
        model = Catalogue(keras_model(bundle, name), query)
        logits[name] = model.predict(np.arange(len(items), dtype=np.int32), batch_size=len(items), verbose=0)
        laps[name] = time.perf_counter() - SINCE
    if argv[:1] == ["--scores"]:
        np.savez(argv[1], **logits)
    numbered = {index: key for key, index in items.items()}
    best = {
        name: [numbered[index] for index in top_k(scores, request.limit, active).tolist()]
        for name, scores in logits.items()
    }
    print(json.dumps({"ok": True, "user_id": request.user_id, "items": best, "seconds": laps}))
    return 0


def text(key: str | bytes) -> str:
    """Return an id as text; MySQL keeps them as bytes."""
    return key.decode() if isinstance(key, bytes) else str(key)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
