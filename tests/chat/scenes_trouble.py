"""The states in which something is refused, missing or not yet safe, and what a person can do then."""

from __future__ import annotations

import json

from playwright.sync_api import expect

from tests.chat.page import Tab
from tests.chat.scenes_around import a_file, box, choose
from tests.chat.scenes_house import login
from tests.chat.stage import SMALL, Stage, ended, scene
from tests.chat.test_promise_disk import limit_files
from tests.fakes import Finish, Gate, Usage

QUESTION = "How much hay does a pony need?"
ANSWER = "A pony of 200 kg needs about **3 kg of hay a day**, in three or four meals."
SHOES = {"author": {"role": "user"}, "content": {"content_type": "text", "parts": ["Does a pony need shoes?"]}}
STORY = "The first horses were no larger than a fox. They had four toes on each foot in front and lived on leaves; "


@scene("An answer is corrected.")
def answer_editing(stage: Stage) -> Tab:
    tab = stage.asked(QUESTION, *ended(ANSWER))
    choose(tab, "Edit answer")
    tab.page.get_by_label("Text of the answer").fill(ANSWER.replace("3 kg", "4 kg"))
    return tab


@scene("An answer that reached its length limit and can go on.")
def cut_short(stage: Stage) -> Tab:
    return stage.asked("Tell me of the first horses.", *ended(STORY)[:-2], Usage(412, 24), Finish("length"))


@scene("The disk is full: the answer is there, and is not saved yet.")
def not_saved(stage: Stage) -> Tab:
    hold = Gate()
    server = stage.serve()
    tab = stage.asked("Tell me of the first horses.", STORY, hold, "and slept.", Finish(), status="streaming")
    expect(tab.answer()).to_contain_text("leaves")
    limit_files(server, 1)
    hold.open()
    expect(tab.answer()).to_contain_text("not saved yet")
    return tab


@scene("A file that is longer than what the model holds, read in parts.")
def file_in_parts(stage: Stage) -> Tab:
    stage.model.embeds = True
    tab = stage.open()
    lines = "".join(f"Moss {n} was a grey mare, born in the spring of {1700 + n}. " for n in range(1, 1500))
    tab.find("#picker").set_input_files(str(a_file(stage, "stud book.txt", lines)))
    expect(tab.find(".chip .size")).to_have_text("read in parts")
    stage.model.scripts = [ended("Moss 77 was a grey mare, born in the spring of 1777 [1].")]
    tab.say("Of which colour was the mare Moss 77, born in 1777?")
    tab.is_at("done")
    expect(tab.answer()).to_contain_text("read in parts")
    tab.find("#picker").set_input_files(str(stage.folder / "stud book.txt"))
    expect(tab.find(".chip .size")).to_have_text("read in parts")
    return tab


@scene("A search that found nothing.")
def search_nothing(stage: Stage) -> Tab:
    tab = stage.open()
    tab.page.get_by_role("combobox", name="Search chats").fill("zebra")
    expect(tab.find("#side")).to_contain_text("Nothing found")
    return tab


@scene("Chats were imported; what was left out is told.")
def imported(stage: Stage) -> Tab:
    tab = stage.open()
    said = {"1": {"message": SHOES, "parent": None}}
    chats = [
        {"id": "a", "title": "Shoes for a pony", "mapping": said, "current_node": "1"},
        {"id": "b", "title": "An empty one", "mapping": {}},
    ]
    damaged = a_file(stage, "conversations.json", json.dumps(chats))
    words = a_file(stage, "notes of a walk.txt", "This is no export.")
    with tab.page.expect_file_chooser() as chooser:
        choose(tab, "More", "Import chats")
    chooser.value.set_files([str(damaged), str(words)])
    expect(box(tab, "Imported")).to_contain_text("Imported 1 chat")
    return tab


@scene("An address that leads nowhere.")
def error_page(stage: Stage) -> Tab:
    tab = stage.open("/no-such-page")
    expect(tab.page.get_by_role("heading")).to_have_text("There is no such page.")
    return tab


@scene("A browser without JavaScript.", SMALL)
def no_javascript(stage: Stage) -> Tab:
    tab = stage.open(java_script_enabled=False)
    expect(tab.find("noscript p")).to_be_visible()
    return tab


@scene("Too many wrong passwords: the button counts the seconds.")
def login_waits(stage: Stage) -> Tab:
    tab = login(stage)
    for _ in range(12):
        expect(tab.find("[type=submit]")).not_to_have_attribute("aria-disabled", "true")  # the last try is over
        tab.page.get_by_label("Name").fill("admin")
        tab.page.get_by_label("Password", exact=True).fill("not my password")
        with tab.page.expect_response("**/login") as answer:
            tab.page.keyboard.press("Enter")
        if answer.value.status == 429:
            break
    expect(tab.page.get_by_role("alert")).to_contain_text("too often")
    return tab
