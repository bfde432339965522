"""What can be changed afterwards: messages, answers, versions of both, the last turn, what waits in line."""

from __future__ import annotations

from itertools import pairwise

import pytest
from playwright.sync_api import expect

from tests.chat.held import Held
from tests.chat.page import Tab, Tabs
from tests.chat.test_browser_drafts import attach
from tests.fakes import Cut, FakeServer, Finish, Gate, Refuse, Step
from tests.processes import Process

pytestmark = pytest.mark.browser

FAILED = Refuse(500, "engine_failed", "the answer could not be computed")


def edit(tab: Tab, text: str, nth: int = -1) -> None:
    """Change one of the person's messages and send it again."""
    said = tab.find(".said").nth(nth)
    said.get_by_role("button", name="Edit").click()
    said.get_by_label("Your message").fill(text)
    said.get_by_label("Your message").press("Enter")


def shows(tab: Tab, *texts: str) -> None:
    """Wait until exactly these messages stand on the page, questions and answers in turn."""
    expect(tab.find(".user")).to_have_text(list(texts[::2]))
    expect(tab.find(".answer .body")).to_have_text(list(texts[1::2]))


def test_changed_message_makes_a_version_and_both_can_be_read_again(
    model: FakeServer, chat: Process, tabs: Tabs
) -> None:
    model.scripts = [["A1", Finish()], ["B1", Finish()], ["A2", Finish()], ["C", Finish()]]
    tab = tabs.open(chat)
    other = None
    for question, answer in (("one", "A1"), ("two", "B1")):
        tab.say(question)
        shows(tab, *(["one", "A1"] if question == "two" else []), question, answer)
        tab.is_at("done")
    other = tabs.open(chat, f"/c/{tab.chat_id()}")
    shows(other, "one", "A1", "two", "B1")

    edit(tab, "uno", nth=0)
    shows(tab, "uno", "A2")
    shows(other, "uno", "A2")
    expect(tab.find(".said .place")).to_have_text("2/2")
    assert [m["content"] for m in model.requests[-1]["messages"][1:]] == ["uno"]

    tab.button("Earlier version").click()
    shows(tab, "one", "A1", "two", "B1")
    shows(other, "one", "A1", "two", "B1")
    expect(tab.button("Later version")).to_be_focused()
    expect(tab.button("Earlier version")).to_be_disabled()
    tab.page.reload()
    shows(tab, "one", "A1", "two", "B1")

    tab.page.keyboard.press("Alt+ArrowRight")
    shows(tab, "uno", "A2")
    expect(tab.find("#live")).to_have_text("Version 2 of 2")
    tab.say("more")
    shows(tab, "uno", "A2", "more", "C")
    assert [m["content"] for m in model.requests[-1]["messages"][1:]] == ["uno", "A2", "more"]
    assert tab.errors == []


def test_editor_is_left_by_escape_without_stopping_an_answer_and_gives_the_focus_back(
    model: FakeServer, chat: Process, tabs: Tabs
) -> None:
    hold = Gate()
    model.scripts = [["held", hold, Finish()]]
    tab = tabs.open(chat)
    tab.say("question")
    tab.reads("held")
    tab.input.press("ArrowUp")
    area = tab.page.get_by_label("Your message")
    expect(area).to_be_focused()
    expect(area).to_have_value("question")
    area.press_sequentially(" more")
    area.press("Shift+Enter")
    area.press("Escape")
    expect(area).to_have_count(0)
    expect(tab.find(".said").get_by_role("button", name="Edit")).to_be_focused()
    expect(tab.find(".user")).to_have_text("question")
    tab.is_at("streaming")
    hold.open()
    tab.is_at("done")
    assert len(model.requests) == 1


