"""One plain server for the session: no library, keyword rails, a generator that always says the same."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx
import pytest

from guardrail import Guardrail
from guardrail.server import create_app
from tests.server.served import PATIENCE, Words, served, settings

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def plain_server() -> Iterator[str]:
    """Its address."""
    with served(create_app(Guardrail(settings(), generator=Words()))) as address:
        yield address


@pytest.fixture
def plain(plain_server: str) -> Iterator[httpx.Client]:
    """A client of it."""
    with httpx.Client(base_url=plain_server, timeout=PATIENCE) as client:
        yield client


@pytest.fixture
def default(default_server: str) -> Iterator[httpx.Client]:
    """A client of the embedded default."""
    with httpx.Client(base_url=default_server, timeout=PATIENCE) as client:
        yield client
