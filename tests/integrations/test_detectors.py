"""This server's rails as detectors, and a detector as one of its rails: both ends of the FMS detector API."""

from __future__ import annotations

import socket
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from aiohttp import web

from guardrail import Guardrail, Message
from guardrail.errors import ConfigurationError, RailError
from guardrail.frontier import Frontier, TextCheck
from guardrail.protocols import Claim, Screening
from guardrail.rails.remote import RemoteRail
from guardrail.server import create_app
from guardrail.settings import RailSettings
from guardrail.types import Evidence, Hit, Passage, Question, Request
from tests.server.served import PATIENCE, Words, served, settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

SECRET = "top secret"
KEY = "a detector's key"
ERROR = {"code", "message"}


@pytest.fixture(scope="module")
def detectors() -> Iterator[httpx.Client]:
    rails = (
        RailSettings(id="keywords", stage="input", options={"phrases": ["hemlock recipe"]}),
        RailSettings(id="keywords", stage="output", options={"phrases": [SECRET]}),
        RailSettings(id="keywords", stage="output", mode="shadow", options={"phrases": ["watched"]}),
    )
    app = create_app(Guardrail(settings(*rails, api_keys=(KEY,)), generator=Words()))
    with served(app) as address, httpx.Client(base_url=address, headers={"authorization": f"Bearer {KEY}"}, timeout=PATIENCE) as client:
        yield client


def contents(client: httpx.Client, *texts: str, detector: str | None = None, **params: Any) -> httpx.Response:
    headers = {"detector-id": detector} if detector is not None else {}
    return client.post("/api/v1/text/contents", json={"contents": texts, "detector_params": params}, headers=headers)


def test_each_content_has_a_list_of_its_own_detections(detectors: httpx.Client) -> None:
    text = "é😀 the Hemlock  recipe!"
    none, one = contents(detectors, "What is virtue?", text).json()
    assert none == []
    (detection,) = one
    assert detection["detection_type"] == "keywords"
    assert detection["score"] == 1.0
    assert text[detection["start"] : detection["end"]] == detection["text"] == "Hemlock  recipe"
    assert detection["evidence"] == detection["evidences"] == []


@pytest.mark.parametrize(
    ("detector", "found"), [(None, 0), ("guardrail", 0), ("guardrail-input", 0), ("guardrail-output", 1), ("keywords-output", 1), ("keywords", 0)]
)
def test_the_detector_id_says_which_rails_speak(detectors: httpx.Client, detector: str | None, found: int) -> None:
    assert len(contents(detectors, f"it is {SECRET}", detector=detector).json()[0]) == found


def test_the_parameters_may_say_the_stage(detectors: httpx.Client) -> None:
    assert len(contents(detectors, f"it is {SECRET}", stage="output").json()[0]) == 1


def test_a_rail_that_only_watches_is_reported_only_where_a_threshold_asks_for_it(detectors: httpx.Client) -> None:
    assert contents(detectors, "it is watched", stage="output").json() == [[]]
    assert len(contents(detectors, "it is watched", stage="output", threshold=0.5).json()[0]) == 1