def test_any_answer_can_be_given_again_and_becomes_a_version(model: FakeServer, chat: Process, tabs: Tabs) -> None:
    model.scripts = [["A1", Finish()], ["B1", Finish()], ["A2", Finish()]]
    tab = tabs.open(chat)
    tab.say("one")
    tab.is_at("done")
    tab.say("two")
    tab.reads("B1")
    tab.is_at("done")
    tab.answer(0).hover()
    tab.answer(0).get_by_role("button", name="Answer again").click()
    shows(tab, "one", "A2")
    tab.is_at("done")
    expect(tab.find(".answer .place")).to_have_text("2/2")
    tab.button("Earlier version").click()
    shows(tab, "one", "A1", "two", "B1")


@pytest.mark.parametrize("way", ["its button", "/retry"])
def test_answer_that_failed_before_its_first_word_is_given_where_it_stands(
    model: FakeServer, chat: Process, tabs: Tabs, way: str
) -> None:
    model.scripts = [["A", Finish()], [FAILED], ["B", Finish()]]
    tab = tabs.open(chat)
    tab.say("one")
    tab.is_at("done")
    tab.say("two")
    tab.is_at("error")
    other = tabs.open(chat, f"/c/{tab.chat_id()}")
    other.is_at("error")
    if way == "its button":
        tab.button("Retry").click()
    else:
        tab.say("/retry")
    for each in (tab, other):
        shows(each, "one", "A", "two", "B")
        each.is_at("done")
        expect(each.find(".place")).to_have_count(0)
        expect(each.find(".problem").filter(visible=True)).to_have_count(0)
        assert each.errors == []


def test_answer_that_failed_in_mid_chat_is_given_there_and_what_follows_stays(
    model: FakeServer, chat: Process, tabs: Tabs
) -> None:
    model.scripts = [["A", Finish()], [FAILED], ["C", Finish()], ["B", Finish()]]
    tab = tabs.open(chat)
    for nth, question in enumerate(("one", "two", "three")):
        tab.say(question)
        tab.is_at("error" if question == "two" else "done", nth)
    shows(tab, "one", "A", "two", "", "three", "C")
    tab.button("Retry").click()
    shows(tab, "one", "A", "two", "B", "three", "C")
    assert [m["content"] for m in model.requests[-1]["messages"][1:]] == ["one", "A", "two"]
    tab.page.reload()
    shows(tab, "one", "A", "two", "B", "three", "C")
    expect(tab.find(".place")).to_have_count(0)
    expect(tab.button("Retry")).to_have_count(0)


@pytest.mark.parametrize("end", [Finish("length"), Cut()], ids=["length", "cut off"])
def test_answer_that_ended_early_goes_on_in_the_same_message(
    model: FakeServer, chat: Process, tabs: Tabs, end: Finish | Cut
) -> None:
    hold = Gate()
    model.scripts = [["One, two", end], [", three", hold, ", four.", Finish()]]
    tab = tabs.open(chat)
    other = None
    tab.say("count")
    expect(tab.button("Continue")).to_be_visible()
    other = tabs.open(chat, f"/c/{tab.chat_id()}")
    other.reads("One, two")
    tab.button("Continue").click()
    tab.reads("One, two, three")
    tab.is_at("streaming")
    other.reads("One, two, three")
    hold.open()
    for each in (tab, other):
        each.reads("One, two, three, four.")
        each.is_at("done")
        expect(each.button("Continue")).to_have_count(0)
        expect(each.find(".problem").filter(visible=True)).to_have_count(0)
    expect(tab.find(".message")).to_have_count(2)


def test_answers_text_can_be_corrected_and_the_model_gets_the_correction(
    model: FakeServer, chat: Process, tabs: Tabs
) -> None:
    model.scripts = [["The capital is **Paris**.", Finish()], ["yes", Finish()]]
    tab = tabs.open(chat)
    tab.say("capital of Italy?")
    tab.is_at("done")
    tab.button("Edit answer").click()
    area = tab.page.get_by_label("Text of the answer")
    expect(area).to_have_value("The capital is **Paris**.")
    area.fill("The capital is **Rome**.")
    tab.button("Save").click()
    tab.reads("The capital is Rome.")
    expect(tab.answer().locator("strong")).to_have_text("Rome")
    expect(tab.answer().locator(".stats")).to_contain_text("edited")
    tab.page.reload()
    tab.reads("The capital is Rome.")
    tab.say("sure?")
    tab.reads("yes")
    assert model.requests[-1]["messages"][2]["content"] == "The capital is **Rome**."
    assert tab.errors == []


