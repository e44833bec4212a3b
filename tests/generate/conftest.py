"""Tiny real models, made once a session."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.tiny_model import make_tiny_model

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="session")
def tiny_llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A two-layer Llama with a ChatML template, as a model folder."""
    return make_tiny_model(tmp_path_factory.mktemp("tiny-llama"))
