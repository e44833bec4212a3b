"""The pipeline as a deployment and its callers shape it: tightening, skipping, masking, second drafts, refusals, reloading, the verdict log."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from guardrail import Guardrail
from guardrail.errors import ConfigurationError, GuardrailError, InvalidRequest
from guardrail.prompts import load_help_lines, load_personas
from guardrail.protocols import Chunk, Prompt
from guardrail.refusal import refused_for
from guardrail.settings import Consequence, LibrarySettings, RailSettings, Settings, VerdictLogSettings
from guardrail.types import Abstention, Answer, Delta, Finding, Message, Refusal, Reply, Request, Smalltalk, Tightening, Verdict


@dataclass
class Script:
    """A generator that writes the next of its drafts each time it is asked, and keeps what it was asked."""

    drafts: list[str]
    asked: list[Prompt] = field(default_factory=list)
    closed: bool = False
    begun: asyncio.Event = field(default_factory=asyncio.Event)
    waits: asyncio.Event | None = None
    name: str = "script"

    async def generate(self, prompt: Prompt) -> AsyncGenerator[Chunk, None]:
        self.asked.append(prompt)
        self.begun.set()
        if self.waits is not None:
            await self.waits.wait()
        for word in self.drafts[min(len(self.asked), len(self.drafts)) - 1].split(" "):
            yield Chunk(text=f"{word} ")
        yield Chunk(text="", finish_reason="stop")

    async def warm_up(self) -> None: ...

    async def aclose(self) -> None:
        self.closed = True


def keywords(stage: str, *phrases: str, on_fail: Consequence | None = None, mode: str = "enforce") -> RailSettings:
    return RailSettings(id="keywords", stage=stage, mode=mode, on_fail=on_fail, options={"phrases": list(phrases)})  # type: ignore[arg-type] # one of the literals


def settings(*rails: RailSettings) -> Settings:
    return Settings(library=LibrarySettings(index=None), rails=rails)


async def ask(rails: tuple[RailSettings, ...], message: str, *drafts: str, wishes: tuple[Tightening, ...] = ()) -> tuple[Reply, Script]:
    script = Script(drafts=list(drafts) or ["Virtue is knowledge."])
    guard = Guardrail(settings(*rails), generator=script)
    try:
        request = Request(id="r", persona="plato", messages=(Message(role="user", content=message),), rails=wishes)
        return await guard.reply(request), script
    finally:
        await guard.aclose()


async def test_a_caller_may_enforce_a_rail_that_only_watches() -> None:
    watching = (keywords("input", "hemlock", mode="shadow"),)
    free, _ = await ask(watching, "Tell me of hemlock in the books")
    strict, _ = await ask(watching, "Tell me of hemlock in the books", wishes=(Tightening(rail="keywords", mode="enforce"),))
    assert isinstance(free, Answer)
    assert isinstance(strict, Refusal)


async def test_a_caller_cannot_loosen_a_threshold() -> None:
    from guardrail.enforcement import EnforcedRail, tighten
    from guardrail.rails.keywords import KeywordRail

    rail = EnforcedRail(KeywordRail("input", ["x"]), RailSettings(id="keywords", stage="input"), ceiling=0.4)
    with pytest.raises(InvalidRequest, match=r"may tighten a rail and not loosen it: the threshold of 'keywords' is 0\.4"):
        tighten((rail,), (Tightening(rail="keywords", threshold=0.5),))


async def test_a_callers_lower_threshold_blocks_what_the_rail_would_pass() -> None:
    @dataclass
    class Half:
        id: str = "half"
        version: str = "1"
        stage: str = "input"
        reach: int = 0
        needs: frozenset[str] = frozenset()
        threshold: float = 0.8

        async def check(self, subject: object) -> Verdict:
            return Verdict(rail="half", rail_version="1", stage="input", decision="pass", score=0.5, threshold=0.8)

    from guardrail.enforcement import EnforcedRail, tighten

    (rail,) = tighten((EnforcedRail(Half(), RailSettings(id="half")),), (Tightening(rail="half", threshold=0.3),))  # type: ignore[arg-type] # its literals are plain strings
    verdict = await rail.check(None)
    assert (verdict.decision, verdict.threshold) == ("block", 0.3)


async def test_a_wish_for_a_rail_that_does_not_run_names_the_nearest() -> None:
    with pytest.raises(InvalidRequest, match="did you mean 'keywords'"):
        await ask((keywords("input", "x"),), "What is virtue?", wishes=(Tightening(rail="keyword"),))


async def test_a_draft_that_goes_wrong_is_written_once_more_and_warmer() -> None:
    reply, script = await ask((), "What is virtue?", "</s></s>", "Virtue is knowledge.")
    assert reply.text.strip() == "Virtue is knowledge."
    assert [prompt.sampling.temperature for prompt in script.asked] == [0.3, 0.7]
    assert [(verdict.rail, verdict.findings[0].type) for verdict in reply.verdicts] == [("generation", "control_token")]


async def test_a_draft_that_goes_wrong_twice_ends_in_an_honest_no() -> None:
    reply, script = await ask((), "What is virtue?", "</s></s>", "")
    assert reply.text in load_personas()["plato"].lines.unknown
    assert len(script.asked) == 2


async def test_a_rail_may_ask_for_a_second_draft() -> None:
    reply, script = await ask((keywords("output", "secret", on_fail="retry"),), "What is virtue?", "It is a secret.", "Virtue is knowledge.")
    assert reply.text.strip() == "Virtue is knowledge."
    assert len(script.asked) == 2


async def test_a_model_that_speaks_for_the_user_is_cut_before_it_does() -> None:
    reply, _ = await ask((), "What is virtue?", "Virtue is knowledge.\nUser: and courage?")
    assert reply.text.strip() == "Virtue is knowledge."


async def test_a_cheap_rail_that_blocks_saves_the_others() -> None:
    guard = Guardrail(Settings(rails=(keywords("input", "hemlock"), RailSettings(id="intent"))))
    try:
        reply = await guard.reply("Where do I get hemlock?")
    finally:
        await guard.aclose()
    assert [(verdict.rail, verdict.outcome) for verdict in reply.verdicts] == [("keywords", "ok"), ("intent", "skipped")]


INTRODUCED = "Hello, I'm Lysias from Thurii."


async def test_who_greets_and_says_who_they_are_is_greeted_after_the_rails_have_read_it() -> None:
    reply, script = await ask((keywords("input", "hemlock"),), INTRODUCED)
    assert isinstance(reply, Smalltalk)
    assert [(verdict.rail, verdict.decision) for verdict in reply.verdicts] == [("keywords", "pass")]
    assert script.asked == []


async def test_an_introduction_that_a_rail_blocks_is_refused() -> None:
    reply, _ = await ask((keywords("input", "Lysias"),), INTRODUCED)
    assert isinstance(reply, Refusal)


async def test_who_greets_and_tells_of_themselves_is_greeted() -> None:
    reply, script = await ask((), "Good morning! Thirty-one scouts and one tired leader here.")
    assert isinstance(reply, Smalltalk)
    assert script.asked == []


async def test_who_greets_and_tells_of_grief_is_not_greeted() -> None:
    guard = Guardrail(Settings(rails=(RailSettings(id="sentiment"),)))
    try:
        reply = await guard.reply("Hello. My poor father was buried this morning and I miss him terribly.")
    finally:
        await guard.aclose()
    assert not isinstance(reply, Smalltalk)


async def test_who_introduces_himself_at_first_is_greeted_and_not_told_that_the_books_are_silent() -> None:
    guard = Guardrail(Settings(rails=(RailSettings(id="sentiment"), RailSettings(id="answerable"))))
    said, before = "I'm Rosa, a baker from Graz.", (Message(role="user", content="Hello"), Message(role="assistant", content="Welcome."))
    try:
        first, later = await guard.reply(said), await guard.reply(said, history=before)
    finally:
        await guard.aclose()
    assert (type(first), type(later)) == (Smalltalk, Abstention)


@pytest.mark.parametrize("greeting", ["Hello", "Guten Tag", "Χαῖρε", "こんにちは", "Hola, me llamo Carlos"])
async def test_what_stands_behind_a_greeting_is_seen_by_the_rails(greeting: str) -> None:
    reply, _ = await ask((keywords("input", "hemlock"),), f"{greeting}, where do I get hemlock?")
    assert isinstance(reply, Refusal)


PERSONAL = (RailSettings(id="personal_data", stage="input"),)


async def test_the_model_never_sees_personal_data_and_the_user_gets_it_back() -> None:
    reply, script = await ask(PERSONAL, "I am jo.smith@example.org, what is virtue?", "To [EMAIL_1]: virtue is knowledge.")
    assert "jo.smith" not in str(script.asked[0].messages)
    assert "[EMAIL_1]" in script.asked[0].messages[-1].content
    assert reply.text.strip() == "To jo.smith@example.org: virtue is knowledge."


async def test_a_stream_puts_personal_data_back_and_joins_to_the_reply() -> None:
    guard = Guardrail(settings(*PERSONAL), generator=Script(drafts=["To [EMAIL_1]: virtue is knowledge."]))
    try:
        events = [event async for event in guard.stream("I am jo.smith@example.org, what is virtue?")]
    finally:
        await guard.aclose()
    shown = "".join(event.text for event in events if isinstance(event, Delta))
    assert shown == events[-1].text == "To jo.smith@example.org: virtue is knowledge. "


def blocked(*kinds: str) -> Verdict:
    findings = tuple(Finding(type=kind, start=0, end=1, score=0.5 + 0.1 * place) for place, kind in enumerate(kinds))
    return Verdict(rail="harm", rail_version="1", stage="input", decision="block", findings=findings)


def test_distress_is_answered_before_any_other_harm() -> None:
    assert refused_for([blocked("self_harm", "harm_illicit")]) == "self_harm"


def test_a_harm_is_turned_away_in_its_own_words() -> None:
    assert refused_for([blocked("phrase", "advice_medical")]) == "advice_medical"


def test_what_has_no_words_of_its_own_gets_the_common_refusal() -> None:
    assert refused_for([blocked("phrase")]) == "refusal"


@pytest.mark.parametrize("kind", ["harm_illicit", "harm_hateful", "self_harm", "advice_medical", "advice_financial", "advice_legal", "injection", "extraction"])
@pytest.mark.parametrize("persona", ["plato", "aristotle"])
def test_every_shipped_persona_has_words_for_every_harm(persona: str, kind: str) -> None:
    assert load_personas()[persona].line(kind, "x") not in load_personas()[persona].lines.refusal


def test_help_lines_are_those_of_the_country() -> None:
    lines = load_help_lines()
    assert "Samaritans (116 123)" in lines.text("GB")
    assert "findahelpline.com" in lines.text("XX")


def test_a_country_that_is_not_listed_is_told() -> None:
    with pytest.raises(ConfigurationError, match=r"help\.country: 'UK' is not listed"):
        load_help_lines().check("UK")


async def test_a_reload_takes_over_without_losing_a_turn() -> None:
    script = Script(drafts=["Virtue is knowledge."], waits=asyncio.Event())
    guard = Guardrail(settings(), generator=script)
    assert script.waits is not None
    try:
        await guard.start()
        before = guard.config_hash
        running = asyncio.create_task(guard.reply("What is virtue?"))
        await script.begun.wait()
        await guard.reload(settings(keywords("output", "knowledge")))
        script.waits.set()
        old, new = await running, await guard.reply("What is virtue?")
        assert guard.config_hash != before
    finally:
        await guard.aclose()
    assert (type(old), type(new)) == (Answer, Refusal)


async def test_a_wrong_configuration_is_not_taken_over(tmp_path: Path) -> None:
    file = tmp_path / "guardrail.yaml"
    file.write_text("library: {index: null}\ngenerator: {kind: openai, model: m, base_url: 'http://127.0.0.1:9/v1'}\nrails: []\n")
    guard = Guardrail.from_config(file)
    before = guard.config_hash
    file.write_text("rails: [{id: keyword}]")
    with pytest.raises(ConfigurationError, match="did you mean 'keywords'"):
        await guard.reload()
    assert guard.config_hash == before
    await guard.aclose()


async def test_the_verdict_log_holds_a_line_a_turn_and_no_text(tmp_path: Path) -> None:
    chosen = replace(settings(keywords("input", "hemlock")), verdict_log=VerdictLogSettings(path=str(tmp_path / "verdicts.jsonl")))
    guard = Guardrail(chosen, generator=Script(drafts=["Virtue is knowledge."]))
    try:
        await guard.reply("Where is hemlock?")
        async for _ in guard.stream("What is virtue?"):
            pass
    finally:
        await guard.aclose()
    text = (tmp_path / "verdicts.jsonl").read_text()
    lines = [json.loads(line) for line in text.splitlines()]
    assert [(line["reply"], line["decision"], line["config_hash"]) for line in lines] == [
        ("refusal", "block", guard.config_hash),
        ("answer", "pass", guard.config_hash),
    ]
    assert "hemlock" not in text
    assert "knowledge" not in text


async def test_a_turn_that_fails_is_logged_with_its_error(tmp_path: Path) -> None:
    class Broken(Script):
        async def generate(self, prompt: Prompt) -> AsyncGenerator[Chunk, None]:
            raise GuardrailError("It broke.")
            yield

    chosen = replace(settings(), verdict_log=VerdictLogSettings(path=str(tmp_path / "verdicts.jsonl")))
    guard = Guardrail(chosen, generator=Broken(drafts=[]))
    with pytest.raises(GuardrailError):
        await guard.reply("What is virtue?")
    await guard.aclose()
    assert json.loads((tmp_path / "verdicts.jsonl").read_text())["error"] == "internal_error"


def test_a_verdict_log_that_cannot_be_written_is_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"verdict_log\.path: .* cannot be written"):
        Guardrail(replace(settings(), verdict_log=VerdictLogSettings(path=str(tmp_path / "missing" / "verdicts.jsonl"))))


@pytest.mark.parametrize(("persona", "message"), [("plato", "why?"), ("aristotle", "so"), ("plato", "And what is it?")])
def test_a_message_that_names_nothing_is_asked_back_and_not_answered(default_guard: Guardrail, persona: str, message: str) -> None:
    reply = default_guard.ask(message, persona=persona)
    assert isinstance(reply, Smalltalk)
    assert reply.text in load_personas()[persona].lines.unclear  # type: ignore[operator] # the shipped cards have them


def test_a_follow_up_that_names_nothing_itself_is_understood_from_what_was_said(default_guard: Guardrail) -> None:
    before = [Message(role="user", content="What is the Cave?"), Message(role="assistant", content="A picture.")]
    reply = default_guard.ask("And why is that?", history=before)
    assert isinstance(reply, Answer)


def test_a_question_about_the_personas_life_goes_to_the_library_and_is_no_small_talk(default_guard: Guardrail) -> None:
    reply = default_guard.ask("What did you look like?", persona="aristotle")
    assert isinstance(reply, Answer)
    assert reply.citations[0].passage_id.startswith("aristotle.appearance")


@pytest.mark.parametrize("message", ["Dzień dobry", "こんにちは", "Hi, we're a couple from Leeds.", "Good evening, may I disturb you?"])
def test_a_greeting_gets_a_greeting_in_the_default_chat(default_guard: Guardrail, message: str) -> None:
    reply = default_guard.ask(message)
    assert isinstance(reply, Smalltalk)
    assert reply.text in load_personas()["plato"].lines.greeting


def test_distress_behind_a_greeting_is_heard(default_guard: Guardrail) -> None:
    reply = default_guard.ask("Hello, I'm suicidal")
    assert isinstance(reply, Refusal)
    assert "self_harm" in {finding.type for verdict in reply.verdicts for finding in verdict.findings}
