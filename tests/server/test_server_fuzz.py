"""Whatever is sent to any route of the document, the answer is one that the document knows: never a 500, and never none."""

from __future__ import annotations

import json
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import content_type_conformance, response_schema_conformance, status_code_conformance

from guardrail.server.openapi import document
from tests.server.served import PATIENCE

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
OPERATIONS = [found.ok() for found in schemathesis.openapi.from_dict(json.loads(document())).get_all_operations() if isinstance(found, Ok)]
RIGHT, WRONG = schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE
CASES = [(operation, mode) for operation in OPERATIONS for mode in (RIGHT, WRONG) if mode is RIGHT or operation.method == "post"]
"""Only a body can be wrong."""


@pytest.mark.parametrize(("operation", "mode"), CASES, ids=[f"{operation.label}-{mode.value}" for operation, mode in CASES])
@given(data=st.data())
@settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
def test_every_answer_is_one_that_the_document_knows(
    default_server: str, operation: schemathesis.APIOperation[Any, Any, Any, Any], mode: schemathesis.GenerationMode, data: st.DataObject
) -> None:
    case = data.draw(operation.as_strategy(generation_mode=mode))
    response = case.call(base_url=default_server, timeout=PATIENCE)
    case.validate_response(response, checks=CHECKS)
