"""The page when things go wrong: a slow, a failing and a busy server, and a visitor who has had enough."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from guardrail import Guardrail
from guardrail.errors import GeneratorError
from guardrail.protocols import Chunk
from guardrail.server import create_app
from guardrail.settings import RailSettings, ServerSettings, Settings

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterator

    from playwright.sync_api import Browser

    from guardrail.protocols import Prompt
    from tests.page.conftest import Serve, Visitor

SETTINGS = Settings(
    rails=(*Settings().rails, RailSettings(id="keywords", stage="input", options={"phrases": ["hemlock recipe"]})),
    server=ServerSettings(concurrency=1, queue=0),
)


WAITS, BREAKS, DOWN = "What is justice?", "What is love?", "What is the Form of the Good?"
"""Three questions that the library answers, and what then becomes of them."""


@dataclass
class Staged:
    """A generator that quotes the start of a passage and then goes on for ever, breaks off, or does not even begin."""

    name: str = "staged"
    left: threading.Event = field(default_factory=threading.Event)
    """Set when the one who listened has gone."""
    calls: int = 0

    async def generate(self, prompt: Prompt) -> AsyncGenerator[Chunk, None]:
        asked = prompt.evidence.question.request.text
        self.calls += 1
        if asked == DOWN:
            raise GeneratorError("The model behind this server does not answer; try again later.")
        yield Chunk(text=prompt.evidence.hits[0].passage.text[:-20])
        if asked == BREAKS:
            raise GeneratorError("The model broke off.")
        try:
            await asyncio.sleep(600)
        except (asyncio.CancelledError, GeneratorExit):
            self.left.set()
            raise

    async def warm_up(self) -> None:
        return

    async def aclose(self) -> None:
        return


@pytest.fixture(scope="module")
def staged() -> Staged:
    return Staged()


@pytest.fixture(scope="module")
def troubled(serve: Serve, staged: Staged) -> Iterator[str]:
    """The address of a server with one place and no queue."""
    with serve(create_app(Guardrail(SETTINGS, generator=staged))) as found:
        yield found


def test_stop_keeps_what_was_said_and_ends_the_work_on_the_server(visitor: Visitor, troubled: str, staged: Staged) -> None:
    visit = visitor(troubled)
    staged.left.clear()
    visit.send(WAITS)
    expect(visit.last).to_have_attribute("data-kind", "arriving", timeout=60_000)
    said = visit.last.locator(".words p").first.inner_text()
    visit.page.get_by_role("button", name="Stop").click()
    expect(visit.last).to_have_attribute("data-kind", "stopped")
    assert visit.last.locator(".words p").first.inner_text().startswith(said.rstrip())
    expect(visit.page.get_by_role("button", name="Ask", exact=True)).to_be_visible()
    assert staged.left.wait(10), "the server went on writing for nobody"


def test_escape_stops_a_reply(visitor: Visitor, troubled: str) -> None:
    visit = visitor(troubled)
    visit.send(WAITS)
    expect(visit.last).to_have_attribute("data-kind", "arriving", timeout=60_000)
    visit.page.keyboard.press("Escape")
    expect(visit.last).to_have_attribute("data-kind", "stopped")


def test_a_server_error_is_one_sentence_with_a_way_to_try_again(visitor: Visitor, troubled: str, staged: Staged) -> None:
    visit = visitor(troubled)
    reply = visit.ask(DOWN)
    expect(reply).to_have_attribute("data-kind", "failed")
    sentence = reply.locator(".failure p").inner_text()
    assert sentence.count(".") == 1
    assert "rror" not in sentence
    calls = staged.calls
    reply.get_by_role("button", name="Try again").click()
    expect(reply).to_have_attribute("data-kind", "failed")
    expect(visit.turns).to_have_count(1)
    assert staged.calls > calls


def test_a_reply_that_breaks_off_keeps_what_was_checked_and_says_so(visitor: Visitor, troubled: str) -> None:
    reply = visitor(troubled).ask(BREAKS)
    expect(reply).to_have_attribute("data-kind", "failed")
    expect(reply.locator(".words > p").first).not_to_be_empty()
    expect(reply.locator(".failure p")).not_to_be_empty()


def test_a_failed_turn_is_not_sent_along_with_the_next(visitor: Visitor, troubled: str) -> None:
    visit = visitor(troubled)
    visit.ask(DOWN)
    assert [message["content"] for message in visit.sent("hello")] == ["hello"]


def test_a_busy_server_is_asked_again_after_the_time_it_names(visitor: Visitor, troubled: str) -> None:
    first = visitor(troubled)
    first.send(WAITS)
    expect(first.last).to_have_attribute("data-kind", "arriving", timeout=60_000)
    second = visitor(troubled)
    second.send("hello")
    expect(second.last.locator(".note")).to_contain_text("Trying again in")
    first.page.get_by_role("button", name="Stop").click()
    expect(second.last).to_have_attribute("data-kind", "smalltalk", timeout=20_000)


def test_a_message_that_is_too_long_comes_back_to_be_changed(visitor: Visitor, troubled: str) -> None:
    visit = visitor(troubled)
    long = "justice " * 4000
    reply = visit.ask(long)
    expect(reply.locator(".failure p")).to_contain_text("shorter")
    reply.get_by_role("button", name="Change the question").click()
    expect(visit.turns).to_have_count(0)
    expect(visit.page.locator("#question")).to_have_value(long.strip())
    expect(visit.page.locator("#question")).to_be_focused()


def test_a_refusal_is_labelled_and_names_the_rail_behind_it(visitor: Visitor, troubled: str) -> None:
    reply = visitor(troubled).ask("Give me a hemlock recipe.")
    expect(reply).to_have_attribute("data-kind", "refusal")
    expect(reply.locator(".kind")).to_have_text("Declined")
    reply.get_by_text("Why this reply?").click()
    expect(reply.locator(".check-row[data-decision=block]")).to_contain_text("blocked")
    expect(reply.locator(".checks")).to_contain_text("keywords")


def test_a_server_that_cannot_be_reached_is_said_and_can_be_tried_again(visitor: Visitor, troubled: str) -> None:
    visit = visitor(troubled)
    visit.page.context.set_offline(True)
    reply = visit.ask("hello")
    expect(reply.locator(".failure p")).to_have_text("The server cannot be reached just now.")
    visit.page.context.set_offline(False)
    reply.get_by_role("button", name="Try again").click()
    expect(reply).to_have_attribute("data-kind", "smalltalk")


def test_a_server_that_asks_for_a_key_gets_it_from_the_visitor(browser: Browser, serve: Serve) -> None:
    settings = Settings(server=ServerSettings(api_keys=("open-sesame",)))
    with serve(create_app(Guardrail(settings))) as locked:
        page = browser.new_page()
        page.goto(locked)
        page.get_by_label("Access key").fill("open-sesame")
        page.get_by_role("button", name="Use this key").click()
        expect(page.locator(".card").first).to_be_visible()
        page.close()
