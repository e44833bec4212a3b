"""Every kind of file becomes text with structure; every kind of bad file becomes one sentence."""

from __future__ import annotations

import contextlib
import io
import json
import os
import zipfile
from typing import TYPE_CHECKING

import docx
import pypdf
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reportlab.lib.pagesizes import A6
from reportlab.pdfgen.canvas import Canvas

from guardrail.errors import DocumentError
from guardrail.index import plain_text, readers
from guardrail.index.document import Document, Failure, read, sha256

if TYPE_CHECKING:
    from pathlib import Path

    from guardrail.index.structure import Extract


def document(path: Path, **options: str) -> Document:
    found = list(read(path, uri=path.name, **options))
    assert len(found) == 1
    assert isinstance(found[0], Document), found
    return found[0]


def failure(path: Path) -> str:
    found = list(read(path, uri=path.name))
    assert len(found) == 1
    assert isinstance(found[0], Failure), found
    assert found[0].path == path.name
    assert "\n" not in found[0].reason
    assert found[0].reason.endswith(".")
    return found[0].reason


def blocks(document: Document | Extract) -> list[tuple[int, str]]:
    return [(block.level, document.text[block.start : block.end]) for block in document.blocks]


def write(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def pdf(path: Path, *pages: str, title: str = "") -> Path:
    canvas = Canvas(str(path), pagesize=A6)
    if title:
        canvas.setTitle(title)
    for page in pages:
        for number, line in enumerate(page.splitlines()):
            canvas.drawString(20, 380 - 14 * number, line)
        canvas.showPage()
    canvas.save()
    return path


def epub(path: Path, chapters: dict[str, str], *, extra: dict[str, str | bytes] | None = None, spine: list[str] | None = None) -> Path:
    names = list(chapters) if spine is None else spine
    items = "".join(f'<item id="c{number}" href="{name}" media-type="application/xhtml+xml"/>' for number, name in enumerate(names))
    refs = "".join(f'<itemref idref="c{number}"/>' for number in range(len(names)))
    opf = f"""<?xml version="1.0"?><package xmlns="http://www.idpf.org/2007/opf" version="3.0">
        <metadata xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:title>Crito</dc:title><dc:creator>Plato</dc:creator></metadata>
        <manifest>{items}</manifest><spine>{refs}</spine></package>"""
    container = """<?xml version="1.0"?><container xmlns="urn:oasis:names:tc:opendocument:xmlns:container" version="1.0">
        <rootfiles><rootfile full-path="OEBPS/content.opf" media-type="application/oebps-package+xml"/></rootfiles></container>"""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("mimetype", "application/epub+zip")
        archive.writestr("META-INF/container.xml", container)
        archive.writestr("OEBPS/content.opf", opf)
        for name, content in chapters.items():
            archive.writestr(f"OEBPS/{name}", content)
        for name, data in (extra or {}).items():
            archive.writestr(name, data)
    return path


# Plain text


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32", "cp1252"])
def test_text_is_read_in_its_encoding(tmp_path: Path, encoding: str) -> None:
    text = "Plato’s café — déjà vu.\n"
    mark = b"\xff\xfe" if encoding == "utf-16-le" else b""
    assert document(write(tmp_path / "a.txt", mark + text.encode(encoding))).text == text


def test_plain_text_is_kept_character_for_character(tmp_path: Path) -> None:
    text = "\r\n  One\r\nline.\r\n\r\n\tTwo\n \n\nThree \n"
    found = document(write(tmp_path / "a.txt", text))
    assert found.text == text
    assert blocks(found) == [(0, "One\r\nline."), (0, "Two"), (0, "Three")]


def test_headings_of_plain_text_are_found(tmp_path: Path) -> None:
    text = "THE REPUBLIC\n\n\nBOOK II.\n\nSOCRATES\n\nI went down.\n\nChapter 3\n\nBook two of the series is what I read yesterday evening.\n\n## 4\n\nMore."
    found = document(write(tmp_path / "a.txt", text))
    assert [(level, text) for level, text in blocks(found) if level] == [(2, "THE REPUBLIC"), (2, "BOOK II."), (3, "Chapter 3"), (2, "## 4")]


@given(st.text(alphabet=st.one_of(st.sampled_from("\r\n\t #A"), st.characters(codec="utf-8")), max_size=200))
@settings(max_examples=200, deadline=None)
def test_blocks_of_plain_text_hold_everything_but_white_space(text: str) -> None:
    position = 0
    for block in plain_text.read(text).blocks:
        assert not text[position : block.start].strip()
        assert text[block.start : block.end].strip() == text[block.start : block.end] != ""
        position = block.end
    assert not text[position:].strip()


@given(st.binary(max_size=300))
def test_any_bytes_are_decoded_or_refused(raw: bytes) -> None:
    with contextlib.suppress(DocumentError):  # anything else is a failure
        plain_text.decode(raw).encode()


def test_title_and_work_come_from_the_file_name_where_nothing_else_says_them(tmp_path: Path) -> None:
    found = document(write(tmp_path / "the_republic-jowett.txt", "Text."), persona="plato")
    assert (found.title, found.work, found.persona, found.source_id) == ("The Republic Jowett", "The Republic Jowett", "plato", "the_republic-jowett.txt")


def test_the_content_hash_is_of_the_files_bytes(tmp_path: Path) -> None:
    path = write(tmp_path / "a.txt", "Text.")
    assert document(path).sha256 == sha256(path)


# Markdown and HTML


def test_markdown_is_read_as_it_is_shown(tmp_path: Path) -> None:
    source = "---\ntitle: On Forms\npersona: plato\nauthor: A. N. Other\n---\n# Forms\n\nThe *Form* is\n[one](http://x).\n\n"
    source += "- first\n- second\n\n| a | b |\n|---|---|\n| c | d |\n"
    found = document(write(tmp_path / "a.md", source))
    assert (found.title, found.persona, found.metadata) == ("On Forms", "plato", {"author": "A. N. Other"})
    assert blocks(found) == [(1, "Forms"), (0, "The Form is one."), (0, "first"), (0, "second"), (0, "a\tb"), (0, "c\td")]


def test_html_gives_visible_text_with_headings(tmp_path: Path) -> None:
    source = """<html><head><title> The  Cave </title><style>p {}</style></head><body><nav>Menu</nav><h2>The <b>Cave</b></h2>
        <p>Prisoners sit<br>in the dark.<p>Second <i>para</i>graph.<div hidden>secret</div><p style="display: none">secret</p>
        <pre>  kept\n   so</pre><ul><li>one<li>two</ul><script>alert()</script><!-- no --></body></html>"""
    found = document(write(tmp_path / "a.html", source))
    assert found.title == "The Cave"
    assert blocks(found) == [(2, "The Cave"), (0, "Prisoners sit\nin the dark."), (0, "Second paragraph."), (0, "kept\n   so"), (0, "one"), (0, "two")]


def test_html_may_declare_its_encoding(tmp_path: Path) -> None:
    raw = '<html><head><meta charset="iso-8859-7"></head><body><p>λόγος</p></body></html>'.encode("iso-8859-7")
    assert document(write(tmp_path / "a.html", raw)).text == "λόγος"


def test_html_nested_without_end_is_read(tmp_path: Path) -> None:
    assert "deep" in document(write(tmp_path / "a.html", "<div>" * 20_000 + "deep")).text


@given(
    st.lists(st.sampled_from(["<p>", "</p>", "<h1>", "</h2>", "<td>", "<br>", "<pre>", "</pre>", "<li>", "<", "&amp;", "a b", "\n", "<svg>", "<!--"])).map(
        "".join
    )
)
@settings(max_examples=200, deadline=None)
def test_any_markup_gives_blocks_that_hold_the_text(markup: str) -> None:
    found = readers.html(markup.encode())
    assert "\n\n".join(text for _, text in blocks(found)) == found.text


# PDF, Word, EPUB


def test_pdf_pages_are_kept_and_a_sentence_may_cross_them(tmp_path: Path) -> None:
    found = document(pdf(tmp_path / "a.pdf", "The soul is", "immortal.", "Third page.", title="Phaedo"))
    assert found.title == "Phaedo"
    assert blocks(found) == [(0, "The soul is\nimmortal."), (0, "Third page.")]
    assert [(page.label, found.text[page.start : page.start + 5]) for page in found.pages] == [("1", "The s"), ("2", "immor"), ("3", "Third")]


def test_an_encrypted_pdf_is_named_so(tmp_path: Path) -> None:
    writer = pypdf.PdfWriter(clone_from=pdf(tmp_path / "plain.pdf", "Secret."))
    writer.encrypt("password", algorithm="AES-256")
    writer.write(tmp_path / "a.pdf")
    assert "password" in failure(tmp_path / "a.pdf")


def test_a_pdf_that_only_restricts_printing_is_read(tmp_path: Path) -> None:
    writer = pypdf.PdfWriter(clone_from=pdf(tmp_path / "plain.pdf", "Open to all."))
    writer.encrypt("", "owner", algorithm="AES-256")
    writer.write(tmp_path / "a.pdf")
    assert document(tmp_path / "a.pdf").text == "Open to all."


def test_a_pdf_of_pictures_asks_for_ocr(tmp_path: Path) -> None:
    assert "OCR" in failure(pdf(tmp_path / "a.pdf", ""))


def test_word_headings_and_tables_are_read(tmp_path: Path) -> None:
    made = docx.Document()
    made.core_properties.title = "Notes"
    made.add_heading("On Justice", level=1)
    made.add_paragraph("Each does his own.")
    table = made.add_table(rows=1, cols=3)
    for cell, text in zip(table.rows[0].cells, ("class", "virtue", "metal"), strict=True):
        cell.text = text
    table.rows[0].cells[0].merge(table.rows[0].cells[1])
    made.save(str(tmp_path / "a.docx"))
    found = document(tmp_path / "a.docx")
    assert found.title == "Notes"
    assert blocks(found) == [(1, "On Justice"), (0, "Each does his own."), (0, "class virtue\tmetal")]


def test_epub_chapters_come_in_the_order_of_the_spine(tmp_path: Path) -> None:
    chapters = {"b.xhtml": "<h1>First</h1><p>One.</p>", "sub dir/a.xhtml": "<h1>Second</h1><p>Two.</p>"}
    found = document(epub(tmp_path / "a.epub", chapters, spine=["b.xhtml", "sub%20dir/a.xhtml#top"]))
    assert (found.title, found.metadata) == ("Crito", {"author": "Plato"})
    assert blocks(found) == [(1, "First"), (0, "One."), (1, "Second"), (0, "Two.")]


@pytest.mark.parametrize("href", ["../../etc/passwd", "/etc/passwd", "file:///etc/passwd", "..\\..\\secret.xhtml"])
def test_an_epub_that_points_outside_itself_is_refused(tmp_path: Path, href: str) -> None:
    assert "outside" in failure(epub(tmp_path / "a.epub", {"a.xhtml": "<p>x"}, spine=[href]))


def test_an_epub_with_drm_is_refused(tmp_path: Path) -> None:
    encryption = """<encryption xmlns="urn:oasis:names:tc:opendocument:xmlns:container" xmlns:enc="http://www.w3.org/2001/04/xmlenc#"><enc:EncryptedData>
        <enc:CipherData><enc:CipherReference URI="OEBPS/a.xhtml"/></enc:CipherData></enc:EncryptedData></encryption>"""
    assert "DRM" in failure(epub(tmp_path / "a.epub", {"a.xhtml": "<p>x"}, extra={"META-INF/encryption.xml": encryption}))


def test_an_epub_entity_cannot_read_files(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("SECRET")
    opf = f"""<?xml version="1.0"?><!DOCTYPE p [<!ENTITY x SYSTEM "{(tmp_path / "secret").as_uri()}">]><package xmlns="http://www.idpf.org/2007/opf">
        <metadata xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:title>&x;</dc:title></metadata>
        <manifest><item id="a" href="a.xhtml" media-type="application/xhtml+xml"/></manifest><spine><itemref idref="a"/></spine></package>"""
    path = tmp_path / "a.epub"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(
            "META-INF/container.xml",
            '<container xmlns="urn:oasis:names:tc:opendocument:xmlns:container"><rootfile full-path="c.opf"/></container>',
        )
        archive.writestr("c.opf", opf)
        archive.writestr("a.xhtml", "<p>Text.</p>")
    found = document(path)
    assert "SECRET" not in found.title + found.text


@pytest.mark.parametrize("suffix", [".epub", ".docx"])
def test_a_zip_bomb_is_not_opened(tmp_path: Path, suffix: str) -> None:
    bomb = io.BytesIO()
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("word/document.xml", b"\0" * (40 * 2**20))
    assert "zip bomb" in failure(write(tmp_path / f"a{suffix}", bomb.getvalue()))


def test_an_encrypted_word_document_is_named_so(tmp_path: Path) -> None:
    assert "encrypted" in failure(write(tmp_path / "a.docx", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 600))


# jsonl


def lines(path: Path, *values: object) -> list[Document | Failure]:
    path.write_text("".join((value if isinstance(value, str) else json.dumps(value)) + "\n" for value in values))
    return list(read(path, uri=path.name, persona="plato", work="Dialogues"))


def test_a_jsonl_line_is_a_document_with_its_metadata(tmp_path: Path) -> None:
    row = {
        "id": 7,
        "title": "Cave",
        "work": "Republic",
        "locator": "VII 514a",
        "persona": "socrates",
        "text": "In the cave.\n\nThey sit.",
        "year": -375,
        "tags": ["x"],
    }
    (found,) = lines(tmp_path / "a.jsonl", row)
    assert isinstance(found, Document)
    assert (found.source_id, found.title, found.work, found.locator, found.persona) == ("7", "Cave", "Republic", "VII 514a", "socrates")
    assert (found.text, found.metadata) == (row["text"], {"year": -375, "tags": ["x"]})


def test_a_jsonl_line_needs_only_text(tmp_path: Path) -> None:
    (found,) = lines(tmp_path / "some_notes.jsonl", {"text": "Text."})
    assert isinstance(found, Document)
    assert (found.source_id, found.title, found.work, found.persona) == ("some_notes.jsonl#1", "Some Notes", "Dialogues", "plato")


@pytest.mark.parametrize(
    "line",
    [
        "{",
        "[1]",
        '"text"',
        "null",
        "{}",
        '{"text": null}',
        '{"text": 3}',
        '{"text": "  "}',
        '{"text": "a", "id": []}',
        '{"text": "a", "title": true}',
        '{"text": "\\ud800"}',
        '{"text": "' + "\\u0000" * 50 + '"}',
        "[" * 5000,
        "not json",
    ],
)
def test_a_bad_jsonl_line_is_named_and_the_others_are_read(tmp_path: Path, line: str) -> None:
    before, bad, after = lines(tmp_path / "a.jsonl", {"text": "One."}, line, {"text": "Two."})
    assert isinstance(before, Document)
    assert isinstance(after, Document)
    assert isinstance(bad, Failure)
    assert bad.path == "a.jsonl:2"
    assert bad.reason.endswith(".")


def test_a_jsonl_line_of_invalid_utf8_is_named(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", b'{"text": "One."}\n{"text": "\xff\xfe"}\n\xe2\x80')
    found = list(read(path, uri="a.jsonl"))
    assert [item.path for item in found if isinstance(item, Failure)] == ["a.jsonl:2", "a.jsonl:3"]


def test_jsonl_with_a_byte_order_mark_is_read(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", '{"text": "Ὁ Σωκράτης"}\r\n'.encode("utf-16"))
    (found,) = read(path, uri="a.jsonl")
    assert isinstance(found, Document)
    assert found.text == "Ὁ Σωκράτης"


# Bad files


@pytest.mark.parametrize("suffix", [".txt", ".md", ".html", ".pdf", ".docx", ".epub", ".jsonl"])
def test_an_empty_file_is_named_so(tmp_path: Path, suffix: str) -> None:
    assert failure(write(tmp_path / f"a{suffix}", b"")) == "The file is empty."


@pytest.mark.parametrize("suffix", [".txt", ".md", ".html", ".jsonl"])
def test_a_file_of_white_space_holds_no_text(tmp_path: Path, suffix: str) -> None:
    assert failure(write(tmp_path / f"a{suffix}", b" \n\n \t")) == "The file holds no text."


@pytest.mark.parametrize("suffix", [".txt", ".md", ".html", ".pdf", ".docx", ".epub"])
def test_a_binary_file_is_one_clear_failure(tmp_path: Path, suffix: str) -> None:
    failure(write(tmp_path / f"a{suffix}", bytes(range(256)) * 40))


@pytest.mark.parametrize("suffix", [".pdf", ".docx", ".epub"])
def test_a_file_cut_in_half_is_one_clear_failure(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    if suffix == ".pdf":
        pdf(path, "Some text.", "More.")
    elif suffix == ".epub":
        epub(path, {"a.xhtml": "<p>Text"})
    else:
        docx.Document().save(str(path))
    failure(write(path, path.read_bytes()[:200]))


def test_a_file_of_another_kind_is_one_clear_failure(tmp_path: Path) -> None:
    assert "no reader for .png" in failure(write(tmp_path / "a.png", b"x"))


def test_a_pipe_is_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.txt")
    assert failure(tmp_path / "a.txt") == "This is not a regular file."


def test_a_missing_file_is_one_clear_failure(tmp_path: Path) -> None:
    failure(tmp_path / "gone.txt")
