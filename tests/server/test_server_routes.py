"""Every route but the chat: the rails alone, the library, health, figures, the document, and what is not there."""

from __future__ import annotations

import json
import threading
from typing import Any

import httpx
import pytest
import schemathesis
from prometheus_client.parser import text_string_to_metric_families
from starlette.routing import Route

from guardrail import Guardrail
from guardrail.errors import GeneratorError
from guardrail.server import create_app, startup
from tests.server.served import PATIENCE, Words, ask, problem, served, settings

SECRET = "my cat is called Xanthippe"


def test_an_input_check_says_what_the_rails_say(default: httpx.Client) -> None:
    found = default.post("/v1/checks", json={"stage": "input", "text": "What is justice?"}).json()
    assert (found["decision"], found["intent"]["label"]) == ("pass", "question")
    assert "sentences" not in found
    assert {"rail", "stage", "decision", "outcome", "mode", "score", "findings", "latency_ms"} <= set(found["verdicts"][0])


def test_an_input_check_reads_the_last_message_of_a_conversation(plain: httpx.Client) -> None:
    conversation = [{"role": "user", "content": "hello"}, {"role": "assistant", "content": "Welcome."}, {"role": "user", "content": "The hemlock recipe?"}]
    assert plain.post("/v1/checks", json={"stage": "input", "messages": conversation}).json()["decision"] == "block"


def test_an_output_check_judges_each_sentence_against_the_passages(default: httpx.Client) -> None:
    text = "The soul has three parts. It was weighed at 21 grams in 1907."
    found = default.post(
        "/v1/checks", json={"stage": "output", "question": "What is the soul?", "text": text, "passages": ["A city has classes.", "The soul has three parts."]}
    ).json()
    assert found["decision"] != "pass"
    first, second = found["sentences"]
    assert text[first["start"] : first["end"]] == "The soul has three parts."
    assert first["passage"] == 1
    assert first["support"] > second["support"]


def test_an_output_check_runs_the_block_list(plain: httpx.Client) -> None:
    found = plain.post("/v1/checks", json={"stage": "output", "text": "This is top secret."}).json()
    assert found["decision"] == "block"
    assert [(finding["start"], finding["end"]) for finding in found["verdicts"][0]["findings"]] == [(8, 18)]


def test_retrieve_gives_passages_best_first(default: httpx.Client) -> None:
    passages = default.post("/v1/retrieve", json={"query": "the four causes", "persona": "aristotle", "k": 3}).json()["passages"]
    assert len(passages) == 3
    assert {passage["persona"] for passage in passages} == {"aristotle"}
    assert [passage["score"] for passage in passages] == sorted((passage["score"] for passage in passages), reverse=True)
    assert set(passages[0]) == {"id", "source_id", "title", "work", "locator", "persona", "text", "score", "start", "end"}


def test_retrieve_searches_only_the_works_that_were_named(default: httpx.Client) -> None:
    passages = default.post("/v1/retrieve", json={"query": "what is love", "works": ["Symposium"]}).json()["passages"]
    assert {passage["work"] for passage in passages} == {"Symposium"}


def test_retrieve_without_a_library_says_so(plain: httpx.Client) -> None:
    assert problem(plain.post("/v1/retrieve", json={"query": "love"}), 503)["code"] == "library_unavailable"


def test_a_model_shows_how_its_persona_greets(plain: httpx.Client) -> None:
    model = plain.get("/v1/models/plato").json()
    assert (model["object"], model["name"]) == ("model", "Plato")
    assert model["greeting"]
    assert model in plain.get("/v1/models").json()["data"]


def test_livez_says_alive(plain: httpx.Client) -> None:
    assert plain.get("/livez").json() == {"status": "alive"}


def test_readyz_is_503_with_a_reason_until_everything_is_loaded() -> None:
    generator = Words(loading=threading.Event())
    with served(create_app(Guardrail(settings(), generator=generator))) as address:
        before = httpx.get(f"{address}/readyz", timeout=PATIENCE)
        assert "still loading" in problem(before, 503)["message"]
        assert before.headers["retry-after"]
        assert generator.loading
        generator.loading.set()
        assert ask(address).status_code == 200  # waits for the loading
        assert httpx.get(f"{address}/readyz", timeout=PATIENCE).json()["status"] == "ready"


def test_readyz_says_why_the_start_failed() -> None:
    with served(create_app(Guardrail(settings(), generator=Words(unready=GeneratorError("The model is down."))))) as address:
        assert problem(ask(address), 503)["message"] == "The model is down."
        assert problem(httpx.get(f"{address}/readyz", timeout=PATIENCE), 503)["message"] == "The model is down."
        assert httpx.get(f"{address}/livez", timeout=PATIENCE).status_code == 200


