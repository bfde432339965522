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
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import replace

from chatbot.core.cancel import Cancel
from chatbot.core.events import Changed, ChatRequest, Done, Event, Notice, Numbered, Status
from chatbot.core.history import chat_turn
from chatbot.core.job import UNSAVED, Job, Snapshot, has_no_word, is_open, may_go_on
from chatbot.core.store import Store, Stored
from chatbot.core.turn import Turn
from chatbot.errors import BadRequest, ChatError, NotContinuable, NotRetryable, StorageError, UnknownAnswer

log = logging.getLogger("chatbot")

SAVE_EVERY_S = 0.4
_TICK_S = 0.1
_REMEMBER_S = 60.0

RunTurn = Callable[[Turn, Cancel], Iterator[Event]]
Watch = Callable[[str, str, Numbered], None]
Hear = Callable[[str], None]


class Jobs:
    """All jobs of one process. watch is called for each event, in order within a job, after with the chat's id
    when an answer has ended and is saved, and changed with an answer's id when what is said beside its text is another
    one and no event tells it."""

    def __init__(
        self,
        store: Store,
        run_turn: RunTurn,
        watch: Watch,
        after: Hear = lambda _: None,
        changed: Hear = lambda _: None,
    ) -> None:
        self._store, self._run_turn, self._watch, self._after, self._changed = store, run_turn, watch, after, changed
        self._lock = threading.Lock()
        self._saving = threading.Lock()
        self._jobs: dict[str, Job] = {}
        self._lines: dict[str, deque[Job]] = {}
        self._closing = threading.Event()
        self._saver = threading.Thread(target=self._save_loop, name="saver", daemon=True)
        self._saver.start()

    def start(self, request: ChatRequest, stored: Hear = lambda _: None) -> tuple[Stored, Stored]:
        """Store a message and begin or queue its answer; the same key again returns the first turn.

        A message that begins another branch stops the answers on their way on the branch that it leaves. stored: hears
        the id of the chat before the first event of the answer.
        Returns the user's message and the answer. Raises UnknownChat, UnknownAnswer, UnknownFile, ChatBusy or
        StorageError; nothing is kept then.
        """
        with self._lock:
            self._refuse_when_closing()
            earlier = self._store.by_key(request.key, request.owner_id) if request.key else None
            if earlier:
                return earlier, self._store.answer_of(earlier.id)
            shown = self._unfinished_on(request.chat_id) if request.chat_id else []
            user, answer = self._store.add_turn(
                request.chat_id,
                request.text,
                request.key or None,
                parent=request.parent,
                files=request.files,
                options=request.options,
                owner_id=request.owner_id,
            )
            stored(answer.chat_id)
            self._enqueue(Job(answer))
        self._stop_all(self._left_behind(shown, answer))
        return user, answer

    def retry(self, answer_id: str) -> Stored:
        """Answer the same question once more, in a branch; the earlier text stays stored, and what is still on its way
        behind it is stopped. An answer without a word is given where it stands. Raises NotRetryable."""
        if self.has_no_word(answer_id):
            return self.resume(answer_id)
        with self._lock:
            self._refuse_when_closing()
            old = self._store.message(answer_id)
            if old.role != "assistant" or old.parent_id is None:
                raise BadRequest("only an answer can be tried again")
            if self._is_running(answer_id):
                raise NotRetryable("this answer is still on its way: stop it, then try again")
            shown = self._unfinished_on(old.chat_id)
            answer = self._store.add_answer(old.parent_id)
            self._enqueue(Job(answer))
        self._stop_all(self._left_behind(shown, answer))
        return answer

    def has_no_word(self, answer_id: str) -> bool:
        """Whether an answer that is shown ended before its first word."""
        self._settle(answer_id)
        old = self._store.message(answer_id)
        return has_no_word(old) and any(each.id == answer_id for each in self._store.messages(old.chat_id))

    def resume(self, answer_id: str) -> Stored:
        """Go on with an answer that did not come to its end, in the same message; or begin anew with one that ended
        before its first word. Raises NotContinuable."""
        self._settle(answer_id)
        self._store.interrupt_unfinished()  # what an ended process left there may go on too
        with self._lock:
            self._refuse_when_closing()
            old = self._store.message(answer_id)
            if self._is_running(answer_id):
                raise NotContinuable("this answer is still on its way")
            if old.role != "assistant" or not is_open(self._store.messages(old.chat_id), old):
                raise NotContinuable("only the last answer of a chat can go on")
            if not may_go_on(old):
                raise NotContinuable("this answer is complete: ask for more, or try again")
            base = self._store.reopen(answer_id)
            job = self._jobs[answer_id] = Job(replace(base, meta={}) if has_no_word(old) else base)
        self._record(job, Changed(Status.QUEUED))  # before its thread begins, so that no page sees a gap
        with self._lock:
            self._enqueue(job)
        return job.base

    def edit(self, answer_id: str, content: str) -> Stored:
        """Replace an answer's text by a person's. Raises BadRequest while it is on its way."""
        self._settle(answer_id)
        with self._lock:
            edited = self._store.edit_answer(answer_id, content)
            self._jobs.pop(answer_id, None)
        return edited

    def undo(self, chat_id: str) -> tuple[Stored, ...]:
        """Take the last turn from the branch that is shown, and end its answer; what left the branch."""
        removed = self._store.remove_last_turn(chat_id)
        self._stop_all(each.id for each in reversed(removed))
        return removed

    def stop_chats(self, chat_ids: Iterable[str]) -> bool:
        """End all answers of these chats, on all branches; whether there was something to end."""
        wanted = set(chat_ids)
        with self._lock:
            found = [job.answer_id for job in self._jobs.values() if job.chat_id in wanted]
        return self._stop_all(reversed(found))

    def forget(self, answer_id: str) -> None:
        """Let the store speak for an answer that another process has changed."""
        with self._lock:
            job = self._jobs.get(answer_id)
            if job and job.status.is_final and job.is_saved:
                del self._jobs[answer_id]

    def stop(self, answer_id: str) -> bool:
        """End an answer now, running or waiting in line; whether there was something to end."""
        with self._lock:
            job = self._jobs.get(answer_id)
            if job is None or job.status.is_final:
                return False
            has_waited = self._leave_line(job)
        job.cancel.set()
        if has_waited:
            self._record(job, Done(Status.STOPPED))
            self._save(job)
        return True

    def stop_chat(self, answer_id: str) -> bool:
        """As stop; what an answer waits for on other branches, where nobody sees it, ends with it."""
        with self._lock:
            job = self._jobs.get(answer_id)
            line = [each.answer_id for each in self._lines.get(job.chat_id, ())] if job else []
        was_there = self.stop(answer_id)
        if answer_id in line:
            own = {message.id for message in self._store.branch(answer_id)}
            before = line[: line.index(answer_id)]
            self._stop_all(each for each in reversed(before) if each not in own)
        return was_there

    def missed(self, answer_id: str, after: int) -> list[Numbered] | None:
        """The events after a number and the progress, or None when the store, or a snapshot, has to tell it all."""
        with self._lock:
            job = self._jobs.get(answer_id)
            return job.after(after) if job else None

    def snapshot(self, message: Stored) -> Snapshot:
        """A message as it is now, with what its job has and the store may not have yet."""
        with self._lock:
            job = self._jobs.get(message.id)
            if job is None or (job.is_saved and message.version > job.saved_version):
                return Snapshot(message, message.seq)
            return Snapshot(replace(job.message(), version=message.version), job.seq, job.now())

    def unsaved(self, answer_id: str) -> str:
        """Save an answer that has ended; where no disk takes it, what to say that no event has said, else nothing."""
        with self._lock:
            job = self._jobs.get(answer_id)
        if job is None:
            return ""
        self._save(job)
        notice = Notice(job.unsaved_notice)
        return "" if job.is_saved or any(each.event == notice for each in job.log) else notice.text

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

    def running(self) -> frozenset[str]:
        """The chats in which an answer is on its way."""
        with self._lock:
            return frozenset(job.chat_id for job in self._jobs.values() if not job.status.is_final)

    def unfinished(self) -> list[str]:
        """The ids of all answers that are on their way or wait in line."""
        with self._lock:
            return [job.answer_id for job in self._jobs.values() if not job.status.is_final]

    def _stop_all(self, answer_ids: Iterable[str]) -> bool:
        """End answers, those first that wait for others: so that none of them begins meanwhile."""
        return any([self.stop(each) for each in answer_ids])

    def _unfinished_on(self, chat_id: str) -> list[str]:
        """The answers on their way on the branch that is shown."""
        if not any(job.chat_id == chat_id and not job.status.is_final for job in self._jobs.values()):
            return []
        return [message.id for message in self._store.messages(chat_id) if self._is_running(message.id)]

    def _left_behind(self, shown: list[str], answer: Stored) -> list[str]:
        """Those of the answers on their way that are not before a new one, the last to be answered first."""
        kept = {message.id for message in self._store.branch(answer.id)} if shown else set()
        return [each for each in reversed(shown) if each not in kept]

    def _is_running(self, answer_id: str) -> bool:
        job = self._jobs.get(answer_id)
        return job is not None and not job.status.is_final

    def _settle(self, answer_id: str) -> None:
        """See to it that the store has all of an answer that has ended. Raises StorageError."""
        with self._lock:
            job = self._jobs.get(answer_id)
        if job and job.status.is_final:
            self._save(job)
            if not job.is_saved:
                raise StorageError("the answer is not saved yet, so it cannot be changed: make room on the disk first")

    def _enqueue(self, job: Job) -> None:
        """Put a job in its chat's line; a chat without a line gets a thread that works it off."""
        self._jobs[job.answer_id] = job
        line = self._lines.get(job.chat_id)
        if line is not None:
            line.append(job)
            return
        self._lines[job.chat_id] = deque([job])
        threading.Thread(target=self._work_off, args=(job.chat_id,), name="job", daemon=True).start()

    def _leave_line(self, job: Job) -> bool:
        """Take a job out of its chat's line; False when it has begun."""
        line = self._lines.get(job.chat_id)
        if not line or job is line[0] or job not in line:
            return False
        line.remove(job)
        return True

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
        except ChatError as why:  # of the store: a turn itself ends in Done
            broken = why
        except Exception:
            log.exception("a job failed")
        self._record(job, Done(Status.ERROR, error=broken.wire()))  # nothing happens when it has ended already
        self._save(job)
        try:
            self._after(job.chat_id)
        except Exception:
            log.exception("what follows an answer failed; the next one is not touched")

    def _events(self, job: Job) -> Iterator[Event]:
        if job.cancel.is_set:
            yield Done(Status.STOPPED)
            return
        yield from self._run_turn(chat_turn(self._store, job.base), job.cancel)

    def _record(self, job: Job, event: Event) -> bool:
        """Take an event into a job and tell it; False when the job has ended before it."""
        with self._lock:
            if job.status.is_final:
                return False
            numbered = job.add(event)
            if job.status.is_final:
                job.ended_at = time.monotonic()
        try:
            self._watch(job.chat_id, job.answer_id, numbered)
        except Exception:
            log.exception("a watcher failed; the answer goes on")
        return True

    def _save_loop(self) -> None:
        """Save what is new twice a second, so that a killed process loses at most half a second of text."""
        last = 0.0
        while not self._closing.wait(_TICK_S):
            self._obey_others()
            if time.monotonic() - last >= SAVE_EVERY_S:
                self._save_all()
                last = time.monotonic()

    def _obey_others(self) -> None:
        """End answers that another process wants to stop."""
        with suppress(ChatError):  # a database that cannot be read is looked at again in a moment
            self._stop_all(self._store.stop_wanted() if self.unfinished() else ())

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
                if job.is_saved:
                    return
                now = job.to_store()
            try:
                version = self._store.save(
                    now.id, now.content, now.status, now.meta, reasoning=now.reasoning, seq=now.seq
                )
            except UnknownAnswer:  # its chat was removed for good meanwhile
                job.cancel.set()
                with self._lock:
                    job.saved_seq = now.seq
            except ChatError as why:
                self._tell_unsaved(job, why)
            else:
                with self._lock:
                    job.saved_seq, job.saved_version = now.seq, version
                    was_told = job.take_back_unsaved()
                if was_told:
                    self._tell_changed(job)

    def _tell_unsaved(self, job: Job, why: ChatError) -> None:
        """Say once an answer that it stands on no disk; it stays on the page and in memory."""
        if job.unsaved_notice:
            return
        job.unsaved_notice = UNSAVED.format(why.message)
        log.error("%s", why.message)
        if not self._record(job, Notice(job.unsaved_notice)):  # its last event is told already
            with self._lock:
                job.notices.append(job.unsaved_notice)
            self._tell_changed(job)

    def _tell_changed(self, job: Job) -> None:
        try:
            self._changed(job.answer_id)
        except Exception:
            log.exception("nobody was told how an answer is now; who opens its chat sees it")

    def _forget(self, jobs: list[Job]) -> None:
        """Drop jobs that ended a while ago and are saved: from then on the store speaks for them."""
        now = time.monotonic()
        with self._lock:
            for job in jobs:
                if job.ended_at and now - job.ended_at > _REMEMBER_S and job.is_saved:
                    self._jobs.pop(job.answer_id, None)
