"""The library for a page: its socket events, the files dropped on a shelf, the pages that show it.

Shelves of others are not there, unless they are shared: those may be read. Only one's own can be changed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from flask import Flask, Response, jsonify

from chatbot.core import files, mentions
from chatbot.core.accounts import User
from chatbot.core.library.names import called, titled
from chatbot.core.library.searching import Searching
from chatbot.errors import BadRequest, NotAllowed
from chatbot.web import guard, parse
from chatbot.web.auth import Caller
from chatbot.web.library_wire import document_wire, kept_wire, passage_wire, shelf_wire
from chatbot.web.service import ChatService
from chatbot.web.uploads import sent_file
from rag.again import found_again
from rag.errors import RagError, UnknownShelf

if TYPE_CHECKING:
    from rag.library import Library, Source
    from rag.shelves import Shelf

Body = dict[str, Any]

_TEXT_CHARS = 1_000
_ADDRESS_CHARS = 2_000
_PAGE = 200  # documents that a page gets at once
_PASSAGES = 10
_MOST_IDS = 1_000
_MOST_NAMES = 12
_STOP_S = 10.0


class Desk:
    """What people do with the library. Each method answers one event."""

    def __init__(self, service: ChatService) -> None:
        self._service, self._room, self._store = service, service.library, service.store

    def library(self, caller: Caller, _: Body) -> Body:
        """The shelves that one may read with their sources, and who makes embeddings."""
        library, user = self._room.if_there(), caller.user
        shelves = library.index.shelves(user.id) if library else []
        names = self._store.people()
        told = [
            shelf_wire(shelf, names, self._sources(library, shelf), each.name)
            for shelf, each in zip(shelves, called(shelves, names), strict=True)
            if library
        ]
        return {"shelves": told, "embedding": self._embedding(library, shelves), "may_read_disk": user.is_admin}

    def shelf_add(self, caller: Caller, body: Body) -> Body:
        """Begin a shelf."""
        name, is_shared = parse.text(body, "name"), parse.a_flag_or(body, "is_shared", False)
        shelf = self._room.open().index.add_shelf(caller.user.id, name, is_shared=is_shared)
        return {"shelf": self._told(caller.user, shelf.id)}

    def shelf_change(self, caller: Caller, body: Body) -> Body:
        """Rename a shelf, share it, or keep it to oneself."""
        library, shelf = self._own_shelf(caller.user, body)
        name, is_shared = parse.text_or_none(body, "name", _TEXT_CHARS), parse.a_flag_or(body, "is_shared", None)
        library.index.change_shelf(caller.user.id, shelf.id, name=name, is_shared=is_shared)
        if shelf.is_shared:
            self._room.tell_changed()  # those who may no longer read it
        return {"shelf": self._told(caller.user, shelf.id)}

    def shelf_delete(self, caller: Caller, body: Body) -> Body:
        """Take a shelf away, for a day with a way back."""
        library, shelf = self._own_shelf(caller.user, body)
        for source in library.sources(shelf.id):
            self._room.runs.stop(source.id)
        library.index.delete_shelf(caller.user.id, shelf.id)
        self._room.tell_shelf(shelf.owner_id, is_shared=shelf.is_shared)
        return {}

    def shelf_restore(self, caller: Caller, body: Body) -> Body:
        """Bring a deleted shelf back."""
        shelf_id = parse.a_number(body, "shelf_id")
        self._room.open().index.restore_shelf(caller.user.id, shelf_id)
        return {"shelf": self._told(caller.user, shelf_id)}

    def shelf(self, caller: Caller, body: Body) -> Body:
        """The documents of a shelf, some at a time."""
        library, shelf = guard.readable_shelf(self._room, caller.user, parse.a_number(body, "shelf_id"))
        after, text = parse.text(body, "after", _ADDRESS_CHARS), parse.text(body, "text", _TEXT_CHARS)
        found = library.documents(shelf.id, after, _PAGE + 1, text)
        return {
            "documents": [kept_wire(kept, library.link(kept)) for kept in found[:_PAGE]],
            "n_documents": library.n_documents(shelf.id, text),
            "more": len(found) > _PAGE,
        }

    def source_add(self, caller: Caller, body: Body) -> Body:
        """Put a folder, a page, a site or a repository on a shelf, and begin to read it."""
        library, shelf = self._own_shelf(caller.user, body)
        kind, address = parse.text(body, "kind"), parse.text(body, "address", _ADDRESS_CHARS).strip()
        if _reads_disk(kind, address) and not caller.user.is_admin:
            raise NotAllowed(
                "what lies on the server's own disk may be added by an administrator alone: drop the files"
            )
        self._service.allowance.check_storage(caller.user, 1)
        source = library.add_source(caller.user.id, shelf.id, kind, address, parse.an_object(body, "options"))
        self._room.runs.start(source.id)
        return {"source": self._room.source_wire(source)}

    def source_refresh(self, caller: Caller, body: Body) -> Body:
        """Bring a source up to date."""
        source = self._own_source(caller.user, body)
        self._service.allowance.check_storage(caller.user, 1)
        self._room.runs.start(source.id)
        return {"source": self._room.source_wire(source)}

    def source_stop(self, caller: Caller, body: Body) -> Body:
        """End a source's run; what it has read stays."""
        return {"stopped": self._room.runs.stop(self._own_source(caller.user, body).id)}

    def source_remove(self, caller: Caller, body: Body) -> Body:
        """Forget a source, and its documents with it."""
        source = self._own_source(caller.user, body)
        self._room.runs.stop(source.id, wait_s=_STOP_S)
        self._room.open().remove_source(caller.user.id, source.id)
        self._told(caller.user, source.shelf_id)
        return {}

    def source_failures(self, caller: Caller, body: Body) -> Body:
        """What of a source could not be read, and why."""
        library, source = guard.readable_source(self._room, caller.user, parse.a_number(body, "source_id"))
        return {"failures": [{"uri": each.uri, "reason": each.reason} for each in library.failures(source.id)]}

    def document_delete(self, caller: Caller, body: Body) -> Body:
        """Take documents away, for a day with a way back."""
        return self._each_document(caller.user, body, self._room.open().delete_document)

    def document_restore(self, caller: Caller, body: Body) -> Body:
        """Bring deleted documents back."""
        return self._each_document(caller.user, body, self._room.open().restore_document)

    def find(self, caller: Caller, body: Body) -> Body:
        """What a search finds on shelves, with its scores."""
        began = time.monotonic()
        text = parse.text(body, "text", _TEXT_CHARS)
        ids = parse.numbers(body, "shelf_ids", _MOST_IDS)
        if not text.strip() or not ids:
            raise BadRequest("write what is looked for, and choose a shelf to look on")
        library = guard.readable_shelf(self._room, caller.user, ids[0])[0]
        for shelf_id in ids[1:]:
            guard.readable_shelf(self._room, caller.user, shelf_id)
        notices: list[str] = []
        searching = Searching(library, notices.append, self._service.settings.library_min_score)
        least = searching.min_score()
        found = searching.passages(text, ids, _PASSAGES, min_score=least)
        told = [passage_wire(n, p, library.link(p), is_enough=p.score >= least) for n, p in enumerate(found, 1)]
        took_ms = round((time.monotonic() - began) * 1000, 1)
        return {"passages": told, "min_score": round(least, 4), "took_ms": took_ms, "notice": " ".join(notices)}

    def document(self, caller: Caller, body: Body) -> Body:
        """A document's text, or a part of it."""
        document_id = parse.a_number(body, "document_id")
        library, shelf, document = guard.readable_document(self._room, caller.user, document_id)
        start, end = parse.a_number_or_none(body, "start"), parse.a_number_or_none(body, "end")
        begins, digest = parse.text(body, "begins"), parse.text(body, "digest")
        passage = None if start is None or end is None else found_again(document.text, start, end, begins, digest)
        return document_wire(document_id, document, shelf, library.link(document), passage or (start, end), passage)

    def mentions(self, caller: Caller, body: Body) -> Body:
        """What may stand behind # in a message."""
        text, chat_id = parse.text(body, "text", _TEXT_CHARS), parse.an_id_or_none(body, "chat_id")
        wanted, names = mentions.called(text), self._names(caller.user, text, chat_id)
        found = [each for each in names if wanted in mentions.called(each["name"])]
        found.sort(key=lambda each: not mentions.called(each["name"]).startswith(wanted))
        return {"names": found[:_MOST_NAMES]}

    def _embedding(self, library: Library | None, shelves: Sequence[Shelf]) -> Body:
        """Who makes embeddings, and how many of the passages on these shelves have theirs."""
        now, ids = self._room.watch.embedding(), [shelf.id for shelf in shelves]
        n_done, n_all = library.index.n_vectors_on(now.model, ids) if library and now.model else (0, 0)
        return {"model": now.model, "is_there": now.is_there, "notice": now.notice, "n_done": n_done, "n_all": n_all}

    def _sources(self, library: Library, shelf: Shelf) -> list[Body]:
        return [self._room.source_wire(source) for source in library.sources(shelf.id)]

    def _names(self, user: User, text: str, chat_id: str | None) -> list[Body]:
        """The shelves, documents and files that may be meant: shelves first, then this chat's files."""
        library = self._room.if_there()
        shelves = self._room.door.shelves(user.id) if library else []
        names = [{"name": shelf.name, "kind": "shelf", "shelf": shelf.name} for shelf in shelves]
        shown = self._store.messages(chat_id) if chat_id else []
        for sent in self._store.files_of([message.id for message in shown], with_text=False).values():
            names += [{"name": file.name, "kind": "file", "shelf": ""} for file in sent if not file.media_type]
        for shelf in shelves if library else ():
            kept = titled(library, shelf.id, text, _MOST_NAMES) if library else []
            names += [{"name": each.title, "kind": "document", "shelf": shelf.name} for each in kept]
        return names

    def _told(self, user: User, shelf_id: int) -> Body:
        """A shelf of one's own as it is now, after others who may read it were told to look."""
        library = self._room.open()
        shelf = library.index.own(user.id, shelf_id)
        self._room.tell_shelf(shelf.owner_id, is_shared=shelf.is_shared)
        return shelf_wire(shelf, {user.id: user.name}, self._sources(library, shelf))

    def _own_shelf(self, user: User, body: Body) -> tuple[Library, Shelf]:
        return guard.own_shelf(self._room, user, parse.a_number(body, "shelf_id"))

    def _own_source(self, user: User, body: Body) -> Source:
        return guard.own_source(self._room, user, parse.a_number(body, "source_id"))

    def _each_document(self, user: User, body: Body, do: Callable[[str, int], None]) -> Body:
        """Do it with each document; those that are gone meanwhile are left out, unless all are."""
        n_done, problem = 0, UnknownShelf(guard.NO_DOCUMENT)
        problems: list[RagError] = [problem]
        for document_id in parse.numbers(body, "document_ids", _MOST_IDS):
            try:
                do(user.id, document_id)
                n_done += 1
            except UnknownShelf:
                continue
            except RagError as why:
                problems.append(why)
        if not n_done:
            raise problems[-1]
        self._room.tell_changed()
        return {"n": n_done}


