"""Build an index of a folder of books and query it.

    python benchmarks/ingest.py [--data ../shared/data/philosophy] [--limit-files N] [--queries 200]

Prints build time, passages and words a second, size on disk by file, and the p50 and p95 of a query (encoding included and left out).
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from guardrail.index.builder import build
from guardrail.index.document import SUFFIXES
from guardrail.index.encoder import MiniLM
from guardrail.index.generation import Generation
from guardrail.index.retriever import LibraryRetriever
from guardrail.protocols import Query

if TYPE_CHECKING:
    from guardrail.index.embedding import Progress


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--data", type=Path, default=Path("../shared/data/philosophy"))
    parser.add_argument("--limit-files", type=int)
    parser.add_argument("--queries", type=int, default=200)
    options = parser.parse_args()
    files = sorted(path for path in options.data.rglob("*") if path.suffix in SUFFIXES)[: options.limit_files]
    words = sum(len(path.read_text(encoding="utf-8", errors="replace").split()) for path in files)
    print(f"{len(files)} files, {words:,} words", flush=True)
    encoder = MiniLM()
    folder = Path(tempfile.mkdtemp(prefix="ingest-"))
    try:
        measure_build(files, folder / "index", encoder, words)
        measure_queries(folder / "index", encoder, options.queries)
    finally:
        shutil.rmtree(folder)


def measure_build(files: list[Path], out: Path, encoder: MiniLM, words: int) -> None:
    report = build(files, out, encoder, report=show)
    print(file=sys.stderr)
    print(f"build    {report.seconds:.1f} s, {report.passages} passages, {report.rate:.1f} passages/s embedding, {words / report.seconds:,.0f} words/s in all")
    print(f"         {len(report.failed)} failed, {len(report.duplicates)} duplicates")
    again = build(files, out, encoder)
    print(f"again    {again.seconds:.2f} s, {again.embedded} embedded")
    for path in sorted(path for path in (out / "generations" / report.generation).rglob("*") if path.is_file()):
        size = path.stat().st_size
        print(f"disk     {path.relative_to(out / 'generations' / report.generation)!s:32} {size / 1e6:8.2f} MB  {size / report.passages:8.0f} bytes a passage")
    start = time.perf_counter()
    Generation.open(out, fingerprint=encoder.fingerprint).close()
    print(f"open     {(time.perf_counter() - start) * 1000:.0f} ms with every hash checked")


def measure_queries(folder: Path, encoder: MiniLM, count: int) -> None:
    """Queries are the first twelve words of passages drawn at random."""
    with Generation.open(folder, fingerprint=encoder.fingerprint) as generation:
        random = np.random.default_rng(0)
        rows = random.choice(generation.manifest.passages, min(count, generation.manifest.passages), replace=False)
        texts = [" ".join(passage.text.split()[:12]) for passage in generation.passages(rows.tolist())]
    with LibraryRetriever(folder, encoder) as retriever:

        def ask(text: str) -> tuple[float, float]:
            start = time.perf_counter()
            (encoding,) = encoder.encode([text])
            encoded = time.perf_counter()
            retriever.search(Query(encoding=encoding))
            return time.perf_counter() - start, time.perf_counter() - encoded

        ask(texts[0])
        milliseconds = np.array([ask(text) for text in texts]).T * 1000
    for name, values in zip(("query", "search"), milliseconds, strict=True):
        print(f"{name:8} p50 {np.percentile(values, 50):.1f} ms, p95 {np.percentile(values, 95):.1f} ms over {len(values)}")


def show(progress: Progress) -> None:
    left = "" if progress.seconds_left is None else f", {progress.rate:.0f}/s, {progress.seconds_left:.0f} s left"
    print(f"\r{progress.step} {progress.done}/{progress.total}{left}    ", end="", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
