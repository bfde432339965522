"""An answer is prepared from passages that may answer, within one budget; where there are none nobody is asked."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping, Sequence
from itertools import permutations
from typing import Any

import pytest

from rag.answer import MOST_CALLS, NOT_FOUND, Budget, Depth, Question, Step, prepare
from rag.documents import Passage, merged
from rag.tokens import estimate

ROOMY = Budget(2_000, 0.4)


def passage(text: str, score: float = 0.8, at: int = 0) -> Passage:
    return Passage(at, "farm", f"{at}.md", f"Title {at}", (), text, 0, len(text), score)


LIBRARY = {
    "wool": passage("Wool is spun by hand.", 0.8, 1),
    "gate": passage("The gate closes at nine.", 0.7, 2),
    "weak": passage("Something about wool and gates.", 0.3, 3),
}


def find(question: str) -> list[Passage]:
    return [each for word, each in LIBRARY.items() if word in question.lower()]


class Scripted:
    """A model with given smaller questions and opinions."""

    def __init__(self, questions: Any, yes: Sequence[str] = ()) -> None:
        self._questions, self._yes = questions, yes
        self._lock = threading.Lock()
        self.prompts: list[str] = []

    def ask(self, prompt: str, schema: Mapping[str, Any] | None, max_tokens: int) -> str:
        with self._lock:
            self.prompts.append(prompt)
        if schema is None:
            return f"Draft of {prompt.rpartition('Question: ')[2]} [1]. See rows[9]."
        if "questions" in schema["properties"]:
            return self._questions if isinstance(self._questions, str) else json.dumps({"questions": self._questions})
        return json.dumps(
            {"answer": "yes" if any(word in prompt.rpartition("Question")[2] for word in self._yes) else "no"}
        )


def test_quick_looks_once_and_numbers_what_it_found() -> None:
    steps: list[Step] = []
    ready = prepare("What of wool?", find, ROOMY, tell=steps.append)
    assert ready.content.endswith("Question: What of wool?")
    assert "[1]\n```\nTitle 1\n\nWool is spun by hand.\n```" in ready.content
    assert steps == [Step("What of wool?", 1)]


@pytest.mark.parametrize("depth", list(Depth))
def test_nothing_that_may_answer_is_said_without_asking_for_an_answer(depth: Depth) -> None:
    model = Scripted(["weak?", "nothing?"])
    ready = prepare("A weak question?", find, ROOMY, depth, model)
    assert (ready.refusal, ready.content, ready.passages) == (NOT_FOUND, "", {})
    assert len(model.prompts) == (0 if depth is Depth.QUICK else 1)


def test_passages_share_one_budget_best_first() -> None:
    many = [passage("word " * 100, 0.9 - n / 100, n) for n in range(20)]
    ready = prepare("q", lambda _: many, Budget(700, 0.0))
    assert [each.document_id for each in ready.passages.values()] == [0, 1, 2, 3]
    assert estimate(ready.content) < 800


def test_a_passage_larger_than_the_budget_is_cut() -> None:
    ready = prepare("q", lambda _: [passage("word " * 5_000)], Budget(400, 0.0))
    [cut] = ready.passages.values()
    assert 0 < cut.end == len(cut.text) < 2_000
    assert estimate(ready.content) < 500


def test_break_down_answers_each_part_and_puts_them_together() -> None:
    model, steps = Scripted(["And the wool?", "And the gate?"]), []
    ready = prepare("Wool and gate?", find, ROOMY, Depth.BREAK_DOWN, model, steps.append)
    assert [each.document_id for each in ready.passages.values()] == [1, 2]
    assert sorted(step.question for step in steps) == ["And the gate?", "And the wool?", "Wool and gate?"]
    assert "- And the wool? Draft of And the wool?. See rows[9]." in ready.content
    assert ready.content.endswith("Question: Wool and gate?")
    assert len(model.prompts) == 3


def test_careful_leaves_out_what_smaller_questions_found_that_does_not_answer_them() -> None:
    model = Scripted(["Which wool?", "And the gate?"], yes=["Which"])
    ready = prepare("What of wool?", find, ROOMY, Depth.CAREFUL, model)
    assert [each.document_id for each in ready.passages.values()] == [1]
    assert [step.is_answered for step in ready.steps] == [None, True, False]
    assert len(model.prompts) == 4


@pytest.mark.parametrize("depth", [Depth.BREAK_DOWN, Depth.CAREFUL])
@pytest.mark.parametrize("made", [["What of wool?"], ["Who knows?"], ["The gate is open."], []])
def test_what_quick_finds_is_found_at_every_depth_whatever_the_model_makes_of_the_question(
    depth: Depth, made: list[str]
) -> None:
    quick = prepare("What of wool?", find, ROOMY)
    deep = prepare("What of wool?", find, ROOMY, depth, Scripted(made))
    assert quick.passages[1] == deep.passages[1] and not deep.refusal
    assert "What of wool?" in [step.question for step in deep.steps]


def test_words_of_the_order_are_no_smaller_questions() -> None:
    made = ["Split this question.", "Smaller ones, put together.", "Why?", "And the gate?"]
    ready = prepare("Wool and gate?", find, ROOMY, Depth.BREAK_DOWN, Scripted(made))
    assert [step.question for step in ready.steps] == ["Wool and gate?", "And the gate?"]


@pytest.mark.parametrize("questions", ["no json", "{}", '{"questions": "x"}', '{"questions": [1, ""]}', []])
def test_a_model_that_makes_no_smaller_questions_gets_the_whole_one(questions: Any) -> None:
    ready = prepare("What of wool?", find, ROOMY, Depth.BREAK_DOWN, Scripted(questions))
    assert [step.question for step in ready.steps] == ["What of wool?"]
    assert [each.document_id for each in ready.passages.values()] == [1]


@pytest.mark.parametrize(
    ("depth", "made", "n_asked"),
    [
        (Depth.BREAK_DOWN, ["What of wool?"], 1),
        (Depth.BREAK_DOWN, ["Which wool?", "Who knows?"], 1),
        (Depth.BREAK_DOWN, [], 1),
        (Depth.CAREFUL, ["Which wool?"], 2),
        (Depth.BREAK_DOWN, ["Which wool?", "And the gate?"], 3),
    ],
)
def test_no_draft_is_written_where_there_is_only_one_part(depth: Depth, made: list[str], n_asked: int) -> None:
    model = Scripted(made, yes=["wool"])
    ready = prepare("What of wool?", find, ROOMY, depth, model)
    assert len(model.prompts) == n_asked and ready.passages[1].document_id == 1


FARM = "The barn is red. Wool is spun by hand. The gate closes at nine. The mare sleeps."


def span(first: str, last: str, score: float = 0.8) -> Passage:
    """A passage of one document, from a sentence on to another."""
    start, end = FARM.index(first), FARM.index(last) + len(last)
    return Passage(1, "farm", "farm.md", "Farm", (), FARM[start:end], start, end, score)


def of_farm(question: str) -> list[Passage]:
    if "mare" in question:
        return [span("The gate", "sleeps.")]
    return [span("Wool", "nine.", 0.9)] if "gate" in question else [span("The barn", "by hand.", 0.7)]


@pytest.mark.parametrize("depth", [Depth.BREAK_DOWN, Depth.CAREFUL])
def test_passages_of_several_searches_that_overlap_are_one_passage(depth: Depth) -> None:
    model = Scripted(["When does the gate close?", "Where is the mare?"], yes=["gate", "mare"])
    ready = prepare("Is the barn red?", of_farm, ROOMY, depth, model)
    [whole] = ready.passages.values()
    assert (whole.text, whole.start, whole.end) == (FARM, 0, len(FARM))
    assert ready.content.count("Wool is spun") == ready.content.count("The gate closes") == 1


def test_passages_that_overlap_are_one_with_all_of_its_text_in_whatever_order_they_come() -> None:
    parts = [span("The barn", "red."), span("Wool", "nine."), span("The mare", "sleeps."), span("red.", "mare")]
    for order in permutations(parts):
        [whole] = merged(order)
        assert (whole.text, whole.start, whole.end) == (FARM, 0, len(FARM))


def test_what_stands_in_a_passage_whose_number_is_taken_is_not_sent_again() -> None:
    asked = Question("Where is the gate?", pinned={3: span("The barn", "by hand.")})
    ready = prepare(asked, of_farm, ROOMY)
    assert {n: FARM[each.start : each.end] for n, each in ready.passages.items()} == {
        1: " The gate closes at nine.",
        3: "The barn is red. Wool is spun by hand.",
    }
    assert all(each.text == FARM[each.start : each.end] for each in ready.passages.values())


def test_calls_are_limited_whatever_the_model_says() -> None:
    model = Scripted([f"wool {n}?" for n in range(50)], yes=["wool"])
    ready = prepare("wool?", find, ROOMY, Depth.CAREFUL, model)
    assert len(ready.steps) == 5
    assert len(model.prompts) <= MOST_CALLS


def test_a_cancelled_question_asks_no_more() -> None:
    stop, model = threading.Event(), Scripted(["wool?", "gate?"])
    stop.set()
    prepare("q", find, ROOMY, Depth.CAREFUL, model, is_cancelled=stop.is_set)
    assert model.prompts == []
