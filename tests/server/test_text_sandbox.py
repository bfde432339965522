"""Chat templates by people who mean no good: each ends soon and in one line. Honest ones write what they always did."""

from __future__ import annotations

import copy
import re
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jinja2.sandbox import ImmutableSandboxedEnvironment

from llmserver.errors import RequestError
from llmserver.text import template
from llmserver.text.budget import Clock
from llmserver.text.errors import BadTemplate, TemplateRefused
from llmserver.text.sandbox import Compiled
from llmserver.text.template import ChatTemplate
from tests.server import honest_templates as honest
from tests.server import hostile_templates as hostile

MESSAGES = [{"role": "user", "content": "Hi, <b>you</b>"}, {"role": "assistant", "content": "Héllo\n\n  there"}]
TOOLS = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object", "required": ["a"]}}}]
CONTEXT: dict[str, Any] = {"messages": MESSAGES, "tools": TOOLS, "bos_token": "<s>", "n": 7, "text": "one two_three"}
_AT_MOST_S = 7.0


def render(source: str, limit_s: float = 2.0) -> str:
    return Compiled(source).render(CONTEXT, Clock(limit_s))


def timed(work: Callable[[], object]) -> float:
    began = time.thread_time()
    work()
    return time.thread_time() - began


@pytest.mark.parametrize("name", hostile.REFUSED)
def test_a_hostile_template_is_refused_in_one_line(name: str) -> None:
    def work() -> None:
        with pytest.raises(TemplateRefused) as refusal:
            render(hostile.REFUSED[name], 0.4)
        message = refusal.value.message
        assert message
        assert "\n" not in message
        assert len(message) < 1_000
        assert "MemoryError" not in message
        assert "0x" not in message, "an address in memory"

    assert timed(work) < 2


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("class", "access to attribute '__class__' of 'str' object is unsafe"),
        ("macro's function", "unsafe"),
        ("loops", "does not end: it was stopped after 400,000 steps"),
        ("hoarding", "more than 256 MiB of texts and lists"),
        ("hoarding slices", "more than 256 MiB"),
        ("hoarding blocks", "more than 256 MiB"),
        ("hoarding lists", "more than 256 MiB"),
        ("doubling", "a text of more than 8,000,000 characters"),
        ("doubling a list", "a list of more than 1,000,000 items"),
        ("hash of depth", "nests lists in more than 100 levels"),
        ("json of itself", "nests lists in more than 100 levels"),
        ("compare much", "a list of more than 1,000,000 items"),
        ("rfind", "searches a long text for a long text"),
        ("wide %", "wider than 1,000 characters"),
        ("recursion", "calls itself too deeply"),
    ],
)
def test_a_refusal_says_what_the_template_does_wrong(name: str, words: str) -> None:
    with pytest.raises(TemplateRefused, match=re.escape(words)):
        render(hostile.REFUSED[name])


def test_a_template_without_end_has_its_time_and_no_more() -> None:
    def work() -> None:
        with pytest.raises(TemplateRefused, match=r"does not end: it was stopped after 0\.4 s"):
            render(hostile.SLOW, 0.4)

    assert 0.4 <= timed(work) < 1


def test_time_that_others_take_does_not_count() -> None:
    clock = Clock(0.2)
    time.sleep(0.3)  # the thread does nothing
    assert not clock.is_over()
    until = time.thread_time() + 0.25
    while time.thread_time() < until:
        pass
    assert clock.is_over()


@pytest.mark.parametrize("name", hostile.NOT_COMPILED)
def test_a_source_that_nobody_should_compile_is_refused_in_one_line(name: str) -> None:
    def work() -> None:
        with pytest.raises(BadTemplate) as refusal:
            ChatTemplate(hostile.NOT_COMPILED[name])
        assert "\n" not in refusal.value.message
        assert len(refusal.value.message) < 1_000

    assert timed(work) < 3


def test_nothing_of_a_template_is_computed_while_it_is_compiled() -> None:
    source = "{% if no %}{{ 'a' * 10**9 }}{{ 'a' | upper | center }}{{ 9 ** 9 ** 9 }}{{ [1] * 10**9 }}{% endif %}x"
    assert timed(lambda: Compiled(source)) < 0.5
    assert render(source) == "x"


def test_probing_a_slow_template_takes_the_time_of_one_rendering(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(template, "Clock", partial(Clock, 0.4))
    assert timed(lambda: ChatTemplate(hostile.SLOW)) < 1


@pytest.mark.parametrize("at", ["messages[0].tags", "tools[0].function.parameters.required", "own.list"])
def test_a_template_cannot_reach_what_the_caller_keeps(at: str) -> None:
    given_values = {
        "messages": [{"role": "user", "content": "Hi", "tags": ["a"]}], "tools": TOOLS, "own": {"list": [1]}
    }  # fmt: skip
    before = copy.deepcopy(given_values)
    source = f"{{% set _ = {at}.append({at}) %}}{{{{ {at} | length }}}}"
    assert Compiled(source).render(given_values) == "2"
    assert given_values == before


def test_variables_of_a_request_may_have_any_name() -> None:
    chat = ChatTemplate("{{ messages[0].content }}{{ self }}{{ clock }}{{ range }}")
    extra = {"self": 1, "clock": 2, "range": 3, "budget": 4, "not a name": 5}
    assert chat.render([{"role": "user", "content": "Hi"}], extra=extra)[:2] == "Hi"


@pytest.mark.parametrize("source", honest.SAME_AS_JINJA)
def test_what_honest_templates_do_comes_out_as_from_jinja2(source: str) -> None:
    plain = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"])
    expected = plain.from_string(source).render(CONTEXT)
    assert render(source) == expected


def test_json_has_the_parameters_of_hugging_face() -> None:
    value = "{{ {'b': '<é>', 'a': [1, none]} | tojson%s }}"
    assert render(value % "") == '{"b": "<é>", "a": [1, null]}'
    assert render(value % "(sort_keys=true, separators=(',', ':'))") == '{"a":[1,null],"b":"<é>"}'
    assert render(value % "(ensure_ascii=true)") == '{"b": "<\\u00e9>", "a": [1, null]}'
    assert render(value % "(indent=2)") == '{\n  "b": "<é>",\n  "a": [\n    1,\n    null\n  ]\n}'


def test_a_long_conversation_is_rendered_well_within_the_time() -> None:
    chat = ChatTemplate(
        "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>\n' }}{% endfor %}"
    )
    messages = [{"role": "user" if i % 2 else "assistant", "content": f"{i} " * 600} for i in range(2_000)]
    assert timed(lambda: chat.render(messages)) < 1


@settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(0, 2**32))
def test_whatever_a_template_is_made_of_it_ends_in_text_or_in_one_of_our_errors(seed: int) -> None:
    source = hostile.made_of_parts(seed)

    def work() -> None:
        try:
            Compiled(source).render(CONTEXT, Clock(0.2))
        except (BadTemplate, RequestError) as why:
            assert "\n" not in why.message

    assert timed(work) < _AT_MOST_S
