"""OpenAPI is the contract: the document is the generated one, and its examples are answered as it says."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from recsys.service.__main__ import schema
from tests.helpers.http_service import ADMIN, KEY, HttpService, shop_of
from tests.helpers.tiny_shop import Published

PAGE = Path(__file__).resolve().parents[2] / "docs/schema/openapi.json"
DOCUMENT = json.loads(PAGE.read_text(encoding="utf-8"))
ROUTES = [(path, method) for path, methods in DOCUMENT["paths"].items() for method in methods]
NOT_REPLAYED = {"/api/model/retrain", "/jobs/{job_id}"}  # tests of jobs start them with stand-ins


@pytest.fixture(scope="module")
def service(published: Published, tmp_path_factory: pytest.TempPathFactory) -> Iterator[HttpService]:
    shop = shop_of(published, tmp_path_factory.mktemp("openapi"))
    with HttpService(shop, SERVICE_KEY=KEY, SERVICE_ADMIN_KEY=ADMIN) as service:
        yield service


def test_the_document_is_the_generated_one() -> None:
    assert PAGE.read_text(encoding="utf-8") == schema(), "python -m recsys.service --openapi > docs/schema/openapi.json"


@pytest.mark.parametrize(("path", "method"), ROUTES)
def test_each_example_is_answered_as_the_document_says(service: HttpService, path: str, method: str) -> None:
    if path in NOT_REPLAYED:
        return
    about = DOCUMENT["paths"][path][method]
    examples = {parameter["name"]: parameter for parameter in about.get("parameters", ()) if "example" in parameter}
    asked = path
    for name, parameter in examples.items():
        if parameter["in"] == "path":
            asked = asked.replace(f"{{{name}}}", str(parameter["example"]))
    query = {name: str(one["example"]) for name, one in examples.items() if one["in"] == "query"}
    options: dict[str, Any] = {"params": query}
    if "requestBody" in about:
        options["json"] = about["requestBody"]["content"]["application/json"]["example"]

    answer = service.ask(method.upper(), asked, key=ADMIN, **options)
    refused = service.ask(method.upper(), asked + "?no_such=1", key=ADMIN, content=b'{"no_such": 1}')

    [expected] = [status for status in about["responses"] if status.startswith("2")]
    assert answer.status_code == int(expected), answer.text
    content = about["responses"][expected].get("content", {})
    if "application/json" in content:
        conforms(answer.json(), content["application/json"]["schema"])
    if options != {"params": {}}:
        conforms(refused.json(), {"$ref": "#/components/schemas/Failure"})


@pytest.mark.parametrize(("path", "method"), ROUTES)
def test_every_route_says_what_it_does_and_how_it_fails(path: str, method: str) -> None:
    about = DOCUMENT["paths"][path][method]

    assert about["description"].endswith(".")
    assert {"400", "401", "403", "503"} <= set(about["responses"])


def conforms(document: object, schema: dict[str, Any]) -> None:
    jsonschema.validate(document, {**schema, "components": DOCUMENT["components"]})
