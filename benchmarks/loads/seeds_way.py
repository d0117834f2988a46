"""What this project was made to replace, as fair as can be: a process for each request, TensorFlow in it.

It imports TensorFlow, reads the whole encoder tables, builds four Keras models, and lets one after another `predict` the whole catalogue.
It has the shop, the version, the weights and the customer's history that recommend_api.py has, and leaves out what that does besides:
the shared signals, evidence, reasons. Each `predict` is a single batch.

python benchmarks/loads/seeds_way.py < request.json        DATABASE_URL and MODELS_DIR as for recommend_api.py
python benchmarks/loads/seeds_way.py --scores FILE.npz     also keep each model's logits of the whole catalogue
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
from recsys.networks import NETWORKS, Network, Shapes, UserBatch  # noqa: E402
from recsys.recommending.loading import (  # noqa: E402
    ModelBundle,
    load,
    resolve_items,  # noqa: E402
)
from recsys.recommending.user import load_user  # noqa: E402
from recsys.scorers.registry import MODELS, REGISTRY  # noqa: E402
from recsys.settings import load_settings  # noqa: E402

TABLES = ("rec_user_encoder_active", "rec_item_encoder_active", "rec_context_mapping_active", "rec_context_meta_active")


class Catalogue(keras.Model):
    """A network that knows who asks, over items."""

    def __init__(self, network: Network, asked: Query) -> None:
        super().__init__()
        self.network = network
        self.state = tuple(tf.reshape(part, (1, part.shape[-1])) for part in network.encode(past(asked)))

    def call(self, items: tf.Tensor) -> tf.Tensor:
        """Return logits `(b,)` of items `(b,)`."""
        return self.network.score(self.state, items[None])[0]


def past(asked: Query) -> UserBatch:
    """Return a question as the networks take it; a row without history holds one event of no weight."""
    items, weights = (
        (asked.items, asked.weights) if len(asked.items) else (np.zeros(1, np.int32), np.zeros(1, np.float32))
    )
    return UserBatch(
        users=tf.constant([asked.user], tf.int32),
        items=tf.constant(items[None], tf.int32),
        weights=tf.constant(weights[None], tf.float32),
        history_end=tf.constant([[len(asked.items) - 1]], tf.int32),
        contexts=tf.constant(asked.context[None, None], tf.int32),
        user_known=tf.ones((1, 1)),
    )


def keras_model(bundle: ModelBundle, name: str) -> Network:
    """Return one of the four with its published weights."""
    told = bundle.version.json(f"{name.lower()}_config.json")
    shapes = Shapes(
        **{
            **{key: value for key, value in told.items() if key != "model"},
            "context_sizes": tuple(told["context_sizes"]),
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
        sold = np.zeros(len(items), bool)
        sold[
            [
                items[str(row[0])]
                for row in db.query("SELECT id FROM Products WHERE statusId = 'S1'")
                if str(row[0]) in items
            ]
        ] = True
        shop, told = bundle.shop(settings.shop), resolve_items(request, bundle)
        user = load_user(request, bundle, db, resolve_items=told, shop=shop, now=int(time.time()))
        asked = replace(user, index=users.get(str(request.user_id), len(users))).query()
    laps["tables"] = time.perf_counter() - SINCE
    logits: dict[str, Any] = {}
    for name in MODELS:
        model = Catalogue(keras_model(bundle, name), asked)
        logits[name] = model.predict(np.arange(len(items), dtype=np.int32), batch_size=len(items), verbose=0)
        laps[name] = time.perf_counter() - SINCE
    if argv[:1] == ["--scores"]:
        np.savez(argv[1], **logits)
    numbered = {index: key for key, index in items.items()}
    best = {
        name: [numbered[index] for index in top_k(scores, request.limit, sold).tolist()]
        for name, scores in logits.items()
    }
    print(json.dumps({"ok": True, "user_id": request.user_id, "items": best, "seconds": laps}))
    return 0


def text(key: str | bytes) -> str:
    """Return an id as text; MySQL keeps them as bytes."""
    return key.decode() if isinstance(key, bytes) else str(key)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
