"""The socket events of one's own account, and those of administrators: users, invitations, limits, what holds for all.

Whatever ends a session cuts off its open pages before the answer is sent.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any

from chatbot.core.accounts import Invitation, Limits, User
from chatbot.core.options import ChatOptions
from chatbot.core.store_accounts import Use
from chatbot.errors import BadRequest
from chatbot.web import parse
from chatbot.web.auth import Caller, need_admin
from chatbot.web.live import LiveView
from chatbot.web.service import ChatService

Body = dict[str, Any]

_SECRET_CHARS = 1_000
_ALERT_S = 3_600.0


class Office:
    """What people do with accounts. Each method answers one event; administrators' begin with a check."""

    def __init__(self, service: ChatService) -> None:
        self._service, self._store, self._auth = service, service.store, service.auth

    def account(self, caller: Caller, _: Body) -> Body:
        """Who one is, where one is logged in, what one may use."""
        return {
            "user": caller.user.wire(),
            "sessions": self._auth.sessions(caller),
            "limits": self._store.limits_of(caller.user).wire(),
            "used": self._service.allowance.used(caller.user),
        }

    def end_session(self, caller: Caller, body: Body) -> Body:
        """Log out somewhere else, or here."""
        self._store.end_session(caller.user.id, parse.an_id(body, "session_id"))
        self._auth.close_ended()
        return {}

    def end_other_sessions(self, caller: Caller, _: Body) -> Body:
        """Log out everywhere else."""
        self._store.end_sessions(caller.user.id, caller.session_id)
        self._auth.close_ended()
        return {}

    def password(self, caller: Caller, body: Body) -> Body:
        """Choose another password, and log out everywhere else."""
        self._need_accounts()
        old, new = (parse.text(body, name, _SECRET_CHARS) for name in ("old", "new"))
        self._auth.entrance.change_password(caller.user.id, old, new)
        return self.end_other_sessions(caller, {})

    def admin(self, caller: Caller, _: Body) -> Body:
        """All that the administrators' page shows of accounts."""
        need_admin(caller.user)
        store, users = self._store, self._store.users()
        use, names = store.use_of(), store.people()
        text_bytes = self._service.library.text_bytes
        return {
            "users": [_user(user, use.get(user.id, Use()), text_bytes(user.id)) for user in users],
            "invitations": [_invitation(each, names) for each in store.invitations()],
            "house": {"limits": store.house_limits().wire(), "options": store.house_options()},
            "storage": store.totals() | {"library_bytes": self._service.library.n_bytes()},
            "accounts": self._auth.in_force,
        }

    def invite(self, caller: Caller, body: Body) -> Body:
        """A code for somebody new."""
        need_admin(caller.user)
        made, code = self._auth.entrance.invite(is_admin=parse.a_flag(body, "is_admin"), note=parse.text(body, "note"))
        return {"code": code, "expires_at": made.expires_at}

    def reset(self, caller: Caller, body: Body) -> Body:
        """A code with which a user chooses a new password."""
        need_admin(caller.user)
        user = self._store.user(parse.an_id(body, "user_id"))
        made, code = self._auth.entrance.invite(is_admin=user.is_admin, user_id=user.id)
        return {"code": code, "expires_at": made.expires_at}

    def uninvite(self, caller: Caller, body: Body) -> Body:
        """Take a code back."""
        need_admin(caller.user)
        self._store.drop_invitation(parse.an_id(body, "id"))
        return {}

    def lock(self, caller: Caller, body: Body) -> Body:
        """Keep a user out, or let them in again."""
        need_admin(caller.user)
        self._store.set_locked(parse.an_id(body, "user_id"), parse.a_flag(body, "locked"))
        self._auth.close_ended()
        return {}

    def make_admin(self, caller: Caller, body: Body) -> Body:
        """Make a user an administrator, or no longer."""
        need_admin(caller.user)
        self._store.set_admin(parse.an_id(body, "user_id"), parse.a_flag(body, "is_admin"))
        return {}

    def remove_user(self, caller: Caller, body: Body) -> Body:
        """Forget a user and all their chats."""
        need_admin(caller.user)
        user_id = parse.an_id(body, "user_id")
        chats = [chat.id for chat in self._store.chats(user_id)]
        self._store.remove_user(user_id)
        self._service.library.forget(user_id)
        self._service.jobs.stop_chats(chats)
        self._auth.close_ended()
        return {}

    def limits(self, caller: Caller, body: Body) -> Body:
        """Set the limits of a user, or of the house."""
        need_admin(caller.user)
        limits = parse.an_object_or_none(body, "limits")
        self._store.set_limits(
            parse.an_id_or_none(body, "user_id"), None if limits is None else Limits.from_wire(limits)
        )
        return {}

    def house_options(self, caller: Caller, body: Body) -> Body:
        """Set the default preset."""
        need_admin(caller.user)
        options = ChatOptions.from_wire(parse.an_object(body, "options")).wire()
        self._store.set_house_options(options)
        return {"options": options}

    def alert(self, caller: Caller, body: Body) -> Body:
        """Tell everybody something."""
        self._service.alert(caller.user, parse.text(body, "text", _SECRET_CHARS))
        return {}

    def _need_accounts(self) -> None:
        if not self._auth.in_force:
            raise BadRequest("there are no accounts here, so there is no password")


def _user(user: User, use: Use, text_bytes: int) -> Body:
    return asdict(user) | asdict(replace(use, storage_bytes=use.storage_bytes + text_bytes))


def _invitation(each: Invitation, names: dict[str, str]) -> Body:
    return {
        "id": each.id,
        "note": each.note,
        "is_admin": each.is_admin,
        "for": names.get(each.user_id or ""),
        "created_at": each.created_at,
        "expires_at": each.expires_at,
    }


def fresh(alert: Body | None) -> Body | None:
    """What was told everybody, unless it is too long ago."""
    return alert if alert and time.time() - float(alert["at"]) < _ALERT_S else None


def admin_events(service: ChatService) -> dict[str, Callable[[Caller, Body], Body]]:
    """The events of accounts by name."""
    office = Office(service)
    return {
        "account": office.account,
        "end_session": office.end_session,
        "end_other_sessions": office.end_other_sessions,
        "password": office.password,
        "admin": office.admin,
        "invite": office.invite,
        "reset": office.reset,
        "uninvite": office.uninvite,
        "lock": office.lock,
        "make_admin": office.make_admin,
        "remove_user": office.remove_user,
        "limits": office.limits,
        "house_options": office.house_options,
        "alert": office.alert,
        "live": LiveView(service).live,
    }
