"""One answer on its way: its events by number, and the message that they make. No threads, no store."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from chatbot.core.cancel import Cancel
from chatbot.core.events import (
    Changed,
    Delta,
    Done,
    Event,
    Given,
    Grounds,
    Looked,
    Notice,
    Numbered,
    Progress,
    Status,
    Thought,
    Timings,
)
from chatbot.core.store import Stored, meta_of

UNSAVED = (
    "This answer is not saved yet: {}. Make room on that disk, or see what else is wrong with it: saving is tried "
    "again by itself for as long as this program runs."
)


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


@dataclass(eq=False)
class Job:
    """Changed only under the lock of Jobs. Begins with the answer as it is stored: empty, or one that goes on."""

    base: Stored
    cancel: Cancel = field(default_factory=Cancel)
    log: list[Numbered] = field(default_factory=list)
    pieces: list[str] = field(default_factory=list)
    thoughts: list[str] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)
    status: Status = Status.QUEUED
    progress: Progress | None = None
    done: Done | None = None
    unsaved_notice: str = ""  # told since it was saved last
    was_unsaved: bool = False
    ended_at: float | None = None
    thought_s: float = 0.0
    thinks_since: float | None = None
    library: dict[str, Any] | None = None
    files: dict[str, Any] | None = None

    def __post_init__(self) -> None:
        self.pieces.append(self.base.content)
        self.thoughts.append(self.base.reasoning)
        self.notices += self.base.meta.get("notices", ())
        self.thought_s = float(self.base.meta.get("thought_s", 0.0))
        self.library, self.files = self.base.meta.get("library"), self.base.meta.get("files")
        self.saved_seq, self.saved_version = self.base.seq, self.base.version

    @property
    def answer_id(self) -> str:
        """The id of the message."""
        return self.base.id

    @property
    def chat_id(self) -> str:
        """The chat that it is in."""
        return self.base.chat_id

    @property
    def seq(self) -> int:
        """The number of the last event."""
        return self.base.seq + len(self.log)

    @property
    def is_saved(self) -> bool:
        """Whether the store has all of it."""
        return self.saved_seq == self.seq

    def add(self, event: Event) -> Numbered:
        """Number an event and take it into the state."""
        if isinstance(event, Progress):
            self.progress = event
            return Numbered(self.seq, event)
        if isinstance(event, Done):
            event = _together(self.base.meta, event)
        numbered = Numbered(self.seq + 1, event)
        self.log.append(numbered)
        if isinstance(event, Notice):  # may come from beside the turn, and ends no progress
            self.notices.append(event.text)
            return numbered
        self.progress = None
        if isinstance(event, Thought):
            self.thoughts.append(event.text)
            self.thinks_since = self.thinks_since or time.monotonic()
        elif isinstance(event, Delta):
            self._stop_thinking()
            self.pieces.append(event.text)
        elif isinstance(event, Changed):
            self.status = event.status
        elif isinstance(event, Grounds):
            self.library = dict(event.library)
        elif isinstance(event, Given):
            self.files = {name: list(names) for name, names in asdict(event).items()}
        elif isinstance(event, Looked):
            known = self.library or {}
            self.library = {**known, "steps": [*known.get("steps", ()), asdict(event)]}
        else:
            self._stop_thinking()
            self.status, self.done = event.status, event
        return numbered

    def after(self, seq: int) -> list[Numbered] | None:
        """The events after a number and the progress; None when the log cannot tell what came after it."""
        if not self.base.seq <= seq <= self.seq:
            return None
        now = self.now()
        return [*self.log[seq - self.base.seq :], *([now] if now else [])]

    def now(self) -> Numbered | None:
        """What is true only now: the progress, where there is some."""
        return Numbered(self.seq, self.progress) if self.progress else None

    def message(self) -> Stored:
        """The message as it is now."""
        return replace(
            self.base,
            content="".join(self.pieces),
            reasoning="".join(self.thoughts),
            status=self.status,
            meta=self._meta(self.notices),
            seq=self.seq,
        )

    def take_back_unsaved(self) -> bool:
        """It is saved now: say so no more; whether somebody was told otherwise. Who came late to an answer on its way
        may have it from the log, and therefore all are told again at its end."""
        had = bool(self.unsaved_notice)
        self.notices = [text for text in self.notices if text != self.unsaved_notice]
        self.was_unsaved, self.unsaved_notice = self.was_unsaved or had, ""
        return had or (self.was_unsaved and self.status.is_final)

    def to_store(self) -> Stored:
        """The message as it is kept: once it is stored, it is no longer true that it is not."""
        return replace(self.message(), meta=self._meta([text for text in self.notices if text != self.unsaved_notice]))

    def _meta(self, notices: list[str]) -> dict[str, Any]:
        """What a page shows beside the text."""
        thought_s = self.thought_s + (time.monotonic() - self.thinks_since if self.thinks_since else 0.0)
        kept = {"edited": True} if self.base.meta.get("edited") else {}
        thought = {"thought_s": round(thought_s, 1)} if any(self.thoughts) else {}
        library = {"library": self.library} if self.library else {}
        files = {"files": self.files} if self.files else {}
        return meta_of(self.done or Done(self.status), notices) | thought | library | files | kept

    def _stop_thinking(self) -> None:
        if self.thinks_since:
            self.thought_s += time.monotonic() - self.thinks_since
            self.thinks_since = None


def _together(before: Mapping[str, Any], done: Done) -> Done:
    """The end of an answer that went on, with the numbers of all its parts: meta is that of the ones before. What they
    wrote was read for this one, and is not counted twice."""
    told, last = before.get("timings") or {}, done.timings
    first_s, total_s, n_pieces = told.get("first_s"), told.get("total_s"), told.get("n_pieces")
    if first_s is None or total_s is None or n_pieces is None or last is None:
        return done  # one that was imported need not have them
    writing = last.total_s - (last.total_s if last.first_s is None else last.first_s)
    timings = Timings(first_s, round(total_s + writing, 3), n_pieces + last.n_pieces)
    usage = done.usage
    if usage and "completion_tokens" in usage:
        n_before = (before.get("usage") or {}).get("completion_tokens") or n_pieces
        n_read = max(0, usage.get("prompt_tokens", 0) - n_before)
        usage = usage | {"prompt_tokens": n_read, "completion_tokens": usage["completion_tokens"] + n_before}
    return replace(done, usage=usage, timings=timings)


_BROKEN = frozenset({Status.STOPPED, Status.ERROR, Status.INTERRUPTED})


def may_go_on(answer: Stored) -> bool:
    """Whether an answer ended before its end, or was changed by a person."""
    was_cut = answer.status is Status.DONE and answer.meta.get("finish_reason") == "length"
    return was_cut or answer.status in _BROKEN or bool(answer.meta.get("edited"))


def has_no_word(answer: Stored) -> bool:
    """Whether an answer ended before its first word, so that nothing can have been said on the strength of it."""
    return answer.status in _BROKEN and not answer.content and not answer.reasoning


def is_open(shown: Sequence[Stored], answer: Stored) -> bool:
    """Whether nothing in a branch was said on the strength of an answer: it is the last one, all behind it ended
    before their first word, or it did so itself."""
    places = [place for place, each in enumerate(shown) if each.id == answer.id]
    if not places:
        return False
    behind = (each for each in shown[places[0] + 1 :] if each.role != "user")
    return has_no_word(answer) or all(each.status in _BROKEN and not each.content for each in behind)
