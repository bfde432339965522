"""The socket events a browser may send, each answered with {ok: true, ...} or {ok: false, error}.

Decides nothing: auth says who it is, guard takes others' ids out, parse reads what came. docs/http-api.md lists the
events.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, replace
from functools import wraps
from typing import Any

from flask import request
from flask_socketio import ConnectionRefusedError, SocketIO, emit, join_room, leave_room, rooms

from chatbot.core.store_base import n_bytes_of
from chatbot.errors import BadRequest, ChatError
from chatbot.web import guard, parse
from chatbot.web.admin import admin_events, fresh
from chatbot.web.auth import Caller
from chatbot.web.chat_list import room_of
from chatbot.web.library import library_events
from chatbot.web.library_wire import as_chat_error
from chatbot.web.service import ChatService
from rag.errors import RagError

log = logging.getLogger("chatbot")

_ADDRESS_CHARS = 2_000
_SEARCH_CHARS = 1_000

Body = dict[str, Any]
Handler = Callable[[Caller, Body], Body]


def attach(socketio: SocketIO, service: ChatService) -> None:
    """Register the handlers on a socket server."""

    def on_connect() -> None:
        user = service.auth.enter(_sid())
        if not service.admit():
            service.auth.leave(_sid())
            most = service.settings.max_browsers
            raise ConnectionRefusedError(f"{most} pages are open, and more are not allowed: close one (--max_browsers)")
        join_room(room_of(user.id))
        emit("model", asdict(service.model_health()))
        if alert := fresh(service.store.alert()):
            emit("alert", alert)

    def on_disconnect(*_: object) -> None:
        service.auth.leave(_sid())
        service.leave()

    socketio.on_event("connect", on_connect)
    socketio.on_event("disconnect", on_disconnect)
    for name, handler in all_events(service).items():
        socketio.on_event(name, answered(service, handler))


def all_events(service: ChatService) -> dict[str, Handler]:
    """Every event by its name."""
    families = (talk_events, list_events, control_events, shelf_events, library_events, admin_events)
    return {name: handler for family in families for name, handler in family(service).items()}


def talk_events(service: ChatService) -> dict[str, Handler]:
    """What happens within one chat."""
    limit = service.settings.max_message_chars

    def open_chat(caller: Caller, body: Body) -> Body:
        chat_id, after = parse.an_id(body, "chat_id"), parse.known(body)
        service.check_chat(chat_id)
        _enter(chat_id, caller)  # before the snapshot, so that no event falls between the two
        return service.open(chat_id, after)

    def send(caller: Caller, body: Body) -> Body:
        made = service.send(caller.user, replace(parse.a_message(body, limit), owner_id=caller.user.id), _join)
        _enter(made["chat"]["id"], caller)
        return made

    def stop(_: Caller, body: Body) -> Body:
        if body.get("answer_id") is None and "chat_id" in body:
            return {"stopped": service.stop_chat(parse.an_id(body, "chat_id"))}
        return {"stopped": service.stop(parse.an_id(body, "answer_id"))}

    def edit(caller: Caller, body: Body) -> Body:
        return service.edit(caller.user, parse.an_id(body, "answer_id"), parse.text(body, "content", limit))

    handlers: dict[str, Handler] = {
        "open": open_chat,
        "send": send,
        "stop": stop,
        "dequeue": lambda _, body: {"stopped": service.dequeue(parse.an_id(body, "answer_id"))},
        "retry": lambda caller, body: service.retry(caller.user, parse.an_id(body, "answer_id")),
        "continue": lambda caller, body: service.resume(caller.user, parse.an_id(body, "answer_id")),
        "branch": lambda _, body: service.branch(parse.an_id(body, "chat_id"), parse.an_id(body, "message_id")),
        "edit": edit,
        "undo": lambda _, body: service.undo(parse.an_id(body, "chat_id")),
    }
    return handlers


def list_events(service: ChatService) -> dict[str, Handler]:
    """What happens in the list of chats."""
    lists = service.lists

    def delete(caller: Caller, body: Body) -> Body:
        lists.delete(parse.ids(body, "chat_ids"), caller.user.id)
        return {}

    handlers: dict[str, Handler] = {
        "chats": lambda caller, _: {"chats": lists.chats(caller.user.id)},
        "rename": lambda _, body: {"chat": lists.rename(parse.an_id(body, "chat_id"), parse.text(body, "title"))},
        "pin": lambda _, body: {"chat": lists.pin(parse.an_id(body, "chat_id"), parse.a_flag(body, "pinned"))},
        "tag": lambda _, body: {"chat": lists.tag(parse.an_id(body, "chat_id"), parse.tags(body))},
        "delete": delete,
        "restore": lambda _, body: {"chats": lists.restore(parse.ids(body, "chat_ids"))},
        "search": lambda caller, body: {"hits": lists.search(parse.text(body, "text", _SEARCH_CHARS), caller.user.id)},
    }
    return handlers


def control_events(service: ChatService) -> dict[str, Handler]:
    """What is chosen and added beside the messages."""
    controls, limit = service.controls, service.settings.max_message_chars

    def context(caller: Caller, body: Body) -> Body:
        chat_id, written = parse.an_id_or_none(body, "chat_id"), parse.text(body, "text", limit)
        beside, options = parse.ids(body, "files"), parse.an_object(body, "options")
        return controls.context(caller.user, chat_id, written, beside, options)

    def unfile(_: Caller, body: Body) -> Body:
        controls.drop_file(parse.an_id(body, "file_id"))
        return {}

    def set_options(_: Caller, body: Body) -> Body:
        chat_id, options = parse.an_id_or_none(body, "chat_id"), parse.an_object(body, "options")
        return {"options": controls.set_options(chat_id, options)}

    def notes(_: Caller, body: Body) -> Body:
        text, was = (parse.text_or_none(body, name, limit) for name in ("text", "was"))
        return {"notes": controls.set_notes(parse.an_id(body, "chat_id"), text, was)}

    def url(caller: Caller, body: Body) -> Body:
        chat_id, address = parse.an_id_or_none(body, "chat_id"), parse.text(body, "url", _ADDRESS_CHARS)
        return {"file": controls.url(caller.user, chat_id, address, parse.ids(body, "files"))}

    def command(caller: Caller, body: Body) -> Body:
        chat_id, text = parse.an_id_or_none(body, "chat_id"), parse.text(body, "text", limit)
        return service.command(caller.user, chat_id, text, parse.ids(body, "files"))

    handlers: dict[str, Handler] = {
        "hello": lambda caller, _: controls.hello(caller.user) | {"accounts": service.auth.in_force},
        "about": lambda _, b: {"about": asdict(service.model.about(parse.text(b, "model") or service.settings.model))},
        "models": lambda *_: {"models": controls.models()},
        "options": set_options,
        "setting": lambda _, body: controls.setting(parse.text(body, "text", limit)),
        "notes": notes,
        "context": context,
        "command": command,
        "url": url,
        "unfile": unfile,
    }
    return handlers


def shelf_events(service: ChatService) -> dict[str, Handler]:
    """What belongs to no chat: presets and prompts."""
    controls, limit = service.controls, service.settings.max_message_chars

    def preset(caller: Caller, body: Body) -> Body:
        name, options = parse.text(body, "name"), parse.an_object_or_none(body, "options")
        service.allowance.check_storage(caller.user, len(json.dumps(options)) if options else 0)
        return {"presets": controls.preset(name, options, caller.user.id)}

    def prompt(caller: Caller, body: Body) -> Body:
        name, text = parse.text(body, "name"), parse.text_or_none(body, "text", limit)
        service.allowance.check_storage(caller.user, n_bytes_of(text or ""))
        return {"prompts": controls.prompt(name, text, caller.user.id)}

    handlers: dict[str, Handler] = {
        "presets": lambda caller, _: {"presets": controls.presets(caller.user.id)},
        "preset": preset,
        "prompts": lambda caller, _: {"prompts": controls.prompts(caller.user.id)},
        "prompt": prompt,
    }
    return handlers


def answered(service: ChatService, handler: Handler) -> Callable[..., Body]:
    """Wrap a handler so that it takes anything, learns who sends it, sees no ids of others and always answers.

    The only place where socket errors become output.
    """

    @wraps(handler)
    def handle(*sent: Any) -> Body:
        body = sent[0] if sent else {}
        try:
            caller = service.auth.caller(_sid())
            if len(sent) > 1 or not isinstance(body, dict):
                raise BadRequest("an event takes one object")
            return {"ok": True, **handler(caller, guard.own_only(service.store, caller.user, body))}
        except ChatError as why:
            return {"ok": False, "error": why.wire()}
        except RagError as why:
            return {"ok": False, "error": as_chat_error(why).wire()}
        except Exception:
            log.exception("a socket event failed")
            return {"ok": False, "error": ChatError("the chat server failed: its log has the details").wire()}

    return handle


def _sid() -> str:
    return str(request.sid)  # type: ignore[attr-defined]


def _enter(chat_id: str, caller: Caller) -> None:
    """Be in this chat's room and in no other chat's."""
    for room in _rooms():
        if room not in {_sid(), room_of(caller.user.id), chat_id}:
            leave_room(room)
    _join(chat_id)


def _join(chat_id: str) -> None:
    """Hear a chat from now on."""
    with suppress(KeyError, ValueError):  # the page was closed meanwhile
        join_room(chat_id)


def _rooms() -> list[str]:
    """The rooms that a page is in. Other pages come and go while the library looks through them."""
    while True:
        try:
            return list(rooms())
        except RuntimeError:
            continue
