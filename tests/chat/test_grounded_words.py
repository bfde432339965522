"""What a message names with #, which questions lean on the one before, and what is kept of an answer's grounds."""

from __future__ import annotations

import time

import pytest

from chatbot.core import mentions
from chatbot.core.library.follow import asks, leans, sought
from chatbot.core.mentions import Name

COOKING = Name("cooking", "shelf", 1)
TWO = Name("Two Words", "shelf", 2)
EGGS = Name("eggs.md", "document", 3, "cooking")
PLUS = Name("c++", "shelf", 4)


@pytest.mark.parametrize(
    ("text", "found", "rest"),
    [
        ("#cooking how long?", [COOKING], "how long?"),
        ("How long do eggs boil #Cooking?", [COOKING], "How long do eggs boil?"),
        ('What does #cooking say of #"two  words" here', [COOKING, TWO], "What does cooking say of two words here"),
        ("see #eggs.md, #cooking.", [EGGS, COOKING], "see."),
        ("#cooking #cooking #eggs.md how", [COOKING, EGGS], "how"),
        ("#c++: what?", [PLUS], "what?"),
        ("#cooking", [COOKING], ""),
        ("(#cooking) yes", [COOKING], "(cooking) yes"),
        ("# cooking", [], "# cooking"),
        ("## cooking ##cooking", [], "## cooking ##cooking"),
        ("x#cooking https://a.example/#cooking &#cooking", [], "x#cooking https://a.example/#cooking &#cooking"),
        ("#nobody asks", [], "#nobody asks"),
        ("#cookingpots and #cook", [], "#cookingpots and #cook"),
    ],
)
def test_a_message_names_what_there_is_and_all_else_is_plain_text(text: str, found: list[Name], rest: str) -> None:
    assert mentions.find(text, [COOKING, TWO, EGGS, PLUS]) == (found, rest)
    assert {each.name.casefold() for each in found} <= set(mentions.words(text))


@pytest.mark.parametrize(
    ("names", "found"),
    [
        ("salt, pepper", ["salt, pepper"]),
        ("Salt, pepper,tea", ["Salt, pepper", "tea"]),
        ("tea , salt", ["tea", "salt"]),
        (" ,tea,", ["tea"]),
        ("", []),
    ],
)
def test_a_name_in_a_list_may_hold_commas_itself(names: str, found: list[str]) -> None:
    assert mentions.parted(names, ["salt, pepper", "tea"]) == found


@pytest.mark.parametrize(
    ("text", "rest"),
    [
        ("#cooking how long?", "how long?"),
        (' #cooking #"two words"\nhow long?', "how long?"),
        ("how long, #cooking?", "how long, #cooking?"),
        ("#cooking", "#cooking"),
        ("#1 thing to do", "#1 thing to do"),
        ("#https://a.example/b say it in short", "#https://a.example/b say it in short"),
        ("# A heading", "# A heading"),
        ("", ""),
    ],
)
def test_a_title_begins_behind_the_names(text: str, rest: str) -> None:
    assert mentions.behind(text) == rest


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("#nosuch who is it?", "nosuch"),
        (" #cooking, #nosuch: who?", "nosuch"),
        ('#"no such" who?', "no such"),
        ("#cooking #eggs.md. who?", ""),
        ("Who is #nosuch?", ""),
        ("# heading", ""),
        ("#1 and #12: who?", ""),
        ("#https://a.example/b who?", ""),
        ("#include <stdio.h>", ""),
        ("#!/bin/sh\necho", ""),
        ("#1e90ff or #b0c4de?", ""),
        ("#main{color:red}", ""),
        ("#) who?", ""),
    ],
)
def test_a_name_that_a_message_begins_with_and_nothing_has_is_told_from_code_and_numbers(text: str, name: str) -> None:
    assert mentions.unknown(text, [COOKING, TWO, EGGS]) == name


@pytest.mark.parametrize("name", ["#a ", '#"a b" ', "#a\n\n", "#a,;:. "])
def test_a_message_of_names_alone_holds_nobody_up(name: str) -> None:
    text = name * (1_000_000 // len(name))
    began = time.process_time()
    assert mentions.behind(text) and mentions.unknown(text, [Name("a", "shelf", 1), Name("a b", "shelf", 2)]) == ""
    assert time.process_time() - began < 0.2


def test_documents_of_the_same_name_are_all_meant() -> None:
    other = Name("EGGS.md", "document", 9, "farm")
    assert mentions.find("#eggs.md?", [EGGS, other])[0] == [EGGS, other]


@pytest.mark.parametrize("name", ["eggs", 'The "yes" command', '"quoted"', " two\n lines.txt", 'a"b', "a#b", "c++,"])
def test_what_is_written_for_a_name_means_it(name: str) -> None:
    meant = Name(name, "document", 1)
    assert mentions.find(f"{mentions.written(name)} how long?", [meant]) == ([meant], "how long?")


@pytest.mark.parametrize("text", ["Thanks!", "ok, thank you very much", "Good morning", "hi there", "That is great."])
def test_greetings_and_thanks_ask_nothing(text: str) -> None:
    assert not asks(text)


@pytest.mark.parametrize(
    "text", ["Thanks, and the eggs?", "why", "", "???", "What is it?", "night", "Who are you?", "how good", "ok?"]
)
def test_all_else_is_a_question(text: str) -> None:
    assert asks(text)


@pytest.mark.parametrize(
    "question",
    ["and how long?", "How long?", "Why not?", "And in winter?", "What colour is it?", "Who made them?", "?"],
)
def test_a_short_question_that_points_back_leans(question: str) -> None:
    assert leans(question)
    assert sought(question, ["How do I boil eggs?"]) == f"How do I boil eggs? {question}"


@pytest.mark.parametrize(
    "question",
    [
        "How long do I boil eggs?",
        "What is Python?",
        "Who is Ada Lovelace?",
        "eggs",
        "Summarize",
        "Is it true that llamas are shorn in spring or autumn?",
    ],
)
def test_a_question_that_says_what_it_is_about_stands_alone(question: str) -> None:
    assert not leans(question)
    assert sought(question, ["How do I boil eggs?"]) == question


def test_a_chain_of_leaning_questions_goes_back_to_the_one_that_says_it() -> None:
    before = ["What is wool?", "How do I boil eggs?", "And how long?"]
    assert sought("Why?", before) == "How do I boil eggs? And how long? Why?"
    assert sought("Why?", []) == "Why?"
