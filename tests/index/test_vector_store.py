"""Our LangChain vector store beyond the standard suite: filters, diversity, and the index it keeps in a folder."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from langchain_core.documents import Document
from langchain_core.embeddings import DeterministicFakeEmbedding

from guardrail.errors import LibraryError
from guardrail.index import builder
from guardrail.index.langchain import GuardrailEmbeddings
from guardrail.index.retriever import LibraryRetriever
from guardrail.index.vector_store import GuardrailVectorStore
from guardrail.protocols import Query
from tests.index.hash_encoder import HashEncoder

if TYPE_CHECKING:
    from pathlib import Path

ENCODER = HashEncoder()
EMBEDDINGS = GuardrailEmbeddings(ENCODER)
TEXTS = ["The soul has three parts", "The soul has three parts.", "Four causes explain nature", "Virtue is a mean"]
METADATA = [{"work": "Republic"}, {"work": "Republic"}, {"work": "Physics"}, {"work": "Ethics"}]


@pytest.fixture
def store() -> GuardrailVectorStore:
    return GuardrailVectorStore.from_texts(TEXTS, EMBEDDINGS, METADATA, ids=["a", "b", "c", "d"])


def test_scores_are_cosines_best_first(store: GuardrailVectorStore) -> None:
    found = store.similarity_search_with_score("Virtue is a mean", k=4)
    assert found[0][0].id == "d"
    assert found[0][1] == pytest.approx(1)
    assert [score for _, score in found] == sorted((score for _, score in found), reverse=True)


def test_a_filter_applies_before_the_search(store: GuardrailVectorStore) -> None:
    assert [document.id for document in store.similarity_search("the soul has parts", k=1, filter={"work": "Physics"})] == ["c"]
    assert [document.id for document in store.similarity_search("the soul has parts", k=1, filter=lambda document: document.id == "d")] == ["d"]
    assert store.similarity_search("the soul", filter={"work": "Laws"}) == []


def test_marginal_relevance_leaves_the_repetition_out(store: GuardrailVectorStore) -> None:
    query = "The soul has three parts"
    assert {document.id for document in store.similarity_search(query, k=2)} == {"a", "b"}
    assert {document.id for document in store.max_marginal_relevance_search(query, k=2, lambda_mult=0.2)} != {"a", "b"}
    assert len(store.max_marginal_relevance_search(query, k=9)) == 4


def test_it_serves_as_a_retriever(store: GuardrailVectorStore) -> None:
    retriever = store.as_retriever(search_type="similarity_score_threshold", search_kwargs={"score_threshold": 0.99, "k": 3})
    assert [document.id for document in retriever.invoke("Virtue is a mean")] == ["d"]


def test_what_a_caller_does_to_a_result_does_not_reach_the_store(store: GuardrailVectorStore) -> None:
    store.get_by_ids(["a"])[0].metadata["work"] = "changed"
    assert store.get_by_ids(["a"])[0].metadata == {"work": "Republic"}


def test_delete_without_ids_empties_the_store(store: GuardrailVectorStore) -> None:
    assert store.delete()
    assert store.similarity_search("soul") == []


def test_a_folder_is_there_again_after_a_restart(tmp_path: Path) -> None:
    first = GuardrailVectorStore.from_texts(TEXTS, EMBEDDINGS, METADATA, ids=["a", "b", "c", "d"], folder=tmp_path / "index")
    first.delete(["b"])
    first.add_documents([Document(id="c", page_content="There are four causes", metadata={"work": "Physics", "page": 3})])
    again = GuardrailVectorStore(EMBEDDINGS, folder=tmp_path / "index")
    assert again.get_by_ids(["a", "b", "c"]) == [
        Document(id="a", page_content=TEXTS[0], metadata={"work": "Republic"}),
        Document(id="c", page_content="There are four causes", metadata={"work": "Physics", "page": 3}),
    ]
    assert again.similarity_search("four causes", k=1)[0].id == "c"


def test_a_folder_is_a_real_index_that_a_running_library_follows(tmp_path: Path) -> None:
    store = GuardrailVectorStore.from_texts(TEXTS, EMBEDDINGS, METADATA, ids=["a", "b", "c", "d"], folder=tmp_path / "index")
    (encoding,) = ENCODER.encode(["four causes"])
    with LibraryRetriever(tmp_path / "index", ENCODER) as library:
        assert library.search(Query(encoding=encoding, works=("physics",)))[0].passage.source_id == "c"
        store.delete()
        library.refresh()
        assert library.search(Query(encoding=encoding)) == ()


def test_unchanged_documents_are_not_embedded_again_for_the_index(tmp_path: Path) -> None:
    encoder = HashEncoder()
    store = GuardrailVectorStore.from_texts(TEXTS, GuardrailEmbeddings(encoder), folder=tmp_path / "index")
    encoder.encoded.clear()
    store.add_texts(["something new"])
    assert encoder.encoded == ["something new"]


def test_titles_and_blank_texts_go_into_a_folder(tmp_path: Path) -> None:
    store = GuardrailVectorStore(EMBEDDINGS, folder=tmp_path / "index")
    store.add_texts(["", "Virtue is a mean.", " \n"], [{"title": "Nothing"}, {"title": "On virtue"}, {}], ids=["a", "b", "c"])
    assert [document.page_content for document in store.get_by_ids(["a", "b", "c"])] == ["", "Virtue is a mean.", " \n"]
    assert store.similarity_search("virtue is a mean", k=1)[0].metadata == {"title": "On virtue"}


def test_an_index_built_from_files_is_searched_but_not_changed(tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("Virtue is a mean between two vices.", encoding="utf-8")
    builder.build([tmp_path / "text.txt"], tmp_path / "index", ENCODER)
    store = GuardrailVectorStore(EMBEDDINGS, folder=tmp_path / "index")
    (found,) = store.similarity_search("virtue")
    with pytest.raises(LibraryError, match="built from files"):
        store.add_texts(["more"])
    assert store.get_by_ids([str(found.id)]) == [found]
    assert store.similarity_search("more", k=9) == [found]


def test_a_folder_needs_our_embeddings_and_json_metadata(tmp_path: Path) -> None:
    with pytest.raises(LibraryError, match="GuardrailEmbeddings"):
        GuardrailVectorStore(DeterministicFakeEmbedding(size=6), folder=tmp_path / "index")
    with pytest.raises(LibraryError, match="not JSON"):
        GuardrailVectorStore.from_texts(["x"], EMBEDDINGS, [{"when": {1, 2}}], folder=tmp_path / "index")
