"""Replies by a server that speaks vLLM's dialect of OpenAI's completions, for models whose sampling is the slow part.

Rejection sampling and distillation only ask. PPO changes the model between two batches, so the server has to read the new weights: vLLM does where it was
started with `VLLM_SERVER_DEV_MODE=1`, from a folder that it sees under the same path. Keep such a server away from any network that others can reach.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import aiohttp

from guardrail.errors import ConfigurationError, FinetuneError
from guardrail.finetune.training.models import end_tokens
from guardrail.finetune.training.rollout import Reply, reply_text

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from accelerate import Accelerator
    from transformers import PreTrainedTokenizerBase

    from guardrail.finetune.settings import RolloutSettings
    from guardrail.finetune.training.rollout import Ids

_PATIENCE = aiohttp.ClientTimeout(total=None, connect=10, sock_read=600)


class ServedSampler:
    """Replies by the model of a server, which must have the tokenizer of ours."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, settings: RolloutSettings, *, batch: int = 256) -> None:
        """`batch`: prompts of one request. Raises ConfigurationError where no server is named, FinetuneError where it does not answer."""
        if settings.url is None:
            raise ConfigurationError("rollout.url: name the server, e.g. http://127.0.0.1:8001, or set rollout.backend to generate.")
        self._url = settings.url.rstrip("/").removesuffix("/v1")
        self._tokenizer = tokenizer
        self._ends = frozenset(end_tokens(tokenizer))
        self._batch = batch
        self._plain = settings.temperature == 1.0  # at another temperature the server's log-probabilities are of another distribution than its tokens
        self._request = {
            "model": asyncio.run(self._ask("GET", "/v1/models"))["data"][0]["id"],
            "max_tokens": settings.max_tokens,
            "temperature": settings.temperature,
            "top_p": 1.0,
            "top_k": 0,
            "min_p": 0.0,
            "repetition_penalty": 1.0,
            "stop_token_ids": sorted(self._ends),
            "return_token_ids": True,
            "logprobs": 0,
        }

    def sample(self, prompts: Sequence[Ids]) -> list[Reply]:
        """One reply to each prompt. Raises FinetuneError."""
        return asyncio.run(self._sample(prompts))

    def load(self, folder: Path) -> None:
        """Let the server go on with the weights in a model folder. Raises FinetuneError where it cannot."""
        asyncio.run(self._ask("POST", "/collective_rpc", {"method": "reload_weights", "kwargs": {"weights_path": str(folder.resolve())}}))
        asyncio.run(self._ask("POST", "/reset_prefix_cache"))  # what it kept was computed with the old weights

    async def _sample(self, prompts: Sequence[Ids]) -> list[Reply]:
        starts = range(0, len(prompts), self._batch)
        answers = await asyncio.gather(*(self._complete(prompts[start : start + self._batch]) for start in starts))
        return [reply for answer in answers for reply in answer]

    async def _complete(self, prompts: Sequence[Ids]) -> list[Reply]:
        answer = await self._ask("POST", "/v1/completions", self._request | {"prompt": [list(prompt) for prompt in prompts]})
        choices = sorted(answer["choices"], key=lambda choice: int(choice["index"]))
        if len(choices) != len(prompts) or any(choice.get("token_ids") is None for choice in choices):
            raise FinetuneError(f"The server {self._url} gives no token ids: vLLM does from version 0.10.2 on.")
        return [self._reply(choice) for choice in choices]

    def _reply(self, choice: dict[str, Any]) -> Reply:
        tokens = tuple(choice["token_ids"])
        ended = choice["finish_reason"] == "stop"
        if ended and (not tokens or tokens[-1] not in self._ends):
            raise FinetuneError(f"A reply of the server {self._url} stopped at something that ends no turn: it must serve the model that is trained.")
        logprobs = tuple(choice["logprobs"]["token_logprobs"]) if self._plain else None
        return Reply(tokens=tokens, text=reply_text(self._tokenizer, tokens), ended=ended, logprobs=logprobs)

    async def _ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        try:
            async with aiohttp.ClientSession(timeout=_PATIENCE) as session, session.request(method, self._url + path, json=body) as answer:
                if answer.status == 404 and path == "/collective_rpc":
                    raise FinetuneError(f"The server {self._url} cannot change its weights: start vLLM with VLLM_SERVER_DEV_MODE=1, on this machine.")
                answer.raise_for_status()
                return await answer.json(content_type=None) if (await answer.read()).strip() else None
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            raise FinetuneError(f"The server {self._url} did not answer {path} ({error or type(error).__name__}).") from None


class FollowingSampler:
    """A server that follows the policy: before each batch it is given the weights as they are now."""

    def __init__(self, server: ServedSampler, publish: Callable[[], Path], accelerator: Accelerator) -> None:
        """`publish` writes the policy into a folder and gives its path; every process calls it, the first one writes."""
        self._server = server
        self._publish = publish
        self._accelerator = accelerator

    def sample(self, prompts: Sequence[Ids]) -> list[Reply]:
        """One reply to each prompt, by the policy of this moment. All processes call it together."""
        folder = self._publish()
        self._accelerator.wait_for_everyone()
        if self._accelerator.is_main_process:
            self._server.load(folder)
        self._accelerator.wait_for_everyone()
        return self._server.sample(prompts)
