"""A PDF's pages as one text: where each begins is known, and what all of them repeat is gone."""

from __future__ import annotations

import io
from collections.abc import Callable

import pytest
from pypdf import PdfReader, PdfWriter

from rag.chunk import Limits, chunk
from rag.documents import page_of
from rag.errors import DocumentRefused
from rag.extract import read
from rag.extract.repeats import without_repeats
from tests.chat import samples

NEXT = ") Tj 0 -14 Td ("  # to the next line of a page
BODIES = ("Llamas eat grass.", "Their wool is warm.", "They hum when they are content.", "A herd needs a paddock.")


def test_the_place_of_each_page_in_the_text_is_kept() -> None:
    made = read("a.pdf", samples.pdf("First words", "", "Last words"))
    assert made.text == "First words\n\n[page 2: no text, perhaps a picture]\n\nLast words"
    assert (made.kind, made.title, made.pages) == ("pdf", "A title", (0, 13, 51))
    assert [page_of(made.pages, made.text.index(word)) for word in ("First", "page 2", "Last")] == [1, 2, 3]


def test_pages_in_a_row_without_text_are_said_once_and_lie_within_the_text() -> None:
    made = read("a.pdf", samples.pdf("Words", "", ""))
    assert (made.text, made.pages) == ("Words\n\n[pages 2 to 3: no text, perhaps pictures]", (0, 7, 47))


def test_nothing_is_said_of_a_page_on_which_nothing_is_painted() -> None:
    made = read("a.pdf", samples.pdf("First words", " ", "Last words"))
    assert (made.text, made.pages) == ("First words\n\nLast words", (0, 13, 13))


def test_headers_footers_and_numbers_of_pages_are_dropped_and_the_text_is_whole() -> None:
    pages = [
        f"The book of llamas{NEXT}{body}{NEXT}{body} Again.{NEXT}Page {n} of 4{NEXT}May 2026"
        for n, body in enumerate(BODIES, 1)
    ]
    made = read("a.pdf", samples.pdf(*pages))
    assert made.text == "\n\n".join(f"{body}\n{body} Again." for body in BODIES)
    assert [made.text[at : at + 5] for at in made.pages] == [body[:5] for body in BODIES]


def test_a_head_that_names_the_chapter_beside_the_number_of_the_page_is_dropped() -> None:
    heads = ["Chapter 1: Food 7", "8 Chapter 1: Food", "Chapter 2: Wool 9", "10 Chapter 2: Wool"]
    pages = [f"{head}\nIn 1999 it began {body}\n{body} 3" for head, body in zip(heads, BODIES, strict=True)]
    assert without_repeats(pages) == [page.partition("\n")[2] for page in pages]


@pytest.mark.parametrize("word", ["Chapter", "Recipe", "Tag"])
def test_a_title_with_the_number_of_its_page_stays(word: str) -> None:
    pages = [f"{word} {number}\n{body}\nMore of {body}" for number, body in enumerate(BODIES, 1)]
    assert without_repeats(pages) == pages
    heads = [f"Page {number}\n{page}" for number, page in enumerate(pages, 1)]
    assert without_repeats(heads) == pages


def test_a_title_that_begins_with_the_number_of_its_page_stays() -> None:
    pages = [f"{number}\n{number} Chapter\n{body}" for number, body in enumerate(BODIES, 1)]
    pages[3] = f"4\nNo chapter\n{BODIES[3]}"
    kept = without_repeats([*pages, *(f"{number}\nWords {number * number}" for number in range(5, 12))])
    assert kept[:2] == [f"1 Chapter\n{BODIES[0]}", f"2 Chapter\n{BODIES[1]}"]


def _rows(n_pages: int, n_rows: int, row: Callable[[int, int], str]) -> list[str]:
    """Pages of rows, each made of the numbers of its page and its place, both from 1."""
    return ["\n".join(row(page, at) for at in range(1, n_rows + 1)) for page in range(1, n_pages + 1)]


@pytest.mark.parametrize(
    "row",
    [
        lambda page, at: f"{at:02}.{page:02}.2024 Booking {page * 7 + at} amount {at * 13 + page},00 EUR",
        lambda page, at: f"Day {page * 6 + at}: {10 + at}.{page} degrees",
        lambda page, at: f"Line {at - 1} of page {page} tells of fish number {page * (at - 1)}",
        lambda page, at: f"{page}.5. {at + 7}:00 reading {at * 31 % 17}",  # a page a day
        lambda page, at: f"{('Mill', 'Oak', 'Town Hall', 'Harbour')[at % 4]} {page + 7}:0{at}",  # one an hour
        lambda page, at: f"{page * at % 7} {page + at} {at * 3}",
    ],
    ids=["bookings", "readings", "fish", "days", "timetable", "numbers"],
)
@pytest.mark.parametrize("n_rows", [4, 7, 40])
def test_rows_of_a_table_that_differ_in_their_numbers_alone_stay(n_rows: int, row: Callable[[int, int], str]) -> None:
    pages = _rows(12, n_rows, row)
    assert without_repeats(pages) == pages
    headed = [f"The bank of llamas\n{page}\nPage {number} of 12" for number, page in enumerate(pages, 1)]
    assert without_repeats(headed) == pages


def test_numbers_of_chapters_and_of_the_pages_of_each_and_roman_ones_are_dropped() -> None:
    starts = [(chapter, page) for chapter in range(1, 5) for page in range(1, 6)]
    pages = [
        f"Chapter {chapter}\nWords on {body}\n{chapter}-{page}"
        for body, (chapter, page) in zip("abcdefghijklmnopqrst", starts, strict=True)
    ]
    assert without_repeats(pages) == [f"Words on {body}" for body in "abcdefghijklmnopqrst"]
    roman = [
        f"A word {body}\n- {number} -"
        for body, number in zip("abcdefgh", ["i", "ii", "iii", "iv", "1", "2", "3", "4"], strict=True)
    ]
    assert without_repeats(roman) == [f"A word {body}" for body in "abcdefgh"]


