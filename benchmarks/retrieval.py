"""How well and how fast the library finds things.

    python -m benchmarks.retrieval --data ../shared/data/retrieval_wiki      quality, on the half of the queries that no weight was chosen on
    python -m benchmarks.retrieval --scale 100000 --data ...                 speed on one core over that many passages
    python -m benchmarks.retrieval --encoder --data ...                      the encoder alone

Quality: queries are split in two by a shuffle of their sorted ids with seed 0; the first half was for tuning, the second is printed. Intervals are
95 % of 2,000 bootstrap samples of the queries. A document counts where its best passage stands.
Scale: vectors and token states are real ones with noise, texts are real ones with their words shuffled and a tenth of them replaced.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from guardrail.index import builder, publish, ranking
from guardrail.index.chunk import Chunk, ChunkSettings
from guardrail.index.dense import DenseIndex
from guardrail.index.document import READER_VERSION, Document
from guardrail.index.embedding import Piece, encode
from guardrail.index.encoder import MiniLM, pack, unit
from guardrail.index.generation import (
    QUESTION_OFFSETS,
    QUESTION_VECTORS,
    SENTENCE_OFFSETS,
    SENTENCE_TOKENS,
    SENTENCE_VECTORS,
    SPARSE,
    TOKEN_OFFSETS,
    TOKENS,
    VECTORS,
    EncoderEntry,
    Generation,
    StoredDocument,
)
from guardrail.index.retriever import LibraryRetriever
from guardrail.index.sparse import SparseIndex
from guardrail.protocols import Query

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from numpy.typing import NDArray

    from guardrail.types import Encoding

SPLIT_SEED = 0
SAMPLES = 2_000
DEPTH = 40
"""Passages that are taken from each system; ten different documents are among them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Collection:
    """A retrieval set in BEIR's layout."""

    titles: dict[str, str]
    documents: dict[str, str]
    queries: dict[str, str]
    relevant: dict[str, frozenset[str]]

    @classmethod
    def read(cls, folder: Path) -> Collection:
        documents, queries = (
            [json.loads(line) for line in (folder / name).read_text(encoding="utf-8").splitlines()] for name in ("corpus.jsonl", "queries.jsonl")
        )
        relevant: dict[str, set[str]] = {}
        for line in (folder / "qrels.tsv").read_text(encoding="utf-8").splitlines()[1:]:
            query, document, _ = line.split("\t")
            relevant.setdefault(query, set()).add(document)
        return cls(
            titles={row["_id"]: row["title"] for row in documents},
            documents={row["_id"]: row["text"] for row in documents},
            queries={row["_id"]: row["text"] for row in queries},
            relevant={query: frozenset(found) for query, found in relevant.items()},
        )

    def held_out(self) -> list[str]:
        """Ids of the queries that no weight was chosen on."""
        ids = sorted(self.queries)
        random.Random(SPLIT_SEED).shuffle(ids)
        return ids[len(ids) // 2 :]


def ndcg(found: list[str], relevant: frozenset[str], k: int = 10) -> float:
    """Normalised discounted cumulative gain with binary relevance (Järvelin & Kekäläinen 2002)."""
    gain = sum(1 / np.log2(rank + 2) for rank, document in enumerate(found[:k]) if document in relevant)
    return float(gain / sum(1 / np.log2(rank + 2) for rank in range(min(k, len(relevant)))))


def recall(found: list[str], relevant: frozenset[str], k: int = 5) -> float:
    """Share of the relevant documents among the first k."""
    return len(relevant & set(found[:k])) / len(relevant)


def quality(data: Path) -> None:
    collection, encoder = Collection.read(data), MiniLM()
    with tempfile.TemporaryDirectory() as folder:
        source, out = Path(folder, "corpus.jsonl"), Path(folder, "index")
        source.write_text(
            "\n".join(json.dumps({"id": id_, "title": collection.titles[id_], "text": text}) for id_, text in collection.documents.items()), encoding="utf-8"
        )
        builder.build([source], out, encoder)
        ids = collection.held_out()
        encodings = encoder.encode([collection.queries[id_] for id_ in ids])
        with Generation.open(out, fingerprint=encoder.fingerprint) as generation, LibraryRetriever(out, encoder) as library:
            systems = _systems(generation, library, encoder)
            scores = {
                name: np.array(
                    [
                        (ndcg(found, collection.relevant[id_]), recall(found, collection.relevant[id_]))
                        for id_, encoding in zip(ids, encodings, strict=True)
                        for found in [list(dict.fromkeys(system(encoding)))]
                    ]
                )
                for name, system in systems.items()
            }
            print(f"{len(ids)} held-out queries (split seed {SPLIT_SEED}), {len(collection.documents)} documents, {generation.manifest.passages} passages\n")
    samples = np.random.default_rng(0).integers(0, len(ids), (SAMPLES, len(ids)))
    print(f"{'':34}{'nDCG@10':>22}{'recall@5':>22}")
    for name, values in scores.items():
        print(f"{name:34}" + "".join(f"{_interval(values[:, column], samples):>22}" for column in (0, 1)))
    last, *others = reversed(scores)
    for other in others:
        print(f"{f'  ahead of {other}':34}" + "".join(f"{_interval(scores[last][:, column] - scores[other][:, column], samples):>22}" for column in (0, 1)))


def _systems(generation: Generation, library: LibraryRetriever, encoder: MiniLM) -> dict[str, Callable[[Encoding], list[str]]]:
    """Ids of documents, best passage first, by what finds them."""
    sparse, dense = SparseIndex.load(generation.path / SPARSE), DenseIndex(generation.vectors)
    plain = DenseIndex(np.stack([encoding.vector for encoding in encoder.encode(list(generation.texts()))]))

    def sources(rows: Iterable[int]) -> list[str]:
        return [passage.source_id for passage in generation.passages(list(rows))]

    def bm25(question: Encoding) -> list[str]:
        return sources(sparse.top(sparse.scores(question.text), DEPTH))

    def plain_cosine(question: Encoding) -> list[str]:
        return sources(plain.top(question.vector, DEPTH))

    def cosine(question: Encoding) -> list[str]:
        return sources(dense.top(question.vector, DEPTH))

    def fused(question: Encoding) -> list[str]:
        scores = sparse.scores(question.text)
        rows = np.union1d(dense.top(question.vector, ranking.CANDIDATES), sparse.top(scores, ranking.CANDIDATES))
        return sources(rows[ranking.best_first(ranking.fuse(dense.cosines(question.vector, rows), scores[rows]))[:DEPTH]])

    def hybrid(question: Encoding) -> list[str]:
        hits = library.search(Query(encoding=question, k=ranking.RESCORED, token_budget=10**6))
        return [hit.passage.source_id for hit in hits]

    return {"BM25": bm25, "dense, text alone": plain_cosine, "dense, as indexed": cosine, "fused": fused, "fused + four cosines (as served)": hybrid}


def _interval(values: NDArray[np.float64], samples: NDArray[np.int64]) -> str:
    low, high = np.percentile(values[samples].mean(axis=1), [2.5, 97.5])
    return f"{100 * values.mean():.1f} [{100 * low:.1f}, {100 * high:.1f}]"


def scale(data: Path, size: int, folder: Path | None) -> None:
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    collection, encoder = Collection.read(data), MiniLM()
    with tempfile.TemporaryDirectory(dir=folder) as place:
        out = Path(place, "index")
        began = time.monotonic()
        _enlarge(collection, encoder, size, out)
        print(f"{size} passages written in {time.monotonic() - began:.0f} s, {_bytes(out) / 2**20:.0f} MiB on disk", flush=True)
        before, began = _rss(), time.monotonic()
        library = LibraryRetriever(out, encoder)
        print(f"opened and verified in {time.monotonic() - began:.1f} s, {_rss() - before:.0f} MiB\n")
        texts = [collection.queries[id_] for id_ in collection.held_out()[:300]]
        print(f"{'one core, with encoding the query':40}{'p50 ms':>10}{'p95 ms':>10}")
        for name, persona, works in (("all passages", None, ()), ("one persona (half)", "plato", ()), ("one work (1 %)", None, ("Work 7",))):
            times = []
            for text in texts:
                start = time.perf_counter()
                library.search(Query(encoding=encoder.encode([text])[0], persona=persona, works=works))
                times.append(time.perf_counter() - start)
            p50, p95 = np.percentile(times[20:], [50, 95]) * 1e3
            print(f"{name:40}{p50:10.1f}{p95:10.1f}")
        encoding = [_timed(lambda text=text: encoder.encode([text])) for text in texts]  # type: ignore[misc]  # mypy infers no type for a bound default
        p50, p95 = np.percentile(encoding, [50, 95]) * 1e3
        print(f"{'  of it, encoding':40}{p50:10.1f}{p95:10.1f}")
        library.close()


def _enlarge(collection: Collection, encoder: MiniLM, size: int, out: Path) -> None:
    """An index of `size` passages that look like those of `collection`."""
    drawn = np.random.default_rng(0)
    embedded = encode(encoder, [Piece(text, "", whole=False) for text in collection.documents.values()])
    originals = [embedding.encoding for embedding in embedded]
    words = [encoding.text.split() for encoding in originals]
    vocabulary = np.array([word for text in words for word in text])
    pick = drawn.integers(0, len(originals), size)

    def text(source: list[str]) -> str:
        mixed = drawn.permutation(np.array(source))
        replaced = drawn.random(len(mixed)) < 0.1
        mixed[replaced] = drawn.choice(vocabulary, int(replaced.sum()))
        return " ".join(mixed)

    texts = [text(words[number]) for number in pick]

    def fill(aside: Path) -> int:
        (aside / SPARSE).mkdir()
        SparseIndex.build(texts).save(aside / SPARSE)
        offsets = np.concatenate([[0], np.cumsum([len(originals[number].tokens) for number in pick])]).astype(np.int64)
        vectors = np.lib.format.open_memmap(aside / VECTORS, "w+", np.float16, (size, encoder.dimensions))
        tokens = np.lib.format.open_memmap(aside / TOKENS, "w+", np.int8, (int(offsets[-1]), encoder.token_dimensions))
        cut = np.concatenate([[0], np.cumsum([len(embedded[number].lengths) for number in pick])]).astype(np.int64)
        sentences = np.lib.format.open_memmap(aside / SENTENCE_VECTORS, "w+", np.int8, (int(cut[-1]), encoder.dimensions))
        for row, number in enumerate(pick):
            own = embedded[number].sentences
            sentences[cut[row] : cut[row + 1]] = pack(unit(own + 0.02 * drawn.standard_normal(own.shape, np.float32)))
            vectors[row] = unit(originals[number].vector + 0.02 * drawn.standard_normal(encoder.dimensions, np.float32))
            states = originals[number].tokens
            tokens[offsets[row] : offsets[row + 1]] = pack(unit(states + 0.03 * drawn.standard_normal(states.shape, np.float32)))
        vectors.flush()
        tokens.flush()
        sentences.flush()
        np.save(aside / TOKEN_OFFSETS, offsets)
        np.save(aside / SENTENCE_OFFSETS, cut)
        np.save(aside / QUESTION_VECTORS, np.zeros((0, encoder.dimensions), np.float16))
        np.save(aside / QUESTION_OFFSETS, np.zeros(size + 1, np.int64))
        np.save(aside / SENTENCE_TOKENS, np.concatenate([embedded[number].lengths for number in pick]))
        return int(offsets[-1])

    with publish.writer(out):
        publish.publish(
            out,
            fill,
            documents=[_stored(row, text) for row, text in enumerate(texts)],
            encoder=EncoderEntry(name=encoder.name, fingerprint=encoder.fingerprint, dimensions=encoder.dimensions, token_dimensions=encoder.token_dimensions),
            chunking=ChunkSettings(),
            roots=(),
        )


def _stored(row: int, text: str) -> StoredDocument:
    work = f"Work {row % 100}"
    document = Document(
        source_id=f"s{row}",
        uri=f"s{row}",
        sha256=sha256(text.encode()).hexdigest(),
        title=work,
        work=work,
        locator=str(row),
        persona=("plato", "aristotle")[row % 2],
        text=text,
        blocks=(),
    )
    chunk = Chunk(start=0, end=len(text), title=work, locator=str(row), tokens=len(text) // 5)
    return StoredDocument(document=document, root="", reader=READER_VERSION, chunks=(chunk,))


def encoder_alone(data: Path) -> None:
    code = (
        "import time; began = time.perf_counter()\n"
        "from guardrail.index.encoder import MiniLM\n"
        "imported = time.perf_counter(); encoder = MiniLM(); loaded = time.perf_counter(); encoder.encode(['What is virtue?'])\n"
        "print(imported - began, loaded - imported, time.perf_counter() - loaded, int(open('/proc/self/statm').read().split()[1]) * 4096 / 2**20)"
    )
    runs = [[float(part) for part in subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()] for _ in range(5)]
    imported, loaded, first, rss = np.median(runs, axis=0)
    print(f"cold start: import {imported:.2f} s, load and verify {loaded:.2f} s, first query {1e3 * first:.0f} ms; {rss:.0f} MiB resident")
    collection, encoder = Collection.read(data), MiniLM()
    queries = list(collection.queries.values())[:300]
    times = np.array([_timed(lambda text=text: encoder.encode([text])) for text in queries]) * 1e3  # type: ignore[misc]  # mypy infers no type for a bound default
    print(f"one query, one core: p50 {np.percentile(times, 50):.2f} ms, p95 {np.percentile(times, 95):.2f} ms")
    texts = list(collection.documents.values())[:128]
    length = np.mean([len(encoder.token_spans(text)) for text in texts])
    seconds = _timed(lambda: encoder.encode(texts))
    print(f"passages of {length:.0f} tokens, one core: {len(texts) / seconds:.0f} a second; {_rss():.0f} MiB resident afterwards")


def _timed(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def _rss() -> float:
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def _bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with corpus.jsonl, queries.jsonl and qrels.tsv")
    parser.add_argument("--scale", type=int, metavar="N", help="measure speed over N passages")
    parser.add_argument("--folder", type=Path, help="where the large index is written for the time being")
    parser.add_argument("--encoder", action="store_true", help="measure the encoder alone")
    arguments = parser.parse_args()
    if arguments.scale:
        scale(arguments.data, arguments.scale, arguments.folder)
    elif arguments.encoder:
        encoder_alone(arguments.data)
    else:
        quality(arguments.data)


if __name__ == "__main__":
    main()
