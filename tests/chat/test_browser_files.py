"""Files and pages as parts of a message: chosen, dropped, pasted, fetched by #address."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Route, expect

from tests.chat.axe import violations
from tests.chat.held import Held
from tests.chat.page import Tab, Tabs
from tests.chat.site import recorded
from tests.fakes import FakeServer, Finish
from tests.processes import Process, chatbot, running, until

pytestmark = pytest.mark.browser

NOTES = {"name": "the notes.md", "mimeType": "text/markdown", "buffer": b"# Notes\n\nThe code word is heron.\n"}


def attach(tab: Tab, *files: dict[str, object]) -> None:
    tab.find("#picker").set_input_files(list(files))  # type: ignore[arg-type]


def test_file_is_shown_with_its_cost_sent_with_the_message_and_shown_there(
    model: FakeServer, chat: Process, tabs: Tabs
) -> None:
    model.scripts = [["heron", Finish()]]
    tab = tabs.open(chat)
    with tab.page.expect_file_chooser():
        tab.button("Attach files").click()
    attach(tab, NOTES)
    chip = tab.find(".chip")
    expect(chip).to_contain_text("the notes.md")
    expect(chip.locator(".size")).to_contain_text("tokens")
    tab.page.reload()  # a draft keeps its files
    expect(chip).to_contain_text("the notes.md")
    tab.say("what is the code word?")
    tab.is_at("done")
    expect(chip).to_have_count(0)
    expect(tab.find(".user")).to_have_text("what is the code word?")
    expect(tab.find(".files li")).to_contain_text("the notes.md")
    assert "The code word is heron." in model.requests[-1]["messages"][-1]["content"]
    tab.page.reload()
    expect(tab.find(".files li")).to_contain_text("the notes.md")
    expect(chip).to_have_count(0)

    tab.find(".said").get_by_role("button", name="Edit").click()  # a changed message keeps its files
    tab.page.get_by_label("Your message").fill("and backwards?")
    tab.page.get_by_label("Your message").press("Enter")
    tab.is_at("done")
    expect(tab.find(".user")).to_have_text("and backwards?")
    expect(tab.find(".files li")).to_contain_text("the notes.md")
    assert "The code word is heron." in model.requests[-1]["messages"][-1]["content"]
    assert tab.errors == []


LONG = "".join(f"Moss {n} was a grey mare, born in the spring of {1700 + n}. " for n in range(1, 1500))


def test_message_says_which_file_was_sent_whole_and_which_was_looked_into(
    library_model: FakeServer, library_chat: Process, tabs: Tabs
) -> None:
    library_model.scripts = [["It was grey [1].", Finish()]]
    tab = tabs.open(library_chat)
    attach(tab, NOTES, {"name": "stud book.txt", "mimeType": "text/plain", "buffer": LONG.encode()})
    expect(tab.find(".chip .size").last).to_have_text("read in parts")
    tab.say("Of which colour was the mare Moss 77, born in 1777?")
    tab.is_at("done")
    expect(tab.find(".steps")).to_have_text(re.compile("^Looked in stud book.txt · "))
    sizes = tab.find(".files .size")
    expect(sizes).to_have_text(["32 characters · sent whole", re.compile("characters · read in parts$")])
    tab.page.reload()
    expect(sizes).to_have_text(["32 characters · sent whole", re.compile("characters · read in parts$")])
    expect(tab.find(".steps")).to_have_text(re.compile("^Looked in stud book.txt · "))
    assert tab.errors == []


def test_file_can_be_removed_before_it_is_sent(model: FakeServer, chat: Process, tabs: Tabs) -> None:
    model.scripts = [["ok", Finish()]]
    tab = tabs.open(chat)
    held = Held(tab)
    attach(tab, NOTES, {**NOTES, "name": "second.md"})
    expect(tab.find(".chip")).to_have_count(2)
    expect(tab.find(".chip .size").filter(has_text="tokens")).to_have_count(2)
    held.hold("unfile")
    tab.button("Remove the notes.md").click()
    held.until_asked()  # the server keeps it for nobody
    held.release()
    expect(tab.find(".chip .name")).to_have_text(["second.md"])
    expect(tab.button("Remove second.md")).to_be_focused()
    tab.say("go")
    tab.is_at("done")
    expect(tab.find(".files .name")).to_have_text(["second.md"])


def test_long_paste_becomes_a_file_and_a_short_one_stays_text(model: FakeServer, chat: Process, tabs: Tabs) -> None:
    tab = tabs.open(chat)
    paste = """(input, text) => {
        const data = new DataTransfer();
        data.setData("text/plain", text);
        const event = new ClipboardEvent("paste", { clipboardData: data, bubbles: true, cancelable: true });
        return input.dispatchEvent(event);
    }"""
    assert tab.input.evaluate(paste, "x" * 4_000)  # left to the browser
    assert not tab.input.evaluate(paste, "word " * 801)
    expect(tab.find(".chip .name")).to_have_text("Pasted text.txt")
    expect(tab.find(".chip .size")).to_have_attribute("title", "4,005 characters")


def test_dropped_file_is_attached_and_a_bad_one_is_refused_in_words(
    model: FakeServer, chat: Process, tabs: Tabs
) -> None:
    tab = tabs.open(chat)
    drop = """([name, text]) => {
        const data = new DataTransfer();
        data.items.add(new File([text], name));
        const main = document.getElementById("main");
        main.dispatchEvent(new DragEvent("dragover", { dataTransfer: data, bubbles: true, cancelable: true }));
        const isShown = main.classList.contains("dropping");
        main.dispatchEvent(new DragEvent("drop", { dataTransfer: data, bubbles: true, cancelable: true }));
        return isShown && !main.classList.contains("dropping");
    }"""
    assert tab.page.evaluate(drop, ["plan.txt", "step one"])
    expect(tab.find(".chip .name")).to_have_text("plan.txt")
    tab.page.evaluate(drop, ["photo.zip", "\x00\x01\x02binary"])
    expect(tab.problem).to_be_visible()
    expect(tab.find(".chip .name")).to_have_text("plan.txt")
    assert tab.page.evaluate("location.pathname") == "/"


def test_the_name_of_a_file_stays_as_it_is_in_what_is_said_of_it(model: FakeServer, tabs: Tabs, tmp_path: Path) -> None:
    with running(chatbot(model.url, tmp_path, "--max_file_mb", "1")) as chat:
        tab = tabs.open(chat)
        chosen = {"name": "stud book.pdf", "mimeType": "application/pdf", "buffer": b"%PDF-1.4 no more"}
        tab.find("#picker").set_input_files(chosen)
        expect(tab.problem).to_contain_text("The file stud book.pdf ")
        tab.find("#picker").set_input_files({**chosen, "buffer": b"x" * 1_500_000})
        expect(tab.problem).to_have_text("The file stud book.pdf has 1.5 MB, at most 1 MB are allowed.")


PAGE = b"<html><title>Herons</title><body><h1>Herons</h1><p>They wade slowly.</p></body></html>"
FEED = b"<rss version='2.0'><channel><title>T</title><item><title>Heron seen</title></item></channel></rss>"


@pytest.fixture
def site() -> Iterator[str]:
    """The address of a page of the web."""
    with recorded({"/herons": PAGE, "/feed": FEED}) as address:
        yield f"{address}/herons"


def test_address_behind_a_hash_is_read_and_sent_with_the_message(
    model: FakeServer, tabs: Tabs, site: str, tmp_path: Path
) -> None:
    model.scripts = [["slowly", Finish()]]
    host = site.removeprefix("http://").partition("/")[0]
    with running(chatbot(model.url, tmp_path, "--allowed_fetch_hosts", host.partition(":")[0])) as chat:
        tab = tabs.open(chat)
        tab.say(f"#{site} how do they wade?")
        tab.is_at("done")
        expect(tab.find(".user")).to_have_text("how do they wade?")
        expect(tab.find(".files a")).to_have_attribute("href", site)
        assert "They wade slowly." in model.requests[-1]["messages"][-1]["content"]
        assert tab.hosts == {"127.0.0.1"}


def test_address_that_may_not_be_read_holds_the_message_back_until_it_is_removed(
    model: FakeServer, chat: Process, tabs: Tabs, site: str
) -> None:
    model.scripts = [["ok", Finish()]]
    tab = tabs.open(chat)
    chip = tab.find(".chip")
    tab.input.fill(f"read #{site} now")
    expect(tab.problem).to_be_visible()
    expect(chip).to_contain_text("not read")
    expect(tab.input).to_have_value("read now")
    tab.input.press("Enter")
    expect(tab.problem).to_contain_text("Try again or remove the page, then send.")
    for scheme in ("dark", "light"):
        tab.page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        assert violations(tab) == []
    tab.page.reload()  # a draft keeps its pages
    expect(chip.locator(".name")).to_have_text(site)
    expect(chip).to_contain_text("not read")
    tab.input.press("Enter")
    expect(tab.problem).to_have_text("This page has not been read yet. Try again or remove the page, then send.")
    tab.button(f"Try again to read {site}").click()
    expect(tab.problem).not_to_contain_text("then send")
    expect(chip).to_contain_text("not read")
    assert model.requests == []
    tab.button(f"Remove {site}").click()
    expect(tab.problem).to_be_hidden()
    tab.input.press("Enter")
    tab.is_at("done")
    expect(tab.find(".user")).to_have_text("read now")
    assert tab.errors == []


def test_page_that_comes_at_the_second_try_is_sent_with_the_message(
    model: FakeServer, tabs: Tabs, tmp_path: Path
) -> None:
    model.scripts = [["slowly", Finish()]]
    pages: dict[str, bytes] = {}
    with (
        recorded(pages) as site,
        running(chatbot(model.url, tmp_path, "--allowed_fetch_hosts", "127.0.0.1")) as chat,
    ):
        tab = tabs.open(chat)
        tab.say(f"how do they wade? #{site}/herons")
        expect(tab.problem).to_contain_text("404")
        expect(tab.input).to_have_value("how do they wade?")
        pages["/herons"] = PAGE
        tab.button(f"Try again to read {site}/herons").click()
        expect(tab.find(".chip .name")).to_have_text("Herons")
        expect(tab.problem).to_be_hidden()
        tab.input.press("Enter")
        tab.is_at("done")
        assert "They wade slowly." in model.requests[-1]["messages"][-1]["content"]


def test_address_leaves_the_words_around_it_and_the_caret_as_they_are(
    model: FakeServer, chat: Process, tabs: Tabs
) -> None:
    tab = tabs.open(chat)
    tab.input.press_sequentially("read #https://x.invalid/one and tell")
    expect(tab.input).to_have_value("read and tell")
    tab.input.fill("alpha omega\nend")
    tab.input.evaluate("(input) => input.setSelectionRange(6, 6)")
    tab.input.press_sequentially("#https://y.invalid/two zz ")
    expect(tab.input).to_have_value("alpha zz omega\nend")
    tab.input.evaluate("(input) => input.setSelectionRange(5, 5)")
    tab.input.press_sequentially(" #https://z.invalid")  # before a space: not whole until another follows it
    expect(tab.input).to_have_value("alpha #https://z.invalid zz omega\nend")
    tab.input.press("End")
    tab.input.press_sequentially(" #https://w.invalid and")
    expect(tab.find(".chip .name")).to_have_text(
        ["https://x.invalid/one", "https://y.invalid/two", "https://z.invalid", "https://w.invalid"]
    )
    assert model.requests == []


def test_what_was_wrong_with_one_file_is_not_said_beside_the_next(model: FakeServer, chat: Process, tabs: Tabs) -> None:
    tab = tabs.open(chat)
    attach(tab, {"name": "bad.pdf", "mimeType": "application/pdf", "buffer": b"%PDF-1.4 damaged"})
    expect(tab.problem).to_contain_text("bad.pdf")
    attach(tab, {"name": "good.txt", "mimeType": "text/plain", "buffer": b"one"})
    expect(tab.find(".chip .name")).to_have_text("good.txt")
    expect(tab.find(".chip .size")).to_have_text(re.compile("1 token$"))
    expect(tab.problem).to_be_hidden()


def test_headlines_come_as_a_file_and_a_command_that_fails_can_be_tried_again(
    model: FakeServer, tabs: Tabs, site: str, tmp_path: Path
) -> None:
    model.scripts = [["a heron", Finish()]]
    sources = ("--news_url", site.replace("/herons", "/feed"), "--weather_url", site.replace("/herons", "/{place}"))
    with running(chatbot(model.url, tmp_path, "--allowed_fetch_hosts", "127.0.0.1", *sources)) as chat:
        tab = tabs.open(chat)
        tab.say("/news")
        expect(tab.find(".chip")).to_have_count(1)
        expect(tab.find("#note-text")).not_to_have_text("One moment…")
        tab.say("/weather")
        expect(tab.problem).to_be_visible()
        expect(tab.input).to_have_value("/weather")
        expect(tab.find("#commands")).to_be_hidden()
        tab.say("what was seen?")
        tab.is_at("done")
        expect(tab.find(".files li")).to_have_count(1)
        assert "Heron seen" in model.requests[-1]["messages"][-1]["content"]


def test_that_a_file_could_not_be_sent_is_said_until_another_is_attached(
    model: FakeServer, chat: Process, tabs: Tabs
) -> None:
    tab = tabs.open(chat)
    tab.page.route("**/files", lambda route: route.abort())
    attach(tab, NOTES)
    expect(tab.problem).to_contain_text("The file the notes.md could not be sent")
    tab.find("#gauge").click()
    expect(tab.find("dialog")).to_contain_text("Part by part")  # the server has answered something
    tab.page.keyboard.press("Escape")
    expect(tab.problem).to_contain_text("The file the notes.md could not be sent")
    tab.page.unroute("**/files")
    attach(tab, NOTES)
    expect(tab.find(".chip .size")).to_contain_text("token")
    expect(tab.problem).to_be_hidden()


def test_file_that_is_added_while_the_message_waits_for_another_goes_along(
    model: FakeServer, chat: Process, tabs: Tabs
) -> None:
    model.scripts = [["ok", Finish()]]
    tab = tabs.open(chat)
    held: list[Route] = []
    tab.page.route("**/files", lambda route: held.append(route))
    for n, name in enumerate(("one.md", "two.md"), start=1):
        attach(tab, {**NOTES, "name": name})
        expect(tab.find(".chip")).to_have_count(n)
        tab.say("read both")
    for n in range(2):  # one after the other
        until(lambda n=n: tab.page.title() and len(held) > n, "a file")  # Playwright works within its calls
        held[n].continue_()
    tab.is_at("done")
    expect(tab.find(".files .name")).to_have_text(["one.md", "two.md"])
    expect(tab.find(".chip")).to_have_count(0)
    assert tab.errors == []
