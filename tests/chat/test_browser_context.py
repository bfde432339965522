"""How full the model's memory is: the gauge, the drawer with the notes and what the model sees, the folded mark."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Locator, expect

from tests.chat.browser import Browser
from tests.chat.held import Answers
from tests.chat.page import Tab, Tabs
from tests.fakes import FakeServer, Finish, Gate, Usage
from tests.processes import Process

pytestmark = pytest.mark.browser


@pytest.fixture
def small(model: FakeServer) -> Iterator[FakeServer]:
    """A model that holds 500 tokens."""
    model.n_ctx = 500
    yield model
    model.n_ctx = 4_096


def drawer(tab: Tab) -> Locator:
    tab.find("#gauge").click()
    shown = tab.page.get_by_role("dialog", name="What the model sees")
    expect(shown.locator("h3").last).to_have_text("Part by part")
    return shown


def test_gauge_follows_the_answers_and_the_drawer_shows_every_part(
    model: FakeServer, chat: Process, tabs: Tabs
) -> None:
    model.scripts = [["Hello there", Finish(), Usage(1_200, 34)]]
    tab = tabs.open(chat)
    expect(tab.find("#gauge")).to_have_text("0 of 4.1k")
    tab.say("hi")
    tab.is_at("done")
    expect(tab.find("#gauge")).to_have_text("1.2k of 4.1k")
    tab.page.reload()
    expect(tab.find("#gauge")).to_have_text("1.2k of 4.1k")
    tab.input.fill("and a draft")
    box = drawer(tab)
    expect(box.locator(".part .name")).to_have_text(["System prompt", "You", "Answer", "You"])
    box.get_by_text("Answer", exact=True).click()
    expect(box.locator(".part pre").nth(2)).to_have_text("Hello there")
    box.locator(".part").last.locator("summary").click()
    expect(box.locator(".part pre").last).to_have_text("and a draft")
    tab.page.keyboard.press("Escape")
    expect(tab.find("#gauge")).to_be_focused()
    assert tab.errors == []


def test_gauge_estimates_what_no_answer_has_counted_yet(model: FakeServer, chat: Process, tabs: Tabs) -> None:
    hold = Gate()
    model.scripts = [["b" * 1_000, hold, Finish(), Usage(120, 260)], ["c" * 80, hold, Finish()]]
    tab = tabs.open(chat)
    tab.say("a" * 400)
    gauge = tab.find("#gauge")
    expect(gauge).to_have_text("~350 of 4.1k")
    expect(gauge).to_have_accessible_name("About 350 of 4.1k tokens used: what the model sees")
    hold.open()
    expect(gauge).to_have_text("380 of 4.1k")
    tab.say("d" * 40)
    expect(gauge).to_have_text("~410 of 4.1k")
    assert tab.errors == []


def test_notes_that_were_made_meanwhile_are_not_overwritten_unseen(
    model: FakeServer, chat: Process, tabs: Tabs
) -> None:
    model.n_ctx = 500
    try:
        model.scripts = [["- The name is Ada. " + "word " * 90, Finish()]]
        tab = tabs.open(chat)
        tab.page.clock.install()
        answers = Answers(tab)
        for n in range(4):
            tab.say(f"question {n}")
            expect(tab.find(".answer")).to_have_count(n + 1)
            tab.is_at("done")
        expect(tab.find("div.fold")).to_be_visible()
        box = drawer(tab)
        box.get_by_label("Notes", exact=True).fill("- My own.")
        other = Browser(chat.url)
        assert other.call("notes", {"chat_id": tab.chat_id(), "text": "- Of another window."})["ok"]
        save = box.get_by_role("button", name="Save notes")
        answers.hold("context")
        save.click()
        answers.came()
        tab.page.clock.fast_forward(31_000)  # nobody waits that long for them
        expect(box.get_by_role("alert")).to_contain_text("They could not be fetched")
        answers.hold()  # what was held back stays lost
        save.click()
        expect(box.get_by_role("alert")).to_contain_text("Other notes were made meanwhile")
        expect(box.get_by_role("alert").locator("pre")).to_have_text("- Of another window.")
        expect(box.get_by_label("Notes", exact=True)).to_have_value("- My own.")
        assert other.call("open", {"chat_id": tab.chat_id()})["notes"]["text"] == "- Of another window."
        save.click()
        expect(box.locator(".part pre").filter(has_text="My own")).to_have_count(1)
        other.client.disconnect()
        assert tab.errors == []
    finally:
        model.n_ctx = 4_096


def test_long_chat_is_folded_into_notes_that_can_be_read_changed_and_removed(
    model: FakeServer, chat: Process, tabs: Tabs
) -> None:
    model.n_ctx = 500
    try:
        tab = folded(chat, model, tabs, n_turns=5)
        expect(tab.find("div.fold + .said .user")).to_have_text(re.compile("^question [12]$"))
        tab.button("Older messages are folded into notes").click()
        box = tab.page.get_by_role("dialog", name="What the model sees")
        expect(box.get_by_label("Notes")).to_have_value(re.compile("^- The name is Ada"))
        box.get_by_label("Notes").fill("- The name is Grace.")
        box.get_by_role("button", name="Save notes").click()
        expect(box.locator(".part pre").filter(has_text="Grace")).to_have_count(1)
        box.get_by_role("button", name="Remove notes").click()
        expect(box.get_by_label("Notes")).to_have_count(0)
        expect(tab.find("div.fold")).to_have_count(0)
        assert tab.errors == []
    finally:
        model.n_ctx = 4_096


def test_gauge_and_drawer_agree_when_messages_were_folded_taken_back_or_their_notes_removed(
    model: FakeServer, chat: Process, tabs: Tabs
) -> None:
    model.n_ctx = 500
    try:
        model.scripts = [["- The name is Ada. " + "word " * 60, Usage(90 * n, 80), Finish()] for n in range(5)]
        model.by_words = {"Summarize the conversation above": ["- The name is Ada.", Finish()]}
        tab = spoken(chat, tabs, n_turns=5)
        expect(tab.find("#gauge")).not_to_have_text("440 of 500")
        agree(tab)
        tab.page.reload()
        expect(tab.find(".answer")).to_have_count(5)
        agree(tab)
        tab.say("/undo")
        expect(tab.find(".answer")).to_have_count(4)
        agree(tab)
        drawer(tab).get_by_role("button", name="Remove notes").click()
        expect(tab.find("#messages .fold")).to_have_count(0)
        tab.page.keyboard.press("Escape")
        tab.input.fill("")
        agree(tab)
        assert tab.errors == []
    finally:
        model.n_ctx = 4_096


def agree(tab: Tab) -> None:
    """The gauge comes to the number of the drawer."""
    tab.input.fill("")
    said = re.search(r"([\d,]+) of 500 tokens", drawer(tab).inner_text(), re.IGNORECASE)
    assert said
    tab.page.keyboard.press("Escape")
    expect(tab.find("#gauge")).to_have_text(re.compile(f"^~?{said[1]} of 500$"))


def folded(chat: Process, model: FakeServer, tabs: Tabs, n_turns: int = 4) -> Tab:
    """A chat whose first turns are in notes."""
    model.scripts = [["- The name is Ada. " + "word " * 90, Finish()]]  # also what is noted
    return spoken(chat, tabs, n_turns)


def spoken(chat: Process, tabs: Tabs, n_turns: int) -> Tab:
    """A chat of so many turns, of which some were folded."""
    tab = tabs.open(chat)
    for n in range(n_turns):
        tab.say(f"question {n}")
        expect(tab.find(".answer")).to_have_count(n + 1)
        tab.is_at("done")
    expect(tab.find("div.fold")).to_be_visible()
    return tab


def test_an_answer_that_was_edited_after_it_was_folded_says_what_the_model_reads(
    small: FakeServer, chat: Process, tabs: Tabs
) -> None:
    tab = folded(chat, small, tabs)
    first, told = tab.answer(0), "they were made before it was edited"
    expect(tab.find("#messages")).not_to_contain_text(told)
    first.get_by_role("button", name="Edit answer").click()
    first.get_by_label("Text of the answer").fill("The name is Grace.")
    first.get_by_role("button", name="Save").click()
    expect(first).to_contain_text(told)
    tab.page.reload()
    expect(first.locator(".body")).to_have_text("The name is Grace.")
    expect(first).to_contain_text(told)
    first.get_by_role("button", name="Change the notes").click()
    box = tab.page.get_by_role("dialog", name="What the model sees")
    box.get_by_label("Notes", exact=True).fill("- The name is Grace.")
    box.get_by_role("button", name="Save notes").click()
    expect(box.locator(".part pre").filter(has_text="Grace")).to_have_count(1)
    tab.page.keyboard.press("Escape")
    expect(first).not_to_contain_text(told)
    last = tab.answer()
    last.get_by_role("button", name="Edit answer").click()
    last.get_by_label("Text of the answer").fill("The model gets this one.")
    last.get_by_role("button", name="Save").click()
    tab.reads("The model gets this one.")
    expect(tab.find("#messages")).not_to_contain_text(told)
    assert tab.errors == []


def test_a_line_shows_where_the_window_of_the_last_turns_begins(model: FakeServer, chat: Process, tabs: Tabs) -> None:
    hold = Gate()
    model.scripts = [
        *([f"answer {n}", Finish()] for n in range(4)),
        ["answer 4", hold, Finish()],
        ["answer 5", Finish()],
    ]
    tab = tabs.open(chat)
    tab.say("/set context_rule window")
    for n in range(4):
        tab.say(f"question {n}")
        tab.reads(f"answer {n}")
        tab.is_at("done")
    line = tab.find("div.fold")
    expect(line).to_have_text("Older messages are not sent any more")
    expect(tab.find("div.fold + .said .user")).to_have_text("question 1")
    tab.say("question 4")
    tab.reads("answer 4")
    expect(tab.find("div.fold + .said .user")).to_have_text("question 1")
    sent = [message["content"] for message in model.requests[-1]["messages"] if message["role"] == "user"]
    assert sent == ["question 1", "question 2", "question 3", "question 4"]
    hold.open()
    expect(tab.find("div.fold + .said .user")).to_have_text("question 2")
    line.get_by_role("button").click()
    box = tab.page.get_by_role("dialog", name="What the model sees")
    expect(box).to_contain_text("the oldest 4 messages are not")
    tab.page.keyboard.press("Escape")
    tab.page.reload()
    expect(tab.find("div.fold + .said .user")).to_have_text("question 2")
    tab.say("/set context_rule all")
    expect(line).to_have_count(0)
    assert tab.errors == []


def test_gauge_counts_what_is_written_and_attached_and_not_sent_yet(
    model: FakeServer, chat: Process, tabs: Tabs
) -> None:
    model.scripts = [["hello", Finish(), Usage(1_000, 100)]]
    tab = tabs.open(chat)
    gauge = tab.find("#gauge")
    tab.say("hi")
    expect(gauge).to_have_text("1.1k of 4.1k")
    tab.input.fill("x" * 800)
    expect(gauge).to_have_text("~1.3k of 4.1k")
    words = {"name": "words.txt", "mimeType": "text/plain", "buffer": b"word " * 900}
    tab.find("#picker").set_input_files(words)
    expect(tab.find(".chip .size")).to_contain_text("900 tokens")
    expect(gauge).to_have_text("~2.2k of 4.1k")
    tab.page.reload()
    expect(gauge).to_have_text("~2.2k of 4.1k")
    tab.find(".chip").get_by_role("button", name="Remove").click()
    tab.input.fill("")
    expect(gauge).to_have_text("1.1k of 4.1k")
    assert tab.errors == []


def test_gauge_goes_by_what_would_be_sent_where_that_is_not_what_the_last_answer_was_made_with(
    small: FakeServer, chat: Process, tabs: Tabs
) -> None:
    small.by_words = {"Summarize the conversation above": ["- The name is Ada.", Finish()]}
    small.scripts = [["- The name is Ada. " + "word " * 60, Usage(40, 80), Finish()]]
    tab = tabs.open(chat)
    for n in range(5):
        tab.say(f"question {n}")
        expect(tab.find(".answer")).to_have_count(n + 1)
        tab.is_at("done")
    expect(tab.find("div.fold")).to_be_visible()
    drawer(tab).get_by_role("button", name="Remove notes").click()
    expect(tab.find("div.fold")).to_have_count(0)
    tab.page.keyboard.press("Escape")
    tab.page.reload()  # the notes are gone, the last answer was made with them
    expect(tab.find(".answer")).to_have_count(5)
    agree(tab)
    tab.say("/set context_rule window")
    expect(tab.find("div.fold")).to_have_text("Older messages are not sent any more")
    agree(tab)
    tab.page.reload()
    expect(tab.find("div.fold")).to_be_visible()
    agree(tab)
    assert tab.errors == []
