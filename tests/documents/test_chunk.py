"""Chunks tile a text, fit the embedding model, and stand where a reader would cut."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest

from rag.chunk import Limits, chunk, parts
from rag.documents import Chunk, Document, page_of, place
from rag.tokens import beginning, estimate

WORDS = ("the", "shelf", "holds", "a", "book", "about", "horses", "and", "llamas,", "which", "eat", "grass", "in", "it")


def prose(n_sentences: int, seed: int = 1) -> str:
    dice = random.Random(seed)  # noqa: S311 - a text, no secret
    return " ".join(" ".join(dice.choices(WORDS, k=dice.randint(4, 14))).capitalize() + "." for _ in range(n_sentences))


def joined(text: str, chunks: list[Chunk]) -> str:
    return "".join(text[each.start : each.end] for each in chunks)


def random_text(dice: random.Random) -> str:
    """Anything that a file may hold: headings, fences that never close, long words, empty lines, other scripts."""
    parts = [
        lambda: "#" * dice.randint(1, 7) + " " + " ".join(dice.choices(WORDS, k=3)) + "\n",
        lambda: prose(dice.randint(1, 40), dice.randint(1, 99)) + "\n\n",
        lambda: "```py\n# no heading\n\nx = 1\n```\n" if dice.random() < 0.8 else "```\nnever closed\n\n",
        lambda: "x" * dice.randint(1, 3000) + "\n",
        lambda: "\n" * dice.randint(1, 5),
        lambda: "馬はパドックで草を食べる。" * dice.randint(1, 80),
        lambda: "\r\n \t\u2028",
        lambda: "| a | b |\n| --- | --- |\n" + "| 1 | 2 |\n" * dice.randint(1, 60),
    ]
    return "".join(dice.choice(parts)() for _ in range(dice.randint(0, 12)))


@pytest.mark.parametrize("seed", range(60))
def test_joined_chunks_are_the_text_and_each_fits(seed: int) -> None:
    dice = random.Random(seed)  # noqa: S311
    text = random_text(dice)
    limits = Limits(max_tokens=dice.choice([64, 128, 256]), overlap_tokens=dice.choice([0, 16, 32]))
    chunks = chunk(text, "A title", limits)
    assert joined(text, chunks) == (text if text.strip() else "")
    for before, each in zip([None, *chunks], chunks, strict=False):
        assert each.lead <= each.start < each.end
        assert before is None or before.start <= each.lead
        assert text[each.start : each.end].strip()
        assert estimate(text[each.lead : each.end]) <= limits.max_tokens


@pytest.mark.parametrize("seed", range(20))
def test_a_chunk_cut_smaller_is_tiled_by_parts_that_fit_and_lead_into_each_other(seed: int) -> None:
    text = random_text(random.Random(seed))  # noqa: S311
    for whole in chunk(text, "A title", Limits(max_tokens=256, overlap_tokens=64)):
        smaller = Limits(max_tokens=64, overlap_tokens=16)
        cut = parts(text, whole, "A title", smaller)
        assert (cut[0].start, cut[-1].end) == (whole.start, whole.end)
        assert {each.headings for each in cut} == {whole.headings}
        assert cut[0].lead >= whole.lead
        for before, each in pairwise(cut):
            assert before.end == each.start and before.start <= each.lead <= each.start
        assert all(estimate(text[each.lead : each.end]) <= smaller.max_tokens for each in cut)


def test_a_section_is_a_chunk_below_its_headings() -> None:
    text = f"# Horses\n\n{prose(5)}\n\n## Food\n\n{prose(5, 2)}\n\n## Sleep\n\n{prose(5, 3)}\n"
    chunks = chunk(text, "Animals")
    assert [each.headings for each in chunks] == [("Horses",), ("Horses", "Food"), ("Horses", "Sleep")]
    assert text[chunks[1].start :].startswith("## Food")
    assert chunks[1].told(text, "Animals").startswith("Animals > Horses > Food\n## Food\n\n")


def test_a_heading_stands_with_what_follows_it() -> None:
    text = f"{prose(30)}\n\n## Food\n\n{prose(200)}\n"
    for each in chunk(text):
        assert not text[each.start : each.end].strip().endswith("## Food")


def test_lines_in_a_block_of_code_are_no_headings() -> None:
    text = "# Set up\n\n```sh\n# install\n\nmake\n```\n\nDone.\n"
    assert {each.headings for each in chunk(text)} == {("Set up",)}


def test_a_cut_paragraph_is_led_into_by_whole_sentences() -> None:
    text = prose(120)
    chunks = chunk(text, limits=Limits(max_tokens=128, overlap_tokens=32))
    assert len(chunks) > 5
    for each in chunks[1:]:
        assert 0 < estimate(text[each.lead : each.start]) <= 32
        assert text[: each.lead].rstrip().endswith(".")
        assert text[: each.start].rstrip().endswith(".")


def test_small_sections_share_a_chunk() -> None:
    text = "".join(f"## {n}\n\nShort.\n\n" for n in range(40))
    chunks = chunk(text)
    assert len(chunks) < 15


def test_a_heading_as_long_as_a_page_does_not_fill_the_chunks() -> None:
    text = f"# {'long ' * 500}\n\n{prose(60)}"
    chunks = chunk(text)
    assert joined(text, chunks) == text
    assert all(len(place("", each.headings)) <= 120 for each in chunks)


def test_only_spaces_are_no_chunk() -> None:
    assert chunk("  \n\n\t ") == []


@pytest.mark.parametrize(
    ("at", "page"), [(0, 1), (9, 1), (10, 2), (24, 2), (25, 3), (10_000, 3)], ids=lambda value: str(value)
)
def test_a_character_knows_its_page(at: int, page: int) -> None:
    assert page_of((0, 10, 25), at) == page
    assert page_of((), at) is None


def test_a_title_that_the_first_heading_repeats_is_said_once() -> None:
    assert place("Horses", ("horses", "Food")) == "horses > Food"
    assert place("", ()) == ""


def test_a_document_is_a_value() -> None:
    made = Document("a.md", "A", "text", "markdown", "00")
    assert made == Document("a.md", "A", "text", "markdown", "00")


def test_a_comment_of_code_is_no_heading() -> None:
    text = "# reads the file\ndef read():\n    return 1\n\n# writes it\ndef write():\n    return 2\n"
    assert {each.headings for each in chunk(text, "io.py", is_code=True)} == {()}
    assert {each.headings for each in chunk(text, "io.py")} != {()}


def test_titles_that_are_long_together_are_each_embedded_with_their_beginning() -> None:
    headings = tuple(f"Part {number} {'about llamas and what they eat ' * 3}" for number in range(6))
    made = Chunk(0, 5, 0, headings, 0).told("Grass", "The book of llamas, the seventh edition")
    above, words = made.split("\n")
    assert words == "Grass"
    assert above.startswith("The book") and all(f" > Part {number} about" in above for number in range(6))
    assert estimate(above) <= 48
    assert estimate(beginning("馬" * 100, 48)) == 48 and len(beginning("x" * 1000, 10)) == 33
