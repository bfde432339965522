"""The socket events a browser may send, each answered with {ok: true, ...} or {ok: false, error}.

Parses and checks; decides nothing. docs/http-api.md lists the events.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import asdict
from functools import wraps
from typing import Any

from flask_socketio import ConnectionRefusedError, SocketIO, emit, join_room, leave_room, rooms

from chatbot.core.events import ChatRequest
from chatbot.errors import BadRequest, ChatError, MessageTooLong
from chatbot.web.service import ChatService

log = logging.getLogger("chatbot")

_ID_CHARS = 64
_MAX_KNOWN = 1_000

Handler = Callable[[dict[str, Any]], dict[str, Any]]


def attach(socketio: SocketIO, service: ChatService) -> None:
    """Register the handlers on a socket server."""
    limit = service.settings.max_message_chars

    def on_connect() -> None:
        if not service.admit():
            most = service.settings.max_browsers
            raise ConnectionRefusedError(f"{most} pages are open, and more are not allowed: close one (--max_browsers)")
        emit("model", asdict(service.model_health()))

    def about(_: dict[str, Any]) -> dict[str, Any]:
        return {"about": service.about()}

    def chats(_: dict[str, Any]) -> dict[str, Any]:
        return {"chats": service.chats()}

    def open_chat(body: dict[str, Any]) -> dict[str, Any]:
        chat_id, after = _id(body, "chat_id"), _known(body)
        service.check_chat(chat_id)
        _enter(chat_id)  # before the snapshot, so that no event falls between the two
        return service.open(chat_id, after)

    def send(body: dict[str, Any]) -> dict[str, Any]:
        asked = parse_send(body, limit)
        made = service.send(asked)
        _enter(made["chat"]["id"])
        return made

    def stop(body: dict[str, Any]) -> dict[str, Any]:
        return {"stopped": service.stop(_id(body, "answer_id"))}

    def retry(body: dict[str, Any]) -> dict[str, Any]:
        return service.retry(_id(body, "answer_id"))

    socketio.on_event("connect", on_connect)
    socketio.on_event("disconnect", service.leave)
    handlers: dict[str, Handler] = {
        "about": about,
        "chats": chats,
        "open": open_chat,
        "send": send,
        "stop": stop,
        "retry": retry,
    }
    for name, handler in handlers.items():
        socketio.on_event(name, answered(handler))


def answered(handler: Handler) -> Callable[..., dict[str, Any]]:
    """Wrap a handler so that it takes anything and always answers. The only place where socket errors become output."""

    @wraps(handler)
    def handle(*sent: Any) -> dict[str, Any]:
        body = sent[0] if sent else {}
        try:
            if len(sent) > 1 or not isinstance(body, dict):
                raise BadRequest("an event takes one object")
            return {"ok": True, **handler(body)}
        except ChatError as why:
            return {"ok": False, "error": why.wire()}
        except Exception:
            log.exception("a socket event failed")
            return {"ok": False, "error": ChatError("the chat server failed: its log has the details").wire()}

    return handle


def parse_send(body: dict[str, Any], max_chars: int) -> ChatRequest:
    """Read a message. Raises BadRequest or MessageTooLong with what would be right."""
    text, chat_id, key = body.get("text"), body.get("chat_id"), body.get("key", "")
    if not isinstance(text, str):
        raise BadRequest("text must be a string")
    if not text.strip():
        raise BadRequest("the message is empty: write something first")
    if len(text) > max_chars:
        raise MessageTooLong(f"this message has {len(text):,} characters, {max_chars:,} are allowed: send it in parts")
    if not isinstance(key, str) or len(key) > _ID_CHARS:
        raise BadRequest(f"key must be a string of at most {_ID_CHARS} characters")
    try:
        text.encode()
    except UnicodeEncodeError as why:
        raise BadRequest("the message holds half a character (a lone surrogate): type it again") from why
    return ChatRequest(None if chat_id is None else _id(body, "chat_id"), text, key)


def _id(body: dict[str, Any], name: str) -> str:
    value = body.get(name)
    if not isinstance(value, str) or not 0 < len(value) <= _ID_CHARS:
        raise BadRequest(f"{name} must be a string of at most {_ID_CHARS} characters")
    return value


def _known(body: dict[str, Any]) -> dict[str, int]:
    """The last event numbers that a returning browser has: {answer id: number}."""
    after = body.get("after", {})
    if not isinstance(after, dict) or len(after) > _MAX_KNOWN:
        raise BadRequest(f"after must be an object of at most {_MAX_KNOWN} numbers")
    if not all(isinstance(n, int) and not isinstance(n, bool) and n >= 0 for n in after.values()):
        raise BadRequest("after must hold whole numbers from 0")
    return after


def _enter(chat_id: str) -> None:
    """Be in this chat's room and in no other chat's."""
    from flask import request

    own: str = request.sid  # type: ignore[attr-defined]
    for room in rooms():
        if room not in {own, chat_id}:
            leave_room(room)
    join_room(chat_id)
