"""Ask the model server, over the openai SDK, in a way that another thread can cut short at any moment.

The only module of the chatbot that knows the SDK. The SDK is imported on first use: it takes longer to import
than the rest of the program.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from chatbot.core.cancel import Cancel
from chatbot.core.context import as_text, estimate
from chatbot.core.events import Message, Progress, Queued, Reading
from chatbot.core.model import About, Health, ModelInfo, read_about, read_health, read_info
from chatbot.errors import (
    ChatError,
    ContextFull,
    ModelAway,
    ModelBusy,
    ModelError,
    ModelGone,
    ModelLoading,
    NoChatTemplate,
)

if TYPE_CHECKING:
    import httpx2
    import openai

_CONNECT_TIMEOUT_S = 5.0
_QUICK_TIMEOUT_S = 3.0
_BY_CODE: Mapping[str, type[ModelError]] = {
    "context_length_exceeded": ContextFull,
    "model_loading": ModelLoading,
    "no_chat_template": NoChatTemplate,
    "queue_full": ModelBusy,
    "queue_timeout": ModelBusy,
}
# A server that knows this preference (RFC 7240) tells how long the queue is and how far it has read; others ignore it.
_WANT_PROGRESS: Mapping[str, str] = {"Prefer": "return-progress"}
_MOST_BEFORE = 100_000


@dataclass(frozen=True)
class Piece:
    """Some text, the reason why the answer ended, what it cost, or how far it is; any of them may be missing."""

    text: str = ""
    finish_reason: str | None = None
    usage: dict[str, int] | None = None
    progress: Progress | None = None


@dataclass(frozen=True)
class Ask:
    """One question to the model with its sampling. continues: the messages are one text for the model to go on with."""

    messages: Sequence[Message]
    model: str
    temperature: float
    max_tokens: int
    extra: Mapping[str, Any] = field(default_factory=dict)
    continues: bool = False


class ModelClient:
    """One model server. Safe to use from several threads: every answer has a connection of its own."""

    def __init__(self, url: str, api_key: str, answer_timeout_s: float) -> None:
        self._url = url.rstrip("/")
        self._key = api_key or "none"
        self._answer_timeout_s = answer_timeout_s

    def stream(self, ask: Ask, cancel: Cancel) -> Iterator[Piece]:
        """Yield the answer piece by piece; ends early, without an error, when cancel is set.

        Raises ModelAway, ModelLoading, ContextFull, NoChatTemplate or ModelError before the first piece, ModelGone
        after it.
        """
        connection = _Connection(self._tls)
        cancel.on_set(connection.cut)
        began = False
        try:
            with self._client(connection, self._answer_timeout_s) as client:
                for piece in self._pieces(client, ask):
                    began = True
                    if cancel.is_set:
                        return
                    yield piece
        except self._failures as why:
            if not cancel.is_set:
                raise self._translate(why, began=began) from why
        finally:
            cancel.on_set(None)

    def _pieces(self, client: openai.OpenAI, ask: Ask) -> Iterator[Piece]:
        finished = False
        for chunk in _chunks(client, ask):
            choice = chunk.choices[0] if chunk.choices else None
            finished = finished or bool(choice and choice.finish_reason)
            usage = chunk.usage.model_dump(include={"prompt_tokens", "completion_tokens"}) if chunk.usage else None
            text = (choice.text if ask.continues else choice.delta.content) if choice else ""
            progress = progress_of(chunk.model_extra or {})
            yield Piece(text or "", choice.finish_reason if choice else None, usage, progress)
        if not finished:
            raise ModelGone("the model server ended the answer before it was finished")

    def info(self, wanted: str = "") -> ModelInfo:
        """Ask about a model, the server's first unless one is wanted. Raises ModelAway, ModelLoading or ModelError."""
        try:
            with self._client(_Connection(self._tls), _QUICK_TIMEOUT_S) as client:
                found = next((each for each in client.models.list() if wanted in {"", each.id}), None)
        except self._failures as why:
            raise self._translate(why, began=False) from why
        if found is None and wanted:
            return ModelInfo(wanted)  # a server may know more names than it lists
        if found is None:
            raise ModelError(f"the server at {self._url} serves no model")
        meta = (found.model_extra or {}).get("meta")
        meta = meta if isinstance(meta, dict) else {}
        if meta.get("state") == "loading":
            raise ModelLoading("the model is still being loaded")
        return read_info(found.id, meta)

    def about(self, wanted: str = "") -> About:
        """Ask for what a person may want to know of a model. Raises as info; a server without a plan tells less."""
        import httpx2

        info = self.info(wanted)
        try:
            with self._http(_QUICK_TIMEOUT_S) as client:
                plan = client.get(f"{self._root}/plan", headers=self._key_header).json()
        except (httpx2.HTTPError, ValueError):
            plan = None
        return read_about(info, plan)

    def health(self) -> Health:
        """Look whether the server can answer; never raises for a server that is away."""
        import httpx2

        try:
            with self._http(_QUICK_TIMEOUT_S) as client:
                answer = client.get(f"{self._root}/health")
            body = answer.json() if answer.status_code in {200, 503} else {}
        except (httpx2.HTTPError, ValueError):
            return Health("away")
        return read_health(answer.status_code, body)

    def count_tokens(self, text: str) -> int:
        """Tokens of a text by the server's own tokenizer, or an estimate where it offers none."""
        import httpx2

        try:
            with self._http(self._answer_timeout_s) as client:
                url = f"{self._root}/extras/tokenize/count"
                answer = client.post(url, json={"input": text}, headers=self._key_header)
            return int(answer.json()["count"])
        except (httpx2.HTTPError, ValueError, KeyError, TypeError):
            return estimate(text)

    def _client(self, connection: _Connection, read_timeout_s: float) -> openai.OpenAI:
        import httpx2
        import openai

        timeout = httpx2.Timeout(read_timeout_s, connect=_CONNECT_TIMEOUT_S)
        http = httpx2.Client(transport=connection.transport(), timeout=timeout, trust_env=False)
        return openai.OpenAI(base_url=self._url, api_key=self._key, http_client=http, max_retries=0)

    def _http(self, timeout_s: float) -> httpx2.Client:
        """For what is none of OpenAI's API."""
        import httpx2

        return httpx2.Client(verify=self._tls, timeout=timeout_s, trust_env=False)

    @property
    def _root(self) -> str:
        return self._url.removesuffix("/v1")

    @property
    def _key_header(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self._key}"}

    @cached_property
    def _tls(self) -> ssl.SSLContext | bool:
        """Reading the certificates takes 70 ms, so only for https and only once."""
        return ssl.create_default_context() if self._url.startswith("https:") else False

    @cached_property
    def _failures(self) -> tuple[type[Exception], ...]:
        import httpx2
        import openai

        return (openai.OpenAIError, httpx2.HTTPError, ModelGone)

    def _translate(self, why: Exception, *, began: bool) -> ChatError:
        """Find the error of our tree; decided by types and codes, never by the text of a message."""
        import openai

        if isinstance(why, ChatError):
            return why
        if isinstance(why, openai.APIStatusError):
            return _BY_CODE.get(why.code or "", ModelError)(_said(why))
        if isinstance(why, openai.APITimeoutError):
            return ModelAway(f"the model server at {self._url} did not answer in time")
        if isinstance(why, openai.APIConnectionError) and not began:
            return ModelAway(f"nobody answers at {self._url}: start the model server with ./setup.sh")
        if isinstance(why, openai.APIError) and not isinstance(why, openai.APIConnectionError):
            return _BY_CODE.get(why.code or "", ModelError)(_said(why))
        return ModelGone("the model server went away in the middle of the answer")


