"""An unmodified LiteLLM proxy that uses this server as its guardrail. The proxy lives in an environment of its own: its pins do not agree with ours."""

from __future__ import annotations

import asyncio
import os
import secrets
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import yaml

from guardrail import Guardrail
from guardrail.probe import Report, Target, probe_stream
from guardrail.probe.upstream import Upstream
from guardrail.server import create_app
from guardrail.settings import RailSettings
from tests.integrations.model import free_port, running, saying
from tests.server.served import PATIENCE, Words, served, settings

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
LITELLM = Path(os.environ.get("GUARDRAIL_TEST_LITELLM") or ROOT / ".venv" / "others" / "litellm" / "bin" / "litellm")
SECRET = "the vault code is nine four two"
KEY = "the proxy's key for us"
MASTER_KEY = f"sk-{secrets.token_hex(24)}"
START = 120.0
"""Seconds that the proxy may take to start on a busy machine."""

pytestmark = pytest.mark.skipif(not LITELLM.exists(), reason="LiteLLM is not installed: `make others` puts it into an environment of its own")


class Proxy:
    """A LiteLLM proxy in front of a fake model."""

    def __init__(self, url: str, model_port: int) -> None:
        self.url = url
        self.model_port = model_port

    def ask(self, text: str, *pieces: str, **fields: Any) -> tuple[httpx.Response, Upstream]:
        """What the proxy answers to `text` when its model says `pieces`, and the model."""
        upstream = Upstream(saying(*pieces), pause=0.001)
        body = {"model": "philosopher", "messages": [{"role": "user", "content": text}], **fields}
        with running(upstream, self.model_port):
            headers = {"authorization": f"Bearer {MASTER_KEY}"}
            return httpx.post(f"{self.url}/chat/completions", json=body, headers=headers, timeout=PATIENCE), upstream


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    folder = tmp_path_factory.mktemp("litellm")
    model_port, port = free_port(), free_port()
    rails = (
        RailSettings(id="keywords", stage="input", options={"phrases": ["hemlock recipe"]}),
        RailSettings(id="keywords", stage="output", options={"phrases": [SECRET]}),
        RailSettings(id="keywords", stage="output", on_fail="redact", options={"phrases": ["Xanthippe"]}),
    )
    with served(create_app(Guardrail(settings(*rails, api_keys=(KEY,)), generator=Words()))) as address:
        guardrail = {
            "guardrail": "generic_guardrail_api",
            "mode": ["pre_call", "post_call"],
            "api_base": address,
            "api_key": KEY,
            "default_on": True,
            "streaming_transform_mode": "incremental_diff",
            "streaming_sampling_rate": 1,
        }
        model = {"model": "openai/fake", "api_base": f"http://127.0.0.1:{model_port}/v1", "api_key": "none"}
        config = {
            "model_list": [{"model_name": "philosopher", "litellm_params": model}],
            "litellm_settings": {"telemetry": False, "num_retries": 0},
            "guardrails": [{"guardrail_name": "guardrail", "litellm_params": guardrail}],
        }
        file = folder / "config.yaml"
        file.write_text(yaml.safe_dump(config), encoding="utf-8")
        command = [str(LITELLM), "--config", str(file), "--host", "127.0.0.1", "--port", str(port), "--telemetry", "False"]
        environment = os.environ | {"LITELLM_MASTER_KEY": MASTER_KEY, "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
        with (folder / "log").open("wb") as log, subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log) as process:
            try:
                wait_until_up(f"http://127.0.0.1:{port}/health/liveliness", process, folder / "log")
                yield Proxy(f"http://127.0.0.1:{port}/v1", model_port)
            finally:
                process.terminate()


def wait_until_up(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + START
    while time.monotonic() < until:
        assert process.poll() is None, log.read_text(errors="replace")[-2000:]
        try:
            if httpx.get(url, timeout=5).status_code == 200:
                return
        except httpx.HTTPError:
            time.sleep(0.2)
    raise AssertionError(f"LiteLLM did not start:\n{log.read_text(errors='replace')[-2000:]}")


@pytest.fixture(scope="module")
def probed(proxy: Proxy) -> Report:
    """What gets out of the proxy's streams."""
    target = Target(url=proxy.url, model="philosopher", secret=SECRET, api_key=MASTER_KEY, pause=0.0005, quick=True)
    return asyncio.run(probe_stream(target, port=proxy.model_port))


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_a_benign_chat_passes(proxy: Proxy, stream: bool) -> None:
    answer, _ = proxy.ask("What is virtue?", "Virtue ", "is know", "ledge.", stream=stream)
    assert answer.status_code == 200
    assert said(answer) == "Virtue is knowledge."


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_a_forbidden_request_is_blocked_before_the_model_is_asked(proxy: Proxy, stream: bool) -> None:
    answer, model = proxy.ask("Please tell me the hemlock recipe", "Gladly.", stream=stream)
    assert answer.status_code == 400
    assert answer.json()["error"]["message"] == "Stopped by the rail 'keywords': on the block list."
    assert model.asked == 0


def test_a_forbidden_message_that_is_not_the_last_is_blocked_too(proxy: Proxy) -> None:
    turns = [{"role": "user", "content": "the hemlock recipe"}, {"role": "assistant", "content": "No."}, {"role": "user", "content": "Go on."}]
    answer, _ = proxy.ask("", "Gladly.", messages=turns)
    assert answer.status_code == 400


def test_a_system_prompt_may_hold_what_a_user_may_not_say(proxy: Proxy) -> None:
    turns = [{"role": "system", "content": "Never give out the hemlock recipe."}, {"role": "user", "content": "What is virtue?"}]
    answer, _ = proxy.ask("", "Knowledge.", messages=turns)
    assert answer.status_code == 200


def test_a_forbidden_reply_is_blocked(proxy: Proxy) -> None:
    answer, _ = proxy.ask("Tell me.", f"It is this: {SECRET}.")
    assert answer.status_code == 400
    assert SECRET not in answer.text


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_what_is_only_redacted_comes_through_redacted(proxy: Proxy, stream: bool) -> None:
    answer, _ = proxy.ask("Who was she?", "Her name was ", "Xan", "thippe", ", they say.", stream=stream)
    assert said(answer) == "Her name was [PHRASE], they say."


def test_no_character_of_a_forbidden_reply_gets_into_a_stream_at_any_split(probed: Report) -> None:
    streams = [exposure for exposure in probed.exposures if exposure.stream and exposure.place in {"content", "logprobs"}]
    assert len(streams) > 25
    assert [exposure for exposure in streams if exposure.leaked] == []


def test_a_benign_reply_comes_through_unchanged(probed: Report) -> None:
    assert probed.benign_stream
    assert probed.benign_whole


def said(answer: httpx.Response) -> str:
    """The text of an answer, whole or streamed."""
    if answer.headers["content-type"].startswith("application/json"):
        text: str = answer.json()["choices"][0]["message"]["content"]
        return text
    from guardrail.probe.heard import EventReader, Heard

    heard = Heard()
    EventReader(heard).push(answer.content)
    assert heard.done
    return heard.content
