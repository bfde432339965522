"""The library in one object: shelves, their sources and documents, searches. What the chat knows of rag/ is this.

Every change is asked for in a user's name, and nobody changes or reads what is another's.
"""

from __future__ import annotations

import hashlib
import math
import re
import shutil
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

from rag.chunk import Limits
from rag.database import MEMORY
from rag.documents import Document, Passage
from rag.embed import Embedder, Server
from rag.errors import LibraryBroken, RagError, SourceFailed, SourceStopped, UnknownShelf
from rag.ingest import Failure, Ingest, Progress, Report
from rag.links import link_of
from rag.listing import Kept
from rag.registry import Registry, Source
from rag.search import Search, Weights
from rag.shelves import Shelves
from rag.sources import Fetch, Read, kinds
from rag.sources.folder import look_of

__all__ = ["Failure", "Kept", "Library", "Passage", "Progress", "Report", "Source"]

_KEPT_S = 86_400  # what was deleted can be brought back for a day
_UNNAMEABLE = re.compile(r"[\x00-\x1f\x7f]+")


class Library:
    """Shelves in one file. Safe to use from several threads; the file may be open in several processes."""

    def __init__(
        self,
        path: Path,
        embedder: Embedder,
        *,
        read: Read,
        fetch: Fetch | None = None,
        weights: Weights | None = None,
        limits: Limits | None = None,
    ) -> None:
        """Open or create the file. fetch: None where the net is off. Raises LibraryBroken."""
        self.index = Shelves(path)
        self._read, self._fetch = read, fetch
        self._registry = Registry(self.index)
        self._weights, self._limits = weights, limits
        self._use(embedder)
        self._copies = path.parent / "repositories"
        self._looks: dict[int, str] = {}
        self.purge(time.time() - _KEPT_S)

    def _use(self, embedder: Embedder) -> None:
        self._embedder = embedder
        self._ingest = Ingest(self.index, embedder, self._limits)
        self._search = Search(self.index, embedder, self._weights)

    def use_model(self, model: str) -> None:
        """Make vectors with this model of the server from now on; fill makes those that are missing of it.

        What goes on ends with the model that it began with. Raises EmbedderAway.
        """
        if self._embedder.model != model and isinstance(self._embedder, Server):
            self._use(self._embedder.of(model))

    def close(self) -> None:
        """Close the file."""
        self.index.close()

    def search(
        self,
        question: str,
        shelf_ids: Collection[int],
        n_most: int = 6,
        document_ids: Collection[int] | None = None,
        min_score: float = -math.inf,
    ) -> list[Passage]:
        """The passages that fit a question best, best first. shelf_ids: those that the user may read; min_score: of
        what may answer, which a reranker puts below nothing else. Raises EmbedderAway.
        """
        return self._search.passages(question, shelf_ids, n_most, document_ids, min_score)

    def min_score(self) -> float:
        """The score below which no passage answers a question."""
        return self._search.min_score()

    def has_vectors(self) -> bool:
        """Whether anything is found by what it means, and not by its words alone."""
        return any(self.index.n_vectors(model)[0] for model in self.index.models()[:1])

    def fill(
        self, tell: Callable[[int, int], None] = lambda _, __: None, is_cancelled: Callable[[], bool] = lambda: False
    ) -> int:
        """Make the vectors that are missing of the embedding model; how many. Raises EmbedderAway."""
        self.index.must_fill = False
        return self._ingest.fill(tell, is_cancelled)

    def must_fill(self) -> bool:
        """Whether the embedding model makes other vectors than it did since fill was called."""
        return self.index.must_fill

    def is_filled(self, shelf_id: int) -> bool:
        """Whether all of a shelf has vectors of the embedding model. Raises EmbedderAway."""
        return self._ingest.is_filled(shelf_id)

    # sources

    def add_source(
        self, owner_id: str, shelf_id: int, kind: str, address: str, options: Mapping[str, Any] | None = None
    ) -> Source:
        """Put a source on a shelf; refresh brings its documents. Raises UnknownShelf, RagError for what is none."""
        self.index.own(owner_id, shelf_id)
        address = kinds.checked_address(kind, address)
        if self._fetch is None and kinds.needs_fetch(kind, address):
            raise kinds.off()
        added = self._registry.add(shelf_id, kind, address, kinds.checked_options(kind, options or {}))
        self.index.take_back(shelf_id, kinds.uri_of(kind, address))
        self.index.bring_back(shelf_id, f"{kind} {address}", added.id)
        return added

    def change_source(self, owner_id: str, source_id: int, options: Mapping[str, Any]) -> Source:
        """Give a source these options in place of its own, for the next refresh. Raises UnknownShelf, SourceBusy while
        it is read, RagError for options that it does not have."""
        source = self._registry.source(source_id)
        self.index.own(owner_id, source.shelf_id)
        self._registry.change(source_id, kinds.checked_options(source.kind, options))
        return self._registry.source(source_id)

    def source(self, source_id: int) -> Source:
        """One source. Raises UnknownShelf."""
        return self._registry.source(source_id)

    def sources(self, shelf_id: int) -> list[Source]:
        """The sources of a shelf in the order in which they came."""
        return self._registry.of_shelf(shelf_id)

    def all_sources(self) -> list[Source]:
        """The sources of all shelves that are not deleted."""
        return self._registry.all()

    def unfinished(self) -> list[Source]:
        """Sources whose run was broken off by the end of its process: a refresh goes on with them."""
        return self._registry.unfinished()

    def failures(self, source_id: int) -> list[Failure]:
        """What could not be taken at the last run of a source, and why."""
        return self._registry.failures(source_id)

    def remove_source(self, owner_id: str, source_id: int) -> None:
        """Forget a source with its documents; those that another folder or page of the shelf has too become its own.
        Added again within a day it has them as they were.

        Raises UnknownShelf, SourceBusy while it is read.
        """
        source = self._registry.source(source_id)
        self.index.own(owner_id, source.shelf_id)
        others = [each for each in self.sources(source.shelf_id) if each.id != source_id]

        def heir(uri: str) -> int | None:
            return next((each.id for each in others if kinds.covers(each.kind, each.address, uri)), None)

        with self._registry.removing(source_id):
            now = time.time()
            self.index.remember_aside(source.shelf_id, f"{source.kind} {source.address}", now)
            for document_id, uri in self.index.places_of(source_id):  # one at a time: nobody waits long
                if (heir_id := heir(uri)) is not None:
                    self.index.hand_over(document_id, heir_id)
                    self._looks.pop(heir_id, None)
                elif not self.index.set_aside(document_id, now):
                    self.index.remove([document_id])
            for uri in self.index.put_away_of(source_id):
                if (heir_id := heir(uri)) is not None:
                    self.index.keep_away(heir_id, uri)
        shutil.rmtree(self._copy_of(source_id), ignore_errors=True)
        self._looks.pop(source_id, None)

    def refresh(
        self,
        source_id: int,
        tell: Callable[[Progress], None] = lambda _: None,
        is_cancelled: Callable[[], bool] = lambda: False,
        is_leaving: Callable[[], bool] = lambda: False,
    ) -> Report:
        """Bring the documents of a source up to date; costs what changed. One that was broken off is gone on with.

        is_leaving: asked like is_cancelled; a run that ends by it is found by unfinished(). Raises UnknownShelf,
        SourceBusy while another run reads it, SourceFailed, LibraryBroken.
        """
        source = self._registry.source(source_id)
        with self._registry.run(source_id):
            look = self._look_of(source)
            try:
                report = self._taken(source, tell, lambda: is_cancelled() or is_leaving())
            except SourceStopped:
                report = Report()
            except RagError as why:
                self._ended(source_id, look, "failed", problem=why.message)
                raise
            except BaseException:
                self._ended(source_id, look, "failed", problem="the run broke off: refresh it to go on")
                raise
            state = "ok" if report.is_whole else "running" if is_leaving() else "stopped"
            self._ended(source_id, "" if state == "running" else look, state, report.failures)
        return report

    def changed(self, source: Source) -> bool:
        """Whether a folder looks different from how it did when its last run began. Reads names, sizes and times."""
        if source.kind != "folder" or source.state == "running":
            return False
        known = self._looks.get(source.id)
        return self._look_of(source) != (self._registry.look(source.id) if known is None else known)

    def _taken(self, source: Source, tell: Callable[[Progress], None], is_cancelled: Callable[[], bool]) -> Report:
        items = kinds.items_of(
            *(source.kind, source.address, source.options),
            read=self._read,
            fetch=self._fetch,
            place=self._copy_of(source.id),
            known=lambda uri: self.index.known_of(source.shelf_id, uri),
            is_cancelled=is_cancelled,
        )
        if source.kind == "folder" and not items.n and source.n_documents:
            raise SourceFailed(
                f"{source.address} has no documents now, so the {source.n_documents:,} that were read of it stay: "
                "is its disk there? If they shall go, remove the source"
            )
        return self._ingest.take(
            *(source.shelf_id, items),
            source_id=source.id,
            n_all=items.n,
            failed=self._registry.failures(source.id),
            tell=tell,
            is_cancelled=is_cancelled,
        )

    def _ended(
        self, source_id: int, look: str, state: str, failures: Collection[Failure] = (), problem: str = ""
    ) -> None:
        """Keep how a run ended. What cannot be written, on a full disk, is known here until the end of the process."""
        self._looks[source_id] = look
        try:
            self._registry.ended(source_id, state, list(failures), problem=problem)
            self._registry.set_look(source_id, look)
        except LibraryBroken:
            if state != "failed":
                raise

    def _look_of(self, source: Source) -> str:
        return look_of(Path(source.address), tuple(source.options.get("only", ()))) if source.kind == "folder" else ""

    def _copy_of(self, source_id: int) -> Path:
        return self._copies / str(source_id)

    # documents

    def add_file(self, owner_id: str, shelf_id: int, name: str, data: bytes) -> int:
        """Put a file on a shelf, in place of the one of the same name; its document's id.

        Raises UnknownShelf, DocumentRefused with a reason that stands for itself.
        """
        self.index.own(owner_id, shelf_id)
        flat = " ".join(_UNNAMEABLE.sub(" ", name.replace("\\", "/").rpartition("/")[2]).split())[:200] or "file"
        found = self._read(flat, data)
        digest = hashlib.sha256(data).hexdigest()
        new = Document(f"file:{flat}", found.title or flat, found.text, found.kind, digest, found.pages, {"name": flat})
        return self._ingest.put(shelf_id, new)

    def add_text(self, owner_id: str, shelf_id: int, uri: str, title: str, text: str, kind: str) -> int:
        """Put a text on a shelf, in place of what it has under this uri; its document's id. Raises UnknownShelf."""
        self.index.own(owner_id, shelf_id)
        digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
        return self._ingest.put(shelf_id, Document(uri, title, text, kind, digest))

    def delete_document(self, owner_id: str, document_id: int) -> None:
        """Take a document away; restore_document brings it back within a day.

        What a source still has stays away at every refresh, until it is restored or the source removed.
        Raises UnknownShelf.
        """
        self.index.own(owner_id, self.index.shelf_of(document_id))
        self.index.delete_document(document_id)

    def restore_document(self, owner_id: str, document_id: int) -> None:
        """Bring a deleted document back. Raises UnknownShelf when it is gone for good, RagError when its place is
        taken."""
        self.index.own(owner_id, self.index.shelf_of(document_id))
        self.index.restore_document(document_id)

    def hidden_documents(self) -> list[tuple[int, str]]:
        """(id, uri) of the documents on all users' hidden shelves."""
        return self.index.hidden_documents()

    def forget(self, document_ids: Iterable[int]) -> None:
        """Forget documents at once and for good, whosever they are."""
        for document_id in document_ids:  # one at a time: nobody waits long
            self.index.remove([document_id])

    def documents(self, shelf_id: int, after: str = "", limit: int = 200, text: str = "") -> list[Kept]:
        """The first documents of a shelf by uri, after one, whose title or uri has the text."""
        return self.index.listed(shelf_id, after, limit, text)

    def n_documents(self, shelf_id: int, text: str = "") -> int:
        """How many documents a shelf has, whose title or uri has the text."""
        return self.index.n_documents(shelf_id, text)

    def document(self, owner_id: str, document_id: int) -> tuple[int, Document]:
        """The shelf of a document, and the document. Raises UnknownShelf for one that this user may not read."""
        self.index.readable(owner_id, self.index.shelf_of(document_id))
        return self.index.document(document_id)

    def shelf_of(self, owner_id: str, document_id: int) -> int:
        """The shelf of a document, without reading it. Raises UnknownShelf for one that this user may not read."""
        shelf_id = self.index.shelf_of(document_id, is_there=True)
        self.index.readable(owner_id, shelf_id)
        return shelf_id

    def link(self, what: Document | Kept | Passage, start: int | None = None) -> str:
        """Where it can be opened outside, at this character; empty for what lies on this machine alone."""
        if isinstance(what, Kept):
            return what.link
        if isinstance(what, Passage):
            try:
                return link_of(self.index.document(what.document_id)[1], what.start if start is None else start)
            except UnknownShelf:
                return ""
        return link_of(what, start)

    def purge(self, before: float) -> int:
        """Forget for good what was deleted before that time; how many documents."""
        n_gone = self.index.purge_documents(before) + self.index.purge_shelves(before)
        is_kept = self.index.path != MEMORY
        copies = [each for each in self._copies.glob("*") if each.name.isdigit()] if is_kept else []
        there = self._registry.ids() if copies else set()  # after the list: a copy has its source before it is there
        for copy in copies:
            if int(copy.name) not in there:
                shutil.rmtree(copy, ignore_errors=True)
        return n_gone

    def text_bytes(self, owner_id: str) -> int:
        """What the texts of all documents on a user's own shelves take."""
        return self.index.text_bytes(owner_id)

    def readers(self, shelf_id: int) -> tuple[str, bool]:
        """(whose a shelf is, whether all users may read it). Raises UnknownShelf."""
        return self.index.readers(shelf_id)

    def remove_owner(self, owner_id: str) -> None:
        """Forget all shelves of a user at once."""
        self.index.remove_owner(owner_id)
