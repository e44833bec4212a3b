"""A LangChain vector store of our own: in memory, or kept as an index that `guardrail index search` and a running server read."""

from __future__ import annotations

import json
import threading
import uuid
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeAlias, TypeVar

import numpy as np
from langchain_core.documents import Document
from langchain_core.vectorstores import VectorStore
from langchain_core.vectorstores.utils import maximal_marginal_relevance

from guardrail.errors import LibraryError
from guardrail.index import publish
from guardrail.index.chunk import Chunk, ChunkSettings
from guardrail.index.dense import DenseIndex, Rows
from guardrail.index.document import READER_VERSION
from guardrail.index.document import Document as SourceDocument
from guardrail.index.embedding import Embeddings as StoredEmbeddings
from guardrail.index.embedding import Pace, Piece
from guardrail.index.encoder import unit
from guardrail.index.generation import CURRENT, SPARSE, STAGING, EncoderEntry, Generation, StoredDocument
from guardrail.index.langchain import GuardrailEmbeddings
from guardrail.index.sparse import SparseIndex

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from langchain_core.embeddings import Embeddings
    from numpy.typing import NDArray

Value = TypeVar("Value")
Filter: TypeAlias = "Mapping[str, Any] | Callable[[Document], bool]"
"""Metadata that a document must have, or a question to ask about each document."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _View:
    """What a search sees; never changes."""

    documents: tuple[Document, ...]
    dense: DenseIndex


class GuardrailVectorStore(VectorStore):
    """Documents by cosine of their embeddings. Thread-safe; an id that is added again replaces its document.

    With `folder` every change is published as a new generation of a real index, one passage a document, embedded as the library embeds (as far as the
    encoder reads, and with its title). Metadata must then be JSON; `work`, `persona`, `title` and `locator` of it mean what they mean in the library.
    Such a folder needs GuardrailEmbeddings, and one that was built from files can be searched but not changed (LibraryError).
    """

    def __init__(self, embedding: Embeddings, *, folder: str | Path | None = None) -> None:
        self._embedding = embedding
        self._folder = None if folder is None else Path(folder)
        self._lock = threading.RLock()
        self._documents: dict[str, Document] = {}
        self._vectors: dict[str, NDArray[np.float32]] = {}
        self._current: _View | None = None
        if self._folder is not None:
            self._documents, self._vectors = self._read(self._folder)

    @property
    def embeddings(self) -> Embeddings:
        """What the store embeds with."""
        return self._embedding

    @classmethod
    def from_texts(
        cls,
        texts: list[str],
        embedding: Embeddings,
        metadatas: list[dict[str, Any]] | None = None,
        *,
        ids: list[str] | None = None,
        folder: str | Path | None = None,
        **_: Any,
    ) -> Self:
        """A store that holds `texts`."""
        store = cls(embedding, folder=folder)
        store.add_texts(texts, metadatas, ids=ids)
        return store

    def add_texts(self, texts: Iterable[str], metadatas: list[dict[str, Any]] | None = None, *, ids: Sequence[str | None] | None = None, **_: Any) -> list[str]:
        """Add or replace documents; returns their ids, made up where none is given."""
        texts = list(texts)
        named = [id_ or str(uuid.uuid4()) for id_ in (ids or [None] * len(texts))]
        metadata = metadatas or [{} for _ in texts]
        added = {id_: Document(id=id_, page_content=text, metadata=dict(data)) for id_, text, data in zip(named, texts, metadata, strict=True)}
        if not added:
            return []
        vectors = dict(zip(named, unit(np.array(self._embedding.embed_documents(texts), np.float32)), strict=True)) if self._folder is None else {}
        with self._lock:
            self._change(self._documents | added, self._vectors | vectors)
        return named

    def delete(self, ids: list[str] | None = None, **_: Any) -> bool:
        """Take documents out, all of them without `ids`; unknown ids are none of our business."""
        with self._lock:
            gone = set(self._documents if ids is None else ids)
            if gone & self._documents.keys():
                self._change(_without(self._documents, gone), _without(self._vectors, gone))
        return True

    def get_by_ids(self, ids: Sequence[str], /) -> list[Document]:
        """The documents of `ids`; unknown ones are left out."""
        with self._lock:
            return [_copy(self._documents[id_]) for id_ in ids if id_ in self._documents]

    def similarity_search(self, query: str, k: int = 4, filter: Filter | None = None, **_: Any) -> list[Document]:  # noqa: A002 - LangChain's name
        """The `k` nearest documents, among those that pass `filter`."""
        return [document for document, _ in self.similarity_search_with_score(query, k, filter)]

    def similarity_search_with_score(self, query: str, k: int = 4, filter: Filter | None = None, **_: Any) -> list[tuple[Document, float]]:  # noqa: A002 - LangChain's name
        """The same with their cosines, -1 to 1, higher is nearer."""
        return self.similarity_search_with_score_by_vector(self._embedding.embed_query(query), k, filter)

    def similarity_search_by_vector(self, embedding: list[float], k: int = 4, filter: Filter | None = None, **_: Any) -> list[Document]:  # noqa: A002 - LangChain's name
        """The `k` documents nearest to a vector."""
        return [document for document, _ in self.similarity_search_with_score_by_vector(embedding, k, filter)]

    def similarity_search_with_score_by_vector(self, embedding: list[float], k: int = 4, filter: Filter | None = None) -> list[tuple[Document, float]]:  # noqa: A002 - LangChain's name
        """The same with their cosines."""
        view = self._view()
        if not view.documents:
            return []
        vector = unit(np.array(embedding, np.float32))
        rows = view.dense.top(vector, k, _rows(view, filter))
        return [(_copy(view.documents[row]), float(cosine)) for row, cosine in zip(rows, view.dense.cosines(vector, rows), strict=True)]

    def max_marginal_relevance_search(
        self,
        query: str,
        k: int = 4,
        fetch_k: int = 20,
        lambda_mult: float = 0.5,
        filter: Filter | None = None,  # noqa: A002 - LangChain's name
        **_: Any,
    ) -> list[Document]:
        """`k` documents that are near to the query and far from each other (Carbonell & Goldstein 1998); `lambda_mult` 1: nearness alone."""
        return self.max_marginal_relevance_search_by_vector(self._embedding.embed_query(query), k, fetch_k, lambda_mult, filter)

    def max_marginal_relevance_search_by_vector(
        self,
        embedding: list[float],
        k: int = 4,
        fetch_k: int = 20,
        lambda_mult: float = 0.5,
        filter: Filter | None = None,  # noqa: A002 - LangChain's name
        **_: Any,
    ) -> list[Document]:
        """The same for a vector."""
        view = self._view()
        vector = unit(np.array(embedding, np.float32))
        rows = view.dense.top(vector, fetch_k, _rows(view, filter))
        if not len(rows):
            return []
        chosen = maximal_marginal_relevance(vector, list(view.dense.vectors[rows]), lambda_mult, k)
        return [_copy(view.documents[rows[place]]) for place in chosen]

    def _select_relevance_score_fn(self) -> Callable[[float], float]:
        return lambda cosine: (1 + cosine) / 2

    def _view(self) -> _View:
        with self._lock:
            if self._current is None:
                vectors = np.stack(list(self._vectors.values())) if self._vectors else np.zeros((0, 1), np.float32)
                self._current = _View(documents=tuple(self._documents.values()), dense=DenseIndex(vectors))
            return self._current

    def _change(self, documents: dict[str, Document], vectors: dict[str, NDArray[np.float32]]) -> None:
        if self._folder is not None:
            self._publish(self._folder, documents)
            documents, vectors = self._read(self._folder)
        self._documents, self._vectors, self._current = documents, vectors, None

    def _encoder(self) -> GuardrailEmbeddings:
        if not isinstance(self._embedding, GuardrailEmbeddings):
            raise LibraryError("A vector store in a folder needs GuardrailEmbeddings: an index keeps token states, which only our encoders give.")
        return self._embedding

    def _read(self, folder: Path) -> tuple[dict[str, Document], dict[str, NDArray[np.float32]]]:
        """What the index in `folder` holds, with its vectors; nothing where there is none yet."""
        documents: dict[str, Document] = {}
        vectors: dict[str, NDArray[np.float32]] = {}
        encoder = self._encoder().encoder
        if not (folder / CURRENT).exists():
            return documents, vectors
        with Generation.open(folder, fingerprint=encoder.fingerprint) as generation:
            rows = np.asarray(generation.vectors, np.float32)
            metadata = {stored.document.source_id: stored.document.metadata for stored in generation.documents()}
            for row, passage in enumerate(generation.passages(range(generation.manifest.passages))):
                id_ = passage.id if generation.manifest.roots else passage.source_id
                documents[id_] = Document(id=id_, page_content=passage.text, metadata=metadata[passage.source_id])
                vectors[id_] = rows[row]
        return documents, vectors

    def _publish(self, folder: Path, documents: Mapping[str, Document]) -> None:
        """Make `documents` the next generation of the index in `folder`."""
        encoder = self._encoder().encoder
        with publish.writer(folder):
            embeddings = StoredEmbeddings(encoder, folder / STAGING)
            if (folder / CURRENT).exists():
                with Generation.open(folder, fingerprint=encoder.fingerprint) as old:
                    if old.manifest.roots:
                        raise LibraryError(f"The index in {folder} was built from files: change those and run `guardrail index sync`.")
                    embeddings.keep(old)
            stored = [_stored(document, len(encoder.token_spans(document.page_content))) for document in documents.values()]
            pieces = [
                Piece(text=item.document.text, title=chunk.title, whole=True, tokens=chunk.tokens, questions=item.document.questions)
                for item in stored
                for chunk in item.chunks
            ]
            missing = {piece.key: piece for piece in pieces if piece.key not in embeddings}
            if missing:
                embeddings.compute(missing.values(), lambda _: None, Pace())

            def fill(aside: Path) -> int:
                (aside / SPARSE).mkdir()
                SparseIndex.build(f"{piece.title}\n{piece.text}" for piece in pieces).save(aside / SPARSE)
                return embeddings.write(aside, [piece.key for piece in pieces])

            name = publish.publish(
                folder,
                fill,
                documents=stored,
                encoder=EncoderEntry(
                    name=encoder.name, fingerprint=encoder.fingerprint, dimensions=encoder.dimensions, token_dimensions=encoder.token_dimensions
                ),
                chunking=ChunkSettings(),
                roots=(),
            )
            publish.collect_garbage(folder, name)


def _stored(document: Document, tokens: int) -> StoredDocument:
    """A LangChain document as an index keeps it: whole, as one passage."""
    text, metadata = document.page_content, document.metadata
    try:
        json.dumps(metadata, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise LibraryError(f"The metadata of document {document.id!r} is not JSON ({error}): an index cannot keep it.") from error
    title, work, locator, persona = (str(metadata.get(name) or "") for name in ("title", "work", "locator", "persona"))
    id_ = document.id or ""
    heading = title if text.strip() else ""  # a title leads to a text's first sentence, and there is none
    return StoredDocument(
        document=SourceDocument(
            source_id=id_,
            uri=id_,
            sha256=sha256(text.encode()).hexdigest(),
            title=title,
            work=work,
            locator=locator,
            persona=persona,
            text=text,
            blocks=(),
            metadata=metadata,
        ),
        root="",
        reader=READER_VERSION,
        chunks=(Chunk(start=0, end=len(text), title=heading, locator=locator, tokens=tokens),),
    )


def _rows(view: _View, wanted: Filter | None) -> Rows | None:
    """The documents that pass a filter."""
    if wanted is None:
        return None
    passes = wanted if callable(wanted) else lambda document: all(document.metadata.get(name) == value for name, value in wanted.items())
    return Rows(np.array([row for row, document in enumerate(view.documents) if passes(document)], np.int64), len(view.documents))


def _without(mapping: Mapping[str, Value], gone: set[str]) -> dict[str, Value]:
    return {id_: value for id_, value in mapping.items() if id_ not in gone}


def _copy(document: Document) -> Document:
    """A document that the caller may change."""
    return document.model_copy(update={"metadata": dict(document.metadata)})
