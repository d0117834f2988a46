"""Write the contract as JSON Schema into docs/schema/, for clients in other languages.

    python scripts/write_schema.py

A test compares the files with what this would write.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from recsys.contract.schema import request_schema, response_schema  # noqa: E402
from recsys.scorers import REGISTRY  # noqa: E402

FOLDER = ROOT / "docs" / "schema"


def schemas() -> dict[str, str]:
    """Return the text of each file by its name."""
    documents = {"request.json": request_schema(tuple(REGISTRY)), "response.json": response_schema()}
    return {name: json.dumps(document, indent=2) + "\n" for name, document in documents.items()}


def main(argv: list[str]) -> int:
    """Write the files; returns the exit status."""
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args(argv)
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, text in schemas().items():
        (FOLDER / name).write_text(text, encoding="utf-8")
        print(f"wrote {(FOLDER / name).relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
