"""The page's own reading of event streams and offsets, run in the browser it is meant for."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import expect

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from playwright.sync_api import Browser

    from tests.page.conftest import Visitor

STREAM = (
    "\ufeff: a comment\n"
    'data: {"text": "Ἡ ψυχή 🏛️"}\n\n'
    "event: error\r\ndata: first line\r\ndata:second line\r\n\r\n"
    "data\rdata:  two spaces lose one\r\r"
    "id: 7\nretry: 10\nevent: lonely\n\n"
    "data: [DONE]\n\n"
    "data: never finished"
)
EVENTS = [
    {"type": "message", "data": '{"text": "Ἡ ψυχή 🏛️"}'},
    {"type": "error", "data": "first line\nsecond line"},
    {"type": "message", "data": "\n two spaces lose one"},
    {"type": "message", "data": "[DONE]"},
]
IMPORT = "const { EventParser } = await import(new URL('page/stream.js', location.href).href); const bytes = Uint8Array.from(given);"


@pytest.fixture(scope="module")
def parsed(browser: Browser, address: str) -> Iterator[Callable[[str], Any]]:
    """Runs a script in the page over the bytes of STREAM."""
    page = browser.new_page()
    page.goto(address)
    given = list(STREAM.encode())
    yield lambda script: page.evaluate(f"async (given) => {{ {IMPORT} {script} }}", given)
    page.close()


def test_the_parser_reads_a_stream_as_the_standard_does(parsed: Callable[[str], Any]) -> None:
    assert parsed("return new EventParser().push(bytes);") == EVENTS


def test_the_parser_gives_the_same_events_for_every_pair_of_cuts(parsed: Callable[[str], Any]) -> None:
    script = """
      const seen = new Set();
      for (let one = 0; one <= bytes.length; one += 1) {
        for (let two = one; two <= bytes.length; two += 1) {
          const parser = new EventParser();
          const pieces = [bytes.subarray(0, one), bytes.subarray(one, two), bytes.subarray(two)];
          seen.add(JSON.stringify(pieces.flatMap((piece) => parser.push(piece))));
        }
      }
      return [...seen];
    """
    assert [json.loads(found) for found in parsed(script)] == [EVENTS]


def test_the_parser_gives_the_same_events_byte_by_byte(parsed: Callable[[str], Any]) -> None:
    assert parsed("const parser = new EventParser(); return [...bytes].flatMap((byte) => parser.push(Uint8Array.of(byte)));") == EVENTS


def test_offsets_count_code_points_so_that_marks_fall_on_the_right_words(visitor: Visitor, address: str) -> None:
    passage = "𐀀𐀁 Before 🏛️ the soul <b>is</b> immortal 𐀂, they say."
    support = "the soul <b>is</b> immortal 𐀂"
    statement = "👩‍👩‍👧 The soul <i>is</i> immortal."
    reply = f"🏺 Look: {statement} [1]\n\nAnd so on."
    start = 500
    citation = {
        "marker": "[1]",
        "passage_id": "p<1>",
        "title": "<u>Title</u>",
        "work": "Phaedo & more",
        "locator": "105e",
        "text": passage,
        "answer_start": reply.index(statement),
        "answer_end": reply.index(statement) + len(statement),
        "source_start": start + passage.index(support),
        "source_end": start + passage.index(support) + len(support),
        "passage_start": start,
        "score": 0.9,
    }
    guarded = {"reply": "answer", "citations": [citation], "sentences": [], "verdicts": [], "generator": "<b>model</b>", "decision": "pass"}
    chunks = [
        {"choices": [{"delta": {"role": "assistant", "content": ""}, "finish_reason": None}]},
        *({"choices": [{"delta": {"content": piece}, "finish_reason": None}]} for piece in (reply[:10], reply[10:])),
        {"choices": [{"delta": {}, "finish_reason": "stop"}], "guardrail": guarded},
    ]
    body = "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in chunks) + "data: [DONE]\n\n"
    visit = visitor(address)
    visit.page.route("**/v1/chat/completions", lambda route: route.fulfill(content_type="text/event-stream", body=body))
    shown = visit.ask("Is the soul immortal?")
    assert shown.locator(".words p").all_inner_texts() == [f"🏺 Look: {statement} [1]", "And so on."]
    shown.locator("button.marker").click()
    assert "".join(shown.locator(".statement.lit").all_inner_texts()) == statement
    panel = visit.page.locator("#passage")
    expect(panel.locator("mark")).to_have_text(support)
    expect(panel.locator(".passage-text")).to_have_text(passage)
    expect(panel.locator(".passage-heading")).to_have_text("<u>Title</u>")
    expect(panel.locator("b, u, i")).to_have_count(0)
