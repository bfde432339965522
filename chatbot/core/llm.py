"""Ask the model server over HTTP, in a way that another thread can cut short at any moment.

The only module of the chatbot that asks it for answers.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import cached_property
from http.client import HTTPException, InvalidURL
from typing import TYPE_CHECKING, Any

from chatbot.core import sse
from chatbot.core.answers import NoModelServer, Piece, Refusal, models_in, piece_of
from chatbot.core.cancel import Cancel
from chatbot.core.connection import Connection, Reply
from chatbot.core.context import as_text
from chatbot.core.events import Message
from chatbot.core.model import About, Health, ModelInfo, meta_of, named, read_about, read_health, read_info
from chatbot.core.tokens import TokenCounts
from chatbot.core.wire import message_wire
from chatbot.errors import ChatError, ModelAway, ModelError, ModelGone, ModelLoading

if TYPE_CHECKING:
    import ssl

_QUICK_TIMEOUT_S = 3.0
_COUNT_TIMEOUT_S = 60.0
_MOST_BYTES = 8_000_000
# What reading JSON raises, and what an address or a key raises that no request can be made of.
_STUMBLES = (NoModelServer, sse.NotAStream, ValueError, RecursionError, InvalidURL)
_FAILURES = (OSError, HTTPException, Refusal, ModelGone, *_STUMBLES)
# A server that knows this preference (RFC 7240) tells how long the queue is and how far it has read; others ignore it.
_ASKING: Mapping[str, str] = {"Content-Type": "application/json", "Prefer": "return-progress"}


@dataclass(frozen=True)
class Ask:
    """One question to the model with its sampling; extra is what else the request has, and wins.

    continues: the messages are one text for the model to go on with.
    """

    messages: Sequence[Message]
    model: str
    temperature: float
    max_tokens: int
    extra: Mapping[str, Any] = field(default_factory=dict)
    continues: bool = False

    def path(self) -> str:
        """Where it is asked."""
        return "/completions" if self.continues else "/chat/completions"

    def body(self) -> bytes:
        """The request in OpenAI's form."""
        what = (
            {"prompt": as_text(self.messages)}
            if self.continues
            else {"messages": [message_wire(each) for each in self.messages]}
        )
        shared = {"model": self.model, "temperature": self.temperature, "max_tokens": self.max_tokens}
        body = {**what, **shared, "stream": True, "stream_options": {"include_usage": True}, **self.extra}
        return json.dumps(body, ensure_ascii=False).encode("utf-8", "replace")  # half a character cannot be sent


