"""Write the contract as JSON Schema to docs/schema/, and the names of all models to docs/PROTOCOL.md.

    python scripts/write_schema.py

Tests compare the files with the output of this script.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from recsys.contract.schema import request_schema, response_schema  # noqa: E402
from recsys.errors.arguments import Parser  # noqa: E402
from recsys.scorers.registry import REGISTRY  # noqa: E402

FOLDER, PROTOCOL = ROOT / "docs" / "schema", ROOT / "docs" / "PROTOCOL.md"


def schemas() -> dict[str, str]:
    """Return the schemas' texts by file name."""
    documents = {"request.json": request_schema(tuple(REGISTRY)), "response.json": response_schema()}
    return {name: json.dumps(document, indent=2) + "\n" for name, document in documents.items()}


def protocol(page: str) -> str:
    """Return the page with the registry's names in the line that lists the models."""
    names = ", ".join(f"`{name}`" for name in REGISTRY)
    return re.sub(r"^Models: .*$", f"Models: {names}.", page, count=1, flags=re.MULTILINE)


def main(argv: list[str]) -> int:
    """Write the files; returns the exit status."""
    Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args(argv)
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, text in schemas().items():
        (FOLDER / name).write_text(text, encoding="utf-8")
        print(f"wrote {(FOLDER / name).relative_to(ROOT)}")
    PROTOCOL.write_text(protocol(PROTOCOL.read_text(encoding="utf-8")), encoding="utf-8")
    print(f"wrote {PROTOCOL.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
