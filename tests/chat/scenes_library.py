"""The states of the library: shelves, one shelf, a search, a document, and answers that come from them."""

from __future__ import annotations

from pathlib import Path

from playwright.sync_api import expect

from tests.chat.page import Tab
from tests.chat.shelves import add_folder, make_shelf, titles
from tests.chat.stage import DARK, LIGHT, PHONE, TALL, WIDE, Stage, ended, scene
from tests.fakes import Finish, Gate

QUESTION = "How many minutes does a soft egg take in boiling water?"
OTHER = "Which zeppelin crossed Patagonia?"
PARTS_OF_EGGS = {
    "Buying": (
        "Buy eggs from hens that see the sky. The first sign of the stamp tells how they live, the next two "
        "where, and the rest which house. Brown or white is a matter of the breed, and no sign of taste. Large "
        "eggs come from old hens and have thin shells; for baking the middle size is what most books mean when "
        "they say one egg."
    ),
    "Keeping": (
        "Eggs keep for three weeks in a cool place, with the point down. A fresh egg sinks in a bowl of water and "
        "lies on its side; one that stands up is two weeks old, and one that floats goes to the pigs. Write the "
        "day on the box. Never wash them before they are stored: the shell has a bloom that closes its pores, and "
        "without it they spoil."
    ),
    "Frying": (
        "Butter has to be quiet before the egg goes in. Three minutes over a low flame and a lid on the pan set "
        "the white without a brown edge. Salt goes on the plate, not into the pan, where it makes spots. Duck "
        "eggs need a minute more and are too rich for most at breakfast; they are better in a dough."
    ),
    "Boiling": (
        "A soft egg takes four minutes in boiling water, a waxy one six and a hard one nine. Prick the round end, "
        "lay the eggs into water that boils already, and count from then on. Cold water afterwards stops the "
        "cooking, and the shell comes off in large pieces. Eggs that were laid yesterday are hard to peel, "
        "however they are cooled."
    ),
    "Baking": (
        "For a meringue beat the whites of four eggs with a pinch of salt until the bowl can be turned over, then "
        "fold in 220 g of sugar, a spoon at a time. Bake it for ninety minutes in an oven that is hardly warm, "
        "and let it cool with the door ajar. The yolks keep for two days under water and make a custard."
    ),
    "Preserving": (
        "Whole eggs do not freeze in their shells. Beaten with a pinch of salt they keep for half a year, and one "
        "spoon of them is the white of one egg. Soleggs lie in brine with onion skins for a week, and turn brown."
    ),
}
EGGS = "\n\n".join(("# Eggs", *(f"## {name}\n\n{text}" for name, text in PARTS_OF_EGGS.items()))) + "\n"
BREAD = (
    "# Bread\n\nKnead 500 g of flour with 330 g of water, 10 g of salt and 5 g of yeast for ten minutes.\n"
    "Bake the loaf at 240 degrees with steam, then at 210.\n"
)
SOUP = "Soak dried peas over night. Boil them for ninety minutes with an onion and a bone. Salt comes last.\n"
ANSWER = (
    "A soft egg takes four minutes in boiling water, a waxy one six [1]. A goose egg takes 14 minutes [1]. "
    "Cold water afterwards stops the cooking, and the shell comes off in large pieces [1]."
)
PARTS = f'{{"questions": ["{QUESTION}", "How long does a waxy egg take?", "{OTHER}"]}}'


def notes(path: Path) -> Path:
    """A folder with three documents and a scan that cannot be read."""
    path.mkdir(parents=True)
    for name, text in (("eggs.md", EGGS), ("bread.md", BREAD), ("pea soup.txt", SOUP)):
        (path / name).write_text(text, encoding="utf-8")
    (path / "scan.pdf").write_bytes(b"%PDF-1.4 and no more")
    return path


def cooking(stage: Stage) -> Tab:
    """The page of a shelf with three documents."""
    stage.model.embeds = True
    tab = stage.open("/library")
    make_shelf(tab, "cooking")
    add_folder(tab, notes(stage.folder / "kitchen"))
    expect(titles(tab)).to_have_count(3)
    return tab


def search(tab: Tab) -> None:
    tab.page.get_by_label("Try a search").fill(QUESTION)
    tab.find(".trial").get_by_role("button", name="Search").click()
    expect(tab.find(".passages li").first).to_be_visible()


