"""When the events of answers are sent: the first at once, pieces of text that come right behind it together.

A page draws sixty times a second at most; four hundred messages a second would cost it more than the text in them. What
comes quicker than anybody reads is drawn more seldom, and is sent more seldom too.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Any

from chatbot.core.events import Delta, Done, Numbered, Thought

log = logging.getLogger("chatbot")

GAP_S = 0.008
QUICK_GAP_S = 0.04
_QUICK_PER_S = 200  # pieces of text
_TEXTS = ("delta", "thought")

Send = Callable[[str, tuple[dict[str, Any], ...]], object]


class Pace:
    """Sends what is told in its order, GAP_S later or QUICK_GAP_S. May be used from any thread."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._lock = threading.Lock()
        self._held: dict[str, list[dict[str, Any]]] = {}  # by chat, as is the next
        self._sent_at: dict[str, float] = {}
        self._gap_s: dict[str, float] = {}
        self._is_held, self._closing = threading.Event(), threading.Event()
        threading.Thread(target=self._loop, name="pace", daemon=True).start()

    def tell(self, chat_id: str, answer_id: str, numbered: Numbered) -> None:
        """Take one event of an answer."""
        event = numbered.event
        with self._lock:
            self._held.setdefault(chat_id, []).append({"chat_id": chat_id, "answer_id": answer_id, **numbered.wire()})
            if self._is_early(chat_id) and isinstance(event, Delta | Thought):
                self._is_held.set()
                return
            self._flush(chat_id)
            if isinstance(event, Done):
                self._sent_at.pop(chat_id, None)
                self._gap_s.pop(chat_id, None)

    def close(self) -> None:
        """Send what is held, and end."""
        self._closing.set()
        self._is_held.set()

    def _is_early(self, chat_id: str) -> bool:
        return time.monotonic() - self._sent_at.get(chat_id, 0.0) < self._gap_s.get(chat_id, GAP_S)

    def _flush(self, chat_id: str) -> None:
        held = self._held.pop(chat_id, [])
        if held:
            now = time.monotonic()
            if any(each["type"] in _TEXTS for each in held):  # no first text waits for what was none
                is_quick = len(held) > _QUICK_PER_S * (now - self._sent_at.get(chat_id, 0.0))
                self._gap_s[chat_id] = QUICK_GAP_S if is_quick else GAP_S
                self._sent_at[chat_id] = now
            self._send(chat_id, tuple(held))

    def _loop(self) -> None:
        """Send what was held back. The edge of the loop: one message that cannot be sent ends no other."""
        while not self._closing.is_set():
            self._is_held.wait()
            self._closing.wait(GAP_S)
            with self._lock:
                self._is_held.clear()
                for chat_id in list(self._held):
                    if self._is_early(chat_id) and not self._closing.is_set():
                        self._is_held.set()
                        continue
                    try:
                        self._flush(chat_id)
                    except Exception:
                        log.exception("events were not sent; a page that misses them asks for them")
