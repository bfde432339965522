"""The socket events beside talking: branches, the list of chats, options, files; and what other pages hear of them."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.chat.browser import Browser
from tests.fakes import WAIT_S, FakeServer, Finish, Gate
from tests.processes import Process, chatbot, running, until


@pytest.fixture(scope="module")
def server() -> Iterator[FakeServer]:
    with FakeServer() as fake:
        yield fake


@pytest.fixture(scope="module")
def web(server: FakeServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    with running(chatbot(server.url, tmp_path_factory.mktemp("chat"))) as process:
        yield process


@pytest.fixture
def other(web: Process) -> Iterator[Browser]:
    made = Browser(web.url)
    yield made
    made.client.disconnect()


def say(page: Browser, server: FakeServer, text: str, answer: str, reason: str = "stop", **more: Any) -> dict[str, Any]:
    server.scripts = [[answer, Finish(reason)]]
    turn = page.call("send", {"text": text, **more})
    assert turn["ok"], turn
    page.end_of(turn["answer"]["id"])
    return turn


def contents(page: Browser, chat_id: str) -> list[str]:
    return [m["content"] for m in page.call("open", {"chat_id": chat_id})["messages"]]


def test_an_edited_message_is_a_branch_and_both_can_be_shown(page: Browser, server: FakeServer) -> None:
    first = say(page, server, "one", "first")
    chat = first["chat"]["id"]
    second = say(page, server, "two", "second", chat_id=chat)
    again = say(page, server, "two, better", "third", chat_id=chat, parent=first["answer"]["id"])
    assert contents(page, chat) == ["one", "first", "two, better", "third"]
    shown = page.call("branch", {"chat_id": chat, "message_id": second["user"]["id"]})
    assert [m["content"] for m in shown["messages"]] == ["one", "first", "two", "second"]
    assert shown["messages"][2]["siblings"] == [second["user"]["id"], again["user"]["id"]]
    assert again["user"]["siblings"] == shown["messages"][2]["siblings"]
    assert server.requests[-1]["messages"][-1]["content"] == "two, better"


def test_an_earlier_answer_is_tried_again_and_the_room_hears_of_it(
    page: Browser, other: Browser, server: FakeServer
) -> None:
    first = say(page, server, "one", "first")
    chat = first["chat"]["id"]
    say(page, server, "two", "second", chat_id=chat)
    other.call("open", {"chat_id": chat})
    server.scripts = [["another", Finish()]]
    again = page.call("retry", {"answer_id": first["answer"]["id"]})
    other.end_of(again["answer"]["id"])
    (heard,) = [b for n, b in other.heard if n == "turn"]
    assert (heard["replaces"], heard["answer"]["siblings"]) == (
        first["answer"]["id"],
        [first["answer"]["id"], again["answer"]["id"]],
    )
    assert contents(page, chat) == ["one", "another"]


def test_a_cut_answer_goes_on_and_a_page_that_has_its_text_gets_the_rest_alone(
    page: Browser, other: Browser, server: FakeServer
) -> None:
    gate = Gate()
    turn = say(page, server, "count", "one two", "length")
    chat, answer = turn["chat"]["id"], turn["answer"]["id"]
    seq = other.call("open", {"chat_id": chat})["messages"][1]["seq"]
    server.scripts = [[" three", gate, " four", Finish()]]
    assert page.call("continue", {"answer_id": answer})["answer"]["id"] == answer
    gate.wait_until_reached()
    until(lambda: " three" in other.text_of(answer), "the rest", WAIT_S)
    first = other.events_of(answer)[0]
    assert (first["seq"], first["type"], first["status"]) == (seq + 1, "changed", "queued")
    missed = other.call("open", {"chat_id": chat, "after": {answer: seq}})["messages"][1]["missed"]
    assert "".join(e["text"] for e in missed if e["type"] == "delta") == " three"
    gate.open()
    other.end_of(answer)
    assert other.text_of(answer) == " three four"
    assert contents(page, chat) == ["count", "one two three four"]
    assert page.call("continue", {"answer_id": answer})["error"]["code"] == "not_continuable"


def test_a_corrected_answer_reaches_every_page_and_undo_takes_a_turn_back(
    page: Browser, other: Browser, server: FakeServer
) -> None:
    turn = say(page, server, "one", "frist")
    chat, answer = turn["chat"]["id"], turn["answer"]["id"]
    other.call("open", {"chat_id": chat})
    edited = page.call("edit", {"answer_id": answer, "content": "first"})["message"]
    assert (edited["content"], edited["meta"]["edited"]) == ("first", True)
    other.until(lambda: any(n == "message" and b["message"]["content"] == "first" for n, b in other.heard))
    undone = page.call("undo", {"chat_id": chat})
    assert (undone["text"], undone["removed"]) == ("one", [turn["user"]["id"], answer])
    assert contents(page, chat) == []
    other.until(lambda: any(n == "chat" and b["id"] == chat and b["leaf_id"] is None for n, b in other.heard))


def test_the_list_is_named_pinned_tagged_deleted_and_brought_back_on_every_page(
    page: Browser, other: Browser, server: FakeServer
) -> None:
    chat = say(page, server, "a quiet paddock", "yes")["chat"]["id"]
    assert page.call("rename", {"chat_id": chat, "title": "Horses"})["chat"]["title"] == "Horses"
    assert page.call("pin", {"chat_id": chat, "pinned": True})["chat"]["pinned"] is True
    assert page.call("tag", {"chat_id": chat, "tags": ["farm"]})["chat"]["tags"] == ["farm"]
    other.until(lambda: any(n == "chat" and b["id"] == chat and b["tags"] == ["farm"] for n, b in other.heard))
    first = other.call("chats")["chats"][0]
    assert (first["id"], first["title"], first["pinned"]) == (chat, "Horses", True)
    hits = page.call("search", {"text": "quiet padd"})["hits"]
    assert [(hit["chat_id"], hit["snippet"]) for hit in hits] == [(chat, "a quiet paddock")]
    assert page.call("delete", {"chat_ids": [chat]})["ok"]
    other.until(lambda: ("gone", {"chat_ids": [chat]}) in other.heard)
    assert page.call("open", {"chat_id": chat})["error"]["code"] == "unknown_chat"
    assert page.call("search", {"text": "quiet padd"})["hits"] == []
    assert page.call("restore", {"chat_ids": [chat]})["chats"][0]["title"] == "Horses"
    assert contents(page, chat) == ["a quiet paddock", "yes"]
    page.call("pin", {"chat_id": chat, "pinned": False})


def test_deleting_a_chat_stops_its_answer(page: Browser, server: FakeServer) -> None:
    gate = Gate()
    server.client_left.clear()
    server.scripts = [["some", gate, Finish()]]
    turn = page.call("send", {"text": "go"})
    page.until(lambda: page.text_of(turn["answer"]["id"]) == "some")
    page.call("delete", {"chat_ids": [turn["chat"]["id"]]})
    assert server.client_left.wait(WAIT_S)
    assert page.end_of(turn["answer"]["id"])["status"] == "stopped"
    page.call("restore", {"chat_ids": [turn["chat"]["id"]]})
    assert contents(page, turn["chat"]["id"]) == ["go", "some"]


def test_a_chat_keeps_its_options_and_the_model_is_asked_with_them(page: Browser, server: FakeServer) -> None:
    turn = say(page, server, "one", "first", options={"temperature": 0.1, "seed": None})
    chat = turn["chat"]["id"]
    assert turn["chat"]["options"] == {"temperature": 0.1}
    assert server.requests[-1]["temperature"] == 0.1
    assert page.call("options", {"chat_id": chat, "options": {"top_p": 0.5}})["options"] == {"top_p": 0.5}
    say(page, server, "two", "second", chat_id=chat)
    assert server.requests[-1]["top_p"] == 0.5
    refused = page.call("options", {"chat_id": chat, "options": {"top_p": 7}})["error"]
    assert "top_p" in refused["message"] and "0 to 1" in refused["message"]
    assert page.call("open", {"chat_id": chat})["chat"]["options"] == {"top_p": 0.5}


def test_hello_tells_what_can_be_chosen_and_presets_and_prompts_are_kept(page: Browser) -> None:
    hello = page.call("hello")
    assert {"temperature", "seed", "extra"} <= {control["name"] for control in hello["controls"]}
    assert hello["defaults"]["temperature"] == 0.7
    assert hello["limits"] == {"message_chars": 200_000, "file_bytes": 20_000_000, "keep_turns": 3}
    assert [model["name"] for model in hello["models"]] == ["fake-model"]
    assert "url" in [command["name"] for command in hello["commands"]]
    refused = {command["name"] for command in hello["commands"] if command["refusal"]}
    assert refused == {"library", "stop", "exit"}
    kept = page.call("preset", {"name": "calm", "options": {"temperature": 0}})["presets"]
    assert kept == [{"name": "calm", "options": {"temperature": 0}}]
    assert page.call("preset", {"name": "bad", "options": {"nonsense": 0}})["error"]["code"] == "bad_request"
    assert page.call("prompt", {"name": "sum up", "text": "In short:"})["prompts"] == [
        {"name": "sum up", "text": "In short:"}
    ]
    hello = page.call("hello")
    assert (len(hello["presets"]), len(hello["prompts"])) == (1, 1)
    assert page.call("preset", {"name": "calm", "options": None})["presets"] == page.call("presets")["presets"] == []
    assert page.call("prompt", {"name": "sum up", "text": None})["prompts"] == page.call("prompts")["prompts"] == []
    assert [model["name"] for model in page.call("models")["models"]] == ["fake-model"]


def upload(web: Process, name: str, data: bytes) -> dict[str, Any]:
    head = f'--b\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n\r\n'.encode()
    body = head + data + b"\r\n--b--\r\n"
    headers = {"Content-Type": "multipart/form-data; boundary=b", "X-Paddock": "1"}
    with urllib.request.urlopen(urllib.request.Request(f"{web.url}/files", body, headers), timeout=WAIT_S) as answer:
        return dict(json.loads(answer.read())["file"])


def test_a_file_goes_with_its_message_to_the_model_and_stays_there(
    web: Process, page: Browser, server: FakeServer
) -> None:
    file = upload(web, "list.txt", b"apples and pears")
    context = page.call("context", {"chat_id": None, "text": "what is it?", "files": [file["id"]]})
    assert [part["label"] for part in context["parts"] if part["kind"] == "file"] == ["list.txt"]
    turn = say(page, server, "what is it?", "fruit", files=[file["id"]])
    assert "apples and pears" in server.requests[-1]["messages"][-1]["content"]
    assert [each["name"] for each in turn["user"]["files"]] == ["list.txt"]
    opened = page.call("open", {"chat_id": turn["chat"]["id"]})["messages"][0]
    assert (opened["content"], opened["files"][0]["n_chars"]) == ("what is it?", 16)
    assert page.call("unfile", {"file_id": file["id"]})["error"]["code"] == "bad_request"
    unsent = upload(web, "b.txt", b"x")
    assert page.call("unfile", {"file_id": unsent["id"]})["ok"]
    assert page.call("send", {"text": "x", "files": [unsent["id"]]})["error"]["code"] == "unknown_file"


def test_a_post_from_elsewhere_is_refused(web: Process) -> None:
    for headers in ({}, {"X-Paddock": "1", "Origin": "http://evil.example"}, {"X-Paddock": "1", "Origin": "null"}):
        for route in ("files", "import"):
            with pytest.raises(urllib.error.HTTPError) as refused:
                urllib.request.urlopen(urllib.request.Request(f"{web.url}/{route}", b"x", headers), timeout=WAIT_S)
            assert refused.value.code == 403
            assert json.loads(refused.value.read())["error"]["code"] == "foreign_origin"


def test_what_follows_set_is_read_as_the_terminal_reads_it(page: Browser) -> None:
    def read(text: str) -> tuple[Any, ...]:
        told = page.call("setting", {"text": text})
        return told["name"], told["is_set"], told["value"]

    assert read("") == (None, False, None)
    assert read("Top-P") == ("top_p", False, None)
    assert read("temperature default") == ("temperature", True, None)
    assert read(r"stop \n") == ("stop", True, ["\n"])
    assert read("model FAKE-model") == ("model", True, "fake-model")
    refused = page.call("setting", {"text": "model nope"})["error"]
    assert "nope is not on the model server; those that are: fake-model" in refused["message"]
    assert "options are model" in page.call("setting", {"text": "foo"})["error"]["message"]


def test_commands_that_need_the_server_are_done_there(page: Browser) -> None:
    assert "/url ADDRESS" in page.call("command", {"text": "/help"})["say"]
    assert "fake-model" in page.call("command", {"text": "/model"})["say"]
    assert page.call("command", {"text": "/nonsense"})["error"]["code"] == "bad_request"
    assert page.call("command", {"text": "/url http://127.0.0.1:1/"})["error"]["code"] == "address_refused"
    assert page.call("url", {"url": "http://127.0.0.1:1/"})["error"]["code"] == "address_refused"


@pytest.mark.parametrize(
    ("event", "body", "said"),
    [
        ("send", {"text": "x", "parent": 7}, "parent must be"),
        ("send", {"text": "x", "files": "abc"}, "list"),
        ("send", {"text": "x", "files": ["a"] * 21}, "at most 20"),
        ("send", {"text": "x", "options": {"temperature": "hot"}}, "temperature"),
        ("send", {"text": "x", "options": [1]}, "object"),
        ("continue", {}, "answer_id"),
        ("branch", {"chat_id": "nope", "message_id": "x"}, "does not exist"),
        ("edit", {"answer_id": "nope", "content": "x"}, "does not exist"),
        ("edit", {"answer_id": "nope", "content": "x" * 300_000}, "300,000 characters, 200,000"),
        ("undo", {"chat_id": "nope"}, "does not exist"),
        ("rename", {"chat_id": "nope", "title": "x"}, "does not exist"),
        ("rename", {"chat_id": "nope", "title": 5}, "string"),
        ("pin", {"chat_id": "nope", "pinned": 1}, "true or false"),
        ("tag", {"chat_id": "nope", "tags": "x"}, "list"),
        ("delete", {"chat_ids": "x"}, "list"),
        ("restore", {"chat_ids": ["nope"]}, "for good"),
        ("search", {"text": None}, "string"),
        ("options", {"chat_id": "nope", "options": {}}, "does not exist"),
        ("options", {"chat_id": None, "options": {"seed": "x"}}, "seed must be"),
        ("preset", {"name": "", "options": {}}, "1 to 80"),
        ("prompt", {"name": 5, "text": "x"}, "string"),
        ("notes", {"chat_id": "nope", "text": "x"}, "does not exist"),
        ("context", {"chat_id": "nope"}, "does not exist"),
        ("command", {"text": "hello"}, "no command"),
        ("unfile", {"file_id": "nope"}, "not here any more"),
    ],
)
def test_a_wrong_event_gets_one_clear_error(page: Browser, event: str, body: dict[str, Any], said: str) -> None:
    answer = page.call(event, body)
    assert answer["ok"] is False
    assert said in answer["error"]["message"]
    assert answer["error"]["code"] != "internal_error"


def test_a_long_chat_is_folded_after_an_answer_and_its_notes_can_be_changed(tmp_path: Path) -> None:
    with FakeServer() as small:
        small.n_ctx = 300
        with running(chatbot(small.url, tmp_path)) as web:
            page = Browser(web.url)
            chat = say(page, small, "word " * 30, "the notes")["chat"]["id"]
            for _ in range(3):
                say(page, small, "word " * 30, "the notes", chat_id=chat)
            page.until(lambda: any(n == "notes" and b["chat_id"] == chat and b["n_folded"] for n, b in page.heard))
            opened = page.call("open", {"chat_id": chat})
            assert opened["notes"]["text"] == "the notes" and opened["notes"]["n_folded"] >= 2
            assert len(opened["messages"]) == 8
            assert page.call("notes", {"chat_id": chat, "text": "what I say"})["notes"]["text"] == "what I say"
            say(page, small, "and now?", "well", chat_id=chat)
            asked = next(r["messages"] for r in reversed(small.requests) if r["messages"][-1]["content"] == "and now?")
            assert "what I say" in asked[0]["content"]
            assert page.call("notes", {"chat_id": chat, "text": None})["notes"] is None
            page.client.disconnect()


def test_a_chat_without_notes_has_none_to_change(page: Browser, server: FakeServer) -> None:
    chat = say(page, server, "one", "first")["chat"]["id"]
    assert "no notes yet" in page.call("notes", {"chat_id": chat, "text": "x"})["error"]["message"]
