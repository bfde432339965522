"""The order in which passages stand before the model is that of the search, reranked or not; the gate comes first."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from rag.embed import HttpEmbedder
from tests.chat.grounded import Stage, says
from tests.fakes import FakeServer

# The more gold, the better for the reranker of these tests, and the worse for the words.
EGGS = {
    f"d{n}": f"# Eggs note {n}\n\nThe eggs are boiled for {n} minutes. {'gold ' * n}{'hay ' * 4 * n}\n"
    for n in range(1, 9)
}
QUESTION = "How long are eggs boiled?"


@pytest.fixture
def server() -> Iterator[FakeServer]:
    with FakeServer(says("Some minutes [1].")) as made:
        yield made


@pytest.fixture
def stage(tmp_path: Path, server: FakeServer) -> Iterator[Stage]:
    made = Stage(tmp_path, server)
    yield made
    made.close()


@pytest.fixture
def reranked(monkeypatch: pytest.MonkeyPatch) -> None:
    """The server has a model that ranks."""

    def rerank(_: HttpEmbedder, question: str, texts: Sequence[str]) -> list[float]:
        return [float(text.count("gold")) for text in texts]

    monkeypatch.setattr(HttpEmbedder, "can_rerank", lambda _: True)
    monkeypatch.setattr(HttpEmbedder, "rerank", rerank)


def sent(stage: Stage) -> list[str]:
    """The titles of the passages in the last prompt."""
    return list(dict.fromkeys(re.findall(r"(?:Eggs|Wool) note \d", stage.prompts[-1])))


def searched(stage: Stage, shelf_id: int, n_most: int = 6) -> list[str]:
    return [each.title for each in stage.door.open().search(QUESTION, [shelf_id], n_most)]


@pytest.mark.usefixtures("reranked")
def test_the_model_gets_the_passages_in_the_order_of_the_reranker(stage: Stage) -> None:
    shelf_id = stage.shelf("cook", documents=EGGS)
    stage.ask(QUESTION, library="cook")
    assert sent(stage)[:4] == searched(stage, shelf_id, 4) == [f"Eggs note {n}" for n in (8, 7, 6, 5)]


@pytest.mark.usefixtures("reranked")
def test_what_the_reranker_puts_first_stays_where_there_is_room_for_little(stage: Stage, tmp_path: Path) -> None:
    small = Stage(tmp_path, stage.server, library_tokens=400)
    small.shelf("cook", documents=EGGS)
    small.ask(QUESTION, library="cook")
    assert sent(small)[0] == "Eggs note 8"
    assert len(sent(small)) < len(EGGS)
    small.close()


def test_without_a_reranker_the_order_of_the_search_is_kept(stage: Stage) -> None:
    shelf_id = stage.shelf("cook", documents=EGGS)
    stage.ask(QUESTION, library="cook")
    assert sent(stage)[:4] == searched(stage, shelf_id, 4)


@pytest.mark.usefixtures("reranked")
def test_a_passage_that_passes_the_gate_is_not_pushed_out_by_those_that_do_not(stage: Stage) -> None:
    wool = {f"w{n}": f"# Wool note {n}\n\nLlama wool {n} is spun by hand. {'gold ' * n}" for n in range(1, 16)}
    stage.shelf("cook", documents={"eggs": "# Eggs note 0\n\nEggs are boiled for nine minutes.", **wool})
    answer = stage.ask(QUESTION, library="cook")
    assert answer.content == "Some minutes [1]."
    assert sent(stage) == ["Eggs note 0"]


@pytest.mark.usefixtures("reranked")
def test_a_refusal_names_the_score_of_the_nearest_passage(server: FakeServer, tmp_path: Path) -> None:
    stage = Stage(tmp_path, server, library_min_score=0.9)
    wool = {f"w{n}": f"# Wool note {n}\n\nLlama wool {n} is spun by hand. {'gold ' * n}" for n in range(1, 16)}
    shelf_id = stage.shelf("cook", documents={"eggs": "Of eggs in the rain at noon nobody said anything.", **wool})
    library = stage.door.open()
    nearest = max(each.score for each in library.search(QUESTION, [shelf_id], 20))
    answer = stage.ask(QUESTION, library="cook")
    assert answer.meta["library"]["refused"]
    assert f"has a score of {nearest:.2f}" in answer.content
    stage.close()


def test_shelves_and_named_documents_are_heard_in_turn(stage: Stage) -> None:
    stage.shelf("cook", documents=EGGS)
    stage.shelf("farm", documents={"wool": "# Wool note 1\n\nHow long are eggs boiled? Llama wool says: not long."})
    stage.ask(f"#wool.md {QUESTION}", library="cook")
    assert "Wool note 1" in sent(stage)[:2]