def test_a_start_that_failed_is_tried_again_with_a_later_request(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(startup, "_PAUSE_SECONDS", 0.0)
    generator = Words(unready=GeneratorError("The model is down."))
    with served(create_app(Guardrail(settings(), generator=generator))) as address:
        problem(ask(address), 503)
        generator.unready = None
        assert ask(address).status_code == 200
        assert httpx.get(f"{address}/readyz", timeout=PATIENCE).status_code == 200


def test_a_stream_that_cannot_start_is_a_status_and_no_stream() -> None:
    with served(create_app(Guardrail(settings(), generator=Words(unready=GeneratorError("The model is down."))))) as address:
        assert problem(ask(address, stream=True), 503)["code"] == "generator_unavailable"


def figures(client: httpx.Client) -> dict[tuple[str, ...], float]:
    """Every sample: its name and the values of its labels."""
    response = client.get("/metrics")
    assert response.headers["content-type"].startswith("text/plain")
    return {
        (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(response.text)
        for sample in family.samples
    }


def test_metrics_count_requests_replies_and_verdicts(plain: httpx.Client) -> None:
    plain.post("/v1/chat/completions", json={"model": "plato", "messages": [{"role": "user", "content": "The hemlock recipe"}]})
    before = figures(plain)
    plain.post("/v1/chat/completions", json={"model": "plato", "messages": [{"role": "user", "content": "The hemlock recipe"}]})
    after = figures(plain)
    for key in (
        ("guardrail_requests_total", "/v1/chat/completions", "200"),
        ("guardrail_replies_total", "refusal", "plato"),
        ("guardrail_verdicts_total", "block", "keywords"),
    ):
        assert after[key] == before[key] + 1


def test_metrics_hold_no_text_of_a_user(plain: httpx.Client) -> None:
    plain.post("/v1/chat/completions", json={"model": "plato", "messages": [{"role": "user", "content": SECRET}]})
    plain.post("/v1/chat/completions", json={"model": "xanthippe", "messages": [{"role": "user", "content": SECRET}]})
    plain.get("/xanthippe")
    assert "anthippe" not in plain.get("/metrics").text


def test_callers_cannot_make_new_labels(plain: httpx.Client) -> None:
    def probe(number: int) -> None:
        plain.get(f"/{number}")
        plain.get(f"/v1/models/{number}")
        plain.get(f"/page/{number}")
        plain.post("/v1/chat/completions", json={"model": str(number), "messages": [{"role": "user", "content": "a"}]})
        plain.request(f"M{number}", "/livez")

    probe(0)
    before = set(figures(plain))
    for number in range(1, 5):
        probe(number)
    assert set(figures(plain)) == before


def test_the_document_is_valid_openapi_3_1(plain: httpx.Client) -> None:
    document = plain.get("/openapi.json").json()
    assert document["openapi"].startswith("3.1")
    schemathesis.openapi.from_dict(document).validate()


def test_every_route_stands_in_the_document(plain: httpx.Client, default_guard: Guardrail) -> None:
    routes = [route for route in create_app(default_guard)._router.routes if isinstance(route, Route)]
    served_paths = {(route.path, method.lower()) for route in routes for method in (route.methods or set()) - {"HEAD"}}
    described = {(path, method) for path, operations in plain.get("/openapi.json").json()["paths"].items() for method in operations}
    assert described == served_paths


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/chat/completions", {"model": "aristotle", "messages": [{"role": "user", "content": "What are the four causes?"}]}),
        ("/v1/moderations", {"input": "What is justice?"}),
        ("/v1/checks", {"stage": "input", "text": "What is justice?"}),
        ("/v1/checks", {"stage": "output", "text": "The soul has parts.", "passages": ["The soul has parts."]}),
        ("/v1/retrieve", {"query": "justice"}),
        ("/v1/models", None),
        ("/v1/models/plato", None),
        ("/livez", None),
        ("/readyz", None),
    ],
)
def test_replies_are_as_the_document_says(default: httpx.Client, path: str, body: dict[str, Any] | None) -> None:
    schema = schemathesis.openapi.from_dict(default.get("/openapi.json").json())
    default.post("/v1/moderations", json={"input": "loads the models"})
    response = default.get(path) if body is None else default.post(path, json=body)
    assert response.status_code == 200, response.text
    schema[path.replace("/plato", "/{id}")]["GET" if body is None else "POST"].validate_response(response)


@pytest.mark.parametrize("path", ["/v1", "/v1/chat", "/v1/chat/completions/", "/v2/models", "/docs", "/page"])
def test_what_is_not_there_is_a_404_in_the_envelope(plain: httpx.Client, path: str) -> None:
    assert problem(plain.get(path), 404)["code"] == "not_found"


@pytest.mark.parametrize(
    ("method", "path", "allowed"), [("GET", "/v1/chat/completions", {"POST"}), ("POST", "/v1/models", {"GET", "HEAD"}), ("DELETE", "/", {"GET", "HEAD"})]
)
def test_a_wrong_method_is_a_405_that_names_the_right_one(plain: httpx.Client, method: str, path: str, allowed: set[str]) -> None:
    response = plain.request(method, path)
    assert problem(response, 405)["code"] == "method_not_allowed"
    assert set(response.headers["allow"].split(", ")) == allowed


def test_the_decision_of_a_mistake_is_no_refusal(plain: httpx.Client) -> None:
    response = plain.post("/v1/chat/completions", content=json.dumps({"model": "plato"}), headers={"content-type": "application/json"})
    assert "x-guardrail-decision" not in response.headers


def test_passages_with_characters_that_do_not_show_are_held_against_an_answer_like_any_other(default: httpx.Client) -> None:
    passages = ["The so\u200bul has three parts, \u2211 and ﬁ\u202elve.", "ＡＢＣ " * 8 + "𝐒𝐨𝐮𝐥 ½ Ω≈ç√∫˜µ≤≥÷", "The soul has three parts."]
    found = default.post("/v1/checks", json={"stage": "output", "question": "q", "text": "The soul has three parts.", "passages": passages})
    assert found.status_code == 200
    assert found.json()["sentences"][0]["support"] > 0.5
