"""Who is logged in, and who may come in with a code. Tokens and codes come here hashed."""

from __future__ import annotations

import time
from typing import Any

from chatbot.core.accounts import INVITATION_S, SESSION_S, Invitation, Session, User
from chatbot.core.store_accounts import Accounts, need_user
from chatbot.core.store_base import storable
from chatbot.core.store_chats import new_id
from chatbot.errors import BadRequest

_SESSION = "id, user_id, device, created_at, seen_at"
_INVITATION = "id, user_id, is_admin, note, created_at, expires_at"
_MOST_SESSIONS = 50
_MOST_INVITATIONS = 200
_SEEN_EVERY_S = 60.0


class Sessions(Accounts):
    """Sessions and invitations."""

    def add_session(self, user_id: str, token_hash: str, device: str) -> Session:
        """Begin a session; of one user's the oldest end when there are too many."""
        made = Session(new_id(), user_id, storable(device), time.time(), time.time())
        oldest = "SELECT id FROM sessions WHERE user_id = ? ORDER BY seen_at DESC LIMIT -1 OFFSET ?"
        with self._writing() as db:
            need_user(db, user_id)
            db.execute("DELETE FROM sessions WHERE seen_at < ?", (made.created_at - SESSION_S,))
            db.execute("UPDATE users SET seen_at = ? WHERE id = ?", (made.seen_at, user_id))
            db.execute(
                f"INSERT INTO sessions ({_SESSION}, token_hash) VALUES (?, ?, ?, ?, ?, ?)",  # noqa: S608 - own columns
                (made.id, user_id, made.device, made.created_at, made.seen_at, token_hash),
            )
            db.execute(f"DELETE FROM sessions WHERE id IN ({oldest})", (user_id, _MOST_SESSIONS))  # noqa: S608
        return made

    def session_of(self, token_hash: str) -> Session | None:
        """The session that a token stands for, if it has not ended."""
        return self._session("token_hash", token_hash)

    def session(self, session_id: str) -> Session | None:
        """A session by its id, if it has not ended."""
        return self._session("id", session_id)

    def sessions(self, user_id: str | None = None) -> list[Session]:
        """The sessions of a user, or of all, the one that was used last first."""
        query = f"SELECT {_SESSION} FROM sessions WHERE seen_at >= ?"  # noqa: S608 - own columns
        own = "" if user_id is None else " AND user_id = ?"
        values = (time.time() - SESSION_S, *(() if user_id is None else (user_id,)))
        with self._reading() as db:
            return [Session(*row) for row in db.execute(f"{query}{own} ORDER BY seen_at DESC", values)]

    def end_session(self, user_id: str, session_id: str) -> None:
        """End one session of a user, if there is such a one."""
        with self._writing() as db:
            db.execute("DELETE FROM sessions WHERE user_id = ? AND id = ?", (user_id, session_id))

    def end_sessions(self, user_id: str, except_id: str | None = None) -> None:
        """End all sessions of a user, or all but one."""
        with self._writing() as db:
            db.execute("DELETE FROM sessions WHERE user_id = ? AND id IS NOT ?", (user_id, except_id))

    def add_invitation(self, code_hash: str, *, is_admin: bool, note: str, user_id: str | None = None) -> Invitation:
        """Let whoever has a code come in, or the user who has it choose a new password; an earlier code of theirs ends.

        Raises BadRequest when too many are open.
        """
        now = time.time()
        made = Invitation(new_id(), user_id, is_admin, storable(note), now, now + INVITATION_S)
        with self._writing() as db:
            db.execute("DELETE FROM invitations WHERE expires_at < ? OR user_id = ?", (now, user_id))
            if user_id is not None:
                need_user(db, user_id)
            if db.execute("SELECT count(*) FROM invitations").fetchone()[0] >= _MOST_INVITATIONS:
                raise BadRequest(f"{_MOST_INVITATIONS} invitations are open, which is the most: take some back first")
            db.execute(
                f"INSERT INTO invitations ({_INVITATION}, code_hash) VALUES (?, ?, ?, ?, ?, ?, ?)",  # noqa: S608
                (made.id, user_id, int(is_admin), made.note, made.created_at, made.expires_at, code_hash),
            )
        return made

    def invitations(self) -> list[Invitation]:
        """The invitations that are open, the newest first."""
        query = f"SELECT {_INVITATION} FROM invitations WHERE expires_at >= ? ORDER BY created_at DESC"  # noqa: S608
        with self._reading() as db:
            return [_invitation(row) for row in db.execute(query, (time.time(),))]

    def invitation_of(self, code_hash: str) -> Invitation | None:
        """The invitation that a code stands for, if it is open."""
        query = f"SELECT {_INVITATION} FROM invitations WHERE code_hash = ? AND expires_at >= ?"  # noqa: S608
        with self._reading() as db:
            row = db.execute(query, (code_hash, time.time())).fetchone()
        return _invitation(row) if row else None

    def use_invitation(self, invitation: Invitation, name: str, password_hash: str) -> User | None:
        """Let the bearer in under a name, or with a new password; None when somebody else was quicker."""
        with self._writing() as db:
            used = db.execute("DELETE FROM invitations WHERE id = ? AND expires_at >= ?", (invitation.id, time.time()))
            if not used.rowcount:
                return None
            if invitation.user_id is None:
                return self._insert_user(db, name, password_hash, is_admin=invitation.is_admin)
            db.execute("UPDATE users SET password = ? WHERE id = ?", (password_hash, invitation.user_id))
            db.execute("DELETE FROM sessions WHERE user_id = ?", (invitation.user_id,))
            return need_user(db, invitation.user_id)

    def drop_invitation(self, invitation_id: str) -> None:
        """Take an invitation back, if it is still open."""
        with self._writing() as db:
            db.execute("DELETE FROM invitations WHERE id = ?", (invitation_id,))

    def _session(self, column: str, value: str) -> Session | None:
        now = time.time()
        query = f"SELECT {_SESSION} FROM sessions WHERE {column} = ? AND seen_at >= ?"  # noqa: S608 - own columns
        with self._reading() as db:
            row = db.execute(query, (value, now - SESSION_S)).fetchone()
        if row is None:
            return None
        found = Session(*row)
        if now - found.seen_at > _SEEN_EVERY_S:
            with self._writing() as db:
                db.execute("UPDATE sessions SET seen_at = ? WHERE id = ?", (now, found.id))
                db.execute("UPDATE users SET seen_at = ? WHERE id = ?", (now, found.user_id))
        return found


def _invitation(row: tuple[Any, ...]) -> Invitation:
    return Invitation(row[0], row[1], bool(row[2]), *row[3:])
