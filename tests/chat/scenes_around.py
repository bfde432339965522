"""The states around a conversation: options, files, the list of chats, keys, small windows."""

from __future__ import annotations

from pathlib import Path

from playwright.sync_api import Locator, expect

from tests.chat.page import Tab
from tests.chat.stage import DARK, LIGHT, PHONE, SMALL, WIDE, Stage, ended, scene
from tests.fakes import Finish, Gate, Step, Usage

ANSWER = "A pony of 200 kg needs about **3 kg of hay a day**, in three or four meals. Oats only when it works."
QUESTION = "How much hay does a pony need?"
ABILITIES = ["chat", "completion", "tools", "reasoning"]
SUMMARY = "20 of 31 layers run on the card, the rest on the processor. A conversation may be 8,192 tokens long."


def box(tab: Tab, name: str) -> Locator:
    """The dialog of this name."""
    return tab.page.get_by_role("dialog", name=name)


def choose(tab: Tab, *names: str) -> None:
    """Click buttons and menu items by their names."""
    for name in names:
        found = tab.page.get_by_role("button", name=name, exact=True)
        found.or_(tab.page.get_by_role("menuitem", name=name, exact=True)).first.click()


@scene("What the model is and where it runs.")
def about(stage: Stage) -> Tab:
    stage.model.capabilities = ABILITIES
    stage.model.plan = {"models": [{"name": "fake-model", "summary": SUMMARY, "file_bytes": 4_683_074_240}]}
    tab = stage.asked(QUESTION, *ended(ANSWER))
    tab.button("fake-model").click()
    expect(tab.find("#about")).to_contain_text("4.7 GB")
    return tab


@scene("A demonstration model is named as one.")
def demonstration(stage: Stage) -> Tab:
    stage.model.notice = (
        "This is a small demonstration model. It shows how the page works, and what it says is often wrong."
    )
    tab = stage.open()
    expect(tab.find("#demo")).to_be_visible()
    return tab


@scene("A base model continues a text.")
def base_model(stage: Stage) -> Tab:
    stage.model.capabilities = ["completion"]
    tab = stage.open()
    expect(tab.find("#base")).to_be_visible()
    return tab


@scene("The options of a chat.", WIDE, LIGHT, DARK)
def options(stage: Stage) -> Tab:
    stage.model.capabilities = ABILITIES
    tab = stage.asked(QUESTION, *ended(ANSWER))
    choose(tab, "Options")
    field = box(tab, "Options").get_by_label("Temperature", exact=True)
    field.fill("0.2")
    field.press("Tab")
    expect(tab.find(".custom").filter(visible=True)).to_have_count(1)
    return tab


@scene("Values that are refused are marked where they stand, with what is in force.", WIDE, LIGHT, DARK)
def options_refused(stage: Stage) -> Tab:
    tab = stage.asked(QUESTION, *ended(ANSWER))
    choose(tab, "Options")
    shown = box(tab, "Options")
    for label, value in (("Stop at", "END"), ("Stop at", "stop\n" * 20), ("More fields (JSON)", '{"stream": false}')):
        field = shown.get_by_label(label, exact=True)
        field.fill(value)
        field.press("Tab")
        expect(field.and_(shown.locator("[aria-invalid=true]"))).to_have_count(0 if value == "END" else 1)
    shown.get_by_label("Stop at", exact=True).scroll_into_view_if_needed()
    return tab


@scene("Presets and kept prompts.")
def presets(stage: Stage) -> Tab:
    tab = stage.open()
    choose(tab, "Options")
    shown = box(tab, "Options")
    shown.get_by_label("System prompt", exact=True).fill("You are a vet. Say when a vet has to come.")
    shown.get_by_label("Name of a new preset").fill("Vet")
    choose(tab, "Save preset")
    expect(shown.get_by_label("Preset", exact=True)).to_have_value("Vet")
    return tab


@scene("What the model sees, with the notes that stand for the oldest turns.", WIDE, LIGHT, DARK)
def context(stage: Stage) -> Tab:
    stage.model.n_ctx = 500
    notes = "- The pony is called Moss and weighs 200 kg.\n- It stands on sand and gets 3 kg of hay a day.\n"
    tab = stage.open()
    stage.model.scripts = [[notes + "It needs water at all times. " * 14, Usage(300, 120), Finish()]]
    for n, question in enumerate(("What does Moss eat?", "How much hay?", "And water?", "And oats?", "And salt?")):
        tab.say(question)
        expect(tab.find(".answer")).to_have_count(n + 1)
        tab.is_at("done")
    expect(tab.find("div.fold")).to_be_attached()
    tab.find("#gauge").click()
    expect(box(tab, "What the model sees").get_by_label("Notes")).to_be_visible()
    return tab


@scene("The mark where older messages are folded into notes.")
def folded(stage: Stage) -> Tab:
    tab = context(stage)
    tab.page.keyboard.press("Escape")
    tab.find("div.fold").scroll_into_view_if_needed()
    return tab


def a_file(stage: Stage, name: str, text: str) -> Path:
    """Write a file to attach."""
    path = stage.folder / name
    path.write_text(text, encoding="utf-8")
    return path


@scene("Files that go with the next message.")
def files(stage: Stage) -> Tab:
    tab = stage.open()
    sent = [
        a_file(stage, "feeding plan.md", "# Plan\n\n" + "Hay at seven. " * 90),
        a_file(stage, "weights.csv", "day,kg\n1,200\n" * 60),
    ]
    tab.find("#picker").set_input_files([str(path) for path in sent])
    expect(tab.find(".chip .size").filter(has_text="tokens")).to_have_count(2)
    tab.input.fill("Does the plan fit the weights?")
    return tab


