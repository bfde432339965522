"""Nothing that anybody else wrote becomes code: not when it comes in pieces, and nowhere that it is shown."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.chat.page import Tab, Tabs
from tests.chat.site import recorded
from tests.fakes import FakeServer, Finish, Gate, Reason, Refuse
from tests.processes import Process, chatbot, running

pytestmark = pytest.mark.browser

IMAGE = "<img src=x onerror=window.ran=1>"
SCRIPT = '"><script>window.ran=2</script>'
LINK = "[x](javascript:window.ran=3) ![y](http://evil.example/y.png) <b onmouseover=window.ran=4>z</b>"
ATTACK = f"{IMAGE}{SCRIPT} {LINK}"
# In an answer: one of each kind, short, because each is tried in two pieces at every position.
KINDS = [
    IMAGE,
    "<script>window.ran=1</script>",
    "<svg onload=window.ran=1>",
    "[a](javascript:window.ran=1)",
    "![a](http://evil.example/a.png)",
    "<a href=javascript:window.ran=1>a</a>",
    "<iframe srcdoc='<script>parent.ran=1</script>'>",
    '<http://e.x/"onmouseover=window.ran=1>',
    '```x"onload=window.ran=1\n<img src=x onerror=window.ran=1>\n```\n',
    "$\\href{javascript:window.ran=1}{a}$ ",
    "| <img src=x onerror=window.ran=1> |\n|---|\n| <script>window.ran=1</script> |\n",
    "<!--<img src=x onerror=window.ran=1>-->",
]
WATCH = """
window.refused = [];
addEventListener("securitypolicyviolation", ({ violatedDirective, blockedURI }) =>
    refused.push(`${violatedDirective} ${blockedURI}`));
