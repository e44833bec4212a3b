"""`guardrail index`: build, sync, search, info, remove."""

from __future__ import annotations

import json
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import click

from guardrail.errors import GuardrailError
from guardrail.presentation import passage_object

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from guardrail.index.builder import BuildReport
    from guardrail.index.embedding import Progress
    from guardrail.index.retriever import LibraryRetriever
    from guardrail.protocols import Encoder
    from guardrail.types import Hit

_SHOWN = 10
"""Most lines of one kind on standard error; `--json` has them all."""
_BATCH = 32

_out = click.option("--out", "--index", "out", type=click.Path(path_type=Path, file_okay=False), required=True, metavar="DIR", help="The index's folder.")
_index = click.option("--index", "--out", "folder", type=click.Path(path_type=Path), metavar="DIR", help="The index's folder; without it the built-in library.")
_persona = click.option("--persona", default="", metavar="P", help="Whose shelf documents that name none stand on; without it everybody's.")
_work = click.option("--work", default="", metavar="W", help="Title of the work, for documents that name none.")
_json = click.option("--json", "as_json", is_flag=True, help="Print one line of JSON.")


@click.group()
def index() -> None:
    """Make a library of documents and search it."""


@index.command()
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True), metavar="PATH...")
@_out
@_persona
@_work
@click.option("--overlap", is_flag=True, help="Begin each passage with the last sentence of the one before.")
@_json
def build(*, paths: tuple[Path, ...], out: Path, persona: str, work: str, overlap: bool, as_json: bool) -> None:
    """Put documents (txt, md, html, pdf, docx, epub, jsonl) into an index.

    Only what changed is embedded; what is gone from PATH is deleted; documents from other paths stay. An interrupted build resumes.
    """
    with _one_sentence():
        from guardrail.index import builder
        from guardrail.index.chunk import ChunkSettings

        with _Meter() as meter:
            report = builder.build(paths, out, _encoder(), persona=persona, work=work, chunking=ChunkSettings(overlap=overlap), report=meter)
        _tell(report, out, as_json=as_json)


@index.command()
@click.argument("paths", nargs=-1, type=click.Path(path_type=Path, exists=True), metavar="[PATH...]")
@_out
@_persona
@_work
@_json
def sync(*, paths: tuple[Path, ...], out: Path, persona: str, work: str, as_json: bool) -> None:
    """Make an index hold what is under PATH and nothing else; without PATH, under the paths it was built from."""
    with _one_sentence():
        from guardrail.index import builder

        if not paths and (persona or work):
            raise click.UsageError("--persona and --work go with a PATH.")
        with _Meter() as meter:
            report = builder.sync(paths, out, _encoder(), persona=persona, work=work, report=meter)
        _tell(report, out, as_json=as_json)


@index.command()
@click.argument("source_ids", nargs=-1, required=True, metavar="SOURCE_ID...")
@_out
@_json
def remove(*, source_ids: tuple[str, ...], out: Path, as_json: bool) -> None:
    """Take documents out of an index. A later build brings back those whose files are still there."""
    with _one_sentence():
        from guardrail.index import builder

        _tell(builder.remove(source_ids, out, _encoder()), out, as_json=as_json)


@index.command()
@_index
@click.option("--sources", is_flag=True, help="List the documents too.")
@_json
def info(*, folder: Path | None, sources: bool, as_json: bool) -> None:
    """Say what an index holds; checks every file of it."""
    with _one_sentence():
        import msgspec

        from guardrail.index.generation import Generation

        folder = folder or _builtin(_encoder())
        with Generation.open(folder, fingerprint=None) as generation:
            manifest = msgspec.to_builtins(generation.manifest)
            facts = {"index": str(folder), "generation": generation.name, "bytes": sum(file["bytes"] for file in manifest["files"].values())} | manifest
            if sources:
                facts["sources"] = [
                    {
                        "source_id": stored.document.source_id,
                        "title": stored.document.title,
                        "work": stored.document.work,
                        "persona": stored.document.persona,
                        "uri": stored.document.uri,
                        "sha256": stored.document.sha256,
                        "passages": len(stored.chunks),
                    }
                    for stored in generation.documents()
                ]
        if as_json:
            _print(facts)
            return
        click.echo(f"{folder}\ngeneration  {generation.name}, made {manifest['created']}")
        click.echo(f"encoder     {manifest['encoder']['name']} ({manifest['encoder']['fingerprint'][:12]})")
        click.echo(f"holds       {manifest['documents']} documents, {manifest['passages']} passages, {facts['bytes'] / 1e6:.1f} MB")
        for root in manifest["roots"]:
            click.echo(f"from        {root['path']}")
        for source in facts.get("sources", ()):
            click.echo(f"{source['source_id']}\t{source['work']}\t{source['persona']}\t{source['passages']}")


