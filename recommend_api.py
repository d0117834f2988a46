"""The entry point of serving: a JSON request on stdin, a JSON answer on stdout (docs/PROTOCOL.md)."""

import gc
import os
import sys

for threads in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"):
    os.environ[threads] = "1"  # before NumPy loads: the scorers run in threads of their own
if not sys.argv[1:]:
    gc.disable()  # one request leaves little garbage, and collecting it takes a tenth of the time; a worker does
sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))

from recsys.bridge.main import main  # noqa: E402 - the path comes first

if __name__ == "__main__":
    # The answer is written. A normal exit takes 20 ms for NumPy, and a hanging thread could delay it for ever.
    os._exit(main(sys.argv[1:]))