def test_letters_that_only_look_like_roman_numbers_are_words() -> None:
    pages = [
        "\u0131\nas\u00b4 \u0131 es",
        "c\u0131v\u0131l c\u0131v\u0131l\nku\u015flar",
        "\u0130\nx",
        "\u0131 \u0130\ny",
    ]
    assert without_repeats(pages) == pages


def test_a_pdf_with_dotless_letters_is_read() -> None:
    made = read("a.pdf", samples.pdf("Todo es as \\365", "Otra", "Mas"))
    assert made.text == "Todo es as \u0131\n\nOtra\n\nMas"


def test_the_number_of_a_page_is_dropped_beside_a_last_line_that_names_the_page() -> None:
    pages = [f"{body}\nThis was page {number}.\nPage {number} of 4" for number, body in enumerate(BODIES, 1)]
    assert without_repeats(pages) == [page.rpartition("\n")[0] for page in pages]


def test_bookmarks_are_headings_where_the_page_says_their_words() -> None:
    pages = [
        "A book",
        f"1. Food{NEXT}Llamas eat.{NEXT}Chapter 1.1 How they{NEXT}eat{NEXT}Slowly.",
        "Wool is warm. Food too.",
    ]
    writer = PdfWriter(clone_from=PdfReader(io.BytesIO(samples.pdf(*pages))))
    food = writer.add_outline_item(title="Food", page_number=1)
    writer.add_outline_item(title="How they eat", page_number=1, parent=food)
    writer.add_outline_item(title="Wool", page_number=2)
    made = io.BytesIO()
    writer.write(made)
    found = read("a.pdf", made.getvalue())
    assert found.text == (
        "A book\n\n# 1. Food\n\nLlamas eat.\n\n## Chapter 1.1 How they eat\n\nSlowly.\n\nWool is warm. Food too."
    )
    assert [found.text[at : at + 4] for at in found.pages] == ["A bo", "# 1.", "Wool"]
    assert [each.headings for each in chunk(found.text, limits=Limits(12, 0, 2))][-1] == (
        "1. Food",
        "Chapter 1.1 How they eat",
    )


def test_what_is_repeated_inside_of_pages_or_on_few_of_them_stays() -> None:
    inside = [f"{body}\na\nb\nSame line\nc\nd\n{body[::-1]}" for body in BODIES]
    assert without_repeats(inside) == [page.strip() for page in inside]
    few = [*BODIES[:2], *(f"Same line\n{body}" for body in BODIES[2:])]
    assert without_repeats(few) == few
    alike = ["The same words"] * 5
    assert without_repeats(alike) == alike


def test_words_that_a_line_cuts_and_letters_that_are_joined_are_made_whole() -> None:
    made = read("a.pdf", samples.pdf(f"An ex-{NEXT}ample of Jean-{NEXT}Paul{NEXT}# a comment"))
    assert made.text == "An example of Jean-\nPaul\n\\# a comment"


def test_a_hyphen_that_belongs_to_a_word_stays_where_a_line_ends_in_it() -> None:
    lines = ["A well-", "known long-", "term plan, a long-term one, and a high-", "level infor-", "mation: level high."]
    made = read("a.pdf", samples.pdf(NEXT.join(lines)))
    assert made.text == "A well-known long-term plan, a long-term one, and a high-level information: level high."


def test_words_of_a_font_of_numbered_glyphs_are_apart() -> None:
    """As TeX writes them: glyph 32 is a wide letter, and a gap of a third of the size is a space."""
    letters = {"e": 0x20, "a": 0x44, "t": 0x57, "s": 0x56}
    pairs = "\n".join(f"<{code:04X}> <{ord(letter):04X}>" for letter, code in letters.items())
    to_unicode = (
        "/CIDInit /ProcSet findresource begin begincmap 1 begincodespacerange <0000> <FFFF> endcodespacerange\n"
        f"{len(letters)} beginbfchar\n{pairs}\nendbfchar endcmap end"
    )
    words = ["eat", "a", "seat"]
    shown = "-313".join(f"<{''.join(f'{letters[each]:04X}' for each in word)}>" for word in words)
    drawn = f"BT /F1 12 Tf 72 720 Td [{shown}] TJ ET"
    objects = [
        "<< /Type /Catalog /Pages 2 0 R >>",
        "<< /Type /Pages /Kids [5 0 R] /Count 1 >>",
        "<< /Type /Font /Subtype /Type0 /Encoding /Identity-H /DescendantFonts [7 0 R] /ToUnicode 8 0 R >>",
        "<< >>",
        "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 9 9] /Resources << /Font << /F1 3 0 R >> >> /Contents 6 0 R >>",
        f"<< /Length {len(drawn)} >>\nstream\n{drawn}\nendstream",
        "<< /Type /Font /Subtype /CIDFontType2 /BaseFont /X /DW 500 /W [32 [1000]] /FontDescriptor 9 0 R >>",
        f"<< /Length {len(to_unicode)} >>\nstream\n{to_unicode}\nendstream",
        "<< /Type /FontDescriptor /FontName /X /Flags 4 >>",
    ]
    assert read("a.pdf", samples._assemble([each.encode() for each in objects])).text == "eat a seat"


def test_a_pdf_of_too_many_pages_is_refused_with_both_numbers() -> None:
    with pytest.raises(DocumentRefused, match="has 2,001 pages, and 2,000 are the most: split it"):
        read("a.pdf", samples.pdf(*[""] * 2_001))