@scene("Files in the message that they were sent with.")
def files_sent(stage: Stage) -> Tab:
    tab = files(stage)
    stage.model.scripts = [ended("The plan fits: the weight stays at **200 kg** through both months.")]
    tab.input.press("Enter")
    tab.is_at("done")
    return tab


@scene("A file that cannot be read, and what to do about it.")
def file_refused(stage: Stage) -> Tab:
    tab = stage.open()
    tab.find("#picker").set_input_files(str(a_file(stage, "stud book.pdf", "%PDF-1.4 and no more")))
    expect(tab.problem).to_be_visible()
    return tab


@scene("Search, with the places where the words stand.")
def search(stage: Stage) -> Tab:
    tab = stage.open()
    tab.page.get_by_role("combobox", name="Search chats").fill("hay")
    expect(tab.page.get_by_role("option").first).to_be_visible()
    return tab


@scene("A chat's tags are chosen.")
def tags(stage: Stage) -> Tab:
    tab = tagged(stage)
    tab.find("nav li").first.hover()
    choose(tab, "Actions for Oats and hay for a pony", "Change tags")
    return tab


def tagged(stage: Stage) -> Tab:
    """Give two chats tags."""
    tab = stage.open()
    for title, words in (("Oats and hay for a pony", "horses, feed"), ("Names for a grey mare", "horses")):
        tab.find("nav li").filter(has_text=title).hover()
        choose(tab, f"Actions for {title}", "Add tags")
        tab.page.get_by_label("Tags, with commas between them").fill(words)
        choose(tab, "Save")
        expect(tab.find("nav .tags").filter(has_text="horses")).not_to_have_count(0)
    return tab


@scene("The list narrowed to a tag, with the menu of a chat.")
def chat_menu(stage: Stage) -> Tab:
    tab = tagged(stage)
    tab.page.get_by_role("group", name="Show only chats with the tag").get_by_role("button", name="horses").click()
    tab.find("nav li").first.hover()
    choose(tab, "Actions for Oats and hay for a pony")
    return tab


@scene("Several chats are chosen.")
def selection(stage: Stage) -> Tab:
    tab = stage.open()
    choose(tab, "More", "Select several")
    for title in ("Letter to the landlord", "Why the sky is blue"):
        tab.page.get_by_label(f"Select {title}").check()
    return tab


@scene("A chat was deleted, and the way back.")
def undo(stage: Stage) -> Tab:
    tab = stage.open()
    tab.page.get_by_role("link", name="Letter to the landlord", exact=True).press("Delete")
    expect(tab.button("Undo")).to_be_visible()
    return tab


@scene("A chat that is answered while another one is read.")
def elsewhere(stage: Stage) -> Tab:
    stage.model.scripts = [["On its way", Gate()]]
    tab = stage.open()
    tab.say("Tell me of the first horses.")
    tab.is_at("streaming")
    tab.page.get_by_role("link", name="Why the sky is blue", exact=True).click()
    expect(tab.answer()).to_contain_text("scattered")
    expect(tab.find("nav li.running")).to_have_count(1)
    return tab


@scene("The keys.")
def keys(stage: Stage) -> Tab:
    tab = stage.open()
    choose(tab, "Shortcuts")
    return tab


@scene("The commands, as they are typed.")
def commands(stage: Stage) -> Tab:
    tab = stage.open()
    tab.input.press_sequentially("/")
    expect(tab.find("#commands")).to_be_visible()
    return tab


@scene("What /help says.")
def help_sheet(stage: Stage) -> Tab:
    tab = stage.open()
    tab.input.press_sequentially("/help ")
    tab.input.press("Enter")
    expect(tab.page.get_by_role("dialog").or_(tab.find("#note:not([hidden])")).first).to_be_visible()
    return tab


@scene("The list of chats put away.")
def list_hidden(stage: Stage) -> Tab:
    tab = stage.asked(QUESTION, *ended(ANSWER))
    tab.page.keyboard.press("Control+b")
    expect(tab.find("#side")).to_be_hidden()
    return tab


@scene("The chat server does not answer; the page stays, and what is typed is kept.")
def offline(stage: Stage) -> Tab:
    server = stage.serve()
    tab = stage.asked(QUESTION, *ended(ANSWER))
    server.kill()
    expect(tab.strip).to_contain_text("does not answer")
    tab.input.fill("And in winter?")
    return tab


@scene("A phone.", PHONE, LIGHT, DARK)
def phone(stage: Stage) -> Tab:
    return stage.asked(QUESTION, *ended(ANSWER))


@scene("The list of chats on a phone.", PHONE)
def phone_list(stage: Stage) -> Tab:
    tab = stage.asked(QUESTION, *ended(ANSWER))
    choose(tab, "Chats")
    expect(tab.find("#close")).to_be_visible()
    return tab


@scene("The options on a phone.", PHONE)
def phone_options(stage: Stage) -> Tab:
    tab = stage.open()
    choose(tab, "Options")
    expect(box(tab, "Options")).to_be_visible()
    return tab


@scene("A window of 320 dots, with a file and a long line of code.", SMALL)
def small(stage: Stage) -> Tab:
    code = "Change one line:\n\n```python\nhay_kg = weight_kg * 0.015 if works_hard else weight_kg * 0.0125\n```\n"
    script: list[Step] = ended(code)
    tab = stage.asked(QUESTION, *script)
    tab.find("#picker").set_input_files(str(a_file(stage, "a feeding plan with a long name.md", "Hay at seven. " * 90)))
    expect(tab.find(".chip .size").filter(has_text="tokens")).to_have_count(1)
    return tab
