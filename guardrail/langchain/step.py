"""The rails as one step of a LangChain chain: what may pass goes on, what may not raises or becomes a polite word."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, TypeVar

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from langchain_core.prompt_values import PromptValue
from langchain_core.runnables import Runnable, RunnableConfig

from guardrail.langchain.conversation import spoken
from guardrail.objections import explained, masked, objections, stopping
from guardrail.rails.limits import plain

if TYPE_CHECKING:
    from collections.abc import Sequence

    from guardrail.assemble import Guardrail
    from guardrail.types import Check, Verdict

REFUSAL = "I am sorry, but I cannot help with that."

Given = TypeVar("Given", bound="str | BaseMessage | PromptValue | list[BaseMessage]")


class Blocked(Exception):
    """The rails let a text not pass. `check` holds their verdicts; the message holds nothing of the text."""

    def __init__(self, verdict: Verdict, check: Check) -> None:
        super().__init__(explained(verdict))
        self.check = check


class GuardrailStep(Runnable[Any, Any]):
    """Checks a text, a message, a prompt or a list of messages and passes it on, masked where a rail masks.

    `stage="input"`: the last message is checked as a user's, with the conversation before it. `stage="output"`: it is checked as an answer; with `passages`
    also against these. What is blocked raises Blocked, or with `refusal` becomes that text (a message where a message was given; for a prompt or a list, a
    message from the assistant).
    """

    def __init__(self, guard: Guardrail, *, stage: Literal["input", "output"] = "input", passages: Sequence[str] = (), refusal: str | None = None) -> None:
        self._guard = guard
        self._stage = stage
        self._passages = tuple(passages)
        self._refusal = refusal

    def invoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Any:  # noqa: A002 - LangChain's signature
        return self._call_with_config(lambda given: self._guard.run(self._checked(given)), input, config, run_type="guardrail", **kwargs)

    async def ainvoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Any:  # noqa: A002 - LangChain's signature
        return await self._acall_with_config(self._checked, input, config, run_type="guardrail", **kwargs)

    async def _checked(self, given: Any) -> Any:
        messages = _messages(given)
        last = str(messages[-1].text)
        if self._stage == "input":
            check = await self._guard.acheck_input(last if len(messages) == 1 else spoken(messages))
        else:
            question = next((str(message.text) for message in reversed(messages[:-1]) if isinstance(message, HumanMessage)), "")
            check = await self._guard.acheck_output(last, passages=self._passages, question=question)
        stopped = stopping(objections(check, grounded=bool(self._passages)))
        if stopped is None:
            return _with_text(given, masked(plain(last) if self._stage == "input" else last, check.masks)) if check.masks else given
        if self._refusal is None:
            raise Blocked(stopped, check)
        return self._refusal if isinstance(given, str) else _with_text(given, self._refusal) if isinstance(given, BaseMessage) else AIMessage(self._refusal)


def _messages(given: Any) -> list[BaseMessage]:
    if isinstance(given, str):
        return [HumanMessage(given)]
    if isinstance(given, BaseMessage):
        return [given]
    messages = given.to_messages() if isinstance(given, PromptValue) else given
    if not isinstance(messages, list) or not messages or not all(isinstance(message, BaseMessage) for message in messages):
        raise TypeError("A GuardrailStep takes a text, a message, a prompt or a list of messages, and one at least.")
    return messages


def _with_text(given: Any, text: str) -> Any:
    """`given` with `text` in the place of its last message's."""
    if isinstance(given, str):
        return text
    if isinstance(given, BaseMessage):
        return given.model_copy(update={"content": text})
    messages = _messages(given)
    return [*messages[:-1], messages[-1].model_copy(update={"content": text})]
