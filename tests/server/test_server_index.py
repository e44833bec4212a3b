"""Servers over an index that changes under them."""

from __future__ import annotations

import json
import threading
import time
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from guardrail import Guardrail
from guardrail.index.builder import build
from guardrail.index.encoder import MiniLM
from guardrail.server import create_app
from guardrail.settings import LibrarySettings, Settings
from tests.server.served import PATIENCE, ask, served

if TYPE_CHECKING:
    from pathlib import Path

CAVE = "The prisoners in the cave see only shadows on the wall. They take these shadows for the things themselves."
LOVE = "Love is the desire to possess the good for ever. Diotima teaches Socrates this about love."
QUESTION = "What do the prisoners in the cave see?"
NEW_QUESTION = "What does Diotima teach about love?"


@pytest.fixture(scope="module")
def encoder() -> MiniLM:
    return MiniLM()


def write(folder: Path, **texts: str) -> None:
    """One document a text, by its work."""
    rows = [{"id": work.lower(), "title": work, "work": work, "locator": "1", "persona": "plato", "text": text} for work, text in texts.items()]
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.fixture
def library(tmp_path: Path, encoder: MiniLM) -> Path:
    write(tmp_path, Republic=CAVE)
    build([tmp_path / "rows.jsonl"], tmp_path / "index", encoder)
    return tmp_path


def guard(library: Path) -> Guardrail:
    return Guardrail(Settings(library=LibrarySettings(index=str(library / "index"), reload_seconds=0.05)))


def works(response: httpx.Response) -> list[str]:
    """The works that the answer cites."""
    assert response.status_code == 200, response.text
    cited: list[dict[str, Any]] = response.json()["guardrail"]["citations"]
    return sorted({citation["work"] for citation in cited})


def test_two_servers_answer_from_one_index(library: Path) -> None:
    with served(create_app(guard(library))) as first, served(create_app(guard(library))) as second:
        assert works(ask(first, QUESTION)) == works(ask(second, QUESTION)) == ["Republic"]


def test_both_of_two_servers_take_up_a_new_generation(library: Path, encoder: MiniLM) -> None:
    with served(create_app(guard(library))) as first, served(create_app(guard(library))) as second:
        assert works(ask(first, NEW_QUESTION)) == works(ask(second, NEW_QUESTION)) == []
        write(library, Republic=CAVE, Symposium=LOVE)
        build([library / "rows.jsonl"], library / "index", encoder)
        for address in (first, second):
            _until_it_cites(address, "Symposium")


def test_a_new_generation_is_taken_up_under_load_without_a_failed_request(library: Path, encoder: MiniLM) -> None:
    statuses: list[int] = []
    stop = threading.Event()

    def load(address: str, stream: bool) -> None:
        while not stop.is_set():
            response = ask(address, QUESTION, stream=stream)
            statuses.append(response.status_code if "error" not in response.text else 500)

    with served(create_app(guard(library))) as address:
        assert works(ask(address, QUESTION)) == ["Republic"]
        callers = [threading.Thread(target=load, args=(address, stream)) for stream in (False, True)]
        for caller in callers:
            caller.start()
        try:
            for round_ in range(3):  # each takes away what an earlier generation was read from
                write(library, Republic=CAVE, Symposium=LOVE if round_ == 2 else f"{LOVE} It was said in year {round_} of the feast.")
                build([library / "rows.jsonl"], library / "index", encoder)
            _until_it_cites(address, "Symposium")
        finally:
            stop.set()
            for caller in callers:
                caller.join(PATIENCE)
    assert set(statuses) == {200}


def test_a_passage_that_was_taken_out_answers_no_more(library: Path, encoder: MiniLM) -> None:
    write(library, Republic=CAVE, Symposium=LOVE)
    build([library / "rows.jsonl"], library / "index", encoder)
    with served(create_app(guard(library))) as address:
        _until_it_cites(address, "Symposium")
        write(library, Republic=CAVE)
        build([library / "rows.jsonl"], library / "index", encoder)
        end = time.monotonic() + PATIENCE
        while works(ask(address, NEW_QUESTION)):
            assert time.monotonic() < end, "it still answers from what is gone"
            time.sleep(0.05)


def test_a_damaged_new_generation_leaves_the_old_one_answering(library: Path, encoder: MiniLM) -> None:
    with served(create_app(guard(library))) as address:
        assert works(ask(address, QUESTION)) == ["Republic"]
        (library / "index" / "CURRENT").write_text("nonsense\n")
        time.sleep(0.3)  # several looks
        assert works(ask(address, QUESTION)) == ["Republic"]


def _until_it_cites(address: str, work: str) -> None:
    end = time.monotonic() + PATIENCE
    while work not in works(ask(address, NEW_QUESTION)):
        assert time.monotonic() < end, "the new passage never answered"
        time.sleep(0.05)
