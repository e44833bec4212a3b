"""The door: keys, origins, request ids, and what is written down about a request."""

from __future__ import annotations

import json
import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from guardrail import Guardrail
from guardrail.errors import GeneratorError
from guardrail.server import create_app
from guardrail.server.logs import JsonFormatter
from guardrail.settings import RailSettings
from tests.server.served import PATIENCE, TEXT, Words, ask, chat, content, problem, served, settings

if TYPE_CHECKING:
    from collections.abc import Iterator

KEYS = ("sk-first-key", "sk-second-key")
CANARY = "xylophone"


@contextmanager
def serving(generator: Words | None = None, **server: Any) -> Iterator[str]:
    with served(create_app(Guardrail(settings(**server), generator=generator or Words()))) as address:
        yield address


# -- keys -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def locked() -> Iterator[str]:
    """A server that asks for a key."""
    with serving(api_keys=KEYS) as address:
        yield address


@pytest.mark.parametrize("key", KEYS)
def test_each_key_opens(locked: str, key: str) -> None:
    assert content(ask(locked, headers={"authorization": f"Bearer {key}"})) == TEXT


WRONG: list[dict[str, str]] = [
    {},
    {"authorization": ""},
    {"authorization": "Bearer"},
    {"authorization": f"Bearer {KEYS[0][:-1]}"},
    {"authorization": f"Bearer {KEYS[0]}x"},
    {"authorization": KEYS[0]},
    {"authorization": f"Basic {KEYS[0]}"},
    {"x-api-key": KEYS[0]},
]


def test_every_wrong_key_gets_the_same_answer(locked: str) -> None:
    answers = [ask(locked, headers=headers | {"x-request-id": "same"}) for headers in WRONG]
    assert problem(answers[0], 401)["code"] == "invalid_api_key"
    assert answers[0].headers["www-authenticate"] == "Bearer"
    assert len({answer.content for answer in answers}) == 1
    assert len({tuple(sorted((name, value) for name, value in answer.headers.items() if name != "date")) for answer in answers}) == 1


@pytest.mark.parametrize("path", ["/v1/models", "/v1/models/plato", "/v1/nothing"])
def test_a_key_is_asked_for_before_anything_is_said(locked: str, path: str) -> None:
    problem(httpx.get(f"{locked}{path}", timeout=PATIENCE), 401)


def test_a_key_is_asked_for_before_the_body_is_read(locked: str) -> None:
    problem(httpx.post(f"{locked}/v1/checks", content=b"{", timeout=PATIENCE), 401)


@pytest.mark.parametrize("path", ["/", "/page/app.js", "/livez", "/readyz", "/metrics", "/openapi.json"])
def test_health_and_the_page_need_no_key(locked: str, path: str) -> None:
    ask(locked, headers={"authorization": f"Bearer {KEYS[0]}"})
    assert httpx.get(f"{locked}{path}", timeout=PATIENCE).status_code == 200


# -- origins --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def shared() -> Iterator[str]:
    """A server that pages of one other origin may call."""
    with serving(cors_origins=("https://friend.example",), api_keys=KEYS) as address:
        yield address


def preflight(address: str, origin: str) -> httpx.Response:
    headers = {"origin": origin, "access-control-request-method": "POST", "access-control-request-headers": "authorization,content-type"}
    return httpx.options(f"{address}/v1/chat/completions", headers=headers, timeout=PATIENCE)


def test_a_page_of_an_allowed_origin_may_call_with_a_key(shared: str) -> None:
    response = preflight(shared, "https://friend.example")
    assert response.status_code == 200
    assert response.headers["access-control-allow-origin"] == "https://friend.example"
    assert "authorization" in response.headers["access-control-allow-headers"]


def test_a_page_of_an_allowed_origin_may_read_the_decision(shared: str) -> None:
    response = ask(shared, headers={"origin": "https://friend.example", "authorization": f"Bearer {KEYS[0]}"})
    assert response.headers["access-control-allow-origin"] == "https://friend.example"
    assert "x-guardrail-decision" in response.headers["access-control-expose-headers"]


def test_a_page_of_an_allowed_origin_may_read_errors(shared: str) -> None:
    response = ask(shared, headers={"origin": "https://friend.example"})
    problem(response, 401)
    assert response.headers["access-control-allow-origin"] == "https://friend.example"


def test_a_page_of_another_origin_may_not(shared: str) -> None:
    assert "access-control-allow-origin" not in preflight(shared, "https://foe.example").headers
    assert "access-control-allow-origin" not in ask(shared, headers={"origin": "https://foe.example"}).headers


def test_no_origin_is_allowed_by_default(plain_server: str) -> None:
    assert preflight(plain_server, "https://friend.example").status_code == 405
    assert "access-control-allow-origin" not in ask(plain_server, headers={"origin": "https://friend.example"}).headers


# -- request ids ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("given", ["a", "2f6c-11.b_c:9", "x" * 128])
def test_a_sane_request_id_comes_back(plain_server: str, given: str) -> None:
    response = ask(plain_server, headers={"x-request-id": given})
    assert response.headers["x-request-id"] == given
    assert response.json()["id"] == f"chatcmpl-{given}"


@pytest.mark.parametrize("given", ["", "x" * 129, "-a", "a b", "a;b", 'a"b', "<script>", "ä".encode("latin-1")])
def test_a_bad_request_id_is_replaced(plain_server: str, given: str | bytes) -> None:
    made = ask(plain_server, headers={"x-request-id": given}).headers["x-request-id"]  # type: ignore[dict-item] # bytes are fine for the client
    assert len(made) == 24
    assert made.isalnum()


