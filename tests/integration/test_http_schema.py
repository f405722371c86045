"""What schemathesis makes of the OpenAPI document, asked of a real daemon: no answer is a fault of the program."""

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from http_daemon import ask, prepared

# What is asked is another process; here run the thousands of lines that make up the questions.
pytestmark = pytest.mark.no_cover

LONG = ("/stream/{job_id}", "/{deployment_id}/stream", "/api/events")
EXAMPLES = 10


@pytest.fixture(scope="module")
def daemon(tmp_path_factory):
    made = prepared(tmp_path_factory.mktemp("schema") / "p")
    try:
        made.up()
        yield made
    finally:
        made.end()


@pytest.fixture(scope="module")
def api(daemon):
    return schemathesis.openapi.from_dict(ask(daemon, "GET", "/openapi.json")[1])


CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
def test_no_request_that_the_document_allows_or_forbids_is_a_fault_or_an_undocumented_answer(api, daemon, mode):
    asked = set()
    for found in api.get_all_operations():
        operation = found.ok()
        if operation.path.endswith(LONG):
            # They do not end; tests/integration/test_http_streams.py asks for them.
            continue
        asked.add(operation.label)
        try:
            cases = operation.as_strategy(generation_mode=mode)
            _asks(cases, daemon.about["url"])()
        except Unsatisfiable:
            # What takes nothing cannot be asked wrongly.
            assert mode is GenerationMode.NEGATIVE, operation.label
    assert len(asked) == 37


def _asks(cases, url):
    @settings(max_examples=EXAMPLES, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
    @given(cases)
    def ask_one(case):
        case.validate_response(case.call(base_url=url), checks=CHECKS)

    return ask_one
