"""Write the answer of a text completion in OpenAI's shape, streamed or whole, with echo and its log probabilities."""

from __future__ import annotations

import codecs
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from llmserver.api.answers import Head, finite, timings_of, usage_of
from llmserver.api.progress import progress_of
from llmserver.api.sse import DONE, quote, quote_text
from llmserver.engine.request import Event, Finished, Logprob, PromptLogprobs, Reading, Token, Waiting

_decoder = codecs.getincrementaldecoder("utf-8")


@dataclass(frozen=True)
class Prompt:
    """A prompt with its text; the first n_hidden of its tokens are not part of the text."""

    tokens: tuple[int, ...]
    n_hidden: int
    text: str


@dataclass(frozen=True)
class Asked:
    """What an answer's shape depends on. n_runs answers are computed for each prompt, n of them are given."""

    prompts: tuple[Prompt, ...]
    n: int
    n_runs: int
    has_echo: bool
    has_logprobs: bool
    include_usage: bool


@dataclass
class _Choice:
    """One answer on its way: what of its prompt and of its tokens was not written yet."""

    pieces: Sequence[bytes]
    decode: Any = field(default_factory=lambda: _decoder("replace").decode)
    offset: int = 0
    has_begun: bool = False
    of_prompt: dict[int, Logprob] = field(default_factory=dict)
    pending: list[tuple[int, Logprob | None]] = field(default_factory=list)

    def logprobs(self) -> dict[str, Any]:
        """The legacy object for the pending tokens."""
        out: dict[str, Any] = {"tokens": [], "token_logprobs": [], "top_logprobs": [], "text_offset": []}
        for token, logprob in self.pending:
            out["tokens"].append(self._text(token))
            out["token_logprobs"].append(None if logprob is None else finite(logprob.value))
            out["top_logprobs"].append(None if logprob is None else self._top(logprob))
            out["text_offset"].append(self.offset)
            self.offset += len(self.decode(self.pieces[token]))
        self.pending.clear()
        return out

    def _top(self, logprob: Logprob) -> dict[str, float]:
        """The alternatives by their text, and the chosen token among them."""
        found = {self._text(token): finite(value) for token, value in logprob.top}
        return {**found, self._text(logprob.token): finite(logprob.value)}

    def _text(self, token: int) -> str:
        return self.pieces[token].decode("utf-8", "replace")


class CompletionWriter:
    """Writer of /v1/completions."""

    prompt_field = "prompt"

    def __init__(self, head: Head, asked: Asked, pieces: Sequence[bytes]) -> None:
        self._head, self._asked = head, asked
        n_requests = len(asked.prompts) * asked.n_runs
        self._choices = [_Choice(pieces) for _ in range(n_requests)]
        self._finished: dict[int, Finished] = {}
        self._begin = f"data: {quote(head.fields())[:-1]}"
        self._end = (',"usage":null' if asked.include_usage else "") + "}\n\n"

    def render(self, index: int, event: Event) -> str:
        """One chunk for an event that adds to the answer, else nothing."""
        text, reason = self._take(index, event)
        choice = self._choices[index]
        if reason is None and not text and not (self._asked.has_logprobs and choice.pending):
            return ""
        logprobs = quote(choice.logprobs()) if self._asked.has_logprobs else "null"
        timings = ""
        if reason is not None and len(self._finished) == len(self._choices):
            timings = f',"timings":{quote(timings_of(self._ends()))}'
        return (
            f'{self._begin},"choices":[{{"text":{quote_text(text)},"index":{index},"logprobs":{logprobs},'
            f'"finish_reason":{quote(reason)}}}]{timings}{self._end}'
        )

    def progress(self, index: int, event: Waiting | Reading) -> str:
        """A chunk without text that tells how far the prompt is."""
        return (
            f'{self._begin},"choices":[{{"text":"","index":{index},"logprobs":null,"finish_reason":null}}], '
            f"{progress_of(event)}{self._end}"
        )

    def end(self) -> str:
        """The token counts where they were asked for, and the mark of the end."""
        usage = ""
        if self._asked.include_usage:
            counts = quote(usage_of(self._ends(), self._asked.n_runs))
            usage = f'{self._begin},"choices":[],"usage":{counts}}}\n\n'
        return usage + DONE.decode()

    def whole(self, answers: Sequence[Sequence[Event]]) -> dict[str, Any]:
        """The body with the n best answers to each prompt."""
        choices = []
        n, n_runs = self._asked.n, self._asked.n_runs
        for first in range(0, len(answers), n_runs):
            runs = range(first, first + n_runs)
            entries = {i: self._whole_choice(i, answers[i]) for i in runs}
            best = sorted(runs, key=lambda i: -_mean(answers[i]))[:n] if n < n_runs else runs
            choices += [entries[i] for i in best]
        for index, choice in enumerate(choices):
            choice["index"] = index
        ends = self._ends()
        return {
            **self._head.fields(),
            "choices": choices,
            "usage": usage_of(ends, n_runs),
            "timings": timings_of(ends),
        }

    def _whole_choice(self, index: int, events: Sequence[Event]) -> dict[str, Any]:
        taken = [self._take(index, event) for event in events]
        logprobs = self._choices[index].logprobs() if self._asked.has_logprobs else None
        text = "".join(text for text, _ in taken)
        return {"text": text, "index": index, "logprobs": logprobs, "finish_reason": taken[-1][1]}

    def _take(self, index: int, event: Event) -> tuple[str, str | None]:
        """The text that an event adds, and the reason when it ends the answer."""
        choice = self._choices[index]
        if isinstance(event, Token):
            echo = self._echo(index)
            if self._asked.has_logprobs:
                choice.pending.append((event.token, event.logprob))
            return echo + event.text, None
        if isinstance(event, Finished):
            self._finished[index] = event
            return self._echo(index) + event.text, event.reason
        if isinstance(event, PromptLogprobs):
            choice.of_prompt.update(enumerate(event.values, event.first))
        return "", None

    def _echo(self, index: int) -> str:
        """The prompt's text before the first of the answer."""
        choice = self._choices[index]
        if choice.has_begun or not self._asked.has_echo:
            return ""
        choice.has_begun = True
        prompt = self._asked.prompts[index // self._asked.n_runs]
        if self._asked.has_logprobs:
            told = [(token, choice.of_prompt.get(i)) for i, token in enumerate(prompt.tokens)]
            choice.pending += told[prompt.n_hidden :]
        return prompt.text

    def _ends(self) -> list[Finished]:
        return [self._finished[i] for i in sorted(self._finished)]


def _mean(events: Sequence[Event]) -> float:
    values = [event.logprob.value for event in events if isinstance(event, Token) and event.logprob]
    return sum(values) / len(values) if values else -math.inf
