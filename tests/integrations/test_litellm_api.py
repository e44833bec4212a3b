"""LiteLLM's generic guardrail API as LiteLLM calls it, without LiteLLM; and what stands in the way of a text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardrail import Guardrail
from guardrail.objections import explained, masked, objections, stopping
from guardrail.server import create_app
from guardrail.settings import RailSettings
from guardrail.types import Check, Finding, Verdict
from tests.server.served import PATIENCE, Words, served, settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PATH = "/beta/litellm_basic_guardrail_api"
SECRET = "the vault code is nine four two"


@pytest.fixture(scope="module")
def client() -> Iterator[httpx.Client]:
    rails = (
        RailSettings(id="keywords", stage="input", options={"phrases": ["hemlock recipe"]}),
        RailSettings(id="keywords", stage="output", options={"phrases": [SECRET]}),
        RailSettings(id="keywords", stage="output", on_fail="redact", options={"phrases": ["Xanthippe"]}),
        RailSettings(id="keywords", stage="output", mode="shadow", options={"phrases": ["watched only"]}),
    )
    with served(create_app(Guardrail(settings(*rails), generator=Words()))) as address, httpx.Client(base_url=address, timeout=PATIENCE) as made:
        yield made


def request(client: httpx.Client, *texts: str, **fields: Any) -> dict[str, Any]:
    """What is said of a request, as the proxy sends it."""
    return answer(client, {"input_type": "request", "texts": texts, "litellm_call_id": "1", "request_data": {}, "images": None, "tools": None} | fields)


def response(client: httpx.Client, *texts: str, **fields: Any) -> dict[str, Any]:
    return answer(client, {"input_type": "response", "texts": texts, "request_data": {}, "additional_provider_specific_params": {}} | fields)


def answer(client: httpx.Client, body: dict[str, Any]) -> dict[str, Any]:
    given = client.post(PATH, json=body)
    assert given.status_code == 200, given.text
    said: dict[str, Any] = given.json()
    return said


def test_what_may_pass_is_not_changed(client: httpx.Client) -> None:
    assert request(client, "What is virtue?") == {"action": "NONE"}
    assert response(client, "Virtue is knowledge.") == {"action": "NONE"}


def test_a_blocked_text_names_the_rail_and_nothing_of_the_text(client: httpx.Client) -> None:
    assert request(client, "What is virtue?", "the hemlock recipe") == {
        "action": "BLOCKED",
        "blocked_reason": "Stopped by the rail 'keywords': on the block list.",
    }
    assert response(client, f"It is {SECRET}.")["action"] == "BLOCKED"


@pytest.mark.parametrize("ask", [request, response])
def test_what_is_only_reported_is_not_masked_beside_what_is(ask: Callable[..., dict[str, Any]]) -> None:
    kinds = {"actions": {"email": "mask", "ip_address": "pass"}}
    rails = (RailSettings(id="personal_data", stage="input", options=kinds), RailSettings(id="personal_data", stage="output", options=kinds))
    with served(create_app(Guardrail(settings(*rails), generator=Words()))) as address, httpx.Client(base_url=address, timeout=PATIENCE) as client:
        assert ask(client, "Ask socrates@example.org at 203.0.113.7.")["texts"] == ["Ask [EMAIL] at 203.0.113.7."]
        assert ask(client, "Ask at 203.0.113.7.")["action"] == "NONE"


def test_texts_of_the_deployment_itself_are_not_screened(client: httpx.Client) -> None:
    rows: list[dict[str, Any]] = [{"role": role, "content": "the hemlock recipe"} for role in ("system", "developer", "assistant")]
    parts = [{"type": "text", "text": "What is"}, {"type": "image_url", "image_url": {"url": "x"}}, {"type": "text", "text": "virtue?"}]
    rows.append({"role": "user", "content": parts})
    texts = ["the hemlock recipe"] * 3 + ["What is", "virtue?"]
    assert request(client, *texts, structured_messages=rows) == {"action": "NONE"}


@pytest.mark.parametrize("role", ["user", "tool", "function", "somebody"])
def test_texts_of_anybody_else_are(client: httpx.Client, role: str) -> None:
    rows = [{"role": role, "content": "the hemlock recipe"}, {"role": "user", "content": "Go on."}]
    assert request(client, "the hemlock recipe", "Go on.", structured_messages=rows)["action"] == "BLOCKED"


def test_where_messages_and_texts_do_not_agree_every_text_is_screened(client: httpx.Client) -> None:
    rows = [{"role": "system", "content": "the hemlock recipe"}]
    assert request(client, "the hemlock recipe", "and more", structured_messages=rows)["action"] == "BLOCKED"


def test_a_phrase_spread_over_text_parts_is_found(client: httpx.Client) -> None:
    parts = {"role": "user", "content": [{"type": "text", "text": "the hemlock"}, {"type": "text", "text": "recipe"}]}
    assert request(client, "the hemlock", "recipe", structured_messages=[parts])["action"] == "BLOCKED"
    assert request(client, "Hello", "the hemlock", "recipe", structured_messages=[{"role": "user", "content": "Hello"}, parts])["action"] == "BLOCKED"


def test_what_a_rail_redacts_comes_back_redacted(client: httpx.Client) -> None:
    said = response(client, "Xanthippe, and Xanthippe.", "Nobody.")
    assert (said["action"], said["texts"]) == ("GUARDRAIL_INTERVENED", ["[PHRASE], and [PHRASE].", "Nobody."])


def test_a_rail_that_only_watches_changes_nothing(client: httpx.Client) -> None:
    assert response(client, "this is watched only.") == {"action": "NONE"}


@pytest.mark.parametrize("arguments", [f'{{"note": "{SECRET}"}}', {"note": SECRET}])
def test_the_arguments_of_tool_calls_are_checked(client: httpx.Client, arguments: Any) -> None:
    calls = [{"id": "1", "type": "function", "function": {"name": "note", "arguments": arguments}}]
    assert response(client, tool_calls=calls)["action"] == "BLOCKED"


@pytest.mark.parametrize("calls", [[], [None], [{}], [{"function": None}], [{"function": {"arguments": None}}], ["x"]])
def test_tool_calls_of_any_shape_are_taken(client: httpx.Client, calls: Any) -> None:
    assert response(client, tool_calls=calls) == {"action": "NONE"}


@pytest.mark.parametrize("text", ["x" * 20_000, "a\x00b"])
def test_what_cannot_be_checked_is_blocked_with_the_reason(client: httpx.Client, text: str) -> None:
    said = request(client, text)
    assert said["action"] == "BLOCKED"
    assert text not in said["blocked_reason"]


def test_nothing_to_check_passes(client: httpx.Client) -> None:
    assert request(client) == response(client) == request(client, "", " ") == {"action": "NONE"}


@given(cut=st.integers(0, len(SECRET)))
def test_what_may_become_forbidden_is_held_back_at_every_point_of_a_stream(client: httpx.Client, cut: int) -> None:
    before = "I was told this, but "
    said = response(client, before + SECRET[:cut])
    if cut == len(SECRET):
        assert said["action"] == "BLOCKED"
    else:
        (held,) = said.get("stream_holdback_chars", [0])
        assert held >= cut


def test_a_body_that_is_none_is_a_400(client: httpx.Client) -> None:
    assert client.post(PATH, json={"texts": []}).status_code == 400


# -- objections -----------------------------------------------------------------------------------------------------------


def verdict(decision: Any, *findings: Finding, rail: str = "pii", mode: Any = "enforce", reason: str | None = None) -> Verdict:
    return Verdict(rail=rail, rail_version="1", stage="output", decision=decision, mode=mode, findings=findings, reason=reason)


def check(*verdicts: Verdict) -> Check:
    return Check(decision="pass", intent=None, verdicts=verdicts)


def test_only_what_is_enforced_objects() -> None:
    blocks = verdict("block")
    assert objections(check(verdict("pass"), verdict("block", mode="shadow"), blocks), grounded=True) == (blocks,)


def test_grounding_speaks_only_where_there_are_passages() -> None:
    unsupported = verdict("abstain", rail="grounding")
    assert objections(check(unsupported), grounded=False) == ()
    assert stopping(objections(check(unsupported), grounded=True)) is unsupported


def test_what_can_be_masked_does_not_stop_a_text() -> None:
    assert stopping([verdict("modify")]) is None
    assert stopping([verdict("modify"), verdict("abstain")]) is not None


def test_an_explanation_holds_the_rails_fixed_phrase() -> None:
    assert explained(verdict("block", reason="on the block list")) == "Stopped by the rail 'pii': on the block list."
    assert explained(verdict("block")) == "Stopped by the rail 'pii'."


@given(text=st.text(alphabet="abc ", max_size=30), places=st.lists(st.tuples(st.integers(0, 30), st.integers(1, 8)), max_size=5))
def test_a_masked_text_holds_every_character_outside_of_the_findings_and_none_inside(text: str, places: list[tuple[int, int]]) -> None:
    spans = [(start, min(start + length, len(text))) for start, length in places if start < len(text)]
    findings = [Finding(type="x", start=start, end=end, score=1) for start, end in spans]
    covered = {place for start, end in spans for place in range(start, end)}
    kept = "".join(letter for place, letter in enumerate(text) if place not in covered)
    assert masked(text, findings).replace("[X]", "") == kept
