"""Fifty questions and a scripted model that cites right, wrong and out of range: every link that is left opens exactly
the passage, and what a passage does not say is not confirmed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from rag.marks import marks
from tests.chat.grounded import Stage, numbers, says
from tests.fakes import FakeServer

ANIMALS = (
    *("alpaca", "badger", "camel", "dolphin", "eagle", "ferret", "gecko", "heron", "ibex", "jackal", "koala", "lemur"),
    *("marmot", "newt", "otter", "puffin", "quail", "raven", "salmon", "tapir", "urchin", "viper", "walrus", "yak"),
    "zebra",
)
FOODS = ("clover", "acorns", "plankton", "berries", "lichen")


def food(n: int) -> str:
    return FOODS[n % len(FOODS)]


def text(n: int, animal: str) -> str:
    return (
        f"# The {animal}\n\n## Food of the {animal}\n\nThe {animal} eats {3 * n + 2} grams of {food(n)} each day.\n\n"
        + (f"## Home of the {animal}\n\nThe {animal} sleeps in burrow {1000 + n} behind the mill.\n")
    )


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with FakeServer() as server:
        made = Stage(tmp_path_factory.mktemp("fifty"), server, library_tokens=700)
        made.shelf("zoo", documents={animal: text(n, animal) for n, animal in enumerate(ANIMALS)})
        yield made
        made.close()


QUESTIONS = [
    *((n, animal, f"How many grams of {food(n)} does the {animal} eat?", "grams") for n, animal in enumerate(ANIMALS)),
    *((n, animal, f"In which burrow does the {animal} sleep?", "burrow") for n, animal in enumerate(ANIMALS)),
]


def test_fifty_questions_have_no_broken_link_and_no_wrong_citation_is_confirmed(stage: Stage) -> None:
    assert len(QUESTIONS) == 50
    chat_id, n_elsewhere = None, 0
    for place, (n, animal, question, kind) in enumerate(QUESTIONS):
        grams, burrow, out = 3 * n + 2, 1000 + n, 40 + place
        right = {"grams": f"The {animal} eats {grams} grams of {food(n)}", "burrow": f"It sleeps in burrow {burrow}"}
        wrong = {
            "grams": f"The {animal} eats {grams + 1} grams of {food(n)}",
            "burrow": f"It sleeps in burrow {2000 + n}",
        }
        said = f"{right[kind]} [1]. {wrong[kind]} [1]. Kings like purple hats [1]. {right[kind]} [2]. So [{out}], [0]."
        stage.server.scripts = [says(*(said[at : at + 3] for at in range(0, len(said), 3)), f" `x[{out}]`")]
        answer = stage.ask(question, chat_id, **({"library": "zoo"} if chat_id is None else {}))
        chat_id = answer.chat_id
        library = answer.meta["library"]
        assert animal in library["sources"][0]["text"], question
        confirmed = [mark["confirmed"] for mark in library["marks"]]
        assert confirmed in ([True, False, False], [True, False, False, False]), question
        n_elsewhere += len(confirmed) == 4
        assert library["n_dropped"] == 6 - len(confirmed) and f"`x[{out}]`" in answer.content
        check_links(stage, answer.content, library)
    assert n_elsewhere > 25  # right words behind the number of another passage


def check_links(stage: Stage, content: str, library: dict[str, Any]) -> None:
    """Every mark has a source, every source opens its passage to the letter."""
    left = [number for mark in marks(content) for number in mark.numbers]
    assert left == [mark["n"] for mark in library["marks"]]
    assert set(left) == set(numbers(library))
    for source in library["sources"]:
        _, document = stage.door.open().document("owner", source["document_id"])
        passage = document.text[source["start"] : source["end"]]
        assert passage[:700] == source["text"] and passage
        assert source["title"] == document.title
