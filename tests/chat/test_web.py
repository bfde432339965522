"""The web chat as a process: its socket events, its pages, and what befalls it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import socketio

from tests.chat.browser import Browser
from tests.fakes import WAIT_S, Cut, FakeServer, Finish, Gate, Refuse, prompt_progress, queue_position
from tests.processes import Process, chatbot, free_port, running, until


@pytest.fixture(scope="module")
def server() -> Iterator[FakeServer]:
    with FakeServer() as fake:
        yield fake


@pytest.fixture(scope="module")
def web(server: FakeServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    with running(chatbot(server.url, tmp_path_factory.mktemp("chat"))) as process:
        yield process


@pytest.fixture
def browser_of(web: Process) -> Iterator[Browser]:
    made = Browser(web.url)
    yield made
    made.client.disconnect()


def get(url: str, **headers: str) -> tuple[int, str, Any]:
    request = urllib.request.Request(url, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=WAIT_S) as answer:
            return answer.status, answer.read().decode(), answer.headers
    except urllib.error.HTTPError as answer:
        return answer.code, answer.read().decode(), answer.headers


def test_a_message_is_answered_piece_by_piece_and_everything_is_kept(browser_of: Browser, server: FakeServer) -> None:
    server.scripts = [["Hello", " wor", "ld", Finish()]]
    turn = browser_of.call("send", {"chat_id": None, "text": "hi"})
    assert turn["ok"] and turn["user"]["content"] == "hi"
    answer = turn["answer"]["id"]
    browser_of.end_of(answer)
    opened = browser_of.call("open", {"chat_id": turn["chat"]["id"]})
    assert [m["content"] for m in opened["messages"]] == ["hi", "Hello world"]
    assert turn["chat"]["id"] in [chat["id"] for chat in browser_of.call("chats")["chats"]]


def test_a_second_browser_sees_the_same_answer_and_a_late_one_gets_what_it_lacks(
    web: Process, browser_of: Browser, server: FakeServer
) -> None:
    gate = Gate()
    server.scripts = [["one ", "two ", gate, "three", Finish()]]
    turn = browser_of.call("send", {"text": "count"})
    chat, answer = turn["chat"]["id"], turn["answer"]["id"]
    gate.wait_until_reached()
    late = Browser(web.url)
    opened = late.call("open", {"chat_id": chat})["messages"][1]
    until(lambda: late.call("open", {"chat_id": chat})["messages"][1]["content"] == "one two ", "two pieces", WAIT_S)
    lacking = late.call("open", {"chat_id": chat, "after": {answer: 3}})["messages"][1]
    assert lacking["id"] == answer == opened["id"]
    assert [(e["seq"], e["text"]) for e in lacking["missed"]] == [(4, "two ")]
    gate.open()
    late.end_of(answer)
    assert late.text_of(answer).endswith("three")
    late.client.disconnect()


@pytest.mark.parametrize(
    ("event", "body", "code", "said"),
    [
        ("send", {"text": ""}, "bad_request", "empty"),
        ("send", {"text": "  \n "}, "bad_request", "empty"),
        ("send", {"text": 5}, "bad_request", "must be a string"),
        ("send", {"text": "x" * 1_000_000}, "message_too_long", "1,000,000 characters, 200,000 are allowed"),
        ("send", {"text": "x", "chat_id": "nope"}, "unknown_chat", "does not exist"),
        ("send", {"text": "x", "chat_id": 7}, "bad_request", "chat_id must be a string"),
        ("send", {"text": "x", "key": ["k"]}, "bad_request", "key must be a string"),
        ("send", "not an object", "bad_request", "one object"),
        ("open", {"chat_id": "nope"}, "unknown_chat", "does not exist"),
        ("open", {"chat_id": "x" * 1000}, "bad_request", "chat_id must be"),
        ("open", {"chat_id": "x", "after": {"a": -1}}, "bad_request", "whole numbers"),
        ("open", {"chat_id": "x", "after": [1]}, "bad_request", "object"),
        ("retry", {"answer_id": "nope"}, "unknown_answer", "does not exist"),
        ("stop", {}, "bad_request", "answer_id"),
    ],
)
def test_a_wrong_event_gets_one_clear_error(browser_of: Browser, event: str, body: Any, code: str, said: str) -> None:
    answer = browser_of.call(event, body)
    assert answer["ok"] is False
    assert set(answer["error"]) == {"message", "type", "code"}
    assert answer["error"]["code"] == code
    assert said in answer["error"]["message"]


def test_progress_reaches_the_room_with_the_number_of_the_event_before_it(
    web: Process, browser_of: Browser, server: FakeServer
) -> None:
    gate = Gate()
    server.scripts = [[queue_position(2), prompt_progress(516, 1200, cache=256), gate, "Hi", Finish()]]
    turn = browser_of.call("send", {"text": "long"})
    chat, answer = turn["chat"]["id"], turn["answer"]["id"]
    gate.wait_until_reached()
    late = Browser(web.url)
    until(lambda: late.call("open", {"chat_id": chat})["messages"][1]["progress"], "progress in a snapshot", WAIT_S)
    seq = late.call("open", {"chat_id": chat})["messages"][1]["seq"]
    reading = {"seq": seq, "type": "reading", "percent": 43}
    until(lambda: late.call("open", {"chat_id": chat})["messages"][1]["progress"] == reading, "43 %", WAIT_S)
    known = late.call("open", {"chat_id": chat, "after": {answer: seq}})["messages"][1]
    assert known == {"id": answer, "siblings": [answer], "missed": [reading]}
    gate.open()
    browser_of.end_of(answer)
    opened = late.call("open", {"chat_id": chat})["messages"][1]
    assert (opened["content"], opened["progress"]) == ("Hi", None)
    heard = [b for n, b in browser_of.heard if n == "event" and b["answer_id"] == answer]
    numbered = [b["seq"] for b in heard if b["type"] not in {"queued", "reading"}]
    assert numbered == list(range(numbered[0], numbered[0] + len(numbered)))
    late.client.disconnect()


def test_a_resent_message_makes_one_turn(browser_of: Browser, server: FakeServer) -> None:
    server.scripts = [["ok", Finish()]]
    first = browser_of.call("send", {"text": "hi", "key": "same-key"})
    again = browser_of.call("send", {"text": "hi", "key": "same-key"})
    assert again["answer"]["id"] == first["answer"]["id"]
    assert len(browser_of.call("open", {"chat_id": first["chat"]["id"]})["messages"]) == 2


def test_stop_reaches_the_model_server_within_200_ms(browser_of: Browser, server: FakeServer) -> None:
    gate = Gate()
    server.client_left.clear()
    server.scripts = [["some", gate, "never", Finish()]]
    answer = browser_of.call("send", {"text": "go"})["answer"]["id"]
    gate.wait_until_reached()
    assert browser_of.call("stop", {"answer_id": answer})["stopped"]
    assert server.client_left.wait(0.2)
    assert browser_of.end_of(answer)["status"] == "stopped"
    gate.open()


def test_ten_browsers_get_every_piece_in_order(web: Process, server: FakeServer) -> None:
    gate = Gate()
    server.scripts = [[gate, *[f"{n} " for n in range(200)], Finish()]]
    sender = Browser(web.url)
    turn = sender.call("send", {"text": "go"})
    others = [Browser(web.url) for _ in range(9)]
    for other in others:
        other.call("open", {"chat_id": turn["chat"]["id"]})
    gate.open()
    expected = "".join(f"{n} " for n in range(200))
    for each in [sender, *others]:
        each.end_of(turn["answer"]["id"])
        assert each.text_of(turn["answer"]["id"]) == expected
        each.client.disconnect()


def test_a_page_too_many_is_told_and_the_others_go_on(tmp_path: Path, fake_server: FakeServer) -> None:
    with running(chatbot(fake_server.url, tmp_path, "--max_browsers", "2")) as small:
        first, second = Browser(small.url), Browser(small.url)
        for _ in range(3):
            said: list[dict[str, str]] = []
            third = socketio.Client(reconnection=False)
            third.on("connect_error", said.append)
            with pytest.raises(socketio.exceptions.ConnectionError):
                third.connect(small.url, transports=["websocket"])
            assert "2 pages are open" in said[0]["message"]
        assert get(small.url)[0] == 200
        assert first.call("chats")["ok"]
        second.client.disconnect()
        until(lambda: can_connect(small.url), "room for another page")


def can_connect(url: str) -> bool:
    try:
        Browser(url).client.disconnect()
    except socketio.exceptions.ConnectionError:
        return False
    return True


def test_the_page_is_there_and_unknown_ones_are_told(web: Process) -> None:
    status, body, _ = get(web.url, Accept="text/html")
    assert status == 200 and "<textarea" in body
    assert get(f"{web.url}/c/anything")[0] == 200
    status, body, _ = get(f"{web.url}/nope")
    assert (status, json.loads(body)["error"]["code"]) == (404, "not_found")
    status, body, _ = get(f"{web.url}/nope", Accept="text/html")
    assert status == 404 and "There is no such page." in body


def test_a_foreign_name_or_origin_gets_nothing(web: Process) -> None:
    assert get(web.url, Host="evil.example")[0] == 403
    assert get(f"{web.url}/socket.io/?EIO=4&transport=polling", Host="evil.example:80")[0] == 403
    assert get(web.url, Host=f"localhost:{web.port}")[0] == 200
    assert get(web.url, Host=f"[::1]:{web.port}")[0] == 200
    with pytest.raises(socketio.exceptions.ConnectionError):
        Browser(web.url, Origin="http://evil.example")


def test_health_says_how_the_model_server_is(web: Process) -> None:
    def model() -> dict[str, Any]:
        return dict(json.loads(get(f"{web.url}/health")[1])["model"])

    until(lambda: model()["state"] == "ready", "ready")
    assert model()["model"]["name"] == "fake-model"


def test_the_model_server_may_die_in_mid_answer_and_come_back(tmp_path: Path) -> None:
    port = free_port()
    server = FakeServer(["kept text", Cut()], port=port)
    with running(chatbot(server.url, tmp_path)) as web:
        page = Browser(web.url)
        turn = page.call("send", {"text": "hi"})
        end = page.end_of(turn["answer"]["id"])
        assert (end["status"], end["error"]["code"]) == ("error", "model_gone")
        server.stop()
        away = page.call("retry", {"answer_id": turn["answer"]["id"]})
        assert page.end_of(away["answer"]["id"])["error"]["code"] == "model_away"
        page.until(lambda: any(n == "model" and b["state"] == "away" for n, b in page.heard))
        with FakeServer(["back", Finish()], port=port):
            page.until(lambda: page.heard[-1][0] == "model" and page.heard[-1][1]["state"] == "ready")
            page.heard.clear()
            again = page.call("retry", {"answer_id": away["answer"]["id"]})
            assert again["answer"]["id"] == away["answer"]["id"], "it had no word"
            assert page.end_of(again["answer"]["id"])["status"] == "done"
            shown = page.call("open", {"chat_id": turn["chat"]["id"]})["messages"]
            assert [m["content"] for m in shown] == ["hi", "back"]
        page.client.disconnect()


def test_kill_9_in_mid_answer_loses_at_most_half_a_second(tmp_path: Path, fake_server: FakeServer) -> None:
    gate = Gate()
    fake_server.scripts = [["written ", "down", gate, Finish()]]
    port = free_port()
    with running(chatbot(fake_server.url, tmp_path, port=port)) as web:
        page = Browser(web.url)
        turn = page.call("send", {"text": "hi"})
        gate.wait_until_reached()
        threading.Event().wait(0.5)  # the promise itself: what is half a second old is on the disk
        web.kill()
    gate.open()
    with running(chatbot(fake_server.url, tmp_path, port=port)) as web:
        page = Browser(web.url)
        answer = page.call("open", {"chat_id": turn["chat"]["id"]})["messages"][1]
        assert (answer["content"], answer["status"]) == ("written down", "interrupted")
        page.client.disconnect()


def test_sigterm_saves_a_running_answer_and_leaves_within_5_seconds(tmp_path: Path, fake_server: FakeServer) -> None:
    gate = Gate()
    fake_server.scripts = [["half", gate, Finish()]]
    with running(chatbot(fake_server.url, tmp_path)) as web:
        page = Browser(web.url)
        turn = page.call("send", {"text": "hi"})
        gate.wait_until_reached()
        assert web.terminate(timeout_s=5) == 0
    gate.open()
    with running(chatbot(fake_server.url, tmp_path)) as web:
        page = Browser(web.url)
        answer = page.call("open", {"chat_id": turn["chat"]["id"]})["messages"][1]
        assert (answer["content"], answer["status"]) == ("half", "interrupted")
        page.client.disconnect()


def test_a_worker_that_dies_is_started_again(tmp_path: Path, fake_server: FakeServer) -> None:
    with running(chatbot(fake_server.url, tmp_path)) as web:
        worker = web.children()[0]
        os.kill(worker, signal.SIGKILL)
        until(lambda: not Path(f"/proc/{worker}").exists(), "the worker's end")
        web.until_healthy()
        assert Browser(web.url).call("chats")["ok"]


def test_a_second_server_on_the_same_database_or_port_says_so_and_harms_nothing(web: Process, tmp_path: Path) -> None:
    data_dir = Path(web.process.args[web.process.args.index("--data_dir") + 1])  # type: ignore[union-attr,call-overload]
    second = chatbot("http://127.0.0.1:9/v1", data_dir)
    assert second.wait() == 2
    assert "another chat server" in second.output and "--data_dir" in second.output
    third = chatbot("http://127.0.0.1:9/v1", tmp_path, port=web.port)
    assert third.wait() == 2
    assert third.output.strip().splitlines() == [
        f"chatbot: cannot listen on 127.0.0.1 port {web.port} (Address already in use): "
        f"stop what uses it, or choose another with --port {web.port + 1}"
    ]
    assert web.is_healthy()


def test_the_network_is_not_let_in(tmp_path: Path) -> None:
    for host in ("0.0.0.0", "192.168.1.5"):
        refused = chatbot("http://127.0.0.1:9/v1", tmp_path, "--host", host)
        assert refused.wait() == 2
        assert "needs an account" in refused.output and "accounts add" in refused.output


def test_ready_is_told_to_systemd_only_when_the_page_answers(tmp_path: Path, fake_server: FakeServer) -> None:
    with contextlib.closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(WAIT_S)
        web = chatbot(fake_server.url, tmp_path, NOTIFY_SOCKET=str(tmp_path / "notify"))
        try:
            assert manager.recv(1000).startswith(b"READY=1")
            assert get(f"{web.url}/health")[0] == 200
        finally:
            web.kill()


def test_no_message_and_no_key_is_in_the_log(tmp_path: Path, fake_server: FakeServer) -> None:
    fake_server.scripts = [["private answer", Finish()]]
    with running(chatbot(fake_server.url, tmp_path, CHATBOT_API_KEY="sk-secret")) as web:
        page = Browser(web.url)
        page.end_of(page.call("send", {"text": "private question"})["answer"]["id"])
        page.client.disconnect()
        web.terminate()
    assert "private" not in web.output
    assert "sk-secret" not in web.output


def test_a_base_model_continues_the_text_of_the_chat_and_stop_and_retry_work(
    tmp_path: Path, fake_server: FakeServer
) -> None:
    gate = Gate()
    fake_server.capabilities = ["completion"]
    fake_server.scripts = [[" upon", " a time.", Finish()], [" it was", gate, "never", Finish()], [" done.", Finish()]]
    with running(chatbot(fake_server.url, tmp_path)) as web:
        page = Browser(web.url)
        page.until(lambda: any(n == "model" and b["model"] and b["model"]["is_base"] for n, b in page.heard))
        first = page.call("send", {"text": "Once"})
        chat = first["chat"]["id"]
        assert page.end_of(first["answer"]["id"])["status"] == "done"
        second = page.call("send", {"text": "Then", "chat_id": chat})["answer"]["id"]
        gate.wait_until_reached()
        assert page.call("stop", {"answer_id": second})["stopped"]
        assert page.end_of(second)["status"] == "stopped"
        assert fake_server.client_left.wait(WAIT_S)
        gate.open()
        third = page.call("retry", {"answer_id": second})["answer"]["id"]
        assert page.end_of(third)["status"] == "done"
        shown = page.call("open", {"chat_id": chat})["messages"]
        assert [m["content"] for m in shown] == ["Once", " upon a time.", "Then", " done."]
        page.client.disconnect()
    assert fake_server.paths == ["/v1/completions"] * 3
    assert [sent["prompt"] for sent in fake_server.requests] == ["Once", *["Once upon a time.\nThen"] * 2]


def test_a_base_model_whose_server_does_not_say_so_is_found_out_and_told(
    tmp_path: Path, fake_server: FakeServer
) -> None:
    fake_server.scripts = [[Refuse(400, "no_chat_template", "no template")], [" upon", Finish()]]
    with running(chatbot(fake_server.url, tmp_path)) as web:
        page = Browser(web.url)
        turn = page.call("send", {"text": "Once"})
        assert page.end_of(turn["answer"]["id"])["status"] == "done"
        answer = page.call("open", {"chat_id": turn["chat"]["id"]})["messages"][1]
        assert answer["content"] == " upon"
        assert answer["meta"]["notices"] == ["fake-model is a base model: it continues your text instead of answering."]
        page.client.disconnect()


def test_about_tells_of_the_model_and_a_server_that_is_away_is_an_error(tmp_path: Path) -> None:
    with FakeServer() as server, running(chatbot(server.url, tmp_path)) as web:
        server.capabilities = ["chat"]
        server.plan = {"models": [{"name": "fake-model", "summary": "It runs.", "file_bytes": 2_000_000_000}]}
        page = Browser(web.url)
        about = page.call("about")["about"]
        assert list(about.values()) == ["fake-model", "It runs.", "It can chat.", "Its file takes 2.0 GB."]
        server.stop()
        assert page.call("about")["error"]["code"] == "model_away"
        page.client.disconnect()


@pytest.mark.parametrize(("flags", "name"), [((), "fake-model"), (("--model", "other"), "other")])
def test_a_server_whose_health_names_no_model_or_another_is_asked_for_its_list(
    tmp_path: Path, fake_server: FakeServer, flags: tuple[str, ...], name: str
) -> None:
    fake_server.names_model = bool(flags)
    fake_server.notice = "a demonstration"
    with running(chatbot(fake_server.url, tmp_path, *flags)) as web:
        page = Browser(web.url)
        page.until(lambda: any(n == "model" and b["model"] and b["model"]["name"] == name for n, b in page.heard))
        assert [b["notice"] for n, b in page.heard if n == "model"][-1] == ""
        page.client.disconnect()
