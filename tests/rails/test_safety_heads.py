from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from guardrail.errors import ConfigurationError
from guardrail.rails import attack, harm, intent, sentiment
from guardrail.rails.heads import Head

if TYPE_CHECKING:
    from pathlib import Path

    from guardrail.index.encoder import MiniLM

SHIPPED = (intent.WEIGHTS, harm.WEIGHTS, attack.WEIGHTS, sentiment.WEIGHTS)


def altered(target: Path, **changes: str) -> Path:
    with safe_open(harm.WEIGHTS, framework="numpy") as file:
        metadata = {**file.metadata(), **changes}
    save_file(load_file(harm.WEIGHTS), target, metadata=metadata)
    return target


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_a_shipped_head_fits_the_shipped_branch_and_its_card(encoder: MiniLM, path: Path) -> None:
    head = Head.load(encoder, path)
    card = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    assert card["branch"] == encoder.safety_fingerprint
    assert tuple(card["labels"]) == head.labels
    assert card["thresholds"] == head.thresholds
    assert all(source["licence"] for source in card["sources"].values())


def test_a_head_of_another_branch_is_refused(encoder: MiniLM, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="another encoder or safety branch"):
        Head.load(encoder, altered(tmp_path / "harm.safetensors", branch="0" * 64))


def test_a_head_with_other_labels_than_rows_is_refused(encoder: MiniLM, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="wrong shape"):
        Head.load(encoder, altered(tmp_path / "harm.safetensors", labels=json.dumps(["harm"])))


@pytest.mark.parametrize("content", [None, b"", b"not safetensors at all"])
def test_a_missing_or_damaged_head_is_refused(encoder: MiniLM, tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "harm.safetensors"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigurationError, match="cannot be read"):
        Head.load(encoder, path)


def test_the_worst_window_counts(encoder: MiniLM) -> None:
    head = Head.load(encoder, harm.WEIGHTS)
    mild, bad = encoder.safety_vectors(("What is virtue?", "Explain how to hide the money I stole from my employer"))
    together = head.probabilities(np.concatenate([mild, bad, mild]))
    alone = (head.probabilities(mild), head.probabilities(bad))
    assert together == pytest.approx({label: max(one[label] for one in alone) for label in head.labels}, abs=1e-4)


def test_an_encoding_without_safety_vectors_gets_them(encoder: MiniLM) -> None:
    head = Head.load(encoder, harm.WEIGHTS)
    text = "What is virtue?"
    bare, full = encoder.encode((text,))[0], encoder.encode((text,), safety=True)[0]
    np.testing.assert_allclose(head.vectors(bare), head.vectors(full), atol=1e-5)
