"""Fill a tiny shop in a folder, train briefly and publish: `publish_tiny.py FOLDER`. Quality does not matter."""

import os
import sys
from dataclasses import replace
from pathlib import Path

os.environ.update(TF_CPP_MIN_LOG_LEVEL="3", TF_ENABLE_ONEDNN_OPTS="0", OPENBLAS_NUM_THREADS="1")
REPOSITORY = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPOSITORY))

import tensorflow as tf  # noqa: E402 - the path and the environment come first

from recsys.settings import Training  # noqa: E402
from recsys.training import train as training  # noqa: E402
from tests.helpers.tiny_shop import NOW, Quiet, fast_settings, fill, tiny_shop  # noqa: E402

BRIEFLY = Training(dim=4, epochs=1, batch=4096, window=4, learning_rate=0.05)
N_USERS = 24


def main(folder: Path) -> str | None:
    """Return an error message, or None."""
    url = f"sqlite:///{folder / 'shop.sqlite'}"
    fill(url, {name: [row for row in rows if row.get("userId", 0) < N_USERS] for name, rows in tiny_shop().items()})
    tf.config.run_functions_eagerly(True)  # tracing graphs takes longer than tiny fits
    settings = replace(fast_settings(url, folder / "models"), training=BRIEFLY)
    outcome = training.train(settings, now=NOW, progress=Quiet())
    return None if outcome.version else f"Nothing was published: {outcome}."


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
