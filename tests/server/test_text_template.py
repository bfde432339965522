"""Messages to prompts: what users send, through templates that behave like those of real models."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import pytest

from llmserver.errors import RequestError
from llmserver.text.answer import AnswerParser, CallBegin
from llmserver.text.errors import BadTemplate, TemplateRefused, UnknownTemplate
from llmserver.text.families import GENERIC, recognise
from llmserver.text.template import NAMES, ChatTemplate, builtin
from tests.server.templates import DEEPSEEK, GEMMA, LLAMA31, MISTRAL, PARTS, QWEN3

SOURCES = {
    "qwen3": QWEN3, "llama31": LLAMA31, "mistral": MISTRAL, "gemma2": GEMMA, "deepseek": DEEPSEEK, "parts": PARTS,
    **{name: builtin(name) for name in NAMES},
}  # fmt: skip
ALL = pytest.mark.parametrize("name", SOURCES)
WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "Forecast <b>",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    },
}
CALL = {
    "id": "call_abc",
    "type": "function",
    "function": {"name": "weather", "arguments": '{"city": "Z\u00fcrich <3"}'},
}
# Everything at once that clients send: developer, two in a row, null content, parts, a system message in the middle.
LONG = [
    {"role": "developer", "content": "FIRST"},
    {"role": "system", "content": "SECOND"},
    {"role": "user", "content": "ASKED"},
    {"role": "user", "content": [{"type": "text", "text": "AGAIN"}, {"type": "text", "text": "MORE"}]},
    {"role": "assistant", "content": None, "tool_calls": [CALL]},
    {"role": "tool", "tool_call_id": "call_abc", "content": "SUNNY"},
    {"role": "assistant", "content": "FINE"},
    {"role": "system", "content": "LATE"},
    {"role": "user", "content": "LAST"},
]


def template(name: str) -> ChatTemplate:
    return ChatTemplate(SOURCES[name], bos="<s>", eos="</s>", strftime=lambda form: f"date({form})")


def user(text: str = "Hi") -> list[Mapping[str, Any]]:
    return [{"role": "user", "content": text}]


@ALL
@pytest.mark.parametrize("tools", [None, [WEATHER]], ids=["plain", "tools"])
def test_every_template_says_everything_that_clients_send(name: str, tools: list[Any] | None) -> None:
    prompt = template(name).render(LONG, tools=tools)
    words = ["FIRST", "SECOND", "ASKED", "AGAIN", "MORE", "Z\u00fcrich <3", "SUNNY", "FINE", "LATE", "LAST"]
    assert [word for word in [*words, *(["Forecast <b>"] if tools else [])] if word not in prompt] == []


@ALL
def test_the_call_in_the_prompt_is_one_that_the_familys_parser_reads(name: str) -> None:
    chat = template(name)
    whole = chat.render(LONG[:6], tools=[WEATHER])
    said = whole[max(whole.rfind("weather") - 80, 0) :]
    if not any(mark in said for mark in chat.family.calls.begin):  # a bare call is the whole answer
        said = said[said.find('{"name"') :]
    parser = AnswerParser(chat.family, tools=[WEATHER], reasoning=False)
    calls = [delta for delta in parser.feed(said) + parser.finish() if isinstance(delta, CallBegin)]
    assert [call.name for call in calls] == ["weather"]


@ALL
def test_continue_last_ends_with_the_words_to_go_on_from(name: str) -> None:
    prompt = template(name).render([*user(), {"role": "assistant", "content": "Once upon a "}], continue_last=True)
    assert prompt.endswith("Once upon a ")
    assert "CONTINUE" not in prompt


def test_capabilities_are_found_by_rendering() -> None:
    found = {name: template(name).capabilities for name in SOURCES}
    assert [name for name in found if found[name].tools] == ["qwen3", "llama31", "mistral"]
    assert [name for name in found if found[name].tool_calls] == ["qwen3", "llama31", "mistral", "deepseek"]
    assert [name for name in found if not found[name].system] == ["gemma2", "gemma", "mistral-instruct"]
    assert [name for name in found if found[name].alternates] == ["mistral", "gemma2", "mistral-instruct"]
    assert [name for name in found if found[name].thinking] == ["qwen3"]
    assert [name for name in found if found[name].parts] == ["parts"]
    assert (found["llama31"].arguments_as_object, found["deepseek"].arguments_as_object) == (True, False)


def test_families_are_recognised_from_the_template() -> None:
    names = {name: template(name).family.name for name in SOURCES}
    assert {name: family for name, family in names.items() if family != "generic"} == {
        "qwen3": "hermes", "llama31": "llama-3", "mistral": "mistral", "deepseek": "deepseek-r1",
    }  # fmt: skip
    assert recognise("<|channel|> <|message|> <think>").thought.open == "<|channel|>analysis<|message|>"
    assert recognise("[TOOL_CALLS] [ARGS] [THINK]").thought.close == "[/THINK]"


def test_qwen3_writes_tools_calls_and_results_in_its_own_form() -> None:
    prompt = template("qwen3").render(LONG[:1] + LONG[2:3] + LONG[4:6], tools=[WEATHER])
    assert prompt.startswith('<|im_start|>system\nFIRST\n\n<tools>\n{"type": "function"')
    assert '<tool_call>\n{"name": "weather", "arguments": {"city": "Z\u00fcrich <3"}}\n</tool_call><|im_end|>' in prompt
    assert prompt.endswith("<tool_response>\nSUNNY\n</tool_response><|im_end|>\n<|im_start|>assistant\n")


def test_template_variables_reach_the_template_and_its_own_cannot_be_set() -> None:
    prompt = template("qwen3").render(user(), extra={"enable_thinking": False})
    assert prompt.endswith("<think>\n\n</think>\n\n")
    with pytest.raises(RequestError, match="messages"):
        template("qwen3").render(user(), extra={"messages": []})


def test_a_prompt_that_opens_the_thought_says_so() -> None:
    chat = template("deepseek")
    assert chat.family.opens_thought(chat.render(user()))
    assert not template("qwen3").family.opens_thought(
        template("qwen3").render(user(), extra={"enable_thinking": False})
    )


def test_the_date_comes_from_the_clock_that_was_given() -> None:
    assert "Today Date: date(%d %b %Y)" in template("llama31").render([{"role": "system", "content": "S"}, *user()])


def test_a_template_without_a_system_role_gets_it_in_the_first_user_message() -> None:
    prompt = template("gemma2").render([{"role": "system", "content": "Be kind."}, *user()])
    assert prompt == "<s><start_of_turn>user\nBe kind.\n\nHi<end_of_turn>\n<start_of_turn>model\n"


def test_a_template_without_tools_gets_them_described_with_the_form_to_answer_in() -> None:
    chat = template("chatml")
    prompt = chat.render([{"role": "system", "content": "Be kind."}, *user()], tools=[WEATHER])
    assert prompt.startswith("<|im_start|>system\nBe kind.\n\nYou can call these tools:\n<tools>\n{")
    assert '<tool_call>\n{"name": "the_name", "arguments": {"parameter": "value"}}\n</tool_call>' in prompt
    assert chat.family.calls == GENERIC.calls
    assert "tool\u2581sep\uff5c>the_name\n```json" in template("deepseek").render(user(), tools=[WEATHER])


def test_mistral_ids_are_made_to_fit_and_still_match_their_results() -> None:
    prompt = template("mistral").render(LONG[2:3] + LONG[4:6])
    call_id = prompt.partition('"id": "')[2].partition('"')[0]
    assert len(call_id) == 9
    assert f'"call_id": "{call_id}"' in prompt


def test_a_refusal_carries_the_templates_own_sentence() -> None:
    with pytest.raises(TemplateRefused) as refusal:
        template("llama31").render([*user(), {"role": "assistant", "content": None, "tool_calls": [CALL, CALL]}])
    assert refusal.value.message == "This model only supports single tool-calls at once!"
    assert (refusal.value.status, refusal.value.param) == (400, "messages")


@pytest.mark.parametrize(
    "source", ["{% if %}", "{{ 1 +", "{% for x in y %}", "{{ x | no_such_filter }}", "{% unknown %}"]
)
def test_a_source_that_does_not_parse_is_refused_at_construction(source: str) -> None:
    with pytest.raises(BadTemplate):
        ChatTemplate(source)


def test_a_template_cannot_change_what_the_caller_sent() -> None:
    sent = [{"role": "user", "content": "Hi", "tags": ["a"]}]
    assert ChatTemplate("{% set _ = messages.append(1) %}{{ messages | length }}").render(sent) == "2"
    assert sent == [{"role": "user", "content": "Hi", "tags": ["a"]}]


def test_loop_controls_generation_blocks_and_plain_json_work_as_on_the_hub() -> None:
    source = (
        "{% for m in messages %}{% if loop.index > 1 %}{% break %}{% endif %}{% generation %}"
        "{{ {'a': m.content} | tojson }}{% endgeneration %}{{ loop.last }}{{ loop.length }}{% endfor %}"
    )
    assert (
        ChatTemplate(source).render([*user("<\u00e9>"), {"role": "assistant", "content": "B"}])
        == '{"a": "<\u00e9>"}False2'
    )


@pytest.mark.parametrize(
    ("messages", "param", "words"),
    [
        ([], "messages", "at least one"),
        ([{"role": "robot", "content": "x"}], "messages.0.role", "robot"),
        ([{"content": "x"}], "messages.0.role", "None"),
        ([*user(), {"role": "user", "content": [{"type": "image_url"}]}], "messages.1.content", "--engine stock"),
        ([{"role": "user", "content": 3}], "messages.0.content", "list of parts"),
        ([{"role": "user", "content": ["x"]}], "messages.0.content", "part"),
        ([{"role": "user", "content": [{"type": "text"}]}], "messages.0.content", "part"),
        ([{"role": "assistant", "tool_calls": {}}], "messages.0.tool_calls", "list"),
        ([{"role": "assistant", "tool_calls": [{}]}], "messages.0.tool_calls.0.function", "name"),
    ],
)  # fmt: skip
def test_messages_that_cannot_be_read_are_refused_by_name(messages: list[Any], param: str, words: str) -> None:
    with pytest.raises(RequestError) as refusal:
        template("chatml").render(messages)
    assert refusal.value.param == param
    assert words in refusal.value.message


def test_half_a_character_from_broken_json_does_not_reach_the_tokeniser() -> None:
    assert "a?b" in template("chatml").render(user("a\ud83db"))


def test_a_message_cannot_make_it_hard_to_find_where_to_continue() -> None:
    text = "CONTINUE" + "-HERE" * 100_000
    began = time.thread_time()
    prompt = template("chatml").render([*user(text), {"role": "assistant", "content": text}], continue_last=True)
    assert prompt.endswith(text)
    assert time.thread_time() - began < 1


def test_only_a_plain_assistant_message_can_be_continued() -> None:
    with pytest.raises(RequestError, match="continued"):
        template("chatml").render(user(), continue_last=True)
    with pytest.raises(RequestError, match="continued"):
        template("chatml").render([*user(), {"role": "assistant", "tool_calls": [CALL]}], continue_last=True)


@pytest.mark.parametrize(
    ("name", "prompt"),
    [
        ("chatml", "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"),
        ("llama-2", "<s>[INST] Hi [/INST]"),
        (
            "llama-3",
            "<s><|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|>"
            "<|start_header_id|>assistant<|end_header_id|>\n\n",
        ),
        ("gemma", "<s><start_of_turn>user\nHi<end_of_turn>\n<start_of_turn>model\n"),
        ("mistral-instruct", "<s>[INST] Hi [/INST]"),
        ("zephyr", "<|user|>\nHi</s>\n<|assistant|>\n"),
        ("vicuna", "USER: Hi ASSISTANT:"),
        ("alpaca", "### Instruction:\nHi\n\n### Response:\n"),
    ],
)  # fmt: skip
def test_named_templates_write_the_prompt_their_models_know(name: str, prompt: str) -> None:
    assert template(name).render(user()) == prompt


def test_a_named_template_holds_a_conversation_with_a_system_message() -> None:
    talk = [{"role": "system", "content": "S"}, *user("A"), {"role": "assistant", "content": "B"}, *user("C")]
    assert template("llama-2").render(talk) == "<s>[INST] <<SYS>>\nS\n<</SYS>>\n\nA [/INST] B </s><s>[INST] C [/INST]"
    assert template("vicuna").render(talk) == "S USER: A ASSISTANT: B</s>USER: C ASSISTANT:"


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(UnknownTemplate, match=r"chatml, .*alpaca") as refusal:
        builtin("chatlm")
    assert refusal.value.status == 400


@pytest.mark.model
def test_the_embedded_models_own_template_renders_and_takes_described_tools() -> None:
    import llama_cpp

    from tests.processes import MODEL

    model = llama_cpp.Llama(str(MODEL), vocab_only=True, verbose=False)
    chat = ChatTemplate(model.metadata["tokenizer.chat_template"], bos="<|im_start|>", eos="<|im_end|>")
    prompt = chat.render(user("Hello"))
    assert prompt.startswith("<|im_start|>system\nYou are a helpful AI assistant")
    assert prompt.endswith("<|im_start|>user\nHello<|im_end|>\n<|im_start|>assistant\n")
    assert (chat.capabilities.system, chat.capabilities.tools, chat.family.name) == (True, False, "generic")
    assert "Forecast <b>" in chat.render(LONG, tools=[WEATHER])
