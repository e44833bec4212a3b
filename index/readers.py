"""Readers of md, html, pdf, docx and epub. Each takes the bytes of a file and returns its text and structure, or raises DocumentError.

The parsers come with the extra `documents`; `guardrail.index.document` says so when they are missing.
"""

from __future__ import annotations

import io
import logging
import posixpath
import re
import zipfile
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import docx
import docx.document
import docx.table
import pypdf
import yaml
from lxml import etree
from markdown_it import MarkdownIt
from selectolax.lexbor import LexborHTMLParser, LexborNode

from guardrail.errors import DocumentError
from guardrail.index import plain_text
from guardrail.index.structure import Extract, ExtractWriter

if TYPE_CHECKING:
    from collections.abc import Iterator

UNPACKED_BYTES = 512 * 2**20
"""Most bytes an archive may unpack to."""
UNPACKED_RATIO = 1000
"""Most times an archive member may grow; real text stays far below, a bomb is far above."""
MEMBERS = 20_000

_BLOCK_NAMES = (
    "address article aside blockquote body caption center dd details dialog div dl dt fieldset figcaption figure footer form h1 h2 h3 h4 h5 h6 header hr html "
    "legend li main ol p pre section summary table tbody tfoot thead tr ul"
)
_SKIPPED_NAMES = "head script style noscript template nav svg math iframe object embed select button textarea input canvas audio video"
_BLOCKS = frozenset(_BLOCK_NAMES.split())
_SKIPPED = frozenset(_SKIPPED_NAMES.split())
_SPACE = re.compile(r"[ \t\r\n\f]+")
_SPACE_AROUND_BREAK = re.compile(r"(?:(?<! ) ++)?([\n\t]) *+")
_META_CHARSET = re.compile(rb"""<meta[^>]{0,200}charset\s*=\s*["']?([\w-]{2,40})""", re.IGNORECASE)
_FRONT_MATTER = re.compile(r"\A---[ \t]*\r?\n(.*?)\r?\n(?:---|\.\.\.)[ \t]*(?:\r?\n|\Z)", re.DOTALL)
_SENTENCE_ENDS = (".", "!", "?", ":", "…", '"', "”", "’", "»", ")")
_OLE = b"\xd0\xcf\x11\xe0"
_XML = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False)
_CONTAINER = "{urn:oasis:names:tc:opendocument:xmlns:container}"
_OPF = "{http://www.idpf.org/2007/opf}"
_DC = "{http://purl.org/dc/elements/1.1/}"
_XENC = "{http://www.w3.org/2001/04/xmlenc#}"


def html(raw: bytes) -> Extract:
    """Visible text; scripts, styles, navigation and hidden elements are left out."""
    declared = _META_CHARSET.search(raw[:4096])
    return _html(plain_text.decode(raw, declared=declared.group(1).decode("ascii") if declared else None))


def markdown(raw: bytes) -> Extract:
    """CommonMark with tables, as the reader sees it; a YAML front matter's plain values become metadata."""
    source = plain_text.decode(raw)
    metadata: dict[str, str] = {}
    front = _FRONT_MATTER.match(source)
    if front:
        metadata = _front_matter(front.group(1))
        source = source[front.end() :]
    extract = _html(MarkdownIt("commonmark").enable("table").render(source))
    title = metadata.pop("title", "") or next((extract.text[block.start : block.end] for block in extract.blocks if block.level == 1), "")
    return Extract(text=extract.text, blocks=extract.blocks, title=title, metadata=metadata)


def pdf(raw: bytes) -> Extract:
    """The text layer, page by page."""
    logging.getLogger("pypdf").setLevel(logging.ERROR)  # it warns about every flaw that it can mend
    if b"%PDF-" not in raw[:1024]:
        raise DocumentError("The file is not a PDF.")
    reader = pypdf.PdfReader(io.BytesIO(raw))
    if reader.is_encrypted and not reader.decrypt(""):
        raise DocumentError("The PDF is protected by a password: save a copy without one.")
    writer = ExtractWriter()
    labels = _page_labels(reader)
    unfinished = False
    for number, page in enumerate(reader.pages):
        label: str | None = labels[number]
        for paragraph in re.split(r"\n\s*\n", page.extract_text()):
            text = "\n".join(line.rstrip() for line in paragraph.strip().splitlines())
            if not text:
                continue
            (writer.resume if unfinished and label is not None else writer.add)(text, page=label)
            unfinished = not text.endswith(_SENTENCE_ENDS)
            label = None
    if not writer.length:
        raise DocumentError("The PDF holds no text, only pictures: run OCR on it first.")
    info = reader.metadata
    found = {"author": info.author} if info and info.author else {}
    return writer.finish(title=str(info.title or "") if info else "", metadata={key: str(value) for key, value in found.items()})


