"""What a user may still use of what an administrator allows: messages, answers at once, storage."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from chatbot.core.accounts import User
from chatbot.core.jobs import Jobs
from chatbot.core.store import Store
from chatbot.core.store_accounts import DAY_S, Use
from chatbot.errors import LimitReached

_MB = 1_000_000


class Allowance:
    """The limits of all users."""

    def __init__(self, store: Store, jobs: Jobs, library_bytes: Callable[[str], int] = lambda _: 0) -> None:
        """library_bytes: what the texts of all documents on a user's shelves take."""
        self._store, self._jobs, self._library_bytes = store, jobs, library_bytes

    def check_answer(self, user: User, n_bytes: int = 0, *, is_new: bool = True) -> None:
        """Raise LimitReached when the user may not ask for an answer now. is_new: it is none that only goes on."""
        limits = self._store.limits_of(user)
        if is_new and limits.messages_per_day:
            asked = self._store.answers_since(user.id, time.time() - DAY_S)
            if len(asked) >= limits.messages_per_day:
                free_in_s = asked[-limits.messages_per_day] + DAY_S - time.time()
                are = "is" if limits.messages_per_day == 1 else "are"
                raise LimitReached(
                    f"you have asked {_times(len(asked), 'message')} in the last 24 hours, and "
                    f"{limits.messages_per_day:,} {are} allowed: the next one is free in {_duration(free_in_s)}"
                )
        if limits.answers_at_once:
            running = self._answers_now(user)
            if running >= limits.answers_at_once:
                raise LimitReached(
                    f"{_times(running, 'answer')} of yours {'is' if running == 1 else 'are'} on the way, and "
                    f"{limits.answers_at_once:,} at once {'is' if limits.answers_at_once == 1 else 'are'} allowed: "
                    "send this when one has ended, or stop one"
                )
        self.check_storage(user, n_bytes + 1)  # an answer has room for a character at least

    def check_storage(self, user: User, n_bytes: int) -> None:
        """Raise LimitReached when the user may not store so much more."""
        room = self.room(user)
        if room is not None and n_bytes > max(0, room):  # who adds nothing may always make room
            raise self.is_full(user)

    def room(self, user: User) -> int | None:
        """How many bytes a user may still store; None where nobody has set a limit."""
        most_mb = self._store.limits_of(user).storage_mb
        return most_mb * _MB - self._use_of(user).storage_bytes if most_mb else None

    def is_full(self, user: User) -> LimitReached:
        """What is said to a user who may not store what is to come."""
        used, most_mb = self._use_of(user).storage_bytes, self._store.limits_of(user).storage_mb
        return LimitReached(
            f"your chats, files and documents take {used / _MB:,.1f} MB, and {most_mb:,} MB are allowed: "
            "delete some chats or documents, whose room is free a day later, or ask an administrator for more"
        )

    def used(self, user: User) -> dict[str, Any]:
        """What a user has used, as the page gets it."""
        use = self._use_of(user)
        return {
            "messages_today": use.messages_today,
            "answers_now": self._answers_now(user),
            "storage_bytes": use.storage_bytes,
        }

    def _use_of(self, user: User) -> Use:
        use = self._store.use_of(user.id).get(user.id, Use())
        return replace(use, storage_bytes=use.storage_bytes + self._library_bytes(user.id))

    def _answers_now(self, user: User) -> int:
        return len(self._store.owned(user.id, "messages", self._jobs.unfinished()))


def _times(n: int, what: str) -> str:
    return f"{n:,} {what}{'' if n == 1 else 's'}"


def _duration(seconds: float) -> str:
    minutes = max(1, -(-int(seconds) // 60))
    if minutes < 60:
        return _times(minutes, "minute")
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if minutes else f"{hours} h"