def test_message_in_line_is_shown_as_such_and_can_be_taken_back(model: FakeServer, chat: Process, tabs: Tabs) -> None:
    hold = Gate()
    model.scripts = [["held", hold, Finish()], ["never", Finish()]]
    tab = tabs.open(chat)
    tab.say("first")
    tab.reads("held")
    tab.say("second")
    expect(tab.answer().locator(".stage")).to_have_text("Waiting for the answer before this one")
    tab.button("Take it back: this message is not sent").click()
    shows(tab, "first", "held")
    expect(tab.input).to_have_value("second")
    hold.open()
    tab.is_at("done")
    assert len(model.requests) == 1


def test_last_turn_is_taken_back_by_a_command_and_its_text_can_be_sent_anew(
    model: FakeServer, chat: Process, tabs: Tabs
) -> None:
    model.scripts = [["A", Finish()], ["B", Finish()], ["C", Finish()]]
    tab = tabs.open(chat)
    for question in ("one", "two"):
        tab.say(question)
        expect(tab.find(".answer")).to_have_count(1 if question == "one" else 2)
        tab.is_at("done")
    other = tabs.open(chat, f"/c/{tab.chat_id()}")
    shows(other, "one", "A", "two", "B")
    tab.say("/undo")
    shows(tab, "one", "A")
    shows(other, "one", "A")
    expect(tab.input).to_have_value("two")
    tab.input.press("Enter")
    shows(tab, "one", "A", "two", "C")
    tab.is_at("done")
    assert [m["content"] for m in model.requests[-1]["messages"][1:]] == ["one", "A", "two"]


def test_other_versions_of_a_message_that_was_taken_back_can_be_read_before_anything_is_said(
    model: FakeServer, chat: Process, tabs: Tabs
) -> None:
    model.scripts = [["A1", Finish()], ["A2", Finish()], ["A3", Finish()]]
    tab = tabs.open(chat)
    tab.say("one")
    tab.is_at("done")
    edit(tab, "uno")
    shows(tab, "uno", "A2")
    tab.is_at("done")
    other = tabs.open(chat, f"/c/{tab.chat_id()}")
    tab.say("/undo")
    more = "Show what was said here before: 2 versions"
    for each in (tab, other):
        expect(each.button(more)).to_be_visible()
        expect(each.find(".message")).to_have_count(0)
    expect(tab.input).to_have_value("uno")
    tab.page.reload()
    tab.button(more).click()
    shows(tab, "uno", "A2")
    shows(other, "uno", "A2")
    expect(tab.button(more)).to_be_hidden()
    expect(tab.button("Earlier version")).to_be_focused()
    tab.button("Earlier version").click()
    shows(tab, "one", "A1")

    tab.say("/undo")
    expect(tab.button(more)).to_be_visible()
    tab.input.fill("eins")
    tab.input.press("Enter")
    shows(tab, "eins", "A3")
    expect(tab.button(more)).to_be_hidden()
    expect(tab.find(".said .place")).to_have_text("3/3")
    tab.say("/undo")
    tab.find("#new").click()
    expect(tab.page.get_by_text("Show what was said here before")).to_be_hidden()
    assert tab.errors == []


