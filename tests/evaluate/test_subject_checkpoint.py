"""A model folder by itself as a subject: asked as a deployment would ask it, decoded together, and its likelihoods."""

from __future__ import annotations

import asyncio
import shutil
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
import torch
from tokenizers.processors import TemplateProcessing
from transformers import AutoModelForCausalLM, AutoTokenizer

from guardrail.errors import ConfigurationError, GeneratorError
from guardrail.evaluate.subject import Ask, Continuation, Likelihood, Subject
from guardrail.evaluate.subjects import likelihood, passages
from guardrail.evaluate.subjects.checkpoint import CheckpointSubject
from guardrail.evaluate.subjects.embedded import EmbeddedSubject
from guardrail.generate import checkpoint
from guardrail.prompts import load_personas, load_templates
from guardrail.settings import GeneratorSettings, Settings
from guardrail.types import Message, Sampling
from tests.tiny_model import PLAIN, make_tiny_model

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

GREEDY = Sampling(temperature=0.0, max_tokens=12)
MUSEUM = "The town museum opens at nine on weekdays."


def said_to(text: str, *given: str, sampling: Sampling = GREEDY, persona: str | None = None) -> Ask:
    return Ask(messages=(Message(role="user", content=text),), passages=given, sampling=sampling, persona=persona)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model whose context holds the persona's system message."""
    return make_tiny_model(tmp_path_factory.mktemp("wide"), context=4096)


