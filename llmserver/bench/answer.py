"""Decide what one reply was: its text, when each piece of it came, and whether it ended as it should. No sockets."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from llmserver.bench.wire import BrokenReply, Events, Reply

_SHOWN = 160


@dataclass(frozen=True)
class Answer:
    """One reply. Times are seconds after `sent`, which is time.perf_counter() before the connection was opened."""

    sent: float
    total_s: float
    status: int = 0
    """0 when no reply came."""
    text: str = ""
    stamps: tuple[float, ...] = ()
    """When each chunk with text was read; text inside <think> (reasoning_content) counts here, not in `text`."""
    finish_s: float | None = None
    finish_reasons: tuple[str, ...] = ()
    n_done: int = 0
    n_after_done: int = 0
    n_prompt: int | None = None
    n_completion: int | None = None
    n_cached: int | None = None
    """Prompt tokens that the server says it did not have to read again."""
    error: str = ""
    is_streamed: bool = False
    is_cancelled: bool = False
    retry_after: str = ""
    body: bytes = b""
    """Of a reply that is no stream."""

    @property
    def first_s(self) -> float | None:
        """Time to the first chunk with text."""
        return self.stamps[0] if self.stamps else None

    @property
    def gaps(self) -> list[float]:
        """Seconds between chunks with text."""
        return [b - a for a, b in pairwise(self.stamps)]

    @property
    def is_finished(self) -> bool:
        """Whether the answer says why it ended, and nothing went wrong."""
        return bool(self.finish_reasons) and not self.error

    @property
    def is_cut_off(self) -> bool:
        """Whether an answer began well and ended without a finish_reason, and not because we left."""
        return self.status == 200 and not (self.finish_reasons or self.error or self.is_cancelled)

    @property
    def is_ended_once(self) -> bool:
        """Whether exactly one end came: one finish_reason (and one [DONE], the last, of a stream) or one error."""
        if self.error:
            return not self.finish_reasons and self.status > 0
        ends = (self.n_done, self.n_after_done) if self.is_streamed else (1, 0)
        return len(self.finish_reasons) == 1 and ends == (1, 0)

    @property
    def n_tokens(self) -> int:
        """Tokens as the server counts them, else chunks with text."""
        return len(self.stamps) if self.n_completion is None else self.n_completion

    @property
    def decode_rate(self) -> float | None:
        """Tokens a second after the first, up to the chunk with finish_reason; None for an unfinished answer."""
        if not self.is_finished or self.finish_s is None or self.first_s is None or self.n_tokens < 2:
            return None
        return (self.n_tokens - 1) / max(self.finish_s - self.first_s, 1e-9)


class Recorder:
    """Collects one reply: notes the time of what is read, and takes it apart when the answer is wanted.

    on_text is told the number of chunks with text so far, for which the reply is taken apart while it comes.
    """

    def __init__(self, *, wants_stream: bool = False, on_text: Callable[[int], None] | None = None) -> None:
        self.sent = time.perf_counter()
        self.reply = Reply()
        self._parts: list[tuple[float, bytes]] = []
        self._total_s: float | None = None
        self._is_cancelled = False
        self._stamps: list[float] = []
        self._events = Events()
        self._wants_stream = wants_stream
        self.on_text = on_text
        self._error = ""
        self._texts: list[str] = []
        self._finish_s: float | None = None
        self._finish_reasons: list[str] = []
        self._counts: dict[str, int] = {}
        self._body: list[bytes] = []
        self._n_done = self._n_after_done = 0

    def read(self, data: bytes) -> None:
        """Take bytes that have just been read; their time is now."""
        at = time.perf_counter() - self.sent
        try:
            body = self.reply.feed(data)
        except BrokenReply as why:
            return self.fail(str(why))
        self._parts.append((at, body))
        if self.on_text:
            self._take_apart()
        return None

    def end(self, *, is_cancelled: bool = False) -> None:
        """Note that it is over now, because we left or because nothing more comes."""
        self._total_s = time.perf_counter() - self.sent
        self._is_cancelled = is_cancelled

    def fail(self, why: str) -> None:
        """Note what went wrong; the first reason stays."""
        self._error = self._error or why

    def answer(self) -> Answer:
        """What came, as a whole."""
        if self._total_s is None:
            self.end()
        total_s = self._total_s or 0.0
        self._take_apart()
        if not self._is_cancelled:
            self._conclude(total_s)
        return Answer(
            sent=self.sent,
            total_s=total_s,
            status=self.reply.status,
            text="".join(self._texts),
            stamps=tuple(self._stamps),
            finish_s=self._finish_s,
            finish_reasons=tuple(self._finish_reasons),
            n_done=self._n_done,
            n_after_done=self._n_after_done,
            n_prompt=self._counts.get("prompt"),
            n_completion=self._counts.get("completion"),
            n_cached=self._counts.get("cached"),
            error=self._error,
            is_streamed=self._is_streamed,
            is_cancelled=self._is_cancelled,
            retry_after=self.reply.headers.get("retry-after", ""),
            body=b"".join(self._body),
        )

    @property
    def _is_streamed(self) -> bool:
        return "text/event-stream" in self.reply.headers.get("content-type", "")

    def _take_apart(self) -> None:
        parts, self._parts = self._parts, []
        is_streamed = self._is_streamed
        for at, body in parts:
            if not is_streamed:
                self._body.append(body)
                continue
            for event in self._events.feed(body):
                self._read_event(event, at)
        if self._events.stray:
            self.fail(f"no line of an event stream: {self._events.stray[:_SHOWN]!r}")

    def _conclude(self, at: float) -> None:
        if not self.reply.status:
            return self.fail("the connection closed before a reply came")
        if self.reply.status != 200:
            return self.fail(f"{self.reply.status}: {_message(b''.join(self._body))}")
        if self._is_streamed:
            if self._finish_reasons and not self.reply.is_complete:
                self.fail("the connection closed before the end of the stream")
        elif self._wants_stream:
            self.fail(f"asked for a stream, got {self.reply.headers.get('content-type', 'no content type')}")
        elif not self.reply.is_complete:
            self.fail("the connection closed before the end of the reply")
        else:
            self._read_whole(at)
        return None

    def _read_whole(self, at: float) -> None:
        try:
            found = json.loads(b"".join(self._body))
        except ValueError:
            return self.fail(f"the reply is not JSON: {b''.join(self._body)[:_SHOWN]!r}")
        return self._read_chunk(found, at)

    def _read_event(self, event: bytes, at: float) -> None:
        if self._n_done:
            self._n_after_done += 1
        if event == b"[DONE]":
            self._n_done += 1
            return None
        try:
            chunk = json.loads(event)
        except ValueError:
            return self.fail(f"not JSON in the stream: {event[:_SHOWN]!r}")
        return self._read_chunk(chunk, at)

    def _read_chunk(self, chunk: Any, at: float) -> None:
        if not isinstance(chunk, dict):
            return self.fail(f"no object in the stream: {str(chunk)[:_SHOWN]}")
        if chunk.get("error"):
            return self.fail(f"error in the answer: {_message(json.dumps(chunk).encode())}")
        for choice in chunk.get("choices") or ():
            self._read_choice(choice, at)
        if chunk.get("usage") or chunk.get("timings"):
            self._counts |= _counts(chunk)
        return None

    def _read_choice(self, choice: dict[str, Any], at: float) -> None:
        part = choice.get("delta") or choice.get("message") or {}
        text = part.get("content") or ""
        if text:
            self._texts.append(text)
        if self._is_streamed and (text or part.get("reasoning_content")):
            self._stamps.append(at)
            if self.on_text:
                self.on_text(len(self._stamps))
        if choice.get("finish_reason"):
            self._finish_reasons.append(choice["finish_reason"])
            self._finish_s = at


def _counts(chunk: dict[str, Any]) -> dict[str, int]:
    """Token counts: OpenAI's usage, else llama-server's timings."""
    usage, timings = chunk.get("usage") or {}, chunk.get("timings") or {}
    cached = (usage.get("prompt_tokens_details") or {}).get("cached_tokens", timings.get("cache_n"))
    found = {"prompt": usage.get("prompt_tokens"), "completion": usage.get("completion_tokens"), "cached": cached}
    return {name: n for name, n in found.items() if isinstance(n, int)}


def _message(body: bytes) -> str:
    """The words of an error body, in one line."""
    try:
        found = json.loads(body)
    except ValueError:
        found = None
    inner = found.get("error", found.get("detail")) if isinstance(found, dict) else None
    words = inner.get("message") if isinstance(inner, dict) else inner
    return " ".join(str(words or body.decode("utf-8", "replace")).split())[:_SHOWN]
