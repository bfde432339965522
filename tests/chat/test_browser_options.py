"""The options of a chat on the page: controls, presets, and the commands that begin with a slash."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Locator, expect

from tests.chat.axe import violations
from tests.chat.page import Tab, Tabs
from tests.fakes import FakeServer, Finish
from tests.processes import Process

pytestmark = pytest.mark.browser

# What a person types, and what the request must then have.
CONTROLS = {
    "Temperature": ("0.2", "temperature", 0.2),
    "Top P": ("0,9", "top_p", 0.9),
    "Top K": ("12", "top_k", 12),
    "Min P": ("0.05", "min_p", 0.05),
    "Repeat penalty": ("1.1", "repeat_penalty", 1.1),
    "Presence penalty": ("0.5", "presence_penalty", 0.5),
    "Frequency penalty": ("-0.5", "frequency_penalty", -0.5),
    "Seed": ("7", "seed", 7),
    "Longest answer": ("99", "max_tokens", 99),
    "Stop at": ("END\nSTOP", "stop", ["END", "STOP"]),
    "More fields (JSON)": ('{"mirostat_mode": 2}', "mirostat_mode", 2),
}


def panel(tab: Tab) -> Locator:
    tab.find("#options").click()
    shown = tab.page.get_by_role("dialog", name="Options of this chat")
    expect(shown).to_be_visible()
    return shown


def fill(box: Locator, label: str, text: str) -> None:
    field = box.get_by_label(label, exact=True)
    field.fill(text)
    field.dispatch_event("change")


def test_each_control_changes_the_request_and_survives_a_reload(model: FakeServer, chat: Process, tabs: Tabs) -> None:
    model.scripts = [["ok", Finish()]]
    tab = tabs.open(chat)
    box = panel(tab)
    expect(box.get_by_label("Temperature", exact=True)).to_have_attribute("placeholder", "0.7")
    expect(box.locator(".custom").filter(visible=True)).to_have_count(0)
    for label, (text, _, _) in CONTROLS.items():
        fill(box, label, text)
    fill(box, "System prompt", "Answer in one word.")
    expect(box.locator(".custom").filter(visible=True)).to_have_count(len(CONTROLS) + 1)
    tab.page.keyboard.press("Escape")
    expect(tab.find("#options")).to_be_focused()
    expect(tab.find("#options")).to_have_text(f"Options · {len(CONTROLS) + 1}")

    tab.page.reload()  # a new chat keeps the choice until it is sent
    expect(tab.find("#options")).to_have_text(f"Options · {len(CONTROLS) + 1}")
    tab.say("go")
    tab.is_at("done")
    sent = model.requests[-1]
    assert {name: sent.get(name) for _, name, _ in CONTROLS.values()} == {n: v for _, n, v in CONTROLS.values()}
    assert sent["messages"][0] == {"role": "system", "content": "Answer in one word."}

    tab.page.reload()
    expect(panel(tab).get_by_label("Temperature", exact=True)).to_have_value("0.2")
    tab.page.keyboard.press("Escape")
    tab.find("#new").click()
    expect(tab.find("#options")).to_have_text("Options")
    assert tab.errors == []


def test_change_in_a_chat_is_sent_at_once_seen_by_others_and_can_be_reset(
    model: FakeServer, chat: Process, tabs: Tabs
) -> None:
    model.scripts = [["ok", Finish()]]
    tab = tabs.open(chat)
    tab.say("first")
    tab.is_at("done")
    other = tabs.open(chat, f"/c/{tab.chat_id()}")
    expect(other.find(".message")).to_have_count(2)
    box = panel(tab)
    fill(box, "Temperature", "1.5")
    expect(other.find("#options")).to_have_text("Options · 1")
    other.say("second")
    expect(other.find(".answer")).to_have_count(2)
    other.is_at("done")
    assert model.requests[-1]["temperature"] == 1.5
    box.get_by_role("button", name="Reset Temperature").click()
    expect(box.get_by_label("Temperature", exact=True)).to_have_value("")
    expect(other.find("#options")).to_have_text("Options")
    other.say("third")
    expect(other.find(".answer")).to_have_count(3)
    other.is_at("done")
    assert model.requests[-1]["temperature"] == 0.7


def test_wrong_value_says_what_would_be_right_and_is_not_taken(model: FakeServer, chat: Process, tabs: Tabs) -> None:
    tab = tabs.open(chat)
    box = panel(tab)
    fill(box, "Temperature", "3")
    expect(box.locator(".control.temperature .problem")).to_have_text("Temperature is a number from 0 to 2.")
    fill(box, "Top K", "1.5")
    expect(box.locator(".control.top_k .problem")).to_have_text("Top K is a whole number from 0 to 1000.")
    fill(box, "More fields (JSON)", "{oops")
    expect(box.locator(".control.extra .problem")).to_contain_text("write an object such as")
    expect(box.locator(".custom").filter(visible=True)).to_have_count(0)
    expect(tab.find("#options")).to_have_text("Options")


def test_preset_is_kept_chosen_and_deleted(model: FakeServer, chat: Process, tabs: Tabs) -> None:
    model.scripts = [["ok", Finish()]]
    tab = tabs.open(chat)
    box = panel(tab)
    fill(box, "Temperature", "0")
    fill(box, "System prompt", "Be a poet.")
    box.get_by_label("Name of a new preset").fill("Poet <b>")
    box.get_by_role("button", name="Save preset").click()
    expect(box.get_by_label("Preset", exact=True)).to_have_value("Poet <b>")

    second = tabs.open(chat)
    box = panel(second)
    box.get_by_label("Preset", exact=True).select_option("Poet <b>")
    expect(box.get_by_label("System prompt", exact=True)).to_have_value("Be a poet.")
    second.page.keyboard.press("Escape")
    second.say("go")
    second.is_at("done")
    assert model.requests[-1]["temperature"] == 0
    assert model.requests[-1]["messages"][0]["content"] == "Be a poet."
    box = panel(second)
    box.get_by_role("button", name="Delete preset Poet <b>").click()
    expect(box.get_by_label("Preset", exact=True).locator("option")).to_have_text(["own choice", "defaults"])
    second.page.reload()
    expect(panel(second).get_by_label("Preset", exact=True).locator("option")).to_have_text(["own choice", "defaults"])


def test_a_preset_and_a_prompt_that_are_replaced_or_deleted_can_be_taken_back(
    model: FakeServer, chat: Process, tabs: Tabs
) -> None:
    model.scripts = [["fine", Finish()]]
    tab = tabs.open(chat)
    box = panel(tab)
    undo = box.get_by_role("button", name="Undo")
    for text in ("A long and careful prompt.", "short"):
        fill(box, "System prompt", text)
        expect(undo).to_have_count(0)
        box.get_by_label("Name of a new preset").fill("Mine")
        box.get_by_role("button", name="Save preset").click()
        expect(box.get_by_label("Preset", exact=True)).to_have_value("Mine")
    expect(box.locator(".presets .undo")).to_contain_text("“Mine” was replaced.")
    undo.click()
    expect(undo).to_have_count(0)
    box.get_by_label("Preset", exact=True).select_option("Mine")
    expect(box.get_by_label("System prompt", exact=True)).to_have_value("A long and careful prompt.")
    box.get_by_role("button", name="Delete preset Mine").click()
    expect(box.locator(".presets .undo")).to_contain_text("“Mine” was deleted.")
    assert violations(tab) == []
    undo.click()
    expect(box.get_by_label("Preset", exact=True)).to_have_value("Mine")
    expect(box.get_by_label("Preset", exact=True)).to_be_focused()
    box.get_by_role("button", name="Delete preset Mine").click()

    delete = box.get_by_role("button", name="Delete prompt hello")
    for text in ("Translate into French", "short"):
        box.get_by_label("Name of a new prompt").fill("hello")
        box.get_by_label("Text of a new prompt").fill(text)
        box.get_by_role("button", name="Save prompt").click()
        expect(box.get_by_title(text)).to_have_text("hello")
    box.locator(".prompts").get_by_role("button", name="Undo").click()
    expect(box.get_by_title("Translate into French")).to_have_text("hello")
    delete.click()
    expect(delete).to_have_count(0)
    box.locator(".prompts").get_by_role("button", name="Undo").click()
    expect(box.get_by_title("Translate into French")).to_have_text("hello")
    expect(box.get_by_label("Name of a new prompt")).to_be_focused()
    delete.click()
    expect(delete).to_have_count(0)
    assert tab.errors == []


def test_a_choice_of_ones_own_comes_back_after_a_preset_was_chosen(
    model: FakeServer, chat: Process, tabs: Tabs
) -> None:
    tab = tabs.open(chat)
    box = panel(tab)
    preset = box.get_by_label("Preset", exact=True)
    prompt = box.get_by_label("System prompt", exact=True)
    undo = box.get_by_role("button", name="Undo")
    expect(preset.locator("option")).to_have_text(["defaults"])
    for name, value in (("Mild", "0.1"), ("Wild", "1.5")):
        fill(box, "Temperature", value)
        box.get_by_label("Name of a new preset").fill(name)
        box.get_by_role("button", name="Save preset").click()
        expect(preset).to_have_value(name)
    fill(box, "System prompt", "An hour of work.")
    expect(preset.locator("option")).to_have_text(["own choice", "defaults", "Mild", "Wild"])
    expect(preset.locator("option:checked")).to_have_text("own choice")

    for chosen, told in (("Mild", "by “Mild”"), ("defaults", "by the defaults")):
        preset.select_option(label=chosen)
        expect(prompt).to_have_value("")
        expect(preset.locator("option")).to_have_text(["defaults", "Mild", "Wild"])
        expect(preset.locator("option:checked")).to_have_text(chosen)
        expect(box.locator(".presets .undo")).to_contain_text(f"Your own choice was replaced {told}.")
        preset.select_option(label="Wild")  # no choice of one's own
        expect(box.get_by_label("Temperature", exact=True)).to_have_value("1.5")
        undo.click()
        expect(prompt).to_have_value("An hour of work.")
        expect(preset.locator("option:checked")).to_have_text("own choice")
        expect(preset).to_be_focused()
        expect(undo).to_have_count(0)
    expect(tab.find("#options")).to_have_text("Options · 2")
    assert tab.errors == []


def test_system_prompt_can_be_none_and_the_model_can_be_chosen(model: FakeServer, chat: Process, tabs: Tabs) -> None:
    model.scripts = [["ok", Finish()]]
    tab = tabs.open(chat)
    box = panel(tab)
    box.get_by_role("button", name="Send none").click()
    box.get_by_label("Model", exact=True).select_option("fake-model")
    tab.page.keyboard.press("Escape")
    tab.say("go")
    tab.is_at("done")
    assert [m["role"] for m in model.requests[-1]["messages"]] == ["user"]
    assert model.requests[-1]["model"] == "fake-model"


def test_slash_lists_commands_and_the_keyboard_chooses(model: FakeServer, chat: Process, tabs: Tabs) -> None:
    tab = tabs.open(chat)
    expect(tab.find("#options")).to_be_visible()
    tab.input.press_sequentially("/")
    listed = tab.find("#commands [role=option]")
    expect(listed.first).to_contain_text("/help")
    expect(tab.find("#commands")).not_to_contain_text("/exit")
    tab.input.press_sequentially("s")
    expect(listed.locator(".name")).to_have_text(
        ["/system [TEXT]", "/set [NAME [VALUE]]", "/save [FILE]", "/search TEXT", "/stats"]
    )
    tab.input.press("ArrowUp")
    expect(tab.find("#commands [aria-selected=true] .name")).to_have_text("/stats")
    tab.input.press("ArrowUp")
    expect(tab.find("#commands [aria-selected=true] .name")).to_have_text("/search TEXT")
    tab.input.press("Tab")
    expect(tab.input).to_have_value("/search ")
    expect(tab.find("#commands")).to_be_hidden()
    tab.input.fill("/th")
    tab.input.press("Escape")
    expect(tab.find("#commands")).to_be_hidden()
    tab.input.fill("/thi")
    tab.input.press("Enter")
    expect(tab.page.get_by_label("Thinking", exact=True)).to_be_focused()
    assert model.requests == []
    assert tab.errors == []


def test_commands_set_options_and_say_what_they_did(model: FakeServer, chat: Process, tabs: Tabs) -> None:
    model.scripts = [["```py\nprint(1)\n```", Finish()]]
    tab = tabs.open(chat)
    note = tab.find("#note-text")
    tab.say("/set temperature 0.1")
    expect(note).to_have_text("Temperature: 0.1")
    tab.say("/set temperature 9")
    expect(tab.problem).to_have_text("Temperature must be a number from 0 to 2, got 9.")
    expect(tab.input).to_have_value("/set temperature 9")  # to be put right
    tab.say("/system You are brief.")
    expect(note).to_contain_text("You are brief.")
    tab.say("/think high")
    expect(tab.find("#options")).to_have_text("Options · 3")
    tab.say("/etc/hosts is a file")
    tab.is_at("done")
    expect(tab.find(".user")).to_have_text("/etc/hosts is a file")
    expect(tab.find("#note")).to_be_hidden()
    assert model.requests[-1]["temperature"] == 0.1
    assert model.requests[-1]["messages"][0]["content"] == "You are brief."
    tab.say("/stats")
    expect(note).to_contain_text("The last answer")
    tab.page.keyboard.press("Control+Shift+;")
    expect(note).to_have_text(re.compile("^(Copied|This browser does not let)"))
    tab.say("/nosuch")
    expect(tab.problem).to_have_text("There is no command /nosuch; /help lists them.")
    tab.say("/help")
    expect(tab.page.get_by_role("dialog", name="Commands")).to_contain_text("/undo")
    tab.page.keyboard.press("Escape")
    with tab.page.expect_download() as saved:
        tab.say("/save")
    assert "print(1)" in saved.value.path().read_text()
    tab.say("/search hosts")
    expect(tab.find("#hits [role=option]").first).to_contain_text("hosts")
    tab.say("/new")
    expect(tab.find(".message")).to_have_count(0)
    assert len(model.requests) == 1


def test_saved_prompt_is_offered_by_a_slash_and_its_text_can_be_changed_before_it_is_sent(
    model: FakeServer, chat: Process, tabs: Tabs
) -> None:
    model.scripts = [["ok", Finish()]]
    tab = tabs.open(chat)
    box = panel(tab)
    box.get_by_label("Name of a new prompt").fill("translate <i>")
    box.get_by_label("Text of a new prompt").fill("Translate into French:\n")
    box.get_by_role("button", name="Save prompt").click()
    expect(box.get_by_role("button", name="Delete prompt translate <i>")).to_be_visible()
    tab.page.keyboard.press("Escape")
    tab.input.press_sequentially("/tr")
    expect(tab.find("#commands .name")).to_have_text(["translate <i>"])
    tab.input.press("Enter")
    expect(tab.input).to_have_value("Translate into French:\n")
    tab.input.press_sequentially("heron")
    tab.input.press("Enter")
    tab.is_at("done")
    expect(tab.find(".user")).to_have_text("Translate into French:\nheron")
    panel(tab).get_by_role("button", name="Delete prompt translate <i>").click()
    expect(tab.page.get_by_role("button", name="Delete prompt translate <i>")).to_have_count(0)
    tab.page.reload()
    expect(tab.find("#gauge")).to_be_visible()
    tab.input.press_sequentially("/tr")
    expect(tab.find("#commands")).to_be_hidden()


def test_saved_prompt_with_spaces_in_its_name_is_found_and_never_sent_by_its_name(
    model: FakeServer, chat: Process, tabs: Tabs
) -> None:
    model.scripts = [["ok", Finish()]]
    tab = tabs.open(chat)
    box = panel(tab)
    for name, text in (("say in french", "Translate into French:"), ("say", "Repeat this:")):
        box.get_by_label("Name of a new prompt").fill(name)
        box.get_by_label("Text of a new prompt").fill(text)
        box.get_by_role("button", name="Save prompt").click()
        expect(box.get_by_role("button", name=f"Delete prompt {name}", exact=True)).to_be_visible()
    tab.page.keyboard.press("Escape")
    tab.input.press_sequentially("/say in fr")
    expect(tab.find("#commands .name")).to_have_text(["say in french"])
    tab.input.press("Enter")
    expect(tab.input).to_have_value("Translate into French:")
    for typed, written in (
        ("/say in french", "Translate into French:"),
        ("/Say in French a heron", "Translate into French: a heron"),
        ("/say hello", "Repeat this: hello"),
    ):
        tab.input.fill(typed)
        tab.input.press("Escape")
        tab.input.press("Enter")
        expect(tab.input).to_have_value(written)
    tab.input.fill("/search say")
    expect(tab.find("#commands")).to_be_hidden()
    expect(tab.problem).to_be_hidden()
    assert model.requests == []


@pytest.mark.parametrize("width", [320, 1100])
def test_a_numbers_name_and_its_reset_stand_in_one_line(
    model: FakeServer, chat: Process, tabs: Tabs, width: int
) -> None:
    tab = tabs.open(chat, viewport={"width": width, "height": 800})
    box = panel(tab)
    for label in ("Longest answer", "Frequency penalty"):
        fill(box, label, "1")
        reset = box.get_by_role("button", name=f"Reset {label}").bounding_box()
        field = box.get_by_label(label, exact=True).bounding_box()
        name = box.locator("label", has_text=label).bounding_box()
        assert reset and field and name
        assert reset["y"] < name["y"] + name["height"] and name["y"] < reset["y"] + reset["height"]
        assert reset["x"] + reset["width"] <= field["x"]
    assert tab.sideways_px() <= 0


def test_keyboard_and_mouse_go_straight_from_one_control_to_the_next(
    model: FakeServer, chat: Process, tabs: Tabs
) -> None:
    tab = tabs.open(chat)
    box = panel(tab)
    temperature = box.get_by_label("Temperature", exact=True)
    temperature.fill("0.3")
    temperature.press("Tab")
    expect(box.get_by_role("button", name="Reset Temperature")).to_be_visible()
    expect(box.get_by_label("Top P", exact=True)).to_be_focused()
    box.get_by_label("Top P", exact=True).press_sequentially("0.8")
    box.get_by_label("Name of a new preset").click()
    expect(box.locator(".custom").filter(visible=True)).to_have_count(2)
    tab.page.keyboard.type("mine")
    tab.page.keyboard.press("Enter")
    expect(box.get_by_label("Preset", exact=True)).to_have_value("mine")
    box.get_by_role("button", name="Reset Temperature").click()
    expect(temperature).to_be_focused()
    expect(temperature).to_have_value("")
