"""A local model that goes wrong, behind the server: what a visitor sees of it. A tiny real model is biased to write each fault."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import torch
from transformers import LogitsProcessor

from guardrail import Guardrail
from guardrail.generate.transformers import TransformersGenerator
from guardrail.sentences import spans
from guardrail.server import create_app
from guardrail.settings import RailSettings, Settings
from tests.server.served import PATIENCE, served
from tests.tiny_model import make_tiny_model

if TYPE_CHECKING:
    from collections.abc import Iterator

    from guardrail.protocols import Prompt

GERMAN = "Die Gerechtigkeit ist nicht nur eine Tugend, sondern auch das Gute, und wer sie hat, der ist ein guter Mensch, wie wir es von den Alten wissen. "
FAULTS = {
    "eos": ("<|endoftext|>", "empty"),
    "letters": ("</s>" * 60, "control_token"),
    "user": ("\nUser: and what is courage?\nAssistant: It is knowledge.", "speaks_for_user"),
    "words": ("no " * 80, "repetition"),
    "sentences": ("The soul moves itself for ever. " * 20, "repetition"),
    "machine": ("As an AI language model, I have no opinion of my own.", "out_of_persona"),
    "german": (GERMAN, "language"),
    "blank": (" \n" * 20, "empty"),
}
"""By a word of the question: what the model writes, and the fault that this is."""
ONCE, ALWAYS = "just this once", "again and again"


class Forced(LogitsProcessor):
    """Leaves one token possible at every step."""

    def __init__(self, tokens: list[int]) -> None:
        self._tokens = tokens

    def __call__(self, input_ids: torch.LongTensor, scores: torch.FloatTensor) -> torch.FloatTensor:
        token = self._tokens.pop(0) if len(self._tokens) > 1 else self._tokens[0]
        scores[:] = float("-inf")
        scores[0, token] = 0.0
        return scores


class Biased:
    """A constraint that makes the model write the fault that the question names: in its first draft, or in every draft."""

    def __init__(self) -> None:
        self.drafts: list[str] = []

    def __call__(self, prompt: Prompt, tokenizer: Any) -> LogitsProcessor:
        asked = prompt.evidence.question.text
        self.drafts.append(asked)
        wrong = ALWAYS in asked or self.drafts.count(asked) % 2 == 1
        if "prompt" in asked:
            text = prompt.messages[0].content
        else:
            passage = prompt.evidence.hits[0].passage.text
            start, end = spans(passage)[0]
            text = next(fault for word, (fault, _) in FAULTS.items() if word in asked) if wrong else passage[start:end]
        return Forced(tokenizer(text + "<|endoftext|>", add_special_tokens=False)["input_ids"])


BIAS = Biased()


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    folder = make_tiny_model(tmp_path_factory.mktemp("biased"), context=16_384)
    generator = TransformersGenerator(model=str(folder), constraint=BIAS)
    guard = Guardrail(Settings(rails=(RailSettings(id="grounding"), RailSettings(id="prompt_leak"))), generator=generator)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # the model is too small to share
    with served(create_app(guard)) as address, httpx.Client(base_url=address, timeout=PATIENCE) as client:
        yield client
    torch.set_num_threads(threads)


def ask(client: httpx.Client, text: str, *, stream: bool) -> tuple[str, dict[str, Any]]:
    """The text of the reply, and what guardrail says of it."""
    body = {"model": "plato", "messages": [{"role": "user", "content": text}], "stream": stream, "max_tokens": 300}
    if not stream:
        whole = client.post("/v1/chat/completions", json=body).raise_for_status().json()
        return whole["choices"][0]["message"]["content"], whole["guardrail"]
    shown = ""
    told: dict[str, Any] = {}
    with client.stream("POST", "/v1/chat/completions", json=body) as response:
        for line in response.iter_lines():
            if line.startswith("data: {"):
                event = json.loads(line.removeprefix("data: "))
                shown += "".join(choice["delta"].get("content") or "" for choice in event["choices"])
                told = event.get("guardrail") or told
    return shown, told


def kinds(told: dict[str, Any]) -> list[str]:
    return [finding["type"] for verdict in told["verdicts"] if verdict["rail"] == "generation" for finding in verdict["findings"]]


def spilt(written: str, text: str) -> bool:
    """Whether anything of what the model wrote wrongly is in the reply."""
    return any(line.strip()[:20] in text for line in written.split("\n") if line.strip())


@pytest.mark.parametrize(("word", "written", "kind"), [(word, *fault) for word, fault in FAULTS.items()], ids=FAULTS)
def test_a_draft_that_goes_wrong_is_written_once_more(client: httpx.Client, word: str, written: str, kind: str) -> None:
    text, told = ask(client, f"What is justice? {word}, {ONCE}", stream=True)
    assert kinds(told) == [kind]
    assert told["generator"] != "quotation"
    (citation,) = told["citations"]
    assert text.startswith(citation["text"][:20])
    assert not spilt(written, text)


@pytest.mark.parametrize(("word", "written", "kind"), [(word, *fault) for word, fault in FAULTS.items()], ids=FAULTS)
def test_a_model_that_always_goes_wrong_gives_way_to_quotation(client: httpx.Client, word: str, written: str, kind: str) -> None:
    text, told = ask(client, f"What is justice in the soul and in the city? {word}, {ALWAYS}", stream=False)
    assert kinds(told) == [kind, kind]
    assert told["generator"] == "quotation"
    assert told["citations"]
    assert not spilt(written, text)


def test_a_greeting_never_reaches_the_model(client: httpx.Client) -> None:
    before = len(BIAS.drafts)
    text, told = ask(client, "hello", stream=False)
    assert told["reply"] == "smalltalk"
    assert text
    assert len(BIAS.drafts) == before


@pytest.mark.parametrize("stream", [False, True])
def test_a_model_that_spills_its_prompt_is_stopped(client: httpx.Client, stream: bool) -> None:
    text, _ = ask(client, f"What is justice? prompt, {ALWAYS}", stream=stream)
    assert text.strip()
    assert "State only what the numbered passages say" not in text
    assert "You are Plato, in conversation with a visitor" not in text
