"""A DOCX as Markdown: headings and lists by their styles, tables, footnotes, and what the document is called."""

from __future__ import annotations

import io
import zipfile

from rag.chunk import chunk
from rag.extract import read
from tests.chat import samples

STYLES = (
    f"<w:styles {samples.W}>"
    '<w:style w:styleId="Kop2"><w:name w:val="heading 2"/></w:style>'
    '<w:style w:styleId="Mine"><w:name w:val="My head"/><w:basedOn w:val="Kop2"/></w:style>'
    '<w:style w:styleId="Law"><w:name w:val="Section"/><w:pPr><w:outlineLvl w:val="2"/></w:pPr></w:style>'
    '<w:style w:styleId="LB"><w:name w:val="List Bullet"/><w:pPr><w:numPr/></w:pPr></w:style>'
    '<w:style w:styleId="LB2"><w:name w:val="List Bullet 2"/><w:pPr><w:numPr/></w:pPr></w:style>'
    '<w:style w:styleId="Loop"><w:name w:val="loop"/><w:basedOn w:val="Loop"/></w:style>'
    "</w:styles>"
)


def test_headings_and_lists_are_known_by_their_styles_and_what_these_are_based_on() -> None:
    styles = {"One": "Kop2", "Two": "Mine", "Three": "Law", "a": "LB", "b": "LB2", "plain": "Loop", "x": "None"}
    body = "".join(samples.paragraph(text, style) for text, style in styles.items())
    assert read("a.docx", samples.docx(body, styles=STYLES)).text == (
        "## One\n\n## Two\n\n### Three\n\n- a\n  - b\n\nplain\n\nx"
    )


def test_a_numbered_heading_is_a_heading_and_a_paragraph_may_say_its_own_level() -> None:
    numbered = '<w:pPr><w:pStyle w:val="Heading1"/><w:numPr><w:ilvl w:val="0"/></w:numPr></w:pPr>'
    own = '<w:pPr><w:outlineLvl w:val="1"/></w:pPr>'
    body = f"<w:p>{numbered}<w:r><w:t>First</w:t></w:r></w:p><w:p>{own}<w:r><w:t>Own</w:t></w:r></w:p>"
    assert read("a.docx", samples.docx(body)).text == "# First\n\n## Own"


def test_footnotes_follow_the_text_and_links_text_boxes_and_insertions_are_read_once() -> None:
    link = "<w:hyperlink><w:r><w:t>link</w:t></w:r></w:hyperlink><w:ins><w:r><w:t> new</w:t></w:r></w:ins>"
    box = "<w:Choice><w:p><w:r><w:t>box</w:t></w:r></w:p></w:Choice><w:Fallback><w:t>old</w:t></w:Fallback>"
    notes = f"<w:footnotes {samples.W}><w:footnote>{samples.paragraph('A note')}</w:footnote></w:footnotes>"
    text = read(
        "a.docx",
        samples.docx(f"<w:p>{link}</w:p><w:p><w:AlternateContent>{box}</w:AlternateContent></w:p>", footnotes=notes),
    ).text
    assert text == "link new\n\nbox\n\nA note"


def cell(text: str, properties: str = "") -> str:
    return f"<w:tc><w:tcPr>{properties}</w:tcPr>{samples.paragraph(text)}</w:tc>"


def test_a_paragraph_that_begins_as_a_heading_does_in_markdown_is_none() -> None:
    broken = "<w:p><w:r><w:t># one</w:t><w:br/><w:t>## two</w:t></w:r></w:p>"
    body = (
        samples.paragraph("Part", "Heading1") + samples.paragraph("# not a heading") + samples.paragraph("#5") + broken
    )
    text = read("a.docx", samples.docx(body)).text
    assert text == "# Part\n\n\\# not a heading\n\n#5\n\n\\# one\n\\## two"
    assert {each.headings for each in chunk(text)} == {("Part",)}


def test_each_value_stands_under_its_title_beside_cells_that_are_merged() -> None:
    rows = [
        [cell("Town"), cell("Sold", '<w:gridSpan w:val="2"/>'), cell("Left")],
        [cell("Ulm", '<w:vMerge w:val="restart"/>'), cell("1"), cell("2"), cell("3")],
        [cell("", "<w:vMerge/>"), cell("4"), cell("5"), cell("# 6")],
    ]
    late = '<w:tr><w:trPr><w:gridBefore w:val="3"/></w:trPr>' + cell("7") + "</w:tr>"
    table = "<w:tbl>" + "".join(f"<w:tr>{''.join(row)}</w:tr>" for row in rows) + late + "</w:tbl>"
    assert read("a.docx", samples.docx(table)).text.splitlines() == [
        "| Town | Sold |  | Left |",
        "|---|---|---|---|",
        "| Ulm | 1 | 2 | 3 |",
        "| Ulm | 4 | 5 | # 6 |",
        "|  |  |  | 7 |",
    ]


def test_numbers_of_columns_that_nobody_has_are_no_harm() -> None:
    for said in ("-3", "zwei", "0", "", "9" * 5_000):
        row = (
            f"<w:tr><w:trPr><w:gridBefore w:val='{said}'/></w:trPr>{cell('a', f'<w:gridSpan w:val={said!r}/>')}</w:tr>"
        )
        assert "| a |" in read("a.docx", samples.docx(f"<w:gridSpan/><w:vMerge/><w:tbl>{row}</w:tbl>")).text


def test_the_title_is_the_one_that_the_document_gives_itself() -> None:
    told = "<dc:creator>Zoë</dc:creator><dc:title> The  plan </dc:title>"
    core = f'<cp:coreProperties xmlns:cp="c" xmlns:dc="d">{told}</cp:coreProperties>'
    for written, title in ((core, "The plan"), ("<broken", "")):
        made = io.BytesIO(samples.docx(samples.paragraph("Words")))
        with zipfile.ZipFile(made, "a") as archive:
            archive.writestr("docProps/core.xml", written)
        assert read("a.docx", made.getvalue()).title == title


def test_a_large_document_is_read_in_pieces() -> None:
    rows = "<w:tr>" + "".join(f"<w:tc>{samples.paragraph(str(n))}</w:tc>" for n in range(4)) + "</w:tr>"
    body = (
        samples.paragraph("Words of a paragraph that goes on.", "Heading1") * 2_000 + f"<w:tbl>{rows * 2_000}</w:tbl>"
    )
    text = read("a.docx", samples.docx(body)).text
    assert text.count("# Words") == 2_000
    assert text.count("| 0 | 1 | 2 | 3 |") == 2_000