def word(raw: bytes) -> Extract:
    """docx: paragraphs, headings by style, table rows with their cells parted by tabs."""
    with _archive(raw, "Word document"):
        document = docx.Document(io.BytesIO(raw))
    writer = ExtractWriter()
    for item in document.iter_inner_content():
        if isinstance(item, docx.table.Table):
            _write_table(writer, item)
            continue
        style = (item.style.name if item.style is not None else "") or ""
        heading = re.fullmatch(r"[Hh]eading ([1-9])", style)
        writer.add(item.text, level=min(int(heading.group(1)), 6) if heading else int(style == "Title"))
    properties = document.core_properties
    return writer.finish(title=properties.title or "", metadata={"author": properties.author} if properties.author else {})


def epub(raw: bytes) -> Extract:
    """The chapters in reading order."""
    with _archive(raw, "EPUB") as archive:
        names = set(archive.namelist())
        container = _xml(archive, "META-INF/container.xml")
        rootfile = container.find(f".//{_CONTAINER}rootfile")
        opf_name = rootfile.get("full-path") if rootfile is not None else None
        if not opf_name or opf_name not in names:
            raise DocumentError("The EPUB does not name its contents (META-INF/container.xml): the file is damaged.")
        encrypted = _encrypted_members(archive) if "META-INF/encryption.xml" in names else frozenset()
        opf = _xml(archive, opf_name)
        hrefs = {item.get("id"): item.get("href", "") for item in opf.iter(f"{_OPF}item") if "html" in item.get("media-type", "")}
        writer = ExtractWriter()
        for reference in opf.iter(f"{_OPF}itemref"):
            href = hrefs.get(reference.get("idref"))
            if not href:
                continue
            name = _member_name(opf_name, href)
            if name in encrypted:
                raise DocumentError("The EPUB is encrypted (DRM): only a copy without it can be read.")
            if name not in names:
                raise DocumentError(f"The EPUB lacks its chapter {name!r}: the file is damaged.")
            writer.extend(html(_member(archive, name)))
        title, creator = (opf.findtext(f".//{_DC}{tag}") or "" for tag in ("title", "creator"))
    return writer.finish(title=title.strip(), metadata={"author": creator.strip()} if creator.strip() else {})


def _html(markup: str) -> Extract:
    tree = LexborHTMLParser(markup)
    writer = ExtractWriter()
    line: list[str] = []
    level = preformatted = 0

    def flush() -> None:
        text = "".join(line)
        line.clear()
        writer.add(text if preformatted else _SPACE_AROUND_BREAK.sub(r"\1", text), level=level)

    for node, entering in _walk(tree):
        tag = node.tag
        if tag == "-text":
            if entering:
                text = node.text_content or ""
                line.append(text if preformatted else _SPACE.sub(" ", text))
        elif tag == "br":
            if entering:
                line.append("\n")
        elif tag in ("td", "th"):
            if not entering:
                line.append("\t")
        elif tag in _BLOCKS:
            flush()
            if tag == "pre":
                preformatted += 1 if entering else -1
            elif tag in ("h1", "h2", "h3", "h4", "h5", "h6"):
                level = int(tag[1]) if entering else 0
    flush()
    title = tree.css_first("head title")
    return writer.finish(title=_SPACE.sub(" ", title.text()).strip() if title is not None else "")


