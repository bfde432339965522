"""What is typed behind a slash on the page means what it means in the terminal, and is never sent in silence."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import expect

from tests.chat.browser import Browser
from tests.chat.held import Answers
from tests.chat.household import PASSWORD, guest, logged_in
from tests.chat.page import Tab, Tabs
from tests.fakes import FakeServer, Finish
from tests.processes import Process, chatbot, running

pytestmark = pytest.mark.browser


def refused(tab: Tab, command: str, said: str) -> None:
    """A command fails with this reason, and stands in the composer to be put right."""
    tab.say(command)
    expect(tab.problem).to_contain_text(said)
    expect(tab.input).to_have_value(command)


def told(tab: Tab, command: str, said: str) -> None:
    tab.say(command)
    expect(tab.find("#note-text")).to_contain_text(said)
    expect(tab.problem).to_be_hidden()


def test_help_knows_every_name_of_a_command_and_names_the_nearest(model: FakeServer, chat: Process, tabs: Tabs) -> None:
    tab = tabs.open(chat)
    told(tab, "/help HELP", "/help [COMMAND]: list the commands")
    told(tab, "/help retry", "/regen: answer the last message once more (also /retry)")
    told(tab, "/help /Set", "/set [NAME [VALUE]]: ")
    refused(tab, "/help nwes", "There is no command /nwes; did you mean /news?")
    refused(tab, "/retyr", "There is no command /retyr; did you mean /retry?")
    refused(tab, "/help exit", "/exit works in the terminal alone")
    assert tab.errors == []


def test_values_are_read_as_in_the_terminal(model: FakeServer, chat: Process, tabs: Tabs) -> None:
    model.scripts = [["ok", Finish()]]
    tab = tabs.open(chat)
    refused(tab, "/set foo", "There is no option foo; the options are model, system_prompt")
    refused(tab, "/set tempratur 1", "did you mean temperature?")
    told(tab, '/set stop ["a","b"]', 'Stop at: ["a","b"]')
    told(tab, "/system None", "System prompt: none is sent")
    told(tab, "/set Top-K 7", "Top K: 7")
    told(tab, "/think on", "Thinking: medium")
    tab.say("one")
    tab.is_at("done")
    assert model.requests[-1]["stop"] == ["a", "b"] and model.requests[-1]["top_k"] == 7
    assert [each["role"] for each in model.requests[-1]["messages"]] == ["user"]
    told(tab, r"/set stop \n\n", "Stop at: ")
    tab.say("/set stop")
    stop = tab.page.get_by_label("Stop at", exact=True)
    expect(stop).to_have_value(r"\n\n")
    stop.fill("\\n\\n\nEND")
    tab.page.keyboard.press("Escape")
    tab.say("two")
    expect(tab.find(".answer[data-status=done]")).to_have_count(2)
    assert model.requests[-1]["stop"] == ["\n\n", "END"]


def test_a_model_that_is_not_there_is_refused_with_those_that_chat(
    model: FakeServer, chat: Process, tabs: Tabs
) -> None:
    tab = tabs.open(chat)
    refused(tab, "/model nope", "The model nope is not on the model server; those that are: fake-model.")
    expect(tab.find("#options")).to_have_text("Options")
    told(tab, "/model Fake-Model", "Model: fake-model")


@pytest.fixture(scope="module")
def house(_shared_model: FakeServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    """A chat server with accounts; its first administrator is called admin."""
    folder = tmp_path_factory.mktemp("house")
    made = chatbot(_shared_model.url, folder, "--accounts", "always", CHATBOT_ADMIN_PASSWORD=PASSWORD)
    with running(made) as process:
        yield process


def test_commands_of_the_terminal_and_of_administrators_say_what_to_do_instead(
    model: FakeServer, house: Process, tabs: Tabs
) -> None:
    admin = Browser(house.url, Cookie=logged_in(house, "admin"))
    tab = tabs.open(house, "/", guest(admin, house, "Bob"))
    expect(tab.button("Bob")).to_be_visible()
    refused(tab, "/alert hello", "/alert is for administrators: ask one of them.")
    refused(tab, "/library herons", "/library works in the terminal alone: choose the shelves under Options")
    refused(tab, "/quit", "close the tab")
    tab.input.fill("/")
    expect(tab.find("#commands .name").filter(has_text="/library")).to_have_count(0)
    assert model.requests == []


def test_what_was_cleared_away_comes_back_to_be_changed(model: FakeServer, chat: Process, tabs: Tabs) -> None:
    model.scripts = [["ok", Finish()]]
    tab = tabs.open(chat)
    told(tab, "/continue", "There is no answer yet that could go on.")
    tab.say("one")
    tab.is_at("done")
    told(tab, "/clear", "The screen is clear")
    expect(tab.find(".message")).to_have_count(0)
    tab.say("/continue")
    expect(tab.problem).to_contain_text("complete")
    tab.say("/edit")
    expect(tab.page.get_by_label("Your message")).to_be_focused()
    expect(tab.find(".message")).to_have_count(2)
    assert tab.errors == []


def test_a_slash_that_is_typed_anew_offers_the_commands_again(model: FakeServer, chat: Process, tabs: Tabs) -> None:
    tab = tabs.open(chat)
    offered = tab.find("#commands")
    expect(tab.find("#model")).to_be_visible()
    tab.input.press_sequentially("/")
    expect(offered).to_be_visible()
    tab.input.press("Escape")
    expect(offered).to_be_hidden()
    tab.input.press("Backspace")
    tab.input.press_sequentially("/")
    expect(offered).to_be_visible()
    assert tab.errors == []


def test_what_was_wrong_with_a_command_is_not_said_of_the_next_one_that_is_chosen(
    model: FakeServer, chat: Process, tabs: Tabs
) -> None:
    tab = tabs.open(chat)
    refused(tab, "/nope", "There is no command /nope")
    tab.input.fill("")
    tab.input.press_sequentially("/ur")
    tab.input.press("Enter")
    expect(tab.input).to_have_value("/url ")
    expect(tab.problem).to_be_hidden()
    refused(tab, "/nope", "There is no command /nope")
    tab.input.fill("")
    tab.input.press_sequentially("/stat")
    tab.input.press("Enter")
    expect(tab.find("#note-text")).to_contain_text("No answer yet")
    expect(tab.problem).to_be_hidden()
    assert tab.errors == []


def test_a_slash_that_is_typed_before_the_server_has_told_its_commands_lists_them_then(
    chat: Process, tabs: Tabs
) -> None:
    tab = tabs.open(chat)
    answers = Answers(tab, "hello")
    answers.came()
    tab.input.press_sequentially("/s")
    expect(tab.find("#commands")).to_be_hidden()
    answers.let_go()
    expect(tab.find("#commands [role=option]").first).to_contain_text("/system")
