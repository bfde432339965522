"""Make the vectors that are missing: of documents that came while no server made any, or of another model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future, wait

from rag import probe
from rag.embed import Embedder, Vector, what_fits
from rag.errors import EmbedderAway
from rag.index import Index, Told
from rag.requests import Requests, is_ready
from rag.work import AT_ONCE, BATCH

_SOON_S = 30.0  # how long one document waits for its vectors, which are filled in otherwise


class Fill:
    """One run over all shelves. The vectors of another model answer until its end."""

    def __init__(
        self, index: Index, embedder: Embedder, tell: Callable[[int, int], None], is_cancelled: Callable[[], bool]
    ) -> None:
        self._index, self._embedder, self._tell, self._is_cancelled = index, embedder, tell, is_cancelled

    def run(self) -> int:
        """Make them, in the order in which the chunks came; how many. Raises EmbedderAway."""
        model = self._embedder.model
        if self._index.n_vectors(model)[1]:
            self._meet()
        n_made = self._passes(model)
        n_done, n_all = self._index.n_vectors(model)
        if not self._is_cancelled() and self._index.models() != [model] and n_done == n_all > 0:
            self._index.choose_model(model)
        return n_made

    def _meet(self) -> None:
        """The vectors of another model of this name go: this run makes them."""
        requests = Requests(1)
        met = requests.submit(probe.renew, self._index, self._embedder)
        try:
            if is_ready([met], self._is_cancelled) and met.result():
                self._index.must_fill = False
        except EmbedderAway:
            pass  # where none is missing, nobody need be there
        finally:
            requests.end()

    def _passes(self, model: str) -> int:
        n_made, n_before = 0, -1
        while n_new := self._pass(model):  # what came during a pass is made in the next one
            n_made += n_new
            n_done, _ = self._index.n_vectors(model)
            if n_done <= n_before:  # a server that has two models under one name
                break
            n_before = n_done
        return n_made

    def _pass(self, model: str) -> int:
        n_made, after = 0, 0
        under_way: list[tuple[list[Told], Future[list[Vector]]]] = []
        n_done, n_all = self._index.n_vectors(model)
        if n_done == n_all:  # nothing is looked through
            return 0
        requests = Requests(AT_ONCE)
        try:
            while not self._is_cancelled():
                while len(under_way) < AT_ONCE and (waiting := self._index.without_vectors(model, BATCH, after)):
                    after = waiting[-1].chunk_id
                    texts = [each.text for each in waiting]
                    under_way.append((waiting, requests.submit(_embedded, self._embedder, texts)))
                if not under_way:
                    break
                told, future = under_way.pop(0)
                if not is_ready([future], self._is_cancelled):
                    break
                self._index.set_vectors(model, [each.chunk_id for each in told], future.result())
                n_made += len(told)
                self._tell(min(n_done + n_made, n_all), n_all)
        finally:
            requests.end()
        return n_made


def _embedded(embedder: Embedder, texts: Sequence[str]) -> list[Vector]:
    """The vectors of texts, each of as much of it as the model can read. Raises EmbedderAway."""
    made = what_fits(embedder, texts)
    return [_beginning(embedder, text) if found is None else found for text, found in zip(texts, made, strict=True)]


def _beginning(embedder: Embedder, text: str) -> Vector:
    """Of the most of a text that the model can read. Raises EmbedderAway."""
    shorter = text[: len(text) * 3 // 4]
    found = what_fits(embedder, [shorter])[0]
    return _beginning(embedder, shorter) if found is None else found


def soon(index: Index, embedder: Embedder, texts: Sequence[str]) -> dict[str, list[Vector]]:
    """Vectors of a short document by their model, or none where they are not made soon.

    Raises EmbedderAway, TextTooLong.
    """
    requests = Requests(1)
    future = requests.submit(_known, index, embedder, texts)
    is_late = bool(wait([future], _SOON_S).not_done)
    requests.end()
    return {} if is_late else {embedder.model: future.result()}


def _known(index: Index, embedder: Embedder, texts: Sequence[str]) -> list[Vector]:
    """The vectors of texts, of a model that is known again later."""
    if not probe.kept(index, embedder.model):
        probe.renew(index, embedder)
    return embedder.embed(texts)
