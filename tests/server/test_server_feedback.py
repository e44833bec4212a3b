"""Feedback: what is kept, and what is turned away."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from guardrail import Guardrail
from guardrail.server import create_app
from guardrail.settings import FeedbackSettings
from tests.server.served import PATIENCE, Words, problem, served, settings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ASKED = [{"role": "user", "content": "What is justice?"}]
THUMB = {"kind": "thumb", "messages": ASKED, "reply": "Harmony.", "thumb": "up"}
REWRITE = {"kind": "rewrite", "messages": ASKED, "reply": "Power.", "rewrite": "Harmony."}
CHOICE = {"kind": "choice", "messages": ASKED, "replies": ["Harmony.", "Power."], "chosen": 0, "strength": 4, "rater": "anna"}


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("feedback") / "feedback.jsonl"


@pytest.fixture(scope="module")
def address(file: Path) -> Iterator[str]:
    guard = Guardrail(replace(settings(), feedback=FeedbackSettings(path=str(file))), generator=Words())
    with served(create_app(guard)) as address:
        yield address


def _send(address: str, body: Any) -> httpx.Response:
    return httpx.post(f"{address}/v1/feedback", json=body, timeout=PATIENCE)


@pytest.mark.parametrize("body", [THUMB, REWRITE, CHOICE], ids=["thumb", "rewrite", "choice"])
def test_each_kind_is_kept_as_it_was_sent(address: str, file: Path, body: dict[str, Any]) -> None:
    stored = _send(address, body).json()
    line = json.loads(file.read_text().splitlines()[-1])
    assert line["id"] == stored["id"]
    assert {key: line[key] for key in body} == body


def test_the_file_is_its_owner_s_alone(address: str, file: Path) -> None:
    assert file.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    ("body", "status", "param"),
    [
        (CHOICE | {"replies": ["Harmony.", "Harmony."]}, 400, "replies"),
        (REWRITE | {"rewrite": "Power."}, 400, "rewrite"),
        (CHOICE | {"chosen": 2}, 400, "chosen"),
        (CHOICE | {"replies": ["Harmony."]}, 400, "replies"),
        (CHOICE | {"strength": 5}, 400, "strength"),
        (THUMB | {"thumb": "sideways"}, 400, "thumb"),
        (THUMB | {"kind": "shrug"}, 400, "kind"),
        (THUMB | {"messages": []}, 400, "messages"),
        (THUMB | {"messages": [{"role": "assistant", "content": "Yes?"}]}, 400, "messages"),
        (THUMB | {"persona": "kant"}, 404, "persona"),
        (THUMB | {"reply": "x" * 20_000}, 413, "reply"),
        (THUMB | {"comment": "a\x00b"}, 422, "comment"),
    ],
)
def test_what_cannot_be_used_is_turned_away_with_its_field(address: str, file: Path, body: dict[str, Any], status: int, param: str | None) -> None:
    before = file.read_bytes()
    assert problem(_send(address, body), status)["param"] == param
    assert file.read_bytes() == before


def test_without_a_file_feedback_is_not_collected() -> None:
    with served(create_app(Guardrail(settings(), generator=Words()))) as address:
        assert problem(_send(address, THUMB), 404)["code"] == "feedback_not_collected"
