"""How candidates are put in order, and what a build stores for it."""

from __future__ import annotations

import json
from contextlib import closing
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guardrail import sentences
from guardrail.errors import LibraryError
from guardrail.index import builder, generation, ranking
from guardrail.index.embedding import Piece, encode
from guardrail.index.encoder import pack, unit
from guardrail.index.generation import Generation
from guardrail.index.snapshot import Snapshot
from guardrail.index.sparse import SparseIndex
from guardrail.late_interaction import maxsim
from guardrail.protocols import Query
from tests.index.hash_encoder import HashEncoder

if TYPE_CHECKING:
    from pathlib import Path

ENCODER = HashEncoder()


def candidates(*texts: str) -> list[ranking.Candidate]:
    return [
        ranking.Candidate(vector=found.encoding.vector, tokens=found.encoding.tokens, sentences=found.sentences, lengths=found.lengths)
        for found in encode(ENCODER, [Piece(text, "", whole=False) for text in texts])
    ]


def equal_weights(text: str) -> np.ndarray:
    return np.ones(len(ENCODER.encode([text])[0].tokens), np.float32)


def test_the_weights_are_a_mean() -> None:
    assert sum(ranking.WEIGHTS) == pytest.approx(1)
    assert min(ranking.WEIGHTS) > 0


def test_a_passage_is_found_by_one_of_its_sentences() -> None:
    question = "bees follow their king"
    long = "Ships sail north. Bees follow their king. Wine is mixed with water. Rivers carry mud to the sea."
    vague = "Bees and their many habits are told of by some. Ships sail north. Wine is mixed with water. Rivers carry mud to the sea."
    (asked,) = ENCODER.encode([question])
    found = ranking.evidence(asked, equal_weights(question), candidates(long, vague))
    assert found[0, 1] == pytest.approx(1, abs=1e-5)
    assert found[0, 1] > found[0, 0]
    assert ranking.rank(asked, equal_weights(question), candidates(vague, long)).order.tolist() == [1, 0]


def test_late_interaction_with_the_passage_is_maxsim_and_never_less_than_with_one_sentence() -> None:
    question = "why do bees follow a king"
    (asked,) = ENCODER.encode([question])
    given_ = candidates("Bees follow. A king rules them all.", "Nothing of this kind.", "Why?")
    found = ranking.evidence(asked, equal_weights(question), given_)
    np.testing.assert_allclose(found[:, 2], [maxsim(asked.tokens, candidate.tokens) for candidate in given_], atol=1e-5)
    assert (found[:, 3] <= found[:, 2] + 1e-5).all()


def test_a_rare_word_counts_more_than_a_common_one() -> None:
    (asked,) = ENCODER.encode(["city eels"])
    given_ = candidates("The city.", "Eels.")
    even, rare = (ranking.evidence(asked, np.array(weights, np.float32), given_)[:, 3] for weights in ((1, 1), (1, 5)))
    assert rare[1] - rare[0] > even[1] - even[0]


def test_a_passage_without_stored_sentences_counts_as_one_sentence() -> None:
    text = "Bees follow their king"
    (asked,) = ENCODER.encode(["king of bees"])
    (whole,) = candidates(text)
    bare = ranking.Candidate(vector=whole.vector, tokens=whole.tokens)
    weights = equal_weights("king of bees")
    np.testing.assert_allclose(ranking.evidence(asked, weights, [bare]), ranking.evidence(asked, weights, [whole]), atol=1e-6)


@settings(deadline=None)
@given(st.lists(st.text(max_size=60), min_size=1, max_size=5), st.text(max_size=30))
def test_any_text_gets_scores_in_range(texts: list[str], question: str) -> None:
    (asked,) = ENCODER.encode([question])
    ranked = ranking.rank(asked, np.ones(len(asked.tokens), np.float32), candidates(*texts))
    assert sorted(ranked.order.tolist()) == list(range(len(texts)))
    assert ((ranked.scores >= 0) & (ranked.scores <= 1)).all()


@settings(deadline=None)
@given(st.text(max_size=120))
def test_every_token_state_belongs_to_one_sentence(text: str) -> None:
    (found,) = encode(ENCODER, [Piece(text, "", whole=False)])
    assert len(found.sentences) == len(found.lengths) == max(1, len(sentences.spans(text)))
    assert found.lengths.sum() == len(found.encoding.tokens)