"""


def watched(tab: Tab) -> Tab:
    """Load the page again, with an ear for what the content policy had to refuse."""
    tab.context.add_init_script(WATCH)
    tab.page.reload()
    expect(tab.find("#gauge")).to_be_visible()
    return tab


def assert_nothing_ran(tab: Tab, where: str) -> None:
    """Neither a script nor a request, nor the policy as the last guard: what was shown was text all along."""
    live = "img[src^=http], img[src=x], main script, aside script, iframe, [onerror], [onload], [onmouseover]"
    assert tab.find(live).count() == 0, where
    addresses = tab.find("a[href]").evaluate_all("all => all.map((a) => a.protocol)")
    assert "javascript:" not in addresses, where
    assert tab.page.evaluate("[window.ran ?? null, window.refused]") == [None, []], where
    assert tab.hosts == {"127.0.0.1"}, where
    assert tab.errors == [], where


@pytest.mark.parametrize("at_once", [False, True], ids=["letter by letter", "in two pieces"])
def test_attack_that_comes_in_pieces_is_harmless_at_every_place_where_it_can_be_cut(
    model: FakeServer, chat: Process, tabs: Tabs, at_once: bool
) -> None:
    """Each piece is drawn before the next one comes: a frame lasts no time here."""
    tab = tabs.open(chat)
    tab.context.add_init_script("window.requestAnimationFrame = (draw) => { setTimeout(draw, 0); return 1; };")
    watched(tab)
    for kind in KINDS if at_once else ["\n\n".join(KINDS)]:
        cut = [[kind[:at], kind[at:] + "\n\n"] for at in range(1, len(kind))] if at_once else [list(kind)]
        model.scripts = [[*(piece for pieces in cut for piece in pieces), " the end", Finish()]]
        tab.page.get_by_role("link", name="New chat").click()
        tab.say("attack")
        tab.is_at("done")
        expect(tab.answer()).to_contain_text("the end")
        for link in tab.answer().locator(".body a, .body b").all()[:3]:
            link.hover()
        assert_nothing_ran(tab, kind)


def test_links_of_an_answer_open_elsewhere_without_a_way_back(model: FakeServer, chat: Process, tabs: Tabs) -> None:
    text = "[a](https://example.org/a) <https://example.org/b> https://example.org/c [d](mailto:x@example.org) [e](#e)"
    model.scripts = [[Reason(text), text, Finish()]]
    tab = tabs.open(chat)
    tab.say("links")
    tab.is_at("done")
    tab.answer().locator("summary").click()
    links = tab.answer().locator("a[href]")
    expect(links).to_have_count(10)
    told = links.evaluate_all("all => all.map((a) => [a.target, a.rel])")
    assert told == [["_blank", "noopener noreferrer"]] * 10
    assert tab.hosts == {"127.0.0.1"}


def test_pictures_of_elsewhere_are_not_loaded_by_themselves(model: FakeServer, chat: Process, tabs: Tabs) -> None:
    hold = Gate()
    text = "![one](http://evil.example/1.png) [![two](//evil.example/2.png)](http://evil.example/) ![three][ref]\n\n"
    model.scripts = [[text, hold, "[ref]: https://evil.example/3.png\n\n", Reason(text), "the end", Finish()]]
    tab = watched(tabs.open(chat))
    tab.say("pictures")
    expect(tab.answer().locator(".body")).not_to_be_empty()
    hold.open()
    tab.is_at("done")
    expect(tab.answer()).to_contain_text("the end")
    assert_nothing_ran(tab, "pictures")
    link = tab.answer().locator(".body a", has_text="Picture: one").first
    expect(link).to_have_attribute("href", "http://evil.example/1.png")
    expect(link).to_have_attribute("rel", "noopener noreferrer")


PAGE = f"""<html><title>{ATTACK.replace("<", "&lt;")}</title><body><h1>{ATTACK}</h1><p>A heron {ATTACK}</p>
<p>{ATTACK.replace("<", "&lt;")}</p><a href="javascript:window.ran=5">z</a></body></html>"""


@pytest.fixture
def hostile(model: FakeServer, tmp_path: Path) -> Iterator[Process]:
    """A chat server whose chats, presets and prompts are to bear hostile names."""
    with running(chatbot(model.url, tmp_path, "--allowed_fetch_hosts", "127.0.0.1")) as process:
        yield process


def test_hostile_words_are_text_wherever_the_page_shows_them(model: FakeServer, hostile: Process, tabs: Tabs) -> None:
    model.scripts = [[Reason(ATTACK), f"heron {ATTACK}", Finish()], [Refuse(400, "bad", ATTACK)]]
    model.plan = {"models": [{"name": "fake-model", "summary": ATTACK}]}
    tab = watched(tabs.open(hostile))
    tab.find("#picker").set_input_files([{"name": f"{IMAGE}.txt", "mimeType": "text/plain", "buffer": ATTACK.encode()}])
    expect(tab.find(".chip .name")).to_contain_text("onerror")
    with recorded({"/page": PAGE.encode()}) as site:
        tab.say(f"/url {site}/page")
        expect(tab.find(".chip .name").last).to_contain_text("onerror")
    assert_nothing_ran(tab, "chips of a file and of a page")
    tab.say(f"heron {ATTACK}")
    tab.is_at("done")
    expect(tab.find(".files .name").first).to_contain_text("onerror")
    expect(tab.find(".files a.name")).to_have_attribute("rel", "noopener noreferrer")
    tab.answer().locator("summary").click()
    expect(tab.answer().locator(".thoughts")).to_contain_text("onerror")
    assert_nothing_ran(tab, "title, message, file, thoughts and answer")
    name_everything(tab.page)
    assert_nothing_ran(tab, "tag, preset and prompt")
    look_everywhere(tab)
    tab.button("Answer again").click()
    tab.is_at("error")
    expect(tab.answer().locator(".problem")).to_contain_text("onerror")
    assert_nothing_ran(tab, "an error of the model server")
    tab.page.reload()
    expect(tab.answer().locator(".problem")).to_contain_text("onerror")
    expect(tab.find("#chats a").first).to_contain_text("<img")
    assert_nothing_ran(tab, "all of it after a reload")


def name_everything(page: Page) -> None:
    """Give the chat a tag, and save a preset and a prompt, of hostile words."""
    page.get_by_role("button", name=re.compile("^Actions for")).first.focus()
    page.keyboard.press("Enter")
    page.get_by_role("menuitem", name="Add tags").click()
    page.get_by_label("Tags, with commas between them").fill(IMAGE)
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.locator("#chats .tags:visible")).to_contain_text("onerror")
    page.locator("#options").click()
    for what in ("preset", "prompt"):
        page.get_by_label(f"Name of a new {what}").fill(IMAGE)
        if what == "prompt":
            page.get_by_label("Text of a new prompt").fill(ATTACK)
        page.get_by_role("button", name=f"Save {what}").click()
        expect(page.get_by_role("button", name=f"Delete {what} {IMAGE}")).to_be_visible()
    page.keyboard.press("Escape")


def look_everywhere(tab: Tab) -> None:
    """Search, list the prompts, open what the model sees and what is told of it."""
    tab.find("#search").fill("heron")
    expect(tab.page.get_by_role("option").first).to_contain_text("<img")
    assert_nothing_ran(tab, "what the search finds")
    tab.find("#search").fill("")
    tab.input.press_sequentially("/<im")
    tab.input.fill("")
    tab.find("#gauge").click()
    for part in tab.find(".part summary").all():
        part.click()
    expect(tab.find(".part pre").last).to_contain_text("onerror")
    assert_nothing_ran(tab, "what the model sees")
    tab.page.keyboard.press("Escape")
    tab.button("fake-model").click()
    expect(tab.find("#about")).to_contain_text("onerror")
    assert_nothing_ran(tab, "what is told of the model")
    tab.page.keyboard.press("Escape")
