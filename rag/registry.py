"""The sources of the shelves as rows: what each is, how its last run ended, which process runs it now."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from rag import process
from rag.database import Database
from rag.errors import LibraryBroken, RagError, SourceBusy, UnknownShelf
from rag.ingest import Failure

_MOST_FAILURES = 1_000  # that are kept of a run
_COLUMNS = """SELECT c.id, c.shelf_id, c.kind, c.address, c.options, c.state, c.problem, c.runner, c.refreshed_at,
    (SELECT count(*) FROM documents d WHERE d.source_id = c.id AND d.deleted_at IS NULL),
    (SELECT count(*) FROM failures f WHERE f.source_id = c.id)
    FROM sources c JOIN shelves s ON s.id = c.shelf_id AND s.deleted_at IS NULL"""


@dataclass(frozen=True)
class Source:
    """Where documents of a shelf are from. kind: folder, page, sitemap, crawl or git.

    state: new, running, ok, failed or stopped; problem: why the whole run failed, or empty. n_failures: documents that
    could not be taken at the last run.
    """

    id: int
    shelf_id: int
    kind: str
    address: str
    options: Mapping[str, Any]
    state: str
    refreshed_at: float | None
    n_documents: int
    n_failures: int
    problem: str


class Registry:
    """The rows of one library's file. Safe to use from several threads; other processes see and respect its claims."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lock = threading.Lock()
        self._running: set[int] = set()
        # A second library of this process on the same file is another runner.
        self._name = f"{process.own()}:{id(self)}"

    def add(self, shelf_id: int, kind: str, address: str, options: Mapping[str, Any]) -> Source:
        """A new source. Raises RagError for one that the shelf has already."""
        with self._database.writing() as db:
            taken = "SELECT 1 FROM sources WHERE shelf_id = ? AND kind = ? AND address = ?"
            if db.execute(taken, (shelf_id, kind, address)).fetchone():
                raise RagError(f"{address} is on this shelf already: refresh it, or remove it first")
            made = db.execute(
                "INSERT INTO sources (shelf_id, kind, address, options) VALUES (?, ?, ?, ?)",
                (shelf_id, kind, address, json.dumps(dict(options))),
            )
        return self.source(int(made.lastrowid or 0))

    def change(self, source_id: int, options: Mapping[str, Any]) -> None:
        """Give a source other options; the next run keeps to them. Raises SourceBusy while one reads it."""
        with self._claimed(source_id), self._database.writing() as db:
            db.execute("UPDATE sources SET options = ? WHERE id = ?", (json.dumps(dict(options)), source_id))

    def source(self, source_id: int) -> Source:
        """One source. Raises UnknownShelf."""
        found = self._asked("WHERE c.id = ?", source_id)
        if not found:
            raise UnknownShelf("this source is no longer in the library")
        return found[0]

    def of_shelf(self, shelf_id: int) -> list[Source]:
        """The sources of a shelf in the order in which they came."""
        return self._asked("WHERE c.shelf_id = ?", shelf_id)

    def all(self) -> list[Source]:
        """The sources of all shelves."""
        return self._asked("")

    def unfinished(self) -> list[Source]:
        """Those whose run was broken off, by a killed process or one that left: to be gone on with."""
        rows = self._rows("WHERE c.state = 'running'")
        return [self._source(row) for row in rows if not self._runs(row[0], row[7])]

    def ids(self) -> set[int]:
        """Of all sources, those of deleted shelves too."""
        with self._database.reading() as db:
            return {row[0] for row in db.execute("SELECT id FROM sources")}

    @contextmanager
    def removing(self, source_id: int) -> Iterator[None]:
        """Forget a source, once the block has forgotten its documents. Raises SourceBusy while it runs."""
        with self._claimed(source_id):
            yield
            with self._database.writing() as db:
                db.execute("DELETE FROM sources WHERE id = ?", (source_id,))

    def failures(self, source_id: int) -> list[Failure]:
        """What could not be taken at the last run, and why."""
        query = "SELECT uri, reason, stamp, at FROM failures WHERE source_id = ? ORDER BY uri"
        with self._database.reading() as db:
            return [Failure(*row) for row in db.execute(query, (source_id,))]

    @contextmanager
    def run(self, source_id: int) -> Iterator[None]:
        """Hold a source for a run; all others get SourceBusy. A process that dies holds nothing."""
        with self._claimed(source_id):
            with self._database.writing() as db:
                db.execute("UPDATE sources SET state = 'running', problem = '' WHERE id = ?", (source_id,))
            yield

    def ended(self, source_id: int, state: str, failures: Sequence[Failure] = (), *, problem: str = "") -> None:
        """Keep how a run ended. state "running" is one that shall be gone on with."""
        is_whole = state == "ok"
        with self._database.writing() as db:
            db.execute("UPDATE sources SET state = ?, problem = ? WHERE id = ?", (state, problem, source_id))
            if is_whole:
                db.execute("UPDATE sources SET refreshed_at = ? WHERE id = ?", (time.time(), source_id))
                db.execute("DELETE FROM failures WHERE source_id = ?", (source_id,))
            rows = [(source_id, each.uri, each.reason, each.stamp, each.at) for each in failures[:_MOST_FAILURES]]
            db.executemany("INSERT OR REPLACE INTO failures VALUES (?, ?, ?, ?, ?)", rows)

    def look(self, source_id: int) -> str:
        """What the source looked like when its last run began, or empty."""
        with self._database.reading() as db:
            row = db.execute("SELECT look FROM sources WHERE id = ?", (source_id,)).fetchone()
        return row[0] if row else ""

    def set_look(self, source_id: int, look: str) -> None:
        """Keep what the source looks like."""
        with self._database.writing() as db:
            db.execute("UPDATE sources SET look = ? WHERE id = ?", (look, source_id))

    @contextmanager
    def _claimed(self, source_id: int) -> Iterator[None]:
        with self._lock:
            with self._database.writing() as db:
                row = db.execute("SELECT runner, address FROM sources WHERE id = ?", (source_id,)).fetchone()
                if row is None:
                    raise UnknownShelf("this source is no longer in the library")
                if self._runs(source_id, row[0]):
                    raise SourceBusy(f"{row[1]} is being read already{_by(row[0])}: wait for its end, or stop it first")
                db.execute("UPDATE sources SET runner = ? WHERE id = ?", (self._name, source_id))
            self._running.add(source_id)  # once it is written, which a full disk may refuse
        try:
            yield
        finally:
            self._release(source_id)

    def _release(self, source_id: int) -> None:
        with self._lock:
            self._running.discard(source_id)  # first: a full disk may keep the row from being written
        try:
            with self._database.writing() as db:
                db.execute("UPDATE sources SET runner = NULL WHERE id = ? AND runner = ?", (source_id, self._name))
        except LibraryBroken:
            pass  # the name in the row says nothing, since this library knows that it does not run

    def _runs(self, source_id: int, runner: str | None) -> bool:
        if not runner:
            return False
        if runner == self._name:
            return source_id in self._running
        return process.is_alive(runner.rpartition(":")[0])

    def _rows(self, where: str, *values: object) -> list[tuple[Any, ...]]:
        with self._database.reading() as db:
            return db.execute(f"{_COLUMNS} {where} ORDER BY c.id", values).fetchall()

    def _asked(self, where: str, *values: object) -> list[Source]:
        return [self._source(row) for row in self._rows(where, *values)]

    def _source(self, row: tuple[Any, ...]) -> Source:
        source_id, shelf_id, kind, address, options, state, problem, runner, refreshed_at, n_documents, n_failures = row
        if state == "running" and not self._runs(source_id, runner):
            state = "stopped"
        return Source(
            *(source_id, shelf_id, kind, address, json.loads(options)),
            *(state, refreshed_at, n_documents, n_failures, problem),
        )


def _by(runner: str) -> str:
    """Who else runs a source, in words."""
    pid = runner.partition(":")[0]
    return "" if int(pid) == os.getpid() else f" by process {pid} (the web server, or another terminal)"
