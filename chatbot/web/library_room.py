"""One server's library: opened when it is first needed, told to the pages that may read it, closed with the server."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from flask_socketio import SocketIO

from chatbot.core.allowance import Allowance
from chatbot.core.library import embedder_of, open_library
from chatbot.core.library.gone import sweep
from chatbot.core.store import Store
from chatbot.errors import BadRequest, LibraryFailed, LimitReached
from chatbot.settings import WebSettings
from chatbot.web.chat_list import room_of
from chatbot.web.library_runs import Runs
from chatbot.web.library_watch import LibraryWatch, stat_of
from chatbot.web.library_wire import source_wire
from rag.errors import LibraryBroken, SourceFailed, UnknownShelf

if TYPE_CHECKING:
    from rag.library import Library, Source

log = logging.getLogger("chatbot")

Body = dict[str, Any]

_KEEP_DELETED_S = 86_400.0


class LibraryRoom:
    """The library, its runs and what watches over it. Its methods may be called from any thread."""

    def __init__(
        self, settings: WebSettings, store: Store, socketio: SocketIO, allowance: Callable[[], Allowance]
    ) -> None:
        self._store, self._socketio, self._allowance = store, socketio, allowance
        self.door = open_library(settings, settings.database(), people=store.people)
        self.runs = Runs(self.door.open, self._tell_run, self._may_go_on)
        embedder = partial(embedder_of, settings)
        self.watch = LibraryWatch(self.door.path, self.if_there, embedder, self.runs, self._purge, self.tell_changed)

    def open(self) -> Library:
        """The library, made where there is none. Raises LibraryFailed."""
        return self.door.open()

    def if_there(self) -> Library | None:
        """The library, unless nobody has put anything into one yet."""
        return self.door.open() if self.door.is_there() else None

    def close(self) -> None:
        """End what goes on, and close the file."""
        self.watch.close()
        if self.runs.close():  # a run that does not end ends with the process, and would not do without the file
            self.door.close()

    def text_bytes(self, owner_id: str) -> int:
        """What the texts of a user's documents take; 0 where the library cannot be read: the chat goes on without."""
        try:
            library = self.if_there()
            return library.text_bytes(owner_id) if library else 0
        except (LibraryFailed, LibraryBroken):
            return 0

    def n_bytes(self) -> int:
        """What the library's files take on the disk."""
        path = self.door.path
        files = (path, path.with_name(f"{path.name}-wal"))  # the second comes and goes
        return sum(found.st_size for found in map(stat_of, files) if found)

    def forget(self, owner_id: str) -> None:
        """A user is gone, and with them what was theirs."""
        try:
            library = self.if_there()
            if library is not None:
                library.remove_owner(owner_id)
                self.tell_changed()
        except (LibraryFailed, LibraryBroken) as why:
            log.error("what a user had in the library is still there: %s", why.message)

    def source_wire(self, source: Source) -> Body:
        """A source as the pages get it."""
        is_running = self.runs.is_running(source.id)
        return source_wire(source, self.runs.progress(source.id), is_running=is_running)

    def tell_changed(self, *_: object) -> None:
        """Tell every page that lists of the library have to be asked for anew."""
        self._socketio.emit("library_changed", {})

    def tell_shelf(self, owner_id: str, *, is_shared: bool) -> None:
        """Tell those who may read a shelf to ask anew."""
        self._socketio.emit("library_changed", {}, **({} if is_shared else {"to": room_of(owner_id)}))

    def _tell_run(self, source_id: int) -> None:
        """Tell those who may read its shelf how a source is now."""
        if not source_id:
            self.tell_changed()
            return
        library = self.open()
        try:
            source = library.source(source_id)
            owner_id, is_shared = library.readers(source.shelf_id)
        except UnknownShelf:  # removed meanwhile
            return
        body = {"shelf_id": source.shelf_id, "source": self.source_wire(source)}
        self._socketio.emit("library_run", body, **({} if is_shared else {"to": room_of(owner_id)}))
        if not self.runs.is_running(source_id):
            self.tell_shelf(owner_id, is_shared=is_shared)

    def _purge(self) -> None:
        """Forget what was deleted a day ago, and what was kept of files whose chats are gone."""
        self.door.open().purge(time.time() - _KEEP_DELETED_S)
        sweep(self._store, self.door)

    def _may_go_on(self, source: Source) -> None:
        """Raises SourceFailed when the shelf's owner may store no more."""
        owner_id, _ = self.open().readers(source.shelf_id)
        with suppress(BadRequest):  # there is no such user where nobody logs in
            owner = self._store.user(owner_id)
            try:
                self._allowance().check_storage(owner, 1)
            except LimitReached as why:
                raise SourceFailed(why.message) from why
