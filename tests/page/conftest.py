"""A real server on loopback and a real browser in front of it."""

from __future__ import annotations

import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import pytest
import uvicorn
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Locator, Page, sync_playwright
from starlette.types import ASGIApp

from guardrail import Guardrail
from guardrail.server import create_app

FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-first-run"]
PATIENCE_MS = 60_000  # models load with the first answer, on a machine that may be busy; only a test that fails waits as long


@contextmanager
def _served(app: ASGIApp) -> Iterator[str]:
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", ws="none", timeout_graceful_shutdown=1))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, name="page-server")
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive(), "the server ended before it had started"
            time.sleep(0.02)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/"
    finally:
        server.should_exit = True
        thread.join()
        listener.close()


Serve = Callable[[ASGIApp], AbstractContextManager[str]]


@pytest.fixture(scope="session")
def serve() -> Serve:
    """A context manager that gives the address of an app while it runs in a thread of its own."""
    return _served


@pytest.fixture(scope="session")
def address() -> Iterator[str]:
    """The embedded default, as a newcomer meets it."""
    with _served(create_app(Guardrail.default())) as found:
        yield found


# For a module, not the session: playwright's loop runs in this thread for as long as it lives, and other tests need loops of their own.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        pytest.fail("The tests of the page need a browser: install Debian's package `chromium`, or put a Chromium on the PATH.", pytrace=False)
    with sync_playwright() as playwright, playwright.chromium.launch(executable_path=chromium, args=FLAGS) as launched:
        yield launched


@dataclass
class Visit:
    """One visitor's window, and all that it asked for or complained of."""

    page: Page
    hosts: set[str] = field(default_factory=set)
    complaints: list[str] = field(default_factory=list)

    @property
    def turns(self) -> Locator:
        return self.page.locator(".conversation:visible .turn")

    @property
    def last(self) -> Locator:
        """The last reply."""
        return self.turns.last.locator(".reply")

    def hear(self, message: ConsoleMessage) -> None:
        """Note what the console shows. A failed request is reported there too; what the page makes of one is what some tests are about."""
        if message.type in {"error", "warning"} and "Failed to load resource" not in message.text:
            self.complaints.append(message.text)

    def choose(self, name: str) -> None:
        self.page.locator(".card", has_text=name).click()

    def send(self, text: str) -> None:
        self.page.fill("#question", text)
        self.page.press("#question", "Enter")

    def ask(self, text: str) -> Locator:
        """The whole reply to `text`."""
        count = self.turns.count()
        self.send(text)
        reply = self.turns.nth(count).locator(".reply")
        reply.and_(self.page.locator("[aria-busy=false]")).wait_for(timeout=PATIENCE_MS)
        return reply

    def sent(self, text: str) -> list[dict[str, str]]:
        """The messages that the page sends when `text` is asked, after the whole reply to it."""
        with self.page.expect_request("**/v1/chat/completions") as heard:
            self.ask(text)
        body = heard.value.post_data_json
        assert body is not None
        assert body["stream"] is True
        return list(body["messages"])


Visitor = Callable[..., Visit]


@pytest.fixture
def visitor(browser: Browser) -> Iterator[Visitor]:
    """Opens the page at an address, with any option of a playwright browser context.

    Afterwards it holds every visit to this: no script failed, the page's security policy was kept, and no other host was asked for anything.
    """
    visits: list[Visit] = []
    contexts: list[BrowserContext] = []

    def open_page(url: str, **options: Any) -> Visit:
        context = browser.new_context(**{"viewport": {"width": 1440, "height": 900}, **options})
        contexts.append(context)
        page = context.new_page()
        visit = Visit(page)
        visits.append(visit)
        page.on("request", lambda request: visit.hosts.add(urlsplit(request.url).netloc))
        page.on("pageerror", lambda error: visit.complaints.append(str(error)))
        page.on("console", visit.hear)
        page.goto(url)
        page.locator(".card").first.wait_for(timeout=PATIENCE_MS)
        return visit

    yield open_page
    hosts = [(visit.hosts, urlsplit(visit.page.url).netloc) for visit in visits]
    for context in contexts:
        context.close()
    assert [visit.complaints for visit in visits if visit.complaints] == []
    assert all(asked == {own} for asked, own in hosts), hosts