@pytest.mark.parametrize(("method", "path"), [("GET", "/"), ("GET", "/livez"), ("GET", "/nothing"), ("PUT", "/v1/models"), ("POST", "/v1/checks")])
def test_every_response_has_a_request_id_and_no_two_the_same(plain: httpx.Client, method: str, path: str) -> None:
    first, second = (plain.request(method, path).headers["x-request-id"] for _ in range(2))
    assert first != second


def test_a_stream_has_its_request_id_in_header_and_events(plain_server: str) -> None:
    response = ask(plain_server, stream=True, headers={"x-request-id": "mine"})
    assert response.headers["x-request-id"] == "mine"
    assert '"id":"chatcmpl-mine"' in response.text


# -- the log --------------------------------------------------------------------------------------------------------


class Lines(logging.Handler):
    """Keeps every line as it would be printed."""

    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(JsonFormatter())
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))

    @property
    def requests(self) -> list[dict[str, Any]]:
        return [line for line in map(json.loads, self.lines) if line["logger"] == "guardrail.access" and line["event"] == "request"]


@pytest.fixture
def logged() -> Iterator[Lines]:
    """What everything in this process logs, debug lines included."""
    handler, root, own = Lines(), logging.getLogger(), logging.getLogger("guardrail")
    levels = root.level, own.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    own.setLevel(logging.DEBUG)
    for name in ("httpx", "httpcore"):  # the test's own client
        logging.getLogger(name).setLevel(logging.WARNING)
    yield handler
    root.removeHandler(handler)
    root.setLevel(levels[0])
    own.setLevel(levels[1])


def test_by_default_no_line_holds_what_a_user_wrote(logged: Lines) -> None:
    generator = Words()
    with serving(generator) as address:
        ask(address, CANARY)
        ask(address, CANARY, stream=True)
        ask(address, f"{CANARY} hemlock recipe")
        ask(address, f"{CANARY}\x00")
        ask(address, CANARY, n=2, user=CANARY)
        httpx.post(f"{address}/v1/chat/completions", json=chat(CANARY) | {"model": CANARY}, timeout=PATIENCE)
        httpx.post(f"{address}/v1/checks", json={"stage": "input", "text": CANARY}, timeout=PATIENCE)
        httpx.post(f"{address}/v1/moderations", json={"input": CANARY}, timeout=PATIENCE)
        httpx.get(f"{address}/{CANARY}?q={CANARY}", headers={"x-request-id": f"-{CANARY}", "user-agent": CANARY}, timeout=PATIENCE)
        generator.error = GeneratorError("The model is down.")
        ask(address, CANARY)
    assert len(logged.requests) == 10
    assert CANARY not in "".join(logged.lines)


def test_a_bug_is_logged_with_its_place_and_without_what_the_user_wrote(logged: Lines) -> None:
    with serving(Words(echo_error=True)) as address:
        ask(address, CANARY, headers={"x-request-id": "mine"})
        ask(address, CANARY, stream=True)
    mistakes = [json.loads(line) for line in logged.lines if '"level":"error"' in line]
    assert [line["event"] for line in mistakes] == ["a request failed"] * 2
    assert mistakes[0]["request_id"] == "mine"
    assert "RuntimeError" in mistakes[0]["exception"]
    assert "served.py" in mistakes[0]["exception"]
    assert CANARY not in "".join(logged.lines)


def test_with_log_text_question_and_answer_are_logged(logged: Lines) -> None:
    with serving(log_text=True) as address:
        ask(address, CANARY)
        ask(address, CANARY, stream=True)
    assert [(line["asked"], line["answered"]) for line in logged.requests] == [(CANARY, TEXT)] * 2


def test_with_log_text_a_bug_is_logged_whole(logged: Lines) -> None:
    with serving(Words(echo_error=True), log_text=True) as address:
        ask(address, CANARY)
    assert any(f"RuntimeError: cannot write about {CANARY}" in json.loads(line).get("exception", "") for line in logged.lines)


def test_a_line_says_who_was_asked_what_came_of_it_and_how_long_it_took(logged: Lines) -> None:
    with serving() as address:
        ask(address, "hemlock recipe", headers={"x-request-id": "mine"}, stream=True)
    (line,) = logged.requests
    known = {name: line[name] for name in ("request_id", "method", "route", "status", "persona", "reply", "decision", "stream")}
    assert known == {
        "request_id": "mine",
        "method": "POST",
        "route": "/v1/chat/completions",
        "status": 200,
        "persona": "plato",
        "reply": "refusal",
        "decision": "block",
        "stream": True,
    }
    assert line["ms"]["total"] > 0
    assert line["tokens"]["prompt"] == 2


def test_a_line_names_the_error(logged: Lines) -> None:
    with serving() as address:
        ask(address, n=2)
        httpx.get(f"{address}/nothing", timeout=PATIENCE)
    assert [(line["status"], line["error"]) for line in logged.requests] == [(400, "invalid_request"), (404, "not_found")]


async def test_a_rail_that_failed_is_named_in_the_log(logged: Lines) -> None:
    from guardrail.enforcement import EnforcedRail
    from guardrail.rails.keywords import KeywordRail

    class Broken(KeywordRail):
        async def check(self, subject: object) -> Any:
            raise RuntimeError(CANARY)

    await EnforcedRail(Broken("input"), RailSettings(id="keywords", stage="input", on_error="open")).check(None)
    (line,) = [json.loads(line) for line in logged.lines if "rail failed" in line]
    assert (line["rail"], line["reason"]) == ("keywords", "failed with RuntimeError")
    assert CANARY not in "".join(logged.lines)
