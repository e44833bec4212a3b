"""Replies of a model of this process, and of a real server over it that speaks as vLLM does."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any

import pytest
import torch
from aiohttp import web

from guardrail.errors import FinetuneError
from guardrail.finetune.data.rows import Prompt
from guardrail.finetune.settings import RolloutSettings
from guardrail.finetune.stages import ppo
from guardrail.finetune.training import policy
from guardrail.finetune.training.models import end_tokens, load_tokenizer
from guardrail.finetune.training.rollout import GenerateSampler, drift, prompt_tokens, rows
from guardrail.finetune.training.served import ServedSampler
from tests.finetune.reinforced import TRAINING, measured, ppo_settings, rl_context

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ASKED = Prompt(prompt="What is courage?")
PLAIN = RolloutSettings(max_tokens=24)


class Server:
    """Completions by a model in a folder, with token ids and log-probabilities; it can be given other weights where `reloads` is set."""

    def __init__(self, body: Path, *, reloads: bool = True) -> None:
        self.tokenizer = load_tokenizer(str(body))
        self.loaded: list[str] = []
        self._module, _ = policy.load(str(body), reward=None, training=TRAINING, lora=None)
        self._started = threading.Event()
        self._application = web.Application()
        self._application.router.add_get("/v1/models", self._models)
        self._application.router.add_post("/v1/completions", self._complete)
        if reloads:
            self._application.router.add_post("/collective_rpc", self._reload)
            self._application.router.add_post("/reset_prefix_cache", self._forget)
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), name="completions")

    def __enter__(self) -> Server:
        self._thread.start()
        self._started.wait(20)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join(20)

    async def _serve(self) -> None:
        self._loop, self._end = asyncio.get_running_loop(), asyncio.Event()
        runner = web.AppRunner(self._application)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        self._started.set()
        await self._end.wait()
        await runner.cleanup()

    async def _models(self, request: web.Request) -> web.Response:
        return web.json_response({"data": [{"id": "toy"}]})

    async def _complete(self, request: web.Request) -> web.Response:
        body = await request.json()
        prompts = [tuple(prompt) for prompt in body["prompt"]]
        replies = GenerateSampler(self._module.policy, self.tokenizer, RolloutSettings(max_tokens=body["max_tokens"])).sample(prompts)
        batch = rows(prompts, replies, pad=int(self.tokenizer.pad_token_id or 0))
        with torch.no_grad():
            logprobs = self._module(batch.tokens, batch.attention, batch.positions, batch.mask.shape[1], 1.0)[0]
        choices: list[dict[str, Any]] = [
            {
                "index": number,
                "token_ids": reply.tokens,
                "finish_reason": "stop" if reply.ended else "length",
                "logprobs": {"token_logprobs": logprobs[number][batch.mask[number]].tolist()},
            }
            for number, reply in enumerate(replies)
        ]
        return web.json_response({"choices": choices[::-1]})

    async def _reload(self, request: web.Request) -> web.Response:
        folder = (await request.json())["kwargs"]["weights_path"]
        self.loaded.append(folder)
        self._module, _ = policy.load(folder, reward=None, training=TRAINING, lora=None)
        return web.json_response({"results": [None]})

    async def _forget(self, request: web.Request) -> web.Response:
        return web.Response()


@pytest.fixture(scope="module")
def server(toy_body: Path) -> Iterator[Server]:
    with Server(toy_body) as running:
        yield running


def test_replies_are_drawn_from_the_whole_distribution(toy_body: Path) -> None:
    tokenizer = load_tokenizer(str(toy_body))
    module, _ = policy.load(str(toy_body), reward=None, training=TRAINING, lora=None)
    torch.manual_seed(0)
    asked = [prompt_tokens(ASKED, tokenizer)] * 256
    replies = GenerateSampler(module.policy, tokenizer, RolloutSettings(max_tokens=1)).sample(asked)
    with torch.no_grad():
        truth = module.policy(torch.tensor(asked[:1])).logits[0, -1].softmax(-1)
    counts = torch.bincount(torch.tensor([reply.tokens[0] for reply in replies]), minlength=len(truth)) / len(replies)
    assert float((counts - truth).abs().sum()) < 0.3
    assert len({reply.tokens for reply in replies}) > 1


def test_a_reply_ends_with_its_end_of_turn_or_says_that_it_was_cut_off(toy_body: Path) -> None:
    tokenizer = load_tokenizer(str(toy_body))
    module, _ = policy.load(str(toy_body), reward=None, training=TRAINING, lora=None)
    torch.manual_seed(0)
    asked = [prompt_tokens(ASKED, tokenizer)] * 64
    for most in (5, 24):
        for reply in GenerateSampler(module.policy, tokenizer, RolloutSettings(max_tokens=most)).sample(asked):
            assert reply.ended == (reply.tokens[-1] in end_tokens(tokenizer))
            assert not set(reply.tokens[:-1]) & {*end_tokens(tokenizer), tokenizer.pad_token_id}
            assert reply.ended or len(reply.tokens) == most
            assert "<|" not in reply.text


def test_a_server_gives_tokens_in_the_order_asked_and_what_it_thought_of_them(server: Server, toy_body: Path) -> None:
    tokenizer = load_tokenizer(str(toy_body))
    asked = [prompt_tokens(Prompt(prompt=f"What is {virtue}?"), tokenizer) for virtue in ("courage", "mercy", "honesty")] * 4
    replies = ServedSampler(tokenizer, RolloutSettings(max_tokens=24, url=server.url), batch=5).sample(asked)
    assert sum(virtue in reply.text.lower() for reply, virtue in zip(replies, ("courage", "mercy", "honesty") * 4, strict=True)) >= 6
    module, _ = policy.load(str(toy_body), reward=None, training=TRAINING, lora=None)
    batch = rows(asked, replies, pad=int(tokenizer.pad_token_id or 0))
    with torch.no_grad():
        logprobs = module(batch.tokens, batch.attention, batch.positions, batch.mask.shape[1], 1.0)[0]
    assert float(drift(replies, logprobs, batch.mask).max()) < 1e-4


def test_ppo_gives_its_weights_to_the_server_before_every_batch(server: Server, tmp_path: Path, toy_body: Path, toy_files: Path) -> None:
    context = rl_context(tmp_path, toy_body, toy_files)
    server.loaded.clear()
    ppo.run(ppo_settings(updates=3, rollout=RolloutSettings(max_tokens=24, backend="vllm", url=server.url)), context)
    assert len(server.loaded) == 4  # and once for the report's samples
    assert all(values["sampler.drift"] < 1e-4 for values in measured(context))
    assert measured(context)[2]["kl.k3"] > 0


def test_a_server_that_cannot_change_its_weights_is_refused(tmp_path: Path, toy_body: Path, toy_files: Path) -> None:
    with Server(toy_body, reloads=False) as fixed, pytest.raises(FinetuneError, match="VLLM_SERVER_DEV_MODE"):
        ppo.run(ppo_settings(rollout=RolloutSettings(max_tokens=24, backend="vllm", url=fixed.url)), rl_context(tmp_path, toy_body, toy_files))


def test_a_server_that_keeps_its_old_weights_is_found_out(tmp_path: Path, toy_body: Path, toy_files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Server(toy_body) as deaf:
        monkeypatch.setattr(policy, "load", lambda *_, real=policy.load, **options: real(str(toy_body), **options))
        rollout = RolloutSettings(max_tokens=24, backend="vllm", url=deaf.url)
        with pytest.raises(FinetuneError, match="does not sample from the policy"):
            ppo.run(ppo_settings(updates=20, rollout=rollout, training={"learning_rate": 1e-2}), rl_context(tmp_path, toy_body, toy_files))


def test_a_server_that_is_not_there_is_named(toy_body: Path) -> None:
    with pytest.raises(FinetuneError, match=r"http://127\.0\.0\.1:9 did not answer /v1/models"):
        ServedSampler(load_tokenizer(str(toy_body)), RolloutSettings(url="http://127.0.0.1:9/v1"))
