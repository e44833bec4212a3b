"""A client that asks ahead: it gets every reply in order, and fills nobody's memory where it takes none."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

from tests.server.served import PATIENCE

ROOT = Path(__file__).parents[2]
REQUEST = b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\n"
STALLED = f"""
import resource, socket, time
resource.setrlimit(resource.RLIMIT_AS, (6 << 30, 6 << 30))
from urllib.parse import urlsplit
from guardrail import Guardrail
from guardrail.server import create_app
from tests.server.served import Words, served, settings

def resident():
    return int(open("/proc/self/statm").read().split()[1]) * resource.getpagesize() >> 20

with served(create_app(Guardrail(settings(), generator=Words()))) as address:
    before = resident()
    with socket.create_connection((urlsplit(address).hostname, urlsplit(address).port), timeout=1) as client:
        try:
            for _ in range(2000):
                client.sendall({REQUEST!r} * 2000)
        except TimeoutError:
            time.sleep(1)
        print(resident() - before)
"""


def test_every_request_sent_ahead_is_answered(plain_server: str) -> None:
    address = urlsplit(plain_server)
    count, read = 3_000, b""
    with socket.create_connection((address.hostname, address.port), timeout=PATIENCE) as client:
        client.sendall(REQUEST * count)
        while read.count(b"HTTP/1.1 200") < count and (piece := client.recv(1 << 20)):
            read += piece
    assert read.count(b"HTTP/1.1 200") == count


def test_a_client_that_sends_and_takes_nothing_fills_no_memory() -> None:
    found = subprocess.run([sys.executable, "-c", STALLED], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)
    assert int(found.stdout) < 32  # MiB; it were 70 and more where all that came was parsed at once
