"""Decide the prompt: messages, tools and a model's chat template in, the text that is tokenised out.

It knows the template's language and what the template can say; nothing of tokens, sampling or HTTP.
"""

from __future__ import annotations

import dataclasses
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from llmserver.errors import RequestError
from llmserver.text.budget import Clock
from llmserver.text.errors import TemplateRefused
from llmserver.text.fallbacks import NAMES, builtin
from llmserver.text.families import GENERIC, Family, recognise
from llmserver.text.messages import Capabilities, describe_tools, fit, read_messages
from llmserver.text.probes import probe
from llmserver.text.sandbox import Compiled

__all__ = ["NAMES", "Capabilities", "ChatTemplate", "builtin"]

_OWN_VARIABLES = frozenset(("messages", "tools", "add_generation_prompt", "bos_token", "eos_token"))
_NOTHING: Mapping[str, Any] = MappingProxyType({})


class ChatTemplate:
    """A model's chat template: renders prompts, and says what it is capable of.

    `bos` and `eos` are the texts of the model's tokens. A prompt may begin with `bos`: tokenise it without adding
    another. `strftime` answers templates that write today's date.
    """

    def __init__(
        self, source: str, *, bos: str = "", eos: str = "", strftime: Callable[[str], str] = time.strftime
    ) -> None:
        self._compiled = Compiled(source, strftime)
        self._tokens = {"bos_token": bos, "eos_token": eos}
        self._no_tools: list[Any] | None = None
        clock = Clock()  # all probes together have the time of one rendering

        def render(messages: Sequence[Mapping[str, Any]], **variables: Any) -> str:
            return self._run(messages, clock, **variables)

        if not _says_hello(render):  # some loop over the tools without asking whether there are any
            self._no_tools = []
        self.capabilities: Capabilities = probe(render)
        family = recognise(source)
        is_native = family.name != GENERIC.name and (self.capabilities.tools or self.capabilities.tool_calls)
        if not is_native:
            family = dataclasses.replace(GENERIC, thought=family.thought, noise=family.noise)
        self.family: Family = family
        # Calls that nobody could read back are of no use: then tools are described in our own words throughout.
        self._can = self.capabilities if is_native else dataclasses.replace(self.capabilities, tool_calls=False)
        self._shows_tools = is_native and self.capabilities.tools

    def render(
        self,
        messages: Sequence[Mapping[str, Any]],
        *,
        tools: Sequence[Mapping[str, Any]] | None = None,
        extra: Mapping[str, Any] = _NOTHING,
        continue_last: bool = False,
    ) -> str:
        """Return the prompt. `extra` are the template's own variables (chat_template_kwargs), such as enable_thinking.

        `continue_last`: the last message is the assistant's and goes on where it ends. TemplateRefused carries the
        template's own sentence, RequestError names the message that cannot be read.
        """
        taken = sorted(_OWN_VARIABLES & set(extra))
        if taken:
            raise RequestError(f"chat_template_kwargs cannot set {', '.join(taken)}", param="chat_template_kwargs")
        read = read_messages(messages)
        variables = dict(extra)
        if tools and self._shows_tools:
            variables["tools"] = tools
        elif tools:
            read = describe_tools(read, tools, self.family.calls.layout)
        if continue_last:
            return self._continued(read, variables)
        return self._run(self._fitted(read), **variables)

    def _fitted(self, messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return fit(messages, self._can, self.family)

    def _run(self, messages: Sequence[Mapping[str, Any]], clock: Clock | None = None, /, **variables: Any) -> str:
        own = {"messages": messages, "tools": self._no_tools, "add_generation_prompt": True}
        prompt = self._compiled.render({**self._tokens, **own, **variables}, clock)
        return prompt.encode("utf-8", "replace").decode()  # JSON may carry halves of characters, tokenisers take none

    def _continued(self, messages: list[dict[str, Any]], variables: Mapping[str, Any]) -> str:
        """Render with a mark at the end of the last message, and cut there: what ends a turn comes after it."""
        last = messages[-1]
        if last["role"] != "assistant" or "tool_calls" in last:
            raise RequestError("only an assistant message without tool_calls can be continued", param="messages")
        mark = f"CONTINUE-{secrets.token_hex(8)}"  # by chance: no message can hold it
        marked = self._fitted([*messages[:-1], {**last, "content": last["content"] + mark}])
        prompt = self._run(marked, add_generation_prompt=False, **variables)
        before, found, _ = prompt.rpartition(mark)
        if not found:
            raise TemplateRefused("the chat template leaves out the last assistant message: it cannot be continued")
        return before


def _says_hello(render: Callable[..., str]) -> bool:
    try:
        return bool(render([{"role": "user", "content": "hello"}]))
    except TemplateRefused:
        return False
