"""LangChain's own standard suites, unmodified."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from langchain_tests.integration_tests import EmbeddingsIntegrationTests, RetrieversIntegrationTests, VectorStoreIntegrationTests
from langchain_tests.unit_tests import EmbeddingsUnitTests

from guardrail.index import builder
from guardrail.index.langchain import GuardrailEmbeddings, GuardrailRetriever
from guardrail.index.retriever import LibraryRetriever
from guardrail.index.vector_store import GuardrailVectorStore
from tests.index.hash_encoder import HashEncoder

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from langchain_core.embeddings import Embeddings
    from langchain_core.retrievers import BaseRetriever
    from langchain_core.vectorstores import VectorStore


class TestStoreInMemory(VectorStoreIntegrationTests):
    @pytest.fixture
    def vectorstore(self) -> VectorStore:
        return GuardrailVectorStore(self.get_embeddings())


class TestStoreInFolder(VectorStoreIntegrationTests):
    @pytest.fixture
    def vectorstore(self, tmp_path: Path) -> VectorStore:
        return GuardrailVectorStore(self.get_embeddings(), folder=tmp_path / "index")

    @staticmethod
    def get_embeddings() -> Embeddings:
        return GuardrailEmbeddings(HashEncoder())


class TestEmbeddingsMade(EmbeddingsUnitTests):
    @property
    def embeddings_class(self) -> type[Embeddings]:
        return GuardrailEmbeddings


class TestEmbeddingsUsed(EmbeddingsIntegrationTests):
    @property
    def embeddings_class(self) -> type[Embeddings]:
        return GuardrailEmbeddings


@pytest.fixture(scope="class")
def library(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A real index as the class's `library`: the suite asks for the retriever's parameters by a property, which cannot take a fixture."""
    folder = tmp_path_factory.mktemp("library")
    source = folder / "texts.jsonl"
    source.write_text("\n".join(json.dumps({"text": f"Passage number {number} about virtue, of the {number}th kind."}) for number in range(8)))
    encoder = HashEncoder()
    builder.build([source], folder / "index", encoder)
    with LibraryRetriever(folder / "index", encoder) as request.cls.library:
        yield


@pytest.mark.usefixtures("library")
class TestRetriever(RetrieversIntegrationTests):
    library: LibraryRetriever

    @property
    def retriever_constructor(self) -> type[BaseRetriever]:
        return GuardrailRetriever

    @property
    def retriever_constructor_params(self) -> dict[str, Any]:
        return {"library": self.library}

    @property
    def retriever_query_example(self) -> str:
        return "What is virtue?"
