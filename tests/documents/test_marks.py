"""Marks are put right while the answer is written: the same text, however it comes in pieces."""

from __future__ import annotations

import cProfile
import pstats
import random
import time

import pytest

from rag.citations import check
from rag.documents import Passage
from rag.marks import Marks, marks
from tests.mark_cases import CASES, Case

BITS = (
    "`",
    "``",
    "```",
    "~~~",
    "[",
    "]",
    "(",
    ")",
    "[1]",
    "[9]",
    "[2, 9]",
    "[x](u",
    ":",
    "1",
    "a",
    "x.",
    " ",
    "\t",
    "\n",
    "\n\n",
    "$",
    "$$",
    "\\",
    "\\(",
    "\\]",
    "- ",
    "1. ",
    "> ",
    "    ",
    "word",
    "[1-9]",
    "[^1]",
    "[1]: b",
    "\u30101\u3011",
    "\u30102\u3011(b)",
    "=",
    "word[[1]](u)",
)


def written(pieces: list[str], before: str = "") -> tuple[str, int]:
    stream = Marks({1, 2}, before)
    return "".join(map(stream.feed, pieces)) + stream.end(), stream.n_dropped


def texts(n: int) -> list[str]:
    dice = random.Random(7)  # noqa: S311 - no secret
    return ["".join(dice.choice(BITS) for _ in range(dice.randint(1, 14))) for _ in range(n)]


def test_a_text_is_the_same_in_one_piece_and_cut_at_every_place() -> None:
    for text in texts(600):
        whole = written([text])
        assert written(list(text)) == whole, text
        for cut in range(1, len(text)):
            assert written([text[:cut], text[cut:]]) == whole, (text, cut)


PARAGRAPHS = {
    "code": "The `name` of `it` [1] is ``so`` here. ",
    "signs that nothing ends": "It is ` and `` then [1] ``` so $ it \\( is. ",
    "code over lines": "It is ` and `` then [1] ``` so\n",
    "brackets that nothing ends": "It [is `so` [1] and [goes on, ",
}


def work(text: str) -> int:
    """How many calls it takes to write a text that comes in pieces of four characters."""
    watched = cProfile.Profile()
    watched.runcall(written, [text[at : at + 4] for at in range(0, len(text), 4)])
    return int(pstats.Stats(watched).total_calls)  # type: ignore[attr-defined]


@pytest.mark.parametrize("sentence", PARAGRAPHS.values(), ids=PARAGRAPHS)
def test_twice_the_paragraph_is_twice_the_work(sentence: str) -> None:
    assert work(sentence * 120) < 2.5 * work(sentence * 60)


def test_parentheses_behind_a_mark_that_nothing_ends_are_read_at_once() -> None:
    text = f"So [1]({'see (this, ' * 40}\nand [1]."
    assert written(list(text)) == (text, 0)


def test_what_is_written_has_one_number_in_each_mark() -> None:
    for text in texts(600):
        said, _ = written([text])
        assert all(len(mark.numbers) == 1 for mark in marks(said, {1, 2})), text


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_marks_are_put_right_and_code_formulas_and_links_stay_as_they_are(case: Case) -> None:
    for pieces in ([case.answer], list(case.answer)):
        stream = Marks({1})
        assert "".join(map(stream.feed, pieces)) + stream.end() == case.text
    assert [mark.numbers for mark in marks(case.text, {1})] == [(1,)] * case.n_marks
    again = Marks({1})
    assert (again.feed(case.text) + again.end(), again.n_dropped) == (case.text, 0)


@pytest.mark.parametrize("text", ["Shorn [1], fed [9] and [2,1] spun `a[9]`.", "```\na[9]\n```\nyes [9]. [2]"])
def test_a_check_of_the_whole_says_what_the_stream_wrote(text: str) -> None:
    passages = [Passage(1, "farm", "a.md", "A", (), "words", 0, 5, 1.0)] * 2
    checked = check(text, passages)
    assert (checked.text, checked.n_dropped) == written(list(text))
    assert [each.number for each in checked.citations] == [n for mark in marks(checked.text) for n in mark.numbers]


def test_text_without_marks_is_not_held_back() -> None:
    stream = Marks({1})
    assert [stream.feed(piece) for piece in ("It is", " spun", " by [", "x", "] `code", "` and")] == [
        "It is",
        " spun",
        " by",
        " [x",
        "] `code",
        "` and",
    ]


def test_an_answer_goes_on_from_where_it_was() -> None:
    assert written(["] and [9] so"], before="Spun [1") == ("] and so", 1)
    assert written(["b[9]\n```\nyes [9]"], before="See:\n```\na[9]\n") == ("b[9]\n```\nyes", 1)
    assert written(["[2]"], before="Spun.") == (" [2]", 0)


@pytest.mark.parametrize("bit", [" ", "\t", ">", "1. ", "- ", "\u3010", "[1,"])
def test_a_long_run_of_anything_is_written_as_it_comes(bit: str) -> None:
    text = f"So [1].\n{(bit * 8_000)[:8_000]}"
    began = time.process_time()
    written([text[at : at + 4] for at in range(0, len(text), 4)])
    assert time.process_time() - began < 4
