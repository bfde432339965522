"""Ask the model server, over the openai SDK, in a way that another thread can cut short at any moment.

The only module of the chatbot that knows the SDK. The SDK is imported on first use: it takes longer to import
than the rest of the program.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from chatbot.core.answers import progress_of, refused, said_in, thought_in, usage_of
from chatbot.core.cancel import Cancel
from chatbot.core.connection import Connection
from chatbot.core.context import as_text
from chatbot.core.events import Message, Progress
from chatbot.core.model import About, Health, ModelInfo, read_about, read_health, read_info
from chatbot.core.tokens import TokenCounts
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
_COUNT_TIMEOUT_S = 60.0
_BY_CODE: Mapping[str, type[ModelError]] = {
    "context_length_exceeded": ContextFull,
    "model_loading": ModelLoading,
    "no_chat_template": NoChatTemplate,
    "queue_full": ModelBusy,
    "queue_timeout": ModelBusy,
}
# What the SDK raises at an answer that is none of the OpenAI API's.
_STUMBLES = (AttributeError, LookupError, TypeError, ValueError)
# A server that knows this preference (RFC 7240) tells how long the queue is and how far it has read; others ignore it.
_WANT_PROGRESS: Mapping[str, str] = {"Prefer": "return-progress"}


@dataclass(frozen=True)
class Piece:
    """Some text, the reason why the answer ended, what it cost, how far it is, or a thought; any may be missing."""

    text: str = ""
    finish_reason: str | None = None
    usage: dict[str, int] | None = None
    progress: Progress | None = None
    thought: str = ""


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
            with self._client(connection, self._answer_timeout_s) as client:
                for piece in self._pieces(client, ask):
                    began = True
                    if cancel.is_set:
                        return
                    yield piece
        except self._failures as why:
            if not cancel.is_set:
                raise self._translate(why, began=began, fields=tuple(ask.extra)) from why
        finally:
            cancel.on_set(None)

    def _pieces(self, client: openai.OpenAI, ask: Ask) -> Iterator[Piece]:
        finished = False
        for chunk in _chunks(client, ask):
            choice = chunk.choices[0] if chunk.choices else None
            finished = finished or bool(choice and choice.finish_reason)
            text = (choice.text if ask.continues else choice.delta.content) if choice else ""
            thought = thought_in(choice.delta) if choice and not ask.continues else ""
            progress = progress_of(chunk.model_extra or {})
            yield Piece(text or "", choice.finish_reason if choice else None, usage_of(chunk.usage), progress, thought)
        if not finished:
            raise ModelGone("the model server ended the answer before it was finished")

    def info(self, wanted: str = "") -> ModelInfo:
        """Ask about a model, the server's first unless one is wanted. Raises ModelAway, ModelLoading or ModelError."""
        try:
            with self._client(Connection(self._tls), _QUICK_TIMEOUT_S) as client:
                found = next((each for each in client.models.list() if wanted in {"", each.id}), None)
        except self._failures as why:
            raise self._translate(why, began=False) from why
        if found is None and wanted:
            return ModelInfo(wanted)  # a server may know more names than it lists
        if found is None:
            raise ModelError(f"the server at {self._url} serves no model")
        info = read_info(found.id, _meta_of(found))
        if info.state == "loading":
            raise ModelLoading("the model is still being loaded")
        return info

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

    def models(self) -> list[ModelInfo]:
        """All that the server offers, with the state of each. Raises ModelAway or ModelError."""
        try:
            with self._client(Connection(self._tls), _QUICK_TIMEOUT_S) as client:
                return [read_info(found.id, _meta_of(found)) for found in client.models.list()]
        except self._failures as why:
            raise self._translate(why, began=False) from why

    def count_tokens(self, text: str, model: str = "") -> int:
        """Tokens of a text by the server's own tokenizer, or an estimate where it offers none; asked once a text."""
        return self._counts.of(text, model, self._count)

    @property
    def estimates(self) -> bool:
        """Whether the last text that was new could only be estimated."""
        return self._counts.estimates

    def _count(self, text: str, model: str) -> int | None:
        import httpx2

        body = {"input": text, "model": model} if model else {"input": text}
        try:
            with self._http(_COUNT_TIMEOUT_S) as client:
                answer = client.post(f"{self._root}/extras/tokenize/count", json=body, headers=self._key_header)
            return int(answer.json()["count"])
        except (httpx2.HTTPError, ValueError, KeyError, TypeError):
            return None

    def _client(self, connection: Connection, read_timeout_s: float) -> openai.OpenAI:
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

        return (openai.OpenAIError, httpx2.HTTPError, ModelGone, *_STUMBLES)

    def _translate(self, why: Exception, *, began: bool, fields: Sequence[str] = ()) -> ChatError:
        """Find the error of our tree; decided by types and codes, never by the text of a message."""
        import openai

        if isinstance(why, ChatError):
            return why
        if isinstance(why, _STUMBLES):
            return ModelError(f"what answers at {self._url} is no model server: give another --url")
        if isinstance(why, openai.BadRequestError | openai.UnprocessableEntityError) and why.code not in _BY_CODE:
            return ModelError(refused(said_in(why), why.param, fields))
        if isinstance(why, openai.APIStatusError):
            return _BY_CODE.get(why.code or "", ModelError)(said_in(why))
        if isinstance(why, openai.APITimeoutError):
            return ModelAway(f"the model server at {self._url} did not answer in time")
        if isinstance(why, openai.APIConnectionError) and not began:
            return ModelAway(f"nobody answers at {self._url}: start the model server with ./setup.sh")
        if isinstance(why, openai.APIError) and not isinstance(why, openai.APIConnectionError):
            return _BY_CODE.get(why.code or "", ModelError)(said_in(why))
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


def _meta_of(found: Any) -> Mapping[str, Any]:
    """What a server says of a model beside OpenAI's fields."""
    meta = (found.model_extra or {}).get("meta")
    return meta if isinstance(meta, dict) else {}