def _chunks(client: openai.OpenAI, ask: Ask) -> Iterator[Any]:
    """Ask for the answer of a chat, or for the continuation of a text."""
    shared: dict[str, Any] = {
        "model": ask.model,
        "temperature": ask.temperature,
        "max_tokens": ask.max_tokens,
        "stream": True,
        "stream_options": {"include_usage": True},
        "extra_body": dict(ask.extra),
        "extra_headers": _WANT_PROGRESS,
    }
    if ask.continues:
        return iter(client.completions.create(prompt=as_text(ask.messages), **shared))
    messages: Any = [asdict(m) for m in ask.messages]
    return iter(client.chat.completions.create(messages=messages, **shared))


def progress_of(extra: Mapping[str, Any]) -> Progress | None:
    """Read what a chunk says of the queue or of the prompt; None when it says nothing that makes sense."""
    read = extra.get("prompt_progress")
    if isinstance(read, dict):
        total, processed = read.get("total"), read.get("processed")
        if type(total) is int and type(processed) is int and 0 <= processed <= total and total > 0:
            return Reading(100 * processed // total)
    n_before = extra.get("queue_position")
    return Queued(n_before) if type(n_before) is int and 0 < n_before <= _MOST_BEFORE else None


def _said(why: Any) -> str:
    """The server's own sentence, without the SDK's decoration."""
    body = why.body if isinstance(why.body, dict) else {}
    return str(body.get("message") or why.message)


class _Connection:
    """The connection of one answer. Its socket is kept so that cut() can wake a thread that waits for bytes."""

    def __init__(self, tls: ssl.SSLContext | bool) -> None:
        self._tls = tls
        self._sockets: list[socket.socket] = []
        self._cut = False

    def transport(self) -> httpx2.BaseTransport:
        """An httpx transport that reports its socket here (the trace extension of httpcore)."""
        import httpx2

        outer = self

        class Reporting(httpx2.HTTPTransport):
            def handle_request(self, request: httpx2.Request) -> httpx2.Response:
                request.extensions = {**request.extensions, "trace": outer.hear}
                return super().handle_request(request)

        return Reporting(verify=self._tls, trust_env=False)

    def hear(self, event: str, info: Mapping[str, Any]) -> None:
        """Called by httpcore at each step; keeps the socket of a connection that was made."""
        if event in {"connection.connect_tcp.complete", "connection.start_tls.complete"}:
            self._sockets.append(info["return_value"].get_extra_info("socket"))
            if self._cut:
                self.cut()

    def cut(self) -> None:
        """Shut the socket down; a blocked read in another thread returns at once."""
        self._cut = True
        for sock in self._sockets:
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