def test_rarity_follows_how_many_rows_hold_the_word() -> None:
    sparse = SparseIndex.build(["the city and the bees", "the city", "the city of eels"])
    text = "city, bees and gryphons"
    common, rare, unknown = sparse.rarity(text, np.array([(0, 4), (6, 10), (15, 18)], np.int32))
    assert 0 < common < rare < unknown


def test_an_index_keeps_a_vector_for_each_sentence(tmp_path: Path) -> None:
    source = tmp_path / "texts.jsonl"
    texts = ["Bees follow. A king rules them all. So they say.", "Eels come from mud."]
    source.write_text("".join(json.dumps({"id": str(number), "text": text}) + "\n" for number, text in enumerate(texts)), encoding="utf-8")
    builder.build([source], tmp_path / "index", ENCODER)
    with Generation.open(tmp_path / "index", fingerprint=ENCODER.fingerprint) as held:
        for row, text in enumerate(held.texts()):
            start, end = held.sentence_offsets[row : row + 2]
            expected = np.stack([encoding.vector for encoding in ENCODER.encode([text[a:b] for a, b in sentences.spans(text)])])
            np.testing.assert_array_equal(held.sentence_vectors[start:end], pack(unit(expected)))
            assert held.sentence_tokens[start:end].sum() == np.diff(held.token_offsets)[row]


def test_a_passage_is_found_and_put_first_by_a_question_that_it_answers(tmp_path: Path) -> None:
    source = tmp_path / "texts.jsonl"
    rows = [
        {"id": "king", "text": "Bees follow a king, and he rules them all."},
        {"id": "mud", "text": "Eels come from mud.", "questions": ["who is born from dirt"]},
    ]
    source.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    builder.build([source], tmp_path / "index", ENCODER)
    (asked,) = ENCODER.encode(["who is born from dirt"])
    with closing(Snapshot.open(tmp_path / "index", ENCODER)) as snapshot:
        first, second = snapshot.search(Query(encoding=asked, persona=""))
    assert (first.passage.source_id, second.asked) == ("mud", None)
    assert first.asked == pytest.approx(1, abs=1e-3)


def test_questions_count_nothing_where_a_passage_brings_none() -> None:
    (asked,) = ENCODER.encode(["bees"])
    given_ = candidates("Bees follow.", "Eels swim.")
    found = ranking.evidence(asked, equal_weights("bees"), given_)
    np.testing.assert_allclose(ranking.weighted(found, ranking.nearest_questions(asked, given_)), np.clip(found @ np.array(ranking.WEIGHTS), 0, 1), rtol=1e-5)


def test_a_later_build_keeps_the_questions_that_did_not_change(tmp_path: Path) -> None:
    source = tmp_path / "texts.jsonl"
    row = {"id": "mud", "text": "Eels come from mud.", "questions": ["where do eels come from", "who is born from dirt"]}
    source.write_text(json.dumps(row) + "\n", encoding="utf-8")
    builder.build([source], tmp_path / "index", ENCODER)
    source.write_text(json.dumps(row) + "\n" + json.dumps({"id": "new", "text": "Bees follow a king."}) + "\n", encoding="utf-8")
    assert builder.build([source], tmp_path / "index", ENCODER).embedded == 1
    with Generation.open(tmp_path / "index", fingerprint=ENCODER.fingerprint) as held:
        assert np.diff(held.question_offsets).tolist() == [2, 0]


def test_questions_that_are_no_list_of_strings_are_a_named_failure(tmp_path: Path) -> None:
    source = tmp_path / "texts.jsonl"
    source.write_text(json.dumps({"text": "Eels."}) + "\n" + json.dumps({"text": "Bees.", "questions": "what?"}) + "\n", encoding="utf-8")
    (failure,) = builder.build([source], tmp_path / "index", ENCODER).failed
    assert "`questions`" in failure.reason


def test_an_index_of_the_format_before_is_refused_with_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = tmp_path / "text.txt"
    source.write_text("Bees follow a king.", encoding="utf-8")
    with monkeypatch.context() as before:
        before.setattr("guardrail.index.publish.FORMAT", generation.FORMAT - 1)
        builder.build([source], tmp_path / "index", ENCODER)
    with pytest.raises(LibraryError, match=r"format 3, this version reads 4.*build it again"):
        Generation.open(tmp_path / "index", fingerprint=None)
