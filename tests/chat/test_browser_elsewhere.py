"""What comes late belongs to the chat, and to the text, that it was asked for: another one is open by then."""

from __future__ import annotations

import pytest
from playwright.sync_api import Route, expect

from tests.chat.held import Answers, Held
from tests.chat.page import Tab, Tabs
from tests.fakes import FakeServer, Finish, Gate
from tests.processes import Process, until

pytestmark = pytest.mark.browser

FILE = {"name": "notes.md", "mimeType": "text/markdown", "buffer": b"some words"}


def begun(tab: Tab, model: FakeServer, text: str) -> str:
    """A new chat with a question and its answer; its id."""
    model.scripts = [[f"answer to {text}", Finish()]]
    tab.find("#new").click()
    tab.say(text)
    tab.reads(f"answer to {text}")
    tab.is_at("done")
    return tab.chat_id()


def go(tab: Tab, chat_id: str) -> None:
    """Open a chat from the list, and see what was said there."""
    tab.find(f'#chats a[href="/c/{chat_id}"]').click()
    expect(tab.find(".user")).not_to_have_count(0)


def let_go(answers: Answers, tab: Tab) -> None:
    """Let what was held back come, and wait for what is answered after it."""
    answers.let_go()
    tab.say("/help help")
    expect(tab.find("#note-text")).to_contain_text("list the commands")


def had_its_turn(tab: Tab) -> None:
    """Wait until the page has done what it was just told."""
    tab.page.evaluate("() => new Promise((done) => setTimeout(done))")


class Upload:
    """The next file that a page sends, held back on its way."""

    def __init__(self, tab: Tab) -> None:
        self._tab = tab
        self._held: list[Route] = []
        tab.page.route("**/files", lambda route: self._held.append(route))
        tab.find("#picker").set_input_files([FILE])
        expect(tab.find(".chip .size")).to_have_text("reading…")
        until(lambda: tab.page.title() and self._held, "the file")  # Playwright works within its calls

    def arrive(self) -> None:
        """Let it come to the server, and wait for the page to hear so."""
        with self._tab.page.expect_response("**/files"):
            self._held[0].continue_()


def test_a_command_that_waits_for_the_server_sends_nothing_that_is_written_after_it(
    model: FakeServer, chat: Process, tabs: Tabs
) -> None:
    model.scripts = [["ok", Finish()]]
    tab = tabs.open(chat)
    answers = Answers(tab, "hello")
    tab.say("/help")
    expect(tab.button("Send")).to_be_disabled()
    tab.input.fill("Dear Anna, I am half way")
    expect(tab.button("Send")).to_be_enabled()
    answers.let_go()
    tab.find("#options").click()
    expect(tab.page.get_by_label("Temperature", exact=True)).to_be_visible()  # it has told what there is
    tab.page.keyboard.press("Escape")
    tab.input.press_sequentially(" through")
    expect(tab.input).to_have_value("Dear Anna, I am half way through")
    expect(tab.find(".user")).to_have_count(0)

    answers.hold("hello")
    tab.page.reload()
    tab.say("/help")
    tab.input.press("Enter")
    answers.let_go()
    expect(tab.page.get_by_role("dialog", name="Commands")).to_be_visible()
    expect(tab.input).to_have_value("")
    assert model.requests == []
    assert tab.errors == []


def test_a_message_that_waits_for_its_file_stops_no_other_chat_and_is_sent_from_its_own_alone(
    model: FakeServer, chat: Process, tabs: Tabs
) -> None:
    tab = tabs.open(chat)
    one, two = begun(tab, model, "one"), begun(tab, model, "two")
    upload = Upload(tab)
    tab.say("look at it")
    expect(tab.button("Send")).to_be_disabled()
    go(tab, one)
    tab.say("another matter")
    expect(tab.find(".user")).to_have_text(["one", "another matter"])
    upload.arrive()
    go(tab, two)
    expect(tab.input).to_have_value("look at it")
    expect(tab.find(".user")).to_have_text("two")
    expect(tab.button("Send")).to_be_enabled()


def test_the_second_message_of_a_new_chat_waits_for_its_file_and_goes(
    model: FakeServer, chat: Process, tabs: Tabs
) -> None:
    model.scripts = [["ok", Finish()]]
    tab = tabs.open(chat)
    answers = Answers(tab)
    expect(tab.find("#model")).to_be_visible()
    answers.hold("send")
    tab.say("first")
    answers.came()
    upload = Upload(tab)
    tab.say("second, with a file")
    answers.let_go()
    tab.chat_id()
    upload.arrive()
    expect(tab.find(".user")).to_have_text(["first", "second, with a file"])
    expect(tab.find(".said").last.locator(".files")).to_contain_text("notes.md")


