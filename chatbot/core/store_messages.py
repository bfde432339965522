"""Messages as a tree: each has a parent, an answer beside another is a branch, and one leaf ends what is shown."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import EllipsisType
from typing import Any

from chatbot.core import mentions
from chatbot.core.events import Status
from chatbot.core.store_base import Connection, storable
from chatbot.core.store_chats import new_id
from chatbot.core.store_files import Files
from chatbot.core.store_rows import OWNER, Notes, Stored, title
from chatbot.errors import BadRequest, ChatBusy, UnknownAnswer
from rag import process

_COLUMNS = "id, chat_id, parent_id, role, content, status, version, meta, created_at, reasoning, seq"
# In these very words, so that SQLite uses the index of unfinished messages.
_UNFINISHED = "status NOT IN ('done', 'stopped', 'error', 'interrupted')"

# A killed process may have told of more events than it saved: numbers go on beyond any that a page can have heard.
_NEVER_SAVED = 1_000_000


class Messages(Files):
    """The messages of all chats, beside the chats and their files."""

    def messages(self, chat_id: str) -> list[Stored]:
        """The branch that is shown, oldest first. Raises UnknownChat."""
        with self._reading() as db:
            leaf = self._need(db, chat_id)
            return self.branch(leaf) if leaf else []

    def branch(self, leaf_id: str) -> list[Stored]:
        """The messages from the first one to the given one."""
        query = f"""WITH RECURSIVE up(id, depth) AS (
            SELECT ?, 0 UNION ALL
            SELECT m.parent_id, up.depth + 1 FROM messages m JOIN up ON m.id = up.id WHERE m.parent_id IS NOT NULL
        ) SELECT {_COLUMNS} FROM messages JOIN up USING (id) ORDER BY up.depth DESC"""  # noqa: S608 - own columns
        return self._select(query, leaf_id)

    def tree(self, chat_id: str) -> list[Stored]:
        """All messages of all branches, parents before children."""
        with self._reading() as db:
            self._need(db, chat_id)
            return self._select(f"SELECT {_COLUMNS} FROM messages WHERE chat_id = ? ORDER BY n", chat_id)  # noqa: S608

    def children(self, parent_id: str | None, chat_id: str) -> list[str]:
        """The ids of the messages that follow one, or that begin the chat, oldest first."""
        query = "SELECT id FROM messages WHERE chat_id = ? AND parent_id IS ? ORDER BY n"
        with self._reading() as db:
            return [row[0] for row in db.execute(query, (chat_id, parent_id)).fetchall()]

    def families(self, chat_id: str) -> dict[str | None, list[str]]:
        """The children of each message of a chat, oldest first."""
        found: dict[str | None, list[str]] = {}
        with self._reading() as db:
            query = "SELECT parent_id, id FROM messages WHERE chat_id = ? ORDER BY n"
            for parent, child in db.execute(query, (chat_id,)):
                found.setdefault(parent, []).append(child)
        return found

    def message(self, message_id: str) -> Stored:
        """One message. Raises UnknownAnswer."""
        found = self._select(f"SELECT {_COLUMNS} FROM messages WHERE id = ?", message_id)  # noqa: S608 - own columns
        if not found:
            raise UnknownAnswer("this message does not exist any more")
        return found[0]

    def by_key(self, key: str, owner_id: str = OWNER) -> Stored | None:
        """The message that the user sent with this key, if it arrived before."""
        query = f"SELECT {_COLUMNS} FROM messages WHERE client_key = ?"  # noqa: S608 - own columns
        found = self._select(query, _owned_key(key, owner_id))
        return found[0] if found else None

    def answer_of(self, user_id: str) -> Stored:
        """The newest answer to a user's message. Raises UnknownAnswer."""
        query = f"SELECT {_COLUMNS} FROM messages WHERE parent_id = ? ORDER BY n DESC LIMIT 1"  # noqa: S608
        found = self._select(query, user_id)
        if not found:
            raise UnknownAnswer("this message has no answer")
        return found[0]

    def show_branch(self, chat_id: str, message_id: str) -> None:
        """Show the branch of a message, down to the newest leaf below it."""
        query = """WITH RECURSIVE down(id, n) AS (
            SELECT id, n FROM messages WHERE id = ? AND chat_id = ? UNION ALL
            SELECT m.id, m.n FROM messages m JOIN down ON m.parent_id = down.id
        ) SELECT id FROM down ORDER BY n DESC LIMIT 1"""
        with self._writing() as db:
            self._need(db, chat_id)
            leaf = db.execute(query, (message_id, chat_id)).fetchone()
            if leaf is None:
                raise UnknownAnswer("this message does not exist any more")
            db.execute("UPDATE chats SET leaf_id = ? WHERE id = ?", (leaf[0], chat_id))
            self._note(db, chat_id)

    def add_turn(
        self,
        chat_id: str | None,
        text: str,
        key: str | None,
        *,
        parent: str | EllipsisType | None = ...,
        files: Sequence[str] = (),
        options: Mapping[str, Any] | None = None,
        owner_id: str = OWNER,
    ) -> tuple[Stored, Stored]:
        """Append a user's message and the empty answer that will follow it, to a new chat when chat_id is None.

        parent is the message to follow instead of the last one shown; options are those that a new chat begins with,
        which belongs to owner_id.
        Raises UnknownChat, UnknownAnswer, UnknownFile, or ChatBusy when another process answers there.
        """
        with self._writing() as db:
            after: str | None = None
            if chat_id is None:
                now = time.time()
                named = title(mentions.behind(storable(text))) or self._first_name(db, files)
                chat_id = self._insert_chat(db, named, now, now, options, owner_id)
            else:
                leaf = self._need(db, chat_id)
                self._refuse_when_busy(db, chat_id)
                after = leaf if isinstance(parent, EllipsisType) else self._within(db, chat_id, parent)
            user = new_message(chat_id, after, "user", storable(text), Status.DONE)
            answer = new_message(chat_id, user.id, "assistant", "", Status.QUEUED)
            self._append(db, user, _owned_key(key, owner_id) if key else None)
            self._give_files(db, files, user)
            self._append(db, answer)
            return user, answer

    def add_answer(self, user_id: str) -> Stored:
        """Append another answer to a user's message: a branch beside the ones it has."""
        user = self.message(user_id)
        with self._writing() as db:
            self._need(db, user.chat_id)
            self._refuse_when_busy(db, user.chat_id)
            answer = new_message(user.chat_id, user.id, "assistant", "", Status.QUEUED)
            self._append(db, answer)
            return answer

    def reopen(self, answer_id: str) -> Stored:
        """Let an answer that has ended go on."""
        old = self.message(answer_id)
        with self._writing() as db:
            self._need(db, old.chat_id)
            self._refuse_when_busy(db, old.chat_id)
            db.execute(
                "UPDATE messages SET status = ?, owner = ?, version = version + 1, stop_wanted = 0 WHERE id = ?",
                (Status.QUEUED.value, self._owner, answer_id),
            )
            self._touch(db, old.chat_id, old.id)
        return self.message(answer_id)

    def save(
        self,
        answer_id: str,
        content: str,
        status: Status,
        meta: dict[str, Any],
        *,
        reasoning: str | None = None,
        seq: int | None = None,
    ) -> int:
        """Write an answer's text so far, its reasoning and the number of its last event; returns its new version."""
        query = """UPDATE messages SET content = ?, status = ?, meta = ?, version = version + 1, owner = ?,
            reasoning = coalesce(?, reasoning), seq = coalesce(?, seq) WHERE id = ?"""
        owner = None if status.is_final else self._owner
        with self._writing() as db:
            thought = None if reasoning is None else storable(reasoning)
            values = (storable(content), status.value, json.dumps(meta), owner, thought, seq, answer_id)
            db.execute(query, values)
            row = db.execute("SELECT version, chat_id FROM messages WHERE id = ?", (answer_id,)).fetchone()
            if row is None:
                raise UnknownAnswer("this answer does not exist any more")
            self._touch(db, row[1], answer_id)
        return int(row[0])

    def edit_answer(self, answer_id: str, content: str) -> Stored:
        """Replace an answer's text by what a person wrote. It counts as an event, so that old pages notice; notes that
        were made of it are marked, because they say what it said before."""
        old = self.message(answer_id)
        if old.role != "assistant" or not old.status.is_final:
            raise BadRequest("only an answer that has ended can be edited: stop it first")
        meta = old.meta | {"edited": True}
        if grounds := meta.get("library"):
            from chatbot.core.library.grounds import of_edited

            meta["library"] = of_edited(grounds, old.content, content)
        self.save(answer_id, content, old.status, meta, seq=old.seq + 1)
        while content != old.content:  # once more where others were made meanwhile
            kept = self.notes(old.chat_id)
            marked = tuple(self._with_outdated(each, answer_id) for each in kept)
            if marked == kept or self.set_notes(old.chat_id, marked, was=kept):
                break
        return self.message(answer_id)

    def _with_outdated(self, notes: Notes, answer_id: str) -> Notes:
        """Notes as they are once an answer has changed: marked, where they stand for it."""
        if all(each.id != answer_id for each in self.branch(notes.through)):
            return notes
        return replace(notes, outdated=tuple(dict.fromkeys((*notes.outdated, answer_id))))

    def remove_last_turn(self, chat_id: str) -> tuple[Stored, ...]:
        """Take the last user's message and what follows it from the branch that is shown; it stays in the tree.

        Returns what left the branch, nothing when there was no such message.
        """
        with self._writing() as db:
            leaf = self._need(db, chat_id)
            self._refuse_when_busy(db, chat_id)
            shown = self.branch(leaf) if leaf else []
            last = max((place for place, each in enumerate(shown) if each.role == "user"), default=None)
            if last is None:
                return ()
            db.execute("UPDATE chats SET leaf_id = ? WHERE id = ?", (shown[last].parent_id, chat_id))
            self._note(db, chat_id)
            return tuple(shown[last:])

    def interrupt_unfinished(self) -> int:
        """Mark answers that an ended process left behind; how many there were."""
        query = f"SELECT DISTINCT owner FROM messages WHERE {_UNFINISHED}"  # noqa: S608 - own words
        with self._reading() as db:
            if not self._dead(db.execute(query).fetchall()):
                return 0
        with self._writing() as db:
            dead = self._dead(db.execute(query).fetchall())
            return sum(self._interrupt(db, owner) for owner in dead)

    def _dead(self, rows: Sequence[tuple[str | None]]) -> list[str | None]:
        return [owner for (owner,) in rows if owner != self._owner and not process.is_alive(owner)]

    def _interrupt(self, db: Connection, owner: str | None) -> int:
        query = f"SELECT chat_id, id FROM messages WHERE {_UNFINISHED} AND owner IS ?"  # noqa: S608 - own words
        left = db.execute(query, (owner,)).fetchall()
        for chat_id, message_id in left:
            db.execute(
                "UPDATE messages SET status = ?, version = version + 1, owner = NULL, seq = seq + ? WHERE id = ?",
                (Status.INTERRUPTED.value, _NEVER_SAVED, message_id),
            )
            self._note_always(db, chat_id, message_id)
        return len(left)

    def answered_elsewhere(self) -> frozenset[str]:
        """The chats in which another process has an answer on its way."""
        query = f"SELECT DISTINCT chat_id FROM messages WHERE {_UNFINISHED} AND owner IS NOT ?"  # noqa: S608 - own words
        with self._reading() as db:
            return frozenset(chat_id for (chat_id,) in db.execute(query, (self._owner,)))

    def want_stop(self, of: str) -> bool:
        """Ask the process that writes an answer, or all answers of a chat, to stop, where that is another one than
        this; whether there is one."""
        theirs = f"{_UNFINISHED} AND owner IS NOT ? AND ? IN (id, chat_id)"
        with self._reading() as db:
            if not db.execute(f"SELECT 1 FROM messages WHERE {theirs}", (self._owner, of)).fetchone():  # noqa: S608
                return False
        with self._writing() as db:
            change = f"UPDATE messages SET stop_wanted = 1 WHERE {theirs}"  # noqa: S608 - own words
            return db.execute(change, (self._owner, of)).rowcount > 0

    def stop_wanted(self) -> list[str]:
        """The answers of this process that another one asks to stop, the last first."""
        query = f"SELECT id FROM messages WHERE {_UNFINISHED} AND owner = ? AND stop_wanted ORDER BY n DESC"  # noqa: S608
        with self._reading() as db:
            return [row[0] for row in db.execute(query, (self._owner,)).fetchall()]

    def _refuse_when_busy(self, db: Connection, chat_id: str) -> None:
        """Raise ChatBusy while another process answers in a chat; what an ended one left there is marked."""
        query = f"SELECT DISTINCT owner FROM messages WHERE chat_id = ? AND {_UNFINISHED}"  # noqa: S608 - own words
        for (owner,) in db.execute(query, (chat_id,)).fetchall():
            if owner == self._owner:
                continue
            if process.is_alive(owner):
                page, terminal = "in a terminal: wait or stop it", "elsewhere: wait, or stop it there or with /stop"
                raise ChatBusy(f"this chat is being answered {page if self._claim else terminal}")
            self._interrupt(db, owner)

    def _within(self, db: Connection, chat_id: str, parent: str | None) -> str | None:
        if (
            parent
            and not db.execute("SELECT 1 FROM messages WHERE id = ? AND chat_id = ?", (parent, chat_id)).fetchone()
        ):
            raise UnknownAnswer("the message to follow does not exist any more: load the page again")
        return parent

    def _append(self, db: Connection, new: Stored, key: str | None = None) -> None:
        """Insert a message and make it the end of the branch that is shown."""
        self._insert(db, new, key)
        db.execute("UPDATE chats SET leaf_id = ?, updated_at = ? WHERE id = ?", (new.id, new.created_at, new.chat_id))
        self._note(db, new.chat_id, new.id, is_new=True)

    def _insert(self, db: Connection, new: Stored, key: str | None = None, *, is_counted: bool = True) -> None:
        """Insert a message. One that is not counted is neither in order nor searched until somebody sees to it."""
        owner = None if new.status.is_final else self._owner
        n = "(SELECT coalesce(max(n), 0) + 1 FROM messages)" if is_counted else "NULL"
        values = (new.id, new.chat_id, new.parent_id, new.role, new.content, new.status.value, new.version)
        db.execute(
            f"INSERT INTO messages ({_COLUMNS}, owner, client_key, n)"  # noqa: S608 - own words
            f" VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, {n})",
            (*values, json.dumps(new.meta), new.created_at, new.reasoning, new.seq, owner, key),
        )

    def _touch(self, db: Connection, chat_id: str, message_id: str) -> None:
        db.execute("UPDATE chats SET updated_at = ? WHERE id = ?", (time.time(), chat_id))
        self._note(db, chat_id, message_id)

    def _select(self, query: str, *values: object) -> list[Stored]:
        with self._reading() as db:
            return [_stored(row) for row in db.execute(query, values).fetchall()]


def new_message(chat_id: str, parent: str | None, role: str, text: str, status: Status) -> Stored:
    """A message that nobody has seen yet."""
    return Stored(new_id(), chat_id, parent, role, text, status, 1, {}, time.time())


def _owned_key(key: str, owner_id: str) -> str:
    """Two users may choose the same key: those of others than the owner are made longer than any that is sent."""
    return key if owner_id == OWNER else f"{owner_id:>64}:{key}"


def _stored(row: tuple[Any, ...]) -> Stored:
    values: tuple[Any, ...] = (*row[:5], Status(row[5]), row[6], json.loads(row[7]), *row[8:])
    return Stored(*values)
