"""Whether the HTTP service keeps to its own OpenAPI document, whatever it is asked: schemathesis against a running one.

    python benchmarks/fuzz_service.py [--examples N]

It uses what DATABASE_URL and MODELS_DIR name, which should be a trained shop of its own: events are tracked in it.
schemathesis is installed into a temporary environment, so it needs the network, and CI does not run it. It asks as the
shop and as an administrator, and ends with 1 where an answer is not in the document. Requests that the document allows
and the shop does not know, as a model that no version has, may be refused; trainings are not started.
"""

from __future__ import annotations

import argparse
import os
import secrets
import subprocess
import sys
import tempfile
import venv
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.loads.http_service import ServiceProcess  # noqa: E402

SCHEMATHESIS = "schemathesis==4.32.5"
DOCUMENT = ROOT / "docs/schema/openapi.json"
EXAMPLES = 100


def main(argv: Sequence[str]) -> int:
    """Run schemathesis with either key; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--examples", type=int, default=EXAMPLES, metavar="N", help="of each operation and phase (100)")
    flags = parser.parse_args(argv)
    keys = {"SERVICE_KEY": secrets.token_hex(32), "SERVICE_ADMIN_KEY": secrets.token_hex(32)}
    with tempfile.TemporaryDirectory() as folder:
        venv.create(folder, with_pip=True)
        subprocess.run([f"{folder}/bin/pip", "install", "-qq", SCHEMATHESIS], check=True)
        with ServiceProcess({**os.environ, **keys}, Path(folder) / "log") as service:
            return max(_fuzz(folder, service.port, key, flags.examples) for key in keys.values())


def _fuzz(folder: str, port: int, key: str, n_examples: int) -> int:
    command = [f"{folder}/bin/schemathesis", "run", str(DOCUMENT), "--url", f"http://127.0.0.1:{port}"]
    command += ["--header", f"Authorization: Bearer {key}", "--max-examples", str(n_examples)]
    command += ["--exclude-checks", "positive_data_acceptance", "--exclude-path", "/api/model/retrain"]
    return subprocess.run(command, cwd=folder, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
