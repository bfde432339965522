"""Reasoning that a server leaves in the text of an answer."""

from __future__ import annotations

import pytest

from chatbot.core.events import Thought
from chatbot.core.thoughts import Splitter, without


def split(pieces: list[str], *, is_fresh: bool = True) -> tuple[str, str]:
    """The thoughts and the answer in a text that comes in pieces."""
    splitter = Splitter(is_fresh=is_fresh)
    parts = [part for piece in pieces for part in splitter.feed(piece)] + list(splitter.end())
    assert all(part.text for part in parts)
    thoughts = "".join(part.text for part in parts if isinstance(part, Thought))
    return thoughts, "".join(part.text for part in parts if not isinstance(part, Thought))


@pytest.mark.parametrize(
    "pieces",
    [
        ["<think>\nLet me see.</think>\n\nFour"],
        ["<th", "ink>", "Let me", " see.", "</th", "ink>", "\n", "\nFo", "ur"],
        list("\n<think>Let me see.</think>Four"),
        ["<thinking>Let me see.</thinking> Four"],
        list("<thinking>Let me see.</thinking> Four"),
    ],
)
def test_thoughts_between_tags_are_taken_out_also_when_tags_come_in_pieces(pieces: list[str]) -> None:
    assert split(pieces) == ("Let me see.", "Four")


@pytest.mark.parametrize("text", ["a <think>b</think> c", "< think", "<thin", "</think>x", "1 < 2", "  spaced", ""])
def test_what_only_looks_like_thoughts_stays_in_the_answer(text: str) -> None:
    assert split([text]) == split(list(text)) == ("", text)


def test_a_tag_in_the_thought_that_is_not_the_end_stays_in_it() -> None:
    assert split(list("<think>a < b </thin k></think>c")) == ("a < b </thin k>", "c")


def test_an_answer_that_ends_while_it_thinks_is_a_thought() -> None:
    assert split(["<think>So", " far </th"]) == ("So far </th", "")
    assert split(["<think>So far</think>", " \n"]) == ("So far", "")


def test_the_rest_of_an_answer_has_no_thoughts() -> None:
    assert split(["<think>a", "</think>"], is_fresh=False) == ("", "<think>a</think>")


def test_a_piece_goes_on_as_soon_as_it_cannot_be_a_tag() -> None:
    splitter = Splitter()
    assert list(splitter.feed("<think>")) == []
    assert list(splitter.feed("So <")) == [Thought("So ")]
    assert list(splitter.feed("b")) == [Thought("<b")]


def test_an_answer_can_be_had_without_its_thoughts() -> None:
    assert [without(text) for text in ("<think>a</think>\nb", "b", "<think>a", "")] == ["b", "b", "", ""]
