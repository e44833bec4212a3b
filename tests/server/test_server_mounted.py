"""The app inside another app, and two of them in one process."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urljoin

import httpx
import openai
import pytest
from fastapi import FastAPI

from guardrail import Guardrail
from guardrail.server import create_app
from guardrail.settings import LibrarySettings, PersonaSettings, RailSettings, ServerSettings, Settings
from tests.server.served import PATIENCE, TEXT, Words, ask, content, events, problem, served, settings

if TYPE_CHECKING:
    from collections.abc import Iterator

KEY = "sk-a-key"


@pytest.fixture(scope="module")
def host() -> Iterator[str]:
    """A FastAPI app with a route of its own, and two guardrails that differ in everything."""
    app = FastAPI()

    @app.get("/own")
    async def own() -> str:
        return "mine"

    only_plato = Settings(
        library=LibrarySettings(index=None),
        personas=PersonaSettings(allow=("plato",)),
        rails=(RailSettings(id="keywords", stage="input", options={"phrases": ["ambrosia"]}),),
        server=ServerSettings(api_keys=(KEY,)),
    )
    app.mount("/philosophers", create_app(Guardrail(settings(), generator=Words())))
    app.mount("/academy/", create_app(Guardrail(only_plato, generator=Words(text="Let no one ignorant of geometry enter."))))
    with served(app) as address:
        yield address


def test_a_mounted_app_answers(host: str) -> None:
    assert content(ask(f"{host}/philosophers")) == TEXT


def test_a_mounted_app_streams(host: str) -> None:
    found = events(ask(f"{host}/philosophers", stream=True).text)
    assert (found.text, found.done) == (TEXT, True)


def test_the_openai_client_works_with_a_mounted_app(host: str) -> None:
    with openai.OpenAI(base_url=f"{host}/philosophers/v1", api_key="none", max_retries=0) as client:
        reply = client.chat.completions.create(model="plato", messages=[{"role": "user", "content": "What is virtue?"}])
    assert reply.choices[0].message.content == TEXT


def test_a_mounted_page_finds_its_files(host: str) -> None:
    page = httpx.get(f"{host}/philosophers", follow_redirects=True, timeout=PATIENCE)
    assert page.status_code == 200
    assert 'src="page/app.js"' in page.text
    script = httpx.get(urljoin(str(page.url), "page/app.js"), timeout=PATIENCE)
    assert script.status_code == 200
    assert script.headers["content-type"].startswith("text/javascript")


def test_a_mounted_app_keeps_its_envelope(host: str) -> None:
    assert problem(httpx.get(f"{host}/philosophers/nothing", timeout=PATIENCE), 404)["code"] == "not_found"
    assert problem(httpx.get(f"{host}/philosophers/v1/chat/completions", timeout=PATIENCE), 405)["code"] == "method_not_allowed"
    assert problem(ask(f"{host}/philosophers", n=2), 400)["param"] == "n"


def test_a_mounted_app_knows_its_routes_by_name(host: str) -> None:
    httpx.get(f"{host}/philosophers/v1/models/plato", timeout=PATIENCE)
    assert 'guardrail_requests_total{route="/v1/models/{id}",status="200"}' in httpx.get(f"{host}/philosophers/metrics", timeout=PATIENCE).text


def test_a_mounted_app_asks_for_its_key(host: str) -> None:
    problem(ask(f"{host}/academy"), 401)
    assert content(ask(f"{host}/academy", headers={"authorization": f"Bearer {KEY}"})).startswith("Let no one")


def test_the_host_keeps_its_own_routes(host: str) -> None:
    assert httpx.get(f"{host}/own", timeout=PATIENCE).json() == "mine"


def test_two_apps_in_one_process_share_nothing(host: str) -> None:
    def blocked(path: str, text: str) -> bool:
        answer: str = ask(f"{host}{path}", text, headers={"authorization": f"Bearer {KEY}"}).json()["guardrail"]["decision"]
        return answer == "block"

    assert [blocked(path, text) for path in ("/philosophers", "/academy") for text in ("ambrosia", "hemlock recipe")] == [False, True, True, False]
    models = httpx.get(f"{host}/academy/v1/models", headers={"authorization": f"Bearer {KEY}"}, timeout=PATIENCE).json()["data"]
    assert [model["id"] for model in models] == ["plato"]


def test_two_apps_in_one_process_count_for_themselves(host: str) -> None:
    def refusals(path: str) -> float:
        lines = httpx.get(f"{host}{path}/metrics", timeout=PATIENCE).text.splitlines()
        return sum(float(line.split()[-1]) for line in lines if line.startswith("guardrail_replies_total{") and "refusal" in line)

    before = refusals("/philosophers"), refusals("/academy")
    ask(f"{host}/philosophers", "hemlock recipe")
    assert (refusals("/philosophers"), refusals("/academy")) == (before[0] + 1, before[1])
