"""Pictures on the page: pasted, dropped, chosen, made smaller, seen before and after they are sent, and larger."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.chat import axe, samples
from tests.chat.page import Tab, Tabs
from tests.fakes import FakeServer, Finish
from tests.processes import Process, chatbot, running

pytestmark = pytest.mark.browser

PNG = samples.png(32, 24)
HERON = {"name": "heron.png", "mimeType": "image/png", "buffer": PNG}
# A picture of noise with a red left half and a blue right one, as a camera would store it.
PHOTO = """async ([width, height]) => {
    const canvas = Object.assign(document.createElement("canvas"), { width, height });
    const brush = canvas.getContext("2d");
    const image = brush.createImageData(width, height);
    let n = 1;
    for (let at = 0; at < image.data.length; at += 4) {
        n = (n * 1103515245 + 12345) & 0x7fffffff;
        const isLeft = (at / 4) % width < width / 2;
        image.data[at + (isLeft ? 0 : 2)] = 255 - (n >> 26);
        image.data[at + 1] = n >> 25;
        image.data[at + 3] = 255;
    }
    brush.putImageData(image, 0, 0);
    return canvas.toDataURL("image/jpeg", 1);
}"""
# How a picture looks: its size, and whether its first and its last corner are red.
LOOK = """async (source) => {
    const image = new Image();
    image.src = source;
    await image.decode();
    const canvas = Object.assign(document.createElement("canvas"), { width: image.width, height: image.height });
    const brush = canvas.getContext("2d");
    brush.drawImage(image, 0, 0);
    const isRed = (x, y) => { const [r, , b] = brush.getImageData(x, y, 1, 1).data; return r > b; };
    return [image.width, image.height, isRed(5, 5), isRed(image.width - 5, image.height - 5)];
}"""
PASTE = """(input, [data, type, words, rich]) => {
    const bytes = Uint8Array.from(atob(data), (c) => c.charCodeAt(0));
    const board = new DataTransfer();
    board.items.add(new File([bytes], "image.png", { type }));
    if (words) board.setData("text/plain", words);
    if (rich) board.setData("text/rtf", rich);
    return input.dispatchEvent(new ClipboardEvent("paste", { clipboardData: board, bubbles: true, cancelable: true }));
}"""
DROP = """([data, name]) => {
    const bytes = Uint8Array.from(atob(data), (c) => c.charCodeAt(0));
    const board = new DataTransfer();
    board.items.add(new File([bytes], name, { type: "image/png" }));
    const main = document.getElementById("main");
    main.dispatchEvent(new DragEvent("drop", { dataTransfer: board, bubbles: true, cancelable: true }));
}"""


@pytest.fixture(scope="module")
def chat(_shared_model: FakeServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    """A chat server that takes files of at most 1 MB."""
    with running(chatbot(_shared_model.url, tmp_path_factory.mktemp("chat"), "--max_file_mb", "1")) as process:
        yield process


def choose(tab: Tab, *files: dict[str, Any]) -> None:
    tab.find("#picker").set_input_files(list(files))  # type: ignore[arg-type]


def until_ready(tab: Tab, n: int) -> None:
    expect(tab.find(".chip .thumb")).to_have_count(n)


def sent_to(model: FakeServer) -> list[bytes]:
    """The bytes of the pictures in the last message that the model got."""
    parts = model.requests[-1]["messages"][-1]["content"]
    return [base64.b64decode(p["image_url"]["url"].partition(";base64,")[2]) for p in parts if p["type"] == "image_url"]


def is_drawn(tab: Tab, selector: str) -> None:
    """Wait until the browser has drawn the picture there."""
    expect(tab.find(selector)).to_have_js_property("complete", True)
    tab.page.wait_for_function("(s) => document.querySelector(s).naturalWidth > 0", arg=selector)


def test_picture_is_chosen_previewed_sent_alone_shown_after_a_reload_and_larger(
    model: FakeServer, chat: Process, tabs: Tabs
) -> None:
    model.scripts = [["A heron.", Finish()]]
    tab = tabs.open(chat)
    expect(tab.button("Send")).to_be_disabled()
    choose(tab, HERON)
    until_ready(tab, 1)
    is_drawn(tab, ".chip .thumb")
    expect(tab.find(".chip")).to_contain_text("heron.png")
    expect(tab.find(".chip .size")).to_have_text("about 85 tokens")
    assert axe.violations(tab) == []
    tab.page.reload()  # a draft keeps its pictures
    until_ready(tab, 1)
    expect(tab.button("Send")).to_be_enabled()
    tab.input.press("Enter")  # no words are needed
    tab.is_at("done")
    assert sent_to(model) == [PNG]
    expect(tab.find(".chip")).to_have_count(0)
    expect(tab.find(".user")).to_be_hidden()
    expect(tab.find("#title")).to_have_text("heron.png")

    tab.page.reload()
    shown = tab.find(".said").get_by_role("img", name="heron.png")
    expect(shown).to_be_visible()
    is_drawn(tab, ".said img")
    assert axe.violations(tab) == []
    larger = tab.button("heron.png")
    larger.focus()
    tab.page.keyboard.press("Enter")
    box = tab.page.get_by_role("dialog", name="heron.png")
    expect(box.get_by_role("img", name="heron.png")).to_be_visible()
    assert axe.violations(tab) == []
    tab.page.keyboard.press("Escape")
    expect(box).to_have_count(0)
    expect(larger).to_be_focused()
    assert tab.errors == []
    assert tab.hosts == {"127.0.0.1"}


def test_pasted_and_dropped_pictures_go_with_the_words_and_one_can_be_removed(
    model: FakeServer, chat: Process, tabs: Tabs
) -> None:
    model.scripts = [["ok", Finish()]]
    tab = tabs.open(chat)
    first, second = (base64.b64encode(samples.png(30, 20, shade)).decode() for shade in (10, 200))
    assert not tab.input.evaluate(PASTE, [first, "image/png", "", ""])
    until_ready(tab, 1)
    tab.page.evaluate(DROP, [second, "dropped.png"])
    until_ready(tab, 2)
    assert tab.input.evaluate(PASTE, [first, "image/png", "a table", "{\\rtf1}"])  # its words are pasted by the browser
    expect(tab.find(".chip .name")).to_have_text(["image.png", "dropped.png"])
    tab.button("Remove image.png").click()
    until_ready(tab, 1)
    tab.say("what is it?")
    tab.is_at("done")
    assert sent_to(model) == [base64.b64decode(second)]
    assert model.requests[-1]["messages"][-1]["content"][0]["text"] == "what is it?"

    tab.find(".said").get_by_role(
        "button", name="Edit"
    ).click()  # a changed message keeps its picture, and needs no words
    field = tab.page.get_by_label("Your message")
    field.fill("")
    field.press("Enter")
    expect(tab.find(".versions .place")).to_be_visible()
    tab.is_at("done")
    expect(tab.find(".said").get_by_role("img", name="dropped.png")).to_be_visible()
    assert sent_to(model) == [base64.b64decode(second)]

    tab.say("/undo")  # what is taken back can be sent again
    until_ready(tab, 1)
    expect(tab.find(".message")).to_have_count(0)
    tab.input.press("Enter")
    tab.is_at("done")
    assert sent_to(model) == [base64.b64decode(second)]
    assert tab.errors == []


def test_large_photo_is_made_smaller_and_turned_upright_before_it_is_sent(
    model: FakeServer, chat: Process, tabs: Tabs
) -> None:
    model.scripts = [["ok", Finish()]]
    tab = tabs.open(chat)
    plain = base64.b64decode(tab.page.evaluate(PHOTO, [2400, 1600]).partition(",")[2])
    assert len(plain) > 1_000_000  # more than the server takes
    choose(tab, {"name": "IMG_1.jpg", "mimeType": "image/jpeg", "buffer": plain[:2] + samples.turned(6) + plain[2:]})
    until_ready(tab, 1)
    expect(tab.problem).to_be_hidden()
    tab.say("what is it?")
    tab.is_at("done")
    [got] = sent_to(model)
    assert got.startswith(b"\xff\xd8\xff")
    source = f"data:image/jpeg;base64,{base64.b64encode(got).decode()}"
    assert tab.page.evaluate(LOOK, source) == [1024, 1536, True, False]

    small = base64.b64decode(tab.page.evaluate(PHOTO, [60, 40]).partition(",")[2])
    choose(tab, {"name": "b.jpg", "mimeType": "image/jpeg", "buffer": small[:2] + samples.turned(3) + small[2:]})
    choose(tab, {"name": "c.jpg", "mimeType": "image/jpeg", "buffer": small[:2] + samples.turned(1) + small[2:]})
    until_ready(tab, 2)
    tab.say("and these?")
    tab.is_at("done", 1)
    turned, untouched = sent_to(model)
    assert b"Exif" not in turned  # else whoever draws it would turn it again
    source = f"data:image/jpeg;base64,{base64.b64encode(turned).decode()}"
    assert tab.page.evaluate(LOOK, source) == [60, 40, False, True]
    assert untouched == small[:2] + samples.turned(1) + small[2:]
    assert tab.errors == []


def test_picture_that_cannot_be_taken_is_said_and_a_drawing_is_read_as_text(
    model: FakeServer, chat: Process, tabs: Tabs
) -> None:
    model.scripts = [["ok", Finish()]]
    tab = tabs.open(chat)
    choose(tab, {"name": "torn.png", "mimeType": "image/png", "buffer": PNG[:20]})
    expect(tab.problem).to_contain_text("torn.png is a picture whose size cannot be read")
    expect(tab.find(".chip")).to_have_count(0)
    choose(tab, {"name": "plan.svg", "mimeType": "image/svg+xml", "buffer": b"<svg><script>alert(1)</script></svg>"})
    expect(tab.find(".chip .size")).to_contain_text("token")
    until_ready(tab, 0)
    sizes = {"long.txt": b"word " * 2500, "more.txt": b"word " * 500}  # together more than the model holds
    choose(tab, *({"name": name, "mimeType": "text/plain", "buffer": text} for name, text in sizes.items()))
    expect(tab.find(".chip .name")).to_have_text(["plan.svg", "long.txt", "more.txt"])
    expect(tab.find(".chip").nth(2)).to_contain_text("in parts")
    for name in sizes:
        tab.button(f"Remove {name}").click()
    tab.say("what does it say?")
    tab.is_at("done")
    assert "<script>alert(1)</script>" in model.requests[-1]["messages"][-1]["content"]
    expect(tab.find(".files .name")).to_have_text(["plan.svg"])


def test_model_that_cannot_see_is_told_before_sending_and_the_message_is_kept(
    model: FakeServer, chat: Process, tabs: Tabs
) -> None:
    model.capabilities, model.scripts = ["chat"], [["ok", Finish()]]
    tab = tabs.open(chat)
    choose(tab, HERON)
    until_ready(tab, 1)
    tab.say("what is it?")
    expect(tab.problem).to_contain_text("The model fake-model cannot see pictures")
    expect(tab.input).to_have_value("what is it?")
    until_ready(tab, 1)
    expect(tab.find(".message")).to_have_count(0)
    assert model.requests == []
    model.capabilities = ["chat", "vision"]
    tab.input.press("Enter")
    tab.is_at("done")
    assert sent_to(model) == [PNG]


def test_drawer_names_the_picture_and_says_that_its_tokens_are_an_estimate(
    model: FakeServer, chat: Process, tabs: Tabs
) -> None:
    tab = tabs.open(chat)
    choose(tab, HERON)
    until_ready(tab, 1)
    tab.input.fill("what is it?")
    tab.find("#gauge").click()
    part = tab.find(".part").filter(has_text="heron.png")
    expect(part.locator(".size")).to_have_text("about 85 tokens")
    expect(tab.find(".part").filter(has_text="what is it?").locator(".size")).to_have_text("13 tokens")  # counted
    part.locator("summary").click()
    expect(part.locator("pre")).to_contain_text("32 by 24 pixels")