class ModelClient:
    """One model server. Safe to use from several threads: every answer has a connection of its own."""

    def __init__(self, url: str, api_key: str, answer_timeout_s: float) -> None:
        self._url = url.rstrip("/")
        self._key = api_key or "none"
        self._answer_timeout_s = answer_timeout_s
        self._counts = TokenCounts()

    def stream(self, ask: Ask, cancel: Cancel) -> Iterator[Piece]:
        """Yield the answer piece by piece; ends early, without an error, when cancel is set.

        Raises ModelAway, ModelLoading, ContextFull, NoChatTemplate or ModelError before the first piece, ModelGone
        after it.
        """
        connection = Connection(self._tls)
        cancel.on_set(connection.cut)
        began = False
        try:
            url = f"{self._url}{ask.path()}"
            with self._asked("POST", url, self._answer_timeout_s, ask.body(), _ASKING, connection) as reply:
                began = reply.status == 200 and not _kind(reply).startswith("text/html")
                for piece in _pieces(reply, continues=ask.continues):
                    if cancel.is_set:
                        return
                    yield piece
        except _FAILURES as why:
            if not cancel.is_set:
                raise self._translate(why, began=began, fields=tuple(ask.extra)) from why
        finally:
            cancel.on_set(None)

    def info(self, wanted: str = "") -> ModelInfo:
        """Ask about a model, the server's first unless one is wanted. Raises ModelAway, ModelLoading or ModelError."""
        found = next((each for each in self.models() if wanted in {"", each.name}), None)
        if found is None and wanted:
            return ModelInfo(wanted)  # a server may know more names than it lists
        if found is None:
            raise ModelError(f"the server at {self._url} serves no model")
        if found.state == "loading":
            raise ModelLoading("the model is still being loaded")
        return found

    def models(self) -> list[ModelInfo]:
        """All that the server offers to talk with, with the state of each. Raises ModelAway or ModelError."""
        try:
            with self._asked("GET", f"{self._url}/models", _QUICK_TIMEOUT_S) as reply:
                if reply.status != 200:
                    raise _refusal(reply)
                answer = json.loads(_read(reply))
                found = (read_info(each["id"], meta_of(each, answer)) for each in models_in(answer))
                return [info for info in found if info.is_for_text]
        except _FAILURES as why:
            raise self._translate(why, began=False) from why

    def named(self, wanted: str) -> str:
        """The name of a model as the server lists it; as it is, while nobody can say. Raises OptionRefused."""
        try:
            models = self.models()
        except ChatError:
            return wanted
        return named(wanted, models)

    def about(self, wanted: str = "") -> About:
        """Ask for what a person may want to know of a model. Raises as info; a server without a plan tells less."""
        info = self.info(wanted)
        answer = self._try("GET", "/plan", _QUICK_TIMEOUT_S)
        return read_about(info, answer[1] if answer else None)

    def health(self) -> Health:
        """Look whether the server can answer; never raises for a server that is away."""
        answer = self._try("GET", "/health", _QUICK_TIMEOUT_S, of_status=(200, 503))
        return read_health(*answer) if answer else Health("away")

    def count_tokens(self, text: str, model: str = "") -> int:
        """Tokens of a text by the server's own tokenizer, or an estimate where it offers none; asked once a text."""
        return self._counts.of(text, model, self._count)

    @property
    def estimates(self) -> bool:
        """Whether the last text that was new could only be estimated."""
        return self._counts.estimates

    def _count(self, text: str, model: str) -> int | None:
        body = {"input": text, "model": model} if model else {"input": text}
        answer = self._try("POST", "/extras/tokenize/count", _COUNT_TIMEOUT_S, body)
        count = answer[1].get("count") if answer and isinstance(answer[1], dict) else None
        return count if type(count) is int else None

    def _try(
        self, method: str, path: str, timeout_s: float, body: object = None, of_status: Sequence[int] = ()
    ) -> tuple[int, Any] | None:
        """Status and JSON of what is none of OpenAI's API; None where nothing that makes sense comes.

        of_status: only then the body is read.
        """
        try:
            sent = None if body is None else json.dumps(body).encode()
            headers = {} if body is None else {"Content-Type": "application/json"}
            with self._asked(method, f"{self._url.removesuffix('/v1')}{path}", timeout_s, sent, headers) as reply:
                is_read = not of_status or reply.status in of_status
                return reply.status, json.loads(_read(reply)) if is_read else {}
        except _FAILURES:
            return None

    def _asked(
        self,
        method: str,
        url: str,
        timeout_s: float,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        connection: Connection | None = None,
    ) -> AbstractContextManager[Reply]:
        """A request with the server's key. Raises what _FAILURES names."""
        sent = {"Authorization": f"Bearer {self._key}", "Accept-Encoding": "identity", **(headers or {})}
        return (connection or Connection(self._tls)).ask(method, url, sent, body, timeout_s=timeout_s)

    @cached_property
    def _tls(self) -> ssl.SSLContext | None:
        """Reading the certificates takes 70 ms, so only for https and only once."""
        if not self._url.startswith("https:"):
            return None
        import ssl

        return ssl.create_default_context()

    def _translate(self, why: Exception, *, began: bool, fields: Sequence[str] = ()) -> ChatError:
        """Find the error of our tree; decided by types, status and codes, never by the text of a message."""
        if isinstance(why, ChatError):
            return why
        if isinstance(why, Refusal):
            return why.translated(fields)
        if not began and (secrecy := _failed_secrecy(why)):
            return ModelAway(f"there is no safe connection to {self._url}: {secrecy}")
        if isinstance(why, _STUMBLES):
            if began:
                return ModelError("the model server sent something that is no part of an answer: ask again")
            return ModelError(f"what answers at {self._url} is no model server: give another --url")
        is_silent = isinstance(why, TimeoutError)
        if began and is_silent:
            return ModelGone(f"the model server said nothing for {self._answer_timeout_s:g} s: ask again")
        if began:
            return ModelGone("the model server went away in the middle of the answer")
        if is_silent:
            return ModelAway(f"the model server at {self._url} did not answer in time")
        return ModelAway(f"nobody answers at {self._url}: start the model server with ./setup.sh")


def _pieces(reply: Reply, *, continues: bool) -> Iterator[Piece]:
    """Read an answer as it comes. Raises Refusal, NoModelServer, and ModelGone for one without an end."""
    if reply.status != 200:
        raise _refusal(reply)
    if _kind(reply).startswith(("application/json", "text/html")):  # a server that knows no streams answers at once
        yield piece_of(json.loads(_read(reply)), continues=continues)
        return
    is_finished = False
    for data in sse.events(reply.pieces()):
        if data == "[DONE]":
            break
        piece = piece_of(json.loads(data), continues=continues)
        is_finished = is_finished or piece.finish_reason is not None
        yield piece
    if not is_finished:
        raise ModelGone("the model server ended the answer before it was finished")


def _failed_secrecy(why: BaseException | None) -> str:
    """What was wrong with the server's certificate or its TLS, where that is what an error comes from."""
    import ssl

    while why is not None:
        if isinstance(why, ssl.SSLCertVerificationError):
            return f"its certificate is not trusted ({why.verify_message})"
        if isinstance(why, ssl.SSLError):
            return f"TLS failed ({why.reason or 'no reason is known'})"
        why = why.__cause__ or why.__context__
    return ""


def _kind(reply: Reply) -> str:
    return reply.header("content-type")


def _refusal(reply: Reply) -> Refusal:
    """The server's error as it says it."""
    try:
        body = json.loads(_read(reply))
    except _STUMBLES:
        body = None
    error = body.get("error", body) if isinstance(body, dict) else None
    return Refusal(error, reply.status, reply.header("retry-after"))


def _read(reply: Reply) -> bytes:
    """The body. Raises NoModelServer for one without an end."""
    out = bytearray()
    for chunk in reply.pieces():
        out += chunk
        if len(out) > _MOST_BYTES:
            raise NoModelServer
    return bytes(out)
