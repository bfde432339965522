"""Make vectors of texts by asking an OpenAI-compatible server; the only module here that knows the openai package."""

from __future__ import annotations

import base64
import time
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from rag.errors import EmbedderAway, TextTooLong

if TYPE_CHECKING:
    import openai

Vector = NDArray[np.float32]
T = TypeVar("T")

_CONNECT_TIMEOUT_S = 5.0
_BRIEF_S = 10.0  # a reranker that takes longer is done without
_LOOK_AGAIN_S = 60.0


class Embedder(Protocol):
    """What ingest and search ask; the fake of the tests is the other implementation."""

    @property
    def model(self) -> str:
        """The model's name. Vectors of different models are never compared."""

    def embed(self, texts: Sequence[str]) -> list[Vector]:
        """A vector of length one for each text. Raises EmbedderAway, or TextTooLong for one that is."""


@runtime_checkable
class Server(Protocol):
    """An embedder of a server that has other models too."""

    def of(self, model: str) -> Embedder:
        """The same with another model."""

    def can_rerank(self) -> bool:
        """Whether the server has a model that ranks documents, as far as it is known now."""

    def rerank(self, question: str, texts: Sequence[str]) -> list[float] | None:
        """How well each text answers, higher is better; None when that cannot be told now."""


class HttpEmbedder:
    """POST /v1/embeddings of a server. Safe to use from several threads."""

    def __init__(self, url: str, api_key: str = "", model: str = "", timeout_s: float = 120.0) -> None:
        self._url, self._key, self._wanted, self._timeout_s = url.rstrip("/"), api_key, model, timeout_s
        self._ranks, self._look_at = "", 0.0  # the model that ranks, and when to look for one

    @cached_property
    def model(self) -> str:
        """The name asked for, or the server's first model that makes embeddings. Raises EmbedderAway."""
        return self._wanted or self.check()

    def check(self) -> str:
        """The model's name, once the server has said now that it is there. Raises EmbedderAway."""
        listed = list(self._asked(lambda: self._client.models.list()))
        able = [each.id for each in listed if _makes_embeddings(each)]
        if not able and not self._wanted:
            raise EmbedderAway(
                f"the server at {self._url} has no model that makes embeddings: "
                "./setup.sh models pull all-minilm-l6-v2, and start it again"
            )
        return self._wanted or able[0]

    def embed(self, texts: Sequence[str]) -> list[Vector]:
        """A vector of length one for each text. Raises EmbedderAway, or TextTooLong for one that is."""
        if not texts:
            return []
        wanted, model = list(texts), self.model
        found = self._asked(lambda: self._made(wanted, model))
        if len(found) != len(texts):
            raise EmbedderAway(f"the server at {self._url} made {len(found)} embeddings of {len(texts)} texts")
        return found

    def of(self, model: str) -> HttpEmbedder:
        """The same with another model of the server."""
        return HttpEmbedder(self._url, self._key, model, self._timeout_s)

    def can_rerank(self) -> bool:
        """Whether the server has a model that ranks documents; asked at most once in a minute."""
        now = time.monotonic()
        if now >= self._look_at:
            self._look_at = now + _LOOK_AGAIN_S
            try:
                listed = list(self._asked(lambda: self._brief.models.list()))
                self._ranks = next((each.id for each in listed if _ranks(each)), "")
            except EmbedderAway:
                self._ranks = ""
        return bool(self._ranks)

    def rerank(self, question: str, texts: Sequence[str]) -> list[float] | None:
        """How well each text answers; None when the reranker fails, which is not asked again for a minute."""
        body = {"model": self._ranks, "query": question, "documents": list(texts)}
        try:
            answer = self._asked(lambda: self._brief.post("/rerank", cast_to=object, body=body))
            scores = {each["index"]: float(each["relevance_score"]) for each in answer["results"]}  # type: ignore[index]
            return [scores[number] for number in range(len(texts))]
        except (EmbedderAway, TextTooLong, KeyError, TypeError, ValueError):
            self._ranks = ""
            return None

    def _made(self, texts: list[str], model: str) -> list[Vector]:
        answer = self._client.embeddings.create(input=texts, model=model, encoding_format="base64")
        return [_vector(each.embedding) for each in sorted(answer.data, key=lambda each: each.index)]

    def _asked(self, ask: Callable[[], T]) -> T:
        import openai

        try:
            return ask()
        except openai.APITimeoutError as why:
            raise EmbedderAway(f"the server at {self._url} did not answer within {self._timeout_s:.0f} s") from why
        except openai.APIConnectionError as why:
            raise EmbedderAway(f"nobody answers at {self._url}: start the model server with ./setup.sh") from why
        except openai.APIStatusError as why:
            if why.code == "context_length_exceeded":
                raise TextTooLong("a text is longer than the embedding model reads at once") from why
            raise EmbedderAway(f"the server at {self._url} made no embeddings: {_said(why)}") from why
        except (openai.OpenAIError, ValueError, TypeError, AttributeError) as why:
            raise EmbedderAway(f"what answers at {self._url} makes no embeddings: give another address") from why

    @cached_property
    def _client(self) -> openai.OpenAI:
        import openai

        timeout = openai.Timeout(self._timeout_s, connect=_CONNECT_TIMEOUT_S)
        http = openai.DefaultHttpxClient(timeout=timeout, trust_env=False)
        return openai.OpenAI(base_url=self._url, api_key=self._key or "none", http_client=http, max_retries=2)

    @cached_property
    def _brief(self) -> openai.OpenAI:
        """For what a search can do without."""
        return self._client.with_options(timeout=_BRIEF_S, max_retries=0)


def _ranks(listed: Any) -> bool:
    """Whether a model of the list ranks documents."""
    meta = (listed.model_extra or {}).get("meta")
    return isinstance(meta, dict) and (meta.get("kind") == "rerank" or "rerank" in (meta.get("capabilities") or ()))


def _makes_embeddings(listed: Any) -> bool:
    """Whether a model of the list does; a server that says nothing of its kind is believed to."""
    meta = (listed.model_extra or {}).get("meta")
    kind = meta.get("kind") if isinstance(meta, dict) else None
    return kind in {None, "embedding"}


def _vector(value: Any) -> Vector:
    """As it came, base64 of little-endian floats or a list; scaled to length one."""
    made = np.frombuffer(base64.b64decode(value), "<f4") if isinstance(value, str) else np.asarray(value, np.float32)
    length = float(np.linalg.norm(made))
    if not made.size or not np.isfinite(length):
        raise ValueError("an embedding without numbers")
    return (made / length if length else made).astype(np.float32)


def _said(why: openai.APIStatusError) -> str:
    body = why.body if isinstance(why.body, dict) else {}
    return str(body.get("message") or f"status {why.status_code}")[:300]
