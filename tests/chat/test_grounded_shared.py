"""Shelves that several people share under one name: each can be asked alone, and an answer tells which is which."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from chatbot.terminal.shelves import Shelves
from tests.chat.grounded import EGGS, Stage, says
from tests.fakes import FakeServer

GEESE = "# More eggs\n\nBoil the eggs of geese for an hour.\n"
DUCKS = "# Ducks\n\nBoil the eggs of ducks for twenty minutes.\n"
QUESTION = "how long do I boil eggs?"


@pytest.fixture
def shared(tmp_path: Path, model: FakeServer) -> Iterator[Stage]:
    stage = Stage(tmp_path, model)
    for name in ("Ben", "Cleo", "Dora"):
        stage.store.add_user(name, "", is_admin=False, user_id=name.lower())
    stage.shelf("recipes", "ben", is_shared=True, eggs=EGGS)
    stage.shelf("Recipes", "cleo", is_shared=True, more=GEESE)
    yield stage
    stage.close()


@pytest.mark.parametrize(
    ("named", "options"), [("#recipes@Cleo ", {}), ("", {"library": "Recipes@cleo"}), ('#"recipes@cleo" ', {})]
)
def test_one_of_several_shelves_of_a_name_is_asked_by_its_owner(
    shared: Stage, named: str, options: dict[str, str]
) -> None:
    answer = shared.ask(f"{named}{QUESTION}", **options)
    assert "an hour" in shared.prompts[-1] and "nine minutes" not in shared.prompts[-1]
    assert answer.meta["library"]["shelves"] == ["Recipes@Cleo"]


def test_answer_from_several_shelves_of_a_name_tells_whose_each_source_is(shared: Stage) -> None:
    shared.server.scripts = [says("Nine minutes [1], of geese an hour [2].")]
    library = shared.ask(f"#recipes {QUESTION}").meta["library"]
    assert library["shelves"] == ["recipes@Ben", "Recipes@Cleo"]
    assert {each["title"]: each["shelf"] for each in library["sources"]} == {
        "Boiling": "recipes@Ben",
        "More eggs": "Recipes@Cleo",
    }


def test_ones_own_shelf_keeps_its_name_and_those_of_others_can_be_asked_beside_it(shared: Stage) -> None:
    shared.shelf("recipes", ducks=DUCKS)
    own = shared.ask(f"#recipes {QUESTION}")
    assert own.meta["library"]["shelves"] == ["recipes"]
    assert "of ducks" in shared.prompts[-1] and "of geese" not in shared.prompts[-1]
    shared.ask(f"#recipes@Cleo {QUESTION}")
    assert "of ducks" not in shared.prompts[-1] and "of geese" in shared.prompts[-1]


def test_terminal_offers_and_takes_the_names_with_their_owners(shared: Stage) -> None:
    shared.shelf("dora's", "dora", is_shared=True, ducks=DUCKS)
    shelves = Shelves(shared.door)
    assert [name for name, _ in shelves.beginning("")] == ["dora's", "recipes@Ben", "Recipes@Cleo"]
    assert ("More eggs", "on Recipes@Cleo") in shelves.beginning("more")
    assert shelves.checked("recipes@cleo, dora's") == "Recipes@Cleo, dora's"
    shared.shelf("barns", barn='# The "big" barn\n\nOf slate.\n')
    assert ('The "big" barn', "on barns") in shelves.beginning("the big b")
    ids = {each.name: each.id for each in shelves.all()}
    assert shelves.asked("Recipes@Cleo") == {ids["Recipes@Cleo"]}
    assert shelves.asked(shelves.checked("recipes")) == {ids["recipes@Ben"], ids["Recipes@Cleo"]}
