"""The rails around the model of a LangChain v1 agent (`langchain.agents.create_agent`)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from langchain.agents.middleware import AgentMiddleware, hook_config
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage

from guardrail.errors import InvalidRequest
from guardrail.langchain.conversation import spoken
from guardrail.langchain.step import REFUSAL
from guardrail.objections import masked, objections, stopping
from guardrail.rails.limits import plain
from guardrail.types import Check

if TYPE_CHECKING:
    from collections.abc import Sequence

    from langchain.agents.middleware import AgentState
    from langchain_core.messages import BaseMessage
    from langgraph.runtime import Runtime

    from guardrail.assemble import Guardrail

_NOTHING = Check(decision="pass", intent=None, verdicts=())
"""What the rails say of a text without words."""
_OVERLAP = 400
"""Characters that two windows of a long text share."""
WITHHELD = "[The result of this tool was withheld: it holds instructions or contents that are not allowed.]"


class GuardrailMiddleware(AgentMiddleware[Any, Any, Any]):
    """Checks what goes into the model of an agent and what comes out of it.

    Before the model: the user's latest message, with the conversation, passes the input rails; what tools gave since the model last spoke passes these and the
    retrieval rails, as a passage of a library does. A user's message that is blocked ends the run with `refusal`; a tool's is withheld from the model and the
    run goes on. After the model: its text and the arguments of its tool calls pass the output rails, and with `grounded` its final text must rest on what the
    tools gave. A text that is blocked is replaced by `refusal`, its tool calls are dropped and the run ends. What a rail masks is masked.

    Tokens that an agent streams (`stream_mode="messages"`) leave before a middleware sees the message: where they are shown, let `ChatGuardrail` or a guarded
    server write them. Raises GuardrailError where a rail fails closed.
    """

    def __init__(self, guard: Guardrail, *, refusal: str = REFUSAL, grounded: bool = False) -> None:
        super().__init__()
        self._guard = guard
        self._refusal = refusal
        self._grounded = grounded

    @hook_config(can_jump_to=["end"])
    def before_model(self, state: AgentState[Any], runtime: Runtime[Any]) -> dict[str, Any] | None:
        return self._guard.run(self.abefore_model(state, runtime))

    @hook_config(can_jump_to=["end"])
    async def abefore_model(self, state: AgentState[Any], runtime: Runtime[Any]) -> dict[str, Any] | None:  # noqa: ARG002 - LangChain's signature
        messages = state["messages"]
        changed: list[BaseMessage] = []
        for message in _new(messages):
            text = str(message.text)
            if not text.strip():
                continue
            if isinstance(message, ToolMessage):
                shown = await self._tool_text(text)
                if shown != text:
                    changed.append(message.model_copy(update={"content": shown, "artifact": None if shown == WITHHELD else message.artifact}))
            elif isinstance(message, HumanMessage):
                before = spoken(messages[: messages.index(message) + 1])
                checks = [await self._guard.acheck_input(text)] + ([await self._guard.acheck_input(before)] if len(before) > 1 else [])
                if any(stopping(objections(check, grounded=False)) is not None for check in checks):
                    return {"messages": [*changed, AIMessage(self._refusal)], "jump_to": "end"}
                if checks[0].masks:
                    changed.append(message.model_copy(update={"content": masked(plain(text), checks[0].masks)}))
        return {"messages": changed} if changed else None

    async def _tool_text(self, text: str) -> str:
        """What the model may see of a tool's result. One that is longer than a message may be is read in windows that overlap, and not masked but withheld."""
        size = self._guard.settings.limits.message_chars
        step = max(1, size - _OVERLAP)
        windows = [text] if len(text) <= size else [text[start : start + size] for start in range(0, len(text), step)]
        shown = []
        for window in windows:
            try:
                check = await self._guard.acheck_input(window) if window.strip() else _NOTHING
            except InvalidRequest:
                return WITHHELD  # what is no well-formed text cannot be checked
            planted = objections(await self._guard.acheck_passage(window), grounded=False)
            if stopping(objections(check, grounded=False)) is not None or planted or (check.masks and len(windows) > 1):
                return WITHHELD
            shown.append(masked(plain(window), check.masks) if check.masks else window)
        return shown[0] if len(windows) == 1 else text

    @hook_config(can_jump_to=["end"])
    def after_model(self, state: AgentState[Any], runtime: Runtime[Any]) -> dict[str, Any] | None:
        return self._guard.run(self.aafter_model(state, runtime))

    @hook_config(can_jump_to=["end"])
    async def aafter_model(self, state: AgentState[Any], runtime: Runtime[Any]) -> dict[str, Any] | None:  # noqa: ARG002 - LangChain's signature
        messages = state["messages"]
        last = messages[-1]
        if not isinstance(last, AIMessage):
            return None
        passages = [str(message.text) for message in messages if isinstance(message, ToolMessage)] if self._grounded and not last.tool_calls else []
        question = next((str(message.text) for message in reversed(messages) if isinstance(message, HumanMessage)), "")
        text = str(last.text)
        check = await self._guard.acheck_output(text, passages=passages, question=question) if text.strip() else _NOTHING
        stopped = stopping(objections(check, grounded=bool(passages))) is not None
        for call in last.tool_calls:
            arguments = json.dumps(call["args"], ensure_ascii=False)
            stopped = stopped or bool(objections(await self._guard.acheck_output(arguments, question=question), grounded=False))
        if stopped:
            return {"messages": [AIMessage(self._refusal, id=last.id)], "jump_to": "end"}
        return {"messages": [last.model_copy(update={"content": masked(text, check.masks)})]} if check.masks else None


def _new(messages: Sequence[BaseMessage]) -> list[BaseMessage]:
    """What came since the model last spoke."""
    spoke = max((place for place, message in enumerate(messages) if isinstance(message, AIMessage)), default=-1)
    return list(messages[spoke + 1 :])
