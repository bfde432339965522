"""What an administrator sees of this moment: the model server's numbers, and who is being answered.

Of others' chats it tells nothing but that an answer is on its way.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from chatbot.core.accounts import User
from chatbot.core.events import Status
from chatbot.core.live import Live
from chatbot.errors import ChatError
from chatbot.web.auth import Caller, need_admin
from chatbot.web.service import ChatService

Body = dict[str, Any]


class LiveView:
    """Answers the event `live`. Safe to use from several threads."""

    def __init__(self, service: ChatService) -> None:
        self._service = service
        settings, model = service.settings, service.model
        self._live = Live(settings.url, settings.api_key, lambda: model.models())

    def live(self, caller: Caller, _: Body) -> Body:
        """The model server now, and the answers on their way. Raises NotAllowed."""
        need_admin(caller.user)
        return self._live.look().wire() | {"answers": self._answers(caller.user)}

    def _answers(self, viewer: User) -> list[Body]:
        store = self._service.store
        names = store.people()
        found: list[Body] = []
        for chat_id in sorted(self._service.jobs.running()):
            with suppress(ChatError):  # deleted meanwhile
                chat = store.chat(chat_id)
                title = chat.title if chat.owner_id == viewer.id else None
                status = self._status(chat.leaf_id).value
                found.append({"user": names.get(chat.owner_id, ""), "title": title, "status": status})
        return found

    def _status(self, leaf_id: str | None) -> Status:
        """Of the first answer that is on its way above a chat's last message: those below it wait for it."""
        status = Status.STREAMING  # where it is on another branch than the shown one
        while leaf_id:
            message = self._service.jobs.snapshot(self._service.store.message(leaf_id)).message
            if message.role == "assistant":
                if message.status.is_final:
                    break
                status = message.status
            leaf_id = message.parent_id
        return status
