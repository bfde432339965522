"""Users and what is theirs, and the house: what holds for all. Passwords come here hashed."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from chatbot.core.accounts import Limits, User, same_name
from chatbot.core.store_base import Connection, Database
from chatbot.core.store_chats import new_id
from chatbot.core.store_rows import OWNER
from chatbot.errors import BadRequest, NotAllowed

_USER = "id, name, is_admin, is_locked, limits, created_at"
DAY_S = 86_400.0
_OWNED = {
    "chats": "SELECT id FROM chats WHERE owner_id = ? AND id IN (SELECT value FROM json_each(?))",
    "messages": """SELECT m.id FROM messages m JOIN chats c ON c.id = m.chat_id
        WHERE c.owner_id = ? AND m.id IN (SELECT value FROM json_each(?))""",
    "files": """SELECT f.id FROM files f LEFT JOIN chats c ON c.id = f.chat_id
        WHERE coalesce(c.owner_id, f.owner_id) = ? AND f.id IN (SELECT value FROM json_each(?))""",
}
# Each gives owner_id and a number. What was deleted counts until it is purged: it can be restored.
# The length of a text is that of its characters, the length of a blob that of its bytes.
_USE = {
    "n_chats": "SELECT owner_id, count(*) FROM chats WHERE deleted_at IS NULL GROUP BY owner_id",
    # Only of what was imported somebody else chose what stands beside its text.
    "message_bytes": """SELECT c.owner_id, sum(
        length(CAST(m.content AS BLOB)) + length(CAST(m.reasoning AS BLOB))
        + iif(m.is_imported AND m.meta != '{}', length(CAST(m.meta AS BLOB)), 0)
        ) FROM messages m JOIN chats c ON c.id = m.chat_id GROUP BY c.owner_id""",
    "file_bytes": """SELECT coalesce(c.owner_id, f.owner_id) AS owner_id,
        sum(length(CAST(f.text AS BLOB)) + coalesce(length(f.data), 0))
        FROM files f LEFT JOIN chats c ON c.id = f.chat_id GROUP BY 1""",
    "shelf_bytes": """SELECT owner_id, sum(size) FROM (
        SELECT owner_id, length(CAST(text AS BLOB)) AS size FROM prompts
        UNION ALL SELECT owner_id, length(CAST(options AS BLOB)) FROM presets
        UNION ALL SELECT owner_id, length(CAST(options AS BLOB)) FROM chats WHERE options != '{}'
        UNION ALL SELECT owner_id, length(CAST(notes AS BLOB)) FROM chats WHERE notes IS NOT NULL
        ) GROUP BY owner_id""",
    "messages_today": """SELECT c.owner_id, count(*) FROM chats c JOIN messages m ON m.chat_id = c.id
        WHERE c.updated_at > :since AND m.role = 'assistant' AND m.created_at > :since AND NOT m.is_imported
        GROUP BY c.owner_id""",
    "seen_at": "SELECT id AS owner_id, seen_at FROM users WHERE seen_at IS NOT NULL",
}


@dataclass(frozen=True)
class Use:
    """What a user has. seen_at is None for who was never logged in."""

    n_chats: int = 0
    storage_bytes: int = 0
    messages_today: int = 0
    seen_at: float | None = None


class Accounts(Database):
    """Users and the house."""

    def users(self) -> list[User]:
        """All users by name."""
        with self._reading() as db:
            found = db.execute(f"SELECT {_USER} FROM users").fetchall()  # noqa: S608 - own columns
        return sorted((_user(row) for row in found), key=lambda user: user.name.casefold())

    def people(self) -> dict[str, str]:
        """The names of all users by their ids."""
        return {user.id: user.name for user in self.users()}

    def user(self, user_id: str) -> User:
        """One user. Raises BadRequest."""
        with self._reading() as db:
            return need_user(db, user_id)

    def find_user(self, name: str) -> User | None:
        """The user of that name, however it is written."""
        wanted = same_name(name)
        return next((user for user in self.users() if same_name(user.name) == wanted), None)

    def add_user(self, name: str, password_hash: str, *, is_admin: bool, user_id: str = "") -> User:
        """Let somebody in. Raises BadRequest when the name is taken."""
        with self._writing() as db:
            return self._insert_user(db, name, password_hash, is_admin=is_admin, user_id=user_id)

    def password_hash(self, user_id: str) -> str | None:
        """The hash of a user's password, None when there is no such user."""
        with self._reading() as db:
            row = db.execute("SELECT password FROM users WHERE id = ?", (user_id,)).fetchone()
        return str(row[0]) if row else None

    def set_password_hash(self, user_id: str, password_hash: str) -> None:
        """Replace a user's password."""
        with self._writing() as db:
            need_user(db, user_id)
            db.execute("UPDATE users SET password = ? WHERE id = ?", (password_hash, user_id))

    def set_locked(self, user_id: str, locked: bool) -> User:
        """Keep a user out and end all sessions, or let them in again. Raises NotAllowed for the last administrator."""
        with self._writing() as db:
            if locked:
                _refuse_last_admin(db, user_id)
                db.execute("DELETE FROM sessions WHERE user_id = ?", (user_id,))
            db.execute("UPDATE users SET is_locked = ? WHERE id = ?", (int(locked), user_id))
            return need_user(db, user_id)

    def set_admin(self, user_id: str, is_admin: bool) -> User:
        """Make a user an administrator, or no longer. Raises NotAllowed for the last one."""
        with self._writing() as db:
            if not is_admin:
                _refuse_last_admin(db, user_id)
            db.execute("UPDATE users SET is_admin = ? WHERE id = ?", (int(is_admin), user_id))
            return need_user(db, user_id)

    def remove_user(self, user_id: str) -> None:
        """Forget a user with all that is theirs. Raises NotAllowed for the machine's owner."""
        with self._writing() as db:
            need_user(db, user_id)
            if user_id == OWNER:
                raise NotAllowed("this account owns what terminals on this machine write: lock it instead")
            _refuse_last_admin(db, user_id)
            for table in ("chats", "files", "presets", "prompts"):
                db.execute(f"DELETE FROM {table} WHERE owner_id = ?", (user_id,))  # noqa: S608 - own words
            db.execute("DELETE FROM users WHERE id = ?", (user_id,))

    def set_limits(self, user_id: str | None, limits: Limits | None) -> None:
        """Give a user limits of their own, None for those of the house; without a user set those of the house."""
        if user_id is None:
            self._set_house("limits", (limits or Limits()).wire())
            return
        with self._writing() as db:
            need_user(db, user_id)
            kept = json.dumps(limits.wire() if limits else {})
            db.execute("UPDATE users SET limits = ? WHERE id = ?", (kept, user_id))

    def house_limits(self) -> Limits:
        """What holds for everybody who is no administrator and has no limits of their own."""
        return Limits(**(self._house("limits") or {}))

    def limits_of(self, user: User) -> Limits:
        """What holds for a user."""
        return user.limits or (Limits() if user.is_admin else self.house_limits())

    def house_options(self) -> dict[str, Any]:
        """The default preset: the options of a chat that sets none of its own."""
        return dict(self._house("options") or {})

    def set_house_options(self, options: Mapping[str, Any]) -> None:
        """Replace the default preset."""
        self._set_house("options", dict(options))

    def alert(self) -> dict[str, Any] | None:
        """What an administrator told everybody last: {text, at, from}."""
        found: dict[str, Any] | None = self._house("alert")
        return found

    def set_alert(self, alert: Mapping[str, Any]) -> None:
        """Keep what an administrator tells everybody."""
        self._set_house("alert", dict(alert))

    def owned(self, owner_id: str, kind: str, ids: Sequence[str]) -> frozenset[str]:
        """Those of these chats, messages or files that belong to a user, also deleted ones."""
        with self._reading() as db:
            return frozenset(row[0] for row in db.execute(_OWNED[kind], (owner_id, json.dumps(list(ids)))))

    def use_of(self, user_id: str | None = None) -> dict[str, Use]:
        """What users have, by their ids; of one user alone, or of all."""
        since = time.time() - DAY_S
        found: dict[str, dict[str, Any]] = {}
        with self._reading() as db:
            for name, query in _USE.items():
                own = "" if user_id is None else "WHERE owner_id = :user"
                values = {"user": user_id, "since": since}
                for owner, number in db.execute(f"SELECT * FROM ({query}) {own}", values):  # noqa: S608 - own words
                    found.setdefault(owner, {})[name] = number
        return {
            owner: Use(
                each.get("n_chats", 0),
                sum(each.get(name, 0) for name in ("message_bytes", "file_bytes", "shelf_bytes")),
                each.get("messages_today", 0),
                each.get("seen_at"),
            )
            for owner, each in found.items()
        }

    def answers_since(self, user_id: str, since: float) -> list[float]:
        """When the answers began that a user has asked for since a time, also in deleted chats, oldest first."""
        query = """SELECT m.created_at FROM chats c JOIN messages m ON m.chat_id = c.id
            WHERE c.owner_id = ? AND c.updated_at > ? AND m.role = 'assistant' AND m.created_at > ?
            AND NOT m.is_imported ORDER BY m.created_at"""
        with self._reading() as db:
            return [row[0] for row in db.execute(query, (user_id, since, since)).fetchall()]

    def totals(self) -> dict[str, int]:
        """The size of the database and what is in it, for an administrator."""
        with self._reading() as db:
            pages, page_bytes = (db.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "page_size"))
            counts = {
                f"n_{table}": int(db.execute(f"SELECT count(*) FROM {table}").fetchone()[0])  # noqa: S608 - own words
                for table in ("chats", "messages", "files")
            }
        free = shutil.disk_usage(self._path.parent).free
        return {"database_bytes": int(pages * page_bytes), "free_bytes": free, **counts}

    def _insert_user(self, db: Connection, name: str, password_hash: str, *, is_admin: bool, user_id: str = "") -> User:
        if self.find_user(name) is not None:
            raise BadRequest(f"the name {name} is taken: choose another")
        made = user_id or new_id()
        query = "INSERT INTO users (id, name, password, is_admin, created_at) VALUES (?, ?, ?, ?, ?)"
        db.execute(query, (made, name, password_hash, int(is_admin), time.time()))
        return need_user(db, made)

    def _house(self, name: str) -> Any:
        with self._reading() as db:
            row = db.execute("SELECT value FROM house WHERE name = ?", (name,)).fetchone()
        return json.loads(row[0]) if row else None

    def _set_house(self, name: str, value: Mapping[str, Any]) -> None:
        with self._writing() as db:
            db.execute("INSERT OR REPLACE INTO house (name, value) VALUES (?, ?)", (name, json.dumps(dict(value))))


def need_user(db: Connection, user_id: str) -> User:
    """One user. Raises BadRequest."""
    row = db.execute(f"SELECT {_USER} FROM users WHERE id = ?", (user_id,)).fetchone()  # noqa: S608 - own columns
    if row is None:
        raise BadRequest("this user does not exist any more")
    return _user(row)


def _user(row: tuple[Any, ...]) -> User:
    user_id, name, is_admin, is_locked, limits, created_at = row
    own = json.loads(limits)
    return User(user_id, name, bool(is_admin), bool(is_locked), Limits(**own) if own else None, created_at)


def _refuse_last_admin(db: Connection, user_id: str) -> None:
    need_user(db, user_id)
    others = "SELECT 1 FROM users WHERE is_admin AND NOT is_locked AND id <> ?"
    if db.execute(others, (user_id,)).fetchone() is None:
        raise NotAllowed("this is the last administrator who can log in: make another user one first")
