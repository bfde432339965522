"""Make vectors of texts by asking an OpenAI-compatible server. Over httpx2: openai takes 0.6 s to import."""

from __future__ import annotations

import base64
import time
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from rag.errors import EmbedderAway, TextTooLong

if TYPE_CHECKING:
    import httpx2

Vector = NDArray[np.float32]

_CONNECT_TIMEOUT_S = 5.0
_BRIEF_S = 10.0  # a reranker that takes longer is done without
_LOOK_AGAIN_S = 60.0
_N_TRIES = 3
_LONGEST_WAIT_S = 8.0  # before the next try
_LATER = (408, 409, 429)  # and what a server says of its own faults


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


def what_fits(embedder: Embedder, texts: Sequence[str]) -> list[Vector | None]:
    """A vector for each text, None for one that the model cannot read at once. Raises EmbedderAway.

    A server refuses a request as a whole and need not say for which text: it is found by halves.
    """
    try:
        return list(embedder.embed(texts))
    except TextTooLong:
        if len(texts) == 1:
            return [None]
        half = len(texts) // 2
        return what_fits(embedder, texts[:half]) + what_fits(embedder, texts[half:])


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
        able = [str(each["id"]) for each in self._models(self._timeout_s, _N_TRIES) if _makes_embeddings(each)]
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
        body = {"input": list(texts), "model": self.model, "encoding_format": "base64"}
        answer = self._ask("POST", "/embeddings", body, self._timeout_s, _N_TRIES)
        try:
            found = [_vector(each["embedding"]) for each in sorted(answer["data"], key=lambda each: each["index"])]
        except (LookupError, TypeError, ValueError) as why:
            raise self._is_none() from why
        if len(found) != len(texts):
            raise EmbedderAway(f"the server at {self._url} made {len(found)} embeddings of {len(texts)} texts")
        if len({len(vector) for vector in found}) > 1:
            raise EmbedderAway(f"the server at {self._url} made embeddings of different lengths")
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
                self._ranks = next((str(each["id"]) for each in self._models(_BRIEF_S, 1) if _ranks(each)), "")
            except EmbedderAway:
                self._ranks = ""
        return bool(self._ranks)

    def rerank(self, question: str, texts: Sequence[str]) -> list[float] | None:
        """How well each text answers; None when the reranker fails, which is not asked again for a minute."""
        body = {"model": self._ranks, "query": question, "documents": list(texts)}
        try:
            answer = self._ask("POST", "/rerank", body, _BRIEF_S, 1)
            scores = {each["index"]: float(each["relevance_score"]) for each in answer["results"]}
            return [scores[number] for number in range(len(texts))]
        except (EmbedderAway, TextTooLong, KeyError, TypeError, ValueError):
            self._ranks = ""
            return None

    def _models(self, timeout_s: float, n_tries: int) -> list[dict[str, Any]]:
        """All that the server lists. Raises EmbedderAway."""
        listed = self._ask("GET", "/models", None, timeout_s, n_tries).get("data")
        if not isinstance(listed, list) or not all(isinstance(each, dict) and "id" in each for each in listed):
            raise self._is_none()
        return listed

    def _ask(
        self, method: str, path: str, body: Mapping[str, Any] | None, timeout_s: float, n_tries: int
    ) -> dict[str, Any]:
        """The server's answer; asked again where it has no time or nobody is there yet. Raises EmbedderAway."""
        import httpx2

        for n_left in reversed(range(n_tries)):
            failed: Exception | None = None
            wait_s = 0.5 * 2 ** (n_tries - n_left - 1)
            try:
                limits = httpx2.Timeout(timeout_s, connect=_CONNECT_TIMEOUT_S)
                response = self._client.request(method, f"{self._url}{path}", json=body, timeout=limits)
                if response.status_code == 200:
                    return self._read(response)
                failed = self._refused(response)
                if not (response.status_code in _LATER or response.status_code >= 500):
                    break
                wait_s = _seconds(response.headers.get("retry-after", ""), wait_s)
            except httpx2.TimeoutException:
                failed = EmbedderAway(f"the server at {self._url} did not answer within {timeout_s:.0f} s")
            except httpx2.TransportError:
                failed = EmbedderAway(f"nobody answers at {self._url}: start the model server with ./setup.sh")
            except (httpx2.HTTPError, httpx2.InvalidURL, ValueError) as why:
                raise self._is_none() from why
            if n_left:
                time.sleep(min(wait_s, _LONGEST_WAIT_S))
        raise failed or self._is_none()

    def _read(self, response: httpx2.Response) -> dict[str, Any]:
        found = response.json()
        if not isinstance(found, dict):
            raise self._is_none()
        return found

    def _refused(self, response: httpx2.Response) -> EmbedderAway | TextTooLong:
        """The server's error as it says it."""
        try:
            body = response.json()
        except ValueError:
            body = None
        error = body.get("error", body) if isinstance(body, dict) else None
        said = error if isinstance(error, dict) else {}
        if said.get("code") == "context_length_exceeded":
            return TextTooLong("a text is longer than the embedding model reads at once")
        words = str(said.get("message") or f"status {response.status_code}")[:300]
        return EmbedderAway(f"the server at {self._url} made no embeddings: {words}")

    def _is_none(self) -> EmbedderAway:
        return EmbedderAway(f"what answers at {self._url} makes no embeddings: give another address")

    @cached_property
    def _client(self) -> httpx2.Client:
        import httpx2

        return httpx2.Client(headers={"Authorization": f"Bearer {self._key or 'none'}"}, trust_env=False)


def _seconds(header: str, otherwise: float) -> float:
    """How long a server asks to wait; dates are not read."""
    return float(header) if header.isdigit() else otherwise


def _ranks(listed: Mapping[str, Any]) -> bool:
    """Whether a model of the list ranks documents."""
    meta = listed.get("meta")
    return isinstance(meta, dict) and (meta.get("kind") == "rerank" or "rerank" in (meta.get("capabilities") or ()))


def _makes_embeddings(listed: Mapping[str, Any]) -> bool:
    """Whether a model of the list does; a server that says nothing of its kind is believed to."""
    meta = listed.get("meta")
    kind = meta.get("kind") if isinstance(meta, dict) else None
    return kind in {None, "embedding"}


def _vector(value: Any) -> Vector:
    """As it came, base64 of little-endian floats or a list; scaled to length one."""
    made = np.frombuffer(base64.b64decode(value), "<f4") if isinstance(value, str) else np.asarray(value, np.float32)
    length = float(np.linalg.norm(made))
    if not made.size or not np.isfinite(length):
        raise ValueError("an embedding without numbers")
    return (made / length if length else made).astype(np.float32)