@index.command()
@click.argument("text", required=False)
@_index
@click.option("--jsonl", "queries", type=click.File("rb"), metavar="FILE|-", help='Lines of {"id", "text"} to search for.')
@click.option("--k", type=click.IntRange(1, 100), default=5, show_default=True, help="Most passages a query.")
@click.option("--persona", metavar="P", help="Only passages that this persona may speak from.")
@click.option("--work", "works", multiple=True, metavar="W", help="Only passages of this work; may be given more than once.")
@_json
def search(
    *, text: str | None, folder: Path | None, queries: Iterable[bytes] | None, k: int, persona: str | None, works: tuple[str, ...], as_json: bool
) -> None:
    """Find the passages that speak to TEXT, best first."""
    if (text is None) == (queries is None):
        raise click.UsageError("Give TEXT or --jsonl, one of them.")
    if text is not None and not text.strip():
        raise click.UsageError("TEXT is empty.")
    with _one_sentence():
        from guardrail.index.retriever import LibraryRetriever

        encoder = _encoder()
        with LibraryRetriever(folder or _builtin(encoder), encoder) as retriever:
            searcher = _Searcher(encoder=encoder, retriever=retriever, k=k, persona=persona, works=works)
            if text is not None:
                hits = searcher.search([text])[0]
                _print({"passages": [passage_object(hit) for hit in hits]}) if as_json else _show(hits)
            elif queries is not None and not _answer_lines(queries, searcher):
                sys.exit(1)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Searcher:
    """One opened index with the filters of this call."""

    encoder: Encoder
    retriever: LibraryRetriever
    k: int
    persona: str | None
    works: tuple[str, ...]

    def search(self, texts: list[str]) -> list[tuple[Hit, ...]]:
        """The hits of each text."""
        from guardrail.protocols import Query

        budget = self.k * self.encoder.max_tokens  # k passages are asked for, however long they are
        return [
            self.retriever.search(Query(encoding=encoding, persona=self.persona, works=self.works, k=self.k, token_budget=budget))
            for encoding in self.encoder.encode(texts)
        ]


def _answer_lines(queries: Iterable[bytes], searcher: _Searcher) -> bool:
    """Answer each line, in order, some together; False where a line was bad."""
    good = True
    waiting: list[dict[str, Any]] = []

    def answer() -> None:
        texts = [line["text"] for line in waiting if "error" not in line]
        found = iter(searcher.search(texts) if texts else ())
        for line in waiting:
            _print(line if "error" in line else {"id": line["id"], "passages": [passage_object(hit) for hit in next(found)]})
        waiting.clear()

    for raw in queries:
        if not raw.strip():
            continue
        waiting.append(_query_line(raw))
        good = good and "error" not in waiting[-1]
        if len(waiting) == _BATCH:
            answer()
    answer()
    return good


def _query_line(raw: bytes) -> dict[str, Any]:
    import msgspec

    try:
        line = msgspec.json.decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return {"id": None, "error": "The line is not valid JSON."}
    if not isinstance(line, dict):
        return {"id": None, "error": "The line is not a JSON object."}
    text = line.get("text")
    if not isinstance(text, str) or not text.strip():
        return {"id": line.get("id"), "error": "The line has no `text`."}
    return {"id": line.get("id"), "text": text}