def test_a_search_hit_that_is_found_late_is_not_shown_in_another_chat(
    model: FakeServer, chat: Process, tabs: Tabs
) -> None:
    tab = tabs.open(chat)
    answers = Answers(tab, "branch")
    one = begun(tab, model, "a zebra")
    model.scripts = [["another answer", Finish()]]
    tab.input.press("ArrowUp")
    tab.page.get_by_label("Your message").fill("a giraffe")
    tab.page.get_by_label("Your message").press("Enter")
    tab.reads("another answer")
    tab.is_at("done")
    two = begun(tab, model, "two")
    tab.find("#search").fill("zebra")
    tab.find("#hits li:has(.snippet)").first.click()
    expect(tab.page).to_have_url(f"{chat.url}/c/{one}")
    answers.came()
    tab.find("#search").fill("")
    go(tab, two)
    expect(tab.find(".user")).to_have_text("two")
    let_go(answers, tab)
    expect(tab.find(".user")).to_have_text("two")
    expect(tab.page).to_have_url(f"{chat.url}/c/{two}")


def test_what_is_typed_in_the_options_of_a_chat_stays_with_it_when_one_goes_back(
    model: FakeServer, chat: Process, tabs: Tabs
) -> None:
    tab = tabs.open(chat)
    one, two = begun(tab, model, "one"), begun(tab, model, "two")
    go(tab, one)
    go(tab, two)
    tab.find("#options").click()
    tab.page.get_by_role("textbox", name="System prompt").press_sequentially("Be terse.")
    tab.page.go_back()
    expect(tab.find(".user")).to_have_text("one")
    expect(tab.find("dialog")).to_have_count(0)
    expect(tab.find("#options")).to_have_text("Options")
    tab.page.go_forward()
    expect(tab.find(".user")).to_have_text("two")
    expect(tab.find("#options")).to_have_text("Options · 1")
    assert tab.errors == []


def test_what_is_taken_back_is_found_in_its_own_chat(model: FakeServer, chat: Process, tabs: Tabs) -> None:
    tab = tabs.open(chat)
    answers = Answers(tab, "undo")
    one, two = begun(tab, model, "a secret of one"), begun(tab, model, "two")
    go(tab, one)
    tab.say("/undo")
    answers.came()
    go(tab, two)
    let_go(answers, tab)
    expect(tab.input).to_have_value("")
    tab.find(f'#chats a[href="/c/{one}"]').click()
    expect(tab.input).to_have_value("a secret of one")
    expect(tab.find(".user")).to_have_count(0)
    go(tab, two)
    expect(tab.input).to_have_value("")
    expect(tab.find(".user")).to_have_text("two")
    assert tab.errors == []


def test_a_file_goes_with_the_chat_that_it_was_attached_in(model: FakeServer, chat: Process, tabs: Tabs) -> None:
    tab = tabs.open(chat)
    one, two = begun(tab, model, "one"), begun(tab, model, "two")
    upload = Upload(tab)
    go(tab, one)
    expect(tab.find(".chip")).to_have_count(0)
    go(tab, two)
    expect(tab.find(".chip .size")).to_have_text("reading…")  # it is on its way still
    go(tab, one)
    upload.arrive()
    kept = "id => Object.keys(localStorage).some((name) => name.startsWith(`files:${id}`))"
    tab.page.wait_for_function(kept, arg=two)
    expect(tab.find(".chip")).to_have_count(0)
    tab.page.reload()
    go(tab, two)
    expect(tab.find(".chip .name")).to_have_text("notes.md")
    tab.say("look at it")
    expect(tab.find(".said").last.locator(".files")).to_contain_text("notes.md")
    assert tab.errors == []


def test_a_file_that_comes_while_its_chat_is_open_again_is_attached_there_at_once(
    model: FakeServer, chat: Process, tabs: Tabs
) -> None:
    tab = tabs.open(chat)
    one, two = begun(tab, model, "one"), begun(tab, model, "two")
    upload = Upload(tab)
    go(tab, one)
    go(tab, two)
    upload.arrive()
    expect(tab.find(".chip .size")).to_contain_text("token")
    tab.page.reload()
    expect(tab.find(".chip .name")).to_have_text("notes.md")


def test_an_address_that_could_not_be_read_is_kept_where_it_was_given(
    model: FakeServer, chat: Process, tabs: Tabs
) -> None:
    tab = tabs.open(chat)
    answers = Answers(tab, "url")
    one, two = begun(tab, model, "one"), begun(tab, model, "two")
    tab.say("/url http://127.0.0.1/private")
    answers.came()
    go(tab, one)
    answers.let_go()
    expect(tab.problem).to_contain_text("A file in another chat was not attached.")
    expect(tab.input).to_have_value("")
    go(tab, two)
    expect(tab.problem).to_be_hidden()
    expect(tab.input).to_have_value("/url http://127.0.0.1/private")


