"""The bridge's door: a JSON request on stdin, a JSON answer on stdout (docs/PROTOCOL.md)."""

import gc
import os
import sys

for threads in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"):
    os.environ[threads] = "1"  # before NumPy loads: the scorers run in threads of their own
if not sys.argv[1:]:
    # One request leaves little garbage, and looking for it takes a tenth of the process' time; a worker does look
    gc.disable()
sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))

from recsys.bridge.main import main  # noqa: E402 - the path comes first

if __name__ == "__main__":
    os._exit(
        main(sys.argv[1:])
    )  # the answer is out: tearing NumPy down takes 20 ms, and a hanging thread could keep it for ever
