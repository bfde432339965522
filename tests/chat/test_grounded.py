"""Answers from the library: what is looked for, what the model gets, what the answer rests on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from chatbot.core.events import Delta, Grounds, Looked, Status
from tests.chat.grounded import EGGS, WOOL, Stage, held, numbers, says
from tests.fakes import FakeServer


@pytest.fixture
def stage(tmp_path: Path, fake_server: FakeServer) -> Iterator[Stage]:
    made = Stage(tmp_path, fake_server)
    yield made
    made.close()


def test_a_chat_with_a_shelf_answers_from_its_passages_and_says_where_from(stage: Stage) -> None:
    stage.shelf("cooking", eggs=EGGS, llamas=WOOL)
    stage.server.scripts = [says("Boil them for nine min", "utes [", "1]. Then dance [7].")]
    answer = stage.ask("How long do I boil eggs?", library="cooking")
    assert answer.content == "Boil them for nine minutes [1]. Then dance."
    library = answer.meta["library"]
    assert (library["shelves"], library["depth"], library["refused"]) == (["cooking"], "quick", False)
    assert held(library["marks"]) == [(1, True)] and library["n_dropped"] == 1
    assert numbers(library) == [1] and library["best_score"] == library["sources"][0]["score"]
    [source] = library["sources"]
    _, document = stage.door.open().document("owner", source["document_id"])
    assert document.text[source["start"] : source["end"]] == source["text"]
    assert "nine minutes" in source["text"] and source["shelf"] == "cooking"
    assert "Question: How long do I boil eggs?" in stage.prompts[-1] and "[1]\n```\nBoiling" in stage.prompts[-1]


def test_a_message_without_shelves_knows_nothing_of_the_library(stage: Stage) -> None:
    stage.shelf("cooking", eggs=EGGS)
    n_before = len(stage.server.embedded)
    answer = stage.ask("How long do I boil #eggs-of-nobody?")
    assert "library" not in answer.meta and len(stage.server.embedded) == n_before
    assert stage.prompts == ["How long do I boil #eggs-of-nobody?"]


def test_what_the_page_hears_comes_in_order_and_is_whole_each_time(stage: Stage) -> None:
    stage.shelf("cooking", eggs=EGGS)
    stage.server.scripts = [says("Nine minutes [1].")]
    answer = stage.ask("How long do I boil eggs?", library="cooking")
    first, looked, second, third = stage.events(answer.id, Grounds, Looked)
    assert isinstance(looked, Looked) and (looked.question, looked.n_passages) == ("How long do I boil eggs?", 1)
    assert (first.library["steps"], first.library["sources"]) == ([], [])
    assert [each["n"] for each in second.library["sources"]] == [1] and second.library["marks"] == []
    assert third.library == answer.meta["library"] and len(third.library["steps"]) == 1
    assert set(first.library) == set(second.library) == set(third.library)
    assert "".join(event.text for event in stage.events(answer.id, Delta)) == answer.content


def test_nothing_near_enough_is_refused_without_asking_the_model_and_found_once_it_is_there(stage: Stage) -> None:
    shelf_id = stage.shelf("cooking", eggs=EGGS)
    answer = stage.ask("Who wrote the constitution?", library="cooking")
    assert answer.status is Status.DONE and stage.server.requests == []
    assert answer.content.startswith("No answer was found in your documents. ")
    assert "on cooking" in answer.content and "#name" in answer.content and "Careful" in answer.content
    assert answer.meta["library"]["refused"] is True and answer.meta["library"]["sources"] == []
    stage.door.open().add_file("owner", shelf_id, "law.md", b"# Constitution\n\nThe people wrote the constitution.\n")
    stage.server.scripts = [says("The people wrote the constitution [1].")]
    again = stage.ended(stage.jobs.retry(answer.id).id)
    assert again.content == "The people wrote the constitution [1]."
    assert held(again.meta["library"]["marks"]) == [(1, True)]


def test_thanks_are_no_question_to_the_documents(stage: Stage) -> None:
    stage.shelf("cooking", eggs=EGGS)
    stage.server.scripts = [says("Nine minutes [1]."), says("You are welcome.")]
    first = stage.ask("How long do I boil the eggs?", library="cooking")
    thanks = stage.ask("Thank you very much!", first.chat_id, library="cooking")
    assert thanks.content == "You are welcome." and "library" not in thanks.meta
    sent = stage.server.requests[-1]["messages"]
    assert [each["content"] for each in sent][-1] == "Thank you very much!"


def test_an_empty_shelf_says_so_and_a_shelf_that_is_gone_is_an_error_with_the_others(stage: Stage) -> None:
    stage.shelf("cooking")
    assert "nothing on cooking yet: add documents" in stage.ask("How long?", library="cooking").content
    gone = stage.ask("How long?", library="knitting")
    assert gone.status is Status.ERROR and gone.meta["error"]["code"] == "unknown_shelf"
    assert gone.meta["error"]["message"] == "there is no shelf knitting; those there are: cooking"


def test_a_chat_goes_on_to_ask_a_shelf_that_has_another_name_now(stage: Stage) -> None:
    shelf_id, index = stage.shelf("cooking", eggs=EGGS), stage.door.open().index
    first = stage.ask("How do I boil eggs?", library="cooking")
    index.change_shelf("owner", shelf_id, name="kitchen")
    index.change_shelf("owner", shelf_id, name="Kitchen books")
    for text in ("How long do I boil soft eggs?", "#kitchen how long do I boil eggs?"):
        later = stage.ask(text, first.chat_id, library="cooking")
        assert later.meta["library"]["shelves"] == ["Kitchen books"], later.meta
    stage.shelf("Cooking", eggs="A new shelf says that eggs boil for two minutes.")
    assert stage.ask("How long do I boil eggs?", library="cooking").meta["library"]["shelves"] == ["Cooking"]


def test_a_mention_asks_a_shelf_for_one_message(stage: Stage) -> None:
    stage.shelf("cooking", eggs=EGGS)
    stage.shelf("Farm Books", llamas=WOOL)
    answer = stage.ask('#cooking and #"farm books" how long do I boil eggs?')
    assert answer.meta["library"]["shelves"] == ["cooking", "Farm Books"]
    later = stage.ask("Tell me a joke about boiling oceans of tea.", answer.chat_id)
    assert "library" not in later.meta


def test_a_named_document_that_fits_is_sent_whole_in_its_order(stage: Stage) -> None:
    stage.shelf("cooking", eggs=EGGS, llamas=WOOL)
    stage.server.scripts = [says("Cold water [1].")]
    answer = stage.ask("#eggs.md sum it up")
    library = answer.meta["library"]
    assert (library["whole"], library["shelves"]) == (True, ["cooking"])
    assert "nine minutes" in stage.prompts[-1] and "cold water" in stage.prompts[-1]
    assert "Llama" not in stage.prompts[-1]


@pytest.mark.parametrize(
    ("name", "text", "mention"),
    [
        ("yes.md", '# The "yes" command\n\nIt says y for ever.\n', '#"The yes command"'),
        ("new\nline.txt", "It says y for ever.\n", '#"new line.txt"'),
    ],
)
def test_a_document_is_named_without_the_quotes_and_line_breaks_of_its_title(
    stage: Stage, name: str, text: str, mention: str
) -> None:
    shelf_id = stage.shelf("tools", eggs=EGGS)
    stage.door.open().add_file("owner", shelf_id, name, text.encode())
    answer = stage.ask(f"{mention} what does it say?")
    assert answer.meta["library"]["whole"] is True and "y for ever" in stage.prompts[-1]


def test_a_named_document_that_is_long_is_looked_through_alone(stage: Stage) -> None:
    long = "\n\n".join(f"# Part {n}\n\n" + f"Filler {n} words of no use. " * 40 for n in range(60))
    stage.shelf("cooking", long=f"{long}\n\n# Eggs\n\nBoil eggs for eleven minutes.\n", eggs=EGGS)
    answer = stage.ask("#long.md how long do I boil eggs?")
    assert answer.meta["library"]["whole"] is False
    assert "eleven minutes" in stage.prompts[-1] and "nine minutes" not in stage.prompts[-1]


@pytest.mark.parametrize("question", ["and how long?", "why?", "And for how long do they cool?"])
def test_a_question_that_leans_on_the_one_before_is_looked_for_with_it(stage: Stage, question: str) -> None:
    stage.shelf("cooking", eggs=EGGS)
    first = stage.ask("How do I boil eggs?", library="cooking")
    answer = stage.ask(question, first.chat_id)
    assert answer.meta["library"]["steps"][0]["question"] == f"How do I boil eggs? {question}"
    assert stage.prompts[-1].endswith(f"Question: {question}")


def test_a_question_that_stands_for_itself_is_looked_for_alone(stage: Stage) -> None:
    stage.shelf("cooking", eggs=EGGS, llamas=WOOL)
    first = stage.ask("How do I boil eggs?", library="cooking")
    answer = stage.ask("When is llama wool spun by hand?", first.chat_id)
    assert answer.meta["library"]["steps"][0]["question"] == "When is llama wool spun by hand?"


def test_later_questions_carry_neither_the_passages_nor_the_marks_of_earlier_ones(stage: Stage) -> None:
    stage.shelf("cooking", eggs=EGGS)
    stage.server.scripts = [says("Nine minutes [1].")]
    first = stage.ask("#cooking how long do I boil eggs?")
    stage.ask("Tell me a joke about boiling oceans of tea.", first.chat_id)
    sent = stage.server.requests[-1]["messages"]
    assert [each["content"] for each in sent][-3:] == [
        "#cooking how long do I boil eggs?",
        "Nine minutes.",
        "Tell me a joke about boiling oceans of tea.",
    ]
    assert stage.store.chat(first.chat_id).title == "how long do I boil eggs?"


def test_shelves_of_others_are_plain_words_and_never_searched(stage: Stage) -> None:
    stage.shelf("secret", "eve", plans="# Plans\n\nThe heist is on Monday.\n")
    stage.shelf("family", "eve", is_shared=True, cake="# Cake\n\nBake the cake for an hour.\n")
    answer = stage.ask("#secret when is the heist?")
    assert "library" not in answer.meta and stage.prompts[-1] == "#secret when is the heist?"
    asked = stage.ask("When is the heist?", library="secret")
    assert asked.meta["error"]["message"] == "there is no shelf secret; those there are: family"
    assert "library" not in stage.ask("#plans.md when is the heist?").meta
    shared = stage.ask("#family how long is the cake baked?")
    assert shared.meta["library"]["sources"] == [] and "for an hour" in stage.prompts[-1]
    own = stage.ask("#secret when is the heist?", owner_id="eve")
    assert "on Monday" in stage.prompts[-1] and own.meta["library"]["shelves"] == ["secret"]


def test_all_shelves_that_others_share_under_a_name_are_asked_and_ones_own_alone(stage: Stage) -> None:
    stage.shelf("recipes", "ben", is_shared=True, eggs=EGGS)
    stage.shelf("Recipes", "cleo", is_shared=True, more="# More eggs\n\nBoil the eggs of geese for an hour.\n")
    for text, options in (
        ("#recipes how long do I boil eggs?", {}),
        ("How long do I boil eggs?", {"library": "recipes"}),
    ):
        stage.ask(text, **options)
        assert "nine minutes" in stage.prompts[-1] and "an hour" in stage.prompts[-1]
    stage.ask("#recipes how long do I boil eggs?", owner_id="ben")
    assert "nine minutes" in stage.prompts[-1] and "an hour" not in stage.prompts[-1]


def test_passages_share_the_budget_and_at_most_half_of_what_the_model_holds(stage: Stage) -> None:
    many = {f"eggs{n}": f"# Eggs {n}\n\n" + f"Boil eggs number {n} " * 60 for n in range(12)}
    stage.shelf("cooking", documents=many)
    stage.server.n_ctx = 1_000
    stage.ask("How do I boil eggs?", library="cooking", max_tokens=100)
    passages = stage.prompts[-1].partition("[1]\n")[2].partition("Question:")[0]
    assert 200 < len(passages.split()) <= 500


def test_the_window_shows_the_passages_with_their_tokens(stage: Stage) -> None:
    from chatbot.core import context
    from chatbot.core.events import Message
    from chatbot.core.options import ChatOptions
    from chatbot.core.turn import Turn

    stage.shelf("cooking", eggs=EGGS)
    asked = Turn([Message("user", "How long do I boil eggs?")], ChatOptions(library="cooking"))
    shown = context.show(asked, stage.model, stage.settings, library=stage.door)
    parts = {part["kind"]: part for part in shown["parts"]}
    assert "nine minutes" in parts["passages"]["text"] and parts["passages"]["n_tokens"] > 10
    assert "nine minutes" not in parts["message"]["text"] and stage.server.requests == []


def test_a_question_that_leans_on_one_with_a_shelf_asks_that_shelf_too(stage: Stage) -> None:
    stage.shelf("cooking", eggs=EGGS)
    first = stage.ask("#cooking how do I boil eggs?")
    answer = stage.ask("and how long?", first.chat_id)
    assert answer.meta["library"]["shelves"] == ["cooking"] and "nine minutes" in stage.prompts[-1]


def test_a_name_that_nothing_has_is_said_and_which_shelves_there_are(stage: Stage) -> None:
    assert "notices" not in stage.ask("#nosuch how long do eggs boil?").meta  # nobody has a library here
    stage.shelf("cooking", eggs=EGGS)
    stage.shelf("secret", "eve", plans="# Plans\n\nThe heist is on Monday.\n")
    answer = stage.ask("#nosuch how long do eggs boil?")
    told = "Nothing is called #nosuch, so the library was not asked. The shelves there are: cooking."
    assert answer.meta["notices"] == [told] and "library" not in answer.meta
    assert stage.prompts[-1] == "#nosuch how long do eggs boil?"
    beside = stage.ask("#cooking #nosuch how long do eggs boil?")
    assert beside.meta["notices"] == ["Nothing is called #nosuch. The shelves there are: cooking."]
    assert beside.meta["library"]["shelves"] == ["cooking"]
    for text in ("#include <stdio.h>", "#1 thing to do", "# Eggs", "What is a #hashtag?"):
        assert "notices" not in stage.ask(text).meta


def test_a_follow_up_to_a_shelf_that_is_gone_says_so(stage: Stage) -> None:
    shelf_id = stage.shelf("cooking", eggs=EGGS)
    stage.shelf("farm", llamas=WOOL)
    first = stage.ask("#cooking how do I boil eggs?")
    stage.door.open().index.delete_shelf("owner", shelf_id)
    answer = stage.ask("and how long?", first.chat_id)
    told = "Nothing is called #cooking, so the library was not asked. The shelves there are: farm."
    assert answer.meta["notices"] == [told] and "library" not in answer.meta


def test_a_file_of_the_chat_can_be_named_and_is_cited(stage: Stage) -> None:
    file = stage.store.add_file(None, "pump.txt", "text", "The pump needs four litres of oil.").id
    first = stage.ask("Keep this", files=(file,))
    stage.server.scripts = [says("The pump needs four litres of oil [1].")]
    answer = stage.ask("#pump.txt how much oil?", first.chat_id)
    library = answer.meta["library"]
    assert (library["whole"], library["shelves"], held(library["marks"])) == (True, [], [(1, True)])
    assert library["sources"][0]["uri"] == f"chat:{file}" and "notices" not in answer.meta


def test_shelves_are_chosen_by_names_that_may_hold_commas(stage: Stage) -> None:
    stage.shelf("salt, sugar", salt="# Salt\n\nSalt is dug in mines.\n")
    stage.shelf("cooking", eggs=EGGS)
    answer = stage.ask("Where is salt dug?", library="cooking, Salt, sugar")
    assert answer.meta["library"]["shelves"] == ["cooking", "salt, sugar"]


def test_a_base_model_says_that_it_does_not_ask_the_library(stage: Stage) -> None:
    stage.shelf("cooking", eggs=EGGS)
    stage.server.capabilities = ["completion"]
    for text, options in (("Boil the eggs", {"library": "cooking"}), ("#cooking boil the eggs", {})):
        answer = stage.ask(text, **options)
        assert "does not answer from the library" in answer.meta["notices"][0] and "library" not in answer.meta
    assert not any("library" in told for told in stage.ask("#include the eggs").meta.get("notices", ()))
