"""A library for tests of the page: documents whose parts are found by their words, dropped or kept in a folder."""

from __future__ import annotations

import base64
from pathlib import Path

from playwright.sync_api import Locator, expect

from tests.chat.page import Tab, Tabs
from tests.processes import Process

PARTS = {
    "Keeping": "Eggs keep for three weeks in a cool place. A fresh egg sinks in water and an old one floats. ",
    "Boiling": "A soft egg takes four minutes in boiling water and a hard egg takes nine minutes. ",
    "Frying": "Fry an egg in butter over low heat for three minutes. A lid sets the white on top. ",
    "Baking": "A meringue bakes for ninety minutes in an oven that is hardly warm, and cools with the door ajar. ",
}
READ_MS = 60_000
HENS = "Hens scratch in the yard, sit on their perches at dusk and moult when the days grow short. 🐔 "
EGGS = "\n\n".join(
    ("# Eggs", HENS * 40, *(f"## {name}\n\n{text}" for name, text in PARTS.items()), "## Hens", HENS * 40)
)
BREAD = (
    "# Bread\n\nKnead 500 g of flour with 330 g of water, 10 g of salt and 5 g of yeast for ten minutes. "
    "Bake the loaf at 240 degrees with steam.\n"
)
SOUP = "Soak dried peas over night. Boil them for ninety minutes with an onion and a bone. Salt comes last.\n"
QUESTION = "How many minutes does a soft egg take in boiling water?"
UNKNOWN = "Which zeppelin crossed Patagonia?"
# A page can drop files only by itself: the browser makes the event as for a person's drag.
_DROP = """async (target, files) => {
    const dropped = new DataTransfer();
    const bytes = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
    for (const [name, text] of files) dropped.items.add(new File([bytes(text)], name));
    for (const kind of ["dragover", "drop"]) {
        target.dispatchEvent(new DragEvent(kind, { dataTransfer: dropped, bubbles: true, cancelable: true }));
    }
}"""


def folder(path: Path, **more: str) -> Path:
    """A folder of three documents that can be read, and one that cannot."""
    path.mkdir(parents=True)
    for name, text in {"eggs.md": EGGS, "bread.md": BREAD, "pea soup.txt": SOUP, **more}.items():
        (path / name).write_text(text, encoding="utf-8")
    (path / "scan.pdf").write_bytes(b"%PDF-1.4 and no more")
    return path


def drop(target: Locator, files: dict[str, str]) -> None:
    """Drop files on something."""
    target.evaluate(_DROP, [[name, base64.b64encode(text.encode()).decode()] for name, text in files.items()])


def heading(tab: Tab, name: str) -> Locator:
    return tab.find("#library").get_by_role("heading", name=name, exact=True)


def make_shelf(tab: Tab, name: str) -> None:
    """On the list of shelves: make one, and wait until its page is there."""
    tab.find("#library").get_by_role("button", name="New shelf").or_(tab.button("Make the first shelf")).first.click()
    box = tab.page.get_by_role("dialog", name="New shelf")
    box.get_by_label("Name", exact=True).fill(name)
    box.get_by_role("button", name="Make it").click()
    expect(heading(tab, name)).to_be_visible()


def add_folder(tab: Tab, path: Path) -> None:
    """On the page of a shelf: add a folder, and wait until it is read."""
    tab.button("Add a folder of this machine").click()
    box = tab.page.get_by_role("dialog", name="Add a folder")
    box.get_by_label("Path on the machine of the chat server").fill(str(path))
    box.get_by_role("button", name="Add it").click()
    expect(tab.find(".sources-of li")).to_have_attribute("data-state", "ok", timeout=READ_MS)


def filled_shelf(tabs: Tabs, chat: Process, name: str, path: Path) -> Tab:
    """The page of a new shelf with the folder's three documents."""
    tab = tabs.open(chat, "/library")
    make_shelf(tab, name)
    add_folder(tab, folder(path))
    return tab


def titles(tab: Tab) -> Locator:
    return tab.find(".documents .words > a")


def search(tab: Tab, text: str) -> None:
    """Try a search, and wait until it has an answer."""
    tab.page.get_by_label("Try a search").fill(text)
    tab.find(".trial").get_by_role("button", name="Search").click()
    expect(tab.find(".trial .facts").first).to_contain_text("ms")