def answered(stage: Stage) -> Tab:
    """An answer with three footnotes, one of them not confirmed."""
    tab = cooking(stage)
    tab.page.goto("/")
    stage.model.scripts = [ended(ANSWER)]
    tab.input.fill(f"#cooking {QUESTION}")
    tab.button("Send").click()
    tab.is_at("done")
    expect(tab.answer().locator(".cite")).to_have_count(3)
    return tab


@scene("The library before there is anything in it.")
def library_empty(stage: Stage) -> Tab:
    tab = stage.open("/library")
    expect(tab.page.get_by_role("heading", name="No shelves yet")).to_be_visible()
    return tab


@scene("The shelves; one of them is being read.", WIDE, LIGHT, DARK)
def library(stage: Stage) -> Tab:
    tab = cooking(stage)
    tab.page.get_by_role("link", name="\u2190 Library").click()
    stage.model.embed_gate = Gate()
    make_shelf(tab, "garden")
    path = stage.folder / "garden"
    path.mkdir()
    for n in range(40):
        (path / f"bed {n}.md").write_text(f"# Bed {n}\n\nBed {n} has {n + 3} rows of leeks. ", encoding="utf-8")
    tab.button("Add a folder of this machine").click()
    tab.page.get_by_label("Path on the machine of the chat server").fill(str(path))
    tab.button("Add it").click()
    stage.model.embed_gate.wait_until_reached()
    tab.page.get_by_role("link", name="\u2190 Library").click()
    expect(tab.find(".shelves progress")).to_be_visible()
    return tab


@scene("A shelf: its sources, a search with scores and the line below which nothing is answered.", TALL, LIGHT, DARK)
def shelf(stage: Stage) -> Tab:
    tab = cooking(stage)
    search(tab)
    return tab


@scene("A document, opened at a passage.")
def document(stage: Stage) -> Tab:
    tab = cooking(stage)
    search(tab)
    tab.find(".passages a").first.click()
    expect(tab.find("#library mark")).to_be_in_viewport()
    return tab


@scene("A # in a message lists shelves, documents and files.")
def mentions(stage: Stage) -> Tab:
    tab = cooking(stage)
    tab.page.goto("/")
    tab.input.press_sequentially(f"{QUESTION} #")
    expect(tab.find("#mentions li").first).to_be_visible()
    return tab


@scene("An answer from the library: a footnote shows its passage.", WIDE, LIGHT, DARK)
def grounded(stage: Stage) -> Tab:
    tab = answered(stage)
    mark = tab.answer().locator(".cite").first
    mark.hover()
    box = mark.bounding_box()
    assert box
    stage.mouse = (int(box["x"] + 4), int(box["y"] + 4))
    expect(tab.find("#cite-card")).to_be_visible()
    return tab


@scene("Smaller questions on the way to an answer; one of them is not in the documents.")
def grounded_steps(stage: Stage) -> Tab:
    tab = cooking(stage)
    tab.page.goto("/")
    tab.button("Options").click()
    tab.page.get_by_role("group", name="Library").get_by_label("cooking").check()
    tab.page.get_by_label("Depth", exact=True).select_option("break_down")
    tab.page.keyboard.press("Escape")
    stage.model.by_words = {"Split this": [PARTS, Finish()], "Of eggs and zeppelins": ended(ANSWER)}
    stage.model.scripts = [["Four minutes in water that boils already [1].", Finish()]]
    tab.say("Of eggs and zeppelins: what do my notes say?")
    tab.is_at("done")
    tab.find(".steps summary").click()
    return tab


@scene("A question that the documents do not answer.", WIDE, LIGHT, DARK)
def refused(stage: Stage) -> Tab:
    tab = cooking(stage)
    tab.page.goto("/")
    tab.say(f"#cooking {OTHER}")
    tab.is_at("done")
    expect(tab.find(".grounds .next")).to_be_visible()
    return tab


@scene("The choice of shelves for a chat.")
def shelf_choice(stage: Stage) -> Tab:
    tab = cooking(stage)
    tab.page.goto("/")
    tab.button("Options").click()
    tab.page.get_by_role("group", name="Library").get_by_label("cooking").check()
    tab.page.get_by_role("group", name="Library").scroll_into_view_if_needed()
    return tab


@scene("A shelf on a phone.", PHONE)
def library_phone(stage: Stage) -> Tab:
    return cooking(stage)


@scene("An answer from the library on a phone.", PHONE)
def grounded_phone(stage: Stage) -> Tab:
    tab = answered(stage)
    tab.answer().locator(".cite").nth(1).tap()
    expect(tab.find("#cite-card")).to_contain_text("Not confirmed")
    return tab
