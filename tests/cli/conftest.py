"""Ways to run the command, and configurations that need no encoder."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from guardrail.cli.main import cli

ROOT = Path(__file__).parents[2]
Run = Callable[..., Result]


@pytest.fixture
def run() -> Run:
    """Runs the command in this process."""

    def go(*arguments: object, stdin: str | bytes | None = None, env: dict[str, str] | None = None) -> Result:
        result = CliRunner().invoke(cli, [str(argument) for argument in arguments], input=stdin, env=env)
        assert "Traceback" not in result.output
        return result

    return go


def objects(result: Result) -> list[Any]:
    """Every line of standard output, which must all be JSON."""
    return [json.loads(line) for line in result.stdout.splitlines()]


def started(*arguments: object, env: dict[str, str] | None = None, **options: Any) -> subprocess.Popen[bytes]:
    """The command in a process of its own."""
    command = [sys.executable, "-m", "guardrail", *map(str, arguments)]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | options
    return subprocess.Popen(command, cwd=ROOT, env=os.environ | (env or {}), **pipes)


@pytest.fixture
def keywords(tmp_path: Path) -> Path:
    """A configuration with a block list and nothing else: no library, so no encoder is loaded, and a model server that is down."""
    path = tmp_path / "keywords.yaml"
    path.write_text(
        "library: {index: null}\n"
        "generator: {kind: openai, model: m, base_url: 'http://127.0.0.1:9/v1', retries: 0}\n"
        "rails:\n"
        "  - {id: keywords, stage: input, options: {phrases: [secret sauce]}}\n"
        "  - {id: keywords, stage: output, options: {phrases: [top secret]}}\n"
    )
    return path


@dataclass
class Upstream:
    """A model server whose reply is `parts`; before each part but the first it waits until the test lets it go on."""

    url: str = ""
    parts: list[str] = field(default_factory=lambda: ["Virtue is ", "knowledge."])
    go_on: threading.Event = field(default_factory=threading.Event)
    asked: list[list[dict[str, str]]] = field(default_factory=list)
    """The messages of each request."""


@pytest.fixture
def upstream(tmp_path: Path) -> Iterator[Upstream]:
    """A model server on loopback, and `upstream.yaml` in `tmp_path` that names it."""
    state = Upstream()
    state.go_on.set()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            pass

        def do_GET(self) -> None:
            self._head("application/json", body := b'{"data": [{"id": "m"}]}')
            self.wfile.write(body)

        def do_POST(self) -> None:
            state.asked.append(json.loads(self.rfile.read(int(self.headers["Content-Length"])))["messages"])
            self._head("text/event-stream", None)
            try:
                for number, part in enumerate(state.parts):
                    if number:
                        state.go_on.wait(60)
                    self._event({"content": part}, None)
                self._event({}, "stop")
                self.wfile.write(b"data: [DONE]\n\n")
            except OSError:
                pass  # the client has left, as it may

        def _head(self, kind: str, body: bytes | None) -> None:
            self.send_response(200)
            self.send_header("Content-Type", kind)
            if body is None:
                self.send_header("Connection", "close")
            else:
                self.send_header("Content-Length", str(len(body)))
            self.end_headers()

        def _event(self, delta: dict[str, str], finish_reason: str | None) -> None:
            choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
            self.wfile.write(b"data: " + json.dumps({"choices": [choice]}).encode() + b"\n\n")
            self.wfile.flush()

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    state.url = f"http://127.0.0.1:{server.server_address[1]}/v1"
    (tmp_path / "upstream.yaml").write_text(
        f"library: {{index: null}}\ngenerator: {{kind: openai, model: m, base_url: '{state.url}', retries: 0}}\nrails: []\n"
    )
    try:
        yield state
    finally:
        state.go_on.set()
        server.shutdown()
        server.server_close()
        thread.join()
