"""A PDF's pages as one text: where each begins is known, and what all of them repeat is gone."""

from __future__ import annotations

import pytest

from rag.documents import page_of
from rag.extract import read
from rag.extract.pdf import without_repeats
from tests.chat import samples

NEXT = ") Tj 0 -14 Td ("  # to the next line of a page
BODIES = ("Llamas eat grass.", "Their wool is warm.", "They hum when they are content.", "A herd needs a paddock.")


def test_the_place_of_each_page_in_the_text_is_kept() -> None:
    made = read("a.pdf", samples.pdf("First words", "", "Last words"))
    assert made.text == "First words\n\nLast words"
    assert (made.kind, made.title, made.pages) == ("pdf", "A title", (0, 13, 13))
    assert [page_of(made.pages, made.text.index(word)) for word in ("First", "Last")] == [1, 3]


def test_pages_without_text_at_the_end_lie_within_the_text() -> None:
    made = read("a.pdf", samples.pdf("Words", "", ""))
    assert (made.text, made.pages) == ("Words", (0, 4, 4))


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


@pytest.mark.parametrize("n_pages", [2_001])
def test_a_pdf_of_too_many_pages_is_refused_with_both_numbers(n_pages: int) -> None:
    from rag.errors import DocumentRefused

    with pytest.raises(DocumentRefused, match="has 2,001 pages, and 2,000 are the most: split it"):
        read("a.pdf", samples.pdf(*[""] * n_pages))
