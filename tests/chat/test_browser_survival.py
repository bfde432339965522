"""What an answer survives: reload, a second browser, a network that drops, a stop, other chats beside it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import WebSocketRoute, expect

from tests.chat.page import Tabs
from tests.fakes import FakeServer, Finish, Gate, Step
from tests.processes import Process, chatbot, running, until

pytestmark = pytest.mark.browser

CHAT_SERVER_AWAY = re.compile("The chat server does not answer")


def gated(n: int) -> tuple[list[Gate], list[Step]]:
    """A script of n + 1 numbered words with a gate before each but the first."""
    gates = [Gate() for _ in range(n)]
    script: list[Step] = ["w0"]
    for number, gate in enumerate(gates, start=1):
        script += [gate, f" w{number}"]
    return gates, [*script, Finish()]


def words(last: int) -> str:
    return " ".join(f"w{n}" for n in range(last + 1))


def test_reload_in_mid_answer_loses_nothing_and_a_second_browser_sees_the_same_live(
    model: FakeServer, chat: Process, tabs: Tabs
) -> None:
    gates, script = gated(4)
    model.scripts = [script]
    first = tabs.open(chat)
    first.say("go")
    first.reads(words(0))
    gates[0].open()
    first.reads(words(1))
    address = f"/c/{first.chat_id()}"
    first.page.reload()
    first.reads(words(1))

    first.page.goto("about:blank")
    gates[1].open()
    gates[2].wait_until_reached()
    first.page.goto(chat.url + address)
    first.reads(words(2))

    second = tabs.open(chat, address)
    second.reads(words(2))
    gates[2].open()
    for tab in (first, second):
        tab.reads(words(3))
        tab.is_at("streaming")
    gates[3].open()
    for tab in (first, second):
        tab.reads(words(4))
        tab.is_at("done")
        assert tab.errors == []


def test_second_browser_sees_questions_and_new_chats_of_the_first(model: FakeServer, chat: Process, tabs: Tabs) -> None:
    model.scripts = [["one", Finish()], ["two", Finish()]]
    first = tabs.open(chat)
    second = tabs.open(chat)
    first.say("a question of the first browser")
    first.is_at("done")
    second.find("#chats").get_by_text("a question of the first browser").click()
    second.reads("one")
    second.say("and of the second")
    for tab in (first, second):
        expect(tab.find(".user").last).to_have_text("and of the second")
        tab.reads("two")
        expect(tab.find(".message")).to_have_count(4)


def test_dropped_network_in_mid_answer_loses_and_doubles_nothing(model: FakeServer, chat: Process, tabs: Tabs) -> None:
    gates, script = gated(6)
    model.scripts = [script]
    tab = tabs.open(chat)
    tab.say("go")
    tab.reads(words(0))
    tab.context.set_offline(True)
    expect(tab.strip).to_have_text(CHAT_SERVER_AWAY)
    for gate in gates[:4]:
        gate.open()
    gates[4].wait_until_reached()
    tab.reads(words(0))
    tab.context.set_offline(False)
    tab.reads(words(4))
    expect(tab.strip).to_be_hidden()
    tab.is_at("streaming")
    tab.context.set_offline(True)
    expect(tab.strip).to_have_text(CHAT_SERVER_AWAY)
    for gate in gates:
        gate.open()
    chat_id = tab.chat_id()
    watcher = tabs.open(chat, f"/c/{chat_id}")
    watcher.is_at("done")
    tab.context.set_offline(False)
    tab.is_at("done")
    tab.reads(words(6))
    watcher.reads(words(6))


def test_event_that_is_lost_and_event_that_comes_twice_change_nothing(
    model: FakeServer, chat: Process, tabs: Tabs
) -> None:
    gates, script = gated(3)
    model.scripts = [script]
    tab = tabs.open(chat)
    lost: list[str] = []

    def deliver(socket: WebSocketRoute) -> None:
        server = socket.connect_to_server()

        def pass_on(packet: str | bytes) -> None:
            if '" w1"' in str(packet) and str(packet).startswith('42["event"'):
                lost.append(str(packet))
                return
            socket.send(packet)
            if '" w3"' in str(packet):
                socket.send(packet)

        server.on_message(pass_on)

    tab.context.route_web_socket("**/socket.io/**", deliver)
    tab.page.reload()
    tab.say("go")
    tab.reads(words(0))
    gates[0].open()
    until(lambda: tab.page.title() and lost, "the packet with the second word")  # Playwright works within its calls
    tab.reads(words(0))
    gates[1].open()
    tab.reads(words(2))
    gates[2].open()
    tab.is_at("done")
    tab.reads(words(3))


def test_messages_sent_without_a_network_arrive_once_and_in_order(model: FakeServer, chat: Process, tabs: Tabs) -> None:
    model.scripts = [["ok", Finish()]]
    tab = tabs.open(chat)
    expect(tab.find("#model")).to_be_visible()
    tab.context.set_offline(True)
    expect(tab.strip).to_have_text(CHAT_SERVER_AWAY)
    for text in ("first", "second"):
        tab.say(text)
    expect(tab.find(".user")).to_have_text(["first", "second"])
    expect(tab.find("#empty")).to_be_hidden()
    tab.context.set_offline(False)
    expect(tab.find(".answer[data-status=done]")).to_have_count(2)
    expect(tab.find(".message")).to_have_text(
        [re.compile("^first"), re.compile("^ok"), re.compile("^second"), re.compile("^ok")]
    )
    assert [request["messages"][-1]["content"] for request in model.requests] == ["first", "second"]
    tab.page.reload()
    expect(tab.find(".user")).to_have_text(["first", "second"])


def test_stop_keeps_and_marks_the_text_and_the_model_server_sees_the_client_leave(
    model: FakeServer, chat: Process, tabs: Tabs
) -> None:
    model.scripts = [["Kept text", Gate(), " never", Finish()]]
    tab = tabs.open(chat)
    tab.say("go")
    tab.reads("Kept text")
    tab.button("Stop").click()
    tab.is_at("stopped")
    assert model.client_left.wait(5)
    expect(tab.answer()).to_contain_text("Stopped.")
    expect(tab.answer()).not_to_contain_text("Cut off")
    expect(tab.button("Stop")).to_be_hidden()
    model.scripts = [["Another", Finish()]]
    tab.page.reload()
    tab.reads("Kept text")
    expect(tab.answer()).to_contain_text("Stopped.")
    tab.button("Retry").click()
    tab.reads("Another")
    expect(tab.find(".answer")).to_have_count(1)


def test_message_sent_while_an_answer_runs_waits_in_line_and_is_answered(
    model: FakeServer, chat: Process, tabs: Tabs
) -> None:
    hold = Gate()
    model.scripts = [["First", hold, " done", Finish()], ["Second answer", Finish()]]
    tab = tabs.open(chat)
    tab.say("one")
    tab.reads("First")
    tab.say("two")
    tab.is_at("queued")
    expect(tab.answer()).to_contain_text("Waiting for the answer before this one")
    tab.page.reload()
    tab.is_at("queued")
    tab.reads("First", nth=0)
    hold.open()
    tab.reads("First done", nth=0)
    tab.reads("Second answer", nth=1)
    tab.is_at("done")
    expect(tab.answer()).not_to_contain_text("Waiting")
    assert {"role": "assistant", "content": "First done"} in model.requests[1]["messages"]


def test_chats_of_two_browsers_do_not_wait_for_each_other(model: FakeServer, chat: Process, tabs: Tabs) -> None:
    hold = Gate()
    model.scripts = [["held", hold, " and done", Finish()], ["whole answer", Finish()]]
    first, second = tabs.open(chat), tabs.open(chat)
    first.say("slow question")
    first.reads("held")
    second.say("quick question")
    second.reads("whole answer")
    second.is_at("done")
    first.reads("held")
    first.is_at("streaming")
    expect(second.find(".message")).to_have_count(2)
    hold.open()
    first.reads("held and done")


def test_switching_chats_in_mid_answer_mixes_nothing(model: FakeServer, chat: Process, tabs: Tabs) -> None:
    gates, script = gated(2)
    model.scripts = [["old answer", Finish()], script]
    tab = tabs.open(chat)
    tab.say("old chat")
    tab.is_at("done")
    tab.page.get_by_role("link", name="New chat").click()
    expect(tab.find(".message")).to_have_count(0)
    tab.say("running chat")
    tab.reads(words(0))
    tab.find("#chats").get_by_text("old chat").first.click()
    tab.reads("old answer")
    gates[0].open()
    gates[1].wait_until_reached()
    expect(tab.find(".message")).to_have_count(2)
    tab.page.go_back()
    tab.reads(words(1))
    expect(tab.find(".user")).to_have_text("running chat")
    gates[1].open()
    tab.reads(words(2))
    tab.is_at("done")


@pytest.mark.parametrize("address", ["/c/0000000000000000", "/c/%E4%zz", f"/c/{'x' * 100}"])
def test_unknown_chat_gives_a_plain_message_and_an_empty_new_chat(
    model: FakeServer, chat: Process, tabs: Tabs, address: str
) -> None:
    model.scripts = [["fine", Finish()]]
    tab = tabs.open(chat, address)
    expect(tab.problem).to_have_text("This chat does not exist any more.")
    expect(tab.find("#empty")).to_be_visible()
    expect(tab.page).to_have_url(f"{chat.url}/")
    tab.say("a new chat then")
    tab.reads("fine")
    expect(tab.problem).to_be_hidden()
    assert tab.chat_id() != address.removeprefix("/c/")
    assert tab.errors == []


def test_message_over_the_limit_is_refused_and_stays_in_the_box(model: FakeServer, tabs: Tabs, tmp_path: Path) -> None:
    with running(chatbot(model.url, tmp_path, "--max_message_chars", "100")) as chat:
        tab = tabs.open(chat)
        tab.say("x" * 101)
        expect(tab.problem).to_have_text("This message has 101 characters, 100 are allowed.")
        expect(tab.input).to_have_value("x" * 101)
        expect(tab.find(".message")).to_have_count(0)
        assert model.requests == []
