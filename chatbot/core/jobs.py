"""Jobs: a job owns one answer from the question to the last word, whether or not anybody watches.

At most one job a chat runs; further messages of the chat wait in line. Each event gets a number and stays in
memory until the job is over and saved, so that a watcher who was away asks for what came after its last number.
Progress is no part of that log: of it a job knows the newest alone, until the next event takes its place.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from chatbot.core.cancel import Cancel
from chatbot.core.events import (
    Changed,
    ChatRequest,
    Delta,
    Done,
    Event,
    Message,
    Notice,
    Numbered,
    Progress,
    Status,
)
from chatbot.core.store import Store, Stored, as_messages, meta_of
from chatbot.errors import BadRequest, ChatError, NotRetryable, StorageError

log = logging.getLogger("chatbot")

SAVE_EVERY_S = 0.4
_TICK_S = 0.1
_REMEMBER_S = 60.0

RunTurn = Callable[[Sequence[Message], Cancel], Iterator[Event]]
Watch = Callable[[str, str, Numbered], None]


@dataclass(frozen=True)
class Snapshot:
    """A message with the text that its job has meanwhile, the number of the last event in it, and the progress."""

    message: Stored
    seq: int = 0
    progress: Numbered | None = None

    def wire(self) -> dict[str, Any]:
        """As sent to a browser."""
        progress = self.progress.wire() if self.progress else None
        return {**self.message.wire(), "seq": self.seq, "progress": progress}


@dataclass
class Job:
    """One answer on its way. Changed only under the lock of Jobs."""

    answer_id: str
    chat_id: str
    cancel: Cancel = field(default_factory=Cancel)
    log: list[Numbered] = field(default_factory=list)
    pieces: list[str] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)
    status: Status = Status.QUEUED
    progress: Progress | None = None
    done: Done | None = None
    saved_seq: int = 0
    unsaved_notice: str = ""
    ended_at: float | None = None

    def add(self, event: Event) -> Numbered:
        """Number an event and take it into the state."""
        if isinstance(event, Progress):
            self.progress = event
            return Numbered(len(self.log), event)
        numbered = Numbered(len(self.log) + 1, event)
        self.log.append(numbered)
        if isinstance(event, Notice):  # may come from beside the turn, and ends no progress
            self.notices.append(event.text)
            return numbered
        self.progress = None
        if isinstance(event, Delta):
            self.pieces.append(event.text)
        elif isinstance(event, Changed):
            self.status = event.status
        else:
            self.status, self.done = event.status, event
        return numbered

    def now(self) -> Numbered | None:
        """What is true only now: the progress, where there is some."""
        return Numbered(len(self.log), self.progress) if self.progress else None

    def meta(self) -> dict[str, Any]:
        """What a page shows beside the text."""
        return meta_of(self.done or Done(self.status), self.notices)

    def stored_meta(self) -> dict[str, Any]:
        """What is stored beside the text: once it is stored, it is no longer true that it is not."""
        told = [text for text in self.notices if text != self.unsaved_notice]
        return meta_of(self.done or Done(self.status), told)


class Jobs:
    """All jobs of one server. watch is called for each event, in order within a job, from the job's own thread."""

    def __init__(self, store: Store, run_turn: RunTurn, watch: Watch) -> None:
        self._store, self._run_turn, self._watch = store, run_turn, watch
        self._lock = threading.Lock()
        self._saving = threading.Lock()
        self._jobs: dict[str, Job] = {}
        self._lines: dict[str, deque[Job]] = {}
        self._closing = threading.Event()
        self._saver = threading.Thread(target=self._save_loop, name="saver", daemon=True)
        self._saver.start()

    def start(self, request: ChatRequest) -> tuple[Stored, Stored]:
        """Store a message and begin or queue its answer; the same key again returns the first turn.

        Returns the user's message and the answer. Raises UnknownChat or StorageError; nothing is kept then.
        """
        with self._lock:
            self._refuse_when_closing()
            earlier = self._store.by_key(request.key) if request.key else None
            if earlier:
                return earlier, self._store.answer_of(earlier.id)
            user, answer = self._store.add_turn(request.chat_id, request.text, request.key or None)
            self._enqueue(answer)
        return user, answer

    def retry(self, answer_id: str) -> Stored:
        """Answer the same question once more; the earlier text stays stored. Raises NotRetryable."""
        with self._lock:
            self._refuse_when_closing()
            old = self._store.message(answer_id)
            branch = self._store.messages(old.chat_id)
            if old.role != "assistant" or old.parent_id is None:
                raise BadRequest("only an answer can be tried again")
            if self._lines.get(old.chat_id) or branch[-1].id != old.id:
                raise NotRetryable("only the last answer can be tried again, once it has ended")
            answer = self._store.add_answer(old.parent_id)
            self._enqueue(answer)
        return answer

    def stop(self, answer_id: str) -> bool:
        """End an answer now, running or waiting in line; whether there was something to end."""
        with self._lock:
            job = self._jobs.get(answer_id)
        if job is None or job.status.is_final:
            return False
        job.cancel.set()
        return True

    def missed(self, answer_id: str, after: int) -> list[Numbered] | None:
        """The events after a number and the progress, or None when the job is over and forgotten: the store has it."""
        with self._lock:
            job = self._jobs.get(answer_id)
            if job is None:
                return None
            now = job.now()
            return [*job.log[after:], *([now] if now else [])]

    def snapshot(self, message: Stored) -> Snapshot:
        """A message as it is now, with what its job has and the store may not have yet."""
        with self._lock:
            job = self._jobs.get(message.id)
            if job is None:
                return Snapshot(message)
            text = "".join(job.pieces)
            now = replace(message, content=text, status=job.status, meta=job.meta())
            return Snapshot(now, len(job.log), job.now())

    def close(self) -> None:
        """End all jobs as interrupted, with their text saved. Nothing can be started afterwards."""
        self._closing.set()
        with self._lock:
            unfinished = [job for job in self._jobs.values() if not job.status.is_final]
        for job in unfinished:
            self._record(job, Done(Status.INTERRUPTED))
            job.cancel.set()
        self._save_all()

    def _refuse_when_closing(self) -> None:
        if self._closing.is_set():
            raise ChatError("the chat server is stopping; your text is kept on the page")

    def _enqueue(self, answer: Stored) -> None:
        """Put a job in its chat's line; a chat without a line gets a thread that works it off."""
        job = Job(answer.id, answer.chat_id)
        self._jobs[job.answer_id] = job
        line = self._lines.get(job.chat_id)
        if line is not None:
            line.append(job)
            return
        self._lines[job.chat_id] = deque([job])
        threading.Thread(target=self._work_off, args=(job.chat_id,), name="job", daemon=True).start()

    def _work_off(self, chat_id: str) -> None:
        """Run the jobs of one chat, one after the other."""
        while True:
            with self._lock:
                line = self._lines[chat_id]
                if not line:
                    del self._lines[chat_id]
                    return
                job = line[0]
            self._run(job)
            with self._lock:
                line.popleft()

    def _run(self, job: Job) -> None:
        """Take one job to its end. The edge of the loop: whatever happens, the job ends and the next one runs."""
        broken = ChatError("the chat server failed at this answer: its log has the details")
        try:
            for event in self._events(job):
                if not (isinstance(event, Changed) and event.status is job.status):
                    self._record(job, event)
                if job.status.is_final:
                    break
        except StorageError as why:
            broken = why
        except Exception:
            log.exception("a job failed")
        self._record(job, Done(Status.ERROR, error=broken.wire()))  # nothing happens when it has ended already
        self._save(job)

    def _events(self, job: Job) -> Iterator[Event]:
        if job.cancel.is_set:
            yield Done(Status.STOPPED)
            return
        parent = self._store.message(job.answer_id).parent_id
        turns = as_messages(self._store.branch(parent)) if parent else []
        yield from self._run_turn(turns, job.cancel)

    def _record(self, job: Job, event: Event) -> None:
        with self._lock:
            if job.status.is_final:
                return
            numbered = job.add(event)
            if job.status.is_final:
                job.ended_at = time.monotonic()
        try:
            self._watch(job.chat_id, job.answer_id, numbered)
        except Exception:
            log.exception("a watcher failed; the answer goes on")

    def _save_loop(self) -> None:
        """Save what is new twice a second, so that a killed process loses at most half a second of text."""
        last = 0.0
        while not self._closing.wait(_TICK_S):
            if time.monotonic() - last >= SAVE_EVERY_S:
                self._save_all()
                last = time.monotonic()

    def _save_all(self) -> None:
        with self._lock:
            jobs = list(self._jobs.values())
        for job in jobs:
            self._save(job)
        self._forget(jobs)

    def _save(self, job: Job) -> None:
        """Write a job's text if it has grown. What a full disk refuses is tried again at the next tick."""
        with self._saving:
            with self._lock:
                seq, text, status, meta = len(job.log), "".join(job.pieces), job.status, job.stored_meta()
            if seq == job.saved_seq:
                return
            try:
                self._store.save(job.answer_id, text, status, meta)
            except ChatError as why:
                self._tell_unsaved(job, why)
            else:
                with self._lock:
                    job.saved_seq = seq
                    job.notices = [text for text in job.notices if text != job.unsaved_notice]

    def _tell_unsaved(self, job: Job, why: ChatError) -> None:
        """Say once an answer that it stands on no disk; it stays on the page and in memory."""
        if job.unsaved_notice:
            return
        job.unsaved_notice = f"This answer is not saved yet: {why.message}"
        log.error("%s", why.message)
        self._record(job, Notice(job.unsaved_notice))

    def _forget(self, jobs: list[Job]) -> None:
        """Drop jobs that ended a while ago and are saved: from then on the store speaks for them."""
        now = time.monotonic()
        with self._lock:
            for job in jobs:
                if job.ended_at and now - job.ended_at > _REMEMBER_S and job.saved_seq == len(job.log):
                    self._jobs.pop(job.answer_id, None)