def test_what_comes_back_after_undo_does_not_stand_in_the_message_box_too(
    model: FakeServer, chat: Process, tabs: Tabs
) -> None:
    model.scripts = [["A1", Finish()], ["A2", Finish()]]
    tab = tabs.open(chat)
    tab.say("one")
    tab.is_at("done")
    attach(tab, "notes.txt")
    tab.say("two")
    tab.reads("A2")
    tab.is_at("done")
    back = tab.page.get_by_role("button", name="Show what was said here before")

    tab.say("/undo")
    expect(tab.input).to_have_value("two")
    expect(tab.find(".chip .name")).to_have_text("notes.txt")
    tab.page.reload()
    expect(tab.input).to_have_value("two")
    back.click()
    tab.reads("A2")
    for _ in range(2):
        expect(tab.input).to_have_value("")
        expect(tab.find(".chip")).to_have_count(0)
        tab.page.reload()
        tab.reads("A2")

    tab.say("/undo")
    expect(tab.input).to_have_value("two")
    tab.input.fill("two, and more")
    back.click()
    tab.reads("A2")
    expect(tab.input).to_have_value("two, and more")
    expect(tab.find(".chip .name")).to_have_text("notes.txt")
    assert tab.errors == []


def test_answer_on_another_branch_goes_on_unseen_and_is_whole_when_its_branch_is_shown(
    model: FakeServer, chat: Process, tabs: Tabs
) -> None:
    gates = [Gate() for _ in range(13)]
    script: list[Step] = [gates[0]]
    for n, gate in enumerate(gates[1:]):
        script += [f"w{n} ", gate]
    model.scripts = [["A1", Finish()], [*script, "the end", Finish()]]
    tab = tabs.open(chat)
    sent: list[str] = []
    tab.page.on("websocket", lambda socket: socket.on("framesent", lambda frame: sent.append(str(frame))))
    tab.page.reload()
    tab.say("one")
    tab.is_at("done")
    edit(tab, "uno")
    tab.is_at("reading")
    tab.button("Earlier version").click()
    shows(tab, "one", "A1")
    sent.clear()
    for gate, following in pairwise(gates[:11]):
        gate.open()
        following.wait_until_reached()
        tab.page.evaluate("() => new Promise((done) => setTimeout(done))")  # the page has had its turn
    assert len([frame for frame in sent if '"open"' in frame]) <= 3  # not one for each word
    tab.button("Later version").click()
    shows(tab, "uno", " ".join(f"w{n}" for n in range(10)))
    for gate in gates[10:]:
        gate.open()
    shows(tab, "uno", " ".join(f"w{n}" for n in range(12)) + " the end")
    tab.is_at("done")


def test_what_is_typed_while_a_change_of_an_answer_is_saved_stays_in_the_editor(
    model: FakeServer, chat: Process, tabs: Tabs
) -> None:
    model.scripts = [["A", Finish()]]
    tab = tabs.open(chat)
    held = Held(tab)
    tab.say("one")
    tab.is_at("done")
    area = tab.page.get_by_label("Text of the answer")
    tab.button("Edit answer").click()
    area.fill("B")
    held.hold("edit")
    area.press("Control+Enter")
    held.until_asked()
    area.press_sequentially(" and more")
    held.release()
    expect(tab.answer().locator(".body")).to_have_text("B")
    for _ in range(2):
        expect(area).to_have_value("B and more")
        tab.page.reload()
    area.press("Control+Enter")
    tab.reads("B and more")
    expect(area).to_have_count(0)
    assert tab.errors == []


def test_file_of_a_message_that_is_taken_back_does_not_join_another_one(
    model: FakeServer, chat: Process, tabs: Tabs
) -> None:
    hold = Gate()
    model.scripts = [["held", hold, Finish()]]
    tab = tabs.open(chat)
    tab.say("first")
    tab.reads("held")
    attach(tab, "notes.txt")
    tab.say("second")
    tab.input.fill("something else")
    tab.button("Take it back: this message is not sent").click()
    shows(tab, "first", "held")
    expect(tab.input).to_have_value("something else")
    expect(tab.find(".chip")).to_have_count(0)
    hold.open()
    assert tab.errors == []