def _walk(tree: LexborHTMLParser) -> Iterator[tuple[LexborNode, bool]]:
    """Every shown node of the body on the way in and on the way out; without recursion, since markup may nest without end."""
    node: LexborNode | None = tree.body
    depth = 0
    entering = True
    while node is not None:
        if entering and not _hidden(node):
            yield node, True
            child = node.first_child
            if child is not None:
                node, depth = child, depth + 1
                continue
            yield node, False
        elif not entering:
            yield node, False
        if depth == 0:
            return
        sibling = node.next
        if sibling is not None:
            node, entering = sibling, True
        else:
            node, depth, entering = node.parent, depth - 1, False


def _hidden(node: LexborNode) -> bool:
    if node.tag == "-text":
        return False
    if node.tag in _SKIPPED or (node.tag or "-").startswith("-"):
        return True
    attributes = node.attributes
    return bool(attributes) and ("hidden" in attributes or "display:none" in (attributes.get("style") or "").replace(" ", "").lower())


def _front_matter(source: str) -> dict[str, str]:
    try:
        values = yaml.safe_load(source)
    except yaml.YAMLError:
        return {}
    if not isinstance(values, dict):
        return {}
    return {str(key): str(value) for key, value in values.items() if isinstance(value, str | int | float)}


def _page_labels(reader: pypdf.PdfReader) -> list[str]:
    plain = [str(number) for number in range(1, len(reader.pages) + 1)]
    try:
        labels = reader.page_labels
    except Exception:  # noqa: BLE001  a damaged label tree can raise anything, and the pages can still be counted
        return plain
    return labels if len(labels) == len(plain) else plain


def _write_table(writer: ExtractWriter, table: docx.table.Table) -> None:
    for row in table.rows:
        cells: list[str] = []
        seen: set[Any] = set()
        for cell in row.cells:
            if cell._tc not in seen:  # a merged cell is listed once a column, and only its element tells
                seen.add(cell._tc)
                cells.append(_SPACE.sub(" ", cell.text))
        writer.add("\t".join(cells))


def _archive(raw: bytes, kind: str) -> zipfile.ZipFile:
    """The zip archive in `raw`, once its directory has been found harmless."""
    if raw.startswith(_OLE):
        raise DocumentError(f"The {kind} is encrypted or in an old format: save it without a password in the present one.")
    try:
        archive = zipfile.ZipFile(io.BytesIO(raw))
    except zipfile.BadZipFile as error:
        raise DocumentError(f"The file is not a readable {kind}: it is damaged or of another kind.") from error
    members = archive.infolist()
    if any(member.flag_bits & 1 for member in members):
        raise DocumentError(f"The {kind} is encrypted: save a copy without a password.")
    if (
        len(members) > MEMBERS
        or sum(member.file_size for member in members) > UNPACKED_BYTES
        or any(member.file_size > max(2**20, UNPACKED_RATIO * member.compress_size) for member in members)
    ):
        raise DocumentError(f"The {kind} unpacks to far more than its size: it looks like a zip bomb and was not opened.")
    return archive


def _member(archive: zipfile.ZipFile, name: str) -> bytes:
    """One member's bytes. zipfile never reads more than the directory's `file_size`, which `_archive` has bounded."""
    try:
        return archive.read(name)
    except (KeyError, zipfile.BadZipFile, EOFError, NotImplementedError) as error:
        raise DocumentError(f"The EPUB's part {name!r} is missing or damaged.") from error


def _xml(archive: zipfile.ZipFile, name: str) -> Any:
    try:
        return etree.fromstring(_member(archive, name), _XML)
    except etree.XMLSyntaxError as error:
        raise DocumentError(f"The EPUB's part {name!r} is not well-formed XML: the file is damaged.") from error


def _member_name(opf_name: str, href: str) -> str:
    """The archive member an OPF reference points to; a reference that leaves the archive is refused."""
    path = unquote(href.partition("#")[0])
    name = posixpath.normpath(posixpath.join(posixpath.dirname(opf_name), path))
    if "://" in path or path.startswith("/") or name == ".." or name.startswith("../") or "\\" in name:
        raise DocumentError(f"The EPUB refers to {href!r}, which is outside the file.")
    return name


def _encrypted_members(archive: zipfile.ZipFile) -> frozenset[str]:
    references = _xml(archive, "META-INF/encryption.xml").iter(f"{_XENC}CipherReference")
    return frozenset(unquote(reference.get("URI", "")) for reference in references)
