"""Write the answer of a chat completion in OpenAI's shape, streamed or whole, from the same deltas.

All of a chunk but its delta is the same for every chunk of a choice: it is rendered once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from llmserver.api.answers import Head, logprob_entry, timings_of, usage_of
from llmserver.api.progress import progress_of
from llmserver.api.sse import DONE, quote, quote_text
from llmserver.engine.request import Event, Finished, Reading, Token, Waiting
from llmserver.text.answer import AnswerParser
from llmserver.text.deltas import CallArguments, CallBegin, Delta, Reasoning, Text


class _Choice:
    """One answer on its way, with its ready-made parts of chunks."""

    def __init__(self, index: int, begin: str, parser: AnswerParser) -> None:
        self.parser = parser
        self.has_begun = False
        self.logprobs: list[dict[str, Any]] = []
        self.before_delta = f'{begin},"choices":[{{"index":{index},"delta":'
        self.before_text = f'{self.before_delta}{{"content":'
        self.before_thought = f'{self.before_delta}{{"reasoning_content":'

    def deltas(self, event: Event) -> Sequence[Delta]:
        """What an event adds to the answer."""
        if isinstance(event, Token):
            return self.parser.feed(event.text) if event.text else ()
        if isinstance(event, Finished):
            return [*self.parser.feed(event.text), *self.parser.finish()]
        return ()

    def finish_reason(self, reason: str) -> str:
        """OpenAI's word for why the answer ended."""
        return "tool_calls" if reason == "stop" and self.parser.n_calls else reason

    def take_logprobs(self) -> dict[str, Any] | None:
        """The entries that no chunk carried yet."""
        if not self.logprobs:
            return None
        taken, self.logprobs = self.logprobs, []
        return {"content": taken, "refusal": None}


class ChatWriter:
    """Writer of /v1/chat/completions; one parser a choice."""

    prompt_field = "messages"

    def __init__(
        self,
        head: Head,
        parsers: Sequence[AnswerParser],
        pieces: Sequence[bytes],
        *,
        has_logprobs: bool,
        include_usage: bool,
    ) -> None:
        self._head, self._pieces, self._has_logprobs, self._include_usage = head, pieces, has_logprobs, include_usage
        self._begin = f"data: {quote(head.fields())[:-1]}"
        self._choices = [_Choice(i, self._begin, parser) for i, parser in enumerate(parsers)]
        self._finished: dict[int, Finished] = {}
        self._no_usage = ',"usage":null' if include_usage else ""
        self._after = f',"logprobs":null,"finish_reason":null}}]{self._no_usage}}}\n\n'

    def render(self, index: int, event: Event) -> str:
        """The chunks for an event: the role before the first, one a delta, the reason in the last."""
        choice = self._choices[index]
        chunks = "" if choice.has_begun else self._role(choice)
        if self._has_logprobs:
            self._note_logprob(choice, event)
        for delta in choice.deltas(event):
            after = self._after if not choice.logprobs else self._after_logprobs(choice)
            if isinstance(delta, Text):
                chunks += f"{choice.before_text}{quote_text(delta.text)}}}{after}"
            elif isinstance(delta, Reasoning):
                chunks += f"{choice.before_thought}{quote_text(delta.text)}}}{after}"
            else:
                chunks += f"{choice.before_delta}{call_json(delta)}{after}"
        if isinstance(event, Finished):
            chunks += self._last(index, choice, event)
        return chunks

    def _role(self, choice: _Choice) -> str:
        choice.has_begun = True
        return f'{choice.before_delta}{{"role":"assistant","content":""}}{self._after}'

    def _note_logprob(self, choice: _Choice, event: Event) -> None:
        if isinstance(event, Token) and event.logprob is not None:
            choice.logprobs.append(logprob_entry(event.logprob, self._pieces))

    def _after_logprobs(self, choice: _Choice) -> str:
        return f',"logprobs":{quote(choice.take_logprobs())},"finish_reason":null}}]{self._no_usage}}}\n\n'

    def _last(self, index: int, choice: _Choice, event: Finished) -> str:
        self._finished[index] = event
        is_all = len(self._finished) == len(self._choices)
        timings = f',"timings":{quote(timings_of(self._ends()))}' if is_all else ""
        return (
            f'{choice.before_delta}{{}},"logprobs":{quote(choice.take_logprobs())},'
            f'"finish_reason":{quote(choice.finish_reason(event.reason))}}}]{self._no_usage}{timings}}}\n\n'
        )

    def progress(self, index: int, event: Waiting | Reading) -> str:
        """A chunk without content that tells how far the prompt is."""
        choice = self._choices[index]
        return (
            f'{choice.before_delta}{{}},"finish_reason":null,"logprobs":null}}]{self._no_usage},'
            f"{progress_of(event)}}}\n\n"
        )

    def end(self) -> str:
        """The token counts where they were asked for, and the mark of the end."""
        usage = ""
        if self._include_usage:
            counts = quote(usage_of(self._ends(), len(self._choices)))
            usage = f'{self._begin},"choices":[],"usage":{counts}}}\n\n'
        return usage + DONE.decode()

    def whole(self, answers: Sequence[Sequence[Event]]) -> dict[str, Any]:
        """The body with all choices."""
        choices = [self._whole_choice(index, events) for index, events in enumerate(answers)]
        return {
            **self._head.fields(),
            "choices": choices,
            "usage": usage_of(self._ends(), len(self._choices)),
            "timings": timings_of(self._ends()),
        }

    def _whole_choice(self, index: int, events: Sequence[Event]) -> dict[str, Any]:
        choice = self._choices[index]
        deltas: list[Delta] = []
        for event in events:
            if self._has_logprobs:
                self._note_logprob(choice, event)
            deltas += choice.deltas(event)
        end = events[-1]
        assert isinstance(end, Finished)  # noqa: S101 - send_whole has seen to it
        self._finished[index] = end
        logprobs = choice.take_logprobs() or {"content": [], "refusal": None} if self._has_logprobs else None
        return {
            "index": index,
            "message": message_of(deltas),
            "logprobs": logprobs,
            "finish_reason": choice.finish_reason(end.reason),
        }

    def _ends(self) -> list[Finished]:
        return [self._finished[i] for i in sorted(self._finished)]


def call_json(delta: CallBegin | CallArguments) -> str:
    """The delta object of a tool call's beginning, or of a piece of its arguments."""
    if isinstance(delta, CallArguments):
        return f'{{"tool_calls":[{{"index":{delta.index},"function":{{"arguments":{quote_text(delta.text)}}}}}]}}'
    function = f'{{"name":{quote_text(delta.name)},"arguments":""}}'
    call = f'{{"index":{delta.index},"id":{quote(delta.id)},"type":"function","function":{function}}}'
    return f'{{"tool_calls":[{call}]}}'


def message_of(deltas: Sequence[Delta]) -> dict[str, Any]:
    """The message that the deltas add up to."""
    text = "".join(delta.text for delta in deltas if isinstance(delta, Text))
    thought = "".join(delta.text for delta in deltas if isinstance(delta, Reasoning))
    begins = [delta for delta in deltas if isinstance(delta, CallBegin)]
    arguments = {begin.index: "" for begin in begins}
    for delta in deltas:
        if isinstance(delta, CallArguments):
            arguments[delta.index] += delta.text
    message: dict[str, Any] = {"role": "assistant", "content": text if text or not begins else None, "refusal": None}
    if thought:
        message["reasoning_content"] = thought
    if begins:
        message["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": arguments[call.index]}}
            for call in begins
        ]
    return message
