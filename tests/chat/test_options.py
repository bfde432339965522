"""What a person chooses for a chat: checked with clear words, and each control changes the request."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import pytest

from chatbot.core import turn
from chatbot.core.cancel import Cancel
from chatbot.core.events import Done, Message
from chatbot.core.llm import ModelClient
from chatbot.core.options import CONTROLS, ChatOptions, read_value
from chatbot.core.turn import Turn
from chatbot.errors import BadRequest
from chatbot.settings import ChatSettings, parse
from tests.fakes import FakeServer, Refuse

USUAL = {
    "messages": [{"role": "system", "content": "You are a helpful assistant."}, {"role": "user", "content": "hello"}],
    **{"model": "fake-model", "temperature": 0.7, "max_tokens": 1024, "stream": True},
    "stream_options": {"include_usage": True},
}


def send(server: FakeServer, turn_: Turn, settings: ChatSettings | None = None) -> dict[str, Any]:
    """The body that the server got, and how the turn ended."""
    model = ModelClient(server.url, "", 10)
    *_, end = turn.run(turn_, model, settings or ChatSettings(), Cancel())
    assert isinstance(end, Done)
    return {**server.requests[-1], "error": end.error}


def body_for(server: FakeServer, chosen: Mapping[str, Any], messages: list[Message] | None = None) -> dict[str, Any]:
    asked = Turn(messages or [Message("user", "hello")], ChatOptions.from_wire(chosen))
    body = send(server, asked)
    assert body.pop("error") is None
    return body


def test_nothing_is_sent_that_nobody_chose(fake_server: FakeServer) -> None:
    fake_server.capabilities = ["chat", "reasoning"]
    assert body_for(fake_server, {}) == USUAL


CHOSEN: list[tuple[str, Any, dict[str, Any]]] = [
    ("model", "fake-model-2", {"model": "fake-model-2"}),
    ("system_prompt", "Be brief.", {"messages": [{"role": "system", "content": "Be brief."}, USUAL["messages"][1]]}),  # type: ignore[index]
    ("temperature", 0, {"temperature": 0}),
    ("top_p", 0.5, {"top_p": 0.5}),
    ("top_k", 0, {"top_k": 0}),
    ("min_p", 0.1, {"min_p": 0.1}),
    ("repeat_penalty", 1.1, {"repeat_penalty": 1.1}),
    ("presence_penalty", -0.5, {"presence_penalty": -0.5}),
    ("frequency_penalty", 0.5, {"frequency_penalty": 0.5}),
    ("seed", 7, {"seed": 7}),
    ("max_tokens", 5, {"max_tokens": 5}),
    ("thinking", "low", {"reasoning_effort": "low", "chat_template_kwargs": {"enable_thinking": True}}),
    ("stop", ["END", "\n\n"], {"stop": ["END", "\n\n"]}),
    ("extra", {"typical_p": 0.9, "temperature": 1.5}, {"typical_p": 0.9, "temperature": 1.5}),
]


@pytest.mark.parametrize(("name", "value", "change"), CHOSEN, ids=[name for name, *_ in CHOSEN])
def test_each_control_changes_the_request_and_nothing_else_in_it(
    fake_server: FakeServer, name: str, value: Any, change: dict[str, Any]
) -> None:
    fake_server.capabilities = ["chat", "reasoning"]
    assert body_for(fake_server, {name: value}) == {**USUAL, **change}


def test_no_control_is_without_such_a_test() -> None:
    assert {control.name for control in CONTROLS} == {name for name, *_ in CHOSEN} | {
        *("context_rule", "library", "depth")  # the last two: test_grounded.py
    }
    assert {control.name for control in CONTROLS} == {each.name for each in fields(ChatOptions)}


def test_the_context_rule_changes_which_messages_are_sent(fake_server: FakeServer) -> None:
    said = [Message("user" if i % 2 == 0 else "assistant", str(i)) for i in range(11)]
    sent = {
        rule: len(body_for(fake_server, {"context_rule": rule}, said)["messages"]) for rule in ("fold", "window", "all")
    }
    assert sent == {"fold": 12, "window": 8, "all": 12}


SETTINGS = {"top_p": "0.5", "top_k": "3", "min_p": "0.2", "repeat_penalty": "1.2", "presence_penalty": "1", "seed": "4"}


@pytest.mark.parametrize(("name", "text"), [*SETTINGS.items(), ("frequency_penalty", "-1")])
def test_a_setting_is_the_default_of_its_control(fake_server: FakeServer, name: str, text: str) -> None:
    settings = parse(ChatSettings, {name: text}, {})
    asked = Turn([Message("user", "hello")])
    assert send(fake_server, asked, settings) == {**USUAL, name: float(text), "error": None}


def test_thinking_is_left_out_where_the_model_cannot(fake_server: FakeServer) -> None:
    for capabilities in (None, ["chat", "completion"]):
        fake_server.capabilities = capabilities
        assert body_for(fake_server, {"thinking": "high"}) == USUAL


def test_thinking_can_be_turned_off(fake_server: FakeServer) -> None:
    fake_server.capabilities = ["chat", "reasoning"]
    body = body_for(fake_server, {"thinking": "off"})
    assert (body["reasoning_effort"], body["chat_template_kwargs"]) == ("none", {"enable_thinking": False})


def test_half_an_answer_is_the_last_message_and_is_not_told_to_think(fake_server: FakeServer) -> None:
    fake_server.capabilities = ["chat", "reasoning"]
    asked = Turn([Message("user", "tell")], ChatOptions(thinking="high"), continues="Once upon a")
    body = send(fake_server, asked)
    assert body["messages"][1:] == [
        {"role": "user", "content": "tell"},
        {"role": "assistant", "content": "Once upon a"},
    ]
    assert "reasoning_effort" not in body


@pytest.mark.parametrize("name", ["messages", "model", "stream", "stream_options", "prompt", "n"])
def test_raw_fields_may_not_take_over_what_the_chat_relies_on(fake_server: FakeServer, name: str) -> None:
    with pytest.raises(BadRequest, match=f"extra may not hold {name}"):
        ChatOptions.from_wire({"extra": {name: 1}})
    body = send(fake_server, Turn([Message("user", "hello")], ChatOptions(extra={name: 1, "top_a": 2})))
    assert body == {**USUAL, "top_a": 2, "error": None}


@pytest.mark.parametrize(
    ("refusal", "said"),
    [
        (Refuse(400, "invalid_request", "unknown field", param="top_k"), "does not take the option top_k"),
        (Refuse(400, "unknown", "Unrecognized request argument: top_k"), "does not take the option top_k"),
        (Refuse(422, "unknown", "body.top_k: extra fields are not permitted"), "does not take the option top_k"),
        (Refuse(400, "invalid_request", "what?", param="chat_template_kwargs.x"), "does not take the option thinking"),
        (Refuse(400, "invalid_request", "what?", param="mirostat"), "does not take mirostat in the option extra"),
    ],
)
def test_a_server_that_refuses_an_option_is_quoted_with_the_options_name(
    fake_server: FakeServer, refusal: Refuse, said: str
) -> None:
    fake_server.capabilities = ["chat", "reasoning"]
    fake_server.scripts = [[refusal]]
    chosen = ChatOptions(top_k=4, thinking="low", extra={"mirostat": 1})
    error = send(fake_server, Turn([Message("user", "hello")], chosen))["error"]
    assert said in error["message"] and "chat's options" in error["message"] and refusal.message in error["message"]


def test_a_refusal_that_is_about_no_option_is_the_servers_own_sentence(fake_server: FakeServer) -> None:
    fake_server.scripts = [[Refuse(400, "invalid_request", "messages: too many", param="messages")]]
    error = send(fake_server, Turn([Message("user", "hello")], ChatOptions(top_k=4)))["error"]
    assert error["message"] == "messages: too many"


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"temperature": 2.5}, r"temperature must be a number from 0 to 2, got 2.5"),
    ({"temperature": 9.0}, r"temperature must be a number from 0 to 2, got 9$"),
    ({"temperature": "hot"}, r"temperature must be a number from 0 to 2, got hot"),
    ({"temperature": True}, r"temperature must be a number from 0 to 2, got true"),
    ({"temperature": float("nan")}, r"temperature must be a number from 0 to 2"),
    ({"top_k": 1.5}, r"top_k must be a whole number from 0 to 1000, got 1.5"),
    ({"max_tokens": 0}, r"max_tokens must be a whole number from 1 to 1000000, got 0"),
    ({"thinking": "hard"}, r"thinking must be one of off, low, medium, high, got hard"),
    ({"stop": "END"}, r"stop must be a list of at most 16 texts"),
    ({"stop": [""]}, r"stop must be a list"),
    ({"stop": ["a"] * 17}, r'stop must be a list of .*, got \["a", .*…$'),
    ({"extra": [1]}, r"extra must be a JSON object"),
    ({"extra": {"a": float("inf")}}, r"extra must be a JSON object"),
    ({"extra": {"a": "x" * 200_000}}, r"extra has 200,009 characters of JSON and may have 100,000"),
    ({"system_prompt": 5}, r"system_prompt must be a text"),
    ({"temprature": 1}, r"there is no option temprature: the options are model, system_prompt, temperature"),
]


@pytest.mark.parametrize(("body", "said"), WRONG)
def test_a_wrong_choice_is_named_with_what_it_may_be(body: dict[str, Any], said: str) -> None:
    with pytest.raises(BadRequest, match=said):
        ChatOptions.from_wire(body)


def test_choices_survive_the_way_to_the_store_and_back() -> None:
    chosen = {name: value for name, value, _ in CHOSEN} | {"context_rule": "window"}
    assert json.loads(json.dumps(ChatOptions.from_wire(chosen).wire())) == chosen
    assert ChatOptions.from_wire({name: None for name in chosen}) == ChatOptions()
    assert ChatOptions.from_wire({"system_prompt": ""}).wire() == {"system_prompt": ""}


def test_no_system_prompt_and_no_shelf_are_choices_against_what_is_in_force() -> None:
    house = ChatOptions.from_wire({"system_prompt": "Be kind.", "library": "attic", "model": "Llama"})
    assert ChatOptions().over(house) == house
    chosen = ChatOptions.from_wire({"system_prompt": "", "library": "", "model": ""}).over(house)
    assert (chosen.system_prompt, chosen.library, chosen.model) == ("", "", "Llama")
    assert (house.shelves, chosen.shelves, ChatOptions().shelves) == ("attic", "", "")


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("temperature", "0.5", 0.5),
        ("temperature", "0,5", 0.5),
        ("temperature", "default", None),
        ("top_k", "40", 40),
        ("seed", "-1", -1),
        ("thinking", "LOW", "low"),
        ("stop", "END", ("END",)),
        ("stop", r"\n\n", ("\n\n",)),
        ("stop", '["a", "b"]', ("a", "b")),
        ("extra", '{"mirostat_mode": 2}', {"mirostat_mode": 2}),
        ("system_prompt", "none", ""),
        ("library", "none", ""),
        ("library", "default", None),
        ("system_prompt", "Be kind. ", "Be kind."),
        ("model", "Llama", "Llama"),
    ],
)
def test_a_value_can_be_typed(name: str, text: str, value: Any) -> None:
    assert read_value(name, text) == value


@pytest.mark.parametrize(("name", "text"), [("temperature", "warm"), ("top_k", "1.5"), ("extra", "{"), ("stop", "[1]")])
def test_a_value_that_makes_no_sense_is_refused_with_what_it_may_be(name: str, text: str) -> None:
    with pytest.raises(BadRequest, match=f"{name} must be"):
        read_value(name, text)


def test_controls_reach_the_page_as_json() -> None:
    wires = json.loads(json.dumps([control.wire() for control in CONTROLS]))
    assert wires[2] == {
        **{"name": "temperature", "label": "Temperature", "kind": "number", "low": 0, "high": 2, "step": 0.05},
        **{"choices": [], "help": "How freely the model chooses words; 0 always takes the likeliest."},
    }
    assert all(wire["help"] and wire["label"] for wire in wires)
