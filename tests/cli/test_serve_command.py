"""`guardrail serve`, as far as the command goes: it comes up, answers, stops, and tells what keeps it from that."""

from __future__ import annotations

import json
import re
import signal
import socket
import urllib.request
from typing import TYPE_CHECKING

import pytest

from tests.cli.conftest import Run, started

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_it_says_where_it_listens_answers_and_stops_at_a_signal(stop: signal.Signals) -> None:
    with started("serve", "--port", "0") as process:
        assert process.stderr is not None
        lines = []
        while not (ready := re.fullmatch(rb"guardrail is ready at (http://127\.0\.0\.1:\d+)\n", line := process.stderr.readline())):
            lines.append(line)
            assert line, lines
        with urllib.request.urlopen(f"{ready.group(1).decode()}/v1/models", timeout=30) as answer:  # noqa: S310 - it is ours
            assert {model["id"] for model in json.load(answer)["data"]} == {"aristotle", "plato"}
        process.send_signal(stop)
        stdout, stderr = process.communicate(timeout=60)
    assert (process.returncode, stdout) == (0, b"")
    assert b"Traceback" not in stderr


def test_a_port_that_is_taken_is_one_sentence_and_exit_code_2(run: Run) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        result = run("serve", "--port", port)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == f"guardrail: Port {port} on 127.0.0.1 cannot be opened (Address already in use); choose another with --port.\n"


def test_an_index_that_is_missing_ends_it_with_exit_code_1(tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text(f"library: {{index: {tmp_path}/nothing}}\n")
    with started("serve", "--port", "0", "--config", tmp_path / "bad.yaml") as process:
        stdout, stderr = process.communicate(timeout=60)
    assert (process.returncode, stdout) == (1, b"")
    assert stderr.decode().splitlines()[-1].startswith("guardrail: ")
    assert b"Traceback" not in stderr