def library_events(service: ChatService) -> dict[str, Callable[[Caller, Body], Body]]:
    """The events of the library by name."""
    desk = Desk(service)
    return {
        "library": desk.library,
        "shelf_add": desk.shelf_add,
        "shelf_change": desk.shelf_change,
        "shelf_delete": desk.shelf_delete,
        "shelf_restore": desk.shelf_restore,
        "shelf": desk.shelf,
        "source_add": desk.source_add,
        "source_refresh": desk.source_refresh,
        "source_stop": desk.source_stop,
        "source_remove": desk.source_remove,
        "source_failures": desk.source_failures,
        "document_delete": desk.document_delete,
        "document_restore": desk.document_restore,
        "find": desk.find,
        "document": desk.document,
        "mentions": desk.mentions,
    }


def add_library(app: Flask, service: ChatService) -> None:
    """Add the route for files that are dropped on a shelf. They come from this server's own page alone."""

    @app.post("/library/<int:shelf_id>/files")
    def put_on_shelf(shelf_id: int) -> Response:
        from chatbot.web.app import same_origin  # app adds this route, so it cannot be imported above

        same_origin()
        user, room = service.auth.who(), service.library
        library, shelf = guard.own_shelf(room, user, shelf_id)
        max_bytes = service.settings.max_file_mb * 1_000_000
        given, data, _ = sent_file(max_bytes)
        name = files.clean_name(given)
        if len(data) > max_bytes:
            raise files.too_large(f"the file {name}", max_bytes)
        service.allowance.check_storage(user, len(data))
        document_id = library.add_file(user.id, shelf.id, name, data)
        room.watch.fill_soon()
        room.tell_shelf(shelf.owner_id, is_shared=shelf.is_shared)
        n_chars = len(library.document(user.id, document_id)[1].text)
        return jsonify(document_id=document_id, name=name, n_chars=n_chars)


def _reads_disk(kind: str, address: str) -> bool:
    """Whether a source lies on the server's own disk, or is asked for with its owner's keys."""
    return kind == "folder" or (kind == "git" and not address.startswith("https://"))