def test_what_the_model_sees_of_one_chat_is_not_shown_in_the_drawer_of_another(
    model: FakeServer, chat: Process, tabs: Tabs
) -> None:
    tab = tabs.open(chat)
    answers = Answers(tab)
    one, two = begun(tab, model, "a secret of one"), begun(tab, model, "two")
    go(tab, one)
    answers.hold("context")
    tab.find("#gauge").click()
    answers.came()
    tab.page.keyboard.press("Escape")
    answers.hold()
    go(tab, two)
    tab.find("#gauge").click()
    parts = tab.find("dialog .part pre")
    expect(parts).to_have_count(3)
    answers.let_go()
    had_its_turn(tab)
    expect(parts.nth(1)).to_have_text("two")
    assert tab.errors == []


def test_a_file_on_its_way_goes_along_into_the_next_new_chat_and_into_no_other(
    model: FakeServer, chat: Process, tabs: Tabs
) -> None:
    model.scripts = [["ok", Finish()]]
    tab = tabs.open(chat)
    answers = Answers(tab)
    expect(tab.find("#model")).to_be_visible()
    answers.hold("send")
    tab.say("the first of two new ones")
    answers.came()
    upload = Upload(tab)
    tab.find("#new").click()
    expect(tab.find(".chip .size")).to_have_text("reading…")
    answers.let_go()
    had_its_turn(tab)
    upload.arrive()
    expect(tab.find(".chip .size")).to_contain_text("token")
    tab.page.reload()
    expect(tab.find(".chip .name")).to_have_text("notes.md")
    tab.find("#chats a").filter(has_text="the first of two new ones").click()
    expect(tab.find(".user")).to_have_text("the first of two new ones")
    expect(tab.find(".chip")).to_have_count(0)
    assert tab.errors == []


def test_what_is_typed_behind_a_first_message_is_for_its_chat_when_another_one_is_open(
    model: FakeServer, chat: Process, tabs: Tabs
) -> None:
    tab = tabs.open(chat)
    answers = Answers(tab)
    two = begun(tab, model, "two")
    tab.find("#new").click()
    answers.hold("send")
    tab.say("a thought that begins a chat")
    answers.came()
    tab.input.fill("the second thought")
    go(tab, two)
    let_go(answers, tab)
    expect(tab.input).to_have_value("")
    tab.find("#chats a").filter(has_text="a thought that begins a chat").click()
    expect(tab.find(".user")).to_have_text("a thought that begins a chat")
    expect(tab.input).to_have_value("the second thought")
    tab.find("#new").click()
    expect(tab.input).to_have_value("")
    assert tab.errors == []


def test_back_from_the_library_leads_to_the_chat_that_began_behind_it(
    model: FakeServer, chat: Process, tabs: Tabs
) -> None:
    model.scripts = [["ok", Finish()]]
    tab = tabs.open(chat)
    answers = Answers(tab)
    expect(tab.find("#model")).to_be_visible()
    answers.hold("send")
    tab.say("begun behind the library")
    answers.came()
    tab.page.get_by_role("link", name="Library", exact=True).click()
    expect(tab.find("#library").get_by_role("heading", name="Library")).to_be_visible()
    answers.let_go()
    had_its_turn(tab)
    tab.page.go_back()
    tab.chat_id()
    for _ in range(2):
        expect(tab.find(".user")).to_have_text("begun behind the library")
        tab.reads("ok")
        tab.page.reload()
    assert tab.errors == []


def test_a_chat_that_is_opened_late_takes_nothing_of_what_goes_on_in_the_open_one(
    model: FakeServer, chat: Process, tabs: Tabs
) -> None:
    gate = Gate()
    tab = tabs.open(chat)
    held = Held(tab)
    one = begun(tab, model, "one")
    model.scripts = [["held", gate, " and on", Finish()]]
    tab.find("#new").click()
    tab.say("two")
    tab.reads("held")
    two = tab.chat_id()
    held.hold("open")
    tab.find(f'#chats a[href="/c/{one}"]').click()
    held.until_asked()
    held.hold("nothing more")
    go(tab, two)
    tab.reads("held")
    held.release()
    tab.find("#gauge").click()
    expect(tab.find("dialog")).to_contain_text("Part by part")  # the server has answered what came before, too
    tab.page.keyboard.press("Escape")
    gate.open()
    tab.reads("held and on")
    tab.is_at("done")
    assert tab.errors == []