@pytest.fixture(scope="module")
def narrow(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One whose context does not."""
    return make_tiny_model(tmp_path_factory.mktemp("narrow"), context=512)


@pytest.fixture
async def subject(folder: Path) -> AsyncIterator[CheckpointSubject]:
    made = CheckpointSubject(folder)
    await made.start()
    yield made
    await made.aclose()


@pytest.fixture
async def small(narrow: Path) -> AsyncIterator[CheckpointSubject]:
    made = CheckpointSubject(narrow)
    await made.start()
    yield made
    await made.aclose()


async def test_it_is_a_subject_without_rails_that_tells_likelihoods(subject: CheckpointSubject) -> None:
    kept: Subject = subject
    assert isinstance(kept, Likelihood)
    assert subject.rails == ()
    assert subject.personas == ("plato", "aristotle")


async def test_it_is_asked_with_the_messages_of_a_deployment_without_a_library(subject: CheckpointSubject, folder: Path) -> None:
    said = await subject.reply(said_to("What is justice?"))
    card, template = load_personas()["plato"], load_templates()["open"]
    messages = template.render(persona=card, evidence=passages.evidence(said_to("What is justice?"), "plato", ()))
    assert messages[0].content.startswith("You speak as Plato")
    assert said.text == greedy(folder, messages, 12)
    assert said.generator == str(folder)


async def test_passages_are_rendered_as_a_deployment_with_a_library_would(subject: CheckpointSubject, folder: Path) -> None:
    asked = said_to("When does it open?", MUSEUM, persona="aristotle")
    card, template = load_personas()["aristotle"], load_templates()["grounded"]
    messages = template.render(persona=card, evidence=passages.evidence(asked, "aristotle", (MUSEUM,)))
    assert MUSEUM in messages[-1].content
    assert (await subject.reply(asked)).text == greedy(folder, messages, 12)


async def test_the_same_seed_says_the_same_and_another_says_something_else(subject: CheckpointSubject) -> None:
    hot = Sampling(temperature=1.0, max_tokens=24, seed=1)
    first, again, other = [await subject.reply(said_to("Hello", sampling=replace(hot, seed=seed))) for seed in (1, 1, 2)]
    assert first.text == again.text != other.text


async def test_many_at_once_get_what_each_would_get_alone(subject: CheckpointSubject) -> None:
    asks = [said_to(f"Question {'more ' * number}", sampling=Sampling(temperature=1.0, max_tokens=10, seed=number)) for number in range(12)]
    together = await asyncio.gather(*map(subject.reply, asks))
    assert [said.text for said in together] == [(await subject.reply(ask)).text for ask in asks]


async def test_a_model_that_goes_on_is_cut(subject: CheckpointSubject) -> None:
    said = await subject.reply(said_to("What is justice?", sampling=Sampling(temperature=0.0, max_tokens=5)))
    assert said.finish == "length"


async def test_an_unknown_persona_is_an_error_of_one_sentence(subject: CheckpointSubject) -> None:
    assert (await subject.reply(said_to("Hello", persona="kant"))).error == "There is no persona 'kant'; the personas are: plato, aristotle."


async def test_a_model_without_room_for_a_persona_speaks_as_nobody(small: CheckpointSubject, narrow: Path) -> None:
    asked = said_to("Hello")
    assert small.personas == ()
    assert (await small.reply(asked)).text == greedy(narrow, asked.messages, 12)


async def test_a_persona_can_be_left_out(folder: Path) -> None:
    plain = CheckpointSubject(folder, persona=False)
    await plain.start()
    asked = said_to("What is justice?")
    said = await plain.reply(asked)
    await plain.aclose()
    assert said.text == greedy(folder, asked.messages, 12)


async def test_the_template_that_a_model_was_trained_on_can_be_named(narrow: Path) -> None:
    asked = GeneratorSettings(template="brief")
    subject = CheckpointSubject(narrow, asked=asked)
    await subject.start()
    said = await subject.reply(said_to("When does it open?", MUSEUM))
    await subject.aclose()
    assert subject.personas == ("plato", "aristotle")
    messages = (Message(role="system", content="Plato"), Message(role="user", content=f"Passages: {MUSEUM} [1]\n\nWhen does it open?"))
    assert said.text == greedy(narrow, messages, 12)
    assert subject.fingerprint != CheckpointSubject(narrow).fingerprint


async def test_a_template_with_excerpts_shows_the_sentences_that_answer(narrow: Path) -> None:
    subject = CheckpointSubject(narrow, asked=GeneratorSettings(template="brief"))
    await subject.start()
    said = await subject.reply(said_to("When does it open?", f"Bees fly. Bees swarm. Bees sleep. {MUSEUM} Cats eat. Cats run."))
    await subject.aclose()
    shown = f"Passages: {MUSEUM} [1] Cats eat. [1]"
    messages = (Message(role="system", content="Plato"), Message(role="user", content=f"{shown}\n\nWhen does it open?"))
    assert said.text == greedy(narrow, messages, 12)


def test_an_unknown_template_is_said_at_once(narrow: Path) -> None:
    with pytest.raises(ConfigurationError, match="There is no template 'short'; the templates are: "):
        CheckpointSubject(narrow, asked=GeneratorSettings(template="short"))


async def test_what_sampling_leaves_open_is_as_the_settings_have_it(folder: Path) -> None:
    subject = CheckpointSubject(folder, asked=GeneratorSettings(temperature=0.0, max_tokens=6))
    await subject.start()
    said = await subject.reply(Ask(messages=(Message(role="user", content="Hello"),)))
    same = await subject.reply(said_to("Hello", sampling=Sampling(temperature=0.0, max_tokens=6)))
    await subject.aclose()
    assert (said.text, said.finish) == (same.text, "length")


async def test_passages_that_do_not_fit_are_left_out_from_the_end(folder: Path) -> None:
    plain = CheckpointSubject(folder, persona=False)
    await plain.start()
    many = await plain.reply(said_to("When does it open?", MUSEUM, "word " * 2000, "word " * 2000))
    one = await plain.reply(said_to("When does it open?", MUSEUM))
    await plain.aclose()
    assert many.error is None
    assert many.text == one.text


async def test_a_conversation_that_does_not_fit_is_an_error(small: CheckpointSubject) -> None:
    said = await small.reply(said_to("word " * 800))
    assert said.error is not None
    assert "the model reads 512" in said.error


async def test_the_same_model_behind_rails_is_an_embedded_subject(folder: Path) -> None:
    settings = Settings(generator=GeneratorSettings(kind="transformers", model=str(folder), max_tokens=8))
    railed = EmbeddedSubject.of(settings)
    await railed.start()
    said = await railed.reply(said_to("What is the allegory of the cave?"))
    await railed.aclose()
    assert said.error is None
    assert said.kind in {"answer", "abstention"}
    assert "grounding" in railed.rails


def test_no_folder_is_said_at_once(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="There is no model folder"):
        CheckpointSubject(tmp_path / "nowhere")


def test_the_fingerprint_follows_the_bytes_of_the_folder(narrow: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(narrow, tmp_path / "copy")
    before = CheckpointSubject(copy).fingerprint
    assert before == CheckpointSubject(narrow).fingerprint
    assert before != CheckpointSubject(narrow, persona=False).fingerprint
    with (copy / "config.json").open("a") as file:
        file.write(" ")
    assert CheckpointSubject(copy).fingerprint != before


# -- likelihood ---------------------------------------------------------------------------------------------------------


def greedy(folder: Path, messages: tuple[Message, ...], tokens: int) -> str:
    """What the model says, by transformers alone."""
    model: Any = AutoModelForCausalLM.from_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    text = tokenizer.apply_chat_template([{"role": m.role, "content": m.content} for m in messages], tokenize=False, add_generation_prompt=True)
    ids = tokenizer(text, add_special_tokens=False, return_tensors="pt")["input_ids"]
    ends: Any = tokenizer.convert_tokens_to_ids(["<|im_end|>", "<|endoftext|>", "<|im_start|>"])
    made = model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=tokens, do_sample=False, eos_token_id=ends, pad_token_id=ends[1])
    return str(tokenizer.decode(made[0, ids.shape[1] :], skip_special_tokens=True)).replace("\ufffd", "")


def nats(folder: Path, before: list[int], text: list[int]) -> list[float]:
    """Log-probabilities of `text` behind `before`, one forward pass for this row alone."""
    model = AutoModelForCausalLM.from_pretrained(folder)
    with torch.no_grad():
        told = model(torch.tensor([before + text])).logits[0].log_softmax(-1)
    return [float(told[len(before) + place - 1, token]) for place, token in enumerate(text)]


def ids(folder: Path, text: str) -> list[int]:
    found: list[int] = AutoTokenizer.from_pretrained(folder)(text, add_special_tokens=False)["input_ids"]
    return found


@pytest.mark.parametrize("kind", ["llama", "lfm2", "mistral"])
async def test_likelihoods_in_a_batch_are_those_of_each_row_alone(tmp_path: Path, kind: str) -> None:
    folder = make_tiny_model(tmp_path, kind=kind)  # type: ignore[arg-type] # one of the three
    rows = [
        ("The soul is", " the first actuality"),
        ("Virtue is knowledge, and nobody errs willingly, says Socrates, so", " it is"),
        ("", "Justice is harmony."),
    ]
    subject = CheckpointSubject(folder, persona=False)
    found = await subject.logprobs([Continuation(before=before, text=text) for before, text in rows])
    await subject.aclose()
    eos: Any = AutoTokenizer.from_pretrained(folder).eos_token_id
    for (before, text), told in zip(rows, found, strict=True):
        head = [eos, *ids(folder, before)]
        tail = ids(folder, before + text)[len(ids(folder, before)) :]
        assert told == pytest.approx(nats(folder, head, tail), abs=1e-4)


async def test_a_reply_is_read_behind_the_conversation_as_it_would_be_asked(subject: CheckpointSubject, folder: Path) -> None:
    messages = (Message(role="user", content="What is justice?"),)
    (told,) = await subject.logprobs([Continuation(before=messages, text="Justice is harmony.")])
    asked = load_templates()["open"].render(persona=load_personas()["plato"], evidence=passages.evidence(Ask(messages=messages), "plato", ()))
    assert told == pytest.approx(nats(folder, checkpoint.load(str(folder)).encode(asked), ids(folder, "Justice is harmony.")), abs=1e-4)


async def test_a_text_is_as_likely_in_two_steps_as_in_one(small: CheckpointSubject, narrow: Path) -> None:
    whole = "Plato, Aristotle and Socrates talk about virtue"
    first = whole[: whole.index(" Aristotle")]
    assert ids(narrow, first) + ids(narrow, whole[len(first) :]) == ids(narrow, whole)
    both, one, two = await small.logprobs(
        [Continuation(before="", text=whole), Continuation(before="", text=first), Continuation(before=first, text=whole[len(first) :])]
    )
    assert both == pytest.approx(one + two, abs=1e-4)


async def test_a_word_that_is_one_token_with_the_space_before_it_counts_for_the_text(small: CheckpointSubject) -> None:
    apart, joined = await small.logprobs([Continuation(before="Aristotle and", text=" Socrates"), Continuation(before="Aristotle and ", text="Socrates")])
    assert apart == joined


async def test_the_oldest_of_what_stands_before_is_left_out_where_it_is_too_long(small: CheckpointSubject, narrow: Path) -> None:
    before, text = "old " * 2000 + "The soul is", " the first"
    (told,) = await small.logprobs([Continuation(before=before, text=text)])
    tail = ids(narrow, text)
    assert told == pytest.approx(nats(narrow, ids(narrow, before)[-(512 - len(tail)) :], tail), abs=1e-4)


async def test_a_batch_may_be_cut_without_any_difference(small: CheckpointSubject, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [Continuation(before="The soul is", text=f" number {number} of {'many ' * number}") for number in range(9)]
    whole = await small.logprobs(rows)
    monkeypatch.setattr(likelihood, "_LOGITS", 1)
    for one, other in zip(await small.logprobs(rows), whole, strict=True):
        assert one == pytest.approx(other, abs=1e-4)


@pytest.mark.parametrize(
    ("before", "text", "sentence"),
    [
        ("The soul is", "", "is empty"),
        ("", "word " * 2000, "has no room in the model, which reads 512"),
        ((Message(role="user", content="word " * 2000),), "yes", "the model reads 512"),
        ((Message(role="user", content="word"),), "word " * 2000, "the model reads 512"),
    ],
)
async def test_what_cannot_be_told_is_one_clear_error(small: CheckpointSubject, before: tuple[Message, ...] | str, text: str, sentence: str) -> None:
    with pytest.raises(GeneratorError, match=sentence):
        await small.logprobs([Continuation(before=before, text=text)])


def test_a_tokenizer_that_begins_every_text_with_a_token_does_so_here(tmp_path: Path) -> None:
    folder = make_tiny_model(tmp_path, template=PLAIN)
    loaded = checkpoint.load(str(folder))
    tokenizer: Any = loaded.tokenizer
    begin = tokenizer.convert_tokens_to_ids("<|im_start|>")
    tokenizer.bos_token = "<|im_start|>"
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(single="<|im_start|> $A", special_tokens=[("<|im_start|>", begin)])
    (told,) = likelihood.logprobs(loaded, [("The soul", " is")])
    assert told == pytest.approx(nats(folder, [begin, *ids(folder, "The soul")], ids(folder, " is")), abs=1e-4)
