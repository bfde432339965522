"""A document that is named and too long to be sent whole: a question of all of it gets its beginning and parts."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chat.grounded import EGGS, Stage, says
from tests.fakes import FakeServer

LONG = "# Preface\n\nThis book is about pumps.\n\n" + "\n\n".join(
    f"# Part {n}\n\nPart {n} begins here.\n\n" + f"Filler {n} of no use at all. " * 60 for n in range(60)
)
NOTICE = "Nothing in manual.md fits the question: the beginning and parts of the rest were sent."


@pytest.fixture
def stage(tmp_path: Path, fake_server: FakeServer) -> Iterator[Stage]:
    made = Stage(tmp_path, fake_server)
    made.shelf("farm", manual=LONG, eggs=EGGS)
    made.server.scripts = [says("Pumps [1].")] * 3
    yield made
    made.close()


@pytest.mark.parametrize("depth", ["quick", "careful"])
@pytest.mark.parametrize("shelves", ["", "farm"])
def test_a_question_of_a_whole_document_gets_its_beginning_and_parts(stage: Stage, depth: str, shelves: str) -> None:
    answer = stage.ask("#manual.md summarise", depth=depth, library=shelves)
    prompt = stage.prompts[-1]
    assert "This book is about pumps." in prompt and "nine minutes" not in prompt
    begun = [int(number) for number in re.findall(r"Part (\d+) begins here", prompt)]
    assert begun == sorted(begun) and begun[-1] > 45 and len(begun) > 5
    assert answer.meta["notices"] == [NOTICE]
    assert answer.content == "Pumps [1]." and answer.meta["library"]["whole"] is False


def test_the_passages_that_come_nearest_are_among_those_parts(tmp_path: Path, fake_server: FakeServer) -> None:
    strict = Stage(tmp_path, fake_server, library_min_score=0.95)
    strict.shelf("farm", manual=f"{LONG}\n\n# Oil\n\nThe valve takes four litres of oil.\n\n{'More words. ' * 500}")
    strict.ask("#manual.md how much oil does a valve take?")
    assert "four litres of oil" in strict.prompts[-1] and "This book is about pumps." in strict.prompts[-1]
    strict.close()


def test_two_documents_share_the_room_and_a_document_without_headings_is_told_from_all_of_it(stage: Stage) -> None:
    sentences = " ".join(f"Sentence {n} tells of nothing much." for n in range(3_000))
    stage.shelf("plain", notes=sentences)
    answer = stage.ask("#manual.md #notes.md give me the gist")
    assert "This book is about pumps." in stage.prompts[-1] and "Sentence 0 tells" in stage.prompts[-1]
    told = [int(number) for number in re.findall(r"Sentence (\d+) tells", stage.prompts[-1])]
    assert max(told) > 1_000
    assert answer.meta["notices"] == [NOTICE.replace("manual.md", "manual.md, notes.md")]


def test_a_shelf_that_is_named_is_still_asked_by_what_it_has(stage: Stage) -> None:
    answer = stage.ask("#farm summarise the constitution")
    assert answer.content.startswith("No answer was found in your documents.") and not stage.server.requests
