"""Requests made from the API's own OpenAPI document, right and wrong ones: no 5xx, and answers as documented."""

from __future__ import annotations

import json
import urllib.request

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from online_api import listening, write_catalogue
from schemathesis import GenerationMode, checks

from lakehouse.events import PAYLOADS
from lakehouse.settings import Settings
from models.context.fields import FIELDS

CHECKS = [
    checks.not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_schema_conformance,
    checks.negative_data_rejection,
]


@pytest.fixture(scope="module")
def api_url(tmp_path_factory):
    """An API that has neither store nor model server: every answer is a degraded one."""
    folder = tmp_path_factory.mktemp("api")
    mine = Settings(lake=str(folder / "lake"), state=folder / "state", pseudonym_key="test", api_rate=0)
    write_catalogue(mine)
    with listening(mine, None) as url:
        yield url


@pytest.fixture(scope="module")
def api_schema(api_url):
    return schemathesis.openapi.from_url(f"{api_url}/openapi.json")


@pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda mode: mode.value)
def test_answers_are_as_documented(api_schema, mode):
    operations = [found.ok() for found in api_schema.get_all_operations()]
    assert len(operations) == 5
    for operation in operations:

        @given(case=operation.as_strategy(generation_mode=mode))
        @settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
        def ask(case):
            response = case.call()
            if not (case.path == "/ready" and response.status_code == 503):  # as documented without a model server
                case.validate_response(response, checks=CHECKS)

        if mode.is_positive or operation.method == "post":  # the others take nothing that could be wrong
            ask()


def test_the_document_knows_every_field_and_event(api_url):
    with urllib.request.urlopen(f"{api_url}/openapi.json", timeout=10) as answer:
        schemas = json.load(answer)["components"]["schemas"]
    assert list(schemas["Ask"]["properties"]["context"]["properties"]) == list(FIELDS)
    events = {name for name in schemas if name.endswith("Event")}
    assert len(events) == len(PAYLOADS)
    assert all("received_at" not in schemas[name]["required"] for name in events)