@pytest.mark.parametrize("detector", ["nobody", "keywords-retrieval", "", "grounding"])
def test_an_unknown_detector_is_a_404_as_the_orchestrator_reads_it(detectors: httpx.Client, detector: str) -> None:
    answer = contents(detectors, "x", detector=detector)
    assert answer.status_code == answer.json()["code"] == 404
    assert set(answer.json()) == ERROR


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{", b'{"contents": []}', b'{"contents": "x"}', b'{"contents": ["x"], "detector_params": {"threshold": 7}}', b'{"contents": [null]}']
)
def test_a_bad_body_is_a_400_as_the_orchestrator_reads_it(detectors: httpx.Client, body: bytes) -> None:
    answer = detectors.post("/api/v1/text/contents", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == answer.json()["code"] == 400
    assert set(answer.json()) == ERROR


def test_a_text_over_the_limit_is_a_413(detectors: httpx.Client) -> None:
    assert contents(detectors, "x" * 20_000).status_code == 413


def test_a_key_is_wanted_here_too_and_may_come_as_x_api_key(detectors: httpx.Client) -> None:
    address = detectors.base_url
    body = {"contents": ["x"]}
    assert httpx.post(f"{address}/api/v1/text/contents", json=body, timeout=PATIENCE).status_code == 401
    assert httpx.post(f"{address}/api/v1/text/contents", json=body, headers={"x-api-key": "wrong"}, timeout=PATIENCE).status_code == 401
    assert httpx.post(f"{address}/api/v1/text/contents", json=body, headers={"x-api-key": KEY}, timeout=PATIENCE).status_code == 200


def test_a_conversation_that_ends_with_a_user_is_checked_as_input(detectors: httpx.Client) -> None:
    messages = [{"role": "assistant", "content": SECRET}, {"role": "user", "content": [{"type": "text", "text": "the hemlock recipe"}]}]
    (detection,) = detectors.post("/api/v1/text/chat", json={"messages": messages, "tools": [], "detector_params": {}}).json()
    assert detection["detection"] == "phrase"
    assert "start" not in detection


def test_a_conversation_that_ends_with_a_model_is_checked_as_output(detectors: httpx.Client) -> None:
    messages = [{"role": "user", "content": "the hemlock recipe"}, {"role": "assistant", "content": "No."}]
    assert detectors.post("/api/v1/text/chat", json={"messages": messages}).json() == []
    messages[1]["content"] = SECRET
    assert len(detectors.post("/api/v1/text/chat", json={"messages": messages}).json()) == 1


def test_what_a_tool_gave_is_checked_as_input(detectors: httpx.Client) -> None:
    messages = [{"role": "user", "content": "Look it up."}, {"role": "tool", "content": "the hemlock recipe", "tool_call_id": "1"}]
    assert len(detectors.post("/api/v1/text/chat", json={"messages": messages}).json()) == 1


def test_a_generation_is_checked_as_output(detectors: httpx.Client) -> None:
    assert len(detectors.post("/api/v1/text/generation", json={"prompt": "Tell me.", "generated_text": f"It is {SECRET}."}).json()) == 1
    assert detectors.post("/api/v1/text/generation", json={"prompt": "hemlock recipe", "generated_text": "No."}).json() == []


def test_addresses_are_not_fetched(detectors: httpx.Client) -> None:
    body = {"content": "x", "context_type": "url", "context": ["http://127.0.0.1/"]}
    assert detectors.post("/api/v1/text/context/doc", json=body).status_code == 400


def test_without_a_grounding_rail_nothing_compares_documents(detectors: httpx.Client) -> None:
    body = {"content": "x", "context_type": "docs", "context": ["y"]}
    assert detectors.post("/api/v1/text/context/doc", json=body).status_code == 404


def test_sentences_without_support_in_the_documents_are_detected(default_server: str) -> None:
    documents = ["A city has classes.", "The soul has three parts."]
    body = {"content": "The soul has three parts. It was weighed at 21 grams in 1907.", "context_type": "docs", "context": documents}
    found = httpx.post(f"{default_server}/api/v1/text/context/doc", json=body, headers={"detector-id": "grounding"}, timeout=PATIENCE).json()
    assert [item["evidence"][0]["value"] for item in found] == ["It was weighed at 21 grams in 1907."]
    assert found[0]["detection"] == "unsupported"
    assert found[0]["score"] > 0.5


def test_contents_without_passages_are_not_called_unsupported(default_server: str) -> None:
    body = {"contents": ["It was weighed at 21 grams in 1907."], "detector_params": {"stage": "output"}}
    assert httpx.post(f"{default_server}/api/v1/text/contents", json=body, timeout=PATIENCE).json() == [[]]


# -- the other end ----------------------------------------------------------------------------------------------------


def screening(text: str) -> Screening:
    return Screening(request=Request(id="1", persona="plato", messages=(Message(role="user", content=text),)), text=text, encoding=None)


def evidence(*texts: str) -> Evidence:
    request = Request(id="1", persona="plato", messages=(Message(role="user", content="?"),))
    place = {"source_id": "s", "title": "", "work": "", "locator": "", "persona": "", "start": 0}
    passages = [Passage(id=f"p{number}", text=text, end=len(text), **place) for number, text in enumerate(texts)]  # type: ignore[arg-type] # of two types
    hits = tuple(Hit(passage=passage, score=1, dense=1, late=1, coverage=1, tokens=None) for passage in passages)  # type: ignore[arg-type] # no rail here reads them
    return Evidence(question=Question(request=request, text="?"), hits=hits)


@asynccontextmanager
async def remote(detectors: httpx.Client, stage: Any = "input", **options: Any) -> AsyncIterator[RemoteRail]:
    rail = RemoteRail(stage, str(detectors.base_url), options.pop("detector", f"guardrail-{stage}"), api_key=KEY, timeout_seconds=PATIENCE, **options)
    try:
        yield rail
    finally:
        await rail.aclose()


@asynccontextmanager
async def answering(*answers: web.Response | float) -> AsyncIterator[tuple[str, list[web.Request]]]:
    """A detector that gives these answers one after the other, the last one for ever; a number is a silence in seconds."""
    asked: list[web.Request] = []

    async def answer(request: web.Request) -> web.StreamResponse:
        import asyncio

        asked.append(request)
        given = answers[min(len(asked), len(answers)) - 1]
        if isinstance(given, float):
            await asyncio.sleep(given)
            return web.json_response([[]])
        return web.Response(status=given.status, body=given.body, content_type=given.content_type)

    app = web.Application()
    app.router.add_post("/api/v1/text/contents", answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}", asked
    finally:
        await runner.cleanup()


def detection(**fields: Any) -> web.Response:
    return web.json_response([[{"start": 0, "end": 3, "text": "abc", "detection": "thing", "detection_type": "things", "score": 0.9} | fields]])


async def test_a_remote_detection_becomes_a_finding(detectors: httpx.Client) -> None:
    text = "Give me the hemlock recipe."
    async with remote(detectors) as rail:
        verdict = await rail.check(screening(text))
    assert (verdict.decision, verdict.score, verdict.rail_version) == ("block", 1.0, "guardrail-input")
    (finding,) = verdict.findings
    assert text[finding.start : finding.end] == "hemlock recipe"
    assert text not in str(verdict.reason)


async def test_a_text_without_detections_passes(detectors: httpx.Client) -> None:
    async with remote(detectors) as rail:
        assert (await rail.check(screening("What is virtue?"))).decision == "pass"
        assert (await rail.check(screening("  "))).decision == "pass"


async def test_passages_are_judged_each_and_named(detectors: httpx.Client) -> None:
    async with remote(detectors, "retrieval", detector="keywords") as rail:
        verdict = await rail.check(evidence("Virtue is knowledge.", "the hemlock recipe"))
    assert verdict.decision == "modify"
    assert [finding.passage for finding in verdict.findings] == ["p1"]


async def test_a_detector_that_misses_its_known_bad_text_does_not_warm_up(detectors: httpx.Client) -> None:
    async with remote(detectors, known_bad="hemlock recipe") as rail:
        await rail.warm_up()
    async with remote(detectors, known_bad="a nice day") as rail:
        with pytest.raises(RailError, match="known-bad"):
            await rail.warm_up()


async def test_a_detector_that_objects_to_everything_does_not_warm_up() -> None:
    async with answering(detection(end=15)) as (url, _):
        rail = RemoteRail("input", url, "d")
        with pytest.raises(RailError, match="harmless"):
            await rail.warm_up()
        await rail.aclose()


@pytest.mark.parametrize("unit", ["text", "sentence"])
async def test_no_character_of_what_a_detector_forbids_is_released_at_any_split(detectors: httpx.Client, unit: Any) -> None:
    before = "All is well. "
    text = f"{before}It is {SECRET} now. And on."
    allowed = before.strip() if unit == "sentence" else ""
    shown = set()
    async with remote(detectors, "output", unit=unit) as rail:
        for cut in range(len(text) + 1):
            frontier = Frontier(evidence(), judge=None, text_checks=(TextCheck(reach=rail.reach, check=rail.check, clearing=rail),))
            released = await frontier.push(text[:cut]) + await frontier.push(text[cut:], final=True)
            assert frontier.blocked is not None
            shown.add(released.strip())
    assert shown == {allowed}


@pytest.mark.parametrize("unit", ["text", "sentence"])
async def test_a_reply_that_is_let_pass_is_shown_whole_at_any_split(detectors: httpx.Client, unit: Any) -> None:
    text = "All is well. It is known now. And on"
    async with remote(detectors, "output", unit=unit) as rail:
        for cut in range(0, len(text) + 1, 3):
            frontier = Frontier(evidence(), judge=None, text_checks=(TextCheck(reach=rail.reach, check=rail.check, clearing=rail),))
            assert await frontier.push(text[:cut]) + await frontier.push(text[cut:], final=True) == text


@pytest.mark.parametrize("place", [{"start": 9, "end": 4}, {"start": -1}, {"end": 400}, {"start": 2, "end": 2}])
async def test_a_detection_at_an_impossible_place_counts_for_all_of_the_text(place: dict[str, int]) -> None:
    async with answering(detection(**place)) as (url, _):
        rail = RemoteRail("input", url, "d")
        (finding,) = (await rail.check(screening("abcdefghij"))).findings
        await rail.aclose()
    assert (finding.start, finding.end) == (0, 10)


@pytest.mark.parametrize(("score", "decision"), [(0.5, "block"), (0.49, "pass")])
async def test_the_threshold_decides(score: float, decision: str) -> None:
    async with answering(detection(score=score)) as (url, _):
        rail = RemoteRail("input", url, "d", threshold=0.5)
        verdict = await rail.check(screening("abcd"))
        await rail.aclose()
    assert (verdict.decision, verdict.score, verdict.threshold) == (decision, score, 0.5)


@pytest.mark.parametrize("status", [429, 502, 503, 504])
async def test_a_passing_failure_is_tried_again(status: int) -> None:
    async with answering(web.Response(status=status), detection()) as (url, asked):
        rail = RemoteRail("input", url, "d")
        assert (await rail.check(screening("abcd"))).decision == "block"
        await rail.aclose()
    assert len(asked) == 2


@pytest.mark.parametrize(
    "answer",
    [
        web.Response(status=404),
        web.Response(body=b"<html>"),
        web.json_response([]),
        web.json_response([[], []]),
        web.json_response({"detections": []}),
        web.json_response([[{}]]),
    ],
    ids=["404", "no json", "too few", "too many", "no list", "no score"],
)
async def test_an_answer_that_is_none_fails_and_is_not_tried_again(answer: web.Response) -> None:
    async with answering(answer) as (url, asked):
        rail = RemoteRail("input", url, "d", retries=3)
        with pytest.raises(RailError, match="The remote rail failed") as error:
            await rail.check(screening("my own words"))
        await rail.aclose()
    assert len(asked) == 1
    assert "my own words" not in str(error.value)


async def test_a_detector_that_is_silent_fails_in_time() -> None:
    async with answering(30.0) as (url, asked):
        rail = RemoteRail("input", url, "d", timeout_seconds=0.05, retries=1)
        with pytest.raises(RailError, match="did not answer"):
            await rail.check(screening("abcd"))
        await rail.aclose()
    assert len(asked) == 2


async def test_a_detector_that_is_not_there_fails() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    rail = RemoteRail("input", f"http://127.0.0.1:{port}", "d")
    with pytest.raises(RailError, match="cannot be reached"):
        await rail.check(screening("abcd"))
    await rail.aclose()


@pytest.mark.parametrize(("url", "detector"), [("127.0.0.1:80", "d"), ("ftp://host", "d"), ("http://host", " "), ("http://host", "a\r\nb")])
def test_a_wrong_address_or_id_is_refused(url: str, detector: str) -> None:
    with pytest.raises(ConfigurationError, match="remote"):
        RemoteRail("input", url, detector)


async def test_a_claim_is_judged_from_where_it_is_new(detectors: httpx.Client) -> None:
    text = f"It is {SECRET}. All is well."
    async with remote(detectors, "output", unit="sentence") as rail:
        assert (await rail.check(Claim(evidence=evidence(), text=text, start=18))).decision == "pass"
