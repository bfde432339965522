"""One request on its way: its text so far, and the events that tell its client. Pure; time comes in."""

from __future__ import annotations

from array import array
from collections.abc import Hashable

from llmserver.engine.hostcache import Blob
from llmserver.engine.plan import Sample, Traits
from llmserver.engine.prefix import tokens_of
from llmserver.engine.request import Event, Failed, Finished, Reading, Request, Token, Usage
from llmserver.errors import ContextExceeded, LlmServerError, RequestError
from llmserver.text.output import Output


class Answer:
    """A request's tokens, what of them is computed, and its clock.

    text: the prompt and the answer's tokens. done: how many of them are in cells. seq: the sequence that holds
    them, None while it waits. is_decoding: all that is left to compute is the token chosen last. cached: tokens
    that were there when it was admitted first.
    """

    def __init__(self, number: int, request: Request, traits: Traits, now: float) -> None:
        self.number, self.request = number, request
        self.text: array[int] = tokens_of(request.tokens)
        self.n_prompt = len(self.text)
        self.done = 0
        self.seq: int | None = None
        self.is_decoding = False
        self.cached: int | None = None
        self.position: int | None = None
        self.may_reuse = not request.prompt_logprobs
        self.scored = 0  # the first position of the prompt whose log probability is not told yet
        self.checkpoint = -1
        self.parked: Blob | None = None  # what keeps its text while it waits to go on
        self._traits = traits
        self._output = Output(request.stop)
        self.born = now
        self._admitted, self._first, self._last = now, 0.0, 0.0
        room = traits.n_ctx - self.n_prompt
        self._max = room if request.max_tokens is None else min(request.max_tokens, room)

    @property
    def scope(self) -> Hashable:
        """Text computed under one adapter is another text."""
        return self.request.adapter

    @property
    def n_generated(self) -> int:
        """Tokens of the answer."""
        return len(self.text) - self.n_prompt

    @property
    def pending(self) -> int:
        """Tokens that are not in cells yet."""
        return len(self.text) - self.done

    @property
    def most(self) -> int:
        """Tokens that the text may grow to."""
        return self.n_prompt + self._max

    def admit(self, seq: int, n: int, now: float) -> None:
        """The request got a sequence that holds n of its tokens already."""
        self.seq, self.done, self.is_decoding = seq, n, False
        if self.cached is None:
            self.cached, self._admitted = n, now

    def lose_place(self) -> None:
        """The request has no sequence any more; its text stays."""
        self.seq, self.done, self.checkpoint, self.is_decoding = None, 0, -1, False

    def reading(self, now: float) -> Reading:
        """How far the prompt is read."""
        return Reading(self.n_prompt, self.cached or 0, min(self.done, self.n_prompt), self._ms(self._admitted, now))

    def take(self, sample: Sample, now: float) -> tuple[Event, ...]:
        """Add a token; the events it makes, the last one Finished when the answer is whole."""
        self._first = self._first or now
        self._last = now
        token, request = sample.token, self.request
        if sample.ends or (token in self._traits.eog and not request.sampling.ignore_eos):
            return (self._finish("stop"),)
        self.text.append(token)
        self.is_decoding = True
        is_hidden = token in self._traits.hidden and token not in request.preserved
        text = self._output.feed(b"" if is_hidden else self._traits.pieces[token])
        event = Token(token, text, sample.logprob)
        if self._output.stopped is not None:
            return event, self._finish("stop")
        return (event, self._finish("length")) if self.n_generated >= self._max else (event,)

    def end_without_token(self, now: float) -> Finished:
        """The answer ends where it is: nothing was asked for."""
        self._first = self._last = now
        return self._finish("length")

    def fail(self, error: LlmServerError) -> Failed:
        """The answer will not come to its end."""
        return Failed(error)

    def _finish(self, reason: str) -> Finished:
        usage = Usage(
            prompt_tokens=self.n_prompt,
            cached_tokens=self.cached or 0,
            completion_tokens=self.n_generated,
            queue_ms=self._ms(self.born, self._admitted),
            prompt_ms=self._ms(self._admitted, self._first),
            predicted_ms=self._ms(self._first, self._last),
        )
        stopped = self._output.stopped
        return Finished(reason, usage, "" if stopped is not None else self._output.finish(), stopped)

    @staticmethod
    def _ms(begin: float, end: float) -> float:
        return round(max(0.0, end - begin) * 1000, 3)


def check_fits(n_tokens: int, n_ctx: int) -> None:
    """Raise ContextExceeded unless a prompt of so many tokens leaves room for one more, RequestError without any."""
    if n_tokens == 0:
        raise RequestError("the prompt is empty: send at least one token", param="prompt")
    if n_tokens >= n_ctx:
        better = -(-(n_tokens + 1024) // 1024) * 1024
        raise ContextExceeded(
            f"the prompt has {n_tokens} tokens, this model holds {n_ctx} with the answer: "
            f"shorten it or start the server with --n_ctx {better}"
        )
