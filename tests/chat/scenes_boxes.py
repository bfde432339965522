"""The boxes of the library and of administration, and what the library says when something is missing."""

from __future__ import annotations

from playwright.sync_api import expect

from tests.chat.browser import Browser
from tests.chat.household import guest, logged_in
from tests.chat.page import Tab
from tests.chat.scenes_around import box
from tests.chat.scenes_house import a_house
from tests.chat.scenes_library import BREAD, EGGS, answered, cooking, notes, search
from tests.chat.shelves import add_folder, drop, make_shelf, titles
from tests.chat.stage import Stage, scene

ADA = "Ada"


def office(stage: Stage) -> Tab:
    """The administrator's page of a house with a guest."""
    house = a_house(stage)
    cookie = logged_in(house, "admin")
    chief = Browser(house.url, Cookie=cookie)
    guest(chief, house, ADA)
    chief.client.disconnect()
    tab = stage.open("/admin", cookie=cookie)
    expect(tab.find("#users")).to_contain_text(ADA)
    return tab


@scene("A code was made, to be handed on.")
def admin_code(stage: Stage) -> Tab:
    tab = office(stage)
    tab.button("Invite somebody").click()
    tab.page.get_by_label("For whom").fill("the new neighbour")
    tab.page.keyboard.press("Enter")
    expect(tab.find(".code-shown")).to_be_visible()
    return tab


@scene("The limits of one user.")
def admin_limits(stage: Stage) -> Tab:
    tab = office(stage)
    tab.button(f"Actions for {ADA}").click()
    tab.page.get_by_role("menuitem", name="Limits").click()
    shown = box(tab, f"Limits of {ADA}")
    shown.get_by_label("The limits of the house").uncheck()
    shown.get_by_label("Messages in 24 hours").fill("200")
    return tab


@scene("The defaults of a chat, for everybody here.")
def admin_defaults(stage: Stage) -> Tab:
    tab = office(stage)
    tab.button("Change the defaults").click()
    temperature = box(tab, "Defaults of a chat").get_by_label("Temperature", exact=True)
    temperature.fill("0.6")
    temperature.press("Tab")
    expect(tab.find("#house dl")).to_contain_text("0.6")
    return tab


def bare_shelf(stage: Stage) -> Tab:
    """A shelf with nothing on it."""
    stage.model.embeds = True
    tab = stage.open("/library")
    make_shelf(tab, "cooking")
    return tab


@scene("A folder for a shelf.")
def add_a_folder(stage: Stage) -> Tab:
    tab = bare_shelf(stage)
    tab.button("Add a folder of this machine").click()
    tab.page.get_by_label("Path on the machine of the chat server").fill("/home/ada/recipes")
    return tab


@scene("A web site for a shelf, and how far it is read.")
def add_an_address(stage: Stage) -> Tab:
    tab = bare_shelf(stage)
    tab.button("Add a web address").click()
    box(tab, "Add a web address").get_by_label("Address").fill("https://example.org/recipes/")
    tab.page.get_by_label("The whole site, from link to link").check()
    return tab


@scene("A repository for a shelf.")
def add_a_repository(stage: Stage) -> Tab:
    tab = bare_shelf(stage)
    tab.button("Add a git repository").click()
    box(tab, "Add a git repository").get_by_label("Repository").fill("https://example.org/recipes.git")
    return tab


@scene("What of a folder could not be read, and why.")
def not_read(stage: Stage) -> Tab:
    tab = cooking(stage)
    tab.button("1 item could not be read").click()
    expect(box(tab, "What could not be read").get_by_role("listitem")).to_be_visible()
    return tab


@scene("Documents were taken off a shelf, and the way back.")
def document_undo(stage: Stage) -> Tab:
    tab = cooking(stage)
    tab.button("Delete Bread").click()
    expect(tab.button("Undo")).to_be_visible()
    return tab


@scene("Nobody makes embeddings: documents are found by their words alone.")
def words_alone(stage: Stage) -> Tab:
    stage.model.models = [{"id": "fake-model", "object": "model", "meta": {"kind": "chat"}}]
    tab = stage.open("/library")
    make_shelf(tab, "cooking")
    add_folder(tab, notes(stage.folder / "kitchen"))
    expect(titles(tab)).to_have_count(3)
    search(tab)
    return tab


@scene("The passage behind a footnote is not in the document any more.")
def passage_gone(stage: Stage) -> Tab:
    tab = answered(stage)
    changed = EGGS.replace("# Eggs", "# Eggs as they are now", 1).replace("four minutes", "five minutes")
    (stage.folder / "kitchen" / "eggs.md").write_text(changed, encoding="utf-8")
    tab.page.get_by_role("link", name="Library", exact=True).click()
    tab.find(".shelves").get_by_role("link", name="cooking", exact=True).click()
    tab.button(f"Refresh: {stage.folder / 'kitchen'}").click()
    expect(titles(tab).filter(has_text="as they are now")).to_have_count(1)
    tab.page.go_back()
    tab.page.go_back()
    tab.answer().locator(".cite").first.click()
    expect(tab.find("#library").get_by_role("alert")).to_contain_text("another one by now")
    return tab


@scene("A shelf that somebody else shares.")
def shelf_of_another(stage: Stage) -> Tab:
    stage.model.embeds = True
    house = a_house(stage)
    cookie = logged_in(house, "admin")
    chief = Browser(house.url, Cookie=cookie)
    ada = guest(chief, house, ADA)
    chief.client.disconnect()
    owner = stage.open("/library", cookie=cookie)
    make_shelf(owner, "cooking")
    drop(owner.find("#library"), {"bread.md": BREAD, "eggs.md": EGGS})
    expect(titles(owner)).to_have_text(["Bread", "Eggs"])
    owner.button("Actions for this shelf").click()
    owner.page.get_by_role("menuitem", name="Share with everybody here").click()
    expect(owner.find("#toast")).to_be_visible()
    tab = stage.open("/library", cookie=ada)
    tab.page.get_by_role("link", name="cooking", exact=True).click()
    expect(tab.find("#library .facts").first).to_contain_text("shared by admin")
    expect(titles(tab)).to_have_count(2)
    return tab
