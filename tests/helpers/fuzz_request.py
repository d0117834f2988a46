"""A check of the request parser for any bytes, and a search for bytes that fail it.

python tests/helpers/fuzz_request.py                  three minutes
python tests/helpers/fuzz_request.py --seconds 3600   an hour

The search needs atheris, which needs Linux or macOS: pip install atheris==3.0.0. It starts from the corpus of bad and
odd input. It ends with status 1 when bytes fail the check, and names the file that holds them.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

MODELS = ("ENCM", "LNCM", "NeuMF", "BMF", "blend", "ease", "item_cf", "popularity")
OPS = ("recommend", "similar", "together", "trending", "again", "ping", "stats", "reload")
CODES = ("invalid_json", "invalid_request", "too_large")
MOST_BYTES = 8192  # of a failure: `id` may have 512 bytes, each written as six
MARKS = ("{", "}", "[", "]", ":", ",", "null", "true", "1e999", "NaN", "-0", "\\ud800", "\\u0000", "\ufeff")


def check(data: bytes) -> str:
    """Read a request, check the result, and return the code of the failure, or `read`.

    Raises:
        AssertionError: The result is wrong.
    """
    from recsys.contract import failure, parse_request, request_id
    from recsys.errors import RecsysError

    id_ = request_id(data)
    try:
        request = parse_request(data, models=MODELS, ops=OPS)
    except RecsysError as error:
        assert error.code in CODES, error.code
        line = failure(error, id=id_)
        assert line.endswith(b"\n") and line.count(b"\n") == 1 and line.isascii() and len(line) <= MOST_BYTES
        document = json.loads(line)
        assert (document["ok"], document["error"]["code"], document.get("id")) == (False, error.code, id_)
        return error.code
    read_again = parse_request(json.dumps(asdict(request)).encode(), models=MODELS, ops=OPS)
    assert read_again == request, "a request should be read from its own fields"
    plain = json.loads(data.decode("utf-8-sig"))
    for name in ("user_id", "item_id", "id", "budget_ms"):
        assert getattr(request, name) == plain.get(name) and type(getattr(request, name)) is type(plain.get(name)), name
    assert request.id == id_
    return "read"


def seeds() -> list[bytes]:
    """Return the start of a search: every small case of the corpus."""
    from tests.helpers.corpus import cases

    return [case.data for case in cases().values() if len(case.data) < 4096]


def search(seconds: int, options: Sequence[str]) -> None:
    """Search for bytes that fail the check; libFuzzer ends the process."""
    import atheris

    with atheris.instrument_imports(include=["recsys.contract", "json"]):
        import recsys.contract.request  # noqa: F401 - its branches steer the search

    folder = Path(tempfile.mkdtemp(prefix="fuzz-request-"))
    (folder / "corpus").mkdir()
    for number, data in enumerate(seeds()):
        (folder / "corpus" / str(number)).write_bytes(data)
    words = [*MARKS, *_fields(), *MODELS, *OPS]
    (folder / "words").write_text("".join(f'"{_escaped(word)}"\n' for word in words), encoding="ascii")
    limits = [
        f"-max_total_time={seconds}",
        "-max_len=4096",
        "-timeout=5",
        "-rss_limit_mb=1024",
        f"-artifact_prefix={folder}/",
    ]
    atheris.Setup([sys.argv[0], str(folder / "corpus"), f"-dict={folder}/words", *limits, *options], _check)
    atheris.Fuzz()


def _check(data: bytes) -> None:
    check(data)


def _fields() -> list[str]:
    from recsys.contract.request import EVENT_CHECKS, FILTER_CHECKS, request_checks

    return [f'"{name}":' for name in (*request_checks(MODELS, OPS), *EVENT_CHECKS, *FILTER_CHECKS)]


def _escaped(word: str) -> str:
    return "".join(f"\\x{byte:02x}" for byte in word.encode())


def main(argv: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=180, metavar="N", help="default 180")
    flags, options = parser.parse_known_args(argv)  # libFuzzer has options of its own
    search(flags.seconds, options)


if __name__ == "__main__":
    main(sys.argv[1:])