def _show(hits: tuple[Hit, ...]) -> None:
    if not hits:
        click.echo("Nothing was found.", err=True)
    for number, hit in enumerate(hits, start=1):
        passage = hit.passage
        place = ", ".join(part for part in (passage.work, passage.locator) if part)
        click.echo(f"{number}. {passage.title} ({place})  {hit.score:.2f}  {passage.id}\n   {' '.join(passage.text.split())}\n")


def _tell(report: BuildReport, out: Path, *, as_json: bool) -> None:
    """Print what a build did; ends with exit code 1 where a document could not be read."""
    import msgspec

    if as_json:
        _print({"index": str(out)} | msgspec.to_builtins(report))
    else:
        click.echo(
            f"{out}: {report.added} added, {report.updated} updated, {report.unchanged} unchanged, {report.deleted} deleted; "
            f"{report.passages} passages, {report.embedded} embedded in {report.seconds:.1f} s" + (f" ({report.rate:.0f}/s)" if report.embedded else "")
        )
    _list("ignored, of a kind that is not read", [f"{path}" for path in report.ignored])
    _list(
        "with the text of another",
        [f"{found.source_id} is {'the same as' if found.kind == 'exact' else 'nearly'} {found.of} ({found.passages} passages)" for found in report.duplicates],
    )
    _list("not read", [f"{failure.path}: {failure.reason}" for failure in report.failed])
    if report.failed:
        sys.exit(1)


def _list(what: str, entries: list[str]) -> None:
    if entries:
        click.echo(f"{len(entries)} {'document' if len(entries) == 1 else 'documents'} {what}:", err=True)
        for entry in entries[:_SHOWN]:
            click.echo(f"  {entry}", err=True)
        if len(entries) > _SHOWN:
            click.echo(f"  and {len(entries) - _SHOWN} more (--json lists all)", err=True)


def _print(value: object) -> None:
    click.echo(json.dumps(value, ensure_ascii=False))


def _encoder() -> Encoder:
    from guardrail.index.encoder import MiniLM

    return MiniLM()


def _builtin(encoder: Encoder) -> Path:
    from guardrail.index import builtin

    return builtin.ensure(encoder)


@contextmanager
def _one_sentence() -> Iterator[None]:
    """Turn what users can do something about into one sentence and exit code 1."""
    try:
        yield
    except GuardrailError as error:
        raise click.ClickException(str(error)) from error
    except BrokenPipeError:  # whoever read our output has seen enough
        sys.stderr.close()
        sys.exit(1)


class _Meter:
    """Progress on standard error: a bar on a terminal, else a line every few seconds."""

    LINE_SECONDS = 5.0
    DONE = MappingProxyType({"read": "read", "cut": "cut", "embed": "embedded", "write": "written"})

    def __init__(self) -> None:
        self._terminal = sys.stderr.isatty()
        self._said = time.monotonic()
        self._width = 0

    def __enter__(self) -> _Meter:
        return self

    def __exit__(self, *_: object) -> None:
        if self._width:
            sys.stderr.write("\n")

    def __call__(self, progress: Progress) -> None:
        now = time.monotonic()
        last = progress.done == progress.total
        if now - self._said < (0.1 if self._terminal else self.LINE_SECONDS) and not (last and self._terminal):
            return
        self._said = now
        line = f"{self.DONE[progress.step]} {progress.done}/{progress.total}"
        if progress.seconds_left is not None:
            minutes, seconds = divmod(round(progress.seconds_left), 60)
            line += f", {progress.rate:.0f}/s, {minutes}:{seconds:02d} left"
        if not self._terminal:
            print(line, file=sys.stderr, flush=True)
            return
        filled = round(30 * progress.done / progress.total) if progress.total else 30
        shown = f"[{'#' * filled}{'.' * (30 - filled)}] {line}"
        sys.stderr.write("\r" + shown.ljust(self._width))
        sys.stderr.flush()
        self._width = len(shown)
