"""The socket events a browser may send, each answered with {ok: true, ...} or {ok: false, error}.

Decides nothing; parse reads what came. docs/http-api.md lists the events.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import asdict
from functools import wraps
from typing import Any

from flask_socketio import ConnectionRefusedError, SocketIO, emit, join_room, leave_room, rooms

from chatbot.errors import BadRequest, ChatError
from chatbot.web import parse
from chatbot.web.service import ChatService

log = logging.getLogger("chatbot")

_ADDRESS_CHARS = 2_000
_SEARCH_CHARS = 1_000

Body = dict[str, Any]
Handler = Callable[[Body], Body]


def attach(socketio: SocketIO, service: ChatService) -> None:
    """Register the handlers on a socket server."""

    def on_connect() -> None:
        if not service.admit():
            most = service.settings.max_browsers
            raise ConnectionRefusedError(f"{most} pages are open, and more are not allowed: close one (--max_browsers)")
        emit("model", asdict(service.model_health()))

    socketio.on_event("connect", on_connect)
    socketio.on_event("disconnect", service.leave)
    for events in (talk_events(service), list_events(service), control_events(service)):
        for name, handler in events.items():
            socketio.on_event(name, answered(handler))


def talk_events(service: ChatService) -> dict[str, Handler]:
    """What happens within one chat."""
    limit = service.settings.max_message_chars

    def open_chat(body: Body) -> Body:
        chat_id, after = parse.an_id(body, "chat_id"), parse.known(body)
        service.check_chat(chat_id)
        _enter(chat_id)  # before the snapshot, so that no event falls between the two
        return service.open(chat_id, after)

    def send(body: Body) -> Body:
        made = service.send(parse.a_message(body, limit))
        _enter(made["chat"]["id"])
        return made

    handlers: dict[str, Handler] = {
        "open": open_chat,
        "send": send,
        "stop": lambda body: {"stopped": service.stop(parse.an_id(body, "answer_id"))},
        "dequeue": lambda body: {"stopped": service.stop(parse.an_id(body, "answer_id"))},
        "retry": lambda body: service.retry(parse.an_id(body, "answer_id")),
        "continue": lambda body: service.resume(parse.an_id(body, "answer_id")),
        "branch": lambda body: service.branch(parse.an_id(body, "chat_id"), parse.an_id(body, "message_id")),
        "edit": lambda body: service.edit(parse.an_id(body, "answer_id"), parse.text(body, "content", limit)),
        "undo": lambda body: service.undo(parse.an_id(body, "chat_id")),
    }
    return handlers


def list_events(service: ChatService) -> dict[str, Handler]:
    """What happens in the list of chats."""
    lists = service.lists

    def delete(body: Body) -> Body:
        lists.delete(parse.ids(body, "chat_ids"))
        return {}

    handlers: dict[str, Handler] = {
        "chats": lambda _: {"chats": lists.chats()},
        "rename": lambda body: {"chat": lists.rename(parse.an_id(body, "chat_id"), parse.text(body, "title"))},
        "pin": lambda body: {"chat": lists.pin(parse.an_id(body, "chat_id"), parse.a_flag(body, "pinned"))},
        "tag": lambda body: {"chat": lists.tag(parse.an_id(body, "chat_id"), parse.tags(body))},
        "delete": delete,
        "restore": lambda body: {"chats": lists.restore(parse.ids(body, "chat_ids"))},
        "search": lambda body: {"hits": lists.search(parse.text(body, "text", _SEARCH_CHARS))},
    }
    return handlers


def control_events(service: ChatService) -> dict[str, Handler]:
    """What is chosen and added beside the messages."""
    controls, limit = service.controls, service.settings.max_message_chars

    def context(body: Body) -> Body:
        chat_id, written = parse.an_id_or_none(body, "chat_id"), parse.text(body, "text", limit)
        return controls.context(chat_id, written, parse.ids(body, "files"), parse.an_object(body, "options"))

    def unfile(body: Body) -> Body:
        controls.drop_file(parse.an_id(body, "file_id"))
        return {}

    def set_options(body: Body) -> Body:
        return {"options": controls.set_options(parse.an_id(body, "chat_id"), parse.an_object(body, "options"))}

    def preset(body: Body) -> Body:
        return {"presets": controls.preset(parse.text(body, "name"), parse.an_object_or_none(body, "options"))}

    def url(body: Body) -> Body:
        address = parse.text(body, "url", _ADDRESS_CHARS)
        return {"file": controls.url(parse.an_id_or_none(body, "chat_id"), address)}

    handlers: dict[str, Handler] = {
        "hello": lambda _: controls.hello(),
        "about": lambda _: {"about": asdict(service.model.about(service.settings.model))},
        "models": lambda _: {"models": controls.models()},
        "options": set_options,
        "presets": lambda _: {"presets": controls.presets()},
        "preset": preset,
        "prompts": lambda _: {"prompts": controls.prompts()},
        "prompt": lambda b: {"prompts": controls.prompt(parse.text(b, "name"), parse.text_or_none(b, "text", limit))},
        "notes": lambda b: {
            "notes": controls.set_notes(parse.an_id(b, "chat_id"), parse.text_or_none(b, "text", limit))
        },
        "context": context,
        "command": lambda b: controls.command(parse.an_id_or_none(b, "chat_id"), parse.text(b, "text", limit)),
        "url": url,
        "unfile": unfile,
    }
    return handlers


def answered(handler: Handler) -> Callable[..., Body]:
    """Wrap a handler so that it takes anything and always answers. The only place where socket errors become output."""

    @wraps(handler)
    def handle(*sent: Any) -> Body:
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


def _enter(chat_id: str) -> None:
    """Be in this chat's room and in no other chat's."""
    from flask import request

    own: str = request.sid  # type: ignore[attr-defined]
    for room in rooms():
        if room not in {own, chat_id}:
            leave_room(room)
    join_room(chat_id)
